//! Items that an erasure has still to delete: those that the client user had when it was asked for.

use sea_orm::entity::prelude::*;

/// A row of `erasure_item`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "erasure_item")]
pub struct Model {
    /// The erasure.
    #[sea_orm(primary_key, auto_increment = false)]
    pub erasure_id: Uuid,
    /// The Item.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_id: Uuid,
}

/// None: statements join by id where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
