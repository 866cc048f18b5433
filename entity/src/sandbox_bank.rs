//! What a sandbox application has made of an Item's made-up bank.

use sea_orm::entity::prelude::*;

use crate::kind::{ExecutionStatus, Product};

/// A row of `sandbox_bank`. An Item whose bank is as it was made has none.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sandbox_bank")]
pub struct Model {
    /// The Item.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// How many days the bank is ahead of the clock.
    pub days_ahead: i32,
    /// What the next run fails with.
    pub fails_with: Option<ExecutionStatus>,
    /// In which product's step; while logging in when null.
    pub fails_at: Option<Product>,
    /// What the next run warns of: a product and a warning, as the connector tells it.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub warns_of: Option<Json>,
    /// The run that was under way when that was asked for: it neither fails nor warns.
    pub spared_run: Option<Uuid>,
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
