//! What connectors keep of Items from run to run; details of errors.

use sea_orm_migration::prelude::*;

/// What connectors keep of Items from run to run; details of errors.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in columns() {
            let change = Table::alter().table("item").add_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["memory", "upload_ids", "error_attributes"] {
            let change = Table::alter().table("item").drop_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}

fn columns() -> [ColumnDef; 3] {
    [
        ColumnDef::new("memory").blob().to_owned(),
        ColumnDef::new("upload_ids").json_binary().to_owned(),
        ColumnDef::new("error_attributes").json_binary().to_owned(),
    ]
}
