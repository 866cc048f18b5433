//! Statements of accounts: what an institution has issued for a month.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `statement`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "statement")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The Item it was collected through.
    pub item_id: Uuid,
    /// Its account.
    pub account_id: Uuid,
    /// What identifies it at the institution.
    pub key: String,
    /// Of all that can change.
    pub digest: Vec<u8>,
    /// First day of the month that it is for.
    pub month: Date,
    /// Of its file's contents, hexadecimal.
    pub sha256: String,
    /// What there is to tell of its file, with the field names of the public schema.
    #[sea_orm(column_type = "JsonBinary")]
    pub details: Json,
    /// First seen.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

/// None: statements join by id where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
