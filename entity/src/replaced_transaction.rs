//! Movements that institutions have deleted and written anew: as they were, and what they have become.

use sea_orm::entity::prelude::*;

use crate::{
    kind::{TransactionStatus, TransactionType},
    time::Timestamp,
};

/// A row of `replaced_transaction`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "replaced_transaction")]
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
    /// The institution's id.
    pub provider_id: Option<String>,
    /// Instant.
    pub date: Timestamp,
    /// Local day.
    pub posted_on: Date,
    /// Cleaned text.
    pub description: String,
    /// Verbatim text.
    pub description_raw: Option<String>,
    /// Whole units.
    pub amount_units: i64,
    /// Billionths.
    pub amount_nanos: i32,
    /// In the account's currency.
    pub account_amount_units: Option<i64>,
    /// In the account's currency.
    pub account_amount_nanos: Option<i32>,
    /// ISO 4217.
    pub currency_code: String,
    /// Direction.
    pub kind: TransactionType,
    /// Settled or not.
    pub status: TransactionStatus,
    /// Running balance.
    pub balance_units: Option<i64>,
    /// Running balance.
    pub balance_nanos: Option<i32>,
    /// The institution's code.
    pub provider_code: Option<String>,
    /// What only some institutions tell.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub details: Option<Json>,
    /// Key of the bill it was on, at the institution.
    pub bill_key: Option<String>,
    /// That bill, if it was stored.
    pub bill_id: Option<Uuid>,
    /// Who paid whom.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub payment_data: Option<Json>,
    /// Category.
    pub category_id: Option<String>,
    /// What has decided that.
    pub category_source: Option<String>,
    /// The category of the rule that fits it.
    pub rule_category_id: Option<String>,
    /// The category that its application has given it.
    pub user_category_id: Option<String>,
    /// The movement that was written in its place, which may be replaced itself by now.
    pub replaced_by: Uuid,
    /// How sure that is, in hundredths.
    pub confidence: i32,
    /// The stored movement at the end of the chain.
    pub leads_to: Uuid,
    /// First seen.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// When it was gone.
    pub deleted_at: Timestamp,
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
