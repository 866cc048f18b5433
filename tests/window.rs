//! A bank that goes through a quarter, day by day, while rows are written, edited, struck out and written anew at it: what
//! Ponte has of the days that a run reads is what the bank has, and whatever users decided stays.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, NaiveDate};
use entity::{account, item, kind::Product};
use futures_util::TryStreamExt as _;
use ponte::{
    clock::Rng,
    connector::{
        Batch, Call, Credentials, Login, Memory, Request, Requests, TransactionRecord, Window,
    },
    item::laboratory,
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{START, TestApp, on_both_engines, seed};

const DAYS: u32 = 90;
/// Days before today that every run reads again.
const READ_AGAIN: u64 = 4;

/// A row, as both sides tell it: account, day, amount, text, status, the bank's id.
type Row = (String, String, String, String, String, Option<String>);

struct Quarter {
    test: TestApp,
    rng: Rng,
    item: Uuid,
    ahead: u32,
    /// What the user has decided, by transaction; where it is replaced, by the one that it has become.
    decided: BTreeMap<String, String>,
}

impl Quarter {
    fn below(&self, end: usize) -> usize {
        let end = u64::try_from(end).expect("small");
        let drawn = u64::from_le_bytes(self.rng.bytes()) % end;
        usize::try_from(drawn).expect("small")
    }

    fn today(&self) -> NaiveDate {
        START.date() + Days::new(self.ahead.into())
    }

    async fn lab(&self, mutation: &str, input: Value) {
        let name = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
        let document =
            format!("mutation($input: {name}!) {{ {mutation}(input: $input) {{ __typename }} }}");
        self.test.data(&document, json!({ "input": input })).await;
    }

    /// The rows of the last days, as Ponte shows them.
    async fn shown(&self) -> Vec<Value> {
        let from = self.today() - Days::new(READ_AGAIN);
        let data = self
            .test
            .data(
                "query($id: ID!, $from: Date) { item(id: $id) { transactions(first: 500, filter: { from: $from }) { nodes { \
                   id postedOn amount description status providerId categoryId categorySource account { id } } } } }",
                json!({ "id": self.item, "from": from.to_string() }),
            )
            .await;
        let rows = data.pointer("/item/transactions/nodes");
        rows.and_then(Value::as_array).cloned().unwrap_or_default()
    }

    /// The accounts, by id, with their keys at the bank.
    async fn accounts(&self) -> BTreeMap<Uuid, String> {
        let rows = account::Entity::find()
            .filter(account::Column::ItemId.eq(self.item))
            .all(self.test.app.db.read())
            .await
            .expect("accounts");
        rows.into_iter().map(|row| (row.id, row.key)).collect()
    }

    /// The rows of the last days, as the bank itself shows them to whoever logs in now.
    async fn at_the_bank(&self) -> BTreeSet<Row> {
        let app = &self.test.app;
        let item = item::Entity::find_by_id(self.item)
            .one(app.db.read())
            .await
            .expect("a database")
            .expect("an item");
        let connector = app.connectors.find(0).expect("the sandbox");
        let call = Call {
            clock: app.clock.clone(),
            sandbox_step: std::time::Duration::ZERO,
            files: BTreeMap::new(),
            memory: Memory::default(),
            oauth: None,
            laboratory: laboratory::of_item(app, connector.descriptor(), &item, None)
                .await
                .expect("the laboratory"),
            granted: None,
            requests: Requests::default(),
        };
        let values = [("user", "user-ok"), ("password", "password-ok")];
        let values = values.map(|(name, value)| (name.to_owned(), value.into()));
        let login = connector.login(&call, &Credentials(values.into())).await;
        let Ok(Login::Connected(session)) = login else {
            panic!("{login:?}")
        };
        let window = Window {
            from: self.today() - Days::new(READ_AGAIN),
            to: self.today(),
        };
        let keys = self.accounts().await.into_values();
        let request = Request {
            product: Product::Transactions,
            windows: keys.map(|key| (key, window)).collect(),
        };
        let batches: Vec<Batch> = connector
            .collect(call, session, request)
            .try_collect()
            .await
            .expect("rows");
        let mut rows = BTreeSet::new();
        for batch in batches {
            if let Batch::Transactions {
                account,
                rows: some,
            } = batch
            {
                rows.extend(some.into_iter().map(|row| told(&account, &row)));
            }
        }
        rows
    }

    /// Does some of what happens at banks to rows that the next day's run reads again, and answers which were written anew:
    /// id and text.
    async fn meddle(&mut self) -> Vec<(String, String)> {
        let since = (self.today() - Days::new(READ_AGAIN - 1)).to_string();
        let mut young = self.shown().await;
        young.retain(|row| row["postedOn"].as_str() >= Some(&since));
        let mut rewritten = Vec::new();
        for number in 0..self.below(3) {
            if young.is_empty() {
                break;
            }
            let row = young.swap_remove(self.below(young.len()));
            let text = row["description"].as_str().expect("a text");
            match self.below(4) {
                0 => {
                    let description = format!("{text} CORRIGIDO");
                    let input = json!({ "transactionId": row["id"], "description": description });
                    self.lab("updateSandboxTransaction", input).await;
                }
                1 => {
                    let input = json!({ "transactionId": row["id"] });
                    self.lab("deleteSandboxTransaction", input).await;
                    self.decided.remove(row["id"].as_str().expect("an id"));
                }
                2 => {
                    let status = ["PENDING", "POSTED"][self.below(2)];
                    let amount = format!("-{}.{:02}", 1 + self.below(900), self.below(100));
                    let description = format!("COMPRA AVULSA {} {number}", self.ahead);
                    let input = json!({ "accountId": row["account"]["id"], "postedOn": self.today().to_string(),
                        "amount": amount, "description": description, "status": status });
                    self.lab("createSandboxTransaction", input).await;
                }
                // Rows without ids of the bank's are the same when they look the same.
                _ if row["providerId"].is_null() => {}
                _ => {
                    let input = json!({ "transactionId": row["id"] });
                    self.lab("deleteSandboxTransaction", input).await;
                    let description = format!("{text} EST");
                    let input = json!({ "accountId": row["account"]["id"], "postedOn": row["postedOn"],
                        "amount": row["amount"], "description": description, "status": row["status"] });
                    self.lab("createSandboxTransaction", input).await;
                    let id = row["id"].as_str().expect("an id").to_owned();
                    rewritten.push((id, description));
                }
            }
        }
        rewritten
    }

    /// The user says of a row of the last days what it was for.
    async fn decide(&mut self) {
        let rows = self.shown().await;
        if rows.is_empty() {
            return;
        }
        let row = &rows[self.below(rows.len())];
        let category = ["11010000", "19010000", "05080000"][self.below(3)];
        let input = json!({ "transactionId": row["id"], "categoryId": category });
        let document = "mutation($input: UpdateTransactionInput!) { updateTransaction(input: $input) { transaction { id } } }";
        self.test.data(document, json!({ "input": input })).await;
        let id = row["id"].as_str().expect("an id").to_owned();
        self.decided.insert(id, category.to_owned());
    }

    /// What a transaction is now, also when it is gone.
    async fn find(&self, id: &str) -> Value {
        let document = "query($id: ID!) { transaction(id: $id) { id description deletedAt categoryId categorySource \
            replacedBy { transactionId confidence } } }";
        let data = self.test.data(document, json!({ "id": id })).await;
        data["transaction"].clone()
    }
}

fn told(account: &str, row: &TransactionRecord) -> Row {
    (
        account.to_owned(),
        row.posted_on.to_string(),
        row.amount.to_string(),
        row.description.clone(),
        row.status.as_str().to_owned(),
        row.id.clone(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarter_of_days_ponte_has_what_the_bank_has() {
    let seed = seed();
    on_both_engines(move |test| async move {
        let item = test.connected().await;
        let mut quarter = Quarter {
            test,
            rng: Rng::seeded(seed),
            item,
            ahead: 0,
            decided: BTreeMap::new(),
        };
        let (mut looked_at, mut replaced, mut kept) = (0, 0, 0);
        for _ in 0..DAYS {
            let rewritten = quarter.meddle().await;
            quarter
                .lab("advanceSandboxClock", json!({ "itemId": item }))
                .await;
            quarter.ahead += 1;
            quarter.test.updated(item, &[]).await;
            let today = quarter.today();

            let accounts = quarter.accounts().await;
            let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let shown = quarter.shown().await;
            let here: BTreeSet<Row> = shown
                .iter()
                .map(|row| {
                    let account = row["account"]["id"].as_str().and_then(|id| id.parse().ok());
                    let key = accounts[&account.expect("an id")].clone();
                    let id = row["providerId"].as_str().map(str::to_owned);
                    let (day, amount) = (text(row, "postedOn"), text(row, "amount"));
                    (
                        key,
                        day,
                        amount,
                        text(row, "description"),
                        text(row, "status"),
                        id,
                    )
                })
                .collect();
            assert_eq!(here.len(), shown.len(), "no row is there twice on {today}");
            assert_eq!(here, quarter.at_the_bank().await, "on {today}");
            looked_at += here.len();

            for (old, description) in rewritten {
                let row = quarter.find(&old).await;
                assert!(row["deletedAt"].is_string(), "{row}");
                let new = text(&row["replacedBy"], "transactionId");
                assert_eq!(
                    quarter.find(&new).await["description"],
                    description,
                    "of {row}"
                );
                replaced += 1;
                if let Some(category) = quarter.decided.remove(&old) {
                    quarter.decided.insert(new, category);
                }
            }
            // What the bank takes back by itself takes the user's decision along.
            let mut gone = Vec::new();
            for (id, category) in &quarter.decided {
                let row = quarter.find(id).await;
                if row.is_null() || row["deletedAt"].is_string() {
                    gone.push((id.clone(), row["replacedBy"]["transactionId"].clone()));
                    continue;
                }
                assert_eq!(
                    json!([row["categoryId"], row["categorySource"]]),
                    json!([category, "USER"])
                );
                kept += 1;
            }
            for (id, by) in gone {
                let category = quarter.decided.remove(&id).expect("it was decided");
                if let Some(by) = by.as_str() {
                    assert_eq!(quarter.find(by).await["categoryId"], category);
                    quarter.decided.insert(by.to_owned(), category);
                }
            }
            if quarter.ahead.is_multiple_of(3) {
                quarter.decide().await;
            }
        }
        println!("{looked_at} rows compared, {replaced} written anew and found, {kept} decisions looked at");
        assert!(looked_at >= 300 && replaced >= 4 && kept >= 50, "{looked_at}, {replaced}, {kept}");
    })
    .await;
}
