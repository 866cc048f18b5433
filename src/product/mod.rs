//! What Items collect: staged as it streams in, merged when everything is there, listed by owner.
//!
//! One file per product, and one for what all those have in common that are read whole (`snapshot`). Staging writes short
//! transactions keyed by run, account and row; merging is one set-based transaction per account or other parent. Helpers
//! that write take a connection and so compose; the sync worker owns begin and commit.

pub mod account;
pub mod bill;
pub mod identity;
pub mod investment;
pub mod list;
pub mod loan;
pub mod paper;
pub mod particulars;
pub mod replacement;
pub mod snapshot;
pub mod statement;
pub mod summary;
pub mod text;
pub mod transaction;

pub use crate::item::history::Counts;
