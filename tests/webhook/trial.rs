//! Test events: delivered like any other, and in no log.

use entity::kind::EventType;
use ponte::{
    db::Engine,
    event::{catalogue, retention},
};
use serde_json::{Value, json};
use strum::IntoEnumIterator as _;

use super::harness::on_both;
use crate::support::{
    TestApp, code_of, create_application, id_at,
    receiver::{Answer, Receiver},
};

const SEND: &str = "mutation($id: ID!, $type: EventType!) { sendTestEvent(input: { webhookId: $id, type: $type }) { \
    delivery { id status url payload event { id } webhook { id } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_of_every_type_arrives_signed_at_that_webhook_alone_and_is_in_no_log() {
    on_both(&[], async |world| {
        let (receiver, other) = (Receiver::start().await, Receiver::start().await);
        let created = world
            .webhook(&receiver.url, Some(vec![EventType::ItemCreated]))
            .await;
        world.webhook(&other.url, None).await;
        let id = created.webhook.id;
        let mut sent = Vec::new();
        for kind in EventType::iter() {
            let data = world.data(SEND, json!({ "id": id, "type": kind })).await;
            let delivery = data["sendTestEvent"]["delivery"].clone();
            let payload = &delivery["payload"];
            assert_eq!(payload["test"], true);
            assert_eq!(payload["event"], kind.name());
            assert_eq!(payload["clientId"], world.owner.id.to_string());
            let mut like = payload.clone();
            let example = catalogue::entries().iter().find(|one| one.name == kind.name()).unwrap();
            for (name, value) in example.example.as_object().unwrap() {
                if ["eventId", "clientId", "createdAt"].contains(&name.as_str()) {
                    like[name] = value.clone();
                }
            }
            like.as_object_mut().unwrap().remove("test");
            assert_eq!(like, example.example);
            assert_eq!(
                delivery,
                json!({ "id": delivery["id"], "status": "PENDING", "url": receiver.url, "payload": payload, "event": null,
                        "webhook": { "id": id } })
            );
            sent.push(payload.clone());
        }
        assert_eq!(world.deliver().await, sent.len());
        let mut got: Vec<Value> = Vec::new();
        for one in receiver.received() {
            one.verify(&created.secret);
            assert_eq!(one.json()["eventId"], one.header("webhook-id"));
            got.push(one.json());
        }
        let place = |one: &Value| sent.iter().position(|other| other["eventId"] == one["eventId"]);
        got.sort_by_key(place);
        assert_eq!(got, sent);
        assert_eq!(other.received().len(), 0);
        assert_eq!(world.log().await, []);
        let data = world
            .data("query($id: ID!) { webhook(id: $id) { deliveries(status: SUCCEEDED) { nodes { attempts { statusCode } } } } }", json!({ "id": id }))
            .await;
        let nodes = data["webhook"]["deliveries"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), sent.len());
        assert!(nodes.iter().all(|node| node["attempts"] == json!([{ "statusCode": 204 }])));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_that_fails_comes_again_with_the_same_body_and_may_be_retried() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Status(500)).await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        let data = world.data(SEND, json!({ "id": id, "type": "ITEM_ERROR" })).await;
        let delivery = id_at(&data, "/sendTestEvent/delivery/id");
        world.deliver().await;
        world.advance(60);
        world.deliver().await;
        receiver.always(Answer::Status(410));
        world.advance(3_600);
        world.deliver().await;
        let refused = world.query(SEND, json!({ "id": id, "type": "ITEM_ERROR" })).await;
        assert_eq!(code_of(&refused), "INVALID_INPUT");
        world
            .data("mutation($id: ID!) { updateWebhook(input: { webhookId: $id, enabled: true }) { webhook { id } } }", json!({ "id": id }))
            .await;
        receiver.always(Answer::Status(204));
        world
            .data("mutation($id: ID!) { retryDelivery(input: { deliveryId: $id }) { delivery { status } } }", json!({ "id": delivery }))
            .await;
        world.deliver().await;
        let requests = receiver.received();
        assert_eq!(requests.len(), 4);
        for one in &requests {
            assert_eq!(one.body, requests[0].body);
            assert_eq!(one.header("webhook-id"), requests[0].header("webhook-id"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_older_than_a_month_is_gone_and_others_cannot_read_one() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let world = TestApp::start(engine).await;
        let make = "mutation { createWebhook(input: { url: \"http://127.0.0.1:9/\" }) { webhook { id } } }";
        let data = world.data(make, json!({})).await;
        let id = id_at(&data, "/createWebhook/webhook/id");
        let first = world
            .data(SEND, json!({ "id": id, "type": "ITEM_DELETED" }))
            .await;
        let event = first["sendTestEvent"]["delivery"]["payload"]["eventId"].clone();
        let event: uuid::Uuid = event.as_str().unwrap().parse().unwrap();
        let stranger = create_application(&world.app, "Stranger").await;
        let stranger = crate::support::api_key(&world.app, stranger.id).await;
        let seen = ponte::webhook::told(&world.app, &stranger, &[event])
            .await
            .unwrap();
        assert!(seen.is_empty());
        let seen = ponte::webhook::told(&world.app, &world.principal, &[event])
            .await
            .unwrap();
        assert_eq!(seen.len(), 1);
        world.advance(std::time::Duration::from_hours(29 * 24));
        assert_eq!(retention::run_once(&world.app).await.unwrap(), 0);
        world.advance(std::time::Duration::from_hours(2 * 24));
        assert_eq!(retention::run_once(&world.app).await.unwrap(), 1);
        let seen = ponte::webhook::told(&world.app, &world.principal, &[event])
            .await
            .unwrap();
        assert!(seen.is_empty());
    }
}
