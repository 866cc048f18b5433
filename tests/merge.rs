//! What a run does to the rows that are stored.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::support::{
    TestApp,
    scripted::{Bank, row, scripted},
};
use entity::kind::TransactionStatus;
use ponte::db::Engine;
use serde_json::{Value, json};
use uuid::Uuid;

struct Merging {
    test: TestApp,
    bank: Arc<Mutex<Bank>>,
    item: Uuid,
}

impl Merging {
    /// An Item whose bank shows these rows, collected once.
    async fn over(engine: Engine, rows: Vec<ponte::connector::TransactionRecord>) -> Self {
        let (registry, bank) = scripted();
        let test = TestApp::start_over(engine, &[], registry).await;
        bank.lock().expect("a bank").rows = rows;
        let item = test.connect("7000", &[("user", "x")]).await;
        test.settle().await;
        assert_eq!(test.item(item).await["status"], "UPDATED");
        Self { test, bank, item }
    }

    fn bank(&self, change: impl FnOnce(&mut Bank)) {
        change(&mut self.bank.lock().expect("a bank"));
    }

    /// Runs again; answers the events of the merge.
    async fn run(&self) -> Vec<String> {
        let told = self.test.events(self.item).await.len();
        self.test.updated(self.item, &[]).await;
        let mut events = self.test.events(self.item).await.split_off(told);
        events.retain(|name| name.starts_with("transactions/"));
        events
    }

    /// (id, day, amount, description, status), newest first.
    async fn rows(&self) -> Vec<(String, String, String, String, String)> {
        let accounts = self.test.accounts(self.item).await;
        let rows = accounts[0]["transactions"]["nodes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let text = |row: &Value, field: &str| row[field].as_str().unwrap_or("?").to_owned();
        rows.iter()
            .map(|row| {
                (
                    text(row, "id"),
                    text(row, "postedOn"),
                    text(row, "amount"),
                    text(row, "description"),
                    text(row, "status"),
                )
            })
            .collect()
    }

    /// How fresh its account is, and a movement of it.
    async fn freshness(&self) -> Vec<Value> {
        let document = "query($id: ID!) { item(id: $id) { accounts { nodes { asOf stale transactions(first: 1) { nodes { asOf stale } } } } } }";
        let data = self.test.data(document, json!({ "id": self.item })).await;
        let account = &data["item"]["accounts"]["nodes"][0];
        vec![account.clone(), account["transactions"]["nodes"][0].clone()]
    }

    async fn warnings(&self) -> Value {
        let item = self.test.item(self.item).await;
        let detail = item["statusDetail"].as_array().cloned().unwrap_or_default();
        detail
            .iter()
            .find(|one| one["product"] == "TRANSACTIONS")
            .map_or(Value::Null, |one| one["warnings"].clone())
    }
}

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_row_keeps_its_id_a_new_one_gets_one_and_a_gone_one_goes() {
    for engine in ENGINES {
        let it = Merging::over(
            engine,
            vec![
                row(Some("a"), "2026-03-15", -1_000, "Market"),
                row(Some("b"), "2026-03-14", -2_000, "Fuel"),
                row(None, "2026-03-13", -300, "Coffee"),
                row(None, "2026-03-13", -300, "Coffee"),
            ],
        )
        .await;
        let before = it.rows().await;
        assert_eq!(before.len(), 4, "equal rows of one day are different rows");
        it.bank(|bank| {
            bank.rows[0].description = "Market Street".to_owned();
            bank.rows[1] = row(Some("c"), "2026-03-16", 5_000, "Salary");
            bank.rows.pop();
        });
        assert_eq!(
            it.run().await,
            [
                "transactions/created",
                "transactions/updated",
                "transactions/deleted"
            ]
        );
        let after = it.rows().await;
        let texts: Vec<_> = after.iter().map(|row| row.3.as_str()).collect();
        assert_eq!(texts, ["Salary", "Market Street", "Coffee"]);
        assert_eq!(after[1].0, before[0].0);
        assert!(before[2..].iter().any(|row| row.0 == after[2].0));
        assert_eq!(it.run().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_deleted_outside_of_what_was_covered_completely() {
    for engine in ENGINES {
        let it = Merging::over(
            engine,
            vec![
                row(Some("old"), "2026-02-01", -1_000, "Old"),
                row(Some("new"), "2026-03-15", -2_000, "New"),
            ],
        )
        .await;
        it.bank(|bank| {
            bank.rows.clear();
            bank.complete = false;
        });
        assert_eq!(it.run().await, Vec::<String>::new());
        assert_eq!(it.rows().await.len(), 2);
        it.bank(|bank| bank.complete = true);
        assert_eq!(it.run().await, ["transactions/deleted"]);
        let left = it.rows().await;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].3, "Old", "before the window");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_reaches_back_to_the_last_complete_collection_and_the_oldest_pending_row() {
    for engine in ENGINES {
        let mut pending = row(Some("p"), "2026-03-01", -1_000, "Hotel");
        pending.status = TransactionStatus::Pending;
        let it = Merging::over(engine, vec![pending, row(Some("a"), "2026-03-15", -1, "A")]).await;
        it.run().await;
        it.bank(|bank| bank.rows[0].status = TransactionStatus::Posted);
        it.run().await;
        it.bank(|bank| bank.complete = false);
        it.test.advance(Duration::from_hours(24 * 10));
        it.run().await;
        it.run().await;
        it.bank(|bank| bank.complete = true);
        it.run().await;
        it.run().await;
        let windows: Vec<_> = it
            .bank
            .lock()
            .expect("a bank")
            .windows
            .iter()
            .map(|w| format!("{}..{}", w.from, w.to))
            .collect();
        assert_eq!(
            windows,
            [
                "2025-03-16..2026-03-16", // the first run: 365 days
                "2026-03-01..2026-03-16", // the oldest pending row
                "2026-03-01..2026-03-16", // it has settled in this run
                "2026-03-12..2026-03-26", // four days before the last complete collection
                "2026-03-12..2026-03-26", // which an incomplete one is not
                "2026-03-12..2026-03-26",
                "2026-03-22..2026-03-26",
            ]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_row_that_settles_under_another_key_keeps_its_id() {
    for engine in ENGINES {
        let pending = |day, cents, text| {
            let mut row = row(None, day, cents, text);
            row.status = TransactionStatus::Pending;
            row
        };
        let it = Merging::over(
            engine,
            vec![
                pending("2026-03-15", -4_590, "PENDENTE - UBER TRIP"),
                pending("2026-03-15", -4_590, "PENDENTE - MERCADO EXTRA"),
                pending("2026-03-15", -700, "PENDENTE - PADARIA"),
            ],
        )
        .await;
        let before = it.rows().await;
        let id = |rows: &[(String, String, String, String, String)], word: &str| {
            rows.iter()
                .find(|row| row.3.contains(word))
                .map(|row| row.0.clone())
        };
        it.bank(|bank| {
            bank.rows = vec![
                row(None, "2026-03-16", -4_590, "MERCADO EXTRA 0012"),
                row(None, "2026-03-16", -4_590, "UBER *TRIP SAO PAULO"),
                row(None, "2026-03-16", -700, "Something else entirely"),
            ];
        });
        assert_eq!(
            it.run().await,
            [
                "transactions/created",
                "transactions/updated",
                "transactions/deleted"
            ]
        );
        let after = it.rows().await;
        assert_eq!(after.len(), 3);
        assert_eq!(id(&after, "UBER"), id(&before, "UBER"));
        assert_eq!(id(&after, "MERCADO"), id(&before, "MERCADO"));
        assert_ne!(id(&after, "Something"), id(&before, "PADARIA"));
        assert!(after.iter().all(|row| row.4 == "POSTED"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_deletion_is_believed_only_when_the_next_run_says_the_same() {
    for engine in ENGINES {
        let rows: Vec<_> = (0..40)
            .map(|n| row(Some(&format!("r{n}")), "2026-03-15", -100 - n, "Row"))
            .collect();
        let it = Merging::over(engine, rows.clone()).await;
        it.bank(|bank| bank.rows.truncate(10));
        let fresh = it.freshness().await;
        assert_eq!(fresh[0]["stale"], false);
        it.test.advance(Duration::from_mins(1));
        assert_eq!(it.run().await, Vec::<String>::new());
        assert_eq!(it.rows().await.len(), 40);
        assert_eq!(it.warnings().await[0]["code"], "SUSPECT_DELETION");
        // Nothing of the account was confirmed, its balance neither.
        let doubted = it.freshness().await;
        assert_eq!(doubted.len(), 2, "the account and a movement of it");
        for (before, now) in fresh.iter().zip(&doubted) {
            assert_eq!(
                (&now["stale"], &now["asOf"]),
                (&json!(true), &before["asOf"])
            );
        }

        // Another story is not the same.
        it.bank(|bank| bank.rows.truncate(9));
        assert_eq!(it.run().await, Vec::<String>::new());
        assert_eq!(it.rows().await.len(), 40);
        // It was a mishap of the bank's.
        it.bank(|bank| bank.rows = rows);
        assert_eq!(it.run().await, Vec::<String>::new());
        assert_eq!(it.warnings().await, json!([]));

        it.bank(|bank| bank.rows.truncate(10));
        assert_eq!(it.run().await, Vec::<String>::new());
        assert_eq!(it.run().await, ["transactions/deleted"]);
        assert_eq!(it.rows().await.len(), 10);
        let believed = it.freshness().await;
        assert!(
            believed
                .iter()
                .all(|one| one["stale"] == false && one["asOf"] != fresh[0]["asOf"]),
            "{believed:?}"
        );
        assert_eq!(it.warnings().await, json!([]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_changes_are_told_in_events_of_at_most_500_ids() {
    for engine in ENGINES {
        let rows: Vec<_> = (0..1_200)
            .map(|n| row(Some(&format!("r{n}")), "2026-03-15", -100, "Row"))
            .collect();
        let it = Merging::over(engine, rows).await;
        it.bank(|bank| {
            for row in &mut bank.rows {
                "Row, edited".clone_into(&mut row.description);
            }
        });
        assert_eq!(it.run().await, ["transactions/updated"; 3]);
        let data = it.test.data(
            "query($id: ID!) { events(first: 200, filter: { itemId: $id, types: [TRANSACTIONS_CREATED, TRANSACTIONS_UPDATED] }) { nodes { payload } } }",
            json!({ "id": it.item }),
        ).await;
        let nodes = data["events"]["nodes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        assert_eq!(nodes[0]["payload"]["transactionsCount"], 1_200);
        assert_eq!(nodes[0]["payload"]["transactionsMinDate"], "2026-03-15");
        let ids: Vec<_> = nodes[1..]
            .iter()
            .map(|node| {
                node["payload"]["transactionIds"]
                    .as_array()
                    .map_or(0, Vec::len)
            })
            .collect();
        assert_eq!(ids, [500, 500, 200]);
    }
}
