//! Categories of transactions, the rules that decide them, and the orders that transactions are listed in.

use sea_orm_migration::prelude::*;

/// Categories of transactions, the rules that decide them, and the orders that transactions are listed in.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        let connection = manager.get_connection();
        for (table, column) in COLUMNS {
            let sql = format!("ALTER TABLE {table} ADD COLUMN {column} text");
            connection.execute_unprepared(&sql).await?;
        }
        for (kind, name, on) in INDEXES {
            let sql = format!("CREATE {kind} {name} ON {on}");
            connection.execute_unprepared(&sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for (_, name, _) in INDEXES {
            connection
                .execute_unprepared(&format!("DROP INDEX {name}"))
                .await?;
        }
        for (table, column) in COLUMNS {
            let sql = format!("ALTER TABLE {table} DROP COLUMN {column}");
            connection.execute_unprepared(&sql).await?;
        }
        for table in ["category_pass", "category_rule"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

const COLUMNS: [(&str, &str); 6] = [
    ("account_transaction", "category_source"),
    ("account_transaction", "rule_category_id"),
    ("account_transaction", "user_category_id"),
    ("staged_transaction", "category_id"),
    ("staged_transaction", "category_source"),
    ("staged_transaction", "rule_category_id"),
];

const INDEXES: [(&str, &str, &str); 7] = [
    (
        "INDEX",
        "account_transaction_account_amount",
        "account_transaction (account_id, amount_units, amount_nanos, id)",
    ),
    (
        "INDEX",
        "account_transaction_item_amount",
        "account_transaction (item_id, amount_units, amount_nanos, id)",
    ),
    (
        "INDEX",
        "account_transaction_account_created",
        "account_transaction (account_id, created_at, id)",
    ),
    (
        "INDEX",
        "account_transaction_item_created",
        "account_transaction (item_id, created_at, id)",
    ),
    (
        "INDEX",
        "category_rule_list",
        "category_rule (application_id, id)",
    ),
    (
        "UNIQUE INDEX",
        "category_rule_key",
        "category_rule (application_id, coalesce(client_user_id, ''), pattern, match_type, coalesce(transaction_type, ''), coalesce(account_type, ''))",
    ),
    (
        "UNIQUE INDEX",
        "category_pass_scope",
        "category_pass (application_id, coalesce(client_user_id, ''))",
    ),
];

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("category_rule")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("client_user_id").text())
            .col(ColumnDef::new("description").text().not_null())
            .col(ColumnDef::new("pattern").text().not_null())
            .col(ColumnDef::new("match_type").text().not_null())
            .col(ColumnDef::new("transaction_type").text())
            .col(ColumnDef::new("account_type").text())
            .col(ColumnDef::new("category_id").text().not_null())
            .col(ColumnDef::new("created_at").big_integer().not_null())
            .col(ColumnDef::new("updated_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("category_pass")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("client_user_id").text())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .col(ColumnDef::new("posted_on").date())
            .col(ColumnDef::new("row_id").uuid())
            .col(ColumnDef::new("round").integer().not_null())
            .col(ColumnDef::new("requested_at").big_integer().not_null())
            .to_owned(),
    ]
}
