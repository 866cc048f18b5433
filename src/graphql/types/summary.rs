//! Sums over transactions.

use async_graphql::{Context, Enum, ID, Object, Result, SimpleObject};
use uuid::Uuid;

use super::{
    super::{
        ContextExt as _, loader,
        scalar::{Decimal, Id, uuid},
    },
    account::Account,
    category::Category,
    transaction::{TransactionFilter, TransactionStatus, TransactionType},
};
use crate::{
    category,
    error::Error,
    product::{
        list::Parent,
        summary::{self, Grouping, Row, Scope, Summing},
    },
};

/// What transactions come to, summed exactly in the database.
#[derive(SimpleObject)]
pub struct TransactionSummary {
    /// One for each combination that there is of what was summed by, and for each currency; in order of category, month, direction, status, account and currency, null first. 1,000 at most: INVALID_INPUT when there are more.
    rows: Vec<TransactionSummaryRow>,
}

impl From<Vec<Row>> for TransactionSummary {
    fn from(rows: Vec<Row>) -> Self {
        Self {
            rows: rows.into_iter().map(TransactionSummaryRow).collect(),
        }
    }
}

/// What transactions with something in common come to.
pub struct TransactionSummaryRow(Row);

/// What transactions with something in common come to. Amounts are in `currencyCode` and never added up over currencies.
#[Object]
impl TransactionSummaryRow {
    /// Their category; null when nobody knows it, and when it was not summed by CATEGORY.
    async fn category(&self) -> Option<Category> {
        let id = self.0.category?;
        category::find(id).map(Category)
    }

    /// The id of `category`; null when that is.
    async fn category_id(&self) -> Option<Id> {
        self.0.category.map(Id::Word)
    }

    /// The month of `postedOn`, as `2026-03`; null when it was not summed by MONTH.
    async fn month(&self) -> Option<&str> {
        self.0.month.as_deref()
    }

    /// Their direction; null when it was not summed by TYPE.
    #[graphql(name = "type")]
    async fn kind(&self) -> Option<TransactionType> {
        self.0.kind.map(Into::into)
    }

    /// Their status; null when it was not summed by STATUS.
    async fn status(&self) -> Option<TransactionStatus> {
        self.0.status.map(Into::into)
    }

    /// Their account; null when it was not summed by ACCOUNT.
    async fn account(&self, ctx: &Context<'_>) -> Result<Option<Account>> {
        match self.0.account {
            Some(id) => Ok(loader::account(ctx, id).await?.map(Account)),
            None => Ok(None),
        }
    }

    /// The id of `account`; null when it was not summed by ACCOUNT.
    async fn account_id(&self) -> Option<Id> {
        self.0.account.map(Id::Row)
    }

    /// ISO 4217 code of the amounts.
    async fn currency_code(&self) -> &str {
        &self.0.currency_code
    }

    /// How many transactions.
    async fn count(&self) -> i64 {
        self.0.count
    }

    /// The sum of their amounts.
    async fn total(&self) -> Decimal {
        Decimal(self.0.total)
    }

    /// The sum of the amounts above zero: what came in.
    async fn inflow(&self) -> Decimal {
        Decimal(self.0.inflow)
    }

    /// The sum of the amounts below zero: what went out, negative.
    async fn outflow(&self) -> Decimal {
        Decimal(self.0.outflow)
    }
}

/// Something that transactions have in common.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "Grouping")]
pub enum TransactionGrouping {
    /// Their category, as `categoryLevel` says.
    Category,
    /// The month of `postedOn`.
    Month,
    /// Their direction.
    Type,
    /// Whether they have been settled.
    Status,
    /// Their account.
    Account,
    /// Their currency, and nothing else: sums are always made for each currency.
    Currency,
}

/// What categories are summed by.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CategoryLevel {
    /// Each by itself.
    Leaf,
    /// Each with all that belongs to its root.
    Root,
}

fn summing(
    filter: Option<TransactionFilter>,
    group_by: Vec<TransactionGrouping>,
    level: Option<CategoryLevel>,
) -> Summing {
    Summing {
        filter: filter.unwrap_or_default().into(),
        groupings: group_by.into_iter().map(Into::into).collect(),
        roots: level == Some(CategoryLevel::Root),
    }
}

/// What the transactions of an Item or account come to.
pub async fn of(
    ctx: &Context<'_>,
    parent: Parent,
    id: Uuid,
    filter: Option<TransactionFilter>,
    group_by: Vec<TransactionGrouping>,
    level: Option<CategoryLevel>,
) -> Result<TransactionSummary> {
    let summing = summing(filter, group_by, level);
    summing.check()?;
    let rows = loader::transaction_summary(ctx, parent, id, summing).await?;
    Ok(rows.into())
}

/// Whose transactions are summed: exactly one of the three is given.
fn scope(
    item_ids: Option<Vec<ID>>,
    account_ids: Option<Vec<ID>>,
    client_user_id: Option<String>,
) -> crate::error::Result<Scope> {
    let uuids = |ids: Vec<ID>| ids.iter().map(uuid).collect();
    match (item_ids, account_ids, client_user_id) {
        (Some(ids), None, None) => Ok(Scope::Items(uuids(ids))),
        (None, Some(ids), None) => Ok(Scope::Accounts(uuids(ids))),
        (None, None, Some(user)) => Ok(Scope::ClientUser(user)),
        _ => Err(Error::invalid(
            "itemIds",
            "give exactly one of itemIds, accountIds and clientUserId",
        )),
    }
}

/// What the transactions of several Items or accounts come to, together.
pub async fn over(
    ctx: &Context<'_>,
    (item_ids, account_ids, client_user_id): (Option<Vec<ID>>, Option<Vec<ID>>, Option<String>),
    filter: Option<TransactionFilter>,
    group_by: Vec<TransactionGrouping>,
    level: Option<CategoryLevel>,
) -> Result<TransactionSummary> {
    let (app, principal) = (ctx.app(), ctx.principal()?);
    principal.require_api_key("read transactions")?;
    let scope = scope(item_ids, account_ids, client_user_id)?;
    let rows = summary::over(app, principal, scope, &summing(filter, group_by, level)).await?;
    Ok(rows.into())
}
