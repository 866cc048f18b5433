//! What Items are like now, and from where in the log to go on.
//!
//! Each page is read in one snapshot of the database, together with the log's head and the Items' events that have no
//! position yet. What a page shows is therefore known exactly: an event is part of it when its position is not beyond
//! the head, or when it was among those. Everything else is still to be told. No transaction outlives its page.

use std::collections::HashSet;

use entity::{event, event_head, item};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Select,
};
use uuid::Uuid;

use super::feed::Scope;
use crate::{app::App, auth::Principal, error::Result};

/// Items of a page.
const PAGE: u64 = 100;

/// Some Items as they were at a position.
pub struct Part {
    /// The Items, by id.
    pub items: Vec<item::Model>,
    /// Whether there are more behind them.
    pub more: bool,
    /// The position at which this is true.
    pub position: i64,
    unpublished: HashSet<Uuid>,
}

/// What has been shown so far.
#[derive(Default)]
pub struct Shown(Vec<(Option<Uuid>, i64, HashSet<Uuid>)>);

impl Shown {
    /// Notes a part.
    pub fn note(&mut self, part: &Part) {
        let last = part.items.last().map(|row| row.id);
        let until = if part.more { last } else { None };
        self.0
            .push((until, part.position, part.unpublished.clone()));
    }

    /// The last Item shown.
    pub fn last(&self) -> Option<Uuid> {
        self.0.last().and_then(|(last, ..)| *last)
    }

    /// Behind which position everything is to be looked at.
    pub fn position(&self) -> Option<i64> {
        self.0.first().map(|(_, position, _)| *position)
    }

    /// Up to which position this has to be looked at, and the events that have no position yet.
    pub fn pending(&self) -> (i64, HashSet<Uuid>) {
        let until = self.0.iter().map(|(_, position, _)| *position).max();
        let events = self.0.iter().flat_map(|(.., events)| events).copied();
        (until.unwrap_or_default(), events.collect())
    }

    /// Whether what an event tells was part of what has been shown.
    pub fn includes(&self, event: &event::Model) -> bool {
        let part = self
            .0
            .iter()
            .find(|(until, ..)| until.is_none_or(|until| event.item_id <= Some(until)));
        part.is_some_and(|(_, position, unpublished)| {
            event.position <= Some(*position) || unpublished.contains(&event.id)
        })
    }
}

/// The Items of a scope behind one of them, as they are now.
pub async fn part(
    app: &App,
    principal: &Principal,
    scope: &Scope,
    after: Option<Uuid>,
) -> Result<Part> {
    let (db, application) = (app.db.clone(), principal.application);
    let mut select: Select<item::Entity> = principal.items();
    if let Some(item) = scope.item {
        select = select.filter(item::Column::Id.eq(item));
    }
    if let Some(user) = &scope.client_user_id {
        select = select.filter(item::Column::ClientUserId.eq(user.as_str()));
    }
    if let Some(after) = after {
        select = select.filter(item::Column::Id.gt(after));
    }
    app.unit(async move {
        let txn = db.snapshot().await?;
        let head = event_head::Entity::find_by_id(application)
            .one(&txn)
            .await?;
        let mut items = select
            .order_by_asc(item::Column::Id)
            .limit(PAGE + 1)
            .all(&txn)
            .await?;
        let more = items.len() as u64 > PAGE;
        items.truncate(usize::try_from(PAGE).expect("a small number"));
        let ids = items.iter().map(|row| row.id);
        let unpublished: Vec<Uuid> = event::Entity::owned_by(application)
            .filter(event::Column::Position.is_null())
            .filter(event::Column::ItemId.is_in(ids))
            .select_only()
            .column(event::Column::Id)
            .into_tuple()
            .all(&txn)
            .await?;
        txn.commit().await?;
        Ok(Part {
            items,
            more,
            position: head.map_or(0, |row| row.position),
            unpublished: unpublished.into_iter().collect(),
        })
    })
    .await
}
