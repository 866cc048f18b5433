//! What is left of webhooks that are deleted or disabled.

use std::time::Duration;

use entity::circuit;
use ponte::{
    db::Engine,
    webhook::{self, NewWebhook},
};
use sea_orm::{
    ActiveModelTrait as _, ConnectionTrait as _, EntityTrait as _, IntoActiveModel as _, Statement,
};

use super::harness::{World, on_both};
use crate::support::{
    api_key, create_application,
    receiver::{Answer, Receiver},
};

async fn circuits(world: &World) -> Vec<String> {
    let all = circuit::Entity::find().all(world.app.db.read()).await;
    let mut all: Vec<_> = all.unwrap().into_iter().map(|one| one.target).collect();
    all.sort();
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn the_circuit_of_a_deleted_webhook_goes_even_if_it_opens_behind_it() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let [deleted, kept] = [
            world.webhook(&receiver.url, None).await.webhook.id,
            world.webhook(&receiver.url, None).await.webhook.id,
        ];
        let of_items = format!("{} http://127.0.0.1:9", world.owner.id);
        webhook::delete(&world.app, &world.principal, deleted)
            .await
            .unwrap();
        let mut expected = vec![kept.to_string(), of_items.clone()];
        for target in [deleted.to_string(), kept.to_string(), of_items] {
            let row = circuit::Model {
                target,
                failures: 10,
                failing_since: world.app.clock.now(),
                probe_at: None,
            };
            circuit::Entity::insert(row.into_active_model().reset_all())
                .exec_without_returning(world.app.db.write())
                .await
                .unwrap();
        }
        expected.sort();
        world.app.spawn(webhook::delivery::run(world.app.clone()));
        tokio::time::timeout(Duration::from_secs(20), async {
            while circuits(&world).await != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
        world.app.stop();
        world.app.stopped().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_disable_webhooks_of_several_applications_do_not_get_in_each_others_way() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Status(410)).await;
        let mut owners = vec![world.principal.clone()];
        for name in ["second", "third"] {
            let made = create_application(&world.app, name).await;
            owners.push(api_key(&world.app, made.id).await);
        }
        let mut all = Vec::new();
        // Their ids take turns between the applications, forwards and backwards.
        for round in 0..6 {
            for n in 0..owners.len() {
                let owner = if round % 2 == 0 {
                    n
                } else {
                    owners.len() - 1 - n
                };
                let new = NewWebhook {
                    url: receiver.url.clone(),
                    ..NewWebhook::default()
                };
                let created = webhook::create(&world.app, &owners[owner], new).await;
                let id = created.unwrap().webhook.id;
                webhook::send_test_event(
                    &world.app,
                    &owners[owner],
                    id,
                    entity::kind::EventType::ItemUpdated,
                )
                .await
                .unwrap();
                all.push((owner, id));
                world.advance(1);
            }
        }
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let app = world.app.clone();
                tokio::spawn(async move { webhook::delivery::run_once(&app).await.unwrap() })
            })
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
        for (owner, id) in all {
            let found = webhook::find(&world.app, &owners[owner], id).await;
            assert!(!found.unwrap().unwrap().enabled);
        }
        if world.app.db.engine() == Engine::Postgres {
            let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
            let statement = Statement::from_string(world.app.db.backend(), sql);
            let row = world.app.db.read().query_one_raw(statement).await.unwrap();
            let deadlocks: i64 = row.unwrap().try_get_by_index(0).unwrap();
            assert_eq!(deadlocks, 0);
        }
    })
    .await;
}
