//! What belongs to no Item, found in a lane whose other deliveries wait for each other.

use sea_orm_migration::prelude::*;

/// What belongs to no Item, found in a lane whose other deliveries wait for each other.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let index = "CREATE INDEX delivery_alone ON delivery (target, next_attempt_at) \
             WHERE next_attempt_at IS NOT NULL AND item_id IS NULL";
        let connection = manager.get_connection();
        connection.execute_unprepared(index).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        connection
            .execute_unprepared("DROP INDEX delivery_alone")
            .await?;
        Ok(())
    }
}
