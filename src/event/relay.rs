//! The relay: gives committed events their position and makes the deliveries that match.
//!
//! Positions are dense and increasing per application, whatever order transactions commit in, because one transaction
//! holds the application's head row, stamps the oldest unpublished events and moves the head. Two relays at once are
//! harmless: the second finds nothing left to do.

use std::time::Duration;

use entity::{
    delivery, event,
    kind::{DeliveryStatus, EventType},
    webhook,
};
use sea_orm::{ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait, QueryFilter as _};
use serde::Deserialize as _;
use serde_json::json;
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
    let now = app.clock.now();
    let mut rows = Vec::new();
    for event in events {
        let matching = webhooks
            .iter()
            .filter_map(|webhook| for_webhook(app, event, webhook, now));
        rows.extend(matching);
        if let Some(url) = &event.webhook_url
            && event.kind != EventType::ItemStatusChanged
        {
            rows.push(due(app, event, None, lane(application, url), url, now));
        }
    }
    let count = rows.len();
    for chunk in rows.chunks(500) {
        delivery::Entity::insert_many(chunk.iter().cloned())
            .exec_without_returning(txn)
            .await?;
    }
    Ok(count)
}

/// The delivery of an event for a webhook that wants it. That a webhook was disabled is never told to that one.
pub fn for_webhook(
    app: &App,
    event: &event::Model,
    webhook: &webhook::Model,
    now: Timestamp,
) -> Option<delivery::ActiveModel> {
    let wanted: Option<Vec<EventType>> = webhook
        .events
        .as_ref()
        .and_then(|events| Vec::deserialize(events).ok());
    let matches = match wanted {
        Some(wanted) => wanted.contains(&event.kind),
        None => event.kind != EventType::ItemStatusChanged,
    };
    let of_itself = event.kind == EventType::WebhookDisabled
        && event.payload.pointer("/data/webhookId") == Some(&json!(webhook.id));
    (matches && !of_itself).then(|| {
        let target = webhook.id.to_string();
        due(app, event, Some(webhook.id), target, &webhook.url, now)
    })
}

fn due(
    app: &App,
    event: &event::Model,
    webhook_id: Option<Uuid>,
    target: String,
    url: &str,
    now: Timestamp,
) -> delivery::ActiveModel {
    delivery::ActiveModel {
        id: Set(app.rng.id(now)),
        application_id: Set(event.application_id),
        event_id: Set(event.id),
        webhook_id: Set(webhook_id),
        target: Set(target),
        item_id: Set(event.item_id),
        position: Set(event.position),
        url: Set(url.to_owned()),
        status: Set(DeliveryStatus::Pending),
        attempts: Set(0),
        next_attempt_at: Set(Some(now)),
        lease_until: Set(None),
        epoch: Set(0),
        created_at: Set(now),
        updated_at: Set(now),
    }
}

/// What deliveries to Items' own endpoints share: a slow origin holds up none but itself, and no other application's.
fn lane(application: Uuid, url: &str) -> String {
    let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
    format!("{application} {}", origin.unwrap_or_default())
}
