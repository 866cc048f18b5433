//! Relations to what institutions issue for accounts: bills, statements.

use async_graphql::Context;
use entity::{bill, statement};
use uuid::Uuid;

use super::{Batch, Loaders, loaders, show};
use crate::{
    db::page::{Page, Slice},
    error::Result,
    graphql::{ContextExt as _, turn::Turn},
    product::paper::{self, Paper},
};

/// The batches of one kind.
pub(super) struct Papers<P> {
    by_id: Batch<(), Uuid, P>,
    of_account: Batch<Slice, Uuid, Page<P>>,
    counts: Batch<(), Uuid, i64>,
}

impl<P: Paper> Papers<P> {
    /// Empty ones, for what runs in these turns.
    pub(super) fn new(turn: &Turn) -> Self {
        Self {
            by_id: Batch::new(turn),
            of_account: Batch::new(turn),
            counts: Batch::new(turn),
        }
    }
}

/// A kind that a request has batches of.
pub trait Batched: Paper {
    /// Its batches.
    #[expect(private_interfaces, reason = "only the functions below call it")]
    fn batches(loaders: &Loaders) -> &Papers<Self>;
}

impl Batched for bill::Model {
    #[expect(private_interfaces, reason = "only the functions below call it")]
    fn batches(loaders: &Loaders) -> &Papers<Self> {
        &loaders.bills
    }
}

impl Batched for statement::Model {
    #[expect(private_interfaces, reason = "only the functions below call it")]
    fn batches(loaders: &Loaders) -> &Papers<Self> {
        &loaders.statements
    }
}

/// One of this principal.
pub async fn paper<P: Batched>(ctx: &Context<'_>, id: Uuid) -> Result<Option<P>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move { paper::by_id(&app, &principal, &ids).await };
    let found = P::batches(loaders(ctx)).by_id.load((), id, load).await?;
    show(ctx, P::ENTITY, usize::from(found.is_some()));
    Ok(found)
}

/// Those of an account.
pub async fn papers_of<P: Batched>(
    ctx: &Context<'_>,
    account: Uuid,
    slice: Slice,
) -> Result<Page<P>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load =
        move |slice, ids: Vec<Uuid>| async move { paper::list(&app, owner, &ids, slice).await };
    let batches = P::batches(loaders(ctx));
    let page = batches.of_account.load(slice, account, load).await?;
    let page = page.unwrap_or_default();
    show(ctx, P::ENTITY, page.rows.len());
    Ok(page)
}

/// How many an account has.
pub async fn count_papers<P: Batched>(ctx: &Context<'_>, account: Uuid) -> Result<i64> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(), ids: Vec<Uuid>| async move { paper::count::<P>(&app, owner, &ids).await };
    let count = P::batches(loaders(ctx)).counts.load((), account, load);
    Ok(count.await?.unwrap_or(0))
}
