//! Statements of accounts, and their files.

use sea_orm_migration::prelude::*;

/// Statements of accounts, and their files.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(statement()).await?;
        manager.create_table(file()).await?;
        for index in [
            "CREATE UNIQUE INDEX statement_key ON statement (account_id, key)",
            "CREATE INDEX statement_account ON statement (account_id, month, id)",
            "CREATE INDEX statement_item ON statement (item_id, month, id)",
        ] {
            manager.get_connection().execute_unprepared(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["statement_file", "statement"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn statement() -> TableCreateStatement {
    Table::create()
        .table("statement")
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("application_id").uuid().not_null())
        .col(ColumnDef::new("item_id").uuid().not_null())
        .col(ColumnDef::new("account_id").uuid().not_null())
        .col(ColumnDef::new("key").text().not_null())
        .col(ColumnDef::new("digest").blob().not_null())
        .col(ColumnDef::new("month").date().not_null())
        .col(ColumnDef::new("sha256").text().not_null())
        .col(ColumnDef::new("details").json_binary().not_null())
        .col(ColumnDef::new("created_at").big_integer().not_null())
        .col(ColumnDef::new("updated_at").big_integer().not_null())
        .to_owned()
}

fn file() -> TableCreateStatement {
    Table::create()
        .table("statement_file")
        .col(ColumnDef::new("item_id").uuid().not_null())
        .col(ColumnDef::new("sha256").text().not_null())
        .col(ColumnDef::new("contents").blob().not_null())
        .primary_key(Index::create().col("item_id").col("sha256"))
        .to_owned()
}
