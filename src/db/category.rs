//! Statements that decide categories anew: of what a run has staged, and of what is stored.

use chrono::NaiveDate;
use entity::{
    kind::{CategorySource, TransactionType},
    time::Timestamp,
};
use sea_orm::{ConnectionTrait, Statement};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Db, Engine, execution::limit_value, merge::Side, row::Cells};
use crate::error::Result;

/// What the rules look at of a staged transaction.
#[derive(Clone, Debug)]
pub struct Staged {
    /// What it will be matched by.
    pub row_key: String,
    /// Cleaned text.
    pub description: String,
    /// Verbatim text.
    pub description_raw: Option<String>,
    /// Direction.
    pub kind: TransactionType,
}

/// Some staged transactions of an account, behind a key, by ascending key.
pub async fn staged(
    db: &Db,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    behind: &str,
    limit: usize,
) -> Result<Vec<Staged>> {
    let sql = "SELECT row_key, description, description_raw, kind FROM staged_transaction \
               WHERE execution_id = $1 AND account_key = $2 AND row_key > $3 ORDER BY row_key LIMIT $4";
    let values = [
        side.execution.into(),
        side.key.into(),
        behind.into(),
        limit_value(limit),
    ];
    let found = txn
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    let staged = |row| {
        let mut cells = Cells::new(row);
        Ok(Staged {
            row_key: cells.take()?,
            description: cells.take()?,
            description_raw: cells.take()?,
            kind: cells.take()?,
        })
    };
    found.iter().map(staged).collect()
}

/// Gives staged transactions the categories that rules decide: pairs of key and category.
pub async fn decide_staged(
    db: &Db,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    decided: &[(&str, &str)],
) -> Result<()> {
    let (from, key, category) = match db.engine() {
        Engine::Postgres => ("jsonb_to_recordset($1) AS x(k text, c text)", "x.k", "x.c"),
        Engine::Sqlite => ("json_each($1) x", "x.value ->> 'k'", "x.value ->> 'c'"),
    };
    let sql = format!(
        "UPDATE staged_transaction SET rule_category_id = {category} FROM {from} \
         WHERE staged_transaction.execution_id = $2 AND staged_transaction.account_key = $3 AND staged_transaction.row_key = {key}"
    );
    let rows: Vec<Json> = decided
        .iter()
        .map(|(key, category)| json!({ "k": key, "c": category }))
        .collect();
    let values = [
        Json::Array(rows).into(),
        side.execution.into(),
        side.key.into(),
    ];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// What the rules look at of a stored transaction, and what they have decided before.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Identity.
    pub id: Uuid,
    /// Its account.
    pub account: Uuid,
    /// Local day.
    pub posted_on: NaiveDate,
    /// Cleaned text.
    pub description: String,
    /// Verbatim text.
    pub description_raw: Option<String>,
    /// Direction.
    pub kind: TransactionType,
    /// By the user.
    pub user: Option<String>,
    /// By a rule.
    pub rule: Option<String>,
    /// By the institution or the classifier.
    pub other: Option<String>,
    /// By which of them.
    pub source: Option<CategorySource>,
}

/// Some stored transactions of an Item, behind one of them, by ascending day and id.
pub async fn stored(
    db: &Db,
    txn: &impl ConnectionTrait,
    item: Uuid,
    behind: (NaiveDate, Uuid),
    limit: usize,
) -> Result<Vec<Stored>> {
    let sql = "SELECT id, account_id, posted_on, description, description_raw, kind, user_category_id, rule_category_id, category_id, category_source \
               FROM account_transaction WHERE item_id = $1 AND (posted_on, id) > ($2, $3) ORDER BY posted_on, id LIMIT $4";
    let values = [
        item.into(),
        behind.0.into(),
        behind.1.into(),
        limit_value(limit),
    ];
    let found = txn
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    let stored = |row| {
        let mut cells = Cells::new(row);
        Ok(Stored {
            id: cells.take()?,
            account: cells.take()?,
            posted_on: cells.take()?,
            description: cells.take()?,
            description_raw: cells.take()?,
            kind: cells.take()?,
            user: cells.take()?,
            rule: cells.take()?,
            other: cells.take()?,
            source: cells.take()?,
        })
    };
    found.iter().map(stored).collect()
}

/// What a rule decides of a stored transaction now.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// The transaction.
    pub id: Uuid,
    /// The category, if a rule decides one.
    pub rule: Option<&'a str>,
    /// Whether a client sees it.
    pub visible: bool,
}

/// Gives stored transactions of an Item what the rules decide of them now.
pub async fn decide_stored(
    db: &Db,
    txn: &impl ConnectionTrait,
    item: Uuid,
    changes: &[Change<'_>],
    now: Timestamp,
) -> Result<()> {
    let (from, id, category, visible) = match db.engine() {
        Engine::Postgres => (
            "jsonb_to_recordset($1) AS x(i uuid, c text, v boolean)",
            "x.i",
            "x.c",
            "x.v",
        ),
        Engine::Sqlite => (
            "json_each($1) x",
            "unhex(x.value ->> 'i')",
            "x.value ->> 'c'",
            "x.value ->> 'v'",
        ),
    };
    let sql = format!(
        "UPDATE account_transaction SET rule_category_id = {category}, \
           updated_at = CASE WHEN {visible} THEN $2 ELSE account_transaction.updated_at END \
         FROM {from} WHERE account_transaction.id = {id} AND account_transaction.item_id = $3"
    );
    let rows: Vec<Json> = changes
        .iter()
        .map(|change| {
            json!({ "i": change.id.simple().to_string(), "c": change.rule, "v": change.visible })
        })
        .collect();
    let values = [Json::Array(rows).into(), now.0.into(), item.into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}
