//! Strangers' receivers: the stock libraries of Standard Webhooks, used as README.md shows.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use entity::kind::{DeliveryStatus, EventType};
use http::{HeaderMap, HeaderValue};
use serde_json::json;
use strum::IntoEnumIterator as _;
use uuid::Uuid;

use super::{
    harness::{World, on_both},
    verify::verified,
};
use crate::support::receiver::{Received, Receiver};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const README: &str = include_str!("../../README.md");

/// The code that README.md shows for a language.
fn shown(language: &str) -> &'static str {
    let (_, rest) = README
        .split_once(&format!("<!-- verify: {language} -->\n"))
        .unwrap_or_else(|| panic!("README.md shows nothing for {language}"));
    let (_, rest) = rest.split_once('\n').expect("a fence");
    let (code, _) = rest.split_once("```").expect("its end");
    code
}

/// A receiver in a process of its own.
struct Stranger {
    child: Child,
    output: BufReader<ChildStdout>,
    url: String,
    _folder: tempfile::TempDir,
}

impl Stranger {
    fn start(language: &str, secret: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Path::new(ROOT);
        let (mut command, name) = if language == "node" {
            let modules = root.join("tests/node/node_modules");
            assert!(modules.exists(), "run `npm --prefix tests/node ci` first");
            std::os::unix::fs::symlink(modules, folder.path().join("node_modules"))
                .expect("a link");
            let mut command = Command::new("node");
            command.arg(root.join("tests/node/receive.mjs"));
            (command, "verify.mjs")
        } else {
            let python = root.join("tests/python/.venv/bin/python");
            let made = python.exists();
            assert!(made, "make tests/python/.venv first, as tests/run does");
            let mut command = Command::new(python);
            command.arg(root.join("tests/python/receive.py"));
            (command, "verify.py")
        };
        let module = folder.path().join(name);
        std::fs::write(&module, shown(language)).expect("a file");
        let mut child = command
            .arg(&module)
            .env("WEBHOOK_SECRET", secret)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output"));
        let mut port = String::new();
        output.read_line(&mut port).expect("a line");
        Self {
            url: format!("http://127.0.0.1:{}/hook", port.trim()),
            child,
            output,
            _folder: folder,
        }
    }

    /// The events that it has verified, in order, after the last.
    fn verified(&mut self, count: usize) -> Vec<Uuid> {
        (0..count)
            .map(|_| {
                let mut line = String::new();
                self.output.read_line(&mut line).expect("a line");
                line.trim().parse().expect("an id")
            })
            .collect()
    }

    /// The status that it answers to a request.
    async fn judge(&self, headers: &HeaderMap, body: &[u8]) -> u16 {
        let request = reqwest::Client::new()
            .post(&self.url)
            .headers(headers.clone())
            .body(body.to_vec());
        request.send().await.expect("an answer").status().as_u16()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn lead_to(world: &World, webhook: Uuid, url: &str) {
    world
        .data(
            "mutation($id: ID!, $url: String!) { updateWebhook(input: { webhookId: $id, url: $url }) { webhook { id } } }",
            json!({ "id": webhook, "url": url }),
        )
        .await;
}

async fn test_events(world: &World, webhook: Uuid) {
    for kind in EventType::iter() {
        let send = "mutation($id: ID!, $type: EventType!) { sendTestEvent(input: { webhookId: $id, type: $type }) { delivery { id } } }";
        world
            .data(send, json!({ "id": webhook, "type": kind }))
            .await;
    }
}

/// The headers that count, and the body.
fn genuine(one: &Received) -> (HeaderMap, Vec<u8>) {
    let names = [
        "content-type",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ];
    let headers = names
        .into_iter()
        .map(|name| (name.parse().expect("a name"), one.headers[name].clone()))
        .collect();
    (headers, one.body.to_vec())
}

/// The request, changed in every place that counts.
fn tampered(headers: &HeaderMap, body: &[u8]) -> Vec<(&'static str, HeaderMap, Vec<u8>)> {
    let with = |name: &'static str, value: String| {
        let mut headers = headers.clone();
        headers.insert(name, HeaderValue::from_str(&value).expect("visible"));
        headers
    };
    let text = |name: &str| headers[name].to_str().expect("visible").to_owned();
    let mut found = Vec::new();
    let mut other = body.to_vec();
    let digit = other.iter().position(u8::is_ascii_digit).expect("a digit");
    other[digit] = if other[digit] == b'0' { b'1' } else { b'0' };
    found.push(("a body", headers.clone(), other));
    let mut longer = body.to_vec();
    longer.push(b' ');
    found.push(("a longer body", headers.clone(), longer));
    found.push((
        "an id",
        with("webhook-id", Uuid::from_u128(1).to_string()),
        body.to_vec(),
    ));
    let seconds: i64 = text("webhook-timestamp").parse().expect("seconds");
    found.push((
        "a timestamp",
        with("webhook-timestamp", (seconds + 1).to_string()),
        body.to_vec(),
    ));
    found.push((
        "an old timestamp",
        with("webhook-timestamp", (seconds - 600).to_string()),
        body.to_vec(),
    ));
    let signature = text("webhook-signature");
    let (version, value) = signature.split_once(',').expect("a version");
    let first = if value.starts_with('A') { "B" } else { "A" };
    found.push((
        "a signature",
        with(
            "webhook-signature",
            format!("{version},{first}{}", &value[1..]),
        ),
        body.to_vec(),
    ));
    found.push((
        "a version",
        with("webhook-signature", format!("v9,{value}")),
        body.to_vec(),
    ));
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = headers.clone();
        headers.remove(name);
        found.push(("a header less", headers, body.to_vec()));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_libraries_verify_every_delivery_refuse_tampered_ones_and_go_on_through_a_rotation() {
    Box::pin(on_both(&[], async |world| {
        for language in ["node", "python"] {
            println!("in {language}");
            let all = EventType::iter().collect();
            let created = world.webhook("http://127.0.0.1:9/", Some(all)).await;
            let id = created.webhook.id;
            let mut stranger = Stranger::start(language, &created.secret);
            lead_to(&world, id, &stranger.url).await;
            world.connect_told(None).await;
            test_events(&world, id).await;
            world.deliver().await;
            let mine = || async {
                let rows = world.deliveries().await;
                rows.into_iter().filter(|row| row.webhook_id == Some(id)).collect::<Vec<_>>()
            };
            let rows = mine().await;
            assert!(rows.len() > 20 && rows.iter().all(|row| row.status == DeliveryStatus::Succeeded));
            let mut expected: Vec<Uuid> = rows.iter().map(|row| row.event_id).collect();
            let mut got = stranger.verified(expected.len());
            expected.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, expected);

            // One of them on its way, and what becomes of it when somebody touches it.
            let between = Receiver::start().await;
            lead_to(&world, id, &between.url).await;
            world.emit(1, None).await;
            world.deliver().await;
            let (headers, body) = genuine(&between.received()[0]);
            assert_eq!(stranger.judge(&headers, &body).await, 204);
            verified(&created.secret, &body, &headers).expect("genuine");
            for (what, headers, body) in tampered(&headers, &body) {
                assert_eq!(stranger.judge(&headers, &body).await, 400, "{what}");
                assert!(verified(&created.secret, &body, &headers).is_err(), "{what}");
            }
            stranger.verified(1);

            // During a rotation who knows the old secret goes on, and so does who knows the new one.
            let rotate = "mutation($id: ID!) { rotateWebhookSecret(input: { webhookId: $id }) { secret } }";
            let data = world.data(rotate, json!({ "id": id })).await;
            let fresh = data["rotateWebhookSecret"]["secret"].as_str().expect("a secret").to_owned();
            let mut changed = Stranger::start(language, &fresh);
            for stranger in [&mut stranger, &mut changed] {
                lead_to(&world, id, &stranger.url).await;
                test_events(&world, id).await;
                assert_eq!(world.deliver().await, EventType::iter().count());
                stranger.verified(EventType::iter().count());
            }
            assert!(mine().await.iter().all(|row| row.status == DeliveryStatus::Succeeded));
            assert_eq!(changed.judge(&headers, &body).await, 400, "signed before the rotation");
            world
                .data("mutation($id: ID!) { deleteWebhook(input: { webhookId: $id }) { deletedWebhookId } }", json!({ "id": id }))
                .await;
        }
    }))
    .await;
}

#[test]
fn the_readme_shows_the_code_in_rust_that_is_tested() {
    let tested = include_str!("verify.rs");
    let (_, code) = tested.split_once("\n\n").expect("a header");
    assert_eq!(shown("rust"), code);
}
