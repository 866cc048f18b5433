//! What a sandbox application has made of the made-up bank of one of its Items.

use chrono::NaiveDate;
use entity::kind::{ExecutionStatus, Product, TransactionStatus, TransactionType};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Failure, TransactionRecord, Warning, Window};
use crate::{clock::Timestamp, money::Amount};

/// What is different about a bank, in this run.
#[derive(Clone, Debug, Default)]
pub struct Laboratory {
    /// How many days the bank is ahead of the clock.
    pub days_ahead: u32,
    /// What the run fails with, and in which product's step; while logging in when `None`.
    pub fails: Option<(ExecutionStatus, Option<Product>)>,
    /// What the run warns of, in which product's step.
    pub warns: Option<(Product, Warning)>,
    /// Whether nobody reaches the bank.
    pub offline: bool,
    /// What was done to its books: account key and edit, in order.
    pub edits: Vec<(String, Edit)>,
}

/// Something that was done to a book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
    /// The transaction that it was done to, as it was collected before.
    #[serde(default)]
    pub of: Option<Uuid>,
    /// The row that is struck out, if one is.
    pub struck: Option<Mark>,
    /// The row that is written, if one is.
    pub written: Option<Written>,
}

/// What a row of a book is recognised by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mark {
    /// The bank's id; rows without one are recognised by what follows.
    pub id: Option<String>,
    /// Local day.
    pub posted_on: NaiveDate,
    /// The holder's view.
    pub amount: Amount,
    /// Text.
    pub description: String,
    /// Whether it counts towards the account's balance.
    pub settled: bool,
}

/// A row that was written by hand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The bank's id, where its rows have one.
    pub id: Option<String>,
    /// Local day.
    pub posted_on: NaiveDate,
    /// The holder's view.
    pub amount: Amount,
    /// Text.
    pub description: String,
    /// Settled or not.
    pub status: TransactionStatus,
}

impl Mark {
    /// Whether this is the row.
    pub fn fits(&self, row: &TransactionRecord) -> bool {
        match (&self.id, &row.id) {
            (Some(id), Some(own)) => id == own,
            // The text of a row changes as it settles.
            (None, None) => {
                (self.posted_on, self.amount) == (row.posted_on, row.amount)
                    && (!self.settled || self.description == row.description)
            }
            _ => false,
        }
    }
}

impl Written {
    /// As a connector hands it over.
    pub fn record(self, currency_code: &str) -> TransactionRecord {
        let midnight = self.posted_on.and_time(chrono::NaiveTime::MIN).and_utc();
        TransactionRecord {
            id: self.id,
            date: Timestamp::from(midnight),
            posted_on: self.posted_on,
            description: self.description,
            description_raw: None,
            amount: self.amount,
            amount_in_account_currency: None,
            currency_code: currency_code.to_owned(),
            kind: if self.amount.is_negative() {
                TransactionType::Debit
            } else {
                TransactionType::Credit
            },
            status: self.status,
            balance: None,
            provider_code: None,
            details: super::TransactionDetails::default(),
        }
    }

    /// In the place of a row, whose other details stay.
    pub fn over(self, row: TransactionRecord) -> TransactionRecord {
        let same = self.amount == row.amount;
        TransactionRecord {
            description_raw: row.description_raw,
            amount_in_account_currency: row.amount_in_account_currency.filter(|_| same),
            balance: row.balance.filter(|_| same),
            provider_code: row.provider_code,
            details: row.details,
            ..self.record(&row.currency_code)
        }
    }

    /// What it is recognised by.
    pub fn mark(&self) -> Mark {
        Mark {
            id: self.id.clone(),
            posted_on: self.posted_on,
            amount: self.amount,
            description: self.description.clone(),
            settled: self.status == TransactionStatus::Posted,
        }
    }
}

fn told(code: ExecutionStatus) -> Failure {
    Failure::new(code, "the run was told in the laboratory to fail like this")
}

impl Laboratory {
    /// The failure that was asked for at a product's step, or of the login when `None`.
    pub fn failure(&self, at: Option<Product>) -> Option<Failure> {
        if self.offline && at.is_none() {
            return Some(Failure::new(
                ExecutionStatus::SiteNotAvailable,
                "the bank has been switched OFFLINE in the laboratory",
            ));
        }
        let (code, place) = self.fails?;
        (place == at && code != ExecutionStatus::MergeError).then(|| told(code))
    }

    /// The warning that was asked for at a product's step.
    pub fn warning(&self, at: Product) -> Option<Warning> {
        let (_, warning) = self.warns.as_ref().filter(|(product, _)| *product == at)?;
        Some(warning.clone())
    }

    /// The failure to store what was collected, if that was asked for.
    pub fn merge_failure(&self) -> Option<Failure> {
        let (code, _) = self.fails?;
        (code == ExecutionStatus::MergeError).then(|| told(code))
    }

    /// What the edits of an account's book come to, of rows of a window that count towards its balance: written ones that are
    /// POSTED, and struck ones that had settled or would have, up to a day.
    pub fn difference(
        &self,
        account: &str,
        window: Window,
        settled_to: NaiveDate,
    ) -> Option<Amount> {
        let inside = |day| (window.from..=window.to).contains(&day);
        let mut sum = Amount::ZERO;
        for edit in self.of(account) {
            let written = edit.written.as_ref();
            let written = written.filter(|row| row.status == TransactionStatus::Posted);
            if let Some(row) = written.filter(|row| inside(row.posted_on)) {
                sum = sum.checked_add(row.amount).ok()?;
            }
            let struck = edit.struck.as_ref();
            let struck = struck.filter(|mark| mark.settled || mark.posted_on <= settled_to);
            if let Some(mark) = struck.filter(|mark| inside(mark.posted_on)) {
                sum = sum.checked_sub(mark.amount).ok()?;
            }
        }
        Some(sum)
    }

    /// What was done to an account's book, in order.
    pub fn of<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Edit> {
        let own = self.edits.iter().filter(move |(key, _)| key == account);
        own.map(|(_, edit)| edit)
    }
}
