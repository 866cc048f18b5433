//! One HTTP request of a delivery.

use sea_orm::entity::prelude::*;

use crate::{kind::WebhookPayload, time::Timestamp};

/// A row of `attempt`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "attempt")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The delivery.
    pub delivery_id: Uuid,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub duration_ms: i32,
    /// Answer, if there was one.
    pub status_code: Option<i32>,
    /// Why there was none, or why it does not count.
    pub error: Option<String>,
    /// Beginning of the answer.
    pub response_body: Option<String>,
    /// The signatures that were sent; null when nothing was.
    pub signature: Option<String>,
    /// Names of the static headers that were sent, in one line; never their values.
    pub header_names: Option<String>,
    /// How much was told; null when nothing was sent.
    pub payload: Option<WebhookPayload>,
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
