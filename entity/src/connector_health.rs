//! How well connectors work.

use sea_orm::entity::prelude::*;

use crate::{kind::ConnectorStatus, time::Timestamp};

/// A row of `connector_health`. What was measured concerns every application and has the nil id; what a sandbox
/// application has switched concerns that application alone.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "connector_health")]
pub struct Model {
    /// The domain's id of the connector.
    #[sea_orm(primary_key, auto_increment = false)]
    pub connector_id: i32,
    /// The application that has switched it; nil when it was measured.
    #[sea_orm(primary_key, auto_increment = false)]
    pub application_id: Uuid,
    /// How well it works.
    pub status: ConnectorStatus,
    /// Runs of the last six hours that reached the institution.
    pub reached: i64,
    /// Runs of the last six hours that did not.
    pub failed: i64,
    /// Runs before this are not counted.
    pub counted_from: Timestamp,
    /// When the status last changed.
    pub changed_at: Timestamp,
    /// When a run was last let through although it is OFFLINE.
    pub trial_at: Option<Timestamp>,
    /// Runs in a row that reached the institution since it is OFFLINE.
    pub trials_passed: i32,
}

/// None: statements join by connector where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
