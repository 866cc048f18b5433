//! When runs have logged in, and when they began to store.

use sea_orm_migration::prelude::*;

/// When runs have logged in, and when they began to store.
#[derive(DeriveMigrationName)]
pub struct Migration;

const COLUMNS: [&str; 2] = ["logged_in_at", "merging_at"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // SQLite adds one column at a time.
        for name in COLUMNS {
            let column = ColumnDef::new(name).big_integer().take();
            let change = Table::alter().table("execution").add_column(column).take();
            manager.alter_table(change).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in COLUMNS {
            let change = Table::alter().table("execution").drop_column(name).take();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}
