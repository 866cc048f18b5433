//! Statements about many Items at once.

use std::collections::BTreeMap;

use entity::{item, kind::ExecutionStatus};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Statement, Value,
};
use serde_json::json;
use uuid::Uuid;

use super::{Db, Engine};
use crate::{clock::Timestamp, error::Result};

/// When an Item's next automatic run may start, as it was read and as it is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The Item.
    pub id: Uuid,
    /// Of its latest run when it was read: whatever has happened since has made the schedule anew.
    pub status: ExecutionStatus,
    /// When its latest run had ended then.
    pub ended: Option<Timestamp>,
    /// The time it is given.
    pub at: Option<Timestamp>,
}

/// Gives Items the times at which their next automatic runs may start, unless a run of theirs has begun or ended since.
pub async fn set_due(db: &Db, connection: &impl ConnectionTrait, due: &[Due]) -> Result<()> {
    let listed: Vec<_> = due
        .iter()
        .map(|due| {
            json!({
                "id": due.id.simple().to_string(), "status": due.status.as_str(),
                "ended": due.ended.map(|at| at.0), "at": due.at.map(|at| at.0),
            })
        })
        .collect();
    let (listed_as, same) = match db.engine() {
        Engine::Postgres => (
            "jsonb_to_recordset($1::jsonb) AS l(id uuid, status text, ended bigint, at bigint)",
            "IS NOT DISTINCT FROM",
        ),
        Engine::Sqlite => (
            "(SELECT unhex(json_extract(value, '$.id')) AS id, json_extract(value, '$.status') AS status, \
               json_extract(value, '$.ended') AS ended, json_extract(value, '$.at') AS at FROM json_each($1)) l",
            "IS",
        ),
    };
    let sql = format!(
        "UPDATE item SET auto_sync_due_at = l.at FROM {listed_as} \
         WHERE item.id = l.id AND item.execution_status = l.status AND item.last_ended_at {same} l.ended AND item.deleted_at IS NULL"
    );
    let values = [json!(listed).to_string().into()];
    connection
        .execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// Notes on Items that a run of theirs has begun.
pub async fn set_started(
    db: &Db,
    connection: &impl ConnectionTrait,
    ids: &[Uuid],
    status: ExecutionStatus,
    now: Timestamp,
) -> Result<()> {
    let sql = format!(
        "UPDATE item SET execution_status = $1, updated_at = $2, auto_sync_due_at = NULL WHERE id IN ({})",
        listed(db, "$3")
    );
    let values = [status.as_str().into(), now.0.into(), list(db, ids)];
    connection
        .execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// Items of some connectors that nobody has touched since an instant, behind an id: at most so many are looked at. Answers
/// the id to go on from, if there are more to look at.
pub async fn untouched(
    db: &Db,
    connectors: &[i32],
    since: Timestamp,
    behind: Uuid,
    limit: usize,
) -> Result<(Vec<Uuid>, Option<Uuid>)> {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let looked: Vec<(Uuid, Timestamp)> = item::Entity::find()
        .filter(item::Column::ConnectorId.is_in(connectors.iter().copied()))
        .filter(item::Column::DeletedAt.is_null())
        .filter(item::Column::Id.gt(behind))
        .order_by_asc(item::Column::Id)
        .limit(limit)
        .select_only()
        .column(item::Column::Id)
        .column(item::Column::UpdatedAt)
        .into_tuple()
        .all(db.read())
        .await?;
    let more = looked
        .last()
        .map(|(id, _)| *id)
        .filter(|_| looked.len() as u64 == limit);
    let idle = looked.into_iter().filter(|(_, updated)| *updated <= since);
    Ok((idle.map(|(id, _)| id).collect(), more))
}

/// How many Items there are, by connector.
pub async fn by_connector(db: &Db) -> Result<BTreeMap<i32, u64>> {
    let counts: Vec<(i32, i64)> = item::Entity::find()
        .filter(item::Column::DeletedAt.is_null())
        .select_only()
        .column(item::Column::ConnectorId)
        .column_as(item::Column::Id.count(), "items")
        .group_by(item::Column::ConnectorId)
        .into_tuple()
        .all(db.read())
        .await?;
    let counts = counts.into_iter();
    Ok(counts
        .map(|(id, count)| (id, count.unsigned_abs()))
        .collect())
}

/// Ids as one value.
pub(super) fn list(db: &Db, ids: &[Uuid]) -> Value {
    let ids: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
    match db.engine() {
        Engine::Postgres => ids.join(",").into(),
        Engine::Sqlite => json!(ids).to_string().into(),
    }
}

/// A subquery of the ids in the value at this place.
pub(super) fn listed(db: &Db, place: &str) -> String {
    match db.engine() {
        Engine::Postgres => format!("SELECT unnest(string_to_array({place}, ',')::uuid[])"),
        Engine::Sqlite => format!("SELECT unhex(value) FROM json_each({place})"),
    }
}
