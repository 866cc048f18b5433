//! Whose turn it is, and what a turn costs.

use std::time::Duration;

use entity::circuit;
use ponte::{
    db::{self, delivery::Stretch},
    webhook::{self, NewWebhook},
};
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use uuid::Uuid;

use super::harness::on_both;
use crate::support::receiver::{Answer, Receiver};

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_in_which_nothing_is_free_spends_neither_its_rate_nor_its_probe() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Status(500)).await;
        let new = NewWebhook {
            url: receiver.url.clone(),
            ordered: true,
            max_per_second: Some(1),
            ..NewWebhook::default()
        };
        let id = world.registered(new).await.webhook.id;
        world.emit_of(&[Uuid::from_u128(1); 3]).await;
        assert_eq!(world.deliver().await, 1);
        world.advance(2);
        let now = world.app.clock.now();
        let open = circuit::Model {
            target: id.to_string(),
            failures: 10,
            failing_since: now,
            probe_at: Some(now),
        };
        circuit::Entity::delete_by_id(id.to_string())
            .exec(world.app.db.write())
            .await
            .unwrap();
        circuit::Entity::insert(open.clone().into_active_model().reset_all())
            .exec_without_returning(world.app.db.write())
            .await
            .unwrap();
        let Stretch { due, .. } = db::delivery::lanes(&world.app.db, now, "", 10)
            .await
            .unwrap();
        assert_eq!(due.len(), 1, "the second event is due, though not its turn");
        let before = world.found_webhook(id).await;
        assert_eq!(world.deliver().await, 0);
        let circuit = circuit::Entity::find_by_id(id.to_string());
        let circuit = circuit.one(world.app.db.read()).await.unwrap().unwrap();
        assert_eq!(circuit, open);
        assert_eq!(world.found_webhook(id).await, before);
        world.advance(4);
        assert_eq!(world.deliver().await, 1, "the probe");
        assert_ne!(world.found_webhook(id).await.rate_at, before.rate_at);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_had_to_stand_back_from_a_trial_comes_first_when_there_is_one() {
    // Two slots, one of them for trials.
    on_both(&["--delivery-concurrency", "2"], async |world| {
        let to = |receiver: &Receiver| NewWebhook {
            url: receiver.url.clone(),
            ..NewWebhook::default()
        };
        let slow = Receiver::answering(Answer::Gate(204)).await;
        let waiting = Receiver::answering(Answer::Gate(204)).await;
        let quick = Receiver::start().await;
        // Lanes are walked along in the order of the webhooks' ids.
        for receiver in [&slow, &waiting, &quick] {
            world.registered(to(receiver)).await;
            world.advance(1);
        }
        world.emit(3, None).await;
        world.app.spawn(webhook::delivery::run(world.app.clone()));
        slow.arrived(1).await;
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        assert!(waiting.received().is_empty() && quick.received().is_empty());
        slow.open_gate();
        waiting.arrived(1).await;
        assert_eq!(slow.received().len(), 1);
        tokio::time::sleep(Duration::from_millis(2_100)).await;
        waiting.open_gate();
        quick.arrived(1).await;
        assert_eq!((slow.received().len(), waiting.received().len()), (1, 1));
        quick.arrived(3).await;
        world.app.stop();
        slow.open_gate();
        world.app.stopped().await;
    })
    .await;
}
