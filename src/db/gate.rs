//! Statements that count the requests to a connector, for all nodes.

use std::time::Duration;

use entity::{connector_gate, time::Timestamp};
use sea_orm::{ConnectionTrait, EntityTrait as _, Statement};

use super::Db;
use crate::error::Result;

/// How far the requests to some connectors have used up what is allowed. Those without a row have used nothing.
pub async fn all(connection: &impl ConnectionTrait) -> Result<Vec<connector_gate::Model>> {
    Ok(connector_gate::Entity::find().all(connection).await?)
}

/// Takes the next place for a request that uses up so much time, and answers when it comes; takes none when that would be
/// after an instant.
pub async fn take(
    db: &Db,
    connector: i32,
    used: Duration,
    now: Timestamp,
    latest: Timestamp,
) -> Result<Option<Timestamp>> {
    let sql = "INSERT INTO connector_gate (connector_id, next_start_at) VALUES ($1, $2 + $3) \
          ON CONFLICT (connector_id) DO UPDATE SET next_start_at = $3 + \
          CASE WHEN connector_gate.next_start_at > $2 THEN connector_gate.next_start_at ELSE $2 END \
          WHERE connector_gate.next_start_at <= $4 RETURNING next_start_at";
    let used = Timestamp(0).plus(used).0;
    let values = [connector.into(), now.0.into(), used.into(), latest.0.into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let row = db.write().query_one_raw(statement).await?;
    let next = row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
    Ok(next.map(|next| Timestamp(next - used)))
}
