//! How often a call of a regulated interface was made in a month, by person and institution. Gone two months later.

use sea_orm::entity::prelude::*;

use crate::kind::RegulatedCall;

/// A row of `quota`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "quota")]
pub struct Model {
    /// Keyed digest of whom the data is about; nothing else of them is kept here.
    #[sea_orm(primary_key, auto_increment = false)]
    pub person: Vec<u8>,
    /// The institution, by the domain's id of its connector.
    #[sea_orm(primary_key, auto_increment = false)]
    pub connector_id: i32,
    /// The calendar month, counted from January of the year 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub month: i32,
    /// Which call.
    #[sea_orm(primary_key, auto_increment = false)]
    pub call: RegulatedCall,
    /// How often it was made.
    pub used: i32,
}

/// None.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
