//! Creating an Item.

use std::time::Duration;

use entity::{
    connect_token, event_head, idempotency_key, item,
    kind::{AuditAction, EntityKind, ExecutionStatus, Product},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait,
    IntoActiveModel as _, QueryFilter as _, QuerySelect as _, sea_query::OnConflict,
};
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use super::{
    Changed, Held, connector_named, consent, credentials_scope, health, input, insert_execution,
    quota, retirement, state::Signal, to_bytes, transition, triggered_by, upload,
};
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    connector::validate::Required,
    error::{Error, Result},
    event::change::Told,
};

const IDEMPOTENCY_KEY_LASTS: Duration = Duration::from_hours(24);

/// What an Item is made of.
#[derive(Debug, Default)]
pub struct NewItem {
    /// The connector's id, as sent.
    pub connector_id: String,
    /// Parameters by name, as sent.
    pub parameters: Vec<(String, SecretString)>,
    /// The same, encrypted, in their place.
    pub encrypted_parameters: Option<String>,
    /// Requested products; all that the connector offers when `None`.
    pub products: Option<Vec<Product>>,
    /// The application's name for its user.
    pub client_user_id: Option<String>,
    /// Told of all its events.
    pub webhook_url: Option<String>,
    /// Where an OAuth login ends.
    pub oauth_redirect_uri: Option<String>,
    /// Refuse credentials that are connected already.
    pub avoid_duplicates: bool,
    /// Makes the call repeatable for a day.
    pub idempotency_key: Option<String>,
}

/// Creates an Item and its first run.
pub async fn create(app: &App, principal: &Principal, new: NewItem) -> Result<Changed> {
    let (owner, principal) = (app.clone(), principal.clone());
    let changed = app
        .unit(Box::pin(async move {
            create_in_task(&owner, &principal, new).await
        }))
        .await?;
    app.wakes.sync.notify();
    app.wakes.relay.notify();
    Ok(changed)
}

async fn create_in_task(app: &App, principal: &Principal, new: NewItem) -> Result<Changed> {
    let new = as_token_says(app, principal, new).await?;
    input::check_client_user_id(new.client_user_id.as_deref())?;
    input::check_webhook_url(app, new.webhook_url.as_deref())?;
    input::check_redirect_uri(new.oauth_redirect_uri.as_deref())?;
    let connector = connector_named(app, &new.connector_id)?;
    let form = connector.descriptor();
    let products = input::products(form, new.products.clone())?;
    let key = new.idempotency_key.as_deref();
    if key.is_some_and(|key| key.is_empty() || key.chars().count() > 256 || key.contains('\0')) {
        return Err(Error::invalid("idempotencyKey", "1 to 256 characters"));
    }
    let encrypted = new.encrypted_parameters.as_deref();
    let values = input::parameters(app, principal, new.parameters, encrypted).await?;
    let whole_input = key.map(|_| {
        let parameters = to_bytes(&values);
        let products = format!("{products:?}");
        let flags = [u8::from(new.avoid_duplicates)];
        input::input_digest(
            app,
            &[
                Some(new.connector_id.as_bytes()),
                Some(&parameters),
                Some(products.as_bytes()),
                new.webhook_url.as_deref().map(str::as_bytes),
                new.oauth_redirect_uri.as_deref().map(str::as_bytes),
                Some(&flags),
            ],
        )
    });
    let sorted = input::sort(form, values, Required::All)?;
    let digest = input::credentials_digest(app, principal.application, form.id, &sorted.kept);

    let now = app.clock.now();
    let id = app.rng.id(now);
    let txn = app.db.begin().await?;
    let position = position(&txn, principal.application).await?;
    if let (Some(key), Some(digest)) = (key, whole_input) {
        let claimed = idempotency_key::Model {
            application_id: principal.application,
            client_user_id: new.client_user_id.clone().unwrap_or_default(),
            expires_at: now.plus(IDEMPOTENCY_KEY_LASTS),
            key: key.to_owned(),
            input_digest: digest,
            item_id: id,
            position,
        };
        if let Some(earlier) = claim_key(&txn, app, principal, claimed).await? {
            return Ok(earlier);
        }
    }
    if let Some(digest) = digest.filter(|_| new.avoid_duplicates) {
        app.db.lock_digest(&txn, &digest).await?;
        let user = new.client_user_id.as_deref();
        refuse_duplicates(&txn, principal, form.id, &digest, user).await?;
    }
    retirement::admit(&txn, form.id).await?;
    health::admit(&txn, app, principal.application, form).await?;
    let mut item = fresh(app, principal, form.id, id, new.client_user_id, &products);
    item.webhook_url = new.webhook_url;
    item.oauth_redirect_uri = new.oauth_redirect_uri;
    item.credentials_digest = digest.map(|digest| digest.to_vec());
    item.person_digest = quota::person(app, form, id, &sorted.kept);
    item.mfa_digest = input::mfa_digest(app, id, &sorted.once);
    if !sorted.kept.is_empty() {
        let scope = credentials_scope(&item);
        item.credentials = Some(app.vault.seal(&txn, scope, &to_bytes(&sorted.kept)).await?);
    }
    consent::give(app, form, &mut item);
    item.upload_ids = upload::to_keep(form, &sorted.uploads);
    item::Entity::insert(item.clone().into_active_model().reset_all())
        .exec_without_returning(&txn)
        .await?;
    upload::bind(&txn, app, principal, id, &sorted.uploads).await?;
    let consent = consent::insert(&txn, app, form, &item).await?;
    let cause = triggered_by(principal);
    let mut execution =
        insert_execution(&txn, app, &item, cause, &sorted.once, &sorted.uploads).await?;
    let mut item = Held::fresh(item);
    item.note([Told::created(EntityKind::Consent, consent)]);
    transition::apply(
        &txn,
        app,
        &mut item,
        &mut execution,
        Signal::Prepared.into(),
    )
    .await?;
    note(&txn, app, principal, &item).await?;
    txn.commit().await?;
    Ok(Changed {
        item: item.into_row(),
        position,
    })
}

/// Tells the audit log of a new Item.
async fn note(
    txn: &DatabaseTransaction,
    app: &App,
    principal: &Principal,
    item: &item::Model,
) -> Result<()> {
    Entry::of(principal, AuditAction::ItemCreated)
        .on(item.id)
        .about(&app.vault, item.client_user_id.as_deref())
        .with("connectorId", item.connector_id)
        .append(txn, &app.clock, &app.rng)
        .await?;
    Ok(())
}

/// A new Item with nothing in it.
fn fresh(
    app: &App,
    principal: &Principal,
    connector_id: i32,
    id: Uuid,
    client_user_id: Option<String>,
    products: &[Product],
) -> item::Model {
    let now = app.clock.now();
    item::Model {
        id,
        application_id: principal.application,
        connector_id,
        connect_token_id: principal.connect_token().map(|token| token.id),
        client_user_id,
        webhook_url: None,
        oauth_redirect_uri: None,
        products: json!(products),
        credentials: None,
        credentials_digest: None,
        mfa_digest: None,
        memory: None,
        upload_ids: None,
        execution_status: ExecutionStatus::Creating,
        error_code: None,
        error_message: None,
        error_provider_message: None,
        error_attributes: None,
        parameter: None,
        parameter_expires_at: None,
        user_action: None,
        user_action_expires_at: None,
        status_detail: json!({}),
        failed_logins: 0,
        logins_since: None,
        logins: 0,
        person_digest: None,
        calls_at: None,
        failed_runs: 0,
        last_ended_at: None,
        last_updated_at: None,
        collected_once: false,
        auto_sync_disabled_at: None,
        auto_sync_due_at: None,
        auto_sync_dropped: None,
        auto_sync_failures: 0,
        consent_expires_at: None,
        consent_notice_at: None,
        event_sequence: 0,
        created_at: now,
        updated_at: now,
        deleted_at: None,
    }
}

/// The application's position now: whatever this transaction appends comes behind it.
pub(super) async fn position(txn: &DatabaseTransaction, application: Uuid) -> Result<i64> {
    let head = event_head::Entity::find_by_id(application).one(txn).await?;
    Ok(head.map_or(0, |head| head.position))
}

/// What a connect token carries comes from the token; a different value in the input is refused.
async fn as_token_says(app: &App, principal: &Principal, mut new: NewItem) -> Result<NewItem> {
    let Some(token) = principal.connect_token() else {
        return Ok(new);
    };
    let row = connect_token::Entity::owned_by(principal.application)
        .filter(connect_token::Column::Id.eq(token.id))
        .filter(connect_token::Column::RevokedAt.is_null())
        .one(app.db.read())
        .await?
        .ok_or(Error::Unauthenticated(
            "the token is invalid, expired or revoked; create a new one",
        ))?;
    from_token("clientUserId", &mut new.client_user_id, row.client_user_id)?;
    from_token("webhookUrl", &mut new.webhook_url, row.webhook_url)?;
    from_token(
        "oauthRedirectUri",
        &mut new.oauth_redirect_uri,
        row.oauth_redirect_uri,
    )?;
    new.avoid_duplicates |= row.avoid_duplicates;
    Ok(new)
}

fn from_token(
    field: &'static str,
    sent: &mut Option<String>,
    carried: Option<String>,
) -> Result<()> {
    if sent.is_some() && *sent != carried {
        return Err(Error::invalid(
            field,
            "comes from the connect token; leave it out, or create the token with it",
        ));
    }
    *sent = carried;
    Ok(())
}

/// Claims an idempotency key, or answers what the same input made earlier. Concurrent calls wait for each other at the
/// key's row.
async fn claim_key(
    txn: &DatabaseTransaction,
    app: &App,
    principal: &Principal,
    claimed: idempotency_key::Model,
) -> Result<Option<Changed>> {
    use idempotency_key::{Column as C, Entity};

    let this = || {
        Entity::owned_by(claimed.application_id)
            .filter(C::ClientUserId.eq(claimed.client_user_id.as_str()))
            .filter(C::Key.eq(claimed.key.as_str()))
    };
    Entity::delete_many()
        .filter(C::ApplicationId.eq(claimed.application_id))
        .filter(C::ClientUserId.eq(claimed.client_user_id.as_str()))
        .filter(C::Key.eq(claimed.key.as_str()))
        .filter(C::ExpiresAt.lte(app.clock.now().0))
        .exec(txn)
        .await?;
    let inserted = Entity::insert(claimed.clone().into_active_model().reset_all())
        .on_conflict(
            OnConflict::columns([C::ApplicationId, C::ClientUserId, C::Key])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    if inserted == 1 {
        return Ok(None);
    }
    let earlier = this()
        .one(txn)
        .await?
        .ok_or_else(|| Error::internal("an idempotency key is neither free nor taken"))?;
    if earlier.input_digest != claimed.input_digest {
        return Err(Error::IdempotencyKeyReused);
    }
    let item = principal
        .items()
        .filter(item::Column::Id.eq(earlier.item_id))
        .one(txn)
        .await?
        .ok_or(super::NOT_FOUND)?;
    Ok(Some(Changed {
        item,
        position: earlier.position,
    }))
}

async fn refuse_duplicates(
    txn: &DatabaseTransaction,
    principal: &Principal,
    connector: i32,
    digest: &[u8; 32],
    client_user_id: Option<&str>,
) -> Result<()> {
    let mut same = item::Entity::owned_by(principal.application)
        .filter(item::Column::DeletedAt.is_null())
        .filter(item::Column::ConnectorId.eq(connector))
        .filter(item::Column::CredentialsDigest.eq(digest.to_vec()))
        .limit(100);
    // A connect token must not find out what other users have connected.
    if principal.connect_token().is_some() {
        same = match client_user_id {
            Some(user) => same.filter(item::Column::ClientUserId.eq(user)),
            None => same.filter(item::Column::ClientUserId.is_null()),
        };
    }
    let ids: Vec<Uuid> = same
        .select_only()
        .column(item::Column::Id)
        .into_tuple()
        .all(txn)
        .await?;
    if ids.is_empty() {
        return Ok(());
    }
    Err(Error::ItemUserAlreadyExists(ids))
}
