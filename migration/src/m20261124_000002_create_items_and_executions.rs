//! Items, their runs, and what a run stages.

use sea_orm_migration::prelude::*;

/// Items, their runs, and what a run stages.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        for index in INDEXES {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES.iter().rev() {
            manager
                .drop_table(Table::drop().table(*table).to_owned())
                .await?;
        }
        Ok(())
    }
}

const TABLES: [&str; 7] = [
    "item",
    "execution",
    "staged_document",
    "staged_transaction",
    "upload",
    "upload_chunk",
    "idempotency_key",
];

const INDEXES: [&str; 12] = [
    "CREATE INDEX item_list ON item (application_id, id) WHERE deleted_at IS NULL",
    "CREATE INDEX item_client_user ON item (application_id, client_user_id, id) WHERE deleted_at IS NULL",
    "CREATE INDEX item_digest ON item (application_id, connector_id, credentials_digest) WHERE deleted_at IS NULL",
    "CREATE INDEX item_purge ON item (deleted_at) WHERE deleted_at IS NOT NULL",
    "CREATE UNIQUE INDEX execution_unfinished ON execution (item_id) WHERE ended_at IS NULL",
    "CREATE INDEX execution_due ON execution (due_at) WHERE ended_at IS NULL",
    "CREATE INDEX execution_history ON execution (item_id, id)",
    "CREATE INDEX upload_owner ON upload (application_id)",
    "CREATE INDEX upload_item ON upload (item_id)",
    "CREATE INDEX upload_expiry ON upload (expires_at)",
    "CREATE INDEX idempotency_key_expiry ON idempotency_key (expires_at)",
    "CREATE INDEX idempotency_key_item ON idempotency_key (item_id)",
];

#[expect(
    clippy::too_many_lines,
    reason = "one table after the other reads best"
)]
fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("item")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("connector_id").integer().not_null())
            .col(ColumnDef::new("connect_token_id").uuid())
            .col(ColumnDef::new("client_user_id").text())
            .col(ColumnDef::new("webhook_url").text())
            .col(ColumnDef::new("oauth_redirect_uri").text())
            .col(ColumnDef::new("products").json_binary().not_null())
            .col(ColumnDef::new("credentials").blob())
            .col(ColumnDef::new("credentials_digest").blob())
            .col(ColumnDef::new("mfa_digest").blob())
            .col(ColumnDef::new("execution_status").text().not_null())
            .col(ColumnDef::new("error_code").text())
            .col(ColumnDef::new("error_message").text())
            .col(ColumnDef::new("error_provider_message").text())
            .col(ColumnDef::new("parameter").json_binary())
            .col(ColumnDef::new("parameter_expires_at").big_integer())
            .col(ColumnDef::new("user_action").json_binary())
            .col(ColumnDef::new("user_action_expires_at").big_integer())
            .col(ColumnDef::new("status_detail").json_binary().not_null())
            .col(ColumnDef::new("failed_logins").integer().not_null())
            .col(ColumnDef::new("failed_runs").integer().not_null())
            .col(ColumnDef::new("last_ended_at").big_integer())
            .col(ColumnDef::new("last_updated_at").big_integer())
            .col(ColumnDef::new("collected_once").boolean().not_null())
            .col(ColumnDef::new("auto_sync_disabled_at").big_integer())
            .col(ColumnDef::new("consent_expires_at").big_integer())
            .col(ColumnDef::new("event_sequence").big_integer().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .col(ColumnDef::new("deleted_at").big_integer())
            .to_owned(),
        Table::create()
            .table("execution")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("connector_id").integer().not_null())
            .col(ColumnDef::new("triggered_by").text().not_null())
            .col(ColumnDef::new("status").text().not_null())
            .col(ColumnDef::new("first_run").boolean().not_null())
            .col(ColumnDef::new("products").json_binary().not_null())
            .col(ColumnDef::new("steps").json_binary().not_null())
            .col(ColumnDef::new("covered").json_binary().not_null())
            .col(ColumnDef::new("merged").json_binary().not_null())
            .col(ColumnDef::new("session").blob())
            .col(ColumnDef::new("answer").blob())
            .col(ColumnDef::new("upload_ids").json_binary().not_null())
            .col(ColumnDef::new("question_asked").big_integer().not_null())
            .col(ColumnDef::new("due_at").big_integer().not_null())
            .col(ColumnDef::new("epoch").big_integer().not_null())
            .col(ColumnDef::new("lease_until").big_integer())
            .col(ColumnDef::new("lost_leases").integer().not_null())
            .col(ColumnDef::new("claimed_early").boolean().not_null())
            .col(ColumnDef::new("early_losses").integer().not_null())
            .col(ColumnDef::new("error_code").text())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("started_at").big_integer())
            .col(ColumnDef::new("ended_at").big_integer())
            .to_owned(),
        Table::create()
            .table("staged_document")
            .col(ColumnDef::new("execution_id").uuid().not_null())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("key").text().not_null())
            .col(ColumnDef::new("body").json_binary().not_null())
            .primary_key(Index::create().col("execution_id").col("kind").col("key"))
            .to_owned(),
        Table::create()
            .table("staged_transaction")
            .col(ColumnDef::new("execution_id").uuid().not_null())
            .col(ColumnDef::new("account_key").text().not_null())
            .col(ColumnDef::new("row_key").text().not_null())
            .col(ColumnDef::new("digest").blob().not_null())
            .col(ColumnDef::new("provider_id").text())
            .col(ColumnDef::new("date").big_integer().not_null())
            .col(ColumnDef::new("posted_on").date().not_null())
            .col(ColumnDef::new("description").text().not_null())
            .col(ColumnDef::new("description_raw").text())
            .col(ColumnDef::new("search_text").text().not_null())
            .col(ColumnDef::new("amount_units").big_integer().not_null())
            .col(ColumnDef::new("amount_nanos").integer().not_null())
            .col(ColumnDef::new("account_amount_units").big_integer())
            .col(ColumnDef::new("account_amount_nanos").integer())
            .col(ColumnDef::new("currency_code").text().not_null())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("status").text().not_null())
            .col(ColumnDef::new("balance_units").big_integer())
            .col(ColumnDef::new("balance_nanos").integer())
            .col(ColumnDef::new("provider_code").text())
            .col(ColumnDef::new("new_id").uuid().not_null())
            .primary_key(
                Index::create()
                    .col("execution_id")
                    .col("account_key")
                    .col("row_key"),
            )
            .to_owned(),
        Table::create()
            .table("upload")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("connect_token_id").uuid())
            .col(ColumnDef::new("item_id").uuid())
            .col(ColumnDef::new("data_key_id").uuid())
            .col(ColumnDef::new("size").big_integer().not_null())
            .col(ColumnDef::new("chunks").integer().not_null())
            .col(ColumnDef::new("complete").boolean().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("expires_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("upload_chunk")
            .col(ColumnDef::new("upload_id").uuid().not_null())
            .col(ColumnDef::new("ordinal").integer().not_null())
            .col(ColumnDef::new("sealed").blob().not_null())
            .primary_key(Index::create().col("upload_id").col("ordinal"))
            .to_owned(),
        Table::create()
            .table("idempotency_key")
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("client_user_id").text().not_null())
            .col(ColumnDef::new("key").text().not_null())
            .col(ColumnDef::new("input_digest").blob().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("position").big_integer().not_null())
            .col(ColumnDef::new("expires_at").big_integer().not_null())
            .primary_key(
                Index::create()
                    .col("application_id")
                    .col("client_user_id")
                    .col("key"),
            )
            .to_owned(),
    ]
}
