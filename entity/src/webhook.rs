//! Registered webhooks.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `webhook`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// Endpoint.
    pub url: String,
    /// Event types; null means all but `ITEM_STATUS_CHANGED`.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub events: Option<Json>,
    /// The owner's words.
    pub description: Option<String>,
    /// Sealed signing secret.
    pub secret: Vec<u8>,
    /// Sealed secret that still signs during an overlap.
    pub previous_secret: Option<Vec<u8>>,
    /// End of the overlap.
    pub previous_secret_until: Option<Timestamp>,
    /// Sealed static headers.
    pub headers: Option<Vec<u8>>,
    /// Whether deliveries are sent.
    pub enabled: bool,
    /// Since when not.
    pub disabled_at: Option<Timestamp>,
    /// Why not.
    pub disabled_reason: Option<String>,
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
