//! Following the log: snapshots, skipping, waiting, forgetting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{body::Body, http::Request};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use ponte::{
    auth::token,
    event::{self, cursor, retention},
    graphql, http,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::support::{TestApp, eventually, on_both_engines};

fn follow(test: &TestApp, document: &str) -> BoxStream<'static, Value> {
    let request = async_graphql::Request::new(document).data(graphql::Asking::new(
        Some(test.principal.clone()),
        [127, 0, 0, 1].into(),
    ));
    let answers = test.graph.execute_stream(request).map(|mut response| {
        graphql::finish(&mut response, "test");
        serde_json::to_value(&response).expect("a response is JSON")
    });
    answers.boxed()
}

/// The same through the transport, which shares executions: over server-sent events.
async fn follow_served(test: &TestApp, document: &str) -> BoxStream<'static, Value> {
    let (id, secret) = (test.owner.client_id.to_string(), &test.owner.client_secret);
    let key = token::create_api_key(&test.app, [127, 0, 0, 1].into(), &id, secret)
        .await
        .expect("an API key")
        .token;
    let request = Request::post("/graphql")
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .header("authorization", format!("Bearer {key}"))
        .body(Body::from(json!({ "query": document }).to_string()))
        .expect("a request");
    let router = http::router(test.app.clone(), test.graph.clone());
    let answer = router.oneshot(request).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    // Each event is a piece; they are read as they come, as a client does.
    let mut pieces = answer.into_body().into_data_stream();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(piece)) = pieces.next().await {
            let mut lines = std::str::from_utf8(&piece).expect("UTF-8").lines();
            if let Some(data) = lines.find_map(|line| line.strip_prefix("data: {")) {
                let answer: Value = serde_json::from_str(&format!("{{{data}")).expect("JSON");
                let _ = sender.send(answer);
            }
        }
    });
    let answers = stream::unfold(receiver, async |mut receiver| {
        Some((receiver.recv().await?, receiver))
    });
    answers.boxed()
}

async fn next(stream: &mut BoxStream<'static, Value>) -> Value {
    tokio::time::timeout(Duration::from_secs(20), stream.next())
        .await
        .expect("an answer in time")
        .expect("a stream that goes on")
}

/// What comes until nothing more has come for a while.
async fn rest(stream: &mut BoxStream<'static, Value>) -> Vec<Value> {
    let mut answers = Vec::new();
    while let Ok(Some(answer)) =
        tokio::time::timeout(Duration::from_millis(1_500), stream.next()).await
    {
        answers.push(answer);
    }
    answers
}

fn position(test: &TestApp, cursor: &Value) -> i64 {
    let cursor = cursor.as_str().expect("a cursor");
    cursor::decode(&test.app, test.principal.application, cursor).expect("a cursor of ours")
}

async fn head(test: &TestApp) -> i64 {
    cursor::head(&test.app, test.principal.application)
        .await
        .expect("the head")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_tells_every_item_once_and_then_everything_that_follows() {
    on_both_engines(|test| async move { snapshot(test, false).await }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_as_exact_over_a_transport_that_shares_executions() {
    on_both_engines(|test| async move { snapshot(test, true).await }).await;
}

async fn snapshot(test: TestApp, served: bool) {
    tokio::spawn(event::feed::run(test.app.clone()));
    let mut items: Vec<Uuid> = Vec::new();
    for _ in 0..3 {
        items.push(test.connected().await);
    }
    // Committed and not published yet: part of the snapshot, and not told again.
    let fresh = test
        .connect("0", &[("user", "user-ok"), ("password", "password-ok")])
        .await;
    items.push(fresh);
    items.sort_unstable();
    let document = "subscription { itemUpdated(snapshot: true) { cursor snapshot moreStates event { type itemSequence } item { id status } } }";
    let mut stream = if served {
        follow_served(&test, document).await
    } else {
        follow(&test, document)
    };
    let before = head(&test).await;
    let mut told = Vec::new();
    for n in 0..items.len() {
        let answer = next(&mut stream).await["data"]["itemUpdated"].clone();
        assert_eq!(answer["snapshot"], true);
        assert_eq!(answer["moreStates"], n + 1 < items.len());
        assert_eq!(answer["event"]["type"], "ITEM_STATUS_CHANGED");
        assert_eq!(position(&test, &answer["cursor"]), before);
        let id = answer["item"]["id"].as_str().expect("an id");
        let expected = if id == fresh.to_string() {
            "UPDATING"
        } else {
            "UPDATED"
        };
        assert_eq!(answer["item"]["status"], expected);
        told.push(id.parse::<Uuid>().expect("an id"));
    }
    assert_eq!(told, items);
    // Nothing comes before something is published, however long the stream is read.
    let early = tokio::time::timeout(Duration::from_millis(300), stream.next());
    assert!(early.await.is_err());
    test.settle().await;
    let changes = rest(&mut stream).await;
    let positions: Vec<i64> = changes
        .iter()
        .map(|answer| {
            let answer = &answer["data"]["itemUpdated"];
            assert_eq!(
                (&answer["snapshot"], &answer["moreStates"]),
                (&json!(false), &json!(false))
            );
            assert_eq!(answer["item"]["id"], json!(fresh));
            position(&test, &answer["cursor"])
        })
        .collect();
    // The Item was CREATED when the snapshot was taken: that one event is not told.
    let missing: Vec<i64> = (before + 1..=head(&test).await)
        .filter(|position| !positions.contains(position))
        .collect();
    assert_eq!(missing, [before + 1], "{positions:?}");
    assert!(positions.is_sorted());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_excludes_a_cursor_and_may_be_empty() {
    on_both_engines(|test| async move {
        tokio::spawn(event::feed::run(test.app.clone()));
        test.connected().await;
        let both = "subscription { itemUpdated(snapshot: true, after: \"x\") { cursor } }";
        let refused = next(&mut follow(&test, both)).await;
        assert_eq!(refused["errors"][0]["extensions"]["field"], "snapshot");
        let none =
            "subscription { itemUpdated(snapshot: true, clientUserId: \"nobody\") { cursor } }";
        assert!(rest(&mut follow(&test, none)).await.is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_behind_may_skip_what_is_superseded() {
    on_both_engines(|test| async move {
        tokio::spawn(event::feed::run(test.app.clone()));
        let first = test.connected().await;
        let second = test.connected().await;
        let start = cursor::encode(&test.app, test.principal.application, 0);
        let document = format!(
            "subscription {{ itemUpdated(after: \"{start}\", coalesce: true) {{ cursor event {{ type }} item {{ id }} }} }}"
        );
        let told = rest(&mut follow(&test, &document)).await;
        let ids: Vec<&Value> = told.iter().map(|answer| &answer["data"]["itemUpdated"]["item"]["id"]).collect();
        assert_eq!(ids, [&json!(first), &json!(second)]);
        let last = &told[1]["data"]["itemUpdated"]["cursor"];
        assert_eq!(position(&test, last), head(&test).await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_told_by_type_connector_and_account() {
    on_both_engines(|test| async move {
        tokio::spawn(event::feed::run(test.app.clone()));
        let item = test.connected().await;
        let accounts = test.accounts(item).await;
        let account = accounts[0]["id"].as_str().expect("an id");
        let start = cursor::encode(&test.app, test.principal.application, 0);
        let of = |filter: &str| format!("subscription {{ events(after: \"{start}\", filter: {{ {filter} }}) {{ type name payload }} }}");
        let told = rest(&mut follow(&test, &of(&format!("accountId: \"{account}\"")))).await;
        assert!(!told.is_empty());
        for answer in &told {
            let event = &answer["data"]["events"];
            assert_eq!(event["payload"]["accountId"], account, "{event}");
        }
        assert!(!rest(&mut follow(&test, &of("connectorId: \"0\""))).await.is_empty());
        assert!(rest(&mut follow(&test, &of("connectorId: \"1\""))).await.is_empty());
        assert!(rest(&mut follow(&test, &of("connectorId: \"x\""))).await.is_empty());
        let created = format!("subscription {{ itemUpdated(after: \"{start}\", types: [ITEM_CREATED]) {{ event {{ type }} }} }}");
        let told = rest(&mut follow(&test, &created)).await;
        assert_eq!(told, [json!({ "data": { "itemUpdated": { "event": { "type": "ITEM_CREATED" } } } })]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_can_be_waited_for() {
    on_both_engines(|test| async move {
        tokio::spawn(event::feed::run(test.app.clone()));
        test.connected().await;
        let document = "query($after: String, $wait: Int) { events(after: $after, waitSeconds: $wait) { nodes { type } pageInfo { endCursor } } }";
        let at_end = cursor::encode(&test.app, test.principal.application, head(&test).await);
        let nothing = test.data(document, json!({ "after": at_end, "wait": 1 })).await;
        assert_eq!(nothing["events"]["nodes"], json!([]));
        let (asking, after) = (test.graph.clone(), at_end.clone());
        let principal = test.principal.clone();
        let waiting = tokio::spawn(async move {
            let request = async_graphql::Request::new(document)
                .variables(async_graphql::Variables::from_json(json!({ "after": after, "wait": 30 })))
                .data(graphql::Asking::new(Some(principal), [127, 0, 0, 1].into()));
            serde_json::to_value(asking.execute(request).await).expect("JSON")
        });
        eventually(|| test.app.feed.scopes() > 0).await;
        assert!(!waiting.is_finished());
        test.connected().await;
        let answer = waiting.await.expect("an answer");
        assert_eq!(answer["data"]["events"]["nodes"][0]["type"], "ITEM_STATUS_CHANGED", "{answer}");
        for wait in [-1, 61] {
            assert_eq!(test.code(document, json!({ "wait": wait })).await, "INVALID_INPUT");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_are_forgotten_and_cursors_behind_them_say_so() {
    on_both_engines(|test| async move {
        let old = test.connected().await;
        let forgotten = head(&test).await;
        test.advance(Duration::from_hours(20 * 24));
        let item = test.connected().await;
        let end = head(&test).await;
        assert_eq!(retention::run_once(&test.app).await.expect("it runs"), 0);
        test.advance(Duration::from_hours(11 * 24));
        let removed = retention::run_once(&test.app).await.expect("it runs");
        assert_eq!(i64::try_from(removed).expect("few"), forgotten);
        assert!(test.events(old).await.is_empty());
        assert!(!test.events(item).await.is_empty());

        let query = "query($after: String) { events(after: $after) { nodes { id } } }";
        let at = |position| cursor::encode(&test.app, test.principal.application, position);
        let answer = test
            .query(query, json!({ "after": at(forgotten - 1) }))
            .await;
        let error = &answer["errors"][0]["extensions"];
        assert_eq!(
            (&error["code"], &error["oldestCursor"]),
            (&json!("CURSOR_EXPIRED"), &json!(at(forgotten)))
        );
        let rest_of_it = test.data(query, json!({ "after": at(forgotten) })).await;
        let kept = rest_of_it["events"]["nodes"].as_array().map(Vec::len);
        assert_eq!(kept, usize::try_from(end - forgotten).ok());
        let late = format!(
            "subscription {{ itemUpdated(after: \"{}\") {{ cursor }} }}",
            at(0)
        );
        let refused = next(&mut follow(&test, &late)).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "CURSOR_EXPIRED");

        // When everything is forgotten only the end is good.
        test.advance(Duration::from_hours(31 * 24));
        retention::run_once(&test.app).await.expect("it runs");
        assert_eq!(
            test.code(query, json!({ "after": at(end - 1) })).await,
            "CURSOR_EXPIRED"
        );
        let nothing = test.data(query, json!({ "after": at(end) })).await;
        assert_eq!(nothing["events"]["nodes"], json!([]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_at_the_end_of_an_empty_log_is_good_also_while_the_next_event_comes() {
    on_both_engines(|test| async move {
        for _ in 0..20 {
            test.advance(Duration::from_hours(31 * 24));
            retention::run_once(&test.app).await.expect("it runs");
            let application = test.principal.application;
            let end = cursor::encode(&test.app, application, head(&test).await);
            let done = Arc::new(AtomicBool::default());
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    let (app, end, done) = (test.app.clone(), end.clone(), done.clone());
                    tokio::spawn(async move {
                        while !done.load(Ordering::Relaxed) {
                            cursor::resume(&app, application, &end).await.expect("good");
                        }
                    })
                })
                .collect();
            test.connected().await;
            done.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.await.expect("no refusal");
            }
        }
    })
    .await;
}
