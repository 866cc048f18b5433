//! Nodes over one database: what they tell each other, and what becomes of it when nobody hears.

use std::{pin::pin, sync::Arc, time::Duration};

use entity::{event as row, kind::EventType};
use futures_util::StreamExt as _;
use ponte::{
    app::{App, Wake},
    auth::token,
    bus,
    db::Engine,
    error::Error,
    event::{
        self, Draft,
        feed::{self, Scope, Start},
        log::Filter,
        relay,
    },
};
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Map, Value, json};
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};
use uuid::Uuid;

use crate::support::{
    TestApp, create_application, eventually,
    nats::{self, Nats},
    operator,
    proxy::{Proxy, Way},
};

/// Far below the beat of whoever has heard nothing, far above what a hint takes.
const SOON: Duration = Duration::from_secs(3);
/// A beat that no test waits for.
const NEVER: Duration = Duration::from_hours(1);

/// What a node has been told of an application, as it comes.
struct Follower {
    told: mpsc::UnboundedReceiver<Arc<row::Model>>,
    following: JoinHandle<()>,
}

impl Follower {
    /// Follows an application's log from now on.
    async fn start(app: &App, application: Uuid) -> Self {
        let (sender, told) = mpsc::unbounded_channel();
        let scope = Scope {
            application,
            item: None,
            client_user_id: None,
            token: None,
        };
        let followed = app.clone();
        let start = Start {
            after: Some(event::cursor::head(app, application).await.expect("a head")),
            ..Start::default()
        };
        let following = tokio::spawn(async move {
            let mut events = pin!(feed::follow(followed, scope, Filter::default(), start));
            while let Some(event) = events.next().await {
                let _ = sender.send(event.expect("an event"));
            }
        });
        let one = Self { told, following };
        eventually(|| app.feed.follows(application)).await;
        one
    }

    /// The positions of so many events.
    async fn hears(&mut self, count: usize) -> Vec<i64> {
        let mut positions = Vec::new();
        while positions.len() < count {
            let event = timeout(Duration::from_secs(20), self.told.recv()).await;
            let event = event.unwrap_or_else(|_| panic!("{} of {count}", positions.len()));
            positions.push(
                event
                    .expect("the follower goes on")
                    .position
                    .expect("a position"),
            );
        }
        positions
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// Appends events about an application, each in a transaction of its own, and publishes each by itself.
async fn publish(app: &App, application: Uuid, count: usize) {
    for _ in 0..count {
        let txn = app.db.begin().await.expect("a transaction");
        let draft = Draft::new(EventType::WebhookDisabled, None).carrying(&json!({ "data": {} }));
        event::append_of_application(&txn, app, application, draft)
            .await
            .expect("an event");
        txn.commit().await.expect("a commit");
        assert_eq!(relay::run_once(app).await.expect("the relay"), 1);
    }
}

/// A node over PostgreSQL with its bus and its feed, and another one over the same database.
async fn two_nodes(flags: &[&str]) -> (TestApp, App) {
    let test = TestApp::start_with(Engine::Postgres, flags).await;
    let other = test.another(flags).await;
    for app in [&test.app, &other] {
        bus::start(app);
        app.spawn(feed::run(app.clone()));
    }
    eventually(|| test.app.bus.is_whole() && other.bus.is_whole()).await;
    (test, other)
}

/// Returns once what a node took for changed when it connected has been looked at.
async fn calm(app: &App) {
    for wake in [
        &app.wakes.relay,
        &app.wakes.sync,
        &app.wakes.delivery,
        &app.wakes.purge,
    ] {
        wake.wait(app, Duration::from_millis(1)).await;
    }
}

/// Whether a hint comes soon.
async fn woken(app: &App, wake: &Wake) -> bool {
    timeout(SOON, wake.wait(app, NEVER)).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_on_one_node_wakes_the_workers_of_another() {
    for flags in [&[][..], &["--nats-url", &nats::url()]] {
        let (test, other) = two_nodes(flags).await;
        calm(&other).await;
        let (here, there) = (&test.app.wakes, &other.wakes);
        for (given, taken) in [
            (&here.sync, &there.sync),
            (&here.delivery, &there.delivery),
            (&here.purge, &there.purge),
        ] {
            given.notify();
            assert!(woken(&other, taken).await, "{flags:?}");
        }
        let counts = test.app.bus.counts();
        let (by_nats, by_notify) = (counts.published > 0, counts.notified > 0);
        assert_eq!(by_nats, !flags.is_empty(), "{counts:?}");
        assert!(by_notify || by_nats, "{counts:?}");
        other.stop();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_application_is_known_to_other_nodes_before_their_beat() {
    let (test, other) = two_nodes(&[]).await;
    let stands = |app: &App| app.applications.stands(&test.principal, app.clock.now());
    assert!(stands(&other));
    // Its beat and nothing else reads applications again; it waits for a hint now.
    calm(&other).await;
    other.bus.renewal().await;
    operator(&test.app)
        .disable(test.owner.id)
        .await
        .expect("it is disabled");
    bus::tell_of_applications(&test.app).await.expect("a hint");
    timeout(SOON, other.bus.renewal())
        .await
        .expect("the hint comes");
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_commits_make_few_notifications() {
    let (test, other) = two_nodes(&[]).await;
    calm(&other).await;
    let before = test.app.bus.counts().notified;
    let began = tokio::time::Instant::now();
    for _ in 0..1_000 {
        let txn = test.app.db.begin().await.expect("a transaction");
        txn.execute_unprepared("UPDATE event_head SET position = position")
            .await
            .expect("a write");
        txn.commit().await.expect("a commit");
        test.app.wakes.sync.notify();
    }
    eventually(|| test.app.bus.counts().notified > before).await;
    assert!(woken(&other, &other.wakes.sync).await);
    let notified = test.app.bus.counts().notified - before;
    let most = began.elapsed().as_millis() / 5 + 2;
    println!(
        "{notified} notifications for 1,000 commits in {:?}",
        began.elapsed()
    );
    assert!(
        notified > 0 && u128::from(notified) <= most,
        "{notified} of at most {most}"
    );
    // Without commits between them they are fewer still.
    let before = test.app.bus.counts().notified;
    for _ in 0..1_000 {
        test.app.wakes.sync.notify();
    }
    eventually(|| test.app.bus.counts().notified > before).await;
    let notified = test.app.bus.counts().notified - before;
    assert!(notified <= 20, "{notified}");
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_was_thrown_out_comes_back_and_takes_everything_for_changed() {
    let (test, other) = two_nodes(&[]).await;
    for _ in 0..3 {
        calm(&other).await;
        let sql = "SELECT count(pg_terminate_backend(pid)) AS ended FROM pg_stat_activity \
            WHERE application_name = 'ponte bus' AND datname = current_database()";
        let statement = Statement::from_string(test.app.db.backend(), sql);
        let row = test.app.db.read().query_one_raw(statement).await;
        let row = row.expect("an answer").expect("a row");
        assert_eq!(row.try_get::<i64>("", "ended").expect("a number"), 2);
        // No node hints at this: it is the doubt of whoever was away.
        assert!(woken(&other, &other.wakes.relay).await);
        eventually(|| test.app.bus.is_whole() && other.bus.is_whole()).await;
        calm(&other).await;
        test.app.wakes.delivery.notify();
        assert!(woken(&other, &other.wakes.delivery).await);
    }
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_on_another_node_hear_of_events_by_notification() {
    let (test, other) = two_nodes(&[]).await;
    let mut follower = Follower::start(&other, test.owner.id).await;
    for n in 1..=5 {
        publish(&test.app, test.owner.id, 1).await;
        assert_eq!(
            timeout(SOON, follower.hears(1)).await.expect("in time"),
            [n]
        );
    }
    // The node that publishes needs not read what it has just written.
    let reads = test.app.feed.reads();
    let mut here = Follower::start(&test.app, test.owner.id).await;
    publish(&test.app, test.owner.id, 50).await;
    assert_eq!(here.hears(50).await, (6..=55).collect::<Vec<i64>>());
    assert!(
        test.app.feed.reads() - reads <= 1,
        "{}",
        test.app.feed.reads()
    );
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn over_nats_a_node_follows_a_busy_application_without_reading_the_log() {
    let (test, other) = two_nodes(&["--nats-url", &nats::url()]).await;
    let application = test.owner.id;
    let mut follower = Follower::start(&other, application).await;
    publish(&test.app, application, 1).await;
    follower.hears(1).await;
    let (reads, statements) = (other.feed.reads(), other.db.statements());
    publish(&test.app, application, 300).await;
    assert_eq!(follower.hears(300).await, (2..=301).collect::<Vec<i64>>());
    let (reads, statements) = (
        other.feed.reads() - reads,
        other.db.statements() - statements,
    );
    println!("300 events: {reads} reads of the log, {statements} statements");
    // Its own looks at a slow beat find what is on its way, and none of it costs one for each event.
    assert!(
        reads <= 10 && statements <= 30,
        "{reads} reads, {statements} statements"
    );
    let carried = || other.bus.counts().carried;
    eventually(|| carried() >= 300).await;
    // What nobody follows is left where it is.
    let before = carried();
    let silent = create_application(&test.app, "Silent").await;
    publish(&test.app, silent.id, 3).await;
    publish(&test.app, application, 1).await;
    assert_eq!(follower.hears(1).await, [302]);
    eventually(|| carried() == before + 1).await;
    // Whole batches go likewise.
    let txn = test.app.db.begin().await.expect("a transaction");
    for _ in 0..400 {
        let draft = Draft::new(EventType::WebhookDisabled, None)
            .carrying(&json!({ "data": { "text": "x".repeat(2_000) } }));
        event::append_of_application(&txn, &test.app, application, draft)
            .await
            .expect("an event");
    }
    txn.commit().await.expect("a commit");
    relay::run_once(&test.app).await.expect("the relay");
    assert_eq!(follower.hears(400).await, (303..=702).collect::<Vec<i64>>());
    eventually(|| carried() == before + 401).await;
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_everything_goes_on_from_the_log() {
    let mut server = Nats::start();
    let (test, other) = two_nodes(&["--nats-url", &server.url()]).await;
    let application = test.owner.id;
    let mut follower = Follower::start(&other, application).await;
    let mut next = 1;
    for _ in 0..3 {
        publish(&test.app, application, 20).await;
        assert_eq!(
            follower.hears(20).await,
            (next..next + 20).collect::<Vec<i64>>()
        );
        next += 20;
        let (carried, reads) = (other.bus.counts().carried, other.feed.reads());
        server.kill();
        publish(&test.app, application, 20).await;
        assert_eq!(
            follower.hears(20).await,
            (next..next + 20).collect::<Vec<i64>>()
        );
        next += 20;
        eventually(|| !test.app.bus.has_nats() && !other.bus.has_nats()).await;
        assert!(!other.bus.is_whole());
        // Now by notifications alone.
        publish(&test.app, application, 20).await;
        assert_eq!(
            follower.hears(20).await,
            (next..next + 20).collect::<Vec<i64>>()
        );
        next += 20;
        assert!(other.feed.reads() > reads, "it reads the log again");
        assert!(test.app.bus.counts().notified > 0);
        server.run();
        eventually(|| test.app.bus.is_whole() && other.bus.is_whole()).await;
        publish(&test.app, application, 1).await;
        assert_eq!(follower.hears(1).await, [next]);
        next += 1;
        assert!(other.bus.counts().carried > carried, "NATS carries again");
    }
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_without_a_nats_that_was_never_there() {
    let nowhere = format!("nats://127.0.0.1:{}", nats::free_port());
    let test = TestApp::start_with(Engine::Postgres, &["--nats-url", &nowhere]).await;
    let other = test.another(&["--nats-url", &nowhere]).await;
    for app in [&test.app, &other] {
        app.start();
    }
    let id = test
        .connect("0", &[("user", "user-ok"), ("password", "password-ok")])
        .await;
    let mut updated = Value::Null;
    while updated != "UPDATED" {
        updated = test.item(id).await["status"].clone();
        tokio::task::yield_now().await;
    }
    assert!(!test.app.bus.has_nats() && !test.app.bus.is_whole());
    other.stop();
}

/// A message as a node would send it, with a proof that whoever sends it makes up.
fn forged(body: &Value) -> bytes::Bytes {
    let mut bytes = vec![7; 32];
    bytes.extend(body.to_string().into_bytes());
    bytes.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_can_publish_on_nats_can_invent_neither_events_nor_hints() {
    let (test, other) = two_nodes(&["--nats-url", &nats::url()]).await;
    let application = test.owner.id;
    let victim = create_application(&test.app, "Another").await.id;
    let mut follower = Follower::start(&other, application).await;
    let mut spared = Follower::start(&other, victim).await;
    let attacker = async_nats::connect(nats::url()).await.expect("a client");
    let root = format!("ponte.{}", test.app.log_id.simple());
    let subject = |id: Uuid| format!("{root}.events.{}", id.simple());
    let mut heard = attacker
        .subscribe(subject(application))
        .await
        .expect("a subscription");
    attacker.flush().await.expect("it is sent");

    publish(&test.app, application, 1).await;
    follower.hears(1).await;
    let genuine = timeout(SOON, heard.next())
        .await
        .expect("in time")
        .expect("a message");
    calm(&other).await;
    let before = other.bus.counts();
    let event = json!([
        9,
        Uuid::from_u128(9),
        2,
        "WEBHOOK_DISABLED",
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        null,
        Map::new(),
        0
    ]);
    let invented = json!({ "from": Uuid::from_u128(1), "events": [event] });
    let hint = json!({ "from": Uuid::from_u128(1), "sync": true });
    for (subject, payload) in [
        (subject(application), forged(&invented)),
        (subject(application), "short".into()),
        // One application's events are not another's.
        (subject(victim), genuine.payload.clone()),
        (format!("{root}.hints"), forged(&hint)),
        (format!("{root}.hints"), genuine.payload.clone()),
    ] {
        attacker
            .publish(subject, payload)
            .await
            .expect("it is sent");
    }
    attacker.flush().await.expect("it is sent");
    eventually(|| other.bus.counts().refused == before.refused + 5).await;
    // Repeating the truth tells nothing new.
    attacker
        .publish(subject(application), genuine.payload)
        .await
        .expect("it is sent");
    attacker.flush().await.expect("it is sent");
    publish(&test.app, application, 1).await;
    assert_eq!(follower.hears(1).await, [2]);
    assert!(spared.told.try_recv().is_err() && follower.told.try_recv().is_err());
    let after = other.bus.counts();
    assert_eq!(
        (after.heard, after.refused),
        (before.heard, before.refused + 5)
    );
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_passes_by_where_another_publishes_and_comes_back() {
    let (test, other) = two_nodes(&[]).await;
    let application = test.owner.id;
    let append = async |app: &App| {
        let txn = app.db.begin().await.expect("a transaction");
        let draft = Draft::new(EventType::WebhookDisabled, None);
        event::append_of_application(&txn, app, application, draft)
            .await
            .expect("an event");
        txn.commit().await.expect("a commit");
    };
    append(&test.app).await;
    // As a node that publishes and is stopped there.
    let held = test.app.db.begin().await.expect("a transaction");
    let lock =
        format!("SELECT 1 FROM event_head WHERE application_id = '{application}' FOR UPDATE");
    held.execute_unprepared(&lock).await.expect("a lock");
    let passed = timeout(SOON, relay::look(&other))
        .await
        .expect("it does not wait");
    assert_eq!(
        passed.expect("the relay"),
        relay::Done {
            published: 0,
            passed: 1
        }
    );
    // The database lets nobody idle in a transaction for long.
    let began = tokio::time::Instant::now();
    let mut follower = Follower::start(&other, application).await;
    let relay = tokio::spawn(relay::run(other.clone()));
    assert_eq!(follower.hears(1).await, [1]);
    println!("published after {:?}", began.elapsed());
    assert!(held.commit().await.is_err(), "its session is gone");
    relay.abort();
    other.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_behind_a_firewall_that_swallows_everything_comes_back_to_life() {
    let test = TestApp::start(Engine::Postgres).await;
    let address = url::Url::parse(test.url()).expect("a URL");
    let target = format!(
        "{}:{}",
        address.host_str().expect("a host"),
        address.port().expect("a port")
    );
    let proxy = Proxy::to(&target).await;
    let cut = test.another_over(&proxy.through(test.url()), &[]).await;
    bus::start(&cut);
    eventually(|| cut.bus.is_whole()).await;
    // Writes, and writes again when it is told to.
    let write = |told: Arc<Notify>, began: Arc<Semaphore>| {
        let (app, task) = (cut.clone(), cut.clone());
        tokio::spawn(async move {
            app.unit(async move {
                let sql = "UPDATE event_head SET position = position WHERE false";
                let txn = task.db.begin().await?;
                txn.execute_unprepared(sql).await?;
                began.add_permits(1);
                told.notified().await;
                txn.execute_unprepared(sql).await?;
                Ok(txn.commit().await?)
            })
            .await
        })
    };
    let (told, began) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    // All connections of the node.
    let stuck: Vec<_> = (0..4).map(|_| write(told.clone(), began.clone())).collect();
    began
        .acquire_many(4)
        .await
        .expect("they have begun")
        .forget();
    proxy.set(Way::Stalled);
    told.notify_waiters();
    let since = tokio::time::Instant::now();
    for one in stuck {
        let done = timeout(Duration::from_secs(30), one).await;
        let done = done.expect("it is given up").expect("no panic");
        assert!(done.is_err(), "{done:?}");
    }
    println!("given up after {:?}", since.elapsed());
    assert!(!cut.bus.is_whole());
    proxy.set(Way::Open);
    let again = write(told.clone(), began.clone());
    let free = timeout(Duration::from_secs(10), began.acquire()).await;
    assert!(free.is_ok_and(|one| one.is_ok()), "there is a connection");
    told.notify_one();
    again.await.expect("no panic").expect("an answer");
    eventually(|| cut.bus.is_whole()).await;
    cut.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_at_secrets_are_counted_on_all_nodes_together() {
    let flags = ["--secret-attempts-per-minute", "3"];
    let test = TestApp::start_with(Engine::Postgres, &flags).await;
    let other = test.another(&flags).await;
    let (id, secret) = (test.owner.client_id.to_string(), &test.owner.client_secret);
    let guess = async |app: &App, address: u8, secret: &str| {
        token::create_api_key(app, [192, 0, 2, address].into(), &id, secret).await
    };
    for app in [&test.app, &other, &test.app] {
        let wrong = guess(app, 1, "wrong").await;
        assert!(matches!(wrong, Err(Error::Unauthenticated(_))), "{wrong:?}");
    }
    let third = test.another(&flags).await;
    test.advance(Duration::from_secs(20));
    for app in [&test.app, &other, &third] {
        let limited = guess(app, 1, secret).await;
        assert!(
            matches!(
                limited,
                Err(Error::RateLimited {
                    retry_after_seconds: 41
                })
            ),
            "{limited:?}"
        );
        guess(app, 2, secret)
            .await
            .expect("another address is free");
    }
    test.advance(Duration::from_secs(40));
    for app in [&test.app, &other, &third] {
        guess(app, 1, secret).await.expect("the minute is over");
    }
    // What is over is not kept.
    test.advance(Duration::from_mins(3));
    assert!(guess(&other, 3, "wrong").await.is_err());
    let sql = "SELECT count(*) AS kept FROM secret_guess";
    let statement = Statement::from_string(test.app.db.backend(), sql);
    let row = test.app.db.read().query_one_raw(statement).await;
    let row = row.expect("an answer").expect("a row");
    assert_eq!(row.try_get::<i64>("", "kept").expect("a number"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_embedded_sqlite_there_is_no_bus() {
    let test = TestApp::start(Engine::Sqlite).await;
    bus::start(&test.app);
    test.app.wakes.sync.notify();
    bus::tell_of_applications(&test.app)
        .await
        .expect("nothing to do");
    assert!(!test.app.bus.is_whole());
    assert_eq!(test.app.bus.beat(SOON), SOON);
    assert_eq!(test.app.bus.counts(), bus::Counts::default());
    let mut follower = Follower::start(&test.app, test.owner.id).await;
    publish(&test.app, test.owner.id, 3).await;
    assert_eq!(follower.hears(3).await, [1, 2, 3]);
}
