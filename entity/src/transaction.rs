//! Movements of accounts.

use sea_orm::entity::prelude::*;

use crate::{
    kind::{CategorySource, TransactionStatus, TransactionType},
    time::Timestamp,
};

/// A row of `account_transaction`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "account_transaction")]
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
    /// What it is matched by.
    pub row_key: String,
    /// Of all that can change.
    pub digest: Vec<u8>,
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
    /// Folded text.
    pub search_text: String,
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
    /// Key of the bill it is on, at the institution.
    pub bill_key: Option<String>,
    /// That bill, once it is stored.
    pub bill_id: Option<Uuid>,
    /// Who paid whom.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub payment_data: Option<Json>,
    /// Category by the institution's word or the classifier.
    pub category_id: Option<String>,
    /// Which of the two.
    pub category_source: Option<CategorySource>,
    /// Category by a rule of the application; goes before that.
    pub rule_category_id: Option<String>,
    /// Category by the user's own choice; goes before all.
    pub user_category_id: Option<String>,
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
