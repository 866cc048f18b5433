//! Events that `sendTestEvent` made: outside the log, so nobody reads or follows them.

use sea_orm::entity::prelude::*;

use crate::{kind::EventType, time::Timestamp};

/// A row of `test_event`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "test_event")]
pub struct Model {
    /// Identity; the delivery's `event_id`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// What it is an example of.
    pub kind: EventType,
    /// What is sent, in every attempt.
    #[sea_orm(column_type = "JsonBinary")]
    pub body: Json,
    /// When it was made.
    pub created_at: Timestamp,
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
