//! What each event tells of, entity by entity.

use sea_orm::entity::prelude::*;

use crate::kind::{ChangeAction, EntityKind};

/// A row of `change`. Whose it is, of which Item and when it happened, its event says.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "change")]
pub struct Model {
    /// The event that tells of it.
    #[sea_orm(primary_key, auto_increment = false)]
    pub event_sequence: i64,
    /// Place among what that event tells.
    #[sea_orm(primary_key, auto_increment = false)]
    pub ordinal: i32,
    /// What has changed.
    pub kind: EntityKind,
    /// Which one.
    pub entity_id: Uuid,
    /// How.
    pub action: ChangeAction,
    /// Names of the fields that are different now.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub fields: Option<Json>,
}

/// None: statements join by sequence where they need to.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
