//! `ponte listen`, as a developer runs it.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, Command, Stdio},
    time::Duration,
};

use ponte::{db::Engine, event::cursor, graphql, http};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{
    TestApp, eventually,
    receiver::{Answer, Receiver},
    server::Server,
};

/// A running command.
struct Listening {
    child: Child,
    secret: String,
    lines: std::sync::mpsc::Receiver<String>,
    complaints: std::sync::mpsc::Receiver<String>,
}

impl Listening {
    fn start(base: &str, client: (&str, &str), to: &str, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ponte"))
            .args(["listen", "--server", base, "--forward-to", to])
            .args(more)
            .env_clear()
            .env("PONTE_CLIENT_ID", client.0)
            .env("PONTE_CLIENT_SECRET", client.1)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let lines = lines_of(child.stdout.take().expect("its output"));
        let complaints = lines_of(child.stderr.take().expect("what it says beside"));
        let mut listening = Self {
            child,
            secret: String::new(),
            lines,
            complaints,
        };
        assert_eq!(listening.line(), format!("forwarding to   {to}"));
        let secret = listening.line();
        secret
            .strip_prefix("signing secret  ")
            .expect("the secret")
            .clone_into(&mut listening.secret);
        listening
    }

    fn line(&self) -> String {
        self.lines
            .recv_timeout(Duration::from_mins(1))
            .expect("another line")
    }

    /// Returns once it says what it waits for.
    fn waits_for(&self, what: &str) {
        let wanted = format!("waiting: {what}");
        let said = |line: String| line.starts_with(&wanted).then_some(());
        let patience = Duration::from_mins(1);
        while said(self.complaints.recv_timeout(patience).expect("a complaint")).is_none() {}
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines_of(output: impl Read + Send + 'static) -> std::sync::mpsc::Receiver<String> {
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// A node that listens.
async fn serve(test: &TestApp) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let graph = graphql::build(test.app.clone());
    tokio::spawn(http::serve(test.app.clone(), graph, listener, None));
    tokio::spawn(ponte::event::feed::run(test.app.clone()));
    base
}

async fn arrived(receiver: &Receiver, count: usize) {
    tokio::time::timeout(Duration::from_mins(1), receiver.arrived(count))
        .await
        .unwrap_or_else(|_| {
            panic!(
                "{} of {count} arrived: {:?}",
                receiver.received().len(),
                receiver.names()
            )
        });
}

/// What webhooks would get, as ids and bodies.
async fn told(test: &TestApp) -> Vec<(String, Value)> {
    let data = test
        .data(
            "{ events(first: 200) { nodes { id name payload } } }",
            json!({}),
        )
        .await;
    data["events"]["nodes"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|node| node["name"] != "item/status_changed")
        .map(|node| {
            (
                node["id"].as_str().expect("an id").to_owned(),
                node["payload"].clone(),
            )
        })
        .collect()
}

fn got(receiver: &Receiver, secret: &str) -> Vec<(String, Value)> {
    receiver
        .received()
        .iter()
        .map(|one| {
            one.verify(secret);
            (one.header("webhook-id").to_owned(), one.json())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_in_order_signed_and_once_through_ended_keys_and_a_local_server_that_is_down()
{
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let test = TestApp::start(engine).await;
        let base = serve(&test).await;
        let id = test.owner.client_id.to_string();
        let client = (id.as_str(), test.owner.client_secret.as_str());
        let receiver = Receiver::start().await;
        let after = cursor::encode(&test.app, test.owner.id, 0);
        test.connected().await;
        let listening = Listening::start(&base, client, &receiver.url, &["--after", &after]);
        let first = told(&test).await;
        arrived(&receiver, first.len()).await;
        for (id, body) in &first {
            let line = listening.line();
            assert!(
                line.contains(id) && line.contains("204 No Content"),
                "{line}"
            );
            assert!(
                line.contains(body["event"].as_str().expect("a name")),
                "{line}"
            );
        }
        // Its key ends; whatever the local server answers, it goes on.
        test.advance(Duration::from_hours(3));
        receiver.script([Answer::Status(500)]);
        test.connected().await;
        arrived(&receiver, told(&test).await.len()).await;
        // What was asked before may have been answered still; this is asked with a new key.
        test.connected().await;
        let second = told(&test).await;
        arrived(&receiver, second.len()).await;
        assert_eq!(got(&receiver, &listening.secret), second);
        assert!(listening.line().contains("500 Internal Server Error"));
        drop(listening);

        // From a cursor, with a secret of one's own, to a server that comes up later.
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let later = format!("http://127.0.0.1:{port}/hook");
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqr";
        let listening = Listening::start(
            &base,
            client,
            &later,
            &[
                "--after",
                &after,
                "--secret",
                secret,
                "--types",
                "item/created,ITEM_LOGIN_SUCCEEDED",
            ],
        );
        assert_eq!(listening.secret, secret);
        listening.waits_for("the local server is down");
        let receiver = Receiver::at(port).await;
        let wanted: Vec<_> = second
            .into_iter()
            .filter(|(_, body)| {
                body["event"] == "item/created" || body["event"] == "item/login_succeeded"
            })
            .collect();
        arrived(&receiver, wanted.len()).await;
        assert_eq!(got(&receiver, secret), wanted);
        test.app.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_and_comes_back_loses_no_event_for_a_listener() {
    let mut server = Server::start(None, &["--log", "warn", "--sandbox-step-ms", "0"]).await;
    let created = server.log_in().await;
    let client = (
        created["clientId"].as_str().expect("an id"),
        created["clientSecret"].as_str().expect("a secret"),
    );
    let receiver = Receiver::start().await;
    let data = server.data("{ viewer { cursor } }", json!({})).await;
    let after = data["viewer"]["cursor"].as_str().expect("a cursor");
    let listening = Listening::start(&server.base, client, &receiver.url, &["--after", after]);
    let connect = "mutation { createItem(input: { connectorId: \"0\", parameters: [{ name: \"user\", value: \"user-ok\" }, \
                   { name: \"password\", value: \"password-ok\" }] }) { item { id } } }";
    let ids = || -> Vec<Value> {
        let requests = receiver.received();
        let created = requests
            .iter()
            .filter(|one| one.json()["event"] == "item/created");
        created
            .map(|one| json!({ "id": one.header("webhook-id") }))
            .collect()
    };
    for round in 0..3 {
        for _ in 0..5 {
            server.data(connect, json!({})).await;
        }
        if round < 2 {
            // Once it listens again: else two outages are one to it.
            eventually(|| ids().len() > 5 * round).await;
            server.kill();
            listening.waits_for("the server");
            server.restart().await;
        }
    }
    let all = "{ items(first: 50) { nodes { executionStatus } } events(first: 200, filter: { types: [ITEM_CREATED] }) { nodes { id } } }";
    let expected = loop {
        let data = server.data(all, json!({})).await;
        let nodes = data["events"]["nodes"].as_array().expect("events").clone();
        if nodes.len() == 15 {
            break nodes;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    eventually(|| ids().len() >= expected.len()).await;
    assert_eq!(ids(), expected);
    for one in receiver.received() {
        one.verify(&listening.secret);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_work_is_said_and_ends_it() {
    let test = TestApp::start(Engine::Sqlite).await;
    let base = serve(&test).await;
    let id = test.owner.client_id.to_string();
    let run = |more: &[&str], secret: &str| {
        let local = ["--forward-to", "http://127.0.0.1:9/"];
        let given = more.contains(&"--forward-to");
        Command::new(env!("CARGO_BIN_EXE_ponte"))
            .args(["listen", "--server", &base])
            .args(if given { &[][..] } else { &local[..] })
            .args(["--client-id", &id, "--client-secret", secret])
            .args(more)
            .env_clear()
            .output()
            .expect("it runs")
    };
    let secret = test.owner.client_secret.clone();
    for (more, secret, says) in [
        (&[][..], "wrong", "UNAUTHENTICATED"),
        (&["--after", "nonsense"], secret.as_str(), "BAD_CURSOR"),
        (
            &["--after", "x", "--types", "item/unheard"],
            secret.as_str(),
            "VALIDATION_FAILED",
        ),
        (&["--secret", "nonsense"], secret.as_str(), "whsec_"),
        (
            &["--forward-to", "ftp://127.0.0.1/"],
            secret.as_str(),
            "must be http or https",
        ),
    ] {
        let output = tokio::task::block_in_place(|| run(more, secret));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && told.contains(says),
            "{more:?}: {told}"
        );
        assert!(!told.contains(&test.owner.client_secret));
    }
    test.app.stop();
}
