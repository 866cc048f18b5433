//! One key per sealed value, wrapped by the master key; deleting it destroys the value.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `data_key`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "data_key")]
pub struct Model {
    /// Named in the envelope it opens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The Item whose secret it seals, if any.
    pub item_id: Option<Uuid>,
    /// The key, wrapped by the master key.
    pub wrapped: Vec<u8>,
    /// Which master key wraps it.
    pub master_kid: String,
    /// When it was made.
    pub created_at: Timestamp,
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
