//! Movements of accounts.

use async_graphql::{
    Context, Enum, ID, InputObject, Lookahead, Object, Result, parser::types::Field,
};
use uuid::Uuid;

use super::{
    super::{
        loader,
        page::{self, Arguments, Pointed, connection},
        rows::{Json, Plain},
        scalar::{Date, DateTime, Decimal, Id, uuid},
    },
    account::Account,
    category::{Category, CategorySource},
    transaction_order::{TransactionOrder, list_in},
};
use crate::{
    app::App,
    db::row::Row as _,
    error::Error,
    product::list::{self, Listed, Movement, Parent},
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
    async fn date(&self) -> Result<DateTime> {
        Ok(DateTime(self.0.details()?.date))
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
    async fn description_raw(&self) -> Result<Option<&str>> {
        Ok(self.0.details()?.description_raw.as_deref())
    }

    /// In `currencyCode`, from the holder's point of view on every kind of account: negative when DEBIT (also a card purchase), positive when CREDIT.
    async fn amount(&self) -> Decimal {
        Decimal(self.0.amount)
    }

    /// The same in the account's currency; null when that is `currencyCode`.
    async fn amount_in_account_currency(&self) -> Result<Option<Decimal>> {
        Ok(self.0.details()?.account_amount.map(Decimal))
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
    async fn balance(&self) -> Result<Option<Decimal>> {
        Ok(self.0.details()?.balance.map(Decimal))
    }

    /// The institution's own id; null when it has none.
    async fn provider_id(&self) -> Result<Option<&str>> {
        Ok(self.0.details()?.provider_id.as_deref())
    }

    /// The institution's code of the movement, such as a cheque number; null when it has none.
    async fn provider_code(&self) -> Result<Option<&str>> {
        Ok(self.0.details()?.provider_code.as_deref())
    }

    /// What it was for; null when nobody knows. The user's own choice goes before a rule of yours, and that before what the institution says and the classifier finds.
    async fn category(&self) -> Result<Option<Category>> {
        let decided = self.0.details()?.category;
        Ok(decided.map(|decided| Category(decided.category)))
    }

    /// The id of `category`; null when that is.
    async fn category_id(&self) -> Result<Option<Id>> {
        let decided = self.0.details()?.category;
        Ok(decided.map(|decided| Id::Word(decided.category.id)))
    }

    /// Who has decided `category`; null when that is.
    async fn category_source(&self) -> Result<Option<CategorySource>> {
        let decided = self.0.details()?.category;
        Ok(decided.map(|decided| decided.source.into()))
    }

    /// When it was first seen. The key to use for reading what is new.
    async fn created_at(&self) -> Result<DateTime> {
        Ok(DateTime(self.0.details()?.created_at))
    }

    /// When it last changed.
    async fn updated_at(&self) -> Result<DateTime> {
        Ok(DateTime(self.0.details()?.updated_at))
    }
}

impl Plain for Transaction {
    fn write(&self, app: &App, field: &Field, json: &mut Json) -> Option<()> {
        let row = &self.0;
        let details = || row.details().ok();
        match field.name.node.as_str() {
            "id" => json.word(row.id),
            "postedOn" => json.word(row.posted_on),
            "description" => json.text(&row.description),
            "amount" => json.word(row.amount),
            "currencyCode" => json.text(&row.currency_code),
            "type" => json.word(row.kind.as_str()),
            "status" => json.word(row.status.as_str()),
            "date" => json.word(details()?.date),
            "descriptionRaw" => json.maybe(details()?.description_raw.as_deref(), Json::text),
            "amountInAccountCurrency" => json.maybe(details()?.account_amount, Json::word),
            "balance" => json.maybe(details()?.balance, Json::word),
            "providerId" => json.maybe(details()?.provider_id.as_deref(), Json::text),
            "providerCode" => json.maybe(details()?.provider_code.as_deref(), Json::text),
            "category" => json.maybe(details()?.category, |json, decided| {
                let category = Category(decided.category);
                json.object(&category, app, &field.selection_set.node)
            }),
            "categoryId" => {
                let id = details()?.category.map(|decided| decided.category.id);
                json.maybe(id, Json::word)
            }
            "categorySource" => {
                let source = details()?.category.map(|decided| decided.source.as_str());
                json.maybe(source, Json::word)
            }
            "createdAt" => json.word(details()?.created_at),
            "updatedAt" => json.word(details()?.updated_at),
            _ => None,
        }
    }
}

impl Pointed for Transaction {
    fn pointer(&self) -> String {
        page::cursor(list_in(self.0.order), self.0.key())
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
    /// A page of transactions, newest first by `postedOn` and id unless another order is asked for.
    TransactionConnection,
    /// A transaction in a list.
    TransactionEdge,
    Transaction,
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
    /// Only of this category, or of one that belongs to it. Nothing for an id that no category has.
    category_id: Option<ID>,
    /// Only of one of these categories, or of one that belongs to one of them. At most 200.
    category_ids: Option<Vec<ID>>,
    /// Only in one of these directions.
    types: Option<Vec<TransactionType>>,
    /// Only with one of these statuses.
    statuses: Option<Vec<TransactionStatus>>,
    /// Only whose `amount`, with its sign, is this or larger.
    amount_from: Option<Decimal>,
    /// Only whose `amount`, with its sign, is this or smaller.
    amount_to: Option<Decimal>,
    /// Only whose `amount`, in or out, is this or larger. Not negative.
    absolute_amount_from: Option<Decimal>,
    /// Only whose `amount`, in or out, is this or smaller. Not negative.
    absolute_amount_to: Option<Decimal>,
    /// Only first seen at this instant or earlier.
    created_at_to: Option<DateTime>,
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
            category: filter.category_id.map(|id| id.0),
            categories: filter
                .category_ids
                .map(|ids| ids.into_iter().map(|id| id.0).collect()),
            statuses: filter
                .statuses
                .map(|of| of.into_iter().map(Into::into).collect()),
            kinds: filter
                .types
                .map(|of| of.into_iter().map(Into::into).collect()),
            amount_from: filter.amount_from.map(|amount| amount.0),
            amount_to: filter.amount_to.map(|amount| amount.0),
            absolute_from: filter.absolute_amount_from.map(|amount| amount.0),
            absolute_to: filter.absolute_amount_to.map(|amount| amount.0),
            created_to: filter.created_at_to.map(|at| at.0),
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
    order: Option<TransactionOrder>,
) -> Result<TransactionConnection> {
    let order = order.map(Into::into).unwrap_or_default();
    let slice = arguments.slice(list_in(order), crate::graphql::MOST_TRANSACTIONS)?;
    let filter = list::TransactionFilter::from(filter.unwrap_or_default());
    filter.check()?;
    let listed = Listed {
        parent,
        filter: filter.clone(),
        order,
        detailed: detailed(ctx),
    };
    let page = loader::transactions_of(ctx, listed, id, slice).await?;
    let count = TransactionCount { parent, id, filter };
    Ok(TransactionConnection::new(page, count))
}

/// What a row tells without its details.
const BRIEF: &[&str] = &[
    "__typename",
    "id",
    "account",
    "postedOn",
    "description",
    "amount",
    "currencyCode",
    "type",
    "status",
];

/// Whether anything else is asked for of the rows of a page.
fn detailed(ctx: &Context<'_>) -> bool {
    let page = ctx.look_ahead();
    [page.field("nodes"), page.field("edges").field("node")]
        .iter()
        .flat_map(Lookahead::selection_fields)
        .any(|rows| {
            rows.selection_set()
                .any(|field| !BRIEF.contains(&field.name()))
        })
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
