//! Real nodes over one PostgreSQL and one NATS, which are cut, stalled and restarted under them.
//!
//! `PONTE_TEST_SCALE=17` restarts each of the two about 50 times.

mod storm;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ponte::{clock::Rng, db::Engine};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    TestDatabase,
    nats::{self, Nats},
    postgres::Postgres,
    proxy::{Proxy, Way},
    scale, seed,
    server::Server,
    subscriber::{self, Asking, FIELDS, Subscriber, Transport},
};

/// How soon service must resume.
const RESUMED: Duration = Duration::from_secs(5);
const FLAGS: [&str; 8] = [
    "--sandbox-step-ms",
    "0",
    "--lease-seconds",
    "5",
    "--database-connections",
    "6",
    "--log",
    "info",
];

async fn node(database: &str, nats: &str) -> Server {
    let flags: Vec<&str> = FLAGS.into_iter().chain(["--nats-url", nats]).collect();
    Server::start(Some(database), &flags).await
}

/// A node that knows the key which another has given out.
async fn second(first: &Server, database: &str, nats: &str) -> Server {
    let second = node(database, nats).await;
    let key = first.key.lock().expect("a key").clone();
    *second.key.lock().expect("a key") = key;
    second
}

fn follow(server: &Server, name: &str, transport: Transport, after: &str) -> Subscriber {
    let document = match transport {
        Transport::Socket | Transport::Poll => subscriber::events(),
        Transport::Stream => format!("subscription {{ events {{ {FIELDS} }} }}"),
    };
    let asking = Asking::new(server, transport, document);
    Subscriber::follow(name, asking, after, |event| event)
}

/// Clients who connect Items on several nodes in turn, repeating what fails.
struct Load {
    done: Arc<AtomicBool>,
    created: Arc<AtomicUsize>,
    clients: JoinHandle<()>,
}

impl Load {
    fn on(servers: &[&Server]) -> Self {
        let (done, created) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let clients = {
            let (done, created) = (done.clone(), created.clone());
            let key = servers[0].key.lock().expect("a key").clone();
            let bases: Vec<String> = servers.iter().map(|server| server.base.clone()).collect();
            tokio::spawn(async move {
                let client = reqwest::Client::builder()
                    .timeout(Duration::from_secs(3))
                    .build()
                    .expect("a client");
                let mut turn = 0;
                while !done.load(Ordering::Relaxed) {
                    let number = created.load(Ordering::Relaxed);
                    let base = &bases[turn % bases.len()];
                    turn += 1;
                    if create(&client, base, &key, number).await {
                        created.fetch_add(1, Ordering::Relaxed);
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        };
        Self {
            done,
            created,
            clients,
        }
    }

    fn created(&self) -> usize {
        self.created.load(Ordering::Relaxed)
    }

    /// Returns once so many more Items have been connected, and how long that took.
    async fn goes_on(&self, more: usize) -> Duration {
        let (before, began) = (self.created(), Instant::now());
        while self.created() < before + more {
            assert!(began.elapsed() < Duration::from_mins(1), "nothing goes on");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        began.elapsed()
    }

    async fn end(self) -> usize {
        self.done.store(true, Ordering::Relaxed);
        self.clients.await.expect("the clients are done");
        self.created.load(Ordering::Relaxed)
    }
}

async fn create(client: &reqwest::Client, base: &str, key: &str, number: usize) -> bool {
    create_with(client, base, key, number, Value::Null).await
}

/// Connects an Item with some products, once however often it is repeated; `false` when there was no answer.
async fn create_with(
    client: &reqwest::Client,
    base: &str,
    key: &str,
    number: usize,
    products: Value,
) -> bool {
    let body = json!({
        "query": "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }",
        "variables": { "input": { "connectorId": "0", "idempotencyKey": format!("item {number}"), "products": products, "parameters": [
            { "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" } ] } },
    });
    let request = client
        .post(format!("{base}/graphql"))
        .header("content-type", "application/json")
        .header("x-api-key", key)
        .body(body.to_string());
    let Ok(answer) = request.send().await else {
        return false;
    };
    let text = answer.text().await.unwrap_or_default();
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    answer.pointer("/data/createItem/item/id").is_some()
}

/// Returns once every Item's run has ended, and answers the whole log.
async fn calm(server: &Server, items: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let log = whole_log(server).await;
        let ended = log
            .iter()
            .filter(|event| event["name"] == "item/created")
            .count();
        if ended >= items {
            assert_eq!(ended, items, "an Item for each key");
            return log;
        }
        assert!(
            began.elapsed() < Duration::from_mins(2),
            "{ended} of {items}\n{}",
            server.log()
        );
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn whole_log(server: &Server) -> Vec<Value> {
    let document = format!(
        "query($after: String) {{ events(first: 200, after: $after) {{ nodes {{ {FIELDS} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let (mut log, mut after) = (Vec::new(), Value::Null);
    loop {
        let mut data = server.data(&document, json!({ "after": after })).await;
        match data["events"]["nodes"].take() {
            Value::Array(nodes) => log.extend(nodes),
            other => panic!("no list: {other}"),
        }
        let page = &data["events"]["pageInfo"];
        if page["hasNextPage"] != true {
            return log;
        }
        after = page["endCursor"].clone();
    }
}

/// The part of a URL that a socket connects to.
fn target(url: &str) -> String {
    let url = url::Url::parse(url).expect("a URL");
    let (host, port) = (url.host_str(), url.port());
    format!("{}:{}", host.expect("a host"), port.expect("a port"))
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_on_any_node_hear_everything_while_nodes_are_cut_off() {
    let rng = Rng::seeded(seed());
    let (_database, url) = TestDatabase::create(Engine::Postgres).await;
    let nats = nats::url();
    let to_database = Proxy::to(&target(&url)).await;
    let to_nats = Proxy::to(&target(&nats)).await;
    let whole = node(&url, &nats).await;
    whole.log_in().await;
    let cut = second(&whole, &to_database.through(&url), &to_nats.through(&nats)).await;
    let start = subscriber::end_of_log(&whole).await;
    let subscribers = [
        follow(
            &whole,
            "a socket on a whole node",
            Transport::Socket,
            &start,
        ),
        follow(
            &cut,
            "a socket on a node that is cut off",
            Transport::Socket,
            &start,
        ),
        follow(
            &cut,
            "a stream on a node that is cut off",
            Transport::Stream,
            &start,
        ),
    ];
    // Somebody who moves: every time to the other node, with nothing but the last cursor.
    let (mut moved, mut last) = (Vec::new(), start.clone());

    let load = Load::on(&[&whole, &cut]);
    for round in 0..4 * scale() {
        let way = [
            Way::Cut,
            Way::Stalled,
            Way::Slow(Duration::from_millis(100)),
            Way::Cut,
        ][round % 4];
        let proxies = match round % 3 {
            0 => vec![&to_nats],
            1 => vec![&to_database],
            _ => vec![&to_nats, &to_database],
        };
        let host = if round % 2 == 0 { &cut } else { &whole };
        let nomad = follow(host, "somebody who moves", Transport::Socket, &last);
        load.goes_on(5).await;
        for proxy in &proxies {
            proxy.set(way);
        }
        // Among the full rounds are some that last until a node gives up what it waits for.
        let at_least = if scale() > 1 && round % 8 == 5 {
            13_000
        } else {
            500
        };
        let lasts = at_least + u64::from(rng.bytes::<1>()[0]) * 8;
        tokio::time::sleep(Duration::from_millis(lasts)).await;
        for proxy in proxies {
            proxy.set(Way::Open);
        }
        load.goes_on(5).await;
        nomad.reaches(1).await;
        moved.extend(nomad.told());
        let cursor = moved.last().and_then(|event| event["cursor"].as_str());
        cursor.expect("a cursor").clone_into(&mut last);
    }
    let items = load.end().await;
    let log = calm(&whole, items).await;
    let nomad = follow(&cut, "somebody who moves", Transport::Socket, &last);
    nomad.reaches(log.len() - moved.len()).await;
    moved.extend(nomad.told());
    assert_eq!(moved, log, "somebody who moves hears everything once");
    for subscriber in subscribers {
        subscriber.heard_exactly(&log).await;
    }
    println!("{items} Items, {} events", log.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn service_resumes_after_postgres_and_nats_were_restarted_under_load() {
    let rng = Rng::seeded(seed());
    let database = Postgres::start();
    let mut nats = Nats::start();
    let one = node(&database.url(), &nats.url()).await;
    one.log_in().await;
    let two = second(&one, &database.url(), &nats.url()).await;
    let start = subscriber::end_of_log(&one).await;
    let subscribers = [
        follow(&one, "a socket on one node", Transport::Socket, &start),
        follow(&two, "a socket on the other", Transport::Socket, &start),
    ];
    let load = Load::on(&[&one, &two]);
    let mut slowest = Duration::ZERO;
    for round in 0..2 * 3 * scale() {
        load.goes_on(3).await;
        let pause = Duration::from_millis(200 + u64::from(rng.bytes::<1>()[0]) * 8);
        if round % 2 == 0 {
            database.kill();
            tokio::time::sleep(pause).await;
            database.run();
        } else {
            nats.kill();
            tokio::time::sleep(pause).await;
            nats.run();
        }
        // New events, written and told on both nodes.
        let began = Instant::now();
        let heard: Vec<usize> = subscribers.iter().map(Subscriber::count).collect();
        load.goes_on(2).await;
        for (subscriber, heard) in subscribers.iter().zip(heard) {
            subscriber.reaches(heard + 1).await;
        }
        let resumed = began.elapsed();
        assert!(
            resumed < RESUMED,
            "round {round}: {resumed:?}\n{}\n{}",
            one.log(),
            two.log()
        );
        slowest = slowest.max(resumed);
    }
    let items = load.end().await;
    let log = calm(&two, items).await;
    for subscriber in subscribers {
        subscriber.heard_exactly(&log).await;
    }
    println!(
        "{items} Items, {} events, resumed within {slowest:?}",
        log.len()
    );
}
