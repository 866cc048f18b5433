//! Bills of credit cards, as connectors hand them over.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::money::Amount;

/// A bill of a credit card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BillRecord {
    /// What identifies it at the institution, stable between runs, unique within a card; movements name it.
    #[serde(skip)]
    pub key: String,
    /// Day on which it is due.
    pub due_date: NaiveDate,
    /// Day on which it closes.
    pub bill_closing_date: Option<NaiveDate>,
    /// What is to be paid.
    pub total_amount: Amount,
    /// ISO 4217.
    pub total_amount_currency_code: String,
    /// The least to pay.
    pub minimum_payment_amount: Option<Amount>,
    /// Whether it may be paid in instalments.
    pub allows_installments: Option<bool>,
    /// Interest, fines and taxes.
    #[serde(default)]
    pub finance_charges: Vec<FinanceChargeRecord>,
    /// What has been paid of it.
    #[serde(default)]
    pub payments: Vec<BillPaymentRecord>,
}

/// Interest, a fine or a tax on a bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinanceChargeRecord {
    /// The institution's id, or its place on the bill.
    pub id: String,
    /// `LATE_PAYMENT_REMUNERATIVE_INTEREST`, `LATE_PAYMENT_FEE`, `LATE_PAYMENT_INTEREST`, `IOF`, `OTHER`, or the
    /// institution's word.
    #[serde(rename = "type")]
    pub kind: String,
    /// How much.
    pub amount: Amount,
    /// ISO 4217.
    pub currency_code: String,
    /// More about it.
    pub additional_info: Option<String>,
}

/// A payment of a bill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BillPaymentRecord {
    /// The institution's id, or its place on the bill.
    pub id: String,
    /// `INSTALLMENT_PAYMENT`, `FULL_PAYMENT`, `OTHER_PAYMENT`, or the institution's word.
    pub value_type: String,
    /// When it was made.
    pub payment_date: NaiveDate,
    /// `DEBIT_ACCOUNT`, `BANK_SLIP`, `PAYROLL_DEDUCTION`, `PIX`, or the institution's word.
    pub payment_mode: Option<String>,
    /// How much.
    pub amount: Amount,
    /// ISO 4217.
    pub currency_code: String,
}
