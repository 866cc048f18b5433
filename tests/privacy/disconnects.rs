//! Clients that go away in the middle leave no half-written work and no transaction open.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ponte::{clock::Rng, db::Engine};
use sea_orm::Database;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::Semaphore};

use super::{count, databases};
use crate::support::{scale, seed, server::Server};

const STUCK: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
    AND state LIKE 'idle in transaction%' AND state_change < now() - interval '1 second'";
const OPEN: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
/// Items that lack something of what is written with them.
const HALF: &str = "SELECT count(*) FROM item WHERE NOT EXISTS (SELECT 1 FROM execution WHERE execution.item_id = item.id) \
    OR NOT EXISTS (SELECT 1 FROM consent WHERE consent.item_id = item.id) \
    OR NOT EXISTS (SELECT 1 FROM event WHERE event.item_id = item.id AND CAST(event.payload AS text) LIKE '%\"CREATED\"%')";
/// And what is there without its Item.
const ORPHANS: &str = "SELECT (SELECT count(*) FROM execution WHERE item_id NOT IN (SELECT id FROM item)) \
    + (SELECT count(*) FROM consent WHERE item_id NOT IN (SELECT id FROM item)) \
    + (SELECT count(*) FROM event WHERE item_id NOT IN (SELECT id FROM item))";
const ITEMS: &str = "SELECT count(*) FROM item";
const WEBHOOKS: &str = "SELECT count(*) FROM webhook";

fn item() -> String {
    json!({
        "query": "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }",
        "variables": { "input": { "connectorId": "0", "parameters": [
            { "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" } ] } },
    })
    .to_string()
}

fn webhook() -> String {
    json!({ "query": "mutation { createWebhook(input: { url: \"http://127.0.0.1:9/\", events: [ITEM_DELETED] }) { secret } }" })
        .to_string()
}

/// Sends a request and goes away after a while, in the middle of it or not.
async fn hasty(address: String, key: String, body: String, chance: [u8; 4]) {
    let Ok(mut stream) = TcpStream::connect(&address).await else {
        return;
    };
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: {address}\r\nX-API-KEY: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // One in eight does not even send all of it.
    let cut = if chance[0] < 32 {
        request.len() - usize::from(chance[1]) / 2 - 1
    } else {
        request.len()
    };
    let _ = stream.write_all(&request.as_bytes()[..cut]).await;
    // Every other one stays a little longer, so that busy machines get as far as writing too.
    let most = if chance[1].is_multiple_of(2) {
        30_000
    } else {
        300_000
    };
    let wait = u64::from(u16::from_le_bytes([chance[2], chance[3]])) * most / 65_536;
    tokio::time::sleep(Duration::from_micros(wait)).await;
    // A reset and not a polite end.
    let _ = stream.set_zero_linger();
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_go_away_leave_nothing_half_written_and_no_transaction_open() {
    for (engine, _database, url) in databases().await {
        let clients = 400 * scale();
        let rng = Rng::seeded(seed());
        let flags = [
            "--log",
            "error",
            "--sandbox-step-ms",
            "0",
            "--webhooks-per-application",
            "100000",
        ];
        let server = Server::start(Some(&url), &flags).await;
        server.log_in().await;
        let key = server.key.lock().expect("a key").clone();
        let address = server.base.trim_start_matches("http://").to_owned();
        let slots = Arc::new(Semaphore::new(32));
        let mut running = tokio::task::JoinSet::new();
        for n in 0..clients {
            let slot = slots.clone().acquire_owned().await.expect("a slot");
            let body = if n % 2 == 0 { item() } else { webhook() };
            let one = hasty(address.clone(), key.clone(), body, rng.bytes());
            running.spawn(async move {
                one.await;
                drop(slot);
            });
        }
        while let Some(done) = running.join_next().await {
            done.expect("no panic");
        }

        let connection = Database::connect(&url).await.expect("the database");
        let mut before = quiet(&connection).await;
        println!(
            "{engine:?}: {clients} clients left {} Items and {} webhooks",
            before.0, before.1
        );
        assert!(before.0 > 0 && before.1 > 0, "nobody got as far as writing");
        for n in 0..50 {
            let body = if n % 2 == 0 { item() } else { webhook() };
            let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            let document = body["query"].as_str().expect("a document");
            server.data(document, body["variables"].clone()).await;
        }
        before = (before.0 + 25, before.1 + 25);
        assert_eq!(
            quiet(&connection).await,
            before,
            "a write was lost\n{}",
            server.log()
        );
        for sql in [HALF, ORPHANS] {
            assert_eq!(count(&connection, sql).await, 0, "{sql}\n{}", server.log());
        }
        if engine == Engine::Postgres {
            let began = Instant::now();
            while count(&connection, OPEN).await > 0 && began.elapsed() < Duration::from_secs(20) {
                assert_eq!(count(&connection, STUCK).await, 0, "a transaction is open");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(count(&connection, OPEN).await, 0, "a transaction is open");
        }
        assert!(!server.log().contains("ERROR"), "{}", server.log());
    }
}

/// How many Items and webhooks there are once nothing more is written.
async fn quiet(connection: &sea_orm::DatabaseConnection) -> (i64, i64) {
    let began = Instant::now();
    let mut last = (-1, -1, -1);
    loop {
        let now = (
            count(connection, ITEMS).await,
            count(connection, WEBHOOKS).await,
            count(
                connection,
                "SELECT count(*) FROM execution WHERE ended_at IS NULL",
            )
            .await,
        );
        if now == last && now.2 == 0 {
            return (now.0, now.1);
        }
        assert!(
            began.elapsed() < Duration::from_mins(4),
            "{now:?} is still running"
        );
        last = now;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}
