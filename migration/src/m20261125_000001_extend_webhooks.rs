//! Webhooks with asymmetric keys, choices of delivery, and circuits of their targets.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// Webhooks with asymmetric keys, choices of delivery, and circuits of their targets.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in columns() {
            // SQLite takes one change at a time.
            let change = Table::alter().table(table).add_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        manager.create_table(circuit()).await?;
        let connection = manager.get_connection();
        for statement in STATEMENTS {
            connection.execute_unprepared(statement).await?;
        }
        if manager.get_database_backend() == DbBackend::Postgres {
            // A claim touches no indexed column: with room on its page it costs no index anything.
            connection
                .execute_unprepared("ALTER TABLE delivery SET (fillfactor = 75)")
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection
            .execute_unprepared("DROP INDEX delivery_order")
            .await?;
        manager
            .drop_table(Table::drop().table("circuit").to_owned())
            .await?;
        for (table, column) in columns().into_iter().rev() {
            let change = Table::alter()
                .table(table)
                .drop_column(column.get_column_name())
                .to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }
}

const STATEMENTS: [&str; 2] = [
    "UPDATE delivery SET position = (SELECT position FROM event WHERE event.id = delivery.event_id) \
     WHERE next_attempt_at IS NOT NULL",
    "CREATE INDEX delivery_order ON delivery (target, item_id, position) \
     WHERE next_attempt_at IS NOT NULL AND item_id IS NOT NULL",
];

fn columns() -> Vec<(&'static str, ColumnDef)> {
    let column = |name: &'static str| ColumnDef::new(name);
    vec![
        ("webhook", column("signing_key").blob().to_owned()),
        ("webhook", column("public_key").text().to_owned()),
        ("webhook", column("previous_signing_key").blob().to_owned()),
        (
            "webhook",
            column("payload")
                .text()
                .not_null()
                .default("FULL")
                .to_owned(),
        ),
        (
            "webhook",
            column("ordered")
                .boolean()
                .not_null()
                .default(false)
                .to_owned(),
        ),
        (
            "webhook",
            column("max_concurrency")
                .integer()
                .not_null()
                .default(20)
                .to_owned(),
        ),
        ("webhook", column("max_per_second").integer().to_owned()),
        (
            "webhook",
            column("rate_at")
                .big_integer()
                .not_null()
                .default(0)
                .to_owned(),
        ),
        ("webhook", column("missed_after").big_integer().to_owned()),
        ("webhook", column("missed_until").big_integer().to_owned()),
        (
            "application",
            column("webhook_signing_key").blob().to_owned(),
        ),
        (
            "application",
            column("webhook_public_key").text().to_owned(),
        ),
        (
            "application",
            column("previous_webhook_signing_key").blob().to_owned(),
        ),
        ("delivery", column("position").big_integer().to_owned()),
        ("attempt", column("signature").text().to_owned()),
        ("attempt", column("header_names").text().to_owned()),
        ("attempt", column("payload").text().to_owned()),
    ]
}

fn circuit() -> TableCreateStatement {
    Table::create()
        .table("circuit")
        .col(ColumnDef::new("target").text().not_null().primary_key())
        .col(ColumnDef::new("failures").integer().not_null())
        .col(ColumnDef::new("failing_since").big_integer().not_null())
        .col(ColumnDef::new("probe_at").big_integer())
        .to_owned()
}
