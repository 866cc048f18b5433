//! Statements that record what became of deliveries: one for a whole batch, the same whatever its size.

use entity::{circuit, kind::DeliveryStatus};
use sea_orm::{ConnectionTrait, FromQueryResult as _, Statement, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Db, Engine, schema::columns};
use crate::{clock::Timestamp, error::Result};

/// Where a delivery goes from here.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The delivery.
    pub id: Uuid,
    /// The epoch under which it was held.
    pub epoch: i64,
    /// How it stands now.
    pub status: DeliveryStatus,
    /// When it is due again.
    pub next: Option<Timestamp>,
    /// Where it went, when that is new.
    pub url: Option<String>,
}

/// Moves deliveries on, in the order of their ids, and answers which: the others are held under another epoch or gone.
pub async fn settle(
    db: &Db,
    txn: &impl ConnectionTrait,
    settled: &[Settled],
    now: Timestamp,
) -> Result<Vec<Uuid>> {
    const CHANGE: &str = "UPDATE delivery SET status = done.status, attempts = delivery.attempts + 1, \
        next_attempt_at = done.next, lease_until = NULL, url = coalesce(done.url, delivery.url), updated_at = $2";
    let listed: Vec<Json> = settled
        .iter()
        .map(|one| {
            json!({ "id": one.id.simple().to_string(), "epoch": one.epoch, "status": one.status, "next": one.next.map(|at| at.0), "url": one.url })
        })
        .collect();
    let sql = match db.engine() {
        Engine::Postgres => format!(
            "WITH done AS MATERIALIZED (SELECT d.* FROM json_to_recordset($1::json) AS d(id uuid, epoch bigint, status text, next bigint, url text)), \
             held AS MATERIALIZED (SELECT x.id FROM (SELECT id, epoch FROM done ORDER BY id) one CROSS JOIN LATERAL (\
               SELECT d.id FROM delivery d WHERE d.id = one.id AND d.epoch = one.epoch LIMIT 1 FOR UPDATE OF d) x) \
             {CHANGE} FROM done WHERE delivery.id = ANY(ARRAY(SELECT held.id FROM held)) AND delivery.id = done.id AND delivery.epoch = done.epoch \
             RETURNING delivery.id"
        ),
        Engine::Sqlite => format!(
            "{CHANGE} FROM (SELECT unhex(json_extract(value, '$.id')) AS id, json_extract(value, '$.epoch') AS epoch, \
               json_extract(value, '$.status') AS status, json_extract(value, '$.next') AS next, \
               json_extract(value, '$.url') AS url FROM json_each($1)) AS done \
             WHERE delivery.id = done.id AND delivery.epoch = done.epoch RETURNING delivery.id"
        ),
    };
    let values: [Value; 2] = [Json::Array(listed).to_string().into(), now.0.into()];
    let rows = txn
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    rows.iter()
        .map(|row| Ok(row.try_get_by_index(0)?))
        .collect()
}

/// Columns of attempts, and how PostgreSQL names their types.
const COLUMNS: [(&str, &str); 11] = [
    ("id", "uuid"),
    ("application_id", "uuid"),
    ("delivery_id", "uuid"),
    ("at", "bigint"),
    ("duration_ms", "integer"),
    ("status_code", "integer"),
    ("error", "text"),
    ("response_body", "text"),
    ("signature", "text"),
    ("header_names", "text"),
    ("payload", "text"),
];

/// Writes attempts down.
pub async fn insert(
    db: &Db,
    txn: &impl ConnectionTrait,
    attempts: &[entity::attempt::Model],
) -> Result<()> {
    let listed: Vec<Json> = attempts
        .iter()
        .map(|one| {
            json!({
                "id": one.id.simple().to_string(),
                "application_id": one.application_id.simple().to_string(),
                "delivery_id": one.delivery_id.simple().to_string(),
                "at": one.at.0,
                "duration_ms": one.duration_ms,
                "status_code": one.status_code,
                "error": one.error,
                "response_body": one.response_body,
                "signature": one.signature,
                "header_names": one.header_names,
                "payload": one.payload,
            })
        })
        .collect();
    let names = COLUMNS.map(|(name, _)| name).join(", ");
    let rows = match db.engine() {
        Engine::Postgres => {
            let typed = COLUMNS.map(|(name, kind)| format!("{name} {kind}"));
            format!(
                "SELECT {names} FROM json_to_recordset($1::json) AS a({})",
                typed.join(", ")
            )
        }
        Engine::Sqlite => {
            let cells = COLUMNS.map(|(name, kind)| match kind {
                "uuid" => format!("unhex(json_extract(value, '$.{name}'))"),
                _ => format!("json_extract(value, '$.{name}')"),
            });
            format!("SELECT {} FROM json_each($1)", cells.join(", "))
        }
    };
    let sql = format!("INSERT INTO attempt ({names}) {rows}");
    let values: [Value; 1] = [Json::Array(listed).to_string().into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// Remembers that requests to a target have failed, `anew` when one before them was a success; answers what that amounts
/// to, held until the transaction ends.
pub async fn fail(
    db: &Db,
    txn: &impl ConnectionTrait,
    target: &str,
    failures: i32,
    anew: bool,
    now: Timestamp,
) -> Result<circuit::Model> {
    let sql = format!(
        "INSERT INTO circuit (target, failures, failing_since) VALUES ($1, $2, $3) \
        ON CONFLICT (target) DO UPDATE SET \
        failures = excluded.failures + CASE WHEN $4 THEN 0 ELSE circuit.failures END, \
        failing_since = CASE WHEN $4 THEN excluded.failing_since ELSE circuit.failing_since END, \
        probe_at = CASE WHEN $4 THEN NULL ELSE circuit.probe_at END RETURNING {}",
        columns::<circuit::Entity>()
    );
    let values: [Value; 4] = [target.into(), failures.into(), now.0.into(), anew.into()];
    let row = txn
        .query_one_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?
        .ok_or_else(|| crate::error::Error::internal("a circuit has no row"))?;
    Ok(circuit::Model::from_query_result(&row, "")?)
}
