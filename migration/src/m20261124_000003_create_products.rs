//! What Items collect.

use sea_orm_migration::prelude::*;

/// What Items collect.
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
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES.iter().rev() {
            manager
                .drop_table(Table::drop().table(*table).to_owned())
                .await?;
        }
        Ok(())
    }
}

const TABLES: [&str; 4] = ["account", "account_transaction", "identity", "consent"];

const INDEXES: [&str; 8] = [
    "CREATE UNIQUE INDEX account_key ON account (item_id, key)",
    "CREATE INDEX account_list ON account (application_id, item_id, id)",
    "CREATE UNIQUE INDEX account_transaction_key ON account_transaction (account_id, row_key)",
    "CREATE INDEX account_transaction_account ON account_transaction (account_id, posted_on, id)",
    "CREATE INDEX account_transaction_item ON account_transaction (item_id, posted_on, id)",
    "CREATE INDEX account_transaction_pending ON account_transaction (account_id, posted_on) WHERE status = 'PENDING'",
    "CREATE UNIQUE INDEX identity_item ON identity (item_id)",
    "CREATE INDEX consent_item ON consent (item_id, id)",
];

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("account")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("key").text().not_null())
            .col(ColumnDef::new("ordinal").integer().not_null())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("subtype").text().not_null())
            .col(ColumnDef::new("number").text().not_null())
            .col(ColumnDef::new("name").text().not_null())
            .col(ColumnDef::new("marketing_name").text())
            .col(ColumnDef::new("balance_units").big_integer())
            .col(ColumnDef::new("balance_nanos").integer())
            .col(ColumnDef::new("currency_code").text().not_null())
            .col(ColumnDef::new("owner").text())
            .col(ColumnDef::new("tax_number").text())
            .col(ColumnDef::new("bank_data").json_binary())
            .col(ColumnDef::new("credit_data").json_binary())
            .col(ColumnDef::new("collected_to").date())
            .col(ColumnDef::new("suspect").blob())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("account_transaction")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("account_id").uuid().not_null())
            .col(ColumnDef::new("row_key").text().not_null())
            .col(ColumnDef::new("digest").blob().not_null())
            .col(ColumnDef::new("provider_id").text())
            .col(ColumnDef::new("date").big_integer().not_null())
            .col(ColumnDef::new("posted_on").date().not_null())
            .col(ColumnDef::new("description").text().not_null())
            .col(ColumnDef::new("description_raw").text())
            .col(ColumnDef::new("search_text").text().not_null())
            .col(ColumnDef::new("amount_units").big_integer().not_null())
            .col(ColumnDef::new("amount_nanos").integer().not_null())
            .col(ColumnDef::new("account_amount_units").big_integer())
            .col(ColumnDef::new("account_amount_nanos").integer())
            .col(ColumnDef::new("currency_code").text().not_null())
            .col(ColumnDef::new("kind").text().not_null())
            .col(ColumnDef::new("status").text().not_null())
            .col(ColumnDef::new("balance_units").big_integer())
            .col(ColumnDef::new("balance_nanos").integer())
            .col(ColumnDef::new("provider_code").text())
            .col(ColumnDef::new("category_id").text())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("identity")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("full_name").text())
            .col(ColumnDef::new("company_name").text())
            .col(ColumnDef::new("document").text())
            .col(ColumnDef::new("document_type").text())
            .col(ColumnDef::new("tax_number").text())
            .col(ColumnDef::new("birth_date").date())
            .col(ColumnDef::new("job_title").text())
            .col(ColumnDef::new("details").json_binary().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("consent")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("products").json_binary().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("expires_at").big_integer())
            .col(ColumnDef::new("revoked_at").big_integer())
            .to_owned(),
    ]
}
