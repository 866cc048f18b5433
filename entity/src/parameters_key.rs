//! Keys under which clients encrypt parameters: one that is current for each application, and those that it has replaced.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `parameters_key`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "parameters_key")]
pub struct Model {
    /// Named beside what was encrypted with it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// Sealed private half, PKCS #8.
    pub private_key: Vec<u8>,
    /// Public half as it is shown, PEM.
    pub public_key: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Until when it opens what was encrypted with it; null while it is current.
    pub good_until: Option<Timestamp>,
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
