//! Accounts and cards.

use async_graphql::{Context, Enum, Object, Result};
use entity::account;
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{
        ContextExt as _, loader,
        page::{self, Arguments, List, Pointed, connection},
        scalar::{Date, DateTime, Decimal, Id},
    },
    item::Item,
    transaction::{self, TransactionConnection, TransactionFilter},
};
use crate::{db::page::Row as _, error::Error, money::Amount, product::list::Parent};

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
        Ok(Item(item.ok_or(Error::NotFound { what: "item" })?))
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
        Ok(self.0.bank_data.as_ref().map(BankData))
    }

    /// What only CREDIT accounts have; null for others, and when the institution tells nothing of it.
    async fn credit_data(&self, ctx: &Context<'_>) -> Result<Option<CreditData<'_>>> {
        private(ctx)?;
        Ok(self.0.credit_data.as_ref().map(CreditData))
    }

    /// Its movements, newest first. At most 500 a page, 50 unless told.
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
    ) -> Result<TransactionConnection> {
        private(ctx)?;
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        transaction::list(ctx, Parent::Account, self.0.id, arguments, filter).await
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

fn amount(units: Option<i64>, nanos: Option<i32>) -> Option<Decimal> {
    Amount::from_parts(units?, nanos?).ok().map(Decimal)
}

impl From<account::Model> for Account {
    fn from(row: account::Model) -> Self {
        Self(row)
    }
}

impl Pointed for Account {
    fn pointer(&self) -> String {
        page::cursor(List::Accounts, self.0.key())
    }
}

/// Counts the accounts of an Item.
pub struct AccountCount {
    item: Uuid,
    kind: Option<AccountType>,
}

impl AccountCount {
    async fn count(&self, ctx: &Context<'_>) -> crate::error::Result<i64> {
        loader::count_accounts(ctx, self.item, self.kind.map(Into::into)).await
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
    kind: Option<AccountType>,
) -> Result<AccountConnection> {
    let slice = arguments.slice(List::Accounts, crate::graphql::MOST_ROWS)?;
    let page = loader::accounts_of(ctx, item, kind.map(Into::into), slice).await?;
    Ok(AccountConnection::new(page, AccountCount { item, kind }))
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
    /// A kind that the institution names differently.
    Unknown,
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

fn decimal(object: &Value, name: &str) -> Option<Decimal> {
    match object.get(name)? {
        Value::String(text) => text.parse().ok().map(Decimal),
        Value::Number(number) => number.to_string().parse().ok().map(Decimal),
        _ => None,
    }
}

fn flag(object: &Value, name: &str) -> Option<bool> {
    object.get(name).and_then(Value::as_bool)
}

fn day(object: &Value, name: &str) -> Option<Date> {
    text(object, name)?.get(..10)?.parse().ok().map(Date)
}

fn list_of<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let rows = object.get(name).and_then(Value::as_array);
    rows.into_iter().flatten()
}

/// What only BANK accounts have. What the institution does not tell is null.
pub struct BankData<'a>(&'a Value);

/// What only BANK accounts have, in the account's currency. What the institution does not tell is null.
#[Object]
impl BankData<'_> {
    /// What to give as the target of a transfer: bank, branch and number.
    async fn transfer_number(&self) -> Option<&str> {
        text(self.0, "transferNumber")
    }

    /// The balance with what is not settled yet.
    async fn closing_balance(&self) -> Option<Decimal> {
        decimal(self.0, "closingBalance")
    }

    /// What the institution invests by itself.
    async fn automatically_invested_balance(&self) -> Option<Decimal> {
        decimal(self.0, "automaticallyInvestedBalance")
    }

    /// How far the account may be overdrawn.
    async fn overdraft_contracted_limit(&self) -> Option<Decimal> {
        decimal(self.0, "overdraftContractedLimit")
    }

    /// How far it is.
    async fn overdraft_used_limit(&self) -> Option<Decimal> {
        decimal(self.0, "overdraftUsedLimit")
    }

    /// How far it is overdrawn beyond the limit.
    async fn unarranged_overdraft_amount(&self) -> Option<Decimal> {
        decimal(self.0, "unarrangedOverdraftAmount")
    }

    /// Whether some of the balance is reserved.
    async fn has_reserved_balance(&self) -> Option<bool> {
        flag(self.0, "hasReservedBalance")
    }

    /// Parts of the balance that are set aside or held back.
    async fn reserved_balances(&self) -> Vec<ReservedBalance<'_>> {
        list_of(self.0, "reservedBalances")
            .map(ReservedBalance)
            .collect()
    }
}

/// Part of a balance that is set aside or held back.
pub struct ReservedBalance<'a>(&'a Value);

/// Part of a balance that is set aside (a savings pot) or held back (by a court). What the institution does not tell is null.
#[Object]
impl ReservedBalance<'_> {
    /// What the holder calls it.
    async fn name(&self) -> Option<&str> {
        text(self.0, "name")
    }

    /// What the institution knows it by.
    async fn identification(&self) -> Option<&str> {
        text(self.0, "identification")
    }

    /// The amounts in it.
    async fn available_amounts(&self) -> Vec<ReservedAmount<'_>> {
        list_of(self.0, "availableAmounts")
            .map(ReservedAmount)
            .collect()
    }
}

/// An amount that is set aside.
pub struct ReservedAmount<'a>(&'a Value);

/// An amount that is set aside. What the institution does not tell is null.
#[Object]
impl ReservedAmount<'_> {
    /// How much.
    async fn amount(&self) -> Option<Decimal> {
        decimal(self.0, "amount")
    }

    /// ISO 4217 code.
    async fn currency_code(&self) -> Option<&str> {
        text(self.0, "currencyCode")
    }

    /// What it earns; null when it earns nothing.
    async fn remuneration(&self) -> Option<Remuneration<'_>> {
        let remuneration = self.0.get("remuneration");
        remuneration
            .filter(|value| value.is_object())
            .map(Remuneration)
    }
}

/// What an amount earns.
pub struct Remuneration<'a>(&'a Value);

/// What an amount earns. What the institution does not tell is null; words are the institution's.
#[Object]
impl Remuneration<'_> {
    /// A fixed rate, as a fraction: 0.05 is 5 %.
    async fn pre_fixed_rate(&self) -> Option<Decimal> {
        decimal(self.0, "preFixedRate")
    }

    /// Share of an index, as a fraction: 1.1 is 110 %.
    async fn post_fixed_indexer_percentage(&self) -> Option<Decimal> {
        decimal(self.0, "postFixedIndexerPercentage")
    }

    /// `LINEAR` or `EXPONENCIAL`.
    async fn rate_type(&self) -> Option<&str> {
        text(self.0, "rateType")
    }

    /// The index, such as `CDI`, `IPCA` or `SELIC`.
    async fn indexer(&self) -> Option<&str> {
        text(self.0, "indexer")
    }

    /// Which days count: `DIAS_UTEIS` or `DIAS_CORRIDOS`.
    async fn calculation(&self) -> Option<&str> {
        text(self.0, "calculation")
    }

    /// What the rate refers to: `MENSAL`, `ANUAL`, `DIARIO` or `SEMESTRAL`.
    async fn rate_periodicity(&self) -> Option<&str> {
        text(self.0, "ratePeriodicity")
    }

    /// More about the index.
    async fn indexer_additional_info(&self) -> Option<&str> {
        text(self.0, "indexerAdditionalInfo")
    }
}

/// What only CREDIT accounts have.
pub struct CreditData<'a>(&'a Value);

/// What only CREDIT accounts have, in the account's currency. What the institution does not tell is null.
#[Object]
impl CreditData<'_> {
    /// Tier of the card, such as `GOLD`.
    async fn level(&self) -> Option<&str> {
        text(self.0, "level")
    }

    /// Network of the card, such as `VISA` or `MASTERCARD`.
    async fn brand(&self) -> Option<&str> {
        text(self.0, "brand")
    }

    /// More about the network.
    async fn brand_additional_info(&self) -> Option<&str> {
        text(self.0, "brandAdditionalInfo")
    }

    /// Day on which the present bill closes.
    async fn balance_close_date(&self) -> Option<Date> {
        day(self.0, "balanceCloseDate")
    }

    /// Day on which the present bill is due.
    async fn balance_due_date(&self) -> Option<Date> {
        day(self.0, "balanceDueDate")
    }

    /// What is left of the limit.
    async fn available_credit_limit(&self) -> Option<Decimal> {
        decimal(self.0, "availableCreditLimit")
    }

    /// The limit.
    async fn credit_limit(&self) -> Option<Decimal> {
        decimal(self.0, "creditLimit")
    }

    /// Whether the limit can be exceeded.
    async fn is_limit_flexible(&self) -> Option<bool> {
        flag(self.0, "isLimitFlexible")
    }

    /// The least to pay of the present bill.
    async fn minimum_payment(&self) -> Option<Decimal> {
        decimal(self.0, "minimumPayment")
    }

    /// What is owed in US dollars.
    async fn balance_foreign_currency(&self) -> Option<Decimal> {
        decimal(self.0, "balanceForeignCurrency")
    }

    /// Whether the card can be used.
    async fn status(&self) -> Option<CreditCardStatus> {
        Some(match text(self.0, "status")? {
            "ACTIVE" => CreditCardStatus::Active,
            "BLOCKED" => CreditCardStatus::Blocked,
            "CANCELLED" => CreditCardStatus::Cancelled,
            _ => CreditCardStatus::Unknown,
        })
    }

    /// Whose card it is.
    async fn holder_type(&self) -> Option<CreditCardHolderType> {
        Some(match text(self.0, "holderType")? {
            "MAIN" => CreditCardHolderType::Main,
            "ADDITIONAL" => CreditCardHolderType::Additional,
            _ => CreditCardHolderType::Unknown,
        })
    }

    /// Further cards of the same account.
    async fn additional_cards(&self) -> Vec<AdditionalCard<'_>> {
        list_of(self.0, "additionalCards")
            .map(AdditionalCard)
            .collect()
    }

    /// The limit by credit line.
    async fn disaggregated_credit_limits(&self) -> Vec<CreditLimit<'_>> {
        list_of(self.0, "disaggregatedCreditLimits")
            .map(CreditLimit)
            .collect()
    }
}

/// Whether a card can be used.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditCardStatus {
    /// It can.
    Active,
    /// Not at present.
    Blocked,
    /// Never again.
    Cancelled,
    /// A status that the institution names differently.
    Unknown,
}

/// Whose card it is.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CreditCardHolderType {
    /// The account holder's.
    Main,
    /// Somebody's with the holder's permission.
    Additional,
    /// A kind that the institution names differently.
    Unknown,
}

/// A further card.
pub struct AdditionalCard<'a>(&'a Value);

/// A further card of a credit account.
#[Object]
impl AdditionalCard<'_> {
    /// Its last digits; null when the institution does not tell.
    async fn number(&self) -> Option<&str> {
        text(self.0, "number")
    }
}

/// The limit of one credit line.
pub struct CreditLimit<'a>(&'a Value);

/// The limit of one credit line. What the institution does not tell is null; words are the institution's.
#[Object]
impl CreditLimit<'_> {
    /// `LIMITE_CREDITO_TOTAL` for the whole account, `LIMITE_CREDITO_MODALIDADE_OPERACAO` for one line.
    async fn credit_line_limit_type(&self) -> Option<&str> {
        text(self.0, "creditLineLimitType")
    }

    /// Whether it is shared between cards.
    async fn consolidation_type(&self) -> Option<&str> {
        text(self.0, "consolidationType")
    }

    /// Number of the card or account it is for.
    async fn identification_number(&self) -> Option<&str> {
        text(self.0, "identificationNumber")
    }

    /// Whether it can be exceeded.
    async fn is_limit_flexible(&self) -> Option<bool> {
        flag(self.0, "isLimitFlexible")
    }

    /// How much of it is used.
    async fn used_amount(&self) -> Option<Decimal> {
        decimal(self.0, "usedAmount")
    }

    /// ISO 4217 code of `usedAmount`.
    async fn used_amount_currency_code(&self) -> Option<&str> {
        text(self.0, "usedAmountCurrencyCode")
    }

    /// Name of the line, such as `CREDITO_A_VISTA`.
    async fn line_name(&self) -> Option<&str> {
        text(self.0, "lineName")
    }

    /// More about the line.
    async fn line_name_additional_info(&self) -> Option<&str> {
        text(self.0, "lineNameAdditionalInfo")
    }

    /// The limit.
    async fn limit_amount(&self) -> Option<Decimal> {
        decimal(self.0, "limitAmount")
    }

    /// ISO 4217 code of `limitAmount`.
    async fn limit_amount_currency_code(&self) -> Option<&str> {
        text(self.0, "limitAmountCurrencyCode")
    }

    /// Why it is what it is.
    async fn limit_amount_reason(&self) -> Option<&str> {
        text(self.0, "limitAmountReason")
    }

    /// The limit that the holder has set.
    async fn customized_limit_amount(&self) -> Option<Decimal> {
        decimal(self.0, "customizedLimitAmount")
    }

    /// ISO 4217 code of `customizedLimitAmount`.
    async fn customized_limit_amount_currency_code(&self) -> Option<&str> {
        text(self.0, "customizedLimitAmountCurrencyCode")
    }

    /// What is left of it.
    async fn available_amount(&self) -> Option<Decimal> {
        decimal(self.0, "availableAmount")
    }

    /// ISO 4217 code of `availableAmount`.
    async fn available_amount_currency_code(&self) -> Option<&str> {
        text(self.0, "availableAmountCurrencyCode")
    }
}
