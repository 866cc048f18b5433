//! What an institution shows whole: positions and their movements, loans, holders; and what a user allowed.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use entity::{execution, kind::Product};
use ponte::{
    connector::{IdentityRecord, LoanRecord, PhoneRecord, Registry},
    db::Engine,
    product::{
        Counts,
        snapshot::{self, Parent, Snapshot as _},
    },
    sync,
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _, QueryFilter as _,
    Statement,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    client_user::{Schema, selection},
    support::{
        TestApp, api_key, create_application,
        scripted::{Bank, investment, loan, movement, scripted_as},
    },
};

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

const PRODUCTS: [Product; 5] = [
    Product::Accounts,
    Product::Investments,
    Product::InvestmentsTransactions,
    Product::Identity,
    Product::Loans,
];

struct Whole {
    test: TestApp,
    bank: Arc<Mutex<Bank>>,
    item: Uuid,
}

impl Whole {
    /// An Item of a bank that shows this, collected once.
    async fn over(engine: Engine, show: impl FnOnce(&mut Bank)) -> Self {
        Self::through(engine, false, show).await
    }

    /// The same, through the regulated interface or not: that allows most calls once in a while only.
    async fn through(engine: Engine, regulated: bool, show: impl FnOnce(&mut Bank)) -> Self {
        let (connector, bank) = scripted_as(|form| {
            form.products = PRODUCTS.to_vec();
            form.is_open_finance = regulated;
        });
        let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
        show(&mut bank.lock().expect("a bank"));
        let item = test.connect("7000", &[("user", "x")]).await;
        test.settle().await;
        assert_eq!(test.item(item).await["status"], "UPDATED");
        Self { test, bank, item }
    }

    fn bank(&self, change: impl FnOnce(&mut Bank)) {
        change(&mut self.bank.lock().expect("a bank"));
    }

    /// Runs again, a second later; answers what that tells of entities other than the Item, as `KIND ACTION fields`.
    async fn run(&self) -> Vec<String> {
        let document = "query($after: String) { changes(first: 500, after: $after) { nodes { kind action fields } pageInfo { endCursor } } }";
        let before = self.test.data(document, json!({})).await;
        self.test.advance(Duration::from_secs(1));
        self.test.updated(self.item, &[]).await;
        let after = &before["changes"]["pageInfo"]["endCursor"];
        let data = self.test.data(document, json!({ "after": after })).await;
        let nodes = data["changes"]["nodes"].as_array().expect("changes");
        let told = nodes.iter().filter(|node| node["kind"] != "ITEM");
        told.map(|node| {
            let word = |name: &str| node[name].as_str().unwrap_or("?").to_owned();
            let fields = node["fields"].as_array().expect("fields").iter();
            let fields = fields.map(|field| field.as_str().unwrap_or("?").to_owned());
            let words: Vec<_> = [word("kind"), word("action")]
                .into_iter()
                .chain(fields)
                .collect();
            words.join(" ")
        })
        .collect()
    }

    /// What the graph shows of the Item, as `fields` asks.
    async fn shown(&self, fields: &str) -> Value {
        let document = format!("query($id: ID!) {{ item(id: $id) {{ {fields} }} }}");
        let data = self.test.data(&document, json!({ "id": self.item })).await;
        data["item"].clone()
    }

    async fn investments(&self) -> Vec<Value> {
        let fields = "investments { nodes { id name balance closedAt updatedAt \
            transactions(first: 500) { nodes { id date amount type } } } }";
        let data = self.shown(fields).await;
        let mut rows = data["investments"]["nodes"]
            .as_array()
            .expect("a list")
            .clone();
        rows.sort_by_key(|row| row["name"].to_string());
        rows
    }
}

fn days(position: &Value) -> Vec<&str> {
    let rows = position["transactions"]["nodes"].as_array().expect("rows");
    rows.iter().filter_map(|row| row["date"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_again_is_neither_written_nor_told() {
    for engine in ENGINES {
        let it = Whole::over(engine, |bank| {
            bank.investments = vec![investment("a", 100_000), investment("b", 5_050)];
            bank.movements = vec![
                ("a", movement(Some("1"), "2026-01-10", "BUY", 90_000)),
                ("a", movement(None, "2026-02-10", "INTEREST", 1_000)),
                ("a", movement(None, "2026-02-10", "INTEREST", 1_000)),
            ];
            bank.loans = vec![loan("l", "LOAN", "12000.00")];
        })
        .await;
        let everything = "investments { nodes { id type subtype name balance updatedAt transactions { totalCount nodes { id type movementType amount updatedAt } } } totalCount } \
            loans { nodes { id kind productName updatedAt payments { contractOutstandingBalance } } totalCount }";
        let before = it.shown(everything).await;
        assert_eq!(before["investments"]["totalCount"], 2);
        let first = &before["investments"]["nodes"];
        let names: Vec<_> = first
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| &row["name"])
            .collect();
        assert!(
            names.contains(&&json!("CDB a")) && names.contains(&&json!("CDB b")),
            "{names:?}"
        );
        let counts = first
            .as_array()
            .expect("a list")
            .iter()
            .map(|row| &row["transactions"]["totalCount"]);
        let mut counts: Vec<_> = counts.map(ToString::to_string).collect();
        counts.sort_unstable();
        assert_eq!(
            counts,
            ["0", "3"],
            "equal movements of one day are different ones"
        );
        assert_eq!(
            before["loans"]["nodes"][0]["payments"]["contractOutstandingBalance"],
            "12000.00"
        );
        assert_eq!(it.run().await, Vec::<String>::new());
        assert_eq!(it.shown(everything).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_keeps_its_id_what_vanishes_closes_and_what_comes_back_is_open_again() {
    for engine in ENGINES {
        let it = Whole::over(engine, |bank| {
            bank.investments = vec![investment("a", 100_000), investment("b", 5_050)];
            bank.loans = vec![
                loan("l", "LOAN", "12000.00"),
                loan("m", "CONSORCIO", "1.00"),
            ];
        })
        .await;
        let before = it.investments().await;
        it.bank(|bank| {
            bank.investments[0].balance = ponte::money::Amount::from_cents(100_125);
            bank.investments[0].rate_type = Some("CDI".to_owned());
            bank.investments[1] = investment("c", 1);
            bank.loans.remove(0);
        });
        let mut told = it.run().await;
        told.sort_unstable();
        assert_eq!(
            told,
            [
                "INVESTMENT CREATED",
                "INVESTMENT UPDATED balance rateType",
                "INVESTMENT UPDATED closedAt",
                "LOAN UPDATED closedAt",
            ]
        );
        let after = it.investments().await;
        assert_eq!(after.len(), 3);
        assert_eq!(
            (&after[0]["id"], &after[0]["balance"]),
            (&before[0]["id"], &json!("1001.25"))
        );
        assert_eq!(
            (&after[1]["id"], &after[1]["closedAt"]),
            (&before[1]["id"], &json!("2026-03-16T12:00:01.000Z"))
        );
        assert_eq!(after[2]["closedAt"], Value::Null);
        let loans = it.shown("loans { nodes { productName kind kindRaw closedAt } } financing: loans(kind: FINANCING) { nodes { id } } unknown: loans(kind: UNKNOWN) { totalCount }").await;
        assert_eq!(loans["unknown"]["totalCount"], 1);
        assert_eq!(loans["financing"]["nodes"], json!([]));
        let unknown = json!({ "productName": "Loan m", "kind": "UNKNOWN", "kindRaw": "CONSORCIO", "closedAt": null });
        assert!(
            loans["loans"]["nodes"]
                .as_array()
                .expect("a list")
                .contains(&unknown),
            "{loans}"
        );

        it.bank(|bank| bank.investments.push(investment("b", 5_050)));
        assert_eq!(it.run().await, ["INVESTMENT UPDATED closedAt"]);
        let again = it.investments().await;
        assert_eq!(
            (&again[1]["id"], &again[1]["closedAt"]),
            (&before[1]["id"], &Value::Null)
        );
        assert_eq!(it.run().await, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_fails_leaves_what_is_stored_alone() {
    for engine in ENGINES {
        let it = Whole::over(engine, |bank| {
            bank.investments = vec![investment("a", 100_000)];
            bank.movements = vec![("a", movement(Some("1"), "2026-03-10", "BUY", 90_000))];
            bank.loans = vec![loan("l", "LOAN", "12000.00")];
        })
        .await;
        it.bank(|bank| {
            bank.failing = Some(Product::Investments);
            bank.investments.clear();
            bank.movements
                .push(("a", movement(Some("2"), "2026-03-16", "TAX", 7)));
            bank.loans.clear();
        });
        // The positions that are known are asked about, for their movements can still be read.
        let mut told = it.run().await;
        told.sort_unstable();
        assert_eq!(
            told,
            ["INVESTMENT_TRANSACTION CREATED", "LOAN UPDATED closedAt"]
        );
        let item = it.test.item(it.item).await;
        assert_eq!(item["executionStatus"], "PARTIAL_SUCCESS");
        let rows = it.investments().await;
        assert_eq!((rows.len(), &rows[0]["closedAt"]), (1, &Value::Null));
        assert_eq!(days(&rows[0]), ["2026-03-16", "2026-03-10"]);
        it.bank(|bank| bank.failing = Some(Product::InvestmentsTransactions));
        let rows = it.investments().await;
        assert_eq!(it.run().await, ["INVESTMENT UPDATED closedAt"]);
        assert_eq!(days(&it.investments().await[0]), days(&rows[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn movements_are_merged_inside_of_the_window_that_was_read() {
    for engine in ENGINES {
        let it = Whole::over(engine, |bank| {
            bank.investments = vec![investment("a", 100_000)];
            bank.movements = vec![
                ("a", movement(Some("older"), "2025-03-15", "BUY", 1)),
                ("a", movement(Some("old"), "2026-01-10", "BUY", 2)),
                ("a", movement(Some("young"), "2026-03-14", "BUY", 3)),
                ("a", movement(Some("edited"), "2026-03-15", "BUY", 4)),
            ];
        })
        .await;
        assert_eq!(
            days(&it.investments().await[0]),
            ["2026-03-15", "2026-03-14", "2026-01-10"]
        );
        it.bank(|bank| {
            bank.movements = vec![("a", movement(Some("edited"), "2026-03-15", "SELL", 4))];
            bank.complete = false;
        });
        assert_eq!(it.run().await, ["INVESTMENT_TRANSACTION UPDATED type"]);
        it.bank(|bank| bank.complete = true);
        assert_eq!(it.run().await, ["INVESTMENT_TRANSACTION DELETED"]);
        assert_eq!(
            days(&it.investments().await[0]),
            ["2026-03-15", "2026-01-10"]
        );
        it.test.advance(Duration::from_hours(24 * 30));
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
                "2026-03-12..2026-03-16",
                "2026-03-12..2026-03-16",
                "2026-03-12..2026-04-15", // four days before the last complete collection
            ]
        );
        assert_eq!(
            days(&it.investments().await[0]),
            ["2026-03-15", "2026-01-10"],
            "what is older than the window stays, whatever the bank shows"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merge_that_is_repeated_changes_nothing() {
    for engine in ENGINES {
        let (connector, bank) = scripted_as(|form| form.products = PRODUCTS.to_vec());
        let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
        let loans = (0..2_500).map(|n| loan(&format!("l{n:04}"), "LOAN", "1.00"));
        bank.lock().expect("a bank").loans = loans.collect();
        let id = test.connect("7000", &[("user", "x")]).await;
        sync::run_once(&test.app).await.expect("a run");
        let run = execution::Entity::find()
            .filter(execution::Column::ItemId.eq(id))
            .one(test.app.db.read())
            .await
            .expect("the database answers")
            .expect("a run");
        let txn = test.app.db.begin().await.expect("a transaction");
        let parent = Parent {
            id,
            staged: LoanRecord::STAGED,
            within: None,
            complete: true,
        };
        let counts = snapshot::merge::<LoanRecord>(&txn, &test.app, &run, parent).await;
        assert_eq!(
            counts.expect("merged"),
            Counts {
                unchanged: 2_500,
                ..Counts::default()
            }
        );
        // A run that has been shown nothing closes everything, once.
        let parent = Parent {
            staged: "nothing",
            ..parent
        };
        let counts = snapshot::merge::<LoanRecord>(&txn, &test.app, &run, parent).await;
        assert_eq!(
            counts.expect("merged"),
            Counts {
                deleted: 2_500,
                ..Counts::default()
            }
        );
        let counts = snapshot::merge::<LoanRecord>(&txn, &test.app, &run, parent).await;
        assert_eq!(counts.expect("merged"), Counts::default());
        txn.rollback().await.expect("rolled back");
        let merged = run.merged.as_array().expect("notes").clone();
        let loans = merged
            .iter()
            .find(|note| note["product"] == "LOANS")
            .expect("loans are noted");
        assert_eq!(
            loans["counts"],
            json!([["LOANS", { "created": 2_500, "updated": 0, "deleted": 0, "unchanged": 0 }]])
        );
        test.settle().await;
        let sql = Statement::from_string(
            if engine == Engine::Sqlite {
                DbBackend::Sqlite
            } else {
                DbBackend::Postgres
            },
            "SELECT count(*) AS count FROM staged_document",
        );
        let left = test
            .app
            .db
            .read()
            .query_one_raw(sql)
            .await
            .expect("a count")
            .expect("a row");
        assert_eq!(left.try_get::<i64>("", "count").expect("a number"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_page_in_both_directions_filter_and_cost_one_statement_a_level() {
    for engine in ENGINES {
        let it = Whole::over(engine, |bank| {
            bank.investments = (0..7).map(|n| investment(&format!("p{n}"), n)).collect();
            bank.investments[3].kind = "EQUITY".to_owned();
            bank.investments[3].subtype = Some("STOCK".to_owned());
            bank.investments[4].kind = "PRECATORIO".to_owned();
            bank.movements = (1..=9)
                .map(|n| {
                    (
                        "p3",
                        movement(
                            Some(&format!("{n}")),
                            &format!("2026-02-0{n}"),
                            if n % 3 == 0 { "TAX" } else { "BUY" },
                            n,
                        ),
                    )
                })
                .collect();
        })
        .await;
        let before = it.test.app.db.statements();
        let data = it
            .shown("investments(first: 7) { nodes { id transactions(first: 2) { nodes { id investment { id } } } } } loans { nodes { id } } identity { id }")
            .await;
        assert_eq!(it.test.app.db.statements() - before, 6, "{data}");
        let id = it.shown("investments(type: EQUITY) { totalCount nodes { id type subtype typeRaw } } unknown: investments(type: UNKNOWN) { nodes { type typeRaw } }").await;
        assert_eq!(id["investments"]["totalCount"], 1);
        assert_eq!(
            id["unknown"]["nodes"],
            json!([{ "type": "UNKNOWN", "typeRaw": "PRECATORIO" }])
        );
        let id = id["investments"]["nodes"][0]["id"].clone();
        let document = "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String, $filter: InvestmentTransactionFilter) { investment(id: $id) { \
            transactions(first: $first, after: $after, last: $last, before: $before, filter: $filter) { totalCount nodes { date } pageInfo { hasNextPage hasPreviousPage endCursor startCursor } } } }";
        let page = async |more: Value| {
            let mut variables = more;
            variables["id"] = id.clone();
            let data = it.test.data(document, variables).await;
            data["investment"]["transactions"].clone()
        };
        let dates = |page: &Value| -> Vec<String> {
            let rows = page["nodes"].as_array().expect("rows").iter();
            rows.filter_map(|row| row["date"].as_str())
                .map(|day| day[8..].to_owned())
                .collect()
        };
        let first = page(json!({ "first": 4 })).await;
        assert_eq!(dates(&first), ["09", "08", "07", "06"]);
        let second = page(json!({ "first": 4, "after": first["pageInfo"]["endCursor"] })).await;
        assert_eq!(dates(&second), ["05", "04", "03", "02"]);
        assert_eq!(
            (
                &second["pageInfo"]["hasNextPage"],
                &second["pageInfo"]["hasPreviousPage"]
            ),
            (&json!(true), &json!(true))
        );
        let back = page(json!({ "last": 4, "before": second["pageInfo"]["startCursor"] })).await;
        assert_eq!(dates(&back), dates(&first));
        let some =
            page(json!({ "filter": { "from": "2026-02-03", "to": "2026-02-07", "type": "TAX" } }))
                .await;
        assert_eq!(
            (dates(&some), &some["totalCount"]),
            (vec!["06".to_owned(), "03".to_owned()], &json!(2))
        );
        for (document, code) in [
            (
                format!(
                    "{{ investment(id: {id}) {{ transactions(first: 501) {{ nodes {{ id }} }} }} }}"
                ),
                "INVALID_INPUT",
            ),
            (
                format!(
                    "{{ investment(id: {id}) {{ transactions(after: \"x\") {{ nodes {{ id }} }} }} }}"
                ),
                "BAD_CURSOR",
            ),
            (
                format!(
                    "{{ item(id: \"{}\") {{ investments(first: 201) {{ nodes {{ id }} }} }} }}",
                    it.item
                ),
                "INVALID_INPUT",
            ),
            (
                format!(
                    "{{ item(id: \"{}\") {{ loans(last: 1, first: 1) {{ nodes {{ id }} }} }} }}",
                    it.item
                ),
                "INVALID_INPUT",
            ),
        ] {
            assert_eq!(it.test.code(&document, json!({})).await, code, "{document}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_sees_it_and_deletion_leaves_nothing() {
    for engine in ENGINES {
        let it = Whole::over(engine, |bank| {
            bank.investments = vec![investment("a", 100_000)];
            bank.movements = vec![("a", movement(Some("1"), "2026-03-10", "BUY", 90_000))];
            bank.loans = vec![loan("l", "LOAN", "12000.00")];
            bank.holder = Some(IdentityRecord {
                full_name: Some("Ana".to_owned()),
                ..IdentityRecord::default()
            });
        })
        .await;
        let test = &it.test;
        let data = it.shown("investments { nodes { id transactions { nodes { id } } } } loans { nodes { id } } identity { id } consents { nodes { id } }").await;
        let ids = [
            &data["investments"]["nodes"][0]["id"],
            &data["investments"]["nodes"][0]["transactions"]["nodes"][0]["id"],
            &data["loans"]["nodes"][0]["id"],
            &data["identity"]["id"],
            &data["consents"]["nodes"][0]["id"],
        ];
        let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
        let found = test.data(nodes, json!({ "ids": ids })).await;
        let types: Vec<_> = found["nodes"]
            .as_array()
            .expect("nodes")
            .iter()
            .map(|node| node["__typename"].clone())
            .collect();
        assert_eq!(
            types,
            [
                "Investment",
                "InvestmentTransaction",
                "Loan",
                "Identity",
                "Consent"
            ]
        );

        let stranger = create_application(&test.app, "Stranger").await;
        let stranger = api_key(&test.app, stranger.id).await;
        let response = test
            .query_as(Some(stranger.clone()), nodes, json!({ "ids": ids }))
            .await;
        assert_eq!(
            response["data"]["nodes"],
            json!([null, null, null, null, null])
        );
        let roots = "query($position: ID!, $loan: ID!) { investment(id: $position) { id } loan(id: $loan) { id } }";
        let variables = json!({ "position": ids[0], "loan": ids[2] });
        let response = test
            .query_as(Some(stranger), roots, variables.clone())
            .await;
        assert_eq!(
            response["data"],
            json!({ "investment": null, "loan": null })
        );

        let document =
            "mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }";
        test.data(document, json!({ "id": it.item })).await;
        let revoked = entity::consent::Entity::find()
            .one(test.app.db.read())
            .await
            .expect("an answer")
            .expect("a consent");
        assert_eq!(revoked.revoked_at, Some(test.app.clock.now()));
        assert_eq!(
            test.data(roots, variables).await,
            json!({ "investment": null, "loan": null })
        );
        test.settle().await;
        for table in [
            "investment",
            "investment_transaction",
            "loan",
            "identity",
            "consent",
            "staged_document",
        ] {
            let backend = if engine == Engine::Sqlite {
                DbBackend::Sqlite
            } else {
                DbBackend::Postgres
            };
            let sql =
                Statement::from_string(backend, format!("SELECT count(*) AS count FROM {table}"));
            let left = test
                .app
                .db
                .read()
                .query_one_raw(sql)
                .await
                .expect("a count")
                .expect("a row");
            assert_eq!(
                left.try_get::<i64>("", "count").expect("a number"),
                0,
                "{table}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_is_shown_in_full_and_told_field_by_field() {
    for engine in ENGINES {
        let it = Whole::over(engine, |bank| {
            bank.holder = Some(IdentityRecord {
                company_name: Some("Ponte Ltda".to_owned()),
                sex: Some("N".to_owned()),
                companies_cnpj: vec!["11222333000181".to_owned()],
                phone_numbers: vec![PhoneRecord { value: "1".to_owned(), area_code: Some("11".to_owned()), kind: Some("Celular".to_owned()), ..PhoneRecord::default() }],
                relations: vec![json!({ "type": "mother", "name": "Ana" })],
                investor_profile: Some("Conservative".to_owned()),
                financial_relationships: Some(json!({
                    "procurators": [{ "type": "PROCURADOR" }],
                    "accounts": [{ "type": "CONTA_POUPANCA", "subtype": "CONJUNTA_SOLIDARIA" }, { "type": "CONTA_SALARIO" }],
                })),
                marital_status: Some(json!({ "code": "MARRIED", "additionalInfo": "CASADO" })),
                parties: vec![json!({ "type": "PARTNER", "personType": "NATURAL_PERSON", "shareholding": "0.5", "startDate": "2021-05-21T08:30:00Z" })],
                qualifications: Some(json!({ "occupationCode": "OUTRO", "informedIncome": { "frequency": "QUINZENAL" }, "informedPatrimony": { "amount": "100000.00", "year": 2025 }, "economicActivities": [{ "code": "8599604", "isMain": true }] })),
                ..IdentityRecord::default()
            });
        })
        .await;
        let fields = "identity { companyName fullName sex sexRaw companiesCnpj phoneNumbers { type typeRaw value areaCode extension } investorProfile investorProfileRaw maritalStatus { code codeRaw additionalInfo } \
            parties { type typeRaw personType documentType shareholding startDate } relations { type typeRaw name } passport { number } \
            financialRelationships { procurators { type typeRaw } accounts { type typeRaw subtype subtypeRaw } } \
            qualifications { occupationCode occupationCodeRaw informedIncome { frequency frequencyRaw } informedPatrimony { amount year date } economicActivities { code isMain } informedRevenue { amount } } }";
        let data = it.shown(fields).await;
        assert_eq!(
            data["identity"],
            json!({
                "companyName": "Ponte Ltda", "fullName": null, "sex": "UNKNOWN", "sexRaw": "N", "companiesCnpj": ["11222333000181"],
                "phoneNumbers": [{ "type": "UNKNOWN", "typeRaw": "Celular", "value": "1", "areaCode": "11", "extension": null }],
                "investorProfile": "CONSERVATIVE", "investorProfileRaw": "Conservative",
                "maritalStatus": { "code": "MARRIED", "codeRaw": "MARRIED", "additionalInfo": "CASADO" },
                "parties": [{ "type": "PARTNER", "typeRaw": "PARTNER", "personType": "NATURAL_PERSON", "documentType": null, "shareholding": "0.50", "startDate": "2021-05-21" }],
                "relations": [{ "type": "MOTHER", "typeRaw": "mother", "name": "Ana" }], "passport": null,
                "financialRelationships": {
                    "procurators": [{ "type": "PROCURATOR", "typeRaw": "PROCURADOR" }],
                    "accounts": [
                        { "type": "SAVINGS", "typeRaw": "CONTA_POUPANCA", "subtype": "JOINT_SOLIDARY", "subtypeRaw": "CONJUNTA_SOLIDARIA" },
                        { "type": "UNKNOWN", "typeRaw": "CONTA_SALARIO", "subtype": null, "subtypeRaw": null },
                    ],
                },
                "qualifications": { "occupationCode": "OTHER", "occupationCodeRaw": "OUTRO",
                    "informedIncome": { "frequency": "BIWEEKLY", "frequencyRaw": "QUINZENAL" }, "informedPatrimony": { "amount": "100000.00", "year": 2025, "date": null },
                    "economicActivities": [{ "code": "8599604", "isMain": true }], "informedRevenue": null },
            })
        );
        assert_eq!(it.run().await, Vec::<String>::new());
        it.bank(|bank| {
            let holder = bank.holder.as_mut().expect("a holder");
            holder.sex = None;
            holder.qualifications.as_mut().expect("some")["informedPatrimony"]["year"] =
                json!(2026);
        });
        assert_eq!(it.run().await, ["IDENTITY UPDATED sex qualifications"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_through_open_finance_names_what_it_allows() {
    for engine in ENGINES {
        let it = Whole::through(engine, true, |_| {}).await;
        let consents = "consents { nodes { id products openFinancePermissionsGranted openFinancePermissionsGrantedRaw revokedAt } }";
        let data = it.shown(consents).await;
        let codes = json!([
            "REGISTRATION_ALL",
            "REGISTRATION_IDENTIFICATIONS",
            "REGISTRATION_QUALIFICATIONS",
            "REGISTRATION_FINANCIAL_RELATIONS",
            "ACCOUNTS_LIST",
            "ACCOUNTS_BALANCES",
            "ACCOUNTS_LIMITS",
            "CREDIT_OPERATIONS_ALL",
            "INVESTMENTS_ALL"
        ]);
        let consent = &data["consents"]["nodes"][0];
        assert_eq!(consent["openFinancePermissionsGranted"], codes);
        assert_eq!(consent["openFinancePermissionsGrantedRaw"], codes);
        assert_eq!(consent["revokedAt"], Value::Null);
        // The user has connected again.
        it.test.advance(Duration::from_mins(1));
        it.test.updated(it.item, &[("user", "y")]).await;
        assert_eq!(
            it.shown(consents).await["consents"]["nodes"]
                .as_array()
                .map(Vec::len),
            Some(2)
        );

        let input = json!({ "connectorId": "7000", "parameters": [{ "name": "user", "value": "x" }], "products": ["INVESTMENTS_TRANSACTIONS"] });
        let document =
            "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        assert_eq!(
            it.test.code(document, json!({ "input": input })).await,
            "INVALID_INPUT"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_contains_positions_their_movements_and_loans_each_once() {
    for engine in ENGINES {
        let it = Whole::over(engine, |bank| {
            bank.investments = (0..5).map(|n| investment(&format!("p{n}"), n)).collect();
            bank.movements = (1..=9)
                .map(|n| ("p3", movement(None, &format!("2026-02-0{n}"), "BUY", n)))
                .collect();
            bank.loans = (0..3)
                .map(|n| loan(&format!("l{n}"), "LOAN", "1.00"))
                .collect();
        })
        .await;
        let document =
            "mutation($input: UpdateItemInput!) { updateItem(input: $input) { item { id } } }";
        it.test
            .data(
                document,
                json!({ "input": { "itemId": it.item, "clientUserId": "ana" } }),
            )
            .await;
        it.test.settle().await;
        for first in [2, 500] {
            let (mut found, mut after) = (Vec::new(), Value::Null);
            loop {
                let document = "query($first: Int, $after: String) { exportClientUser(clientUserId: \"ana\", first: $first, after: $after) { cursor \
                    records { __typename ... on Investment { id } ... on InvestmentTransaction { id } ... on Loan { id } } } }";
                let data = it
                    .test
                    .data(document, json!({ "first": first, "after": after }))
                    .await;
                let page = &data["exportClientUser"];
                let records = page["records"].as_array().expect("records").iter();
                found.extend(
                    records
                        .filter(|one| one.get("id").is_some())
                        .map(ToString::to_string),
                );
                after = page["cursor"].clone();
                if after.is_null() {
                    break;
                }
            }
            let of = |kind: &str| {
                found
                    .iter()
                    .filter(|one| one.contains(&format!("\"{kind}\"")))
                    .count()
            };
            assert_eq!(
                (of("Investment"), of("InvestmentTransaction"), of("Loan")),
                (5, 9, 3)
            );
            assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), 17);
        }
    }
}

/// Which fields of an answer have a value somewhere.
fn values(value: &Value, path: &str, found: &mut BTreeMap<String, bool>) {
    match value {
        Value::Object(fields) => {
            found.insert(path.to_owned(), true);
            for (name, value) in fields {
                values(value, &format!("{path}.{name}"), found);
            }
        }
        Value::Array(values_of) => {
            *found.entry(path.to_owned()).or_default() |= !values_of.is_empty();
            for value in values_of {
                values(value, path, found);
            }
        }
        _ => *found.entry(path.to_owned()).or_default() |= !value.is_null(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_shows_nearly_every_field_of_what_it_shows_whole() {
    let test = TestApp::start(Engine::Sqlite).await;
    let login = [("user", "user-ok"), ("password", "password-ok")];
    let mut items = Vec::new();
    for connector in ["2", "8", "16", "20"] {
        items.push(test.connect(connector, &login).await);
    }
    test.settle().await;
    let schema = Schema::read();
    let [position, row, loan, identity, bank, card] = [
        "Investment",
        "InvestmentTransaction",
        "Loan",
        "Identity",
        "BankData",
        "CreditData",
    ]
    .map(|name| selection(&schema, name, 0));
    let mut found = BTreeMap::new();
    for item in items {
        for fields in [
            format!(
                "investments(first: 200) {{ nodes {{ {position} transactions(first: 500) {{ nodes {{ {row} }} }} }} }}"
            ),
            format!("loans {{ nodes {{ {loan} }} }}"),
            format!("identity {{ {identity} }}"),
            format!("accounts {{ nodes {{ bankData {{ {bank} }} creditData {{ {card} }} }} }}"),
        ] {
            let document = format!("query($id: ID!) {{ item(id: $id) {{ {fields} }} }}");
            let data = test.data(&document, json!({ "id": item })).await;
            values(&data["item"], "item", &mut found);
        }
    }
    let missing: Vec<&String> = found
        .iter()
        .filter(|(_, there)| !**there)
        .map(|(path, _)| path)
        .collect();
    println!(
        "{} of {} fields have no value anywhere: {missing:#?}",
        missing.len(),
        found.len()
    );
    assert!(found.len() > 250, "{}", found.len());
    assert!(missing.len() * 20 < found.len(), "{missing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_item_with_everything_is_read_again_without_a_change() {
    for engine in ENGINES {
        let test = TestApp::start(engine).await;
        let item = test
            .connect("2", &[("user", "user-ok"), ("password", "password-ok")])
            .await;
        test.settle().await;
        let shown = test.item(item).await;
        assert_eq!(
            (&shown["status"], &shown["executionStatus"]),
            (&json!("UPDATED"), &json!("SUCCESS"))
        );
        let rows = "query($id: ID!) { item(id: $id) { investments(first: 200) { totalCount nodes { id updatedAt closedAt transactions(first: 500) { totalCount nodes { id updatedAt } } } } \
            loans { nodes { id updatedAt kind } } } }";
        let before = test.data(rows, json!({ "id": item })).await;
        let movements: u64 = before["item"]["investments"]["nodes"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|one| one["transactions"]["totalCount"].as_u64())
            .sum();
        assert!(movements > 100, "{movements}");
        test.advance(Duration::from_mins(1));
        test.updated(item, &[]).await;
        assert_eq!(test.data(rows, json!({ "id": item })).await, before);
        // Half a year later deposits have ended, others have begun, and everything has moved on.
        test.advance(Duration::from_hours(24 * 180));
        test.updated(item, &[]).await;
        let after = test.data(rows, json!({ "id": item })).await;
        let closed = |data: &Value| {
            let nodes = data["item"]["investments"]["nodes"]
                .as_array()
                .expect("a list");
            nodes
                .iter()
                .filter(|one| !one["closedAt"].is_null())
                .count()
        };
        assert_eq!((closed(&before), closed(&after)), (0, 1));
        assert_eq!(
            after["item"]["investments"]["totalCount"].as_u64(),
            before["item"]["investments"]["totalCount"]
                .as_u64()
                .map(|n| n + 1)
        );
    }
}
