//! Connect tokens that have been issued.

use sea_orm::entity::prelude::*;

use crate::time::Timestamp;

/// A row of `connect_token`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connect_token")]
pub struct Model {
    /// The token's `jti`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The one existing Item it may update.
    pub item_id: Option<Uuid>,
    /// Stamped on the Items made with it.
    pub client_user_id: Option<String>,
    /// Told of the events of the Items made with it.
    pub webhook_url: Option<String>,
    /// Where an OAuth login ends.
    pub oauth_redirect_uri: Option<String>,
    /// Refuse Items with credentials that are connected already.
    pub avoid_duplicates: bool,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked, and lost what it says of its user.
    pub revoked_at: Option<Timestamp>,
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
