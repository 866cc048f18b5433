//! Bills of credit cards: shown whole or in their latest part; one that is no longer shown stays as it is.

use std::collections::HashMap;

use entity::{bill, execution, kind::EntityKind};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{
    Counts,
    snapshot::{self, Snapshot},
};
use crate::{
    app::App,
    auth::Principal,
    connector::BillRecord,
    db::{
        page::{self, Conditions, Key, Page, Slice, Source},
        row::stored,
        snapshot::{Table, Vanished},
    },
    error::Result,
};

impl Snapshot for BillRecord {
    const STAGED: &'static str = "bill";
    const ENTITY: EntityKind = EntityKind::Bill;
    const TABLE: Table = Table {
        name: "bill",
        parent: "account_id",
        columns: &["due_on"],
        vanished: Vanished::Kept,
    };

    fn columns(&self) -> Vec<sea_orm::Value> {
        vec![self.due_date.into()]
    }
}

/// Merges what a run has staged of a card's bills with what is stored of them.
pub async fn merge(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    account: Uuid,
    account_key: &str,
) -> Result<Counts> {
    let parent = snapshot::Parent {
        id: account,
        staged: &snapshot::of_parent(BillRecord::STAGED, account_key),
        within: None,
        complete: true,
    };
    snapshot::merge::<BillRecord>(txn, app, execution, parent).await
}

const OF_ACCOUNT: Source = Source {
    table: "bill",
    primary: "id",
    parent: "account_id",
    order: &["due_on", "id"],
    descending: true,
};

const OF_ITEM: Source = Source {
    parent: "item_id",
    ..OF_ACCOUNT
};

stored!(
    bill::Model {
        id,
        application_id,
        item_id,
        account_id,
        key,
        digest,
        due_on,
        details,
        created_at,
        updated_at
    },
    |row| Key::Day(row.due_on, row.id)
);

fn owned_by(application: Uuid) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.equal("application_id", Some(application));
    conditions
}

/// Bills of accounts that the principal has been shown, the last due first.
pub async fn list(
    app: &App,
    application: Uuid,
    accounts: &[Uuid],
    slice: Slice,
) -> Result<HashMap<Uuid, Page<bill::Model>>> {
    let conditions = owned_by(application);
    let account = |row: &bill::Model| row.account_id;
    page::of_parents(&app.db, OF_ACCOUNT, accounts, &conditions, slice, account).await
}

/// Bills of Items that the principal has been shown, the last due first.
pub async fn of_items(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    slice: Slice,
) -> Result<HashMap<Uuid, Page<bill::Model>>> {
    let conditions = owned_by(application);
    let item = |row: &bill::Model| row.item_id;
    page::of_parents(&app.db, OF_ITEM, items, &conditions, slice, item).await
}

/// How many bills accounts have.
pub async fn count(app: &App, application: Uuid, accounts: &[Uuid]) -> Result<HashMap<Uuid, i64>> {
    page::count(&app.db, OF_ACCOUNT, accounts, &owned_by(application)).await
}

/// Bills by id.
pub async fn by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, bill::Model>> {
    let found = page::by_id::<bill::Model>(&app.db, OF_ACCOUNT, principal.application, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}
