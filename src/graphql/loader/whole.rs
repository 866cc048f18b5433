//! Relations to what institutions show whole: positions with their movements, loans.

use async_graphql::Context;
use entity::{
    investment as position, investment_transaction as movement,
    kind::{EntityKind, InvestmentType, LoanKind},
    loan as credit,
};
use uuid::Uuid;

use super::{Batch, loaders, show};
use crate::{
    db::page::{Page, Slice},
    error::Result,
    graphql::{ContextExt as _, turn::Turn},
    product::{
        investment::{self as investments, InvestmentTransactionFilter},
        loan as loans,
    },
};

/// The batches of one request.
pub(super) struct Whole {
    investments: Batch<(), Uuid, position::Model>,
    investments_of: Batch<(Option<InvestmentType>, Slice), Uuid, Page<position::Model>>,
    investment_counts: Batch<Option<InvestmentType>, Uuid, i64>,
    transactions_of: Batch<(InvestmentTransactionFilter, Slice), Uuid, Page<movement::Model>>,
    transaction_counts: Batch<InvestmentTransactionFilter, Uuid, i64>,
    loans: Batch<(), Uuid, credit::Model>,
    loans_of: Batch<(Option<LoanKind>, Slice), Uuid, Page<credit::Model>>,
    loan_counts: Batch<Option<LoanKind>, Uuid, i64>,
}

impl Whole {
    /// Empty ones, for what runs in these turns.
    pub(super) fn new(turn: &Turn) -> Self {
        Self {
            investments: Batch::new(turn),
            investments_of: Batch::new(turn),
            investment_counts: Batch::new(turn),
            transactions_of: Batch::new(turn),
            transaction_counts: Batch::new(turn),
            loans: Batch::new(turn),
            loans_of: Batch::new(turn),
            loan_counts: Batch::new(turn),
        }
    }
}

fn batches<'a>(ctx: &Context<'a>) -> &'a Whole {
    &loaders(ctx).whole
}

/// A position of this principal.
pub async fn investment(ctx: &Context<'_>, id: Uuid) -> Result<Option<position::Model>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move { investments::by_id(&app, &principal, &ids).await };
    let found = batches(ctx).investments.load((), id, load).await?;
    show(ctx, EntityKind::Investment, usize::from(found.is_some()));
    Ok(found)
}

/// Positions of an Item.
pub async fn investments_of(
    ctx: &Context<'_>,
    item: Uuid,
    kind: Option<InvestmentType>,
    slice: Slice,
) -> Result<Page<position::Model>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(kind, slice), ids: Vec<Uuid>| async move {
        investments::list(&app, owner, &ids, kind, slice).await
    };
    let page = batches(ctx).investments_of.load((kind, slice), item, load);
    let page = page.await?.unwrap_or_default();
    show(ctx, EntityKind::Investment, page.rows.len());
    Ok(page)
}

/// How many positions an Item has.
pub async fn count_investments(
    ctx: &Context<'_>,
    item: Uuid,
    kind: Option<InvestmentType>,
) -> Result<i64> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |kind, ids: Vec<Uuid>| async move {
        investments::count(&app, owner, &ids, kind).await
    };
    let count = batches(ctx).investment_counts.load(kind, item, load);
    Ok(count.await?.unwrap_or(0))
}

/// Movements of a position.
pub async fn investment_transactions_of(
    ctx: &Context<'_>,
    id: Uuid,
    filter: InvestmentTransactionFilter,
    slice: Slice,
) -> Result<Page<movement::Model>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(filter, slice): (InvestmentTransactionFilter, _), ids: Vec<Uuid>| async move {
        investments::transactions(&app, owner, &ids, &filter, slice).await
    };
    let page = batches(ctx).transactions_of.load((filter, slice), id, load);
    let page = page.await?.unwrap_or_default();
    show(ctx, EntityKind::InvestmentTransaction, page.rows.len());
    Ok(page)
}

/// How many movements a position has.
pub async fn count_investment_transactions(
    ctx: &Context<'_>,
    id: Uuid,
    filter: InvestmentTransactionFilter,
) -> Result<i64> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |filter: InvestmentTransactionFilter, ids: Vec<Uuid>| async move {
        investments::count_transactions(&app, owner, &ids, &filter).await
    };
    let count = batches(ctx).transaction_counts.load(filter, id, load);
    Ok(count.await?.unwrap_or(0))
}

/// A loan of this principal.
pub async fn loan(ctx: &Context<'_>, id: Uuid) -> Result<Option<credit::Model>> {
    let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
    let load = |(), ids: Vec<Uuid>| async move { loans::by_id(&app, &principal, &ids).await };
    let found = batches(ctx).loans.load((), id, load).await?;
    show(ctx, EntityKind::Loan, usize::from(found.is_some()));
    Ok(found)
}

/// Loans of an Item.
pub async fn loans_of(
    ctx: &Context<'_>,
    item: Uuid,
    kind: Option<LoanKind>,
    slice: Slice,
) -> Result<Page<credit::Model>> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load = move |(kind, slice), ids: Vec<Uuid>| async move {
        loans::list(&app, owner, &ids, kind, slice).await
    };
    let page = batches(ctx).loans_of.load((kind, slice), item, load);
    let page = page.await?.unwrap_or_default();
    show(ctx, EntityKind::Loan, page.rows.len());
    Ok(page)
}

/// How many loans an Item has.
pub async fn count_loans(ctx: &Context<'_>, item: Uuid, kind: Option<LoanKind>) -> Result<i64> {
    let (app, owner) = (ctx.app().clone(), ctx.principal()?.application);
    let load =
        move |kind, ids: Vec<Uuid>| async move { loans::count(&app, owner, &ids, kind).await };
    let count = batches(ctx).loan_counts.load(kind, item, load);
    Ok(count.await?.unwrap_or(0))
}
