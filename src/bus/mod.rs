//! What the nodes over one PostgreSQL tell each other, so that none has to look all the time.
//!
//! A [`Hint`] says where there may be something to do: it is given after a commit, may be lost, come twice or late, and
//! is never the truth. Whoever gets one looks in the database; whoever has got none looks by itself at a slow beat. Hints
//! go by `NOTIFY` (`postgres`), or by NATS while that is connected (`nats`), which also carries published events to
//! the nodes that serve subscriptions, so that these need not read the log. Whatever is lost on either way is found in
//! the log.
//!
//! Every node listens to PostgreSQL, also beside NATS: one that has lost NATS is heard there. After a connection of
//! either kind has come back, a node takes everything for changed. Over embedded SQLite there is one node and no bus.

mod nats;
mod postgres;

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use entity::event;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};
use uuid::Uuid;

use crate::{
    app::App,
    config::Config,
    db::Engine,
    error::Result,
    metrics::{self, Way},
};

/// Least time between two hints of a node: what happens meanwhile goes into one.
const APART: Duration = Duration::from_millis(5);
/// How often a loop looks by itself while hints of other nodes reach this one.
const QUIET_BEAT: Duration = Duration::from_secs(5);
/// Most logs that one hint names; beyond that it names none and means all.
const NAMED: usize = 150;
/// How long it takes to try again when a hint could not be given.
const PAUSE: Duration = Duration::from_millis(250);

/// A worker that other nodes can wake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// Executions are due.
    Sync,
    /// Deliveries are due.
    Delivery,
    /// Items were deleted.
    Purge,
}

/// Connects to NATS once, as the settings say, and answers its version; `None` when they name none.
pub async fn reach_nats(config: &Config) -> Result<Option<String>> {
    match &config.nats_url {
        Some(_) => Ok(Some(nats::reach(config).await?)),
        None => Ok(None),
    }
}

/// Where there may be something to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hint {
    #[serde(skip_serializing_if = "is_false")]
    sync: bool,
    #[serde(skip_serializing_if = "is_false")]
    delivery: bool,
    #[serde(skip_serializing_if = "is_false")]
    purge: bool,
    /// Applications were made, disabled, or given other tokens; keys are new.
    #[serde(skip_serializing_if = "is_false")]
    applications: bool,
    /// All logs may have grown.
    #[serde(skip_serializing_if = "is_false")]
    all_grown: bool,
    /// These logs have grown.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    grown: BTreeSet<Uuid>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

/// A hint on its way.
#[derive(Serialize, Deserialize)]
struct Message {
    from: Uuid,
    #[serde(flatten)]
    hint: Hint,
}

impl Hint {
    /// That anything may have changed.
    fn everything() -> Self {
        Self {
            sync: true,
            delivery: true,
            purge: true,
            applications: true,
            all_grown: true,
            grown: BTreeSet::new(),
        }
    }

    /// That applications, their tokens, or keys have changed.
    fn of_applications() -> Self {
        Self {
            applications: true,
            ..Self::default()
        }
    }

    fn grew(&mut self, application: Uuid) {
        if !self.all_grown {
            self.grown.insert(application);
            if self.grown.len() > NAMED {
                self.grown.clear();
                self.all_grown = true;
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.sync |= other.sync;
        self.delivery |= other.delivery;
        self.purge |= other.purge;
        self.applications |= other.applications;
        self.all_grown |= other.all_grown;
        if self.all_grown {
            self.grown.clear();
        }
        other.grown.into_iter().for_each(|one| self.grew(one));
    }

    fn wake(&mut self, worker: Worker) {
        match worker {
            Worker::Sync => self.sync = true,
            Worker::Delivery => self.delivery = true,
            Worker::Purge => self.purge = true,
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn encode(&self, from: Uuid) -> String {
        let message = Message {
            from,
            hint: self.clone(),
        };
        serde_json::to_string(&message).expect("a hint is plain data")
    }

    /// Who says what; another version's hint that cannot be read means everything.
    fn decode(text: &[u8]) -> (Option<Uuid>, Self) {
        match serde_json::from_slice::<Message>(text) {
            Ok(message) => (Some(message.from), message.hint),
            Err(_) => (None, Self::everything()),
        }
    }
}

/// How much has gone over a node's bus, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Hints given by `NOTIFY`.
    pub notified: u64,
    /// Hints given over NATS.
    pub published: u64,
    /// Hints of other nodes.
    pub heard: u64,
    /// Events sent to other nodes.
    pub sent: u64,
    /// Events that came from other nodes.
    pub carried: u64,
    /// Messages that were not of a node of ours.
    pub refused: u64,
}

#[derive(Default)]
struct Counters {
    notified: AtomicU64,
    published: AtomicU64,
    heard: AtomicU64,
    sent: AtomicU64,
    carried: AtomicU64,
    refused: AtomicU64,
}

/// This node's end of the bus.
pub struct Bus {
    /// Who this node is, to know its own hints by.
    node: Uuid,
    /// Whether there are other nodes to talk to.
    shared: bool,
    waiting: Mutex<Hint>,
    more: Notify,
    listens: AtomicBool,
    nats: Option<nats::Link>,
    renew: Notify,
    counters: Counters,
}

impl Bus {
    /// The bus of a node, not yet connected.
    pub fn new(node: Uuid, config: &Config) -> Arc<Self> {
        Arc::new(Self {
            node,
            shared: config.engine == Engine::Postgres,
            waiting: Mutex::default(),
            more: Notify::new(),
            listens: AtomicBool::new(false),
            nats: config.nats_url.is_some().then(nats::Link::default),
            renew: Notify::new(),
            counters: Counters::default(),
        })
    }

    /// Tells the other nodes that a worker has something to do.
    pub fn wake(&self, worker: Worker) {
        self.tell(|hint| hint.wake(worker));
    }

    fn tell(&self, change: impl FnOnce(&mut Hint)) {
        if self.shared {
            change(&mut self.waiting.lock().expect("no panic while hinting"));
            self.more.notify_one();
        }
    }

    /// Whether hints of other nodes reach this one, as far as it knows.
    pub fn is_whole(&self) -> bool {
        self.listens.load(Ordering::Relaxed) && self.nats.as_ref().is_none_or(nats::Link::works)
    }

    /// Whether this node hears NATS.
    pub fn has_nats(&self) -> bool {
        self.nats.as_ref().is_some_and(nats::Link::works)
    }

    /// How often a loop looks by itself that otherwise does so every `alone`.
    pub fn beat(&self, alone: Duration) -> Duration {
        if self.is_whole() {
            alone.max(QUIET_BEAT)
        } else {
            alone
        }
    }

    /// Returns when applications, tokens or keys are to be read again before the beat.
    pub async fn renewal(&self) {
        self.renew.notified().await;
    }

    /// How much has gone over the bus.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            notified: read(&self.counters.notified),
            published: read(&self.counters.published),
            heard: read(&self.counters.heard),
            sent: read(&self.counters.sent),
            carried: read(&self.counters.carried),
            refused: read(&self.counters.refused),
        }
    }
}

/// The name of the log's channel in PostgreSQL and the beginning of its subjects in NATS: databases and restored backups
/// do not hear each other.
fn name(app: &App) -> String {
    format!("ponte.{}", app.log_id.simple())
}

/// Tells all other nodes at once, from a command, that applications or keys have changed.
pub async fn tell_of_applications(app: &App) -> Result<()> {
    if !app.bus.shared {
        return Ok(());
    }
    let hint = Hint::of_applications();
    app.db
        .notify(&name(app), &hint.encode(app.bus.node))
        .await?;
    Ok(())
}

/// Tells of events that were published by a transaction that has been committed: this node's followers and the others.
pub fn published(app: &App, application: Uuid, events: Vec<Arc<event::Model>>) {
    if events.is_empty() {
        return;
    }
    app.feed.offer(application, &events);
    let bus = &app.bus;
    let taken = bus
        .nats
        .as_ref()
        .is_some_and(|link| link.works() && link.carry(application, events));
    if !taken {
        bus.tell(|hint| hint.grew(application));
    }
}

/// Connects this node to the others.
pub fn start(app: &App) {
    if !app.bus.shared {
        return;
    }
    app.spawn(postgres::run(app.clone()));
    app.spawn(give(app.clone()));
    if app.bus.nats.is_some() {
        app.spawn(nats::run(app.clone()));
    }
}

/// Gives the node's hints to the others until it stops, a few milliseconds apart.
async fn give(app: App) {
    let bus = &app.bus;
    let mut pace = interval(APART);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while app.running() {
        tokio::select! {
            () = bus.more.notified() => {}
            () = app.stopping() => return,
        }
        pace.tick().await;
        let hint = std::mem::take(&mut *bus.waiting.lock().expect("no panic while hinting"));
        if hint.is_empty() {
            continue;
        }
        if let Some(link) = bus.nats.as_ref()
            && link.works()
            && link.hint(&app, &hint).await
        {
            bus.counters.published.fetch_add(1, Ordering::Relaxed);
            metrics::hint_given(Way::Nats);
            continue;
        }
        match app.db.notify(&name(&app), &hint.encode(bus.node)).await {
            Ok(()) => {
                bus.counters.notified.fetch_add(1, Ordering::Relaxed);
                metrics::hint_given(Way::Postgres);
            }
            Err(error) => {
                tracing::debug!(%error, "a hint could not be given");
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = app.stopping() => return,
                }
                bus.tell(|waiting| waiting.merge(hint));
            }
        }
    }
}

/// Takes a hint of another node.
fn hear(app: &App, hint: Hint) {
    app.bus.counters.heard.fetch_add(1, Ordering::Relaxed);
    metrics::hint_heard();
    obey(app, hint);
}

fn obey(app: &App, hint: Hint) {
    let wakes = &app.wakes;
    for (asked, wake) in [
        (hint.sync, &wakes.sync),
        (hint.delivery, &wakes.delivery),
        (hint.purge, &wakes.purge),
    ] {
        if asked {
            wake.here();
        }
    }
    if hint.applications {
        app.bus.renew.notify_one();
    }
    if hint.all_grown {
        app.feed.wake_all();
    }
    hint.grown
        .into_iter()
        .for_each(|application| app.feed.wake(application));
}

/// Takes everything for changed: hints may have been lost.
fn doubt(app: &App) {
    app.wakes.relay.here();
    obey(app, Hint::everything());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_says_all_that_was_put_into_it_and_fits_into_a_notification() {
        let node = Uuid::from_u128(1);
        let mut hint = Hint::default();
        assert!(hint.is_empty());
        hint.wake(Worker::Sync);
        for n in 0..NAMED as u128 {
            hint.grew(Uuid::from_u128(u128::MAX - n));
        }
        let text = hint.encode(node);
        assert!(text.len() < 8_000, "{} bytes", text.len());
        assert_eq!(Hint::decode(text.as_bytes()), (Some(node), hint.clone()));

        hint.grew(Uuid::nil());
        assert!(hint.all_grown && hint.grown.is_empty(), "{hint:?}");
        hint.merge(Hint::of_applications());
        hint.wake(Worker::Delivery);
        hint.wake(Worker::Purge);
        assert_eq!(hint, Hint::everything());
    }

    #[test]
    fn a_hint_that_cannot_be_read_means_everything() {
        for text in ["", "{}", "from another version"] {
            assert_eq!(Hint::decode(text.as_bytes()), (None, Hint::everything()));
        }
        let newer = br#"{"from":"00000000-0000-0000-0000-000000000001","tea":true,"purge":true}"#;
        let (from, hint) = Hint::decode(newer);
        assert_eq!(from, Some(Uuid::from_u128(1)));
        assert!(hint.purge && !hint.sync);
    }
}
