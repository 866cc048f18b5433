//! The App: everything a node consists of, its start and its graceful stop.

use std::{future::Future, ops::Deref, path::Path, sync::Arc, time::Duration};

use entity::meta;
use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};
use secrecy::ExposeSecret as _;
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    audit,
    auth::{Applications, Attempts},
    backup,
    bus::{self, Bus, Worker},
    category, client_user,
    clock::{Clock, Rng, Timestamp},
    config::{Config, sqlite_path},
    connector::Registry,
    db::{self, Db, Engine},
    error::{Error, Result},
    event::{self, feed::Feed},
    item, metrics, sync,
    vault::Vault,
    webhook::{self, egress},
};

/// How often a node looks for revoked tokens, disabled applications and new keys.
pub const BEAT: Duration = Duration::from_secs(2);
/// How often a node measures its clock against the database's.
const CLOCK_BEATS: u32 = 30;
/// How often a node measures what waits.
const QUEUE_BEATS: u32 = 5;

/// How long a node is young: what it loses by then says nothing of what it was running. Runs that only an older one takes wait
/// for less than the five seconds after a lease in which every run goes on.
const YOUTH: Duration = Duration::from_secs(4);

/// Everything a node consists of; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What an [`App`] holds.
pub struct Parts {
    /// Settings.
    pub config: Config,
    /// The database.
    pub db: Db,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub rng: Rng,
    /// Keys.
    pub vault: Vault,
    /// Connectors.
    pub connectors: Registry,
    /// The applications as last read.
    pub applications: Applications,
    /// Failed attempts at client secrets.
    pub attempts: Attempts,
    /// How runs have ended since this was last added to the database.
    pub outcomes: item::health::Tally,
    /// How well connectors work.
    pub health: item::health::Known,
    /// Connectors that come to an end, as last read.
    pub retirements: item::retirement::Notices,
    /// What the audit log has still to be told.
    pub tally: audit::Tally,
    /// Who follows the log on this node.
    pub feed: Feed,
    /// Who follows deliveries on this node.
    pub tails: webhook::tail::Tails,
    /// Where webhooks may connect to.
    pub egress: egress::Client,
    /// Which log this is; a restored backup has another.
    pub log_id: Uuid,
    /// What this node and the others tell each other.
    pub bus: Arc<Bus>,
    /// Hints to the workers of this node, and the others'.
    pub wakes: Wakes,
    /// Moves at every beat, after the applications have been read again.
    pub beat: watch::Sender<u64>,
    started_at: Timestamp,
    severed: watch::Sender<()>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Hints that there is something to do. They may be lost; the workers look by themselves at a slow beat.
pub struct Wakes {
    /// Events were committed. Only this node's: each publishes what it has committed, and looks for the others' at its beat.
    pub relay: Wake,
    /// Executions are due.
    pub sync: Wake,
    /// Deliveries are due.
    pub delivery: Wake,
    /// Items were deleted.
    pub purge: Wake,
    /// Client users are to be erased.
    pub erasure: Wake,
    /// Stored transactions are to be decided anew.
    pub categories: Wake,
}

impl Wakes {
    fn new(bus: &Arc<Bus>) -> Self {
        let everywhere = |worker| Wake {
            here: Notify::new(),
            elsewhere: Some((bus.clone(), worker)),
        };
        Self {
            relay: Wake {
                here: Notify::new(),
                elsewhere: None,
            },
            sync: everywhere(Worker::Sync),
            delivery: everywhere(Worker::Delivery),
            purge: everywhere(Worker::Purge),
            erasure: Wake {
                here: Notify::new(),
                elsewhere: None,
            },
            categories: Wake {
                here: Notify::new(),
                elsewhere: None,
            },
        }
    }
}

/// A hint to one worker, on this node and on those that its work may also be done by.
pub struct Wake {
    here: Notify,
    elsewhere: Option<(Arc<Bus>, Worker)>,
}

impl Wake {
    /// Gives the hint, after what it tells of has been committed: at once here, soon elsewhere.
    pub fn notify(&self) {
        self.here();
        if let Some((bus, worker)) = &self.elsewhere {
            bus.wake(*worker);
        }
    }

    /// Gives it on this node only.
    pub fn here(&self) {
        self.here.notify_one();
    }

    /// Returns at the next hint, after `beat`, or when the node stops.
    pub async fn wait(&self, app: &App, beat: Duration) {
        tokio::select! {
            () = self.here.notified() => {}
            () = tokio::time::sleep(beat) => {}
            () = app.stopping() => {}
        }
    }
}

impl App {
    /// Opens the database, migrates it if the settings say so, opens the vault. Starts no work.
    ///
    /// Refuses a database whose schema is newer than this binary, or older and not to be migrated, and a backup that was
    /// put in place without having been declared restored.
    pub async fn open(
        config: Config,
        clock: Clock,
        rng: Rng,
        connectors: Registry,
    ) -> Result<Self> {
        let url = config.database_url.expose_secret();
        if config.engine == Engine::Sqlite {
            create_folder_of(Path::new(sqlite_path(url)))?;
        }
        let db = Db::connect(url, config.database_connections).await?;
        // Once a start, and large: whoever opens an App should not carry it.
        Box::pin(prepare(&db, config.migrate)).await?;
        if let Some(time) = db.server_time().await? {
            clock.follow(time);
        }
        let vault = Vault::open(&db, config.master_key.clone(), clock.clone(), rng.clone()).await?;
        let log_id = log_id(&db, &clock, &rng).await?;
        let applications = Applications::default();
        applications.refresh(&db).await?;
        let health = item::health::Known::default();
        health.refresh(&db).await?;
        let retirements = item::retirement::Notices::default();
        retirements.refresh(&db).await?;
        let started_at = clock.now();
        let bus = Bus::new(rng.id(started_at), &config);
        Ok(Self(Arc::new(Parts {
            attempts: Attempts::new(config.secret_attempts_per_minute),
            egress: egress::Client::new(egress::Policy::new(config.webhook_allow_networks.clone()))
                .map_err(Error::internal)?,
            config,
            db,
            clock,
            rng,
            vault,
            connectors,
            applications,
            outcomes: item::health::Tally::default(),
            health,
            retirements,
            tally: audit::Tally::default(),
            feed: Feed::default(),
            tails: webhook::tail::Tails::default(),
            log_id,
            wakes: Wakes::new(&bus),
            bus,
            beat: watch::Sender::new(0),
            started_at,
            severed: watch::Sender::new(()),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })))
    }

    /// Starts the loops that the node's roles ask for.
    pub fn start(&self) {
        bus::start(self);
        self.keep_up(beat);
        self.keep_up(event::relay::run);
        self.keep_up(audit::tally::run);
        if self.config.api {
            self.keep_up(event::feed::run);
        }
        if self.config.worker {
            self.keep_up(sync::run);
            self.keep_up(item::purge::run);
            self.keep_up(client_user::erasure::run);
            self.keep_up(category::pass::run);
            self.keep_up(item::upkeep::run);
            self.keep_up(item::health::run);
            self.keep_up(event::retention::run);
            self.keep_up(webhook::delivery::run);
        }
    }

    /// Runs a loop in the background, from its beginning again whenever what waits for the database has been given up.
    fn keep_up<F: Future<Output = ()> + Send + 'static>(&self, run: fn(Self) -> F) {
        let app = self.clone();
        self.spawn(async move {
            while app.running() {
                app.unless_severed(run(app.clone())).await;
            }
        });
    }

    /// Gives up whatever waits for the database, as if the node had been killed there: the connections that it waited on
    /// are closed.
    pub fn sever(&self) {
        self.severed.send_replace(());
    }

    /// What some work comes to; `None` when it is given up because the database has not answered for long.
    pub async fn unless_severed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut severed = self.severed.subscribe();
        tokio::select! {
            done = work => Some(done),
            _ = severed.changed() => None,
        }
    }

    /// Runs something in the background that [`App::stop`] waits for.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Runs a unit of work that writes, in a task of its own: a client that disconnects cannot cancel it half-way.
    pub async fn unit<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let app = self.clone();
        let task = async move {
            let done = app.unless_severed(work).await;
            done.unwrap_or_else(|| Err(Error::internal("the database does not answer")))
        };
        self.tasks.spawn(task).await.map_err(Error::internal)?
    }

    /// Whether the node has only just started.
    pub fn young(&self) -> bool {
        self.clock.now().since(self.started_at) < YOUTH
    }

    /// Whether the node has not been asked to stop.
    pub fn running(&self) -> bool {
        !self.stop.is_cancelled()
    }

    /// Returns once the node has been asked to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Asks everything to stop.
    pub fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// Returns once everything has stopped.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }

    /// Logs why a worker failed, and waits a little before it goes on.
    pub async fn log_and_pause(&self, worker: &'static str, error: &Error) {
        error.log(worker);
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
            () = self.stopping() => {}
        }
    }
}

/// Brings the schema up to date, or checks that it is, and that the database is one to serve.
async fn prepare(db: &Db, migrate: bool) -> Result<()> {
    if migrate {
        db.migrate().await?;
    } else {
        db.schema().await?.check_current()?;
    }
    backup::check_no_copy(db).await
}

/// Makes the folder of a file where it is missing, for its owner alone: an embedded database holds names and amounts.
pub fn create_folder_of(file: &Path) -> Result<()> {
    let Some(folder) = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    else {
        return Ok(());
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|error| {
        Error::internal(format!(
            "cannot create the folder {}: {error}",
            folder.display()
        ))
    })
}

async fn beat(app: App) {
    let mut beats = 0_u32;
    while app.running() {
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = app.bus.renewal() => {}
            () = app.stopping() => return,
        }
        beats = beats.wrapping_add(1);
        if let Err(error) = one_beat(&app, beats).await {
            error.log("beat");
        }
        app.beat.send_modify(|count| *count += 1);
    }
}

async fn one_beat(app: &App, beats: u32) -> Result<()> {
    app.applications.refresh(&app.db).await?;
    app.health.refresh(&app.db).await?;
    app.retirements.refresh(&app.db).await?;
    app.vault.refresh(&app.db).await?;
    if beats.is_multiple_of(CLOCK_BEATS)
        && let Some(time) = app.db.server_time().await?
    {
        app.clock.follow(time);
    }
    if beats.is_multiple_of(QUEUE_BEATS) {
        metrics::queues(metrics::Queues {
            auto_sync_lag: sync::lag(app).await?.as_secs_f64(),
            ..db::queues::measure(&app.db, app.clock.now()).await?
        });
    }
    Ok(())
}

async fn log_id(db: &Db, clock: &Clock, rng: &Rng) -> Result<Uuid> {
    let fresh = meta::ActiveModel {
        name: Set(backup::LOG_ID.to_owned()),
        value: Set(rng.id(clock.now()).to_string()),
    };
    meta::Entity::insert(fresh)
        .on_conflict(
            OnConflict::column(meta::Column::Name)
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(db.write())
        .await?;
    let row = meta::Entity::find_by_id(backup::LOG_ID)
        .one(db.write())
        .await?;
    row.and_then(|row| Uuid::parse_str(&row.value).ok())
        .ok_or_else(|| Error::internal("the database has no log id"))
}
