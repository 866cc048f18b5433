//! Endpoints of a storm: what each is told is kept once its signature has been verified.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::support::server::Server;

/// What a thin body has.
const THIN: [&str; 5] = ["event", "eventId", "createdAt", "itemId", "itemSequence"];

/// What is asked of a webhook, and of what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything at once, verified by a stranger's library.
    Plain,
    /// One event of an Item after the other. Refuses a few, so that those behind them have to wait.
    Ordered,
    /// Thin, verified by its public key.
    Thin,
}

/// An endpoint and all that it has taken.
pub struct Receiver {
    kind: Kind,
    shared: Arc<Shared>,
}

struct Shared {
    kind: Kind,
    /// Its secret or public key, once known.
    key: Mutex<Option<String>>,
    /// Ids and bodies, in the order they were taken.
    taken: Mutex<Vec<(String, Vec<u8>)>>,
    refused: Mutex<BTreeSet<String>>,
}

impl Receiver {
    /// Registers an endpoint.
    pub async fn register(server: &Server, kind: Kind) -> Self {
        let shared = Arc::new(Shared {
            kind,
            key: Mutex::default(),
            taken: Mutex::default(),
            refused: Mutex::default(),
        });
        let router = Router::new()
            .route("/hook", post(receive))
            .with_state(shared.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move { axum::serve(listener, router).await });
        let created = server
            .data(
                "mutation($input: CreateWebhookInput!) { createWebhook(input: $input) { secret webhook { publicKey } } }",
                json!({ "input": {
                    "url": format!("http://{address}/hook"),
                    "events": ["ITEM_CREATED", "ITEM_UPDATED", "ITEM_ERROR", "ITEM_LOGIN_SUCCEEDED", "ITEM_STATUS_CHANGED", "TRANSACTIONS_CREATED"],
                    "ordered": kind == Kind::Ordered,
                    "payload": if kind == Kind::Thin { "THIN" } else { "FULL" },
                } }),
            )
            .await;
        let key = match kind {
            Kind::Thin => "/createWebhook/webhook/publicKey",
            Kind::Plain | Kind::Ordered => "/createWebhook/secret",
        };
        let key = created.pointer(key).and_then(Value::as_str);
        *shared.key.lock().expect("a key") = Some(key.expect("a key").to_owned());
        Self { kind, shared }
    }

    /// Waits until everything has been taken, and fails when anything else was, or anything out of order.
    pub async fn took_exactly(&self, log: &[Value], patience: Duration, server: &Server) {
        let began = Instant::now();
        let expected: BTreeMap<&str, &Value> = log.iter().map(|body| (id(body), body)).collect();
        let first = loop {
            let taken = self.shared.taken.lock().expect("a list").clone();
            let mut seen = BTreeSet::new();
            let first: Vec<String> = taken
                .into_iter()
                .filter_map(|(id, body)| {
                    let body: Value = serde_json::from_slice(&body).expect("JSON");
                    let event = expected
                        .get(id.as_str())
                        .unwrap_or_else(|| panic!("{:?}: not in the log: {body}", self.kind));
                    assert_eq!(body, self.body(event), "{:?}", self.kind);
                    seen.insert(id.clone()).then_some(id)
                })
                .collect();
            if first.len() == expected.len() {
                break first;
            }
            assert!(
                began.elapsed() < patience,
                "{:?}: {} of {} events were delivered\n{}",
                self.kind,
                first.len(),
                expected.len(),
                server.log()
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        };
        if self.kind == Kind::Ordered {
            let logged = by_item(log.iter());
            let told = by_item(first.iter().map(|id| expected[id.as_str()]));
            assert_eq!(told, logged, "an Item's events in another order");
        }
        let shared = &self.shared;
        println!(
            "{:?}: {} deliveries of {} events, {} refused at first",
            self.kind,
            shared.taken.lock().expect("a list").len(),
            expected.len(),
            shared.refused.lock().expect("a set").len(),
        );
    }

    /// What it is told of an event.
    fn body(&self, event: &Value) -> Value {
        if self.kind != Kind::Thin {
            return event.clone();
        }
        let told = THIN.map(|name| (name.to_owned(), event[name].clone()));
        Value::Object(Map::from_iter(told))
    }
}

/// The ids of the events of each Item, in order.
fn by_item<'a>(bodies: impl Iterator<Item = &'a Value>) -> BTreeMap<&'a str, Vec<&'a str>> {
    let mut items: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for body in bodies {
        let item = body["itemId"].as_str().expect("an Item");
        items.entry(item).or_default().push(id(body));
    }
    items
}

fn id(body: &Value) -> &str {
    body["eventId"].as_str().expect("an id")
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let key = shared.key.lock().expect("a key").clone();
    let Some(key) = key else {
        return StatusCode::SERVICE_UNAVAILABLE;
    };
    let verified = match shared.kind {
        Kind::Plain | Kind::Ordered => standardwebhooks::Webhook::new(&key)
            .expect("a secret")
            .verify(&body, &headers)
            .is_ok(),
        Kind::Thin => verifies(&key, &headers, &body),
    };
    if !verified {
        return StatusCode::UNAUTHORIZED;
    }
    let id = headers["webhook-id"].to_str().expect("an id").to_owned();
    // One of 128, by the end of an id, which is random.
    let unlucky = shared.kind == Kind::Ordered && (id.ends_with("00") || id.ends_with("7f"));
    if unlucky && shared.refused.lock().expect("a set").insert(id.clone()) {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let mut taken = shared.taken.lock().expect("a list");
    taken.push((id, body.to_vec()));
    StatusCode::NO_CONTENT
}

/// Whether the owner of a public key signed a request.
fn verifies(key: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers[name].to_str().expect("text").to_owned();
    let (id, time) = (header("webhook-id"), header("webhook-timestamp"));
    let content = [id.as_bytes(), time.as_bytes(), body].join(&b'.');
    let key = key.strip_prefix("whpk_").expect("a public key");
    let key = UnparsedPublicKey::new(&ED25519, STANDARD.decode(key).expect("base64"));
    header("webhook-signature")
        .split(' ')
        .filter_map(|one| one.strip_prefix("v1a,"))
        .any(|one| {
            let signature = STANDARD.decode(one).expect("base64");
            key.verify(&content, &signature).is_ok()
        })
}
