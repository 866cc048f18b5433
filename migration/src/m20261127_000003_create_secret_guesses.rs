//! Failed attempts at client secrets, so that all nodes count them together.

use sea_orm_migration::prelude::*;

/// Failed attempts at client secrets, so that all nodes count them together.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .create_table(
                Table::create()
                    .table("secret_guess")
                    .col(ColumnDef::new("network").binary().not_null().primary_key())
                    .col(ColumnDef::new("since").big_integer().not_null())
                    .col(ColumnDef::new("failed").integer().not_null())
                    .to_owned(),
            )
            .await?;
        manager
            .get_connection()
            .execute_unprepared("CREATE INDEX secret_guess_age ON secret_guess (since)")
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .drop_table(Table::drop().table("secret_guess").to_owned())
            .await
    }
}
