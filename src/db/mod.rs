//! The database, and the only SQL that is written by hand or differs between engines.
//!
//! One model over two engines: SQLite embedded (one writer connection, a pool of readers, WAL) and PostgreSQL (one
//! pool). Write transactions begin with [`Db::begin`], which takes SQLite's write lock at once instead of failing
//! half-way. Statements are counted ([`Db::statements`]), never logged with values.

pub mod attempt;
pub mod audit;
pub mod backup;
pub mod category;
pub mod change;
pub mod delivery;
pub mod erasure;
pub mod event;
pub mod execution;
pub mod gate;
pub mod guess;
pub mod inspect;
pub mod item;
pub mod lane;
pub mod merge;
pub mod notify;
pub mod outcome;
pub mod page;
pub mod queues;
pub mod quota;
pub mod replacement;
pub mod replay;
pub mod row;
pub mod schema;
pub mod snapshot;
pub mod tail;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use entity::time::Timestamp;
use sea_orm::{
    AccessMode, ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction,
    DbBackend, IsolationLevel, SqliteTransactionMode, Statement, TransactionOptions,
    TransactionTrait,
};

use crate::error::{Error, Result};

/// What PostgreSQL is told about every session. A node that stands still, or is cut off, must not hold rows for long: no
/// transaction of ours idles, and a client that does not answer is given up within seconds.
const SESSION: [(&str, &str); 7] = [
    ("idle_in_transaction_session_timeout", "3s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "8s"),
    // Statements are short; compiling one takes longer than running it.
    ("jit", "off"),
    // Or the server remarks on every ROLLBACK after a release that there was nothing to roll back.
    ("client_min_messages", "error"),
];
/// How long a connection that is given back may take to show that it is good.
const RELEASE_PATIENCE: Duration = Duration::from_secs(5);

const KEY_CREATION_LOCK: i64 = 7_077_074;
const CLAIM_LOCK: i64 = 7_077_075;

/// Page cache of each SQLite connection, as its pragma takes it (negative: KiB). The operating system caches the file
/// for all of them; many readers must not add up.
const READER_CACHE: &str = "-4000";
const WRITER_CACHE: &str = "-16000";

/// How long SQLite waits for whoever holds its locks.
const BUSY_PATIENCE: Duration = Duration::from_secs(30);
/// How long emptying its log waits for those who read from it: the only writer stands still meanwhile.
const TRUNCATE_PATIENCE: Duration = Duration::from_millis(100);

/// Which engine is behind a [`Db`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded, in one file.
    Sqlite,
    /// A server.
    Postgres,
}

/// Connections to the database.
#[derive(Clone)]
pub struct Db {
    engine: Engine,
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    statements: Arc<AtomicU64>,
}

impl Db {
    /// Opens the database behind a `sqlite:` or `postgres:` URL, creating a missing SQLite file.
    pub async fn connect(url: &str, connections: u32) -> Result<Self> {
        let engine = if url.starts_with("sqlite:") {
            Engine::Sqlite
        } else {
            Engine::Postgres
        };
        let statements = Arc::new(AtomicU64::new(0));
        let (writer, reader) = match engine {
            Engine::Sqlite => {
                let writer = counted(open_sqlite(url, 1, Use::Write).await?, &statements);
                let reader = counted(open_sqlite(url, connections, Use::Read).await?, &statements);
                check_sqlite(&writer).await?;
                (writer, reader)
            }
            Engine::Postgres => {
                let pool = counted(open_postgres(url, connections).await?, &statements);
                (pool.clone(), pool)
            }
        };
        Ok(Self {
            engine,
            writer,
            reader,
            statements,
        })
    }

    /// The engine.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The same, as SeaORM names it.
    pub fn backend(&self) -> DbBackend {
        match self.engine {
            Engine::Sqlite => DbBackend::Sqlite,
            Engine::Postgres => DbBackend::Postgres,
        }
    }

    /// A connection for statements that only read. What was committed before is visible.
    pub fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// A connection for a single writing statement; more than one belong into [`Db::begin`].
    pub fn write(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a write transaction. Dropping it rolls back.
    ///
    /// The caller runs in a task of its own: a future that a disconnecting client can drop must not hold one.
    pub async fn begin(&self) -> Result<DatabaseTransaction> {
        let options = TransactionOptions {
            sqlite_transaction_mode: (self.engine == Engine::Sqlite)
                .then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.writer.begin_with_options(options).await?)
    }

    /// Begins a transaction that only reads, everything as of its first statement.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction> {
        let postgres = self.engine == Engine::Postgres;
        let options = TransactionOptions {
            isolation_level: postgres.then_some(IsolationLevel::RepeatableRead),
            access_mode: postgres.then_some(AccessMode::ReadOnly),
            ..TransactionOptions::default()
        };
        Ok(self.reader.begin_with_options(options).await?)
    }

    /// Lets one node at a time make keys that a new database lacks.
    pub async fn lock_key_creation(&self, txn: &DatabaseTransaction) -> Result<()> {
        self.lock(txn, KEY_CREATION_LOCK).await
    }

    /// Holds, until the transaction ends, the lock of a value that has no row of its own, by its digest.
    pub async fn lock_digest(&self, txn: &DatabaseTransaction, digest: &[u8; 32]) -> Result<()> {
        let (head, _) = digest.split_first_chunk().expect("32 bytes begin with 8");
        self.lock(txn, i64::from_be_bytes(*head)).await
    }

    /// SQLite's single writer needs no such lock.
    async fn lock(&self, txn: &DatabaseTransaction, number: i64) -> Result<()> {
        if self.engine == Engine::Postgres {
            let sql = "SELECT pg_advisory_xact_lock($1)";
            txn.execute_raw(Statement::from_sql_and_values(
                DbBackend::Postgres,
                sql,
                [number.into()],
            ))
            .await?;
        }
        Ok(())
    }

    /// How many statements have been sent so far.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Empties SQLite's write-ahead log, so that nothing that was deleted stays in it; `false` while somebody still
    /// reads from it.
    pub async fn truncate_log(&self) -> Result<bool> {
        if self.engine != Engine::Sqlite {
            return Ok(true);
        }
        // One statement to the pool, so that no writer comes between and finds the short patience.
        let sql = format!(
            "PRAGMA busy_timeout = {}; PRAGMA wal_checkpoint(TRUNCATE); PRAGMA busy_timeout = {}",
            TRUNCATE_PATIENCE.as_millis(),
            BUSY_PATIENCE.as_millis()
        );
        let rows = self
            .writer
            .query_all_raw(Statement::from_string(DbBackend::Sqlite, sql))
            .await?;
        let [_, checkpoint, _] = rows.as_slice() else {
            return Err(Error::internal("SQLite answers no checkpoint"));
        };
        Ok(checkpoint.try_get_by_index::<i32>(0)? == 0)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        self.reader.execute_unprepared("SELECT 1").await?;
        Ok(())
    }

    /// The time that a PostgreSQL server shows; `None` on SQLite, whose only clock is this machine's.
    pub async fn server_time(&self) -> Result<Option<Timestamp>> {
        if self.engine == Engine::Sqlite {
            return Ok(None);
        }
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS millis";
        let row = self
            .reader
            .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
            .await?;
        Ok(row
            .map(|row| row.try_get::<i64>("", "millis"))
            .transpose()?
            .map(Timestamp))
    }
}

fn counted(mut connection: DatabaseConnection, statements: &Arc<AtomicU64>) -> DatabaseConnection {
    let statements = statements.clone();
    connection.set_metric_callback(move |_| {
        statements.fetch_add(1, Ordering::Relaxed);
    });
    connection
}

/// What a connection to SQLite is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Write,
    Read,
    /// As for reading, of a file that is there and whose journal stays as it is.
    Inspect,
}

async fn open_sqlite(url: &str, connections: u32, purpose: Use) -> Result<DatabaseConnection> {
    let writes = purpose == Use::Write;
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .acquire_timeout(Duration::from_secs(30))
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .map_sqlx_sqlite_opts(move |sqlite| {
            use sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
            let sqlite = if purpose == Use::Inspect {
                sqlite
            } else {
                sqlite.journal_mode(SqliteJournalMode::Wal)
            };
            sqlite
                .create_if_missing(writes)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(BUSY_PATIENCE)
                .pragma("secure_delete", "ON")
                .pragma("temp_store", "MEMORY")
                .pragma(
                    "cache_size",
                    if writes { WRITER_CACHE } else { READER_CACHE },
                )
                .pragma("query_only", if writes { "OFF" } else { "ON" })
        });
    Ok(Database::connect(options).await?)
}

async fn check_sqlite(writer: &DatabaseConnection) -> Result<()> {
    for (pragma, expected) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("secure_delete", "1"),
    ] {
        let statement = Statement::from_string(DbBackend::Sqlite, format!("PRAGMA {pragma}"));
        let row = writer
            .query_one_raw(statement)
            .await?
            .ok_or_else(|| Error::internal("SQLite answers no pragma"))?;
        let shown = match row.try_get_by_index::<String>(0) {
            Ok(text) => text,
            Err(_) => row.try_get_by_index::<i64>(0)?.to_string(),
        };
        if shown != expected {
            return Err(Error::internal(format!(
                "SQLite keeps {pragma} at {shown} instead of {expected}"
            )));
        }
    }
    Ok(())
}

async fn open_postgres(url: &str, connections: u32) -> Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .sqlx_logging(false)
        .record_stmt_in_spans(false)
        .acquire_timeout(Duration::from_secs(10))
        .set_application_name("ponte")
        .map_sqlx_postgres_opts(|postgres| postgres.options(SESSION))
        // A future that is dropped while BEGIN is under way hands back a connection inside an open transaction.
        .map_sqlx_postgres_pool_opts(|pool| {
            pool.after_release(|connection, _| {
                Box::pin(async move {
                    // Behind a firewall that swallows everything, nobody answers; the pool wants its place back.
                    let done = sqlx::Executor::execute(&mut *connection, "ROLLBACK");
                    match tokio::time::timeout(RELEASE_PATIENCE, done).await {
                        Ok(done) => done.map(|_| true),
                        Err(_) => Err(sqlx::Error::PoolTimedOut),
                    }
                })
            })
        });
    Ok(Database::connect(options).await?)
}
