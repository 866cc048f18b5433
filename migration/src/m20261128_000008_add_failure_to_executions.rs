//! Why a run has failed, in full.

use sea_orm_migration::prelude::*;

/// Why a run has failed, in full.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = ColumnDef::new("failure").json_binary().take();
        let change = Table::alter().table("execution").add_column(column).take();
        manager.alter_table(change).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let change = Table::alter()
            .table("execution")
            .drop_column("failure")
            .take();
        manager.alter_table(change).await
    }
}
