//! Targets that fail: how long, and when they are tried next.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `circuit`. A target whose last request was a success has none.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "circuit")]
pub struct Model {
    /// The lane of the deliveries that fail.
    #[sea_orm(primary_key, auto_increment = false)]
    pub target: String,
    /// How many requests have failed one after another.
    pub failures: i32,
    /// When the first of them failed.
    pub failing_since: Timestamp,
    /// When a single request tries again, while the circuit is open.
    pub probe_at: Option<Timestamp>,
}

/// None: statements join by target where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
