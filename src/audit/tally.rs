//! What is counted before it is written down: bulk reads, and refused attempts at a client secret.
//!
//! Neither has a transaction of its own to be written in, and neither may make one: reads stay reads, and whoever guesses
//! secrets must not fill the table. They are added up in memory by who it was, and written once a minute and when the node
//! stops; a node that is killed loses what it has counted since.

use std::{
    collections::HashMap,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use entity::kind::{AuditAction, AuditActor, EntityKind};
use serde_json::{Map, Value};
use strum::{EnumCount as _, IntoEnumIterator as _};
use uuid::Uuid;

use super::{Actor, Entry, append_all};
use crate::{
    app::App,
    auth::{Caller, Principal},
    clock::Timestamp,
    error::Result,
};

/// How many rows of personal data in one answer are a bulk read.
pub const BULK: u64 = 100;
/// How often what was counted is written down.
const BEAT: Duration = Duration::from_mins(1);
/// Most addresses that are told apart among those that guess an application's secret within a beat; others are added up.
const ADDRESSES: usize = 20;
/// Most sums that are kept. What does not fit any more, with the database away for long, is not counted.
const SUMS: usize = 10_000;

/// Rows of personal data that one answer shows.
#[derive(Default)]
pub struct Shown {
    rows: [AtomicU64; EntityKind::COUNT],
    to: OnceLock<Principal>,
}

impl Shown {
    /// Adds rows of a kind.
    pub fn add(&self, to: &Principal, kind: EntityKind, rows: usize) {
        if rows > 0 {
            self.to.get_or_init(|| to.clone());
            self.rows[kind as usize].fetch_add(rows as u64, Ordering::Relaxed);
        }
    }

    /// What has been shown since this was asked last.
    fn take(&self) -> [u64; EntityKind::COUNT] {
        std::array::from_fn(|kind| self.rows[kind].swap(0, Ordering::Relaxed))
    }
}

/// What the sums are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    application: Uuid,
    action: AuditAction,
    actor: AuditActor,
    token: Option<Uuid>,
    /// Only of those who guess.
    address: Option<std::net::IpAddr>,
}

#[derive(Clone, Debug)]
struct Sum {
    caller: Caller,
    since: Timestamp,
    times: u64,
    rows: [u64; EntityKind::COUNT],
}

/// The sums of this node.
#[derive(Default)]
pub struct Tally(Mutex<HashMap<Key, Sum>>);

impl Tally {
    /// Counts an answer, if it shows so many rows that it is a bulk read.
    pub fn answered(&self, shown: &Shown, now: Timestamp) {
        let Some(principal) = shown.to.get() else {
            return;
        };
        let rows = shown.take();
        if rows.iter().sum::<u64>() < BULK {
            return;
        }
        let actor = Actor::from(principal);
        let key = Key {
            application: principal.application,
            action: AuditAction::BulkRead,
            actor: actor.kind,
            token: actor.token,
            address: None,
        };
        self.add(key, actor.caller, rows, now);
    }

    /// Counts a refused attempt at the secret of an application.
    pub fn refused(&self, application: Uuid, caller: Caller, now: Timestamp) {
        let mut key = Key {
            application,
            action: AuditAction::ApiKeyRefused,
            actor: AuditActor::ClientSecret,
            token: None,
            address: caller.address,
        };
        let mut caller = caller;
        {
            let sums = self.0.lock().expect("no panic while counting");
            let others = sums
                .keys()
                .filter(|one| one.application == application && one.action == key.action);
            if !sums.contains_key(&key) && others.count() >= ADDRESSES {
                (key.address, caller) = (None, Caller::default());
            }
        }
        self.add(key, caller, [0; EntityKind::COUNT], now);
    }

    fn add(&self, key: Key, caller: Caller, rows: [u64; EntityKind::COUNT], now: Timestamp) {
        let sum = Sum {
            caller,
            since: now,
            times: 1,
            rows,
        };
        self.merge(key, sum);
    }

    fn merge(&self, key: Key, sum: Sum) {
        let mut sums = self.0.lock().expect("no panic while counting");
        if let Some(known) = sums.get_mut(&key) {
            known.caller = sum.caller;
            known.since = known.since.min(sum.since);
            known.times += sum.times;
            for (known, more) in known.rows.iter_mut().zip(sum.rows) {
                *known += more;
            }
        } else if sums.len() < SUMS {
            sums.insert(key, sum);
        }
    }

    fn take(&self) -> HashMap<Key, Sum> {
        std::mem::take(&mut *self.0.lock().expect("no panic while counting"))
    }
}

/// Writes down what was counted, every minute until the node stops. What is counted while it finishes its requests is
/// written by [`flush`].
pub async fn run(app: App) {
    while app.running() {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = app.stopping() => return,
        }
        if let Err(error) = flush(&app).await {
            error.log("audit");
        }
    }
}

/// Writes down what was counted and says how many entries that were. What cannot be written is kept.
pub async fn flush(app: &App) -> Result<usize> {
    let sums = app.tally.take();
    if sums.is_empty() {
        return Ok(0);
    }
    let entries: Vec<_> = sums.iter().map(|(key, sum)| entry(key, sum)).collect();
    let (count, owner) = (entries.len(), app.clone());
    let written = app
        .unit(async move {
            let txn = owner.db.begin().await?;
            append_all(&txn, &owner.clock, &owner.rng, entries).await?;
            txn.commit().await?;
            Ok(count)
        })
        .await;
    if written.is_err() {
        for (key, sum) in sums {
            app.tally.merge(key, sum);
        }
    }
    written
}

fn entry(key: &Key, sum: &Sum) -> Entry {
    let actor = Actor {
        kind: key.actor,
        token: key.token,
        caller: sum.caller,
    };
    let entry = Entry::new(key.application, key.action, actor)
        .with("times", sum.times)
        .with("since", sum.since.to_string());
    if key.action == AuditAction::ApiKeyRefused {
        return entry.on(key.application);
    }
    let rows: Map<String, Value> = EntityKind::iter()
        .map(|kind| (kind, sum.rows[kind as usize]))
        .filter(|(_, rows)| *rows > 0)
        .map(|(kind, rows)| (kind.as_str().to_owned(), rows.into()))
        .collect();
    entry.with("rows", rows)
}
