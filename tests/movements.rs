//! What institutions tell of movements beyond their text, and who paid whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::{
    privacy::{dump, find},
    support::{
        TestApp,
        scripted::{Bank, row, scripted_as},
    },
};
use entity::kind::Product;
use ponte::{
    connector::{
        BoletoRecord, CardRecord, MerchantRecord, MovementKey, ParticipantRecord, PaymentOf,
        PaymentRecord, Registry, TransactionDetails, TransactionRecord,
    },
    db::Engine,
    money::Amount,
};
use serde_json::{Value, json};
use uuid::Uuid;

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

struct Paying {
    test: TestApp,
    bank: Arc<Mutex<Bank>>,
    item: Uuid,
}

impl Paying {
    /// An Item that collects these products of a bank that shows these rows and payments, collected once.
    async fn over(
        engine: Engine,
        products: &[&str],
        rows: Vec<TransactionRecord>,
        payments: Vec<PaymentOf>,
    ) -> Self {
        let (connector, bank) = scripted_as(|form| form.products.push(Product::PaymentData));
        let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
        {
            let mut bank = bank.lock().expect("a bank");
            (bank.rows, bank.payments) = (rows, payments);
        }
        let data = test
            .data(
                "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }",
                json!({ "input": { "connectorId": "7000", "products": products,
                    "parameters": [{ "name": "user", "value": "x" }] } }),
            )
            .await;
        let item = crate::support::id_at(&data, "/createItem/item/id");
        test.settle().await;
        Self { test, bank, item }
    }

    fn bank(&self, change: impl FnOnce(&mut Bank)) {
        change(&mut self.bank.lock().expect("a bank"));
    }

    /// Asks for a run with these products from now on; what `changes` tells of it.
    async fn run(&self, products: Option<&[&str]>) -> Vec<String> {
        let before = self.changes(None).await.1;
        let mut input = json!({ "itemId": self.item });
        if let Some(products) = products {
            input["products"] = json!(products);
        }
        self.test
            .data(
                "mutation($input: UpdateItemInput!) { updateItem(input: $input) { cursor } }",
                json!({ "input": input }),
            )
            .await;
        self.test.settle().await;
        self.changes(before.as_str()).await.0
    }

    /// What is told of transactions behind a cursor, and the last cursor.
    async fn changes(&self, after: Option<&str>) -> (Vec<String>, Value) {
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
        let told = nodes
            .iter()
            .filter(|node| node["kind"] == "TRANSACTION")
            .map(|node| {
                format!(
                    "{} {}",
                    node["action"].as_str().unwrap_or("?"),
                    node["fields"]
                )
            })
            .collect();
        (told, data["changes"]["pageInfo"]["endCursor"].clone())
    }

    /// These fields of all movements, newest first.
    async fn rows(&self, fields: &str) -> Value {
        let document = format!(
            "query($id: ID!) {{ item(id: $id) {{ transactions(first: 500) {{ nodes {{ {fields} }} }} }} }}"
        );
        let data = self.test.data(&document, json!({ "id": self.item })).await;
        data["item"]["transactions"]["nodes"].clone()
    }

    /// What is read of the last run's windows.
    fn last_window(&self) -> String {
        let bank = self.bank.lock().expect("a bank");
        let window = bank.windows.last().expect("a window");
        format!("{}..{}", window.from, window.to)
    }
}

fn participant(name: &str) -> ParticipantRecord {
    ParticipantRecord {
        document_type: Some("CPF".to_owned()),
        document_number: Some("761.092.776-73".to_owned()),
        name: Some(name.to_owned()),
        account_number: Some("1234-5".to_owned()),
        branch_number: Some("0001".to_owned()),
        routing_number: Some("001".to_owned()),
        routing_number_ispb: Some("00000000".to_owned()),
    }
}

fn paid(row: &TransactionRecord, name: &str) -> PaymentOf {
    PaymentOf {
        movement: MovementKey::from(row),
        payment: PaymentRecord {
            payer: Some(participant(name)),
            payment_method: Some("PIX".to_owned()),
            ..PaymentRecord::default()
        },
    }
}

/// Names of the payers, newest movement first; of each that has payment data.
fn payers(rows: &Value) -> Vec<Value> {
    let rows = rows.as_array().cloned().unwrap_or_default();
    rows.iter()
        .map(|row| row["paymentData"]["payer"]["name"].clone())
        .collect()
}

const PAYER: &str = "paymentData { payer { name } }";
const ALL: &[&str] = &["ACCOUNTS", "TRANSACTIONS", "PAYMENT_DATA"];

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_an_institution_tells_of_a_movement_is_shown() {
    for engine in ENGINES {
        let mut purchase = row(Some("a"), "2026-03-15", -1_000, "Shop");
        purchase.details = TransactionDetails {
            operation_type: Some("COMPRA".to_owned()),
            operation_type_additional_info: Some("à vista".to_owned()),
            order: Some(0),
            payment_data: None,
            card: Some(CardRecord {
                installment_number: Some(2),
                total_installments: Some(10),
                total_amount: Some(Amount::from_cents(10_000)),
                purchase_date: "2026-02-15".parse().ok(),
                payee_mcc: Some("5411".to_owned()),
                card_number: Some("4321".to_owned()),
                bill_key: Some("march".to_owned()),
                bill_forecast_date: Some("2026-04".to_owned()),
                fee_type: Some("SMS".to_owned()),
                fee_type_additional_info: Some("per message".to_owned()),
                other_credits_type: Some("CASHBACK".to_owned()),
                other_credits_additional_info: Some("1 %".to_owned()),
            }),
            merchant: Some(MerchantRecord {
                name: Some("Shop".to_owned()),
                business_name: Some("Shop Ltda".to_owned()),
                cnpj: Some("11.222.333/0001-81".to_owned()),
                cnae: Some("4711302".to_owned()),
                category: Some("Groceries".to_owned()),
            }),
        };
        let boleto = row(Some("b"), "2026-03-14", -5_250, "Boleto");
        let payment = PaymentOf {
            movement: MovementKey::from(&boleto),
            payment: PaymentRecord {
                payer: Some(participant("Ana")),
                receiver: Some(ParticipantRecord {
                    document_type: Some("NIF".to_owned()),
                    ..ParticipantRecord::default()
                }),
                payment_method: Some("CHEQUE".to_owned()),
                reason: Some("water".to_owned()),
                reference_number: Some("E1".to_owned()),
                receiver_reference_id: Some("R1".to_owned()),
                boleto_metadata: Some(BoletoRecord {
                    digitable_line: Some("1 2".to_owned()),
                    barcode: Some("12".to_owned()),
                    base_amount: Some(Amount::from_cents(5_000)),
                    interest_amount: Some(Amount::from_cents(150)),
                    penalty_amount: Some(Amount::from_cents(200)),
                    discount_amount: Some(Amount::from_cents(100)),
                }),
            },
        };
        let rows = vec![purchase, boleto, row(Some("c"), "2026-03-13", 1, "Nothing")];
        let it = Paying::over(engine, ALL, rows, vec![payment]).await;
        let shown = it
            .rows(
                "operationType operationTypeAdditionalInfo order merchant { name businessName cnpj cnae category } \
                 creditCardMetadata { installmentNumber totalInstallments totalAmount purchaseDate payeeMcc cardNumber billId billForecastDate \
                 feeType feeTypeRaw feeTypeAdditionalInfo otherCreditsType otherCreditsTypeRaw otherCreditsAdditionalInfo } \
                 paymentData { payer { documentNumber { type typeRaw value } name accountNumber branchNumber routingNumber routingNumberIspb } \
                 receiver { documentNumber { type typeRaw value } name } paymentMethod paymentMethodRaw reason referenceNumber receiverReferenceId \
                 boletoMetadata { digitableLine barcode baseAmount interestAmount penaltyAmount discountAmount } }",
            )
            .await;
        assert_eq!(
            shown,
            json!([
                {
                    "operationType": "COMPRA", "operationTypeAdditionalInfo": "à vista", "order": 0,
                    "merchant": { "name": "Shop", "businessName": "Shop Ltda", "cnpj": "11.222.333/0001-81", "cnae": "4711302", "category": "Groceries" },
                    "creditCardMetadata": {
                        "installmentNumber": 2, "totalInstallments": 10, "totalAmount": "100.00", "purchaseDate": "2026-02-15", "payeeMcc": "5411",
                        "cardNumber": "4321", "billId": null, "billForecastDate": "2026-04", "feeType": "SMS", "feeTypeRaw": "SMS",
                        "feeTypeAdditionalInfo": "per message", "otherCreditsType": "UNKNOWN", "otherCreditsTypeRaw": "CASHBACK",
                        "otherCreditsAdditionalInfo": "1 %",
                    },
                    "paymentData": null,
                },
                {
                    "operationType": null, "operationTypeAdditionalInfo": null, "order": null, "merchant": null, "creditCardMetadata": null,
                    "paymentData": {
                        "payer": {
                            "documentNumber": { "type": "CPF", "typeRaw": "CPF", "value": "761.092.776-73" }, "name": "Ana", "accountNumber": "1234-5",
                            "branchNumber": "0001", "routingNumber": "001", "routingNumberIspb": "00000000",
                        },
                        "receiver": { "documentNumber": { "type": "UNKNOWN", "typeRaw": "NIF", "value": null }, "name": null },
                        "paymentMethod": "UNKNOWN", "paymentMethodRaw": "CHEQUE", "reason": "water", "referenceNumber": "E1", "receiverReferenceId": "R1",
                        "boletoMetadata": { "digitableLine": "1 2", "barcode": "12", "baseAmount": "50.00", "interestAmount": "1.50",
                            "penaltyAmount": "2.00", "discountAmount": "1.00" },
                    },
                },
                {
                    "operationType": null, "operationTypeAdditionalInfo": null, "order": null, "merchant": null, "creditCardMetadata": null,
                    "paymentData": null,
                },
            ])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_name_what_differs_and_equal_rows_are_not_told() {
    for engine in ENGINES {
        let mut rows = vec![
            row(Some("a"), "2026-03-15", -1_000, "Shop"),
            row(Some("b"), "2026-03-15", -2_000, "Fuel"),
        ];
        rows[0].details.order = Some(1);
        let payments = rows.iter().map(|row| paid(row, "Ana")).collect();
        let it = Paying::over(engine, ALL, rows, payments).await;
        assert_eq!(it.run(None).await, Vec::<String>::new());
        it.bank(|bank| {
            bank.rows[0].details.order = Some(2);
            bank.rows[0].details.card = Some(CardRecord {
                card_number: Some("1".to_owned()),
                ..CardRecord::default()
            });
            bank.payments[1].payment.reason = Some("rent".to_owned());
        });
        let mut told = it.run(None).await;
        told.sort_unstable();
        assert_eq!(
            told,
            [
                r#"UPDATED ["order","creditCardMetadata"]"#,
                r#"UPDATED ["paymentData"]"#,
            ]
        );
        it.bank(|bank| {
            bank.rows[0].details = TransactionDetails::default();
            bank.payments.clear();
        });
        let mut told = it.run(None).await;
        told.sort_unstable();
        assert_eq!(
            told,
            [
                r#"UPDATED ["order","creditCardMetadata","paymentData"]"#,
                r#"UPDATED ["paymentData"]"#,
            ]
        );
        assert_eq!(
            it.rows("order paymentData { reason }").await[0],
            json!({ "order": null, "paymentData": null })
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payment_data_is_stored_only_where_it_is_asked_for_and_stays_when_it_cannot_be_read() {
    for engine in ENGINES {
        let mut inline = row(Some("a"), "2026-03-15", -1_000, "Pix");
        inline.details.payment_data = Some(paid(&inline, "Inline").payment);
        let old = row(Some("b"), "2025-06-01", -2_000, "Old Pix");
        let payments = vec![paid(&old, "Old")];
        let products = &["ACCOUNTS", "TRANSACTIONS"];
        let it = Paying::over(engine, products, vec![inline, old], payments).await;
        assert_eq!(payers(&it.rows(PAYER).await), [Value::Null, Value::Null]);
        assert_eq!(it.run(None).await, Vec::<String>::new());
        assert_eq!(it.last_window(), "2026-03-12..2026-03-16");

        // A product that is added is collected in full, however far its rows are known.
        it.bank(|bank| bank.failing = Some(Product::PaymentData));
        assert_eq!(it.run(Some(ALL)).await, Vec::<String>::new());
        assert_eq!(it.last_window(), "2025-03-16..2026-03-16");
        assert_eq!(payers(&it.rows(PAYER).await), [Value::Null, Value::Null]);
        assert_eq!(
            it.test.item(it.item).await["executionStatus"],
            "PARTIAL_SUCCESS"
        );
        it.bank(|bank| bank.failing = None);
        assert_eq!(it.run(None).await, [r#"UPDATED ["paymentData"]"#; 2]);
        assert_eq!(it.last_window(), "2025-03-16..2026-03-16");
        assert_eq!(payers(&it.rows(PAYER).await), ["Inline", "Old"]);

        // From then on only what is recent, and what is stored outlives a failure.
        it.bank(|bank| bank.failing = Some(Product::PaymentData));
        assert_eq!(it.run(None).await, Vec::<String>::new());
        assert_eq!(it.last_window(), "2026-03-12..2026-03-16");
        it.bank(|bank| bank.failing = Some(Product::Transactions));
        assert_eq!(it.run(None).await, Vec::<String>::new());
        let detail = it.test.item(it.item).await["statusDetail"].clone();
        assert_eq!(detail[2]["product"], "PAYMENT_DATA");
        assert_eq!(detail[2]["isUpdated"], false);
        assert_eq!(detail[2]["warnings"][0]["code"], "PAY_001");
        assert_eq!(payers(&it.rows(PAYER).await), ["Inline", "Old"]);

        // What is no longer asked for stays as it is, and new rows have none.
        let mut new = row(Some("c"), "2026-03-16", -3_000, "New Pix");
        new.details.payment_data = Some(paid(&new, "New").payment);
        it.bank(|bank| {
            bank.failing = None;
            bank.rows.push(new);
        });
        it.run(Some(products)).await;
        assert_eq!(
            payers(&it.rows(PAYER).await),
            [json!(null), json!("Inline"), json!("Old")]
        );
        let code = it
            .test
            .code(
                "mutation($id: ID!) { updateItem(input: { itemId: $id, products: [ACCOUNTS, PAYMENT_DATA] }) { cursor } }",
                json!({ "id": it.item }),
            )
            .await;
        assert_eq!(code, "INVALID_INPUT");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_find_movements_without_an_id_by_their_content_and_order() {
    for engine in ENGINES {
        let rows = vec![
            row(None, "2026-03-15", -1_000, "Pix"),
            row(None, "2026-03-15", -1_000, "Pix"),
            row(None, "2026-03-15", -2_000, "Pix"),
        ];
        let mut payments: Vec<_> = ["First", "Second", "Third"]
            .iter()
            .zip(&rows)
            .map(|(name, row)| paid(row, name))
            .collect();
        payments.push(paid(&row(None, "2026-03-15", -9, "Nowhere"), "Nobody"));
        let it = Paying::over(engine, ALL, rows, payments).await;
        let mut shown: Vec<String> = payers(&it.rows(PAYER).await)
            .iter()
            .map(ToString::to_string)
            .collect();
        shown.sort_unstable();
        assert_eq!(shown, [r#""First""#, r#""Second""#, r#""Third""#]);
        it.test.advance(Duration::from_hours(24));
        assert_eq!(it.run(None).await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_paid_whom_is_in_the_movement_alone_and_goes_with_the_item() {
    for engine in ENGINES {
        let mut inline = row(Some("a"), "2026-03-15", -1_000, "Pix");
        inline.details.payment_data = Some(paid(&inline, "Planted Inline").payment);
        let other = row(Some("b"), "2026-03-15", -2_000, "Pix");
        let payments = vec![paid(&other, "Planted Payer")];
        let it = Paying::over(engine, ALL, vec![inline, other], payments).await;
        it.bank(|bank| bank.payments[0].payment.reason = Some("Planted Reason".to_owned()));
        it.run(None).await;
        let rows = dump(it.test.app.db.read()).await;
        let holding = rows.iter().filter(|row| row.contains("planted"));
        let tables: BTreeSet<_> = holding.filter_map(|row| row.split(':').next()).collect();
        assert_eq!(tables, BTreeSet::from(["account_transaction"]));

        let delete = "mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }";
        it.test.data(delete, json!({ "id": it.item })).await;
        it.test.settle().await;
        let rows = dump(it.test.app.db.read()).await;
        assert_eq!(find(&rows, "planted"), None);
    }
}

/// Every path of an answer, and whether something is there anywhere.
fn paths(value: &Value, path: &str, found: &mut BTreeMap<String, bool>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                paths(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(values) if !values.is_empty() => {
            for value in values {
                paths(value, path, found);
            }
        }
        value => {
            let told = !value.is_null() && *value != json!([]);
            *found.entry(path.to_owned()).or_default() |= told;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_shows_everything_leaves_no_field_empty() {
    crate::support::on_both_engines(|test| async move {
        let parameters = [("user", "user-ok"), ("password", "password-ok")];
        let item = test.connect("2", &parameters).await;
        test.settle().await;
        let party = "documentNumber { type typeRaw value } name accountNumber branchNumber routingNumber routingNumberIspb";
        let movement = format!(
            "date description descriptionRaw amount amountInAccountCurrency balance providerId providerCode asOf operationType \
             operationTypeAdditionalInfo order merchant {{ name businessName cnpj cnae category }} creditCardMetadata {{ installmentNumber \
             totalInstallments totalAmount purchaseDate payeeMcc cardNumber billId bill {{ id }} billForecastDate feeType feeTypeRaw \
             feeTypeAdditionalInfo otherCreditsType otherCreditsTypeRaw otherCreditsAdditionalInfo }} paymentData {{ payer {{ {party} }} \
             receiver {{ {party} }} paymentMethod paymentMethodRaw reason referenceNumber receiverReferenceId boletoMetadata {{ \
             digitableLine barcode baseAmount interestAmount penaltyAmount discountAmount }} }}"
        );
        let bill = "dueDate billClosingDate totalAmount totalAmountCurrencyCode minimumPaymentAmount allowsInstallments asOf \
             financeCharges { id type typeRaw amount currencyCode additionalInfo } transactions(first: 1) { nodes { id } } \
             payments { id valueType valueTypeRaw paymentDate paymentMode paymentModeRaw amount currencyCode }";
        let document = format!(
            "query($id: ID!) {{ item(id: $id) {{ transactions(first: 500) {{ nodes {{ {movement} }} }} \
             accounts {{ nodes {{ subtype asOf bills {{ nodes {{ {bill} }} }} }} }} }} }}"
        );
        let data = test.data(&document, json!({ "id": item })).await;
        let mut found = BTreeMap::new();
        paths(&data["item"], "", &mut found);
        let told = found.iter().filter(|(_, told)| **told);
        let told: Vec<&String> = told.map(|(path, _)| path).collect();
        let below = |path: &str| told.iter().any(|it| it.starts_with(&format!("{path}.")));
        let empty: Vec<&str> = found
            .iter()
            .filter(|(path, told)| !**told && !below(path))
            .map(|(path, _)| path.as_str())
            .collect();
        assert_eq!(empty, [""; 0], "{} paths", told.len());
        assert!(told.len() > 60);
        let kinds = data["item"]["accounts"]["nodes"].as_array().cloned().unwrap_or_default();
        let kinds: Vec<_> = kinds.iter().map(|one| one["subtype"].clone()).collect();
        assert_eq!(kinds, ["CHECKING_ACCOUNT", "SAVINGS_ACCOUNT", "CREDIT_CARD"]);
        assert_eq!(test.item(item).await["executionStatus"], "SUCCESS");
    })
    .await;
}
