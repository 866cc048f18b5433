//! How much waits, for those who watch.

use sea_orm::{ConnectionTrait as _, Statement};

use super::{Db, delivery::walk, execution::limit_value};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    metrics::Queues,
};

/// Where counting ends: beyond it, the exact number tells nobody more.
const MOST: usize = 10_000;

/// Measures the queues by their indexes. What cannot be sent, as its webhook is disabled or its circuit
/// open, does not wait.
pub async fn measure(db: &Db, now: Timestamp) -> Result<Queues> {
    let sql = format!(
        "{}SELECT \
           (SELECT count(*) FROM (SELECT 1 AS one FROM execution WHERE ended_at IS NULL AND due_at <= $3 LIMIT $2) e) AS executions, \
           (SELECT min(due_at) FROM execution WHERE ended_at IS NULL AND due_at <= $3) AS execution_due, \
           (SELECT count(*) FROM (SELECT 1 AS one FROM due_lane JOIN delivery ON delivery.target = due_lane.target \
              AND delivery.next_attempt_at <= $3 AND (delivery.lease_until IS NULL OR delivery.lease_until <= $3) LIMIT $2) d) AS deliveries, \
           (SELECT min(next_attempt_at) FROM due_lane) AS delivery_due, \
           (SELECT count(*) FROM (SELECT 1 AS one FROM circuit WHERE probe_at IS NOT NULL LIMIT $2) c) AS circuits, \
           (SELECT count(*) FROM (SELECT 1 AS one FROM event WHERE position IS NULL LIMIT $2) u) AS events",
        walk(db.engine())
    );
    let values = ["".into(), limit_value(MOST), now.0.into()];
    let row = db
        .read()
        .query_one_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?
        .ok_or_else(|| Error::internal("a count has no row"))?;
    let count = |name: &str| -> Result<f64> {
        let count: i64 = row.try_get("", name)?;
        Ok(f64::from(i32::try_from(count).unwrap_or(i32::MAX)))
    };
    let lag = |name: &str| -> Result<f64> {
        let due: Option<i64> = row.try_get("", name)?;
        Ok(due.map_or(0.0, |due| now.since(Timestamp(due)).as_secs_f64()))
    };
    Ok(Queues {
        executions: count("executions")?,
        execution_lag: lag("execution_due")?,
        // Items are due by lane, which only who claims them knows.
        auto_sync_lag: 0.0,
        deliveries: count("deliveries")?,
        delivery_lag: lag("delivery_due")?,
        circuits: count("circuits")?,
        events: count("events")?,
    })
}
