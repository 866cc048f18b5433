//! Endpoints that fail for long: probed, disabled, enabled again.

use std::time::Duration;

use entity::kind::{DeliveryStatus, EventType};
use ponte::{
    db, event,
    item::Change,
    webhook::{self, Backlog, NewWebhook, WebhookUpdate},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::harness::{World, on_both};
use crate::support::receiver::{Answer, Receiver};

async fn health(world: &World, id: Uuid) -> Value {
    let document = "query($id: ID!) { webhook(id: $id) { health { circuit consecutiveFailures failingSince nextProbeAt } } }";
    let data = world.data(document, json!({ "id": id })).await;
    data["webhook"]["health"].clone()
}

fn enabling(backlog: Option<Backlog>) -> WebhookUpdate {
    WebhookUpdate {
        enabled: Change::Set(Some(true)),
        backlog,
        ..WebhookUpdate::default()
    }
}

fn disabling() -> WebhookUpdate {
    WebhookUpdate {
        enabled: Change::Set(Some(false)),
        ..WebhookUpdate::default()
    }
}

/// A webhook with this many deliveries that have not been sent, and a circuit that is open.
async fn broken(world: &World, receiver: &Receiver, waiting: usize) -> Uuid {
    let new = NewWebhook {
        url: receiver.url.clone(),
        max_concurrency: Some(1),
        ..NewWebhook::default()
    };
    let id = world.registered(new).await.webhook.id;
    receiver.always(Answer::Status(500));
    world.emit(10 + waiting, None).await;
    assert_eq!(world.deliver().await, 10);
    id
}

async fn attempted(world: &World) -> usize {
    let all = world.deliveries().await;
    all.iter().filter(|one| one.attempts > 0).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_failing_is_only_probed_and_the_rest_waits_without_using_up_attempts() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let began = world.app.clock.now();
        let id = broken(&world, &receiver, 20).await;
        let open = |failures: i32, now: ponte::clock::Timestamp| {
            json!({ "circuit": "OPEN", "consecutiveFailures": failures, "failingSince": began.to_string(),
                    "nextProbeAt": now.plus(Duration::from_secs(5)).to_string() })
        };
        assert_eq!(health(&world, id).await, open(10, began));
        let queues = db::queues::measure(&world.app.db, began).await.unwrap();
        assert!((queues.circuits - 1.0).abs() < 0.5 && queues.deliveries < 0.5, "{queues:?}");
        world.app.clock.advance(Duration::from_millis(4_999));
        assert_eq!(world.deliver().await, 0);
        world.app.clock.advance(Duration::from_millis(1));
        assert_eq!(world.deliver().await, 1, "one probe");
        assert_eq!(health(&world, id).await, open(11, world.app.clock.now()));
        assert_eq!(world.deliver().await, 0);
        assert!(attempted(&world).await <= 11);

        receiver.always(Answer::Status(204));
        world.advance(10);
        assert!(world.deliver().await > 20);
        let closed = json!({ "circuit": "CLOSED", "consecutiveFailures": 0, "failingSince": null, "nextProbeAt": null });
        assert_eq!(health(&world, id).await, closed);
        world.app.clock.advance(Duration::from_hours(1));
        world.deliver().await;
        assert!(
            world
                .deliveries()
                .await
                .iter()
                .all(|one| one.status == DeliveryStatus::Succeeded && one.attempts <= 3)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_side_by_side_share_one_probe() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        broken(&world, &receiver, 20).await;
        world.advance(5);
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let app = world.app.clone();
                tokio::spawn(async move { webhook::delivery::run_once(&app).await.unwrap() })
            })
            .collect();
        let mut sent = 0;
        for worker in workers {
            sent += worker.await.unwrap();
        }
        assert_eq!(sent, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_items_wrong_address_opens_no_circuit_for_the_others_at_its_origin() {
    on_both(&["--delivery-concurrency", "4"], async |world| {
        let receiver = Receiver::answering(Answer::Status(404)).await;
        world.emit(15, Some(&receiver.url)).await;
        assert_eq!(world.deliver().await, 15);
        receiver.always(Answer::Status(503));
        world.advance(60);
        assert_eq!(world.deliver().await, 10, "an origin that fails is probed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_days_of_nothing_but_failure_disable_a_webhook_and_its_owner_is_told() {
    on_both(&[], async |world| {
        let (failing, other) = (Receiver::answering(Answer::Status(500)).await, Receiver::start().await);
        let id = world.webhook(&failing.url, None).await.webhook.id;
        let only = Some(vec![EventType::WebhookDisabled]);
        world.webhook(&other.url, only).await;
        for hours in 0..24 * 5 {
            if hours % 12 == 0 {
                world.emit(1, None).await;
            }
            world.deliver().await;
            assert!(world.found_webhook(id).await.enabled, "after {hours} hours");
            world.app.clock.advance(Duration::from_hours(1));
        }
        world.emit(1, None).await;
        world.app.clock.advance(Duration::from_mins(5));
        world.deliver().await;
        let webhook = world.found_webhook(id).await;
        assert!(!webhook.enabled);
        let reason = webhook.disabled_reason.unwrap();
        assert!(reason.starts_with("every request of five days failed, the last with:"), "{reason}");
        let sent = failing.received().len();

        world.updated_webhook(id, enabling(None)).await;
        failing.always(Answer::Status(204));
        world.deliver().await;
        assert_eq!(other.received().len(), 1);
        let told = other.received()[0].json();
        let last = world.log().await.pop().unwrap();
        assert_eq!(told, event::body(&last));
        assert_eq!(
            told,
            json!({ "event": "webhook/disabled", "eventId": last.id, "clientId": world.owner.id, "createdAt": last.created_at.to_string(),
                    "data": { "webhookId": id, "reason": reason } })
        );
        world.app.clock.advance(Duration::from_hours(100));
        world.deliver().await;
        assert!(failing.received().len() > sent);
        assert!(!failing.names().contains(&"webhook/disabled".to_owned()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_success_in_five_days_keeps_a_webhook() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Status(500)).await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        for day in 0..8 {
            if day == 3 {
                receiver.script([Answer::Status(204)]);
            }
            world.emit(5, None).await;
            for _ in 0..24 {
                world.deliver().await;
                world.app.clock.advance(Duration::from_hours(1));
            }
        }
        assert!(world.found_webhook(id).await.enabled);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_tells_the_owner_but_what_the_owner_does_is_not_told() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Status(410)).await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        world.emit(1, None).await;
        world.deliver().await;
        world.deliver().await;
        let log = world.log().await;
        assert_eq!(log.len(), 2);
        assert_eq!(log[1].kind, EventType::WebhookDisabled);
        let data = json!({ "webhookId": id, "reason": "the endpoint answered 410 Gone" });
        assert_eq!(log[1].payload["data"], data);
        world.updated_webhook(id, enabling(None)).await;
        world.updated_webhook(id, disabling()).await;
        world.deliver().await;
        assert_eq!(world.log().await.len(), 2);
        assert_eq!(receiver.received().len(), 1);
    })
    .await;
}

/// A disabled webhook with two deliveries of before, and so many events that it missed.
async fn disabled(world: &World, receiver: &Receiver, missed: usize) -> Uuid {
    let id = world.webhook(&receiver.url, None).await.webhook.id;
    receiver.script([Answer::Status(500), Answer::Status(500)]);
    world.emit(2, None).await;
    world.deliver().await;
    world.updated_webhook(id, disabling()).await;
    world.emit(missed, None).await;
    assert_eq!(world.deliver().await, 0);
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn enabling_with_its_backlog_sends_what_waited_and_everything_that_was_missed_once() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let id = disabled(&world, &receiver, 1_203).await;
        world
            .updated_webhook(id, enabling(Some(Backlog::Send)))
            .await;
        world.emit(1, None).await;
        while world.found_webhook(id).await.missed_until.is_some() {
            tokio::task::yield_now().await;
        }
        world.deliver().await;
        let expected: std::collections::BTreeSet<_> = world
            .log()
            .await
            .iter()
            .map(|one| one.id.to_string())
            .collect();
        let all = receiver.received();
        let ids: Vec<_> = all[2..]
            .iter()
            .map(|one| one.header("webhook-id").to_owned())
            .collect();
        assert_eq!(ids.len(), 1_206);
        assert_eq!(
            ids.into_iter().collect::<std::collections::BTreeSet<_>>(),
            expected
        );
        assert_eq!(world.found_webhook(id).await.missed_after, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn enabling_without_its_backlog_marks_what_waited_as_skipped() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let id = disabled(&world, &receiver, 3).await;
        let document = "mutation($id: ID!) { updateWebhook(input: { webhookId: $id, enabled: true, backlog: SKIP }) { \
            webhook { enabled deliveries(status: SKIPPED) { nodes { id status nextAttemptAt attempts { statusCode } } } } } }";
        let data = world.data(document, json!({ "id": id })).await;
        let nodes = data["updateWebhook"]["webhook"]["deliveries"]["nodes"].clone();
        assert_eq!(nodes.as_array().unwrap().len(), 2);
        assert_eq!(nodes[0]["nextAttemptAt"], Value::Null);
        assert_eq!(nodes[0]["attempts"], json!([{ "statusCode": 500 }]));
        world.advance(100_000);
        assert_eq!(world.deliver().await, 0);
        world.emit(1, None).await;
        assert_eq!(world.deliver().await, 1);
        let skipped = crate::support::id_at(&nodes, "/0/id");
        webhook::retry_delivery(&world.app, &world.principal, skipped)
            .await
            .unwrap();
        assert_eq!(world.deliver().await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ordered_webhook_gets_what_it_missed_before_what_comes() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let new = NewWebhook {
            url: receiver.url.clone(),
            ordered: true,
            ..NewWebhook::default()
        };
        let id = world.registered(new).await.webhook.id;
        world.updated_webhook(id, disabling()).await;
        let item = Uuid::from_u128(1);
        world.emit_of(&vec![item; 700]).await;
        world
            .updated_webhook(id, enabling(Some(Backlog::Send)))
            .await;
        world.emit_of(&[item]).await;
        while receiver.received().len() < 701 {
            world.deliver().await;
        }
        let expected: Vec<_> = world
            .log()
            .await
            .iter()
            .map(|one| one.id.to_string())
            .collect();
        let got: Vec<_> = receiver
            .received()
            .iter()
            .map(|one| one.header("webhook-id").to_owned())
            .collect();
        assert_eq!(got, expected);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_show_what_was_sent_and_no_secret() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let new = NewWebhook {
            url: receiver.url.clone(),
            headers: vec![("X-Key".to_owned(), "planted-secret".to_owned().into())],
            ..NewWebhook::default()
        };
        let created = world.registered(new).await;
        world.emit(1, None).await;
        world.deliver().await;
        let request = receiver.received().pop().unwrap();
        let document = "query($id: ID!) { webhook(id: $id) { deliveries { nodes { attempts { requestHeaders { name value } requestBody } } } } }";
        let data = world.data(document, json!({ "id": created.webhook.id })).await;
        let attempt = &data["webhook"]["deliveries"]["nodes"][0]["attempts"][0];
        let shown: Vec<_> = ["content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature"]
            .iter()
            .map(|name| json!({ "name": name, "value": request.header(name) }))
            .chain([json!({ "name": "x-key", "value": null })])
            .collect();
        assert_eq!(attempt["requestHeaders"], json!(shown));
        let body: Value = serde_json::from_str(attempt["requestBody"].as_str().unwrap()).unwrap();
        assert_eq!(body, request.json());
        let rows = format!("{data} {:?}", world.attempts().await);
        assert!(!rows.contains("planted"), "{rows}");
    })
    .await;
}
