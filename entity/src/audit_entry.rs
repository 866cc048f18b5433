//! The audit log: who did what. Rows are inserted, and deleted when they are too old; nothing changes one.

use sea_orm::entity::prelude::*;

use crate::{
    kind::{AuditAction, AuditActor},
    time::Timestamp,
};

/// A row of `audit_entry`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_entry")]
pub struct Model {
    /// Identity; larger ones are later.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// When it was done.
    pub at: Timestamp,
    /// What was done.
    pub action: AuditAction,
    /// Who did it.
    pub actor: AuditActor,
    /// With which token.
    pub token_id: Option<Uuid>,
    /// In which request.
    pub request_id: Option<Uuid>,
    /// From which network address.
    pub address: Option<String>,
    /// To what.
    pub target_id: Option<Uuid>,
    /// Keyed digest of the client user whom it concerns, whose name for itself is nowhere in this table.
    pub client_user: Option<Vec<u8>>,
    /// Ids, counts and names of fields.
    #[sea_orm(column_type = "JsonBinary")]
    pub detail: Json,
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
