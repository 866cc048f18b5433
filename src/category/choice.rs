//! The user's own choice of a transaction's category: kept by itself, so that nothing that is collected later changes it.

use entity::{
    kind::{AuditAction, TriggeredBy},
    transaction,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QuerySelect as _,
};
use uuid::Uuid;

use super::{Decided, pass};
use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    error::{Error, Result},
    event,
    item::{self as items, Change},
    product::list::{self, Movement},
};

const NOT_FOUND: Error = Error::NotFound {
    what: "transaction",
};

/// Sets the category that a user has chosen for a transaction, or takes the choice back. Answers the transaction then; what
/// is as it was already is neither written nor told.
pub async fn update(
    app: &App,
    principal: &Principal,
    id: Uuid,
    category: Change<String>,
) -> Result<Movement> {
    principal.require_api_key("change transactions")?;
    if let Change::Set(chosen) = category {
        let chosen = chosen
            .map(|id| super::find(&id).ok_or(Error::NotFound { what: "category" }))
            .transpose()?;
        let (owner, principal) = (app.clone(), principal.clone());
        let id_of = chosen.map(|category| category.id);
        app.unit(Box::pin(
            async move { set(&owner, &principal, id, id_of).await },
        ))
        .await?;
        app.wakes.relay.notify();
    }
    let mut found = list::transactions_by_id(app, principal, &[id]).await?;
    found.remove(&id).ok_or(NOT_FOUND)
}

async fn set(
    app: &App,
    principal: &Principal,
    id: Uuid,
    chosen: Option<&'static str>,
) -> Result<()> {
    let txn = app.db.begin().await?;
    let item = transaction::Entity::owned_by(principal.application)
        .filter(transaction::Column::Id.eq(id))
        .select_only()
        .column(transaction::Column::ItemId)
        .into_tuple::<Uuid>()
        .one(&txn)
        .await?
        .ok_or(NOT_FOUND)?;
    let mut item = items::lock(&txn, principal, item)
        .await
        .map_err(|error| match error {
            Error::NotFound { .. } => NOT_FOUND,
            other => other,
        })?;
    // A merge may have removed it before the Item was held.
    let row = transaction::Entity::owned_by(principal.application)
        .filter(transaction::Column::Id.eq(id))
        .lock_exclusive()
        .one(&txn)
        .await?
        .ok_or(NOT_FOUND)?;
    if row.user_category_id.as_deref() == chosen {
        return Ok(());
    }
    let decided = |user: Option<&str>| {
        let other = row.category_id.as_deref().zip(row.category_source);
        Decided::stored(user, row.rule_category_id.as_deref(), other)
    };
    let told = pass::difference(
        id,
        decided(row.user_category_id.as_deref()),
        decided(chosen),
    );
    let (account, now) = (row.account_id, app.clock.now());
    let changed = transaction::Model {
        user_category_id: chosen.map(str::to_owned),
        updated_at: now,
        ..row
    };
    transaction::Entity::update(changed.into_active_model().reset_all())
        .exec(&txn)
        .await?;
    if let Some(told) = told {
        let event = pass::changed(account, TriggeredBy::Client, vec![(id, told)]);
        event::append(&txn, app, &mut item, [event]).await?;
        items::save(&txn, &item).await?;
    }
    Entry::of(principal, AuditAction::TransactionUpdated)
        .on(id)
        .about(&app.vault, item.client_user_id.as_deref())
        .with("itemId", item.id.to_string())
        .with("fields", ["categoryId"].as_slice())
        .append(&txn, &app.clock, &app.rng)
        .await?;
    Ok(txn.commit().await?)
}
