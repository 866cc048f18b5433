//! Positions and their movements.

use async_graphql::{Context, Enum, InputObject, Result};
use entity::{investment, investment_transaction, kind};
use uuid::Uuid;

use super::{
    super::{
        loader,
        page::{self, Arguments, List, Pointed, connection},
        rows::Plain,
        scalar::{Date, DateTime, Decimal, Id},
    },
    document::{document, text, word, words},
    item::Item,
};
use crate::{
    db::row::Row as _, error::Error, money::Amount,
    product::investment::InvestmentTransactionFilter as Wanted,
};

document!(
    /// A position: a holding of one security, fund, plan or contract. Money is in `currencyCode`. What the institution does not tell is null. FORBIDDEN to connect tokens.
    Investment of investment::Model {
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("type"),
        /// Kind within the family.
        subtype: Option<InvestmentSubtype> = word("subtype"),
        /// `subtype` in the institution's word.
        subtype_raw: Option<&str> = text("subtype"),
        /// The institution's number of it.
        number: Option<&str> = text("number"),
        /// The day that its values are of.
        date: Option<Date> = day("date"),
        /// What it is worth before taxes.
        amount: Option<Decimal> = decimal("amount"),
        /// How many units, quotas or shares.
        quantity: Option<Decimal> = decimal("quantity"),
        /// Price of one of them on `date`.
        value: Option<Decimal> = decimal("value"),
        /// Income tax that a withdrawal would cost.
        taxes: Option<Decimal> = decimal("taxes"),
        /// Tax on financial operations (IOF) that a withdrawal would cost.
        taxes2: Option<Decimal> = decimal("taxes2"),
        /// What has been gained since it was bought; negative when lost.
        amount_profit: Option<Decimal> = decimal("amountProfit"),
        /// What can be withdrawn now.
        amount_withdrawal: Option<Decimal> = decimal("amountWithdrawal"),
        /// What was paid for it.
        amount_original: Option<Decimal> = decimal("amountOriginal"),
        /// Yield of the last month, in percent: 0.85 is 0.85 %.
        last_month_rate: Option<Decimal> = decimal("lastMonthRate"),
        /// Yield of the last twelve months, in percent.
        last_twelve_months_rate: Option<Decimal> = decimal("lastTwelveMonthsRate"),
        /// Yield a year, in percent.
        annual_rate: Option<Decimal> = decimal("annualRate"),
        /// Share of the index of `rateType`, in percent: 110 is 110 % of it.
        rate: Option<Decimal> = decimal("rate"),
        /// Fixed part of the yield a year, in percent.
        fixed_annual_rate: Option<Decimal> = decimal("fixedAnnualRate"),
        /// By what prices are divided: 1 unless they are quoted for a lot.
        price_factor: Option<Decimal> = decimal("priceFactor"),
        /// Tax number (CNPJ) of a fund, ticker of a share.
        code: Option<&str> = text("code"),
        /// ISO 6166 code, of 12 characters.
        isin: Option<&str> = text("isin"),
        /// Name of the holder.
        owner: Option<&str> = text("owner"),
        /// Who owes or manages it.
        issuer: Option<&str> = text("issuer"),
        /// Tax number (CNPJ) of the issuer.
        issuer_cnpj: Option<&str> = text("issuerCnpj"),
        /// The index that it follows, such as `CDI`, `SELIC` or `IPCA`; `PRE` when it follows none.
        rate_type: Option<&str> = text("rateType"),
        /// What the rate refers to.
        rate_periodicity: Option<InvestmentRatePeriodicity> = word("ratePeriodicity"),
        /// `ratePeriodicity` in the institution's word.
        rate_periodicity_raw: Option<&str> = text("ratePeriodicity"),
        /// More about the index.
        indexer_additional_info: Option<&str> = text("indexerAdditionalInfo"),
        /// When it is paid back.
        due_date: Option<Date> = day("dueDate"),
        /// When it was issued.
        issue_date: Option<Date> = day("issueDate"),
        /// When it was bought.
        purchase_date: Option<Date> = day("purchaseDate"),
        /// From when on it can be withdrawn.
        grace_period_date: Option<Date> = day("gracePeriodDate"),
        /// Whether its yield is free of income tax.
        tax_exempt: Option<bool> = flag("taxExempt"),
        /// Who owes what a security of receivables is made of.
        debtor: Option<InvestmentDebtor<'_>> = object("debtor"),
        /// The interest that is paid out regularly.
        coupon_payment: Option<InvestmentCouponPayment<'_>> = object("couponPayment"),
        /// Whether it is held.
        status: Option<InvestmentStatus> = word("status"),
        /// `status` in the institution's word.
        status_raw: Option<&str> = text("status"),
        /// What only some kinds have: plans for retirement, funds.
        metadata: Option<InvestmentMetadata<'_>> = object("metadata"),
    } and {
        /// Identity. Stays the same for as long as the institution knows the position, also when it vanishes and comes back.
        pub async fn id(&self) -> Id {
            Id::Row(self.0.id)
        }

        /// The Item it was collected through.
        async fn item(&self, ctx: &Context<'_>) -> Result<Item> {
            let item = loader::item(ctx, self.0.item_id).await?;
            Ok(Item::from(item.ok_or(Error::NotFound { what: "item" })?))
        }

        /// Family.
        #[graphql(name = "type")]
        async fn kind(&self) -> InvestmentType {
            self.0.kind.into()
        }

        /// Name.
        async fn name(&self) -> &str {
            text(&self.0.details, "name").unwrap_or_default()
        }

        /// What it is worth after taxes.
        async fn balance(&self) -> Result<Decimal> {
            let amount = Amount::from_parts(self.0.balance_units, self.0.balance_nanos);
            Ok(amount.map(Decimal).map_err(Error::internal)?)
        }

        /// ISO 4217 code.
        async fn currency_code(&self) -> &str {
            &self.0.currency_code
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
            #[graphql(desc = "Only these movements.")] filter: Option<InvestmentTransactionFilter>,
        ) -> Result<InvestmentTransactionConnection> {
            let arguments = Arguments {
                first,
                after,
                last,
                before,
            };
            let slice = arguments.slice(
                List::InvestmentTransactions,
                crate::graphql::MOST_TRANSACTIONS,
            )?;
            let filter = Wanted::from(filter.unwrap_or_default());
            let id = self.0.id;
            let page = loader::investment_transactions_of(ctx, id, filter.clone(), slice).await?;
            let count = InvestmentTransactionCount { investment: id, filter };
            Ok(InvestmentTransactionConnection::new(page, count))
        }

        /// When the institution ceased to show it; null while it does. It comes back under the same id.
        async fn closed_at(&self) -> Option<DateTime> {
            self.0.closed_at.map(DateTime)
        }

        /// When it was first seen.
        async fn created_at(&self) -> DateTime {
            DateTime(self.0.created_at)
        }

        /// When the institution last confirmed the positions of its Item; null when it never has.
        async fn as_of(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
            let freshness = loader::freshness(ctx, self.0.item_id, kind::Product::Investments).await?;
            Ok(freshness.as_of.map(DateTime))
        }

        /// Whether that may be out of date: the last run was to update it and has not, or it is older than two intervals of automatic runs, than 48 hours where there are none; what a regulated institution may be asked only now and then has that time more.
        async fn stale(&self, ctx: &Context<'_>) -> Result<bool> {
            let freshness = loader::freshness(ctx, self.0.item_id, kind::Product::Investments).await?;
            Ok(freshness.stale)
        }

        /// When it last changed.
        async fn updated_at(&self) -> DateTime {
            DateTime(self.0.updated_at)
        }
    }
);

impl Plain for Investment {}

impl Pointed for Investment {
    fn pointer(&self) -> String {
        page::cursor(List::Investments, self.0.key())
    }
}

/// Counts the positions of an Item.
pub struct InvestmentCount {
    item: Uuid,
    kind: Option<InvestmentType>,
}

impl InvestmentCount {
    async fn count(&self, ctx: &Context<'_>) -> crate::error::Result<i64> {
        loader::count_investments(ctx, self.item, self.kind.map(Into::into)).await
    }
}

connection!(
    /// A page of positions, oldest first.
    InvestmentConnection,
    /// A position in a list.
    InvestmentEdge,
    Investment,
    counted by InvestmentCount
);

/// A page of the positions of an Item.
pub async fn list(
    ctx: &Context<'_>,
    item: Uuid,
    arguments: Arguments,
    kind: Option<InvestmentType>,
) -> Result<InvestmentConnection> {
    let slice = arguments.slice(List::Investments, crate::graphql::MOST_ROWS)?;
    let page = loader::investments_of(ctx, item, kind.map(Into::into), slice).await?;
    let count = InvestmentCount { item, kind };
    Ok(InvestmentConnection::new(page, count))
}

/// Family of a position.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "kind::InvestmentType")]
pub enum InvestmentType {
    /// Fund of many holders.
    MutualFund,
    /// Share, or what derives from one.
    Equity,
    /// Money lent for interest.
    FixedIncome,
    /// Fund that is traded like a share.
    Etf,
    /// Structured note.
    Coe,
    /// Plan for retirement.
    Security,
    /// Anything else.
    Other,
    /// A family that the institution names differently: see `typeRaw`.
    Unknown,
}

words!(
    /// Kind of a position within its family.
    InvestmentSubtype {
        /// MUTUAL_FUND: fund of no particular kind.
        InvestmentFund,
        /// MUTUAL_FUND: of several markets.
        MultimarketFund,
        /// MUTUAL_FUND: of fixed income.
        FixedIncomeFund,
        /// MUTUAL_FUND: of shares.
        StockFund,
        /// MUTUAL_FUND: of traded funds.
        EtfFund,
        /// MUTUAL_FUND: abroad.
        OffshoreFund,
        /// MUTUAL_FUND: of private equity.
        FipFund,
        /// MUTUAL_FUND: of currencies.
        ExchangeFund,
        /// MUTUAL_FUND: of infrastructure.
        FiInfra,
        /// MUTUAL_FUND: of agribusiness.
        FiAgro,
        /// EQUITY: share.
        Stock,
        /// EQUITY: receipt for a share abroad.
        Bdr,
        /// EQUITY: fund of real estate.
        RealEstateFund,
        /// EQUITY: what derives from something else.
        Derivatives,
        /// EQUITY: right to buy or sell.
        Option,
        /// FIXED_INCOME: bond of the treasury.
        Treasury,
        /// FIXED_INCOME: certificate of a deposit.
        Cdb,
        /// FIXED_INCOME: letter of credit for real estate.
        Lci,
        /// FIXED_INCOME: letter of credit for agribusiness.
        Lca,
        /// FIXED_INCOME: bill of exchange.
        Lc,
        /// FIXED_INCOME: financial bill.
        Lf,
        /// FIXED_INCOME: certificate of receivables of real estate.
        Cri,
        /// FIXED_INCOME: certificate of receivables of agribusiness.
        Cra,
        /// FIXED_INCOME: debentures.
        Debentures,
        /// FIXED_INCOME: other debt of companies.
        CorporateDebt,
        /// ETF: fund that is traded like a share.
        Etf,
        /// COE: structured note.
        StructuredNote,
        /// SECURITY: plan for retirement.
        Retirement,
        /// OTHER: anything else.
        Other,
    }
);

words!(
    /// What a rate refers to.
    InvestmentRatePeriodicity {
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

words!(
    /// Whether a position is held.
    InvestmentStatus {
        /// It is.
        Active,
        /// It is being bought or sold.
        Pending,
        /// All of it has been withdrawn.
        TotalWithdrawal,
    }
);

document!(
    /// Who owes what a security of receivables is made of.
    InvestmentDebtor {
        /// Name; null when the institution gives none.
        name: Option<&str> = text("name"),
    }
);

document!(
    /// The interest that a position pays out. What the institution does not tell is null.
    InvestmentCouponPayment {
        /// Whether it pays any before its end.
        has_coupon: Option<bool> = flag("hasCoupon"),
        /// How often.
        periodicity: Option<CouponPeriodicity> = word("periodicity"),
        /// `periodicity` in the institution's word.
        periodicity_raw: Option<&str> = text("periodicity"),
        /// More about it.
        additional_info: Option<&str> = text("additionalInfo"),
    }
);

words!(
    /// How often interest is paid out.
    CouponPeriodicity {
        /// Every month.
        Monthly,
        /// Every three months.
        Quarterly,
        /// Every six months.
        Semesterly,
        /// Every year.
        Yearly,
        /// At no regular times.
        Irregular,
    }
);

document!(
    /// What only some kinds of positions have. What the institution does not tell is null.
    InvestmentMetadata {
        /// How a plan for retirement is taxed, such as `PROGRESSIVO` or `REGRESSIVO`.
        tax_regime: Option<&str> = text("taxRegime"),
        /// Number of the proposal for a plan for retirement.
        proposal_number: Option<&str> = text("proposalNumber"),
        /// Number under which the plan is registered at the authority.
        process_number: Option<&str> = text("processNumber"),
        /// Name of the fund that the plan's money is in.
        fund_name: Option<&str> = text("fundName"),
        /// The insurer of a plan for retirement.
        insurer: Option<Insurer<'_>> = object("insurer"),
        /// Class of a fund, as ANBIMA has it.
        anbima_class: Option<&str> = text("anbimaClass"),
        /// Subclass of a fund, as ANBIMA has it.
        anbima_subclass: Option<&str> = text("anbimaSubclass"),
        /// Category of a fund, as ANBIMA has it.
        anbima_category: Option<&str> = text("anbimaCategory"),
    }
);

document!(
    /// An insurer. What the institution does not tell is null.
    Insurer {
        /// Name.
        name: Option<&str> = text("name"),
        /// Tax number (CNPJ).
        cnpj: Option<&str> = text("cnpj"),
    }
);

document!(
    /// A movement of a position. Money is in the position's currency. What the institution does not tell is null. FORBIDDEN to connect tokens.
    InvestmentTransaction of investment_transaction::Model {
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("type"),
        /// `movementType` in the institution's word; null when the institution tells none.
        movement_type_raw: Option<&str> = text("movementType"),
        /// The day on which it was agreed.
        trade_date: Option<Date> = day("tradeDate"),
        /// Text.
        description: Option<&str> = text("description"),
        /// How many units, quotas or shares.
        quantity: Option<Decimal> = decimal("quantity"),
        /// Price of one of them.
        value: Option<Decimal> = decimal("value"),
        /// Before taxes and fees, never negative: `movementType` tells the direction. A TRANSFER may have none.
        amount: Option<Decimal> = decimal("amount"),
        /// After taxes and fees.
        net_amount: Option<Decimal> = decimal("netAmount"),
        /// The yield that was agreed, in percent a year.
        agreed_rate: Option<Decimal> = decimal("agreedRate"),
        /// The share of an index that was agreed, in percent.
        indexer_percentage: Option<Decimal> = decimal("indexerPercentage"),
        /// By what prices are divided: 1 unless they are quoted for a lot.
        price_factor: Option<Decimal> = decimal("priceFactor"),
        /// Number of the brokerage note.
        brokerage_number: Option<&str> = text("brokerageNumber"),
        /// Taxes and fees.
        expenses: Option<InvestmentExpenses<'_>> = object("expenses"),
        /// The institution's own id.
        provider_id: Option<&str> = text("providerId"),
    } and {
        /// Identity.
        pub async fn id(&self) -> Id {
            Id::Row(self.0.id)
        }

        /// The position that it belongs to.
        async fn investment(&self, ctx: &Context<'_>) -> Result<Investment> {
            let row = loader::investment(ctx, self.0.investment_id).await?;
            Ok(Investment(row.ok_or(Error::NotFound { what: "investment" })?))
        }

        /// Kind of movement.
        #[graphql(name = "type")]
        async fn kind(&self) -> InvestmentTransactionType {
            self.0.kind.into()
        }

        /// Direction. Where the institution tells none, BUY goes into the position and everything else comes out of it.
        async fn movement_type(&self) -> InvestmentMovementType {
            word(&self.0.details, "movementType").unwrap_or(
                if self.0.kind == kind::InvestmentTransactionType::Buy {
                    InvestmentMovementType::Credit
                } else {
                    InvestmentMovementType::Debit
                },
            )
        }

        /// The day on which it was settled.
        async fn date(&self) -> Date {
            Date(self.0.date)
        }

        /// When it was first seen.
        async fn created_at(&self) -> DateTime {
            DateTime(self.0.created_at)
        }

        /// When the institution last confirmed the movements of positions of its Item; null when it never has.
        async fn as_of(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
            let freshness = loader::freshness(ctx, self.0.item_id, kind::Product::InvestmentsTransactions).await?;
            Ok(freshness.as_of.map(DateTime))
        }

        /// Whether that may be out of date: the last run was to update it and has not, or it is older than two intervals of automatic runs, than 48 hours where there are none; what a regulated institution may be asked only now and then has that time more.
        async fn stale(&self, ctx: &Context<'_>) -> Result<bool> {
            let freshness = loader::freshness(ctx, self.0.item_id, kind::Product::InvestmentsTransactions).await?;
            Ok(freshness.stale)
        }

        /// When it last changed.
        async fn updated_at(&self) -> DateTime {
            DateTime(self.0.updated_at)
        }
    }
);

impl Plain for InvestmentTransaction {}

impl Pointed for InvestmentTransaction {
    fn pointer(&self) -> String {
        page::cursor(List::InvestmentTransactions, self.0.key())
    }
}

/// Counts the movements of a position.
pub struct InvestmentTransactionCount {
    investment: Uuid,
    filter: Wanted,
}

impl InvestmentTransactionCount {
    async fn count(&self, ctx: &Context<'_>) -> crate::error::Result<i64> {
        loader::count_investment_transactions(ctx, self.investment, self.filter.clone()).await
    }
}

connection!(
    /// A page of movements of a position, newest first.
    InvestmentTransactionConnection,
    /// A movement of a position in a list.
    InvestmentTransactionEdge,
    InvestmentTransaction,
    counted by InvestmentTransactionCount
);

/// Which movements of a position are wanted; everything given must hold.
#[derive(InputObject, Default)]
pub struct InvestmentTransactionFilter {
    /// Only on this day or later.
    from: Option<Date>,
    /// Only on this day or earlier.
    to: Option<Date>,
    /// Only of this kind.
    #[graphql(name = "type")]
    kind: Option<InvestmentTransactionType>,
}

impl From<InvestmentTransactionFilter> for Wanted {
    fn from(filter: InvestmentTransactionFilter) -> Self {
        Self {
            from: filter.from.map(|day| day.0),
            to: filter.to.map(|day| day.0),
            kind: filter.kind.map(Into::into),
        }
    }
}

/// Kind of movement of a position.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "kind::InvestmentTransactionType")]
pub enum InvestmentTransactionType {
    /// Bought.
    Buy,
    /// Sold.
    Sell,
    /// Taxed.
    Tax,
    /// Moved from or to another institution.
    Transfer,
    /// Interest or dividends were paid.
    Interest,
    /// Part of it was paid back.
    Amortization,
    /// A kind that the institution names differently: see `typeRaw`.
    Unknown,
}

words!(
    /// Direction of a movement of a position.
    InvestmentMovementType {
        /// Into the position.
        Credit,
        /// Out of the position.
        Debit,
    }
);

document!(
    /// Taxes and fees of a movement of a position. What the institution does not tell is null.
    InvestmentExpenses {
        /// Tax on services (ISS).
        service_tax: Option<Decimal> = decimal("serviceTax"),
        /// The broker's fee.
        brokerage_fee: Option<Decimal> = decimal("brokerageFee"),
        /// Income tax.
        income_tax: Option<Decimal> = decimal("incomeTax"),
        /// Fee for notices of traded assets.
        trading_assets_notice_fee: Option<Decimal> = decimal("tradingAssetsNoticeFee"),
        /// Fee for keeping the account.
        maintenance_fee: Option<Decimal> = decimal("maintenanceFee"),
        /// Fee for settling.
        settlement_fee: Option<Decimal> = decimal("settlementFee"),
        /// Fee of the clearing house.
        clearing_fee: Option<Decimal> = decimal("clearingFee"),
        /// Fee of the exchange.
        stock_exchange_fee: Option<Decimal> = decimal("stockExchangeFee"),
        /// Fee for keeping the securities.
        custody_fee: Option<Decimal> = decimal("custodyFee"),
        /// Fee for operating.
        operating_fee: Option<Decimal> = decimal("operatingFee"),
        /// Everything else.
        other: Option<Decimal> = decimal("other"),
        /// Tax on financial operations (IOF).
        iof: Option<Decimal> = decimal("iof"),
        /// What is held back for that tax.
        iof_provision: Option<Decimal> = decimal("iofProvision"),
    }
);
