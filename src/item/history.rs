//! The runs of Items as clients read them.

use std::collections::HashMap;

use entity::{
    execution,
    kind::{ChangeAction, ExecutionStatus, Product, TriggeredBy},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::state;
use crate::{
    app::App,
    clock::Timestamp,
    connector::{Failure, Warning},
    db::{
        page::{self, Conditions, Key, Page, Slice, Source},
        row::stored,
    },
    error::Result,
    event::change::Told,
};

/// A finished step, as the execution's row keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What was collected.
    pub product: Product,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Rows that were read.
    pub rows: u64,
    /// Why it failed, if so.
    pub failure: Option<Failure>,
    /// What the client should know.
    pub warnings: Vec<Warning>,
}

/// What a step is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Logging in, with all that the user is asked for.
    Login,
    /// Reading a product.
    Collect(Product),
    /// Storing what was read.
    Merge,
}

/// A finished step, as clients read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// What it was about.
    pub kind: StepKind,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Rows that were read.
    pub rows: u64,
    /// What became of them; `None` when nothing was merged.
    pub counts: Option<Counts>,
    /// Why it failed, if so.
    pub failure: Option<Failure>,
    /// What the client should know.
    pub warnings: Vec<Warning>,
}

/// What a merge did to the rows of a product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// New rows.
    pub created: u64,
    /// Rows that are different now.
    pub updated: u64,
    /// Rows that are gone.
    pub deleted: u64,
    /// Rows that were read and are as they were.
    pub unchanged: u64,
}

impl Counts {
    /// Of one row that was read, by what there is to tell of it.
    pub fn of_one(told: Option<&Told>) -> Self {
        let mut counts = Self::default();
        match told.map(Told::action) {
            Some(ChangeAction::Created) => counts.created = 1,
            Some(ChangeAction::Updated) => counts.updated = 1,
            Some(ChangeAction::Deleted) => counts.deleted = 1,
            None => counts.unchanged = 1,
        }
        counts
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.created += other.created;
        self.updated += other.updated;
        self.deleted += other.deleted;
        self.unchanged += other.unchanged;
    }
}

/// A run, without what is secret or the worker's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Identity.
    pub id: Uuid,
    /// Its Item.
    pub item_id: Uuid,
    /// Who caused it.
    pub triggered_by: TriggeredBy,
    /// Where it stands, or how it ended.
    pub status: ExecutionStatus,
    products: Value,
    steps: Value,
    merged: Value,
    /// Why it failed.
    pub error_code: Option<ExecutionStatus>,
    failure: Option<Value>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was first taken.
    pub started_at: Option<Timestamp>,
    logged_in_at: Option<Timestamp>,
    merging_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Of a piece that a run has merged, what clients are told.
#[derive(Deserialize)]
struct Merged {
    #[serde(default)]
    counts: Vec<(Product, Counts)>,
    #[serde(default)]
    warning: Option<Warning>,
}

/// The sum of what was done to the rows of some products; `None` when nothing was.
fn total(merged: &[Merged], counted: impl Fn(Product) -> bool) -> Option<Counts> {
    let counts = merged.iter().flat_map(|one| &one.counts);
    let of_products = counts.filter(|(product, _)| counted(*product));
    of_products.fold(None, |total, (_, counts)| {
        let mut total: Counts = total.unwrap_or_default();
        total += *counts;
        Some(total)
    })
}

impl Run {
    /// What it is to collect, in order.
    pub fn products(&self) -> Vec<Product> {
        serde_json::from_value(self.products.clone()).unwrap_or_default()
    }

    /// Why it failed, if it has: as the institution or Ponte put it.
    pub fn failure(&self) -> Option<Failure> {
        let code = self.error_code?;
        let told = self.failure.clone().map(serde_json::from_value);
        let told = told.and_then(Result::ok);
        Some(told.unwrap_or_else(|| Failure::new(code, state::explanation(code))))
    }

    /// Its finished steps, in order.
    pub fn steps(&self) -> Vec<Finished> {
        let read: Vec<Step> = serde_json::from_value(self.steps.clone()).unwrap_or_default();
        let merged: Vec<Merged> = serde_json::from_value(self.merged.clone()).unwrap_or_default();
        let stored = self.merge(&read, &merged);
        let read = read.into_iter().map(|step| Finished {
            kind: StepKind::Collect(step.product),
            started_at: step.started_at,
            ended_at: step.ended_at,
            rows: step.rows,
            counts: total(&merged, |product| product == step.product),
            failure: step.failure,
            warnings: step.warnings,
        });
        self.login().into_iter().chain(read).chain(stored).collect()
    }

    fn login(&self) -> Option<Finished> {
        let failed = self.error_code.is_some() && self.steps == json!([]);
        let refused = self.ended_at.filter(|_| failed);
        Some(Finished {
            kind: StepKind::Login,
            started_at: self.started_at?,
            ended_at: self.logged_in_at.or(refused)?,
            rows: 0,
            counts: None,
            failure: self.failure().filter(|_| self.logged_in_at.is_none()),
            warnings: Vec::new(),
        })
    }

    fn merge(&self, read: &[Step], merged: &[Merged]) -> Option<Finished> {
        Some(Finished {
            kind: StepKind::Merge,
            started_at: self.merging_at?,
            ended_at: self.ended_at?,
            rows: read.iter().map(|step| step.rows).sum(),
            counts: total(merged, |_| true),
            failure: self.failure(),
            warnings: merged
                .iter()
                .filter_map(|one| one.warning.clone())
                .collect(),
        })
    }
}

stored!(
    Run {
        id,
        item_id,
        triggered_by,
        status,
        products,
        steps,
        merged,
        error_code,
        failure,
        created_at,
        started_at,
        logged_in_at,
        merging_at,
        ended_at
    },
    |row| Key::Id(row.id)
);

impl From<execution::Model> for Run {
    fn from(row: execution::Model) -> Self {
        Self {
            id: row.id,
            item_id: row.item_id,
            triggered_by: row.triggered_by,
            status: row.status,
            products: row.products,
            steps: row.steps,
            merged: row.merged,
            error_code: row.error_code,
            failure: row.failure,
            created_at: row.created_at,
            started_at: row.started_at,
            logged_in_at: row.logged_in_at,
            merging_at: row.merging_at,
            ended_at: row.ended_at,
        }
    }
}

const RUNS: Source = Source {
    table: "execution",
    primary: "id",
    parent: "item_id",
    order: &["id"],
    descending: true,
};

/// The runs of Items that the principal has been shown, newest first.
pub async fn runs(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    slice: Slice,
) -> Result<HashMap<Uuid, Page<Run>>> {
    let mut conditions = Conditions::default();
    conditions.equal("application_id", Some(application));
    let parent = |run: &Run| run.item_id;
    page::of_parents(&app.db, RUNS, items, &conditions, slice, parent).await
}
