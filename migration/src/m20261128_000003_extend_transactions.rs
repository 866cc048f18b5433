//! What only some institutions tell of movements, bills, what became of movements that were written anew, closed accounts.

use sea_orm_migration::prelude::*;

/// What only some institutions tell of movements, bills, what became of movements that were written anew, closed accounts.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, columns) in columns() {
            for column in columns {
                manager
                    .alter_table(Table::alter().table(table).add_column(column).to_owned())
                    .await?;
            }
        }
        for table in tables() {
            manager.create_table(table).await?;
        }
        for (name, on) in INDEXES {
            let kind = if name == "bill_key" {
                "UNIQUE INDEX"
            } else {
                "INDEX"
            };
            let sql = format!("CREATE {kind} {name} ON {on}");
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, _) in INDEXES {
            let sql = format!("DROP INDEX {name}");
            manager.get_connection().execute_unprepared(&sql).await?;
        }
        for table in ["replaced_transaction", "bill"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        for (table, columns) in columns() {
            for column in columns {
                let sql = format!(
                    "ALTER TABLE {table} DROP COLUMN {}",
                    column.get_column_name()
                );
                manager.get_connection().execute_unprepared(&sql).await?;
            }
        }
        Ok(())
    }
}

const INDEXES: [(&str, &str); 8] = [
    ("bill_key", "bill (account_id, key)"),
    ("bill_account", "bill (account_id, due_on, id)"),
    ("bill_item", "bill (item_id, due_on, id)"),
    (
        "account_transaction_bill",
        "account_transaction (bill_id, posted_on, id) WHERE bill_id IS NOT NULL",
    ),
    (
        "account_transaction_unbilled",
        "account_transaction (account_id, bill_key) WHERE bill_key IS NOT NULL AND bill_id IS NULL",
    ),
    (
        "replaced_transaction_item",
        "replaced_transaction (item_id, posted_on, id)",
    ),
    (
        "replaced_transaction_by",
        "replaced_transaction (replaced_by)",
    ),
    (
        "replaced_transaction_end",
        "replaced_transaction (leads_to)",
    ),
];

/// What is new about tables that there were before.
fn columns() -> [(&'static str, Vec<ColumnDef>); 3] {
    let json = |name: &'static str| ColumnDef::new(name).json_binary().take();
    let text = |name: &'static str| ColumnDef::new(name).text().take();
    [
        (
            "account",
            vec![
                text("first_key"),
                ColumnDef::new("payment_collected_to").date().take(),
                ColumnDef::new("closed_at").big_integer().take(),
            ],
        ),
        (
            "staged_transaction",
            vec![json("details"), text("bill_key"), json("payment_data")],
        ),
        (
            "account_transaction",
            vec![
                json("details"),
                text("bill_key"),
                ColumnDef::new("bill_id").uuid().take(),
                json("payment_data"),
            ],
        ),
    ]
}

fn tables() -> [TableCreateStatement; 2] {
    [
        Table::create()
            .table("bill")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("account_id").uuid().not_null())
            .col(ColumnDef::new("key").text().not_null())
            .col(ColumnDef::new("digest").blob().not_null())
            .col(ColumnDef::new("due_on").date().not_null())
            .col(ColumnDef::new("details").json_binary().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("replaced_transaction")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("account_id").uuid().not_null())
            .col(ColumnDef::new("provider_id").text())
            .col(ColumnDef::new("date").big_integer().not_null())
            .col(ColumnDef::new("posted_on").date().not_null())
            .col(ColumnDef::new("description").text().not_null())
            .col(ColumnDef::new("description_raw").text())
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
            .col(ColumnDef::new("details").json_binary())
            .col(ColumnDef::new("bill_key").text())
            .col(ColumnDef::new("bill_id").uuid())
            .col(ColumnDef::new("payment_data").json_binary())
            .col(ColumnDef::new("category_id").text())
            .col(ColumnDef::new("category_source").text())
            .col(ColumnDef::new("rule_category_id").text())
            .col(ColumnDef::new("user_category_id").text())
            .col(ColumnDef::new("replaced_by").uuid().not_null())
            .col(ColumnDef::new("confidence").integer().not_null())
            .col(ColumnDef::new("leads_to").uuid().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .col(ColumnDef::new("deleted_at").big_integer().not_null())
            .to_owned(),
    ]
}
