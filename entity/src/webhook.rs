//! Registered webhooks.

use sea_orm::entity::prelude::*;

use crate::{kind::WebhookPayload, time::Timestamp};

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
    /// Sealed asymmetric key; null until a row of an older version gets one.
    pub signing_key: Option<Vec<u8>>,
    /// The public half, as it is shown.
    pub public_key: Option<String>,
    /// Sealed asymmetric key that still signs during an overlap.
    pub previous_signing_key: Option<Vec<u8>>,
    /// Sealed static headers.
    pub headers: Option<Vec<u8>>,
    /// How much requests tell.
    pub payload: WebhookPayload,
    /// Whether an Item's next event waits for the one before.
    pub ordered: bool,
    /// Most requests under way at once, from each node.
    pub max_concurrency: i32,
    /// Most requests begun in a second.
    pub max_per_second: Option<i32>,
    /// When the limit is met again, in microseconds.
    pub rate_at: i64,
    /// The application's position when it was disabled: what lies behind it was missed.
    pub missed_after: Option<i64>,
    /// The position up to which deliveries of what was missed are still to be made.
    pub missed_until: Option<i64>,
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
