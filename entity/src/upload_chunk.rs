//! Sealed pieces of an upload.

use sea_orm::entity::prelude::*;

/// A row of `upload_chunk`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "upload_chunk")]
pub struct Model {
    /// The upload.
    #[sea_orm(primary_key, auto_increment = false)]
    pub upload_id: Uuid,
    /// Place.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ordinal: i32,
    /// Sealed bytes.
    pub sealed: Vec<u8>,
}

/// None: statements join by id where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
