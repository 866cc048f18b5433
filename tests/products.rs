//! What is collected for an Item may be decided later: what is added has its whole history, what comes back has no gap.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, id_at, on_both_engines};

const DAY: Duration = Duration::from_hours(24);

/// A product with a history, what else is collected, and how its rows are asked for: a page of what they hang from, and
/// where in it they are.
struct Case {
    product: &'static str,
    others: &'static [&'static str],
    page: &'static str,
    rows: &'static str,
}

const CASES: [Case; 3] = [
    Case {
        product: "TRANSACTIONS",
        others: &["ACCOUNTS", "CREDIT_CARDS"],
        page: "transactions(first: 500, after: $after) { pageInfo { hasNextPage endCursor } \
               nodes { day: postedOn providerId description amount status balance account { number } } }",
        rows: "",
    },
    Case {
        product: "INVESTMENTS_TRANSACTIONS",
        others: &["ACCOUNTS", "INVESTMENTS"],
        page: "investments(first: 200, after: $after) { pageInfo { hasNextPage endCursor } \
               nodes { name transactions(first: 500) { totalCount nodes { day: date providerId type description amount quantity } } } }",
        rows: "transactions",
    },
    Case {
        product: "ACCOUNT_STATEMENTS",
        others: &["ACCOUNTS"],
        page: "accounts(first: 200, after: $after) { pageInfo { hasNextPage endCursor } \
               nodes { number statements(first: 200) { totalCount nodes { day: month size sha256 } } } }",
        rows: "statements",
    },
];

impl Case {
    fn with_it(&self) -> Vec<&'static str> {
        self.others.iter().copied().chain([self.product]).collect()
    }

    /// The rows of an Item in their order, each with what it hangs from; what it begins with is its day.
    async fn shown(&self, test: &TestApp, item: Uuid) -> Vec<String> {
        let document = format!(
            "query($id: ID!, $after: String) {{ item(id: $id) {{ page: {} }} }}",
            self.page
        );
        let mut shown = Vec::new();
        let mut after = Value::Null;
        loop {
            let data = test
                .data(&document, json!({ "id": item, "after": after }))
                .await;
            let page = &data["item"]["page"];
            for node in page["nodes"].as_array().expect("a list") {
                let (parent, rows) = match self.rows {
                    "" => (node["account"]["number"].clone(), vec![node.clone()]),
                    list => {
                        let rows = node[list]["nodes"].as_array().expect("a list");
                        assert_eq!(
                            node[list]["totalCount"],
                            rows.len(),
                            "one page has them all"
                        );
                        let name = [&node["name"], &node["number"]];
                        (json!(name), rows.clone())
                    }
                };
                shown.extend(rows.iter().map(|row| {
                    let day = row["day"].as_str().expect("a day");
                    format!("{day} of {parent}: {row}")
                }));
            }
            if page["pageInfo"]["hasNextPage"] == false {
                shown.sort_unstable();
                return shown;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    }

    /// A new Item of the same user, settled.
    async fn connected(&self, test: &TestApp, products: &[&str]) -> Uuid {
        let input = json!({ "connectorId": "2", "products": products, "parameters": [
            { "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" },
        ] });
        let document =
            "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        let data = test.data(document, json!({ "input": input })).await;
        test.settle().await;
        id_at(&data, "/createItem/item/id")
    }

    /// A run of an Item that collects these products from now on, settled and good.
    async fn collect(&self, test: &TestApp, item: Uuid, products: &[&str]) {
        let document =
            "mutation($input: UpdateItemInput!) { updateItem(input: $input) { item { id } } }";
        let input = json!({ "itemId": item, "products": products });
        test.data(document, json!({ "input": input })).await;
        test.settle().await;
        assert_eq!(test.item(item).await["executionStatus"], "SUCCESS");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_is_added_has_the_history_that_a_new_item_has() {
    on_both_engines(|test| async move {
        for case in CASES {
            let product = case.product;
            let item = case.connected(&test, case.others).await;
            for days in [3, 40] {
                test.advance(DAY * days);
                test.updated(item, &[]).await;
                assert_eq!(case.shown(&test, item).await, [""; 0], "{product}");
            }
            let connected = &test.app.clock.now().minus(DAY * 43).date().to_string();
            test.advance(DAY);
            case.collect(&test, item, &case.with_it()).await;
            let fresh = case.connected(&test, &case.with_it()).await;
            let expected = case.shown(&test, fresh).await;
            let added = case.shown(&test, item).await;
            assert_eq!(added, expected, "{product}");
            // This is about days before the Item was there.
            let older = added.iter().filter(|row| *row < connected).count();
            assert!(older > 3, "{product}: {older} of {}", added.len());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_comes_back_has_no_gap() {
    on_both_engines(|test| async move {
        for case in CASES {
            let product = case.product;
            let item = case.connected(&test, &case.with_it()).await;
            let before = case.shown(&test, item).await;
            for days in [1, 40] {
                test.advance(DAY * days);
                case.collect(&test, item, case.others).await;
                assert_eq!(
                    case.shown(&test, item).await,
                    before,
                    "{product}: what is stored stays"
                );
            }
            case.collect(&test, item, &case.with_it()).await;
            let fresh = case.connected(&test, &case.with_it()).await;
            let expected = case.shown(&test, fresh).await;
            let mut back = case.shown(&test, item).await;
            // What the bank itself no longer shows stays too.
            let oldest = expected[0].clone();
            let older = back.iter().filter(|row| **row < oldest).count();
            assert_eq!(back[..older], before[..older], "{product}");
            assert_eq!(back.split_off(older), expected, "{product}");
        }
    })
    .await;
}
