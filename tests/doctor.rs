//! What `ponte doctor` makes of deployments, healthy and not.

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use ponte::{
    app::App,
    clock::{Clock, Rng, Timestamp},
    config::Config,
    connector::Registry,
    db::{
        Db, Engine,
        inspect::{Postgres, Sqlite, Unfinished},
    },
    doctor::{self, Finding, Report, Verdict},
    error::Error,
    metrics::Queues,
    vault::Survey,
};
use sea_orm::ConnectionTrait as _;
use serde_json::Value;

use crate::support::{TestDatabase, server::Server, settings};

const OTHER_KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
const KEY: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";

/// What is not right, in order.
fn amiss(findings: &[Finding]) -> Vec<(&'static str, Verdict)> {
    findings
        .iter()
        .filter(|finding| finding.verdict != Verdict::Ok)
        .map(|finding| {
            assert!(finding.remedy.is_some(), "{finding}");
            (finding.check, finding.verdict)
        })
        .collect()
}

/// The same of a report, without what a test server is started with.
fn amiss_in(report: &Report) -> Vec<(&'static str, Verdict)> {
    let mut found = amiss(&report.findings);
    found.retain(|(check, _)| {
        !matches!(
            *check,
            "database.fsync" | "database.permissions" | "egress.networks"
        )
    });
    found
}

async fn examine(config: &Config) -> Report {
    doctor::examine(config, &Clock::system(), &Rng::system()).await
}

fn healthy() -> Postgres {
    let settings = [
        ("max_connections", "100"),
        ("superuser_reserved_connections", "3"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("default_transaction_read_only", "off"),
        ("default_transaction_isolation", "read committed"),
        ("server_encoding", "UTF8"),
        ("jit", "off"),
        ("statement_timeout", "0"),
    ];
    Postgres {
        version: 170_002,
        version_name: "PostgreSQL 17.2".to_owned(),
        settings: settings
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        encrypted: true,
        ..Postgres::default()
    }
}

#[test]
fn settings_of_postgres_that_lose_data_or_end_statements_are_found() {
    let config = settings(
        "postgres://ponte@localhost/ponte",
        &["--database-connections", "16"],
    );
    let judged = |server: &Postgres| amiss(&doctor::judge_postgres(server, &config));
    assert_eq!(judged(&healthy()), []);
    for (name, value, check, verdict) in [
        ("fsync", "off", "database.fsync", Verdict::Fail),
        (
            "full_page_writes",
            "off",
            "database.full_page_writes",
            Verdict::Fail,
        ),
        (
            "synchronous_commit",
            "off",
            "database.commits",
            Verdict::Fail,
        ),
        (
            "default_transaction_read_only",
            "on",
            "database.writable",
            Verdict::Fail,
        ),
        (
            "default_transaction_isolation",
            "serializable",
            "database.isolation",
            Verdict::Fail,
        ),
        (
            "server_encoding",
            "SQL_ASCII",
            "database.encoding",
            Verdict::Fail,
        ),
        ("jit", "on", "database.pooler", Verdict::Fail),
        (
            "max_connections",
            "34",
            "database.connections",
            Verdict::Warn,
        ),
        (
            "max_connections",
            "18",
            "database.connections",
            Verdict::Fail,
        ),
        (
            "reserved_connections",
            "70",
            "database.connections",
            Verdict::Warn,
        ),
        (
            "statement_timeout",
            "5000",
            "database.timeouts",
            Verdict::Warn,
        ),
        (
            "transaction_timeout",
            "5000",
            "database.timeouts",
            Verdict::Warn,
        ),
        ("lock_timeout", "1000", "database.timeouts", Verdict::Warn),
        (
            "idle_session_timeout",
            "3600000",
            "database.timeouts",
            Verdict::Warn,
        ),
    ] {
        let mut server = healthy();
        server.settings.insert(name.to_owned(), value.to_owned());
        assert_eq!(judged(&server), [(check, verdict)], "{name} = {value}");
    }
    for value in ["local", "remote_write", "remote_apply"] {
        let mut server = healthy();
        server
            .settings
            .insert("synchronous_commit".to_owned(), value.to_owned());
        assert_eq!(judged(&server), [], "{value}");
    }
}

#[test]
fn servers_that_do_not_serve_nodes_are_found() {
    let config = settings(
        "postgres://ponte@localhost/ponte",
        &["--database-connections", "16"],
    );
    let changed = |change: fn(&mut Postgres)| {
        let mut server = healthy();
        change(&mut server);
        amiss(&doctor::judge_postgres(&server, &config))
    };
    let fail = |check| vec![(check, Verdict::Fail)];
    assert_eq!(
        changed(|server| server.version = 120_020),
        fail("database.version")
    );
    assert_eq!(
        changed(|server| server.standby = true),
        fail("database.writable")
    );
    assert_eq!(
        changed(|server| server.shared_process = true),
        fail("database.pooler")
    );
    assert_eq!(
        changed(|server| server.role_connections = Some(10)),
        fail("database.connections")
    );
    assert_eq!(
        changed(|server| server.database_connections = Some(20)),
        [("database.connections", Verdict::Warn)]
    );
    assert_eq!(
        changed(|server| server.encrypted = false),
        [("database.encryption", Verdict::Warn)]
    );
    assert_eq!(
        changed(|server| (server.encrypted, server.local) = (false, true)),
        []
    );
}

#[test]
fn settings_of_sqlite_that_lose_data_are_found() {
    let pragmas = [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("foreign_keys", "1"),
        ("secure_delete", "1"),
    ];
    let healthy = Sqlite {
        pragmas: pragmas
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<BTreeMap<_, _>>(),
        ..Sqlite::default()
    };
    assert_eq!(amiss(&doctor::judge_sqlite(&healthy)), []);
    for (name, value, check) in [
        ("journal_mode", "delete", "database.journal"),
        ("synchronous", "1", "database.commits"),
        ("foreign_keys", "0", "database.foreign_keys"),
        ("secure_delete", "0", "database.secure_delete"),
    ] {
        let mut file = healthy.clone();
        file.pragmas.insert(name.to_owned(), value.to_owned());
        assert_eq!(
            amiss(&doctor::judge_sqlite(&file)),
            [(check, Verdict::Fail)]
        );
    }
    let mut file = healthy;
    file.damage.push("row 3 missing from index".to_owned());
    assert_eq!(
        amiss(&doctor::judge_sqlite(&file)),
        [("database.integrity", Verdict::Fail)]
    );
}

#[test]
fn settings_that_are_dangerous_together_are_found() {
    let server = "postgres://ponte@localhost/ponte";
    let file = "sqlite://data/ponte.db";
    let judged = |url, flags: &[&str]| amiss(&doctor::judge_settings(&settings(url, flags)));
    let safe = [
        "--admin-listen",
        "127.0.0.1:9000",
        "--listen",
        "0.0.0.0:4000",
        "--trusted-proxies",
        "10.0.0.0/8",
    ];
    assert_eq!(judged(file, &[]), []);
    assert_eq!(judged(server, &safe), []);
    assert_eq!(judged(server, &[]), [("settings.admin", Verdict::Warn)]);
    for (flags, check, verdict) in [
        (["--trusted-proxies", ""], "settings.listen", Verdict::Warn),
        (
            ["--trusted-proxies", "0.0.0.0/0"],
            "settings.proxies",
            Verdict::Fail,
        ),
        (
            ["--introspection", "true"],
            "settings.introspection",
            Verdict::Warn,
        ),
        (
            ["--graphiql", "true"],
            "settings.introspection",
            Verdict::Warn,
        ),
        (["--cors-origins", "*"], "settings.cors", Verdict::Warn),
        (["--log", "ponte=debug,warn"], "settings.log", Verdict::Warn),
    ] {
        let flags: Vec<_> = safe.iter().chain(&flags).copied().collect();
        assert_eq!(judged(server, &flags), [(check, verdict)], "{flags:?}");
    }
}

#[test]
fn networks_that_are_opened_and_a_public_address_without_tls_are_found() {
    let server = "postgres://ponte@localhost/ponte";
    let judged = |flags: &[&str]| amiss(&doctor::judge_networks(&settings(server, flags)));
    let safe = [
        "--webhook-allow-networks",
        "",
        "--public-url",
        "https://ponte.example.com",
    ];
    assert_eq!(judged(&safe), []);
    for (flags, check, verdict) in [
        (
            ["--webhook-allow-networks", "10.1.0.0/16"],
            "egress.networks",
            Verdict::Warn,
        ),
        (
            ["--webhook-allow-networks", "::/0"],
            "egress.networks",
            Verdict::Fail,
        ),
        (
            ["--public-url", "http://ponte.example.com"],
            "egress.public_url",
            Verdict::Warn,
        ),
    ] {
        let flags: Vec<_> = safe.iter().chain(&flags).copied().collect();
        assert_eq!(judged(&flags), [(check, verdict)], "{flags:?}");
    }
    assert_eq!(judged(&safe[..2]), [("egress.public_url", Verdict::Warn)]);
}

#[test]
fn nats_that_does_not_answer_or_is_open_to_others_is_found() {
    let server = "postgres://ponte@localhost/ponte";
    let answers = Ok(Some("2.11.0".to_owned()));
    let silent = Err(Error::internal("it does not answer in time"));
    let safe = ["--nats-url", "tls://ponte:secret@nats:4222"];
    assert_eq!(
        amiss(&doctor::judge_nats(&settings(server, &[]), &Ok(None))),
        []
    );
    assert_eq!(
        amiss(&doctor::judge_nats(&settings(server, &safe), &answers)),
        []
    );
    let found = doctor::judge_nats(&settings(server, &safe), &silent);
    assert_eq!(amiss(&found), [("nats", Verdict::Warn)]);
    assert!(!format!("{found:?}").contains("secret"), "{found:?}");
    for url in [
        "nats://ponte:secret@nats:4222",
        "tls://nats:4222",
        "nats://nats:4222",
    ] {
        let config = settings(server, &["--nats-url", url]);
        let found = amiss(&doctor::judge_nats(&config, &answers));
        assert_eq!(found, [("nats.access", Verdict::Warn)], "{url}");
    }
}

#[tokio::test]
async fn nats_is_asked_where_the_settings_say() {
    let url = crate::support::nats::url();
    let server = "postgres://ponte@localhost/ponte";
    let version = ponte::bus::reach_nats(&settings(server, &["--nats-url", &url])).await;
    assert!(version.expect("it answers").is_some());
    let nowhere = settings(server, &["--nats-url", "nats://127.0.0.1:1"]);
    assert!(ponte::bus::reach_nats(&nowhere).await.is_err());
}

#[test]
fn clocks_that_are_apart_are_found() {
    let now = Timestamp(1_773_662_400_000);
    for (apart, verdict) in [
        (0, Verdict::Ok),
        (1_000, Verdict::Ok),
        (1_001, Verdict::Warn),
        (-60_000, Verdict::Warn),
        (60_001, Verdict::Fail),
        (-90_000, Verdict::Fail),
    ] {
        let judged = doctor::judge_clock(now, Some(Timestamp(now.0 + apart)), "the database's");
        assert_eq!(judged.verdict, verdict, "{apart}: {judged}");
    }
    assert_eq!(doctor::judge_clock(now, None, "").verdict, Verdict::Ok);
}

#[test]
fn keys_that_are_missing_or_could_go_are_found() {
    let survey = |given: &[&str], used: &[&str]| {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        amiss(&doctor::judge_keys(&Ok(Survey {
            given: all(given),
            used: all(used),
            current: None,
        })))
    };
    assert_eq!(survey(&["a"], &["a"]), []);
    assert_eq!(survey(&["a"], &[]), []);
    assert_eq!(survey(&["a"], &["a", "b"]), [("keys", Verdict::Fail)]);
    assert_eq!(
        survey(&["a", "b"], &["a", "b"]),
        [("keys.rotation", Verdict::Warn)]
    );
    assert_eq!(
        survey(&["a", "b"], &["a"]),
        [("keys.rotation", Verdict::Warn)]
    );
    let unreadable = Err(Error::internal("no master key"));
    assert_eq!(
        amiss(&doctor::judge_keys(&unreadable)),
        [("keys", Verdict::Fail)]
    );
}

#[test]
fn what_should_have_been_done_is_found() {
    let now = Timestamp(1_773_662_400_000);
    let ago = |seconds| Some(now.minus(Duration::from_secs(seconds)));
    let judged = |unfinished, queues| amiss(&doctor::judge_unfinished(&unfinished, queues, now));
    assert_eq!(judged(Unfinished::default(), Queues::default()), []);
    let young = Unfinished {
        oldest_unpublished: ago(59),
        ..Unfinished::default()
    };
    let busy = Queues {
        executions: 9.0,
        execution_lag: 59.0,
        delivery_lag: 59.0,
        ..Queues::default()
    };
    assert_eq!(judged(young, busy), []);
    let late = Unfinished {
        executions: 2,
        oldest_lease: ago(600),
        oldest_unpublished: ago(61),
        last_event: None,
    };
    let waiting = Queues {
        execution_lag: 61.0,
        delivery_lag: 61.0,
        ..Queues::default()
    };
    let all = [
        "unfinished.leases",
        "unfinished.events",
        "unfinished.executions",
        "unfinished.deliveries",
    ];
    assert_eq!(
        judged(late, waiting),
        all.map(|check| (check, Verdict::Warn))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_deployment_has_nothing_amiss_and_is_left_as_it_was() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let (_database, url) = TestDatabase::create(engine).await;
        let flags = [
            "--admin-listen",
            "127.0.0.1:0",
            "--public-url",
            "https://localhost:1",
        ];
        let config = settings(&url, &flags);
        let app = App::open(
            config.clone(),
            Clock::system(),
            Rng::system(),
            Registry::builtin(),
        )
        .await
        .expect("a node");
        let before = content(&url);
        let report = examine(&config).await;
        // Its own port does not answer, as no server runs; on PostgreSQL the test server is started without fsync.
        assert_eq!(
            amiss_in(&report),
            [("egress.dns", Verdict::Warn)],
            "{report}"
        );
        assert_eq!(content(&url), before);
        for check in [
            "database",
            "database.version",
            "database.commits",
            "schema",
            "clock",
            "keys",
            "keys.rotation",
            "egress.dns",
            "unfinished.events",
        ] {
            assert_eq!(report.of_check(check).count(), 1, "{check}: {report}");
        }
        drop(app);
    }
}

/// The bytes of an embedded database.
fn content(url: &str) -> Vec<u8> {
    url.strip_prefix("sqlite://")
        .map(|path| std::fs::read(path).expect("a file"))
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_database_is_said_with_what_to_do() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let (_database, url) = TestDatabase::create(engine).await;
        let flags = [
            "--admin-listen",
            "127.0.0.1:0",
            "--public-url",
            "https://localhost:1",
        ];
        let mut flags: Vec<&str> = flags.to_vec();
        let of = |report: &Report, check: &str| {
            let found: Vec<_> = report.of_check(check).cloned().collect();
            assert_eq!(found.len(), 1, "{check}: {report}");
            found[0].clone()
        };

        // Nothing is there yet.
        let before = Db::connect(&url, 2).await.expect("a database");
        let report = examine(&settings(&url, &flags)).await;
        assert_eq!(of(&report, "schema").verdict, Verdict::Warn);
        flags.extend(["--migrate", "false"]);
        let schema = of(&examine(&settings(&url, &flags)).await, "schema");
        assert_eq!(schema.verdict, Verdict::Fail);
        assert_eq!(schema.remedy.as_deref(), Some("run ponte migrate"));

        before.migrate().await.expect("a schema");
        let app = App::open(
            settings(&url, &[]),
            Clock::system(),
            Rng::system(),
            Registry::builtin(),
        )
        .await
        .expect("a node");

        // Keys: another one, both, and a file that others can read.
        let with_key = |key: &str| {
            let mut with: Vec<String> = flags.iter().map(ToString::to_string).collect();
            with.extend(["--master-key".to_owned(), key.to_owned()]);
            with
        };
        let keyed = async |key: &str| {
            let flags = with_key(key);
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            examine(&settings(&url, &flags)).await
        };
        let keys = of(&keyed(OTHER_KEY).await, "keys");
        assert_eq!(keys.verdict, Verdict::Fail);
        assert!(!keys.to_string().contains(OTHER_KEY), "{keys}");
        let both = format!("{OTHER_KEY},{KEY}");
        let rotation = of(&keyed(&both).await, "keys.rotation");
        assert_eq!(rotation.verdict, Verdict::Warn);
        assert!(
            rotation.to_string().contains("ponte keys rotate"),
            "{rotation}"
        );

        // An event that nobody publishes, and an execution that nobody takes over.
        let long_ago = app.clock.now().minus(Duration::from_hours(1)).0;
        for sql in [
            format!(
                "INSERT INTO event (id, application_id, kind, payload, created_at) \
                 SELECT {id}, {id}, 'ITEM_CREATED', '{{}}', {long_ago}",
                id = uuid_literal(engine, 1)
            ),
            format!(
                "INSERT INTO execution (id, application_id, item_id, connector_id, triggered_by, status, first_run, products, steps, \
                   covered, merged, upload_ids, question_asked, due_at, epoch, lease_until, lost_leases, claimed_early, early_losses, created_at) \
                 SELECT {id}, {id}, {id}, 0, 'CLIENT', 'CREATED', true, '[]', '[]', '[]', '[]', '[]', 0, {long_ago}, 1, {long_ago}, 0, false, 0, {long_ago}",
                id = uuid_literal(engine, 1)
            ),
        ] {
            app.db
                .write()
                .execute_unprepared(&sql)
                .await
                .expect("a row");
        }
        let report = examine(&settings(&url, &flags)).await;
        for check in [
            "unfinished.events",
            "unfinished.leases",
            "unfinished.executions",
        ] {
            assert_eq!(of(&report, check).verdict, Verdict::Warn, "{report}");
        }

        let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m20991231_000001_later', 0)";
        app.db
            .write()
            .execute_unprepared(newer)
            .await
            .expect("a row");
        let schema = of(&examine(&settings(&url, &flags)).await, "schema");
        assert_eq!(schema.verdict, Verdict::Fail);
        assert!(schema.found.contains("m20991231_000001_later"), "{schema}");
    }
}

fn uuid_literal(engine: Engine, number: u8) -> String {
    match engine {
        Engine::Sqlite => format!("x'{number:032x}'"),
        Engine::Postgres => format!("'00000000-0000-0000-0000-{number:012x}'::uuid"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_answer_fails_and_nothing_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    for url in [
        format!("sqlite://{}", folder.path().join("none.db").display()),
        "postgres://ponte@127.0.0.1:1/ponte".to_owned(),
    ] {
        let report = examine(&settings(&url, &["--admin-listen", "127.0.0.1:0"])).await;
        let found: Vec<_> = report.of_check("database").collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].verdict, Verdict::Fail, "{report}");
        assert!(report.failed > 0);
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_works_beside_a_server_and_its_exit_code_says_how_it_went() {
    let server = Server::start(None, &["--log", "warn"]).await;
    let output = server
        .command(&["doctor", "--json"])
        .output()
        .expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["failed"], 0, "{text}");
    assert!(output.status.success());
    let output = server.command(&["doctor"]).output().expect("it runs");
    let text = String::from_utf8(output.stdout).expect("text");
    let findings = report["findings"].as_array().map(Vec::len);
    assert_eq!(Some(text.lines().count() - 1), findings, "{text}");
    let first = "ok    database                it answers";
    assert_eq!(text.lines().next(), Some(first), "{text}");

    let output = server
        .command(&["doctor"])
        .env("PONTE_MASTER_KEY", OTHER_KEY)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("FAIL  keys"), "{text}");

    // What only a node that is alone may do is refused beside one that serves.
    let output = server
        .command(&["doctor", "--restored"])
        .output()
        .expect("it runs");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("another ponte"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_and_a_database_that_others_can_read_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ponte"));
        command.current_dir(folder.path()).env_clear();
        command
    };
    let output = server()
        .args(["application", "list"])
        .output()
        .expect("it runs");
    assert!(output.status.success());
    let found = |check: &str| {
        let output = server()
            .args(["doctor", "--json"])
            .output()
            .expect("it runs");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let findings = report["findings"].as_array().cloned().unwrap_or_default();
        let found = findings.iter().find(|finding| finding["check"] == check);
        found
            .cloned()
            .unwrap_or_else(|| panic!("no {check} in {report}"))
    };
    let chmod = |path: &Path, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path, permissions).expect("it is ours");
    };
    // As a first start makes them.
    assert_eq!(found("database.permissions")["verdict"], "ok");
    assert_eq!(found("keys")["verdict"], "ok");

    chmod(&data, 0o755);
    chmod(&data.join("ponte.db"), 0o644);
    let open = found("database.permissions");
    assert_eq!(open["verdict"], "warn");
    assert_eq!(open["remedy"], "chmod 700 data");
    chmod(&data, 0o777);
    assert_eq!(found("database.permissions")["verdict"], "warn");

    chmod(&data.join("master.key"), 0o644);
    let open = found("keys");
    assert_eq!(open["verdict"], "fail");
    assert!(
        open["found"]
            .as_str()
            .is_some_and(|found| found.contains("chmod 600")),
        "{open}"
    );
}
