//! What a query costs: one statement for each level, however many there are on the level above.

use entity::kind::{AccountSubtype, AccountType, Product};
use ponte::{
    connector::{
        AccountRecord, BillRecord, CardRecord, IdentityRecord, Registry, StatementRecord,
        TransactionRecord,
    },
    db::Engine,
    money::Amount,
};
use serde_json::{Value, json};

use crate::support::{
    TestApp,
    scripted::{account, investment, loan, movement, row, scripted_as},
};

const PRODUCTS: [Product; 8] = [
    Product::Accounts,
    Product::CreditCards,
    Product::Transactions,
    Product::Investments,
    Product::InvestmentsTransactions,
    Product::Identity,
    Product::Loans,
    Product::AccountStatements,
];

/// Three persons with the same at the bank.
const PERSONS: [&str; 3] = ["761.092.776-73", "238.242.640-30", "051.177.670-55"];

/// What is asked of Items, how many statements that takes (one for the Items, one for each level below, one for a
/// `totalCount`), what is counted in the answer, and how many of it an Item has.
const QUERIES: &[(&str, u64, &str, usize)] = &[
    ("accounts { nodes { id } }", 2, "id", 4),
    (
        "accounts { nodes { bills { nodes { dueDate } } } }",
        3,
        "dueDate",
        4,
    ),
    (
        "accounts { nodes { bills { totalCount } } }",
        4,
        "totalCount",
        4,
    ),
    (
        "accounts { nodes { bills { nodes { transactions { nodes { postedOn } } } } } }",
        4,
        "postedOn",
        2,
    ),
    (
        "accounts { nodes { bills { nodes { transactions { totalCount } } } } }",
        5,
        "totalCount",
        4,
    ),
    (
        "accounts { nodes { statements { nodes { month } } } }",
        3,
        "month",
        8,
    ),
    (
        "accounts { nodes { statements { totalCount } } }",
        4,
        "totalCount",
        4,
    ),
    ("executions { nodes { startedAt } }", 2, "startedAt", 2),
    ("consents { nodes { products } }", 2, "products", 1),
    ("quotas { call }", 2, "call", 15),
    (
        "transactions { nodes { replaces { transactionId } } }",
        3,
        "transactionId",
        4,
    ),
    (
        "transactions { nodes { account { number } } }",
        3,
        "number",
        8,
    ),
    (
        "investments { nodes { transactions { nodes { date } } } }",
        3,
        "date",
        4,
    ),
    (
        "investments { nodes { transactions { totalCount } } }",
        4,
        "totalCount",
        2,
    ),
    ("loans { nodes { kind } }", 2, "kind", 2),
    ("loans { totalCount }", 3, "totalCount", 1),
    ("identity { fullName }", 2, "fullName", 1),
];

fn account_of(key: &str, kind: AccountType, subtype: AccountSubtype) -> AccountRecord {
    AccountRecord {
        key: key.to_owned(),
        kind,
        subtype,
        number: key.to_owned(),
        ..account(100)
    }
}

fn checking(key: &str) -> AccountRecord {
    account_of(key, AccountType::Bank, AccountSubtype::CheckingAccount)
}

fn card(key: &str) -> AccountRecord {
    account_of(key, AccountType::Credit, AccountSubtype::CreditCard)
}

fn bill(key: &str, due: &str) -> BillRecord {
    BillRecord {
        key: key.to_owned(),
        due_date: due.parse().expect("a day"),
        bill_closing_date: None,
        total_amount: Amount::from_cents(1_000),
        total_amount_currency_code: "BRL".to_owned(),
        minimum_payment_amount: None,
        allows_installments: None,
        finance_charges: Vec::new(),
        payments: Vec::new(),
    }
}

/// A movement that a card has on its bill of March, and accounts just have.
fn on_bill() -> TransactionRecord {
    let mut row = row(Some("b"), "2026-03-12", -700, "Fuel");
    row.details.card = Some(CardRecord {
        bill_key: Some("march".to_owned()),
        ..CardRecord::default()
    });
    row
}

fn statement(month: &str) -> StatementRecord {
    StatementRecord {
        key: month.to_owned(),
        month: format!("{month}-01").parse().expect("a day"),
        contents: month.to_owned().into(),
    }
}

/// How many objects of an answer have something under a name.
fn count(answer: &Value, name: &str) -> usize {
    match answer {
        Value::Array(all) => all.iter().map(|one| count(one, name)).sum(),
        Value::Object(fields) => {
            let here = fields.get(name).is_some_and(|value| !value.is_null());
            let below: usize = fields.values().map(|one| count(one, name)).sum();
            usize::from(here) + below
        }
        _ => 0,
    }
}

/// Three Items, each with two accounts and two cards whose movement was written anew, and the movements' former ids.
async fn connected(engine: Engine) -> (TestApp, Vec<Value>) {
    let (connector, bank) = scripted_as(|form| {
        form.products = PRODUCTS.to_vec();
        form.is_open_finance = true;
        form.overlap_days = 7;
        "cpf".clone_into(&mut form.credentials[0].name);
    });
    let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
    {
        let mut bank = bank.lock().expect("a bank");
        bank.accounts = Some(vec![checking("1"), checking("2")]);
        bank.cards = vec![card("3"), card("4")];
        bank.bills = vec![bill("february", "2026-02-20"), bill("march", "2026-03-20")];
        bank.rows = vec![
            on_bill(),
            row(Some("a"), "2026-03-15", -1_000, "MERCADO EXTRA SAO PAULO"),
        ];
        bank.statements = vec![statement("2026-01"), statement("2026-02")];
        bank.investments = vec![investment("x", 100), investment("y", 200)];
        bank.movements = ["x", "y"]
            .into_iter()
            .flat_map(|key| {
                ["2026-03-10", "2026-03-11"].map(|day| (key, movement(None, day, "BUY", 100)))
            })
            .collect();
        bank.loans = vec![
            loan("l", "LOAN", "100.00"),
            loan("m", "FINANCING", "200.00"),
        ];
        bank.holder = Some(IdentityRecord {
            full_name: Some("Ana".to_owned()),
            ..IdentityRecord::default()
        });
    }
    let mut items = Vec::new();
    for person in PERSONS {
        items.push(test.connect("7000", &[("cpf", person)]).await);
    }
    test.settle().await;
    let rows =
        "{ items { nodes { transactions(filter: { search: \"mercado\" }) { nodes { id } } } } }";
    let rows = test.data(rows, json!({})).await;
    let ids = rows["items"]["nodes"].as_array().expect("a list").iter();
    let former = ids.flat_map(|item| {
        item["transactions"]["nodes"]
            .as_array()
            .expect("a list")
            .clone()
    });
    let former = former.map(|row| row["id"].clone()).collect();
    bank.lock().expect("a bank").rows = vec![
        on_bill(),
        row(Some("c"), "2026-03-16", -1_000, "MERCADO EXTRA"),
    ];
    for item in items {
        test.updated(item, &[]).await;
        assert_eq!(test.item(item).await["executionStatus"], "SUCCESS");
    }
    (test, former)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_costs_one_statement_whatever_hangs_from_it() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, former) = connected(engine).await;
        for (selected, statements, name, of_an_item) in QUERIES {
            for items in [1, PERSONS.len()] {
                let document = format!("{{ items(first: {items}) {{ nodes {{ {selected} }} }} }}");
                let before = test.app.db.statements();
                let data = test.data(&document, json!({})).await;
                let spent = test.app.db.statements() - before;
                assert_eq!(spent, *statements, "{document}");
                assert_eq!(count(&data, name), of_an_item * items, "{document}: {data}");
            }
        }
        // What is gone is in no list.
        assert_eq!(former.len(), 4 * PERSONS.len());
        for ids in [&former[..4], &former] {
            let document = "query($ids: [ID!]!) { nodes(ids: $ids) { ... on Transaction { replacedBy { transactionId } } } }";
            let before = test.app.db.statements();
            let data = test.data(document, json!({ "ids": ids })).await;
            // One for the kinds, one for what is there of them, one for what is gone.
            assert_eq!(test.app.db.statements() - before, 3);
            assert_eq!(count(&data, "transactionId"), ids.len(), "{data}");
        }
    }
}
