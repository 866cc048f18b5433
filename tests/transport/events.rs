//! Answers as server-sent events and in parts: the forms, what resumes them, what ends them.

use std::time::Duration;

use ponte::{clock::Clock, event::cursor};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::harness::{Node, PATIENCE, eventually, send, timing};

const EVENTS: &str = "subscription { events { cursor } }";

/// A stream that is read piece by piece.
struct Stream {
    response: Response,
    read: String,
}

impl Stream {
    async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200, "{:?}", response.headers());
        Self {
            response,
            read: String::new(),
        }
    }

    /// The next block up to a separator; `None` when the stream has ended.
    async fn block(&mut self, separator: &str) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.read.split_once(separator) {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.read = rest;
                return Some(block);
            }
            let piece = timeout(PATIENCE, self.response.chunk()).await;
            match piece.expect("in time").ok().flatten() {
                Some(piece) => self.read += std::str::from_utf8(&piece).expect("text"),
                None => return None,
            }
        }
    }

    /// The next event: its id, name and data. Comments and settings are passed over.
    async fn event(&mut self) -> Option<(Option<String>, String, String)> {
        loop {
            let block = self.block("\n\n").await?;
            let field = |name: &str| {
                let mut lines = block.lines();
                lines
                    .find_map(|line| line.strip_prefix(name))
                    .map(|text| text.trim().to_owned())
            };
            if let Some(name) = field("event:") {
                return Some((field("id:"), name, field("data:").unwrap_or_default()));
            }
            if let Some(id) = field("id:") {
                return Some((Some(id), String::new(), String::new()));
            }
        }
    }

    /// The answer in the next event, and its id.
    async fn answer(&mut self) -> (Option<String>, Value) {
        loop {
            let (id, name, data) = self.event().await.expect("an event");
            // Where the stream stands, told once.
            if !name.is_empty() {
                assert_eq!(name, "next", "{data}");
                return (id, serde_json::from_str(&data).expect("JSON"));
            }
        }
    }
}

fn streaming(node: &Node, document: &str) -> RequestBuilder {
    node.post(json!({ "query": document }).to_string())
        .header("accept", "text/event-stream")
        .timeout(Duration::from_mins(5))
}

/// The address that asks a document with a token.
fn asking(node: &Node, document: &str, token: &str) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("query", document)
        .append_pair("access_token", token);
    node.url(&format!("/graphql?{}", query.finish()))
}

fn at(node: &Node, position: i64) -> String {
    cursor::encode(&node.app, node.owner.id, position)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_a_stream_of_events_whose_ids_are_cursors() {
    let node = Node::start().await;
    let mut stream = Stream::open(streaming(&node, EVENTS).bearer_auth(&node.key)).await;
    assert_eq!(
        stream.response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    assert_eq!(stream.response.headers()["cache-control"], "no-store");
    assert_eq!(
        stream.event().await,
        Some((Some(at(&node, 0)), String::new(), String::new())),
        "it begins with where it begins"
    );
    node.happen(2).await;
    for position in 1..=2 {
        let cursor = at(&node, position);
        assert_eq!(
            stream.answer().await,
            (
                Some(cursor.clone()),
                json!({ "data": { "events": { "cursor": cursor } } })
            )
        );
    }
    drop(stream);
    // Whoever comes back says what came last.
    node.happen(1).await;
    let back = streaming(&node, EVENTS)
        .bearer_auth(&node.key)
        .header("last-event-id", at(&node, 1));
    let mut stream = Stream::open(back).await;
    assert_eq!(stream.answer().await.0, Some(at(&node, 2)));
    assert_eq!(stream.answer().await.0, Some(at(&node, 3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_a_stream_of_one_answer_and_errors_are_told_in_the_stream() {
    let node = Node::start().await;
    for (document, answer) in [
        (
            "{ __typename }",
            json!({ "data": { "__typename": "Query" } }),
        ),
        ("{ invented }", json!("VALIDATION_FAILED")),
        ("{ viewer", json!("PARSE_FAILED")),
        (
            "subscription { events(after: \"x\") { id } }",
            json!("BAD_CURSOR"),
        ),
    ] {
        let mut stream = Stream::open(streaming(&node, document).bearer_auth(&node.key)).await;
        let (id, told) = stream.answer().await;
        assert_eq!(id, None);
        if answer.is_string() {
            assert_eq!(
                told["errors"][0]["extensions"]["code"], answer,
                "{document}"
            );
        } else {
            assert_eq!(told, answer);
        }
        assert_eq!(
            stream.event().await,
            Some((None, "complete".to_owned(), String::new()))
        );
        assert_eq!(stream.event().await, None);
    }
    // Who is not known gets no stream; nor does a cursor that never works, so that an EventSource gives up.
    let unknown = send(streaming(&node, EVENTS)).await;
    assert_eq!(unknown.refusal(), (401, "UNAUTHENTICATED".to_owned()));
    let lost = streaming(&node, EVENTS)
        .bearer_auth(&node.key)
        .header("last-event-id", "x");
    assert_eq!(send(lost).await.refusal(), (400, "BAD_CURSOR".to_owned()));
    let future = streaming(&node, EVENTS)
        .bearer_auth(&node.key)
        .header("last-event-id", at(&node, 9));
    assert_eq!(send(future).await.refusal(), (400, "BAD_CURSOR".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_takes_a_connect_token_and_nothing_else() {
    let node = Node::start().await;
    let token = node.connect_token(&["https://app.example"]).await;
    let open = |token: &str, document: &str| {
        node.client
            .get(asking(&node, document, token))
            .header("accept", "text/event-stream")
    };
    let follow = "subscription { itemUpdated { cursor } }";
    let mut stream = Stream::open(open(&token, follow)).await;
    assert_eq!(
        stream.event().await.and_then(|(id, ..)| id),
        Some(at(&node, 0))
    );
    let elsewhere = open(&token, follow).header("origin", "https://evil.example");
    assert_eq!(
        send(elsewhere).await.refusal(),
        (403, "FORBIDDEN".to_owned())
    );
    let key = send(open(&node.key, follow)).await;
    assert_eq!(key.refusal(), (400, "INVALID_INPUT".to_owned()));
    assert!(!key.text.contains(&node.key));
    let bad = send(open("x.y.z", follow)).await;
    assert_eq!(bad.refusal(), (401, "UNAUTHENTICATED".to_owned()));
    // Only streams take it there.
    let plain = node
        .client
        .get(asking(&node, "{ viewer { kind } }", &token));
    assert_eq!(
        send(plain).await.refusal(),
        (401, "UNAUTHENTICATED".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_without_complete_when_its_token_or_the_node_does() {
    let mut node = Node::start().await;
    let mut revoked = Stream::open(streaming(&node, EVENTS).bearer_auth(&node.key)).await;
    assert!(revoked.event().await.is_some());
    node.revoke().await;
    assert_eq!(revoked.event().await, None);

    let key = node.api_key().await;
    let mut stopped = Stream::open(streaming(&node, EVENTS).bearer_auth(&key)).await;
    assert!(stopped.event().await.is_some());
    node.app.stop();
    assert_eq!(stopped.event().await, None);
    timeout(PATIENCE, &mut node.serving)
        .await
        .expect("it stops")
        .expect("no panic")
        .expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_shows_that_it_lives() {
    let often = ponte::http::Timing {
        ping: Duration::from_millis(50),
        ..timing()
    };
    let node = Node::start_with(&[], often, Clock::system()).await;
    let mut stream = Stream::open(streaming(&node, EVENTS).bearer_auth(&node.key)).await;
    let mut comments = 0;
    while comments < 3 {
        comments += usize::from(stream.block("\n\n").await.expect("something") == ":");
    }
    let parts = node
        .post(json!({ "query": EVENTS }).to_string())
        .bearer_auth(&node.key)
        .header(
            "accept",
            "multipart/mixed;subscriptionSpec=\"1.0\", application/json",
        );
    let mut parts = Stream::open(parts).await;
    for _ in 0..3 {
        let part = parts.block("\r\n--graphql").await.expect("a part");
        assert!(part.is_empty() || part.ends_with("\r\n\r\n{}"), "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_subscription_comes_along_with_what_happens_elsewhere() {
    let often = ponte::http::Timing {
        ping: Duration::from_millis(150),
        ..timing()
    };
    let mut node = Node::start_with(&[], often, Clock::system()).await;
    let nobody = "subscription { itemUpdated(clientUserId: \"nobody\") { cursor } }";
    let mut stream = Stream::open(streaming(&node, nobody).bearer_auth(&node.key)).await;
    let id = |position| Some((Some(at(&node, position)), String::new(), String::new()));
    assert_eq!(stream.event().await, id(0));
    node.happen(3).await;
    assert_eq!(stream.event().await, id(3));
    let mut socket = node.socket().await;
    socket.subscribe("1", nobody).await;
    // Also who stood still before.
    node.happen(1).await;
    assert_eq!(stream.event().await, id(4));
    let position = at(&node, 4);
    let silent = timeout(Duration::from_millis(500), socket.next()).await;
    assert!(silent.is_err(), "{silent:?}");
    node.app.stop();
    assert_eq!(
        socket.message().await,
        json!({ "type": "ping", "payload": { "cursors": { "1": position } } })
    );
    assert_eq!(stream.event().await, None);
    timeout(PATIENCE, &mut node.serving)
        .await
        .expect("it stops")
        .expect("no panic")
        .expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_comes_in_parts_and_anything_else_in_one_piece() {
    let node = Node::start().await;
    let ask = |document: &str| {
        node.post(json!({ "query": document }).to_string())
            .bearer_auth(&node.key)
            .header(
                "accept",
                "multipart/mixed;boundary=\"graphql\";subscriptionSpec=\"1.0\", application/json",
            )
    };
    let query = send(ask("{ __typename }")).await;
    assert_eq!(query.text, r#"{"data":{"__typename":"Query"}}"#);
    assert_eq!(
        query.header("content-type"),
        "application/json; charset=utf-8"
    );
    let mut stream = Stream::open(ask(EVENTS)).await;
    assert_eq!(
        stream.response.headers()["content-type"],
        "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0"
    );
    node.happen(1).await;
    let mut told = Vec::new();
    while told.is_empty() {
        let part = stream.block("\r\n--graphql\r\n").await.expect("a part");
        if let Some((head, body)) = part.split_once("\r\n\r\n") {
            assert_eq!(head, "Content-Type: application/json");
            let body: Value = serde_json::from_str(body).expect("JSON");
            told.extend(body.get("payload").cloned());
            node.happen(1).await;
        }
    }
    let cursor = &told[0]["data"]["events"]["cursor"];
    assert!(
        [json!(at(&node, 1)), json!(at(&node, 2))].contains(cursor),
        "{told:?}"
    );

    let mut refused = Stream::open(ask("subscription { events(after: \"x\") { id } }")).await;
    let text = refused.block("--graphql--").await.expect("an end");
    assert!(text.contains("{\"payload\":{\"errors\":[{"), "{text}");
    let mut invalid = Stream::open(ask("subscription { invented }")).await;
    let text = invalid.block("--graphql--").await.expect("an end");
    assert!(text.contains("VALIDATION_FAILED"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_carries_several_operations() {
    let node = Node::start().await;
    let reserved = send(
        node.client
            .put(node.url("/graphql/stream"))
            .bearer_auth(&node.key),
    )
    .await;
    assert_eq!(reserved.status.as_u16(), 201);
    let token = reserved.text;
    let open = || {
        node.client
            .get(node.url("/graphql/stream"))
            .bearer_auth(&node.key)
            .header("accept", "text/event-stream")
            .header("x-graphql-event-stream-token", &token)
    };
    let bring = |id: &str, document: &str| {
        node.post(json!({ "query": document, "extensions": { "operationId": id } }).to_string())
            .bearer_auth(&node.key)
            .header("x-graphql-event-stream-token", &token)
    };
    let mut stream = Stream::open(open()).await;
    assert_eq!(
        send(open()).await.refusal(),
        (409, "INVALID_INPUT".to_owned())
    );

    assert_eq!(
        send(bring("q", "{ __typename }")).await.status.as_u16(),
        202
    );
    let (_, name, data) = stream.event().await.expect("an answer");
    assert_eq!(
        (name.as_str(), data.as_str()),
        (
            "next",
            r#"{"id":"q","payload":{"data":{"__typename":"Query"}}}"#
        )
    );
    let (_, name, data) = stream.event().await.expect("its end");
    assert_eq!(
        (name.as_str(), data.as_str()),
        ("complete", r#"{"id":"q"}"#)
    );

    assert_eq!(send(bring("s", EVENTS)).await.status.as_u16(), 202);
    assert_eq!(
        send(bring("s", EVENTS)).await.refusal(),
        (409, "INVALID_INPUT".to_owned())
    );
    assert_eq!(
        send(bring("", EVENTS)).await.refusal(),
        (400, "INVALID_INPUT".to_owned())
    );
    assert_eq!(send(bring("v", "{ invented }")).await.status.as_u16(), 202);
    let (_, name, data) = stream.event().await.expect("errors");
    assert!(
        name == "next" && data.contains("VALIDATION_FAILED"),
        "{data}"
    );
    stream.event().await.expect("its end");
    node.followed(1).await;
    node.happen(1).await;
    let (id, _, data) = stream.event().await.expect("an event");
    let cursor = at(&node, 1);
    assert_eq!(id.as_ref(), Some(&cursor));
    assert_eq!(
        data,
        json!({ "id": "s", "payload": { "data": { "events": { "cursor": cursor } } } }).to_string()
    );

    let stop = node
        .client
        .request(Method::DELETE, node.url("/graphql/stream?operationId=s"))
        .bearer_auth(&node.key)
        .header("x-graphql-event-stream-token", &token);
    assert_eq!(send(stop).await.status.as_u16(), 200);
    let (_, name, _) = stream.event().await.expect("its end");
    assert_eq!(name, "complete");
    eventually(|| node.app.feed.scopes() <= 1).await;

    // Of somebody else, of another node, and of the past: all the same.
    let theirs = node.connect_token(&[]).await;
    for (owner, name) in [(&theirs, token.as_str()), (&node.key, "another")] {
        let strange = node
            .client
            .get(node.url("/graphql/stream"))
            .bearer_auth(owner)
            .header("accept", "text/event-stream")
            .header("x-graphql-event-stream-token", name);
        assert_eq!(send(strange).await.refusal(), (404, "NOT_FOUND".to_owned()));
    }
    drop(stream);
    let gone = timeout(PATIENCE, async {
        while send(bring("again", EVENTS)).await.status.as_u16() != 404 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    gone.await.expect("the reservation ends with its stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_has_so_many_subscriptions_and_sockets_and_no_more() {
    let flags = [
        "--subscriptions-per-application",
        "2",
        "--sockets-per-application",
        "1",
    ];
    let node = Node::start_with(&flags, timing(), Clock::system()).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = Stream::open(streaming(&node, EVENTS).bearer_auth(&node.key)).await;
        assert!(stream.event().await.is_some());
        open.push(stream);
    }
    let mut third = Stream::open(streaming(&node, EVENTS).bearer_auth(&node.key)).await;
    let (_, told) = third.answer().await;
    let error = &told["errors"][0]["extensions"];
    assert_eq!(
        (&error["code"], &error["limit"], &error["most"]),
        (&json!("RATE_LIMITED"), &json!("subscriptions"), &json!(2))
    );
    let _socket = node.socket().await;
    let mut second = super::harness::Socket::open(node.address, &[])
        .await
        .expect("a socket");
    second
        .send(json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {}", node.key) } }))
        .await;
    assert_eq!(second.closed().await, 1013);
    let reservation = send(node.client.put(node.url("/graphql")).bearer_auth(&node.key)).await;
    assert_eq!(reservation.refusal(), (429, "RATE_LIMITED".to_owned()));
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_with_a_fresh_token_prolongs_a_socket() {
    let clock = Clock::manual(ponte::clock::Timestamp(1_790_000_000_000));
    let mut node = Node::start_with(&[], timing(), clock.clone()).await;
    let mut socket = node.socket().await;
    socket.subscribe("1", EVENTS).await;
    node.followed(1).await;
    clock.advance(Duration::from_mins(119));
    node.key = node.api_key().await;
    let headers = json!({ "Authorization": format!("Bearer {}", node.key) });
    socket
        .send(json!({ "type": "ping", "payload": headers }))
        .await;
    assert_eq!(socket.message().await, json!({ "type": "pong" }));
    clock.advance(Duration::from_hours(1));
    node.happen(1).await;
    assert_eq!(socket.message().await["type"], "next");
    // A token of other rights is none.
    let theirs = node.connect_token(&[]).await;
    let headers = json!({ "Authorization": format!("Bearer {theirs}") });
    socket
        .send(json!({ "type": "ping", "payload": headers }))
        .await;
    assert_eq!(socket.closed().await, 4403);
}
