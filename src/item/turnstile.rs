//! Requests to institutions, no more in a minute than a connector's limit, over all nodes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use entity::kind::ExecutionStatus;

use super::state;
use crate::{
    app::App,
    clock::Timestamp,
    config::limits::Pace,
    connector::{Failure, Requests, Turnstile},
    db::gate,
    error::Result,
};

/// When a place is asked for again that the database could not give.
const AGAIN: Duration = Duration::from_secs(1);

/// The requests of a call to a connector that waits at most so long for one. The first is `taken` already where whoever
/// makes the call has counted it.
pub fn requests(app: &App, connector: i32, patience: Duration, taken: bool) -> Requests {
    let Some(pace) = app.config.connector_limits.of(connector).pace() else {
        return Requests::default();
    };
    Requests::through(Places {
        app: app.clone(),
        connector,
        pace,
        patience,
        taken: AtomicBool::new(taken),
    })
}

/// The same, once the first may be made.
pub async fn admitted(app: &App, connector: i32, patience: Duration) -> Result<Requests, Failure> {
    requests(app, connector, patience, false).next().await?;
    Ok(requests(app, connector, patience, true))
}

struct Places {
    app: App,
    connector: i32,
    pace: Pace,
    patience: Duration,
    taken: AtomicBool,
}

#[async_trait]
impl Turnstile for Places {
    async fn pass(&self) -> Result<(), Failure> {
        if self.taken.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let clock = &self.app.clock;
        let latest = clock.now().plus(self.patience);
        let place = loop {
            match self.take(latest).await {
                Ok(Some(place)) => break place,
                Ok(None) => return Err(too_late(latest)),
                Err(error) => error.log("request to a connector"),
            }
            if clock.now() >= latest {
                let code = ExecutionStatus::UnexpectedError;
                return Err(Failure::new(code, state::explanation(code)));
            }
            clock.sleep(AGAIN).await;
        };
        let early = self.pace.tolerance;
        clock
            .sleep(place.since(clock.now()).saturating_sub(early))
            .await;
        Ok(())
    }
}

impl Places {
    async fn take(&self, latest: Timestamp) -> Result<Option<Timestamp>> {
        let (app, connector, apart) = (self.app.clone(), self.connector, self.pace.apart);
        self.app
            .unit(async move {
                let now = app.clock.now();
                gate::take(&app.db, connector, apart, now, latest).await
            })
            .await
    }
}

/// What Ponte refuses says nothing of the institution.
fn too_late(latest: Timestamp) -> Failure {
    let message = "This server has no request left to this institution in time, so that it is not asked more often than it bears. Try again later.";
    Failure::new(ExecutionStatus::Error, message).until(latest)
}
