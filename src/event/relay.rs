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
use url::Url;
use uuid::Uuid;

use crate::{app::App, db, error::Result, metrics};

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
    let webhooks: Vec<_> = webhook::Entity::owned_by(application)
        .filter(webhook::Column::Enabled.eq(true))
        .all(txn)
        .await?
        .into_iter()
        .map(|webhook| {
            let wanted: Option<Vec<EventType>> = webhook
                .events
                .clone()
                .and_then(|events| serde_json::from_value(events).ok());
            (webhook, wanted)
        })
        .collect();
    let now = app.clock.now();
    let mut rows = Vec::new();
    for event in events {
        let due = |webhook_id, target: String, url: &str| delivery::ActiveModel {
            id: Set(app.rng.id(now)),
            application_id: Set(application),
            event_id: Set(event.id),
            webhook_id: Set(webhook_id),
            target: Set(target),
            item_id: Set(event.item_id),
            url: Set(url.to_owned()),
            status: Set(DeliveryStatus::Pending),
            attempts: Set(0),
            next_attempt_at: Set(Some(now)),
            lease_until: Set(None),
            epoch: Set(0),
            created_at: Set(now),
            updated_at: Set(now),
        };
        for (webhook, wanted) in &webhooks {
            let matches = match wanted {
                Some(wanted) => wanted.contains(&event.kind),
                None => event.kind != EventType::ItemStatusChanged,
            };
            if matches {
                rows.push(due(Some(webhook.id), webhook.id.to_string(), &webhook.url));
            }
        }
        if let Some(url) = &event.webhook_url
            && event.kind != EventType::ItemStatusChanged
        {
            rows.push(due(None, lane(application, url), url));
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

/// What deliveries to Items' own endpoints share: a slow origin holds up none but itself, and no other application's.
fn lane(application: Uuid, url: &str) -> String {
    let origin = Url::parse(url).map(|url| url.origin().ascii_serialization());
    format!("{application} {}", origin.unwrap_or_default())
}
