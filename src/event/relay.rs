//! The relay: gives committed events their position and makes the deliveries that match.
//!
//! Positions are dense and increasing per application, whatever order transactions commit in, because one transaction
//! holds the application's head row, stamps the oldest unpublished events and moves the head. Every node has a relay, and
//! whoever comes to a head that another holds passes by and comes back: nobody is elected, so nobody who stands still is in
//! the way for longer than the database lets its transaction idle.

use std::{sync::Arc, time::Duration};

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

use crate::{app::App, bus, clock::Timestamp, db, error::Result, metrics};

/// Most events that one transaction publishes.
const BATCH: u64 = 500;
/// How often the log is looked at without a hint, while no other node is heard.
const BEAT: Duration = Duration::from_millis(500);
/// How soon a log is looked at again that another node was publishing.
const AGAIN: Duration = Duration::from_millis(20);

/// Publishes until the node stops.
pub async fn run(app: App) {
    while app.running() {
        match look(&app).await {
            Ok(Done {
                published: 0,
                passed: 0,
            }) => {
                app.wakes.relay.wait(&app, app.bus.beat(BEAT)).await;
            }
            // What it publishes may not be all by the time it is done.
            Ok(Done { published: 0, .. }) => tokio::time::sleep(AGAIN).await,
            Ok(_) => {}
            Err(error) => app.log_and_pause("relay", &error).await,
        }
    }
}

/// What a look at the log came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Events that were published.
    pub published: usize,
    /// Applications that another node was publishing.
    pub passed: usize,
}

/// Publishes what is committed and says how many events that were.
pub async fn run_once(app: &App) -> Result<usize> {
    Ok(look(app).await?.published)
}

/// Publishes what is committed, passing by the applications that another node is publishing.
pub async fn look(app: &App) -> Result<Done> {
    let mut done = Done::default();
    for application in db::event::unpublished_applications(&app.db).await? {
        loop {
            let Some(count) = publish(app, application).await? else {
                done.passed += 1;
                break;
            };
            done.published += count;
            if count < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                break;
            }
        }
    }
    Ok(done)
}

/// Publishes some events of an application, and says how many; `None` while another node does.
async fn publish(app: &App, application: Uuid) -> Result<Option<usize>> {
    let app = app.clone();
    let task = app.clone();
    app.unit(async move {
        let app = task;
        let txn = app.db.begin().await?;
        let Some(events) = db::event::stamp(&app.db, &txn, application, BATCH).await? else {
            return Ok(None);
        };
        if !events.is_empty() && deliver(&app, &txn, application, &events).await? > 0 {
            txn.commit().await?;
            app.wakes.delivery.notify();
            app.tails.hint(application);
        } else {
            txn.commit().await?;
        }
        let count = events.len();
        metrics::events_published(count);
        bus::published(
            &app,
            application,
            events.into_iter().map(Arc::new).collect(),
        );
        Ok(Some(count))
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
