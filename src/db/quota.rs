//! Statements that count calls of regulated interfaces: a limit holds whoever counts at the same time.

use std::collections::HashMap;

use entity::kind::RegulatedCall;
use sea_orm::{ConnectionTrait, Statement};
use uuid::Uuid;

use super::{
    Db,
    execution::limit_value,
    item::{list, listed},
};
use crate::error::Result;

/// Whose calls at which institution, in which month.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Keyed digest of the person.
    pub person: Vec<u8>,
    /// The institution's connector.
    pub connector: i32,
    /// The calendar month.
    pub month: i32,
}

/// Counts one call, unless `most` have been counted: then `false`.
pub async fn spend(
    db: &Db,
    txn: &impl ConnectionTrait,
    account: &Account,
    call: RegulatedCall,
    most: i32,
) -> Result<bool> {
    let sql = "INSERT INTO quota (person, connector_id, month, call, used) VALUES ($1, $2, $3, $4, 1) \
        ON CONFLICT (person, connector_id, month, call) DO UPDATE SET used = quota.used + 1 WHERE quota.used < $5";
    let values = [
        account.person.clone().into(),
        account.connector.into(),
        account.month.into(),
        call.as_str().into(),
        most.into(),
    ];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    Ok(txn.execute_raw(statement).await?.rows_affected() == 1)
}

/// What Items of an application have used of a month, shared with other Items of the same person.
pub async fn of_items(
    db: &Db,
    application: Uuid,
    items: &[Uuid],
    month: i32,
) -> Result<HashMap<Uuid, HashMap<RegulatedCall, i32>>> {
    let sql = format!(
        "SELECT i.id AS id, q.call AS call, q.used AS used FROM item i \
           JOIN quota q ON q.person = i.person_digest AND q.connector_id = i.connector_id AND q.month = $1 \
         WHERE i.id IN ({}) AND i.application_id = $2",
        listed(db, "$3")
    );
    let values = [month.into(), application.into(), list(db, items)];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let mut used: HashMap<Uuid, HashMap<RegulatedCall, i32>> = HashMap::new();
    for row in db.read().query_all_raw(statement).await? {
        let of = used.entry(row.try_get("", "id")?).or_default();
        of.insert(row.try_get("", "call")?, row.try_get("", "used")?);
    }
    Ok(used)
}

/// Removes some of what was counted before a month, and says how much.
pub async fn forget(db: &Db, before: i32, limit: usize) -> Result<usize> {
    let sql = "DELETE FROM quota WHERE (person, connector_id, month, call) IN (\
        SELECT person, connector_id, month, call FROM quota WHERE month < $1 ORDER BY month LIMIT $2)";
    let values = [before.into(), limit_value(limit)];
    let statement = Statement::from_sql_and_values(db.backend(), sql, values);
    let done = db.write().execute_raw(statement).await?.rows_affected();
    Ok(usize::try_from(done).unwrap_or(usize::MAX))
}
