//! Deliveries: how many a second, and what endpoints that misbehave cost those that do not.
//!
//! Receivers are axum servers in this very process: worker, receivers and PostgreSQL share the machine's cores.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, extract::State, http::HeaderMap};
use entity::{
    delivery, event,
    kind::{EventType, TriggeredBy},
};
use ponte::{
    app::App,
    auth::{Caller, Principal, PrincipalKind},
    clock::Timestamp,
    db::{self, delivery::Quota},
    event::relay,
    webhook::{self, NewWebhook},
};
use sea_orm::{
    ActiveModelTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _, IntoActiveModel as _,
    Statement,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

use crate::{median, verdict};

/// Deliveries of a second, at least.
const LIMIT: f64 = 5_000.0;
/// How much slower the slowest hundredth may be among endpoints that misbehave.
const SLOWER: f64 = 1.5;

/// When events were about to be committed, and how long until they arrived somewhere.
#[derive(Default)]
struct Watch {
    committed: Mutex<HashMap<String, Instant>>,
    took: Mutex<Vec<f64>>,
    arrived: AtomicUsize,
}

async fn arrived(State(watch): State<Arc<Watch>>, headers: HeaderMap) {
    watch.arrived.fetch_add(1, Ordering::Relaxed);
    let id = headers["webhook-id"].to_str().expect("an id");
    let committed = watch.committed.lock().expect("unbroken").get(id).copied();
    if let Some(committed) = committed {
        let took = committed.elapsed().as_secs_f64();
        watch.took.lock().expect("unbroken").push(took);
    }
}

async fn receiver(watch: &Arc<Watch>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("a port"));
    let router = Router::new().fallback(arrived).with_state(watch.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn owner(application: Uuid) -> Principal {
    Principal {
        application,
        kind: PrincipalKind::ApiKey,
        version: 1,
        expires_at: Timestamp(i64::MAX),
        token: Uuid::nil(),
        caller: Caller::default(),
    }
}

async fn register(app: &App, application: Uuid, url: String) -> Uuid {
    let new = NewWebhook {
        url,
        ..NewWebhook::default()
    };
    let created = webhook::create(app, &owner(application), new).await;
    created.expect("registered").webhook.id
}

async fn emit(app: &App, application: Uuid, ids: &[Uuid]) {
    let now = app.clock.now();
    for chunk in ids.chunks(500) {
        let rows = chunk.iter().map(|id| {
            event::Model {
                item_id: Some(*id),
                connector_id: Some(0),
                item_sequence: Some(1),
                client_user_id: Some("user".to_owned()),
                triggered_by: Some(TriggeredBy::Sync),
                ..event::Model::new(*id, application, EventType::ItemUpdated, now)
            }
            .to_append()
        });
        event::Entity::insert_many(rows)
            .exec_without_returning(app.db.write())
            .await
            .expect("appended");
    }
}

fn ids(app: &App, count: usize) -> Vec<Uuid> {
    let now = app.clock.now();
    (0..count).map(|_| app.rng.id(now)).collect()
}

async fn count(app: &App, sql: String) -> i64 {
    let row = app
        .db
        .read()
        .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .expect("counted")
        .expect("a row");
    row.try_get_by_index(0).expect("a number")
}

/// How many deliveries a second go from PostgreSQL to one healthy endpoint, every attempt recorded.
pub async fn deliveries(app: &App, application: Uuid) {
    const EVENTS: usize = 50_000;
    let watch = Arc::new(Watch::default());
    let id = register(app, application, receiver(&watch).await).await;
    let began = Instant::now();
    emit(app, application, &ids(app, EVENTS)).await;
    relay::run_once(app).await.expect("published");
    app.db
        .write()
        .execute_unprepared("VACUUM ANALYZE event, delivery, attempt")
        .await
        .expect("analysed");
    println!(
        "{EVENTS} events appended and published in {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let began = Instant::now();
    let worker = tokio::spawn(webhook::delivery::run(app.clone()));
    loop {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let pending = format!(
            "SELECT count(*) FROM (SELECT 1 FROM delivery WHERE target = '{id}' AND next_attempt_at IS NOT NULL LIMIT 1) d"
        );
        if watch.arrived.load(Ordering::Relaxed) >= EVENTS && count(app, pending).await == 0 {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    worker.abort();
    let recorded = format!(
        "SELECT count(*) FROM attempt JOIN delivery ON delivery.id = delivery_id \
         WHERE target = '{id}' AND status = 'SUCCEEDED' AND status_code = 200"
    );
    let recorded = count(app, recorded).await;
    let expected = i64::try_from(EVENTS).expect("a small number");
    assert_eq!(recorded, expected, "every attempt is recorded, once");
    let rate = f64::from(u32::try_from(EVENTS).expect("a small number")) / seconds;
    println!(
        "deliveries to one endpoint: {rate:.0} a second, each recorded ({} requests)",
        watch.arrived.load(Ordering::Relaxed)
    );
    verdict(rate / LIMIT, 1.0);
    forget(app).await;
}

async fn forget(app: &App) {
    for table in ["attempt", "delivery", "webhook", "circuit"] {
        let statement = format!("DELETE FROM {table}");
        let done = app.db.write().execute_unprepared(&statement).await;
        done.expect("removed");
    }
    let vacuum = "VACUUM ANALYZE event, delivery, attempt, webhook";
    let done = app.db.write().execute_unprepared(vacuum).await;
    done.expect("vacuumed");
}

/// What a poisoned endpoint does with a connection.
#[derive(Clone, Copy)]
enum Poison {
    Hangs,
    Resets,
    Fails,
    Drips,
    Floods,
}

async fn poison(kind: Poison) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("a port"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(poisoned_answer(kind, stream));
        }
    });
    url
}

async fn poisoned_answer(kind: Poison, mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = [0; 4_096];
    loop {
        if stream.read(&mut buffer).await? == 0 {
            return Ok(());
        }
        match kind {
            Poison::Hangs => std::future::pending().await,
            Poison::Resets => return Ok(()),
            Poison::Fails => {
                let answer = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await?;
            }
            Poison::Drips => {
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
                stream.write_all(head).await?;
                loop {
                    stream.write_all(b".").await?;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            Poison::Floods => {
                let head = b"HTTP/1.1 500 No\r\ncontent-length: 100000000\r\n\r\n";
                stream.write_all(head).await?;
                loop {
                    stream.write_all(&buffer).await?;
                }
            }
        }
    }
}

/// What 5 endpoints that hang, reset, fail, drip or flood cost 20 healthy ones. Without them and among them by turns, so
/// that what else the machine does at the time meets both; they are new to the node each time.
pub async fn poisoned(app: &App, application: Uuid) {
    const TURNS: usize = 5;
    let watch = Arc::new(Watch::default());
    for _ in 0..20 {
        register(app, application, receiver(&watch).await).await;
    }
    let tasks = [
        tokio::spawn(relay::run(app.clone())),
        tokio::spawn(webhook::delivery::run(app.clone())),
    ];
    let (mut clean, mut among) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        slowest(app, application, &watch, 40).await;
        clean.push(slowest(app, application, &watch, 200).await);
        let mut ids = Vec::new();
        for kind in [
            Poison::Hangs,
            Poison::Resets,
            Poison::Fails,
            Poison::Drips,
            Poison::Floods,
        ] {
            ids.push(register(app, application, poison(kind).await).await);
        }
        slowest(app, application, &watch, 40).await;
        among.push(slowest(app, application, &watch, 200).await);
        for id in ids {
            let deleted = webhook::delete(app, &owner(application), id).await;
            deleted.expect("deleted");
        }
    }
    for task in tasks {
        task.abort();
    }
    let ratios = clean.iter().zip(&among).map(|(clean, among)| clean / among);
    let ratio = median(ratios.collect());
    println!(
        "commit to arrival at 20 healthy endpoints, slowest hundredth, {TURNS} turns: {:.1} ms alone, {:.1} ms among 5 poisoned ones",
        median(clean) * 1e3,
        median(among) * 1e3
    );
    verdict(SLOWER * ratio, 1.0);
    forget(app).await;
}

/// Sends events to all at a steady pace, and answers how long the slowest hundredth took.
async fn slowest(app: &App, application: Uuid, watch: &Arc<Watch>, events: usize) -> f64 {
    watch.took.lock().expect("unbroken").clear();
    let mut beat = tokio::time::interval(Duration::from_millis(25));
    for _ in 0..events {
        beat.tick().await;
        let ids = ids(app, 1);
        let committed = (ids[0].to_string(), Instant::now());
        watch
            .committed
            .lock()
            .expect("unbroken")
            .extend([committed]);
        emit(app, application, &ids).await;
        app.wakes.relay.notify();
    }
    while watch.took.lock().expect("unbroken").len() < events * 20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut took = watch.took.lock().expect("unbroken").clone();
    took.sort_by(f64::total_cmp);
    took[took.len() * 99 / 100]
}

/// What a claim in an ordered lane costs behind a long backlog of an Item that waits, against a short one.
pub async fn ordered(app: &App, application: Uuid, engine: &str) {
    const ROUNDS: usize = 40;
    for (target, count) in [("short", 60), ("long", 20_000)] {
        backlog(app, application, target, count).await;
    }
    let (mut short, mut long) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (target, times) in [("short", &mut short), ("long", &mut long)] {
            let quotas = [Quota {
                target: target.to_owned(),
                most: 50,
                ordered: true,
            }];
            let (now, lease) = (app.clock.now(), Duration::from_secs(45));
            let began = Instant::now();
            let claimed = db::delivery::claim(&app.db, now, lease, &quotas).await;
            times.push(began.elapsed().as_secs_f64());
            let claimed = claimed.expect("claimed");
            assert_eq!(claimed.len(), 4, "one of each Item");
            let held: Vec<_> = claimed.iter().map(|one| (one.id, one.epoch)).collect();
            let given_back = db::delivery::release(&app.db, &held).await;
            given_back.expect("given back");
        }
    }
    let (short, long) = (median(short), median(long));
    println!(
        "claim in order on {engine}: {:.2} ms of 60 that wait, {:.2} ms of 20,000",
        short * 1e3,
        long * 1e3
    );
    verdict(short / long, 0.5);
}

/// Due deliveries of four Items, half of them of one that keeps all others from the front.
async fn backlog(app: &App, application: Uuid, target: &str, count: i64) {
    let now = app.clock.now();
    let rows: Vec<_> = (0..count)
        .map(|position| {
            let item = u128::try_from((position - count / 2).max(0) % 4).expect("not negative");
            let row = delivery::Model {
                target: target.to_owned(),
                item_id: Some(Uuid::from_u128(item)),
                position: Some(position),
                next_attempt_at: Some(Timestamp(now.0 - count + position)),
                ..delivery::Model::due(app.rng.id(now), application, app.rng.id(now), now)
            };
            row.into_active_model().reset_all()
        })
        .collect();
    for some in rows.chunks(500) {
        delivery::Entity::insert_many(some.to_vec())
            .exec_without_returning(app.db.write())
            .await
            .expect("a backlog");
    }
}
