//! Automatic runs: which Items take part, when each is due, and why the others are not.
//!
//! [`of`] is what clients are shown and what the worker goes by. `item.auto_sync_due_at`, by which due Items are
//! found, follows from it: it is written with every end of a run, and again when an application's interval changes.
//! It may be late by the jitter and never early. A run that is started is checked once more by [`start`].

use std::time::Duration;

use entity::{
    execution, item,
    kind::{
        AuditAction, AutoSyncDrop, Environment, ExecutionStatus, ItemStatus, Product, TriggeredBy,
    },
};
use sea_orm::{ActiveModelTrait as _, DatabaseTransaction, EntityTrait, IntoActiveModel as _};
use uuid::Uuid;

use super::{
    Held, lock, lockout, new_execution, quota, save,
    state::{self, Signal},
    transition, unfinished,
};
use crate::{
    app::App,
    audit::Entry,
    auth::{KnownApplication, Principal},
    clock::{Rng, Timestamp},
    config::limits::Limit,
    connector::{Descriptor, RETRY_AT, SourceKind, instant},
    db::{self, item::Due},
    error::Result,
    event,
};

/// When a run that failed is repeated, after its end.
const RETRY_AFTER: Duration = Duration::from_hours(1);
/// Repetitions that may fail before the Item leaves automatic runs.
pub const MOST_RETRIES: i32 = 5;
/// The jitter is at most this, and this part of what is waited for.
const MOST_JITTER: Duration = Duration::from_mins(30);
const JITTER_PART: u32 = 10;

/// Where an Item stands in automatic runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// The next run is an interval after the last success.
    Scheduled,
    /// The last run failed and is repeated.
    Retrying,
    /// A run is under way.
    Running,
    /// It has left automatic runs because of what the institution says.
    Dropped,
    /// Its client has turned them off.
    Disabled,
    /// It takes no part in them.
    NotAvailable,
}

/// Where an Item stands in automatic runs, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AutoSync {
    /// Where it stands.
    pub state: State,
    /// Why it is not simply scheduled, and what to do; for clients.
    pub reason: Option<String>,
    /// The application's interval, if it has automatic runs.
    pub interval: Option<Duration>,
    /// The earliest time of the next run.
    pub next_at: Option<Timestamp>,
}

/// What bounds the runs of an Item beside what is known of it.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    /// Whether its connector is OFFLINE: it waits, and loses nothing by it.
    offline: bool,
    /// How many logins a day may have.
    logins: Option<i32>,
    /// What its connector is asked to bear.
    connector: Limit,
}

/// Where an Item stands in automatic runs now.
fn judge(
    application: Option<&KnownApplication>,
    form: &Descriptor,
    item: &item::Model,
    bounds: Bounds,
    now: Timestamp,
) -> AutoSync {
    let interval = match application.map_or(Err("the application is unknown"), interval) {
        Ok(interval) => interval,
        Err(why) => return without(State::NotAvailable, why, None),
    };
    let none = |state, why: &str| without(state, why, Some(interval));
    if let Some(why) = unable(form, item) {
        return none(State::NotAvailable, why);
    }
    if item.auto_sync_disabled_at.is_some() {
        let why =
            "turned off by disableItemAutoSync; updateItem turns it on again once it succeeds";
        return none(State::Disabled, why);
    }
    if let Some(why) = item.auto_sync_dropped {
        return none(State::Dropped, explain(why));
    }
    let status = state::status(item.execution_status);
    let standing = match (status, item.last_ended_at, item.last_updated_at) {
        (ItemStatus::Updated, _, Some(updated)) => AutoSync {
            state: State::Scheduled,
            reason: left_out(form, item, now),
            interval: Some(interval),
            next_at: Some(updated.plus(interval)),
        },
        (ItemStatus::Outdated, Some(ended), _) => AutoSync {
            state: State::Retrying,
            reason: Some(format!(
                "the last run failed with {}; it is repeated hourly, {} of {MOST_RETRIES} times so far",
                item.execution_status, item.auto_sync_failures
            )),
            interval: Some(interval),
            next_at: Some(ended.plus(RETRY_AFTER)),
        },
        (ItemStatus::LoginError, ..) => none(State::Dropped, explain(AutoSyncDrop::LoginError)),
        _ => none(State::Running, "a run is under way"),
    };
    let standing = match (status, retry_at(item), &item.error_message) {
        (ItemStatus::Outdated, Some(until), Some(why)) => standing.waiting(until, why),
        _ => standing,
    };
    let standing = match lockout::until(bounds.logins, form, item, now) {
        Some(until) => standing.waiting(
            until,
            "this day's logins are used up, so that the institution locks nobody out; the next run comes when the next day begins in UTC",
        ),
        None => standing,
    };
    let offline =
        || "the connector is OFFLINE; the run waits until its institution is reached again".into();
    let reason = match standing.next_at {
        Some(_) if bounds.offline => Some(offline()),
        Some(next) if item.auto_sync_due_at.map_or(next, |due| due.max(next)) <= now => {
            standing.reason.or_else(|| Some(due_for(bounds.connector)))
        }
        _ => standing.reason,
    };
    let standing = AutoSync { reason, ..standing };
    match item.consent_expires_at {
        Some(ends) if ends <= now || standing.next_at.is_some_and(|next| next >= ends) => none(
            State::Dropped,
            &format!("the consent ends at {ends}; the user has to connect again"),
        ),
        _ => standing,
    }
}

/// What the last run has left out, and the next ones of this month will, if anything.
fn left_out(form: &Descriptor, item: &item::Model, now: Timestamp) -> Option<String> {
    let products = quota::used_up(form, item, now);
    let names: Vec<&str> = products.into_iter().map(Product::as_str).collect();
    (!names.is_empty()).then(|| {
        format!(
            "this month's calls for {} are used up for this person at the institution; runs leave out what needs them until {}",
            names.join(", "),
            quota::resets_at(now)
        )
    })
}

/// Why a run that is due has not begun.
fn due_for(limit: Limit) -> String {
    let turn = "the run is due and begins when its turn comes";
    if limit == Limit::default() {
        return turn.to_owned();
    }
    format!("{turn}: this connector is asked to bear at most {limit}")
}

/// Until when the last run's failure asks to wait.
fn retry_at(item: &item::Model) -> Option<Timestamp> {
    let attributes = item.error_attributes.as_ref()?;
    instant(attributes.get(RETRY_AT)?.as_str()?)
}

impl AutoSync {
    /// The same, if a run is to come, with that run no earlier than this.
    fn waiting(self, until: Timestamp, why: &str) -> Self {
        match self.next_at {
            Some(next) if next < until => Self {
                reason: Some(why.to_owned()),
                next_at: Some(until),
                ..self
            },
            _ => self,
        }
    }
}

fn without(state: State, reason: &str, interval: Option<Duration>) -> AutoSync {
    AutoSync {
        state,
        reason: Some(reason.to_owned()),
        interval,
        next_at: None,
    }
}

/// The time between automatic runs of an application, or why it has none.
fn interval(application: &KnownApplication) -> Result<Duration, &'static str> {
    if application.disabled {
        return Err("the application is disabled");
    }
    if application.environment == Environment::Development {
        return Err("applications of the environment DEVELOPMENT have no automatic runs");
    }
    application
        .auto_sync_interval()
        .ok_or("automatic runs are off for this application")
}

/// Why an Item cannot run without its user, if so.
fn unable(form: &Descriptor, item: &item::Model) -> Option<&'static str> {
    match form.source {
        SourceKind::Institution => {}
        SourceKind::File => return Some("a file has nothing new to say; upload another one"),
        SourceKind::Gone => return Some("this server does not have the connector"),
    }
    let asks = form.has_mfa || form.credentials.iter().any(|field| field.mfa);
    if asks && !form.trusts_device {
        return Some("every run needs something from the user; use updateItem with them");
    }
    if form.credentials.is_empty() && !form.trusts_device {
        return Some("every run needs the user at the institution; use updateItem with them");
    }
    if form.oauth && item.memory.is_none() {
        return Some("the user has not logged in at the institution yet; use updateItem with them");
    }
    let keeps = form.credentials.iter().any(|field| !field.optional);
    if keeps && item.credentials.is_none() {
        return Some("no parameters are kept; send them with updateItem");
    }
    None
}

fn explain(why: AutoSyncDrop) -> &'static str {
    match why {
        AutoSyncDrop::LoginError => {
            "the institution refused the login; automatic runs go on once an updateItem has succeeded"
        }
        AutoSyncDrop::RetriesExhausted => {
            "the last run failed and so did its repetitions; automatic runs go on once an updateItem has succeeded"
        }
    }
}

/// Notes on an Item what the end of a run means for the runs to come. `failed_before` tells whether the run before had
/// failed too.
pub(super) fn ended(
    app: &App,
    item: &mut item::Model,
    execution: &execution::Model,
    failed_before: bool,
    now: Timestamp,
) {
    let by_itself = execution.triggered_by == TriggeredBy::Sync;
    match state::status(execution.status) {
        ItemStatus::Updated => {
            item.auto_sync_failures = 0;
            if !by_itself {
                item.auto_sync_dropped = None;
            }
            if execution.resumes_auto_sync {
                item.auto_sync_disabled_at = None;
            }
        }
        ItemStatus::LoginError => item.auto_sync_dropped = Some(AutoSyncDrop::LoginError),
        _ => {
            // What fails while nobody reaches the institution says nothing of the Item.
            let tried_out = app.health.offline(item.connector_id, item.application_id);
            if by_itself && failed_before && !tried_out && retry_at(item).is_none() {
                item.auto_sync_failures += 1;
            }
            if item.auto_sync_failures >= MOST_RETRIES {
                item.auto_sync_dropped
                    .get_or_insert(AutoSyncDrop::RetriesExhausted);
            }
        }
    }
    item.auto_sync_due_at = due(app, item, now);
}

/// When the next automatic run of an Item may start: its time and some jitter, so that Items that are due at the same
/// second are not started at once. What is overdue is spread from now on. A node that does not have the connector leaves the
/// time as it is: it may only be older than the others.
pub fn due(app: &App, item: &item::Model, now: Timestamp) -> Option<Timestamp> {
    if app.connectors.find(item.connector_id).is_none() {
        return item.auto_sync_due_at;
    }
    let standing = of(app, item, now);
    let (next, window) = window(&standing)?;
    let keeps = item
        .auto_sync_due_at
        .filter(|due| *due >= next && *due <= next.max(now).plus(window));
    Some(keeps.unwrap_or_else(|| next.max(now).plus(jitter(&app.rng, window))))
}

/// The time that an Item is to be given instead of the one it has, if that is another.
pub fn rescheduled(app: &App, item: &item::Model, now: Timestamp) -> Option<Due> {
    let at = due(app, item, now);
    (at != item.auto_sync_due_at).then_some(Due {
        id: item.id,
        status: item.execution_status,
        ended: item.last_ended_at,
        at,
    })
}

/// Where an Item stands now.
pub fn of(app: &App, item: &item::Model, now: Timestamp) -> AutoSync {
    let connector = app.connectors.stored(item.connector_id);
    let application = app.applications.find(item.application_id);
    judge(
        application.as_ref(),
        connector.descriptor(),
        item,
        Bounds {
            offline: app.health.offline(item.connector_id, item.application_id),
            logins: app.config.login_attempts_per_day,
            connector: app.config.connector_limits.of(item.connector_id),
        },
        now,
    )
}

/// The time of the next run, and how much later it may start.
fn window(standing: &AutoSync) -> Option<(Timestamp, Duration)> {
    let (next, interval) = (standing.next_at?, standing.interval?);
    let waited = match standing.state {
        State::Retrying => interval.min(RETRY_AFTER),
        _ => interval,
    };
    Some((next, (waited / JITTER_PART).min(MOST_JITTER)))
}

fn jitter(rng: &Rng, window: Duration) -> Duration {
    window.mul_f64(rng.fraction())
}

/// Takes an Item out of automatic runs until a run that its client asks for later has succeeded.
pub async fn disable_auto_sync(app: &App, principal: &Principal, id: Uuid) -> Result<item::Model> {
    principal.require_api_key("disable auto-sync")?;
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let txn = owner.db.begin().await?;
        let mut item = lock(&txn, &principal, id).await?;
        let now = owner.clock.now();
        item.auto_sync_disabled_at.get_or_insert(now);
        item.auto_sync_due_at = None;
        item.updated_at = now;
        save(&txn, &item).await?;
        // A run that was asked for before does not turn it on again.
        if let Some(running) = unfinished(&txn, &item).await? {
            db::execution::forget_resumption(&owner.db, &txn, running.id).await?;
        }
        Entry::of(&principal, AuditAction::ItemAutoSyncDisabled)
            .on(id)
            .about(&owner.vault, item.client_user_id.as_deref())
            .append(&txn, &owner.clock, &owner.rng)
            .await?;
        txn.commit().await?;
        Ok(item.into_row())
    })
    .await
}

/// Starts runs of Items that are due, as many statements as for one, each held until `lease_until` under its first
/// epoch. The caller holds the Items' rows and knows that none has an unfinished run. One that is not to run now after
/// all is given the time at which it is.
pub async fn start(
    txn: &DatabaseTransaction,
    app: &App,
    items: Vec<item::Model>,
    lease_until: Timestamp,
) -> Result<Vec<execution::Model>> {
    let now = app.clock.now();
    let mut started = Vec::new();
    let mut told = Vec::new();
    let mut late = Vec::new();
    for item in items {
        let next = of(app, &item, now).next_at;
        if next.is_none_or(|next| next > now) {
            late.extend(rescheduled(app, &item, now));
            continue;
        }
        let mut execution = new_execution(app, &item, TriggeredBy::Sync, &[]);
        execution.status = item.execution_status;
        execution.epoch = 1;
        execution.claimed_early = app.young();
        execution.lease_until = Some(lease_until);
        execution.due_at = lease_until;
        execution.started_at = Some(now);
        let mut item = Held::stored(item);
        let signal = Signal::UpdateRequested.into();
        let drafts = transition::advance(app, &mut item, &mut execution, &signal)?;
        told.push((item, drafts));
        started.push(execution);
    }
    if !late.is_empty() {
        db::item::set_due(&app.db, txn, &late).await?;
    }
    if started.is_empty() {
        return Ok(started);
    }
    let rows = started
        .iter()
        .map(|execution| execution.clone().into_active_model().reset_all());
    execution::Entity::insert_many(rows)
        .exec_without_returning(txn)
        .await?;
    let events = told
        .iter_mut()
        .map(|(item, drafts)| (&mut **item, std::mem::take(drafts)));
    event::append_all(txn, app, events).await?;
    // All that a start changes, the same for each of them: `save` would be a statement for every Item.
    let ids: Vec<Uuid> = started.iter().map(|execution| execution.item_id).collect();
    db::item::set_started(&app.db, txn, &ids, ExecutionStatus::Created, now).await?;
    Ok(started)
}

#[cfg(test)]
pub(super) mod tests;
