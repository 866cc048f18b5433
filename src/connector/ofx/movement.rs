//! One movement of an account.
//!
//! `CURRENCY` says that an amount *is* in `CURSYM`, and `CURRATE` how many units of `CURDEF` one of it is worth.
//! `ORIGCURRENCY` says that the amount has been converted to `CURDEF` already, so it changes nothing here.

use entity::kind::{TransactionStatus, TransactionType};

use super::{
    Problem, date,
    field::{Fields, MAX_ID},
    number,
    sgml::Element,
    statement::{NO_CURRENCY, currency},
};
use crate::{
    connector::{TransactionDetails, TransactionRecord},
    money::Amount,
};

/// Kinds of movements that take money out, for those of zero.
const OUTGOING: [&str; 10] = [
    "DEBIT",
    "FEE",
    "SRVCHG",
    "ATM",
    "POS",
    "CHECK",
    "PAYMENT",
    "CASH",
    "DIRECTDEBIT",
    "REPEATPMT",
];

/// Reads a `STMTTRN` of an account of this currency.
pub fn read(
    fields: &Fields,
    row: Element,
    account_currency: &str,
) -> Result<TransactionRecord, Problem> {
    let (element, text) = fields.required(row, "DTPOSTED")?;
    let posted = date::read(&text).ok_or_else(|| fields.wrong(element, &text, "is not a date"))?;
    let (element, text) = fields.required(row, "TRNAMT")?;
    let amount = fields.amount(element, &text)?;
    let kind = row
        .value("TRNTYPE")
        .map(|(_, text)| text.to_ascii_uppercase());
    let memo = row.value("MEMO").map(|(_, text)| text);
    let description = row
        .value("NAME")
        .map(|(_, text)| text)
        .or_else(|| payee(row))
        .or_else(|| memo.clone())
        .or_else(|| kind.clone())
        .unwrap_or_else(|| "OTHER".to_owned());
    let (currency_code, amount_in_account_currency) =
        in_currency(fields, row, amount, account_currency);
    let code = |name| -> Result<Option<String>, Problem> {
        let code = fields.identifier(row, name, MAX_ID)?;
        Ok(code.filter(|code| code.bytes().any(|b| b != b'0')))
    };
    let outgoing = if amount == Amount::ZERO {
        kind.is_some_and(|kind| OUTGOING.contains(&kind.as_str()))
    } else {
        amount.is_negative()
    };
    Ok(TransactionRecord {
        id: fields.identifier(row, "FITID", MAX_ID)?,
        date: posted.instant,
        posted_on: posted.day,
        description_raw: memo.filter(|memo| *memo != description),
        description,
        amount,
        amount_in_account_currency,
        currency_code,
        kind: if outgoing {
            TransactionType::Debit
        } else {
            TransactionType::Credit
        },
        status: TransactionStatus::Posted,
        balance: None,
        provider_code: code("CHECKNUM")?.map_or_else(|| code("REFNUM"), |code| Ok(Some(code)))?,
        details: TransactionDetails::default(),
    })
}

/// Who was paid: the name in `PAYEE`, or its text when a bank writes it without parts.
fn payee(row: Element) -> Option<String> {
    let payee = row.child("PAYEE")?;
    let name = payee.value("NAME").map(|(_, text)| text);
    name.or_else(|| Some(payee.text()).filter(|text| !text.is_empty()))
}

/// The currency of a movement, and its amount in the account's currency when that is another one and known exactly.
fn in_currency(
    fields: &Fields,
    row: Element,
    amount: Amount,
    account_currency: &str,
) -> (String, Option<Amount>) {
    let given = row.child("CURRENCY").and_then(|given| {
        let symbol = given
            .value("CURSYM")
            .map_or_else(|| given.text(), |(_, text)| text);
        Some((given, currency(&symbol)?))
    });
    match given {
        Some((given, symbol)) if symbol != account_currency => {
            let converted = given
                .value("CURRATE")
                .filter(|_| account_currency != NO_CURRENCY)
                .and_then(|(_, rate)| number::convert(amount, &rate, fields.evidence));
            (symbol, converted)
        }
        _ => (account_currency.to_owned(), None),
    }
}
