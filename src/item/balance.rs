//! What is on an account now: asked of the institution outside of runs, by what is kept of the Item.
//!
//! The call is counted like those of runs before it is made. Nothing that is stored changes, so that balances and movements
//! go on being of the same run.

use std::{collections::BTreeMap, time::Duration};

use entity::{
    account, consent, item,
    kind::{
        AccountType, AuditAction, ExecutionStatus, ItemStatus, OpenFinancePermission, RegulatedCall,
    },
};
use sea_orm::{ColumnTrait as _, QueryFilter as _, QueryOrder as _, sea_query::ExprTrait as _};
use serde_json::json;
use uuid::Uuid;

use super::{
    connector_of, credentials, find, guarded, laboratory, memory, quota, state, turnstile,
};
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    connector::{BalanceRecord, Call, Credentials, Descriptor, Failure, Requests, regulated},
    db::quota as purse,
    error::{BalanceProblem, Error, Result},
};

/// Longest time that the institution has.
const LASTS: Duration = Duration::from_secs(20);
/// Longest that it waits for its turn to be asked: clients wait for the answer.
const REQUEST_WAITS: Duration = Duration::from_secs(20);

/// What is on an account of this principal, asked now. Fails with NOT_FOUND for an account that they do not have, otherwise
/// as [`BalanceProblem`] says.
pub async fn fetch(
    app: &App,
    principal: &Principal,
    id: Uuid,
) -> Result<(account::Model, BalanceRecord)> {
    principal.require_api_key("fetch live balances")?;
    let (_, item) = shown(app, principal, id).await?;
    // Before it is counted for good: there may be no time for it.
    let turn = turnstile::admitted(app, item.connector_id, REQUEST_WAITS).await;
    let requests = turn.map_err(failed)?;
    // Meanwhile a run may have ended, or the user withdrawn.
    let (row, item) = shown(app, principal, id).await?;
    let connector = connector_of(app, &item);
    let (credentials, call) = call(app, connector.descriptor(), &item, requests).await?;
    spend(app, principal, item, row.id).await?;
    let (asked, key, requests) = (connector.clone(), row.key.clone(), call.requests.clone());
    let answer = guarded(&requests, LASTS, async move {
        asked.balance(&call, &credentials, &key).await
    });
    match answer.await? {
        Ok(Some(balance)) => Ok((row, balance)),
        Ok(None) => Err(problem(
            BalanceProblem::NotFound,
            "the institution no longer shows this account",
        )),
        Err(failure) => Err(failed(failure)),
    }
}

/// The account and its Item, if its balance may be asked for.
async fn shown(
    app: &App,
    principal: &Principal,
    id: Uuid,
) -> Result<(account::Model, item::Model)> {
    let row = account::Entity::owned_by(principal.application)
        .filter(account::Column::Id.eq(id))
        .one(app.db.read())
        .await?;
    let item = match &row {
        Some(row) => find(app, principal, row.item_id).await?,
        None => None,
    };
    let (row, item) = row.zip(item).ok_or(Error::NotFound { what: "account" })?;
    let connector = connector_of(app, &item);
    let form = connector.descriptor();
    check(form, &row)?;
    allowed(app, form, &item).await?;
    Ok((row, item))
}

fn problem(problem: BalanceProblem, message: impl Into<String>) -> Error {
    Error::Balance {
        problem,
        message: message.into(),
        retry_at: None,
        provider_message: None,
    }
}

/// Whether this can be asked at all.
fn check(form: &Descriptor, row: &account::Model) -> Result<()> {
    let reason = if !form.has_live_balance {
        "this connector tells no live balances; see `hasLiveBalance`"
    } else if row.kind != AccountType::Bank {
        "only BANK accounts have a live balance"
    } else if row.closed_at.is_some() {
        let reason = "the institution no longer shows this account";
        return Err(problem(BalanceProblem::NotFound, reason));
    } else {
        return Ok(());
    };
    Err(problem(BalanceProblem::InvalidRequest, reason))
}

/// Whether the user allows it, and the institution can be reached.
async fn allowed(app: &App, form: &Descriptor, item: &item::Model) -> Result<()> {
    let now = app.clock.now();
    let granted = consent::Entity::owned_by(item.application_id)
        .filter(consent::Column::ItemId.eq(item.id))
        .filter(consent::Column::RevokedAt.is_null())
        .filter(
            consent::Column::ExpiresAt
                .is_null()
                .or(consent::Column::ExpiresAt.gt(now.0)),
        )
        .order_by_desc(consent::Column::Id)
        .one(app.db.read())
        .await?;
    let balances = json!(OpenFinancePermission::AccountsBalances);
    let reason = match granted.as_ref().map(|consent| &consent.permissions) {
        None => "the user's consent has ended; connect again",
        Some(Some(codes)) if !codes.as_array().is_some_and(|it| it.contains(&balances)) => {
            "the user's consent does not cover balances; connect again with ACCOUNTS"
        }
        Some(_)
            if state::status(item.execution_status) == ItemStatus::LoginError
                || (form.oauth && item.memory.is_none()) =>
        {
            "the institution does not let this item in; connect again"
        }
        Some(_) if app.health.offline(form.id, item.application_id) => {
            let reason = "the connector is OFFLINE: its institution cannot be reached";
            return Err(problem(BalanceProblem::ConnectorUnavailable, reason));
        }
        Some(_) => return Ok(()),
    };
    Err(problem(BalanceProblem::ConsentError, reason))
}

async fn call(
    app: &App,
    form: &Descriptor,
    item: &item::Model,
    requests: Requests,
) -> Result<(Credentials, Call)> {
    let credentials = credentials(app, item).await?;
    let memory = memory(app, item).await?;
    let call = Call {
        clock: app.clock.clone(),
        sandbox_step: app.config.sandbox_step,
        files: BTreeMap::new(),
        memory,
        oauth: None,
        laboratory: laboratory::of_item(app, form, item, None).await?,
        granted: form
            .is_open_finance
            .then(|| vec![RegulatedCall::AccountBalance]),
        requests,
    };
    Ok((credentials, call))
}

/// Counts the call, for good, and notes it in the audit log.
async fn spend(app: &App, principal: &Principal, item: item::Model, account: Uuid) -> Result<()> {
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let app = owner;
        let now = app.clock.now();
        let txn = app.db.begin().await?;
        let regulated = connector_of(&app, &item).descriptor().is_open_finance;
        let limit = regulated::limit_of(RegulatedCall::AccountBalance);
        if let Some(limit) = limit.filter(|_| regulated) {
            let alone = || quota::alone(&app, item.id);
            let whose = purse::Account {
                person: item.person_digest.clone().unwrap_or_else(alone),
                connector: item.connector_id,
                month: quota::month(now),
            };
            if !purse::spend(&app.db, &txn, &whose, limit.call, limit.month).await? {
                return Err(Error::Balance {
                    problem: BalanceProblem::OpenFinanceRateLimit,
                    message: "this month's balances of this person at this institution are used up"
                        .to_owned(),
                    retry_at: Some(quota::resets_at(now)),
                    provider_message: None,
                });
            }
        }
        Entry::of(&principal, AuditAction::BalanceFetched)
            .on(account)
            .about(&app.vault, item.client_user_id.as_deref())
            .append(&txn, &app.clock, &app.rng)
            .await?;
        txn.commit().await?;
        Ok(())
    })
    .await
}

/// What a failure of the institution, or our own refusal to ask it now, amounts to.
fn failed(failure: Failure) -> Error {
    let retry_at = failure.retry_at();
    let problem = match failure.code {
        _ if retry_at.is_some() => BalanceProblem::ConnectorUnavailable,
        code if state::status(code) == ItemStatus::LoginError => BalanceProblem::ConsentError,
        ExecutionStatus::SiteNotAvailable | ExecutionStatus::ConnectionError => {
            BalanceProblem::ConnectorUnavailable
        }
        _ => BalanceProblem::FetchError,
    };
    Error::Balance {
        problem,
        message: failure.message,
        retry_at,
        provider_message: failure.provider_message,
    }
}
