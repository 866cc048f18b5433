//! Statements of accounts, as connectors hand them over.

use bytes::Bytes;
use chrono::NaiveDate;

/// Largest file of a statement.
pub const LARGEST_STATEMENT: usize = 10 * 1024 * 1024;

/// A statement that an institution has issued for a month of an account: a PDF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRecord {
    /// What identifies it at the institution, stable between runs, unique within an account.
    pub key: String,
    /// Any day of the month that it is for.
    pub month: NaiveDate,
    /// The file, at most [`LARGEST_STATEMENT`] bytes.
    pub contents: Bytes,
}
