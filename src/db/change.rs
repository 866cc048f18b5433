//! Statements of the feed of changes.
//!
//! A row belongs to the event that tells of it, and stands where its event stands: the relay gives both their place.

use entity::{
    kind::{ChangeAction, EntityKind},
    time::Timestamp,
};
use sea_orm::{ConnectionTrait, Statement, Value};
use serde_json::Value as Json;
use uuid::Uuid;

use super::{Db, Engine, execution::limit_value, merge::Side, row::Cells};
use crate::error::Result;

/// Writes what events tell: a list of objects with the event `e`, its place `o` there, the kind `k`, the id `i`, the
/// action `a`, and the fields `f` if any have changed. Ids are bare hexadecimal.
pub async fn insert(db: &Db, txn: &impl ConnectionTrait, rows: Json) -> Result<()> {
    let (columns, from, event) = match db.engine() {
        Engine::Postgres => (
            "x.o, x.k, x.i, x.a, x.f",
            "jsonb_to_recordset($1) AS x(e uuid, o integer, k text, i uuid, a text, f jsonb)",
            "x.e",
        ),
        Engine::Sqlite => (
            "x.value ->> 'o', x.value ->> 'k', unhex(x.value ->> 'i'), x.value ->> 'a', x.value -> 'f'",
            "json_each($1) x",
            "unhex(x.value ->> 'e')",
        ),
    };
    // Looked up row by row: a large merge has switched loops off, and a hash would be one over the whole log.
    let sql = format!(
        "INSERT INTO change (event_sequence, ordinal, kind, entity_id, action, fields) \
         SELECT (SELECT e.sequence FROM event e WHERE e.id = {event}), {columns} FROM {from}"
    );
    txn.execute_raw(Statement::from_sql_and_values(
        db.backend(),
        sql,
        [rows.into()],
    ))
    .await?;
    Ok(())
}

/// Writes that an event tells of the transactions that a run has just inserted, behind its `from`th place. They come in
/// no particular order: sorting them would cost as much as writing them.
pub async fn insert_created(
    db: &Db,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    event: Uuid,
    from: i32,
) -> Result<()> {
    let inserted = match db.engine() {
        // A hash over the account's rows instead of everybody's.
        Engine::Postgres => "t.id = s.new_id AND t.account_id = $3",
        // The key's index alone; nobody else has these ids.
        Engine::Sqlite => "t.id = s.new_id AND $3 IS NOT NULL",
    };
    let sql = format!(
        "INSERT INTO change (event_sequence, ordinal, kind, entity_id, action) \
         SELECT (SELECT sequence FROM event WHERE id = $4), $5 + row_number() OVER (), 'TRANSACTION', s.new_id, 'CREATED' \
         FROM staged_transaction s WHERE s.execution_id = $1 AND s.account_key = $2 AND EXISTS (SELECT 1 FROM account_transaction t WHERE {inserted})"
    );
    let [execution, key, account] = side.values();
    let values = [execution, key, account, event.into(), from.into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// A published change.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its event's place in the log.
    pub position: i64,
    /// Its own place among what that event tells.
    pub ordinal: i32,
    /// What has changed.
    pub kind: EntityKind,
    /// Which one.
    pub entity: Uuid,
    /// How.
    pub action: ChangeAction,
    /// Names of the fields that are different now.
    pub fields: Option<Json>,
    /// The Item it belongs to.
    pub item: Option<Uuid>,
    /// When it happened.
    pub created_at: Timestamp,
}

const COLUMNS: &str =
    "e.position, c.ordinal, c.kind, c.entity_id, c.action, c.fields, e.item_id, e.created_at";

/// The first changes of an application behind a place.
///
/// First what is left of that event, then the events behind it: each part is read along one index and not further than
/// it is long, however many rows an event has.
pub async fn after(
    db: &Db,
    application: Uuid,
    position: i64,
    ordinal: i32,
    limit: usize,
) -> Result<Vec<Published>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM event e CROSS JOIN change c WHERE e.application_id = $1 AND e.position = $2 \
         AND c.event_sequence = e.sequence AND c.ordinal > $3 ORDER BY c.ordinal LIMIT $4"
    );
    let values = vec![
        application.into(),
        position.into(),
        ordinal.into(),
        limit_value(limit),
    ];
    let mut found = read(db, sql, values).await?;
    if found.len() < limit {
        let (changes, within) = match db.engine() {
            Engine::Postgres => (
                "LATERAL (SELECT * FROM change WHERE event_sequence = e.sequence ORDER BY ordinal LIMIT $3) c",
                "",
            ),
            Engine::Sqlite => ("change c", "AND c.event_sequence = e.sequence"),
        };
        // With the sequence, SQLite knows that it reads in order, and sorts nothing.
        let sql = format!(
            "SELECT {COLUMNS} FROM event e CROSS JOIN {changes} WHERE e.application_id = $1 AND e.position > $2 \
             AND e.position IS NOT NULL {within} ORDER BY e.position, e.sequence, c.ordinal LIMIT $3"
        );
        let rest = limit_value(limit - found.len());
        found.extend(read(db, sql, vec![application.into(), position.into(), rest]).await?);
    }
    Ok(found)
}

/// Whether there is a change of an application at a place or before it.
pub async fn any_until(db: &Db, application: Uuid, position: i64, ordinal: i32) -> Result<bool> {
    let sql = "SELECT 1 FROM event e CROSS JOIN change c WHERE e.application_id = $1 AND e.position <= $2 \
               AND e.position IS NOT NULL AND c.event_sequence = e.sequence \
               AND (e.position < $2 OR c.ordinal <= $3) ORDER BY e.position DESC LIMIT 1";
    let values = [application.into(), position.into(), ordinal.into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Ok(db.read().query_one_raw(statement).await?.is_some())
}

async fn read(db: &Db, sql: String, values: Vec<Value>) -> Result<Vec<Published>> {
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let rows = db.read().query_all_raw(statement).await?;
    let published = |row| {
        let mut cells = Cells::new(row);
        Ok(Published {
            position: cells.take()?,
            ordinal: cells.take()?,
            kind: cells.take()?,
            entity: cells.take()?,
            action: cells.take()?,
            fields: cells.take()?,
            item: cells.take()?,
            created_at: cells.take()?,
        })
    };
    rows.iter().map(published).collect()
}

/// Removes some of what was told of an Item and what belonged to it, all but that it was deleted, and says how many
/// rows that were.
pub async fn forget_of_item(db: &Db, item: Uuid, limit: u64) -> Result<usize> {
    let sql = "DELETE FROM change WHERE (event_sequence, ordinal) IN (\
                 SELECT c.event_sequence, c.ordinal FROM event e CROSS JOIN change c \
                 WHERE e.item_id = $1 AND c.event_sequence = e.sequence \
                 AND NOT (c.kind = 'ITEM' AND c.action = 'DELETED') LIMIT $2)";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [item.into(), limit.into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let done = db.write().execute_raw(statement).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}
