//! Positions and their movements, as connectors hand them over.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::money::Amount;

/// A position: a holding of one security, fund, plan or contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvestmentRecord {
    /// What identifies it at the institution, stable between runs, unique within an Item.
    #[serde(skip)]
    pub key: String,
    /// Family: `MUTUAL_FUND`, `EQUITY`, `FIXED_INCOME`, `ETF`, `COE`, `SECURITY`, `OTHER`, or the institution's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// Kind within the family, such as `CDB`, or the institution's word.
    pub subtype: Option<String>,
    /// The institution's number of it.
    pub number: Option<String>,
    /// Name.
    pub name: String,
    /// What it is worth after taxes.
    pub balance: Amount,
    /// ISO 4217.
    pub currency_code: String,
    /// The day that the values are of.
    pub date: NaiveDate,
    /// What it is worth before taxes.
    pub amount: Option<Amount>,
    /// Units, quotas or shares.
    pub quantity: Option<Amount>,
    /// Price of one of them.
    pub value: Option<Amount>,
    /// Income tax that a withdrawal would cost.
    pub taxes: Option<Amount>,
    /// IOF that a withdrawal would cost.
    pub taxes2: Option<Amount>,
    /// Gained since the purchase.
    pub amount_profit: Option<Amount>,
    /// What can be withdrawn.
    pub amount_withdrawal: Option<Amount>,
    /// What was paid for it.
    pub amount_original: Option<Amount>,
    /// Yield of the last month, in percent.
    pub last_month_rate: Option<Amount>,
    /// Yield of the last twelve months, in percent.
    pub last_twelve_months_rate: Option<Amount>,
    /// Yield a year, in percent.
    pub annual_rate: Option<Amount>,
    /// Share of the index, in percent.
    pub rate: Option<Amount>,
    /// Fixed part of the yield a year, in percent.
    pub fixed_annual_rate: Option<Amount>,
    /// By what prices are divided.
    pub price_factor: Option<Amount>,
    /// CNPJ of a fund, ticker of a share.
    pub code: Option<String>,
    /// ISO 6166.
    pub isin: Option<String>,
    /// Name of the holder.
    pub owner: Option<String>,
    /// Who owes it.
    pub issuer: Option<String>,
    /// Tax number of the issuer.
    pub issuer_cnpj: Option<String>,
    /// The index: `CDI`, `SELIC`, `IPCA`, `PRE`, …
    pub rate_type: Option<String>,
    /// What the rate refers to: `DAILY`, `MONTHLY`, `SEMESTERLY`, `YEARLY`.
    pub rate_periodicity: Option<String>,
    /// More about the index.
    pub indexer_additional_info: Option<String>,
    /// When it is paid back.
    pub due_date: Option<NaiveDate>,
    /// When it was issued.
    pub issue_date: Option<NaiveDate>,
    /// When it was bought.
    pub purchase_date: Option<NaiveDate>,
    /// From when on it can be withdrawn.
    pub grace_period_date: Option<NaiveDate>,
    /// Whether its yield is free of income tax.
    pub tax_exempt: Option<bool>,
    /// Who owes what a security of receivables is made of: `debtor` of the domain reference, as JSON with its field names.
    pub debtor: Option<serde_json::Value>,
    /// `couponPayment` of the domain reference, as JSON with its field names.
    pub coupon_payment: Option<serde_json::Value>,
    /// `ACTIVE`, `PENDING`, `TOTAL_WITHDRAWAL`, or the institution's word.
    pub status: Option<String>,
    /// `metadata` of the domain reference, as JSON with its field names.
    pub metadata: Option<serde_json::Value>,
}

impl InvestmentRecord {
    /// A position of which nothing is told but this, for a connector to say more of.
    pub fn new(key: String, kind: &str, name: String, balance: Amount, date: NaiveDate) -> Self {
        Self {
            key,
            kind: kind.to_owned(),
            subtype: None,
            number: None,
            name,
            balance,
            currency_code: "BRL".to_owned(),
            date,
            amount: None,
            quantity: None,
            value: None,
            taxes: None,
            taxes2: None,
            amount_profit: None,
            amount_withdrawal: None,
            amount_original: None,
            last_month_rate: None,
            last_twelve_months_rate: None,
            annual_rate: None,
            rate: None,
            fixed_annual_rate: None,
            price_factor: None,
            code: None,
            isin: None,
            owner: None,
            issuer: None,
            issuer_cnpj: None,
            rate_type: None,
            rate_periodicity: None,
            indexer_additional_info: None,
            due_date: None,
            issue_date: None,
            purchase_date: None,
            grace_period_date: None,
            tax_exempt: None,
            debtor: None,
            coupon_payment: None,
            status: None,
            metadata: None,
        }
    }
}

/// A movement of a position.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvestmentTransactionRecord {
    /// The institution's own id, unique within the position; `None` makes the merge match by content.
    #[serde(rename = "providerId")]
    pub id: Option<String>,
    /// `BUY`, `SELL`, `TAX`, `TRANSFER`, `INTEREST`, `AMORTIZATION`, or the institution's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// `CREDIT` into the position, `DEBIT` out of it; follows from the type when `None`.
    pub movement_type: Option<String>,
    /// The day on which it was settled.
    pub date: NaiveDate,
    /// The day on which it was agreed.
    pub trade_date: Option<NaiveDate>,
    /// Text.
    pub description: Option<String>,
    /// Units, quotas or shares.
    pub quantity: Option<Amount>,
    /// Price of one of them.
    pub value: Option<Amount>,
    /// Before taxes and fees; nobody tells it of a TRANSFER.
    pub amount: Option<Amount>,
    /// After taxes and fees.
    pub net_amount: Option<Amount>,
    /// The yield that was agreed, in percent a year.
    pub agreed_rate: Option<Amount>,
    /// Share of the index that was agreed, in percent.
    pub indexer_percentage: Option<Amount>,
    /// By what prices are divided.
    pub price_factor: Option<Amount>,
    /// Number of the brokerage note.
    pub brokerage_number: Option<String>,
    /// `expenses` of the domain reference, as JSON with its field names.
    pub expenses: Option<serde_json::Value>,
}
