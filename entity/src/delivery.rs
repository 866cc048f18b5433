//! An event for one endpoint.

use sea_orm::entity::prelude::*;

use crate::{kind::DeliveryStatus, time::Timestamp};

/// A row of `delivery`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "delivery")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The event.
    pub event_id: Uuid,
    /// The registered webhook; null for an Item's own endpoint.
    pub webhook_id: Option<Uuid>,
    /// The lane it goes in, unique beside the event: the webhook's id, or the application and the origin of its Item's
    /// endpoint.
    pub target: String,
    /// The event's Item.
    pub item_id: Option<Uuid>,
    /// The event's place in the application's log.
    pub position: Option<i64>,
    /// Endpoint.
    pub url: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How many have been made since the delivery was last asked for; the schedule counts them.
    pub attempts: i32,
    /// When it is due; null once ended. A claim leaves it as it is.
    pub next_attempt_at: Option<Timestamp>,
    /// Until when a worker has it; until then nobody else takes it.
    pub lease_until: Option<Timestamp>,
    /// Fencing: raised by each claim.
    pub epoch: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

/// None: statements join by id where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// A delivery that is due at once and was never attempted; where it goes is still to be said.
    pub fn due(id: Uuid, application_id: Uuid, event_id: Uuid, now: Timestamp) -> Self {
        Self {
            id,
            application_id,
            event_id,
            webhook_id: None,
            target: String::new(),
            item_id: None,
            position: None,
            url: String::new(),
            status: DeliveryStatus::Pending,
            attempts: 0,
            next_attempt_at: Some(now),
            lease_until: None,
            epoch: 0,
            created_at: now,
            updated_at: now,
        }
    }
}

impl Entity {
    /// Only what belongs to this application.
    pub fn owned_by(application_id: Uuid) -> Select<Self> {
        Self::find().filter(Column::ApplicationId.eq(application_id))
    }
}
