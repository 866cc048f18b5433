//! Rows of the same shape, many at a time: read by place, in the order of the SELECT list.

use chrono::NaiveDate;
use entity::{
    kind::{
        AccountSubtype, AccountType, AuditAction, AuditActor, AutoSyncDrop, CategoryMatch,
        CategorySource, ChangeAction, DeliveryStatus, EntityKind, EventType, ExecutionStatus,
        InvestmentTransactionType, InvestmentType, LoanKind, TransactionStatus, TransactionType,
        TriggeredBy, WebhookPayload,
    },
    time::Timestamp,
};
use sea_orm::{QueryResult, RuntimeErr, sqlx};
use serde_json::Value as Json;
use sqlx::{Row as _, ValueRef as _};
use uuid::Uuid;

use super::page::Key;
use crate::error::{Error, Result};

/// A row that pages are made of.
pub trait Row: Sized {
    /// What is read of it.
    const COLUMNS: &'static [&'static str];

    /// Reads it; the columns come in the order of [`Row::COLUMNS`].
    fn read(cells: &mut Cells<'_>) -> Result<Self>;

    /// Where it stands.
    fn key(&self) -> Key;
}

/// The columns of a row, one after another.
pub struct Cells<'a> {
    row: &'a QueryResult,
    place: usize,
}

impl<'a> Cells<'a> {
    /// Of a row, from its first column.
    pub fn new(row: &'a QueryResult) -> Self {
        Self { row, place: 0 }
    }

    /// The next column.
    pub fn take<T: Cell>(&mut self) -> Result<T> {
        let cell = T::at(self.row, self.place);
        self.place += 1;
        cell
    }

    fn is_null(row: &QueryResult, place: usize) -> Result<bool> {
        let null = if let Some(row) = row.try_as_pg_row() {
            row.try_get_raw(place).map(|cell| cell.is_null())
        } else if let Some(row) = row.try_as_sqlite_row() {
            row.try_get_raw(place).map(|cell| cell.is_null())
        } else {
            return Err(Error::internal("a row of an unknown engine"));
        };
        null.map_err(|error| sea_orm::DbErr::Query(RuntimeErr::SqlxError(error.into())).into())
    }
}

/// What a column holds.
pub trait Cell: Sized {
    /// Reads the column at a place.
    fn at(row: &QueryResult, place: usize) -> Result<Self>;
}

macro_rules! cells {
    ($($kind:ty),+ $(,)?) => {
        $(impl Cell for $kind {
            fn at(row: &QueryResult, place: usize) -> Result<Self> {
                Ok(row.try_get_by_index(place)?)
            }
        })+
    };
}

cells!(
    bool,
    i32,
    i64,
    AccountSubtype,
    AccountType,
    AuditAction,
    AuditActor,
    AutoSyncDrop,
    CategoryMatch,
    CategorySource,
    ChangeAction,
    DeliveryStatus,
    EntityKind,
    EventType,
    ExecutionStatus,
    InvestmentTransactionType,
    InvestmentType,
    Json,
    LoanKind,
    NaiveDate,
    String,
    Timestamp,
    TransactionStatus,
    TransactionType,
    TriggeredBy,
    Uuid,
    Vec<u8>,
    WebhookPayload,
);

/// SeaORM by itself words an error for every NULL before it makes it a `None`.
impl<T: Cell> Cell for Option<T> {
    fn at(row: &QueryResult, place: usize) -> Result<Self> {
        if Cells::is_null(row, place)? {
            Ok(None)
        } else {
            T::at(row, place).map(Some)
        }
    }
}

/// Makes a row of a model: its columns are its fields, all of them.
macro_rules! stored {
    ($model:ty { $($column:ident),+ $(,)? }, |$row:ident| $key:expr) => {
        impl $crate::db::row::Row for $model {
            const COLUMNS: &'static [&'static str] = &[$(stringify!($column)),+];

            fn read(cells: &mut $crate::db::row::Cells<'_>) -> $crate::error::Result<Self> {
                Ok(Self { $($column: cells.take()?),+ })
            }

            fn key(&self) -> $crate::db::page::Key {
                let $row = self;
                $key
            }
        }
    };
}
pub(crate) use stored;
