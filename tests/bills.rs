//! Bills of cards, and the movements on them.

use std::sync::{Arc, Mutex};

use crate::support::{
    TestApp, id_at,
    scripted::{Bank, account, row, scripted_as},
};
use entity::{
    bill as slip,
    kind::{AccountSubtype, AccountType, Product},
};
use ponte::{
    connector::{
        AccountRecord, BillPaymentRecord, BillRecord, CardRecord, FinanceChargeRecord, Registry,
        TransactionRecord,
    },
    db::Engine,
    money::Amount,
};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};
use uuid::Uuid;

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

fn card() -> AccountRecord {
    AccountRecord {
        key: "card".to_owned(),
        kind: AccountType::Credit,
        subtype: AccountSubtype::CreditCard,
        subtype_raw: None,
        ..account(100)
    }
}

fn bill(key: &str, due: &str, cents: i64) -> BillRecord {
    BillRecord {
        key: key.to_owned(),
        due_date: due.parse().expect("a day"),
        bill_closing_date: None,
        total_amount: Amount::from_cents(cents),
        total_amount_currency_code: "BRL".to_owned(),
        minimum_payment_amount: None,
        allows_installments: None,
        finance_charges: Vec::new(),
        payments: Vec::new(),
    }
}

fn on(bill: &str, day: &str, cents: i64, text: &str) -> TransactionRecord {
    let mut row = row(None, day, cents, text);
    row.details.card = Some(CardRecord {
        bill_key: Some(bill.to_owned()),
        ..CardRecord::default()
    });
    row
}

struct Billing {
    test: TestApp,
    bank: Arc<Mutex<Bank>>,
    item: Uuid,
}

impl Billing {
    /// An Item whose bank shows one card with these bills and rows, collected once.
    async fn over(engine: Engine, bills: Vec<BillRecord>, rows: Vec<TransactionRecord>) -> Self {
        let (connector, bank) = scripted_as(|form| form.products.insert(1, Product::CreditCards));
        let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
        {
            let mut bank = bank.lock().expect("a bank");
            bank.accounts = Some(Vec::new());
            bank.cards = vec![card()];
            (bank.bills, bank.rows) = (bills, rows);
        }
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

    /// Changes the bank and runs; what `changes` tells of bills and movements, in no order.
    async fn run(&self, change: impl FnOnce(&mut Bank)) -> Vec<String> {
        change(&mut self.bank.lock().expect("a bank"));
        let after = self.changes(&Value::Null).await.1;
        self.test.updated(self.item, &[]).await;
        let mut told = self.changes(&after).await.0;
        told.sort_unstable();
        told
    }

    async fn changes(&self, after: &Value) -> (Vec<String>, Value) {
        let data = self
            .test
            .data(
                "query($after: String) { changes(first: 500, after: $after) { nodes { kind action fields node { id } } pageInfo { endCursor } } }",
                json!({ "after": after }),
            )
            .await;
        let nodes = data["changes"]["nodes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let word = |node: &Value, name: &str| node[name].as_str().unwrap_or("?").to_owned();
        let told = nodes
            .iter()
            .filter(|node| node["kind"] == "BILL" || node["kind"] == "TRANSACTION")
            .map(|node| {
                format!(
                    "{} {} {}",
                    word(node, "kind"),
                    word(node, "action"),
                    node["fields"]
                )
            })
            .collect();
        (told, data["changes"]["pageInfo"]["endCursor"].clone())
    }

    async fn bills(&self, fields: &str) -> Value {
        let document = format!(
            "query($id: ID!) {{ item(id: $id) {{ accounts {{ nodes {{ bills {{ totalCount nodes {{ {fields} }} }} }} }} }} }}"
        );
        let data = self.test.data(&document, json!({ "id": self.item })).await;
        let list = &data["item"]["accounts"]["nodes"][0]["bills"];
        assert_eq!(
            list["totalCount"],
            list["nodes"].as_array().map_or(0, Vec::len)
        );
        list["nodes"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_tells_everything_and_has_the_movements_on_it() {
    for engine in ENGINES {
        let mut march = bill("march", "2026-03-10", 3_500);
        march.bill_closing_date = "2026-03-03".parse().ok();
        march.minimum_payment_amount = Some(Amount::from_cents(525));
        march.allows_installments = Some(true);
        march.finance_charges = vec![FinanceChargeRecord {
            id: "c".to_owned(),
            kind: "LATE_PAYMENT_FEE".to_owned(),
            amount: Amount::from_cents(200),
            currency_code: "BRL".to_owned(),
            additional_info: Some("2 %".to_owned()),
        }];
        march.payments = vec![BillPaymentRecord {
            id: "p".to_owned(),
            value_type: "EVERYTHING".to_owned(),
            payment_date: "2026-03-10".parse().expect("a day"),
            payment_mode: Some("PIX".to_owned()),
            amount: Amount::from_cents(3_500),
            currency_code: "BRL".to_owned(),
        }];
        let it = Billing::over(
            engine,
            vec![march, bill("april", "2026-04-10", 100)],
            vec![
                on("march", "2026-02-20", -3_000, "Shop"),
                on("march", "2026-02-21", -500, "Fuel"),
                on("april", "2026-03-12", -100, "Coffee"),
                row(None, "2026-03-13", -100, "Tea"),
            ],
        )
        .await;
        let bills = it
            .bills(
                "dueDate billClosingDate totalAmount totalAmountCurrencyCode minimumPaymentAmount allowsInstallments stale \
                 financeCharges { id type typeRaw amount currencyCode additionalInfo } \
                 payments { id valueType valueTypeRaw paymentDate paymentMode paymentModeRaw amount currencyCode } \
                 transactions { totalCount nodes { description creditCardMetadata { bill { dueDate } } } } account { number }",
            )
            .await;
        assert_eq!(
            bills,
            json!([
                {
                    "dueDate": "2026-04-10", "billClosingDate": null, "totalAmount": "1.00", "totalAmountCurrencyCode": "BRL",
                    "minimumPaymentAmount": null, "allowsInstallments": null, "stale": false, "financeCharges": [], "payments": [],
                    "transactions": { "totalCount": 1, "nodes": [{ "description": "Coffee", "creditCardMetadata": { "bill": { "dueDate": "2026-04-10" } } }] },
                    "account": { "number": "0001/1" },
                },
                {
                    "dueDate": "2026-03-10", "billClosingDate": "2026-03-03", "totalAmount": "35.00", "totalAmountCurrencyCode": "BRL",
                    "minimumPaymentAmount": "5.25", "allowsInstallments": true, "stale": false,
                    "financeCharges": [{ "id": "c", "type": "LATE_PAYMENT_FEE", "typeRaw": "LATE_PAYMENT_FEE", "amount": "2.00",
                        "currencyCode": "BRL", "additionalInfo": "2 %" }],
                    "payments": [{ "id": "p", "valueType": "UNKNOWN", "valueTypeRaw": "EVERYTHING", "paymentDate": "2026-03-10",
                        "paymentMode": "PIX", "paymentModeRaw": "PIX", "amount": "35.00", "currencyCode": "BRL" }],
                    "transactions": { "totalCount": 2, "nodes": [
                        { "description": "Fuel", "creditCardMetadata": { "bill": { "dueDate": "2026-03-10" } } },
                        { "description": "Shop", "creditCardMetadata": { "bill": { "dueDate": "2026-03-10" } } },
                    ] },
                    "account": { "number": "0001/1" },
                },
            ])
        );
        let ids = it.bills("id").await;
        let document = "query($id: ID!) { bill(id: $id) { dueDate } node(id: $id) { ... on Bill { dueDate } } }";
        let data = it.test.data(document, json!({ "id": ids[1]["id"] })).await;
        assert_eq!(data["bill"], json!({ "dueDate": "2026-03-10" }));
        assert_eq!(data["bill"], data["node"]);
        let exported = it
            .test
            .data(
                "{ exportClientUser(clientUserId: \"ana\", first: 500) { records { ... on Bill { id } } cursor } }",
                json!({}),
            )
            .await;
        let records = exported["exportClientUser"]["records"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let exported: Vec<_> = records
            .into_iter()
            .filter(|record| record["id"].is_string())
            .collect();
        assert_eq!(json!(exported), ids);

        let delete = "mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }";
        it.test.data(delete, json!({ "id": it.item })).await;
        it.test.settle().await;
        let left = slip::Entity::find()
            .count(it.test.app.db.read())
            .await
            .expect("counted");
        assert_eq!(left, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bill_changes_in_place_and_stays_when_it_is_no_longer_shown() {
    for engine in ENGINES {
        let row = on("march", "2026-03-15", -100, "Coffee");
        let it = Billing::over(engine, vec![bill("old", "2026-02-10", 100)], vec![row]).await;
        let old = it.bills("id").await;
        let metadata = "query($id: ID!) { item(id: $id) { transactions { nodes { creditCardMetadata { billId } } } } }";
        let bill_of = async || {
            let data = it.test.data(metadata, json!({ "id": it.item })).await;
            data["item"]["transactions"]["nodes"][0]["creditCardMetadata"]["billId"].clone()
        };
        assert_eq!(bill_of().await, Value::Null);
        let told = it
            .run(|bank| bank.bills = vec![bill("march", "2026-03-10", 100)])
            .await;
        assert_eq!(
            told,
            [
                "BILL CREATED []",
                r#"TRANSACTION UPDATED ["creditCardMetadata"]"#
            ]
        );
        let bills = it.bills("id").await;
        assert_eq!(
            (bills.as_array().map(Vec::len), &bills[1]),
            (Some(2), &old[0])
        );
        assert_eq!(bill_of().await, bills[0]["id"]);

        assert_eq!(it.run(|_| {}).await, [""; 0]);
        let told = it
            .run(|bank| bank.bills[0].total_amount = Amount::from_cents(200))
            .await;
        assert_eq!(told, [r#"BILL UPDATED ["totalAmount"]"#]);
        assert_eq!(it.bills("id").await, bills);
        it.run(|bank| bank.failing = Some(Product::CreditCards))
            .await;
        assert_eq!(it.bills("id").await, bills);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_a_card_on_a_day_to_come_is_pending_and_on_no_bill() {
    for engine in ENGINES {
        let rows = vec![
            on("april", "2026-03-15", -100, "Now"),
            on("april", "2026-03-20", -100, "Then"),
        ];
        let it = Billing::over(engine, vec![bill("april", "2026-04-10", 200)], rows).await;
        let shown = async || {
            let document = "query($id: ID!) { item(id: $id) { transactions { nodes { id description status creditCardMetadata { bill { dueDate } } } } } }";
            let data = it.test.data(document, json!({ "id": it.item })).await;
            let nodes = data["item"]["transactions"]["nodes"].as_array().cloned();
            nodes.unwrap_or_default()
        };
        it.run(|bank| bank.foresees = true).await;
        let rows = shown().await;
        assert_eq!(rows.len(), 2);
        let then = |rows: &[Value]| {
            rows.iter()
                .find(|row| row["description"] == "Then")
                .cloned()
                .expect("a row")
        };
        let before = then(&rows);
        assert_eq!(before["status"], "PENDING");
        assert_eq!(before["creditCardMetadata"]["bill"], Value::Null);
        it.test.advance(std::time::Duration::from_hours(4 * 24));
        it.run(|_| {}).await;
        let after = then(&shown().await);
        assert_eq!(
            (&after["id"], &after["status"]),
            (&before["id"], &json!("POSTED"))
        );
        assert_eq!(after["creditCardMetadata"]["bill"]["dueDate"], "2026-04-10");
    }
}
