//! Movements of positions.

use sea_orm::entity::prelude::*;

use crate::{kind::InvestmentTransactionType, time::Timestamp};

/// A row of `investment_transaction`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "investment_transaction")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The Item it was collected through.
    pub item_id: Uuid,
    /// The position.
    pub investment_id: Uuid,
    /// What it is matched by.
    pub key: String,
    /// Of all that can change.
    pub digest: Vec<u8>,
    /// Kind of movement.
    pub kind: InvestmentTransactionType,
    /// The day on which it was settled.
    pub date: Date,
    /// All that the institution tells, with the field names of the public schema.
    #[sea_orm(column_type = "JsonBinary")]
    pub details: Json,
    /// First seen.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
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
