//! Forgetting: events, the deliveries that told of them, and entries of the audit log go when they are older than the
//! settings say.
//!
//! An application's log is cut at its old end only, so that a cursor is either good or known to be too old.

use std::time::Duration;

use entity::event_head;
use sea_orm::{EntityTrait as _, QuerySelect as _};
use uuid::Uuid;

use crate::{app::App, db, error::Result};

/// Most rows that one transaction removes.
const BATCH: usize = 2_000;
/// How often a node looks for what is too old.
const BEAT: Duration = Duration::from_mins(10);

/// Forgets until the node stops.
pub async fn run(app: App) {
    while app.running() {
        if let Err(error) = run_once(&app).await {
            error.log("retention");
        }
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = app.stopping() => {}
        }
    }
}

/// Removes what is too old and says how many rows that were.
pub async fn run_once(app: &App) -> Result<usize> {
    let now = app.clock.now();
    let cutoff = now.minus(app.config.event_retention);
    let audited = now.minus(app.config.audit_retention);
    let applications: Vec<Uuid> = event_head::Entity::find()
        .select_only()
        .column(event_head::Column::ApplicationId)
        .into_tuple()
        .all(app.db.read())
        .await?;
    let mut removed = 0;
    for application in applications {
        let batch =
            move |db| async move { db::event::forget(&db, application, cutoff, BATCH).await };
        removed += repeat(app, batch).await?;
        let batch =
            move |db| async move { db::event::forget_tests(&db, application, cutoff, BATCH).await };
        removed += repeat(app, batch).await?;
        let batch =
            move |db| async move { db::audit::forget(&db, application, audited, BATCH).await };
        removed += repeat(app, batch).await?;
    }
    let batch = move |db| async move { db::delivery::forget(&db, cutoff, BATCH).await };
    removed += repeat(app, batch).await?;
    Ok(removed)
}

/// Batch by batch, until there is nothing left or the node stops.
async fn repeat<F, W>(app: &App, batch: F) -> Result<usize>
where
    F: Fn(db::Db) -> W,
    W: Future<Output = Result<usize>> + Send + 'static,
{
    let mut removed = 0;
    while app.running() {
        let some = app.unit(batch(app.db.clone())).await?;
        removed += some;
        if some == 0 {
            break;
        }
    }
    Ok(removed)
}
