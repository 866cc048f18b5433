//! The audits of GraphQL over HTTP, by their authors.

use tokio::process::Command;

use crate::harness::Node;

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
