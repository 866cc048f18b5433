//! Deliveries in order: what a claim takes.

use std::time::Duration;

use entity::delivery;
use ponte::{
    clock::Timestamp,
    db::{self, delivery::Quota},
    webhook::NewWebhook,
};
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use uuid::Uuid;

use super::harness::{World, on_both};
use crate::support::receiver::{Answer, Receiver};

const LEASE: Duration = Duration::from_secs(45);

/// A lane with so many due deliveries, each of the next of so many Items.
async fn backlog(world: &World, target: &str, count: i64, items: i64) {
    let now = world.app.clock.now();
    let rows: Vec<_> = (0..count)
        .map(|position| delivery::Model {
            target: target.to_owned(),
            // The first Item's are the oldest, and keep all others from the front.
            item_id: Some(Uuid::from_u128(
                u128::try_from((position - count / 2).max(0) % items).unwrap(),
            )),
            position: Some(position),
            next_attempt_at: Some(Timestamp(now.0 - count + position)),
            ..delivery::Model::due(
                world.app.rng.id(now),
                world.owner.id,
                world.app.rng.id(now),
                now,
            )
        })
        .collect();
    for some in rows.chunks(500) {
        let some = some.iter().cloned();
        delivery::Entity::insert_many(some.map(|row| row.into_active_model().reset_all()))
            .exec_without_returning(world.app.db.write())
            .await
            .unwrap();
    }
}

/// What a claim in a lane takes.
async fn claimed(world: &World, target: &str) -> Vec<(Option<Uuid>, Option<i64>)> {
    let quotas = [Quota {
        target: target.to_owned(),
        most: 50,
        ordered: true,
    }];
    let now = world.app.clock.now();
    let claimed = db::delivery::claim(&world.app.db, now, LEASE, &quotas);
    let claimed = claimed.await.unwrap();
    let mut found: Vec<_> = claimed
        .iter()
        .map(|one| (one.item_id, one.position))
        .collect();
    found.sort_unstable();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_order_takes_the_first_of_each_item_however_long_the_backlog_is() {
    on_both(&[], async |world| {
        backlog(&world, "short", 60, 4).await;
        backlog(&world, "long", 20_000, 4).await;
        let of_short = claimed(&world, "short").await;
        let of_long = claimed(&world, "long").await;
        let first = |of: u128, position| (Some(Uuid::from_u128(of)), Some(position));
        assert_eq!(
            of_short,
            [first(0, 0), first(1, 31), first(2, 32), first(3, 33)]
        );
        assert_eq!(
            of_long,
            [
                first(0, 0),
                first(1, 10_001),
                first(2, 10_002),
                first(3, 10_003)
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_order_takes_no_more_than_it_was_asked_for_and_the_longest_waiting() {
    on_both(&[], async |world| {
        backlog(&world, "lane", 1_000, 300).await;
        backlog(&world, "other", 100, 1).await;
        let quota = |target: &str, most, ordered| Quota {
            target: target.to_owned(),
            most,
            ordered,
        };
        let quotas = [quota("lane", 7, true), quota("other", 3, false)];
        let now = world.app.clock.now();
        let claimed = db::delivery::claim(&world.app.db, now, LEASE, &quotas)
            .await
            .unwrap();
        let of = |lane: &str| {
            let of_lane = claimed.iter().filter(|one| one.target == lane);
            of_lane.map(|one| one.position.unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(of("lane").len(), 7);
        assert_eq!(of("lane")[0], 0);
        assert_eq!(of("other"), [0, 1, 2]);
        let again = db::delivery::claim(&world.app.db, now, LEASE, &quotas)
            .await
            .unwrap();
        let items: std::collections::HashSet<_> = claimed
            .iter()
            .chain(&again)
            .filter(|one| one.target == "lane")
            .map(|one| one.item_id)
            .collect();
        assert_eq!(items.len(), 14, "no Item twice");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_no_item_passes_by_a_backlog_that_waits() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let new = NewWebhook {
            url: receiver.url.clone(),
            ordered: true,
            ..NewWebhook::default()
        };
        world.registered(new).await;
        receiver.script([Answer::Status(500)]);
        world.emit_of(&[Uuid::from_u128(1); 400]).await;
        assert_eq!(world.deliver().await, 1);
        world.emit(3, None).await;
        world.emit_of(&[Uuid::from_u128(2)]).await;
        assert_eq!(world.deliver().await, 4);
    })
    .await;
}
