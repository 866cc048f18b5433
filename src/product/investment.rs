//! Positions and their movements.
//!
//! Positions are shown whole; one that vanishes is kept and marked as closed. Movements are read in a window for each
//! position and merged inside of it: what is older stays as it is. They are matched by the institution's id, else by a
//! fingerprint of their content and their ordinal among equal ones.

use std::collections::HashMap;

use chrono::NaiveDate;
use entity::{
    execution, investment, investment_transaction,
    kind::{EntityKind, InvestmentTransactionType, InvestmentType},
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, sea_query::Expr,
};
use serde_json::Value;
use uuid::Uuid;

use super::{
    Counts,
    snapshot::{self, Parent, Snapshot},
    transaction::{hash, hex},
};
use crate::{
    app::App,
    auth::Principal,
    connector::{Coverage, InvestmentRecord, InvestmentTransactionRecord},
    db::{
        page::{self, Conditions, Key, Page, Slice, Source},
        row::stored,
        snapshot::{Table, Vanished},
    },
    error::{Error, Result},
    money::Amount,
};

/// What a run has covered of each position, as it is staged.
pub const COVERED: &str = "investment_covered";

impl Snapshot for InvestmentRecord {
    const STAGED: &'static str = "investment";
    const ENTITY: EntityKind = EntityKind::Investment;
    const TABLE: Table = Table {
        name: "investment",
        parent: "item_id",
        columns: &["kind", "balance_units", "balance_nanos", "currency_code"],
        vanished: Vanished::Closed,
    };

    fn columns(&self) -> Vec<sea_orm::Value> {
        let kind: InvestmentType = self.kind.parse().unwrap_or(InvestmentType::Unknown);
        vec![
            kind.as_str().into(),
            self.balance.units().into(),
            self.balance.nanos().into(),
            self.currency_code.as_str().into(),
        ]
    }
}

impl Snapshot for InvestmentTransactionRecord {
    const STAGED: &'static str = "investment_transaction";
    const ENTITY: EntityKind = EntityKind::InvestmentTransaction;
    const TABLE: Table = Table {
        name: "investment_transaction",
        parent: "investment_id",
        columns: &["kind", "date"],
        vanished: Vanished::Deleted,
    };

    fn columns(&self) -> Vec<sea_orm::Value> {
        let kind: InvestmentTransactionType = self
            .kind
            .parse()
            .unwrap_or(InvestmentTransactionType::Unknown);
        vec![kind.as_str().into(), self.date.into()]
    }
}

/// Gives movements their keys, counting equal ones across the batches of one stream.
#[derive(Debug, Default)]
pub struct Numbering(HashMap<[u8; 16], u32>);

impl Numbering {
    /// What a movement of a position is matched by.
    pub fn key(&mut self, investment: &str, record: &InvestmentTransactionRecord) -> String {
        if let Some(id) = &record.id {
            return format!("i:{id}");
        }
        let number = |amount: Option<Amount>| amount.map_or_else(String::new, |a| a.to_string());
        let content = hash(&[
            investment,
            &record.date.to_string(),
            &record.kind,
            record.description.as_deref().unwrap_or(""),
            &number(record.quantity),
            &number(record.amount),
        ]);
        let ordinal = self.0.entry(content).or_insert(0);
        *ordinal += 1;
        format!("f:{}:{ordinal}", hex(&content))
    }
}

/// The positions whose movements a run is to read, with the last day of which all are stored: those that it has just been
/// shown, or where that has failed, those that are known.
pub async fn to_read(
    app: &App,
    execution: &execution::Model,
    shown: bool,
) -> Result<Vec<(String, Option<NaiveDate>)>> {
    let known: Vec<(String, Option<NaiveDate>, Option<entity::time::Timestamp>)> =
        investment::Entity::owned_by(execution.application_id)
            .filter(investment::Column::ItemId.eq(execution.item_id))
            .order_by_asc(investment::Column::Key)
            .select_only()
            .columns([
                investment::Column::Key,
                investment::Column::CollectedTo,
                investment::Column::ClosedAt,
            ])
            .into_tuple()
            .all(app.db.read())
            .await?;
    if !shown {
        let open = known.into_iter().filter(|(_, _, closed)| closed.is_none());
        return Ok(open.map(|(key, collected, _)| (key, collected)).collect());
    }
    let collected: HashMap<String, Option<NaiveDate>> = known
        .into_iter()
        .map(|(key, collected, _)| (key, collected))
        .collect();
    let (mut shown, mut after) = (Vec::new(), None);
    loop {
        let kind = InvestmentRecord::STAGED;
        let batch = snapshot::staged(app.db.read(), execution.id, kind, after.as_deref()).await?;
        let Some((last, _)) = batch.last() else {
            return Ok(shown);
        };
        after = Some(last.clone());
        shown.extend(batch.into_iter().map(|(key, _)| {
            let collected = collected.get(&key).copied().flatten();
            (key, collected)
        }));
    }
}

/// The first of what a run has covered of positions' movements, behind a position's key.
pub async fn covered(
    connection: &impl ConnectionTrait,
    execution: Uuid,
    after: Option<&str>,
) -> Result<Vec<Coverage>> {
    let staged = snapshot::staged(connection, execution, COVERED, after).await?;
    let coverage = |(_, body): (String, Value)| serde_json::from_value(body);
    let covered: Result<Vec<Coverage>, _> = staged.into_iter().map(coverage).collect();
    covered.map_err(Error::internal)
}

/// Merges what a run has staged of a position's movements.
pub async fn merge_transactions(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    coverage: &Coverage,
) -> Result<Counts> {
    let known = investment::Entity::owned_by(execution.application_id)
        .filter(investment::Column::ItemId.eq(execution.item_id))
        .filter(investment::Column::Key.eq(coverage.account.as_str()))
        .select_only()
        .columns([investment::Column::Id, investment::Column::CollectedTo])
        .into_tuple::<(Uuid, Option<NaiveDate>)>()
        .one(txn)
        .await?;
    // A position that has never been shown whole has nothing that its movements could belong to.
    let Some((id, collected_to)) = known else {
        return Ok(Counts::default());
    };
    let staged = snapshot::of_parent(InvestmentTransactionRecord::STAGED, &coverage.account);
    let parent = Parent {
        id,
        staged: &staged,
        within: Some(("date", coverage.window)),
        complete: coverage.complete,
    };
    let counts =
        snapshot::merge::<InvestmentTransactionRecord>(txn, app, execution, parent).await?;
    let to = Some(coverage.window.to);
    if coverage.complete && collected_to < to {
        investment::Entity::update_many()
            .col_expr(investment::Column::CollectedTo, Expr::value(to))
            .filter(investment::Column::Id.eq(id))
            .exec(txn)
            .await?;
    }
    Ok(counts)
}

const INVESTMENTS: Source = Source {
    table: "investment",
    primary: "id",
    parent: "item_id",
    order: &["id"],
    descending: false,
};

stored!(
    investment::Model {
        id,
        application_id,
        item_id,
        key,
        digest,
        kind,
        balance_units,
        balance_nanos,
        currency_code,
        details,
        collected_to,
        closed_at,
        created_at,
        updated_at
    },
    |row| Key::Id(row.id)
);

fn of_kind(application: Uuid, kind: Option<InvestmentType>) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.equal("application_id", Some(application));
    conditions.equal("kind", kind.map(InvestmentType::as_str));
    conditions
}

/// Positions of Items that the principal has been shown, oldest first.
pub async fn list(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    kind: Option<InvestmentType>,
    slice: Slice,
) -> Result<HashMap<Uuid, Page<investment::Model>>> {
    let conditions = of_kind(application, kind);
    let item = |row: &investment::Model| row.item_id;
    page::of_parents(&app.db, INVESTMENTS, items, &conditions, slice, item).await
}

/// How many positions Items have.
pub async fn count(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    kind: Option<InvestmentType>,
) -> Result<HashMap<Uuid, i64>> {
    page::count(&app.db, INVESTMENTS, items, &of_kind(application, kind)).await
}

/// Positions by id.
pub async fn by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, investment::Model>> {
    let owner = principal.application;
    let found = page::by_id::<investment::Model>(&app.db, INVESTMENTS, owner, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}

const OF_INVESTMENT: Source = Source {
    table: "investment_transaction",
    primary: "id",
    parent: "investment_id",
    order: &["date", "id"],
    descending: true,
};

const OF_ITEM: Source = Source {
    parent: "item_id",
    ..OF_INVESTMENT
};

stored!(
    investment_transaction::Model {
        id,
        application_id,
        item_id,
        investment_id,
        key,
        digest,
        kind,
        date,
        details,
        created_at,
        updated_at
    },
    |row| Key::Day(row.date, row.id)
);

/// Which movements of positions are wanted; everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct InvestmentTransactionFilter {
    /// First day.
    pub from: Option<NaiveDate>,
    /// Last day.
    pub to: Option<NaiveDate>,
    /// Only of this kind.
    pub kind: Option<InvestmentTransactionType>,
}

impl InvestmentTransactionFilter {
    fn conditions(&self, application: Uuid) -> Conditions {
        let mut conditions = Conditions::default();
        conditions.equal("application_id", Some(application));
        conditions.at_least("date", self.from);
        conditions.at_most("date", self.to);
        conditions.equal("kind", self.kind.map(InvestmentTransactionType::as_str));
        conditions
    }
}

/// Movements of positions that the principal has been shown, newest first.
pub async fn transactions(
    app: &App,
    application: Uuid,
    investments: &[Uuid],
    filter: &InvestmentTransactionFilter,
    slice: Slice,
) -> Result<HashMap<Uuid, Page<investment_transaction::Model>>> {
    let conditions = filter.conditions(application);
    let of = |row: &investment_transaction::Model| row.investment_id;
    page::of_parents(&app.db, OF_INVESTMENT, investments, &conditions, slice, of).await
}

/// How many movements positions have.
pub async fn count_transactions(
    app: &App,
    application: Uuid,
    investments: &[Uuid],
    filter: &InvestmentTransactionFilter,
) -> Result<HashMap<Uuid, i64>> {
    let conditions = filter.conditions(application);
    page::count(&app.db, OF_INVESTMENT, investments, &conditions).await
}

/// Movements of all positions of Items that the principal has been shown, newest first.
pub async fn transactions_of_items(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    slice: Slice,
) -> Result<HashMap<Uuid, Page<investment_transaction::Model>>> {
    let conditions = InvestmentTransactionFilter::default().conditions(application);
    let item = |row: &investment_transaction::Model| row.item_id;
    page::of_parents(&app.db, OF_ITEM, items, &conditions, slice, item).await
}

/// Movements of positions by id.
pub async fn transactions_by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, investment_transaction::Model>> {
    let owner = principal.application;
    let found =
        page::by_id::<investment_transaction::Model>(&app.db, OF_INVESTMENT, owner, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn movement(id: Option<&str>, description: &str) -> InvestmentTransactionRecord {
        serde_json::from_value(json!({
            "providerId": id,
            "type": "BUY",
            "date": "2026-03-01",
            "description": description,
            "amount": "10.00",
        }))
        .expect("a movement")
    }

    #[test]
    fn equal_movements_of_a_position_are_counted_and_those_with_an_id_are_not() {
        let mut numbering = Numbering::default();
        let first = numbering.key("a", &movement(None, "Aporte"));
        let second = numbering.key("a", &movement(None, "Aporte"));
        assert_eq!((first.len(), &first[34..]), (36, ":1"));
        assert_eq!((&second[..34], &second[34..]), (&first[..34], ":2"));
        assert_eq!(&numbering.key("a", &movement(None, "Resgate"))[34..], ":1");
        assert_eq!(&numbering.key("b", &movement(None, "Aporte"))[34..], ":1");
        assert_eq!(numbering.key("a", &movement(Some("7"), "Aporte")), "i:7");
        assert_eq!(numbering.key("a", &movement(Some("7"), "Aporte")), "i:7");
        // The next run counts anew, and alike.
        assert_eq!(
            Numbering::default().key("a", &movement(None, "Aporte")),
            first
        );
    }
}
