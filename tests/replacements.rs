//! Rows that an institution deletes and writes anew.

use std::sync::{Arc, Mutex};

use crate::support::{
    TestApp, id_at,
    scripted::{Bank, row, scripted},
};
use entity::replaced_transaction;
use ponte::{connector::TransactionRecord, db::Engine};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};
use uuid::Uuid;

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

struct Rewriting {
    test: TestApp,
    bank: Arc<Mutex<Bank>>,
    item: Uuid,
}

impl Rewriting {
    /// An Item whose bank shows these rows, collected once.
    async fn over(engine: Engine, rows: Vec<TransactionRecord>) -> Self {
        let (registry, bank) = scripted();
        let test = TestApp::start_over(engine, &[], registry).await;
        bank.lock().expect("a bank").rows = rows;
        let data = test
            .data(
                "mutation { createItem(input: { connectorId: \"7000\", clientUserId: \"ana\", parameters: [{ name: \"user\", value: \"x\" }] }) { item { id } } }",
                json!({}),
            )
            .await;
        let item = id_at(&data, "/createItem/item/id");
        test.settle().await;
        Self { test, bank, item }
    }

    /// Shows other rows, runs, and answers all rows, newest first.
    async fn show(&self, rows: Vec<TransactionRecord>) -> Vec<Value> {
        self.bank.lock().expect("a bank").rows = rows;
        self.test.updated(self.item, &[]).await;
        self.rows().await
    }

    async fn rows(&self) -> Vec<Value> {
        let data = self
            .test
            .data(
                "query($id: ID!) { item(id: $id) { transactions { totalCount nodes { id description replaces { transactionId confidence } \
                   replacedBy { transactionId } deletedAt } } } }",
                json!({ "id": self.item }),
            )
            .await;
        let list = &data["item"]["transactions"];
        let rows = list["nodes"].as_array().cloned().unwrap_or_default();
        assert_eq!(list["totalCount"], rows.len());
        assert!(
            rows.iter()
                .all(|row| row["deletedAt"].is_null() && row["replacedBy"].is_null())
        );
        rows
    }

    /// A transaction by its id, in both ways.
    async fn find(&self, id: &Value) -> Value {
        let fields = "id description amount deletedAt account { id } asOf replaces { transactionId } replacedBy { transactionId confidence }";
        let document = format!(
            "query($id: ID!) {{ transaction(id: $id) {{ {fields} }} node(id: $id) {{ ... on Transaction {{ {fields} }} }} }}"
        );
        let data = self.test.data(&document, json!({ "id": id })).await;
        assert_eq!(data["transaction"], data["node"]);
        data["node"].clone()
    }

    /// What the last event about deleted rows says.
    async fn last_deleted(&self) -> Value {
        let data = self
            .test
            .data(
                "query($id: ID!) { events(first: 200, filter: { itemId: $id, types: [TRANSACTIONS_DELETED] }) { nodes { payload } } }",
                json!({ "id": self.item }),
            )
            .await;
        let nodes = data["events"]["nodes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        nodes
            .last()
            .map_or(Value::Null, |node| node["payload"].clone())
    }

    async fn kept(&self) -> u64 {
        let kept = replaced_transaction::Entity::find();
        kept.count(self.test.app.db.read()).await.expect("counted")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_written_anew_leads_from_its_old_id_to_the_new_one() {
    for engine in ENGINES {
        let it = Rewriting::over(
            engine,
            vec![
                row(Some("a"), "2026-03-15", -1_000, "MERCADO EXTRA SAO PAULO"),
                row(Some("b"), "2026-03-15", -2_000, "Fuel"),
            ],
        )
        .await;
        let old = it
            .rows()
            .await
            .into_iter()
            .find(|row| row["description"] != "Fuel");
        let old = old.expect("a row")["id"].clone();
        let living = it.find(&old).await;
        assert_eq!(living["deletedAt"], Value::Null);

        // The amount and the text are nearly the same, the day is another one.
        let rows = it
            .show(vec![row(Some("c"), "2026-03-16", -1_000, "MERCADO EXTRA")])
            .await;
        assert_eq!(rows.len(), 1);
        assert_eq!(
            rows[0]["replaces"],
            json!({ "transactionId": old, "confidence": "0.95" })
        );
        let payload = it.last_deleted().await;
        assert_eq!(payload["transactionIds"].as_array().map(Vec::len), Some(2));
        assert_eq!(
            payload["replacements"],
            json!([{ "transactionId": old, "replacedBy": rows[0]["id"], "confidence": 0.95 }])
        );
        let gone = it.find(&old).await;
        assert!(gone["deletedAt"].is_string() && gone["asOf"].is_string());
        assert_eq!(
            (&gone["description"], &gone["amount"]),
            (&json!("MERCADO EXTRA SAO PAULO"), &json!("-10.00"))
        );
        assert_eq!(gone["account"], living["account"]);
        assert_eq!(
            gone["replacedBy"],
            json!({ "transactionId": rows[0]["id"], "confidence": "0.95" })
        );
        assert_eq!(
            it.show(vec![row(Some("c"), "2026-03-16", -1_000, "MERCADO EXTRA")])
                .await,
            rows
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_replacements_stays_until_its_end_is_gone_for_good() {
    for engine in ENGINES {
        let it =
            Rewriting::over(engine, vec![row(Some("a"), "2026-03-15", -1_000, "Bakery")]).await;
        let a = it.rows().await[0]["id"].clone();
        let b = it
            .show(vec![row(Some("b"), "2026-03-15", -1_000, "Bakery")])
            .await[0]["id"]
            .clone();
        let c = it
            .show(vec![row(Some("c"), "2026-03-15", -1_005, "Bakery")])
            .await[0]["id"]
            .clone();
        let found = it.find(&a).await;
        assert_eq!(
            found["replacedBy"],
            json!({ "transactionId": b, "confidence": "1.00" })
        );
        let found = it.find(&b).await;
        assert_eq!(found["replaces"], json!({ "transactionId": a }));
        assert_eq!(
            found["replacedBy"],
            json!({ "transactionId": c, "confidence": "0.70" })
        );
        assert_eq!(it.find(&c).await["replaces"], json!({ "transactionId": b }));

        assert_eq!(it.show(Vec::new()).await, Vec::<Value>::new());
        assert_eq!(it.last_deleted().await["replacements"], json!([]));
        for id in [a, b, c] {
            assert_eq!(it.find(&id).await, Value::Null);
        }
        assert_eq!(it.kept().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_is_exported_and_goes_with_its_item() {
    for engine in ENGINES {
        let it =
            Rewriting::over(engine, vec![row(Some("a"), "2026-03-15", -1_000, "Bakery")]).await;
        let a = it.rows().await[0]["id"].clone();
        it.show(vec![row(Some("b"), "2026-03-15", -1_000, "Bakery")])
            .await;
        for (first, page) in [(500, 1), (1, 2)] {
            let mut after = Value::Null;
            let mut found = Vec::new();
            loop {
                let data = it
                    .test
                    .data(
                        "query($first: Int, $after: String) { exportClientUser(clientUserId: \"ana\", first: $first, after: $after) \
                           { records { ... on Transaction { id deletedAt } } cursor } }",
                        json!({ "first": first, "after": after }),
                    )
                    .await;
                let page = &data["exportClientUser"];
                found.extend(page["records"].as_array().cloned().unwrap_or_default());
                after = page["cursor"].clone();
                if after.is_null() {
                    break;
                }
            }
            found.retain(|record| record["id"].is_string());
            assert_eq!(found.len(), 2, "in pages of {page}");
            assert_eq!(found[1]["id"], a);
            assert!(found[0]["deletedAt"].is_null() && found[1]["deletedAt"].is_string());
        }
        it.test
            .data(
                "mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }",
                json!({ "id": it.item }),
            )
            .await;
        assert_eq!(it.find(&a).await, Value::Null);
        it.test.settle().await;
        assert_eq!(it.kept().await, 0);
    }
}
