//! Loans.

use async_graphql::{Context, Enum, Result};
use entity::{kind, loan};
use uuid::Uuid;

use super::{
    super::{
        loader,
        page::{self, Arguments, List, Pointed, connection},
        rows::Plain,
        scalar::{Date, DateTime, Decimal, Id},
    },
    document::{document, text, words},
    item::Item,
};
use crate::{db::row::Row as _, error::Error};

document!(
    /// A loan, a financing, an advance on invoices or an unarranged overdraft. Money is in `currencyCode` unless it tells its own. What the institution does not tell is null or empty. FORBIDDEN to connect tokens.
    Loan of loan::Model {
        /// Number of the contract.
        contract_number: Option<&str> = text("contractNumber"),
        /// Its number in the central bank's register of credit (IPOC).
        ipoc_code: Option<&str> = text("ipocCode"),
        /// The regulated kind of product, such as `CREDITO_PESSOAL_SEM_CONSIGNACAO`.
        #[graphql(name = "type")]
        subtype: Option<&str> = text("type"),
        /// `kind` in the institution's word.
        kind_raw: Option<&str> = text("kind"),
        /// The day on which it was read.
        date: Option<Date> = day("date"),
        /// When it was agreed.
        contract_date: Option<Date> = day("contractDate"),
        /// When it was paid out, in one part or several.
        disbursement_dates: Vec<Date> = days("disbursementDates"),
        /// When it was paid back.
        settlement_date: Option<Date> = day("settlementDate"),
        /// When it is to be paid back.
        due_date: Option<Date> = day("dueDate"),
        /// When the first instalment is due.
        first_installment_due_date: Option<Date> = day("firstInstallmentDueDate"),
        /// What was lent.
        contract_amount: Option<Decimal> = decimal("contractAmount"),
        /// Total effective cost a year (CET), as a fraction: 0.29 is 29 %.
        cet: Option<Decimal> = decimal("cet"),
        /// How often an instalment is due.
        installment_periodicity: Option<InstallmentPeriodicity> = word("installmentPeriodicity"),
        /// `installmentPeriodicity` in the institution's word.
        installment_periodicity_raw: Option<&str> = text("installmentPeriodicity"),
        /// More about that.
        installment_periodicity_additional_info: Option<&str> = text("installmentPeriodicityAdditionalInfo"),
        /// How it is paid back.
        amortization_scheduled: Option<AmortizationSystem> = word("amortizationScheduled"),
        /// `amortizationScheduled` in the institution's word.
        amortization_scheduled_raw: Option<&str> = text("amortizationScheduled"),
        /// More about that.
        amortization_scheduled_additional_info: Option<&str> = text("amortizationScheduledAdditionalInfo"),
        /// Tax number (CNPJ) of who withholds the instalments from a wage or pension.
        cnpj_consignee: Option<&str> = text("cnpjConsignee"),
        /// What it costs over time.
        interest_rates: Vec<LoanInterestRate<'_>> = list("interestRates"),
        /// Fees that were agreed.
        contracted_fees: Vec<LoanFee<'_>> = list("contractedFees"),
        /// Charges for paying late that were agreed.
        contracted_finance_charges: Vec<LoanFinanceCharge<'_>> = list("contractedFinanceCharges"),
        /// What it is secured by.
        warranties: Vec<LoanWarranty<'_>> = list("warranties"),
        /// Its instalments.
        installments: Option<LoanInstallments<'_>> = object("installments"),
        /// What has been paid, and what is left to pay.
        payments: Option<LoanPayments<'_>> = object("payments"),
    } and {
        /// Identity. Stays the same for as long as the institution knows the loan, also when it vanishes and comes back.
        pub async fn id(&self) -> Id {
            Id::Row(self.0.id)
        }

        /// The Item it was collected through.
        async fn item(&self, ctx: &Context<'_>) -> Result<Item> {
            let item = loader::item(ctx, self.0.item_id).await?;
            Ok(Item::from(item.ok_or(Error::NotFound { what: "item" })?))
        }

        /// Family.
        async fn kind(&self) -> LoanKind {
            self.0.kind.into()
        }

        /// What the institution calls the product.
        async fn product_name(&self) -> &str {
            text(&self.0.details, "productName").unwrap_or_default()
        }

        /// ISO 4217 code.
        async fn currency_code(&self) -> &str {
            &self.0.currency_code
        }

        /// When the institution ceased to show it; null while it does. It comes back under the same id.
        async fn closed_at(&self) -> Option<DateTime> {
            self.0.closed_at.map(DateTime)
        }

        /// When it was first seen.
        async fn created_at(&self) -> DateTime {
            DateTime(self.0.created_at)
        }

        /// When the institution last confirmed the loans of its Item; null when it never has.
        async fn as_of(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
            let freshness = loader::freshness(ctx, self.0.item_id, kind::Product::Loans).await?;
            Ok(freshness.as_of.map(DateTime))
        }

        /// Whether that may be out of date: the last run was to update it and has not, or it is older than two intervals of automatic runs, than 48 hours where there are none; what a regulated institution may be asked only now and then has that time more.
        async fn stale(&self, ctx: &Context<'_>) -> Result<bool> {
            let freshness = loader::freshness(ctx, self.0.item_id, kind::Product::Loans).await?;
            Ok(freshness.stale)
        }

        /// When it last changed.
        async fn updated_at(&self) -> DateTime {
            DateTime(self.0.updated_at)
        }
    }
);

impl Plain for Loan {}

impl Pointed for Loan {
    fn pointer(&self) -> String {
        page::cursor(List::Loans, self.0.key())
    }
}

/// Counts the loans of an Item.
pub struct LoanCount {
    item: Uuid,
    kind: Option<LoanKind>,
}

impl LoanCount {
    async fn count(&self, ctx: &Context<'_>) -> crate::error::Result<i64> {
        loader::count_loans(ctx, self.item, self.kind.map(Into::into)).await
    }
}

connection!(
    /// A page of loans, oldest first.
    LoanConnection,
    /// A loan in a list.
    LoanEdge,
    Loan,
    counted by LoanCount
);

/// A page of the loans of an Item.
pub async fn list(
    ctx: &Context<'_>,
    item: Uuid,
    arguments: Arguments,
    kind: Option<LoanKind>,
) -> Result<LoanConnection> {
    let slice = arguments.slice(List::Loans, crate::graphql::MOST_ROWS)?;
    let page = loader::loans_of(ctx, item, kind.map(Into::into), slice).await?;
    Ok(LoanConnection::new(page, LoanCount { item, kind }))
}

/// Family of a loan.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "kind::LoanKind")]
pub enum LoanKind {
    /// Money for anything.
    Loan,
    /// Money for one thing, such as a home or a car.
    Financing,
    /// Money for what others owe the holder.
    InvoiceFinancing,
    /// An account that is overdrawn without agreement.
    UnarrangedAccountOverdraft,
    /// A family that the institution names differently: see `kindRaw`.
    Unknown,
}

words!(
    /// How often an instalment of a loan is due.
    InstallmentPeriodicity {
        /// At no regular times.
        WithoutRegularPeriodicity = "SEM_PERIODICIDADE_REGULAR",
        /// Every week.
        Weekly = "SEMANAL",
        /// Every two weeks.
        Fortnightly = "QUINZENAL",
        /// Every month.
        Monthly = "MENSAL",
        /// Every two months.
        Bimonthly = "BIMESTRAL",
        /// Every three months.
        Quarterly = "TRIMESTRAL",
        /// Every six months.
        Semesterly = "SEMESTRAL",
        /// Every year.
        Yearly = "ANUAL",
        /// At other times: see `installmentPeriodicityAdditionalInfo`.
        Others = "OUTROS",
    }
);

words!(
    /// How a loan is paid back.
    AmortizationSystem {
        /// In equal parts, with falling interest on what is left.
        Sac,
        /// In equal instalments.
        Price,
        /// In instalments between those of SAC and PRICE.
        Sam,
        /// By no system.
        WithoutAmortizationSystem,
        /// Differently: see `amortizationScheduledAdditionalInfo`.
        Others,
    }
);

document!(
    /// What a loan costs over time. What the institution does not tell is null.
    LoanInterestRate {
        /// Whether interest on interest is part of the rate.
        tax_type: Option<LoanTaxType> = word("taxType"),
        /// `taxType` in the institution's word.
        tax_type_raw: Option<&str> = text("taxType"),
        /// Whether interest earns interest.
        interest_rate_type: Option<LoanInterestRateType> = word("interestRateType"),
        /// `interestRateType` in the institution's word.
        interest_rate_type_raw: Option<&str> = text("interestRateType"),
        /// What the rate refers to.
        tax_periodicity: Option<LoanTaxPeriodicity> = word("taxPeriodicity"),
        /// `taxPeriodicity` in the institution's word.
        tax_periodicity_raw: Option<&str> = text("taxPeriodicity"),
        /// How days are counted, in the institution's words, such as `21/252` or `30/360`.
        calculation: Option<&str> = text("calculation"),
        /// Kind of index that it follows, in the institution's words, such as `POS_FIXADO`.
        referential_rate_indexer_type: Option<&str> = text("referentialRateIndexerType"),
        /// The index, in the institution's words, such as `CDI` or `IPCA`.
        referential_rate_indexer_sub_type: Option<&str> = text("referentialRateIndexerSubType"),
        /// More about the index.
        referential_rate_indexer_additional_info: Option<&str> = text("referentialRateIndexerAdditionalInfo"),
        /// The fixed part, as a fraction: 0.02 is 2 %.
        pre_fixed_rate: Option<Decimal> = decimal("preFixedRate"),
        /// The share of the index, as a fraction: 1 is 100 %.
        post_fixed_rate: Option<Decimal> = decimal("postFixedRate"),
        /// More about the rate.
        additional_info: Option<&str> = text("additionalInfo"),
    }
);

words!(
    /// Whether interest on interest is part of a rate.
    LoanTaxType {
        /// It comes on top.
        Nominal,
        /// It is.
        Effective = "EFETIVA",
    }
);

words!(
    /// Whether interest earns interest.
    LoanInterestRateType {
        /// It does not.
        Simple = "SIMPLES",
        /// It does.
        Compound = "COMPOSTO",
    }
);

words!(
    /// What a rate of a loan refers to.
    LoanTaxPeriodicity {
        /// A month.
        Monthly = "AM",
        /// A year.
        Yearly = "AA",
    }
);

document!(
    /// A fee that was agreed. What the institution does not tell is null.
    LoanFee {
        /// Name.
        name: Option<&str> = text("name"),
        /// The institution's code.
        code: Option<&str> = text("code"),
        /// When it is charged.
        charge_type: Option<LoanFeeChargeType> = word("chargeType"),
        /// `chargeType` in the institution's word.
        charge_type_raw: Option<&str> = text("chargeType"),
        /// How it is measured.
        charge: Option<LoanFeeCharge> = word("charge"),
        /// `charge` in the institution's word.
        charge_raw: Option<&str> = text("charge"),
        /// How much, unless it is a share.
        amount: Option<Decimal> = decimal("amount"),
        /// Which share, as a fraction, if it is one.
        rate: Option<Decimal> = decimal("rate"),
    }
);

words!(
    /// When a fee of a loan is charged.
    LoanFeeChargeType {
        /// Once.
        Unique,
        /// With each instalment.
        ByInstallment,
    }
);

words!(
    /// How a fee of a loan is measured.
    LoanFeeCharge {
        /// At least so much.
        Minimum,
        /// At most so much.
        Maximum,
        /// So much.
        Fixed,
        /// Such a share.
        Percentage,
    }
);

document!(
    /// A charge for paying late that was agreed. What the institution does not tell is null; words are the institution's.
    LoanFinanceCharge {
        /// Kind, such as `JUROS_MORA_ATRASO`.
        #[graphql(name = "type")]
        kind: Option<&str> = text("type"),
        /// More about it.
        additional_info: Option<&str> = text("additionalInfo"),
        /// How much, as a fraction: 0.02 is 2 %.
        rate: Option<Decimal> = decimal("rate"),
    }
);

document!(
    /// What a loan is secured by. What the institution does not tell is null; words are the institution's.
    LoanWarranty {
        /// Kind, such as `ALIENACAO_FIDUCIARIA`.
        #[graphql(name = "type")]
        kind: Option<&str> = text("type"),
        /// Kind within that, such as `IMOVEIS_RESIDENCIAIS`.
        subtype: Option<&str> = text("subtype"),
        /// What it is worth.
        amount: Option<Decimal> = decimal("amount"),
        /// ISO 4217 code of `amount`.
        currency_code: Option<&str> = text("currencyCode"),
    }
);

document!(
    /// The instalments of a loan. What the institution does not tell is null or empty.
    LoanInstallments {
        /// What `totalNumberOfInstallments` counts.
        type_number_of_installments: Option<LoanTerm> = word("typeNumberOfInstallments"),
        /// `typeNumberOfInstallments` in the institution's word.
        type_number_of_installments_raw: Option<&str> = text("typeNumberOfInstallments"),
        /// How many there are from beginning to end.
        total_number_of_installments: Option<i32> = integer("totalNumberOfInstallments"),
        /// What `contractRemainingNumber` counts.
        type_contract_remaining: Option<LoanTerm> = word("typeContractRemaining"),
        /// `typeContractRemaining` in the institution's word.
        type_contract_remaining_raw: Option<&str> = text("typeContractRemaining"),
        /// How long it still lasts.
        contract_remaining_number: Option<i32> = integer("contractRemainingNumber"),
        /// How many have been paid.
        paid_installments: Option<i32> = integer("paidInstallments"),
        /// How many are still to be paid.
        due_installments: Option<i32> = integer("dueInstallments"),
        /// How many are late.
        past_due_installments: Option<i32> = integer("pastDueInstallments"),
        /// Those that are not like the others.
        balloon_payments: Vec<LoanBalloonPayment<'_>> = list("balloonPayments"),
    }
);

words!(
    /// What the term of a loan is counted in.
    LoanTerm {
        /// Days.
        Day,
        /// Weeks.
        Week,
        /// Months.
        Month,
        /// Years.
        Year,
        /// It has no end.
        WithoutTotalPeriod,
        /// Nothing says how long it still lasts.
        WithoutRemainingPeriod,
    }
);

document!(
    /// An instalment that is not like the others. What the institution does not tell is null.
    LoanBalloonPayment {
        /// When it is due.
        due_date: Option<Date> = day("dueDate"),
        /// How much it is.
        amount: Option<LoanAmount<'_>> = object("amount"),
    }
);

document!(
    /// An amount with a currency of its own. What the institution does not tell is null.
    LoanAmount {
        /// How much.
        value: Option<Decimal> = decimal("value"),
        /// ISO 4217 code.
        currency_code: Option<&str> = text("currencyCode"),
    }
);

document!(
    /// What has been paid of a loan, and what is left to pay. What the institution does not tell is null or empty.
    LoanPayments {
        /// What is still owed.
        contract_outstanding_balance: Option<Decimal> = decimal("contractOutstandingBalance"),
        /// What has been paid.
        releases: Vec<LoanRelease<'_>> = list("releases"),
    }
);

document!(
    /// A payment of a loan. What the institution does not tell is null.
    LoanRelease {
        /// Whether it was paid beyond the instalments.
        is_over_parcel_payment: Option<bool> = flag("isOverParcelPayment"),
        /// The institution's id of the instalment.
        installment_id: Option<&str> = text("installmentId"),
        /// When it was paid.
        paid_date: Option<Date> = day("paidDate"),
        /// How much was paid.
        paid_amount: Option<Decimal> = decimal("paidAmount"),
        /// ISO 4217 code of `paidAmount`.
        currency_code: Option<&str> = text("currencyCode"),
        /// What was paid on top of the instalment.
        over_parcel: Option<LoanOverParcel<'_>> = object("overParcel"),
    }
);

document!(
    /// What was paid on top of an instalment. What the institution does not tell is empty.
    LoanOverParcel {
        /// Fees.
        fees: Vec<LoanOverParcelFee<'_>> = list("fees"),
        /// Charges for paying late.
        charges: Vec<LoanOverParcelCharge<'_>> = list("charges"),
    }
);

document!(
    /// A fee that was paid on top of an instalment. What the institution does not tell is null.
    LoanOverParcelFee {
        /// Name.
        name: Option<&str> = text("name"),
        /// The institution's code.
        code: Option<&str> = text("code"),
        /// How much.
        amount: Option<Decimal> = decimal("amount"),
    }
);

document!(
    /// A charge that was paid on top of an instalment. What the institution does not tell is null; words are the institution's.
    LoanOverParcelCharge {
        /// Kind, such as `MULTA_ATRASO_PAGAMENTO`.
        #[graphql(name = "type")]
        kind: Option<&str> = text("type"),
        /// More about it.
        additional_info: Option<&str> = text("additionalInfo"),
        /// How much.
        amount: Option<Decimal> = decimal("amount"),
    }
);
