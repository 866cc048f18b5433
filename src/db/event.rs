//! Statements of the relay.

use entity::{change, event};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult as _, IdenStatic as _,
    Iterable as _, QueryFilter as _, Statement,
};
use uuid::Uuid;

use super::{Db, Engine, execution::limit_value};
use crate::{clock::Timestamp, error::Result};

/// Applications with committed events that have no position yet, the longest waiting first.
pub async fn unpublished_applications(db: &Db) -> Result<Vec<Uuid>> {
    let sql = "SELECT application_id FROM event WHERE position IS NULL GROUP BY application_id ORDER BY min(sequence) LIMIT 1000";
    let rows = db
        .read()
        .query_all_raw(Statement::from_string(db.backend(), sql))
        .await?;
    rows.into_iter()
        .map(|row| Ok(row.try_get("", "application_id")?))
        .collect()
}

/// Gives the oldest unpublished events of an application the next positions, holding its head row, and answers them in
/// that order; `None` while somebody else holds it. SQLite's single writer is never held up there.
pub async fn stamp(
    db: &Db,
    txn: &impl ConnectionTrait,
    application: Uuid,
    limit: u64,
) -> Result<Option<Vec<event::Model>>> {
    let head = match db.engine() {
        Engine::Postgres => {
            "SELECT position FROM event_head WHERE application_id = $1 FOR UPDATE SKIP LOCKED"
        }
        Engine::Sqlite => "SELECT position FROM event_head WHERE application_id = $1",
    };
    let row = txn
        .query_one_raw(Statement::from_sql_and_values(
            db.backend(),
            head,
            [application.into()],
        ))
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    let head: i64 = row.try_get("", "position")?;
    // SQLite takes no `event.*` here, and the batch has columns of the same names.
    let columns: Vec<String> = event::Column::iter()
        .map(|column| format!("event.{0} AS {0}", column.as_str()))
        .collect();
    let sql = format!(
        "UPDATE event SET position = batch.position FROM (\
                 SELECT sequence, $1 + row_number() OVER (ORDER BY sequence) AS position FROM (\
                   SELECT sequence FROM event WHERE position IS NULL AND application_id = $2 ORDER BY sequence LIMIT $3\
                 ) oldest\
               ) batch WHERE event.sequence = batch.sequence RETURNING {}",
        columns.join(", ")
    );
    let statement = Statement::from_sql_and_values(
        db.backend(),
        sql,
        [
            head.into(),
            application.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
        ],
    );
    let rows = txn.query_all_raw(statement).await?;
    let mut events = rows
        .iter()
        .map(|row| Ok(event::Model::from_query_result(row, "")?))
        .collect::<Result<Vec<_>>>()?;
    events.sort_unstable_by_key(|event| event.position);
    if let Some(last) = events.last() {
        event_head_to(txn, application, last.position.unwrap_or(head)).await?;
    }
    Ok(Some(events))
}

async fn event_head_to(txn: &impl ConnectionTrait, application: Uuid, position: i64) -> Result<()> {
    use entity::event_head::{Column, Entity};
    use sea_orm::sea_query::Expr;

    Entity::update_many()
        .col_expr(Column::Position, Expr::value(position))
        .filter(Column::ApplicationId.eq(application))
        .exec(txn)
        .await?;
    Ok(())
}

/// Removes some of an application's test events that were made before an instant, and says how many.
pub async fn forget_tests(
    db: &Db,
    application: Uuid,
    before: Timestamp,
    limit: usize,
) -> Result<usize> {
    let sql = "DELETE FROM test_event WHERE id IN (\
          SELECT id FROM test_event WHERE application_id = $1 AND created_at < $2 ORDER BY created_at LIMIT $3)";
    let values = [application.into(), before.0.into(), limit_value(limit)];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let done = db.write().execute_raw(statement).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

/// Removes some of the oldest events of an application that were appended before an instant, with the changes they tell,
/// and says how many events that were. Never one behind an event that is kept. At least one goes, however much it tells;
/// more only while no more than `limit` rows go in all.
pub async fn forget(db: &Db, application: Uuid, before: Timestamp, limit: usize) -> Result<usize> {
    let sql = "SELECT sequence, 1 + coalesce((SELECT max(ordinal) + 1 FROM change WHERE event_sequence = event.sequence), 0) AS weight \
          FROM event WHERE application_id = $1 AND position IS NOT NULL AND position < coalesce((\
            SELECT position FROM event WHERE application_id = $1 AND position IS NOT NULL AND created_at >= $2 \
            ORDER BY position LIMIT 1), 9223372036854775807) ORDER BY position LIMIT $3";
    let values = [application.into(), before.0.into(), limit_value(limit)];
    let txn = db.begin().await?;
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let mut events: Vec<i64> = Vec::new();
    let mut total = 0;
    for row in txn.query_all_raw(statement).await? {
        let weight: i32 = row.try_get("", "weight")?;
        total += usize::try_from(weight).unwrap_or(limit);
        if total > limit && !events.is_empty() {
            break;
        }
        events.push(row.try_get("", "sequence")?);
    }
    for events in events.chunks(500) {
        change::Entity::delete_many()
            .filter(change::Column::EventSequence.is_in(events.iter().copied()))
            .exec(&txn)
            .await?;
        event::Entity::delete_many()
            .filter(event::Column::Sequence.is_in(events.iter().copied()))
            .exec(&txn)
            .await?;
    }
    txn.commit().await?;
    Ok(events.len())
}
