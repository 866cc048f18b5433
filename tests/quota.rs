//! What a regulated institution may be asked in a month: counted for a person, by everybody, and never more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use entity::{
    kind::{Product, RegulatedCall, TransactionStatus},
    quota,
};
use ponte::{
    auth::{Principal, application::Interval, token},
    connector::{Registry, TransactionRecord, regulated::LIMITS},
    db::{self, Engine},
    item::{self, upkeep::Upkeep},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _, QueryFilter as _,
};
use serde_json::{Value, json};
use strum::IntoEnumIterator as _;
use uuid::Uuid;

use crate::support::{
    TestApp, api_key, code_of, create_application, id_at, on_both_engines,
    scripted::{Bank, investment, row, scripted_as},
};

const ANA: [(&str, &str); 1] = [("cpf", "761.092.776-73")];
const DAY: Duration = Duration::from_hours(24);
const APRIL: &str = "2026-04-01T03:00:00.000Z";
const ALL: [Product; 7] = [
    Product::Accounts,
    Product::CreditCards,
    Product::Transactions,
    Product::Investments,
    Product::InvestmentsTransactions,
    Product::Identity,
    Product::Loans,
];

/// A node with one regulated institution.
async fn regulated(engine: Engine, products: &[Product]) -> (TestApp, Arc<Mutex<Bank>>) {
    regulated_as(engine, products, false).await
}

async fn regulated_as(
    engine: Engine,
    products: &[Product],
    sandbox: bool,
) -> (TestApp, Arc<Mutex<Bank>>) {
    let (connector, bank) = scripted_as(|form| {
        form.is_sandbox = sandbox;
        form.is_open_finance = true;
        form.overlap_days = 7;
        form.products = products.to_vec();
        "cpf".clone_into(&mut form.credentials[0].name);
    });
    let registry = Registry::new([connector]);
    (TestApp::start_over(engine, &[], registry).await, bank)
}

impl TestApp {
    /// An Item of somebody, settled.
    async fn of(&self, principal: &Principal, cpf: &str) -> Uuid {
        let document =
            "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        let parameters = json!([{ "name": "cpf", "value": cpf }]);
        let input = json!({ "connectorId": "7000", "parameters": parameters });
        let answer = self
            .query_as(Some(principal.clone()), document, json!({ "input": input }))
            .await;
        self.settle().await;
        id_at(&answer["data"], "/createItem/item/id")
    }

    /// An Item of somebody that collects these products, settled.
    async fn of_products(&self, cpf: &str, products: &[&str]) -> Uuid {
        let document =
            "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        let parameters = json!([{ "name": "cpf", "value": cpf }]);
        let input =
            json!({ "connectorId": "7000", "parameters": parameters, "products": products });
        let data = self.data(document, json!({ "input": input })).await;
        self.settle().await;
        id_at(&data, "/createItem/item/id")
    }

    /// Uses up a call of this month.
    async fn use_up(&self, id: Uuid, call: RegulatedCall) {
        let limit = LIMITS.iter().find(|limit| limit.call == call);
        let used_up = quota::Model {
            person: item_row(self, id).await.person_digest.expect("a person"),
            connector_id: 7000,
            month: item::quota::month(self.app.clock.now()),
            call,
            used: limit.expect("every call has one").month,
        };
        let written = self.app.db.write();
        quota::Entity::delete_many()
            .filter(quota::Column::Call.eq(call))
            .exec(written)
            .await
            .expect("forgotten");
        quota::Entity::insert(used_up.into_active_model().reset_all())
            .exec_without_returning(written)
            .await
            .expect("used up");
    }

    async fn quotas(&self, principal: &Principal, id: Uuid) -> Value {
        let document =
            "query($id: ID!) { item(id: $id) { quotas { product call limit used resetsAt } } }";
        let answer = self
            .query_as(Some(principal.clone()), document, json!({ "id": id }))
            .await;
        answer["data"]["item"]["quotas"].clone()
    }

    /// How often each call was made.
    async fn used(&self, id: Uuid) -> BTreeMap<String, i64> {
        let quotas = self.quotas(&self.principal, id).await;
        let quotas = quotas.as_array().expect("a list").iter();
        quotas
            .map(|quota| {
                let call = quota["call"].as_str().expect("a call").to_owned();
                assert!(quota["used"].as_i64() <= quota["limit"].as_i64(), "{quota}");
                (call, quota["used"].as_i64().expect("a number"))
            })
            .collect()
    }

    /// How a product stands: whether it was updated, and the codes of its warnings.
    async fn stands(&self, id: Uuid, product: Product) -> (bool, Vec<String>) {
        let item = self.item(id).await;
        let details = item["statusDetail"].as_array().expect("a list");
        let detail = details
            .iter()
            .find(|detail| detail["product"] == product.as_str())
            .expect("the product");
        let warnings = detail["warnings"].as_array().expect("a list").iter();
        let codes = warnings.map(|warning| warning["code"].as_str().expect("a code").to_owned());
        (detail["isUpdated"] == true, codes.collect())
    }
}

fn counts(of: &[(&str, i64)]) -> BTreeMap<String, i64> {
    of.iter()
        .map(|(call, used)| ((*call).to_owned(), *used))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_counted_once_whoever_asks() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = regulated(engine, &[Product::Accounts, Product::Transactions]).await;
        let other = create_application(&test.app, "Other").await;
        let other = api_key(&test.app, other.id).await;
        let mine = test.of(&test.principal, ANA[0].1).await;
        let shown = |call: &str, product: &str, limit: i32, used: i32| json!({ "product": product, "call": call, "limit": limit, "used": used, "resetsAt": APRIL });
        let of = |lists: i32, others: i32, older: i32| {
            json!([
                shown("ACCOUNT_LIST", "ACCOUNTS", 4, lists),
                shown("ACCOUNT_BALANCE", "ACCOUNTS", 420, others),
                shown("TRANSACTIONS_RECENT", "TRANSACTIONS", 240, others),
                shown("TRANSACTIONS_OLDER", "TRANSACTIONS", 4, older),
            ])
        };
        let all = |lists, others| of(lists, others, lists);
        assert_eq!(test.quotas(&test.principal, mine).await, all(1, 1));
        // The same number, written otherwise, at another application.
        let theirs = test.of(&other, "76109277673").await;
        let somebody_else = test.of(&other, "238.242.640-30").await;
        assert_eq!(test.quotas(&test.principal, mine).await, all(2, 2));
        assert_eq!(test.quotas(&other, theirs).await, all(2, 2));
        assert_eq!(test.quotas(&other, somebody_else).await, all(1, 1));
        // A list is taken anew after a week, the rest every time.
        test.updated(mine, &[]).await;
        assert_eq!(test.quotas(&other, theirs).await, all(2, 3));
        {
            let bank = bank.lock().expect("a bank");
            let granted = &bank.granted[bank.granted.len() - 2..];
            assert_eq!(
                granted,
                [
                    Some(vec![RegulatedCall::AccountBalance]),
                    Some(vec![RegulatedCall::TransactionsRecent])
                ]
            );
        }
        // Credentials that are sent anew are another person's, whose list is taken; what has been read stays.
        test.updated(mine, &[("cpf", "051.177.670-55")]).await;
        assert_eq!(test.quotas(&test.principal, mine).await, of(1, 1, 0));

        // A month later all of it is new; two months later nothing is left of it.
        test.advance(16 * DAY);
        let rows = async || {
            let counted = quota::Entity::find().count(test.app.db.read()).await;
            counted.expect("a count")
        };
        assert_eq!(test.used(mine).await.values().sum::<i64>(), 0);
        assert_eq!(rows().await, 11);
        for (days, left) in [(30, 11), (31, 0)] {
            test.advance(days * DAY);
            while Upkeep::default().run_once(&test.app).await.expect("upkeep") > 0 {}
            assert_eq!(rows().await, left);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_up_is_not_called_and_what_was_read_stays() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = regulated(engine, &[Product::Accounts, Product::Transactions]).await;
        test.every(Some(Interval::Hours(24))).await;
        bank.lock().expect("a bank").rows = vec![row(Some("a"), "2026-03-10", -100, "one")];
        let first = test.of(&test.principal, ANA[0].1).await;
        for _ in 0..3 {
            test.of(&test.principal, ANA[0].1).await;
        }
        let asked = || bank.lock().expect("a bank").products.len();
        let before = asked();
        let fifth = test.of(&test.principal, ANA[0].1).await;
        assert_eq!(asked(), before);
        let document = "query($id: ID!) { item(id: $id) { status executionStatus error { code message attributes { name value } } \
            autoSync { state reason nextAt failedAttempts } canUpdate { allowed } } }";
        let shown = test.data(document, json!({ "id": fifth })).await;
        let message = format!(
            "ACCOUNT_LIST may be called 4 times a month for a person at an institution, and has been. What was read before stays; it goes on at {APRIL}."
        );
        assert_eq!(
            shown["item"],
            json!({ "status": "OUTDATED", "executionStatus": "ERROR",
                "error": { "code": "ERROR", "message": message, "attributes": [{ "name": "retryAt", "value": APRIL }] },
                "autoSync": { "state": "RETRYING", "reason": message, "nextAt": APRIL, "failedAttempts": 0 },
                "canUpdate": { "allowed": true } })
        );
        let refused = |codes: &[&str]| {
            let codes = codes.iter().map(|code| (*code).to_owned());
            (false, codes.collect::<Vec<_>>())
        };
        assert_eq!(
            test.stands(fifth, Product::Accounts).await,
            refused(&["423", "ERROR"])
        );
        assert_eq!(
            test.stands(fifth, Product::Transactions).await,
            refused(&["TXN_005", "ERROR"])
        );

        // An account that has been read goes on, until so much is missing that older movements are needed.
        test.every(None).await;
        bank.lock().expect("a bank").windows.clear();
        test.advance(6 * DAY);
        test.updated(first, &[]).await;
        assert_eq!(test.item(first).await["executionStatus"], "SUCCESS");
        {
            let bank = bank.lock().expect("a bank");
            assert_eq!(
                bank.windows.last().expect("a window").from.to_string(),
                "2026-03-16"
            );
        }
        test.advance(7 * DAY);
        test.updated(first, &[]).await;
        assert_eq!(test.item(first).await["executionStatus"], "PARTIAL_SUCCESS");
        assert_eq!(
            test.stands(first, Product::Accounts).await,
            (true, vec!["423".to_owned()])
        );
        assert_eq!(
            test.stands(first, Product::Transactions).await,
            refused(&["TXN_003", "ERROR"])
        );
        assert_eq!(
            test.accounts(first).await[0]["transactions"]["nodes"]
                .as_array()
                .map(Vec::len),
            Some(1)
        );
        test.every(Some(Interval::Hours(24))).await;
        let shown = test.data(document, json!({ "id": first })).await;
        let shown = &shown["item"]["autoSync"];
        let reason = format!(
            "this month's calls for ACCOUNTS, TRANSACTIONS are used up for this person at the institution; runs leave out what needs them until {APRIL}"
        );
        assert_eq!(
            (&shown["state"], &shown["reason"]),
            (&json!("SCHEDULED"), &json!(reason))
        );
        test.every(None).await;
        // With the new month it goes on where it stood.
        test.advance(3 * DAY);
        test.updated(first, &[]).await;
        assert_eq!(test.item(first).await["executionStatus"], "SUCCESS");
        let bank = bank.lock().expect("a bank");
        assert_eq!(
            bank.windows.last().expect("a window").from.to_string(),
            "2026-03-15"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn automatic_runs_of_a_month_starve_nothing() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = regulated(engine, &ALL).await;
        test.every(Some(Interval::Hours(8))).await;
        bank.lock().expect("a bank").investments = vec![investment("cdb", 100)];
        let id = test.of(&test.principal, ANA[0].1).await;
        // To the first of April, then that month to its last day.
        let mut most = BTreeMap::new();
        for step in 0..(46 * 12) {
            test.advance(Duration::from_hours(2));
            test.settle().await;
            let item = test.item(id).await;
            assert_eq!(item["executionStatus"], "SUCCESS", "{item}");
            if step % 12 == 0 {
                for (call, used) in test.used(id).await {
                    let most = most.entry(call).or_insert(0);
                    *most = used.max(*most);
                }
            }
        }
        let expected = [
            ("ACCOUNT_LIST", 4),
            ("CARD_LIST", 4),
            ("IDENTITY", 4),
            ("INVESTMENT_DETAIL", 4),
            ("LOAN_LIST", 4),
            ("TRANSACTIONS_OLDER", 1),
            ("INVESTMENT_TRANSACTIONS_OLDER", 1),
        ];
        for (call, used) in expected {
            assert_eq!(most[call], used, "{most:?}");
        }
        for often in [
            "ACCOUNT_BALANCE",
            "TRANSACTIONS_RECENT",
            "INVESTMENT_BALANCE",
        ] {
            assert!((70..=91).contains(&most[often]), "{most:?}");
        }
        for daily in ["CARD_BILLS", "INVESTMENT_LIST", "LOAN_PAYMENTS"] {
            assert!((20..=30).contains(&most[daily]), "{most:?}");
        }
        let bank = bank.lock().expect("a bank");
        let days = |window: &ponte::connector::Window| (window.to - window.from).num_days();
        assert!(bank.windows[2..].iter().all(|window| days(window) == 6));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_movements_are_asked_for_once_a_week_while_some_are_pending() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = regulated(engine, &[Product::Accounts, Product::Transactions]).await;
        let waiting = TransactionRecord {
            status: TransactionStatus::Pending,
            ..row(Some("a"), "2026-03-10", -100, "one")
        };
        bank.lock().expect("a bank").rows = vec![waiting];
        let id = test.of(&test.principal, ANA[0].1).await;
        let mut reached = Vec::new();
        for _ in 0..15 {
            bank.lock().expect("a bank").windows.clear();
            test.advance(DAY);
            test.updated(id, &[]).await;
            let window = bank.lock().expect("a bank").windows[0];
            if (window.to - window.from).num_days() > 6 {
                reached.push((window.from.to_string(), window.to.to_string()));
            }
        }
        // Half of the calls stay for accounts that miss movements.
        let once = ("2026-03-10".to_owned(), "2026-03-23".to_owned());
        assert_eq!(reached, [once]);
        assert_eq!(test.used(id).await["TRANSACTIONS_OLDER"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_that_is_used_up_has_its_warning() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = regulated(engine, &ALL).await;
        bank.lock().expect("a bank").investments = vec![investment("cdb", 100)];
        let id = test.of(&test.principal, ANA[0].1).await;
        assert_eq!(test.used(id).await.len(), RegulatedCall::iter().count());
        // The code of its product's warning, and whether the product goes on without the call.
        for (call, code, goes_on) in [
            (RegulatedCall::AccountList, "423", true),
            (RegulatedCall::AccountBalance, "423", false),
            (RegulatedCall::TransactionsRecent, "TXN_006", false),
            (RegulatedCall::TransactionsOlder, "TXN_003", false),
            (RegulatedCall::CardList, "423", true),
            (RegulatedCall::CardBills, "423", true),
            (RegulatedCall::CardLimits, "423", false),
            (RegulatedCall::InvestmentList, "INV_004", true),
            (RegulatedCall::InvestmentDetail, "INV_004", true),
            (RegulatedCall::InvestmentBalance, "INV_004", false),
            (
                RegulatedCall::InvestmentTransactionsRecent,
                "INV_004",
                false,
            ),
            (RegulatedCall::InvestmentTransactionsOlder, "INV_004", false),
            (RegulatedCall::Identity, "423", false),
            (RegulatedCall::LoanList, "423", true),
            (RegulatedCall::LoanPayments, "423", true),
        ] {
            test.advance(8 * DAY);
            let limit = LIMITS.iter().find(|limit| limit.call == call);
            let limit = limit.expect("every call has one");
            quota::Entity::delete_many()
                .exec(test.app.db.write())
                .await
                .expect("forgotten");
            test.use_up(id, call).await;
            bank.lock().expect("a bank").granted.clear();
            test.updated(id, &[]).await;
            let (updated, codes) = test.stands(id, limit.product).await;
            assert_eq!(updated, goes_on, "{call}");
            assert_eq!(codes.first().map(String::as_str), Some(code), "{call}");
            let status = if goes_on {
                "SUCCESS"
            } else {
                "PARTIAL_SUCCESS"
            };
            assert_eq!(test.item(id).await["executionStatus"], status, "{call}");
            let granted = bank.lock().expect("a bank").granted.clone();
            let mut granted = granted.into_iter().flatten().flatten();
            assert!(granted.all(|granted| granted != call), "{call}");
            assert_eq!(test.used(id).await[call.as_str()], i64::from(limit.month));
        }
    }
}

async fn item_row(test: &TestApp, id: Uuid) -> entity::item::Model {
    let row = entity::item::Entity::find_by_id(id);
    let row = row.one(test.app.db.read()).await.expect("a database");
    row.expect("an Item")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_asked_once_a_week_is_left_out_meanwhile() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, _bank) = regulated(engine, &[Product::Accounts, Product::Identity]).await;
        let id = test.of(&test.principal, ANA[0].1).await;
        assert_eq!(test.stands(id, Product::Identity).await, (true, Vec::new()));
        let since = |item: &Value| item["statusDetail"][1]["lastUpdatedAt"].clone();
        let first = since(&test.item(id).await);
        test.advance(DAY);
        test.updated(id, &[]).await;
        let item = test.item(id).await;
        assert_eq!(item["executionStatus"], "SUCCESS");
        // It is as new as the institution lets it be.
        assert_eq!(test.stands(id, Product::Identity).await, (true, Vec::new()));
        assert_eq!(since(&item), first);
        assert_eq!(test.used(id).await["IDENTITY"], 1);
        test.advance(7 * DAY);
        test.updated(id, &[]).await;
        assert_eq!(test.stands(id, Product::Identity).await, (true, Vec::new()));
        assert_eq!(test.used(id).await["IDENTITY"], 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payment_data_that_is_added_has_its_history_or_waits_for_it() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let all = [
            Product::Accounts,
            Product::Transactions,
            Product::PaymentData,
        ];
        for used_up in [false, true] {
            let (test, bank) = regulated(engine, &all).await;
            let id = test
                .of_products(ANA[0].1, &["ACCOUNTS", "TRANSACTIONS"])
                .await;
            if used_up {
                test.use_up(id, RegulatedCall::TransactionsOlder).await;
            }
            let add = async || {
                bank.lock().expect("a bank").windows.clear();
                let input = json!({ "itemId": id, "products": all.map(Product::as_str) });
                test.data("mutation($input: UpdateItemInput!) { updateItem(input: $input) { item { id } } }", json!({ "input": input })).await;
                test.settle().await;
                bank.lock().expect("a bank").windows[0].from
            };
            let year_ago: chrono::NaiveDate = "2025-03-16".parse().expect("a day");
            let first_recent = "2026-03-10".parse().expect("a day");
            if used_up {
                assert_eq!(add().await, first_recent);
                assert_eq!(
                    test.stands(id, Product::Transactions).await,
                    (true, vec!["TXN_003".to_owned()])
                );
                // A month later it is read after all.
                test.advance(16 * DAY);
            }
            assert!(add().await <= year_ago + chrono::Days::new(16));
            assert_eq!(
                test.stands(id, Product::Transactions).await,
                (true, Vec::new())
            );
            // And is complete from then on.
            assert!(add().await > year_ago + chrono::Days::new(300));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn older_movements_of_a_new_position_are_asked_for_and_counted() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = regulated(engine, &ALL).await;
        let id = test.of(&test.principal, ANA[0].1).await;
        // There is nothing to ask about.
        assert_eq!(test.used(id).await["INVESTMENT_TRANSACTIONS_OLDER"], 0);
        assert_eq!(
            test.stands(id, Product::InvestmentsTransactions).await,
            (true, Vec::new())
        );
        bank.lock().expect("a bank").investments = vec![investment("cdb", 100)];
        for (days, older) in [(2, 1), (1, 1), (7, 2)] {
            test.advance(days * DAY);
            test.updated(id, &[]).await;
            assert_eq!(
                test.used(id).await["INVESTMENT_TRANSACTIONS_OLDER"],
                older,
                "{days}"
            );
        }
        // What could not be read has no movements that were.
        bank.lock().expect("a bank").failing = Some(Product::Investments);
        let (test, other) = regulated(engine, &ALL).await;
        other.lock().expect("a bank").failing = Some(Product::Investments);
        let id = test.of(&test.principal, ANA[0].1).await;
        let (updated, codes) = test.stands(id, Product::InvestmentsTransactions).await;
        assert_eq!((updated, codes[0].as_str()), (false, "INV_006"));
        assert_eq!(test.used(id).await["INVESTMENT_TRANSACTIONS_RECENT"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_lacks_everything_waits_for_the_month_and_says_nothing_of_the_institution() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let all = [
            Product::Accounts,
            Product::Transactions,
            Product::PaymentData,
        ];
        let (test, _bank) = regulated(engine, &all).await;
        test.every(Some(Interval::Hours(24))).await;
        let mut id = Uuid::nil();
        for _ in 0..30 {
            id = test.of(&test.principal, ANA[0].1).await;
        }
        let item = test.item(id).await;
        assert_eq!(item["executionStatus"], "ERROR");
        let data = test
            .data(
                "query($id: ID!) { item(id: $id) { nextAutoSyncAt } }",
                json!({ "id": id }),
            )
            .await;
        assert!(
            data["item"]["nextAutoSyncAt"].as_str() >= Some(APRIL),
            "{data}"
        );
        item::health::run_once(&test.app)
            .await
            .expect("it is measured");
        let data = test
            .data(
                "{ connector(id: \"7000\") { health { connectionsLast6Hours status } } }",
                json!({}),
            )
            .await;
        assert_eq!(
            data["connector"]["health"]["connectionsLast6Hours"], 4,
            "{data}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_gone_stay_gone_although_each_run_reads_less_far_back() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = regulated(engine, &[Product::Accounts, Product::Transactions]).await;
        let rows = |day: &str, many: usize| {
            (0..many)
                .map(|n| row(Some(&format!("{day} {n}")), day, -100, "Row"))
                .collect::<Vec<_>>()
        };
        let of = |early: usize, late: usize| {
            [rows("2026-03-11", early), rows("2026-03-15", late)].concat()
        };
        bank.lock().expect("a bank").rows = of(30, 40);
        let id = test.of(&test.principal, ANA[0].1).await;
        bank.lock().expect("a bank").rows = of(0, 10);
        for (codes, left) in [(vec!["SUSPECT_DELETION".to_owned()], 70), (Vec::new(), 40)] {
            test.advance(DAY);
            test.updated(id, &[]).await;
            assert_eq!(test.stands(id, Product::Transactions).await, (true, codes));
            let data = test
                .data(
                    "query($id: ID!) { item(id: $id) { transactions { totalCount } } }",
                    json!({ "id": id }),
                )
                .await;
            assert_eq!(data["item"]["transactions"]["totalCount"], left);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_persons_of_a_sandbox_are_each_items_own() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, _bank) = regulated_as(engine, &[Product::Accounts], true).await;
        for _ in 0..5 {
            let id = test.of(&test.principal, ANA[0].1).await;
            let expected = counts(&[("ACCOUNT_LIST", 1), ("ACCOUNT_BALANCE", 1)]);
            assert_eq!(test.used(id).await, expected);
            assert_eq!(test.item(id).await["status"], "UPDATED");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_are_an_api_keys_to_read_and_empty_where_nothing_is_regulated() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        assert_eq!(test.quotas(&test.principal, id).await, json!([]));
        let request = token::ConnectTokenRequest {
            item: Some(id),
            ..token::ConnectTokenRequest::default()
        };
        let issued = token::create_connect_token(&test.app, &test.principal, request)
            .await
            .expect("a token");
        let user = token::verify(&test.app, &issued.token)
            .await
            .expect("it is good");
        let document = "query($id: ID!) { item(id: $id) { quotas { used } } }";
        let answer = test
            .query_as(Some(user), document, json!({ "id": id }))
            .await;
        assert_eq!(code_of(&answer), "FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_spend_at_once_never_spend_more() {
    on_both_engines(|test| async move {
        let node = test.another(&[]).await;
        let account = db::quota::Account {
            person: vec![7; 32],
            connector: 7000,
            month: 1,
        };
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..60 {
            let app = if n % 2 == 0 { &test.app } else { &node };
            let (app, account) = (app.clone(), account.clone());
            tasks.spawn(async move {
                let txn = app.db.begin().await.expect("a transaction");
                let spent = db::quota::spend(&app.db, &txn, &account, RegulatedCall::Identity, 20);
                let spent = spent.await.expect("counted");
                // Some of those that have spent think better of it.
                if n % 5 == 0 {
                    return false;
                }
                txn.commit().await.expect("committed");
                spent
            });
        }
        let spent = tasks.join_all().await;
        assert_eq!(spent.iter().filter(|spent| **spent).count(), 20);
        let row = quota::Entity::find().one(test.app.db.read()).await;
        let row = row.expect("a database").expect("a row");
        assert_eq!(row.used, 20);
        node.stop();
    })
    .await;
}
