//! Loans: shown whole; one that vanishes is kept and marked as closed.

use std::collections::HashMap;

use entity::{
    kind::{EntityKind, LoanKind},
    loan,
};
use serde_json::Value;
use uuid::Uuid;

use super::snapshot::Snapshot;
use crate::{
    app::App,
    auth::Principal,
    connector::LoanRecord,
    db::{
        page::{self, Conditions, Key, Page, Slice, Source},
        row::stored,
        snapshot::{Table, Vanished},
    },
    error::Result,
    money::Amount,
};

impl Snapshot for LoanRecord {
    const STAGED: &'static str = "loan";
    const ENTITY: EntityKind = EntityKind::Loan;
    const TABLE: Table = Table {
        name: "loan",
        parent: "item_id",
        columns: &[
            "kind",
            "outstanding_units",
            "outstanding_nanos",
            "currency_code",
        ],
        vanished: Vanished::Closed,
    };

    fn columns(&self) -> Vec<sea_orm::Value> {
        let kind: LoanKind = self.kind.parse().unwrap_or(LoanKind::Unknown);
        let outstanding = outstanding(self);
        vec![
            kind.as_str().into(),
            outstanding.map(Amount::units).into(),
            outstanding.map(Amount::nanos).into(),
            self.currency_code.as_str().into(),
        ]
    }
}

/// What is still owed, where the institution tells it.
fn outstanding(record: &LoanRecord) -> Option<Amount> {
    match record
        .payments
        .as_ref()?
        .get("contractOutstandingBalance")?
    {
        Value::String(text) => text.parse().ok(),
        Value::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

const LOANS: Source = Source {
    table: "loan",
    primary: "id",
    parent: "item_id",
    order: &["id"],
    descending: false,
};

stored!(
    loan::Model {
        id,
        application_id,
        item_id,
        key,
        digest,
        kind,
        outstanding_units,
        outstanding_nanos,
        currency_code,
        details,
        closed_at,
        created_at,
        updated_at
    },
    |row| Key::Id(row.id)
);

fn of_kind(application: Uuid, kind: Option<LoanKind>) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.equal("application_id", Some(application));
    conditions.equal("kind", kind.map(LoanKind::as_str));
    conditions
}

/// Loans of Items that the principal has been shown, oldest first.
pub async fn list(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    kind: Option<LoanKind>,
    slice: Slice,
) -> Result<HashMap<Uuid, Page<loan::Model>>> {
    let conditions = of_kind(application, kind);
    let item = |row: &loan::Model| row.item_id;
    page::of_parents(&app.db, LOANS, items, &conditions, slice, item).await
}

/// How many loans Items have.
pub async fn count(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    kind: Option<LoanKind>,
) -> Result<HashMap<Uuid, i64>> {
    page::count(&app.db, LOANS, items, &of_kind(application, kind)).await
}

/// Loans by id.
pub async fn by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, loan::Model>> {
    let found = page::by_id::<loan::Model>(&app.db, LOANS, principal.application, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}
