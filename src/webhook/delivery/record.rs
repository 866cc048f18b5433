//! Recording: attempts and what follows from them, in one transaction for all that ended together.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use entity::{attempt, delivery, item, kind::DeliveryStatus, webhook};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};
use uuid::Uuid;

use crate::{
    app::App,
    clock::Timestamp,
    error::Result,
    webhook::{registration, schedule::Verdict},
};

/// A request that has come to its end.
#[derive(Clone)]
pub(super) struct Done {
    /// Identity of the attempt.
    pub id: Uuid,
    pub delivery: delivery::Model,
    pub url: String,
    pub at: Timestamp,
    pub took: Duration,
    pub status: Option<u16>,
    pub error: Option<String>,
    pub answer: Option<String>,
    pub verdict: Verdict,
}

impl Done {
    pub fn took(&self) -> Duration {
        self.took
    }
}

/// Records what was done. A database that is busy is asked again; after that the leases run out.
pub(super) async fn record(app: &App, mut done: Vec<Done>) -> Result<()> {
    if done.is_empty() {
        return Ok(());
    }
    // Two workers that hold rows in the same order never wait for each other in a circle.
    done.sort_unstable_by_key(|one| one.delivery.id);
    for _ in 0..2 {
        match try_record(app, done.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => app.log_and_pause("delivery record", &error).await,
        }
    }
    try_record(app, done).await
}

async fn try_record(app: &App, done: Vec<Done>) -> Result<()> {
    let owner = app.clone();
    app.unit(async move {
        let now = owner.clock.now();
        let txn = owner.db.begin().await?;
        // Registrations before deliveries, as everybody else takes them.
        let gone: BTreeMap<Uuid, _> = done
            .iter()
            .filter_map(|one| match (&one.verdict, one.delivery.webhook_id) {
                (Verdict::Disable { reason }, Some(id)) => Some((id, (&one.url, reason))),
                _ => None,
            })
            .collect();
        for (id, (url, reason)) in gone {
            disable(&txn, id, url, reason, now).await?;
        }
        let applications: HashSet<Uuid> = done
            .iter()
            .map(|one| one.delivery.application_id)
            .collect();
        let mut settled = Vec::new();
        for one in done {
            if settle(&txn, &one, now).await? {
                settled.push(one);
            } else {
                tracing::info!(delivery.id = %one.delivery.id, "another worker has this delivery now, or it is gone");
            }
        }
        if !settled.is_empty() {
            withhold(&txn, &mut settled).await?;
            attempt::Entity::insert_many(settled.into_iter().map(row))
                .exec_without_returning(&txn)
                .await?;
        }
        txn.commit().await?;
        for application in applications {
            owner.tails.hint(application);
        }
        Ok(())
    })
    .await
}

/// Moves a delivery on; `false` when its epoch is another's.
async fn settle(txn: &DatabaseTransaction, one: &Done, now: Timestamp) -> Result<bool> {
    use delivery::Column as C;

    let (status, next) = match &one.verdict {
        Verdict::Succeeded => (DeliveryStatus::Succeeded, None),
        Verdict::Retry { at } => (DeliveryStatus::Pending, Some(*at)),
        Verdict::GiveUp { .. } | Verdict::Disable { .. } => (DeliveryStatus::Failed, None),
    };
    let done = delivery::Entity::update_many()
        .col_expr(C::Status, Expr::value(status))
        .col_expr(C::Attempts, Expr::col(C::Attempts).add(1))
        .col_expr(C::NextAttemptAt, Expr::value(next.map(|at| at.0)))
        .col_expr(C::LeaseUntil, Expr::value(None::<i64>))
        .col_expr(C::Url, Expr::value(one.url.as_str()))
        .col_expr(C::UpdatedAt, Expr::value(now.0))
        .filter(C::Id.eq(one.delivery.id))
        .filter(C::Epoch.eq(one.delivery.epoch))
        .exec(txn)
        .await?;
    Ok(done.rows_affected == 1)
}

/// Disables a registration whose endpoint is gone, unless its owner has changed where it leads.
async fn disable(
    txn: &DatabaseTransaction,
    id: Uuid,
    url: &str,
    reason: &str,
    now: Timestamp,
) -> Result<()> {
    use webhook::Column as C;

    let Some(row) = registration::lock_any(txn, id).await? else {
        return Ok(());
    };
    if !row.enabled || row.url != url {
        return Ok(());
    }
    webhook::Entity::update_many()
        .col_expr(C::Enabled, Expr::value(false))
        .col_expr(C::DisabledAt, Expr::value(now.0))
        .col_expr(C::DisabledReason, Expr::value(reason))
        .col_expr(
            C::UpdatedAt,
            Expr::value(registration::touched(&row, now).0),
        )
        .filter(C::Id.eq(id))
        .exec(txn)
        .await?;
    tracing::info!(webhook.id = %id, reason, "disabled a webhook");
    Ok(())
}

/// Drops what was answered about Items that have been deleted: it may tell of their users.
///
/// Comes after the deliveries have been settled: whoever forgets the answers of an Item waits for their rows.
async fn withhold(txn: &DatabaseTransaction, settled: &mut [Done]) -> Result<()> {
    let asked: HashSet<Uuid> = settled
        .iter()
        .filter(|one| one.answer.is_some())
        .filter_map(|one| one.delivery.item_id)
        .collect();
    if asked.is_empty() {
        return Ok(());
    }
    let there: Vec<Uuid> = item::Entity::find()
        .filter(item::Column::Id.is_in(asked))
        .filter(item::Column::DeletedAt.is_null())
        .select_only()
        .column(item::Column::Id)
        .into_tuple()
        .all(txn)
        .await?;
    for one in settled {
        if one.delivery.item_id.is_some_and(|id| !there.contains(&id)) {
            one.answer = None;
        }
    }
    Ok(())
}

fn row(done: Done) -> attempt::ActiveModel {
    let error = match (done.error, done.verdict) {
        (None, Verdict::GiveUp { reason } | Verdict::Disable { reason }) => Some(reason),
        (error, _) => error,
    };
    attempt::ActiveModel {
        id: Set(done.id),
        application_id: Set(done.delivery.application_id),
        delivery_id: Set(done.delivery.id),
        at: Set(done.at),
        duration_ms: Set(i32::try_from(done.took.as_millis()).unwrap_or(i32::MAX)),
        status_code: Set(done.status.map(i32::from)),
        error: Set(error),
        response_body: Set(done.answer),
    }
}
