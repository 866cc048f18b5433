//! The delivery worker: claims deliveries that are due, sends them, records what came of it.
//!
//! Promises that a delivery is sent until its endpoint takes it or the [`schedule`](super::schedule) ends, always with
//! the same id and body; that no transaction is open while a request is under way; that a worker which has lost a
//! delivery to another records nothing for it; and that endpoints which hang delay none that answer (the lanes). A
//! crash between any two lines leads to the delivery being sent again once its lease has run out.
//!
//! Relies on the relay to make deliveries, and leaves to the endpoint to recognise what it already has by `webhook-id`.

mod record;
mod request;

use std::{collections::HashMap, sync::Arc, time::Duration};

use entity::{delivery, event, webhook};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use tokio::task::{Id, JoinSet};
use uuid::Uuid;

use self::{
    record::Done,
    request::{Request, What},
};
use super::{keyring::Keyring, lanes::Lanes, registration, trial};
use crate::{
    app::App,
    db::{self, delivery::Stretch},
    error::Result,
};

/// How often due deliveries are looked for without a hint.
const BEAT: Duration = Duration::from_millis(500);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How long a claim lasts: a request, and recording it in a busy moment.
const LEASE: Duration = Duration::from_secs(45);
/// How long requests under way may go on once the node stops.
const GRACE: Duration = Duration::from_secs(5);
/// Lanes that one statement walks along.
const STEPS: usize = 100;

/// Sends until the node stops, then waits a little for what is under way and hands the rest over.
pub async fn run(app: App) {
    if let Err(error) = registration::sweep(&app).await {
        error.log("delivery sweep");
    }
    let mut worker = Worker::new(app.clone());
    while app.running() {
        match worker.claim().await {
            Ok(0) => worker.rest().await,
            Ok(_) => {}
            Err(error) => app.log_and_pause("delivery", &error).await,
        }
        worker.gather().await;
    }
    worker.finish().await;
}

/// Sends what is due, until nothing is, and says how many deliveries that were.
pub async fn run_once(app: &App) -> Result<usize> {
    Worker::new(app.clone()).drain().await
}

/// One node's sender.
pub struct Worker {
    app: App,
    keyring: Keyring,
    lanes: Lanes,
    /// Where the walk along the lanes stands.
    after: String,
    sending: JoinSet<Done>,
    under_way: HashMap<Id, Slot>,
}

/// What a request under way holds.
struct Slot {
    delivery: Uuid,
    epoch: i64,
    target: String,
    trial: bool,
}

impl Worker {
    /// A sender with nothing under way.
    pub fn new(app: App) -> Self {
        let slots = app.config.delivery_concurrency;
        Self {
            app,
            keyring: Keyring::new(),
            lanes: Lanes::new(slots),
            after: String::new(),
            sending: JoinSet::new(),
            under_way: HashMap::new(),
        }
    }

    /// Sends what is due, until nothing is, and says how many deliveries that were.
    pub async fn drain(&mut self) -> Result<usize> {
        let mut sent = 0;
        loop {
            let claimed = self.claim().await?;
            sent += claimed;
            if claimed == 0 {
                let Some(done) = self.next().await else {
                    return Ok(sent);
                };
                self.record(done).await;
            }
        }
    }

    /// Claims what is due and fits, begins to send it, and says how many deliveries that were.
    async fn claim(&mut self) -> Result<usize> {
        let now = self.app.clock.now();
        let mut wrapped = self.after.is_empty();
        while self.lanes.has_room() {
            let Stretch { due, next } =
                db::delivery::lanes(&self.app.db, now, &self.after, STEPS).await?;
            let end = next.is_none();
            self.after = next.unwrap_or_default();
            let quotas = self.lanes.share(&due);
            if !quotas.is_empty() {
                if let Some(last) = quotas.last().filter(|_| quotas.len() < due.len()) {
                    // Whoever had to stand back comes first next time.
                    self.after.clone_from(&last.target);
                }
                let claimed = db::delivery::claim(&self.app.db, now, LEASE, &quotas).await?;
                if !claimed.is_empty() {
                    return self.send(claimed).await;
                }
            }
            if end && wrapped {
                break;
            }
            wrapped |= end;
        }
        Ok(0)
    }

    /// Begins to send what was claimed. What cannot be loaded stays claimed until its lease runs out.
    async fn send(&mut self, claimed: Vec<delivery::Model>) -> Result<usize> {
        let db = self.app.db.read();
        let mut events: HashMap<Uuid, Arc<event::Model>> = event::Entity::find()
            .filter(event::Column::Id.is_in(claimed.iter().map(|one| one.event_id)))
            .all(db)
            .await?
            .into_iter()
            .map(|event| (event.id, Arc::new(event)))
            .collect();
        let missing = claimed.iter().map(|one| one.event_id);
        let missing: Vec<Uuid> = missing.filter(|id| !events.contains_key(id)).collect();
        let tests = trial::events(db, missing).await?;
        events.extend(tests.into_iter().map(|event| (event.id, Arc::new(event))));
        let webhooks: HashMap<Uuid, webhook::Model> = webhook::Entity::find()
            .filter(webhook::Column::Id.is_in(claimed.iter().filter_map(|one| one.webhook_id)))
            .all(db)
            .await?
            .into_iter()
            .map(|webhook| (webhook.id, webhook))
            .collect();
        let count = claimed.len();
        let mut standing_back = Vec::new();
        for delivery in claimed {
            let webhook = delivery.webhook_id.map(|id| webhooks.get(&id));
            if let Some(Some(webhook)) = webhook
                && !webhook.enabled
            {
                standing_back.push((delivery.id, delivery.epoch));
                continue;
            }
            let what = match (events.get(&delivery.event_id), webhook) {
                (None, _) => What::Gone("the event is no longer kept"),
                (_, Some(None)) => What::Gone("the webhook has been deleted"),
                (Some(event), Some(Some(webhook))) => What::Send {
                    event: event.clone(),
                    opened: self.keyring.webhook(&self.app, webhook).await,
                    // A corrected address counts for what waits as well.
                    url: webhook.url.clone(),
                },
                (Some(event), None) => What::Send {
                    event: event.clone(),
                    opened: self
                        .keyring
                        .application(&self.app, delivery.application_id)
                        .await,
                    url: delivery.url.clone(),
                },
            };
            self.begin(Request { delivery, what });
        }
        db::delivery::release(&self.app.db, &standing_back, self.app.clock.now()).await?;
        Ok(count)
    }

    fn begin(&mut self, request: Request) {
        let (delivery, epoch) = (request.delivery.id, request.delivery.epoch);
        let target = request.delivery.target.clone();
        let trial = self.lanes.enter(&target);
        let sending = request.send(self.app.clone());
        let task = self.sending.spawn(sending).id();
        let slot = Slot {
            delivery,
            epoch,
            target,
            trial,
        };
        self.under_way.insert(task, slot);
    }

    /// The next request that ends, and all that have ended by then; `None` when none is under way.
    async fn next(&mut self) -> Option<Vec<Done>> {
        let mut done = Vec::new();
        let mut ended = Some(self.sending.join_next_with_id().await?);
        while let Some(one) = ended {
            match one {
                Ok((task, one)) => {
                    self.leave(task, Some(one.took()));
                    done.push(one);
                }
                Err(error) => {
                    self.leave(error.id(), None);
                    crate::error::Error::internal(error).log("delivery");
                }
            }
            ended = self.sending.try_join_next_with_id();
        }
        Some(done)
    }

    fn leave(&mut self, task: Id, took: Option<Duration>) {
        if let Some(slot) = self.under_way.remove(&task) {
            self.lanes.leave(&slot.target, slot.trial, took);
        }
    }

    async fn record(&self, done: Vec<Done>) {
        if let Err(error) = record::record(&self.app, done).await {
            error.log("delivery record");
        }
    }

    /// Records what has ended by now; waits for the first when there is no room for another.
    async fn gather(&mut self) {
        if self.lanes.has_room() {
            let mut done = Vec::new();
            while let Some(one) = self.sending.try_join_next_with_id() {
                match one {
                    Ok((task, one)) => {
                        self.leave(task, Some(one.took()));
                        done.push(one);
                    }
                    Err(error) => self.leave(error.id(), None),
                }
            }
            self.record(done).await;
        } else {
            let stopping = self.app.clone();
            tokio::select! {
                Some(done) = self.next() => self.record(done).await,
                () = stopping.stopping() => {}
            }
        }
    }

    /// Waits until there may be something to do.
    async fn rest(&mut self) {
        let app = self.app.clone();
        if self.lanes.idle() {
            app.wakes.delivery.wait(&app, BEAT).await;
            return;
        }
        tokio::select! {
            Some(done) = self.next() => self.record(done).await,
            () = app.wakes.delivery.wait(&app, BEAT) => {}
        }
    }

    /// Lets what is under way come to its end for a while, and hands over what does not.
    async fn finish(&mut self) {
        let deadline = tokio::time::Instant::now() + GRACE;
        while let Ok(Some(done)) = tokio::time::timeout_at(deadline, self.next()).await {
            self.record(done).await;
        }
        self.sending.abort_all();
        let left: Vec<_> = self
            .under_way
            .drain()
            .map(|(_, slot)| (slot.delivery, slot.epoch))
            .collect();
        if let Err(error) = db::delivery::release(&self.app.db, &left, self.app.clock.now()).await {
            error.log("delivery lease");
        }
    }
}
