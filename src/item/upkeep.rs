//! Upkeep: what time alone does to Items and their runs.
//!
//! Schedules that a new interval has overtaken, consents that end, sandbox Items that nobody touches, Items of connectors
//! that have come to their end, runs that are older than they are kept, keys for parameters that open nothing any more,
//! quotas of months gone by. Every step is a short transaction and can be repeated; several nodes at once are harmless.

use std::time::Duration;

use entity::{application, item};
use sea_orm::{
    ColumnTrait as _, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::Expr,
};
use uuid::Uuid;

use super::{Held, auto_sync, consent, quota, remove, retirement};
use crate::{
    app::{App, BEAT as APPLICATIONS_BEAT},
    audit::Actor,
    auth::parameters_key,
    clock::Timestamp,
    db::{self, item::Due},
    error::Result,
};

/// How often it is looked for.
const BEAT: Duration = Duration::from_secs(5);
/// Items that one statement brings or changes.
const BATCH: usize = 500;
/// Runs that one transaction removes.
const RUNS: usize = 2_000;

/// Keeps up until the node stops.
pub async fn run(app: App) {
    let mut upkeep = Upkeep::default();
    while app.running() {
        match upkeep.run_once(&app).await {
            Ok(0) => tokio::select! {
                () = tokio::time::sleep(BEAT) => {}
                () = app.stopping() => {}
            },
            Ok(_) => {}
            Err(error) => app.log_and_pause("upkeep", &error).await,
        }
    }
}

/// Where this node's upkeep stands. Another node's begins anew.
#[derive(Debug, Default)]
pub struct Upkeep {
    /// Sandbox Items up to this one have been looked at in this round.
    idle_behind: Uuid,
}

impl Upkeep {
    /// Does some of what is due and says how much that was.
    pub async fn run_once(&mut self, app: &App) -> Result<usize> {
        Ok(reschedule(app).await?
            + consent::run_once(app).await?
            + self.delete_idle(app).await?
            + retirement::run_once(app).await?
            + forget_runs(app).await?
            + parameters_key::forget(app).await?
            + quota::forget(app).await?)
    }

    /// Deletes Items of sandbox connectors that nobody has touched for as long as the settings say.
    async fn delete_idle(&mut self, app: &App) -> Result<usize> {
        let Some(lasts) = app.config.sandbox_item_retention else {
            return Ok(0);
        };
        let sandboxes: Vec<i32> = app
            .connectors
            .list()
            .map(|connector| connector.descriptor())
            .filter(|form| form.is_sandbox)
            .map(|form| form.id)
            .collect();
        let since = app.clock.now().minus(lasts);
        let behind = self.idle_behind;
        let (idle, more) = db::item::untouched(&app.db, &sandboxes, since, behind, BATCH).await?;
        self.idle_behind = more.unwrap_or_default();
        for id in &idle {
            let (owner, id) = (app.clone(), *id);
            // Its way into the task moves it a few times.
            let work = Box::pin(async move { delete_untouched(&owner, id, since).await });
            // One that cannot be deleted holds up no other; the next round comes to it again.
            if let Err(error) = app.unit(work).await {
                error.log("deletion of an idle item");
            }
        }
        if !idle.is_empty() {
            app.wakes.relay.notify();
            app.wakes.purge.notify();
        }
        Ok(idle.len())
    }
}

async fn delete_untouched(app: &App, id: Uuid, since: Timestamp) -> Result<()> {
    let txn = app.db.begin().await?;
    let row = item::Entity::find_by_id(id)
        .filter(item::Column::DeletedAt.is_null())
        .filter(item::Column::UpdatedAt.lte(since.0))
        .lock_exclusive()
        .one(&txn)
        .await?;
    let Some(row) = row else { return Ok(()) };
    remove(&txn, app, &mut Held::stored(row), &Actor::ponte()).await?;
    Ok(txn.commit().await?)
}

/// Makes the schedule of applications anew whose interval has changed, and says how many Items have another time now.
async fn reschedule(app: &App) -> Result<usize> {
    let changed = application::Entity::find()
        .filter(application::Column::AutoSyncChangedAt.is_not_null())
        .all(app.db.read())
        .await?;
    if changed.is_empty() {
        return Ok(0);
    }
    app.applications.refresh(&app.db).await?;
    let mut done = 0;
    for application in changed {
        done += reschedule_all(app, application.id).await?;
        // Until every node has heard of it, runs that end may yet be followed by the interval of before.
        let heard = APPLICATIONS_BEAT * 3;
        let since = application.auto_sync_changed_at;
        if since.is_some_and(|since| app.clock.now().since(since) >= heard) {
            application::Entity::update_many()
                .col_expr(
                    application::Column::AutoSyncChangedAt,
                    Expr::value(None::<i64>),
                )
                .filter(application::Column::Id.eq(application.id))
                .filter(application::Column::AutoSyncChangedAt.eq(since.map(|at| at.0)))
                .exec(app.db.write())
                .await?;
        }
    }
    Ok(done)
}

async fn reschedule_all(app: &App, application: Uuid) -> Result<usize> {
    let (mut behind, mut done) = (Uuid::nil(), 0);
    while app.running() {
        let items = item::Entity::owned_by(application)
            .filter(item::Column::DeletedAt.is_null())
            .filter(item::Column::Id.gt(behind))
            .order_by_asc(item::Column::Id)
            .limit(BATCH as u64)
            .all(app.db.read())
            .await?;
        let Some(last) = items.last() else { break };
        behind = last.id;
        let now = app.clock.now();
        let late: Vec<Due> = items
            .iter()
            .filter_map(|item| auto_sync::rescheduled(app, item, now))
            .collect();
        if late.is_empty() {
            continue;
        }
        done += late.len();
        let owner = app.clone();
        app.unit(async move { db::item::set_due(&owner.db, owner.db.write(), &late).await })
            .await?;
    }
    if done > 0 {
        app.wakes.sync.notify();
    }
    Ok(done)
}

/// Removes runs that ended before what is kept.
async fn forget_runs(app: &App) -> Result<usize> {
    let before = app.clock.now().minus(app.config.execution_retention);
    let owner = app.clone();
    app.unit(async move { db::execution::forget(&owner.db, before, RUNS).await })
        .await
}
