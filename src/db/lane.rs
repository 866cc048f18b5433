//! Statements of the claim: what could run, of each application at each connector, and what is taken of it.
//!
//! A lane is one application at one connector. The caller asks for a bounded number of lanes, so that every statement
//! costs by what it brings and never by how much waits behind it.

use std::time::Duration;

use entity::{execution, item};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, Statement, Value,
};
use serde_json::json;
use uuid::Uuid;

use super::{
    Db, Engine,
    execution::{limit_value, skip_locked},
    item::{list, listed},
    schema::columns,
};
use crate::{clock::Timestamp, error::Result};

/// Losses on young nodes after which an execution waits for one that has been up for a while.
const MOST_EARLY_LOSSES: i32 = 3;

/// One application at one connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lane {
    /// The application.
    pub application: Uuid,
    /// The connector.
    pub connector: i32,
}

/// Something that could run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The execution, or the Item that has none yet.
    pub id: Uuid,
    /// Whose it is.
    pub lane: Lane,
    /// Since when it waits.
    pub due_at: Timestamp,
}

/// Executions that somebody has lost, through these connectors, the longest lost first. Those that young nodes have lost
/// too often are left to others when this one is `young`.
pub async fn lost_executions(
    txn: &impl ConnectionTrait,
    connectors: &[i32],
    now: Timestamp,
    young: bool,
    limit: usize,
) -> Result<Vec<Candidate>> {
    use execution::{Column as C, Entity};

    let mut lost = Entity::find()
        .filter(C::LeaseUntil.lte(now.0))
        .filter(C::ConnectorId.is_in(connectors.iter().copied()));
    if young {
        lost = lost.filter(C::EarlyLosses.lt(MOST_EARLY_LOSSES));
    }
    let rows: Vec<(Uuid, Uuid, i32, Timestamp)> = lost
        .order_by_asc(C::LeaseUntil)
        .limit(u64::try_from(limit).unwrap_or(u64::MAX))
        .select_only()
        .columns([C::Id, C::ApplicationId, C::ConnectorId, C::LeaseUntil])
        .into_tuple()
        .all(txn)
        .await?;
    let candidate = |(id, application, connector, due_at)| Candidate {
        id,
        lane: Lane {
            application,
            connector,
        },
        due_at,
    };
    Ok(rows.into_iter().map(candidate).collect())
}

/// Executions that are due and nobody has, so many of each lane at most, the longest waiting of it.
pub async fn due_executions(
    db: &Db,
    txn: &impl ConnectionTrait,
    lanes: &[Lane],
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Candidate>> {
    candidates(
        db,
        txn,
        lanes,
        now,
        limit,
        "execution",
        "x.ended_at IS NULL AND x.lease_until IS NULL",
        "due_at",
    )
    .await
}

/// Items whose next automatic run may start, so many of each lane at most, the longest waiting of it.
pub async fn due_items(
    db: &Db,
    txn: &impl ConnectionTrait,
    lanes: &[Lane],
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Candidate>> {
    candidates(
        db,
        txn,
        lanes,
        now,
        limit,
        "item",
        "x.auto_sync_due_at IS NOT NULL",
        "auto_sync_due_at",
    )
    .await
}

#[expect(clippy::too_many_arguments, reason = "one shape for two tables")]
async fn candidates(
    db: &Db,
    txn: &impl ConnectionTrait,
    lanes: &[Lane],
    now: Timestamp,
    limit: usize,
    table: &str,
    condition: &str,
    due: &str,
) -> Result<Vec<Candidate>> {
    let first = |application: &str, connector: &str| {
        format!(
            "FROM {table} x WHERE x.application_id = {application} AND x.connector_id = {connector} \
             AND {condition} AND x.{due} <= $2 ORDER BY x.{due} LIMIT $3"
        )
    };
    let sql = match db.engine() {
        Engine::Postgres => format!(
            "SELECT x.id AS id, l.application_id AS application_id, l.connector_id AS connector_id, x.due AS due_at \
             FROM jsonb_to_recordset($1::jsonb) AS l(application_id uuid, connector_id int) \
             CROSS JOIN LATERAL (SELECT x.id, x.{due} AS due {}) x",
            first("l.application_id", "l.connector_id")
        ),
        Engine::Sqlite => format!(
            "SELECT x.id AS id, x.application_id AS application_id, x.connector_id AS connector_id, x.{due} AS due_at \
             FROM json_each($1) l CROSS JOIN {table} x WHERE x.id IN (SELECT x.id {})",
            first(
                "unhex(json_extract(l.value, '$.application_id'))",
                "json_extract(l.value, '$.connector_id')"
            )
        ),
    };
    let lanes: Vec<_> = lanes
        .iter()
        .map(|lane| json!({ "application_id": lane.application.simple().to_string(), "connector_id": lane.connector }))
        .collect();
    let values = [
        json!(lanes).to_string().into(),
        now.0.into(),
        limit_value(limit),
    ];
    query(db, txn, &sql, values)
        .await?
        .iter()
        .map(|row| {
            Ok(Candidate {
                id: row.try_get("", "id")?,
                lane: lane(row)?,
                due_at: Timestamp(row.try_get("", "due_at")?),
            })
        })
        .collect()
}

fn lane(row: &QueryResult) -> Result<Lane> {
    Ok(Lane {
        application: row.try_get("", "application_id")?,
        connector: row.try_get("", "connector_id")?,
    })
}

/// How many executions are held by a worker now, of every lane in which any is.
pub async fn running(
    db: &Db,
    txn: &impl ConnectionTrait,
    now: Timestamp,
) -> Result<Vec<(Lane, usize)>> {
    let sql = "SELECT application_id, connector_id, count(*) AS held FROM execution WHERE lease_until > $1 GROUP BY application_id, connector_id";
    query(db, txn, sql, [now.0.into()])
        .await?
        .iter()
        .map(|row| {
            let held: i64 = row.try_get("", "held")?;
            Ok((lane(row)?, usize::try_from(held).unwrap_or(usize::MAX)))
        })
        .collect()
}

/// Takes executions that are still due and nobody holds a lock on, each under a new epoch and for the length of a lease.
///
/// A lease that somebody let run out is counted against the execution, unless its holder was `young`, that is, had only
/// just started: where nodes are killed again and again, that says nothing of what they were running. After a few such
/// losses only a node that has been up for a while takes the execution, and then it counts.
pub async fn take_executions(
    db: &Db,
    txn: &impl ConnectionTrait,
    ids: &[Uuid],
    now: Timestamp,
    lease: Duration,
    young: bool,
) -> Result<Vec<execution::Model>> {
    let sql = format!(
        "UPDATE execution SET epoch = epoch + 1, \
           lost_leases = lost_leases + CASE WHEN lease_until IS NULL OR claimed_early THEN 0 ELSE 1 END, \
           early_losses = early_losses + CASE WHEN lease_until IS NOT NULL AND claimed_early THEN 1 ELSE 0 END, \
           claimed_early = $3, lease_until = $1, due_at = $1, started_at = COALESCE(started_at, $2) \
         WHERE id IN (SELECT id FROM execution WHERE id IN ({}) AND ended_at IS NULL AND due_at <= $2{}) \
         RETURNING {}",
        listed(db, "$4"),
        skip_locked(db),
        columns::<execution::Entity>()
    );
    let values = [
        now.plus(lease).0.into(),
        now.0.into(),
        young.into(),
        list(db, ids),
    ];
    query(db, txn, &sql, values)
        .await?
        .iter()
        .map(|row| Ok(execution::Model::from_query_result(row, "")?))
        .collect()
}

/// Holds Items that are still due, have no unfinished run and nobody else holds.
pub async fn take_items(
    db: &Db,
    txn: &impl ConnectionTrait,
    ids: &[Uuid],
    now: Timestamp,
) -> Result<Vec<item::Model>> {
    let sql = format!(
        "SELECT {} FROM item WHERE id IN ({}) AND auto_sync_due_at <= $1 AND deleted_at IS NULL \
           AND NOT EXISTS (SELECT 1 FROM execution WHERE execution.item_id = item.id AND execution.ended_at IS NULL){}",
        columns::<item::Entity>(),
        listed(db, "$2"),
        skip_locked(db)
    );
    query(db, txn, &sql, [now.0.into(), list(db, ids)])
        .await?
        .iter()
        .map(|row| Ok(item::Model::from_query_result(row, "")?))
        .collect()
}

/// Lets one node at a time claim: what each may take follows from what all others hold.
pub async fn hold_claim(db: &Db, txn: &DatabaseTransaction) -> Result<()> {
    db.lock(txn, super::CLAIM_LOCK).await
}

async fn query<const N: usize>(
    db: &Db,
    connection: &impl ConnectionTrait,
    sql: &str,
    values: [Value; N],
) -> Result<Vec<QueryResult>> {
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Ok(connection.query_all_raw(statement).await?)
}
