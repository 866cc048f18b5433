//! Statements of the workers about runs that they hold: holding, giving back, cleaning up.

use sea_orm::{ConnectionTrait, Statement, Value};
use uuid::Uuid;

use super::{Db, Engine};
use crate::{clock::Timestamp, error::Result};

/// Prolongs a lease; `false` when it has been lost. One that has run out is lost: others may run instead by now.
pub async fn hold(db: &Db, id: Uuid, epoch: i64, now: Timestamp, until: Timestamp) -> Result<bool> {
    let sql = "UPDATE execution SET lease_until = $1, due_at = $1 \
               WHERE id = $2 AND epoch = $3 AND ended_at IS NULL AND lease_until > $4";
    let values = [until.0.into(), id.into(), epoch.into(), now.0.into()];
    let done = execute(db, sql, values).await?;
    Ok(done == 1)
}

/// Gives a lease back, so that any worker may go on at `due`. `failed` counts as a lost lease.
pub async fn release(db: &Db, id: Uuid, epoch: i64, due: Timestamp, failed: bool) -> Result<()> {
    let sql = "UPDATE execution SET lease_until = NULL, due_at = $1, lost_leases = lost_leases + $2 \
               WHERE id = $3 AND epoch = $4 AND ended_at IS NULL AND lease_until IS NOT NULL";
    let values = [
        due.0.into(),
        i32::from(failed).into(),
        id.into(),
        epoch.into(),
    ];
    execute(db, sql, values).await?;
    Ok(())
}

/// Notes on a run that its success does not turn automatic runs on again.
pub async fn forget_resumption(db: &Db, txn: &impl ConnectionTrait, id: Uuid) -> Result<()> {
    let sql = "UPDATE execution SET resumes_auto_sync = FALSE WHERE id = $1";
    txn.execute_raw(Statement::from_sql_and_values(
        db.backend(),
        sql,
        [id.into()],
    ))
    .await?;
    Ok(())
}

/// Makes every leased execution due now. Only for a node that knows it is alone.
pub async fn expire_leases(db: &Db, now: Timestamp) -> Result<u64> {
    let sql = "UPDATE execution SET lease_until = $1, due_at = $1 WHERE ended_at IS NULL AND lease_until > $1";
    execute(db, sql, [now.0.into()]).await
}

/// Removes some of the runs that ended before an instant, and says how many.
pub async fn forget(db: &Db, before: Timestamp, limit: usize) -> Result<usize> {
    let sql = "DELETE FROM execution WHERE id IN (\
        SELECT e.id FROM execution e WHERE e.ended_at < $1 ORDER BY e.ended_at LIMIT $2)";
    let done = execute(db, sql, [before.0.into(), limit_value(limit)]).await?;
    Ok(usize::try_from(done).unwrap_or(usize::MAX))
}

/// Runs that have ended, or are gone, and still have something staged.
pub async fn ended_with_staging(db: &Db) -> Result<Vec<Uuid>> {
    let sql = "SELECT staged.id AS id FROM (SELECT DISTINCT execution_id AS id FROM staged_document) staged \
               LEFT JOIN execution ON execution.id = staged.id \
               WHERE execution.id IS NULL OR execution.ended_at IS NOT NULL LIMIT 100";
    let rows = db
        .read()
        .query_all_raw(Statement::from_string(db.backend(), sql))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Removes some of the transactions that a run has staged, and says how many.
pub async fn delete_staged(
    db: &Db,
    connection: &impl ConnectionTrait,
    execution: Uuid,
    limit: u64,
) -> Result<usize> {
    // Found by where they are: a join by key could be planned over stale statistics.
    let sql = match db.engine() {
        Engine::Postgres => {
            "DELETE FROM staged_transaction WHERE ctid = ANY(ARRAY(\
               SELECT ctid FROM staged_transaction WHERE execution_id = $1 LIMIT $2))"
        }
        Engine::Sqlite => {
            "DELETE FROM staged_transaction WHERE rowid IN (\
               SELECT rowid FROM staged_transaction WHERE execution_id = $1 LIMIT $2)"
        }
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let values = [execution.into(), limit.into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let done = connection.execute_raw(statement).await?.rows_affected();
    Ok(usize::try_from(done).unwrap_or(usize::MAX))
}

async fn execute<const N: usize>(db: &Db, sql: &str, values: [Value; N]) -> Result<u64> {
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Ok(db.write().execute_raw(statement).await?.rows_affected())
}

/// What keeps claimants from waiting for each other. SQLite has one writer and needs nothing.
pub(crate) fn skip_locked(db: &Db) -> &'static str {
    match db.engine() {
        Engine::Sqlite => "",
        Engine::Postgres => " FOR UPDATE SKIP LOCKED",
    }
}

pub(crate) fn limit_value(limit: usize) -> Value {
    i64::try_from(limit).unwrap_or(i64::MAX).into()
}
