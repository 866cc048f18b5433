//! How the schema of a database stands to that of this binary: read, judged, brought up to date.
//!
//! Promises that a node changes nothing in a database that a newer version has migrated, that one node at a time
//! migrates, and that a migration on SQLite is applied whole or not at all. Migrations only add, so a node that runs
//! already is not disturbed when a newer one migrates; statements therefore name the columns that they read.

use std::collections::BTreeSet;

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, IdenStatic as _, Iterable as _, Statement};

use super::{Db, Engine};
use crate::error::{Error, Result};

const MIGRATION_LOCK: i64 = 7_077_073;

/// The migrations of a database beside those of this binary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// What a newer version has applied, by name.
    pub unknown: Vec<String>,
    /// What has yet to be applied, by name.
    pub outstanding: Vec<String>,
    /// What both have, by name.
    pub applied: Vec<String>,
}

impl Schema {
    /// Whether there is anything of ours.
    pub fn has_begun(&self) -> bool {
        !self.applied.is_empty()
    }

    /// Fails when the database is newer than this binary.
    pub fn check_known(&self) -> Result<()> {
        if self.unknown.is_empty() {
            return Ok(());
        }
        Err(Error::internal(format!(
            "the database was migrated by a newer version of ponte ({} is not known to {}): start that version or a later one; nothing was changed",
            self.unknown.join(", "),
            env!("CARGO_PKG_VERSION"),
        )))
    }

    /// Fails unless the database is exactly as this binary knows it.
    pub fn check_current(&self) -> Result<()> {
        self.check_known()?;
        if self.outstanding.is_empty() {
            return Ok(());
        }
        Err(Error::internal(format!(
            "the database lacks {} of this version, and PONTE_MIGRATE is false: run ponte migrate",
            self.outstanding.join(", "),
        )))
    }
}

/// All columns of a table, as a list to select or return. What `*` means changes under a running node when a newer
/// version adds a column, and PostgreSQL then refuses the statement that it had prepared.
pub(super) fn columns<E: EntityTrait>() -> String {
    let names: Vec<_> = E::Column::iter()
        .map(|column| column.as_str().to_owned())
        .collect();
    names.join(", ")
}

impl Db {
    /// Compares the migrations of the database with those of this binary. Only reads.
    pub async fn schema(&self) -> Result<Schema> {
        compare(self.engine, &self.reader).await
    }

    /// Applies outstanding migrations, one node at a time. Fails, having written nothing, when the database is newer.
    pub async fn migrate(&self) -> Result<()> {
        let schema = self.schema().await?;
        schema.check_known()?;
        if schema.outstanding.is_empty() {
            return Ok(());
        }
        let txn = self.begin().await?;
        self.lock(&txn, MIGRATION_LOCK).await?;
        if self.engine == Engine::Postgres {
            // The holder of the lock idles meanwhile, however long that takes.
            txn.execute_unprepared("SET LOCAL idle_in_transaction_session_timeout = 0")
                .await?;
        }
        // Somebody else may have held the lock before.
        compare(self.engine, &txn).await?.check_known()?;
        match self.engine {
            Engine::Sqlite => Migrator::up(&txn, None).await?,
            // Each in a transaction of its own, beside the one that holds the lock.
            Engine::Postgres => Migrator::up(&self.writer, None).await?,
        }
        Ok(txn.commit().await?)
    }
}

async fn compare(engine: Engine, connection: &impl ConnectionTrait) -> Result<Schema> {
    let known: BTreeSet<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    let applied = applied(engine, connection).await?;
    Ok(Schema {
        unknown: applied.difference(&known).cloned().collect(),
        outstanding: known.difference(&applied).cloned().collect(),
        applied: applied.intersection(&known).cloned().collect(),
    })
}

async fn applied(engine: Engine, connection: &impl ConnectionTrait) -> Result<BTreeSet<String>> {
    let (backend, exists) = match engine {
        Engine::Sqlite => (
            DbBackend::Sqlite,
            "SELECT count(*) > 0 AS found FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'",
        ),
        Engine::Postgres => (
            DbBackend::Postgres,
            "SELECT to_regclass('seaql_migrations') IS NOT NULL AS found",
        ),
    };
    let row = connection
        .query_one_raw(Statement::from_string(backend, exists))
        .await?
        .ok_or_else(|| Error::internal("a count has no row"))?;
    if !row.try_get::<bool>("", "found")? {
        return Ok(BTreeSet::new());
    }
    let rows = connection
        .query_all_raw(Statement::from_string(
            backend,
            "SELECT version FROM seaql_migrations",
        ))
        .await?;
    rows.iter()
        .map(|row| Ok(row.try_get("", "version")?))
        .collect()
}
