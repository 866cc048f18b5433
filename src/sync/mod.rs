//! The sync worker: claims executions that are due and runs each to its end or its next pause.
//!
//! An execution is claimed under a new epoch and held by a lease that a heartbeat prolongs. Every step is recorded in a
//! transaction of its own that only the holder of the epoch can make, so a crash between any two lines leads to another
//! worker going on at the last recorded step.

mod collect;
mod record;
mod run;
mod store;

use std::{sync::Arc, time::Duration};

use entity::execution;
use tokio::sync::Semaphore;

use crate::{app::App, db, error::Result};

/// How often due executions are looked for without a hint.
const BEAT: Duration = Duration::from_millis(500);

/// Claims and runs until the node stops, then hands over what it holds.
pub async fn run(app: App) {
    let slots = Arc::new(Semaphore::new(app.config.sync_concurrency));
    while app.running() {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let free = slots.available_permits() + 1;
        drop(slot);
        let claimed = match claim(&app, free).await {
            Ok(claimed) => claimed,
            Err(error) => {
                app.log_and_pause("sync", &error).await;
                continue;
            }
        };
        if claimed.is_empty() {
            app.wakes.sync.wait(&app, BEAT).await;
            continue;
        }
        for execution in claimed {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let owner = app.clone();
            app.spawn(async move {
                Box::pin(run::run(owner, execution)).await;
                drop(slot);
            });
        }
    }
}

async fn claim(app: &App, limit: usize) -> Result<Vec<execution::Model>> {
    let now = app.clock.now();
    db::execution::claim(&app.db, now, app.config.lease, app.young(), limit).await
}

/// Claims what is due, runs all of it to its end or next pause, and says how many executions that were.
pub async fn run_once(app: &App) -> Result<usize> {
    let limit = app.config.sync_concurrency;
    let claimed = claim(app, limit).await?;
    let count = claimed.len();
    let runs: Vec<_> = claimed
        .into_iter()
        .map(|execution| tokio::spawn(Box::pin(run::run(app.clone(), execution))))
        .collect();
    for run in runs {
        run.await.map_err(crate::error::Error::internal)?;
    }
    Ok(count)
}
