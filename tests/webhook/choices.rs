//! What an owner chooses about deliveries: how much they tell, in which order they come, how many at once.

use std::time::Duration;

use entity::kind::{DeliveryStatus, WebhookPayload};
use ponte::{
    event,
    item::Change,
    webhook::{self, NewWebhook, WebhookUpdate},
};
use serde_json::json;
use uuid::Uuid;

use super::harness::{World, on_both};
use crate::support::receiver::{Answer, Received, Receiver};

fn to(url: &str) -> NewWebhook {
    NewWebhook {
        url: url.to_owned(),
        ..NewWebhook::default()
    }
}

fn items(receiver: &Receiver) -> Vec<(String, i64)> {
    let all = receiver.received();
    all.iter()
        .map(|one| {
            let body = one.json();
            let item = body["itemId"].as_str().unwrap().to_owned();
            (item, body["itemSequence"].as_i64().unwrap())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thin_webhook_is_told_which_event_it_is_and_no_more() {
    on_both(&[], async |world| {
        let (thin, full) = (Receiver::start().await, Receiver::start().await);
        let data = world
            .data(
                "mutation($url: String!) { createWebhook(input: { url: $url, payload: THIN }) { secret webhook { id payload } } }",
                json!({ "url": thin.url }),
            )
            .await;
        assert_eq!(data["createWebhook"]["webhook"]["payload"], "THIN");
        let id = crate::support::id_at(&data, "/createWebhook/webhook/id");
        world.webhook(&full.url, None).await;
        let item = Uuid::from_u128(7);
        world.emit_of(&[item]).await;
        world.emit(1, None).await;
        world.deliver().await;
        let log = world.log().await;
        let mut bodies: Vec<_> = thin.received().iter().map(Received::json).collect();
        bodies.sort_by_key(|body| body["eventId"] != json!(log[0].id));
        let now = world.app.clock.now().to_string();
        assert_eq!(
            bodies,
            [
                json!({ "event": "item/updated", "eventId": log[0].id, "itemId": item, "itemSequence": 1, "createdAt": now }),
                json!({ "event": "connector/status_updated", "eventId": log[1].id, "createdAt": now }),
            ]
        );
        thin.received()[0].verify(data["createWebhook"]["secret"].as_str().unwrap());
        let fulls: Vec<_> = full.received().iter().map(Received::json).collect();
        assert!(log.iter().all(|one| fulls.contains(&event::body(one))));

        let what = WebhookUpdate {
            payload: Some(WebhookPayload::Full),
            ..WebhookUpdate::default()
        };
        world.updated_webhook(id, what).await;
        world.emit_of(&[item]).await;
        world.deliver().await;
        assert_eq!(thin.received().pop().unwrap().json()["more"], "than thin");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_order_an_items_next_event_waits_for_the_one_before_and_others_do_not() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let [a, b] = [1, 2].map(Uuid::from_u128);
        let new = NewWebhook {
            ordered: true,
            ..to(&receiver.url)
        };
        let id = world.registered(new).await.webhook.id;
        world.emit_of(&[a]).await;
        receiver.script([Answer::Status(500)]);
        world.deliver().await;
        world.emit_of(&[b, a, a, b]).await;
        world.deliver().await;
        let (a, b) = (a.to_string(), b.to_string());
        let so_far = [(a.clone(), 1), (b.clone(), 1), (b.clone(), 4)];
        assert_eq!(items(&receiver), so_far);
        world.advance(4);
        assert_eq!(world.deliver().await, 0);
        world.advance(2);
        world.deliver().await;
        let rest = [(a.clone(), 1), (a.clone(), 2), (a.clone(), 3)];
        assert_eq!(items(&receiver)[3..], rest);

        // What is given up holds up nothing any more.
        receiver.script([Answer::Status(500)]);
        world.emit_of(&[Uuid::from_u128(3)]).await;
        world.deliver().await;
        world.emit_of(&[Uuid::from_u128(3)]).await;
        for _ in 0..9 {
            receiver.script([Answer::Status(500)]);
            world.app.clock.advance(Duration::from_hours(30));
            world.deliver().await;
        }
        // So many days of failure have disabled it.
        let what = WebhookUpdate {
            enabled: Change::Set(Some(true)),
            ..WebhookUpdate::default()
        };
        world.updated_webhook(id, what).await;
        world.deliver().await;
        let mut ends: Vec<_> = world
            .deliveries()
            .await
            .iter()
            .map(|one| one.status)
            .collect();
        ends.dedup();
        assert_eq!(
            ends,
            [
                DeliveryStatus::Succeeded,
                DeliveryStatus::Failed,
                DeliveryStatus::Succeeded
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_webhook_keeps_every_items_order_whatever_fails() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let new = NewWebhook {
            ordered: true,
            ..to(&receiver.url)
        };
        world.registered(new).await;
        let all: Vec<_> = (0..300).map(|n| Uuid::from_u128(n % 7)).collect();
        let failures = (0..60).map(|n| Answer::Status(if n % 3 == 0 { 500 } else { 204 }));
        receiver.script(failures);
        world.emit_of(&all).await;
        while world
            .deliveries()
            .await
            .iter()
            .any(|one| one.status == DeliveryStatus::Pending)
        {
            world.deliver().await;
            world.advance(400);
        }
        for item in 0..7 {
            let item = Uuid::from_u128(item).to_string();
            let got = items(&receiver).into_iter().filter(|(of, _)| *of == item);
            let mut got: Vec<_> = got.map(|(_, sequence)| sequence).collect();
            got.dedup();
            assert!(got.is_sorted() && got.len() > 40, "{got:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_are_under_way_than_the_owner_allows() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let new = NewWebhook {
            max_concurrency: Some(3),
            ..to(&receiver.url)
        };
        world.registered(new).await;
        world.app.spawn(webhook::delivery::run(world.app.clone()));
        world.emit(5, None).await;
        world.app.wakes.delivery.notify();
        receiver.arrived(5).await;
        receiver.always(Answer::Hang);
        world.emit(50, None).await;
        world.app.wakes.delivery.notify();
        receiver.arrived(8).await;
        let more = tokio::time::timeout(Duration::from_millis(700), receiver.arrived(9));
        assert!(more.await.is_err(), "a fourth is under way");
        world.app.stop();
        world.app.stopped().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_requests_begin_in_a_second_than_the_owner_allows() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let new = NewWebhook {
            max_per_second: Some(2),
            ..to(&receiver.url)
        };
        let id = world.registered(new).await.webhook.id;
        world.emit(6, None).await;
        assert_eq!(world.deliver().await, 1);
        for sent in 2..=4 {
            world.app.clock.advance(Duration::from_millis(499));
            assert_eq!(world.deliver().await, 0);
            world.app.clock.advance(Duration::from_millis(1));
            assert_eq!(world.deliver().await, 1);
            assert_eq!(receiver.received().len(), sent);
        }
        let what = WebhookUpdate {
            max_per_second: Change::Set(None),
            ..WebhookUpdate::default()
        };
        world.updated_webhook(id, what).await;
        assert_eq!(world.deliver().await, 2);
    })
    .await;
}

async fn refused(world: &World, field: &str, value: serde_json::Value) {
    for document in [
        "mutation($input: CreateWebhookInput!) { createWebhook(input: $input) { webhook { id } } }",
        "mutation($input: UpdateWebhookInput!) { updateWebhook(input: $input) { webhook { id } } }",
    ] {
        let mut input = json!({ field: value });
        if document.contains("Create") {
            input["url"] = json!("http://127.0.0.1:9/");
        } else {
            input["webhookId"] = json!(Uuid::nil());
        }
        let answer = world.query(document, json!({ "input": input })).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "INVALID_INPUT", "{answer}");
        assert_eq!(extensions["field"], field, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_that_make_no_sense_are_refused_by_field() {
    on_both(&[], async |world| {
        for value in [0, -1, 101] {
            refused(&world, "maxConcurrency", json!(value)).await;
        }
        for value in [0, -1, 10_001] {
            refused(&world, "maxPerSecond", json!(value)).await;
        }
        let id = world.webhook("http://127.0.0.1:9/", None).await.webhook.id;
        let document = "mutation($input: UpdateWebhookInput!) { updateWebhook(input: $input) { webhook { \
            payload ordered maxConcurrency maxPerSecond } } }";
        let input = json!({ "webhookId": id, "payload": "THIN", "ordered": true, "maxConcurrency": 1, "maxPerSecond": 5 });
        let data = world.data(document, json!({ "input": input })).await;
        let expected = json!({ "payload": "THIN", "ordered": true, "maxConcurrency": 1, "maxPerSecond": 5 });
        assert_eq!(data["updateWebhook"]["webhook"], expected);
        let input = json!({ "webhookId": id, "maxConcurrency": null, "maxPerSecond": null });
        let data = world.data(document, json!({ "input": input })).await;
        let expected = json!({ "payload": "THIN", "ordered": true, "maxConcurrency": 20, "maxPerSecond": null });
        assert_eq!(data["updateWebhook"]["webhook"], expected);
        let input = json!({ "webhookId": id, "backlog": "SKIP" });
        let answer = world.query(document, json!({ "input": input })).await;
        assert_eq!(answer["errors"][0]["extensions"]["field"], "backlog");
    })
    .await;
}
