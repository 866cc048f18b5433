//! Files that were sent to be imported.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `upload`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "upload")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The connect token that sent it.
    pub connect_token_id: Option<Uuid>,
    /// The Item it is bound to.
    pub item_id: Option<Uuid>,
    /// The key of its chunks.
    pub data_key_id: Option<Uuid>,
    /// Bytes so far.
    pub size: i64,
    /// Number of chunks so far.
    pub chunks: i32,
    /// Whether the last chunk has arrived.
    pub complete: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When it is dropped unless bound.
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
