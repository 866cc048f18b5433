//! Items: what clients may do with them.
//!
//! Every operation starts from a [`Principal`], holds the Item's row for its one transaction, moves the execution
//! through the [`state`] machine and appends the events beside it ([`transition`]). An institution that refuses a login
//! is data on the Item; a call that is wrong is an [`Error`].

pub mod auto_sync;
pub mod balance;
pub mod consent;
mod create;
mod delete;
mod encrypted;
pub mod freshness;
mod guarded;
pub mod health;
mod held;
pub mod history;
mod input;
pub mod laboratory;
pub mod list;
pub mod lockout;
mod mfa;
pub mod oauth;
pub mod permission;
pub mod purge;
pub mod quota;
pub mod retirement;
pub mod state;
pub mod transition;
pub mod turnstile;
mod update;
pub mod upkeep;
pub mod upload;

use entity::{
    execution, item,
    kind::{ExecutionStatus, Product, TriggeredBy},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel as _, QueryFilter as _, QuerySelect as _,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;
use zeroize::Zeroizing;

pub(crate) use self::delete::remove;
pub use self::{
    auto_sync::{AutoSync, disable_auto_sync},
    create::{NewItem, create},
    delete::delete,
    guarded::guarded,
    held::Held,
    input::{
        Change, Filled, check_client_user_id, check_parameters, check_redirect_uri,
        check_webhook_url,
    },
    mfa::answer,
    permission::Permission,
    update::{ItemUpdate, unlock, update},
};
use crate::{
    app::App,
    auth::{Principal, PrincipalKind},
    connector::{Connector, Credentials, Memory},
    error::{Error, Result},
    vault::Scope,
};

/// An Item as an operation left it, and the application's position just before.
#[derive(Debug)]
pub struct Changed {
    /// The committed state.
    pub item: item::Model,
    /// Following from behind this position misses nothing of the change.
    pub position: i64,
}

/// An Item of this principal.
pub async fn find(app: &App, principal: &Principal, id: Uuid) -> Result<Option<item::Model>> {
    Ok(principal
        .items()
        .filter(item::Column::Id.eq(id))
        .one(app.db.read())
        .await?)
}

/// An Item of this principal, or NOT_FOUND.
pub async fn load(app: &App, principal: &Principal, id: Uuid) -> Result<item::Model> {
    find(app, principal, id).await?.ok_or(NOT_FOUND)
}

const NOT_FOUND: Error = Error::NotFound { what: "item" };

/// Holds an Item's row until the transaction ends.
pub async fn lock(txn: &DatabaseTransaction, principal: &Principal, id: Uuid) -> Result<Held> {
    let row = principal
        .items()
        .filter(item::Column::Id.eq(id))
        .lock_exclusive()
        .one(txn)
        .await?
        .ok_or(NOT_FOUND)?;
    Ok(Held::stored(row))
}

/// Writes an Item back.
pub(crate) async fn save(txn: &impl ConnectionTrait, item: &item::Model) -> Result<()> {
    item::Entity::update(item.clone().into_active_model().reset_all())
        .exec(txn)
        .await?;
    Ok(())
}

/// The parameters that are kept of an Item; none where none are.
pub(crate) async fn credentials(app: &App, item: &item::Model) -> Result<Credentials> {
    let Some(envelope) = &item.credentials else {
        return Ok(Credentials::default());
    };
    let scope = credentials_scope(item);
    from_bytes(&app.vault.unseal(app.db.read(), scope, envelope).await?)
}

/// What an Item's connector keeps of it from run to run.
pub(crate) async fn memory(app: &App, item: &item::Model) -> Result<Memory> {
    let opened = match &item.memory {
        Some(envelope) => {
            let scope = memory_scope(item);
            Some(app.vault.unseal(app.db.read(), scope, envelope).await?)
        }
        None => None,
    };
    Ok(Memory::of(opened))
}

/// The unfinished run of an Item, if there is one.
pub(crate) async fn unfinished(
    connection: &impl ConnectionTrait,
    item: &item::Model,
) -> Result<Option<execution::Model>> {
    Ok(execution::Entity::owned_by(item.application_id)
        .filter(execution::Column::ItemId.eq(item.id))
        .filter(execution::Column::EndedAt.is_null())
        .one(connection)
        .await?)
}

/// Who an operation of this principal is caused by.
fn triggered_by(principal: &Principal) -> TriggeredBy {
    match principal.kind {
        PrincipalKind::ApiKey => TriggeredBy::Client,
        PrincipalKind::ConnectToken(_) => TriggeredBy::User,
    }
}

/// The connector that a client names by its id.
fn connector_named(app: &App, id: &str) -> Result<std::sync::Arc<dyn Connector>> {
    let id = id.parse().ok();
    let connector = id.and_then(|id| app.connectors.find(id));
    connector.cloned().ok_or(Error::NotFound {
        what: "connector (`connectors` lists all)",
    })
}

/// The connector of an Item.
pub fn connector_of(app: &App, item: &item::Model) -> std::sync::Arc<dyn Connector> {
    app.connectors.stored(item.connector_id)
}

/// The requested products of an Item, in order of collection.
pub fn products_of(item: &item::Model) -> Vec<Product> {
    serde_json::from_value(item.products.clone()).unwrap_or_default()
}

/// Where an Item's parameters belong.
pub(crate) fn credentials_scope(item: &item::Model) -> Scope {
    Scope::of_item(item.application_id, item.id, item.id, "credentials")
}

/// Where what a connector keeps of an Item belongs.
pub(crate) fn memory_scope(item: &item::Model) -> Scope {
    Scope::of_item(item.application_id, item.id, item.id, "memory")
}

/// Where a run's secrets belong.
pub(crate) fn execution_scope(execution: &execution::Model, field: &'static str) -> Scope {
    Scope::of_item(
        execution.application_id,
        execution.item_id,
        execution.id,
        field,
    )
}

/// Values by parameter name, to be sealed.
pub(crate) fn to_bytes(values: &BTreeMap<String, SecretString>) -> Zeroizing<Vec<u8>> {
    let exposed: BTreeMap<&str, &str> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_secret()))
        .collect();
    Zeroizing::new(serde_json::to_vec(&exposed).expect("a map of texts"))
}

/// Values by parameter name, as they were sealed.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Credentials> {
    // A secret owns its text: nothing is left to wipe here.
    let values: BTreeMap<String, Box<str>> =
        serde_json::from_slice(bytes).map_err(Error::internal)?;
    Ok(Credentials(
        values
            .into_iter()
            .map(|(name, value)| (name, SecretString::from(value)))
            .collect(),
    ))
}

/// Names of the parameters whose values are held for an Item, sealed.
pub async fn held_parameters(app: &App, item: &item::Model) -> Result<Vec<String>> {
    let Some(envelope) = &item.credentials else {
        return Ok(Vec::new());
    };
    let scope = credentials_scope(item);
    let opened = app.vault.unseal(app.db.read(), scope, envelope).await?;
    Ok(from_bytes(&opened)?.0.into_keys().collect())
}

/// A new run of an Item, that a worker may take at once. It is in no table yet.
fn new_execution(
    app: &App,
    item: &item::Model,
    triggered_by: TriggeredBy,
    uploads: &[(String, Uuid)],
) -> execution::Model {
    let now = app.clock.now();
    execution::Model {
        id: app.rng.id(now),
        application_id: item.application_id,
        item_id: item.id,
        connector_id: item.connector_id,
        triggered_by,
        status: ExecutionStatus::Creating,
        resumes_auto_sync: matches!(triggered_by, TriggeredBy::User | TriggeredBy::Client),
        first_run: !item.collected_once,
        products: item.products.clone(),
        steps: json!([]),
        covered: json!([]),
        merged: json!([]),
        session: None,
        answer: None,
        upload_ids: match &item.upload_ids {
            Some(kept) => kept.clone(),
            None => json!(uploads),
        },
        question_asked: 0,
        due_at: now,
        epoch: 0,
        lease_until: None,
        lost_leases: 0,
        claimed_early: false,
        early_losses: 0,
        error_code: None,
        failure: None,
        created_at: now,
        started_at: None,
        logged_in_at: None,
        merging_at: None,
        ended_at: None,
    }
}

/// Inserts a new run of an Item that somebody has asked for. It holds the values that are good for this run alone.
async fn insert_execution(
    txn: &DatabaseTransaction,
    app: &App,
    item: &item::Model,
    triggered_by: TriggeredBy,
    once: &BTreeMap<String, SecretString>,
    uploads: &[(String, Uuid)],
) -> Result<execution::Model> {
    let mut execution = new_execution(app, item, triggered_by, uploads);
    if !once.is_empty() {
        let scope = execution_scope(&execution, "answer");
        execution.answer = Some(app.vault.seal(txn, scope, &to_bytes(once)).await?);
    }
    execution::Entity::insert(execution.clone().into_active_model().reset_all())
        .exec_without_returning(txn)
        .await?;
    Ok(execution)
}
