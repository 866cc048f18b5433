//! Keys under which clients encrypt parameters; logins of a day and regulated calls of a month, counted.

use sea_orm_migration::prelude::*;

/// Keys under which clients encrypt parameters; logins of a day and regulated calls of a month, counted.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(parameters_key()).await?;
        manager.create_table(quota()).await?;
        for index in [
            "CREATE UNIQUE INDEX parameters_key_current ON parameters_key (application_id) WHERE good_until IS NULL",
            "CREATE INDEX parameters_key_of_application ON parameters_key (application_id, id)",
            "CREATE INDEX parameters_key_age ON parameters_key (good_until)",
            "CREATE INDEX quota_age ON quota (month)",
        ] {
            manager.get_connection().execute_unprepared(index).await?;
        }
        for column in columns() {
            let change = Table::alter().table("item").add_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["logins_since", "logins", "person_digest", "calls_at"] {
            let change = Table::alter().table("item").drop_column(column).to_owned();
            manager.alter_table(change).await?;
        }
        for table in ["quota", "parameters_key"] {
            manager
                .drop_table(Table::drop().table(table).to_owned())
                .await?;
        }
        Ok(())
    }
}

fn parameters_key() -> TableCreateStatement {
    Table::create()
        .table("parameters_key")
        .col(ColumnDef::new("id").uuid().not_null().primary_key())
        .col(ColumnDef::new("application_id").uuid().not_null())
        .col(ColumnDef::new("private_key").blob().not_null())
        .col(ColumnDef::new("public_key").text().not_null())
        .col(ColumnDef::new("created_at").big_integer().not_null())
        .col(ColumnDef::new("good_until").big_integer())
        .to_owned()
}

fn quota() -> TableCreateStatement {
    Table::create()
        .table("quota")
        .col(ColumnDef::new("person").blob().not_null())
        .col(ColumnDef::new("connector_id").integer().not_null())
        .col(ColumnDef::new("month").integer().not_null())
        .col(ColumnDef::new("call").text().not_null())
        .col(ColumnDef::new("used").integer().not_null())
        .primary_key(
            Index::create()
                .col("person")
                .col("connector_id")
                .col("month")
                .col("call"),
        )
        .to_owned()
}

fn columns() -> [ColumnDef; 4] {
    [
        ColumnDef::new("logins_since").big_integer().to_owned(),
        ColumnDef::new("logins")
            .integer()
            .not_null()
            .default(0)
            .to_owned(),
        ColumnDef::new("person_digest").blob().to_owned(),
        ColumnDef::new("calls_at").json_binary().to_owned(),
    ]
}
