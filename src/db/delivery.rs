//! Statements of deliveries: finding what is due in every lane, claiming, releasing, reading and removing in bulk.
//!
//! A *lane* is what shares one endpoint's fate: the deliveries of a registered webhook, or those of an application's
//! Items to one origin. Its name is the row's `target`. Lanes are walked along an index, so that a backlog of one
//! costs the others nothing, however long it is.

use std::time::Duration;

use entity::delivery;
use sea_orm::{ConnectionTrait, FromQueryResult as _, Statement, Value};
use serde_json::json;
use uuid::Uuid;

use super::{Db, Engine, execution::limit_value};
use crate::{clock::Timestamp, error::Result};

/// The lanes with something pending behind $1, at most $2 of them, in order of their names; the last row may be null.
/// Their first due delivery, if it may be sent: the webhook enabled or gone, the application served. Due is $3.
pub(super) const LANES: &str = "WITH RECURSIVE lane(target, step) AS (\
       SELECT (SELECT target FROM delivery WHERE next_attempt_at IS NOT NULL AND target > $1 ORDER BY target LIMIT 1), 1 \
       UNION ALL \
       SELECT (SELECT d.target FROM delivery d WHERE d.next_attempt_at IS NOT NULL AND d.target > lane.target \
               ORDER BY d.target LIMIT 1), lane.step + 1 \
       FROM lane WHERE lane.target IS NOT NULL AND lane.step < $2\
     ), due_lane AS (\
       SELECT lane.target, first.next_attempt_at FROM lane \
       JOIN delivery first ON first.id = (SELECT x.id FROM delivery x WHERE x.target = lane.target \
         AND x.next_attempt_at <= $3 ORDER BY x.next_attempt_at LIMIT 1) \
       JOIN application ON application.id = first.application_id AND application.disabled_at IS NULL \
       LEFT JOIN webhook ON webhook.id = first.webhook_id \
       WHERE lane.target IS NOT NULL AND (webhook.id IS NULL OR webhook.enabled)\
     ) ";

/// A stretch of the walk along the lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Lanes with something that is due and may be sent, in order of their names.
    pub due: Vec<String>,
    /// Where the walk goes on; `None` when it has reached the end.
    pub next: Option<String>,
}

/// Walks along at most `steps` lanes behind `after`.
pub async fn lanes(db: &Db, now: Timestamp, after: &str, steps: usize) -> Result<Stretch> {
    let sql = format!(
        "{LANES}SELECT lane.target AS target, lane.step AS step, due_lane.target IS NOT NULL AS due \
         FROM lane LEFT JOIN due_lane ON due_lane.target = lane.target ORDER BY lane.step"
    );
    let values = [after.into(), limit_value(steps), now.0.into()];
    let rows = db
        .read()
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    let mut stretch = Stretch::default();
    let walked = rows.len();
    for row in rows {
        let target: Option<String> = row.try_get("", "target")?;
        if let Some(target) = &target
            && row.try_get("", "due")?
        {
            stretch.due.push(target.clone());
        }
        stretch.next = target.filter(|_| walked >= steps);
    }
    Ok(stretch)
}

/// How many deliveries to take from a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The lane.
    pub target: String,
    /// At most so many.
    pub most: usize,
}

/// Claims due deliveries of some lanes, the longest waiting first, each under a new epoch and for the length of a lease.
///
/// One statement, so that two workers never claim the same one. A delivery whose worker dies is due again when the
/// lease ends.
pub async fn claim(
    db: &Db,
    now: Timestamp,
    lease: Duration,
    quotas: &[Quota],
) -> Result<Vec<delivery::Model>> {
    let most = quotas.iter().map(|quota| quota.most).max().unwrap_or(0);
    let listed: Vec<_> = quotas
        .iter()
        .map(|quota| json!({ "target": quota.target, "most": quota.most }))
        .collect();
    let chosen = match db.engine() {
        Engine::Postgres => {
            "SELECT due.id FROM jsonb_to_recordset($3::jsonb) AS lane(target text, most bigint) \
             CROSS JOIN LATERAL (SELECT d.id FROM delivery d WHERE d.target = lane.target \
               AND d.next_attempt_at <= $2 ORDER BY d.next_attempt_at LIMIT least(lane.most, $4) \
               FOR UPDATE SKIP LOCKED) due"
        }
        Engine::Sqlite => {
            "SELECT id FROM (SELECT d.id AS id, json_extract(lane.value, '$.most') AS most, \
               row_number() OVER (PARTITION BY lane.key ORDER BY d.next_attempt_at) AS place \
             FROM json_each($3) lane JOIN delivery d ON d.id IN (\
               SELECT x.id FROM delivery x WHERE x.target = json_extract(lane.value, '$.target') \
               AND x.next_attempt_at <= $2 ORDER BY x.next_attempt_at LIMIT $4)) WHERE place <= most"
        }
    };
    let sql = format!(
        "UPDATE delivery SET epoch = epoch + 1, lease_until = $1, next_attempt_at = $1 WHERE id IN ({chosen}) RETURNING *"
    );
    let values: [Value; 4] = [
        now.plus(lease).0.into(),
        now.0.into(),
        json!(listed).to_string().into(),
        limit_value(most),
    ];
    let rows = db
        .write()
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    let mut claimed = rows
        .iter()
        .map(|row| Ok(delivery::Model::from_query_result(row, "")?))
        .collect::<Result<Vec<_>>>()?;
    claimed.sort_unstable_by_key(|delivery| delivery.id);
    Ok(claimed)
}

/// Gives claimed deliveries back, so that any worker may take them at once.
pub async fn release(db: &Db, claimed: &[(Uuid, i64)], now: Timestamp) -> Result<()> {
    for (id, epoch) in claimed {
        let sql = "UPDATE delivery SET lease_until = NULL, next_attempt_at = $1 \
                   WHERE id = $2 AND epoch = $3 AND lease_until IS NOT NULL";
        let values = [now.0.into(), (*id).into(), (*epoch).into()];
        db.write()
            .execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
            .await?;
    }
    Ok(())
}

/// Drops what endpoints answered to deliveries about an Item that has been deleted.
pub async fn forget_excerpts(db: &Db, item: Uuid) -> Result<()> {
    let txn = db.begin().await?;
    let mut statements = vec![
        "UPDATE attempt SET response_body = NULL WHERE response_body IS NOT NULL \
         AND delivery_id IN (SELECT id FROM delivery WHERE item_id = $1)",
    ];
    if db.engine() == Engine::Postgres {
        // Waits for whoever is recording an answer and has found the Item still there; later ones find it deleted.
        statements.insert(
            0,
            "SELECT id FROM delivery WHERE item_id = $1 ORDER BY id FOR UPDATE",
        );
    }
    for sql in statements {
        let statement = Statement::from_sql_and_values(db.backend(), sql, [item.into()]);
        txn.execute_raw(statement).await?;
    }
    txn.commit().await?;
    Ok(())
}

/// Removes some of a webhook's deliveries with their attempts, and says how many deliveries that were.
pub async fn delete_some(
    db: &Db,
    txn: &impl ConnectionTrait,
    webhook: Uuid,
    limit: usize,
) -> Result<usize> {
    let some = "SELECT id FROM delivery WHERE webhook_id = $1 ORDER BY id LIMIT $2";
    let mut removed = 0;
    for sql in [
        format!("DELETE FROM attempt WHERE delivery_id IN ({some})"),
        format!("DELETE FROM delivery WHERE id IN ({some})"),
    ] {
        let values = [webhook.into(), limit_value(limit)];
        let statement = Statement::from_sql_and_values(db.backend(), sql, values);
        removed = txn.execute_raw(statement).await?.rows_affected();
    }
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

/// Webhooks that are gone while deliveries of theirs are not.
pub async fn orphaned(db: &Db) -> Result<Vec<Uuid>> {
    let sql = "WITH RECURSIVE named(id) AS (\
                 SELECT (SELECT webhook_id FROM delivery WHERE webhook_id IS NOT NULL ORDER BY webhook_id LIMIT 1) \
                 UNION ALL \
                 SELECT (SELECT d.webhook_id FROM delivery d WHERE d.webhook_id > named.id ORDER BY d.webhook_id LIMIT 1) \
                 FROM named WHERE named.id IS NOT NULL\
               ) SELECT named.id AS id FROM named LEFT JOIN webhook ON webhook.id = named.id \
               WHERE named.id IS NOT NULL AND webhook.id IS NULL";
    let rows = db
        .read()
        .query_all_raw(Statement::from_string(db.backend(), sql))
        .await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Removes some of the oldest deliveries that were made before an instant and are over, with their attempts, and says how
/// many.
pub async fn forget(db: &Db, before: Timestamp, limit: usize) -> Result<usize> {
    let old = "SELECT id FROM delivery WHERE created_at < $1 AND next_attempt_at IS NULL ORDER BY id LIMIT $2";
    let values = || [before.0.into(), limit_value(limit)];
    let txn = db.begin().await?;
    let attempts = format!("DELETE FROM attempt WHERE delivery_id IN ({old})");
    txn.execute_raw(Statement::from_sql_and_values(
        db.backend(),
        attempts,
        values(),
    ))
    .await?;
    let deliveries = format!("DELETE FROM delivery WHERE id IN ({old})");
    let done = txn
        .execute_raw(Statement::from_sql_and_values(
            db.backend(),
            deliveries,
            values(),
        ))
        .await?;
    txn.commit().await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}
