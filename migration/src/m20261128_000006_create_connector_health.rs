//! How well connectors work, as measured; what sandbox applications make of their made-up banks.

use sea_orm_migration::prelude::*;

/// How well connectors work, as measured; what sandbox applications make of their made-up banks.
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

const TABLES: [&str; 4] = [
    "connector_outcome",
    "connector_health",
    "sandbox_bank",
    "sandbox_movement",
];

const INDEXES: [&str; 2] = [
    "CREATE INDEX connector_outcome_age ON connector_outcome (bucket)",
    "CREATE INDEX sandbox_movement_item ON sandbox_movement (item_id, account_key)",
];

fn tables() -> [TableCreateStatement; 4] {
    [
        Table::create()
            .table("connector_outcome")
            .col(ColumnDef::new("connector_id").integer().not_null())
            .col(ColumnDef::new("bucket").big_integer().not_null())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("reached").big_integer().not_null())
            .col(ColumnDef::new("failed").big_integer().not_null())
            .primary_key(
                Index::create()
                    .col("connector_id")
                    .col("bucket")
                    .col("application_id"),
            )
            .to_owned(),
        Table::create()
            .table("connector_health")
            .col(ColumnDef::new("connector_id").integer().not_null())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("status").text().not_null())
            .col(ColumnDef::new("reached").big_integer().not_null())
            .col(ColumnDef::new("failed").big_integer().not_null())
            .col(ColumnDef::new("counted_from").big_integer().not_null())
            .col(ColumnDef::new("changed_at").big_integer().not_null())
            .col(ColumnDef::new("trial_at").big_integer())
            .col(ColumnDef::new("trials_passed").integer().not_null())
            .primary_key(Index::create().col("connector_id").col("application_id"))
            .to_owned(),
        Table::create()
            .table("sandbox_bank")
            .col(ColumnDef::new("item_id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("days_ahead").integer().not_null())
            .col(ColumnDef::new("fails_with").text())
            .col(ColumnDef::new("fails_at").text())
            .col(ColumnDef::new("spared_run").uuid())
            .to_owned(),
        Table::create()
            .table("sandbox_movement")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("account_key").text().not_null())
            .col(ColumnDef::new("body").json_binary().not_null())
            .to_owned(),
    ]
}
