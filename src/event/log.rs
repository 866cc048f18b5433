//! Reading the log.

use std::collections::HashMap;

use entity::{event, kind::EventType};
use sea_orm::{
    ColumnTrait as _, Condition, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};
use strum::IntoEnumIterator as _;
use uuid::Uuid;

use super::feed::Scope;
use crate::{
    app::App,
    db::{
        Db,
        page::{self, Conditions, Key, Page, Slice, Source},
        row::stored,
    },
    error::Result,
};

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these kinds.
    pub kinds: Option<Vec<EventType>>,
    /// Only about this connector, or Items through it.
    pub connector: Option<i32>,
    /// Only about this account.
    pub account: Option<Uuid>,
}

impl Filter {
    /// What changes an Item or what was collected through it; of that, only these kinds.
    pub fn of_items(kinds: Option<Vec<EventType>>) -> Self {
        let mut of_items = kinds.unwrap_or_else(|| EventType::iter().collect());
        of_items.retain(|kind| {
            !matches!(
                kind,
                EventType::ConnectorStatusUpdated | EventType::WebhookDisabled
            )
        });
        Self {
            kinds: Some(of_items),
            ..Self::default()
        }
    }

    /// Whether an event is wanted.
    pub fn admits(&self, event: &event::Model) -> bool {
        let kinds = self.kinds.as_ref();
        kinds.is_none_or(|kinds| kinds.contains(&event.kind))
            && (self.connector.is_none() || self.connector == event.connector_id)
            && (self.account.is_none() || self.account == event.account_id)
    }
}

/// Published events of a scope after a position, oldest first.
pub async fn after(
    db: &Db,
    scope: &Scope,
    filter: &Filter,
    position: i64,
    limit: u64,
) -> Result<Vec<event::Model>> {
    let mut select = select(scope).filter(event::Column::Position.gt(position));
    if let Some(kinds) = &filter.kinds {
        select = select.filter(event::Column::Kind.is_in(kinds.iter().copied()));
    }
    if let Some(connector) = filter.connector {
        select = select.filter(event::Column::ConnectorId.eq(connector));
    }
    if let Some(account) = filter.account {
        select = select.filter(event::Column::AccountId.eq(account));
    }
    Ok(select
        .order_by_asc(event::Column::Position)
        .limit(limit)
        .all(db.read())
        .await?)
}

/// Published events about Items of a client user, behind a position and up to another, oldest first.
pub async fn of_client_user(
    app: &App,
    application: Uuid,
    client_user_id: &str,
    (after, to): (i64, i64),
    limit: usize,
) -> Result<Vec<event::Model>> {
    Ok(event::Entity::owned_by(application)
        .filter(event::Column::Position.gt(after))
        .filter(event::Column::Position.lte(to))
        .filter(event::Column::ClientUserId.eq(client_user_id))
        .order_by_asc(event::Column::Position)
        .limit(limit as u64)
        .all(app.db.read())
        .await?)
}

/// Whether anything of a scope is in the log.
pub async fn any(db: &Db, scope: &Scope) -> Result<bool> {
    let found = select(scope).limit(1).one(db.read()).await?;
    Ok(found.is_some())
}

/// One published event of an application.
pub async fn find(app: &App, application: Uuid, id: Uuid) -> Result<Option<event::Model>> {
    Ok(event::Entity::owned_by(application)
        .filter(event::Column::Id.eq(id))
        .filter(event::Column::Position.is_not_null())
        .one(app.db.read())
        .await?)
}

fn select(scope: &Scope) -> Select<event::Entity> {
    let mut select = event::Entity::owned_by(scope.application);
    if let Some(item) = scope.item {
        select = select.filter(event::Column::ItemId.eq(item));
    }
    if let Some(user) = &scope.client_user_id {
        select = select.filter(event::Column::ClientUserId.eq(user.as_str()));
    }
    if let Some(token) = &scope.token {
        let mut own = Condition::any().add(event::Column::ConnectTokenId.eq(token.id));
        if let Some(named) = token.item {
            own = own.add(event::Column::ItemId.eq(named));
        }
        select = select.filter(own);
    }
    select
}

const EVENTS: Source = Source {
    table: "event",
    primary: "sequence",
    parent: "application_id",
    order: &["position"],
    descending: false,
};

stored!(
    event::Model {
        sequence,
        id,
        application_id,
        position,
        kind,
        item_id,
        account_id,
        connector_id,
        item_sequence,
        client_user_id,
        connect_token_id,
        triggered_by,
        webhook_url,
        payload,
        created_at
    },
    |row| Key::Position(row.position.unwrap_or_default())
);

/// A page of an application's published events, oldest first.
pub async fn list(
    app: &App,
    application: Uuid,
    filter: &Filter,
    item: Option<Uuid>,
    client_user_id: Option<&str>,
    slice: Slice,
) -> Result<Page<event::Model>> {
    let mut conditions = Conditions::default();
    conditions.not_null("position");
    conditions.equal("item_id", item);
    conditions.equal("client_user_id", client_user_id);
    conditions.equal("connector_id", filter.connector);
    conditions.equal("account_id", filter.account);
    let kinds = filter.kinds.as_ref();
    conditions.one_of(
        "kind",
        kinds.map(|kinds| kinds.iter().map(|kind| kind.as_str())),
    );
    let owner = |row: &event::Model| row.application_id;
    let mut pages =
        page::of_parents(&app.db, EVENTS, &[application], &conditions, slice, owner).await?;
    Ok(pages.remove(&application).unwrap_or_default())
}

/// Published events of an application by id.
pub async fn by_id(
    app: &App,
    application: Uuid,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, event::Model>> {
    let rows = event::Entity::owned_by(application)
        .filter(event::Column::Id.is_in(ids.iter().copied()))
        .filter(event::Column::Position.is_not_null())
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}
