//! Rules that decide the category of transactions.

use sea_orm::entity::prelude::*;

use crate::{
    kind::{AccountSubtype, CategoryMatch, TransactionType},
    time::Timestamp,
};

/// A row of `category_rule`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "category_rule")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The only client user it is for; null for all.
    pub client_user_id: Option<String>,
    /// The text as it was given.
    pub description: String,
    /// The text as it is compared.
    pub pattern: String,
    /// How it is compared.
    pub match_type: CategoryMatch,
    /// The only direction it is for; null for both.
    pub transaction_type: Option<TransactionType>,
    /// The only kind of account it is for; null for all.
    pub account_type: Option<AccountSubtype>,
    /// What it decides.
    pub category_id: String,
    /// When it was made.
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
