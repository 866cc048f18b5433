//! What must not be found: deleted Items in the database, secrets in anything that is shown, half-written work.

mod client;
mod deletion;
mod disconnects;
mod secrets;

pub use self::deletion::assert_gone;
use std::fmt::Write as _;

use ponte::db::Engine;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

/// Every row of every table as text: its table, then its columns, blobs in hexadecimal; all in lower case.
pub async fn dump(connection: &impl ConnectionTrait) -> Vec<String> {
    let backend = connection.get_database_backend();
    let (tables, postgres) = match backend {
        DbBackend::Postgres => (
            "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'",
            true,
        ),
        _ => (
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
            false,
        ),
    };
    let mut rows = Vec::new();
    let names = texts(connection, tables).await;
    assert!(names.len() > 20, "{names:?}");
    for name in names {
        let row = if postgres {
            "one::text".to_owned()
        } else {
            let columns = format!("SELECT name FROM pragma_table_info('{name}')");
            let columns = texts(connection, &columns).await;
            let quoted: Vec<_> = columns
                .iter()
                .map(|column| format!("quote(\"{column}\")"))
                .collect();
            quoted.join(" || ' ' || ")
        };
        let sql = format!("SELECT {row} AS name FROM \"{name}\" one");
        let found = texts(connection, &sql).await;
        rows.extend(
            found
                .into_iter()
                .map(|row| format!("{name}: {row}").to_lowercase()),
        );
    }
    rows
}

/// The column `name` of a query.
async fn texts(connection: &impl ConnectionTrait, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.expect(sql);
    rows.iter()
        .map(|row| row.try_get("", "name").expect(sql))
        .collect()
}

/// A count.
pub async fn count(connection: &impl ConnectionTrait, sql: &str) -> i64 {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let row = connection.query_one_raw(statement).await.expect(sql);
    row.expect(sql).try_get_by_index(0).expect(sql)
}

/// The first row that holds a needle, as it is or in hexadecimal.
pub fn find<'a>(rows: &'a [String], needle: &str) -> Option<&'a String> {
    let needle = needle.to_lowercase();
    let hex = needle.bytes().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("text");
        hex
    });
    rows.iter()
        .find(|row| row.contains(&needle) || row.contains(&hex))
}

/// Databases for the binary: a folder or a server's database that goes away, and its address.
async fn databases() -> Vec<(Engine, crate::support::TestDatabase, String)> {
    let mut databases = Vec::new();
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (database, url) = crate::support::TestDatabase::create(engine).await;
        databases.push((engine, database, url));
    }
    databases
}
