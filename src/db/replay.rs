//! Statements that make deliveries of a stretch of the log due again, in batches.

use entity::{delivery, kind::EventType};
use sea_orm::{
    ActiveModelTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _, Statement,
    Value, sea_query::OnConflict,
};
use serde_json::json;
use uuid::Uuid;

use super::{Db, Engine, execution::limit_value};
use crate::{clock::Timestamp, error::Result};

/// A stretch of an application's log, and which of its events are meant.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// Whose log.
    pub application: Uuid,
    /// Only behind this position.
    pub after: i64,
    /// Only up to this position.
    pub to: i64,
    /// Only what happened at this time or later.
    pub since: Option<Timestamp>,
    /// Only these kinds.
    pub kinds: Vec<EventType>,
    /// Not that this webhook was disabled: that is never told to it.
    pub except: Uuid,
}

impl Stretch {
    /// Its condition on `event`, with its values from $1 on.
    fn condition(&self, engine: Engine) -> (String, Vec<Value>) {
        let kinds = match engine {
            Engine::Postgres => "SELECT jsonb_array_elements_text($4::jsonb)",
            Engine::Sqlite => "SELECT value FROM json_each($4)",
        };
        let about = match engine {
            Engine::Postgres => "payload #>> '{data,webhookId}'",
            Engine::Sqlite => "json_extract(payload, '$.data.webhookId')",
        };
        let mut sql = format!(
            "application_id = $1 AND position > $2 AND position <= $3 AND kind IN ({kinds}) \
             AND (kind <> '{}' OR {about} <> $5)",
            EventType::WebhookDisabled
        );
        let mut values: Vec<Value> = vec![
            self.application.into(),
            self.after.into(),
            self.to.into(),
            json!(self.kinds).to_string().into(),
            self.except.to_string().into(),
        ];
        if let Some(since) = self.since {
            // Ids begin with the time: their index finds the end of a long log.
            sql.push_str(" AND created_at >= $6 AND id >= $7");
            values.push(since.0.into());
            values.push(first_id(since).into());
        }
        (sql, values)
    }
}

/// The least id of an instant.
fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.0).unwrap_or(0) & 0xFFFF_FFFF_FFFF;
    Uuid::from_u64_pair(millis << 16, 0)
}

/// How many events a stretch has.
pub async fn count(db: &Db, stretch: &Stretch) -> Result<i64> {
    let (condition, values) = stretch.condition(db.engine());
    let sql = format!("SELECT count(*) AS count FROM event WHERE {condition}");
    let row = db
        .read()
        .query_one_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(row.map_or(Ok(0), |row| row.try_get("", "count"))?)
}

/// An event that is to be delivered again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its id.
    pub id: Uuid,
    /// Its place.
    pub position: i64,
    /// Its Item.
    pub item: Option<Uuid>,
}

/// The first events of a stretch, in the log's order.
pub async fn first(
    db: &Db,
    txn: &impl ConnectionTrait,
    stretch: &Stretch,
    limit: usize,
) -> Result<Vec<Told>> {
    let (condition, mut values) = stretch.condition(db.engine());
    values.push(limit_value(limit));
    let sql = format!(
        "SELECT id, position, item_id FROM event WHERE {condition} ORDER BY position LIMIT ${}",
        values.len()
    );
    let rows = txn
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Told {
                id: row.try_get("", "id")?,
                position: row.try_get("", "position")?,
                item: row.try_get("", "item_id")?,
            })
        })
        .collect()
}

/// Makes those deliveries of a lane due that exist already for these events, each at the time beside it, with the whole
/// schedule before them; and answers for which events there are any. One that is being sent at this moment is left to
/// whoever sends it.
pub async fn again(
    db: &Db,
    txn: &impl ConnectionTrait,
    target: &str,
    events: &[(&Told, Timestamp)],
    now: Timestamp,
) -> Result<Vec<Uuid>> {
    let engine = db.engine();
    let batch = match engine {
        Engine::Postgres => {
            "SELECT id::uuid AS id, due, position FROM jsonb_to_recordset($1::jsonb) AS one(id text, due bigint, position bigint)"
        }
        Engine::Sqlite => {
            "SELECT unhex(json_extract(value, '$.id')) AS id, json_extract(value, '$.due') AS due, \
             json_extract(value, '$.position') AS position FROM json_each($1)"
        }
    };
    let listed: Vec<_> = events
        .iter()
        .map(|(event, due)| {
            json!({ "id": event.id.simple().to_string(), "due": due.0, "position": event.position })
        })
        .collect();
    let listed = json!(listed).to_string();
    // Held in the order of their ids, as everybody holds them who needs several.
    let lock = if engine == Engine::Postgres {
        " FOR UPDATE OF d"
    } else {
        ""
    };
    let held = format!(
        "SELECT d.event_id AS event_id FROM delivery d JOIN ({batch}) batch ON batch.id = d.event_id \
         WHERE d.target = $2 ORDER BY d.id{lock}"
    );
    let values: [Value; 2] = [listed.as_str().into(), target.into()];
    let rows = txn
        .query_all_raw(Statement::from_sql_and_values(db.backend(), held, values))
        .await?;
    let there = rows
        .iter()
        .map(|row| Ok(row.try_get("", "event_id")?))
        .collect::<Result<Vec<Uuid>>>()?;
    let sql = format!(
        "UPDATE delivery SET status = 'PENDING', attempts = 0, next_attempt_at = batch.due, position = batch.position, lease_until = NULL, \
           epoch = epoch + 1, updated_at = $3 \
         FROM ({batch}) batch WHERE delivery.event_id = batch.id AND delivery.target = $2 \
           AND (delivery.lease_until IS NULL OR delivery.lease_until <= $3)"
    );
    let values: [Value; 3] = [listed.into(), target.into(), now.0.into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(there)
}

/// Inserts deliveries, but for those that somebody has made meanwhile.
pub async fn insert(txn: &impl ConnectionTrait, rows: Vec<delivery::Model>) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let once = OnConflict::columns([delivery::Column::EventId, delivery::Column::Target])
        .do_nothing()
        .to_owned();
    let rows = rows
        .into_iter()
        .map(|row| row.into_active_model().reset_all());
    delivery::Entity::insert_many(rows)
        .on_conflict(once)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}
