//! How a node stops, and what clients that leave cost.

use std::time::{Duration, Instant};

use ponte::event::cursor;
use serde_json::json;
use tokio::time::timeout;

use super::harness::{Node, PATIENCE, Raw, Said, events};

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_sockets_are_told_to_come_back_and_the_node_stops_within_ten_seconds() {
    const SOCKETS: usize = 300;
    let mut node = Node::start().await;
    let mut sockets = Vec::new();
    for n in 0..SOCKETS {
        let mut socket = node.socket().await;
        if n % 2 == 0 {
            socket.subscribe("1", &events("e")).await;
        }
        sockets.push(socket);
    }
    node.followed(1).await;
    // Those that are told of something have begun.
    node.happen(1).await;
    for socket in sockets.iter_mut().step_by(2) {
        assert_eq!(socket.message().await["type"], "next");
    }
    let mut idle = Raw::open(node.address).await;
    let began = Instant::now();
    node.app.stop();
    let position = cursor::encode(&node.app, node.owner.id, 1);
    for (n, socket) in sockets.iter_mut().enumerate() {
        if n % 2 == 0 {
            // Where to resume.
            let farewell = json!({ "type": "ping", "payload": { "cursors": { "1": position } } });
            assert_eq!(socket.next().await, Said::Message(farewell));
        }
        assert_eq!(
            socket.next().await,
            Said::Close(1001, "Going away".to_owned())
        );
    }
    assert_eq!(idle.rest().await, "");
    timeout(PATIENCE, &mut node.serving)
        .await
        .expect("it stops")
        .expect("no panic")
        .expect("no error");
    timeout(PATIENCE, node.app.stopped())
        .await
        .expect("everything stops");
    println!("{SOCKETS} sockets, {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_finished_and_new_ones_find_nobody() {
    let mut node = Node::start().await;
    let body = json!({ "query": "{ __typename }" }).to_string();
    let (one, two) = body.split_at(10);
    let mut slow = Raw::open(node.address).await;
    slow.send(format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{one}",
        body.len()
    ))
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    node.app.stop();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(tokio::net::TcpStream::connect(node.address).await.is_err());
    slow.send(two).await;
    let answer = slow.rest().await;
    assert!(
        answer.ends_with(r#"{"data":{"__typename":"Query"}}"#),
        "{answer}"
    );
    timeout(PATIENCE, &mut node.serving)
        .await
        .expect("it stops")
        .expect("no panic")
        .expect("no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_neither_finish_nor_read_do_not_hold_the_node_up() {
    let timing = ponte::http::Timing {
        drain: Duration::from_secs(1),
        close: Duration::from_millis(200),
        ..ponte::http::Timing::default()
    };
    let mut node = Node::start_with(&[], timing, ponte::clock::Clock::system()).await;
    let mut stuck = Raw::open(node.address).await;
    stuck.send("POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{").await;
    let deaf = node.socket().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let began = Instant::now();
    node.app.stop();
    timeout(PATIENCE, &mut node.serving)
        .await
        .expect("it stops")
        .expect("no panic")
        .expect("no error");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    drop(deaf);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_leave_in_the_middle_take_nothing_with_them() {
    const CLIENTS: usize = 1_000;
    let node = Node::start().await;
    let input =
        json!({ "clientId": node.owner.client_id, "clientSecret": node.owner.client_secret });
    let document = "mutation($i: CreateApiKeyInput!) { createApiKey(input: $i) { apiKey } }";
    let body = json!({ "query": document, "variables": { "i": input } }).to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    for n in 0..CLIENTS {
        let mut client = Raw::open(node.address).await;
        let cut = request.len() - (n % 7) * (n % 3) * 5;
        client.send(&request.as_bytes()[..cut]).await;
    }
    for n in 0..100 {
        let mut socket = node.socket().await;
        socket.subscribe("1", &events("e")).await;
        if n % 2 == 0 {
            socket.subscribe("2", "{ __typename }").await;
        }
    }
    node.followed(0).await;
    node.canary().await;
    node.happen(1).await;
}
