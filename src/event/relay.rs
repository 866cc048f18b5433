//! The relay: gives committed events their position and makes the deliveries that match.
//!
//! Positions are dense and increasing per application, whatever order transactions commit in, because one transaction
//! holds the application's head row, stamps the oldest unpublished events and moves the head. Two relays at once are
//! harmless: the second finds nothing left to do.

use std::time::Duration;

use entity::{delivery, event, kind::EventType, webhook};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait, IntoActiveModel as _,
    QueryFilter as _,
};
use serde::Deserialize as _;
use serde_json::Value;
use strum::IntoEnumIterator as _;
use url::Url;
use uuid::Uuid;

use crate::{app::App, clock::Timestamp, db, error::Result, metrics};

/// Most events that one transaction publishes.
const BATCH: u64 = 500;
/// How often the log is looked at without a hint.
const BEAT: Duration = Duration::from_millis(500);

/// Publishes until the node stops.
pub async fn run(app: App) {
    while app.running() {
        match run_once(&app).await {
            Ok(0) => app.wakes.relay.wait(&app, BEAT).await,
            Ok(_) => {}
            Err(error) => app.log_and_pause("relay", &error).await,
        }
    }
}

/// Publishes what is committed and says how many events that were.
pub async fn run_once(app: &App) -> Result<usize> {
    let mut published = 0;
    for application in db::event::unpublished_applications(&app.db).await? {
        loop {
            let count = publish(app, application).await?;
            published += count;
            if count > 0 {
                app.feed.wake(application);
            }
            if count < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                break;
            }
        }
    }
    Ok(published)
}

async fn publish(app: &App, application: Uuid) -> Result<usize> {
    let app = app.clone();
    let task = app.clone();
    app.unit(async move {
        let app = task;
        let txn = app.db.begin().await?;
        let events = db::event::stamp(&app.db, &txn, application, BATCH).await?;
        if !events.is_empty() && deliver(&app, &txn, application, &events).await? > 0 {
            txn.commit().await?;
            app.wakes.delivery.notify();
            app.tails.hint(application);
        } else {
            txn.commit().await?;
        }
        metrics::events_published(events.len());
        Ok(events.len())
    })
    .await
}

/// Makes the deliveries of these events, unique by event and target.
async fn deliver(
    app: &App,
    txn: &impl ConnectionTrait,
    application: Uuid,
    events: &[event::Model],
) -> Result<usize> {
    let webhooks = webhook::Entity::owned_by(application)
        .filter(webhook::Column::Enabled.eq(true))
        .all(txn)
        .await?;
    let receivers: Vec<_> = webhooks.iter().map(Receiver::new).collect();
    let now = app.clock.now();
    let mut rows = Vec::new();
    for event in events {
        let matching = receivers
            .iter()
            .filter_map(|receiver| receiver.delivery(app, event, now));
        rows.extend(matching);
        if let Some(url) = &event.webhook_url
            && event.kind.is_default()
        {
            rows.push(delivery::Model {
                target: lane(application, url),
                url: url.clone(),
                ..due(app, event, now)
            });
        }
    }
    let count = rows.len();
    for chunk in rows.chunks(500) {
        let chunk = chunk.iter().cloned();
        delivery::Entity::insert_many(chunk.map(|row| row.into_active_model().reset_all()))
            .exec_without_returning(txn)
            .await?;
    }
    Ok(count)
}

/// The types of events that a webhook is told of.
pub fn wanted(webhook: &webhook::Model) -> Vec<EventType> {
    let named = webhook.events.as_ref();
    named
        .and_then(|events| Vec::deserialize(events).ok())
        .unwrap_or_else(|| EventType::iter().filter(|kind| kind.is_default()).collect())
}

/// A webhook, and what it is told of.
pub struct Receiver<'a> {
    webhook: &'a webhook::Model,
    wanted: Vec<EventType>,
    id: String,
}

impl<'a> Receiver<'a> {
    /// Reads what a webhook is told of.
    pub fn new(webhook: &'a webhook::Model) -> Self {
        Self {
            webhook,
            wanted: wanted(webhook),
            id: webhook.id.to_string(),
        }
    }

    /// The delivery of an event, if it is wanted. That a webhook was disabled is never told to that one.
    pub fn delivery(
        &self,
        app: &App,
        event: &event::Model,
        now: Timestamp,
    ) -> Option<delivery::Model> {
        let of_itself = event.kind == EventType::WebhookDisabled
            && event
                .payload
                .pointer("/data/webhookId")
                .and_then(Value::as_str)
                == Some(&self.id);
        let told = self.wanted.contains(&event.kind) && !of_itself;
        told.then(|| delivery::Model {
            webhook_id: Some(self.webhook.id),
            target: self.id.clone(),
            url: self.webhook.url.clone(),
            ..due(app, event, now)
        })
    }
}

fn due(app: &App, event: &event::Model, now: Timestamp) -> delivery::Model {
    delivery::Model {
        item_id: event.item_id,
        position: event.position,
        ..delivery::Model::due(app.rng.id(now), event.application_id, event.id, now)
    }
}

/// What deliveries to Items' own endpoints share: a slow origin holds up none but itself, and no other application's.
fn lane(application: Uuid, url: &str) -> String {
    let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
    format!("{application} {}", origin.unwrap_or_default())
}
