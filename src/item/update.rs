//! Starting another run of an Item, and what else changes about it.

use std::collections::BTreeMap;

use entity::{
    connect_token, item,
    kind::{AuditAction, EntityKind, ExecutionStatus, ItemStatus, Product},
};
use sea_orm::{
    ColumnTrait as _, DatabaseTransaction, EntityTrait, QueryFilter as _, QuerySelect as _,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::{
    Change, Changed, auto_sync, connector_of, consent,
    create::position,
    credentials_scope, from_bytes, input, insert_execution, lock, lockout, permission, products_of,
    quota, save,
    state::{self, Signal},
    to_bytes, transition, triggered_by, unfinished, upload,
};
use crate::{
    app::App,
    audit::{Actor, Entry},
    auth::Principal,
    connector::{Descriptor, validate::Required},
    error::{Error, Result},
    event::change::Told,
};

/// What is to change about an Item before it runs again.
#[derive(Debug, Default)]
pub struct ItemUpdate {
    /// Parameters by name, merged over the stored ones.
    pub parameters: Vec<(String, SecretString)>,
    /// The same, encrypted, in their place.
    pub encrypted_parameters: Option<String>,
    /// Requested products from now on.
    pub products: Option<Vec<Product>>,
    /// The application's name for its user.
    pub client_user_id: Change<String>,
    /// Told of all its events.
    pub webhook_url: Change<String>,
}

impl ItemUpdate {
    /// Names of the fields that are given.
    fn fields(&self) -> Vec<&'static str> {
        [
            ("parameters", !self.parameters.is_empty()),
            ("encryptedParameters", self.encrypted_parameters.is_some()),
            ("products", self.products.is_some()),
            ("clientUserId", self.client_user_id != Change::Keep),
            ("webhookUrl", self.webhook_url != Change::Keep),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
        .collect()
    }
}

/// Starts a new run of an Item, with new parameters when given. A question that waits for the user is abandoned.
pub async fn update(
    app: &App,
    principal: &Principal,
    id: Uuid,
    what: ItemUpdate,
) -> Result<Changed> {
    let (owner, principal) = (app.clone(), principal.clone());
    let changed = app
        .unit(async move { update_in_task(&owner, &principal, id, what).await })
        .await?;
    app.wakes.sync.notify();
    app.wakes.relay.notify();
    Ok(changed)
}

async fn update_in_task(
    app: &App,
    principal: &Principal,
    id: Uuid,
    changes: ItemUpdate,
) -> Result<Changed> {
    let landing = check_token(app, principal, &changes).await?;
    if let Change::Set(user) = &changes.client_user_id {
        input::check_client_user_id(user.as_deref())?;
    }
    if let Change::Set(url) = &changes.webhook_url {
        input::check_webhook_url(app, url.as_deref())?;
    }
    let fields = changes.fields();
    let encrypted = changes.encrypted_parameters.as_deref();
    let sent = input::parameters(app, principal, changes.parameters, encrypted).await?;
    let txn = app.db.begin().await?;
    let mut item = lock(&txn, principal, id).await?;
    let connector = connector_of(app, &item);
    let form = connector.descriptor();
    let running = unfinished(&txn, &item).await?;
    let logins = app.config.login_attempts_per_day;
    permission::judge(form, &item, !sent.is_empty(), logins, app.clock.now())?;
    let before = products_of(&item);
    if let Some(products) = changes.products {
        item.products = json!(input::products(form, Some(products))?);
    }
    let after = products_of(&item);
    let wider = after.iter().any(|product| !before.contains(product));
    let position = position(&txn, item.application_id).await?;
    let refused = state::status(item.execution_status) == ItemStatus::LoginError;
    // A login on the institution's own site is made anew, instead of with what that has granted before: also for
    // products that the user has not agreed to share.
    let again = !sent.is_empty() || wider || refused && form.credentials.is_empty();
    if form.oauth && again {
        let granted = item.memory.take();
        app.vault.destroy(&txn, granted.as_deref()).await?;
    }
    if again && (form.consent_lasts.is_some() || form.is_open_finance || form.oauth) {
        consent::give(app, form, &mut item);
        let given = consent::insert(&txn, app, form, &item).await?;
        item.note([Told::created(EntityKind::Consent, given)]);
    }
    let sorted = merged(&txn, app, form, &mut item, sent).await?;
    if let Change::Set(user) = changes.client_user_id {
        item.client_user_id = user;
    }
    if let Change::Set(url) = changes.webhook_url {
        item.webhook_url = url;
    }
    if let Some(landing) = landing {
        item.oauth_redirect_uri = Some(landing);
    }
    if let Some(mut waiting) = running {
        abandon(&txn, app, &item, &mut waiting).await?;
    }
    let cause = triggered_by(principal);
    let kept = upload::kept(&item);
    let new = sorted.uploads.iter().filter(|of| !kept.contains(of));
    let new: Vec<_> = new.cloned().collect();
    upload::bind(&txn, app, principal, id, &new).await?;
    item.upload_ids = upload::to_keep(form, &sorted.uploads);
    for (_, replaced) in kept.iter().filter(|of| !sorted.uploads.contains(of)) {
        upload::delete(&txn, *replaced).await?;
    }
    let mut execution =
        insert_execution(&txn, app, &item, cause, &sorted.once, &sorted.uploads).await?;
    execution.status = item.execution_status;
    transition::apply(
        &txn,
        app,
        &mut item,
        &mut execution,
        Signal::UpdateRequested.into(),
    )
    .await?;
    Entry::of(principal, AuditAction::ItemUpdated)
        .on(id)
        .about(&app.vault, item.client_user_id.as_deref())
        .with("fields", fields)
        .append(&txn, &app.clock, &app.rng)
        .await?;
    txn.commit().await?;
    Ok(Changed {
        item: item.into_row(),
        position,
    })
}

/// A connect token updates its Items with what it carries. Answers where it wants the user to land, if it says so.
async fn check_token(
    app: &App,
    principal: &Principal,
    changes: &ItemUpdate,
) -> Result<Option<String>> {
    let Some(token) = principal.connect_token() else {
        return Ok(None);
    };
    let row = connect_token::Entity::owned_by(principal.application)
        .filter(connect_token::Column::Id.eq(token.id))
        .one(app.db.read())
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    for (field, change, carried) in [
        ("clientUserId", &changes.client_user_id, row.client_user_id),
        ("webhookUrl", &changes.webhook_url, row.webhook_url),
    ] {
        if let Change::Set(value) = change
            && *value != carried
        {
            return Err(Error::invalid(
                field,
                "comes from the connect token; leave it out, or create the token with it",
            ));
        }
    }
    Ok(row.oauth_redirect_uri)
}

/// Merges what was sent over what is stored, and seals it anew if anything that is kept has changed.
async fn merged(
    txn: &DatabaseTransaction,
    app: &App,
    form: &Descriptor,
    item: &mut item::Model,
    sent: BTreeMap<String, SecretString>,
) -> Result<input::Sorted> {
    let stored = match &item.credentials {
        Some(envelope) => {
            let opened = app
                .vault
                .unseal(txn, credentials_scope(item), envelope)
                .await?;
            from_bytes(&opened)?.0
        }
        None => BTreeMap::new(),
    };
    for field in form
        .credentials
        .iter()
        .filter(|field| field.mfa && !field.optional)
    {
        if !sent.contains_key(&field.name) {
            return Err(Error::ConnectorRequiredParameter(field.name.clone()));
        }
    }
    let mut values = stored.clone();
    let files = upload::kept(item).into_iter();
    values.extend(files.map(|(name, id)| (name, SecretString::from(id.to_string()))));
    values.extend(sent);
    let sorted = input::sort(form, values, Required::All)?;
    let mfa = input::mfa_digest(app, item.id, &sorted.once);
    if mfa.is_some() && mfa == item.mfa_digest {
        let name = sorted.once.keys().next().cloned().unwrap_or_default();
        return Err(Error::MfaParameterAlreadyUsed(name));
    }
    item.mfa_digest = mfa;
    let same = stored.len() == sorted.kept.len()
        && stored.iter().all(|(name, value)| {
            sorted.kept.get(name).is_some_and(|kept| {
                let (kept, value) = (input::bare(name, kept), input::bare(name, value));
                kept.expose_secret() == value.expose_secret()
            })
        });
    if !same {
        app.vault
            .destroy(txn, item.memory.take().as_deref())
            .await?;
        app.vault.destroy(txn, item.credentials.as_deref()).await?;
        let scope = credentials_scope(item);
        item.credentials = Some(app.vault.seal(txn, scope, &to_bytes(&sorted.kept)).await?);
        // What the lists of before said is forgotten with the memory.
        item.person_digest = quota::person(app, form, item.id, &sorted.kept);
        item.calls_at = None;
        item.credentials_digest =
            input::credentials_digest(app, item.application_id, form.id, &sorted.kept)
                .map(|digest| digest.to_vec());
    }
    Ok(sorted)
}

/// Ends a run that waits for the user, without an event of its own: the new run's tells.
async fn abandon(
    txn: &DatabaseTransaction,
    app: &App,
    item: &item::Model,
    waiting: &mut entity::execution::Model,
) -> Result<()> {
    transition::fence(txn, waiting).await?;
    waiting.status = ExecutionStatus::UserInputTimeout;
    waiting.error_code = Some(ExecutionStatus::UserInputTimeout);
    waiting.ended_at = Some(app.clock.now());
    waiting.lease_until = None;
    for envelope in [waiting.session.take(), waiting.answer.take()] {
        app.vault.destroy(txn, envelope.as_deref()).await?;
    }
    upload::delete_of_run(txn, item, waiting).await?;
    transition::save_execution(txn, waiting).await
}

/// Forgets an Item's failures and this day's logins, so that a client may update it again at once. For the operator.
pub async fn unlock(app: &App, id: Uuid) -> Result<item::Model> {
    // When the next automatic run comes follows from the application's settings.
    app.applications.refresh(&app.db).await?;
    let txn = app.db.begin().await?;
    let mut item = item::Entity::find_by_id(id)
        .filter(item::Column::DeletedAt.is_null())
        .lock_exclusive()
        .one(&txn)
        .await?
        .ok_or(super::NOT_FOUND)?;
    let now = app.clock.now();
    item.failed_logins = 0;
    item.failed_runs = 0;
    lockout::forget(&mut item);
    item.auto_sync_due_at = auto_sync::due(app, &item, now);
    item.updated_at = now;
    save(&txn, &item).await?;
    Entry::new(
        item.application_id,
        AuditAction::ItemUnlocked,
        Actor::operator(),
    )
    .on(id)
    .about(&app.vault, item.client_user_id.as_deref())
    .append(&txn, &app.clock, &app.rng)
    .await?;
    txn.commit().await?;
    Ok(item)
}
