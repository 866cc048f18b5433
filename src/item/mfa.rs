//! Answering the question that an Item waits with.

use std::collections::BTreeMap;

use entity::{
    item,
    kind::{AuditAction, ExecutionStatus},
};
use sea_orm::DatabaseTransaction;
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    Changed, Held, create::position, execution_scope, input::by_name, lock, state::Signal,
    to_bytes, transition, unfinished,
};
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    clock::Timestamp,
    connector::{Field, validate::validate_value},
    error::{Error, Result},
};

/// Answers the question; a worker goes on with it.
pub async fn answer(
    app: &App,
    principal: &Principal,
    id: Uuid,
    parameters: Vec<(String, SecretString)>,
) -> Result<Changed> {
    let values = by_name(parameters)?;
    let (owner, principal) = (app.clone(), principal.clone());
    let changed = app
        .unit(async move { answer_in_task(&owner, &principal, id, values).await })
        .await?;
    app.wakes.sync.notify();
    app.wakes.relay.notify();
    Ok(changed)
}

async fn answer_in_task(
    app: &App,
    principal: &Principal,
    id: Uuid,
    values: BTreeMap<String, SecretString>,
) -> Result<Changed> {
    let txn = app.db.begin().await?;
    let mut item = lock(&txn, principal, id).await?;
    let field = question(&item, app.clock.now())?;
    let mismatch = || Error::ItemMfaParameterExpectedMismatch {
        expected: field.name.clone(),
    };
    let value = values.get(&field.name).ok_or_else(mismatch)?;
    if values.len() > 1 {
        return Err(mismatch());
    }
    validate_value(&field, value).map_err(|problem| Error::ConnectorValidation(vec![problem]))?;
    let position = position(&txn, item.application_id).await?;
    take(&txn, app, &mut item, &values).await?;
    Entry::of(principal, AuditAction::ItemMfaSent)
        .on(id)
        .about(&app.vault, item.client_user_id.as_deref())
        .append(&txn, &app.clock, &app.rng)
        .await?;
    txn.commit().await?;
    Ok(Changed {
        item: item.into_row(),
        position,
    })
}

/// Takes the answer to the question that an Item waits with.
pub(super) async fn take(
    txn: &DatabaseTransaction,
    app: &App,
    item: &mut Held,
    values: &BTreeMap<String, SecretString>,
) -> Result<()> {
    let mut execution = unfinished(txn, item).await?.ok_or(Error::ItemMfaNotFound)?;
    // The worker that is to end the question at its expiry must not have claimed it in between.
    transition::fence(txn, &mut execution).await?;
    let scope = execution_scope(&execution, "answer");
    app.vault.destroy(txn, execution.answer.as_deref()).await?;
    execution.answer = Some(app.vault.seal(txn, scope, &to_bytes(values)).await?);
    execution.due_at = app.clock.now();
    execution.lease_until = None;
    let signal = Signal::AnswerGiven.into();
    transition::apply(txn, app, item, &mut execution, signal).await
}

/// The question that an Item waits with.
pub(super) fn question(item: &item::Model, now: Timestamp) -> Result<Field> {
    match (item.execution_status, &item.parameter) {
        (ExecutionStatus::WaitingUserInput, _)
            if item
                .parameter_expires_at
                .is_some_and(|expires| now >= expires) =>
        {
            Err(Error::ItemMfaExpired)
        }
        (ExecutionStatus::WaitingUserInput, Some(parameter)) => {
            serde_json::from_value(parameter.clone()).map_err(Error::internal)
        }
        (ExecutionStatus::LoginMfaInProgress, _) => Err(Error::ItemMfaAlreadyProvided),
        (ExecutionStatus::UserInputTimeout, _) => Err(Error::ItemMfaExpired),
        _ => Err(Error::ItemMfaNotFound),
    }
}
