//! Kinds of accounts in their institutions' words.

use sea_orm_migration::prelude::*;

/// Kinds of accounts in their institutions' words.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = ColumnDef::new("subtype_raw").text().take();
        let change = Table::alter().table("account").add_column(column).take();
        manager.alter_table(change).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let change = Table::alter()
            .table("account")
            .drop_column("subtype_raw")
            .take();
        manager.alter_table(change).await
    }
}
