//! Movements of accounts.

use std::borrow::Cow;

use async_graphql::{
    Context, ContextSelectionSet, Enum, ID, InputObject, Name, Object, OutputType, Positioned,
    Result, ServerResult, Value,
    indexmap::IndexMap,
    parser::types::{Field, Selection, SelectionSet},
    registry::Registry,
};
use uuid::Uuid;

use super::{
    super::{
        loader,
        page::{self, Arguments, List, Pointed, connection},
        scalar::{Date, DateTime, Decimal, Id, uuid},
    },
    account::Account,
};
use crate::{
    db::page::Row as _,
    error::Error,
    product::list::{self, Movement, Parent},
};

/// A movement of an account.
#[derive(Clone)]
pub struct Transaction(pub Movement);

/// A movement of an account.
#[Object]
impl Transaction {
    /// Identity. Stays the same when the institution changes the row, also from PENDING to POSTED.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// Its account.
    async fn account(&self, ctx: &Context<'_>) -> Result<Account> {
        let account = loader::account(ctx, self.0.account_id).await?;
        Ok(Account(account.ok_or(Error::NotFound { what: "account" })?))
    }

    /// When it happened, as far as the institution tells; midnight UTC of `postedOn` otherwise.
    async fn date(&self) -> DateTime {
        DateTime(self.0.date)
    }

    /// The institution's local day.
    async fn posted_on(&self) -> Date {
        Date(self.0.posted_on)
    }

    /// Cleaned text.
    async fn description(&self) -> &str {
        &self.0.description
    }

    /// The institution's text verbatim; null when it is the same as `description`.
    async fn description_raw(&self) -> Option<&str> {
        self.0.description_raw.as_deref()
    }

    /// In `currencyCode`, from the holder's point of view on every kind of account: negative when DEBIT (also a card purchase), positive when CREDIT.
    async fn amount(&self) -> Decimal {
        Decimal(self.0.amount)
    }

    /// The same in the account's currency; null when that is `currencyCode`.
    async fn amount_in_account_currency(&self) -> Option<Decimal> {
        self.0.account_amount.map(Decimal)
    }

    /// ISO 4217 code of `amount`.
    async fn currency_code(&self) -> &str {
        &self.0.currency_code
    }

    /// Direction.
    #[graphql(name = "type")]
    async fn kind(&self) -> TransactionType {
        self.0.kind.into()
    }

    /// Whether the institution has settled it.
    async fn status(&self) -> TransactionStatus {
        self.0.status.into()
    }

    /// The account's balance after it; null when the institution does not tell.
    async fn balance(&self) -> Option<Decimal> {
        self.0.balance.map(Decimal)
    }

    /// The institution's own id; null when it has none.
    async fn provider_id(&self) -> Option<&str> {
        self.0.provider_id.as_deref()
    }

    /// The institution's code of the movement, such as a cheque number; null when it has none.
    async fn provider_code(&self) -> Option<&str> {
        self.0.provider_code.as_deref()
    }

    /// When it was first seen. The key to use for reading what is new.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

/// A transaction in a list. Lists are long and their rows plain, and a future for each field of each row is most of what
/// they cost: a row of which only its own scalars are asked for is answered at once.
pub struct Listed(Transaction);

impl Listed {
    /// The whole answer, unless something is asked for that takes the executor: another type's fields, a fragment, a
    /// directive.
    fn plain(&self, selected: &SelectionSet) -> Option<Value> {
        let mut answer = IndexMap::with_capacity(selected.items.len());
        for selection in &selected.items {
            let Selection::Field(field) = &selection.node else {
                return None;
            };
            let field = &field.node;
            if !field.directives.is_empty() || !field.arguments.is_empty() {
                return None;
            }
            let value = self.scalar(field.name.node.as_str())?;
            answer.insert(field.response_key().node.clone(), value);
        }
        Some(Value::Object(answer))
    }

    /// The value of a field that is a scalar of the row itself.
    fn scalar(&self, name: &str) -> Option<Value> {
        let row = &self.0.0;
        let text = |text: &str| Value::String(text.to_owned());
        let maybe = |value: Option<String>| value.map_or(Value::Null, Value::String);
        Some(match name {
            "id" => Value::String(row.id.to_string()),
            "date" => Value::String(row.date.to_string()),
            "postedOn" => Value::String(row.posted_on.to_string()),
            "description" => text(&row.description),
            "descriptionRaw" => maybe(row.description_raw.clone()),
            "amount" => Value::String(row.amount.to_string()),
            "amountInAccountCurrency" => maybe(row.account_amount.map(|amount| amount.to_string())),
            "currencyCode" => text(&row.currency_code),
            "type" => Value::Enum(Name::new(row.kind.as_str())),
            "status" => Value::Enum(Name::new(row.status.as_str())),
            "balance" => maybe(row.balance.map(|amount| amount.to_string())),
            "providerId" => maybe(row.provider_id.clone()),
            "providerCode" => maybe(row.provider_code.clone()),
            "createdAt" => Value::String(row.created_at.to_string()),
            "updatedAt" => Value::String(row.updated_at.to_string()),
            _ => return None,
        })
    }
}

impl OutputType for Listed {
    fn type_name() -> Cow<'static, str> {
        <Transaction as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <Transaction as OutputType>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        match self.plain(&ctx.item.node) {
            Some(answer) => Ok(answer),
            None => self.0.resolve(ctx, field).await,
        }
    }
}

impl From<Movement> for Listed {
    fn from(row: Movement) -> Self {
        Self(Transaction(row))
    }
}

impl Pointed for Listed {
    fn pointer(&self) -> String {
        page::cursor(List::Transactions, self.0.0.key())
    }
}

impl From<Movement> for Transaction {
    fn from(row: Movement) -> Self {
        Self(row)
    }
}

/// Counts the transactions of an Item or account.
pub struct TransactionCount {
    parent: Parent,
    id: Uuid,
    filter: list::TransactionFilter,
}

impl TransactionCount {
    async fn count(&self, ctx: &Context<'_>) -> crate::error::Result<i64> {
        loader::count_transactions(ctx, self.parent, self.id, self.filter.clone()).await
    }
}

connection!(
    /// A page of transactions, newest first by `postedOn` and id.
    TransactionConnection,
    /// A transaction in a list.
    TransactionEdge,
    Listed,
    counted by TransactionCount
);

/// Which transactions are wanted; everything given must hold.
#[derive(InputObject, Default)]
pub struct TransactionFilter {
    /// First day of `postedOn`, inclusive.
    from: Option<Date>,
    /// Last day of `postedOn`, inclusive.
    to: Option<Date>,
    /// Only of this account.
    account_id: Option<ID>,
    /// Only with this status.
    status: Option<TransactionStatus>,
    /// Only in this direction.
    #[graphql(name = "type")]
    kind: Option<TransactionType>,
    /// Only first seen at this instant or later.
    created_at_from: Option<DateTime>,
    /// Only whose description contains this text, without regard to case and accents. At most 200 characters.
    search: Option<String>,
}

impl From<TransactionFilter> for list::TransactionFilter {
    fn from(filter: TransactionFilter) -> Self {
        Self {
            from: filter.from.map(|day| day.0),
            to: filter.to.map(|day| day.0),
            account: filter.account_id.as_ref().map(uuid),
            status: filter.status.map(Into::into),
            kind: filter.kind.map(Into::into),
            created_from: filter.created_at_from.map(|at| at.0),
            search: filter.search,
        }
    }
}

/// A page of the transactions of an Item or account.
pub async fn list(
    ctx: &Context<'_>,
    parent: Parent,
    id: Uuid,
    arguments: Arguments,
    filter: Option<TransactionFilter>,
) -> Result<TransactionConnection> {
    let slice = arguments.slice(List::Transactions, crate::graphql::MOST_TRANSACTIONS)?;
    let filter = list::TransactionFilter::from(filter.unwrap_or_default());
    filter.check()?;
    let page = loader::transactions_of(ctx, parent, id, filter.clone(), slice).await?;
    let count = TransactionCount { parent, id, filter };
    Ok(TransactionConnection::new(page, count))
}

/// Direction of a movement, from the holder's point of view.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::TransactionType")]
pub enum TransactionType {
    /// Money out, also a purchase with a card.
    Debit,
    /// Money in, also a payment of the card's bill.
    Credit,
}

/// Whether the institution has settled a movement.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::TransactionStatus")]
pub enum TransactionStatus {
    /// Announced; may still change or vanish.
    Pending,
    /// Settled.
    Posted,
}
