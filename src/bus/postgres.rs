//! Listening to PostgreSQL on a connection of its own, which also shows whether the database answers this node at all.

use std::{sync::atomic::Ordering, time::Duration};

use secrecy::ExposeSecret as _;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::{Hint, doubt, hear, name};
use crate::{
    app::App,
    db::notify::Listener,
    error::{Error, Result},
    metrics::{self, Way},
};

/// How often the connection is tried out.
const PULSE: Duration = Duration::from_secs(1);
/// How long the database may take to answer on it.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long it takes to try again after the connection was lost.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the database may not answer before statements under way are given up: what a firewall swallows is answered
/// by nobody, and the kernel would wait for a quarter of an hour.
const SEVERED: Duration = Duration::from_secs(10);

/// Listens until the node stops, whatever happens to the connection.
pub(super) async fn run(app: App) {
    let mut answered = Instant::now();
    let mut told = false;
    while app.running() {
        let ended = listen(&app, &mut answered, &mut told).await;
        app.bus.listens.store(false, Ordering::Relaxed);
        metrics::bus_connected(Way::Postgres, false);
        let Err(error) = ended else { return };
        if !told {
            tracing::warn!(%error, "lost the notifications of other nodes; looking for work by itself until they are back");
            told = true;
            doubt(&app);
        }
        if answered.elapsed() > SEVERED {
            tracing::warn!("the database does not answer; what waits for it is given up");
            app.sever();
            answered = Instant::now();
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            () = app.stopping() => {}
        }
    }
}

/// Returns when the node stops, and fails when the connection is lost.
async fn listen(app: &App, answered: &mut Instant, told: &mut bool) -> Result<()> {
    let url = app.config.database_url.expose_secret();
    let mut listener = in_time(Listener::connect(url, &name(app))).await?;
    *answered = Instant::now();
    if std::mem::take(told) {
        tracing::info!("hears the notifications of other nodes again");
    }
    app.bus.listens.store(true, Ordering::Relaxed);
    metrics::bus_connected(Way::Postgres, true);
    doubt(app);
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            payload = listener.next() => {
                let (from, hint) = Hint::decode(payload?.as_bytes());
                *answered = Instant::now();
                if from != Some(app.bus.node) {
                    hear(app, hint);
                }
            }
            _ = pulse.tick() => {
                in_time(listener.ping()).await?;
                *answered = Instant::now();
            }
            () = app.stopping() => return Ok(()),
        }
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, work)
        .await
        .unwrap_or_else(|_| Err(Error::internal("the database does not answer in time")))
}
