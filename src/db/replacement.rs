//! Statements about movements that institutions have written anew.

use chrono::NaiveDate;
use sea_orm::{ConnectionTrait, FromQueryResult as _, Statement, Value};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{
    Db, Engine,
    execution::limit_value,
    merge::{Fresh, NOT_STORED, Side},
};
use crate::{clock::Timestamp, error::Result};

/// What is kept of a replaced transaction, as both tables name it.
const KEPT: [&str; 29] = [
    "id",
    "application_id",
    "item_id",
    "account_id",
    "provider_id",
    "date",
    "posted_on",
    "description",
    "description_raw",
    "amount_units",
    "amount_nanos",
    "account_amount_units",
    "account_amount_nanos",
    "currency_code",
    "kind",
    "status",
    "balance_units",
    "balance_nanos",
    "provider_code",
    "details",
    "bill_key",
    "bill_id",
    "payment_data",
    "category_id",
    "category_source",
    "rule_category_id",
    "user_category_id",
    "created_at",
    "updated_at",
];

/// A stored transaction and the staged one that it has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// The stored one, which goes.
    pub id: Uuid,
    /// The id that the staged one gets.
    pub by: Uuid,
    /// How sure that is, in hundredths.
    pub confidence: i32,
}

/// Staged transactions of these days, both inclusive, that are not stored; the first so many.
pub async fn candidates(
    db: &Db,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    (from, to): (NaiveDate, NaiveDate),
    limit: usize,
) -> Result<Vec<Fresh>> {
    let sql = format!(
        "SELECT s.row_key, s.new_id, s.posted_on, s.amount_units, s.amount_nanos, s.currency_code, s.search_text \
         FROM staged_transaction s WHERE s.execution_id = $1 AND s.account_key = $2 AND s.posted_on BETWEEN $4 AND $5 \
         AND {NOT_STORED} ORDER BY s.posted_on DESC, s.row_key LIMIT $6"
    );
    let [a, b, c] = side.values();
    let values = [a, b, c, from.into(), to.into(), limit_value(limit)];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Ok(Fresh::find_by_statement(statement).all(txn).await?)
}

/// Keeps stored transactions, before they are deleted, as what they were and what they have become. What has led to them
/// leads on to their replacements.
pub async fn keep(
    db: &Db,
    txn: &impl ConnectionTrait,
    (item, account): (Uuid, Uuid),
    replaced: &[Replaced],
    now: Timestamp,
) -> Result<()> {
    if replaced.is_empty() {
        return Ok(());
    }
    let (from, old, new, confidence) = pairs(db.engine());
    let stored: Vec<String> = KEPT.iter().map(|column| format!("t.{column}")).collect();
    let sql = format!(
        "INSERT INTO replaced_transaction ({}, replaced_by, leads_to, confidence, deleted_at) \
         SELECT {}, {new}, {new}, {confidence}, $2 FROM {from} JOIN account_transaction t ON t.id = {old} WHERE t.account_id = $3",
        KEPT.join(", "),
        stored.join(", ")
    );
    let values = [listed(replaced), now.0.into(), account.into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    let sql = format!(
        "UPDATE replaced_transaction SET leads_to = {new} FROM {from} WHERE item_id = $2 AND leads_to = {old}"
    );
    let values = [listed(replaced), item.into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// Gives what transactions were replaced by, once it is stored, the category that the user had chosen for them.
pub async fn carry(
    db: &Db,
    txn: &impl ConnectionTrait,
    account: Uuid,
    replaced: &[Replaced],
) -> Result<()> {
    for chunk in replaced.chunks(500) {
        let places: Vec<String> = (2..=chunk.len() + 1).map(|n| format!("${n}")).collect();
        let sql = format!(
            "UPDATE account_transaction SET user_category_id = \
               (SELECT r.user_category_id FROM replaced_transaction r WHERE r.replaced_by = account_transaction.id) \
             WHERE account_id = $1 AND id IN ({})",
            places.join(",")
        );
        let ids = chunk.iter().map(|it| it.by.into());
        let values = std::iter::once(account.into()).chain(ids);
        txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
            .await?;
    }
    Ok(())
}

/// Forgets whatever has led to these transactions, which are gone for good.
pub async fn forget(db: &Db, txn: &impl ConnectionTrait, gone: &[Uuid]) -> Result<()> {
    for chunk in gone.chunks(500) {
        let places: Vec<String> = (1..=chunk.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "DELETE FROM replaced_transaction WHERE leads_to IN ({})",
            places.join(",")
        );
        let values: Vec<Value> = chunk.iter().map(|id| (*id).into()).collect();
        txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
            .await?;
    }
    Ok(())
}

/// What has been replaced by these transactions of an application.
pub async fn replaced_by(db: &Db, application: Uuid, ids: &[Uuid]) -> Result<Vec<Replaced>> {
    let mut found = Vec::new();
    for chunk in ids.chunks(500) {
        let places: Vec<String> = (2..=chunk.len() + 1).map(|n| format!("${n}")).collect();
        let sql = format!(
            "SELECT id, replaced_by, confidence FROM replaced_transaction \
             WHERE replaced_by IN ({}) AND application_id = $1",
            places.join(",")
        );
        let values = std::iter::once(application.into()).chain(chunk.iter().map(|id| (*id).into()));
        let statement = Statement::from_sql_and_values(db.backend(), sql, values);
        for row in db.read().query_all_raw(statement).await? {
            found.push(Replaced {
                id: row.try_get("", "id")?,
                by: row.try_get("", "replaced_by")?,
                confidence: row.try_get("", "confidence")?,
            });
        }
    }
    Ok(found)
}

/// The pairs of `$1`: what to select them from, and what the old id, the new one and the confidence are there.
fn pairs(engine: Engine) -> (&'static str, &'static str, &'static str, &'static str) {
    match engine {
        Engine::Postgres => (
            "jsonb_to_recordset($1) AS x(o uuid, n uuid, c integer)",
            "x.o",
            "x.n",
            "x.c",
        ),
        Engine::Sqlite => (
            "json_each($1) x",
            "unhex(x.value ->> 'o')",
            "unhex(x.value ->> 'n')",
            "x.value ->> 'c'",
        ),
    }
}

fn listed(replaced: &[Replaced]) -> Value {
    let rows = replaced.iter().map(|it| {
        json!({ "o": it.id.simple().to_string(), "n": it.by.simple().to_string(), "c": it.confidence })
    });
    Json::Array(rows.collect()).into()
}
