//! The graph: pages, filters, relations, what tokens may read, what is followed.

use crate::support::{TestApp, on_both_engines};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let r = test
            .query(
                "query($id: ID!) { item(id: $id) { id accounts { nodes { id transactions(first: 2) { totalCount edges { cursor node { id postedOn amount account { id } } } pageInfo { hasNextPage hasPreviousPage } } } } identity { fullName addresses { city } } consents { nodes { id products } } } nope: connector(id: \"00\") { id } node(id: $id) { id __typename } bad: items(first: -1) { nodes { id } } }",
                json!({ "id": id }),
            )
            .await;
        println!("{r:#}");
    })
    .await;
}
