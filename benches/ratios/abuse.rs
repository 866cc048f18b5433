//! What hostile documents cost the others.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::Router;
use ponte::{graphql, http};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{Bench, graph, hostile::documents, verdict};

/// The slowest answer to any hostile document may take this long.
const ANSWER: Duration = Duration::from_millis(500);
/// A small query beside them may take this long.
const CANARY: Duration = Duration::from_millis(250);
const CLIENTS: usize = 4;
const ROUNDS: usize = 20;

/// Every hostile document, with a key and without, from four clients at once, while a small query is asked on and on.
pub async fn abuse(bench: &Bench) {
    let router = http::router(bench.app.clone(), graphql::build(bench.app.clone()));
    let done = Arc::new(AtomicBool::new(false));
    let canary = tokio::spawn({
        let (router, key, done) = (router.clone(), bench.key.clone(), done.clone());
        async move {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                slowest = slowest.max(ask(&router, &key, "{ viewer { kind } }").await.0);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            slowest
        }
    });
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(client(router.clone(), bench.key.clone()));
    }
    let slowest = clients.join_all().await;
    let slowest = slowest.into_iter().max_by_key(|(took, ..)| *took);
    let (took, size, what) = slowest.expect("several clients");
    done.store(true, Ordering::Relaxed);
    let canary = canary.await.expect("no panic");
    println!(
        "hostile documents: slowest answer {took:?} ({what}), largest {size} bytes, slowest small query beside them {canary:?}"
    );
    verdict(ANSWER.as_secs_f64() / took.as_secs_f64(), 1.0);
    verdict(CANARY.as_secs_f64() / canary.as_secs_f64(), 1.0);
}

async fn client(router: Router, key: String) -> (Duration, usize, &'static str) {
    let (mut slowest, mut largest, mut which) = (Duration::ZERO, 0, "");
    for _ in 0..ROUNDS {
        for (what, document) in documents() {
            for key in [key.as_str(), ""] {
                let (took, size) = ask(&router, key, &document).await;
                largest = largest.max(size);
                if took > slowest {
                    (slowest, which) = (took, what);
                }
            }
        }
    }
    (slowest, largest, which)
}

async fn ask(router: &Router, key: &str, document: &str) -> (Duration, usize) {
    let body = json!({ "query": document }).to_string();
    let (took, answer) = graph::answered(router, key, &body).await;
    (took, answer.len())
}
