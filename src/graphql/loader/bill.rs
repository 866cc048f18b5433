//! Relations to bills of credit cards.

use async_graphql::Context;
use entity::{bill as slip, kind::EntityKind};
use uuid::Uuid;

use super::{Batch, loaders, show};
use crate::{
    db::page::{Page, Slice},
    error::Result,
    graphql::{ContextExt as _, turn::Turn},
    product::bill,
};

/// The batches of bills.
pub(super) struct Bills {
    by_id: Batch<(), Uuid, slip::Model>,
    of_account: Batch<Slice, Uuid, Page<slip::Model>>,
    counts: Batch<(), Uuid, i64>,
}

impl Bills {
    /// Empty ones, for what runs in these turns.
    pub(super) fn new(turn: &Turn) -> Self {
        Self {
            by_id: Batch::new(turn),
            of_account: Batch::new(turn),
            counts: Batch::new(turn),
        }
    }
}

/// A bill of this principal.
pub async fn bill(ctx: &Context<'_>, id: Uuid) -> Result<Option<slip::Model>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move { bill::by_id(&app, &principal, &ids).await };
    let found = loaders(ctx).bills.by_id.load((), id, load).await?;
    show(ctx, EntityKind::Bill, usize::from(found.is_some()));
    Ok(found)
}

/// Bills of an account.
pub async fn bills_of(ctx: &Context<'_>, account: Uuid, slice: Slice) -> Result<Page<slip::Model>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load =
        move |slice, ids: Vec<Uuid>| async move { bill::list(&app, owner, &ids, slice).await };
    let page = loaders(ctx).bills.of_account.load(slice, account, load);
    let page = page.await?.unwrap_or_default();
    show(ctx, EntityKind::Bill, page.rows.len());
    Ok(page)
}

/// How many bills an account has.
pub async fn count_bills(ctx: &Context<'_>, account: Uuid) -> Result<i64> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(), ids: Vec<Uuid>| async move { bill::count(&app, owner, &ids).await };
    let count = loaders(ctx).bills.counts.load((), account, load);
    Ok(count.await?.unwrap_or(0))
}
