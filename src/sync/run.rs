//! One execution, from where it stands to its end or its next pause.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use entity::{
    execution, item,
    kind::{ExecutionStatus, Product},
};
use sea_orm::{ColumnTrait as _, QueryFilter as _};
use tracing::Instrument as _;

use super::{
    collect, login,
    record::{self, Notes},
    store,
};
use crate::{
    app::App,
    clock::Timestamp,
    connector::{Call, Connector, Credentials, Descriptor, Failure, Login, Memory, Session},
    db,
    error::{Error, Result},
    item::{
        connector_of, credentials, execution_scope, from_bytes, guarded, laboratory, memory, oauth,
        state::{self, Signal},
        transition::Move,
        turnstile, upload,
    },
};

/// Longest login, or step of one.
const LOGIN_LASTS: Duration = Duration::from_mins(5);
/// Longest that a run waits for its turn to ask the institution something.
const REQUEST_WAITS: Duration = Duration::from_mins(4);
/// Leases that may be lost without a recorded step in between.
const MOST_LOST_LEASES: i32 = 3;
/// When a run that failed by a fault of ours is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Runs a claimed execution; whatever happens, its lease is given back or runs out.
pub async fn run(app: App, execution: execution::Model) {
    let (id, epoch) = (execution.id, execution.epoch);
    let span =
        tracing::info_span!("execution", item.id = %execution.item_id, execution.id = %id, epoch);
    let task = async {
        let lease = Lease(Arc::new(AtomicI64::new(
            execution.lease_until.map_or(0, |until| until.0),
        )));
        let outcome = tokio::select! {
            outcome = drive(&app, &lease, execution) => outcome,
            () = keep(&app, &lease, id, epoch) => Err(Error::LeaseLost),
            () = app.stopping() => {
                hand_over(&app, id, epoch, Duration::ZERO, false).await;
                return;
            }
        };
        match outcome {
            Ok(()) => {}
            Err(Error::LeaseLost) => {
                tracing::info!("another worker has this execution now, or it has ended");
            }
            Err(error) => {
                error.log("execution");
                hand_over(&app, id, epoch, TRY_AGAIN, true).await;
            }
        }
        // There is room on this node again.
        app.wakes.sync.here();
    };
    Box::pin(task.instrument(span)).await;
}

async fn hand_over(app: &App, id: uuid::Uuid, epoch: i64, after: Duration, failed: bool) {
    let due = app.clock.now().plus(after);
    if let Err(error) = db::execution::release(&app.db, id, epoch, due, failed).await {
        error.log("execution lease");
    }
    app.wakes.sync.notify();
}

/// Until when this worker may act for its execution, as far as it knows.
#[derive(Clone)]
pub struct Lease(Arc<AtomicI64>);

impl Lease {
    /// Fails once the lease has run out, for instance because this process was stopped for a while.
    pub fn check(&self, app: &App) -> Result<()> {
        if app.clock.now().0 < self.0.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Error::LeaseLost)
        }
    }

    fn prolong(&self, until: Timestamp) {
        self.0.fetch_max(until.0, Ordering::SeqCst);
    }
}

/// Prolongs the lease until it is lost.
async fn keep(app: &App, lease: &Lease, id: uuid::Uuid, epoch: i64) {
    loop {
        app.clock.sleep(app.config.lease / 3).await;
        let now = app.clock.now();
        let until = now.plus(app.config.lease);
        match db::execution::hold(&app.db, id, epoch, now, until).await {
            Ok(true) => lease.prolong(until),
            Ok(false) => {
                // A run that has just paused or ended holds no lease; the driver is about to say so.
                app.clock.sleep(app.config.lease / 3).await;
                return;
            }
            Err(error) => error.log("execution heartbeat"),
        }
    }
}

async fn drive(app: &App, lease: &Lease, mut execution: execution::Model) -> Result<()> {
    if execution.lost_leases >= MOST_LOST_LEASES {
        let code = match execution.status {
            ExecutionStatus::Merging => ExecutionStatus::MergeError,
            _ => ExecutionStatus::UnexpectedError,
        };
        return fail(app, execution, Failure::new(code, state::explanation(code))).await;
    }
    let item = item::Entity::owned_by(execution.application_id)
        .filter(item::Column::Id.eq(execution.item_id))
        .filter(item::Column::DeletedAt.is_null())
        .one(app.db.read())
        .await?
        .ok_or(Error::LeaseLost)?;
    let connector = connector_of(app, &item);
    // Known from here on: what comes after this run follows from its settings.
    app.applications
        .load(&app.db, execution.application_id)
        .await?;
    let call = call(app, &item, &execution, connector.descriptor()).await?;
    loop {
        lease.check(app)?;
        execution = match execution.status {
            ExecutionStatus::Created => {
                record::record(
                    app,
                    execution,
                    Signal::LoginStarted.into(),
                    Notes::default(),
                )
                .await?
            }
            ExecutionStatus::LoginInProgress
            | ExecutionStatus::LoginMfaInProgress
            | ExecutionStatus::WaitingUserAction
            | ExecutionStatus::UserAuthorizationPending => {
                let outcome = log_in(app, &connector, &call, &item, &execution).await?;
                let next = logged_in(app, execution, outcome, &call.memory).await?;
                if next.lease_until.is_none() {
                    return Ok(());
                }
                next
            }
            ExecutionStatus::WaitingUserInput => {
                let code = ExecutionStatus::UserInputTimeout;
                return fail(app, execution, Failure::new(code, state::explanation(code))).await;
            }
            ExecutionStatus::Merging => {
                if let Some(failure) = call.laboratory.merge_failure() {
                    return fail(app, execution, failure).await;
                }
                return Box::pin(store::merge(app, lease, &connector, execution)).await;
            }
            _ => {
                let Some(product) = collecting(&execution) else {
                    return Ok(());
                };
                let session = session(app, &execution).await?;
                let collected =
                    collect::collect(app, lease, &connector, &call, session, &execution, product)
                        .await?;
                match collected.next {
                    Ok(next) => {
                        let notes = collected.notes.remembering(&call.memory);
                        record::record(app, execution, next.into(), notes).await?
                    }
                    Err(failure) => {
                        let notes = collected.notes.remembering(&call.memory);
                        let failed = Move::Fail(failure);
                        record::finish(app, execution, failed, notes, Vec::new()).await?;
                        return Ok(());
                    }
                }
            }
        };
    }
}

/// The product that an execution collects where it stands.
fn collecting(execution: &execution::Model) -> Option<Product> {
    products(execution)
        .into_iter()
        .find(|product| state::collecting(*product) == Some(execution.status))
}

/// The products of a run, in order of collection.
pub fn products(execution: &execution::Model) -> Vec<Product> {
    serde_json::from_value(execution.products.clone()).unwrap_or_default()
}

async fn fail(app: &App, execution: execution::Model, failure: Failure) -> Result<()> {
    let notes = Notes::default();
    record::finish(app, execution, Move::Fail(failure), notes, Vec::new()).await?;
    Ok(())
}

async fn call(
    app: &App,
    item: &item::Model,
    execution: &execution::Model,
    form: &Descriptor,
) -> Result<Call> {
    let mut files = std::collections::BTreeMap::new();
    for (name, id) in upload::of_run(execution) {
        if let Some(contents) = upload::read(app, execution.application_id, id).await? {
            files.insert(name, contents.into());
        }
    }
    Ok(Call {
        clock: app.clock.clone(),
        sandbox_step: app.config.sandbox_step,
        files,
        memory: memory(app, item).await?,
        oauth: form.oauth.then(|| oauth::of_run(app, execution)),
        laboratory: laboratory::of_item(app, form, item, Some(execution.id)).await?,
        granted: None,
        requests: turnstile::requests(app, form.id, REQUEST_WAITS, false),
    })
}

async fn session(app: &App, execution: &execution::Model) -> Result<Session> {
    let envelope = execution
        .session
        .as_deref()
        .ok_or_else(|| Error::internal("a run that has logged in has no session"))?;
    let scope = execution_scope(execution, "session");
    Ok(Session(
        app.vault.unseal(app.db.read(), scope, envelope).await?,
    ))
}

/// Calls the connector where the login stands. Its panic is a failure of the run and not of the worker.
async fn log_in(
    app: &App,
    connector: &Arc<dyn Connector>,
    call: &Call,
    item: &item::Model,
    execution: &execution::Model,
) -> Result<Result<Login, Failure>> {
    let answer = match &execution.answer {
        Some(envelope) => {
            let scope = execution_scope(execution, "answer");
            from_bytes(&app.vault.unseal(app.db.read(), scope, envelope).await?)?
        }
        None => Credentials::default(),
    };
    let (connector, call) = (connector.clone(), call.clone());
    let requests = call.requests.clone();
    match execution.status {
        ExecutionStatus::LoginMfaInProgress => {
            let session = session(app, execution).await?;
            guarded(&requests, LOGIN_LASTS, async move {
                connector.answer(&call, &session, &answer).await
            })
            .await
        }
        ExecutionStatus::WaitingUserAction | ExecutionStatus::UserAuthorizationPending => {
            if item
                .user_action_expires_at
                .is_some_and(|expires| app.clock.now() >= expires)
            {
                let code = if execution.status == ExecutionStatus::WaitingUserAction {
                    ExecutionStatus::UserInputTimeout
                } else {
                    ExecutionStatus::UserAuthorizationNotGranted
                };
                return Ok(Err(Failure::new(code, state::explanation(code))));
            }
            let session = session(app, execution).await?;
            guarded(&requests, LOGIN_LASTS, async move {
                connector.poll(&call, &session).await
            })
            .await
        }
        _ => {
            if let Some(refused) = login::count(app, connector.descriptor(), execution).await? {
                return Ok(Err(refused));
            }
            let mut credentials = credentials(app, item).await?;
            credentials.0.extend(answer.0);
            guarded(&requests, LOGIN_LASTS, async move {
                connector.login(&call, &credentials).await
            })
            .await
        }
    }
}

/// Records the outcome of a step of logging in.
async fn logged_in(
    app: &App,
    execution: execution::Model,
    outcome: Result<Login, Failure>,
    memory: &Memory,
) -> Result<execution::Model> {
    let now = app.clock.now();
    let kept = Notes::default().remembering(memory);
    match outcome {
        Err(failure) => record::finish(app, execution, Move::Fail(failure), kept, Vec::new()).await,
        Ok(Login::Connected(session)) => {
            let first = products(&execution)
                .into_iter()
                .find(|product| state::collecting(*product).is_some())
                .ok_or_else(|| Error::internal("a run has nothing to collect"))?;
            let notes = Notes {
                session: Some(session),
                ..kept
            };
            record::record(app, execution, Signal::Collecting(first).into(), notes).await
        }
        Ok(Login::Question { question, session }) => {
            let expires = now.plus(question.expires_in.unwrap_or(app.config.mfa_timeout));
            let notes = Notes {
                session: Some(session),
                question: Some((question, expires)),
                ..kept
            };
            record::record(app, execution, Signal::QuestionAsked.into(), notes).await
        }
        Ok(Login::Action {
            action,
            session,
            poll_after,
            delayed,
        }) => {
            let expires = action.expires_in.map(|lasts| now.plus(lasts));
            let notes = Notes {
                session: Some(session),
                action: Some((action, expires, now.plus(poll_after))),
                ..kept
            };
            let signal = if delayed {
                Signal::ApprovalDelayed
            } else {
                Signal::ActionDemanded
            };
            record::record(app, execution, signal.into(), notes).await
        }
    }
}
