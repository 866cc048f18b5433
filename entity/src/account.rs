//! Accounts and cards.

use sea_orm::entity::prelude::*;

use crate::{
    kind::{AccountSubtype, AccountType},
    time::Timestamp,
};

/// A row of `account`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account")]
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
    /// What identified it there at first, where that was something else: its rows without an id are still matched by it.
    pub first_key: Option<String>,
    /// Place in the institution's order.
    pub ordinal: i32,
    /// Family.
    pub kind: AccountType,
    /// Kind.
    pub subtype: AccountSubtype,
    /// Kind in the institution's words.
    pub subtype_raw: Option<String>,
    /// As people know it.
    pub number: String,
    /// Generic name.
    pub name: String,
    /// Commercial name.
    pub marketing_name: Option<String>,
    /// Whole units.
    pub balance_units: Option<i64>,
    /// Billionths.
    pub balance_nanos: Option<i32>,
    /// ISO 4217, or XXX.
    pub currency_code: String,
    /// Holder.
    pub owner: Option<String>,
    /// The holder's tax number.
    pub tax_number: Option<String>,
    /// Details of a BANK account.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub bank_data: Option<Json>,
    /// Details of a CREDIT account.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub credit_data: Option<Json>,
    /// Last day of its last complete collection of transactions.
    pub collected_to: Option<Date>,
    /// Last day up to which its payment data has been collected without a gap.
    pub payment_collected_to: Option<Date>,
    /// Digest of a mass deletion that one run has reported.
    pub suspect: Option<Vec<u8>>,
    /// When the institution stopped showing it; null while it does.
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
