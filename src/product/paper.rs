//! What institutions issue for accounts by month, listed alike: bills and statements, the latest first.

use std::collections::HashMap;

use entity::{account, execution, kind::EntityKind};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{
    Counts,
    snapshot::{self, Snapshot},
};
use crate::{
    app::App,
    auth::Principal,
    db::{
        page::{self, Conditions, Page, Slice, Source},
        row::Row,
    },
    error::Result,
};

/// A row of such a kind.
pub trait Paper: Row + Clone + Send + Sync + 'static {
    /// What changes tell of it as.
    const ENTITY: EntityKind;
    /// What its lists are ordered by: a day, and `id`.
    const ORDER: &'static [&'static str];

    /// Identity.
    fn id(&self) -> Uuid;

    /// Its account.
    fn account(&self) -> Uuid;

    /// The Item it was collected through.
    fn item(&self) -> Uuid;
}

fn of<P: Paper>(parent: &'static str) -> Source {
    Source {
        table: P::ENTITY.table(),
        primary: "id",
        parent,
        order: P::ORDER,
        descending: true,
    }
}

fn owned_by(application: Uuid) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.equal("application_id", Some(application));
    conditions
}

/// Merges what a run has staged of an account's with what is stored of them.
pub async fn merge<R: Snapshot>(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    account: &account::Model,
) -> Result<Counts> {
    let parent = snapshot::Parent {
        id: account.id,
        staged: &snapshot::of_parent(R::STAGED, &account.key),
        within: None,
        complete: true,
    };
    snapshot::merge::<R>(txn, app, execution, parent).await
}

/// Those of accounts that the principal has been shown.
pub async fn list<P: Paper>(
    app: &App,
    application: Uuid,
    accounts: &[Uuid],
    slice: Slice,
) -> Result<HashMap<Uuid, Page<P>>> {
    let (source, conditions) = (of::<P>("account_id"), owned_by(application));
    page::of_parents(&app.db, source, accounts, &conditions, slice, P::account).await
}

/// Those of Items that the principal has been shown.
pub async fn of_items<P: Paper>(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    slice: Slice,
) -> Result<HashMap<Uuid, Page<P>>> {
    let (source, conditions) = (of::<P>("item_id"), owned_by(application));
    page::of_parents(&app.db, source, items, &conditions, slice, P::item).await
}

/// How many accounts have.
pub async fn count<P: Paper>(
    app: &App,
    application: Uuid,
    accounts: &[Uuid],
) -> Result<HashMap<Uuid, i64>> {
    let source = of::<P>("account_id");
    page::count(&app.db, source, accounts, &owned_by(application)).await
}

/// Those with these ids.
pub async fn by_id<P: Paper>(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, P>> {
    let source = of::<P>("account_id");
    let found = page::by_id::<P>(&app.db, source, principal.application, ids).await?;
    Ok(found.into_iter().map(|row| (row.id(), row)).collect())
}
