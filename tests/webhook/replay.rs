//! Replays: a stretch of the log, delivered again.

use std::collections::HashSet;

use entity::kind::{DeliveryStatus, EventType};
use ponte::event::cursor;
use serde_json::{Value, json};
use uuid::Uuid;

use super::harness::{World, on_both};
use crate::support::{
    code_of,
    receiver::{Answer, Receiver},
};

const REPLAY: &str = "mutation($input: ReplayWebhookInput!) { replayWebhook(input: $input) { count webhook { id } } }";

async fn replayed(world: &World, input: Value) -> i64 {
    let data = world.data(REPLAY, json!({ "input": input })).await;
    assert_eq!(data["replayWebhook"]["webhook"]["id"], input["webhookId"]);
    data["replayWebhook"]["count"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_behind_a_cursor_arrives_again_whatever_became_of_it_before() {
    // One request at a time shows the order.
    on_both(&["--delivery-concurrency", "1"], async |world| {
        let receiver = Receiver::start().await;
        world.emit(700, None).await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        world.emit(300, None).await;
        world.deliver().await;
        receiver.always(Answer::Status(500));
        world.emit(5, None).await;
        world.deliver().await;
        receiver.always(Answer::Status(204));
        assert_eq!(receiver.received().len(), 305);
        let attempts = world.attempts().await.len();

        let log = world.log().await;
        let after = cursor::encode(&world.app, world.owner.id, 100);
        let input = json!({ "webhookId": id, "after": after });
        let mut dry = input.clone();
        dry["dryRun"] = json!(true);
        assert_eq!(replayed(&world, dry).await, 905);
        assert_eq!(world.deliver().await, 0);
        assert_eq!(replayed(&world, input.clone()).await, 905);
        let rows = world.deliveries().await;
        assert_eq!(rows.len(), 905);
        assert!(rows.iter().all(|row| row.status == DeliveryStatus::Pending));
        let distinct: HashSet<Uuid> = rows.iter().map(|row| row.event_id).collect();
        assert_eq!(distinct.len(), 905);
        assert_eq!(world.attempts().await.len(), attempts, "attempts are kept");
        world.advance(5);
        assert_eq!(world.deliver().await, 905);
        let expected: Vec<String> = log[100..]
            .iter()
            .map(|event| event.id.to_string())
            .collect();
        let got: Vec<String> = receiver.received()[305..]
            .iter()
            .map(|one| one.header("webhook-id").to_owned())
            .collect();
        assert!(got == expected, "not in the order of the log");
        assert!(
            world
                .deliveries()
                .await
                .iter()
                .all(|row| row.status == DeliveryStatus::Succeeded)
        );

        // Twice is as good as once.
        for _ in 0..2 {
            assert_eq!(replayed(&world, input.clone()).await, 905);
        }
        world.advance(5);
        assert_eq!(world.deliver().await, 905);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_since_a_time_keeps_to_the_filter_of_the_webhook_and_of_the_call() {
    on_both(&[], async |world| {
        world.connect_told(None).await;
        world.deliver().await;
        world.advance(3_600);
        let since = world.app.clock.now().to_string();
        world.connect_told(None).await;
        world.emit(3, None).await;
        let wanted = vec![EventType::ItemCreated, EventType::ItemStatusChanged, EventType::ConnectorStatusUpdated];
        let receiver = Receiver::start().await;
        let id = world.webhook(&receiver.url, Some(wanted.clone())).await.webhook.id;
        let log = world.log().await;
        let count = |kinds: &[EventType]| {
            let meant = log.iter().filter(|event| event.created_at.to_string() >= since && kinds.contains(&event.kind));
            i64::try_from(meant.count()).unwrap()
        };
        let all = count(&wanted);
        assert!(all > 5 && count(&[EventType::ItemCreated]) == 1);
        let dry = |types: Value| json!({ "webhookId": id, "since": since, "types": types, "dryRun": true });
        assert_eq!(replayed(&world, dry(Value::Null)).await, all);
        assert_eq!(replayed(&world, dry(json!(["CONNECTOR_STATUS_UPDATED"]))).await, 3);
        assert_eq!(replayed(&world, dry(json!(["ITEM_UPDATED", "TRANSACTIONS_CREATED"]))).await, 0);
        assert_eq!(replayed(&world, dry(json!([]))).await, 0);
        let future = json!({ "webhookId": id, "since": "2099-01-01T00:00:00.000Z" });
        assert_eq!(replayed(&world, future).await, 0);
        assert_eq!(replayed(&world, json!({ "webhookId": id, "since": "0001-01-01T00:00:00.000Z", "dryRun": true })).await,
            i64::try_from(log.iter().filter(|event| wanted.contains(&event.kind)).count()).unwrap());
        let input = json!({ "webhookId": id, "since": since, "types": ["ITEM_CREATED", "CONNECTOR_STATUS_UPDATED"] });
        assert_eq!(replayed(&world, input).await, 4);
        assert_eq!(world.deliver().await, 4);
        let mut names = receiver.names();
        names.sort_unstable();
        assert_eq!(names, ["connector/status_updated", "connector/status_updated", "connector/status_updated", "item/created"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_needs_one_beginning_that_this_log_has() {
    on_both(&[], async |world| {
        let id = world.webhook("http://127.0.0.1:9/", None).await.webhook.id;
        world.emit(5, None).await;
        let cursor = |position| cursor::encode(&world.app, world.owner.id, position);
        let now = world.app.clock.now().to_string();
        for (input, code) in [
            (json!({}), "INVALID_INPUT"),
            (json!({ "after": cursor(1), "since": now }), "INVALID_INPUT"),
            (json!({ "after": "nonsense" }), "BAD_CURSOR"),
            (json!({ "after": cursor(6) }), "BAD_CURSOR"),
            (
                json!({ "after": cursor::encode(&world.app, Uuid::from_u128(1), 1) }),
                "BAD_CURSOR",
            ),
        ] {
            let mut input = input;
            input["webhookId"] = json!(id);
            let refused = world.query(REPLAY, json!({ "input": input })).await;
            assert_eq!(code_of(&refused), code, "{input}");
        }
        let unknown = json!({ "input": { "webhookId": Uuid::from_u128(1), "after": cursor(1) } });
        assert_eq!(world.code(REPLAY, unknown).await, "NOT_FOUND");
        world.forget_until(3).await;
        let refused = world
            .query(
                REPLAY,
                json!({ "input": { "webhookId": id, "after": cursor(1) } }),
            )
            .await;
        assert_eq!(code_of(&refused), "CURSOR_EXPIRED");
        assert_eq!(
            refused["errors"][0]["extensions"]["oldestCursor"],
            cursor(3)
        );
        assert_eq!(
            replayed(&world, json!({ "webhookId": id, "after": cursor(3) })).await,
            2
        );
        let every = json!({ "webhookId": id, "since": "2020-01-01T00:00:00.000Z" });
        assert_eq!(replayed(&world, every).await, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_sent_at_this_moment_is_not_sent_twice_by_a_replay() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        world.emit(1, None).await;
        receiver.script([Answer::Gate(204)]);
        let app = world.app.clone();
        let sending =
            tokio::spawn(async move { ponte::webhook::delivery::run_once(&app).await.unwrap() });
        receiver.arrived(1).await;
        let after = cursor::encode(&world.app, world.owner.id, 0);
        assert_eq!(
            replayed(&world, json!({ "webhookId": id, "after": after })).await,
            1
        );
        assert_eq!(world.deliver().await, 0);
        receiver.open_gate();
        sending.await.unwrap();
        assert_eq!(
            world.only_delivery().await.status,
            DeliveryStatus::Succeeded
        );
        assert_eq!(receiver.received().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_webhook_gets_its_replay_once_it_is_enabled() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        let enable = "mutation($id: ID!, $on: Boolean!) { updateWebhook(input: { webhookId: $id, enabled: $on }) { webhook { id } } }";
        world.data(enable, json!({ "id": id, "on": false })).await;
        world.emit(4, None).await;
        let after = cursor::encode(&world.app, world.owner.id, 1);
        assert_eq!(replayed(&world, json!({ "webhookId": id, "after": after })).await, 3);
        assert_eq!(world.deliver().await, 0);
        world.data(enable, json!({ "id": id, "on": true })).await;
        assert_eq!(world.deliver().await, 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_a_webhook_was_disabled_is_replayed_to_others_and_never_to_itself() {
    on_both(&[], async |world| {
        let gone = Receiver::answering(Answer::Status(410)).await;
        let other = Receiver::start().await;
        let failing = world.webhook(&gone.url, None).await.webhook.id;
        let watching = world.webhook(&other.url, None).await.webhook.id;
        world.emit(1, None).await;
        world.deliver().await;
        world.deliver().await;
        let count = async |id: Uuid, types: Value| {
            let input = json!({ "webhookId": id, "since": "2020-01-01T00:00:00.000Z", "types": types, "dryRun": true });
            replayed(&world, input).await
        };
        assert_eq!(count(watching, json!(["WEBHOOK_DISABLED"])).await, 1);
        assert_eq!(count(failing, json!(["WEBHOOK_DISABLED"])).await, 0);
        assert_eq!(count(watching, Value::Null).await, 2);
        assert_eq!(count(failing, Value::Null).await, 1);
    })
    .await;
}
