//! Client users whose data is being erased. A row goes when nothing of the user is left.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `erasure`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "erasure")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// Whose data; null once it is in no other table.
    pub client_user_id: Option<String>,
    /// Who asked for it, for the entries of the audit log.
    #[sea_orm(column_type = "JsonBinary")]
    pub actor: Json,
    /// Up to here the application's log names the user no more.
    pub scrubbed: i64,
    /// When it was asked for last.
    pub requested_at: Timestamp,
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
