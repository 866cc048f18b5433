//! Keys for hashes, digests, cursors and tokens: random, wrapped by the master key.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `system_key`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "system_key")]
pub struct Model {
    /// Also the `kid` of tokens.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What it is for.
    pub purpose: String,
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
