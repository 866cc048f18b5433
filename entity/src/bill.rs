//! Bills of credit cards.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `bill`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "bill")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The Item it was collected through.
    pub item_id: Uuid,
    /// Its card.
    pub account_id: Uuid,
    /// What identifies it at the institution.
    pub key: String,
    /// Of all that can change.
    pub digest: Vec<u8>,
    /// Day on which it is due.
    pub due_on: Date,
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
