//! Test events: an example of a type of event, delivered to one webhook like any other.
//!
//! They live in a table of their own, so that the log, whose positions are dense, knows nothing of them. Towards the
//! delivery worker they look like events whose addition is the whole body; every attempt sends what was stored.

use std::collections::HashMap;

use entity::{
    delivery, event,
    kind::{AuditAction, EventType},
    test_event,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _,
};
use serde_json::json;
use uuid::Uuid;

use super::registration::lock;
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    error::{Error, Result},
    event::{body, catalogue},
};

/// Delivers an example of a type of event to a webhook, whether it asks for that type or not.
pub async fn send_test_event(
    app: &App,
    principal: &Principal,
    webhook: Uuid,
    kind: EventType,
) -> Result<delivery::Model> {
    principal.require_api_key("send test events")?;
    let (task, principal) = (app.clone(), principal.clone());
    let delivery = app
        .unit(async move {
            let app = task;
            let now = app.clock.now();
            let txn = app.db.begin().await?;
            let webhook = lock(&txn, &principal, webhook).await?;
            if !webhook.enabled {
                return Err(Error::invalid(
                    "webhookId",
                    "the webhook is disabled; enable it first",
                ));
            }
            let id = app.rng.id(now);
            let mut whole = body(&catalogue::example(kind, id, principal.application, now));
            whole["test"] = json!(true);
            let test = test_event::Model {
                id,
                application_id: principal.application,
                kind,
                body: whole,
                created_at: now,
            };
            let delivery = delivery::Model {
                webhook_id: Some(webhook.id),
                target: webhook.id.to_string(),
                url: webhook.url,
                ..delivery::Model::due(app.rng.id(now), principal.application, id, now)
            };
            test_event::Entity::insert(test.into_active_model().reset_all())
                .exec_without_returning(&txn)
                .await?;
            delivery::Entity::insert(delivery.clone().into_active_model().reset_all())
                .exec_without_returning(&txn)
                .await?;
            Entry::of(&principal, AuditAction::TestEventSent)
                .on(webhook.id)
                .with("deliveryId", delivery.id.to_string())
                .append(&txn, &app.clock, &app.rng)
                .await?;
            txn.commit().await?;
            Ok(delivery)
        })
        .await?;
    app.wakes.delivery.notify();
    app.tails.hint(delivery.application_id);
    Ok(delivery)
}

/// Those of these events that are tests, as the delivery worker takes events.
pub(super) async fn events(
    db: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = Uuid>,
) -> Result<Vec<event::Model>> {
    let ids: Vec<Uuid> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = test_event::Entity::find()
        .filter(test_event::Column::Id.is_in(ids))
        .all(db)
        .await?;
    let event = |row: test_event::Model| event::Model {
        payload: row.body,
        ..catalogue::example(row.kind, row.id, row.application_id, row.created_at)
    };
    Ok(rows.into_iter().map(event).collect())
}

/// What deliveries tell of: these events, tests among them; those that are no longer kept are missing.
pub async fn told(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, event::Model>> {
    principal.require_api_key("see deliveries")?;
    let owner = principal.application;
    let mut events: Vec<_> = event::Entity::owned_by(owner)
        .filter(event::Column::Id.is_in(ids.iter().copied()))
        .all(app.db.read())
        .await?;
    if events.len() < ids.len() {
        let missing = ids
            .iter()
            .copied()
            .filter(|id| !events.iter().any(|event| event.id == *id))
            .collect::<Vec<_>>();
        let tests = self::events(app.db.read(), missing).await?;
        events.extend(
            tests
                .into_iter()
                .filter(|event| event.application_id == owner),
        );
    }
    Ok(events.into_iter().map(|event| (event.id, event)).collect())
}
