//! Movements that a sandbox application has written, changed or struck out at an Item's made-up bank.

use sea_orm::entity::prelude::*;

/// A row of `sandbox_movement`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_movement")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The Item.
    pub item_id: Uuid,
    /// The account's key at the bank.
    pub account_key: String,
    /// What was done.
    #[sea_orm(column_type = "JsonBinary")]
    pub body: Json,
}

/// None: statements join by id where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// Only what belongs to this application.
    pub fn owned_by(application_id: Uuid) -> Select<Self> {
        Self::find().filter(Column::ApplicationId.eq(application_id))
    }
}
