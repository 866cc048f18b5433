//! Test events, which are outside the log; deliveries of an Item in pages, and by the time of their last change.

use sea_orm_migration::prelude::*;

/// Test events, which are outside the log; deliveries of an Item in pages, and by the time of their last change.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("test_event")
                    .col(ColumnDef::new("id").uuid().not_null().primary_key())
                    .col(ColumnDef::new("application_id").uuid().not_null())
                    .col(ColumnDef::new("kind").text().not_null())
                    .col(ColumnDef::new("body").json_binary().not_null())
                    .col(ColumnDef::new("created_at").big_integer().not_null())
                    .to_owned(),
            )
            .await?;
        for sql in UP {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for sql in DOWN {
            manager.get_connection().execute_unprepared(sql).await?;
        }
        manager
            .drop_table(Table::drop().table("test_event").to_owned())
            .await
    }
}

const UP: [&str; 4] = [
    "CREATE INDEX test_event_age ON test_event (application_id, created_at)",
    "CREATE INDEX delivery_changed ON delivery (application_id, updated_at, id)",
    "CREATE INDEX delivery_of_item ON delivery (item_id, id)",
    "DROP INDEX delivery_item",
];

const DOWN: [&str; 3] = [
    "CREATE INDEX delivery_item ON delivery (item_id)",
    "DROP INDEX delivery_of_item",
    "DROP INDEX delivery_changed",
];
