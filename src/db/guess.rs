//! Statements that count failed attempts at client secrets, for all nodes.

use std::time::Duration;

use entity::secret_guess::{Entity, Model};
use sea_orm::{ConnectionTrait as _, EntityTrait as _, Statement};

use super::{Db, execution::limit_value};
use crate::{clock::Timestamp, error::Result};

/// What has failed from a network, in whatever window that was.
pub async fn find(db: &Db, network: &[u8; 32]) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(network.to_vec()).one(db.read()).await?)
}

/// Counts one more failure, in a new window when the last one is over.
pub async fn count(db: &Db, network: &[u8; 32], now: Timestamp, window: Duration) -> Result<()> {
    let sql = "INSERT INTO secret_guess (network, since, failed) VALUES ($1, $2, 1) ON CONFLICT (network) DO UPDATE SET \
          since = CASE WHEN secret_guess.since > $3 THEN secret_guess.since ELSE excluded.since END, \
          failed = CASE WHEN secret_guess.since > $3 THEN secret_guess.failed + 1 ELSE 1 END";
    let values = [
        network.to_vec().into(),
        now.0.into(),
        now.minus(window).0.into(),
    ];
    db.write()
        .execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// Removes some windows that began before an instant.
pub async fn forget(db: &Db, before: Timestamp, limit: usize) -> Result<()> {
    let sql = "DELETE FROM secret_guess WHERE network IN (\
          SELECT network FROM secret_guess WHERE since <= $1 ORDER BY since LIMIT $2)";
    let values = [before.0.into(), limit_value(limit)];
    db.write()
        .execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}
