//! Deleting an Item: at once for everybody who asks, thoroughly by the purge.

use entity::{
    data_key, idempotency_key,
    kind::{AuditAction, EntityKind, EventType},
};
use sea_orm::{ColumnTrait as _, DatabaseTransaction, EntityTrait, QueryFilter as _};
use uuid::Uuid;

use super::{Held, consent, lock, save, transition, unfinished};
use crate::{
    app::App,
    audit::{Actor, Entry},
    auth::Principal,
    error::Result,
    event::{self, Draft, change::Told},
};

/// Deletes an Item. When this returns, its keys are destroyed, it is invisible, no worker can record for it, and the
/// event that tells of it is in the log; its rows go soon after.
pub async fn delete(app: &App, principal: &Principal, id: Uuid) -> Result<()> {
    principal.require_api_key("delete items")?;
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let txn = owner.db.begin().await?;
        let mut item = lock(&txn, &principal, id).await?;
        remove(&txn, &owner, &mut item, &Actor::from(&principal)).await?;
        txn.commit().await?;
        Ok(())
    })
    .await?;
    app.wakes.relay.notify();
    app.wakes.purge.notify();
    Ok(())
}

/// Deletes an Item whose row is held, on behalf of somebody. The caller commits, then wakes the relay and the purge.
pub(crate) async fn remove(
    txn: &DatabaseTransaction,
    app: &App,
    item: &mut Held,
    actor: &Actor,
) -> Result<()> {
    let (id, now) = (item.id, app.clock.now());
    data_key::Entity::delete_many()
        .filter(data_key::Column::ApplicationId.eq(item.application_id))
        .filter(data_key::Column::ItemId.eq(id))
        .exec(txn)
        .await?;
    if let Some(mut execution) = unfinished(txn, item).await? {
        transition::fence(txn, &mut execution).await?;
        execution.ended_at = Some(now);
        execution.lease_until = None;
        execution.session = None;
        execution.answer = None;
        transition::save_execution(txn, &execution).await?;
    }
    idempotency_key::Entity::delete_many()
        .filter(idempotency_key::Column::ItemId.eq(id))
        .exec(txn)
        .await?;
    consent::revoke(txn, item, now).await?;
    event::append(
        txn,
        app,
        item,
        [Draft::new(EventType::ItemDeleted, None).telling([Told::deleted(EntityKind::Item, id)])],
    )
    .await?;
    item.credentials = None;
    item.credentials_digest = None;
    item.mfa_digest = None;
    item.memory = None;
    item.upload_ids = None;
    item.parameter = None;
    item.user_action = None;
    item.error_message = None;
    item.error_provider_message = None;
    item.error_attributes = None;
    item.auto_sync_due_at = None;
    item.consent_notice_at = None;
    item.deleted_at = Some(now);
    item.updated_at = now;
    save(txn, item).await?;
    Entry::new(item.application_id, AuditAction::ItemDeleted, actor.clone())
        .on(id)
        .about(&app.vault, item.client_user_id.as_deref())
        .append(txn, &app.clock, &app.rng)
        .await?;
    Ok(())
}
