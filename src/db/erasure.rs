//! Statements that make an application's log forget a client user.

use sea_orm::{ConnectionTrait, DatabaseTransaction, Statement, Value};
use uuid::Uuid;

use super::Db;
use crate::error::Result;

/// The events of a stretch of the log that name the user, but not those about an Item that the user has now.
const TOLD: &str = "e.application_id = $1 AND e.position > $2 AND e.position <= $3 AND e.client_user_id = $4 \
    AND NOT EXISTS (SELECT 1 FROM item i WHERE i.id = e.item_id AND i.deleted_at IS NULL AND i.client_user_id = $4)";

/// Has something that is still to be sent.
const WAITS: &str =
    "EXISTS (SELECT 1 FROM delivery d WHERE d.event_id = e.id AND d.next_attempt_at IS NOT NULL)";

/// A stretch of an application's log, and the user who is to be forgotten in it.
#[derive(Clone, Copy, Debug)]
pub struct Stretch<'a> {
    /// Whose log.
    pub application: Uuid,
    /// Behind this position.
    pub after: i64,
    /// Up to this one.
    pub to: i64,
    /// Whom.
    pub client_user_id: &'a str,
}

impl Stretch<'_> {
    fn values(self) -> Vec<Value> {
        vec![
            self.application.into(),
            self.after.into(),
            self.to.into(),
            self.client_user_id.into(),
        ]
    }
}

/// Notes for an erasure which Items the client user has now; says how many it has to delete in all.
pub async fn list_items(
    db: &Db,
    txn: &DatabaseTransaction,
    erasure: Uuid,
    application: Uuid,
    client_user_id: &str,
) -> Result<i64> {
    let sql = "INSERT INTO erasure_item (erasure_id, item_id) SELECT $1, id FROM item \
          WHERE application_id = $2 AND client_user_id = $3 AND deleted_at IS NULL ON CONFLICT DO NOTHING";
    let values = [erasure.into(), application.into(), client_user_id.into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    left(db, txn, erasure).await
}

/// How many Items an erasure has still to delete.
pub async fn left(db: &Db, connection: &impl ConnectionTrait, erasure: Uuid) -> Result<i64> {
    let sql = "SELECT count(*) FROM erasure_item WHERE erasure_id = $1";
    let statement = Statement::from_sql_and_values(db.backend(), sql, [erasure.into()]);
    match connection.query_one_raw(statement).await? {
        Some(row) => Ok(row.try_get_by_index(0)?),
        None => Ok(0),
    }
}

/// Makes a stretch of the log forget the user, with what endpoints said back and with addresses that name the user, and
/// says how many events that were. What is still to be sent is spared unless `all`.
pub async fn scrub(
    db: &Db,
    txn: &DatabaseTransaction,
    stretch: Stretch<'_>,
    all: bool,
) -> Result<u64> {
    let spared = if all {
        "1 = 1".to_owned()
    } else {
        format!("NOT {WAITS}")
    };
    let events = format!("SELECT e.id FROM event e WHERE {TOLD} AND {spared}");
    let answers = format!(
        "UPDATE attempt SET response_body = NULL WHERE response_body IS NOT NULL \
         AND delivery_id IN (SELECT id FROM delivery WHERE event_id IN ({events}))"
    );
    // The lane keeps the origin; what is still to be sent needs the whole address.
    let addresses = format!(
        "UPDATE delivery SET url = substr(target, 38) WHERE webhook_id IS NULL AND next_attempt_at IS NULL \
         AND (url LIKE $5 ESCAPE '\\' OR url LIKE $6 ESCAPE '\\') AND event_id IN ({events})"
    );
    let names = format!(
        "UPDATE event SET client_user_id = NULL, webhook_url = NULL WHERE id IN ({events})"
    );
    let mut values = stretch.values();
    run(db, txn, &answers, values.clone()).await?;
    let encoded: String =
        url::form_urlencoded::byte_serialize(stretch.client_user_id.as_bytes()).collect();
    let patterns = [stretch.client_user_id, encoded.as_str()].map(super::page::containing);
    values.extend(patterns.map(Value::from));
    run(db, txn, &addresses, values).await?;
    run(db, txn, &names, stretch.values()).await
}

/// The first position of a stretch whose event still names the user.
pub async fn first_told(
    db: &Db,
    connection: &impl ConnectionTrait,
    stretch: Stretch<'_>,
) -> Result<Option<i64>> {
    let sql = format!("SELECT min(e.position) FROM event e WHERE {TOLD}");
    let statement = Statement::from_sql_and_values(db.backend(), sql, stretch.values());
    match connection.query_one_raw(statement).await? {
        Some(row) => Ok(row.try_get_by_index(0)?),
        None => Ok(None),
    }
}

/// Whether an application has events about the user that have no place in its log yet.
pub async fn unpublished(db: &Db, application: Uuid, client_user_id: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM event WHERE position IS NULL AND application_id = $1 AND client_user_id = $2 LIMIT 1";
    let values = [application.into(), client_user_id.into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Ok(db.read().query_one_raw(statement).await?.is_some())
}

async fn run(db: &Db, txn: &DatabaseTransaction, sql: &str, values: Vec<Value>) -> Result<u64> {
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Ok(txn.execute_raw(statement).await?.rows_affected())
}
