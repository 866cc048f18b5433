//! Statements of deliveries: finding what is due in every lane, claiming, releasing, reading and removing in bulk.
//!
//! A *lane* is what shares one endpoint's fate: the deliveries of a registered webhook, or those of an application's
//! Items to one origin. Its name is the row's `target`. Lanes are walked along an index, so that a backlog of one
//! costs the others nothing, however long it is.

mod claim;

use entity::{attempt, event};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryResult, Statement,
    Value,
};
use serde_json::json;
use uuid::Uuid;

pub use self::claim::{Quota, claim};
use super::{
    Db, Engine,
    execution::limit_value,
    row::{Cells, Row},
};
use crate::{clock::Timestamp, error::Result};

/// The lanes with something pending behind $1, at most $2 of them, in order of their names; the last row may be null.
/// Their first due delivery that nobody holds, if it may be sent: the webhook enabled or gone, the application served,
/// the target's circuit closed or to be probed. A webhook in order waits for the deliveries of what it missed. Due is $3.
///
/// A plan may be older than the table has been long. So on PostgreSQL it is left no choice but to look rows up one by one:
/// with plain joins it reads an application's whole history for every walk.
pub(super) fn walk(engine: Engine) -> String {
    const FIRST: &str = "FROM delivery x WHERE x.target = lane.target AND x.next_attempt_at <= $3 \
        AND (x.lease_until IS NULL OR x.lease_until <= $3) ORDER BY x.next_attempt_at LIMIT 1";
    let joined = match engine {
        Engine::Postgres => format!(
            "CROSS JOIN LATERAL (SELECT x.application_id, x.webhook_id, x.next_attempt_at {FIRST}) first \
             CROSS JOIN LATERAL (SELECT a.disabled_at FROM application a WHERE a.id = first.application_id LIMIT 1) application \
             LEFT JOIN LATERAL (SELECT w.* FROM webhook w WHERE w.id = first.webhook_id LIMIT 1) webhook ON true \
             LEFT JOIN LATERAL (SELECT c.* FROM circuit c WHERE c.target = lane.target LIMIT 1) circuit ON true"
        ),
        Engine::Sqlite => format!(
            "JOIN delivery first ON first.id = (SELECT x.id {FIRST}) \
             JOIN application ON application.id = first.application_id \
             LEFT JOIN webhook ON webhook.id = first.webhook_id \
             LEFT JOIN circuit ON circuit.target = lane.target"
        ),
    };
    format!(
        "WITH RECURSIVE lane(target, step) AS (\
           SELECT (SELECT target FROM delivery WHERE next_attempt_at IS NOT NULL AND target > $1 ORDER BY target LIMIT 1), 1 \
           UNION ALL \
           SELECT (SELECT d.target FROM delivery d WHERE d.next_attempt_at IS NOT NULL AND d.target > lane.target \
                   ORDER BY d.target LIMIT 1), lane.step + 1 \
           FROM lane WHERE lane.target IS NOT NULL AND lane.step < $2\
         ), due_lane AS (\
           SELECT lane.target, first.next_attempt_at, webhook.id AS webhook, webhook.ordered, webhook.max_concurrency, \
             webhook.max_per_second, webhook.rate_at, circuit.failures, circuit.probe_at FROM lane {joined} \
           WHERE lane.target IS NOT NULL AND application.disabled_at IS NULL AND (circuit.probe_at IS NULL OR circuit.probe_at <= $3) \
             AND (webhook.id IS NULL OR (webhook.enabled AND (webhook.missed_until IS NULL OR NOT webhook.ordered)))\
         ) "
    )
}

/// A stretch of the walk along the lanes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Lanes with something that is due and may be sent, in order of their names.
    pub due: Vec<Due>,
    /// Where the walk goes on; `None` when it has reached the end.
    pub next: Option<String>,
}

/// A lane with something that is due, and what its owner and its past say of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// The lane.
    pub target: String,
    /// The webhook, unless it is the endpoint of Items or gone.
    pub webhook: Option<Uuid>,
    /// Whether an Item's next event waits for the one before.
    pub ordered: bool,
    /// Most requests under way at once.
    pub most: Option<usize>,
    /// Most requests of a second, and when the limit is met again, in microseconds.
    pub rate: Option<(i32, i64)>,
    /// How many requests have failed one after another.
    pub failures: i32,
    /// When it was to be probed, while its circuit is open.
    pub probe_at: Option<Timestamp>,
}

/// Walks along at most `steps` lanes behind `after`.
pub async fn lanes(db: &Db, now: Timestamp, after: &str, steps: usize) -> Result<Stretch> {
    let sql = format!(
        "{}SELECT lane.target, due_lane.target IS NOT NULL AS due, due_lane.webhook, due_lane.ordered, \
           due_lane.max_concurrency, due_lane.max_per_second, due_lane.rate_at, due_lane.failures, due_lane.probe_at \
         FROM lane LEFT JOIN due_lane ON due_lane.target = lane.target ORDER BY lane.step",
        walk(db.engine())
    );
    let values = [after.into(), limit_value(steps), now.0.into()];
    let rows = db
        .read()
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    let mut stretch = Stretch::default();
    let walked = rows.len();
    for row in rows {
        let mut cells = Cells::new(&row);
        let target: Option<String> = cells.take()?;
        let due: bool = cells.take()?;
        if let Some(target) = &target
            && due
        {
            stretch.due.push(due_lane(target.clone(), &mut cells)?);
        }
        stretch.next = target.filter(|_| walked >= steps);
    }
    Ok(stretch)
}

fn due_lane(target: String, cells: &mut Cells<'_>) -> Result<Due> {
    let webhook = cells.take()?;
    let ordered: Option<bool> = cells.take()?;
    let most: Option<i32> = cells.take()?;
    let (per_second, rate_at): (Option<i32>, Option<i64>) = (cells.take()?, cells.take()?);
    let failures: Option<i32> = cells.take()?;
    Ok(Due {
        target,
        webhook,
        ordered: ordered.unwrap_or_default(),
        most: most.and_then(|most| usize::try_from(most).ok()),
        rate: per_second.zip(rate_at),
        failures: failures.unwrap_or_default(),
        probe_at: cells.take()?,
    })
}

fn read<R: Row>(rows: &[QueryResult]) -> Result<Vec<R>> {
    rows.iter()
        .map(|row| R::read(&mut Cells::new(row)))
        .collect()
}

/// Takes the one probe of a target that is due; `false` when another worker has it.
pub async fn take_probe(db: &Db, target: &str, now: Timestamp, next: Timestamp) -> Result<bool> {
    let sql = "UPDATE circuit SET probe_at = $1 WHERE target = $2 AND probe_at <= $3";
    let values: [Value; 3] = [next.0.into(), target.into(), now.0.into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Ok(db.write().execute_raw(statement).await?.rows_affected() == 1)
}

/// Takes some of what a webhook may send in a second: moves the time at which its limit is met again. `false` when
/// another worker has moved it meanwhile.
pub async fn take_rate(db: &Db, webhook: Uuid, from: i64, to: i64) -> Result<bool> {
    let sql = "UPDATE webhook SET rate_at = $1 WHERE id = $2 AND rate_at = $3";
    let values: [Value; 3] = [to.into(), webhook.into(), from.into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Ok(db.write().execute_raw(statement).await?.rows_affected() == 1)
}

/// Events by id: as many as there are deliveries in a claim, by a statement that is always the same.
pub async fn events(db: &Db, ids: &[Uuid]) -> Result<Vec<event::Model>> {
    let columns = event::Model::COLUMNS.join(", ");
    let sql = match db.engine() {
        Engine::Postgres => {
            format!("SELECT {columns} FROM event WHERE id = ANY(string_to_array($1, ',')::uuid[])")
        }
        Engine::Sqlite => format!(
            "SELECT {columns} FROM event WHERE id IN (SELECT unhex(value) FROM json_each('[\"' || replace($1, ',', '\",\"') || '\"]'))"
        ),
    };
    let ids: Vec<String> = ids.iter().map(|id| id.simple().to_string()).collect();
    let values: [Value; 1] = [ids.join(",").into()];
    let rows = db
        .read()
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    read(&rows)
}

/// Gives claimed deliveries back, so that any worker may take them at once.
pub async fn release(db: &Db, claimed: &[(Uuid, i64)]) -> Result<()> {
    if claimed.is_empty() {
        return Ok(());
    }
    let listed: Vec<_> = claimed
        .iter()
        .map(|(id, epoch)| json!({ "id": id.simple().to_string(), "epoch": epoch }))
        .collect();
    let held = match db.engine() {
        Engine::Postgres => "json_to_recordset($1::json) AS held(id uuid, epoch bigint)",
        Engine::Sqlite => {
            "(SELECT unhex(json_extract(value, '$.id')) AS id, json_extract(value, '$.epoch') AS epoch FROM json_each($1)) AS held"
        }
    };
    let sql = format!(
        "UPDATE delivery SET lease_until = NULL FROM {held} \
         WHERE delivery.id = held.id AND delivery.epoch = held.epoch AND delivery.lease_until IS NOT NULL"
    );
    let values: [Value; 1] = [json!(listed).to_string().into()];
    db.write()
        .execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// Leaves out some of what waits in a lane, and says how many that were; what is being sent at this moment comes to its
/// end.
pub async fn skip(
    db: &Db,
    txn: &impl ConnectionTrait,
    target: &str,
    now: Timestamp,
    limit: usize,
) -> Result<usize> {
    let skipped = "status = 'SKIPPED', next_attempt_at = NULL, lease_until = NULL, epoch = epoch + 1, updated_at = $1";
    waiting(db, txn, skipped, "created_at <= $1", target, now, limit).await
}

/// Makes some of what waits in a lane due now, and says how many that were; what is due already keeps its turn.
pub async fn hasten(
    db: &Db,
    txn: &impl ConnectionTrait,
    target: &str,
    now: Timestamp,
    limit: usize,
) -> Result<usize> {
    let due = "next_attempt_at = $1";
    waiting(db, txn, due, "next_attempt_at > $1", target, now, limit).await
}

/// Waits for nobody: what another transaction holds is being sent.
async fn waiting(
    db: &Db,
    txn: &impl ConnectionTrait,
    change: &str,
    which: &str,
    target: &str,
    now: Timestamp,
    limit: usize,
) -> Result<usize> {
    let some = format!(
        "SELECT id FROM delivery WHERE target = $2 AND next_attempt_at IS NOT NULL AND {which} \
         AND (lease_until IS NULL OR lease_until <= $1) ORDER BY next_attempt_at LIMIT $3"
    );
    let some = match db.engine() {
        Engine::Postgres => format!("= ANY(ARRAY({some} FOR UPDATE SKIP LOCKED))"),
        Engine::Sqlite => format!("IN ({some})"),
    };
    let sql = format!("UPDATE delivery SET {change} WHERE id {some}");
    let values: [Value; 3] = [now.0.into(), target.into(), limit_value(limit)];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let done = txn.execute_raw(statement).await?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(usize::MAX))
}

/// Removes circuits of webhooks that have been deleted: whoever was sending at that moment may have opened one since.
pub async fn forget_circuits(db: &Db) -> Result<()> {
    let id = match db.engine() {
        Engine::Postgres => "circuit.target::uuid",
        Engine::Sqlite => "unhex(replace(circuit.target, '-', ''))",
    };
    // Other lanes have longer names than an id.
    let sql = format!(
        "DELETE FROM circuit WHERE CASE WHEN length(target) = 36 \
         THEN NOT EXISTS (SELECT 1 FROM webhook WHERE webhook.id = {id}) ELSE false END"
    );
    db.write()
        .execute_raw(Statement::from_string(db.backend(), sql))
        .await?;
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
    let some = "webhook_id = $1 ORDER BY id LIMIT $2";
    delete(db, txn, some, [webhook.into(), limit_value(limit)]).await
}

/// Removes deliveries, then their attempts: whoever is recording one of those comes before, or finds nothing.
async fn delete(
    db: &Db,
    txn: &impl ConnectionTrait,
    which: &str,
    values: [Value; 2],
) -> Result<usize> {
    let sql = format!(
        "DELETE FROM delivery WHERE id IN (SELECT id FROM delivery WHERE {which}) RETURNING id"
    );
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let gone = txn.query_all_raw(statement).await?;
    let gone = gone.iter().map(|row| row.try_get_by_index(0));
    let gone = gone.collect::<Result<Vec<Uuid>, _>>()?;
    for some in gone.chunks(500) {
        attempt::Entity::delete_many()
            .filter(attempt::Column::DeliveryId.is_in(some.iter().copied()))
            .exec(txn)
            .await?;
    }
    Ok(gone.len())
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
    let old = "created_at < $1 AND next_attempt_at IS NULL ORDER BY id LIMIT $2";
    let txn = db.begin().await?;
    let gone = delete(db, &txn, old, [before.0.into(), limit_value(limit)]).await?;
    txn.commit().await?;
    Ok(gone)
}
