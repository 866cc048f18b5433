//! The keys that sign: made, replaced with an overlap, and given to rows of a version that had fewer of them.

use std::time::Duration;

use entity::{application, webhook};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QuerySelect as _,
};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    keyring::{PREVIOUS_SECRET, PREVIOUS_SIGNING_KEY, SECRET, SIGNING_KEY, scope},
    registration::{lock_any, touched},
    signature::{Secret, SigningKey, generate_seed},
};
use crate::{
    app::App,
    auth::application::signing_scope,
    clock::{Rng, Timestamp},
    error::{Error, Result},
    vault::{Scope, Vault},
};

/// How long a replaced secret and key sign beside the new ones.
pub(crate) const OVERLAP: Duration = Duration::from_hours(24);

/// A new asymmetric key, sealed, and its public half.
pub(crate) async fn seal_signing_key(
    connection: &impl ConnectionTrait,
    vault: &Vault,
    rng: &Rng,
    scope: Scope,
) -> Result<(Vec<u8>, String)> {
    let seed = generate_seed(rng);
    let public = SigningKey::from_seed(&*seed)
        .map_err(Error::internal)?
        .public();
    Ok((vault.seal(connection, scope, &*seed).await?, public))
}

/// Gives a registration its first secret and key; answers the secret.
pub(super) async fn first(
    txn: &impl ConnectionTrait,
    app: &App,
    webhook: &mut webhook::Model,
) -> Result<Zeroizing<String>> {
    let secret = Secret::generate(&app.rng).reveal();
    webhook.secret = app
        .vault
        .seal(txn, scope(webhook, SECRET), secret.as_bytes())
        .await?;
    renew_signing_key(txn, app, webhook).await?;
    Ok(secret)
}

async fn renew_signing_key(
    txn: &impl ConnectionTrait,
    app: &App,
    webhook: &mut webhook::Model,
) -> Result<()> {
    let scope = scope(webhook, SIGNING_KEY);
    let (sealed, public) = seal_signing_key(txn, &app.vault, &app.rng, scope).await?;
    webhook.signing_key = Some(sealed);
    webhook.public_key = Some(public);
    Ok(())
}

/// Replaces both; those of before sign beside them for a day. Answers the new secret.
pub(super) async fn rotate(
    txn: &impl ConnectionTrait,
    app: &App,
    webhook: &mut webhook::Model,
    now: Timestamp,
) -> Result<Zeroizing<String>> {
    let vault = &app.vault;
    // An overlap that has not ended ends now: there are two secrets, never three.
    for envelope in [&webhook.previous_secret, &webhook.previous_signing_key] {
        vault.destroy(txn, envelope.as_deref()).await?;
    }
    let (from, to) = (scope(webhook, SECRET), scope(webhook, PREVIOUS_SECRET));
    webhook.previous_secret = Some(vault.reseal(txn, from, to, &webhook.secret).await?);
    let (from, to) = (
        scope(webhook, SIGNING_KEY),
        scope(webhook, PREVIOUS_SIGNING_KEY),
    );
    webhook.previous_signing_key = match &webhook.signing_key {
        Some(key) => Some(vault.reseal(txn, from, to, key).await?),
        None => None,
    };
    webhook.previous_secret_until = Some(now.plus(OVERLAP));
    first(txn, app, webhook).await
}

/// Destroys every secret and key of a registration.
pub(super) async fn destroy(
    txn: &impl ConnectionTrait,
    app: &App,
    webhook: &webhook::Model,
) -> Result<()> {
    for envelope in [
        Some(&webhook.secret),
        webhook.previous_secret.as_ref(),
        webhook.signing_key.as_ref(),
        webhook.previous_signing_key.as_ref(),
    ] {
        app.vault.destroy(txn, envelope.map(Vec::as_slice)).await?;
    }
    Ok(())
}

/// Gives a registration that has no asymmetric key one, unless somebody else just did; `None` when it is gone.
pub(super) async fn complete_webhook(app: &App, id: Uuid) -> Result<Option<webhook::Model>> {
    let task = app.clone();
    app.unit(async move {
        let app = task;
        let txn = app.db.begin().await?;
        let Some(mut webhook) = lock_any(&txn, id).await? else {
            return Ok(None);
        };
        if webhook.signing_key.is_none() {
            renew_signing_key(&txn, &app, &mut webhook).await?;
            webhook.updated_at = touched(&webhook, app.clock.now());
            webhook::Entity::update(webhook.clone().into_active_model().reset_all())
                .exec(&txn)
                .await?;
            txn.commit().await?;
        }
        Ok(Some(webhook))
    })
    .await
}

/// The same for an application.
pub(super) async fn complete_application(
    app: &App,
    id: Uuid,
) -> Result<Option<application::Model>> {
    let task = app.clone();
    app.unit(async move {
        let app = task;
        let txn = app.db.begin().await?;
        let row = application::Entity::find_by_id(id)
            .lock_exclusive()
            .one(&txn)
            .await?;
        let Some(mut row) = row else { return Ok(None) };
        if row.webhook_signing_key.is_none() {
            let scope = signing_scope(id);
            let (sealed, public) = seal_signing_key(&txn, &app.vault, &app.rng, scope).await?;
            row.webhook_signing_key = Some(sealed);
            row.webhook_public_key = Some(public);
            application::Entity::update(row.clone().into_active_model().reset_all())
                .exec(&txn)
                .await?;
            txn.commit().await?;
        }
        Ok(Some(row))
    })
    .await
}

/// Gives every registration and application that has no asymmetric key one.
pub(super) async fn complete_all(app: &App) -> Result<()> {
    let webhooks: Vec<Uuid> = webhook::Entity::find()
        .filter(webhook::Column::SigningKey.is_null())
        .select_only()
        .column(webhook::Column::Id)
        .into_tuple()
        .all(app.db.read())
        .await?;
    for id in webhooks {
        complete_webhook(app, id).await?;
    }
    let applications: Vec<Uuid> = application::Entity::find()
        .filter(application::Column::WebhookSigningKey.is_null())
        .select_only()
        .column(application::Column::Id)
        .into_tuple()
        .all(app.db.read())
        .await?;
    for id in applications {
        complete_application(app, id).await?;
    }
    Ok(())
}
