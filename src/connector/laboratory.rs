//! What a sandbox application has made of the made-up bank of one of its Items.

use chrono::NaiveDate;
use entity::kind::{ExecutionStatus, Product, TransactionStatus, TransactionType};
use serde::{Deserialize, Serialize};

use super::{Failure, TransactionRecord, Window};
use crate::{clock::Timestamp, money::Amount};

/// What is different about a bank, in this run.
#[derive(Clone, Debug, Default)]
pub struct Laboratory {
    /// How many days the bank is ahead of the clock.
    pub days_ahead: u32,
    /// What the run fails with, and in which product's step; while logging in when `None`.
    pub fails: Option<(ExecutionStatus, Option<Product>)>,
    /// Whether nobody reaches the bank.
    pub offline: bool,
    /// What was done to its books: account key and edit, in order.
    pub edits: Vec<(String, Edit)>,
}

/// Something that was done to a book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edit {
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
            (None, None) => {
                (self.posted_on, self.amount) == (row.posted_on, row.amount)
                    && self.description == row.description
            }
            _ => false,
        }
    }
}

impl Written {
    /// As a connector hands it over.
    pub fn record(&self, currency_code: &str) -> TransactionRecord {
        let midnight = self.posted_on.and_time(chrono::NaiveTime::MIN).and_utc();
        TransactionRecord {
            id: self.id.clone(),
            date: Timestamp::from(midnight),
            posted_on: self.posted_on,
            description: self.description.clone(),
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
        (place == at)
            .then(|| Failure::new(code, "the run was told in the laboratory to fail like this"))
    }

    /// What was written into an account's book, inside a window.
    pub fn written<'a>(
        &'a self,
        account: &'a str,
        window: Window,
    ) -> impl Iterator<Item = &'a Written> {
        let written = self.of(account).filter_map(|edit| edit.written.as_ref());
        written.filter(move |row| (window.from..=window.to).contains(&row.posted_on))
    }

    /// What was struck out of an account's book. Each mark strikes out one row.
    pub fn struck<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Mark> {
        self.of(account).filter_map(|edit| edit.struck.as_ref())
    }

    /// What the edits of an account's book come to, of rows that count towards its balance.
    pub fn difference(&self, account: &str) -> Option<Amount> {
        let always = Window {
            from: NaiveDate::MIN,
            to: NaiveDate::MAX,
        };
        self.difference_within(account, always)
    }

    /// The same, of rows inside a window.
    pub fn difference_within(&self, account: &str, window: Window) -> Option<Amount> {
        let inside = |day| (window.from..=window.to).contains(&day);
        let mut sum = Amount::ZERO;
        for row in self.written(account, window) {
            if row.status == TransactionStatus::Posted {
                sum = sum.checked_add(row.amount).ok()?;
            }
        }
        for mark in self.struck(account) {
            if mark.settled && inside(mark.posted_on) {
                sum = sum.checked_sub(mark.amount).ok()?;
            }
        }
        Some(sum)
    }

    fn of<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Edit> {
        let own = self.edits.iter().filter(move |(key, _)| key == account);
        own.map(|(_, edit)| edit)
    }
}
