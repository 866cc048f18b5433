//! Positions, their movements, and loans; what a consent allows by regulated codes.

use sea_orm_migration::prelude::*;

/// Positions, their movements, and loans; what a consent allows by regulated codes.
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
        let permissions = ColumnDef::new("permissions").json_binary().to_owned();
        manager
            .alter_table(
                Table::alter()
                    .table("consent")
                    .add_column(permissions)
                    .to_owned(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager
            .alter_table(
                Table::alter()
                    .table("consent")
                    .drop_column("permissions")
                    .to_owned(),
            )
            .await?;
        for table in TABLES.iter().rev() {
            manager
                .drop_table(Table::drop().table(*table).to_owned())
                .await?;
        }
        Ok(())
    }
}

const TABLES: [&str; 3] = ["investment", "investment_transaction", "loan"];

const INDEXES: [&str; 7] = [
    "CREATE UNIQUE INDEX investment_key ON investment (item_id, key)",
    "CREATE INDEX investment_list ON investment (item_id, id)",
    "CREATE UNIQUE INDEX investment_transaction_key ON investment_transaction (investment_id, key)",
    "CREATE INDEX investment_transaction_list ON investment_transaction (investment_id, date, id)",
    "CREATE INDEX investment_transaction_item ON investment_transaction (item_id, date, id)",
    "CREATE UNIQUE INDEX loan_key ON loan (item_id, key)",
    "CREATE INDEX loan_list ON loan (item_id, id)",
];

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("investment")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("key").text().not_null())
            .col(ColumnDef::new("digest").blob().not_null())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("balance_units").big_integer().not_null())
            .col(ColumnDef::new("balance_nanos").integer().not_null())
            .col(ColumnDef::new("currency_code").text().not_null())
            .col(ColumnDef::new("details").json_binary().not_null())
            .col(ColumnDef::new("collected_to").date())
            .col(ColumnDef::new("closed_at").big_integer())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("investment_transaction")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("investment_id").uuid().not_null())
            .col(ColumnDef::new("key").text().not_null())
            .col(ColumnDef::new("digest").blob().not_null())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("date").date().not_null())
            .col(ColumnDef::new("details").json_binary().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("loan")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("key").text().not_null())
            .col(ColumnDef::new("digest").blob().not_null())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("outstanding_units").big_integer())
            .col(ColumnDef::new("outstanding_nanos").integer())
            .col(ColumnDef::new("currency_code").text().not_null())
            .col(ColumnDef::new("details").json_binary().not_null())
            .col(ColumnDef::new("closed_at").big_integer())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
    ]
}
