//! Three nodes over one PostgreSQL, by clocks that are ninety seconds apart, while they are killed, stopped past their
//! lease and cut off from the database and from NATS: every Item runs once each time, and everybody hears everything.
//!
//! `PONTE_TEST_SCALE=100` takes 20,000 Items, with `cargo test --release` in a quarter of an hour.

use std::{
    collections::BTreeMap,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use ponte::{clock::Rng, db::Engine};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use tokio::task::{JoinHandle, JoinSet};

use super::target;
use crate::support::{
    TestDatabase, nats,
    proxy::{Proxy, Way},
    scale, seed,
    server::Server,
    subscriber::{self, Asking, Subscriber, Transport},
};

/// Longer than a transaction may stand still after a heartbeat: whatever is held is counted then.
const LEASE: Duration = Duration::from_secs(6);
/// Clients who connect Items at once.
const CLIENTS: usize = 8;
/// How long after its lease has run out a run may stand still.
const STUCK: Duration = Duration::from_secs(5);
/// What must be there, wherever Debian puts it for this machine.
const FAKETIME: &str = "faketime/libfaketime.so.1";

/// What a run of nothing but accounts is told as.
const RUN: [&str; 5] = [
    "CREATED",
    "LOGIN_IN_PROGRESS",
    "ACCOUNTS_IN_PROGRESS",
    "MERGING",
    "SUCCESS",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_item_runs_once_while_nodes_fail_over_postgres_alone() {
    storm(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_item_runs_once_while_nodes_fail_over_postgres_and_nats() {
    storm(Some(nats::url())).await;
}

async fn storm(nats: Option<String>) {
    let items = 200 * scale();
    // Few at once when there are few, so that there is a storm at all.
    let limit = 8 + scale();
    let rng = Rng::seeded(seed());
    let (_database, url) = TestDatabase::create(Engine::Postgres).await;
    let mut cluster = Cluster::start(&url, nats.as_deref(), limit).await;
    let start = subscriber::end_of_log(&cluster.nodes[0].server).await;
    let subscribers: Vec<_> = cluster
        .nodes
        .iter()
        .zip([Transport::Socket, Transport::Stream, Transport::Socket])
        .map(|(node, transport)| {
            let document = match transport {
                Transport::Socket | Transport::Poll => {
                    "subscription($after: String) { events(after: $after) { cursor id } }"
                }
                Transport::Stream => "subscription { events { cursor id } }",
            };
            let asking = Asking::new(&node.server, transport, document);
            let name = format!("{transport:?} on {}", node.server.base);
            Subscriber::follow(&name, asking, &start, |event| event["id"].clone())
        })
        .collect();
    let watch = Watch::over(&url, limit).await;
    let database = Database::connect(&url).await.expect("the database");

    let connected = cluster.connect_all(items);
    let first = async || runs(&database, "CLIENT").await >= items;
    let disturbed = cluster.disturb_until(&rng, first).await;
    connected.join_all().await;

    let due = "UPDATE item SET last_updated_at = last_updated_at - 36000000, last_ended_at = last_ended_at - 36000000, \
        auto_sync_due_at = last_updated_at - 7200000";
    database.execute_unprepared(due).await.expect("all are due");
    let second = async || runs(&database, "SYNC").await >= items;
    let disturbed = disturbed + cluster.disturb_until(&rng, second).await;

    let (slowest, busiest) = watch.end().await;
    let log = Log::read(&cluster.nodes[0].server).await;
    log.check(items);
    assert_eq!(
        each_once(&database).await,
        items,
        "Items that ran once each way, and well"
    );
    let ids: Vec<Value> = log.ids.iter().map(|id| json!(id)).collect();
    for subscriber in subscribers {
        subscriber.heard_exactly(&ids).await;
    }
    println!(
        "{items} Items, {disturbed} disturbances, {} events, at most {busiest} at once, at most {slowest:?} behind a lease",
        ids.len()
    );
    assert!(busiest <= limit, "{busiest} at once");
    assert!(
        slowest < STUCK,
        "a run stood still for {slowest:?} after its lease"
    );
}

/// One node, and the ways to what it needs.
struct Node {
    server: Server,
    to_database: Proxy,
    to_nats: Option<Proxy>,
}

struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// Three nodes: one whose clock is right, one ahead and one behind.
    async fn start(url: &str, nats: Option<&str>, limit: usize) -> Self {
        let limits = format!("*={limit}");
        let mut nodes = Vec::new();
        for skew in [None, Some("+90s"), Some("-90s")] {
            let to_database = Proxy::to(&target(url)).await;
            let through = to_database.through(url);
            let lease = LEASE.as_secs().to_string();
            let mut flags = vec![
                "--sandbox-step-ms",
                "40",
                "--lease-seconds",
                &lease,
                "--connector-limits",
                &limits,
                "--database-connections",
                "8",
                "--log",
                "warn",
            ];
            let to_nats = match nats {
                Some(nats) => Some(Proxy::to(&target(nats)).await),
                None => None,
            };
            let nats = nats
                .zip(to_nats.as_ref())
                .map(|(url, proxy)| proxy.through(url));
            if let Some(nats) = &nats {
                flags.extend(["--nats-url", nats]);
            }
            let mut server = Server::prepare(Some(&through), &flags);
            if let Some(skew) = skew {
                server.set("LD_PRELOAD", &faketime());
                server.set("FAKETIME", skew);
                // Durations are what they are.
                server.set("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            }
            server.restart().await;
            nodes.push(Node {
                server,
                to_database,
                to_nats,
            });
        }
        let created = nodes[0]
            .server
            .log_in_with(&["--auto-sync-hours", "8"])
            .await;
        for node in &nodes[1..] {
            node.server.take_key(&created).await;
        }
        Self { nodes }
    }

    /// Clients who connect so many Items on all nodes, repeating what fails.
    fn connect_all(&self, items: usize) -> JoinSet<()> {
        let bases: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.server.base.clone())
            .collect();
        let key = self.nodes[0].server.key.lock().expect("a key").clone();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(3))
            .build()
            .expect("a client");
        let mut clients = JoinSet::new();
        for client in 0..CLIENTS {
            let (http, bases, key) = (http.clone(), bases.clone(), key.clone());
            clients.spawn(async move {
                for number in (client..items).step_by(CLIENTS) {
                    let mut turn = number;
                    let made = async |turn: usize| {
                        let base = &bases[turn % bases.len()];
                        super::create_with(&http, base, &key, number, json!(["ACCOUNTS"])).await
                    };
                    while !made(turn).await {
                        turn += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            });
        }
        clients
    }

    /// Does one thing after another to one node after another until something is true, and says how many that were.
    async fn disturb_until(&mut self, rng: &Rng, done: impl AsyncFn() -> bool) -> usize {
        let began = Instant::now();
        let patience = Duration::from_mins(8)
            + Duration::from_secs(30) * u32::try_from(scale()).expect("small");
        let mut disturbed = 0;
        // At least every kind once, also when little is to be done.
        while disturbed < KINDS.len() || !done().await {
            let [which, pause] = rng.bytes();
            let kind = KINDS[disturbed % KINDS.len()];
            let node = usize::from(which) % self.nodes.len();
            self.nodes[node].disturb(kind).await;
            disturbed += 1;
            tokio::time::sleep(Duration::from_millis(u64::from(pause) * 4)).await;
            assert!(
                began.elapsed() < patience,
                "not done after {:?}\n{}",
                began.elapsed(),
                self.nodes
                    .iter()
                    .map(|node| node.server.log())
                    .collect::<Vec<_>>()
                    .join("\n---\n")
            );
        }
        disturbed
    }
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Killed,
    StoppedPastItsLease,
    CutFromTheDatabase,
    StalledAtTheDatabase,
    CutFromNats,
    Terminated,
}

const KINDS: [Kind; 6] = [
    Kind::Killed,
    Kind::StoppedPastItsLease,
    Kind::CutFromTheDatabase,
    Kind::StalledAtTheDatabase,
    Kind::CutFromNats,
    Kind::Terminated,
];

impl Node {
    async fn disturb(&mut self, kind: Kind) {
        let past = LEASE + Duration::from_secs(2);
        match kind {
            Kind::Killed => {
                self.server.kill();
                self.server.restart().await;
            }
            Kind::Terminated => {
                self.server.terminate().await;
                self.server.restart().await;
            }
            Kind::StoppedPastItsLease => {
                self.signal("-STOP");
                tokio::time::sleep(past).await;
                self.signal("-CONT");
            }
            Kind::CutFromTheDatabase => {
                hold(&self.to_database, Way::Cut, Duration::from_secs(1)).await;
            }
            Kind::StalledAtTheDatabase => hold(&self.to_database, Way::Stalled, past).await,
            Kind::CutFromNats => {
                if let Some(to_nats) = &self.to_nats {
                    hold(to_nats, Way::Cut, Duration::from_secs(1)).await;
                    hold(to_nats, Way::Stalled, Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .arg(signal)
            .arg(self.server.pid().to_string())
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal}");
    }
}

async fn hold(proxy: &Proxy, way: Way, lasts: Duration) {
    proxy.set(way);
    tokio::time::sleep(lasts).await;
    proxy.set(Way::Open);
}

/// What changes the clock of a process.
fn faketime() -> String {
    let folders = std::fs::read_dir("/usr/lib").expect("a folder");
    let found = folders
        .filter_map(Result::ok)
        .map(|folder| folder.path().join(FAKETIME))
        .find(|path| path.exists());
    found
        .expect("run tests/run, which installs the package faketime")
        .display()
        .to_string()
}

/// Looks at the runs again and again, from outside.
struct Watch {
    done: Arc<AtomicBool>,
    seen: Arc<Mutex<(Duration, usize)>>,
    watching: JoinHandle<()>,
}

impl Watch {
    async fn over(url: &str, limit: usize) -> Self {
        const LOOK: &str = "SELECT coalesce(max(now.ms - lease_until), 0)::bigint AS behind, count(*) FILTER (WHERE lease_until > now.ms) AS running \
            FROM execution, (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS ms) now \
            WHERE ended_at IS NULL AND lease_until IS NOT NULL";
        let database = Database::connect(url).await.expect("the database");
        let (done, seen) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let watching = {
            let (done, seen): (_, Arc<Mutex<(Duration, usize)>>) =
                (done.clone(), Arc::clone(&seen));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let statement = Statement::from_string(DbBackend::Postgres, LOOK);
                    let row = database
                        .query_one_raw(statement)
                        .await
                        .expect("the database");
                    let row = row.expect("a row");
                    let behind: i64 = row.try_get("", "behind").expect("milliseconds");
                    let running: i64 = row.try_get("", "running").expect("a count");
                    let behind = Duration::from_millis(behind.try_into().unwrap_or(0));
                    let running = usize::try_from(running).expect("a count");
                    {
                        let mut seen = seen.lock().expect("unbroken");
                        *seen = (seen.0.max(behind), seen.1.max(running));
                    }
                    assert!(running <= limit, "{running} at once");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        };
        Self {
            done,
            seen,
            watching,
        }
    }

    /// How far behind its lease a run has been, and how many were held at once.
    async fn end(self) -> (Duration, usize) {
        self.done.store(true, Ordering::Relaxed);
        self.watching.await.expect("it was watched");
        *self.seen.lock().expect("unbroken")
    }
}

/// How many runs have ended that were caused so.
async fn runs(database: &DatabaseConnection, triggered_by: &str) -> usize {
    let sql = format!(
        "SELECT count(*) AS it FROM execution WHERE triggered_by = '{triggered_by}' AND ended_at IS NOT NULL"
    );
    count(database, sql).await
}

/// Items with one run that their client asked for and one that came by itself, both of which succeeded.
async fn each_once(database: &DatabaseConnection) -> usize {
    let sql = "SELECT count(*) AS it FROM (SELECT item_id FROM execution GROUP BY item_id HAVING count(*) = 2 \
        AND count(*) FILTER (WHERE triggered_by = 'SYNC') = 1 AND count(*) FILTER (WHERE status = 'SUCCESS') = 2) once";
    count(database, sql.to_owned()).await
}

async fn count(database: &DatabaseConnection, sql: String) -> usize {
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = database
        .query_one_raw(statement)
        .await
        .expect("the database");
    let count: i64 = row.expect("a row").try_get("", "it").expect("a count");
    usize::try_from(count).expect("a count")
}

/// The whole log, as little of it as is looked at.
#[derive(Default)]
struct Log {
    ids: Vec<String>,
    /// What was told of each Item, in order: names, states, and the Item's numbers.
    told: BTreeMap<String, Vec<(String, i64)>>,
}

impl Log {
    async fn read(server: &Server) -> Self {
        const PAGE: &str = "query($after: String) { events(first: 200, after: $after) { nodes { id itemId name itemSequence payload } \
            pageInfo { hasNextPage endCursor } } }";
        let (mut log, mut after) = (Self::default(), Value::Null);
        loop {
            let data = server.data(PAGE, json!({ "after": after })).await;
            for event in data["events"]["nodes"].as_array().expect("a list") {
                let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
                log.ids.push(text(&event["id"]));
                let name = match event["name"].as_str() {
                    Some("item/status_changed") => {
                        text(&event["payload"]["data"]["executionStatus"])
                    }
                    _ => text(&event["name"]),
                };
                let number = event["itemSequence"].as_i64().expect("a number");
                log.told
                    .entry(text(&event["itemId"]))
                    .or_default()
                    .push((name, number));
            }
            let page = &data["events"]["pageInfo"];
            if page["hasNextPage"] != true {
                return log;
            }
            after = page["endCursor"].clone();
        }
    }

    /// Every Item has been told of as two runs without a repetition or a gap, whoever did which part of them.
    fn check(&self, items: usize) {
        assert_eq!(self.told.len(), items);
        let run = |end: &'static str| {
            RUN.into_iter().flat_map(move |state| match state {
                "ACCOUNTS_IN_PROGRESS" => vec![state, "item/login_succeeded"],
                "SUCCESS" => vec![state, end],
                _ => vec![state],
            })
        };
        let expected: Vec<&str> = run("item/created").chain(run("item/updated")).collect();
        for (item, told) in &self.told {
            let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, expected, "{item}");
            let numbers = told.iter().filter(|(name, _)| name.starts_with("item/"));
            let numbers: Vec<i64> = numbers.map(|(_, number)| *number).collect();
            assert_eq!(numbers, [1, 2, 3, 4], "{item}");
        }
    }
}
