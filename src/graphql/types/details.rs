//! What only bank accounts, or only cards, have: read from what the connector said, field by field.

use super::{
    super::scalar::{Date, Decimal},
    document::{document, words},
};

document!(
    /// What only BANK accounts have, in the account's currency. What the institution does not tell is null.
    BankData {
        /// What to give as the target of a transfer: bank, branch and number.
        transfer_number: Option<&str> = text("transferNumber"),
        /// The balance with what is not settled yet.
        closing_balance: Option<Decimal> = decimal("closingBalance"),
        /// What the institution invests by itself.
        automatically_invested_balance: Option<Decimal> = decimal("automaticallyInvestedBalance"),
        /// How far the account may be overdrawn.
        overdraft_contracted_limit: Option<Decimal> = decimal("overdraftContractedLimit"),
        /// How far it is.
        overdraft_used_limit: Option<Decimal> = decimal("overdraftUsedLimit"),
        /// How far it is overdrawn beyond the limit.
        unarranged_overdraft_amount: Option<Decimal> = decimal("unarrangedOverdraftAmount"),
        /// Whether some of the balance is reserved.
        has_reserved_balance: Option<bool> = flag("hasReservedBalance"),
        /// Parts of the balance that are set aside or held back.
        reserved_balances: Vec<ReservedBalance<'_>> = list("reservedBalances"),
    }
);

document!(
    /// Part of a balance that is set aside (a savings pot) or held back (by a court). What the institution does not tell is null.
    ReservedBalance {
        /// What the holder calls it.
        name: Option<&str> = text("name"),
        /// What the institution knows it by.
        identification: Option<&str> = text("identification"),
        /// The amounts in it.
        available_amounts: Vec<ReservedAmount<'_>> = list("availableAmounts"),
    }
);

document!(
    /// An amount that is set aside. What the institution does not tell is null.
    ReservedAmount {
        /// How much.
        amount: Option<Decimal> = decimal("amount"),
        /// ISO 4217 code.
        currency_code: Option<&str> = text("currencyCode"),
        /// What it earns; null when it earns nothing.
        remuneration: Option<Remuneration<'_>> = object("remuneration"),
    }
);

document!(
    /// What an amount earns. What the institution does not tell is null.
    Remuneration {
        /// A fixed rate, as a fraction: 0.05 is 5 %.
        pre_fixed_rate: Option<Decimal> = decimal("preFixedRate"),
        /// Share of an index, as a fraction: 1.1 is 110 %.
        post_fixed_indexer_percentage: Option<Decimal> = decimal("postFixedIndexerPercentage"),
        /// How interest grows.
        rate_type: Option<RemunerationRateType> = word("rateType"),
        /// `rateType` in the institution's word.
        rate_type_raw: Option<&str> = text("rateType"),
        /// The index, such as `CDI`, `IPCA` or `SELIC`.
        indexer: Option<&str> = text("indexer"),
        /// Which days count.
        calculation: Option<RemunerationCalculation> = word("calculation"),
        /// `calculation` in the institution's word.
        calculation_raw: Option<&str> = text("calculation"),
        /// What the rate refers to.
        rate_periodicity: Option<RemunerationRatePeriodicity> = word("ratePeriodicity"),
        /// `ratePeriodicity` in the institution's word.
        rate_periodicity_raw: Option<&str> = text("ratePeriodicity"),
        /// More about the index.
        indexer_additional_info: Option<&str> = text("indexerAdditionalInfo"),
    }
);

words!(
    /// How interest on a reserved amount grows.
    RemunerationRateType {
        /// By the same amount each time.
        Linear,
        /// By the same rate each time, on what was earned before, too.
        Exponential = "EXPONENCIAL",
    }
);

words!(
    /// Which days count for what a reserved amount earns.
    RemunerationCalculation {
        /// Those on which banks work.
        BusinessDays = "DIAS_UTEIS",
        /// All.
        CalendarDays = "DIAS_CORRIDOS",
    }
);

words!(
    /// What the rate of a reserved amount refers to.
    RemunerationRatePeriodicity {
        /// A day.
        Daily = "DIARIO",
        /// A month.
        Monthly = "MENSAL",
        /// Half a year.
        Semesterly = "SEMESTRAL",
        /// A year.
        Yearly = "ANUAL",
    }
);

document!(
    /// What only CREDIT accounts have, in the account's currency. What the institution does not tell is null.
    CreditData {
        /// Tier of the card, such as `GOLD`.
        level: Option<&str> = text("level"),
        /// Network of the card, such as `VISA` or `MASTERCARD`.
        brand: Option<&str> = text("brand"),
        /// More about the network.
        brand_additional_info: Option<&str> = text("brandAdditionalInfo"),
        /// Day on which the present bill closes.
        balance_close_date: Option<Date> = day("balanceCloseDate"),
        /// Day on which the present bill is due.
        balance_due_date: Option<Date> = day("balanceDueDate"),
        /// What is left of the limit.
        available_credit_limit: Option<Decimal> = decimal("availableCreditLimit"),
        /// The limit.
        credit_limit: Option<Decimal> = decimal("creditLimit"),
        /// Whether the limit can be exceeded.
        is_limit_flexible: Option<bool> = flag("isLimitFlexible"),
        /// The least to pay of the present bill.
        minimum_payment: Option<Decimal> = decimal("minimumPayment"),
        /// What is owed in US dollars.
        balance_foreign_currency: Option<Decimal> = decimal("balanceForeignCurrency"),
        /// Whether the card can be used.
        status: Option<CreditCardStatus> = word("status"),
        /// `status` in the institution's word.
        status_raw: Option<&str> = text("status"),
        /// Whose card it is.
        holder_type: Option<CreditCardHolderType> = word("holderType"),
        /// `holderType` in the institution's word.
        holder_type_raw: Option<&str> = text("holderType"),
        /// Further cards of the same account.
        additional_cards: Vec<AdditionalCard<'_>> = list("additionalCards"),
        /// The limit by credit line.
        disaggregated_credit_limits: Vec<CreditLimit<'_>> = list("disaggregatedCreditLimits"),
    }
);

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

document!(
    /// A further card of a credit account.
    AdditionalCard {
        /// Its last digits; null when the institution does not tell.
        number: Option<&str> = text("number"),
    }
);

document!(
    /// The limit of one credit line. What the institution does not tell is null.
    CreditLimit {
        /// Whether it is for the whole account or for one line.
        credit_line_limit_type: Option<CreditLineLimitType> = word("creditLineLimitType"),
        /// `creditLineLimitType` in the institution's word.
        credit_line_limit_type_raw: Option<&str> = text("creditLineLimitType"),
        /// Whether it is shared between cards.
        consolidation_type: Option<CreditLimitConsolidationType> = word("consolidationType"),
        /// `consolidationType` in the institution's word.
        consolidation_type_raw: Option<&str> = text("consolidationType"),
        /// Number of the card or account it is for.
        identification_number: Option<&str> = text("identificationNumber"),
        /// Whether it can be exceeded.
        is_limit_flexible: Option<bool> = flag("isLimitFlexible"),
        /// How much of it is used.
        used_amount: Option<Decimal> = decimal("usedAmount"),
        /// ISO 4217 code of `usedAmount`.
        used_amount_currency_code: Option<&str> = text("usedAmountCurrencyCode"),
        /// What the line is for; null where the limit is for all.
        line_name: Option<CreditLineName> = word("lineName"),
        /// `lineName` in the institution's word.
        line_name_raw: Option<&str> = text("lineName"),
        /// More about the line.
        line_name_additional_info: Option<&str> = text("lineNameAdditionalInfo"),
        /// The limit.
        limit_amount: Option<Decimal> = decimal("limitAmount"),
        /// ISO 4217 code of `limitAmount`.
        limit_amount_currency_code: Option<&str> = text("limitAmountCurrencyCode"),
        /// Why it is what it is.
        limit_amount_reason: Option<&str> = text("limitAmountReason"),
        /// The limit that the holder has set.
        customized_limit_amount: Option<Decimal> = decimal("customizedLimitAmount"),
        /// ISO 4217 code of `customizedLimitAmount`.
        customized_limit_amount_currency_code: Option<&str> = text("customizedLimitAmountCurrencyCode"),
        /// What is left of it.
        available_amount: Option<Decimal> = decimal("availableAmount"),
        /// ISO 4217 code of `availableAmount`.
        available_amount_currency_code: Option<&str> = text("availableAmountCurrencyCode"),
    }
);

words!(
    /// What a limit of a credit account is for.
    CreditLineLimitType {
        /// The whole account.
        Total = "LIMITE_CREDITO_TOTAL",
        /// One line of it: see `lineName`.
        OperationModality = "LIMITE_CREDITO_MODALIDADE_OPERACAO",
    }
);

words!(
    /// Whether cards of an account share a limit.
    CreditLimitConsolidationType {
        /// They do.
        Consolidated = "CONSOLIDADO",
        /// It is of one card.
        Individual,
    }
);

words!(
    /// What a credit line is for.
    CreditLineName {
        /// Purchases that are paid at once.
        LumpSumPurchase = "CREDITO_A_VISTA",
        /// Purchases that are paid in instalments.
        InstallmentPurchase = "CREDITO_PARCELADO",
        /// Cash in Brazil.
        CashWithdrawalBrazil = "SAQUE_CREDITO_BRASIL",
        /// Cash abroad.
        CashWithdrawalAbroad = "SAQUE_CREDITO_EXTERIOR",
        /// Loans by a card that is paid from the wage.
        PayrollCardLoan = "EMPRESTIMO_CARTAO_CONSIGNADO",
        /// Something else: see `lineNameAdditionalInfo`.
        Other = "OUTROS",
    }
);
