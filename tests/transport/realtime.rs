//! The clients that people use, over connections that break: each hears of every event, in order.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use entity::{event, kind::EventType};
use ponte::{clock::Rng, db::Engine, event::cursor};
use sea_orm::EntityTrait as _;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Command,
    time::timeout,
};
use uuid::Uuid;

use super::harness::{Node, seed};

const EVENTS: usize = 10_000;
const ITEMS: usize = 50;
/// Longest that the clients may take for everything.
const PATIENCE: Duration = Duration::from_mins(4);

/// Forwards connections and breaks each after a while.
async fn breaking(to: SocketAddr, rng: Rng) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let lives =
                Duration::from_millis(100 + u64::from(u16::from_le_bytes(rng.bytes()) % 900));
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(to).await {
                    let _ = timeout(lives, copy_bidirectional(&mut client, &mut server)).await;
                }
            });
        }
    });
    address
}

/// Appends events of these Items, as runs do, a few at a time.
async fn happen(node: &Node, token: Uuid, rng: &Rng) {
    let items: Vec<Uuid> = (0..ITEMS).map(|_| Uuid::from_bytes(rng.bytes())).collect();
    let mut sequences = vec![0; ITEMS];
    let mut left = EVENTS;
    while left > 0 {
        let some = (1 + usize::from(rng.bytes::<1>()[0])).min(left);
        left -= some;
        let now = node.app.clock.now();
        let rows = (0..some).map(|_| {
            let which = usize::from(rng.bytes::<1>()[0]) % ITEMS;
            sequences[which] += 1;
            event::Model {
                item_id: Some(items[which]),
                connector_id: Some(0),
                item_sequence: Some(sequences[which]),
                connect_token_id: Some(token),
                ..event::Model::new(
                    node.app.rng.id(now),
                    node.owner.id,
                    EventType::ItemUpdated,
                    now,
                )
            }
            .to_append()
        });
        event::Entity::insert_many(rows.collect::<Vec<_>>())
            .exec_without_returning(node.app.db.write())
            .await
            .expect("events");
        node.app.wakes.relay.notify();
        tokio::time::sleep(Duration::from_millis(u64::from(rng.bytes::<1>()[0]))).await;
    }
}

async fn everybody_hears_of_everything(engine: Engine) {
    let node = Node::start_on(engine).await;
    let rng = Rng::seeded(seed());
    let proxy = breaking(node.address, rng.clone()).await;
    let connect_token = node.connect_token(&[]).await;
    let principal = ponte::auth::token::verify(&node.app, &connect_token)
        .await
        .expect("a good token");
    let token = principal.connect_token().expect("a connect token").id;
    let mut clients = Command::new("node")
        .arg("realtime.mjs")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node"))
        .env("REALTIME_URL", format!("http://{proxy}"))
        .env("REALTIME_API_KEY", &node.key)
        .env("REALTIME_CONNECT_TOKEN", &connect_token)
        .env(
            "REALTIME_AFTER",
            cursor::encode(&node.app, node.owner.id, 0),
        )
        .env("REALTIME_EVENTS", EVENTS.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node runs");
    let mut lines = BufReader::new(clients.stdout.take().expect("its output")).lines();
    let telling = async {
        let mut listening = 0;
        while let Some(line) = lines.next_line().await.expect("text") {
            println!("{engine:?}: {line}");
            if line.starts_with("listening") {
                listening += 1;
                if listening == 5 {
                    happen(&node, token, &rng).await;
                }
            }
        }
        clients.wait().await.expect("it ends")
    };
    let status = timeout(PATIENCE, telling).await.expect("in time");
    assert!(
        status.success(),
        "run `npm --prefix tests/node ci` if modules are missing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_hears_of_every_event_over_breaking_connections_on_sqlite() {
    everybody_hears_of_everything(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_hears_of_every_event_over_breaking_connections_on_postgres() {
    everybody_hears_of_everything(Engine::Postgres).await;
}
