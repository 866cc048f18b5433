//! The audit log; connect tokens that are revoked; client users whose data is being erased.

use sea_orm_migration::{prelude::*, sea_orm::DbBackend};

/// The audit log; connect tokens that are revoked; client users whose data is being erased.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in tables() {
            manager.create_table(table).await?;
        }
        let revoked = ColumnDef::new("revoked_at").big_integer().to_owned();
        let change = Table::alter()
            .table("connect_token")
            .add_column(revoked)
            .to_owned();
        manager.alter_table(change).await?;
        let connection = manager.get_connection();
        for sql in INDEXES.iter().chain(append_only(manager)) {
            connection.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for sql in DOWN {
            connection.execute_unprepared(sql).await?;
        }
        let change = Table::alter()
            .table("connect_token")
            .drop_column("revoked_at")
            .to_owned();
        manager.alter_table(change).await?;
        for table in ["erasure_item", "erasure", "audit_entry"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        if manager.get_database_backend() == DbBackend::Postgres {
            let sql = "DROP FUNCTION audit_entry_is_append_only()";
            connection.execute_unprepared(sql).await?;
        }
        Ok(())
    }
}

const INDEXES: [&str; 7] = [
    "CREATE INDEX audit_entry_list ON audit_entry (application_id, id)",
    "CREATE INDEX audit_entry_target ON audit_entry (application_id, target_id, id) WHERE target_id IS NOT NULL",
    "CREATE INDEX audit_entry_client_user ON audit_entry (application_id, client_user, id) WHERE client_user IS NOT NULL",
    "CREATE INDEX connect_token_client_user ON connect_token (application_id, client_user_id) WHERE client_user_id IS NOT NULL",
    "CREATE INDEX connect_token_item ON connect_token (item_id) WHERE item_id IS NOT NULL",
    "CREATE INDEX connect_token_revoked ON connect_token (id) WHERE revoked_at IS NOT NULL",
    "CREATE UNIQUE INDEX erasure_client_user ON erasure (application_id, client_user_id)",
];

const DOWN: [&str; 3] = [
    "DROP INDEX connect_token_client_user",
    "DROP INDEX connect_token_item",
    "DROP INDEX connect_token_revoked",
];

/// Nobody changes an entry, not even by a mistake of ours. Retention deletes.
fn append_only(manager: &SchemaManager) -> &'static [&'static str] {
    match manager.get_database_backend() {
        DbBackend::Postgres => &[
            "CREATE FUNCTION audit_entry_is_append_only() RETURNS trigger LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'audit_entry is append-only'; END $$",
            "CREATE TRIGGER audit_entry_append_only BEFORE UPDATE ON audit_entry \
             FOR EACH ROW EXECUTE FUNCTION audit_entry_is_append_only()",
        ],
        _ => &[
            "CREATE TRIGGER audit_entry_append_only BEFORE UPDATE ON audit_entry \
             BEGIN SELECT RAISE(ABORT, 'audit_entry is append-only'); END",
        ],
    }
}

fn tables() -> Vec<TableCreateStatement> {
    vec![
        Table::create()
            .table("audit_entry")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("at").big_integer().not_null())
            .col(ColumnDef::new("action").text().not_null())
            .col(ColumnDef::new("actor").text().not_null())
            .col(ColumnDef::new("token_id").uuid())
            .col(ColumnDef::new("request_id").uuid())
            .col(ColumnDef::new("address").text())
            .col(ColumnDef::new("target_id").uuid())
            .col(ColumnDef::new("client_user").blob())
            .col(ColumnDef::new("detail").json_binary().not_null())
            .to_owned(),
        Table::create()
            .table("erasure")
            .col(ColumnDef::new("id").uuid().not_null().primary_key())
            .col(ColumnDef::new("application_id").uuid().not_null())
            .col(ColumnDef::new("client_user_id").text())
            .col(ColumnDef::new("actor").json_binary().not_null())
            .col(ColumnDef::new("scrubbed").big_integer().not_null())
            .col(ColumnDef::new("requested_at").big_integer().not_null())
            .to_owned(),
        Table::create()
            .table("erasure_item")
            .col(ColumnDef::new("erasure_id").uuid().not_null())
            .col(ColumnDef::new("item_id").uuid().not_null())
            .primary_key(Index::create().col("erasure_id").col("item_id"))
            .to_owned(),
    ]
}
