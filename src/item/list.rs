//! Items as clients read them: in pages, and by id.

use std::collections::HashMap;

use entity::{
    item,
    kind::{ExecutionStatus, ItemStatus},
};
use sea_orm::{ColumnTrait as _, QueryFilter as _};
use strum::IntoEnumIterator as _;
use uuid::Uuid;

use super::{check_client_user_id, state};
use crate::{
    app::App,
    auth::Principal,
    db::{
        page::{self, Conditions, Key, Page, Slice, Source},
        row::stored,
    },
    error::Result,
};

/// Which Items are wanted; everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ItemFilter {
    /// Only of this client user.
    pub client_user_id: Option<String>,
    /// Only with one of these statuses.
    pub status: Option<Vec<ItemStatus>>,
    /// Only through this connector.
    pub connector: Option<i32>,
}

const ITEMS: Source = Source {
    table: "item",
    primary: "id",
    parent: "application_id",
    order: &["id"],
    descending: true,
};

stored!(
    item::Model {
        id,
        application_id,
        connector_id,
        connect_token_id,
        client_user_id,
        webhook_url,
        oauth_redirect_uri,
        products,
        credentials,
        credentials_digest,
        mfa_digest,
        memory,
        upload_ids,
        execution_status,
        error_code,
        error_message,
        error_provider_message,
        error_attributes,
        parameter,
        parameter_expires_at,
        user_action,
        user_action_expires_at,
        status_detail,
        failed_logins,
        logins_since,
        logins,
        person_digest,
        calls_at,
        failed_runs,
        last_ended_at,
        last_updated_at,
        collected_once,
        auto_sync_disabled_at,
        auto_sync_due_at,
        auto_sync_dropped,
        auto_sync_failures,
        consent_expires_at,
        consent_notice_at,
        event_sequence,
        created_at,
        updated_at,
        deleted_at
    },
    |row| Key::Id(row.id)
);

/// A page of an application's Items, newest first.
pub async fn list(
    app: &App,
    principal: &Principal,
    filter: &ItemFilter,
    slice: Slice,
) -> Result<Page<item::Model>> {
    principal.require_api_key("list items")?;
    check_client_user_id(filter.client_user_id.as_deref())?;
    let owner = principal.application;
    let conditions = conditions(filter);
    let mut pages = page::of_parents(
        &app.db,
        ITEMS,
        &[owner],
        &conditions,
        slice,
        |row: &item::Model| row.application_id,
    )
    .await?;
    Ok(pages.remove(&owner).unwrap_or_default())
}

/// How many Items an application has.
pub async fn count(app: &App, principal: &Principal, filter: &ItemFilter) -> Result<i64> {
    principal.require_api_key("list items")?;
    let owner = principal.application;
    let counts = page::count(&app.db, ITEMS, &[owner], &conditions(filter)).await?;
    Ok(counts.get(&owner).copied().unwrap_or(0))
}

fn conditions(filter: &ItemFilter) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.null("deleted_at");
    conditions.equal("client_user_id", filter.client_user_id.as_deref());
    conditions.equal("connector_id", filter.connector);
    let statuses = filter.status.as_ref().map(|wanted| {
        ExecutionStatus::iter()
            .filter(|status| wanted.contains(&state::status(*status)))
            .map(ExecutionStatus::as_str)
    });
    conditions.one_of("execution_status", statuses);
    conditions
}

/// Items of this principal by id.
pub async fn by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, item::Model>> {
    let rows = principal
        .items()
        .filter(item::Column::Id.is_in(ids.iter().copied()))
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
