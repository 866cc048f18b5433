//! Normalised records, as connectors hand them over.

use chrono::NaiveDate;
use entity::kind::{AccountSubtype, AccountType, TransactionStatus, TransactionType};
use serde::{Deserialize, Serialize};

use super::Window;
use crate::{clock::Timestamp, money::Amount};

/// An account or a card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// What identifies it at the institution, stable between runs, unique within an Item.
    pub key: String,
    /// Family.
    pub kind: AccountType,
    /// Kind.
    pub subtype: AccountSubtype,
    /// Kind in the institution's words, if it has one.
    #[serde(default)]
    pub subtype_raw: Option<String>,
    /// As people know it: `branch/number`, or the last digits of a card.
    pub number: String,
    /// Generic name.
    pub name: String,
    /// Commercial name.
    pub marketing_name: Option<String>,
    /// BANK: available funds. CREDIT: what is owed, positive. `None` when the institution gives none.
    pub balance: Option<Amount>,
    /// ISO 4217; `XXX` when the institution names none.
    pub currency_code: String,
    /// Name of the holder.
    pub owner: Option<String>,
    /// Tax number of the holder.
    pub tax_number: Option<String>,
    /// `bankData` of the domain reference, as JSON with its field names; BANK accounts only.
    pub bank_data: Option<serde_json::Value>,
    /// `creditData` of the domain reference, as JSON with its field names; CREDIT accounts only.
    pub credit_data: Option<serde_json::Value>,
}

/// What is on an account at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceRecord {
    /// Available funds.
    pub available: Amount,
    /// What is held back, such as by a court.
    pub blocked: Option<Amount>,
    /// What is invested by the institution by itself, and can be had at once.
    pub automatically_invested: Option<Amount>,
    /// ISO 4217.
    pub currency_code: String,
    /// When that was so, as the institution says.
    pub updated_at: Timestamp,
}

/// A movement of an account.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionRecord {
    /// The institution's own id; `None` makes the merge match by content.
    pub id: Option<String>,
    /// Instant, as far as known; midnight UTC of `posted_on` otherwise.
    pub date: Timestamp,
    /// The institution's local day.
    pub posted_on: NaiveDate,
    /// Cleaned text.
    pub description: String,
    /// Verbatim text, when it differs.
    pub description_raw: Option<String>,
    /// The holder's view: negative when DEBIT, on every kind of account.
    pub amount: Amount,
    /// Only when `currency_code` is not the account's.
    pub amount_in_account_currency: Option<Amount>,
    /// ISO 4217.
    pub currency_code: String,
    /// Direction.
    pub kind: TransactionType,
    /// Settled or not.
    pub status: TransactionStatus,
    /// Running balance.
    pub balance: Option<Amount>,
    /// The institution's code of the movement, such as a cheque number.
    pub provider_code: Option<String>,
    /// What only some institutions tell.
    pub details: TransactionDetails,
}

/// What only some institutions tell of a movement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TransactionDetails {
    /// The institution's classification, such as `TRANSFERENCIA`.
    pub operation_type: Option<String>,
    /// More about that.
    pub operation_type_additional_info: Option<String>,
    /// Place among the rows of the same day.
    pub order: Option<i32>,
    /// Who paid whom, and how.
    pub payment_data: Option<PaymentRecord>,
    /// What only movements of cards have.
    pub card: Option<CardRecord>,
    /// Whom a purchase was made at.
    pub merchant: Option<MerchantRecord>,
}

/// Who paid whom, and how.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PaymentRecord {
    /// Who paid.
    pub payer: Option<ParticipantRecord>,
    /// Who was paid.
    pub receiver: Option<ParticipantRecord>,
    /// `PIX`, `TED`, `DOC`, `TEV`, `BOLETO`, or the institution's word.
    pub payment_method: Option<String>,
    /// What the payer wrote.
    pub reason: Option<String>,
    /// The institution's number of the payment; of a Pix its end-to-end id.
    pub reference_number: Option<String>,
    /// The receiver's number of the payment.
    pub receiver_reference_id: Option<String>,
    /// What only payments of a boleto have.
    pub boleto_metadata: Option<BoletoRecord>,
}

/// The payment data of a movement that the stream of transactions has handed over before.
#[derive(Clone, Debug, PartialEq)]
pub struct PaymentOf {
    /// The movement.
    pub movement: MovementKey,
    /// Its payment data.
    pub payment: PaymentRecord,
}

/// What tells a movement of an account from all others: as its [`TransactionRecord`] has it.
///
/// Of equal movements without an id the first one named is the first one handed over, so all of them are named.
#[derive(Clone, Debug, PartialEq)]
pub struct MovementKey {
    /// The institution's own id; with it, nothing else counts.
    pub id: Option<String>,
    /// The institution's local day.
    pub posted_on: NaiveDate,
    /// The holder's view.
    pub amount: Amount,
    /// Cleaned text.
    pub description: String,
    /// Verbatim text, when it differs.
    pub description_raw: Option<String>,
}

impl From<&TransactionRecord> for MovementKey {
    fn from(record: &TransactionRecord) -> Self {
        Self {
            id: record.id.clone(),
            posted_on: record.posted_on,
            amount: record.amount,
            description: record.description.clone(),
            description_raw: record.description_raw.clone(),
        }
    }
}

/// One side of a payment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ParticipantRecord {
    /// `CPF` or `CNPJ`.
    pub document_type: Option<String>,
    /// The number of that document.
    pub document_number: Option<String>,
    /// Name.
    pub name: Option<String>,
    /// Account.
    pub account_number: Option<String>,
    /// Branch.
    pub branch_number: Option<String>,
    /// COMPE code of the bank.
    pub routing_number: Option<String>,
    /// ISPB code of the bank.
    pub routing_number_ispb: Option<String>,
}

/// A boleto that was paid.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BoletoRecord {
    /// What people type.
    pub digitable_line: Option<String>,
    /// What machines read.
    pub barcode: Option<String>,
    /// Without interest, penalty and discount.
    pub base_amount: Option<Amount>,
    /// Interest.
    pub interest_amount: Option<Amount>,
    /// Penalty.
    pub penalty_amount: Option<Amount>,
    /// Discount.
    pub discount_amount: Option<Amount>,
}

/// What only movements of cards have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CardRecord {
    /// Which instalment, from 1.
    pub installment_number: Option<i32>,
    /// Of how many.
    pub total_installments: Option<i32>,
    /// The whole purchase.
    pub total_amount: Option<Amount>,
    /// The day of the purchase.
    pub purchase_date: Option<NaiveDate>,
    /// ISO 18245 code of the merchant.
    pub payee_mcc: Option<String>,
    /// Last digits of the card used.
    pub card_number: Option<String>,
    /// The key of the bill it is on, at the institution.
    pub bill_key: Option<String>,
    /// The month of the bill it will be on: `YYYY-MM`.
    pub bill_forecast_date: Option<String>,
    /// Kind of fee, if it is one.
    pub fee_type: Option<String>,
    /// More about the fee.
    pub fee_type_additional_info: Option<String>,
    /// Kind of credit, if it is one.
    pub other_credits_type: Option<String>,
    /// More about the credit.
    pub other_credits_additional_info: Option<String>,
}

/// Whom a purchase was made at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MerchantRecord {
    /// As people know it.
    pub name: Option<String>,
    /// As the register of companies knows it.
    pub business_name: Option<String>,
    /// Tax number of the company.
    pub cnpj: Option<String>,
    /// CNAE code of its activity.
    pub cnae: Option<String>,
    /// The institution's word for what it sells.
    pub category: Option<String>,
}

/// What a run has covered of one account's transactions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// [`AccountRecord::key`].
    pub account: String,
    /// The days read.
    pub window: Window,
    /// Whether every movement of those days was handed over.
    pub complete: bool,
}

/// The holder of an Item: a person, a company, or a person and a company.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdentityRecord {
    /// Full name.
    pub full_name: Option<String>,
    /// Name of the company.
    pub company_name: Option<String>,
    /// The name that a person goes by.
    pub social_name: Option<String>,
    /// Tax or identity document.
    pub document: Option<String>,
    /// `CPF`, `CNPJ`, …
    pub document_type: Option<String>,
    /// Tax number of a company.
    pub tax_number: Option<String>,
    /// Day of birth.
    pub birth_date: Option<NaiveDate>,
    /// Occupation.
    pub job_title: Option<String>,
    /// `Conservative`, `Moderate`, `Aggressive`, or the institution's word.
    pub investor_profile: Option<String>,
    /// The acquirer's code of a shop.
    pub establishment_code: Option<String>,
    /// The acquirer's name of a shop.
    pub establishment_name: Option<String>,
    /// `FEMALE`, `MALE`, `OTHER`, or the institution's word.
    pub sex: Option<String>,
    /// When a company was founded.
    pub incorporation_date: Option<NaiveDate>,
    /// Tax numbers of the institutions that hold this record.
    pub companies_cnpj: Vec<String>,
    /// Postal addresses: objects with the field names of the domain reference (`fullAddress`, `city`, …).
    pub addresses: Vec<serde_json::Value>,
    /// Telephone numbers.
    pub phone_numbers: Vec<PhoneRecord>,
    /// Electronic mail.
    pub emails: Vec<EmailRecord>,
    /// `relations` of the domain reference, as JSON with its field names.
    pub relations: Vec<serde_json::Value>,
    /// `maritalStatus`, likewise.
    pub marital_status: Option<serde_json::Value>,
    /// `nationality`, likewise.
    pub nationality: Option<serde_json::Value>,
    /// `otherDocuments`, likewise.
    pub other_documents: Vec<serde_json::Value>,
    /// `passport`, likewise.
    pub passport: Option<serde_json::Value>,
    /// `parties`, likewise.
    pub parties: Vec<serde_json::Value>,
    /// `businessOtherDocuments`, likewise.
    pub business_other_documents: Vec<serde_json::Value>,
    /// `qualifications`, likewise.
    pub qualifications: Option<serde_json::Value>,
    /// `financialRelationships`, likewise.
    pub financial_relationships: Option<serde_json::Value>,
}

/// A telephone number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PhoneRecord {
    /// `Personal`, `Work`, `Residencial`.
    pub kind: Option<String>,
    /// The number.
    pub value: String,
    /// Code of its country, such as `55`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country_calling_code: Option<String>,
    /// Code of its area, such as `11`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area_code: Option<String>,
    /// Extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// More about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_info: Option<String>,
}

/// An address of electronic mail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmailRecord {
    /// `Personal`, `Work`.
    pub kind: Option<String>,
    /// The address.
    pub value: String,
}

/// Something a client should know about a product that went on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable code.
    pub code: String,
    /// What happened and what it means, in English.
    pub message: String,
    /// The institution's own words.
    pub provider_message: Option<String>,
}
