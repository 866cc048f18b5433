//! What following the log costs: over real sockets, against the least that sockets can cost.

use std::{
    net::SocketAddr,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use entity::{event, event_head, kind::EventType};
use ponte::{
    app::App,
    event::{cursor, feed, relay},
    graphql,
    http::Web,
};
use sea_orm::{ActiveValue::Set, EntityTrait as _, sea_query::OnConflict};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use uuid::Uuid;

use crate::{Bench, median, sockets::Client, verdict};

const SUBSCRIBERS: usize = 1_000;
const UNRELATED: usize = 10_000;
const PER_SOCKET: usize = 50;
const EVENTS: usize = 200;
const ROUNDS: usize = 5;
const DOCUMENT: &str = "subscription { events { id cursor type itemId createdAt } }";

/// A node that serves in this process.
struct Served {
    app: App,
    application: Uuid,
    address: SocketAddr,
    key: String,
    item: Uuid,
}

impl Served {
    async fn start(bench: &Bench) -> Self {
        let app = bench.app.clone();
        tokio::spawn(feed::run(app.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let web = Web::new(app.clone(), graphql::build(app.clone()));
        tokio::spawn(web.serve(listener, None));
        let head = event_head::ActiveModel {
            application_id: Set(bench.application),
            position: Set(0),
        };
        event_head::Entity::insert(head)
            .on_conflict(
                OnConflict::column(event_head::Column::ApplicationId)
                    .do_nothing()
                    .to_owned(),
            )
            .exec_without_returning(app.db.write())
            .await
            .expect("a head");
        Self {
            application: bench.application,
            address,
            key: bench.key.clone(),
            item: Uuid::from_u128(1),
            app,
        }
    }

    /// Appends events of an Item, all in one transaction, and publishes them.
    async fn happen(&self, count: usize) {
        let now = self.app.clock.now();
        let rows = (0..count).map(|n| {
            event::Model {
                item_id: Some(self.item),
                connector_id: Some(0),
                item_sequence: i64::try_from(n).ok(),
                ..event::Model::new(
                    self.app.rng.id(now),
                    self.application,
                    EventType::ItemUpdated,
                    now,
                )
            }
            .to_append()
        });
        event::Entity::insert_many(rows)
            .exec_without_returning(self.app.db.write())
            .await
            .expect("appended");
        relay::run_once(&self.app).await.expect("published");
    }
}

async fn until(counted: &AtomicUsize, wanted: usize) {
    while counted.load(Ordering::Relaxed) < wanted {
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
}

/// One application's events to a thousand subscribers, against the same bytes to a thousand bare sockets.
pub async fn fan_out(bench: &Bench) {
    let served = Served::start(bench).await;
    let counted = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    let mut size = 0;
    for n in 0..SUBSCRIBERS {
        let mut client = Client::subscribe(served.address, &served.key, DOCUMENT).await;
        if n == 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            served.happen(1).await;
            size = client.message().await;
        }
        clients.spawn(client.count(counted.clone()));
    }
    // All have begun once all have heard of something.
    while counted.swap(0, Ordering::Relaxed) < SUBSCRIBERS {
        served.happen(1).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let bare = bare_sockets(SUBSCRIBERS, size).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        counted.store(0, Ordering::Relaxed);
        let began = Instant::now();
        served.happen(EVENTS).await;
        until(&counted, EVENTS * SUBSCRIBERS).await;
        ours.push(began.elapsed().as_secs_f64());
        theirs.push(bare.write(EVENTS).await);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let messages = f64::from(u32::try_from(EVENTS * SUBSCRIBERS).expect("few"));
    println!(
        "fan-out of {EVENTS} events to {SUBSCRIBERS} subscribers: {:.0} messages/s of {size} bytes; bare sockets {:.0}/s",
        messages / ours,
        messages / theirs
    );
    verdict(theirs / ours, 0.5);
}

/// Sockets that are written to and read from and nothing else.
struct Bare {
    writers: Vec<Arc<tokio::sync::Mutex<TcpStream>>>,
    counted: Arc<AtomicUsize>,
    size: usize,
}

async fn bare_sockets(count: usize, size: usize) -> Bare {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let counted = Arc::new(AtomicUsize::new(0));
    let mut writers = Vec::new();
    for _ in 0..count {
        let mut reader = TcpStream::connect(address).await.expect("a connection");
        let (writer, _) = listener.accept().await.expect("a connection");
        writer.set_nodelay(true).expect("a socket");
        writers.push(Arc::new(tokio::sync::Mutex::new(writer)));
        let counted = counted.clone();
        tokio::spawn(async move {
            let mut read = Vec::with_capacity(64 * 1024);
            while let Ok(some) = reader.read_buf(&mut read).await
                && some > 0
            {
                counted.fetch_add(some, Ordering::Relaxed);
                read.clear();
            }
        });
    }
    Bare {
        writers,
        counted,
        size,
    }
}

impl Bare {
    /// Writes messages to all, each by itself, and waits until they are read.
    async fn write(&self, messages: usize) -> f64 {
        self.counted.store(0, Ordering::Relaxed);
        let message = Arc::new(vec![b'x'; self.size]);
        let began = Instant::now();
        for writer in &self.writers {
            let (writer, message) = (writer.clone(), message.clone());
            tokio::spawn(async move {
                let mut writer = writer.lock().await;
                for _ in 0..messages {
                    writer.write_all(&message).await.expect("written");
                }
            });
        }
        until(&self.counted, messages * self.size * self.writers.len()).await;
        began.elapsed().as_secs_f64()
    }
}

/// How fast events reach one subscriber, alone and beside ten thousand who follow other Items, in turns.
pub async fn unrelated(bench: &Bench) {
    let mut served = Served::start(bench).await;
    // An Item that nobody else follows.
    served.item = Uuid::from_u128(2);
    let counted = Arc::new(AtomicUsize::new(0));
    let client = Client::subscribe(served.address, &served.key, DOCUMENT).await;
    tokio::spawn(client.count(counted.clone()));
    while counted.load(Ordering::Relaxed) == 0 {
        served.happen(1).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let measure = async |served: &Served, times: &mut Vec<f64>| {
        for _ in 0..ROUNDS * 4 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            counted.store(0, Ordering::Relaxed);
            let began = Instant::now();
            for _ in 0..EVENTS / 20 {
                served.happen(20).await;
            }
            until(&counted, EVENTS).await;
            times.push(began.elapsed().as_secs_f64());
        }
    };
    measure(&served, &mut Vec::new()).await;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        measure(&served, &mut alone).await;
        let crowd = Arc::new(AtomicUsize::new(0));
        let mut others = crowd_of(&served, &crowd).await;
        while served.app.feed.scopes() < UNRELATED {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Until they have given back what it took to begin.
        tokio::time::sleep(Duration::from_secs(4)).await;
        measure(&served, &mut beside).await;
        assert_eq!(crowd.load(Ordering::Relaxed), 0);
        others.shutdown().await;
        while served.app.feed.scopes() > 1 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let rate = |times| f64::from(u32::try_from(EVENTS).expect("few")) / median(times);
    let (alone, beside) = (rate(alone), rate(beside));
    println!(
        "publishing to one subscriber: {alone:.0} events/s alone, {beside:.0} beside {UNRELATED} unrelated ones"
    );
    verdict(beside / alone, 0.9);
}

/// Subscriptions to Items of many client users, many on each socket: both ends of all sockets are in this process.
async fn crowd_of(served: &Served, crowd: &Arc<AtomicUsize>) -> JoinSet<()> {
    let mut others = JoinSet::new();
    for socket in 0..UNRELATED / PER_SOCKET {
        let mut client = Client::open(served.address, &served.key).await;
        for n in 0..PER_SOCKET {
            let user = socket * PER_SOCKET + n;
            let document = format!(
                "subscription {{ itemUpdated(clientUserId: \"user {user}\") {{ cursor item {{ id }} }} }}"
            );
            client.also(&n.to_string(), &document).await;
        }
        others.spawn(client.count(crowd.clone()));
    }
    others
}

/// From the commit of an event until a subscriber has it.
pub async fn latency(bench: &Bench, engine: &str) {
    let served = Served::start(bench).await;
    tokio::spawn(relay::run(served.app.clone()));
    let mut client = Client::subscribe(served.address, &served.key, DOCUMENT).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut times = Vec::new();
    for round in 0..400 {
        let began = Instant::now();
        served.happen(1).await;
        client.message().await;
        if round >= 20 {
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    times.sort_by(f64::total_cmp);
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!(
        "from append to subscriber on {engine}: p50 {p50:.2} ms, p99 {p99:.2} ms, commit included"
    );
}

/// How long events take to a subscriber beside another that has stopped reading in the middle of a large log.
pub async fn paused(bench: &Bench) {
    const BACKLOG: usize = 100_000;
    const AT_ONCE: usize = 2_000;
    let served = Served::start(bench).await;
    let after = cursor::encode(
        &served.app,
        served.application,
        cursor::head(&served.app, served.application)
            .await
            .expect("a head"),
    );
    for _ in 0..BACKLOG / AT_ONCE {
        served.happen(AT_ONCE).await;
    }
    let mut client = Client::subscribe(served.address, &served.key, DOCUMENT).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut measure = async || {
        let mut times = Vec::new();
        for _ in 0..400 {
            let began = Instant::now();
            served.happen(1).await;
            client.message().await;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        times
    };
    measure().await;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    let behind = DOCUMENT.replace("events", &format!("events(after: \"{after}\")"));
    for _ in 0..ROUNDS {
        alone.extend(measure().await);
        let deaf = Client::subscribe(served.address, &served.key, &behind).await;
        // By then its socket is full.
        tokio::time::sleep(Duration::from_secs(2)).await;
        beside.extend(measure().await);
        drop(deaf);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let p99 = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() * 99 / 100]
    };
    let (alone, beside) = (p99(&mut alone), p99(&mut beside));
    println!(
        "from append to subscriber, p99: {alone:.2} ms alone, {beside:.2} ms beside one that has stopped reading at the first of {BACKLOG} events"
    );
    verdict(alone / beside, 0.8);
}

/// Memory of a subscription that is idle, in the real binary.
pub async fn memory() {
    const COUNT: usize = 2_000;
    let folder = tempfile::tempdir().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let output = Command::new(env!("CARGO_BIN_EXE_ponte"))
        .current_dir(folder.path())
        .args(["application", "create", "--name", "B", "--json"])
        .stderr(Stdio::null())
        .output()
        .expect("the command runs");
    let created: serde_json::Value = serde_json::from_slice(&output.stdout).expect("its answer");
    let mut server = Command::new(env!("CARGO_BIN_EXE_ponte"))
        .current_dir(folder.path())
        .env("PONTE_LISTEN", format!("127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let key = api_key(address, &created).await;
    let counted = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    let mut opened = 0;
    let mut open = async |count: usize| {
        for _ in 0..count {
            opened += 1;
            let document = format!(
                "subscription {{ itemUpdated(clientUserId: \"user {opened}\") {{ cursor }} }}"
            );
            let client = Client::subscribe(address, &key, &document).await;
            clients.spawn(client.count(counted.clone()));
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        crate::process::resident(server.id())
    };
    // What the first ones need stays.
    let before = open(200).await;
    let after = open(COUNT).await;
    // Connections that have said nothing yet: what a socket alone costs here.
    let mut silent = Vec::new();
    for _ in 0..COUNT {
        silent.push(TcpStream::connect(address).await.expect("a connection"));
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let bare = crate::process::resident(server.id());
    let each = |from: usize, to: usize| {
        f64::from(u32::try_from(to.saturating_sub(from)).expect("few"))
            / f64::from(u32::try_from(COUNT).expect("few"))
    };
    let (subscribed, bare) = (each(before, after), each(after, bare));
    println!(
        "memory of an idle subscription: {subscribed:.1} KiB with its socket, {:.1} KiB beyond a bare one of {bare:.1} KiB",
        subscribed - bare
    );
    verdict(12.0 / (subscribed - bare), 1.0);
    drop((clients, silent));
    let _ = server.kill();
    let _ = server.wait();
}

async fn api_key(address: SocketAddr, created: &serde_json::Value) -> String {
    let document =
        "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey } }";
    let input = json!({ "clientId": created["clientId"], "clientSecret": created["clientSecret"] });
    let body = json!({ "query": document, "variables": { "input": input } });
    let client = reqwest::Client::new();
    let answer = client
        .post(format!("http://{address}/graphql"))
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await
        .expect("an answer");
    let text = answer.text().await.expect("a body");
    let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let key = answer["data"]["createApiKey"]["apiKey"].as_str();
    key.expect("an API key").to_owned()
}
