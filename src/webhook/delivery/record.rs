//! Recording: attempts and what follows from them, in one transaction for all that ended together.
//!
//! Rows are taken in one order by everybody: circuits, registrations, the applications' heads, deliveries; and those of
//! one kind in the order of their keys.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use entity::{
    attempt, circuit, delivery, item,
    kind::{DeliveryStatus, WebhookPayload},
    webhook,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QuerySelect as _, sea_query::Expr,
};
use uuid::Uuid;

use super::request::Held;
use crate::{
    app::App,
    clock::Timestamp,
    db::{self, attempt::Settled},
    error::Result,
    webhook::{circuit as circuits, registration, schedule::Verdict, standing},
};

/// Most targets that are remembered as failing.
const FAILING_MOST: usize = 10_000;

/// A request that has come to its end.
pub(super) struct Done {
    /// Identity of the attempt.
    pub id: Uuid,
    pub delivery: delivery::Model,
    /// Where it went, when that is not what the delivery says.
    pub url: Option<String>,
    pub at: Timestamp,
    pub took: Duration,
    pub status: Option<u16>,
    pub error: Option<String>,
    pub answer: Option<String>,
    pub signature: Option<String>,
    pub header_names: Option<String>,
    pub payload: Option<WebhookPayload>,
    /// Whether the target failed, if this says anything of it.
    pub failed: Option<bool>,
    pub verdict: Verdict,
}

impl Done {
    /// What a worker holds of it.
    pub fn held(&self) -> Held {
        (self.delivery.id, self.delivery.epoch)
    }

    fn url(&self) -> &str {
        self.url.as_ref().unwrap_or(&self.delivery.url)
    }

    /// Why it did not succeed.
    fn reason(&self) -> Option<String> {
        match (&self.error, &self.verdict) {
            (None, Verdict::GiveUp { reason } | Verdict::Disable { reason }) => {
                Some(reason.clone())
            }
            (error, _) => error.clone(),
        }
    }
}

/// What a batch says of a target.
#[derive(Default)]
struct Turn {
    succeeded: bool,
    /// Failures since the last success.
    failures: i32,
    /// The last of them, by its place in the batch.
    last: usize,
}

/// Records what was done. A database that is busy is asked again; after that the leases run out.
///
/// `failing` are the targets whose circuit has a row, as far as is known here.
pub(super) async fn record(
    app: &App,
    done: Vec<Done>,
    failing: &mut HashSet<String>,
) -> Result<()> {
    if done.is_empty() {
        return Ok(());
    }
    let done = Arc::new(done);
    let mut turns: BTreeMap<String, Turn> = BTreeMap::new();
    for (place, one) in done.iter().enumerate() {
        let target = &one.delivery.target;
        let Some(failed) = one.failed else { continue };
        if !failed && !failing.contains(target) && !turns.contains_key(target) {
            continue;
        }
        let turn = turns.entry(target.clone()).or_default();
        if failed {
            turn.failures += 1;
            turn.last = place;
        } else {
            turn.succeeded = true;
            turn.failures = 0;
        }
    }
    if failing.len() > FAILING_MOST {
        // The next walk along the lanes names those that matter.
        failing.clear();
    }
    for (target, turn) in &turns {
        if turn.failures > 0 {
            failing.insert(target.clone());
        } else {
            failing.remove(target);
        }
    }
    let turns = Arc::new(turns);
    for _ in 0..2 {
        match try_record(app, &done, &turns).await {
            Ok(()) => return Ok(()),
            Err(error) => app.log_and_pause("delivery record", &error).await,
        }
    }
    try_record(app, &done, &turns).await
}

async fn try_record(
    app: &App,
    done: &Arc<Vec<Done>>,
    turns: &Arc<BTreeMap<String, Turn>>,
) -> Result<()> {
    let applications: HashSet<Uuid> = done.iter().map(|one| one.delivery.application_id).collect();
    let (task, done, turns) = (app.clone(), done.clone(), turns.clone());
    let disabled = app
        .unit(async move {
            let app = task;
            let now = app.clock.now();
            let txn = app.db.begin().await?;
            let hopeless = judge(&txn, &app, &done, &turns, now).await?;
            let disabled = !hopeless.is_empty();
            disable(&txn, &app, hopeless, now).await?;
            let settled: Vec<Settled> = done.iter().map(settled).collect();
            let settled = db::attempt::settle(&app.db, &txn, &settled, now).await?;
            let settled: HashSet<Uuid> = settled.into_iter().collect();
            let mut rows: Vec<(Option<Uuid>, attempt::Model)> = Vec::with_capacity(done.len());
            for one in done.iter() {
                if settled.contains(&one.delivery.id) {
                    rows.push((one.delivery.item_id, row(one)));
                } else {
                    tracing::info!(delivery.id = %one.delivery.id, "another worker has this delivery now, or it is gone");
                }
            }
            withhold(&txn, &mut rows).await?;
            if !rows.is_empty() {
                let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
                db::attempt::insert(&app.db, &txn, &rows).await?;
            }
            txn.commit().await?;
            Ok(disabled)
        })
        .await?;
    for application in applications {
        app.tails.hint(application);
    }
    if disabled {
        app.wakes.relay.notify();
    }
    Ok(())
}

/// Opens and closes circuits; answers the registrations that are to be disabled, where they lead and why.
async fn judge(
    txn: &DatabaseTransaction,
    app: &App,
    done: &[Done],
    turns: &BTreeMap<String, Turn>,
    now: Timestamp,
) -> Result<BTreeMap<Uuid, (String, String)>> {
    let mut hopeless = BTreeMap::new();
    for (target, turn) in turns {
        if turn.failures == 0 {
            circuit::Entity::delete_by_id(target.as_str())
                .exec(txn)
                .await?;
            continue;
        }
        let row = db::attempt::fail(&app.db, txn, target, turn.failures, turn.succeeded, now);
        let row = row.await?;
        let failing_for = now.since(row.failing_since);
        if row.failures < circuits::THRESHOLD {
            continue;
        }
        if row.probe_at.is_none() {
            tracing::info!(target, failures = row.failures, "a circuit opens");
        }
        circuit::Entity::update_many()
            .col_expr(
                circuit::Column::ProbeAt,
                Expr::value(now.plus(circuits::interval(failing_for)).0),
            )
            .filter(circuit::Column::Target.eq(target.as_str()))
            .exec(txn)
            .await?;
        let last = &done[turn.last];
        if let Some(id) = last.delivery.webhook_id
            && failing_for >= standing::PATIENCE
        {
            let last = match (last.reason(), last.status) {
                (Some(reason), _) => reason,
                (None, Some(status)) => format!("the endpoint answered {status}"),
                (None, None) => "no answer".to_owned(),
            };
            let reason = format!("every request of five days failed, the last with: {last}");
            hopeless.insert(id, (done[turn.last].url().to_owned(), reason));
        }
    }
    for one in done {
        if let (Verdict::Disable { reason }, Some(id)) = (&one.verdict, one.delivery.webhook_id) {
            hopeless.insert(id, (one.url().to_owned(), reason.clone()));
        }
    }
    Ok(hopeless)
}

/// Where a delivery goes from here.
fn settled(one: &Done) -> Settled {
    let (status, next) = match &one.verdict {
        Verdict::Succeeded => (DeliveryStatus::Succeeded, None),
        Verdict::Retry { at } => (DeliveryStatus::Pending, Some(*at)),
        Verdict::GiveUp { .. } | Verdict::Disable { .. } => (DeliveryStatus::Failed, None),
    };
    Settled {
        id: one.delivery.id,
        epoch: one.delivery.epoch,
        status,
        next,
        url: one.url.clone(),
    }
}

/// Disables registrations whose endpoints are gone or fail, unless their owners have changed where they lead, and tells
/// the owners.
async fn disable(
    txn: &DatabaseTransaction,
    app: &App,
    hopeless: BTreeMap<Uuid, (String, String)>,
    now: Timestamp,
) -> Result<()> {
    let mut rows = Vec::with_capacity(hopeless.len());
    for (id, (url, reason)) in hopeless {
        let row = registration::lock_any(txn, id).await?;
        if let Some(row) = row.filter(|row| row.enabled && row.url == url) {
            rows.push((row, reason));
        }
    }
    let applications: BTreeSet<Uuid> = rows.iter().map(|(row, _)| row.application_id).collect();
    for application in applications {
        standing::head(txn, application).await?;
    }
    for (mut row, reason) in rows {
        let id = row.id;
        standing::disable(txn, &mut row, &reason, now).await?;
        row.updated_at = registration::touched(&row, now);
        standing::tell(txn, app, &row, &reason).await?;
        webhook::Entity::update(row.into_active_model().reset_all())
            .exec(txn)
            .await?;
        // Taken before, with the failures that led to this.
        standing::close_circuit(txn, id).await?;
        tracing::info!(webhook.id = %id, reason, "disabled a webhook");
    }
    Ok(())
}

/// Drops what was answered about Items that have been deleted: it may tell of their users.
///
/// Comes after the deliveries have been settled: whoever forgets the answers of an Item waits for their rows.
async fn withhold(
    txn: &DatabaseTransaction,
    rows: &mut [(Option<Uuid>, attempt::Model)],
) -> Result<()> {
    let asked: HashSet<Uuid> = rows
        .iter()
        .filter(|(_, row)| row.response_body.is_some())
        .filter_map(|(item, _)| *item)
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let there: Vec<Uuid> = item::Entity::find()
        .filter(item::Column::Id.is_in(asked))
        .filter(item::Column::DeletedAt.is_null())
        .select_only()
        .column(item::Column::Id)
        .into_tuple()
        .all(txn)
        .await?;
    for (item, row) in rows {
        if item.is_some_and(|id| !there.contains(&id)) {
            row.response_body = None;
        }
    }
    Ok(())
}

fn row(done: &Done) -> attempt::Model {
    attempt::Model {
        id: done.id,
        application_id: done.delivery.application_id,
        delivery_id: done.delivery.id,
        at: done.at,
        duration_ms: i32::try_from(done.took.as_millis()).unwrap_or(i32::MAX),
        status_code: done.status.map(i32::from),
        error: done.reason(),
        response_body: done.answer.clone(),
        signature: done.signature.clone(),
        header_names: done.header_names.clone(),
        payload: done.payload,
    }
}
