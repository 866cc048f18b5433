//! How often a connector may be asked, for all nodes together.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `connector_gate`. A connector whose requests are not limited has none.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connector_gate")]
pub struct Model {
    /// The domain's id of the connector.
    #[sea_orm(primary_key, auto_increment = false)]
    pub connector_id: i32,
    /// Until when the requests so far have used up what is allowed: when the next may be made.
    pub next_start_at: Timestamp,
}

/// None: statements join by connector where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
