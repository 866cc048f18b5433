//! Bills of credit cards: shown whole or in their latest part; one that is no longer shown stays as it is.

use entity::{bill, execution, kind::EntityKind};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use super::{
    Counts,
    paper::Paper,
    snapshot::{self, Snapshot},
};
use crate::{
    app::App,
    connector::BillRecord,
    db::{
        page::Key,
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

impl Paper for bill::Model {
    const ENTITY: EntityKind = EntityKind::Bill;
    const ORDER: &'static [&'static str] = &["due_on", "id"];

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.account_id
    }

    fn item(&self) -> Uuid {
        self.item_id
    }
}
