//! Statements of snapshots: what an institution shows whole, staged as documents, against what is stored of one parent.

use std::{collections::HashMap, fmt::Write as _};

use entity::time::Timestamp;
use sea_orm::{ConnectionTrait, Statement, Value};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Db, Engine, execution::limit_value};
use crate::{connector::Window, error::Result};

/// Most values of one statement; SQLite takes 32,766.
const MOST_VALUES: usize = 30_000;
/// Most ids of one statement.
const MOST_IDS: usize = 500;

/// Where the rows of a snapshot are stored: in a table with `id`, `application_id`, `item_id`, `key`, `digest`, `details`,
/// `created_at` and `updated_at`, and a unique index over `parent` and `key`.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its name.
    pub name: &'static str,
    /// The column of whatever its rows belong to: `item_id`, or one of its own.
    pub parent: &'static str,
    /// What lists filter, order and sum by, beside the details.
    pub columns: &'static [&'static str],
    /// What becomes of rows that the institution no longer shows.
    pub vanished: Vanished,
}

/// What becomes of rows that the institution no longer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vanished {
    /// They stay, marked `closed_at`, until the institution shows them again.
    Closed,
    /// They go.
    Deleted,
    /// They stay as they are: what is shown is the latest part of a history.
    Kept,
}

/// Whose staged documents meet which stored rows.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The run.
    pub execution: Uuid,
    /// What the documents are staged as.
    pub staged: &'a str,
    /// What the stored rows belong to.
    pub parent: Uuid,
    /// Only what has a day of this column inside of this window can have vanished.
    pub within: Option<(&'static str, Window)>,
}

/// A stored row, without its content.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Identity.
    pub id: Uuid,
    /// What identifies it at the institution.
    pub key: String,
    /// Of its content.
    pub digest: Vec<u8>,
    /// Whether the institution has ceased to show it.
    pub closed: bool,
}

/// A row to be stored.
#[derive(Clone, Debug)]
pub struct Row {
    /// Identity.
    pub id: Uuid,
    /// What identifies it at the institution.
    pub key: String,
    /// Of its content.
    pub digest: Vec<u8>,
    /// Its content.
    pub details: Json,
    /// Values of [`Table::columns`].
    pub columns: Vec<Value>,
}

/// Whose rows are stored.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The application.
    pub application: Uuid,
    /// The Item.
    pub item: Uuid,
}

/// What is stored of a parent under these keys.
pub async fn stored(
    db: &Db,
    txn: &impl ConnectionTrait,
    table: Table,
    parent: Uuid,
    keys: &[String],
) -> Result<Vec<Stored>> {
    let closed = match table.vanished {
        Vanished::Closed => "closed_at IS NOT NULL",
        Vanished::Deleted | Vanished::Kept => "1 = 0",
    };
    let mut found = Vec::new();
    for keys in keys.chunks(MOST_IDS) {
        let sql = format!(
            "SELECT id, key, digest, {closed} AS closed FROM {} WHERE {} = $1 AND key IN ({})",
            table.name,
            table.parent,
            places(2, keys.len()),
        );
        let values = std::iter::once(parent.into()).chain(keys.iter().map(Value::from));
        let statement = Statement::from_sql_and_values(db.backend(), sql, values);
        for row in txn.query_all_raw(statement).await? {
            found.push(Stored {
                id: row.try_get("", "id")?,
                key: row.try_get("", "key")?,
                digest: row.try_get("", "digest")?,
                closed: row.try_get("", "closed")?,
            });
        }
    }
    Ok(found)
}

/// The content of these rows.
pub async fn details(
    db: &Db,
    txn: &impl ConnectionTrait,
    table: Table,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Json>> {
    let mut found = HashMap::with_capacity(ids.len());
    for ids in ids.chunks(MOST_IDS) {
        let sql = format!(
            "SELECT id, details FROM {} WHERE id IN ({})",
            table.name,
            places(1, ids.len())
        );
        let values = ids.iter().map(|id| Value::from(*id));
        let statement = Statement::from_sql_and_values(db.backend(), sql, values);
        for row in txn.query_all_raw(statement).await? {
            found.insert(row.try_get("", "id")?, row.try_get("", "details")?);
        }
    }
    Ok(found)
}

/// Stores rows: inserts those with a new id, replaces the content of the others, and opens them again.
pub async fn put(
    db: &Db,
    txn: &impl ConnectionTrait,
    table: Table,
    (owner, parent): (Owner, Uuid),
    rows: Vec<Row>,
    now: Timestamp,
) -> Result<()> {
    let mut columns = vec!["id", "application_id", "item_id"];
    let of_parent = table.parent != "item_id";
    if of_parent {
        columns.push(table.parent);
    }
    columns.extend(["key", "digest", "details", "created_at", "updated_at"]);
    columns.extend(table.columns);
    let replaced = ["digest", "details", "updated_at"].iter();
    let mut replaced: Vec<String> = replaced
        .chain(table.columns)
        .map(|column| format!("{column} = excluded.{column}"))
        .collect();
    if table.vanished == Vanished::Closed {
        replaced.push("closed_at = NULL".to_owned());
    }
    let width = columns.len();
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let (mut lists, mut values) = (Vec::new(), Vec::<Value>::new());
        for row in rows.by_ref().take(MOST_VALUES / width) {
            lists.push(format!("({})", places(values.len() + 1, width)));
            values.extend([row.id.into(), owner.application.into(), owner.item.into()]);
            values.extend(of_parent.then(|| Value::from(parent)));
            values.extend([row.key.into(), row.digest.into(), row.details.into()]);
            values.extend([now.0.into(), now.0.into()]);
            values.extend(row.columns);
        }
        let sql = format!(
            "INSERT INTO {} ({}) VALUES {} ON CONFLICT (id) DO UPDATE SET {}",
            table.name,
            columns.join(", "),
            lists.join(", "),
            replaced.join(", "),
        );
        txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
            .await?;
    }
    Ok(())
}

/// The rows of a parent of which the run has no trace.
pub async fn gone(
    db: &Db,
    txn: &impl ConnectionTrait,
    table: Table,
    side: Side<'_>,
) -> Result<Vec<Uuid>> {
    let mut sql = format!(
        "SELECT t.id AS id FROM {} t WHERE t.{} = $1 AND NOT EXISTS (SELECT 1 FROM staged_document s \
         WHERE s.execution_id = $2 AND s.kind = $3 AND s.key = t.key)",
        table.name, table.parent
    );
    let mut values: Vec<Value> = vec![
        side.parent.into(),
        side.execution.into(),
        side.staged.into(),
    ];
    if table.vanished == Vanished::Closed {
        sql.push_str(" AND t.closed_at IS NULL");
    }
    if let Some((column, window)) = side.within {
        write!(sql, " AND t.{column} BETWEEN $4 AND $5").expect("a String takes everything");
        values.extend([window.from.into(), window.to.into()]);
    }
    let rows = txn
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Marks rows as no longer shown.
pub async fn close(
    db: &Db,
    txn: &impl ConnectionTrait,
    table: Table,
    ids: &[Uuid],
    now: Timestamp,
) -> Result<()> {
    for ids in ids.chunks(MOST_IDS) {
        let sql = format!(
            "UPDATE {} SET closed_at = $1, updated_at = $1 WHERE id IN ({})",
            table.name,
            places(2, ids.len())
        );
        let values = std::iter::once(now.0.into()).chain(ids.iter().map(|id| Value::from(*id)));
        txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
            .await?;
    }
    Ok(())
}

/// Deletes rows.
pub async fn delete(db: &Db, txn: &impl ConnectionTrait, table: Table, ids: &[Uuid]) -> Result<()> {
    for ids in ids.chunks(MOST_IDS) {
        let sql = format!(
            "DELETE FROM {} WHERE id IN ({})",
            table.name,
            places(1, ids.len())
        );
        let values = ids.iter().map(|id| Value::from(*id));
        txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
            .await?;
    }
    Ok(())
}

/// Removes some of the documents that a run has staged, and says how many: those of one kind with all its parents, or all.
pub async fn forget(
    db: &Db,
    connection: &impl ConnectionTrait,
    execution: Uuid,
    kind: Option<&str>,
    limit: usize,
) -> Result<usize> {
    let (place, one, rest) = match db.engine() {
        Engine::Postgres => ("ctid", "= ANY(ARRAY(", "))"),
        Engine::Sqlite => ("rowid", "IN (", ")"),
    };
    let mut values: Vec<Value> = vec![execution.into(), limit_value(limit)];
    let of_kind = match kind {
        None => "",
        Some(kind) => {
            values.extend([kind.into(), format!("{kind}/").into()]);
            " AND (kind = $3 OR substr(kind, 1, length($4)) = $4)"
        }
    };
    let sql = format!(
        "DELETE FROM staged_document WHERE {place} {one}\
         SELECT {place} FROM staged_document WHERE execution_id = $1{of_kind} LIMIT $2{rest}"
    );
    let done = connection
        .execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

/// `$from, …`, so many.
fn places(from: usize, count: usize) -> String {
    let places: Vec<String> = (from..from + count).map(|n| format!("${n}")).collect();
    places.join(", ")
}
