//! Statements of the merge: one account's staged transactions against its stored ones, in sets.

use chrono::NaiveDate;
use entity::{kind::TransactionStatus, staged_transaction};
use sea_orm::{
    ActiveModelTrait as _, ConnectionTrait, EntityTrait as _, FromQueryResult,
    IntoActiveModel as _, Statement, Value,
};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::{Db, Engine};
use crate::{clock::Timestamp, connector::Window, error::Result};

/// What staged and stored transactions have in common, in one order.
const CONTENT: [&str; 23] = [
    "row_key",
    "digest",
    "provider_id",
    "date",
    "posted_on",
    "description",
    "description_raw",
    "search_text",
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
    "category_id",
    "category_source",
    "rule_category_id",
    "details",
    "bill_key",
];

/// Most rows of one insert: a row has 24 values, and SQLite takes 32,766 in a statement.
const INSERT_ROWS: usize = 1_000;

/// Whose staged transactions meet which stored ones.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// The run.
    pub execution: Uuid,
    /// The account's key in it.
    pub key: &'a str,
    /// The stored account.
    pub account: Uuid,
}

/// A stored transaction of which the run has no trace.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Gone {
    /// Identity.
    pub id: Uuid,
    /// Settled or not.
    pub status: TransactionStatus,
    /// Local day.
    pub posted_on: NaiveDate,
    /// Whole units.
    pub amount_units: i64,
    /// Billionths.
    pub amount_nanos: i32,
    /// ISO 4217.
    pub currency_code: String,
    /// Folded text.
    pub search_text: String,
}

/// A staged transaction that is not stored.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Fresh {
    /// What it will be matched by.
    pub row_key: String,
    /// The id that it gets.
    pub new_id: Uuid,
    /// Local day.
    pub posted_on: NaiveDate,
    /// Whole units.
    pub amount_units: i64,
    /// Billionths.
    pub amount_nanos: i32,
    /// ISO 4217.
    pub currency_code: String,
    /// Folded text.
    pub search_text: String,
}

/// Stages transactions; a row that is staged already is replaced.
pub async fn stage(txn: &impl ConnectionTrait, rows: Vec<staged_transaction::Model>) -> Result<()> {
    use sea_orm::{Iterable as _, sea_query::OnConflict};
    use staged_transaction::Column as C;

    let key = [C::ExecutionId, C::AccountKey, C::RowKey];
    let replace = OnConflict::columns(key)
        .update_columns(
            C::iter()
                .filter(|column| !matches!(column, C::ExecutionId | C::AccountKey | C::RowKey)),
        )
        .to_owned();
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let chunk: Vec<_> = rows
            .by_ref()
            .take(INSERT_ROWS)
            .map(|row| row.into_active_model().reset_all())
            .collect();
        staged_transaction::Entity::insert_many(chunk)
            .on_conflict(replace.clone())
            .exec_without_returning(txn)
            .await?;
    }
    Ok(())
}

/// Adds payment data to staged transactions, by their keys; those that are not staged are passed over.
pub async fn stage_payments(
    db: &Db,
    txn: &impl ConnectionTrait,
    execution: Uuid,
    account_key: &str,
    payments: &[(String, Option<Json>)],
) -> Result<()> {
    let rows = payments.iter().map(|(key, payment)| match payment {
        Some(payment) => json!({ "k": key, "p": payment }),
        None => json!({ "k": key }),
    });
    let rows = Json::Array(rows.collect());
    let (payment, from, key) = match db.engine() {
        Engine::Postgres => {
            // Statistics may take a full table for an empty one: row by row along the key, whatever they say.
            txn.execute_unprepared("SET LOCAL enable_seqscan = off")
                .await?;
            ("x.p", "jsonb_to_recordset($1) AS x(k text, p jsonb)", "x.k")
        }
        Engine::Sqlite => ("x.value -> 'p'", "json_each($1) x", "x.value ->> 'k'"),
    };
    let sql = format!(
        "UPDATE staged_transaction SET payment_data = {payment} FROM {from} \
         WHERE execution_id = $2 AND account_key = $3 AND row_key = {key}"
    );
    let values = [rows.into(), execution.into(), account_key.into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// Staged rows from which on a merge joins whole sets.
const MANY_ROWS: i64 = 500;

/// Counts what is staged, and keeps PostgreSQL from joining many staged rows one by one, until the transaction ends.
///
/// Staging grows and shrinks faster than the server's statistics follow. Taking a full table for an empty one, the
/// planner picks a nested loop over what the very same statement inserts, whose cost grows with the square of the rows.
pub async fn prefer_sets(db: &Db, txn: &impl ConnectionTrait, side: Side<'_>) -> Result<u64> {
    let sql = "SELECT count(*) AS count FROM staged_transaction WHERE execution_id = $1 AND account_key = $2";
    let values = [side.execution.into(), side.key.into()];
    let row = txn
        .query_one_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    let count: i64 = row.map_or(Ok(0), |row| row.try_get("", "count"))?;
    if count > MANY_ROWS && db.engine() == Engine::Postgres {
        txn.execute_unprepared("SET LOCAL enable_nestloop = off")
            .await?;
    }
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The day of the oldest PENDING transaction of each account that has one.
pub async fn oldest_pending(db: &Db, item: Uuid) -> Result<Vec<(Uuid, NaiveDate)>> {
    let sql = "SELECT t.account_id AS account_id, min(t.posted_on) AS posted_on FROM account a \
               JOIN account_transaction t ON t.account_id = a.id AND t.status = 'PENDING' \
               WHERE a.item_id = $1 GROUP BY t.account_id";
    let statement = Statement::from_sql_and_values(db.backend(), sql, [item.into()]);
    let rows = db.read().query_all_raw(statement).await?;
    rows.iter()
        .map(|row| {
            Ok((
                row.try_get("", "account_id")?,
                row.try_get("", "posted_on")?,
            ))
        })
        .collect()
}

/// How many stored transactions of an account fall into a window.
pub async fn count_in(
    db: &Db,
    txn: &impl ConnectionTrait,
    account: Uuid,
    window: Window,
) -> Result<i64> {
    let sql = "SELECT count(*) AS count FROM account_transaction WHERE account_id = $1 AND posted_on BETWEEN $2 AND $3";
    let values = [account.into(), window.from.into(), window.to.into()];
    let row = txn
        .query_one_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(row.map_or(Ok(0), |row| row.try_get("", "count"))?)
}

/// Stored transactions inside a window of which the run has no trace.
pub async fn gone(
    db: &Db,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    window: Window,
) -> Result<Vec<Gone>> {
    let sql = "SELECT t.id, t.status, t.posted_on, t.amount_units, t.amount_nanos, t.currency_code, t.search_text \
               FROM account_transaction t WHERE t.account_id = $1 AND t.posted_on BETWEEN $2 AND $3 \
               AND NOT EXISTS (SELECT 1 FROM staged_transaction s \
                 WHERE s.execution_id = $4 AND s.account_key = $5 AND s.row_key = t.row_key)";
    let values = [
        side.account.into(),
        window.from.into(),
        window.to.into(),
        side.execution.into(),
        side.key.into(),
    ];
    Ok(
        Gone::find_by_statement(Statement::from_sql_and_values(db.backend(), sql, values))
            .all(txn)
            .await?,
    )
}

/// Staged POSTED transactions that are not stored and have one of these whole amounts.
pub async fn fresh_with_units(
    db: &Db,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    units: &[i64],
) -> Result<Vec<Fresh>> {
    let listed: Vec<String> = units.iter().map(i64::to_string).collect();
    let sql = format!(
        "SELECT s.row_key, s.new_id, s.posted_on, s.amount_units, s.amount_nanos, s.currency_code, s.search_text \
         FROM staged_transaction s WHERE s.execution_id = $1 AND s.account_key = $2 AND s.status = 'POSTED' \
         AND s.amount_units IN ({}) AND {NOT_STORED} ORDER BY s.posted_on, s.row_key",
        listed.join(",")
    );
    let statement = Statement::from_sql_and_values(db.backend(), sql, side.values());
    Ok(Fresh::find_by_statement(statement).all(txn).await?)
}

/// Makes a stored transaction match a staged one from now on.
pub async fn rekey(db: &Db, txn: &impl ConnectionTrait, id: Uuid, row_key: &str) -> Result<()> {
    let sql = "UPDATE account_transaction SET row_key = $1 WHERE id = $2";
    let values = [row_key.into(), id.into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    Ok(())
}

/// Fields of a transaction as the public schema names them, and the columns that they come from.
const FIELDS: [(&str, &[&str]); 17] = [
    ("date", &["date"]),
    ("postedOn", &["posted_on"]),
    ("description", &["description"]),
    ("descriptionRaw", &["description_raw"]),
    ("amount", &["amount_units", "amount_nanos"]),
    (
        "amountInAccountCurrency",
        &["account_amount_units", "account_amount_nanos"],
    ),
    ("currencyCode", &["currency_code"]),
    ("type", &["kind"]),
    ("status", &["status"]),
    ("balance", &["balance_units", "balance_nanos"]),
    ("providerId", &["provider_id"]),
    ("providerCode", &["provider_code"]),
    ("operationType", &["details -> 'operationType'"]),
    (
        "operationTypeAdditionalInfo",
        &["details -> 'operationTypeAdditionalInfo'"],
    ),
    ("order", &["details -> 'order'"]),
    ("creditCardMetadata", &["details -> 'card'"]),
    ("merchant", &["details -> 'merchant'"]),
];

/// Fields that say which category a transaction has, and when the stored and the staged one say differently there. The
/// user's own choice is not staged, and goes before all.
const CATEGORY: [(&str, &str); 3] = [
    ("category", CATEGORY_DIFFERS),
    ("categoryId", CATEGORY_DIFFERS),
    (
        "categorySource",
        "t.user_category_id IS NULL AND CASE WHEN t.rule_category_id IS NULL THEN t.category_source ELSE 'RULE' END \
         IS DISTINCT FROM CASE WHEN s.rule_category_id IS NULL THEN s.category_source ELSE 'RULE' END",
    ),
];

const CATEGORY_DIFFERS: &str = "t.user_category_id IS NULL \
    AND coalesce(t.rule_category_id, t.category_id) IS DISTINCT FROM coalesce(s.rule_category_id, s.category_id)";

/// That a stored transaction `t` has another category than the staged one `s`. Categories are no part of the digest: what
/// decides them changes more often than movements do.
const RECATEGORISED: &str = "t.category_id IS DISTINCT FROM s.category_id \
    OR t.category_source IS DISTINCT FROM s.category_source OR t.rule_category_id IS DISTINCT FROM s.rule_category_id";

/// The field that only a run changes which has collected it, and its column.
const PAYMENT_FIELD: &str = "paymentData";
const PAYMENT: &str = "payment_data";

/// The bill of a staged transaction `s`, where it is known.
const BILL: &str = "CASE WHEN s.bill_key IS NOT NULL THEN \
    (SELECT b.id FROM bill b WHERE b.account_id = $3 AND b.key = s.bill_key) END";

/// A stored transaction that has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Updated {
    /// Identity.
    pub id: Uuid,
    /// The fields that are different now, as the public schema names them.
    pub fields: Vec<&'static str>,
}

/// Updates stored transactions whose content differs from the staged one's, and answers which of them clients see
/// differently, and how.
///
/// That is asked before: once updated, a row no longer tells what it was. Where nothing has changed, asking is all.
/// Payment data is left alone unless it has been collected.
pub async fn update(
    db: &Db,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    payments: bool,
    now: Timestamp,
) -> Result<Vec<Updated>> {
    let mut updated = differing(db, txn, side, payments).await?;
    if updated.is_empty() {
        return Ok(updated);
    }
    let mut set: Vec<String> = CONTENT
        .iter()
        .filter(|column| **column != "row_key")
        .map(|column| format!("{column} = s.{column}"))
        .collect();
    set.push(format!("bill_id = {BILL}"));
    if payments {
        set.push(format!("{PAYMENT} = s.{PAYMENT}"));
    }
    let content = differs(payments);
    let sql = format!(
        "UPDATE account_transaction AS t SET {}, updated_at = CASE WHEN t.user_category_id IS NULL OR {content} \
           THEN $4 ELSE t.updated_at END FROM staged_transaction s \
         WHERE s.execution_id = $1 AND s.account_key = $2 AND t.account_id = $3 AND t.row_key = s.row_key \
         AND ({content} OR {RECATEGORISED})",
        set.join(", ")
    );
    let [a, b, c] = side.values();
    let values = [a, b, c, now.0.into()];
    txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    updated.retain(|row| !row.fields.is_empty());
    Ok(updated)
}

/// That the content of a stored transaction `t` differs from the staged one's, `s`.
fn differs(payments: bool) -> String {
    if payments {
        format!("(t.digest <> s.digest OR t.{PAYMENT} IS DISTINCT FROM s.{PAYMENT})")
    } else {
        "t.digest <> s.digest".to_owned()
    }
}

/// Stored transactions whose content differs from the staged one's. One number tells which fields do.
async fn differing(
    db: &Db,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    payments: bool,
) -> Result<Vec<Updated>> {
    let mut fields = FIELDS.to_vec();
    if payments {
        fields.push((PAYMENT_FIELD, &[PAYMENT]));
    }
    let bits: Vec<String> = fields
        .iter()
        .enumerate()
        .map(|(place, (_, columns))| {
            let differs: Vec<String> = columns
                .iter()
                .map(|column| format!("t.{column} IS DISTINCT FROM s.{column}"))
                .collect();
            (place, differs.join(" OR "))
        })
        .chain((fields.len()..).zip(CATEGORY.map(|(_, differs)| differs.to_owned())))
        .map(|(place, differs)| format!("CASE WHEN {differs} THEN {} ELSE 0 END", 1 << place))
        .collect();
    let sql = format!(
        "SELECT t.id AS id, {} AS fields FROM account_transaction t JOIN staged_transaction s ON t.row_key = s.row_key \
         WHERE s.execution_id = $1 AND s.account_key = $2 AND t.account_id = $3 AND ({} OR {RECATEGORISED})",
        bits.join(" + "),
        differs(payments)
    );
    let statement = Statement::from_sql_and_values(db.backend(), sql, side.values());
    let rows = txn.query_all_raw(statement).await?;
    let updated = |row: &sea_orm::QueryResult| {
        let bits: i32 = row.try_get("", "fields")?;
        let names = fields.iter().map(|(name, _)| *name);
        let names = names.chain(CATEGORY.map(|(name, _)| name)).enumerate();
        Ok(Updated {
            id: row.try_get("", "id")?,
            fields: names
                .filter(|(place, _)| bits & (1 << place) != 0)
                .map(|(_, name)| name)
                .collect(),
        })
    };
    rows.iter().map(updated).collect()
}

/// Gives stored transactions whose bill was not known their bill, and answers which.
pub async fn bill(
    db: &Db,
    txn: &impl ConnectionTrait,
    account: Uuid,
    now: Timestamp,
) -> Result<Vec<Uuid>> {
    let of_bill = "FROM bill b WHERE b.account_id = $1 AND b.key = account_transaction.bill_key";
    let sql = format!(
        "UPDATE account_transaction SET bill_id = (SELECT b.id {of_bill}), updated_at = $2 \
         WHERE account_id = $1 AND bill_key IS NOT NULL AND bill_id IS NULL AND EXISTS (SELECT 1 {of_bill}) RETURNING id"
    );
    let values = [account.into(), now.0.into()];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let rows = txn.query_all_raw(statement).await?;
    rows.iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Deletes stored transactions.
pub async fn delete(db: &Db, txn: &impl ConnectionTrait, gone: &[Uuid]) -> Result<()> {
    for chunk in gone.chunks(500) {
        let places: Vec<String> = (1..=chunk.len()).map(|n| format!("${n}")).collect();
        let sql = format!(
            "DELETE FROM account_transaction WHERE id IN ({})",
            places.join(",")
        );
        let values: Vec<Value> = chunk.iter().map(|id| (*id).into()).collect();
        txn.execute_raw(Statement::from_sql_and_values(db.backend(), sql, values))
            .await?;
    }
    Ok(())
}

/// What was inserted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inserted {
    /// How many rows.
    pub count: u64,
    /// The earliest day among them.
    pub earliest: Option<NaiveDate>,
}

/// Owner columns of inserted transactions.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// The application.
    pub application: Uuid,
    /// The Item.
    pub item: Uuid,
}

/// Inserts what is staged and not stored; payment data only if it has been collected.
pub async fn insert(
    db: &Db,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    owner: Owner,
    payments: bool,
    now: Timestamp,
) -> Result<Inserted> {
    let mut columns: Vec<&str> = CONTENT.to_vec();
    if payments {
        columns.push(PAYMENT);
    }
    let staged: Vec<String> = columns.iter().map(|column| format!("s.{column}")).collect();
    let insert = format!(
        "INSERT INTO account_transaction (id, application_id, item_id, account_id, {}, bill_id, created_at, updated_at) \
         SELECT s.new_id, $4, $5, $3, {}, {BILL}, $6, $6 FROM staged_transaction s \
         WHERE s.execution_id = $1 AND s.account_key = $2 AND {NOT_STORED}",
        columns.join(", "),
        staged.join(", ")
    );
    let [a, b, c] = side.values();
    let values = vec![
        a,
        b,
        c,
        owner.application.into(),
        owner.item.into(),
        now.0.into(),
    ];
    let counted =
        |from: &str| format!("SELECT count(*) AS count, min(posted_on) AS earliest FROM {from}");
    let row = match db.engine() {
        Engine::Postgres => {
            let sql = format!(
                "WITH inserted AS ({insert} RETURNING posted_on) {}",
                counted("inserted")
            );
            txn.query_one_raw(Statement::from_sql_and_values(db.backend(), sql, values))
                .await?
        }
        Engine::Sqlite => {
            let sql = counted(&format!(
                "staged_transaction s WHERE s.execution_id = $1 AND s.account_key = $2 AND {NOT_STORED}"
            ));
            let count = Statement::from_sql_and_values(db.backend(), sql, side.values());
            let row = txn.query_one_raw(count).await?;
            txn.execute_raw(Statement::from_sql_and_values(db.backend(), insert, values))
                .await?;
            row
        }
    };
    let Some(row) = row else {
        return Ok(Inserted::default());
    };
    let count: i64 = row.try_get("", "count")?;
    Ok(Inserted {
        count: u64::try_from(count).unwrap_or(0),
        earliest: row.try_get("", "earliest")?,
    })
}

/// That a staged transaction `s` of [`Side::values`] is not stored.
pub(super) const NOT_STORED: &str = "NOT EXISTS (SELECT 1 FROM account_transaction t WHERE t.account_id = $3 AND t.row_key = s.row_key)";

impl Side<'_> {
    /// Bound as $1, $2 and $3.
    pub(super) fn values(self) -> [Value; 3] {
        [self.execution.into(), self.key.into(), self.account.into()]
    }
}
