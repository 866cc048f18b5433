//! What the user allowed on an Item.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `consent`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "consent")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The Item.
    pub item_id: Uuid,
    /// Products allowed.
    #[sea_orm(column_type = "JsonBinary")]
    pub products: Json,
    /// Regulated codes of what it allows; none outside of Open Finance.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub permissions: Option<Json>,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub revoked_at: Option<Timestamp>,
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
