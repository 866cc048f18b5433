//! Copies of an embedded database, and what a database that was put back must forget.

use std::path::Path;

use entity::meta;
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, EntityTrait as _, Statement, sea_query::OnConflict,
};
use sqlx::{
    ConnectOptions as _, Connection as _, Row as _,
    sqlite::{SqliteConnectOptions, SqliteConnection},
};

use super::{BUSY_PATIENCE, Db};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
};

/// Copies an SQLite database into an empty file, beside whoever reads and writes it, as of one moment. What was deleted
/// is not in the copy.
pub async fn copy(from: &Path, to: &Path) -> Result<()> {
    let mut source = open(from).await?;
    let to = to
        .to_str()
        .ok_or_else(|| Error::internal("the path of a backup must be UTF-8"))?;
    sqlx::query("VACUUM INTO ?")
        .bind(to)
        .execute(&mut source)
        .await
        .map_err(Error::internal)?;
    source.close().await.map_err(Error::internal)
}

/// Writes a fact into a copy, and fails unless SQLite finds the whole of it in order.
pub async fn mark_and_verify(copy: &Path, name: &str, value: &str) -> Result<()> {
    let mut connection = open(copy).await?;
    sqlx::query("INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
        .bind(name)
        .bind(value)
        .execute(&mut connection)
        .await
        .map_err(Error::internal)?;
    for check in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
        let rows = sqlx::query(check)
            .fetch_all(&mut connection)
            .await
            .map_err(Error::internal)?;
        let told: Vec<String> = rows
            .iter()
            .filter_map(|row| row.try_get::<String, _>(0).ok())
            .filter(|line| line != "ok")
            .collect();
        if !told.is_empty() {
            return Err(Error::internal(format!(
                "{check} of the copy says: {}",
                told.join("; ")
            )));
        }
    }
    connection.close().await.map_err(Error::internal)
}

async fn open(path: &Path) -> Result<SqliteConnection> {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(BUSY_PATIENCE)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(|error| {
            Error::internal(format!(
                "cannot open the database {}: {error}",
                path.display()
            ))
        })
}

/// What was let go of in a database that was put back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// Runs that were under way.
    pub executions: u64,
    /// Deliveries that were under way.
    pub deliveries: u64,
    /// Applications whose tokens have ended.
    pub applications: u64,
}

/// Begins another log in a database that was put back, and lets go of all that its former nodes held: in one
/// transaction. The mark of a copy is taken away.
pub async fn begin_anew(
    db: &Db,
    now: Timestamp,
    (log, id): (&str, String),
    mark: &str,
) -> Result<Released> {
    let txn = db.begin().await?;
    let fresh = meta::ActiveModel {
        name: Set(log.to_owned()),
        value: Set(id),
    };
    meta::Entity::insert(fresh)
        .on_conflict(
            OnConflict::column(meta::Column::Name)
                .update_column(meta::Column::Value)
                .to_owned(),
        )
        .exec_without_returning(&txn)
        .await?;
    meta::Entity::delete_by_id(mark).exec(&txn).await?;
    let run = async |sql: &str, values: Vec<sea_orm::Value>| -> Result<u64> {
        let statement = Statement::from_sql_and_values(db.backend(), sql, values);
        Ok(txn.execute_raw(statement).await?.rows_affected())
    };
    let released = Released {
        // As a node that stops hands them over: nobody lost these leases, so nothing is counted against the runs.
        executions: run(
            "UPDATE execution SET lease_until = NULL, due_at = $1, epoch = epoch + 1 \
             WHERE ended_at IS NULL AND lease_until IS NOT NULL",
            vec![now.0.into()],
        )
        .await?,
        deliveries: run(
            "UPDATE delivery SET lease_until = NULL, epoch = epoch + 1 WHERE lease_until IS NOT NULL",
            vec![],
        )
        .await?,
        // Tokens that were revoked after the moment of the backup would be good again.
        applications: run(
            "UPDATE application SET token_version = token_version + 1",
            vec![],
        )
        .await?,
    };
    txn.commit().await?;
    Ok(released)
}
