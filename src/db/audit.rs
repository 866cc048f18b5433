//! Statements of the audit log.

use sea_orm::{ConnectionTrait as _, Statement};
use uuid::Uuid;

use super::{Db, execution::limit_value};
use crate::{clock::Timestamp, error::Result};

/// Removes some of an application's entries that were written before an instant, oldest first, and says how many.
pub async fn forget(db: &Db, application: Uuid, before: Timestamp, limit: usize) -> Result<usize> {
    // Along the list: an id begins with its time, so whoever is not old ends the walk.
    let sql = "DELETE FROM audit_entry WHERE id IN (SELECT id FROM (\
          SELECT id, at FROM audit_entry WHERE application_id = $1 ORDER BY id LIMIT $3) oldest WHERE at < $2)";
    let values = [application.into(), before.0.into(), limit_value(limit)];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let done = db.write().execute_raw(statement).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}
