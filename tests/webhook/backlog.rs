//! Long backlogs of webhooks that are enabled again.

use entity::kind::DeliveryStatus;
use ponte::{
    db::{self, Engine},
    item::Change,
    webhook::{Backlog, WebhookUpdate},
};
use sea_orm::{ConnectionTrait as _, Statement};
use uuid::Uuid;

use super::harness::{World, on_both};
use crate::support::receiver::Receiver;

fn enabled(enabled: bool, backlog: Option<Backlog>) -> WebhookUpdate {
    WebhookUpdate {
        enabled: Change::Set(Some(enabled)),
        backlog,
        ..WebhookUpdate::default()
    }
}

/// A disabled webhook with this many deliveries that wait for long.
async fn waiting(world: &World, receiver: &Receiver, count: usize) -> Uuid {
    let id = world.webhook(&receiver.url, None).await.webhook.id;
    for _ in 0..count / 500 {
        world.emit(500, None).await;
    }
    let later = "UPDATE delivery SET next_attempt_at = next_attempt_at + 3600000";
    let done = world.app.db.write().execute_unprepared(later).await;
    done.unwrap();
    world.updated_webhook(id, enabled(false, None)).await;
    id
}

async fn in_state(world: &World, status: DeliveryStatus) -> usize {
    let all = world.deliveries().await;
    all.iter().filter(|one| one.status == status).count()
}

/// How many deliveries a transaction has changed at most, of those that are as it left them.
async fn most_in_one(world: &World) -> i64 {
    let sql =
        "SELECT max(count) FROM (SELECT count(*) AS count FROM delivery GROUP BY xmin::text) x";
    let statement = Statement::from_string(world.app.db.backend(), sql);
    let row = world.app.db.read().query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_backlog_is_left_out_or_hastened_in_small_transactions() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let id = waiting(&world, &receiver, 2_500).await;
        for backlog in [Backlog::Send, Backlog::Skip] {
            world.updated_webhook(id, enabled(false, None)).await;
            world
                .updated_webhook(id, enabled(true, Some(backlog)))
                .await;
            if world.app.db.engine() == Engine::Postgres {
                assert_eq!(most_in_one(&world).await, 1_000, "{backlog:?}");
            }
        }
        assert_eq!(in_state(&world, DeliveryStatus::Skipped).await, 2_500);
        world.advance(100_000);
        assert_eq!(world.deliver().await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_while_a_backlog_is_left_out_leaves_the_webhook_as_it_was() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let id = waiting(&world, &receiver, 1_500).await;
        let now = world.app.clock.now();
        let target = id.to_string();
        let txn = world.app.db.begin().await.unwrap();
        let skipped = db::delivery::skip(&world.app.db, &txn, &target, now, 1_000);
        assert_eq!(skipped.await.unwrap(), 1_000);
        txn.commit().await.unwrap();
        world.advance(100_000);
        assert_eq!(world.deliver().await, 0);
        assert!(!world.found_webhook(id).await.enabled);
        world
            .updated_webhook(id, enabled(true, Some(Backlog::Skip)))
            .await;
        assert_eq!(in_state(&world, DeliveryStatus::Skipped).await, 1_500);
        world.emit(1, None).await;
        assert_eq!(world.deliver().await, 1);
    })
    .await;
}
