//! Lists as clients read them: Relay connections, their arguments and their cursors.
//!
//! A cursor is the key of a row in a version and for a kind of list: opaque to clients, good for as long as the row's
//! key orders it, refused with BAD_CURSOR anywhere else. Cursors of the log are others, see [`crate::event::cursor`].

use async_graphql::SimpleObject;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{Datelike as _, NaiveDate};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    db::page::{Key, Slice},
    error::{Error, Result},
    money::Amount,
};

const VERSION: u8 = 1;

/// What a cursor belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    /// Items.
    Items = 1,
    /// Accounts.
    Accounts = 2,
    /// Transactions.
    Transactions = 3,
    /// Consents.
    Consents = 4,
    /// Connectors.
    Connectors = 5,
    /// Webhooks.
    Webhooks = 6,
    /// Deliveries.
    Deliveries = 7,
    /// Entries of the audit log.
    AuditEntries = 8,
    /// Runs of Items.
    Executions = 9,
    /// Positions.
    Investments = 20,
    /// Movements of positions.
    InvestmentTransactions = 21,
    /// Loans.
    Loans = 22,
    /// Bills.
    Bills = 23,
    /// Statements.
    Statements = 24,
    /// Categories.
    Categories = 40,
    /// Category rules.
    CategoryRules = 41,
    /// Transactions, oldest first.
    TransactionsByDay = 42,
    /// Transactions, the largest amount first.
    TransactionsByFallingAmount = 43,
    /// Transactions, the smallest amount first.
    TransactionsByRisingAmount = 44,
    /// Transactions, the latest seen first.
    TransactionsByCreation = 45,
}

/// The cursor of a row.
pub fn cursor(list: List, key: Key) -> String {
    let mut bytes = vec![VERSION, list as u8];
    match key {
        Key::Id(id) => bytes.extend_from_slice(id.as_bytes()),
        Key::Day(day, id) => {
            bytes.extend_from_slice(&day.num_days_from_ce().to_be_bytes());
            bytes.extend_from_slice(id.as_bytes());
        }
        Key::Position(position) => bytes.extend_from_slice(&position.to_be_bytes()),
        Key::Amount(amount, id) => {
            bytes.extend_from_slice(&amount.units().to_be_bytes());
            bytes.extend_from_slice(&amount.nanos().to_be_bytes());
            bytes.extend_from_slice(id.as_bytes());
        }
        Key::At(at, id) => {
            bytes.extend_from_slice(&at.0.to_be_bytes());
            bytes.extend_from_slice(id.as_bytes());
        }
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key(list: List, cursor: &str) -> Result<Key> {
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| Error::BadCursor)?;
    let key = match &bytes[..] {
        [version, kind, key @ ..] if *version == VERSION && *kind == list as u8 => key,
        _ => return Err(Error::BadCursor),
    };
    let id = |bytes: &[u8]| Uuid::from_slice(bytes).map_err(|_| Error::BadCursor);
    match list {
        List::Items
        | List::Accounts
        | List::Consents
        | List::Webhooks
        | List::Deliveries
        | List::AuditEntries
        | List::Executions
        | List::Investments
        | List::Loans
        | List::CategoryRules => Ok(Key::Id(id(key)?)),
        List::Transactions
        | List::TransactionsByDay
        | List::InvestmentTransactions
        | List::Bills
        | List::Statements => {
            let (day, rest) = key.split_first_chunk().ok_or(Error::BadCursor)?;
            let day = NaiveDate::from_num_days_from_ce_opt(i32::from_be_bytes(*day))
                .ok_or(Error::BadCursor)?;
            Ok(Key::Day(day, id(rest)?))
        }
        List::TransactionsByFallingAmount | List::TransactionsByRisingAmount => {
            let (units, rest) = key.split_first_chunk().ok_or(Error::BadCursor)?;
            let (nanos, rest) = rest.split_first_chunk().ok_or(Error::BadCursor)?;
            let (units, nanos) = (i64::from_be_bytes(*units), i32::from_be_bytes(*nanos));
            let amount = Amount::from_parts(units, nanos).map_err(|_| Error::BadCursor)?;
            Ok(Key::Amount(amount, id(rest)?))
        }
        List::TransactionsByCreation => {
            let (at, rest) = key.split_first_chunk().ok_or(Error::BadCursor)?;
            Ok(Key::At(Timestamp(i64::from_be_bytes(*at)), id(rest)?))
        }
        List::Connectors | List::Categories => {
            let position = key.try_into().map_err(|_| Error::BadCursor)?;
            Ok(Key::Position(i64::from_be_bytes(position)))
        }
    }
}

/// The arguments of a list, as sent.
#[derive(Clone, Debug, Default)]
pub struct Arguments {
    /// So many from the start.
    pub first: Option<i32>,
    /// Behind this cursor.
    pub after: Option<String>,
    /// So many from the end.
    pub last: Option<i32>,
    /// Before this cursor.
    pub before: Option<String>,
}

impl Arguments {
    /// Checks them. A page has `most` rows at most, and [`super::DEFAULT_ROWS`] unless told.
    pub fn slice(&self, list: List, most: usize) -> Result<Slice> {
        if self.first.is_some() && self.last.is_some() {
            return Err(Error::invalid("last", "give first or last, not both"));
        }
        let limit = match (self.first, self.last) {
            (Some(rows), _) => limit("first", rows, most)?,
            (_, Some(rows)) => limit("last", rows, most)?,
            (None, None) => super::DEFAULT_ROWS.min(most),
        };
        let key = |cursor: &Option<String>| cursor.as_deref().map(|it| key(list, it)).transpose();
        Ok(Slice {
            after: key(&self.after)?,
            before: key(&self.before)?,
            limit,
            backward: self.last.is_some(),
        })
    }
}

/// Checks the `first` of a list that is read forward only.
pub fn rows(first: Option<i32>, most: usize) -> Result<usize> {
    first.map_or(Ok(super::DEFAULT_ROWS), |rows| limit("first", rows, most))
}

fn limit(field: &'static str, rows: i32, most: usize) -> Result<usize> {
    usize::try_from(rows)
        .ok()
        .filter(|rows| *rows <= most)
        .ok_or_else(|| Error::invalid(field, format!("must be between 0 and {most}")))
}

/// Where a page stands in its list.
#[derive(SimpleObject)]
pub struct PageInfo {
    /// Whether there are rows behind this page.
    pub has_next_page: bool,
    /// Whether there are rows before this page.
    pub has_previous_page: bool,
    /// Cursor of the first row; null on an empty page.
    pub start_cursor: Option<String>,
    /// Cursor of the last row; null on an empty page. Give it as `after` to go on.
    pub end_cursor: Option<String>,
}

/// A row that has a cursor.
pub trait Pointed {
    /// Its cursor.
    fn pointer(&self) -> String;
}

/// Declares the connection and the edge of a type.
macro_rules! connection {
    (
        $(#[$doc:meta])* $connection:ident,
        $(#[$edge_doc:meta])* $edge:ident,
        $node:ty
        $(, counted by $count:ty)?
    ) => {
        $(#[$doc])*
        pub struct $connection {
            nodes: Vec<$node>,
            has_next: bool,
            has_previous: bool,
            $(count: $count,)?
        }

        impl $connection {
            /// Of a page's rows.
            pub fn new<R>(page: crate::db::page::Page<R> $(, count: $count)?) -> Self
            where
                R: Into<$node>,
            {
                Self {
                    nodes: page.rows.into_iter().map(Into::into).collect(),
                    has_next: page.has_next,
                    has_previous: page.has_previous,
                    $(count: { let count: $count = count; count },)?
                }
            }
        }

        $(#[$doc])*
        #[async_graphql::Object]
        impl $connection {
            /// The rows of this page, each with its cursor.
            async fn edges(&self) -> Vec<$edge<'_>> {
                self.nodes.iter().map($edge).collect()
            }

            /// The rows of this page.
            async fn nodes(&self) -> crate::graphql::rows::Rows<'_, $node> {
                crate::graphql::rows::Rows(&self.nodes)
            }

            /// Where this page stands in its list.
            async fn page_info(&self) -> crate::graphql::page::PageInfo {
                use crate::graphql::page::Pointed as _;

                crate::graphql::page::PageInfo {
                    has_next_page: self.has_next,
                    has_previous_page: self.has_previous,
                    start_cursor: self.nodes.first().map(|node| node.pointer()),
                    end_cursor: self.nodes.last().map(|node| node.pointer()),
                }
            }

            $(
                /// How many rows the whole list has with this filter, on all pages. Counted when asked for.
                async fn total_count(&self, ctx: &async_graphql::Context<'_>) -> async_graphql::Result<i64> {
                    let count: &$count = &self.count;
                    let rows = count.count(ctx).await?;
                    Ok(rows)
                }
            )?
        }

        $(#[$edge_doc])*
        pub struct $edge<'a>(&'a $node);

        $(#[$edge_doc])*
        #[async_graphql::Object]
        impl $edge<'_> {
            /// Where this row stands: give it as `after` or `before` to read on from here.
            async fn cursor(&self) -> String {
                use crate::graphql::page::Pointed as _;

                self.0.pointer()
            }

            /// The row.
            async fn node(&self) -> &$node {
                self.0
            }
        }
    };
}
pub(crate) use connection;
