//! Applications: the customers of a Ponte, owners of everything else.

use sea_orm::entity::prelude::*;

use crate::{kind::Environment, time::Timestamp};

/// A row of `application`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "application")]
pub struct Model {
    /// Also the `clientId`.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub environment: Environment,
    /// Hours between automatic runs; null turns them off.
    pub auto_sync_hours: Option<i32>,
    /// Minutes between automatic runs, instead of hours, to try things out.
    pub auto_sync_minutes: Option<i32>,
    /// Since when the schedule of its Items is to be made anew; null once that is done.
    pub auto_sync_changed_at: Option<Timestamp>,
    /// Keyed hash of the client secret.
    pub secret_hash: Vec<u8>,
    /// Every issued token carries it; raising it ends them all.
    pub token_version: i32,
    /// Sealed secret that signs deliveries to `webhookUrl`s.
    pub webhook_secret: Vec<u8>,
    /// Sealed secret that still signs during an overlap.
    pub previous_webhook_secret: Option<Vec<u8>>,
    /// End of the overlap.
    pub previous_webhook_secret_until: Option<Timestamp>,
    /// Sealed asymmetric key that signs deliveries to `webhookUrl`s; null until a row of an older version gets one.
    pub webhook_signing_key: Option<Vec<u8>>,
    /// Its public half, as it is shown.
    pub webhook_public_key: Option<String>,
    /// Sealed asymmetric key that still signs during an overlap.
    pub previous_webhook_signing_key: Option<Vec<u8>>,
    /// Since when nothing of it is served.
    pub disabled_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// None: statements join by id where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
