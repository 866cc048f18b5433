//! Executions: one row per sync run.

use sea_orm::entity::prelude::*;

use crate::{
    kind::{ExecutionStatus, TriggeredBy},
    time::Timestamp,
};

/// A row of `execution`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "execution")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The Item that is collected.
    pub item_id: Uuid,
    /// The Item's connector.
    pub connector_id: i32,
    /// Who caused it.
    pub triggered_by: TriggeredBy,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// Whether its success turns automatic runs on again.
    pub resumes_auto_sync: bool,
    /// Whether nothing had been collected before.
    pub first_run: bool,
    /// What is collected, in order.
    #[sea_orm(column_type = "JsonBinary")]
    pub products: Json,
    /// One entry per finished step.
    #[sea_orm(column_type = "JsonBinary")]
    pub steps: Json,
    /// What the streams said they covered, per account.
    #[sea_orm(column_type = "JsonBinary")]
    pub covered: Json,
    /// The accounts that have been merged, with what there is to say of each.
    #[sea_orm(column_type = "JsonBinary")]
    pub merged: Json,
    /// Sealed session of the connector.
    pub session: Option<Vec<u8>>,
    /// Sealed answer of the user, until it is used.
    pub answer: Option<Vec<u8>>,
    /// Uploads that this run reads.
    #[sea_orm(column_type = "JsonBinary")]
    pub upload_ids: Json,
    /// How many questions have been asked.
    pub question_asked: i64,
    /// When a worker may take it.
    pub due_at: Timestamp,
    /// Fencing: raised by each claim; only its holder records.
    pub epoch: i64,
    /// Until when the holder has it.
    pub lease_until: Option<Timestamp>,
    /// Leases lost since the last recorded step.
    pub lost_leases: i32,
    /// Whether its holder had only just started when it took it.
    pub claimed_early: bool,
    /// Leases lost by such holders since the last recorded step.
    pub early_losses: i32,
    /// Why it failed.
    pub error_code: Option<ExecutionStatus>,
    /// The same in full: a connector's failure.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub failure: Option<Json>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was first taken.
    pub started_at: Option<Timestamp>,
    /// When it had logged in.
    pub logged_in_at: Option<Timestamp>,
    /// When it began to store what it had read.
    pub merging_at: Option<Timestamp>,
    /// When it ended; null while unfinished.
    pub ended_at: Option<Timestamp>,
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
