//! A checking account with very many movements, none of which is held.
//!
//! The rows of any 365 days in a row are exactly as many as asked for. They come in pairs that cancel each other out, so
//! that the balance is known without walking through millions of them.

use chrono::NaiveDate;
use entity::kind::TransactionStatus;

use super::{
    dice::Seed,
    ledger::{REAL, day_number, days},
};
use crate::connector::{TransactionRecord, Window};

const BULK: u64 = u64::from_be_bytes(*b"bulk    ");
const IDS: u64 = u64::from_be_bytes(*b"bulk ids");

const YEAR: i64 = 365;
const OPENING: i64 = 10_000 * REAL;
const MOST_ROWS_OF_A_DAY: i64 = 1_000_000;

const FIRST_NAMES: [&str; 12] = [
    "ADRIANA", "BRUNO", "CAMILA", "DIEGO", "ELAINE", "FABIO", "GABRIELA", "HUGO", "ISABEL", "JOAO",
    "LARISSA", "MARCOS",
];
const LAST_NAMES: [&str; 12] = [
    "ALVES", "BATISTA", "CAMPOS", "DUARTE", "FREITAS", "GARCIA", "MARTINS", "NUNES", "OLIVEIRA",
    "RIBEIRO", "SANTOS", "TEIXEIRA",
];

/// The movements of a window, by day.
pub(super) struct Bulk {
    seed: Seed,
    thousands: i64,
    day: NaiveDate,
    last: NaiveDate,
    ordinal: i64,
}

impl Bulk {
    /// The movements of a window of an account with this many thousand a year.
    pub(super) fn new(seed: Seed, thousands: i64, window: Window) -> Self {
        Self {
            seed,
            thousands,
            day: window.from,
            last: window.to,
            ordinal: 0,
        }
    }

    /// Opening plus everything in the window, in cents.
    pub(super) fn balance(seed: Seed, thousands: i64, window: Window) -> i64 {
        let unpaired: i64 = days(window.from, window.to)
            .map(|day| match rows_of(thousands, day) {
                odd if odd % 2 == 1 => cents(seed, day, odd - 1),
                _ => 0,
            })
            .sum();
        OPENING + unpaired
    }
}

impl Iterator for Bulk {
    type Item = TransactionRecord;

    fn next(&mut self) -> Option<TransactionRecord> {
        while self.day <= self.last {
            if self.ordinal < rows_of(self.thousands, self.day) {
                let row = row(self.seed, self.day, self.ordinal);
                self.ordinal += 1;
                return Some(row);
            }
            self.day = self.day.succ_opt()?;
            self.ordinal = 0;
        }
        None
    }
}

/// How many rows a day has: the share of its place in a cycle of 365 days.
fn rows_of(thousands: i64, day: NaiveDate) -> i64 {
    let (total, place) = (thousands * 1_000, day_number(day).rem_euclid(YEAR));
    (place + 1) * total / YEAR - place * total / YEAR
}

/// The first of a pair goes out, the second comes back.
fn cents(seed: Seed, day: NaiveDate, ordinal: i64) -> i64 {
    let pair = day_number(day) * MOST_ROWS_OF_A_DAY + ordinal / 2;
    let cents = seed.dice(BULK, pair).between(REAL, 900 * REAL);
    if ordinal % 2 == 0 { -cents } else { cents }
}

fn row(seed: Seed, day: NaiveDate, ordinal: i64) -> TransactionRecord {
    let cents = cents(seed, day, ordinal);
    let mut dice = seed.dice(IDS, day_number(day) * MOST_ROWS_OF_A_DAY + ordinal);
    let id = format!("{:016x}{:016x}", dice.roll(), dice.roll());
    let verb = if cents < 0 { "ENVIADO" } else { "RECEBIDO" };
    let description = format!(
        "PIX {verb} {} {}",
        dice.pick(&FIRST_NAMES),
        dice.pick(&LAST_NAMES)
    );
    super::data::record(Some(id), day, description, cents, TransactionStatus::Posted)
}
