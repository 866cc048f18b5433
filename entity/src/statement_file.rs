//! The files of statements, by what is in them.

use sea_orm::entity::prelude::*;

/// A row of `statement_file`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "statement_file")]
pub struct Model {
    /// The Item it was collected through.
    #[sea_orm(primary_key, auto_increment = false)]
    pub item_id: Uuid,
    /// Of its contents, hexadecimal.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sha256: String,
    /// The file.
    pub contents: Vec<u8>,
}

/// None: statements join by id where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
