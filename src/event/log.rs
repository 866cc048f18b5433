//! Reading the log.

use entity::{event, kind::EventType};
use sea_orm::{
    ColumnTrait as _, Condition, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};
use uuid::Uuid;

use super::feed::Scope;
use crate::{app::App, db::Db, error::Result};

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only these kinds.
    pub kinds: Option<Vec<EventType>>,
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
    Ok(select
        .order_by_asc(event::Column::Position)
        .limit(limit)
        .all(db.read())
        .await?)
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
