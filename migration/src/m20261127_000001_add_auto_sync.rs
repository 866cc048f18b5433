//! Automatic runs: when an Item is due, why it left them, how a connector is spared; notices of ending consents.

use sea_orm_migration::prelude::*;

/// Automatic runs: when an Item is due, why it left them, how a connector is spared; notices of ending consents.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for (table, column, kind) in COLUMNS {
            let sql = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
            connection.execute_unprepared(&sql).await?;
        }
        manager
            .create_table(
                Table::create()
                    .table("connector_gate")
                    .col(
                        ColumnDef::new("connector_id")
                            .integer()
                            .not_null()
                            .primary_key(),
                    )
                    .col(ColumnDef::new("next_start_at").big_integer().not_null())
                    .to_owned(),
            )
            .await?;
        for (name, on) in INDEXES {
            let sql = format!("CREATE INDEX {name} ON {on}");
            connection.execute_unprepared(&sql).await?;
        }
        // Items of before have never been scheduled: the worker does it, application by application.
        connection
            .execute_unprepared("UPDATE application SET auto_sync_changed_at = created_at")
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for (name, _) in INDEXES {
            connection
                .execute_unprepared(&format!("DROP INDEX {name}"))
                .await?;
        }
        manager
            .drop_table(Table::drop().table("connector_gate").to_owned())
            .await?;
        for (table, column, _) in COLUMNS {
            let sql = format!("ALTER TABLE {table} DROP COLUMN {column}");
            connection.execute_unprepared(&sql).await?;
        }
        Ok(())
    }
}

const COLUMNS: [(&str, &str, &str); 7] = [
    ("item", "auto_sync_due_at", "BIGINT"),
    ("item", "auto_sync_dropped", "TEXT"),
    ("item", "auto_sync_failures", "INTEGER NOT NULL DEFAULT 0"),
    ("item", "consent_notice_at", "BIGINT"),
    (
        "execution",
        "resumes_auto_sync",
        "BOOLEAN NOT NULL DEFAULT FALSE",
    ),
    ("application", "auto_sync_minutes", "INTEGER"),
    ("application", "auto_sync_changed_at", "BIGINT"),
];

const INDEXES: [(&str, &str); 6] = [
    (
        "item_auto_sync",
        "item (application_id, connector_id, auto_sync_due_at) WHERE auto_sync_due_at IS NOT NULL",
    ),
    (
        "item_consent_notice",
        "item (consent_notice_at) WHERE consent_notice_at IS NOT NULL",
    ),
    (
        "item_connector",
        "item (connector_id, id) WHERE deleted_at IS NULL",
    ),
    (
        "execution_lane",
        "execution (application_id, connector_id, due_at) WHERE ended_at IS NULL",
    ),
    (
        "execution_leased",
        "execution (lease_until) WHERE lease_until IS NOT NULL",
    ),
    (
        "execution_age",
        "execution (ended_at) WHERE ended_at IS NOT NULL",
    ),
];
