//! Webhooks through the graph, as their owner steers them.

use serde_json::json;

use super::harness::on_both;
use crate::support::{
    code_of, id_at,
    receiver::{Answer, Receiver},
};

const WEBHOOK: &str =
    "id url events description enabled disabledAt disabledReason createdAt updatedAt";

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_registered_changed_rotated_and_deleted() {
    on_both(&[], async |world| {
        let data = world
            .data(
                &format!("mutation($input: CreateWebhookInput!) {{ createWebhook(input: $input) {{ secret webhook {{ {WEBHOOK} }} }} }}"),
                json!({ "input": { "url": "http://127.0.0.1:9", "events": ["ITEM_CREATED", "ITEM_ERROR"], "description": "mine",
                                   "headers": [{ "name": "X-Key", "value": "planted-secret" }] } }),
            )
            .await;
        let id = id_at(&data, "/createWebhook/webhook/id");
        let secret = data["createWebhook"]["secret"].as_str().unwrap();
        assert!(secret.starts_with("whsec_"));
        let now = world.app.clock.now().to_string();
        let mut expected = json!({
            "id": id, "url": "http://127.0.0.1:9/", "events": ["ITEM_CREATED", "ITEM_ERROR"], "description": "mine",
            "enabled": true, "disabledAt": null, "disabledReason": null, "createdAt": now, "updatedAt": now,
        });
        assert_eq!(data["createWebhook"]["webhook"], expected);

        let update = format!("mutation($input: UpdateWebhookInput!) {{ updateWebhook(input: $input) {{ webhook {{ {WEBHOOK} }} }} }}");
        world.advance(1);
        let now = world.app.clock.now().to_string();
        let data = world.data(&update, json!({ "input": { "webhookId": id, "enabled": false, "description": null } })).await;
        expected["description"] = json!(null);
        expected["enabled"] = json!(false);
        expected["disabledAt"] = json!(now);
        expected["disabledReason"] = json!("disabled by its owner");
        expected["updatedAt"] = json!(now);
        assert_eq!(data["updateWebhook"]["webhook"], expected);
        let read = format!("query($id: ID!) {{ webhook(id: $id) {{ {WEBHOOK} }} node(id: $id) {{ ... on Webhook {{ {WEBHOOK} }} }} webhooks {{ nodes {{ {WEBHOOK} }} }} }}");
        let data = world.data(&read, json!({ "id": id })).await;
        assert_eq!(data, json!({ "webhook": expected, "node": expected, "webhooks": { "nodes": [expected] } }));
        assert!(!format!("{data}").contains("planted"));
        let refused = world.query(&update, json!({ "input": { "webhookId": id, "url": null } })).await;
        assert_eq!(code_of(&refused), "INVALID_INPUT");

        let rotate = "mutation($id: ID!) { rotateWebhookSecret(input: { webhookId: $id }) { secret webhook { id } } }";
        let data = world.data(rotate, json!({ "id": id })).await;
        assert_eq!(data["rotateWebhookSecret"]["webhook"], json!({ "id": id }));
        assert_ne!(data["rotateWebhookSecret"]["secret"], secret);

        let delete = "mutation($id: ID!) { deleteWebhook(input: { webhookId: $id }) { deletedWebhookId } }";
        let data = world.data(delete, json!({ "id": id })).await;
        assert_eq!(data, json!({ "deleteWebhook": { "deletedWebhookId": id } }));
        let data = world.data(&read, json!({ "id": id })).await;
        assert_eq!(data, json!({ "webhook": null, "node": null, "webhooks": { "nodes": [] } }));
        assert_eq!(world.code(delete, json!({ "id": id })).await, "NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_show_their_event_webhook_and_attempts_in_pages() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Status(500)).await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        world.emit(3, None).await;
        world.deliver().await;
        receiver.always(Answer::Status(204));
        world.advance(60);
        world.deliver().await;
        let document = "query($id: ID!, $after: String) { webhook(id: $id) { deliveries(first: 2, after: $after, status: SUCCEEDED) { \
            nodes { id url status nextAttemptAt event { name payload } webhook { id } attempts { statusCode error responseBody } } \
            pageInfo { hasNextPage endCursor } } } }";
        let first = world.data(document, json!({ "id": id })).await;
        let page = &first["webhook"]["deliveries"];
        assert_eq!(page["pageInfo"]["hasNextPage"], true);
        let second = world
            .data(document, json!({ "id": id, "after": page["pageInfo"]["endCursor"] }))
            .await;
        let rest = &second["webhook"]["deliveries"];
        assert_eq!(rest["pageInfo"]["hasNextPage"], false);
        let mut nodes = page["nodes"].as_array().unwrap().clone();
        nodes.extend(rest["nodes"].as_array().unwrap().clone());
        let mut rows = world.deliveries().await;
        rows.reverse();
        let log = world.log().await;
        let expected: Vec<_> = rows
            .iter()
            .map(|row| {
                let event = log.iter().find(|event| event.id == row.event_id).unwrap();
                json!({
                    "id": row.id, "url": receiver.url, "status": "SUCCEEDED", "nextAttemptAt": null,
                    "event": { "name": "connector/status_updated", "payload": ponte::event::body(event) },
                    "webhook": { "id": id },
                    "attempts": [
                        { "statusCode": 500, "error": null, "responseBody": null },
                        { "statusCode": 204, "error": null, "responseBody": null },
                    ],
                })
            })
            .collect();
        assert_eq!(nodes, expected);
        let node = world
            .data("query($id: ID!) { node(id: $id) { id __typename } }", json!({ "id": rows[0].id }))
            .await;
        assert_eq!(node["node"], json!({ "id": rows[0].id, "__typename": "Delivery" }));
        let retry = "mutation($id: ID!) { retryDelivery(input: { deliveryId: $id }) { delivery { id status nextAttemptAt } } }";
        let data = world.data(retry, json!({ "id": rows[0].id })).await;
        assert_eq!(
            data["retryDelivery"]["delivery"],
            json!({ "id": rows[0].id, "status": "PENDING", "nextAttemptAt": world.app.clock.now().to_string() })
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_webhooks_with_deliveries_and_attempts_costs_four_statements() {
    on_both(&[], async |world| {
        for _ in 0..20 {
            world.webhook("http://127.0.0.1:9/", None).await;
        }
        world.emit(3, None).await;
        world.deliver().await;
        let before = world.app.db.statements();
        let data = world
            .data(
                "{ webhooks { nodes { deliveries(first: 5) { nodes { event { id } attempts { at } } } } } }",
                json!({}),
            )
            .await;
        assert_eq!(data["webhooks"]["nodes"].as_array().unwrap().len(), 20);
        assert_eq!(world.app.db.statements() - before, 4);
    })
    .await;
}
