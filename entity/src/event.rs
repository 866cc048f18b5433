//! The log: what happened, in order.

use sea_orm::{ActiveValue::NotSet, IntoActiveModel as _, entity::prelude::*};

use crate::{
    kind::{EventType, TriggeredBy},
    time::Timestamp,
};

/// A row of `event`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    /// Order of appending.
    #[sea_orm(primary_key, auto_increment = true)]
    pub sequence: i64,
    /// Public identity.
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// Place in the application's log, once published.
    pub position: Option<i64>,
    /// What happened.
    pub kind: EventType,
    /// The Item it is about.
    pub item_id: Option<Uuid>,
    /// The account it is about.
    pub account_id: Option<Uuid>,
    /// The connector it is about.
    pub connector_id: Option<i32>,
    /// Dense number among the Item's events.
    pub item_sequence: Option<i64>,
    /// The Item's client user.
    pub client_user_id: Option<String>,
    /// The connect token the Item was made with.
    pub connect_token_id: Option<Uuid>,
    /// Who caused it.
    pub triggered_by: Option<TriggeredBy>,
    /// The Item's own endpoint.
    pub webhook_url: Option<String>,
    /// What the event adds to the envelope.
    #[sea_orm(column_type = "JsonBinary")]
    pub payload: Json,
    /// When it happened.
    pub created_at: Timestamp,
}

/// None: statements join by id where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// An event about nothing but its application, that is in no log yet.
    pub fn new(id: Uuid, application_id: Uuid, kind: EventType, now: Timestamp) -> Self {
        Self {
            sequence: 0,
            id,
            application_id,
            position: None,
            kind,
            item_id: None,
            account_id: None,
            connector_id: None,
            item_sequence: None,
            client_user_id: None,
            connect_token_id: None,
            triggered_by: None,
            webhook_url: None,
            payload: Json::Object(serde_json::Map::new()),
            created_at: now,
        }
    }

    /// As a row to append: the database says behind which others.
    pub fn to_append(self) -> ActiveModel {
        ActiveModel {
            sequence: NotSet,
            ..self.into_active_model().reset_all()
        }
    }
}

impl Entity {
    /// Only what belongs to this application.
    pub fn owned_by(application_id: Uuid) -> Select<Self> {
        Self::find().filter(Column::ApplicationId.eq(application_id))
    }
}
