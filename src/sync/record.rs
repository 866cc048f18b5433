//! Recording a step: state, Item, events and the run's own notes in one transaction, fenced by the epoch.

use entity::{
    execution, item,
    kind::{ExecutionStatus, Product},
};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait, QueryFilter as _, QuerySelect as _,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::{
    app::App,
    clock::Timestamp,
    connector::{
        Coverage, Memory, Question, RETRY_AT, Session, SourceKind, UserAction, Warning,
        memory::Change,
    },
    error::{Error, Result},
    event::change::Told,
    item::{
        Held, connector_of, consent, execution_scope,
        history::{Counts, Step},
        laboratory, memory_scope, products_of, transition, upload,
    },
    metrics,
    product::{account, identity, snapshot},
};

/// What goes with a transition.
#[derive(Debug, Default)]
pub struct Notes {
    /// Where the connector goes on.
    pub session: Option<Session>,
    /// What to ask the user, and until when.
    pub question: Option<(Question, Timestamp)>,
    /// What the user must do, until when, and when to look.
    pub action: Option<(UserAction, Option<Timestamp>, Timestamp)>,
    /// A finished step.
    pub step: Option<Step>,
    /// What that step covered.
    pub covered: Vec<Coverage>,
    /// What the connector keeps of the Item from now on.
    pub memory: Change,
}

impl Notes {
    /// With what a call has made the connector keep.
    pub fn remembering(self, memory: &Memory) -> Self {
        Self {
            memory: memory.take_change(),
            ..self
        }
    }
}

/// Holds the Item of a run; fails with [`Error::LeaseLost`] when it has been deleted, the run was taken away, or its lease
/// has run out: another may have been given its place at the connector.
pub async fn lock(
    txn: &DatabaseTransaction,
    execution: &execution::Model,
    now: Timestamp,
) -> Result<Held> {
    let item = item::Entity::owned_by(execution.application_id)
        .filter(item::Column::Id.eq(execution.item_id))
        .filter(item::Column::DeletedAt.is_null())
        .lock_exclusive()
        .one(txn)
        .await?
        .ok_or(Error::LeaseLost)?;
    let current = execution::Entity::find_by_id(execution.id)
        .lock_exclusive()
        .one(txn)
        .await?;
    match current {
        Some(row)
            if row.epoch == execution.epoch
                && row.ended_at.is_none()
                && row.lease_until.is_some_and(|until| until > now) =>
        {
            Ok(Held::stored(item))
        }
        _ => Err(Error::LeaseLost),
    }
}

/// Holds a run while something is staged for it; fails with [`Error::LeaseLost`] when it has ended or was taken away,
/// also by the deletion of its Item: whoever cleans up after it comes later and finds everything.
pub async fn hold(txn: &DatabaseTransaction, run: Uuid, epoch: i64) -> Result<()> {
    execution::Entity::find_by_id(run)
        .filter(execution::Column::Epoch.eq(epoch))
        .filter(execution::Column::EndedAt.is_null())
        .select_only()
        .column(execution::Column::Id)
        .lock_shared()
        .into_tuple::<Uuid>()
        .one(txn)
        .await?
        .map(|_| ())
        .ok_or(Error::LeaseLost)
}

/// Moves the run and records what goes with it. Answers the run as recorded.
pub async fn record(
    app: &App,
    mut execution: execution::Model,
    what: transition::Move,
    notes: Notes,
) -> Result<execution::Model> {
    let owner = app.clone();
    let execution = app
        .unit(Box::pin(async move {
            let app = owner;
            let txn = app.db.begin().await?;
            let mut item = lock(&txn, &execution, app.clock.now()).await?;
            prolong(&app, &mut execution);
            note(&txn, &app, &mut item, &mut execution, notes).await?;
            transition::apply(&txn, &app, &mut item, &mut execution, what).await?;
            txn.commit().await?;
            Ok(execution)
        }))
        .await?;
    app.wakes.relay.notify();
    Ok(execution)
}

async fn note(
    txn: &DatabaseTransaction,
    app: &App,
    item: &mut item::Model,
    execution: &mut execution::Model,
    notes: Notes,
) -> Result<()> {
    if let Some(session) = notes.session {
        app.vault.destroy(txn, execution.session.as_deref()).await?;
        let scope = execution_scope(execution, "session");
        execution.session = Some(app.vault.seal(txn, scope, &session.0).await?);
        // The answer has been used.
        app.vault.destroy(txn, execution.answer.as_deref()).await?;
        execution.answer = None;
    }
    if notes.memory != Change::None {
        app.vault.destroy(txn, item.memory.as_deref()).await?;
        item.memory = None;
    }
    if let Change::Keep(kept) = notes.memory {
        item.memory = Some(app.vault.seal(txn, memory_scope(item), &kept).await?);
    }
    if let Some((question, expires)) = notes.question {
        item.parameter = Some(serde_json::to_value(&question.field).map_err(Error::internal)?);
        item.parameter_expires_at = Some(expires);
        execution.question_asked += 1;
        pause(execution, expires);
    }
    if let Some((action, expires, look)) = notes.action {
        item.user_action = Some(serde_json::to_value(&action).map_err(Error::internal)?);
        item.user_action_expires_at = expires;
        pause(execution, look);
    }
    if let Some(step) = notes.step {
        let mut steps = steps(execution)?;
        steps.retain(|earlier| earlier.product != step.product);
        steps.push(step);
        execution.steps = json!(steps);
    }
    if !notes.covered.is_empty() {
        let mut covered = covered(execution)?;
        covered.extend(notes.covered);
        execution.covered = json!(covered);
    }
    Ok(())
}

/// Leaves the run to whoever finds it due then. A run that waits holds no lease.
fn pause(execution: &mut execution::Model, until: Timestamp) {
    execution.lease_until = None;
    execution.due_at = until;
}

/// The finished steps of a run.
pub fn steps(execution: &execution::Model) -> Result<Vec<Step>> {
    serde_json::from_value(execution.steps.clone()).map_err(Error::internal)
}

/// What a run has covered.
pub fn covered(execution: &execution::Model) -> Result<Vec<Coverage>> {
    serde_json::from_value(execution.covered.clone()).map_err(Error::internal)
}

/// Whether a run has collected a product.
pub fn has_collected(execution: &execution::Model, product: Product) -> Result<bool> {
    let steps = steps(execution)?;
    Ok(steps
        .iter()
        .any(|step| step.product == product && step.failure.is_none()))
}

/// An account that a run has merged, or how far it has come with a product that is merged by itself, as the execution's
/// row keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MergedAccount {
    /// Its key at the institution; of a product, that of the last parent.
    pub account: String,
    /// The product that is merged by itself; an account and its transactions when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product: Option<Product>,
    /// What became of the rows of each product.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<(Product, Counts)>,
    /// Why it was left as it was, if so.
    pub warning: Option<Warning>,
    /// The products of which something was left as it was, then. A version before this one did not name them.
    #[serde(default = "movements", skip_serializing_if = "Vec::is_empty")]
    pub withheld: Vec<Product>,
    /// What has changed about it and no event of its merge has told: the run's end does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
}

fn movements() -> Vec<Product> {
    vec![Product::Transactions]
}

/// The accounts that a run has merged.
pub fn merged(execution: &execution::Model) -> Result<Vec<MergedAccount>> {
    serde_json::from_value(execution.merged.clone()).map_err(Error::internal)
}

/// Notes an account as merged, in the transaction that merges it. Like any recorded step it forgives lost leases.
pub async fn note_merged(
    txn: &DatabaseTransaction,
    app: &App,
    execution: &mut execution::Model,
    account: MergedAccount,
) -> Result<()> {
    let mut accounts = merged(execution)?;
    accounts.retain(|one| one.product.is_none() || one.product != account.product);
    accounts.push(account);
    execution.merged = json!(accounts);
    prolong(app, execution);
    transition::save_execution(txn, execution).await
}

/// A recorded step holds the run for another lease.
fn prolong(app: &App, execution: &mut execution::Model) {
    let until = app.clock.now().plus(app.config.lease);
    execution.lease_until = Some(until);
    execution.due_at = until;
    execution.lost_leases = 0;
    execution.early_losses = 0;
}

/// Ends a run: per-product outcome on the Item, state, events; its uploads go with it.
pub async fn finish(
    app: &App,
    mut execution: execution::Model,
    what: transition::Move,
    notes: Notes,
    withheld: Vec<(Product, Warning)>,
) -> Result<execution::Model> {
    let revoked = matches!(&what, transition::Move::Fail(failure)
        if failure.code == ExecutionStatus::UserAuthorizationRevoked);
    // What Ponte refuses until later says nothing of the institution.
    let asked = !matches!(&what, transition::Move::Fail(failure)
        if failure.code == ExecutionStatus::Error && failure.attributes.contains_key(RETRY_AT));
    let owner = app.clone();
    let execution = app
        .unit(Box::pin(async move {
            let app = owner;
            let txn = app.db.begin().await?;
            let mut item = lock(&txn, &execution, app.clock.now()).await?;
            Box::pin(note(&txn, &app, &mut item, &mut execution, notes)).await?;
            let merged = matches!(
                what,
                transition::Move::Signal(
                    crate::item::state::Signal::Finished
                        | crate::item::state::Signal::FinishedPartially
                )
            );
            let accounts = self::merged(&execution)?.into_iter();
            item.note(accounts.filter_map(|account| account.told));
            item.note(snapshot::told(&txn, execution.id).await?);
            if merged {
                let read = read_whole(&steps(&execution)?);
                let source = connector_of(&app, &item).descriptor().source;
                if source == SourceKind::Institution {
                    item.note(
                        account::close_vanished(&txn, &app, &execution, &read, source).await?,
                    );
                }
                let told = identity::merge(&txn, &app, &execution).await?;
                count_holder(&mut execution, told.as_ref())?;
                item.note(told);
            }
            item.status_detail = status_detail(
                &item,
                &steps(&execution)?,
                &withheld,
                merged,
                app.clock.now(),
            );
            if revoked {
                consent::withdrawn(&txn, &mut item, app.clock.now()).await?;
            }
            upload::delete_of_run(&txn, &item, &execution).await?;
            if connector_of(&app, &item).descriptor().is_sandbox {
                laboratory::spent(&txn, &execution).await?;
            }
            transition::apply(&txn, &app, &mut item, &mut execution, what).await?;
            txn.commit().await?;
            Ok(execution)
        }))
        .await?;
    metrics::execution_ended(execution.status, execution.triggered_by);
    if let Some(connector) = app
        .connectors
        .find(execution.connector_id)
        .filter(|_| asked)
    {
        app.outcomes.count(connector.descriptor(), &execution);
    }
    app.wakes.relay.notify();
    app.wakes.purge.notify();
    Ok(execution)
}

/// Warnings that an institution has told less of some accounts, but shown them.
const OF_DETAILS: [&str; 4] = ["ACCT_005", "CC_005", "CC_006", "CC_007"];

/// The families of accounts of which a run has seen every account that the institution has.
fn read_whole(steps: &[Step]) -> Vec<Product> {
    let families = [Product::Accounts, Product::CreditCards];
    let whole = |step: &&Step| {
        families.contains(&step.product)
            && step.failure.is_none()
            && step
                .warnings
                .iter()
                .all(|warning| OF_DETAILS.contains(&warning.code.as_str()))
    };
    steps
        .iter()
        .filter(whole)
        .map(|step| step.product)
        .collect()
}

/// Notes what became of the holder, if a run has read one.
fn count_holder(execution: &mut execution::Model, told: Option<&Told>) -> Result<()> {
    let read = steps(execution)?
        .iter()
        .any(|step| step.product == Product::Identity && step.rows > 0);
    if read {
        let mut all = merged(execution)?;
        all.push(MergedAccount {
            account: String::new(),
            product: Some(Product::Identity),
            counts: vec![(Product::Identity, Counts::of_one(told))],
            warning: None,
            withheld: Vec::new(),
            told: None,
        });
        execution.merged = json!(all);
    }
    Ok(())
}

/// Per requested product: whether it was updated, when last, and what the client should know. What was withheld of one,
/// because it is not believed yet, leaves it as old as it was. Of others, when they were last updated: what has been
/// collected of them is still there.
fn status_detail(
    item: &item::Model,
    steps: &[Step],
    withheld: &[(Product, Warning)],
    merged: bool,
    now: Timestamp,
) -> Value {
    let requested = products_of(item);
    let mut detail = Map::new();
    for (name, before) in item.status_detail.as_object().into_iter().flatten() {
        let last = before.get("lastUpdatedAt").filter(|at| !at.is_null());
        if let Some(last) = last {
            detail.insert(
                name.clone(),
                json!({ "isUpdated": false, "lastUpdatedAt": last, "warnings": [] }),
            );
        }
    }
    for product in requested {
        let step = steps.iter().find(|step| step.product == product);
        let before = item.status_detail.get(product.as_str());
        let before = |name: &str| before.and_then(|before| before.get(name)).cloned();
        // A run leaves out what is as new as its institution lets it be.
        let updated = merged
            && step.map_or_else(
                || before("isUpdated") == Some(true.into()),
                |step| step.failure.is_none(),
            );
        let doubted = withheld.iter().filter(|(of, _)| *of == product);
        let doubts: Vec<Warning> = doubted.map(|(_, warning)| warning.clone()).collect();
        let incomplete =
            !doubts.is_empty() || (step.is_none() && before("incomplete") == Some(true.into()));
        let last = if updated && step.is_some() && !incomplete {
            json!(now)
        } else {
            before("lastUpdatedAt").unwrap_or(Value::Null)
        };
        let mut warnings: Vec<Warning> = step.map_or_else(Vec::new, |step| step.warnings.clone());
        warnings.extend(
            step.and_then(|step| step.failure.as_ref())
                .map(|failure| Warning {
                    code: failure.code.to_string(),
                    message: failure.message.clone(),
                    provider_message: failure.provider_message.clone(),
                }),
        );
        warnings.extend(doubts);
        detail.insert(
            product.as_str().to_owned(),
            json!({
                "isUpdated": updated,
                "lastUpdatedAt": last,
                "incomplete": incomplete,
                "warnings": warnings,
            }),
        );
    }
    Value::Object(detail)
}
