//! Loans.

use sea_orm::entity::prelude::*;

use crate::{kind::LoanKind, time::Timestamp};

/// A row of `loan`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "loan")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The Item it was collected through.
    pub item_id: Uuid,
    /// What identifies it at the institution.
    pub key: String,
    /// Of all that can change.
    pub digest: Vec<u8>,
    /// Family.
    pub kind: LoanKind,
    /// Whole units of what is still owed.
    pub outstanding_units: Option<i64>,
    /// Billionths.
    pub outstanding_nanos: Option<i32>,
    /// ISO 4217.
    pub currency_code: String,
    /// All that the institution tells, with the field names of the public schema.
    #[sea_orm(column_type = "JsonBinary")]
    pub details: Json,
    /// When the institution ceased to show it.
    pub closed_at: Option<Timestamp>,
    /// First seen.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
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
