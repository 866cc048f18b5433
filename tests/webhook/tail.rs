//! The live tail of deliveries, and the lists beside it.

use std::time::Duration;

use async_graphql::Request;
use futures_util::{Stream, StreamExt as _};
use ponte::{auth::Principal, graphql::Asking};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, IntoActiveModel as _};
use serde_json::{Value, json};

use super::harness::{World, on_both};
use crate::support::{
    api_key, create_application,
    receiver::{Answer, Receiver},
};

const FOLLOW: &str = "subscription($webhook: ID, $item: ID) { deliveryUpdated(webhookId: $webhook, itemId: $item) { \
    id status event { name } attempts { statusCode } } }";

fn follow(
    world: &World,
    principal: &Principal,
    variables: Value,
) -> impl Stream<Item = Value> + Unpin + use<> {
    let request = Request::new(FOLLOW)
        .variables(async_graphql::Variables::from_json(variables))
        .data(Asking::new(Some(principal.clone()), [127, 0, 0, 1].into()));
    let answers = world.graph.execute_stream(request);
    answers
        .map(|answer| serde_json::to_value(&answer).unwrap())
        .boxed()
}

/// The next state that is told.
async fn next(stream: &mut (impl Stream<Item = Value> + Unpin)) -> Value {
    let answer = tokio::time::timeout(Duration::from_secs(20), stream.next())
        .await
        .expect("something is told")
        .expect("the stream goes on");
    assert_eq!(answer.get("errors"), None, "{answer}");
    answer["data"]["deliveryUpdated"].clone()
}

/// Waits until a stream is followed.
async fn ready(world: &World) {
    while world.app.tails.followed() == 0 {
        tokio::task::yield_now().await;
    }
}

fn later<S: Stream<Item = Value> + Unpin + Send + 'static>(
    mut stream: S,
) -> tokio::task::JoinHandle<(S, Value)> {
    tokio::spawn(async move {
        let value = next(&mut stream).await;
        (stream, value)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_told_when_it_is_made_attempted_and_ended() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Status(500)).await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        world.emit(3, None).await;
        let stream = follow(&world, &world.principal, json!({ "webhook": id }));
        let waiting = later(stream);
        ready(&world).await;
        world.advance(1);
        world.webhook("http://127.0.0.1:9/", None).await;
        world.emit(1, None).await;
        let (stream, made) = waiting.await.unwrap();
        let told = |status: &str, codes: &[i32]| {
            let attempts: Vec<_> = codes.iter().map(|code| json!({ "statusCode": code })).collect();
            json!({ "id": made["id"], "status": status, "event": { "name": "connector/status_updated" }, "attempts": attempts })
        };
        assert_eq!(made, told("PENDING", &[]));
        let mut stream = stream;
        let mut seen = Vec::new();
        world.advance(1);
        world.deliver().await;
        while !seen.contains(&told("PENDING", &[500])) {
            seen.push(next(&mut stream).await);
        }
        receiver.always(Answer::Status(204));
        world.advance(60);
        world.deliver().await;
        while !seen.contains(&told("SUCCEEDED", &[500, 204])) {
            seen.push(next(&mut stream).await);
        }
        // The three from before were told when they changed, and none twice as the same.
        let mut distinct = seen.clone();
        distinct.sort_by_key(Value::to_string);
        distinct.dedup();
        assert_eq!(distinct.len(), seen.len());
        drop(stream);
        let gone = async {
            while world.app.tails.followed() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the reader goes with the last follower");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_does_is_told_at_the_beat_and_what_is_others_never() {
    Box::pin(on_both(&[], async |world| {
        let item = world.connect_told(Some("http://127.0.0.1:9/own")).await;
        world.deliver().await;
        let waiting = later(follow(&world, &world.principal, json!({ "item": item.id })));
        ready(&world).await;
        let stranger = create_application(&world.app, "Stranger").await;
        let stranger = api_key(&world.app, stranger.id).await;
        let mut foreign = follow(&world, &stranger, json!({}));
        // A node that shares nothing but the database: no hint.
        let row = world.deliveries().await.remove(0);
        world.advance(10);
        let now = world.app.clock.now();
        let mut change = row.clone().into_active_model();
        change.status = Set(entity::kind::DeliveryStatus::Failed);
        change.updated_at = Set(now);
        change.update(world.app.db.write()).await.unwrap();
        let (mut stream, told) = waiting.await.unwrap();
        assert_eq!(
            (&told["id"], &told["status"]),
            (&json!(row.id), &json!("FAILED"))
        );
        // One that was committed late, under an earlier time than what has been told.
        let mut late = row.into_active_model();
        late.status = Set(entity::kind::DeliveryStatus::Succeeded);
        late.updated_at = Set(now.minus(Duration::from_secs(2)));
        late.update(world.app.db.write()).await.unwrap();
        assert_eq!(next(&mut stream).await["status"], "SUCCEEDED");
        assert!(
            tokio::time::timeout(Duration::from_millis(1_500), foreign.next())
                .await
                .is_err()
        );
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_too_slowly_for_the_shared_buffer_reads_on_from_the_database() {
    on_both(&[], async |world| {
        let id = world.webhook("http://127.0.0.1:9/", None).await.webhook.id;
        let mut stream = follow(&world, &world.principal, json!({ "webhook": id }));
        let waiting = tokio::spawn(async move {
            let first = next(&mut stream).await;
            (stream, first)
        });
        ready(&world).await;
        for _ in 0..10 {
            world.advance(1);
            world.emit(300, None).await;
        }
        let (mut stream, first) = waiting.await.unwrap();
        let mut ids = std::collections::HashSet::from([first["id"].to_string()]);
        tokio::time::sleep(Duration::from_secs(3)).await;
        while ids.len() < 3_000 {
            ids.insert(next(&mut stream).await["id"].to_string());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_shows_its_deliveries_to_webhooks_and_to_its_own_address_in_one_statement_a_level()
{
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let own = Receiver::answering(Answer::Status(500)).await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        for url in [None, Some(own.url.as_str()), Some(own.url.as_str())] {
            world.connect_told(url).await;
        }
        world.deliver().await;
        let before = world.app.db.statements();
        let data = world
            .data(
                "query($id: ID!) { items { nodes { id webhookUrl deliveries(first: 50) { nodes { url webhook { id } event { itemId } status attempts { statusCode } } } \
                   failing: deliveries(status: PENDING) { nodes { url } } } } webhook(id: $id) { deliveries(first: 200) { nodes { url } } } }",
                json!({ "id": id }),
            )
            .await;
        // items, webhook; deliveries three times; webhooks, events, attempts.
        assert_eq!(world.app.db.statements() - before, 8);
        let mut to_webhook = 0;
        for item in data["items"]["nodes"].as_array().unwrap() {
            let own_url = &item["webhookUrl"];
            let nodes = item["deliveries"]["nodes"].as_array().unwrap();
            let mut to_own = 0;
            for node in nodes {
                assert_eq!(node["event"]["itemId"], item["id"]);
                if node["webhook"].is_null() {
                    assert_eq!(&node["url"], own_url);
                    assert_eq!((&node["status"], &node["attempts"]), (&json!("PENDING"), &json!([{ "statusCode": 500 }])));
                    to_own += 1;
                } else {
                    assert_eq!((&node["webhook"]["id"], &node["status"]), (&json!(id), &json!("SUCCEEDED")));
                    to_webhook += 1;
                }
            }
            assert_eq!(to_own > 0, !own_url.is_null());
            assert_eq!(item["failing"]["nodes"].as_array().unwrap().len(), to_own);
        }
        assert_eq!(data["webhook"]["deliveries"]["nodes"].as_array().unwrap().len(), to_webhook);
    })
    .await;
}
