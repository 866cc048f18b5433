//! Items: a user's connection through a connector.

use sea_orm::entity::prelude::*;

use crate::{
    kind::{AutoSyncDrop, ExecutionStatus},
    time::Timestamp,
};

/// A row of `item`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "item")]
pub struct Model {
    /// Identity.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    /// Owner.
    pub application_id: Uuid,
    /// The domain's id of the connector.
    pub connector_id: i32,
    /// The connect token it was made with.
    pub connect_token_id: Option<Uuid>,
    /// The application's name for its user.
    pub client_user_id: Option<String>,
    /// Told of all its events.
    pub webhook_url: Option<String>,
    /// Where an OAuth login ends.
    pub oauth_redirect_uri: Option<String>,
    /// Requested products, in order of collection.
    #[sea_orm(column_type = "JsonBinary")]
    pub products: Json,
    /// Sealed parameters; null when none are kept.
    pub credentials: Option<Vec<u8>>,
    /// Keyed digest that finds equal credentials without opening them.
    pub credentials_digest: Option<Vec<u8>>,
    /// Keyed digest of the one-step MFA values of the last run.
    pub mfa_digest: Option<Vec<u8>>,
    /// Sealed; what the connector keeps between runs.
    pub memory: Option<Vec<u8>>,
    /// Uploads that every run reads, as pairs of parameter and id; null when there are none.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub upload_ids: Option<Json>,
    /// Of the latest execution; the status is derived from it.
    pub execution_status: ExecutionStatus,
    /// Of the latest execution.
    pub error_code: Option<ExecutionStatus>,
    /// What happened, in our words.
    pub error_message: Option<String>,
    /// What happened, in the institution's words.
    pub error_provider_message: Option<String>,
    /// More about it, by name.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub error_attributes: Option<Json>,
    /// The question the user must answer now.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub parameter: Option<Json>,
    /// Until when.
    pub parameter_expires_at: Option<Timestamp>,
    /// What the user must do now.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub user_action: Option<Json>,
    /// Until when.
    pub user_action_expires_at: Option<Timestamp>,
    /// Per requested product, of the latest execution.
    #[sea_orm(column_type = "JsonBinary")]
    pub status_detail: Json,
    /// Executions in a row that ended in `LOGIN_ERROR`.
    pub failed_logins: i32,
    /// The day, by its beginning in UTC, whose logins are counted; null when none is.
    pub logins_since: Option<Timestamp>,
    /// Logins since then.
    pub logins: i32,
    /// Keyed digest of whom its regulated calls are counted for; null where nothing is regulated.
    pub person_digest: Option<Vec<u8>>,
    /// By regulated call: when a run last made it.
    #[sea_orm(column_type = "JsonBinary", nullable)]
    pub calls_at: Option<Json>,
    /// Executions in a row that failed.
    pub failed_runs: i32,
    /// When the latest execution ended.
    pub last_ended_at: Option<Timestamp>,
    /// Last successful collection.
    pub last_updated_at: Option<Timestamp>,
    /// Whether a run has ever succeeded.
    pub collected_once: bool,
    /// When automatic runs were turned off.
    pub auto_sync_disabled_at: Option<Timestamp>,
    /// When the next automatic run may start; null while there is none, also during a run.
    pub auto_sync_due_at: Option<Timestamp>,
    /// Why automatic runs have left it until its client's run succeeds.
    pub auto_sync_dropped: Option<AutoSyncDrop>,
    /// Automatic repetitions of a failed run that have failed too.
    pub auto_sync_failures: i32,
    /// End of a regulated consent.
    pub consent_expires_at: Option<Timestamp>,
    /// When its client is told next that the consent ends; null when there is nothing to tell.
    pub consent_notice_at: Option<Timestamp>,
    /// The last `itemSequence` given out.
    pub event_sequence: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Last change of the row.
    pub updated_at: Timestamp,
    /// Set while its data is being purged.
    pub deleted_at: Option<Timestamp>,
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
