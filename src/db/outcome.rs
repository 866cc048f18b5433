//! Sums of how runs at connectors have ended.

use std::collections::BTreeMap;

use entity::connector_outcome;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, Statement};
use uuid::Uuid;

use super::Db;
use crate::{clock::Timestamp, error::Result};

/// How many runs have ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// They reached the institution.
    pub reached: i64,
    /// They did not.
    pub failed: i64,
}

impl Sums {
    /// All of them.
    pub fn total(self) -> u64 {
        u64::try_from(self.reached + self.failed).unwrap_or(0)
    }

    /// Hundredths that reached the institution; `None` when there are none.
    pub fn rate(self) -> Option<u64> {
        let reached = u64::try_from(self.reached).unwrap_or(0);
        (reached * 100).checked_div(self.total())
    }
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.reached += other.reached;
        self.failed += other.failed;
    }
}

/// Adds to the sums of a bucket, by connector and application.
pub async fn add(
    db: &Db,
    txn: &impl ConnectionTrait,
    bucket: Timestamp,
    counted: &BTreeMap<(i32, Uuid), Sums>,
) -> Result<()> {
    let sql = "INSERT INTO connector_outcome (connector_id, bucket, application_id, reached, failed) \
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (connector_id, bucket, application_id) DO UPDATE SET \
               reached = connector_outcome.reached + excluded.reached, failed = connector_outcome.failed + excluded.failed";
    // In the map's order: nodes that add at once wait for each other, and for nothing else.
    for ((connector, application), sums) in counted {
        let values = [
            (*connector).into(),
            bucket.0.into(),
            (*application).into(),
            sums.reached.into(),
            sums.failed.into(),
        ];
        txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
            .await?;
    }
    Ok(())
}

/// The sums of a connector since an instant, and of how many applications they are.
pub async fn sums(
    db: &Db,
    txn: &impl ConnectionTrait,
    connector: i32,
    since: Timestamp,
) -> Result<(Sums, usize)> {
    let sql = "SELECT CAST(coalesce(sum(reached), 0) AS BIGINT) AS reached, CAST(coalesce(sum(failed), 0) AS BIGINT) AS failed, \
               count(DISTINCT application_id) AS applications \
               FROM connector_outcome WHERE connector_id = $1 AND bucket >= $2";
    let values = [connector.into(), since.0.into()];
    let row = txn
        .query_one_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    let Some(row) = row else {
        return Ok((Sums::default(), 0));
    };
    let applications: i64 = row.try_get("", "applications")?;
    let sums = Sums {
        reached: row.try_get("", "reached")?,
        failed: row.try_get("", "failed")?,
    };
    Ok((sums, usize::try_from(applications).unwrap_or(0)))
}

/// Forgets buckets that began before an instant.
pub async fn forget(txn: &impl ConnectionTrait, before: Timestamp) -> Result<()> {
    connector_outcome::Entity::delete_many()
        .filter(connector_outcome::Column::Bucket.lt(before.0))
        .exec(txn)
        .await?;
    Ok(())
}
