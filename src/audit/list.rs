//! The audit log as its application reads it, newest first. Only for an application's servers.

use std::collections::HashMap;

use entity::{audit_entry, kind::AuditAction};
use sea_orm::{ColumnTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::client_user;
use crate::{
    app::App,
    auth::Principal,
    clock::Timestamp,
    db::{
        page::{self, Conditions, Key, Page, Slice, Source},
        row::stored,
    },
    error::Result,
};

/// Which entries are wanted; everything given must hold.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only these actions.
    pub actions: Option<Vec<AuditAction>>,
    /// Only what concerns this client user.
    pub client_user_id: Option<String>,
    /// Only what was done to this.
    pub target: Option<Uuid>,
    /// Only at this time or later.
    pub from: Option<Timestamp>,
    /// Only before this time.
    pub to: Option<Timestamp>,
}

const ENTRIES: Source = Source {
    table: "audit_entry",
    primary: "id",
    parent: "application_id",
    order: &["id"],
    descending: true,
};

stored!(
    audit_entry::Model {
        id,
        application_id,
        at,
        action,
        actor,
        token_id,
        request_id,
        address,
        target_id,
        client_user,
        detail
    },
    |row| Key::Id(row.id)
);

/// A page of an application's entries, newest first.
pub async fn list(
    app: &App,
    principal: &Principal,
    filter: &AuditFilter,
    slice: Slice,
) -> Result<Page<audit_entry::Model>> {
    principal.require_api_key("read the audit log")?;
    let owner = principal.application;
    let mut conditions = Conditions::default();
    let actions = filter.actions.as_ref();
    conditions.one_of(
        "action",
        actions.map(|actions| actions.iter().map(|action| action.as_str())),
    );
    let user = filter.client_user_id.as_deref();
    let digest = user.map(|user| client_user(&app.vault, owner, user).to_vec());
    conditions.equal("client_user", digest);
    conditions.equal("target_id", filter.target);
    conditions.at_least("at", filter.from.map(|at| at.0));
    // Ids begin with their time: the walk along them ends where `from` is, and begins where `to` is.
    conditions.at_least("id", filter.from.map(first_id));
    conditions.below("id", filter.to.map(first_id));
    let of = |row: &audit_entry::Model| row.application_id;
    let mut pages = page::of_parents(&app.db, ENTRIES, &[owner], &conditions, slice, of).await?;
    Ok(pages.remove(&owner).unwrap_or_default())
}

/// Entries of an application by id.
pub async fn by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, audit_entry::Model>> {
    principal.require_api_key("read the audit log")?;
    let rows = audit_entry::Entity::owned_by(principal.application)
        .filter(audit_entry::Column::Id.is_in(ids.iter().copied()))
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// No id of this instant, or of a later one, is smaller.
pub fn first_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.0).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
