//! What each event tells of, entity by entity.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// What each event tells of, entity by entity.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = Table::create()
            .table("change")
            .col(ColumnDef::new("event_sequence").big_integer().not_null())
            .col(ColumnDef::new("ordinal").integer().not_null())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("entity_id").uuid().not_null())
            .col(ColumnDef::new("action").text().not_null())
            .col(ColumnDef::new("fields").json_binary())
            .primary_key(Index::create().col("event_sequence").col("ordinal"))
            .to_owned();
        if manager.get_database_backend() == DbBackend::Sqlite {
            // Written and read in the order of its key, and in no other: the key is the table.
            table.extra("WITHOUT ROWID");
        }
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("change").to_owned())
            .await
    }
}
