//! Passes over stored transactions, after the rules of their categories have changed.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `category_pass`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "category_pass")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The only client user whose transactions are gone through; null for all.
    pub client_user_id: Option<String>,
    /// The Item that is gone through, or has been; nil at the start.
    pub item_id: Uuid,
    /// The day of the last transaction of that Item that has been looked at; null when it is done with.
    pub posted_on: Option<Date>,
    /// That transaction.
    pub row_id: Option<Uuid>,
    /// Grows whenever it begins anew.
    pub round: i32,
    /// When it was asked for, last.
    pub requested_at: Timestamp,
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
