//! Moving an execution: state, Item and events together, in one transaction.
//!
//! The caller holds the Item's row. Client operations and workers both come through [`apply`]; a worker's write is
//! fenced by the epoch it claimed the execution under, and finds out here that it has lost it.

use entity::{
    execution, item,
    kind::{EventType, ExecutionStatus, ItemStatus},
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait, QueryFilter as _, Value,
    sea_query::{Expr, ExprTrait as _},
};
use serde_json::json;

use super::{
    Held, auto_sync, save,
    state::{self, Signal},
};
use crate::{
    app::App,
    connector::Failure,
    error::{Error, Result},
    event::{
        self, Draft,
        body::{Failed, Reason},
    },
};

/// The end of a run that failed, with what to tell the client.
#[derive(Clone, Debug)]
pub enum Move {
    /// A signal that needs no words.
    Signal(Signal),
    /// The run has failed.
    Fail(Failure),
}

impl From<Signal> for Move {
    fn from(signal: Signal) -> Self {
        Self::Signal(signal)
    }
}

/// Moves an execution and its Item, and appends the events that this amounts to.
///
/// Fails with [`Error::LeaseLost`] when somebody else has claimed or ended the execution since it was read.
pub async fn apply(
    txn: &impl ConnectionTrait,
    app: &App,
    item: &mut Held,
    execution: &mut execution::Model,
    what: Move,
) -> Result<()> {
    let drafts = advance(app, item, execution, &what)?;
    if state::is_ended(execution.status) {
        for envelope in [execution.session.take(), execution.answer.take()] {
            app.vault.destroy(txn, envelope.as_deref()).await?;
        }
    }
    event::append(txn, app, item, drafts).await?;
    save(txn, item).await?;
    save_execution(txn, execution).await
}

/// Moves an execution and its Item in memory, and answers the events that this amounts to.
pub(super) fn advance(
    app: &App,
    item: &mut Held,
    execution: &mut execution::Model,
    what: &Move,
) -> Result<Vec<Draft>> {
    let now = app.clock.now();
    let signal = match what {
        Move::Signal(signal) => *signal,
        Move::Fail(failure) => Signal::Failed(failure.code),
    };
    let before = execution.status;
    let after = state::next(before, signal).map_err(Error::internal)?;
    execution.status = after;
    if matches!(signal, Signal::Collecting(_)) {
        execution.logged_in_at.get_or_insert(now);
        // However the run ends: what is refused later is not in a row with what was refused before.
        item.failed_logins = 0;
    }
    if signal == Signal::MergeStarted {
        execution.merging_at = Some(now);
    }
    item.execution_status = after;
    item.updated_at = now;
    item.parameter = item
        .parameter
        .take()
        .filter(|_| after == ExecutionStatus::WaitingUserInput);
    item.user_action = item
        .user_action
        .take()
        .filter(|_| state::status(after) == ItemStatus::WaitingUserAction);
    item.parameter_expires_at = item
        .parameter_expires_at
        .filter(|_| item.parameter.is_some());
    item.user_action_expires_at = item
        .user_action_expires_at
        .filter(|_| item.user_action.is_some());

    let mut drafts = vec![Draft::status_changed(
        state::status(after),
        after,
        execution.triggered_by,
    )];
    if let Some(kind) = amounts_to(before, signal, item.collected_once) {
        let mut draft = Draft::new(kind, Some(execution.triggered_by));
        if let Signal::Failed(code) = signal {
            draft = draft.carrying(&Failed {
                error: Reason {
                    code,
                    message: state::explanation(code).into(),
                },
            });
        }
        drafts.push(draft);
    }
    if state::is_ended(after) {
        let failed_before = item.failed_runs > 0;
        end(item, execution, after, what, now);
        auto_sync::ended(app, item, execution, failed_before, now);
    } else {
        item.auto_sync_due_at = None;
    }
    // The last event tells: whoever has read it has nothing of this left to read.
    if let Some(last) = drafts.pop() {
        drafts.push(last.telling(item.tell()));
    }
    Ok(drafts)
}

/// The event beside ITEM_STATUS_CHANGED that a transition amounts to, if any.
fn amounts_to(before: ExecutionStatus, signal: Signal, collected_once: bool) -> Option<EventType> {
    match signal {
        Signal::QuestionAsked => Some(EventType::ItemWaitingUserInput),
        Signal::ActionDemanded | Signal::ApprovalDelayed => Some(EventType::ItemWaitingUserAction),
        Signal::Collecting(_) => matches!(
            before,
            ExecutionStatus::LoginInProgress
                | ExecutionStatus::LoginMfaInProgress
                | ExecutionStatus::WaitingUserAction
                | ExecutionStatus::UserAuthorizationPending
        )
        .then_some(EventType::ItemLoginSucceeded),
        Signal::Finished | Signal::FinishedPartially => Some(if collected_once {
            EventType::ItemUpdated
        } else {
            EventType::ItemCreated
        }),
        Signal::Failed(_) => Some(EventType::ItemError),
        Signal::Prepared
        | Signal::UpdateRequested
        | Signal::LoginStarted
        | Signal::AnswerGiven
        | Signal::MergeStarted => None,
    }
}

fn end(
    item: &mut item::Model,
    execution: &mut execution::Model,
    after: ExecutionStatus,
    what: &Move,
    now: crate::clock::Timestamp,
) {
    execution.ended_at = Some(now);
    execution.lease_until = None;
    item.last_ended_at = Some(now);
    match what {
        Move::Signal(_) => {
            item.error_code = None;
            item.error_message = None;
            item.error_provider_message = None;
            item.error_attributes = None;
            item.failed_logins = 0;
            item.failed_runs = 0;
            item.last_updated_at = Some(now);
            item.collected_once = true;
        }
        Move::Fail(failure) => {
            execution.error_code = Some(after);
            execution.failure = Some(json!(failure));
            item.error_code = Some(after);
            item.error_message = Some(failure.message.clone());
            item.error_provider_message
                .clone_from(&failure.provider_message);
            item.error_attributes =
                (!failure.attributes.is_empty()).then(|| json!(failure.attributes));
            item.failed_runs = item.failed_runs.saturating_add(1);
            if state::status(after) == ItemStatus::LoginError {
                item.failed_logins = item.failed_logins.saturating_add(1);
            }
        }
    }
}

/// Writes an execution back, unless another epoch has begun or it has ended.
pub(crate) async fn save_execution(
    txn: &impl ConnectionTrait,
    execution: &execution::Model,
) -> Result<()> {
    use execution::Column as C;

    let set: [(C, Value); 18] = [
        (C::Status, execution.status.as_str().into()),
        (C::Products, execution.products.clone().into()),
        (C::Steps, execution.steps.clone().into()),
        (C::Covered, execution.covered.clone().into()),
        (C::Merged, execution.merged.clone().into()),
        (C::Session, execution.session.clone().into()),
        (C::Answer, execution.answer.clone().into()),
        (C::QuestionAsked, execution.question_asked.into()),
        (C::DueAt, execution.due_at.0.into()),
        (C::LeaseUntil, execution.lease_until.map(|at| at.0).into()),
        (C::LostLeases, execution.lost_leases.into()),
        (C::EarlyLosses, execution.early_losses.into()),
        (
            C::ErrorCode,
            execution.error_code.map(ExecutionStatus::as_str).into(),
        ),
        (C::Failure, execution.failure.clone().into()),
        (C::EndedAt, execution.ended_at.map(|at| at.0).into()),
        (C::StartedAt, execution.started_at.map(|at| at.0).into()),
        (C::LoggedInAt, execution.logged_in_at.map(|at| at.0).into()),
        (C::MergingAt, execution.merging_at.map(|at| at.0).into()),
    ];
    let mut update = execution::Entity::update_many();
    for (column, value) in set {
        update = update.col_expr(column, Expr::value(value));
    }
    let updated = update
        .filter(C::Id.eq(execution.id))
        .filter(C::Epoch.eq(execution.epoch))
        .filter(C::EndedAt.is_null())
        .exec(txn)
        .await?;
    match updated.rows_affected {
        0 => Err(Error::LeaseLost),
        _ => Ok(()),
    }
}

/// Takes an execution away from whoever holds it: their next record finds another epoch.
pub(crate) async fn fence(
    txn: &impl ConnectionTrait,
    execution: &mut execution::Model,
) -> Result<()> {
    let updated = execution::Entity::update_many()
        .col_expr(
            execution::Column::Epoch,
            Expr::col(execution::Column::Epoch).add(1),
        )
        .filter(execution::Column::Id.eq(execution.id))
        .filter(execution::Column::EndedAt.is_null())
        .exec_with_returning(txn)
        .await?;
    execution.epoch = updated.first().ok_or(Error::LeaseLost)?.epoch;
    Ok(())
}
