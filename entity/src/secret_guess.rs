//! How often a client secret was guessed wrongly, from where. Gone a minute or two later.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `secret_guess`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "secret_guess")]
pub struct Model {
    /// Keyed digest of the network address; the address itself is not kept.
    #[sea_orm(primary_key, auto_increment = false)]
    pub network: Vec<u8>,
    /// When the first of these failed.
    pub since: Timestamp,
    /// How many have failed since.
    pub failed: i32,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
