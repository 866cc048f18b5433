//! Claiming: walks along the lanes, takes what fits, and loads what sending it needs.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use entity::{delivery, event, kind::WebhookPayload, webhook};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    LEASE, Worker, lock, rate,
    request::{Request, What},
};
use crate::{
    clock::Timestamp,
    db::{
        self,
        delivery::{Due, Stretch},
    },
    error::{Error, Result},
    event as events,
    webhook::{circuit, trial},
};

/// Lanes that one statement walks along.
const STEPS: usize = 100;

/// What came of a stretch of the walk along the lanes.
struct Walked {
    /// Deliveries that are being sent now.
    begun: usize,
    /// Where the walk goes on; `None` when it has reached the end.
    next: Option<String>,
}

/// Bodies of events, by how much they tell.
type Bodies = HashMap<(Uuid, WebhookPayload), Bytes>;

impl Worker {
    /// Claims what is due and fits, begins to send it, and says how many deliveries that were.
    pub(super) async fn claim(&mut self) -> Result<usize> {
        self.soonest = None;
        let now = self.app.clock.now();
        let mut begun = 0;
        if lock(&self.board).trials() > 0
            && let Some(after) = self.trials_after.take()
        {
            // Whoever had to stand back from a trial comes first; the walk itself goes on where it was.
            begun = self.stretch(&after, now).await?.begun;
        }
        let mut wrapped = self.after.is_empty();
        while lock(&self.board).room() > 0 {
            let after = self.after.clone();
            let walked = self.stretch(&after, now).await?;
            let end = walked.next.is_none();
            self.after = walked.next.unwrap_or_default();
            begun += walked.begun;
            if walked.begun > 0 || end && wrapped {
                break;
            }
            wrapped |= end;
        }
        Ok(begun)
    }

    /// Claims from a stretch of the lanes.
    async fn stretch(&mut self, after: &str, now: Timestamp) -> Result<Walked> {
        let Stretch { due, next } = db::delivery::lanes(&self.app.db, now, after, STEPS).await?;
        let budgets = self.budgets(&due, now);
        let shared = lock(&self.board).share(&due, &budgets);
        if let Some(place) = shared.trial_behind
            && self.trials_after.is_none()
        {
            let before = place
                .checked_sub(1)
                .map(|before| due[before].target.as_str());
            self.trials_after = Some(before.unwrap_or(after).to_owned());
        }
        let mut walked = Walked { begun: 0, next };
        if let Some(last) = shared.quotas.last() {
            if shared.full {
                // Those for whom there was no room come first next time.
                walked.next = Some(last.target.clone());
            }
            let claimed = db::delivery::claim(&self.app.db, now, LEASE, &shared.quotas).await?;
            let claimed = self.allowed(&due, claimed, now).await?;
            if !claimed.is_empty() {
                walked.begun = self.load(claimed).await?;
            }
        }
        Ok(walked)
    }

    /// How many each lane may begin by its rate.
    fn budgets(&mut self, due: &[Due], now: Timestamp) -> Vec<usize> {
        let mut budgets = Vec::with_capacity(due.len());
        for lane in due {
            if lane.failures > 0 {
                self.failing.insert(lane.target.clone());
            }
            let budget = lane.rate.map_or(usize::MAX, |(per_second, at)| {
                let budget = rate::budget(per_second, at, now);
                if budget.now == 0 {
                    let wait = self.soonest.unwrap_or(budget.wait).min(budget.wait);
                    self.soonest = Some(wait);
                }
                budget.now
            });
            budgets.push(budget);
        }
        budgets
    }

    /// Those of the claimed deliveries that may be sent. Probes and rates are taken from all workers alike, so whoever
    /// comes second gives back what it has claimed. They are taken last: a lane in which nothing was free spends none.
    async fn allowed(
        &self,
        due: &[Due],
        mut claimed: Vec<delivery::Model>,
        now: Timestamp,
    ) -> Result<Vec<delivery::Model>> {
        let mut back = Vec::new();
        for lane in due {
            if lane.probe_at.is_none() && lane.rate.is_none() {
                continue;
            }
            let of_lane = claimed.iter().filter(|one| one.target == lane.target);
            let count = of_lane.count();
            if count > 0 && !self.may(lane, count, now).await? {
                let refused = claimed.extract_if(.., |one| one.target == lane.target);
                back.extend(refused.map(|one| (one.id, one.epoch)));
            }
        }
        db::delivery::release(&self.app.db, &back).await?;
        Ok(claimed)
    }

    async fn may(&self, lane: &Due, count: usize, now: Timestamp) -> Result<bool> {
        let db = &self.app.db;
        if let Some(probe_at) = lane.probe_at {
            // Should the probe never come back: as long as one lasts.
            let next = now.plus(LEASE.max(circuit::FIRST)).max(probe_at);
            if !db::delivery::take_probe(db, &lane.target, now, next).await? {
                return Ok(false);
            }
        }
        if let (Some((per_second, at)), Some(webhook)) = (lane.rate, lane.webhook) {
            let to = rate::after(per_second, at, now, count);
            return db::delivery::take_rate(db, webhook, at, to).await;
        }
        Ok(true)
    }

    /// Begins to send what was claimed. What cannot be loaded stays claimed until its lease runs out.
    async fn load(&mut self, claimed: Vec<delivery::Model>) -> Result<usize> {
        let ids: Vec<Uuid> = claimed.iter().map(|one| one.event_id).collect();
        let mut events: HashMap<Uuid, event::Model> = db::delivery::events(&self.app.db, &ids)
            .await?
            .into_iter()
            .map(|event| (event.id, event))
            .collect();
        let missing = ids.into_iter().filter(|id| !events.contains_key(id));
        let missing: Vec<Uuid> = missing.collect();
        let tests = trial::events(self.app.db.read(), missing).await?;
        events.extend(tests.into_iter().map(|event| (event.id, event)));
        let named: BTreeSet<Uuid> = claimed.iter().filter_map(|one| one.webhook_id).collect();
        let webhooks: HashMap<Uuid, webhook::Model> = if named.is_empty() {
            HashMap::new()
        } else {
            webhook::Entity::find()
                .filter(webhook::Column::Id.is_in(named))
                .all(self.app.db.read())
                .await?
                .into_iter()
                .map(|webhook| (webhook.id, webhook))
                .collect()
        };
        let count = claimed.len();
        let (mut requests, mut standing_back) = (Vec::with_capacity(count), Vec::new());
        let mut bodies = Bodies::new();
        let taken = Instant::now();
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
                    body: body(&mut bodies, event, webhook.payload)?,
                    payload: webhook.payload,
                    opened: self.keyring.webhook(&self.app, webhook).await,
                    // A corrected address counts for what waits as well.
                    url: webhook.url.clone(),
                },
                (Some(event), None) => What::Send {
                    body: body(&mut bodies, event, WebhookPayload::Full)?,
                    payload: WebhookPayload::Full,
                    opened: self
                        .keyring
                        .application(&self.app, delivery.application_id)
                        .await,
                    url: delivery.url.clone(),
                },
            };
            requests.push(Request {
                delivery,
                what,
                claimed: taken,
            });
        }
        self.begin(requests);
        db::delivery::release(&self.app.db, &standing_back).await?;
        Ok(count)
    }
}

/// The event never changes, so every attempt sends the same bytes, and every webhook that is told as much.
fn body(bodies: &mut Bodies, event: &event::Model, payload: WebhookPayload) -> Result<Bytes> {
    if let Some(body) = bodies.get(&(event.id, payload)) {
        return Ok(body.clone());
    }
    let body = events::body_of(event, payload);
    let body = Bytes::from(serde_json::to_vec(&body).map_err(Error::internal)?);
    bodies.insert((event.id, payload), body.clone());
    Ok(body)
}
