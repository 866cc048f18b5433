//! POST /uploads.

use std::time::Duration;

use entity::upload;
use ponte::{auth::token, clock::Clock, http::Timing, item::upload as stored};
use sea_orm::EntityTrait as _;
use serde_json::json;

use super::harness::{Answer, Node, Raw, send, timing};

async fn upload(node: &Node, token: &str, body: impl Into<reqwest::Body>) -> Answer {
    let request = node
        .client
        .post(node.url("/uploads"))
        .header("content-type", "application/x-ofx");
    send(request.bearer_auth(token).body(body)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_kept_as_it_was_sent_with_either_kind_of_token() {
    let node = Node::start().await;
    let file: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for token in [node.key.clone(), node.connect_token(&[]).await] {
        let answer = upload(&node, &token, file.clone()).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(
            answer.header("content-type"),
            "application/json; charset=utf-8"
        );
        assert_eq!(answer.header("cache-control"), "no-store");
        let body = answer.json();
        assert_eq!(body.as_object().expect("an object").len(), 2);
        let id = body["uploadId"]
            .as_str()
            .and_then(|id| id.parse().ok())
            .expect("an id");
        let kept = stored::read(&node.app, node.owner.id, id)
            .await
            .expect("a read");
        assert!(kept.as_deref() == Some(&*file));
        let row = upload::Entity::find_by_id(id)
            .one(node.app.db.read())
            .await
            .expect("a read")
            .expect("a row");
        assert_eq!(body["expiresAt"], json!(row.expires_at.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_taken() {
    let node = Node::start().await;
    let request = || node.client.post(node.url("/uploads")).body("file");
    for answer in [
        send(request()).await,
        send(request().bearer_auth("x")).await,
        send(request().header("x-api-key", "x")).await,
    ] {
        assert_eq!(answer.refusal(), (401, "UNAUTHENTICATED".to_owned()));
    }
    let bound = node.connect_token(&["https://app.example.com"]).await;
    let answer = send(
        request()
            .bearer_auth(bound)
            .header("origin", "https://evil.example.com"),
    )
    .await;
    assert_eq!(answer.refusal(), (403, "FORBIDDEN".to_owned()));
    assert_eq!(
        upload::Entity::find()
            .all(node.app.db.read())
            .await
            .expect("a read"),
        []
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_too_large_files_are_refused() {
    let node = Node::start().await;
    let empty = upload(&node, &node.key, "").await;
    assert_eq!(empty.refusal(), (400, "INVALID_INPUT".to_owned()));
    assert_eq!(empty.extension("field"), json!("file"));
    let large = vec![7; stored::LARGEST + 1];
    let announced = upload(&node, &node.key, large.clone()).await;
    let pieces: Vec<_> = large
        .chunks(1_000_000)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let streamed = upload(&node, &node.key, body).await;
    for answer in [announced, streamed] {
        assert_eq!(answer.refusal(), (413, "INVALID_INPUT".to_owned()));
        assert_eq!(answer.extension("field"), json!("file"));
    }
    node.canary().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_cut_off_or_stalls_leaves_nothing_usable() {
    let timing = Timing {
        upload_idle: Duration::from_millis(300),
        ..timing()
    };
    let node = Node::start_with(&[], timing, Clock::system()).await;
    let head = format!(
        "POST /uploads HTTP/1.1\r\nHost: x\r\nX-API-KEY: {}\r\nContent-Length: 1000000\r\n\r\n{}",
        node.key,
        "x".repeat(600_000)
    );
    let mut stalled = Raw::open(node.address).await;
    stalled.send(&head).await;
    let answer = stalled.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let mut cut = Raw::open(node.address).await;
    cut.send(&head).await;
    drop(cut);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let rows = upload::Entity::find()
        .all(node.app.db.read())
        .await
        .expect("a read");
    assert!(!rows.is_empty());
    for row in rows {
        assert!(!row.complete);
        assert_eq!(
            stored::read(&node.app, node.owner.id, row.id)
                .await
                .expect("a read"),
            None
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_files_that_wait_are_refused_until_they_expire() {
    let node = Node::start().await;
    let principal = token::verify(&node.app, &node.key).await.expect("the key");
    for _ in 0..20 {
        stored::begin(&node.app, &principal)
            .await
            .expect("an upload");
    }
    let answer = upload(&node, &node.key, "file").await;
    assert_eq!(answer.refusal(), (429, "RATE_LIMITED".to_owned()));
    let seconds: u64 = answer.header("retry-after").parse().expect("seconds");
    assert_eq!(answer.extension("retryAfter"), json!(seconds));
}
