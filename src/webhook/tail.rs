//! The live tail: deliveries as they change, for whoever watches.
//!
//! Deliveries have no log. One reader per application, shared by all who follow it and gone with the last, asks the
//! database for what has changed: soon after a hint of this node, and at a slow beat for the changes that other nodes
//! made and for those that were committed late, which it finds by looking back a little. Promises every delivery's
//! latest state within a beat or two; states that passed in between may be left out, and one may be told twice. Memory
//! is bounded: whoever falls behind the shared buffer reads on from the database.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_stream::try_stream;
use entity::{delivery, kind::DeliveryStatus};
use futures_util::Stream;
use tokio::sync::{Notify, broadcast};
use uuid::Uuid;

use super::registration;
use crate::{
    app::App,
    auth::Principal,
    clock::Timestamp,
    db::tail::changed,
    error::{Error, Result},
    item,
};

/// How often the database is asked without a hint.
const BEAT: Duration = Duration::from_secs(1);
/// How long hints are collected before they are followed.
const GATHER: Duration = Duration::from_millis(30);
/// How far a change may be committed behind others that carry a later time: a transaction's length and the difference
/// between two nodes' clocks.
const OVERLAP: Duration = Duration::from_secs(3);
/// Changes that the shared buffer keeps.
const BUFFER: usize = 512;
/// Rows that one statement brings.
const READ: usize = 500;
/// Most changes that are remembered as told; beyond it some are told again.
const MOST: usize = 50_000;

/// Which deliveries are followed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Only those of this webhook.
    pub webhook: Option<Uuid>,
    /// Only those about this Item.
    pub item: Option<Uuid>,
}

impl Filter {
    fn admits(&self, row: &delivery::Model) -> bool {
        self.webhook.is_none_or(|id| row.webhook_id == Some(id))
            && self.item.is_none_or(|id| row.item_id == Some(id))
    }
}

/// Everybody who follows deliveries on this node.
#[derive(Default)]
pub struct Tails(Mutex<HashMap<Uuid, Arc<Tail>>>);

struct Tail {
    changes: broadcast::Sender<Arc<delivery::Model>>,
    hint: Notify,
}

impl Tails {
    /// Says that deliveries of an application have changed: a hint, never the truth.
    pub fn hint(&self, application: Uuid) {
        let tails = self.0.lock().expect("no panic while following");
        if let Some(tail) = tails.get(&application) {
            tail.hint.notify_one();
        }
    }

    /// Number of applications followed on this node.
    pub fn followed(&self) -> usize {
        self.0.lock().expect("no panic while following").len()
    }

    fn find(&self, application: Uuid) -> Option<broadcast::Receiver<Arc<delivery::Model>>> {
        let tails = self.0.lock().expect("no panic while following");
        tails.get(&application).map(|tail| tail.changes.subscribe())
    }

    /// Joins the followers of an application; the first starts its reader.
    async fn join(
        &self,
        app: &App,
        application: Uuid,
    ) -> Result<broadcast::Receiver<Arc<delivery::Model>>> {
        if let Some(changes) = self.find(application) {
            return Ok(changes);
        }
        let mut reader = Reader::new(app, application);
        // What has changed by now is not told.
        reader.read(true).await?;
        let mut tails = self.0.lock().expect("no panic while following");
        if let Some(tail) = tails.get(&application) {
            return Ok(tail.changes.subscribe());
        }
        let tail = Arc::new(Tail {
            changes: broadcast::Sender::new(BUFFER),
            hint: Notify::new(),
        });
        let changes = tail.changes.subscribe();
        tails.insert(application, tail.clone());
        app.spawn(reader.run(tail));
        Ok(changes)
    }

    /// Forgets an application that nobody follows any more.
    fn leave(&self, application: Uuid, tail: &Tail) -> bool {
        let mut tails = self.0.lock().expect("no panic while following");
        let alone = tail.changes.receiver_count() == 0;
        if alone {
            tails.remove(&application);
        }
        alone
    }
}

/// What tells one state of a delivery from another.
type State = (Timestamp, DeliveryStatus, i32);

fn state(row: &delivery::Model) -> State {
    (row.updated_at, row.status, row.attempts)
}

struct Reader {
    app: App,
    application: Uuid,
    /// The latest change that was read.
    mark: Timestamp,
    told: HashMap<Uuid, State>,
}

impl Reader {
    fn new(app: &App, application: Uuid) -> Self {
        Self {
            app: app.clone(),
            application,
            mark: app.clock.now(),
            told: HashMap::new(),
        }
    }

    async fn run(mut self, tail: Arc<Tail>) {
        let app = self.app.clone();
        let mut beat = tokio::time::interval(BEAT);
        while app.running() {
            let back = tokio::select! {
                _ = beat.tick() => true,
                () = tail.hint.notified() => {
                    tokio::time::sleep(GATHER).await;
                    false
                }
                () = app.stopping() => break,
            };
            if back && app.tails.leave(self.application, &tail) {
                return;
            }
            match self.read(back).await {
                Ok(rows) => {
                    if rows.len() >= BUFFER {
                        // There is more.
                        tail.hint.notify_one();
                    }
                    for row in rows {
                        // Nobody listens: they have left a moment ago.
                        let _ = tail.changes.send(Arc::new(row));
                    }
                }
                Err(error) => app.log_and_pause("delivery tail", &error).await,
            }
        }
        // The streams end with their sender.
        let mut tails = app.tails.0.lock().expect("no panic while following");
        tails.remove(&self.application);
    }

    /// What has changed and was not told; looks back for what was committed late, when asked to.
    async fn read(&mut self, back: bool) -> Result<Vec<delivery::Model>> {
        let from = if back {
            self.mark.minus(OVERLAP)
        } else {
            self.mark
        };
        let mut place = (from, Uuid::nil());
        let mut fresh = Vec::new();
        loop {
            let rows = changed(&self.app.db, self.application, place, READ).await?;
            let complete = rows.len() < READ;
            for row in rows {
                place = (row.updated_at, row.id);
                self.mark = self.mark.max(row.updated_at);
                if self.told.insert(row.id, state(&row)) != Some(state(&row)) {
                    fresh.push(row);
                }
            }
            // A flood is told in parts, so that it is never held whole.
            if complete || fresh.len() >= BUFFER {
                break;
            }
        }
        let oldest = self.mark.minus(OVERLAP);
        self.told.retain(|_, (at, _, _)| *at >= oldest);
        if self.told.len() > MOST {
            self.told.clear();
        }
        Ok(fresh)
    }
}

/// Follows an application's deliveries as they change, from now on. Ends when the node stops.
pub async fn follow(
    app: &App,
    principal: &Principal,
    filter: Filter,
) -> Result<impl Stream<Item = Result<delivery::Model>> + Send + use<>> {
    principal.require_api_key("follow deliveries")?;
    if let Some(id) = filter.webhook {
        let known = registration::find(app, principal, id).await?;
        known.ok_or(Error::NotFound { what: "webhook" })?;
    }
    if let Some(id) = filter.item {
        item::load(app, principal, id).await?;
    }
    let (app, application) = (app.clone(), principal.application);
    let mut place = (app.clock.now(), Uuid::nil());
    let mut changes = app.tails.join(&app, application).await?;
    Ok(try_stream! {
        loop {
            match changes.recv().await {
                Ok(row) => {
                    place = (row.updated_at, row.id);
                    if filter.admits(&row) {
                        yield (*row).clone();
                    }
                }
                Err(broadcast::error::RecvError::Closed) => break,
                Err(broadcast::error::RecvError::Lagged(_)) => {
                    changes = changes.resubscribe();
                    // What was committed late is among what was dropped.
                    place = (place.0.minus(OVERLAP), Uuid::nil());
                    loop {
                        let rows = changed(&app.db, application, place, READ).await?;
                        let complete = rows.len() < READ;
                        for row in rows {
                            place = (row.updated_at, row.id);
                            if filter.admits(&row) {
                                yield row;
                            }
                        }
                        if complete {
                            break;
                        }
                    }
                }
            }
        }
    })
}
