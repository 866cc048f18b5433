//! What the next run at a made-up bank is to warn of.

use sea_orm_migration::prelude::*;

/// What the next run at a made-up bank is to warn of.
#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMN: &str = "warns_of";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = ColumnDef::new(COLUMN).json_binary().take();
        let change = Table::alter()
            .table("sandbox_bank")
            .add_column(column)
            .take();
        manager.alter_table(change).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let change = Table::alter()
            .table("sandbox_bank")
            .drop_column(COLUMN)
            .take();
        manager.alter_table(change).await
    }
}
