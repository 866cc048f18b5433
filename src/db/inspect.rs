//! What a deployment's database says of itself, for `ponte doctor`. Reads only.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, QueryResult, Statement};
use sqlx::Row as _;

use super::{Db, Engine, Use, open_postgres, open_sqlite};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
};

/// Connections that an inspection takes.
const CONNECTIONS: u32 = 2;
/// How often two connections are asked which server process they speak to.
const ROUNDS: usize = 4;
/// Where counting ends.
const MOST: i64 = 1_000;

/// What PostgreSQL says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Postgres {
    /// Its version as a number, such as 170002.
    pub version: i64,
    /// Its version in words.
    pub version_name: String,
    /// Settings by name as they hold for our connections, in the units of `pg_settings`.
    pub settings: BTreeMap<String, String>,
    /// Most connections of this role, unless as many as there are.
    pub role_connections: Option<i64>,
    /// Most connections to this database, unless as many as there are.
    pub database_connections: Option<i64>,
    /// Whether we speak to it from the same machine.
    pub local: bool,
    /// Whether what we say to it is encrypted.
    pub encrypted: bool,
    /// Whether it only follows another server.
    pub standby: bool,
    /// Whether two connections that are open at once spoke to one server process.
    pub shared_process: bool,
}

/// What SQLite says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sqlite {
    /// Its version.
    pub version: String,
    /// Pragmas by name.
    pub pragmas: BTreeMap<String, String>,
    /// What `quick_check` finds wrong.
    pub damage: Vec<String>,
}

/// What should have been done long ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// Executions whose lease ran out before the cutoff, at most a thousand.
    pub executions: i64,
    /// When the oldest of them ran out.
    pub oldest_lease: Option<Timestamp>,
    /// When the oldest event without a position was written.
    pub oldest_unpublished: Option<Timestamp>,
    /// When the last event was written.
    pub last_event: Option<Timestamp>,
}

impl Db {
    /// Opens a database only to look at it: makes no file and changes no setting of it. Fails when there is none.
    pub async fn inspect(url: &str) -> Result<Self> {
        let statements = std::sync::Arc::default();
        let (engine, pool) = if url.starts_with("sqlite:") {
            let pool = open_sqlite(url, CONNECTIONS, Use::Inspect).await?;
            (Engine::Sqlite, pool)
        } else {
            (Engine::Postgres, open_postgres(url, CONNECTIONS).await?)
        };
        Ok(Self {
            engine,
            writer: pool.clone(),
            reader: pool,
            statements,
        })
    }

    async fn one_row(&self, sql: &str, values: Vec<sea_orm::Value>) -> Result<QueryResult> {
        self.reader
            .query_one_raw(Statement::from_sql_and_values(self.backend(), sql, values))
            .await?
            .ok_or_else(|| Error::internal("a question has no row"))
    }
}

/// Asks PostgreSQL about itself.
pub async fn postgres(db: &Db) -> Result<Postgres> {
    let rows = db
        .reader
        .query_all_raw(Statement::from_string(
            db.backend(),
            "SELECT name, setting FROM pg_settings",
        ))
        .await?;
    let mut settings = BTreeMap::new();
    for row in rows {
        // Some are shown to superusers only.
        if let Some(setting) = row.try_get::<Option<String>>("", "setting")? {
            settings.insert(row.try_get("", "name")?, setting);
        }
    }
    let row = db
        .one_row(
            "SELECT version() AS version, pg_is_in_recovery() AS standby, \
               COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted, \
               COALESCE(host(inet_client_addr()) IN ('127.0.0.1', '::1'), true) AS local, \
               (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user) AS role_connections, \
               (SELECT datconnlimit FROM pg_database WHERE datname = current_database()) AS database_connections",
            vec![],
        )
        .await?;
    let limit = |name: &str| -> Result<Option<i64>> {
        let limit: Option<i32> = row.try_get("", name)?;
        Ok(limit.map(i64::from).filter(|limit| *limit >= 0))
    };
    Ok(Postgres {
        version: settings
            .get("server_version_num")
            .and_then(|number| number.parse().ok())
            .unwrap_or(0),
        version_name: row.try_get("", "version")?,
        role_connections: limit("role_connections")?,
        database_connections: limit("database_connections")?,
        local: row.try_get("", "local")?,
        encrypted: row.try_get("", "encrypted")?,
        standby: row.try_get("", "standby")?,
        shared_process: shared_process(db).await?,
        settings,
    })
}

/// How many connections of nodes over this database are older than the one that asks: none, when it is asked first thing
/// and no node runs. Always none over SQLite, whose lock file tells.
pub async fn older_connections(db: &Db) -> Result<i64> {
    if db.engine() == Engine::Sqlite {
        return Ok(0);
    }
    let sql = "SELECT count(*) AS others FROM pg_stat_activity other, pg_stat_activity mine \
        WHERE mine.pid = pg_backend_pid() AND other.datname = mine.datname \
        AND other.application_name = mine.application_name AND other.backend_start < mine.backend_start";
    Ok(db.one_row(sql, vec![]).await?.try_get("", "others")?)
}

/// A pooler that lends server processes by the transaction gives one to two connections that are open at once.
async fn shared_process(db: &Db) -> Result<bool> {
    let pool = db.reader.get_postgres_connection_pool();
    let mut one = pool.acquire().await.map_err(Error::internal)?;
    let mut other = pool.acquire().await.map_err(Error::internal)?;
    let mut seen = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (connection, seen) in [&mut one, &mut other].into_iter().zip(&mut seen) {
            let row = sqlx::query("SELECT pg_backend_pid()")
                .fetch_one(&mut **connection)
                .await
                .map_err(Error::internal)?;
            seen.push(row.try_get::<i32, _>(0).map_err(Error::internal)?);
        }
    }
    let [one, other] = seen;
    Ok(one
        .iter()
        .any(|process| *process != one[0] || other.contains(process)))
}

/// Asks SQLite about itself and the whole file whether it is in order.
pub async fn sqlite(db: &Db) -> Result<Sqlite> {
    let version = db.one_row("SELECT sqlite_version()", vec![]).await?;
    let mut pragmas = BTreeMap::new();
    for name in [
        "journal_mode",
        "synchronous",
        "foreign_keys",
        "secure_delete",
    ] {
        let row = db.one_row(&format!("PRAGMA {name}"), vec![]).await?;
        let shown = match row.try_get_by_index::<String>(0) {
            Ok(text) => text,
            Err(_) => row.try_get_by_index::<i64>(0)?.to_string(),
        };
        pragmas.insert(name.to_owned(), shown);
    }
    let rows = db
        .reader
        .query_all_raw(Statement::from_string(db.backend(), "PRAGMA quick_check"))
        .await?;
    let mut damage = Vec::new();
    for row in rows {
        let line: String = row.try_get_by_index(0)?;
        if line != "ok" {
            damage.push(line);
        }
    }
    Ok(Sqlite {
        version: version.try_get_by_index(0)?,
        pragmas,
        damage,
    })
}

/// Looks for what should have been done before a moment.
pub async fn unfinished(db: &Db, before: Timestamp) -> Result<Unfinished> {
    let late = "FROM execution WHERE ended_at IS NULL AND due_at <= $1 AND lease_until <= $1";
    let sql = format!(
        "SELECT (SELECT count(*) FROM (SELECT 1 AS one {late} LIMIT {MOST}) e) AS executions, \
           (SELECT min(lease_until) {late}) AS oldest_lease, \
           (SELECT created_at FROM event WHERE position IS NULL ORDER BY sequence LIMIT 1) AS oldest_unpublished, \
           (SELECT created_at FROM event ORDER BY sequence DESC LIMIT 1) AS last_event"
    );
    let row = db.one_row(&sql, vec![before.0.into()]).await?;
    let at = |name: &str| -> Result<Option<Timestamp>> {
        Ok(row.try_get::<Option<i64>>("", name)?.map(Timestamp))
    };
    Ok(Unfinished {
        executions: row.try_get("", "executions")?,
        oldest_lease: at("oldest_lease")?,
        oldest_unpublished: at("oldest_unpublished")?,
        last_event: at("last_event")?,
    })
}
