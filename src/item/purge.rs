//! The purge: what deleted Items, ended runs and unused uploads leave behind, removed in small batches.
//!
//! Every batch is a transaction of its own and every step can be repeated, so a crash anywhere costs nothing but time.

use std::time::Duration;

use entity::{
    account, bill, connect_token, consent, data_key, execution, idempotency_key, identity,
    investment, investment_transaction, item, loan, replaced_transaction, sandbox_bank,
    sandbox_movement, statement, statement_file, transaction, upload,
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait, PrimaryKeyToColumn as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _, Query},
};
use uuid::Uuid;

use crate::{app::App, db, error::Result};

/// Most rows that one transaction removes.
const BATCH: u64 = 2_000;
/// Most staged documents that one transaction removes.
const DOCUMENTS: usize = 2_000;
/// How often the purge looks without a hint.
const BEAT: Duration = Duration::from_secs(10);
/// What is unused for longer than it lasts is removed a day later, so that late answers are still the right ones.
const GRACE: Duration = Duration::from_hours(24);

/// Purges until the node stops.
pub async fn run(app: App) {
    while app.running() {
        match run_once(&app).await {
            Ok(0) => app.wakes.purge.wait(&app, BEAT).await,
            Ok(_) => {}
            Err(error) => app.log_and_pause("purge", &error).await,
        }
    }
}

/// Removes what is to go and says how many rows that were.
pub async fn run_once(app: &App) -> Result<usize> {
    let owner = app.clone();
    app.unit(async move { purge(&owner).await }).await
}

async fn purge(app: &App) -> Result<usize> {
    let mut removed = staging(app).await? + expired(app).await?;
    let gone: Vec<(Uuid, Uuid)> = item::Entity::find()
        .filter(item::Column::DeletedAt.is_not_null())
        .order_by_asc(item::Column::DeletedAt)
        .limit(100)
        .select_only()
        .column(item::Column::ApplicationId)
        .column(item::Column::Id)
        .into_tuple()
        .all(app.db.read())
        .await?;
    for (application, id) in &gone {
        removed += of_item(app, *application, *id).await?;
    }
    // Pages that held what is gone are overwritten, also in the write-ahead log. Until then, and after a crash, the
    // purge finds the Item again by its row.
    if !gone.is_empty() && app.db.truncate_log().await? {
        for (_, id) in &gone {
            removed += drain::<item::Entity>(app, item::Column::Id.eq(*id)).await?;
        }
        app.db.truncate_log().await?;
    }
    Ok(removed)
}

/// Removes everything of an Item but its row.
async fn of_item(app: &App, application: Uuid, id: Uuid) -> Result<usize> {
    let mut removed = 0;
    let executions: Vec<Uuid> = execution::Entity::owned_by(application)
        .filter(execution::Column::ItemId.eq(id))
        .select_only()
        .column(execution::Column::Id)
        .into_tuple()
        .all(app.db.read())
        .await?;
    for execution in executions {
        removed += staging_of(app, execution).await?;
    }
    let uploads: Vec<Uuid> = upload::Entity::owned_by(application)
        .filter(upload::Column::ItemId.eq(id))
        .select_only()
        .column(upload::Column::Id)
        .into_tuple()
        .all(app.db.read())
        .await?;
    for upload in uploads {
        removed += chunks_of(app, upload).await?;
    }
    removed += drain::<transaction::Entity>(app, transaction::Column::ItemId.eq(id)).await?;
    removed +=
        drain::<replaced_transaction::Entity>(app, replaced_transaction::Column::ItemId.eq(id))
            .await?;
    removed += drain::<account::Entity>(app, account::Column::ItemId.eq(id)).await?;
    removed +=
        drain::<investment_transaction::Entity>(app, investment_transaction::Column::ItemId.eq(id))
            .await?;
    removed += drain::<investment::Entity>(app, investment::Column::ItemId.eq(id)).await?;
    removed += drain::<bill::Entity>(app, bill::Column::ItemId.eq(id)).await?;
    removed += drain::<statement::Entity>(app, statement::Column::ItemId.eq(id)).await?;
    removed += drain::<statement_file::Entity>(app, statement_file::Column::ItemId.eq(id)).await?;
    removed += drain::<loan::Entity>(app, loan::Column::ItemId.eq(id)).await?;
    removed += drain::<identity::Entity>(app, identity::Column::ItemId.eq(id)).await?;
    removed +=
        drain::<sandbox_movement::Entity>(app, sandbox_movement::Column::ItemId.eq(id)).await?;
    removed += drain::<sandbox_bank::Entity>(app, sandbox_bank::Column::ItemId.eq(id)).await?;
    removed += drain::<consent::Entity>(app, consent::Column::ItemId.eq(id)).await?;
    removed += drain::<execution::Entity>(app, execution::Column::ItemId.eq(id)).await?;
    loop {
        let batch = db::change::forget_of_item(&app.db, id, BATCH).await?;
        removed += batch;
        if batch == 0 {
            break;
        }
    }
    removed += drain::<data_key::Entity>(app, data_key::Column::ItemId.eq(id)).await?;
    db::delivery::forget_excerpts(&app.db, id).await?;
    Ok(removed)
}

/// What runs that have ended had staged.
async fn staging(app: &App) -> Result<usize> {
    let mut removed = 0;
    for execution in db::execution::ended_with_staging(&app.db).await? {
        removed += staging_of(app, execution).await?;
    }
    Ok(removed)
}

async fn staging_of(app: &App, execution: Uuid) -> Result<usize> {
    let mut removed = 0;
    loop {
        let batch = db::execution::delete_staged(&app.db, app.db.write(), execution, BATCH).await?;
        removed += batch;
        if batch == 0 {
            break;
        }
    }
    // Last of all: by these a run with something staged is found again after a crash.
    loop {
        let batch =
            db::snapshot::forget(&app.db, app.db.write(), execution, None, DOCUMENTS).await?;
        removed += batch;
        if batch == 0 {
            return Ok(removed);
        }
    }
}

async fn chunks_of(app: &App, id: Uuid) -> Result<usize> {
    let txn = app.db.begin().await?;
    let removed = super::upload::delete(&txn, id).await?;
    txn.commit().await?;
    Ok(removed)
}

/// What has outlived its time: uploads, idempotency keys, connect tokens.
async fn expired(app: &App) -> Result<usize> {
    let now = app.clock.now();
    let uploads: Vec<Uuid> = upload::Entity::find()
        .filter(upload::Column::ItemId.is_null())
        .filter(upload::Column::ExpiresAt.lte(now.0))
        .limit(100)
        .select_only()
        .column(upload::Column::Id)
        .into_tuple()
        .all(app.db.read())
        .await?;
    let mut removed = 0;
    for upload in uploads {
        removed += chunks_of(app, upload).await?;
    }
    let keys = idempotency_key::Entity::delete_many()
        .filter(idempotency_key::Column::ExpiresAt.lte(now.0))
        .exec(app.db.write())
        .await?;
    removed += usize::try_from(keys.rows_affected).unwrap_or(usize::MAX);
    removed += drain::<connect_token::Entity>(
        app,
        connect_token::Column::ExpiresAt.lte(now.minus(GRACE).0),
    )
    .await?;
    Ok(removed)
}

/// Deletes rows in batches until none is left.
async fn drain<E>(app: &App, filter: sea_orm::sea_query::SimpleExpr) -> Result<usize>
where
    E: EntityTrait,
    E::PrimaryKey: sea_orm::Iterable,
{
    let mut removed = 0;
    loop {
        let batch = delete_batch::<E>(app.db.write(), filter.clone()).await?;
        removed += batch;
        if (batch as u64) < BATCH {
            return Ok(removed);
        }
    }
}

async fn delete_batch<E>(
    connection: &impl ConnectionTrait,
    filter: sea_orm::sea_query::SimpleExpr,
) -> Result<usize>
where
    E: EntityTrait,
    E::PrimaryKey: sea_orm::Iterable,
{
    use sea_orm::Iterable as _;

    let key = E::PrimaryKey::iter()
        .next()
        .expect("every table has a primary key")
        .into_column();
    let some = Query::select()
        .column(key)
        .from(E::default())
        .cond_where(filter)
        .limit(BATCH)
        .to_owned();
    let deleted = E::delete_many()
        .filter(Expr::col(key).in_subquery(some))
        .exec(connection)
        .await?;
    Ok(usize::try_from(deleted.rows_affected).unwrap_or(usize::MAX))
}
