//! Nodes of different versions over one database.

use ponte::{
    app::App,
    clock::{Clock, Rng},
    connector::Registry,
    db::{Db, Engine},
};
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};

use crate::support::{START, TestApp, TestDatabase, on_both_engines, server::Server, settings};

/// A migration of a version that does not exist yet.
const NEWER: &str = "m20991231_000001_know_the_future";

async fn migrate_beyond(db: &Db) {
    let sql = format!("INSERT INTO seaql_migrations (version, applied_at) VALUES ('{NEWER}', 0)");
    db.write()
        .execute_unprepared(&sql)
        .await
        .expect("a row of the migrations");
}

/// Everything that a node's start may leave behind.
async fn traces(db: &Db) -> Vec<i64> {
    let tables = match db.engine() {
        Engine::Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table'",
        Engine::Postgres => {
            "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        }
    };
    let mut counts = Vec::new();
    for sql in [
        tables,
        "SELECT count(*) FROM seaql_migrations",
        "SELECT count(*) FROM meta",
        "SELECT count(*) FROM system_key",
    ] {
        let statement = Statement::from_string(db.backend(), sql);
        let row = db.read().query_one_raw(statement).await;
        let row = row.expect("a count").expect("a row");
        counts.push(row.try_get_by_index(0).expect("a number"));
    }
    counts
}

async fn start(url: &str, migrate: &str) -> Result<App, String> {
    let flags = ["--migrate", migrate];
    let opened = App::open(
        settings(url, &flags),
        Clock::manual(START),
        Rng::seeded(1),
        Registry::builtin(),
    );
    opened.await.map_err(|error| {
        std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused_untouched() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let (_database, url) = TestDatabase::create(engine).await;
        let db = Db::connect(&url, 2).await.expect("a database");
        db.migrate().await.expect("a schema");
        migrate_beyond(&db).await;
        let before = traces(&db).await;
        for migrate in ["true", "false"] {
            let told = start(&url, migrate).await.err().expect("a refusal");
            assert!(told.contains(NEWER), "{told}");
            assert!(told.contains("newer version of ponte"), "{told}");
            assert!(told.contains("start that version or a later one"), "{told}");
        }
        assert!(db.migrate().await.is_err());
        assert_eq!(traces(&db).await, before);
        // No key was made, no log begun.
        assert_eq!(before[2..], [0, 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_may_not_migrate_says_who_has_to() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let (_database, url) = TestDatabase::create(engine).await;
        let told = start(&url, "false").await.err().expect("a refusal");
        assert!(told.contains("run ponte migrate"), "{told}");
        let db = Db::connect(&url, 2).await.expect("a database");
        assert!(!db.schema().await.expect("a schema").outstanding.is_empty());

        // The last migration is outstanding, everything before it is there.
        db.migrate().await.expect("a schema");
        let last = "DELETE FROM seaql_migrations WHERE version = (SELECT max(version) FROM seaql_migrations)";
        db.write().execute_unprepared(last).await.expect("a row");
        let told = start(&url, "false").await.err().expect("a refusal");
        assert!(told.contains("run ponte migrate"), "{told}");
        assert_eq!(db.schema().await.expect("a schema").outstanding.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_migrate_one_after_the_other() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let (_database, url) = TestDatabase::create(engine).await;
        let starts = (0..4).map(|_| {
            let url = url.clone();
            tokio::spawn(async move {
                let db = Db::connect(&url, 2).await.expect("a database");
                db.migrate().await
            })
        });
        for start in starts.collect::<Vec<_>>() {
            start.await.expect("no panic").expect("a schema");
        }
        let db = Db::connect(&url, 2).await.expect("a database");
        db.schema()
            .await
            .and_then(|schema| schema.check_current())
            .expect("everything is applied");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_goes_on_when_a_newer_one_has_migrated() {
    on_both_engines(|app: TestApp| async move {
        // Every statement of an Item's life has been prepared once before.
        let receiver = crate::support::receiver::Receiver::start().await;
        app.data(
            "mutation($url: String!) { createWebhook(input: { url: $url }) { secret } }",
            serde_json::json!({ "url": receiver.url }),
        )
        .await;
        app.connected().await;
        migrate_beyond(&app.app.db).await;
        for table in tables(&app.app.db).await {
            let sql = format!("ALTER TABLE {table} ADD COLUMN of_the_future TEXT");
            app.app
                .db
                .write()
                .execute_unprepared(&sql)
                .await
                .expect("a column more");
        }
        let item = app.connected().await;
        assert_eq!(app.item(item).await["status"], "UPDATED");
        app.updated(item, &[]).await;
        assert_eq!(app.accounts(item).await.len(), 2);
        app.data(
            "mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }",
            serde_json::json!({ "id": item }),
        )
        .await;
        app.settle().await;
        assert!(!receiver.received().is_empty());
    })
    .await;
}

/// Our own tables.
async fn tables(db: &Db) -> Vec<String> {
    let sql = match db.backend() {
        DbBackend::Sqlite => {
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name <> 'seaql_migrations'"
        }
        _ => {
            "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' AND table_name <> 'seaql_migrations'"
        }
    };
    let rows = db
        .read()
        .query_all_raw(Statement::from_string(db.backend(), sql))
        .await
        .expect("tables");
    rows.iter()
        .map(|row| row.try_get("", "name").expect("a name"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_refuse_a_newer_database_and_the_server_beside_them_goes_on() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let (_database, url) = TestDatabase::create(engine).await;
        let server = Server::start(Some(&url), &["--log", "warn"]).await;
        server.log_in().await;
        migrate_beyond(&Db::connect(&url, 2).await.expect("a database")).await;
        let id = uuid::Uuid::nil().to_string();
        for command in [
            &["application", "list"][..],
            &["application", "create", "--name", "Late"],
            &["item", "unlock", &id],
            &["keys", "rotate"],
            &["migrate"],
        ] {
            for migrate in ["true", "false"] {
                let output = server
                    .command(command)
                    .args(["--migrate", migrate])
                    .output()
                    .expect("it runs");
                let told = String::from_utf8_lossy(&output.stderr);
                assert!(!output.status.success(), "{command:?}");
                assert!(told.contains(NEWER), "{command:?}: {told}");
            }
        }
        let data = server
            .data("{ viewer { kind } }", serde_json::Value::Null)
            .await;
        assert_eq!(data["viewer"]["kind"], "API_KEY");
    }
}
