//! What Items collect: staged as it streams in, merged when everything is there, listed by owner.
//!
//! One file per product. Staging writes short transactions keyed by run, account and row; merging is one set-based
//! transaction per account. Helpers that write take a connection and so compose; the sync worker owns begin and commit.

pub mod account;
pub mod identity;
pub mod list;
pub mod summary;
pub mod text;
pub mod transaction;

use serde::{Deserialize, Serialize};

/// What a merge did to the rows of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// New rows.
    pub created: u64,
    /// Rows that are different now.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
    /// Rows that were read and are as they were.
    pub unchanged: u64,
}
