use super::*;
use crate::connector::{PaymentOf, PaymentRecord};

use super::super::ledger::Book;

/// A bank that shows everything.
fn bank(today: NaiveDate) -> Bank {
    let household = persona::Household {
        checking_accounts: 1,
        accounts: persona::AccountsStep::Works,
        bulk_thousands: None,
    };
    Bank::new(Seed::of(2, "user-ok").showing_all(true), household, today)
}

/// In the account's currency.
fn cents(row: &TransactionRecord) -> Amount {
    row.amount_in_account_currency.unwrap_or(row.amount)
}

fn sum<'a>(rows: impl Iterator<Item = &'a TransactionRecord>) -> Amount {
    rows.fold(Amount::ZERO, |sum, row| {
        sum.checked_add(cents(row)).expect("small")
    })
}

#[test]
fn a_bill_is_the_sum_of_the_movements_on_it_on_every_day() {
    for offset in 0..70 {
        let today = day(FIRST_DAY) + Days::new(offset);
        let bank = bank(today);
        let rows: Vec<_> = bank.transactions(Book::Card, year_to(today)).collect();
        let bills = bank.bills();
        assert_eq!(bills.len(), 12);
        let mut on_bills = 0;
        for bill in &bills {
            let on_it = |row: &&TransactionRecord| {
                let card = row.details.card.as_ref().expect("a card's");
                card.bill_key.as_deref() == Some(&bill.key)
            };
            let on_it: Vec<_> = rows.iter().filter(on_it).collect();
            on_bills += on_it.len();
            let owed = sum(on_it.iter().copied()).checked_neg().expect("small");
            assert_eq!(bill.total_amount, owed, "{today} {}", bill.key);
            let taxes = on_it
                .iter()
                .filter(|row| row.description.starts_with("IOF"));
            assert_eq!(bill.finance_charges.len(), taxes.count());
            for payment in &bill.payments {
                assert_eq!(
                    (payment.amount, payment.payment_date),
                    (owed, bill.due_date)
                );
                let paid = rows
                    .iter()
                    .any(|row| row.posted_on == bill.due_date && row.amount == owed);
                assert!(paid, "{today} {}", bill.key);
            }
        }
        assert!(on_bills > 80, "{on_bills}");
        assert!(
            bills
                .iter()
                .filter(|bill| !bill.payments.is_empty())
                .count()
                >= 10
        );
        let pending = rows
            .iter()
            .filter(|row| row.status == TransactionStatus::Pending);
        for row in pending {
            assert_eq!(
                row.details
                    .card
                    .as_ref()
                    .and_then(|card| card.bill_key.clone()),
                None
            );
        }
    }
}

#[test]
fn a_card_has_instalments_fees_cash_and_purchases_abroad() {
    let today = day(FIRST_DAY);
    let rows: Vec<_> = bank(today)
        .transactions(Book::Card, year_to(today))
        .collect();
    let card = |row: &TransactionRecord| row.details.card.clone().expect("a card's");
    let abroad: Vec<_> = rows
        .iter()
        .filter(|row| row.currency_code == "USD")
        .collect();
    assert_eq!(abroad.len(), 12);
    for row in abroad {
        let (dollars, reais) = (row.amount, row.amount_in_account_currency.expect("known"));
        assert!(dollars.is_negative() && reais < dollars, "{row:?}");
        assert!(
            row.description_raw
                .as_ref()
                .is_some_and(|raw| raw.contains("USD"))
        );
    }
    let instalments = rows.iter().filter(|row| row.description.contains(" PARC "));
    for row in instalments {
        let card = card(row);
        let number = card.installment_number.expect("known");
        assert_eq!(card.total_installments, Some(10));
        assert!(row.description.contains(&format!("PARC {number:02}/10")));
        let whole = (0..10).fold(Amount::ZERO, |sum, _| {
            sum.checked_add(row.amount).expect("small")
        });
        assert_eq!(card.total_amount, whole.checked_neg().ok());
        assert!(card.purchase_date <= Some(row.posted_on));
    }
    for (fee, times) in [("ANNUAL_FEE", 12), ("ATM_WITHDRAWAL_DOMESTIC", 4)] {
        let found = rows
            .iter()
            .filter(|row| card(row).fee_type.as_deref() == Some(fee));
        assert_eq!(found.count(), times, "{fee}");
    }
    assert!(
        rows.iter()
            .any(|row| card(row).other_credits_type.is_some())
    );
    let numbers: BTreeSet<_> = rows
        .iter()
        .filter_map(|row| card(row).card_number)
        .collect();
    assert_eq!(numbers.len(), 2);
    let shops = rows.iter().filter_map(|row| row.details.merchant.clone());
    for shop in shops {
        assert!(
            shop.cnpj.is_some_and(|cnpj| cnpj.len() == 18),
            "{:?}",
            shop.name
        );
    }
}

#[test]
fn payments_name_both_sides_and_are_about_movements_that_are_shown() {
    let today = day(FIRST_DAY);
    let (bank, window) = (bank(today), year_to(today));
    let rows: BTreeMap<_, _> = bank
        .transactions(Book::Checking(0), window)
        .map(|row| (row.id.clone(), row))
        .collect();
    let holder = bank.identity();
    let payments = bank.payments(Book::Checking(0), window);
    let mut methods: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for PaymentOf { movement, payment } in payments {
        let row = &rows[&movement.id];
        let PaymentRecord {
            payer, receiver, ..
        } = &payment;
        let (payer, receiver) = (
            payer.as_ref().expect("a payer"),
            receiver.as_ref().expect("a receiver"),
        );
        let own = if row.amount.is_negative() {
            payer
        } else {
            receiver
        };
        assert_eq!(own.document_number, holder.document);
        assert_ne!(payer.document_number, receiver.document_number);
        assert_ne!(payer.routing_number_ispb, receiver.routing_number_ispb);
        if let Some(boleto) = &payment.boleto_metadata {
            let parts = [
                boleto.base_amount,
                boleto.penalty_amount,
                boleto.interest_amount,
            ];
            let paid = parts.into_iter().flatten().fold(row.amount, |sum, part| {
                sum.checked_add(part).expect("small")
            });
            assert_eq!(paid, Amount::ZERO);
        }
        if payment.payment_method.as_deref() == Some("PIX") {
            assert_eq!(payment.reference_number.as_ref().map(String::len), Some(32));
        }
        *methods.entry(payment.payment_method).or_default() += 1;
    }
    let names: Vec<_> = methods.keys().flatten().map(String::as_str).collect();
    assert_eq!(names, ["BOLETO", "PIX", "TED"]);
    assert!(methods.values().all(|times| *times > 3), "{methods:?}");
}

#[test]
fn savings_are_what_was_paid_in_and_what_they_yield() {
    let mut before: Option<Amount> = None;
    for offset in 0..60 {
        let today = day(FIRST_DAY) + Days::new(offset);
        let bank = bank(today);
        let savings = bank.savings().expect("it has some");
        let rows: Vec<_> = bank.transactions(Book::Savings, year_to(today)).collect();
        let last = rows.iter().rev().find_map(|row| row.balance);
        assert_eq!(savings.balance, last, "{today}");
        assert!(before <= savings.balance);
        before = savings.balance;
        let data = savings.bank_data.expect("a bank account");
        assert_eq!(data["hasReservedBalance"], true);
    }
    let plain = Bank::new(
        Seed::of(0, "user-ok"),
        persona::Household {
            checking_accounts: 1,
            accounts: persona::AccountsStep::Works,
            bulk_thousands: None,
        },
        day(FIRST_DAY),
    );
    assert!(plain.savings().is_none());
}
