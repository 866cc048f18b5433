//! Accounts over time: closed, shown again, known by another key; and how fresh what is collected is.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{
    TestApp,
    scripted::{Bank, account, row, scripted_as},
};
use entity::kind::{AccountSubtype, AccountType, Product};
use ponte::{
    connector::{AccountRecord, Registry, Warning},
    db::Engine,
};
use serde_json::{Value, json};
use uuid::Uuid;

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

fn numbered(key: &str, number: &str) -> AccountRecord {
    AccountRecord {
        key: key.to_owned(),
        number: number.to_owned(),
        tax_number: Some("761.092.776-73".to_owned()),
        ..account(100)
    }
}

fn card(key: &str) -> AccountRecord {
    AccountRecord {
        kind: AccountType::Credit,
        subtype: AccountSubtype::CreditCard,
        subtype_raw: None,
        ..numbered(key, "4321")
    }
}

struct Living {
    test: TestApp,
    bank: Arc<Mutex<Bank>>,
    item: Uuid,
}

impl Living {
    /// An Item whose bank shows two accounts and a card, collected once.
    async fn start(engine: Engine) -> Self {
        let (connector, bank) = scripted_as(|form| form.products.insert(1, Product::CreditCards));
        let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
        {
            let mut bank = bank.lock().expect("a bank");
            bank.accounts = Some(vec![numbered("a", "1"), numbered("b", "2")]);
            bank.cards = vec![card("c")];
            bank.rows = vec![row(None, "2026-03-15", -1_000, "Coffee")];
        }
        let item = test.connect("7000", &[("user", "x")]).await;
        test.settle().await;
        Self { test, bank, item }
    }

    /// Changes the bank and runs; what `changes` tells of accounts.
    async fn run(&self, change: impl FnOnce(&mut Bank)) -> Vec<String> {
        change(&mut self.bank.lock().expect("a bank"));
        let after = self.changes(&Value::Null).await.1;
        self.test.updated(self.item, &[]).await;
        self.changes(&after).await.0
    }

    async fn changes(&self, after: &Value) -> (Vec<String>, Value) {
        let data = self
            .test
            .data(
                "query($after: String) { changes(first: 500, after: $after) { nodes { kind action fields } pageInfo { endCursor } } }",
                json!({ "after": after }),
            )
            .await;
        let nodes = data["changes"]["nodes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let told = nodes.iter().filter(|node| node["kind"] == "ACCOUNT");
        let told = told.map(|node| {
            format!(
                "{} {}",
                node["action"].as_str().unwrap_or("?"),
                node["fields"]
            )
        });
        (
            told.collect(),
            data["changes"]["pageInfo"]["endCursor"].clone(),
        )
    }

    /// Id, number, whether closed, ids of transactions; of all accounts.
    async fn accounts(&self, arguments: &str) -> Vec<(String, String, bool, Vec<Value>)> {
        let document = format!(
            "query($id: ID!) {{ item(id: $id) {{ accounts{arguments} {{ totalCount nodes {{ id number closedAt transactions {{ nodes {{ id }} }} }} }} }} }}"
        );
        let data = self.test.data(&document, json!({ "id": self.item })).await;
        let list = &data["item"]["accounts"];
        let nodes = list["nodes"].as_array().cloned().unwrap_or_default();
        assert_eq!(list["totalCount"], nodes.len());
        let text = |node: &Value, name: &str| node[name].as_str().unwrap_or("?").to_owned();
        let account = |node: &Value| {
            let rows = node["transactions"]["nodes"].as_array().cloned();
            let closed = !node["closedAt"].is_null();
            (
                text(node, "id"),
                text(node, "number"),
                closed,
                rows.unwrap_or_default(),
            )
        };
        nodes.iter().map(account).collect()
    }

    async fn closed(&self) -> Vec<String> {
        let closed = self.accounts("(closed: true)").await;
        closed.into_iter().map(|(_, number, ..)| number).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_vanishes_is_closed_and_opened_again_with_its_id() {
    for engine in ENGINES {
        let it = Living::start(engine).await;
        let before = it.accounts("").await;
        assert_eq!(before.len(), 3);
        assert_eq!(it.closed().await, [""; 0]);
        let told = it
            .run(|bank| bank.accounts = Some(vec![numbered("a", "1")]))
            .await;
        assert_eq!(told, [r#"UPDATED ["closedAt"]"#]);
        assert_eq!(it.closed().await, ["2"]);
        let open = it.accounts("(closed: false)").await;
        assert_eq!(open.len(), 2);
        let closed = it.accounts("(closed: true)").await;
        assert_eq!(
            (&closed[0].0, &closed[0].3),
            (&before[1].0, &before[1].3),
            "it keeps what it has"
        );
        assert_eq!(closed[0].3.len(), 1);
        assert_eq!(it.run(|_| {}).await, [""; 0], "it is told once");

        let told = it
            .run(|bank| bank.accounts = Some(vec![numbered("a", "1"), numbered("b", "2")]))
            .await;
        assert_eq!(told, [r#"UPDATED ["closedAt"]"#]);
        assert_eq!(it.accounts("").await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_closed_for_want_of_a_complete_answer() {
    for engine in ENGINES {
        let it = Living::start(engine).await;
        let warning = |code: &str| Warning {
            code: code.to_owned(),
            message: "some accounts were left out".to_owned(),
            provider_message: None,
        };
        it.run(|bank| {
            bank.accounts = Some(vec![numbered("a", "1")]);
            bank.warning = Some(warning("ACCT_003"));
        })
        .await;
        assert_eq!(it.closed().await, [""; 0], "some were left out");
        it.run(|bank| {
            bank.cards.clear();
            bank.failing = Some(Product::CreditCards);
        })
        .await;
        assert_eq!(it.closed().await, [""; 0], "the cards could not be read");
        it.run(|bank| {
            bank.failing = None;
            bank.warning = Some(warning("ACCT_005"));
        })
        .await;
        assert_eq!(
            it.closed().await,
            ["2", "4321"],
            "only limits were left out"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_under_another_key_is_the_same_by_its_number_and_holder() {
    for engine in ENGINES {
        let it = Living::start(engine).await;
        let before = it.accounts("").await;
        // The same login by another way: every key is another one. A stranger has the number of one of them.
        let told = it
            .run(|bank| {
                bank.accounts = Some(vec![
                    numbered("x", "1"),
                    numbered("y", "2"),
                    AccountRecord {
                        tax_number: Some("238.242.640-30".to_owned()),
                        ..numbered("z", "1")
                    },
                ]);
                bank.cards = vec![card("w")];
            })
            .await;
        assert_eq!(told, ["CREATED []"]);
        let after = it.accounts("").await;
        assert_eq!(
            after[..3],
            before[..],
            "also the rows, which have no ids at the bank"
        );
        assert_eq!(after.len(), 4);
        assert_eq!(it.closed().await, [""; 0]);
        assert_eq!(it.run(|_| {}).await, [""; 0]);
        assert_eq!(it.accounts("").await, after);

        // Two that look the same are two accounts.
        it.run(|bank| {
            bank.accounts = Some(vec![
                numbered("p", "1"),
                numbered("q", "1"),
                numbered("y", "2"),
            ]);
        })
        .await;
        let numbers: Vec<_> = it
            .accounts("(closed: false)")
            .await
            .into_iter()
            .map(|(id, number, ..)| (before.iter().any(|b| b.0 == id), number))
            .collect();
        assert_eq!(
            numbers,
            [
                (true, "2".to_owned()),
                (true, "4321".to_owned()),
                (false, "1".to_owned()),
                (false, "1".to_owned())
            ]
        );
    }
}

const FRESHNESS: &str = "query($id: ID!) { item(id: $id) { statusDetail { product asOf lastUpdatedAt stale } identity { asOf } \
    accounts { nodes { type asOf stale transactions(first: 1) { nodes { asOf stale } } } } } }";

#[tokio::test(flavor = "multi_thread")]
async fn data_says_as_of_when_it_is_and_whether_it_is_stale() {
    for engine in ENGINES {
        let it = Living::start(engine).await;
        let fresh = async || {
            let data = it.test.data(FRESHNESS, json!({ "id": it.item })).await;
            let item = data["item"].clone();
            let mut stale: Vec<String> = Vec::new();
            for one in item["statusDetail"].as_array().expect("products") {
                assert_eq!(one["asOf"], one["lastUpdatedAt"]);
                if one["stale"] == true {
                    stale.push(one["product"].as_str().expect("a name").to_owned());
                }
            }
            for account in item["accounts"]["nodes"].as_array().expect("accounts") {
                let product = usize::from(account["type"] != "BANK");
                let detail = &item["statusDetail"][product];
                assert_eq!(
                    (&account["asOf"], &account["stale"]),
                    (&detail["asOf"], &detail["stale"])
                );
                for row in account["transactions"]["nodes"].as_array().expect("rows") {
                    let detail = &item["statusDetail"][2];
                    assert_eq!(
                        (&row["asOf"], &row["stale"]),
                        (&detail["asOf"], &detail["stale"])
                    );
                }
            }
            stale
        };
        assert_eq!(fresh().await, [""; 0]);
        it.run(|bank| bank.failing = Some(Product::CreditCards))
            .await;
        assert_eq!(
            fresh().await,
            ["CREDIT_CARDS"],
            "the last run has not updated it"
        );
        it.run(|bank| bank.failing = None).await;
        assert_eq!(fresh().await, [""; 0]);
        it.test.advance(Duration::from_hours(48));
        assert_eq!(fresh().await, [""; 0]);
        it.test.advance(Duration::from_millis(1));
        assert_eq!(fresh().await, ["ACCOUNTS", "CREDIT_CARDS", "TRANSACTIONS"]);

        // What is no longer asked for is as old as it is.
        let data = it.test.data(FRESHNESS, json!({ "id": it.item })).await;
        let cards = data["item"]["statusDetail"][1]["asOf"].clone();
        it.test
            .data(
                "mutation($id: ID!) { updateItem(input: { itemId: $id, products: [ACCOUNTS, TRANSACTIONS] }) { cursor } }",
                json!({ "id": it.item }),
            )
            .await;
        it.test.settle().await;
        let data = it.test.data(FRESHNESS, json!({ "id": it.item })).await;
        let accounts = data["item"]["accounts"]["nodes"]
            .as_array()
            .cloned()
            .expect("accounts");
        assert_eq!(
            data["item"]["statusDetail"].as_array().map(Vec::len),
            Some(2)
        );
        assert_eq!(
            (&accounts[2]["asOf"], &accounts[2]["stale"]),
            (&cards, &json!(true))
        );
        assert_eq!(accounts[0]["stale"], false);
    }
}
