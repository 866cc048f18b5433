//! Strangers: the audits of GraphQL over HTTP, and the client of graphql-ws, by their authors.

use std::time::Duration;

use tokio::process::Command;

use super::harness::{Node, events};

async fn audit(node: &Node, key: Option<&str>) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node");
    let mut command = Command::new("node");
    command
        .arg("audit.mjs")
        .current_dir(folder)
        .env("AUDIT_URL", node.url("/graphql"));
    if let Some(key) = key {
        command.env("AUDIT_API_KEY", key);
    }
    let output = command.output().await.expect("node runs");
    assert!(
        output.status.success(),
        "run `npm --prefix tests/node ci` if modules are missing\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_audit_of_graphql_over_http_passes_with_a_key_and_without() {
    let node = Node::start().await;
    audit(&node, Some(&node.key)).await;
    audit(&node, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_of_graphql_ws_is_served() {
    let node = Node::start().await;
    let mut client = Command::new("node")
        .arg("socket.mjs")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node"))
        .env("SOCKET_URL", format!("ws://{}/graphql", node.address))
        .env("SOCKET_API_KEY", &node.key)
        .env("SOCKET_SUBSCRIPTION", events("e"))
        .kill_on_drop(true)
        .spawn()
        .expect("node runs");
    // Something happens until it has heard of enough.
    let status = loop {
        let waiting = tokio::time::timeout(Duration::from_millis(200), client.wait());
        match waiting.await {
            Ok(status) => break status.expect("it ends"),
            Err(_) => node.happen(1).await,
        }
    };
    assert!(
        status.success(),
        "run `npm --prefix tests/node ci` if modules are missing"
    );
    node.followed(0).await;
}
