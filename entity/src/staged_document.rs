//! Snapshots that a run has read and not yet merged, and what their merges have to tell.

use sea_orm::entity::prelude::*;

/// A row of `staged_document`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "staged_document")]
pub struct Model {
    /// The run.
    #[sea_orm(primary_key, auto_increment = false)]
    pub execution_id: Uuid,
    /// What it is: `account`, `identity`, `loan`, …; with a parent's key behind a slash where it belongs to one.
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: String,
    /// The record's key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// The record.
    #[sea_orm(column_type = "JsonBinary")]
    pub body: Json,
}

/// None: statements join by id where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
