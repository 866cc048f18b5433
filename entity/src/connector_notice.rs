//! Connectors that come to an end.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `connector_notice`. A connector that stays has none.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connector_notice")]
pub struct Model {
    /// The domain's id of the connector.
    #[sea_orm(primary_key, auto_increment = false)]
    pub connector_id: i32,
    /// When the operator has said so.
    pub noticed_at: Timestamp,
}

/// None: connectors are no table.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
