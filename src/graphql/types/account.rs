//! Accounts and cards.

use async_graphql::{Context, Enum, Object, Result};
use entity::account;
use uuid::Uuid;

use super::{
    super::{
        ContextExt as _, loader,
        page::{self, Arguments, List, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Decimal, Id},
    },
    bill::{self, BillConnection},
    details::{BankData, CreditData},
    item::Item,
    statement::{self, StatementConnection},
    summary::{self, CategoryLevel, TransactionGrouping, TransactionSummary},
    transaction::{self, TransactionConnection, TransactionFilter},
    transaction_order::TransactionOrder,
};
use crate::{
    db::row::Row as _,
    error::Error,
    item::freshness::Freshness,
    money::Amount,
    product::{
        account as accounts,
        list::{AccountFilter, Parent},
    },
};

/// A bank account or a credit card.
#[derive(Clone)]
pub struct Account(pub account::Model);

fn private(ctx: &Context<'_>) -> Result<()> {
    Ok(ctx.principal()?.require_api_key(
        "read more of an account than id, type, subtype, number, name, balance and currencyCode",
    )?)
}

/// A bank account or a credit card. A connect token may read `id`, `type`, `subtype`, `number`, `name`, `balance` and `currencyCode`; everything else is FORBIDDEN to it.
#[Object]
impl Account {
    /// Identity.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// The Item it was collected through.
    async fn item(&self, ctx: &Context<'_>) -> Result<Item> {
        private(ctx)?;
        let item = loader::item(ctx, self.0.item_id).await?;
        Ok(Item::from(item.ok_or(Error::NotFound { what: "item" })?))
    }

    /// Family: BANK accounts hold money, CREDIT accounts owe it.
    #[graphql(name = "type")]
    async fn kind(&self) -> AccountType {
        self.0.kind.into()
    }

    /// Kind within the family.
    async fn subtype(&self) -> AccountSubtype {
        self.0.subtype.into()
    }

    /// Kind in the institution's words, such as `CONTA_DEPOSITO_A_VISTA`; null when it names none.
    async fn subtype_raw(&self, ctx: &Context<'_>) -> Result<Option<&str>> {
        private(ctx)?;
        Ok(self.0.subtype_raw.as_deref())
    }

    /// As people know it: `branch/number`, or the last digits of a card.
    async fn number(&self) -> &str {
        &self.0.number
    }

    /// Generic name.
    async fn name(&self) -> &str {
        &self.0.name
    }

    /// The institution's commercial name; null when it gives none.
    async fn marketing_name(&self, ctx: &Context<'_>) -> Result<Option<&str>> {
        private(ctx)?;
        Ok(self.0.marketing_name.as_deref())
    }

    /// BANK: available funds. CREDIT: what is owed, positive. Null when the institution gives none.
    async fn balance(&self) -> Option<Decimal> {
        amount(self.0.balance_units, self.0.balance_nanos)
    }

    /// ISO 4217 code; `XXX` when the institution names none.
    async fn currency_code(&self) -> &str {
        &self.0.currency_code
    }

    /// Name of the holder; null when the institution gives none.
    async fn owner(&self, ctx: &Context<'_>) -> Result<Option<&str>> {
        private(ctx)?;
        Ok(self.0.owner.as_deref())
    }

    /// Tax number of the holder; null when the institution gives none.
    async fn tax_number(&self, ctx: &Context<'_>) -> Result<Option<&str>> {
        private(ctx)?;
        Ok(self.0.tax_number.as_deref())
    }

    /// What only BANK accounts have; null for others, and when the institution tells nothing of it.
    async fn bank_data(&self, ctx: &Context<'_>) -> Result<Option<BankData<'_>>> {
        private(ctx)?;
        Ok(self.0.bank_data.as_ref().map(BankData::from))
    }

    /// What only CREDIT accounts have; null for others, and when the institution tells nothing of it.
    async fn credit_data(&self, ctx: &Context<'_>) -> Result<Option<CreditData<'_>>> {
        private(ctx)?;
        Ok(self.0.credit_data.as_ref().map(CreditData::from))
    }

    /// Its movements, newest first unless told. At most 500 a page, 50 unless told.
    #[expect(clippy::too_many_arguments, reason = "as the public schema has them")]
    async fn transactions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only these transactions.")] filter: Option<TransactionFilter>,
        #[graphql(desc = "In which order. DATE_DESC when left out.")] order_by: Option<
            TransactionOrder,
        >,
    ) -> Result<TransactionConnection> {
        private(ctx)?;
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        transaction::list(ctx, Parent::Account, self.0.id, arguments, filter, order_by).await
    }

    /// What its transactions come to, for each currency.
    async fn transaction_summary(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only these transactions.")] filter: Option<TransactionFilter>,
        #[graphql(desc = "What to sum by: one to three different things.")] group_by: Vec<
            TransactionGrouping,
        >,
        #[graphql(
            desc = "Whether CATEGORY sums each category by itself or with all that belongs to its root. LEAF when left out."
        )]
        category_level: Option<CategoryLevel>,
    ) -> Result<TransactionSummary> {
        private(ctx)?;
        summary::of(
            ctx,
            Parent::Account,
            self.0.id,
            filter,
            group_by,
            category_level,
        )
        .await
    }

    /// Bills of a card, the last due first; none for BANK accounts. At most 200 a page, 50 unless told.
    async fn bills(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> Result<BillConnection> {
        private(ctx)?;
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        bill::list(ctx, self.0.id, arguments).await
    }

    /// Statements that the institution has issued for it, the latest month first; none unless ACCOUNT_STATEMENTS is collected. At most 200 a page, 50 unless told.
    async fn statements(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> Result<StatementConnection> {
        private(ctx)?;
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        statement::list(ctx, self.0.id, arguments).await
    }

    /// When the institution ceased to show it; null while it does. A closed account stays, with its id and its transactions, and is opened again when the institution shows it again.
    async fn closed_at(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        private(ctx)?;
        Ok(self.0.closed_at.map(DateTime))
    }

    /// When the institution last confirmed what it shows of its accounts (ACCOUNTS), or of its cards (CREDIT_CARDS); null when it never has.
    async fn as_of(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        Ok(self.freshness(ctx).await?.as_of.map(DateTime))
    }

    /// Whether that may be out of date: the last run was to update it and has not, or it is older than two intervals of automatic runs, than 48 hours where there are none; what a regulated institution may be asked only now and then has that time more.
    async fn stale(&self, ctx: &Context<'_>) -> Result<bool> {
        Ok(self.freshness(ctx).await?.stale)
    }

    /// When it was first seen.
    async fn created_at(&self, ctx: &Context<'_>) -> Result<DateTime> {
        private(ctx)?;
        Ok(DateTime(self.0.created_at))
    }

    /// When it last changed.
    async fn updated_at(&self, ctx: &Context<'_>) -> Result<DateTime> {
        private(ctx)?;
        Ok(DateTime(self.0.updated_at))
    }
}

impl Account {
    async fn freshness(&self, ctx: &Context<'_>) -> Result<Freshness> {
        private(ctx)?;
        let product = accounts::product(self.0.kind);
        Ok(loader::freshness(ctx, self.0.item_id, product).await?)
    }
}

fn amount(units: Option<i64>, nanos: Option<i32>) -> Option<Decimal> {
    Amount::from_parts(units?, nanos?).ok().map(Decimal)
}

impl From<account::Model> for Account {
    fn from(row: account::Model) -> Self {
        Self(row)
    }
}

impl Plain for Account {}

impl Pointed for Account {
    fn pointer(&self) -> String {
        page::cursor(List::Accounts, self.0.key())
    }
}

/// Counts the accounts of an Item.
pub struct AccountCount {
    item: Uuid,
    filter: AccountFilter,
}

impl AccountCount {
    async fn count(&self, ctx: &Context<'_>) -> crate::error::Result<i64> {
        loader::count_accounts(ctx, self.item, self.filter).await
    }
}

connection!(
    /// A page of accounts, oldest first.
    AccountConnection,
    /// An account in a list.
    AccountEdge,
    Account,
    counted by AccountCount
);

/// A page of the accounts of an Item.
pub async fn list(
    ctx: &Context<'_>,
    item: Uuid,
    arguments: Arguments,
    filter: AccountFilter,
) -> Result<AccountConnection> {
    let slice = arguments.slice(List::Accounts, crate::graphql::MOST_ROWS)?;
    let page = loader::accounts_of(ctx, item, filter, slice).await?;
    Ok(AccountConnection::new(page, AccountCount { item, filter }))
}

/// Family of an account.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::AccountType")]
pub enum AccountType {
    /// Deposits: checking, savings, cash at a broker.
    Bank,
    /// Money owed: credit cards.
    Credit,
}

/// Kind of an account within its family.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::AccountSubtype")]
pub enum AccountSubtype {
    /// Checking account.
    CheckingAccount,
    /// Savings account.
    SavingsAccount,
    /// Credit card.
    CreditCard,
    /// A kind that the institution names differently: see `subtypeRaw`.
    Unknown,
}
