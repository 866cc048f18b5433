//! Movements of accounts.

use async_graphql::{
    Context, Enum, ID, InputObject, Lookahead, Object, Result, SelectionField, SimpleObject,
    parser::types::Field,
};
use entity::kind::Product;
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
    payment::PaymentData,
    purchase::{CreditCardMetadata, Merchant},
    transaction_order::{TransactionOrder, list_in},
};
use crate::{
    app::App,
    db::row::Row as _,
    error::Error,
    money::Amount,
    product::list::{self, Depth, Listed, Movement, Parent},
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

    /// The institution's own classification, such as `TRANSFERENCIA`; null when it has none.
    async fn operation_type(&self) -> Result<Option<&str>> {
        let details = &self.0.particulars()?.details;
        Ok(details.operation_type.as_deref())
    }

    /// More about `operationType`, in the institution's words; null when it tells no more.
    async fn operation_type_additional_info(&self) -> Result<Option<&str>> {
        let details = &self.0.particulars()?.details;
        Ok(details.operation_type_additional_info.as_deref())
    }

    /// Its place among the account's movements of the same day; null when the institution does not tell.
    async fn order(&self) -> Result<Option<i32>> {
        Ok(self.0.particulars()?.details.order)
    }

    /// Who paid whom, and how. Null when the institution does not tell, and when the Item has never collected PAYMENT_DATA.
    async fn payment_data(&self) -> Result<Option<PaymentData<'_>>> {
        Ok(self.0.particulars()?.payment.as_ref().map(PaymentData))
    }

    /// What only movements of credit cards have; null for others, and when the institution tells nothing of it.
    async fn credit_card_metadata(&self) -> Result<Option<CreditCardMetadata<'_>>> {
        let particulars = self.0.particulars()?;
        Ok(CreditCardMetadata::of(particulars))
    }

    /// Whom a purchase was made at; null when the institution does not tell.
    async fn merchant(&self) -> Result<Option<Merchant<'_>>> {
        let details = &self.0.particulars()?.details;
        Ok(details.merchant.as_ref().map(Merchant))
    }

    /// The transaction that this one seems to be written in the place of: the institution has deleted that one, and day, amount and text say that it is the same movement. Null when it has
    /// replaced none.
    async fn replaces(&self, ctx: &Context<'_>) -> Result<Option<TransactionReplacement>> {
        let replaced = loader::replaced(ctx, self.0.id).await?;
        Ok(replaced.map(|it| TransactionReplacement::new(it.id, it.confidence)))
    }

    /// The transaction that seems to be written in the place of this one, which may have been replaced since; null unless this one is gone.
    async fn replaced_by(&self) -> Option<TransactionReplacement> {
        let replaced = self.0.former?.replaced;
        Some(TransactionReplacement::new(
            replaced.by,
            replaced.confidence,
        ))
    }

    /// When the institution deleted it. Null in every list: a transaction that is gone is found only by its id, and only while what it was replaced by is there.
    async fn deleted_at(&self) -> Option<DateTime> {
        self.0.former.map(|former| DateTime(former.deleted_at))
    }

    /// When the institution last confirmed the transactions of its Item; null when it never has.
    async fn as_of(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        let freshness = loader::freshness(ctx, self.0.item_id, Product::Transactions).await?;
        Ok(freshness.as_of.map(DateTime))
    }

    /// Whether that may be out of date: the last run has not updated them, or it is older than two intervals of automatic runs; than 48 hours where there are none.
    async fn stale(&self, ctx: &Context<'_>) -> Result<bool> {
        let freshness = loader::freshness(ctx, self.0.item_id, Product::Transactions).await?;
        Ok(freshness.stale)
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

/// What a transaction was replaced by, or has replaced.
#[derive(SimpleObject)]
pub struct TransactionReplacement {
    /// The other transaction.
    transaction_id: Id,
    /// How sure it is that both are the same movement: from 0 to 1, in hundredths.
    confidence: Decimal,
}

impl TransactionReplacement {
    fn new(transaction: Uuid, hundredths: i32) -> Self {
        Self {
            transaction_id: Id::Row(transaction),
            confidence: Decimal(Amount::from_cents(hundredths.into())),
        }
    }
}

impl Plain for Transaction {
    fn write(&self, app: &App, field: &Field, json: &mut Json) -> Option<()> {
        let row = &self.0;
        let details = || row.details().ok();
        let told = || Some(&row.particulars().ok()?.details);
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
            "operationType" => json.maybe(told()?.operation_type.as_deref(), Json::text),
            "operationTypeAdditionalInfo" => {
                let info = told()?.operation_type_additional_info.as_deref();
                json.maybe(info, Json::text)
            }
            "order" => json.maybe(told()?.order, Json::number),
            "deletedAt" => json.maybe(row.former.map(|former| former.deleted_at), Json::word),
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
        depth: depth(ctx),
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
    "replaces",
    "replacedBy",
    "deletedAt",
    "asOf",
    "stale",
];

/// What only whole rows tell.
const WHOLE: &[&str] = &[
    "operationType",
    "operationTypeAdditionalInfo",
    "order",
    "paymentData",
    "creditCardMetadata",
    "merchant",
];

/// How much is asked for of the rows of a page.
fn depth(ctx: &Context<'_>) -> Depth {
    let page = ctx.look_ahead();
    let rows = [page.field("nodes"), page.field("edges").field("node")];
    let rows = rows.iter().flat_map(Lookahead::selection_fields);
    let deepest = |rows: SelectionField<'_>| {
        let fields = rows.selection_set();
        fields.map(|field| depth_of(field.name())).max()
    };
    rows.filter_map(deepest).max().unwrap_or(Depth::Brief)
}

fn depth_of(field: &str) -> Depth {
    if BRIEF.contains(&field) {
        Depth::Brief
    } else if WHOLE.contains(&field) {
        Depth::Whole
    } else {
        Depth::Detailed
    }
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
