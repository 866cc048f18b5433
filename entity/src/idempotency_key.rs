//! Keys that make createItem repeatable.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `idempotency_key`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_key")]
pub struct Model {
    /// Owner.
    #[sea_orm(primary_key, auto_increment = false)]
    pub application_id: Uuid,
    /// The client user, empty when there is none.
    #[sea_orm(primary_key, auto_increment = false)]
    pub client_user_id: String,
    /// The client's key.
    #[sea_orm(primary_key, auto_increment = false)]
    pub key: String,
    /// Keyed digest of the input.
    pub input_digest: Vec<u8>,
    /// What it made.
    pub item_id: Uuid,
    /// The log's position just before.
    pub position: i64,
    /// When it may be used anew.
    pub expires_at: Timestamp,
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
