//! The log of events, and who is told of them.

use sea_orm_migration::prelude::*;

/// The log of events, and who is told of them.
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

const TABLES: [&str; 4] = ["event", "webhook", "delivery", "attempt"];

const INDEXES: [&str; 11] = [
    "CREATE UNIQUE INDEX event_id ON event (id)",
    "CREATE UNIQUE INDEX event_position ON event (application_id, position) WHERE position IS NOT NULL",
    "CREATE INDEX event_unpublished ON event (sequence) WHERE position IS NULL",
    "CREATE INDEX event_item ON event (item_id, position)",
    "CREATE INDEX webhook_list ON webhook (application_id, id)",
    "CREATE UNIQUE INDEX delivery_target ON delivery (event_id, target)",
    "CREATE INDEX delivery_lane ON delivery (target, next_attempt_at) WHERE next_attempt_at IS NOT NULL",
    "CREATE INDEX delivery_webhook ON delivery (webhook_id, id)",
    "CREATE INDEX delivery_failed ON delivery (webhook_id, id) WHERE status = 'FAILED'",
    "CREATE INDEX delivery_item ON delivery (item_id)",
    "CREATE INDEX attempt_delivery ON attempt (delivery_id, id)",
];

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("event")
            .col(
                ColumnDef::new("sequence")
                    .big_integer()
                    .not_null()
                    .auto_increment()
                    .primary_key(),
            )
            .col(ColumnDef::new("id").uuid().not_null())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("position").big_integer())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("item_id").uuid())
            .col(ColumnDef::new("account_id").uuid())
            .col(ColumnDef::new("connector_id").integer())
            .col(ColumnDef::new("item_sequence").big_integer())
            .col(ColumnDef::new("client_user_id").text())
            .col(ColumnDef::new("connect_token_id").uuid())
            .col(ColumnDef::new("triggered_by").text())
            .col(ColumnDef::new("webhook_url").text())
            .col(ColumnDef::new("payload").json_binary().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("webhook")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("url").text().not_null())
            .col(ColumnDef::new("events").json_binary())
            .col(ColumnDef::new("description").text())
            .col(ColumnDef::new("secret").blob().not_null())
            .col(ColumnDef::new("previous_secret").blob())
            .col(ColumnDef::new("previous_secret_until").big_integer())
            .col(ColumnDef::new("headers").blob())
            .col(ColumnDef::new("enabled").boolean().not_null())
            .col(ColumnDef::new("disabled_at").big_integer())
            .col(ColumnDef::new("disabled_reason").text())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("delivery")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("event_id").uuid().not_null())
            .col(ColumnDef::new("webhook_id").uuid())
            .col(ColumnDef::new("target").text().not_null())
            .col(ColumnDef::new("item_id").uuid())
            .col(ColumnDef::new("url").text().not_null())
            .col(ColumnDef::new("status").text().not_null())
            .col(ColumnDef::new("attempts").integer().not_null())
            .col(ColumnDef::new("next_attempt_at").big_integer())
            .col(ColumnDef::new("lease_until").big_integer())
            .col(ColumnDef::new("epoch").big_integer().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("attempt")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("delivery_id").uuid().not_null())
            .col(ColumnDef::new("at").big_integer().not_null())
            .col(ColumnDef::new("duration_ms").integer().not_null())
            .col(ColumnDef::new("status_code").integer())
            .col(ColumnDef::new("error").text())
            .col(ColumnDef::new("response_body").text())
            .to_owned(),
    ]
}
