//! Runs of Items.

use async_graphql::{Enum, Object, SimpleObject};

use super::{
    super::{
        page::{self, List, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Id},
    },
    event::TriggeredBy,
    item::{Attribute, ExecutionStatus, ItemError, ProductWarning},
    product::ProductType,
};
use crate::{
    connector::Failure,
    db::row::Row as _,
    item::history::{Counts, Finished, Run, StepKind},
};

/// A run of an Item.
#[derive(Clone)]
pub struct Execution(pub Run);

/// A run of an Item. Finished ones are kept for as long as the operator says (`PONTE_EXECUTION_RETENTION_DAYS`).
#[Object]
impl Execution {
    /// Identity.
    async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// Its Item.
    async fn item_id(&self) -> Id {
        Id::Row(self.0.item_id)
    }

    /// Who caused it.
    async fn triggered_by(&self) -> TriggeredBy {
        self.0.triggered_by.into()
    }

    /// Where it stands, or how it ended.
    async fn status(&self) -> ExecutionStatus {
        self.0.status.into()
    }

    /// The products that it was to collect, in the order of collection.
    async fn products(&self) -> Vec<ProductType> {
        self.0.products().into_iter().map(Into::into).collect()
    }

    /// Its finished steps, in order. A step that is under way is not among them.
    async fn steps(&self) -> Vec<ExecutionStep> {
        self.0.steps().into_iter().map(Into::into).collect()
    }

    /// Why it failed; null when it has not.
    async fn error(&self) -> Option<ItemError> {
        self.0.failure().map(error)
    }

    /// When it was asked for.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When a worker began it; null while none has.
    async fn started_at(&self) -> Option<DateTime> {
        self.0.started_at.map(DateTime)
    }

    /// When it ended; null while it has not.
    async fn ended_at(&self) -> Option<DateTime> {
        self.0.ended_at.map(DateTime)
    }
}

impl From<Run> for Execution {
    fn from(run: Run) -> Self {
        Self(run)
    }
}

impl Plain for Execution {}

impl Pointed for Execution {
    fn pointer(&self) -> String {
        page::cursor(List::Executions, self.0.key())
    }
}

connection!(
    /// A page of runs, newest first.
    ExecutionConnection,
    /// A run in a list.
    ExecutionEdge,
    Execution
);

/// What a step of a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ExecutionStepKind {
    /// Logging in, with the time that the user took to answer or to act.
    Login,
    /// Reading a product from the institution.
    Collect,
    /// Storing what was read.
    Merge,
}

/// A step of a run: first the login, then each product, then the storing of all of them.
#[derive(SimpleObject)]
pub struct ExecutionStep {
    /// What it was about.
    kind: ExecutionStepKind,
    /// What was collected; null unless `kind` is COLLECT.
    product: Option<ProductType>,
    /// When it began.
    started_at: DateTime,
    /// When it ended.
    ended_at: DateTime,
    /// How many rows the institution handed over; of a MERGE those of all products, of a LOGIN 0.
    rows: i64,
    /// What became of them; null until they are stored, when none are, and of a LOGIN.
    counts: Option<RowCounts>,
    /// Why it failed; null when it has not.
    error: Option<ItemError>,
    /// What you should know although it went on.
    warnings: Vec<ProductWarning>,
}

/// What storing the rows of a product did.
#[derive(SimpleObject)]
pub struct RowCounts {
    /// New rows.
    created: i64,
    /// Rows that are different now.
    updated: i64,
    /// Rows that are gone.
    deleted: i64,
    /// Rows that are as they were. Nothing is written or told of them.
    unchanged: i64,
}

impl From<Counts> for RowCounts {
    fn from(counts: Counts) -> Self {
        Self {
            created: number(counts.created),
            updated: number(counts.updated),
            deleted: number(counts.deleted),
            unchanged: number(counts.unchanged),
        }
    }
}

impl From<Finished> for ExecutionStep {
    fn from(step: Finished) -> Self {
        let (kind, product) = match step.kind {
            StepKind::Login => (ExecutionStepKind::Login, None),
            StepKind::Collect(product) => (ExecutionStepKind::Collect, Some(product)),
            StepKind::Merge => (ExecutionStepKind::Merge, None),
        };
        Self {
            kind,
            product: product.map(Into::into),
            started_at: DateTime(step.started_at),
            ended_at: DateTime(step.ended_at),
            rows: number(step.rows),
            counts: step.counts.map(Into::into),
            error: step.failure.map(error),
            warnings: step.warnings.into_iter().map(Into::into).collect(),
        }
    }
}

fn error(failure: Failure) -> ItemError {
    ItemError {
        code: failure.code.as_str().to_owned(),
        message: failure.message,
        provider_message: failure.provider_message,
        attributes: failure
            .attributes
            .into_iter()
            .map(Attribute::from)
            .collect(),
    }
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
