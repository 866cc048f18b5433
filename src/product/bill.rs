//! Bills of credit cards: shown whole or in their latest part; one that is no longer shown stays as it is.

use entity::{bill, kind::EntityKind};
use uuid::Uuid;

use super::{paper::Paper, snapshot::Snapshot};
use crate::{
    connector::BillRecord,
    db::{
        page::Key,
        row::stored,
        snapshot::{Table, Vanished},
    },
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
