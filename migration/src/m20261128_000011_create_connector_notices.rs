//! Connectors that come to an end.

use sea_orm_migration::prelude::*;

/// Connectors that come to an end.
#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLE: &str = "connector_notice";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let id = ColumnDef::new("connector_id")
            .integer()
            .not_null()
            .primary_key()
            .take();
        let noticed = ColumnDef::new("noticed_at").big_integer().not_null().take();
        let table = Table::create().table(TABLE).col(id).col(noticed).take();
        manager.create_table(table).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table(TABLE).to_owned())
            .await
    }
}
