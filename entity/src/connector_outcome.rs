//! How runs at a connector have ended, by ten minutes and application.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `connector_outcome`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connector_outcome")]
pub struct Model {
    /// The domain's id of the connector.
    #[sea_orm(primary_key, auto_increment = false)]
    pub connector_id: i32,
    /// The beginning of the ten minutes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: Timestamp,
    /// Whose runs they were.
    #[sea_orm(primary_key, auto_increment = false)]
    pub application_id: Uuid,
    /// Runs that reached the institution, however they ended.
    pub reached: i64,
    /// Runs that did not.
    pub failed: i64,
}

/// None: statements join by connector where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
