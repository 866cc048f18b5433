//! Who the holder of an Item is.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `identity`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "identity")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The Item.
    pub item_id: Uuid,
    /// Full name.
    pub full_name: Option<String>,
    /// Name of the company.
    pub company_name: Option<String>,
    /// Tax or identity document.
    pub document: Option<String>,
    /// Kind of document.
    pub document_type: Option<String>,
    /// Tax number of a company.
    pub tax_number: Option<String>,
    /// Day of birth.
    pub birth_date: Option<Date>,
    /// Occupation.
    pub job_title: Option<String>,
    /// Addresses, phones, emails and everything else, with the field names of the public schema.
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

impl Entity {
    /// Only what belongs to this application.
    pub fn owned_by(application_id: Uuid) -> Select<Self> {
        Self::find().filter(Column::ApplicationId.eq(application_id))
    }
}
