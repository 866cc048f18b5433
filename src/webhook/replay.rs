//! Replays: everything since a place or a time in the log, delivered again to one webhook.
//!
//! There is one delivery of an event for a webhook, ever: one that exists goes back to PENDING with its attempts kept,
//! one that is missing is made. Repeating a replay, also one that broke off, does no harm.

use std::{collections::HashSet, time::Duration};

use entity::{
    delivery,
    kind::{AuditAction, EventType},
    webhook,
};
use uuid::Uuid;

use super::registration::{self, lock};
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    clock::Timestamp,
    db::replay::{self as statements, Stretch, Told},
    error::{Error, Result},
    event::{cursor, relay},
};

/// Most events that one transaction takes.
const BATCH: usize = 500;

/// What is to be delivered again.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// Everything behind this cursor.
    pub after: Option<String>,
    /// Everything that happened at this time or later. Excludes `after`.
    pub since: Option<Timestamp>,
    /// Only these kinds, of those that the webhook asks for.
    pub kinds: Option<Vec<EventType>>,
    /// Whether to count only.
    pub dry_run: bool,
}

/// Delivers events again, in the log's order, and answers how many.
pub async fn replay(
    app: &App,
    principal: &Principal,
    id: Uuid,
    what: Replay,
) -> Result<(webhook::Model, i64)> {
    principal.require_api_key("replay webhooks")?;
    let webhook = registration::find(app, principal, id)
        .await?
        .ok_or(Error::NotFound { what: "webhook" })?;
    let application = principal.application;
    let after = match (&what.after, what.since) {
        (Some(after), None) => cursor::resume(app, application, after).await?,
        (None, Some(_)) => 0,
        _ => {
            return Err(Error::invalid(
                "after",
                "give after or since, one of the two",
            ));
        }
    };
    let mut kinds = relay::wanted(&webhook);
    if let Some(wanted) = &what.kinds {
        kinds.retain(|kind| wanted.contains(kind));
    }
    let stretch = Stretch {
        application,
        after,
        to: cursor::head(app, application).await?,
        since: what.since,
        kinds,
        except: id,
    };
    let count = statements::count(&app.db, &stretch).await?;
    if what.dry_run || count == 0 {
        return Ok((webhook, count));
    }
    let (task, principal) = (app.clone(), principal.clone());
    // In one task, so that who disconnects gets the whole of it all the same.
    app.unit(async move { run(&task, &principal, id, stretch, count).await })
        .await?;
    Ok((webhook, count))
}

async fn run(
    app: &App,
    principal: &Principal,
    id: Uuid,
    mut stretch: Stretch,
    count: i64,
) -> Result<()> {
    // Due one after the other up to now, so that lanes, which take the longest waiting first, keep the log's order.
    let mut due = app
        .clock
        .now()
        .minus(Duration::from_millis(u64::try_from(count).unwrap_or(0)));
    let mut entry = Some(
        Entry::of(principal, AuditAction::WebhookReplayed)
            .on(id)
            .with("count", count),
    );
    loop {
        if !app.running() {
            return Err(Error::internal("the node stopped during a replay"));
        }
        let txn = app.db.begin().await?;
        let webhook = lock(&txn, principal, id).await?;
        let told = statements::first(&app.db, &txn, &stretch, BATCH).await?;
        let Some(last) = told.last() else {
            return Ok(());
        };
        let now = app.clock.now();
        stretch.after = last.position;
        let timed: Vec<(&Told, Timestamp)> = told
            .iter()
            .map(|one| {
                due = due.plus(Duration::from_millis(1)).min(now);
                (one, due)
            })
            .collect();
        let target = webhook.id.to_string();
        let there: HashSet<Uuid> = statements::again(&app.db, &txn, &target, &timed, now)
            .await?
            .into_iter()
            .collect();
        let fresh = timed
            .iter()
            .filter(|(one, _)| !there.contains(&one.id))
            .map(|(one, due)| made(app, &webhook, one, *due, now))
            .collect();
        statements::insert(&txn, fresh).await?;
        // With the first of them, lest one that breaks off is untold.
        if let Some(entry) = entry.take() {
            entry.append(&txn, &app.clock, &app.rng).await?;
        }
        txn.commit().await?;
        app.wakes.delivery.notify();
        app.tails.hint(webhook.application_id);
    }
}

fn made(
    app: &App,
    webhook: &webhook::Model,
    event: &Told,
    due: Timestamp,
    now: Timestamp,
) -> delivery::Model {
    delivery::Model {
        webhook_id: Some(webhook.id),
        target: webhook.id.to_string(),
        item_id: event.item,
        position: Some(event.position),
        url: webhook.url.clone(),
        next_attempt_at: Some(due),
        ..delivery::Model::due(app.rng.id(now), webhook.application_id, event.id, now)
    }
}
