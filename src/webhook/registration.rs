//! Registrations: what an application's servers may do with its webhooks and their deliveries.
//!
//! Every change moves a registration's `updated_at` on, strictly: workers keep opened secrets under it.

use std::time::Duration;

use entity::{
    application, delivery, event,
    kind::{AuditAction, DeliveryStatus, EventType, WebhookPayload},
    webhook,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _,
    IntoActiveModel as _, PaginatorTrait as _, QueryFilter as _, QuerySelect as _,
};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    check,
    keyring::{HEADERS, Headers, headers_to_bytes, scope},
    keys,
    standing::{self, Backlog},
    trial,
};
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    clock::Timestamp,
    db,
    error::{Error, Result},
    item::Change,
};

/// How often what was left half done is looked for.
const BEAT: Duration = Duration::from_mins(1);
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
    /// How much requests tell; everything when `None`.
    pub payload: Option<WebhookPayload>,
    /// Whether an Item's next event waits for the one before.
    pub ordered: bool,
    /// Most requests under way at once.
    pub max_concurrency: Option<i32>,
    /// Most requests of a second; any number when `None`.
    pub max_per_second: Option<i32>,
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
    /// How much requests tell.
    pub payload: Option<WebhookPayload>,
    /// Whether an Item's next event waits for the one before.
    pub ordered: Option<bool>,
    /// Most requests under way at once; cleared, as many as unless told.
    pub max_concurrency: Change<i32>,
    /// Most requests of a second; cleared, any number.
    pub max_per_second: Change<i32>,
    /// What becomes of what waited, when it is enabled.
    pub backlog: Option<Backlog>,
}

impl WebhookUpdate {
    /// What the audit log tells of it: names of the fields that are given.
    fn entry(&self, principal: &Principal, id: Uuid) -> Entry {
        let fields = [
            ("url", self.url != Change::Keep),
            ("events", self.events != Change::Keep),
            ("description", self.description != Change::Keep),
            ("enabled", self.enabled != Change::Keep),
            ("headers", !matches!(self.headers, Change::Keep)),
            ("payload", self.payload.is_some()),
            ("ordered", self.ordered.is_some()),
            ("maxConcurrency", self.max_concurrency != Change::Keep),
            ("maxPerSecond", self.max_per_second != Change::Keep),
            ("backlog", self.backlog.is_some()),
        ];
        let given = fields.into_iter().filter(|(_, given)| *given);
        let names: Vec<&str> = given.map(|(name, _)| name).collect();
        Entry::of(principal, AuditAction::WebhookUpdated)
            .on(id)
            .with("fields", names)
    }
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
    let url = check::url(app, &new.url)?;
    let events = check::events(new.events)?;
    check::description(new.description.as_deref())?;
    let headers = check::headers(new.headers)?;
    let max_concurrency = check::concurrency(new.max_concurrency)?;
    let max_per_second = check::per_second(new.max_per_second)?;
    let (app, principal) = (app.clone(), principal.clone());
    let application = principal.application;
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
        let mut webhook = webhook::Model {
            id: app.rng.id(now),
            application_id: application,
            url,
            events: events.map(|events| json!(events)),
            description: new.description,
            secret: Vec::new(),
            previous_secret: None,
            previous_secret_until: None,
            signing_key: None,
            public_key: None,
            previous_signing_key: None,
            headers: None,
            payload: new.payload.unwrap_or(WebhookPayload::Full),
            ordered: new.ordered,
            max_concurrency,
            max_per_second,
            rate_at: 0,
            missed_after: None,
            missed_until: None,
            enabled: true,
            disabled_at: None,
            disabled_reason: None,
            created_at: now,
            updated_at: now,
        };
        let secret = keys::first(&txn, &app, &mut webhook).await?;
        webhook.headers = sealed_headers(&txn, &app, &webhook, &headers).await?;
        webhook::Entity::insert(webhook.clone().into_active_model().reset_all())
            .exec_without_returning(&txn)
            .await?;
        Entry::of(&principal, AuditAction::WebhookCreated)
            .on(webhook.id)
            .append(&txn, &app.clock, &app.rng)
            .await?;
        txn.commit().await?;
        Ok(Created { webhook, secret })
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
    let entry = what.entry(principal, id);
    let url = match &what.url {
        Change::Keep => None,
        Change::Set(Some(url)) => Some(check::url(app, url)?),
        Change::Set(None) => return Err(Error::invalid("url", "cannot be cleared")),
    };
    let enabled = match what.enabled {
        Change::Keep => None,
        Change::Set(Some(enabled)) => Some(enabled),
        Change::Set(None) => return Err(Error::invalid("enabled", "must be true or false")),
    };
    let events = match what.events {
        Change::Keep => None,
        Change::Set(events) => Some(check::events(events)?),
    };
    if let Change::Set(description) = &what.description {
        check::description(description.as_deref())?;
    }
    let headers = match what.headers {
        Change::Keep => None,
        Change::Set(headers) => Some(check::headers(headers.unwrap_or_default())?),
    };
    let concurrency = match what.max_concurrency {
        Change::Keep => None,
        Change::Set(most) => Some(check::concurrency(most)?),
    };
    let per_second = match what.max_per_second {
        Change::Keep => None,
        Change::Set(most) => Some(check::per_second(most)?),
    };
    if what.backlog.is_some() && enabled != Some(true) {
        return Err(Error::invalid("backlog", "goes with enabled: true"));
    }
    let (task, principal) = (app.clone(), principal.clone());
    let webhook = app
        .unit(async move {
            let app = task;
            if let Some(backlog) = what.backlog {
                standing::prepare(&app, &principal, id, backlog).await?;
            }
            let now = app.clock.now();
            let txn = app.db.begin().await?;
            if url.is_some() || enabled == Some(true) {
                // Before the registration itself, as the workers do.
                owned(&txn, &principal, id).await?;
                standing::close_circuit(&txn, id).await?;
            }
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
            if let Some(payload) = what.payload {
                webhook.payload = payload;
            }
            if let Some(ordered) = what.ordered {
                webhook.ordered = ordered;
            }
            if let Some(most) = concurrency {
                webhook.max_concurrency = most;
            }
            if let Some(most) = per_second {
                webhook.max_per_second = most;
                webhook.rate_at = 0;
            }
            match enabled {
                Some(true) => {
                    standing::enable(&txn, &app, &mut webhook, what.backlog, now).await?;
                }
                Some(false) if webhook.enabled => {
                    standing::disable(&txn, &mut webhook, "disabled by its owner", now).await?;
                }
                Some(false) | None => {}
            }
            webhook.updated_at = touched(&webhook, now);
            save(&txn, &webhook).await?;
            entry.append(&txn, &app.clock, &app.rng).await?;
            txn.commit().await?;
            Ok(webhook)
        })
        .await?;
    if webhook.missed_until.is_some() {
        standing::catch_up_soon(app, id);
    }
    app.wakes.delivery.notify();
    if what.backlog.is_some() {
        app.tails.hint(webhook.application_id);
    }
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
            owned(&txn, &principal, id).await?;
            standing::close_circuit(&txn, id).await?;
            let webhook = lock(&txn, &principal, id).await?;
            keys::destroy(&txn, &app, &webhook).await?;
            app.vault.destroy(&txn, webhook.headers.as_deref()).await?;
            webhook::Entity::delete_by_id(id).exec(&txn).await?;
            let removed = db::delivery::delete_some(&app.db, &txn, id, BATCH).await?;
            Entry::of(&principal, AuditAction::WebhookDeleted)
                .on(id)
                .append(&txn, &app.clock, &app.rng)
                .await?;
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

/// Gives a registration a new secret and a new asymmetric key. The old ones sign beside them for a day, so that the
/// receiver can change over.
pub async fn rotate_secret(app: &App, principal: &Principal, id: Uuid) -> Result<Created> {
    principal.require_api_key("rotate webhook secrets")?;
    let (task, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let app = task;
        let now = app.clock.now();
        let txn = app.db.begin().await?;
        let mut webhook = lock(&txn, &principal, id).await?;
        let secret = keys::rotate(&txn, &app, &mut webhook, now).await?;
        webhook.updated_at = touched(&webhook, now);
        save(&txn, &webhook).await?;
        Entry::of(&principal, AuditAction::WebhookSecretRotated)
            .on(id)
            .append(&txn, &app.clock, &app.rng)
            .await?;
        txn.commit().await?;
        Ok(Created { webhook, secret })
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
            Entry::of(&principal, AuditAction::DeliveryRetried)
                .on(id)
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

/// Finishes what was left half done, and gives old rows what they lack, until the node stops: asymmetric keys, deliveries of
/// missed events, the removal of what is left of deleted registrations. One that fails keeps none of the others.
pub(super) async fn keep_up(app: App) {
    while app.running() {
        for done in [
            keys::complete_all(&app).await,
            standing::catch_up_all(&app).await,
            drain_all(&app).await,
            db::delivery::forget_circuits(&app.db).await,
        ] {
            if let Err(error) = done {
                error.log("webhooks");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = app.stopping() => {}
        }
    }
}

async fn drain_all(app: &App) -> Result<()> {
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

/// Fails unless this is a registration of the application; holds nothing.
pub(super) async fn owned(
    txn: &DatabaseTransaction,
    principal: &Principal,
    id: Uuid,
) -> Result<()> {
    let found = webhook::Entity::owned_by(principal.application)
        .filter(webhook::Column::Id.eq(id))
        .count(txn)
        .await?;
    if found == 0 { Err(NOT_FOUND) } else { Ok(()) }
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
