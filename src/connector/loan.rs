//! Loans, as connectors hand them over.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use crate::money::Amount;

/// A loan, a financing, an advance on invoices or an unarranged overdraft.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoanRecord {
    /// What identifies it at the institution, stable between runs, unique within an Item.
    #[serde(skip)]
    pub key: String,
    /// Number of the contract.
    pub contract_number: Option<String>,
    /// Its number in the central bank's register of credit.
    pub ipoc_code: Option<String>,
    /// What the institution calls it.
    pub product_name: String,
    /// The regulated kind of product, such as `CREDITO_PESSOAL_SEM_CONSIGNACAO`.
    #[serde(rename = "type")]
    pub subtype: Option<String>,
    /// `LOAN`, `FINANCING`, `INVOICE_FINANCING`, `UNARRANGED_ACCOUNT_OVERDRAFT`, or the institution's word.
    pub kind: String,
    /// The day on which it was read.
    pub date: NaiveDate,
    /// When it was agreed.
    pub contract_date: Option<NaiveDate>,
    /// When it was paid out.
    #[serde(default)]
    pub disbursement_dates: Vec<NaiveDate>,
    /// When it was paid back.
    pub settlement_date: Option<NaiveDate>,
    /// When it is to be paid back.
    pub due_date: Option<NaiveDate>,
    /// When the first instalment is due.
    pub first_installment_due_date: Option<NaiveDate>,
    /// What was lent.
    pub contract_amount: Option<Amount>,
    /// ISO 4217.
    pub currency_code: String,
    /// Total effective cost a year, as a fraction.
    pub cet: Option<Amount>,
    /// How often an instalment is due, in the words of the domain reference or of the institution.
    pub installment_periodicity: Option<String>,
    /// More about that.
    pub installment_periodicity_additional_info: Option<String>,
    /// `SAC`, `PRICE`, `SAM`, `WITHOUT_AMORTIZATION_SYSTEM`, `OTHERS`, or the institution's word.
    pub amortization_scheduled: Option<String>,
    /// More about that.
    pub amortization_scheduled_additional_info: Option<String>,
    /// Tax number of who withholds the instalments.
    pub cnpj_consignee: Option<String>,
    /// `interestRates` of the domain reference, as JSON with its field names.
    #[serde(default)]
    pub interest_rates: Vec<serde_json::Value>,
    /// `contractedFees`, likewise.
    #[serde(default)]
    pub contracted_fees: Vec<serde_json::Value>,
    /// `contractedFinanceCharges`, likewise.
    #[serde(default)]
    pub contracted_finance_charges: Vec<serde_json::Value>,
    /// `warranties`, likewise.
    #[serde(default)]
    pub warranties: Vec<serde_json::Value>,
    /// `installments`, likewise.
    pub installments: Option<serde_json::Value>,
    /// `payments`, likewise.
    pub payments: Option<serde_json::Value>,
}
