//! Sockets: the subprotocol, its close codes, and clients that do not read.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::SinkExt as _;
use ponte::{
    clock::{Clock, Timestamp},
    db::Engine,
    http::Timing,
};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, time::timeout};
use tokio_tungstenite::tungstenite::Message;

use super::harness::{Node, PATIENCE, Said, Socket, events, operator, timing};

const START: Timestamp = Timestamp(1_773_662_400_000);

/// The only error of an `error` message for an operation.
fn refused(message: &Value, id: &str) -> Value {
    assert_eq!(
        (&message["type"], &message["id"]),
        (&json!("error"), &json!(id)),
        "{message}"
    );
    let errors = message["payload"].as_array().expect("errors");
    assert_eq!(errors.len(), 1, "{message}");
    assert_eq!(
        errors[0]["extensions"]["requestId"].as_str().map(str::len),
        Some(36),
        "{message}"
    );
    errors[0]["extensions"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_and_mutations_are_answered_once_and_completed() {
    let node = Node::start().await;
    let mut socket = node.socket().await;
    socket.subscribe("q", "{ __typename }").await;
    assert_eq!(
        socket.message().await,
        json!({ "id": "q", "type": "next", "payload": { "data": { "__typename": "Query" } } })
    );
    assert_eq!(
        socket.message().await,
        json!({ "id": "q", "type": "complete" })
    );
    let input = json!({ "clientId": node.owner.client_id, "clientSecret": "wrong" });
    let document = "mutation($i: CreateApiKeyInput!) { createApiKey(input: $i) { apiKey } }";
    let payload = json!({ "query": document, "variables": { "i": input } });
    socket
        .send(json!({ "id": "q", "type": "subscribe", "payload": payload }))
        .await;
    let next = socket.message().await;
    assert_eq!(
        (&next["type"], &next["payload"]["data"]),
        (&json!("next"), &Value::Null)
    );
    assert_eq!(
        next["payload"]["errors"][0]["extensions"]["code"],
        "UNAUTHENTICATED"
    );
    assert_eq!(
        socket.message().await,
        json!({ "id": "q", "type": "complete" })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_goes_on_until_the_client_completes_it_without_an_echo() {
    let node = Node::start().await;
    let mut socket = node.socket().await;
    socket.subscribe("1", &events("e")).await;
    begun(&node, &mut socket, 1).await;
    node.happen(3).await;
    for _ in 0..3 {
        let next = socket.message().await;
        assert_eq!((&next["id"], &next["type"]), (&json!("1"), &json!("next")));
        assert!(
            !next["payload"]["data"]["e"].is_null() && next["payload"].get("errors").is_none(),
            "{next}"
        );
    }
    socket.send(json!({ "id": "1", "type": "complete" })).await;
    node.followed(0).await;
    node.happen(1).await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
    socket.subscribe("1", "{ __typename }").await;
    assert_eq!(
        socket.message().await["payload"]["data"],
        json!({ "__typename": "Query" })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_cannot_begin_while_the_database_is_away_begins_once_it_is_back() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let node = Node::start_on(engine).await;
        let mut socket = node.socket().await;
        let rename = async |from: &str, to: &str| {
            let sql = format!("ALTER TABLE {from} RENAME TO {to}");
            let done = node.app.db.write().execute_unprepared(&sql).await;
            done.expect("renamed");
        };
        rename("event_head", "gone").await;
        socket.subscribe("1", &events("e")).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
        rename("gone", "event_head").await;
        begun(&node, &mut socket, 1).await;
        node.happen(1).await;
        let next = socket.message().await;
        assert_eq!((&next["id"], &next["type"]), (&json!("1"), &json!("next")));
        assert!(!next["payload"]["data"]["e"].is_null(), "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_an_error_of_its_operation_alone() {
    let node = Node::start_with(&["--introspection", "false"], timing(), Clock::system()).await;
    let mut socket = node.socket().await;
    let deep = format!("{}{}", "{ a ".repeat(40), "}".repeat(40));
    for (document, code) in [
        ("{", "PARSE_FAILED"),
        (deep.as_str(), "DOCUMENT_REJECTED"),
        ("{ invented }", "VALIDATION_FAILED"),
        (
            "query A { __typename } query B { __typename }",
            "VALIDATION_FAILED",
        ),
        (
            "query($n: String!) { __typename @skip(if: $n) }",
            "VALIDATION_FAILED",
        ),
        ("{ __schema { queryType { name } } }", "DOCUMENT_REJECTED"),
        (
            "subscription { a: events { id } b: events { id } }",
            "VALIDATION_FAILED",
        ),
        (
            "subscription { ...F } fragment F on Subscription { events }",
            "VALIDATION_FAILED",
        ),
        ("subscription { invented }", "VALIDATION_FAILED"),
    ] {
        socket.subscribe("same", document).await;
        assert_eq!(
            refused(&socket.message().await, "same")["code"],
            code,
            "{document}"
        );
    }
    socket.subscribe("same", "{ __typename }").await;
    assert_eq!(socket.message().await["type"], "next");
    assert_eq!(socket.message().await["type"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_are_none_of_the_protocols_close_4400() {
    let node = Node::start().await;
    let long = json!({ "id": "x".repeat(129), "type": "complete" }).to_string();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for text in [
        "",
        "hello",
        "7",
        "[]",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"start","id":"1","payload":{"query":"{ __typename }"}}"#,
        r#"{"type":"connection_init","payload":[]}"#,
        r#"{"type":"subscribe","payload":{"query":"{ __typename }"}}"#,
        r#"{"type":"subscribe","id":"","payload":{"query":"{ __typename }"}}"#,
        r#"{"type":"subscribe","id":"1"}"#,
        r#"{"type":"subscribe","id":"1","payload":{}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":7}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"{ __typename }","variables":[]}}"#,
        r#"{"type":"complete"}"#,
        &long,
        &deep,
    ] {
        let mut socket = node.socket().await;
        socket.text(text).await;
        assert_eq!(socket.closed().await, 4400, "{text}");
    }
    let mut socket = node.socket().await;
    socket
        .0
        .send(Message::binary(b"{\"type\":\"ping\"}".as_slice()))
        .await
        .expect("sent");
    assert_eq!(socket.closed().await, 4400);
    let mut socket = node.socket().await;
    socket.text("x".repeat(200 * 1024)).await;
    assert_eq!(socket.closed().await, 1009);
    node.canary().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_order_of_a_connection_is_kept() {
    let patience = Timing {
        init: Duration::from_millis(300),
        ..timing()
    };
    let node = Node::start_with(&[], patience, Clock::system()).await;
    let mut late = Socket::open(node.address, &[]).await.expect("a socket");
    late.send(json!({ "type": "ping" })).await;
    assert_eq!(late.message().await, json!({ "type": "pong" }));
    assert_eq!(
        late.next().await,
        Said::Close(4408, "Connection initialisation timeout".to_owned())
    );
    let mut early = Socket::open(node.address, &[]).await.expect("a socket");
    early.subscribe("1", "{ __typename }").await;
    assert_eq!(
        early.next().await,
        Said::Close(4401, "Unauthorized".to_owned())
    );
    let mut twice = node.socket().await;
    twice
        .send(json!({ "type": "connection_init", "payload": { "X-API-KEY": node.key } }))
        .await;
    assert_eq!(
        twice.next().await,
        Said::Close(4429, "Too many initialisation requests".to_owned())
    );
    let mut same = node.socket().await;
    same.subscribe("1", &events("e")).await;
    same.subscribe("1", &events("e")).await;
    assert_eq!(
        same.next().await,
        Said::Close(4409, "Subscriber already exists".to_owned())
    );
    // One that has been greeted is not asked again.
    let mut greeted = node.socket().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    greeted.subscribe("1", "{ __typename }").await;
    assert_eq!(greeted.message().await["type"], "next");
    node.followed(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_without_a_valid_token_is_forbidden() {
    let node = Node::start().await;
    let forbidden = Said::Close(4403, "Forbidden".to_owned());
    for payload in [
        json!(null),
        json!({}),
        json!({ "Authorization": "Bearer x" }),
        json!({ "Authorization": node.key }),
        json!({ "X-API-KEY": format!("{}x", node.key) }),
        json!({ "token": node.key }),
    ] {
        let mut socket = Socket::open(node.address, &[]).await.expect("a socket");
        socket
            .send(json!({ "type": "connection_init", "payload": payload }))
            .await;
        assert_eq!(socket.next().await, forbidden, "{payload}");
    }
    for payload in [
        json!({ "authorization": format!("Bearer {}", node.key) }),
        json!({ "x-Api-Key": node.key }),
        json!({ "headers": { "Authorization": format!("Bearer {}", node.key) } }),
    ] {
        let mut socket = Socket::open(node.address, &[]).await.expect("a socket");
        socket
            .send(json!({ "type": "connection_init", "payload": payload }))
            .await;
        assert_eq!(socket.message().await, json!({ "type": "connection_ack" }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_one_subprotocol_and_known_origins_are_let_in() {
    let node = Node::start_with(
        &["--cors-origins", "https://app.example.com"],
        timing(),
        Clock::system(),
    )
    .await;
    for subprotocol in ["", "graphql-ws", "soap"] {
        let Err((status, body)) = Socket::open_as(node.address, subprotocol, &[]).await else {
            panic!("{subprotocol} was let in");
        };
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (status, &body["errors"][0]["extensions"]["code"]),
            (400, &json!("INVALID_INPUT"))
        );
    }
    let own = format!("http://{}", node.address);
    for origin in ["https://app.example.com", own.as_str()] {
        assert!(
            Socket::open(node.address, &[("origin", origin)])
                .await
                .is_ok(),
            "{origin}"
        );
    }
    for origin in ["https://evil.example.com", "null", "http://127.0.0.1"] {
        let Err((status, body)) = Socket::open(node.address, &[("origin", origin)]).await else {
            panic!("{origin} was let in");
        };
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (status, &body["errors"][0]["extensions"]["code"]),
            (403, &json!("FORBIDDEN"))
        );
    }
    let token = node.connect_token(&["https://app.example.com"]).await;
    for (origin, expected) in [
        (
            "https://app.example.com",
            Said::Message(json!({ "type": "connection_ack" })),
        ),
        (own.as_str(), Said::Close(4403, "Forbidden".to_owned())),
    ] {
        let mut socket = Socket::open(node.address, &[("origin", origin)])
            .await
            .expect("a socket");
        socket
            .send(json!({ "type": "connection_init", "payload": { "X-API-KEY": token } }))
            .await;
        assert_eq!(socket.next().await, expected, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_runs_fifty_operations_at_once() {
    let node = Node::start().await;
    let mut socket = node.socket().await;
    for id in 0..51 {
        socket.subscribe(&id.to_string(), &events("e")).await;
    }
    let refusal = refused(&socket.message().await, "50");
    assert_eq!(
        (&refusal["code"], &refusal["limit"]),
        (&json!("DOCUMENT_REJECTED"), &json!("operations"))
    );
    socket.send(json!({ "id": "7", "type": "complete" })).await;
    socket.subscribe("50", "{ __typename }").await;
    assert_eq!(socket.message().await["type"], "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_answer_two_pings_is_left_and_one_that_does_stays() {
    let quick = Timing {
        ping: Duration::from_millis(300),
        ..timing()
    };
    let node = Node::start_with(&[], quick, Clock::system()).await;
    let mut lively = node.socket().await;
    let talking = tokio::spawn(async move {
        // Reading answers pings.
        assert!(
            timeout(Duration::from_secs(2), lively.next())
                .await
                .is_err()
        );
        lively.subscribe("1", "{ __typename }").await;
        lively.message().await["type"].clone()
    });
    let mut mute = node.socket().await.0.into_inner();
    let mut frames = Vec::new();
    timeout(PATIENCE, mute.read_to_end(&mut frames))
        .await
        .expect("it ends")
        .expect("in order");
    // Two empty pings, then 1001.
    assert_eq!(frames[..4], [0x89, 0, 0x89, 0]);
    assert_eq!(
        (frames[4], &frames[6..8]),
        (0x88, &1001_u16.to_be_bytes()[..])
    );
    assert_eq!(talking.await.expect("no panic"), "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_ends_with_its_token() {
    let clock = Clock::manual(START);
    let node = Node::start_with(&[], timing(), clock.clone()).await;
    let mut socket = node.socket().await;
    socket.subscribe("1", &events("e")).await;
    node.followed(1).await;
    clock.advance(Duration::from_mins(119));
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
    clock.advance(Duration::from_mins(1));
    assert_eq!(
        socket.next().await,
        Said::Close(4403, "Forbidden".to_owned())
    );
    node.followed(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn revoking_and_disabling_end_sockets_within_five_seconds() {
    let mut node = Node::start().await;
    let mut revoked = node.socket().await;
    revoked.subscribe("1", &events("e")).await;
    node.revoke().await;
    let closed = timeout(Duration::from_secs(5), revoked.closed()).await;
    assert_eq!(closed.expect("within five seconds"), 4403);
    let key = node.api_key().await;
    let mut disabled = Socket::open(node.address, &[]).await.expect("a socket");
    disabled.init(&key).await;
    let app = &node.app;
    let operator = operator(app);
    operator.disable(node.owner.id).await.expect("disabled");
    let closed = timeout(Duration::from_secs(5), disabled.closed()).await;
    assert_eq!(closed.expect("within five seconds"), 4403);
}

/// Returns once this many subscriptions have told of something, and nothing is on its way any more.
async fn begun(node: &Node, socket: &mut Socket, subscriptions: usize) {
    let mut seen = BTreeSet::new();
    while seen.len() < subscriptions {
        node.happen(1).await;
        while let Ok(said) = timeout(Duration::from_millis(500), socket.message()).await {
            seen.insert(said["id"].to_string());
        }
    }
}

/// A client of fifty subscriptions that reads nothing while a lot happens.
async fn overwhelmed(node: &Node, count: usize) -> Socket {
    let mut socket = node.socket().await;
    for id in 0..49 {
        let alias = format!("{}{id}", "a".repeat(190));
        socket
            .subscribe(&format!("hot {id}"), &events(&alias))
            .await;
    }
    begun(node, &mut socket, 49).await;
    node.happen(count).await;
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn hot_subscriptions_starve_neither_each_other_nor_a_query_and_lose_nothing() {
    const EVENTS: usize = 600;
    let node = Node::start().await;
    let mut socket = overwhelmed(&node, EVENTS).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    socket.subscribe("query", "{ __typename }").await;
    let mut seen: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let (mut total, mut answered, mut widest) = (0, None, 0);
    while total < 49 * EVENTS || answered.is_none() {
        let message = socket.message().await;
        let id = message["id"].as_str().expect("an id").to_owned();
        if id == "query" {
            answered.get_or_insert(total);
            continue;
        }
        total += 1;
        let data = message["payload"]["data"].as_object().expect("data");
        seen.entry(id).or_default().extend(data.values().cloned());
        if seen.len() == 49 {
            let counts = || seen.values().map(Vec::len);
            widest = widest.max(counts().max().expect("some") - counts().min().expect("some"));
        }
    }
    println!("answered after {answered:?} of {total}, widest {widest}");
    assert!(answered.expect("an answer") < total / 2);
    assert!(widest < EVENTS / 2, "{widest}");
    let first = seen["hot 0"].clone();
    assert_eq!(first.len(), EVENTS);
    assert!(seen.values().all(|events| *events == first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_still_heard_and_costs_little() {
    let node = Node::start().await;
    let mut socket = overwhelmed(&node, 2_000).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    for id in 0..49 {
        socket
            .send(json!({ "id": format!("hot {id}"), "type": "complete" }))
            .await;
    }
    node.followed(0).await;
    node.canary().await;
    // What was on its way comes, and no more.
    socket.send(json!({ "type": "ping" })).await;
    let mut late = 0;
    while socket.message().await != json!({ "type": "pong" }) {
        late += 1;
    }
    println!("{late} of {} came late", 49 * 2_000);
    assert!(late < 49 * 2_000 / 2, "{late}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_talks_and_never_reads_is_left() {
    let node = Node::start().await;
    let mut socket = overwhelmed(&node, 2_000).await;
    let talking = async {
        loop {
            let ping = Message::text(r#"{"type":"ping"}"#);
            if socket.0.send(ping).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, talking).await.expect("it is left");
    node.followed(0).await;
    node.canary().await;
}
