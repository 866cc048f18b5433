//! How well connectors work: measured from how runs end, told to everybody who has Items there.
//!
//! Each node counts in memory and adds to the database's ten-minute sums every few seconds, so that no two runs wait for
//! each other at a row; a node that is killed forgets a few seconds of counting and nothing else. While a connector is
//! OFFLINE, one run a minute is let through as a trial, and three that reach the institution in a row open it again.
//! Sandbox connectors are not measured: each application switches its own.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, PoisonError, RwLock},
    time::Duration,
};

use entity::{
    connector_health, execution, item,
    kind::{AuditAction, ConnectorStatus, EventType, ExecutionStatus},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DatabaseTransaction,
    EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, OnConflict},
};
use uuid::Uuid;

use super::retirement;
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    clock::Timestamp,
    connector::{Descriptor, SourceKind},
    db::{self, Db, outcome::Sums},
    error::{Error, Result},
    event::{
        self, Draft,
        body::{Health, HealthChanged},
    },
};

/// How far back runs are counted.
pub const WINDOW: Duration = Duration::from_hours(6);
/// How often a node adds what it has counted.
const BEAT: Duration = Duration::from_secs(5);
/// What is summed together.
const BUCKET: Duration = Duration::from_mins(10);
/// Fewer runs than this say nothing.
const LEAST_RUNS: u64 = 20;
/// Of one application alone, while there are others, they say something about the application.
const LEAST_APPLICATIONS: usize = 2;
/// Hundredths of runs that reach the institution, below which it is UNSTABLE.
const UNSTABLE_BELOW: u64 = 80;
/// Below which it is OFFLINE.
const OFFLINE_BELOW: u64 = 20;
/// Between two runs that are let through while it is OFFLINE.
const TRIAL_AFTER: Duration = Duration::from_mins(1);
/// Trials in a row that open it again.
const TRIALS: i32 = 3;

/// How runs have ended since this was last added to the database.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<(i32, Uuid), Sums>>);

impl Tally {
    /// Counts a run that has ended at a connector that is measured.
    pub fn count(&self, form: &Descriptor, execution: &execution::Model) {
        if !measured(form) {
            return;
        }
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = (execution.connector_id, execution.application_id);
        let sum = sums.entry(of).or_default();
        if reached(execution.status) {
            sum.reached += 1;
        } else {
            sum.failed += 1;
        }
    }

    fn take(&self) -> BTreeMap<(i32, Uuid), Sums> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn give_back(&self, sums: BTreeMap<(i32, Uuid), Sums>) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (of, sum) in sums {
            *held.entry(of).or_default() += sum;
        }
    }
}

fn measured(form: &Descriptor) -> bool {
    form.source == SourceKind::Institution && !form.is_sandbox
}

/// Whether a run that has ended like this has reached the institution. A refused login has.
fn reached(status: ExecutionStatus) -> bool {
    !matches!(
        status,
        ExecutionStatus::ConnectionError
            | ExecutionStatus::Error
            | ExecutionStatus::SiteNotAvailable
    )
}

/// How well a connector works for an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How well.
    pub status: ConnectorStatus,
    /// Runs of the last six hours that reached the institution, and those that did not.
    pub sums: Sums,
    /// When the status last changed.
    pub changed_at: Timestamp,
    /// When a run was last let through although it is OFFLINE.
    trial_at: Option<Timestamp>,
    /// Whether an application has switched it.
    switched: bool,
}

impl From<&connector_health::Model> for Standing {
    fn from(row: &connector_health::Model) -> Self {
        Self {
            status: row.status,
            sums: Sums {
                reached: row.reached,
                failed: row.failed,
            },
            changed_at: row.changed_at,
            trial_at: row.trial_at,
            switched: !row.application_id.is_nil(),
        }
    }
}

/// How well connectors work, as last read.
#[derive(Debug, Default)]
pub struct Known(RwLock<HashMap<(i32, Uuid), Standing>>);

impl Known {
    /// Reads all of it again.
    pub async fn refresh(&self, db: &Db) -> Result<()> {
        let rows = connector_health::Entity::find().all(db.read()).await?;
        let standings = rows
            .iter()
            .map(|row| ((row.connector_id, row.application_id), row.into()));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = standings.collect();
        Ok(())
    }

    /// How well a connector works for an application; `None` while nothing is known.
    pub fn of(&self, connector: i32, application: Uuid) -> Option<Standing> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let own = known.get(&(connector, application));
        own.or_else(|| known.get(&(connector, Uuid::nil())))
            .copied()
    }

    /// Whether automatic runs at a connector wait now.
    pub fn holds_back(&self, connector: i32, application: Uuid, now: Timestamp) -> bool {
        self.of(connector, application)
            .is_some_and(|standing| !standing.lets_through(now))
    }

    /// Whether a connector is OFFLINE for an application.
    pub fn offline(&self, connector: i32, application: Uuid) -> bool {
        self.of(connector, application)
            .is_some_and(|standing| standing.status == ConnectorStatus::Offline)
    }
}

impl Standing {
    fn lets_through(&self, now: Timestamp) -> bool {
        self.status != ConnectorStatus::Offline
            || (!self.switched && self.trial_at.is_none_or(|at| at.plus(TRIAL_AFTER) <= now))
    }
}

/// Fails with CONNECTOR_OFFLINE when a connector that nobody reaches must not be given another Item now.
pub(super) async fn admit(
    txn: &DatabaseTransaction,
    app: &App,
    application: Uuid,
    form: &Descriptor,
) -> Result<()> {
    let now = app.clock.now();
    let Some(standing) = app.health.of(form.id, application) else {
        return Ok(());
    };
    if standing.status != ConnectorStatus::Offline
        || (!standing.switched && begin_trial(txn, form.id, now).await?)
    {
        return Ok(());
    }
    let retry_at = standing
        .trial_at
        .filter(|_| !standing.switched)
        .map(|at| std::cmp::max(at.plus(TRIAL_AFTER), now));
    Err(Error::ConnectorOffline { retry_at })
}

/// Takes the one run that is let through; false while another has been within the minute.
pub async fn begin_trial(
    txn: &impl ConnectionTrait,
    connector: i32,
    now: Timestamp,
) -> Result<bool> {
    use connector_health::Column as C;

    let taken = connector_health::Entity::update_many()
        .col_expr(C::TrialAt, Expr::value(now.0))
        .filter(C::ConnectorId.eq(connector))
        .filter(C::ApplicationId.eq(Uuid::nil()))
        .filter(
            C::TrialAt
                .is_null()
                .or(C::TrialAt.lte(now.minus(TRIAL_AFTER).0)),
        )
        .exec(txn)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Adds what is counted, and judges what follows from it, until the node stops.
pub async fn run(app: App) {
    while app.running() {
        if let Err(error) = run_once(&app).await {
            error.log("connector health");
        }
        tokio::select! {
            () = tokio::time::sleep(BEAT) => {}
            () = app.stopping() => {}
        }
    }
}

/// Adds what this node has counted and judges all connectors that are measured; says how many changed.
pub async fn run_once(app: &App) -> Result<usize> {
    let counted = app.outcomes.take();
    let owner = app.clone();
    let added = counted.clone();
    let outcome = app.unit(async move { add(&owner, added).await }).await;
    let changed = match outcome {
        Ok(changed) => changed,
        Err(error) => {
            app.outcomes.give_back(counted);
            return Err(error);
        }
    };
    app.health.refresh(&app.db).await?;
    if changed > 0 {
        app.wakes.relay.notify();
        app.wakes.sync.notify();
    }
    Ok(changed)
}

async fn add(app: &App, counted: BTreeMap<(i32, Uuid), Sums>) -> Result<usize> {
    let now = app.clock.now();
    let txn = app.db.begin().await?;
    let bucket = Timestamp(now.0 - now.0.rem_euclid(millis(BUCKET)));
    db::outcome::add(&app.db, &txn, bucket, &counted).await?;
    db::outcome::forget(&txn, now.minus(WINDOW + BUCKET)).await?;
    let measured = app
        .connectors
        .list()
        .map(|connector| connector.descriptor());
    let mut changed = 0;
    for form in measured.filter(|form| self::measured(form)) {
        let mut trials = Sums::default();
        for ((connector, _), sum) in &counted {
            if *connector == form.id {
                trials += *sum;
            }
        }
        changed += usize::from(judge_one(&txn, app, form.id, trials, now).await?);
    }
    txn.commit().await?;
    Ok(changed)
}

fn millis(lasts: Duration) -> i64 {
    i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX)
}

/// Judges one connector; says whether its status has changed.
async fn judge_one(
    txn: &DatabaseTransaction,
    app: &App,
    connector: i32,
    just_ended: Sums,
    now: Timestamp,
) -> Result<bool> {
    use connector_health::{Column as C, Entity};

    let known = Entity::find_by_id((connector, Uuid::nil()))
        .lock_exclusive()
        .one(txn)
        .await?;
    let reopened = known.as_ref().map_or(Timestamp(0), |row| row.counted_from);
    let from = std::cmp::max(now.minus(WINDOW), reopened);
    let (sums, applications) = db::outcome::sums(&app.db, txn, connector, from).await?;
    if known.is_none() && sums == Sums::default() {
        return Ok(false);
    }
    let mut row = known.clone().unwrap_or(connector_health::Model {
        connector_id: connector,
        application_id: Uuid::nil(),
        status: ConnectorStatus::Online,
        reached: 0,
        failed: 0,
        counted_from: Timestamp(0),
        changed_at: now,
        trial_at: None,
        trials_passed: 0,
    });
    (row.reached, row.failed) = (sums.reached, sums.failed);
    let before = row.status;
    if before == ConnectorStatus::Offline {
        let passed = i32::try_from(just_ended.reached).unwrap_or(i32::MAX);
        row.trials_passed = match just_ended.failed {
            0 => row.trials_passed.saturating_add(passed),
            _ => 0,
        };
        if row.trials_passed >= TRIALS {
            row.status = ConnectorStatus::Online;
            // What was counted before would close it at once.
            row.counted_from = now;
        }
    } else {
        let alone = app.applications.ids().len() < LEAST_APPLICATIONS;
        row.status = judge(sums, applications, alone);
    }
    if row.status != before {
        row.changed_at = now;
        (row.trial_at, row.trials_passed) = (None, 0);
    }
    if known.as_ref() == Some(&row) {
        return Ok(false);
    }
    let changed = row.status != before;
    if changed {
        let retires_at = retirement::ends_at(txn, connector).await?;
        tell_each(txn, app, connector, retires_at, |_| Some(row.status)).await?;
        tracing::warn!(connector.id = connector, status = %row.status, "the health of a connector changed");
    }
    Entity::insert(row.into_active_model().reset_all())
        .on_conflict(
            OnConflict::columns([C::ConnectorId, C::ApplicationId])
                .update_columns([
                    C::Status,
                    C::Reached,
                    C::Failed,
                    C::CountedFrom,
                    C::ChangedAt,
                    C::TrialAt,
                    C::TrialsPassed,
                ])
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(changed)
}

/// What the runs of the last hours say, of so many applications. `alone` says that there is only one.
fn judge(sums: Sums, applications: usize, alone: bool) -> ConnectorStatus {
    let total = sums.total();
    if total < LEAST_RUNS || (applications < LEAST_APPLICATIONS && !alone) {
        return ConnectorStatus::Online;
    }
    match sums.rate() {
        Some(..OFFLINE_BELOW) => ConnectorStatus::Offline,
        Some(..UNSTABLE_BELOW) => ConnectorStatus::Unstable,
        _ => ConnectorStatus::Online,
    }
}

/// Tells every application that has an Item at a connector how that stands, and when it ends if it does. Answers those
/// applications.
pub(super) async fn tell_all(
    txn: &DatabaseTransaction,
    app: &App,
    connector: i32,
    retires_at: Option<Timestamp>,
) -> Result<BTreeSet<Uuid>> {
    let form = app.connectors.stored(connector);
    let shown = |application| status(app, form.descriptor(), application);
    tell_each(txn, app, connector, retires_at, shown).await
}

/// How well a connector works for an application; `None` while nobody knows.
pub fn status(app: &App, form: &Descriptor, application: Uuid) -> Option<ConnectorStatus> {
    let own = form.is_sandbox || form.source == SourceKind::File;
    let known = app.health.of(form.id, application);
    known
        .map(|standing| standing.status)
        .or(own.then_some(ConnectorStatus::Online))
}

async fn tell_each(
    txn: &DatabaseTransaction,
    app: &App,
    connector: i32,
    retires_at: Option<Timestamp>,
    status: impl Fn(Uuid) -> Option<ConnectorStatus>,
) -> Result<BTreeSet<Uuid>> {
    let mut told = BTreeSet::new();
    for application in app.applications.ids() {
        let has_one = item::Entity::owned_by(application)
            .filter(item::Column::ConnectorId.eq(connector))
            .filter(item::Column::DeletedAt.is_null())
            .select_only()
            .column(item::Column::Id)
            .into_tuple::<Uuid>()
            .one(txn)
            .await?;
        if has_one.is_some() {
            told.insert(application);
        }
    }
    for application in &told {
        let status = status(*application);
        tell(txn, app, *application, connector, status, retires_at).await?;
    }
    Ok(told)
}

async fn tell(
    txn: &DatabaseTransaction,
    app: &App,
    application: Uuid,
    connector: i32,
    status: Option<ConnectorStatus>,
    retires_at: Option<Timestamp>,
) -> Result<()> {
    let draft = Draft::new(EventType::ConnectorStatusUpdated, None).carrying(&HealthChanged {
        data: Health {
            status: status.map_or("UNKNOWN", ConnectorStatus::as_str).into(),
            retires_at: retires_at.map(|at| at.to_string()),
        },
    });
    event::append_of_connector(txn, app, application, connector, draft).await
}

/// Switches a sandbox connector for one application: OFFLINE fails its runs and refuses new Items. Tells when that changes
/// something.
pub async fn switch(
    app: &App,
    principal: &Principal,
    form: &Descriptor,
    status: ConnectorStatus,
) -> Result<()> {
    let (owner, principal, connector) = (app.clone(), principal.clone(), form.id);
    app.unit(async move { switch_in_task(&owner, &principal, connector, status).await })
        .await?;
    app.health.refresh(&app.db).await?;
    app.wakes.relay.notify();
    app.wakes.sync.notify();
    Ok(())
}

async fn switch_in_task(
    app: &App,
    principal: &Principal,
    connector: i32,
    status: ConnectorStatus,
) -> Result<()> {
    use connector_health::{Column as C, Entity};

    let now = app.clock.now();
    let owner = principal.application;
    let txn = app.db.begin().await?;
    let lock = app.vault.digest(&[
        b"connector health",
        owner.as_bytes(),
        &connector.to_be_bytes(),
    ]);
    app.db.lock_digest(&txn, &lock).await?;
    let known = Entity::find_by_id((connector, owner)).one(&txn).await?;
    let before = known.map_or(ConnectorStatus::Online, |row| row.status);
    if before != status {
        let row = connector_health::Model {
            connector_id: connector,
            application_id: owner,
            status,
            reached: 0,
            failed: 0,
            counted_from: Timestamp(0),
            changed_at: now,
            trial_at: None,
            trials_passed: 0,
        };
        Entity::insert(row.into_active_model().reset_all())
            .on_conflict(
                OnConflict::columns([C::ConnectorId, C::ApplicationId])
                    .update_columns([C::Status, C::ChangedAt])
                    .to_owned(),
            )
            .exec_without_returning(&txn)
            .await?;
        let retires_at = retirement::ends_at(&txn, connector).await?;
        tell(&txn, app, owner, connector, Some(status), retires_at).await?;
    }
    Entry::of(principal, AuditAction::SandboxChanged)
        .with("connectorId", connector)
        .append(&txn, &app.clock, &app.rng)
        .await?;
    Ok(txn.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(reached: i64, failed: i64) -> Sums {
        Sums { reached, failed }
    }

    #[test]
    fn few_runs_say_nothing_and_those_of_one_application_among_many_neither() {
        use ConnectorStatus::{Offline, Online, Unstable};
        for (reached, failed, applications, alone, status) in [
            (0, 19, 2, false, Online),
            (0, 20, 2, false, Offline),
            (0, 20, 1, false, Online),
            (0, 20, 1, true, Offline),
            (3, 17, 2, false, Offline),
            (4, 16, 2, false, Unstable),
            (15, 5, 2, false, Unstable),
            (16, 4, 2, false, Online),
            (1_000, 0, 9, false, Online),
        ] {
            let judged = judge(sums(reached, failed), applications, alone);
            assert_eq!(judged, status, "{reached} of {}", reached + failed);
        }
    }

    #[test]
    fn only_what_the_institution_never_saw_counts_against_it() {
        use ExecutionStatus as S;
        for status in [S::ConnectionError, S::Error, S::SiteNotAvailable] {
            assert!(!reached(status), "{status}");
        }
        for status in [S::Success, S::InvalidCredentials, S::UnexpectedError] {
            assert!(reached(status), "{status}");
        }
    }
}
