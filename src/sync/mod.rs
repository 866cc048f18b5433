//! The sync worker: claims executions that are due and runs each to its end or its next pause.
//!
//! An execution is claimed under a new epoch and held by a lease that a heartbeat prolongs. Every step is recorded in a
//! transaction of its own that only the holder of the epoch can make, so a crash between any two lines leads to another
//! worker going on at the last recorded step.

mod claim;
mod collect;
mod login;
mod quota;
mod record;
mod run;
mod store;
mod whole;

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

pub use self::claim::{Claimed, Turn, claim, lag};
use crate::{app::App, error::Result};

/// How often due executions are looked for without a hint.
const BEAT: Duration = Duration::from_millis(500);

/// Claims and runs until the node stops, then hands over what it holds.
pub async fn run(app: App) {
    let most = app.config.sync_concurrency;
    let slots = Arc::new(Semaphore::new(most));
    let mut turn = Turn::default();
    while app.running() {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let free = slots.available_permits() + 1;
        drop(slot);
        let claimed = match claim(&app, &mut turn, free, most).await {
            Ok(claimed) => claimed,
            Err(error) => {
                app.log_and_pause("sync", &error).await;
                continue;
            }
        };
        if claimed.executions.is_empty() && claimed.round {
            app.wakes.sync.wait(&app, BEAT).await;
            continue;
        }
        for execution in claimed.executions {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let owner = app.clone();
            app.spawn(async move {
                let run = Box::pin(run::run(owner.clone(), execution));
                owner.unless_severed(run).await;
                drop(slot);
            });
        }
    }
}

/// Claims what is due, runs all of it to its end or next pause, and says how many executions that were.
pub async fn run_once(app: &App) -> Result<usize> {
    let most = app.config.sync_concurrency;
    let mut turn = Turn::default();
    let mut count = 0;
    loop {
        let claimed = claim(app, &mut turn, most, most).await?;
        count += claimed.executions.len();
        let runs: Vec<_> = claimed
            .executions
            .into_iter()
            .map(|execution| tokio::spawn(Box::pin(run::run(app.clone(), execution))))
            .collect();
        for run in runs {
            run.await.map_err(crate::error::Error::internal)?;
        }
        if claimed.round {
            return Ok(count);
        }
    }
}
