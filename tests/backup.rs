//! Backups, and what a database that was put back still does and no longer does.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use entity::execution;
use ponte::{
    app::App,
    backup,
    clock::{Clock, Rng},
    connector::Registry,
    db::{self, Engine},
    event, sync,
};
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value, json};

use crate::support::{
    START, TestApp, TestDatabase, on_both_engines, receiver::Receiver, server::Server, settings,
};

const CURSORS: &str = "{ viewer { cursor } changes { pageInfo { endCursor } } }";
const AFTER: &str = "query($after: String!) { events(first: 5, after: $after) { nodes { id } } }";
const CHANGES_AFTER: &str =
    "query($after: String!) { changes(first: 5, after: $after) { nodes { entityId } } }";

async fn connect(server: &Server) -> Value {
    let created = server
        .data(
            "mutation { createItem(input: { connectorId: \"0\", parameters: [\
               { name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { item { id } } }",
            Value::Null,
        )
        .await;
    let id = created["createItem"]["item"]["id"].clone();
    for _ in 0..600 {
        let item = server
            .data(
                "query($id: ID!) { item(id: $id) { status } }",
                json!({ "id": id }),
            )
            .await;
        if item["item"]["status"] == "UPDATED" {
            return id;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the Item is not updated\n{}", server.log());
}

fn run(command: &mut Command) -> (bool, String, String) {
    let output = command.output().expect("it runs");
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A program of PostgreSQL's own.
fn postgres_program(name: &str) -> Command {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    Command::new(found.pop().unwrap_or_else(|| PathBuf::from(name)))
}

/// Backs a server's database up and puts it back as another one, by the means of its engine.
async fn put_back(
    server: &Server,
    engine: Engine,
    url: &str,
    folder: &Path,
) -> (TestDatabase, String) {
    let (database, copy) = TestDatabase::create(engine).await;
    match engine {
        Engine::Sqlite => {
            let file = copy.trim_start_matches("sqlite://");
            let (done, _, told) = run(&mut server.command(&["backup", file]));
            assert!(done, "{told}");
        }
        Engine::Postgres => {
            let file = folder.join("dump");
            let (done, _, told) = run(postgres_program("pg_dump")
                .args(["--format=custom", "--file"])
                .arg(&file)
                .arg(url));
            assert!(done, "{told}");
            let (done, _, told) = run(postgres_program("pg_restore")
                .args([
                    "--no-owner",
                    "--exit-on-error",
                    "--single-transaction",
                    "--dbname",
                ])
                .arg(&copy)
                .arg(&file));
            assert!(done, "{told}");
        }
    }
    (database, copy)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_log_is_another_log_on_both_engines() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let (_database, url) = TestDatabase::create(engine).await;
        let mut server = Server::start(Some(&url), &["--log", "warn"]).await;
        let application = server.log_in().await;
        let item = connect(&server).await;
        let cursors = server.data(CURSORS, Value::Null).await;
        let before = cursors["viewer"]["cursor"].clone();
        let change = cursors["changes"]["pageInfo"]["endCursor"].clone();
        assert!(before.is_string() && change.is_string(), "{cursors}");

        let (done, _, told) = run(&mut server.command(&["doctor", "--restored"]));
        assert!(!done, "beside a running server");
        assert!(told.contains("stop"), "{told}");

        // Beside the running server, which goes on and is not what is put back.
        let (_copied, copy) = put_back(&server, engine, &url, folder.path()).await;
        let forgotten = connect(&server).await;
        server.kill();

        let mut server = Server::prepare(Some(&copy), &["--log", "warn"]);
        let restored = |server: &Server| {
            let (done, answer, told) =
                run(&mut server.command(&["doctor", "--restored", "--json"]));
            assert!(done, "{told}");
            assert_eq!(answer.lines().count(), 1, "{answer}");
            serde_json::from_str::<Value>(&answer).expect("JSON")
        };
        let first = restored(&server);
        let second = restored(&server);
        assert_ne!(first["logId"], second["logId"]);
        server.restart().await;

        // What was revoked after the backup would be good again: no token is.
        let refused = server.query("{ viewer { kind } }", Value::Null).await;
        assert_eq!(code(refused), "UNAUTHENTICATED");
        server.take_key(&application).await;
        for (document, after) in [(AFTER, &before), (CHANGES_AFTER, &change)] {
            let refused = server.query(document, json!({ "after": after })).await;
            assert_eq!(code(refused), "BAD_CURSOR", "{document}");
        }
        let cursors = server.data(CURSORS, Value::Null).await;
        let now = cursors["viewer"]["cursor"].clone();
        let change = cursors["changes"]["pageInfo"]["endCursor"].clone();
        assert_ne!(now, before);
        let nodes = server
            .data(
                "query($ids: [ID!]!) { nodes(ids: $ids) { id } }",
                json!({ "ids": [item, forgotten] }),
            )
            .await;
        assert_eq!(nodes, json!({ "nodes": [{ "id": item }, null] }));
        connect(&server).await;
        for (document, after, list) in
            [(AFTER, &now, "events"), (CHANGES_AFTER, &change, "changes")]
        {
            let told = server.data(document, json!({ "after": after })).await;
            assert_eq!(
                told[list]["nodes"].as_array().map(Vec::len),
                Some(5),
                "{told}"
            );
        }
    }
}

fn code(answer: Option<Value>) -> String {
    crate::support::code_of(&answer.expect("an answer"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_whole_private_and_overwrites_nothing() {
    let server = Server::start(None, &["--log", "warn"]).await;
    server.log_in().await;
    connect(&server).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copy.db");
    let name = file.to_str().expect("UTF-8");

    let (done, told, log) = run(&mut server.command(&["backup", name]));
    assert!(done, "{log}");
    assert!(told.contains("The master key is NOT in it"), "{told}");
    let mode = std::fs::metadata(&file)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let bytes = std::fs::read(&file).expect("a file");
    let key = b"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
    assert!(!bytes.windows(key.len()).any(|window| window == key));

    let (done, _, told) = run(&mut server.command(&["backup", name]));
    assert!(!done && told.contains("overwrites nothing"), "{told}");
    assert_eq!(std::fs::read(&file).expect("a file"), bytes);
    let (done, _, told) = run(&mut server.command(&["backup", "/nowhere/copy.db"]));
    assert!(!done && told.contains("/nowhere"), "{told}");
    let left: Vec<_> = std::fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["copy.db"]);

    // Nobody serves a copy that was not declared restored.
    let url = format!("sqlite://{name}");
    let opened = open(&url).await;
    assert!(opened.contains("run ponte doctor --restored"), "{opened}");
}

async fn open(url: &str) -> String {
    let opened = App::open(
        settings(url, &[]),
        Clock::manual(START),
        Rng::seeded(1),
        Registry::builtin(),
    );
    opened.await.err().expect("a refusal").in_full()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_damaged_or_of_nothing_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("copy.db");
    let broken = folder.path().join("broken.db");
    std::fs::write(
        &broken,
        b"this is no database, whatever its name may say of it",
    )
    .expect("a file");
    for from in [folder.path().join("none.db"), broken] {
        let config = settings(&format!("sqlite://{}", from.display()), &[]);
        let taken = backup::take(&config, &file, &Clock::system(), &Rng::system()).await;
        assert!(taken.is_err(), "{}", from.display());
        let left = std::fs::read_dir(folder.path()).expect("a folder").count();
        assert_eq!(left, 1, "only what was there before: {}", from.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_backed_up_by_its_own_means_and_the_error_says_which() {
    let config = settings("postgres://ponte@localhost/ponte", &[]);
    let (clock, rng) = (Clock::system(), Rng::system());
    let taken = backup::take(&config, Path::new("copy.db"), &clock, &rng).await;
    let told = taken.expect_err("a refusal").in_full();
    for words in ["pg_dump", "point-in-time recovery", "docs/operations.md"] {
        assert!(told.contains(words), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_under_way_at_the_backup_goes_on_at_once() {
    on_both_engines(|app: TestApp| async move {
        let receiver = Receiver::start().await;
        app.data(
            "mutation($url: String!) { createWebhook(input: { url: $url }) { secret } }",
            json!({ "url": receiver.url }),
        )
        .await;
        app.connect("0", &[("user", "user-ok"), ("password", "password-ok")])
            .await;
        while sync::run_once(&app.app).await.expect("the worker") > 0 {}
        while event::relay::run_once(&app.app).await.expect("the relay") > 0 {}
        let item = app
            .connect("0", &[("user", "user-ok"), ("password", "password-ok")])
            .await;
        // Held by a node that is gone, for an hour yet.
        let (now, epoch) = (app.app.clock.now(), 7);
        let until = now.plus(Duration::from_hours(1));
        for sql in [
            format!("UPDATE delivery SET lease_until = {}", until.0),
            format!(
                "UPDATE execution SET lease_until = {0}, due_at = {0}, epoch = {epoch} WHERE ended_at IS NULL",
                until.0
            ),
        ] {
            let held = app.app.db.write().execute_unprepared(&sql).await;
            assert!(held.expect("rows").rows_affected() > 0);
        }
        let execution = execution::Entity::find()
            .filter(execution::Column::EndedAt.is_null())
            .one(app.app.db.read())
            .await
            .expect("the database answers")
            .expect("an execution");
        app.settle().await;
        assert_eq!(app.item(item).await["executionStatus"], "CREATED");
        assert_eq!(receiver.received().len(), 0);

        let restored = backup::restored(&app.app.db, &app.app.clock, &app.app.rng)
            .await
            .expect("it is declared");
        assert_eq!(restored.executions_released, 1);
        assert!(restored.deliveries_released > 1);
        assert_eq!(restored.applications_signed_out, 1);
        app.settle().await;
        assert_eq!(app.item(item).await["executionStatus"], "SUCCESS");
        assert!(receiver.received().len() as u64 > restored.deliveries_released);
        // The worker of before can record no more.
        let stale = db::execution::hold(&app.app.db, execution.id, epoch, now, until);
        assert!(!stale.await.expect("an answer"));
    })
    .await;
}
