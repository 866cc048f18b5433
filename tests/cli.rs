//! The command line, as an operator types it.

use std::{path::Path, process::Command, time::Duration};

use ponte::db::Engine;
use sea_orm::ConnectionTrait as _;
use serde_json::Value;

use crate::support::{TestDatabase, server::Server};

fn ponte(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ponte"));
    command.current_dir(folder).env_clear();
    command
}

#[test]
fn every_wrong_setting_is_named_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = ponte(folder.path())
        .args([
            "--listen",
            "nowhere",
            "--roles",
            "api,cook",
            "--cors-origins",
            "app",
        ])
        .env("PONTE_SANDBOX_STEP_MS", "soon")
        .env("PONTE_WEBHOOK_ALLOW_NETWORKS", "10.0.0.0/33")
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    let told = String::from_utf8_lossy(&output.stderr);
    for name in [
        "PONTE_LISTEN",
        "PONTE_ROLES",
        "PONTE_CORS_ORIGINS",
        "PONTE_SANDBOX_STEP_MS",
        "PONTE_WEBHOOK_ALLOW_NETWORKS",
    ] {
        assert!(told.contains(name), "{name} is not named:\n{told}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0
    );
}

#[test]
fn help_and_schema_touch_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [
        &["--help"][..],
        &["schema"],
        &["application", "create", "--help"],
    ] {
        let output = ponte(folder.path())
            .args(arguments)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{arguments:?}");
        assert!(output.stdout.len() > 500, "{arguments:?}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0
    );
}

#[tokio::test]
async fn a_server_database_needs_its_master_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_database, url) = TestDatabase::create(Engine::Postgres).await;
    let output = ponte(folder.path())
        .env("PONTE_DATABASE_URL", url)
        .args(["application", "list"])
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("PONTE_MASTER_KEY"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_beside_a_running_server_and_answer_one_line_of_json() {
    let server = Server::start(None, &["--log", "warn"]).await;
    let created = server.log_in().await;
    for key in [
        "id",
        "clientId",
        "clientSecret",
        "webhookPublicKey",
        "webhookSecret",
        "name",
        "environment",
    ] {
        assert!(created[key].is_string(), "{key}: {created}");
    }
    let id = created["id"].as_str().expect("an id").to_owned();
    let run = |arguments: &[&str]| {
        let output = server.command(arguments).output().expect("it runs");
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let text = String::from_utf8(output.stdout).expect("text");
        assert_eq!(text.lines().count(), 1, "{arguments:?}: {text}");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let list = run(&["application", "list", "--json"]);
    // The first one was made by the first start.
    assert_eq!(list.as_array().map(Vec::len), Some(2));
    let rotated = run(&["application", "rotate-secret", &id, "--json"]);
    assert_ne!(rotated["clientSecret"], created["clientSecret"]);
    assert_eq!(
        server.data("{ viewer { kind } }", Value::Null).await["viewer"]["kind"],
        "API_KEY"
    );
    server.take_key(&rotated).await;
    let rotated = run(&["application", "rotate-webhook-secret", &id, "--json"]);
    for key in ["webhookSecret", "webhookPublicKey"] {
        assert!(rotated[key].is_string() && rotated[key] != created[key]);
    }
    let first = run(&["application", "rotate-parameters-key", &id, "--json"]);
    assert!(first["publicKeyPem"].is_string() && first["previousUntil"].is_null());
    let second = run(&["application", "rotate-parameters-key", &id, "--json"]);
    assert!(second["previousUntil"].is_string() && second["keyId"] != first["keyId"]);

    // Disabling ends every token within five seconds.
    run(&["application", "disable", &id, "--json"]);
    let mut refused = false;
    for _ in 0..50 {
        let answer = server
            .query("{ viewer { kind } }", Value::Null)
            .await
            .expect("an answer");
        refused =
            answer.pointer("/errors/0/extensions/code") == Some(&Value::from("UNAUTHENTICATED"));
        if refused {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(refused, "the token still stands");

    // One server at a time over one file.
    let second = server
        .command(&["--listen", "127.0.0.1:0"])
        .output()
        .expect("it runs");
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("another ponte"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_by_the_command_whether_it_can_serve() {
    let (_database, url) = TestDatabase::create(Engine::Postgres).await;
    let mut server = Server::start(Some(&url), &["--log", "warn"]).await;
    let ready = |server: &Server| server.command(&["ready"]).output().expect("it runs");
    assert!(ready(&server).status.success());
    drop_database(&url).await;
    let output = ready(&server);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("503"), "{told}");
    assert!(told.contains("the database does not answer"), "{told}");
    server.kill();
    let output = ready(&server);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("does not answer"), "{told}");
}

/// Takes a database away from those who use it.
async fn drop_database(url: &str) {
    let (_, name) = url.rsplit_once('/').expect("a name");
    let connection = sea_orm::Database::connect(crate::support::postgres_url())
        .await
        .expect("the server answers");
    connection
        .execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await
        .expect("it is ours");
}
