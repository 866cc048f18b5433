//! Registrations: what an application's servers may do with its webhooks and their deliveries.
//!
//! Every change moves a registration's `updated_at` on, strictly: workers keep opened secrets under it.

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use entity::{
    application, delivery, event,
    kind::{DeliveryStatus, EventType},
    webhook,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QuerySelect as _,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use strum::IntoEnumIterator as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    egress::check_header,
    keyring::{HEADERS, Headers, PREVIOUS_SECRET, SECRET, headers_to_bytes, scope},
    signature::Secret,
    trial,
};
use crate::{
    app::App,
    auth::Principal,
    clock::Timestamp,
    db,
    error::{Error, Result},
    item::Change,
};

/// How long a replaced secret signs beside the new one.
const OVERLAP: Duration = Duration::from_hours(24);
/// Longest description.
const DESCRIPTION_CHARS_MAX: usize = 500;
/// Most static headers of one registration.
const HEADERS_MAX: usize = 20;
/// Longest value of a static header.
const HEADER_BYTES_MAX: usize = 4_096;
/// Most deliveries that one transaction removes.
const BATCH: usize = 1_000;

const NOT_FOUND: Error = Error::NotFound { what: "webhook" };

/// What a registration is made of.
#[derive(Debug, Default)]
pub struct NewWebhook {
    /// Endpoint.
    pub url: String,
    /// Wanted events; all but `ITEM_STATUS_CHANGED` when `None`.
    pub events: Option<Vec<EventType>>,
    /// The owner's words.
    pub description: Option<String>,
    /// Sent with every request.
    pub headers: Vec<(String, SecretString)>,
}

/// What is to change about a registration.
#[derive(Debug, Default)]
pub struct WebhookUpdate {
    /// Endpoint; cannot be cleared.
    pub url: Change<String>,
    /// Wanted events; cleared, all but `ITEM_STATUS_CHANGED`.
    pub events: Change<Vec<EventType>>,
    /// The owner's words.
    pub description: Change<String>,
    /// Whether deliveries are sent; cannot be cleared.
    pub enabled: Change<bool>,
    /// Sent with every request; replaces all of them.
    pub headers: Change<Vec<(String, SecretString)>>,
}

/// A registration with its signing secret, which is shown this once.
pub struct Created {
    /// The committed state.
    pub webhook: webhook::Model,
    /// `whsec_…`
    pub secret: Zeroizing<String>,
}

/// Registers an endpoint.
pub async fn create(app: &App, principal: &Principal, new: NewWebhook) -> Result<Created> {
    principal.require_api_key("register webhooks")?;
    let url = checked_url(app, &new.url)?;
    let events = checked_events(new.events)?;
    check_description(new.description.as_deref())?;
    let headers = checked_headers(new.headers)?;
    let (app, application) = (app.clone(), principal.application);
    let task = app.clone();
    app.unit(async move {
        let app = task;
        let now = app.clock.now();
        let txn = app.db.begin().await?;
        // One registration at a time, so that the limit holds.
        application::Entity::find_by_id(application)
            .lock_exclusive()
            .one(&txn)
            .await?;
        let limit = app.config.webhooks_per_application;
        if webhook::Entity::owned_by(application).count(&txn).await? >= limit {
            return Err(Error::invalid(
                "url",
                format!("an application may have {limit} webhooks; delete one first"),
            ));
        }
        let secret = Secret::generate(&app.rng);
        let mut webhook = webhook::Model {
            id: app.rng.id(now),
            application_id: application,
            url,
            events: events.map(|events| json!(events)),
            description: new.description,
            secret: Vec::new(),
            previous_secret: None,
            previous_secret_until: None,
            headers: None,
            enabled: true,
            disabled_at: None,
            disabled_reason: None,
            created_at: now,
            updated_at: now,
        };
        webhook.secret = app
            .vault
            .seal(&txn, scope(&webhook, SECRET), secret.reveal().as_bytes())
            .await?;
        webhook.headers = sealed_headers(&txn, &app, &webhook, &headers).await?;
        webhook::Entity::insert(webhook.clone().into_active_model().reset_all())
            .exec_without_returning(&txn)
            .await?;
        txn.commit().await?;
        Ok(Created {
            webhook,
            secret: secret.reveal(),
        })
    })
    .await
}

/// Changes a registration. A corrected address counts for what waits as well; enabling it lets that go out.
pub async fn update(
    app: &App,
    principal: &Principal,
    id: Uuid,
    what: WebhookUpdate,
) -> Result<webhook::Model> {
    principal.require_api_key("change webhooks")?;
    let url = match &what.url {
        Change::Keep => None,
        Change::Set(Some(url)) => Some(checked_url(app, url)?),
        Change::Set(None) => return Err(Error::invalid("url", "cannot be cleared")),
    };
    let enabled = match what.enabled {
        Change::Keep => None,
        Change::Set(Some(enabled)) => Some(enabled),
        Change::Set(None) => return Err(Error::invalid("enabled", "must be true or false")),
    };
    let events = match what.events {
        Change::Keep => None,
        Change::Set(events) => Some(checked_events(events)?),
    };
    if let Change::Set(description) = &what.description {
        check_description(description.as_deref())?;
    }
    let headers = match what.headers {
        Change::Keep => None,
        Change::Set(headers) => Some(checked_headers(headers.unwrap_or_default())?),
    };
    let (task, principal) = (app.clone(), principal.clone());
    let webhook = app
        .unit(async move {
            let app = task;
            let now = app.clock.now();
            let txn = app.db.begin().await?;
            let mut webhook = lock(&txn, &principal, id).await?;
            if let Some(url) = url {
                webhook.url = url;
            }
            if let Some(events) = events {
                webhook.events = events.map(|events| json!(events));
            }
            if let Change::Set(description) = what.description {
                webhook.description = description;
            }
            if let Some(headers) = headers {
                app.vault.destroy(&txn, webhook.headers.as_deref()).await?;
                webhook.headers = sealed_headers(&txn, &app, &webhook, &headers).await?;
            }
            match enabled {
                Some(true) => {
                    webhook.enabled = true;
                    webhook.disabled_at = None;
                    webhook.disabled_reason = None;
                }
                Some(false) if webhook.enabled => {
                    webhook.enabled = false;
                    webhook.disabled_at = Some(now);
                    webhook.disabled_reason = Some("disabled by its owner".to_owned());
                }
                Some(false) | None => {}
            }
            webhook.updated_at = touched(&webhook, now);
            save(&txn, &webhook).await?;
            txn.commit().await?;
            Ok(webhook)
        })
        .await?;
    app.wakes.delivery.notify();
    Ok(webhook)
}

/// Deletes a registration with its secrets; nothing of it is sent any more. Its deliveries go with it, a long history
/// soon after.
pub async fn delete(app: &App, principal: &Principal, id: Uuid) -> Result<()> {
    principal.require_api_key("delete webhooks")?;
    let (task, principal) = (app.clone(), principal.clone());
    let removed = app
        .unit(async move {
            let app = task;
            let txn = app.db.begin().await?;
            let webhook = lock(&txn, &principal, id).await?;
            for envelope in [
                Some(webhook.secret),
                webhook.previous_secret,
                webhook.headers,
            ] {
                app.vault.destroy(&txn, envelope.as_deref()).await?;
            }
            webhook::Entity::delete_by_id(id).exec(&txn).await?;
            let removed = db::delivery::delete_some(&app.db, &txn, id, BATCH).await?;
            txn.commit().await?;
            Ok(removed)
        })
        .await?;
    if removed == BATCH {
        let rest = app.clone();
        app.spawn(async move {
            if let Err(error) = drain(&rest, id).await {
                error.log("deliveries of a deleted webhook");
            }
        });
    }
    Ok(())
}

/// Gives a registration a new secret. The old one signs beside it for a day, so that the receiver can change over.
pub async fn rotate_secret(app: &App, principal: &Principal, id: Uuid) -> Result<Created> {
    principal.require_api_key("rotate webhook secrets")?;
    let (task, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let app = task;
        let now = app.clock.now();
        let txn = app.db.begin().await?;
        let mut webhook = lock(&txn, &principal, id).await?;
        let vault = &app.vault;
        let old = vault
            .unseal(&txn, scope(&webhook, SECRET), &webhook.secret)
            .await?;
        for envelope in [Some(&webhook.secret), webhook.previous_secret.as_ref()] {
            vault.destroy(&txn, envelope.map(Vec::as_slice)).await?;
        }
        let fresh = Secret::generate(&app.rng);
        webhook.previous_secret = Some(
            vault
                .seal(&txn, scope(&webhook, PREVIOUS_SECRET), &old)
                .await?,
        );
        webhook.previous_secret_until = Some(now.plus(OVERLAP));
        webhook.secret = vault
            .seal(&txn, scope(&webhook, SECRET), fresh.reveal().as_bytes())
            .await?;
        webhook.updated_at = touched(&webhook, now);
        save(&txn, &webhook).await?;
        txn.commit().await?;
        Ok(Created {
            webhook,
            secret: fresh.reveal(),
        })
    })
    .await
}

/// A registration of this application.
pub async fn find(app: &App, principal: &Principal, id: Uuid) -> Result<Option<webhook::Model>> {
    principal.require_api_key("see webhooks")?;
    Ok(webhook::Entity::owned_by(principal.application)
        .filter(webhook::Column::Id.eq(id))
        .one(app.db.read())
        .await?)
}

/// The events that a registration gets.
pub fn events_of(webhook: &webhook::Model) -> Vec<EventType> {
    webhook
        .events
        .clone()
        .and_then(|events| serde_json::from_value(events).ok())
        .unwrap_or_else(|| {
            EventType::iter()
                .filter(|kind| *kind != EventType::ItemStatusChanged)
                .collect()
        })
}

/// A delivery of this application.
pub async fn find_delivery(
    app: &App,
    principal: &Principal,
    id: Uuid,
) -> Result<Option<delivery::Model>> {
    principal.require_api_key("see deliveries")?;
    Ok(delivery::Entity::owned_by(principal.application)
        .filter(delivery::Column::Id.eq(id))
        .one(app.db.read())
        .await?)
}

/// Makes a delivery due now, whatever became of it, with the whole schedule before it. One that is being sent at this
/// moment is not sent twice.
pub async fn retry_delivery(app: &App, principal: &Principal, id: Uuid) -> Result<delivery::Model> {
    principal.require_api_key("retry deliveries")?;
    let (task, principal) = (app.clone(), principal.clone());
    let delivery = app
        .unit(async move {
            let app = task;
            let now = app.clock.now();
            let txn = app.db.begin().await?;
            let mut delivery = delivery::Entity::owned_by(principal.application)
                .filter(delivery::Column::Id.eq(id))
                .lock_exclusive()
                .one(&txn)
                .await?
                .ok_or(Error::NotFound { what: "delivery" })?;
            let kept = event::Entity::owned_by(principal.application)
                .filter(event::Column::Id.eq(delivery.event_id))
                .count(&txn)
                .await?;
            if kept == 0 && trial::events(&txn, [delivery.event_id]).await?.is_empty() {
                return Err(Error::invalid(
                    "deliveryId",
                    "the event of this delivery is no longer kept",
                ));
            }
            delivery.attempts = 0;
            delivery.updated_at = now;
            if delivery.lease_until.is_none_or(|until| until <= now) {
                delivery.status = DeliveryStatus::Pending;
                delivery.next_attempt_at = Some(now);
                delivery.lease_until = None;
                // Whoever still holds it from long ago records nothing any more.
                delivery.epoch += 1;
            }
            delivery::Entity::update(delivery.clone().into_active_model().reset_all())
                .exec(&txn)
                .await?;
            txn.commit().await?;
            Ok(delivery)
        })
        .await?;
    app.wakes.delivery.notify();
    app.tails.hint(delivery.application_id);
    Ok(delivery)
}

/// Removes what is left of deleted registrations.
pub(super) async fn sweep(app: &App) -> Result<()> {
    for webhook in db::delivery::orphaned(&app.db).await? {
        drain(app, webhook).await?;
    }
    Ok(())
}

async fn drain(app: &App, webhook: Uuid) -> Result<()> {
    while app.running() {
        let task = app.clone();
        let removed = app
            .unit(async move {
                let txn = task.db.begin().await?;
                let removed = db::delivery::delete_some(&task.db, &txn, webhook, BATCH).await?;
                txn.commit().await?;
                Ok(removed)
            })
            .await?;
        if removed == 0 {
            break;
        }
    }
    Ok(())
}

/// Holds a registration's row until the transaction ends.
pub(super) async fn lock(
    txn: &DatabaseTransaction,
    principal: &Principal,
    id: Uuid,
) -> Result<webhook::Model> {
    lock_any(txn, id)
        .await?
        .filter(|row| row.application_id == principal.application)
        .ok_or(NOT_FOUND)
}

/// The same, for a worker, whoever owns it.
pub(super) async fn lock_any(
    txn: &DatabaseTransaction,
    id: Uuid,
) -> Result<Option<webhook::Model>> {
    Ok(webhook::Entity::find_by_id(id)
        .lock_exclusive()
        .one(txn)
        .await?)
}

/// The time of a change, later than the one before even when the clock has not moved.
pub(super) fn touched(webhook: &webhook::Model, now: Timestamp) -> Timestamp {
    now.max(webhook.updated_at.plus(Duration::from_millis(1)))
}

async fn save(txn: &DatabaseTransaction, webhook: &webhook::Model) -> Result<()> {
    webhook::Entity::update(webhook.clone().into_active_model().reset_all())
        .exec(txn)
        .await?;
    Ok(())
}

fn checked_url(app: &App, url: &str) -> Result<String> {
    match app.egress.policy().check_url(url) {
        Ok(url) => Ok(url.into()),
        Err(reason) => Err(Error::invalid("url", reason)),
    }
}

fn checked_events(events: Option<Vec<EventType>>) -> Result<Option<BTreeSet<EventType>>> {
    let events: Option<BTreeSet<_>> = events.map(|events| events.into_iter().collect());
    if events.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(Error::invalid(
            "events",
            "name at least one event, or leave it out for all but ITEM_STATUS_CHANGED",
        ));
    }
    Ok(events)
}

fn check_description(description: Option<&str>) -> Result<()> {
    match description {
        Some(text) if text.chars().count() > DESCRIPTION_CHARS_MAX || text.contains('\0') => {
            Err(Error::invalid(
                "description",
                format!("at most {DESCRIPTION_CHARS_MAX} characters"),
            ))
        }
        Some(_) | None => Ok(()),
    }
}

fn checked_headers(headers: Vec<(String, SecretString)>) -> Result<Headers> {
    if headers.len() > HEADERS_MAX {
        return Err(Error::invalid(
            "headers",
            format!("must be at most {HEADERS_MAX}"),
        ));
    }
    let mut names = HashSet::new();
    headers
        .into_iter()
        .map(|(name, value)| {
            let value = value.expose_secret();
            let (name, _) =
                check_header(&name, value).map_err(|reason| Error::invalid("headers", reason))?;
            if value.len() > HEADER_BYTES_MAX {
                let reason = format!("must have values of at most {HEADER_BYTES_MAX} bytes");
                return Err(Error::invalid("headers", reason));
            }
            if !names.insert(name.clone()) {
                let reason = format!("must contain {name} only once");
                return Err(Error::invalid("headers", reason));
            }
            Ok((name.as_str().to_owned(), Zeroizing::new(value.to_owned())))
        })
        .collect()
}

async fn sealed_headers(
    txn: &DatabaseTransaction,
    app: &App,
    webhook: &webhook::Model,
    headers: &Headers,
) -> Result<Option<Vec<u8>>> {
    if headers.is_empty() {
        return Ok(None);
    }
    let bytes = headers_to_bytes(headers);
    let sealed = app.vault.seal(txn, scope(webhook, HEADERS), &bytes).await?;
    Ok(Some(sealed))
}
