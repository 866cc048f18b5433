//! Bills of the made-up card: the open one and those of the year before, each the sum of the movements on it.

use chrono::{Days, Months, NaiveDate};

use super::{
    dice::Seed,
    ledger::{self, DUE_ON},
};
use crate::{
    connector::{BillPaymentRecord, BillRecord, FinanceChargeRecord},
    money::Amount,
};

/// How many bills the bank shows: all of those whose movements it shows in full, and the open one.
const SHOWN: u32 = 12;
const MINIMUM_PERCENT: i64 = 15;
const CURRENCY: &str = "BRL";

/// The bills that can be seen on a day, the oldest first; movements settle up to another one.
pub(super) fn list(seed: Seed, today: NaiveDate, settled_to: NaiveDate) -> Vec<BillRecord> {
    let open = ledger::closes(today);
    (0..SHOWN)
        .rev()
        .map(|back| bill(seed, open - Months::new(back), settled_to))
        .collect()
}

fn bill(seed: Seed, closes: NaiveDate, settled_to: NaiveDate) -> BillRecord {
    let due = ledger::first_of_month(closes) + Days::new(u64::from(DUE_ON - 1));
    let total: i64 = ledger::on_bill(seed, closes, settled_to)
        .map(|(_, row)| -row.cents)
        .sum();
    let charges = ledger::on_bill(seed, closes, settled_to)
        .filter(|(_, row)| row.text.starts_with("IOF"))
        .map(|(day, row)| FinanceChargeRecord {
            id: format!("iof-{day}"),
            kind: "IOF".to_owned(),
            amount: Amount::from_cents(-row.cents),
            currency_code: CURRENCY.to_owned(),
            additional_info: Some("Compra internacional".to_owned()),
        });
    let paid = (due <= settled_to && total > 0).then(|| BillPaymentRecord {
        id: format!("payment-{due}"),
        value_type: "FULL_PAYMENT".to_owned(),
        payment_date: due,
        payment_mode: Some("DEBIT_ACCOUNT".to_owned()),
        amount: Amount::from_cents(total),
        currency_code: CURRENCY.to_owned(),
    });
    BillRecord {
        key: ledger::bill_key(closes),
        due_date: due,
        bill_closing_date: Some(closes),
        total_amount: Amount::from_cents(total),
        total_amount_currency_code: CURRENCY.to_owned(),
        minimum_payment_amount: Some(Amount::from_cents(total * MINIMUM_PERCENT / 100)),
        allows_installments: Some(true),
        finance_charges: charges.collect(),
        payments: paid.into_iter().collect(),
    }
}
