//! Whether a registration is served: disabled by its owner or because its endpoint fails, enabled again with what
//! waited and what it missed.
//!
//! Disabling and enabling hold the application's head row, as the relay does: every event is either judged while the
//! registration was enabled or missed, never both and never neither.

use std::time::Duration;

use entity::{circuit, event, event_head, kind::EventType, webhook};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::registration::{lock_any, owned};
use crate::{
    app::App,
    auth::Principal,
    clock::Timestamp,
    db,
    error::{Error, Result},
    event::{
        self as events, Draft,
        body::{Disabled, WebhookDisabled},
        relay::Receiver,
    },
};

/// How long nothing but failure disables a registration.
pub(super) const PATIENCE: Duration = Duration::from_hours(5 * 24);
/// Most missed events that one transaction looks at.
const BATCH: u64 = 500;
/// Most deliveries that one transaction leaves out or hastens.
const WAITING_BATCH: usize = 1_000;

/// What becomes of what waited when a registration is enabled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backlog {
    /// What was pending is due at once, and what happened while it was disabled is sent too.
    Send,
    /// What was pending is left out, as is what happened meanwhile.
    Skip,
}

/// Stops serving a registration whose row the caller holds and saves.
pub(super) async fn disable(
    txn: &DatabaseTransaction,
    webhook: &mut webhook::Model,
    reason: &str,
    now: Timestamp,
) -> Result<()> {
    if webhook.missed_until.take().is_none() {
        webhook.missed_after = Some(head(txn, webhook.application_id).await?);
    }
    webhook.enabled = false;
    webhook.disabled_at = Some(now);
    webhook.disabled_reason = Some(reason.to_owned());
    Ok(())
}

/// Tells the owner that a registration was disabled without their doing.
pub(super) async fn tell(
    txn: &DatabaseTransaction,
    app: &App,
    webhook: &webhook::Model,
    reason: &str,
) -> Result<()> {
    let draft = Draft::new(EventType::WebhookDisabled, None).carrying(&WebhookDisabled {
        data: Disabled {
            webhook_id: webhook.id,
            reason: reason.to_owned().into(),
        },
    });
    events::append_of_application(txn, app, webhook.application_id, draft).await
}

/// Serves a registration again whose row the caller holds and saves.
pub(super) async fn enable(
    txn: &DatabaseTransaction,
    app: &App,
    webhook: &mut webhook::Model,
    backlog: Option<Backlog>,
    now: Timestamp,
) -> Result<()> {
    let was_disabled = !webhook.enabled;
    webhook.enabled = true;
    webhook.disabled_at = None;
    webhook.disabled_reason = None;
    match backlog {
        None if was_disabled => forget(webhook),
        None => {}
        Some(Backlog::Skip) => {
            forget(webhook);
            waiting(app, txn, webhook.id, Backlog::Skip, now).await?;
        }
        Some(Backlog::Send) => {
            waiting(app, txn, webhook.id, Backlog::Send, now).await?;
            if was_disabled && webhook.missed_after.is_some() {
                webhook.missed_until = Some(head(txn, webhook.application_id).await?);
                make_up(txn, app, webhook).await?;
            }
        }
    }
    Ok(())
}

/// Does to most of what waits what enabling a registration does to all of it, in transactions of their own: those stay
/// small, however long the backlog is. Meanwhile the registration is as it was. Should the node die, it still is, and
/// whoever asks again gets the rest.
pub(super) async fn prepare(
    app: &App,
    principal: &Principal,
    id: Uuid,
    backlog: Backlog,
) -> Result<()> {
    // What comes while this goes on is left to the end.
    let now = app.clock.now();
    loop {
        if !app.running() {
            return Err(Error::internal(
                "the node stopped while a webhook was enabled",
            ));
        }
        let txn = app.db.begin().await?;
        owned(&txn, principal, id).await?;
        let done = waiting(app, &txn, id, backlog, now).await?;
        txn.commit().await?;
        if done < WAITING_BATCH {
            return Ok(());
        }
    }
}

/// Leaves out or hastens some of what waits, and says how much.
async fn waiting(
    app: &App,
    txn: &DatabaseTransaction,
    id: Uuid,
    backlog: Backlog,
    now: Timestamp,
) -> Result<usize> {
    let (db, target) = (&app.db, id.to_string());
    match backlog {
        Backlog::Skip => db::delivery::skip(db, txn, &target, now, WAITING_BATCH).await,
        Backlog::Send => db::delivery::hasten(db, txn, &target, now, WAITING_BATCH).await,
    }
}

fn forget(webhook: &mut webhook::Model) {
    webhook.missed_after = None;
    webhook.missed_until = None;
}

/// Forgets what is known of a target's failures; the caller holds nothing of the registration yet.
pub(super) async fn close_circuit(txn: &DatabaseTransaction, webhook: Uuid) -> Result<()> {
    circuit::Entity::delete_by_id(webhook.to_string())
        .exec(txn)
        .await?;
    Ok(())
}

/// The application's position; nothing is published until the transaction ends.
pub(super) async fn head(txn: &DatabaseTransaction, application: Uuid) -> Result<i64> {
    event_head::Entity::find_by_id(application)
        .lock_exclusive()
        .one(txn)
        .await?
        .map(|head| head.position)
        .ok_or_else(|| Error::internal("an application has no head"))
}

/// Makes deliveries of some of what a registration missed.
async fn make_up(txn: &DatabaseTransaction, app: &App, webhook: &mut webhook::Model) -> Result<()> {
    let (Some(after), Some(until)) = (webhook.missed_after, webhook.missed_until) else {
        return Ok(());
    };
    let missed = event::Entity::owned_by(webhook.application_id)
        .filter(event::Column::Position.gt(after))
        .filter(event::Column::Position.lte(until))
        .order_by_asc(event::Column::Position)
        .limit(BATCH)
        .all(txn)
        .await?;
    let now = app.clock.now();
    let receiver = Receiver::new(webhook);
    let rows = missed
        .iter()
        .filter_map(|event| receiver.delivery(app, event, now));
    db::replay::insert(txn, rows.collect()).await?;
    match missed.last().and_then(|event| event.position) {
        Some(position) if position < until => webhook.missed_after = Some(position),
        Some(_) | None => forget(webhook),
    }
    Ok(())
}

/// The same as [`catch_up`], in a task of its own.
pub(super) fn catch_up_soon(app: &App, id: Uuid) {
    let task = app.clone();
    app.spawn(async move {
        if let Err(error) = catch_up(&task, id).await {
            error.log("deliveries of missed events");
        }
    });
}

/// Makes deliveries of all that a registration missed, in transactions of their own. A crash loses nothing: it goes on
/// when a worker starts.
async fn catch_up(app: &App, id: Uuid) -> Result<()> {
    let mut more = true;
    while more && app.running() {
        let task = app.clone();
        more = app
            .unit(async move {
                let app = task;
                let txn = app.db.begin().await?;
                let Some(mut webhook) = lock_any(&txn, id).await? else {
                    return Ok(false);
                };
                if webhook.missed_until.is_none() {
                    return Ok(false);
                }
                make_up(&txn, &app, &mut webhook).await?;
                let more = webhook.missed_until.is_some();
                webhook::Entity::update(webhook.into_active_model().reset_all())
                    .exec(&txn)
                    .await?;
                txn.commit().await?;
                Ok(more)
            })
            .await?;
        app.wakes.delivery.notify();
    }
    Ok(())
}

/// Goes on with what a stopped node left behind.
pub(super) async fn catch_up_all(app: &App) -> Result<()> {
    let behind: Vec<Uuid> = webhook::Entity::find()
        .filter(webhook::Column::MissedUntil.is_not_null())
        .select_only()
        .column(webhook::Column::Id)
        .into_tuple()
        .all(app.db.read())
        .await?;
    for id in behind {
        catch_up(app, id).await?;
    }
    Ok(())
}
