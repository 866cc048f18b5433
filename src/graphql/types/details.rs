//! What only bank accounts, or only cards, have: read from what the connector said, field by field.

use async_graphql::Object;
use serde_json::Value;

use super::{
    super::scalar::{Date, Decimal},
    document::{day, decimal, flag, list_of, text, word, words},
};

/// What only BANK accounts have. What the institution does not tell is null.
pub struct BankData<'a>(pub &'a Value);

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
pub struct CreditData<'a>(pub &'a Value);

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
        word(self.0, "status")
    }

    /// `status` in the institution's word.
    async fn status_raw(&self) -> Option<&str> {
        text(self.0, "status")
    }

    /// Whose card it is.
    async fn holder_type(&self) -> Option<CreditCardHolderType> {
        word(self.0, "holderType")
    }

    /// `holderType` in the institution's word.
    async fn holder_type_raw(&self) -> Option<&str> {
        text(self.0, "holderType")
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

words!(
    /// Whether a card can be used.
    CreditCardStatus {
        /// It can.
        Active,
        /// Not at present.
        Blocked,
        /// Never again.
        Cancelled,
    }
);

words!(
    /// Whose card it is.
    CreditCardHolderType {
        /// The account holder's.
        Main,
        /// Somebody's with the holder's permission.
        Additional,
    }
);

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
