//! The real binary under kill -9, signals and load.
//!
//! `PONTE_TEST_SCALE=10` runs the storm in full: 100 kills during 1,000 executions on each engine, with subscribers over
//! every transport and webhooks of three kinds attached.

mod receivers;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, TimeDelta};
use ponte::{clock::Rng, db::Engine};
use serde_json::{Value, json};

use self::receivers::{Kind, Receiver};
use crate::support::{
    TestDatabase, scale, seed,
    server::Server,
    subscriber::{self, Asking, FIELDS, Subscriber, Transport},
};

/// How long receivers may take to hear of everything once it is calm.
const PATIENCE: Duration = Duration::from_mins(4);

/// Users of connector 2 and how their runs end.
const USERS: [(&str, &str, &str); 6] = [
    ("user-ok", "UPDATED", "SUCCESS"),
    ("user-ok-account-error", "UPDATED", "PARTIAL_SUCCESS"),
    ("user-ok-two-checking-accounts", "UPDATED", "SUCCESS"),
    ("user-locked", "LOGIN_ERROR", "ACCOUNT_LOCKED"),
    ("user-unavailable", "OUTDATED", "SITE_NOT_AVAILABLE"),
    ("user-ok-account-warning", "UPDATED", "SUCCESS"),
];

async fn databases() -> Vec<(Engine, Option<TestDatabase>, Option<String>)> {
    let (database, url) = TestDatabase::create(Engine::Postgres).await;
    vec![
        (Engine::Sqlite, None, None),
        (Engine::Postgres, Some(database), Some(url)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_kill_loses_an_event_or_leaves_an_item_behind() {
    for (engine, _database, url) in databases().await {
        println!("on {engine:?}");
        storm(url.as_deref()).await;
    }
}

#[expect(clippy::too_many_lines, reason = "one story from start to end")]
async fn storm(url: Option<&str>) {
    let (items, kills) = (100 * scale(), 10 * scale());
    let rng = Rng::seeded(seed());
    let mut server = Server::start(
        url,
        &[
            "--sandbox-step-ms",
            "20",
            "--lease-seconds",
            "2",
            "--log",
            "warn",
        ],
    )
    .await;
    server.log_in().await;
    let mut receivers = Vec::new();
    for kind in [Kind::Plain, Kind::Ordered, Kind::Thin] {
        receivers.push(Receiver::register(&server, kind).await);
    }
    let subscribers = subscribers(&server).await;

    // Clients create Items, repeating what fails with the same idempotency key.
    let done = Arc::new(AtomicBool::new(false));
    let ids: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let clients = {
        let (base, key) = (
            server.base.clone(),
            server.key.lock().expect("a key").clone(),
        );
        let (ids, done) = (ids.clone(), done.clone());
        tokio::spawn(async move {
            let client = reqwest::Client::builder()
                .timeout(Duration::from_secs(5))
                .build()
                .expect("a client");
            for n in 0..items {
                let (user, _, _) = USERS[n % USERS.len()];
                let body = json!({
                    "query": "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }",
                    "variables": { "input": { "connectorId": "2", "idempotencyKey": format!("item {n}"), "parameters": [
                        { "name": "user", "value": user }, { "name": "password", "value": "password-ok" } ] } },
                })
                .to_string();
                loop {
                    let sent = client
                        .post(format!("{base}/graphql"))
                        .header("content-type", "application/json")
                        .header("x-api-key", &key)
                        .body(body.clone())
                        .send()
                        .await;
                    if let Ok(answer) = sent
                        && let Ok(text) = answer.text().await
                        && let Ok(answer) = serde_json::from_str::<Value>(&text)
                        && let Some(id) = answer
                            .pointer("/data/createItem/item/id")
                            .and_then(Value::as_str)
                    {
                        ids.lock().expect("a map").insert(id.to_owned(), n);
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            done.store(true, Ordering::SeqCst);
        })
    };

    let mut start = Duration::ZERO;
    for _ in 0..kills {
        let wait = Duration::from_millis(100 + u64::from(rng.bytes::<1>()[0]) * 3);
        // A machine that is slow to start is slow to run: a run that is cut off again and again is given up.
        tokio::time::sleep(wait + start).await;
        server.kill();
        let began = Instant::now();
        server.restart().await;
        start = began.elapsed();
    }
    clients.await.expect("the clients are done");

    let ids = ids.lock().expect("a map").clone();
    assert_eq!(ids.len(), items, "every key made one Item");
    // However many there are, some come to an end all the time.
    let (mut least, mut since) = (usize::MAX, Instant::now());
    let ends = loop {
        let ends = ends(&server).await;
        let running = ends
            .values()
            .filter(|(status, _)| status == "UPDATING" || status == "MERGING")
            .count();
        if running == 0 && ends.len() == items {
            break ends;
        }
        if running < least {
            (least, since) = (running, Instant::now());
        }
        assert!(
            since.elapsed() < Duration::from_mins(1),
            "{running} of {} Items are still running\n{}",
            ends.len(),
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    for (id, n) in &ids {
        let (_, status, execution) = USERS[n % USERS.len()];
        assert_eq!(
            ends[id],
            (status.to_owned(), execution.to_owned()),
            "item {id}"
        );
    }

    let log = whole_log(&server).await;
    let bodies: Vec<Value> = log.iter().map(|event| event["payload"].clone()).collect();
    check_log(&bodies, &ids);
    check_rows(&server, &ids).await;
    for subscriber in subscribers {
        let expected: Vec<Value> = if subscriber.name == ITEM_UPDATED {
            log.iter().map(item_updated).collect()
        } else {
            log.clone()
        };
        let (name, connections) = (subscriber.name.clone(), subscriber.connections());
        assert!(
            connections > kills / 2,
            "{name} came back {connections} times"
        );
        subscriber.heard_exactly(&expected).await;
        println!(
            "{name}: {} events over {connections} connections",
            log.len()
        );
    }
    for receiver in &receivers {
        receiver.took_exactly(&bodies, PATIENCE, &server).await;
    }
    println!(
        "{items} items, {kills} kills, {} events: none lost",
        log.len()
    );
}

const ITEM_UPDATED: &str = "itemUpdated over graphql-transport-ws";

/// One of every kind, from before anything has happened.
async fn subscribers(server: &Server) -> Vec<Subscriber> {
    let after = subscriber::end_of_log(server).await;
    let item_updated = format!(
        "subscription($after: String) {{ itemUpdated(after: $after) {{ cursor snapshot moreStates event {{ {FIELDS} }} item {{ id }} }} }}"
    );
    let poll = format!(
        "query($after: String) {{ events(after: $after, first: 200, waitSeconds: 5) {{ nodes {{ {FIELDS} }} }} }}"
    );
    let stream = format!("subscription {{ events {{ {FIELDS} }} }}");
    [
        (
            "events over graphql-transport-ws",
            Transport::Socket,
            subscriber::events(),
        ),
        (ITEM_UPDATED, Transport::Socket, item_updated),
        ("events over server-sent events", Transport::Stream, stream),
        ("events by long polling", Transport::Poll, poll),
    ]
    .map(|(name, transport, document)| {
        let asking = Asking::new(server, transport, document);
        Subscriber::follow(name, asking, &after, |event| event)
    })
    .into()
}

/// What a subscriber to Items is told of an event.
fn item_updated(event: &Value) -> Value {
    json!({
        "cursor": event["cursor"],
        "snapshot": false,
        "moreStates": false,
        "event": event,
        "item": { "id": event["itemId"] },
    })
}

/// Status and execution status of every Item.
async fn ends(server: &Server) -> BTreeMap<String, (String, String)> {
    let mut ends = BTreeMap::new();
    let mut after = Value::Null;
    loop {
        let data = server
            .data(
                "query($after: String) { items(first: 200, after: $after) { nodes { id status executionStatus } pageInfo { hasNextPage endCursor } } }",
                json!({ "after": after }),
            )
            .await;
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        for node in data["items"]["nodes"].as_array().expect("a list") {
            ends.insert(
                text(&node["id"]),
                (text(&node["status"]), text(&node["executionStatus"])),
            );
        }
        if data["items"]["pageInfo"]["hasNextPage"] != true {
            return ends;
        }
        after = data["items"]["pageInfo"]["endCursor"].clone();
    }
}

/// All events, in order.
async fn whole_log(server: &Server) -> Vec<Value> {
    let mut log = Vec::new();
    let mut after = Value::Null;
    loop {
        let data = server
            .data(
                &format!("query($after: String) {{ events(first: 200, after: $after) {{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}"),
                json!({ "after": after }),
            )
            .await;
        log.extend(
            data["events"]["nodes"]
                .as_array()
                .expect("a list")
                .iter()
                .cloned(),
        );
        if data["events"]["pageInfo"]["hasNextPage"] != true {
            return log;
        }
        after = data["events"]["pageInfo"]["endCursor"].clone();
    }
}

/// Everything that is stored of an Item, without what differs between two of the same bank and user.
const ROWS: &str = "query($id: ID!) { item(id: $id) { createdAt identity { fullName document } \
    loans { nodes { contractNumber contractAmount } } \
    investments(first: 200) { nodes { name balance transactions(first: 200) { nodes { date amount } } } } \
    accounts { nodes { number balance bills { nodes { dueDate totalAmount } } statements { nodes { month sha256 } } \
    transactions(first: 500) { nodes { postedOn amount description status paymentData { paymentMethod } } } } } } }";

/// Rows of one moment are told in the order in which they were stored.
fn sort(value: &mut Value) {
    match value {
        Value::Array(rows) => {
            rows.iter_mut().for_each(sort);
            rows.sort_by_cached_key(Value::to_string);
        }
        Value::Object(fields) => fields.values_mut().for_each(sort),
        _ => {}
    }
}

/// Runs that were cut off have stored what others of the same user have stored, wherever they were cut off, and no row
/// twice.
async fn check_rows(server: &Server, ids: &BTreeMap<String, usize>) {
    let mut by_user: BTreeMap<(&str, String), (Value, &String)> = BTreeMap::new();
    for (id, n) in ids {
        let (user, _, end) = USERS[n % USERS.len()];
        let mut item = server.data(ROWS, json!({ "id": id })).await["item"].take();
        let created = item["createdAt"].take();
        sort(&mut item);
        let created = created
            .as_str()
            .and_then(|at| DateTime::parse_from_rfc3339(at).ok());
        // The bank shows another day after its midnight.
        let day = created.expect("an instant") - TimeDelta::hours(3);
        let key = (user, day.date_naive().to_string());
        let whole = end == "SUCCESS";
        for product in ["accounts", "investments", "loans"] {
            let rows = item[product]["nodes"].as_array().map_or(0, Vec::len);
            assert!(rows > 0 || !whole, "item {id} of {user} has no {product}");
        }
        let (first, of) = by_user.entry(key).or_insert_with(|| (item.clone(), id));
        assert_eq!(item, *first, "items {id} and {of} of {user} differ");
    }
}

/// Every transition of every Item has exactly its events, in an order that the domain allows.
fn check_log(log: &[Value], ids: &BTreeMap<String, usize>) {
    let unique: BTreeSet<_> = log.iter().map(|event| event["eventId"].as_str()).collect();
    assert_eq!(unique.len(), log.len(), "an event is there twice");
    for (id, n) in ids {
        let (user, _, end) = USERS[n % USERS.len()];
        let mut names = Vec::new();
        let mut sequence = 0;
        for event in log.iter().filter(|event| event["itemId"] == json!(id)) {
            let name = event["event"].as_str().unwrap_or("?");
            sequence += i64::from(name != "item/status_changed");
            assert_eq!(event["itemSequence"], sequence, "{event}");
            match name {
                "item/status_changed" => names.push(
                    event["data"]["executionStatus"]
                        .as_str()
                        .unwrap_or("?")
                        .to_owned(),
                ),
                name => names.push(name.to_owned()),
            }
        }
        let created = |count| std::iter::repeat_n("transactions/created", count);
        let mut expected = vec!["CREATED", "LOGIN_IN_PROGRESS"];
        if end == "ACCOUNT_LOCKED" || end == "SITE_NOT_AVAILABLE" {
            expected.extend([end, "item/error"]);
        } else {
            expected.extend([
                "ACCOUNTS_IN_PROGRESS",
                "item/login_succeeded",
                "CREDITCARDS_IN_PROGRESS",
            ]);
            expected.extend([
                "TRANSACTIONS_IN_PROGRESS",
                "INVESTMENTS_IN_PROGRESS",
                "INVESTMENTS_TRANSACTIONS_IN_PROGRESS",
                "PAYMENT_DATA_IN_PROGRESS",
                "IDENTITY_IN_PROGRESS",
                "LOANS_IN_PROGRESS",
                "ACCOUNT_STATEMENTS_IN_PROGRESS",
                "MERGING",
            ]);
            // Savings beside what the user's name says.
            expected.extend(created(match user {
                "user-ok-account-error" => 1,
                "user-ok-two-checking-accounts" => 4,
                _ => 3,
            }));
            expected.extend([end, "item/created"]);
        }
        assert_eq!(names, expected, "item {id} of {user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_transactions_fit_into_200_mib() {
    for (engine, _database, url) in databases().await {
        let server =
            Server::start(url.as_deref(), &["--sandbox-step-ms", "0", "--log", "warn"]).await;
        server.log_in().await;
        let data = server
            .data(
                "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }",
                json!({ "input": { "connectorId": "0", "parameters": [
                    { "name": "user", "value": "user-ok-perf-100x" }, { "name": "password", "value": "password-ok" } ] } }),
            )
            .await;
        let id = data["createItem"]["item"]["id"].clone();
        let began = Instant::now();
        loop {
            let data = server.data("query($id: ID!) { item(id: $id) { status executionStatus error { message } } }", json!({ "id": id })).await;
            match data["item"]["status"].as_str() {
                Some("UPDATED") => break,
                Some("UPDATING" | "MERGING") => {}
                _ => panic!("{data}\n{}", server.log()),
            }
            assert!(began.elapsed() < Duration::from_mins(5), "{data}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let told = server
            .data(
                "query($id: ID!) { events(first: 10, filter: { itemId: $id, types: [TRANSACTIONS_CREATED] }) { nodes { payload } } }",
                json!({ "id": id }),
            )
            .await;
        let counts: Vec<_> = told["events"]["nodes"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|node| node["payload"]["transactionsCount"].as_i64())
            .collect();
        assert!(
            counts.iter().flatten().any(|count| *count >= 100_000),
            "{counts:?}"
        );
        let peak = server.peak_memory() / 1024 / 1024;
        println!("{engine:?}: {peak} MiB at most, {:?}", began.elapsed());
        assert!(peak < 200, "{peak} MiB");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_server_hands_over_and_ends_in_time() {
    for (_, _database, url) in databases().await {
        let mut server = Server::start(
            url.as_deref(),
            &["--sandbox-step-ms", "3000", "--lease-seconds", "600"],
        )
        .await;
        server.log_in().await;
        server
            .data(
                "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }",
                json!({ "input": { "connectorId": "0", "parameters": [
                    { "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" } ] } }),
            )
            .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (status, took) = server.terminate().await;
        assert!(status.success(), "{status}\n{}", server.log());
        assert!(took < Duration::from_secs(10), "{took:?}");
        // The run was handed over: nobody waits for its lease of ten minutes.
        server.restart().await;
        let began = Instant::now();
        while ends(&server)
            .await
            .values()
            .any(|(status, _)| status == "UPDATING" || status == "MERGING")
        {
            assert!(
                began.elapsed() < Duration::from_secs(90),
                "the run does not go on\n{}",
                server.log()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
