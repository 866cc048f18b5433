//! Applications, their tokens, and every key.

use sea_orm_migration::prelude::*;

/// Applications, their tokens, and every key.
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

const TABLES: [&str; 6] = [
    "application",
    "event_head",
    "meta",
    "system_key",
    "data_key",
    "connect_token",
];

const INDEXES: [&str; 3] = [
    "CREATE INDEX data_key_item ON data_key (item_id)",
    "CREATE INDEX data_key_master ON data_key (master_kid)",
    "CREATE INDEX connect_token_expiry ON connect_token (expires_at)",
];

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("application")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("name").text().not_null())
            .col(ColumnDef::new("environment").text().not_null())
            .col(ColumnDef::new("auto_sync_hours").integer())
            .col(ColumnDef::new("secret_hash").blob().not_null())
            .col(ColumnDef::new("token_version").integer().not_null())
            .col(ColumnDef::new("webhook_secret").blob().not_null())
            .col(ColumnDef::new("previous_webhook_secret").blob())
            .col(ColumnDef::new("previous_webhook_secret_until").big_integer())
            .col(ColumnDef::new("disabled_at").big_integer())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("event_head")
            .col(
                ColumnDef::new("application_id")
                    .uuid()
                    .not_null()
                    .primary_key(),
            )
            .col(ColumnDef::new("position").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("meta")
            .col(ColumnDef::new("name").text().not_null().primary_key())
            .col(ColumnDef::new("value").text().not_null())
            .to_owned(),
        Table::create()
            .table("system_key")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("purpose").text().not_null())
            .col(ColumnDef::new("wrapped").blob().not_null())
            .col(ColumnDef::new("master_kid").text().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("data_key")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid())
            .col(ColumnDef::new("wrapped").blob().not_null())
            .col(ColumnDef::new("master_kid").text().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("connect_token")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid())
            .col(ColumnDef::new("client_user_id").text())
            .col(ColumnDef::new("webhook_url").text())
            .col(ColumnDef::new("oauth_redirect_uri").text())
            .col(ColumnDef::new("avoid_duplicates").boolean().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("expires_at").big_integer().not_null())
            .to_owned(),
    ]
}
