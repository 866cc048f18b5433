//! Hostile documents and bodies: a short answer, soon, and a node that goes on.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use ponte::clock::Rng;
use serde_json::{Value, json};

use super::{
    harness::{Node, Raw, Socket, seed, send},
    hostile::documents,
};

/// What an answer to abuse may have.
const BYTES: usize = 8 * 1024;
/// In debug builds on a busy machine; `cargo bench -- abuse` measures what is promised.
const SOON: Duration = Duration::from_secs(2);

/// The last look at an answer that came within bounds.
fn judge(what: &str, text: &str, took: Duration) -> Value {
    println!("{what}: {} bytes, {took:?}", text.len());
    assert!(text.len() <= BYTES, "{what}: {} bytes", text.len());
    assert!(took < SOON, "{what}: {took:?}");
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{what}: {text}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_documents_get_short_answers_soon_over_http_with_a_key_and_without() {
    let node = Node::start().await;
    for (what, document) in documents() {
        for key in [Some(&node.key), None] {
            let mut request = node.post(json!({ "query": document }).to_string());
            if let Some(key) = key {
                request = request.bearer_auth(key);
            }
            let began = Instant::now();
            let answer = send(request).await;
            let body = judge(what, &answer.text, began.elapsed());
            assert!(answer.status.as_u16() < 500, "{what}: {answer:?}");
            let errors = body["errors"].as_array().map_or(0, Vec::len);
            assert!(errors <= 10, "{what}: {errors} errors");
            assert!(errors > 0 || body["data"].is_object(), "{what}: {body}");
        }
    }
    node.canary().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_documents_get_short_answers_soon_over_a_socket() {
    let node = Node::start().await;
    let mut socket = node.socket().await;
    for (what, document) in documents() {
        let began = Instant::now();
        socket.subscribe("1", &document).await;
        let message = socket.message().await;
        judge(what, &message.to_string(), began.elapsed());
        if message["type"] == "next" {
            assert_eq!(socket.message().await["type"], "complete", "{what}");
        } else {
            assert_eq!(message["type"], "error", "{what}: {message}");
        }
    }
    socket.subscribe("1", "{ __typename }").await;
    assert_eq!(socket.message().await["type"], "next");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_bodies_get_short_answers_soon() {
    let node = Node::start().await;
    let nested = |open: &str, close: &str, times: usize| {
        format!("{}{}", open.repeat(times), close.repeat(times))
    };
    let query =
        |variables: String| format!(r#"{{"query":"{{ __typename }}","variables":{variables}}}"#);
    for (what, body, status) in [
        ("deep JSON", nested("[", "]", 60_000).into_bytes(), 200),
        (
            "deep variables",
            query(nested("{\"a\":", "", 10_000) + "1" + &"}".repeat(10_000)).into_bytes(),
            200,
        ),
        (
            "a batch",
            format!(
                "[{}]",
                vec![r#"{"query":"{ __typename }"}"#; 1_000].join(",")
            )
            .into_bytes(),
            400,
        ),
        ("huge", vec![b'x'; 10 * 1024 * 1024], 413),
        ("just too large", vec![b' '; 128 * 1024 + 1], 413),
        ("not UTF-8", b"{\"query\":\"\xff\xfe\"}".to_vec(), 400),
        (
            "an unpaired surrogate",
            br#"{"query":"\ud800"}"#.to_vec(),
            400,
        ),
        ("zeroes", vec![0; 100_000], 400),
        (
            "many members",
            format!(
                "{{{}\"query\":7}}",
                (0..9_000).fold(String::new(), |mut all, n| {
                    write!(all, "\"k{n}\":1,").expect("a string");
                    all
                })
            )
            .into_bytes(),
            400,
        ),
    ] {
        let began = Instant::now();
        let answer = send(node.post(body).bearer_auth(&node.key)).await;
        let body = judge(what, &answer.text, began.elapsed());
        assert_eq!(answer.status.as_u16(), status, "{what}: {answer:?}");
        assert!(
            body["errors"][0]["extensions"]["code"].is_string(),
            "{what}"
        );
        if status == 413 {
            assert_eq!(answer.extension("limit"), json!("body"), "{what}");
        }
    }
    node.canary().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_cut_off() {
    let node = Node::start().await;
    let pieces =
        futures_util::stream::iter((0..2_000).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 1_024])));
    let answer = send(node.post(reqwest::Body::wrap_stream(pieces))).await;
    assert_eq!(answer.refusal(), (413, "DOCUMENT_REJECTED".to_owned()));
    node.canary().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_request_end_their_connection_only() {
    let node = Node::start().await;
    let rng = Rng::seeded(seed());
    for n in 0..200 {
        let mut raw = Raw::open(node.address).await;
        let noise: [u8; 256] = rng.bytes();
        let bytes = match n % 4 {
            0 => noise.to_vec(),
            1 => [b"POST /graphql HTTP/1.1\r\n".as_slice(), &noise].concat(),
            2 => [
                b"GET /graphql?query=".as_slice(),
                &noise,
                b" HTTP/1.1\r\nHost: x\r\n\r\n",
            ]
            .concat(),
            _ => [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &noise].concat(),
        };
        raw.send(bytes).await;
    }
    node.canary().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bodies_and_messages_are_answered_and_never_with_a_fault() {
    const TRIED: usize = 300;
    let node = Node::start().await;
    let rng = Rng::seeded(seed());
    let words = [
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ":",
        "!",
        "$",
        "@",
        "...",
        "|",
        "&",
        "=",
        "\"",
        "\"\"\"",
        "\\",
        "#",
        "\n",
        "query ",
        "mutation ",
        "subscription ",
        "fragment ",
        "on ",
        "__typename ",
        "__schema ",
        "fields ",
        "events ",
        "createApiKey ",
        "input",
        "null ",
        "true ",
        "7",
        "-0.1e9",
        "a",
        "é",
        "\u{feff}",
    ];
    let pick = |below: usize| usize::from(rng.bytes::<1>()[0]) % below;
    let mut socket = node.socket().await;
    for n in 0..TRIED {
        let document: String = (0..pick(60)).map(|_| words[pick(words.len())]).collect();
        let body = match n % 3 {
            0 => document.clone(),
            _ => json!({ "query": document, "variables": { "a": document } }).to_string(),
        };
        let answer = send(node.post(body).bearer_auth(&node.key)).await;
        assert!(answer.status.as_u16() < 500, "{document:?}: {answer:?}");
        answer.json();
        let message = match n % 3 {
            0 => document.clone(),
            _ => json!({ "id": n.to_string(), "type": "subscribe", "payload": { "query": document } }).to_string(),
        };
        socket.text(message).await;
        if n % 3 == 0 {
            assert_eq!(socket.closed().await, 4400, "{document:?}");
            socket = node.socket().await;
        }
    }
    println!("{TRIED} tried");
    node.canary().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_break_the_protocol_below_end_their_socket_only() {
    let node = Node::start().await;
    let rng = Rng::seeded(seed());
    for n in 0..50 {
        let socket = Socket::open(node.address, &[]).await.expect("a socket");
        let mut raw = Raw(socket.0.into_inner());
        let mut noise = rng.bytes::<64>();
        if n % 2 == 0 {
            // A text frame that announces 2^63 bytes.
            noise[..10]
                .copy_from_slice(&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        }
        raw.send(noise).await;
    }
    node.canary().await;
}
