//! Subscribers that stop reading: what they cost the server, and what they miss.
//!
//! `PONTE_TEST_SCALE=10` pauses them for 100,000 events. Each engine has two servers with the same load, one of them
//! without anybody who pauses, so that what the load itself costs is known.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use entity::{
    event::{Column, Entity, Model},
    kind::EventType,
};
use ponte::{
    clock::{Clock, Rng, Timestamp},
    db::Engine,
};
use sea_orm::{
    Database, DatabaseConnection, EntityTrait as _, PaginatorTrait as _, QueryOrder as _,
    QuerySelect as _,
};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::timeout};
use uuid::Uuid;

use crate::support::{
    TestDatabase, scale,
    server::Server,
    subscriber::{Asking, Connection, Said, Subscriber, Transport, end_of_log},
};

/// Most memory that those who pause may cost.
const MOST: u64 = 32 * 1024 * 1024;
/// Events that are appended at once; an Item that is connected through the API comes after each time.
const CHUNK: usize = 250;
/// Bytes of each event, told twice. All that happens during a pause is far more than [`MOST`] and what kernels keep.
const BYTES: usize = 2048;
/// Bytes that wait in the kernel of somebody who pauses.
const BUFFER: u32 = 64 * 1024;
/// How long those who paused may take to hear of everything.
const PATIENCE: Duration = Duration::from_mins(10);

fn during_pause() -> usize {
    (10_000 * scale()).min(100_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_subscribers_cost_next_to_nothing_and_miss_nothing_on_sqlite() {
    paused(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_subscribers_cost_next_to_nothing_and_miss_nothing_on_postgres() {
    paused(Engine::Postgres).await;
}

async fn paused(engine: Engine) {
    let alone = run(engine, &[]).await;
    let beside = run(engine, &[Transport::Socket, Transport::Stream]).await;
    println!("{engine:?} alone: {alone}\n{engine:?} beside two that pause: {beside}");
    assert!(
        beside.grown < alone.grown + MOST,
        "while two paused: {beside}; while nobody did: {alone}"
    );
}

/// What a load has cost.
struct Cost {
    events: usize,
    /// Most bytes beyond what the server had after its warm-up.
    grown: u64,
    /// The same until those who paused have heard of everything.
    grown_until_resumed: u64,
    /// Milliseconds from an event to the subscriber who always reads, of a half and of 99 in 100.
    latency: (i64, i64),
    took: Duration,
    resumed_in: Duration,
    /// How often those who paused came back.
    reconnected: usize,
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            events,
            grown,
            grown_until_resumed,
            latency: (p50, p99),
            took,
            resumed_in,
            reconnected,
        } = self;
        let kib = |bytes: &u64| bytes / 1024;
        write!(
            f,
            "{events} events in {took:.1?}, {} KiB more, p50 {p50} ms, p99 {p99} ms; resumed in {resumed_in:.1?} over {reconnected} more connections, {} KiB more",
            kib(grown),
            kib(grown_until_resumed)
        )
    }
}

async fn run(engine: Engine, pausing: &[Transport]) -> Cost {
    let (_database, url) = TestDatabase::create(engine).await;
    let flags = ["--sandbox-step-ms", "0", "--log", "warn"];
    let server = Server::start(Some(&url), &flags).await;
    let application = server.log_in().await;
    let load = Load {
        application: application["clientId"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .expect("an id"),
        db: Database::connect(&url).await.expect("the same database"),
        rng: Rng::seeded(7),
        server: &server,
    };
    let after = end_of_log(&server).await;
    let latencies: Arc<Mutex<Vec<i64>>> = Arc::default();
    let reader = {
        let (latencies, clock) = (latencies.clone(), Clock::system());
        let asking = Asking::new(&server, Transport::Socket, document("reader"));
        Subscriber::follow("reader", asking, &after, move |event| {
            let latency = clock.now().0 - time(&event).0;
            latencies.lock().expect("a list").push(latency);
            told(&event)
        })
    };
    let mut paused: Vec<Paused> = pausing
        .iter()
        .map(|&transport| Paused::new(&server, transport, &after))
        .collect();

    let warm = during_pause() / 5;
    load.happen(warm, &reader).await;
    let warm = load.calm(&reader).await;
    for one in &mut paused {
        one.read(warm).await;
        one.connections = 0;
    }

    // Nobody reads but the reader.
    latencies.lock().expect("a list").clear();
    let memory = Memory::watch(&server);
    let began = Instant::now();
    load.happen(during_pause(), &reader).await;
    let events = load.calm(&reader).await;
    let (took, grown) = (began.elapsed(), memory.grown());
    let latency = {
        let mut latencies = latencies.lock().expect("a list").clone();
        latencies.sort_unstable();
        let at = |percent: usize| latencies[(latencies.len() - 1) * percent / 100];
        (at(50), at(99))
    };

    let began = Instant::now();
    let log = load.log().await;
    let heard = reader.told();
    assert_eq!(ids(&heard), log, "the reader");
    for one in &mut paused {
        one.read(events).await;
        assert!(one.told == heard, "{:?}", one.asking);
        assert!(one.hears_no_more().await, "{:?}", one.asking);
    }
    Cost {
        events: events - warm,
        grown,
        grown_until_resumed: memory.grown(),
        latency,
        took,
        resumed_in: began.elapsed(),
        reconnected: paused.iter().map(|one| one.connections).sum(),
    }
}

/// Everything, told twice. Those with the same name share an execution.
fn document(name: &str) -> String {
    format!(
        "subscription {name}($after: String) {{ events(after: $after) {{ cursor id createdAt one: payload two: payload }} }}"
    )
}

/// What is kept of an event.
fn told(event: &Value) -> Value {
    json!([event["cursor"], event["id"]])
}

fn time(event: &Value) -> Timestamp {
    let time = event["createdAt"].as_str().expect("a time");
    let time = chrono::DateTime::parse_from_rfc3339(time).expect("a time");
    Timestamp(time.timestamp_millis())
}

fn ids(told: &[Value]) -> Vec<Uuid> {
    let id = |event: &Value| event[1].as_str().and_then(|id| id.parse().ok());
    told.iter().map(|event| id(event).expect("an id")).collect()
}

/// What makes things happen.
struct Load<'a> {
    server: &'a Server,
    application: Uuid,
    db: DatabaseConnection,
    rng: Rng,
}

impl Load<'_> {
    /// Makes so many events happen, hardly faster than somebody reads of them.
    async fn happen(&self, count: usize, reader: &Subscriber) {
        let mut expected = reader.count();
        for _ in 0..count.div_ceil(CHUNK) {
            self.append().await;
            self.connect().await;
            expected += CHUNK;
            reader.reaches(expected - CHUNK).await;
        }
    }

    /// Events as they are appended by what happens, without what makes them happen.
    async fn append(&self) {
        let now = Clock::system().now();
        let filling = "x".repeat(BYTES);
        let rows = (0..CHUNK).map(|_| {
            Model {
                connector_id: Some(0),
                payload: json!({ "data": filling }),
                ..Model::new(
                    self.rng.id(now),
                    self.application,
                    EventType::ConnectorStatusUpdated,
                    now,
                )
            }
            .to_append()
        });
        Entity::insert_many(rows)
            .exec_without_returning(&self.db)
            .await
            .expect("events");
    }

    /// Connects an Item, whose run makes events of its own.
    async fn connect(&self) {
        let document =
            "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        let parameters = json!([
            { "name": "user", "value": "user-locked" }, { "name": "password", "value": "password-ok" } ]);
        let input = json!({ "connectorId": "0", "parameters": parameters });
        self.server.data(document, json!({ "input": input })).await;
    }

    /// Waits until nothing happens any more and the reader has heard of it, and says how much happened.
    async fn calm(&self, reader: &Subscriber) -> usize {
        let mut before = 0;
        loop {
            let count = Entity::find().count(&self.db).await.expect("a count");
            let count = usize::try_from(count).expect("few");
            reader.reaches(count).await;
            if count == before {
                return count;
            }
            before = count;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// The log.
    async fn log(&self) -> Vec<Uuid> {
        let log = Entity::find().select_only().column(Column::Id);
        log.order_by_asc(Column::Position)
            .into_tuple()
            .all(&self.db)
            .await
            .expect("events")
    }
}

/// Somebody who reads only when told to.
struct Paused {
    asking: Asking,
    connection: Option<Connection>,
    last: String,
    told: Vec<Value>,
    connections: usize,
}

impl Paused {
    fn new(server: &Server, transport: Transport, after: &str) -> Self {
        // One shares the reader's execution, the other has its own.
        let name = match transport {
            Transport::Socket => "reader",
            _ => "other",
        };
        Self {
            asking: Asking::new(server, transport, document(name)).with_buffer(BUFFER),
            connection: None,
            last: after.to_owned(),
            told: Vec::new(),
            connections: 0,
        }
    }

    /// Reads until it has been told so much, coming back with its cursor when the server has left it.
    async fn read(&mut self, count: usize) {
        let reading = async {
            while self.told.len() < count {
                let Some(connection) = &mut self.connection else {
                    self.connection = self.asking.open(Some(&self.last)).await;
                    self.connections += 1;
                    continue;
                };
                match connection.next().await {
                    Some(Said::At(cursor)) => self.last = cursor,
                    Some(Said::Next(event)) => {
                        event["cursor"]
                            .as_str()
                            .expect("a cursor")
                            .clone_into(&mut self.last);
                        self.told.push(told(&event));
                    }
                    Some(Said::Refused(errors)) => panic!("refused: {errors}"),
                    None => self.connection = None,
                }
            }
        };
        let read = timeout(PATIENCE, reading).await;
        assert!(
            read.is_ok(),
            "{:?}: {} of {count}",
            self.asking,
            self.told.len()
        );
    }

    /// Whether nothing comes behind the last of the log.
    async fn hears_no_more(&mut self) -> bool {
        let Some(connection) = &mut self.connection else {
            return true;
        };
        let more = timeout(Duration::from_millis(500), connection.next()).await;
        !matches!(more, Ok(Some(Said::Next(_) | Said::Refused(_))))
    }
}

/// What a server's memory grows by.
struct Memory {
    most: Arc<AtomicU64>,
    start: u64,
    watching: JoinHandle<()>,
}

impl Memory {
    fn watch(server: &Server) -> Self {
        let memory = server.memory();
        let start = memory();
        let most = Arc::new(AtomicU64::new(start));
        let seen = most.clone();
        let watching = tokio::spawn(async move {
            loop {
                seen.fetch_max(memory(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self {
            most,
            start,
            watching,
        }
    }

    /// By how much until now, at most.
    fn grown(&self) -> u64 {
        assert!(!self.watching.is_finished(), "the server is still there");
        self.most.load(Ordering::Relaxed) - self.start
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
