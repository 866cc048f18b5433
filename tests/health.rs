//! How well connectors work: measured, told, and what follows from it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use entity::kind::Product;
use ponte::{
    auth::{Principal, application::Interval},
    connector::Registry,
    db::Engine,
    item::{health, upkeep::Upkeep},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    TestApp, api_key, code_of, create_application, id_at, operator,
    scripted::{Bank, scripted_as},
};

const MINUTE: Duration = Duration::from_mins(1);
const CREATE: &str =
    "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";

/// A node with one connector, of a real institution that the test scripts.
async fn start(engine: Engine) -> (TestApp, Arc<Mutex<Bank>>) {
    let (connector, bank) = scripted_as(|form| form.is_sandbox = false);
    let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
    (test, bank)
}

fn input() -> Value {
    json!({ "input": { "connectorId": "7000", "parameters": [{ "name": "user", "value": "ana" }] } })
}

/// Whether the bank is closed.
fn close(bank: &Mutex<Bank>, closed: bool) {
    bank.lock().expect("a bank").failing = closed.then_some(Product::Accounts);
}

async fn create(test: &TestApp, as_whom: &Principal) -> Value {
    test.query_as(Some(as_whom.clone()), CREATE, input()).await
}

/// So many Items of somebody, each with a run that has ended.
async fn runs(test: &TestApp, as_whom: &Principal, count: usize) -> Vec<Uuid> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let answer = create(test, as_whom).await;
        ids.push(id_at(&answer["data"], "/createItem/item/id"));
    }
    test.settle().await;
    measure(test).await;
    ids
}

async fn measure(test: &TestApp) {
    health::run_once(&test.app).await.expect("it is measured");
    test.settle().await;
}

async fn shown(test: &TestApp) -> Value {
    let document = "{ connector(id: \"7000\") { health { status connectionRateLast6Hours connectionsLast6Hours } } }";
    test.data(document, json!({})).await["connector"]["health"].clone()
}

fn as_shown(status: &str, rate: Option<i32>, runs: i32) -> Value {
    json!({ "status": status, "connectionRateLast6Hours": rate, "connectionsLast6Hours": runs })
}

/// What somebody was told of connectors.
async fn told(test: &TestApp, whom: &Principal) -> Vec<Value> {
    let document = "{ events(first: 200, filter: { types: [CONNECTOR_STATUS_UPDATED] }) { nodes { payload } } }";
    let answer = test.query_as(Some(whom.clone()), document, json!({})).await;
    let nodes = answer["data"]["events"]["nodes"].as_array().cloned();
    let nodes = nodes.unwrap_or_default().into_iter();
    nodes
        .map(|node| {
            json!([
                node["payload"]["connectorId"],
                node["payload"]["data"]["status"]
            ])
        })
        .collect()
}

async fn other(test: &TestApp) -> Principal {
    let other = create_application(&test.app, "Other").await;
    test.app
        .applications
        .refresh(&test.app.db)
        .await
        .expect("applications");
    api_key(&test.app, other.id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_nobody_reaches_is_offline_until_three_trials_have_passed() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = start(engine).await;
        let (own, other) = (test.principal.clone(), other(&test).await);
        let idle = create_application(&test.app, "Idle").await;
        let idle = api_key(&test.app, idle.id).await;
        assert_eq!(shown(&test).await, as_shown("UNKNOWN", None, 0));

        close(&bank, true);
        runs(&test, &own, 10).await;
        let items = runs(&test, &other, 9).await;
        assert_eq!(shown(&test).await, as_shown("ONLINE", Some(0), 19));
        runs(&test, &own, 1).await;
        assert_eq!(shown(&test).await, as_shown("OFFLINE", Some(0), 20));
        for whom in [&own, &other] {
            assert_eq!(told(&test, whom).await, [json!([7000, "OFFLINE"])]);
        }
        assert_eq!(told(&test, &idle).await, [] as [Value; 0]);

        // One a minute is let through, for whoever comes first; what exists is never refused.
        runs(&test, &other, 1).await;
        let refused = create(&test, &own).await;
        assert_eq!(code_of(&refused), "CONNECTOR_OFFLINE");
        let retry_at = test.app.clock.now().plus(MINUTE).to_string();
        assert_eq!(refused["errors"][0]["extensions"]["retryAt"], retry_at);
        let document = "mutation($id: ID!) { updateItem(input: { itemId: $id }) { item { id } } }";
        let asked = json!({ "id": items[0] });
        let accepted = test.query_as(Some(other.clone()), document, asked).await;
        assert_eq!(accepted.get("errors"), None, "{accepted}");
        test.settle().await;
        measure(&test).await;

        close(&bank, false);
        for passed in 1..=3 {
            test.advance(MINUTE);
            runs(&test, &own, 1).await;
            let status = if passed < 3 { "OFFLINE" } else { "ONLINE" };
            assert_eq!(shown(&test).await["status"], status, "{passed}");
            if passed < 3 {
                assert_eq!(code_of(&create(&test, &own).await), "CONNECTOR_OFFLINE");
            }
        }
        runs(&test, &own, 3).await;
        // What was counted before it was opened again does not close it.
        assert_eq!(shown(&test).await["status"], "ONLINE");
        assert_eq!(
            told(&test, &other).await,
            [json!([7000, "OFFLINE"]), json!([7000, "ONLINE"])]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_application_among_several_proves_nothing_and_old_runs_are_forgotten() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = start(engine).await;
        let (own, other) = (test.principal.clone(), other(&test).await);
        close(&bank, true);
        runs(&test, &own, 25).await;
        assert_eq!(shown(&test).await, as_shown("ONLINE", Some(0), 25));
        close(&bank, false);
        runs(&test, &other, 75).await;
        assert_eq!(shown(&test).await, as_shown("UNSTABLE", Some(75), 100));
        assert_eq!(told(&test, &own).await, [json!([7000, "UNSTABLE"])]);
        // It is shown, and refuses nothing.
        test.advance(MINUTE);
        runs(&test, &own, 1).await;

        test.advance(health::WINDOW + Duration::from_mins(10));
        measure(&test).await;
        assert_eq!(shown(&test).await, as_shown("ONLINE", None, 0));
        assert_eq!(
            told(&test, &own).await,
            [json!([7000, "UNSTABLE"]), json!([7000, "ONLINE"])]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn automatic_runs_wait_for_a_connector_that_is_offline_and_lose_nothing_by_it() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = start(engine).await;
        operator(&test.app)
            .set_auto_sync(test.owner.id, Some(Interval::Hours(8)))
            .await
            .expect("an interval");
        let own = test.principal.clone();
        let good = runs(&test, &own, 4).await;
        close(&bank, true);
        runs(&test, &own, 30).await;
        assert_eq!(shown(&test).await["status"], "OFFLINE");
        while Upkeep::default().run_once(&test.app).await.expect("upkeep") > 0 {}
        let logins = || bank.lock().expect("a bank").logins;
        let before = logins();

        test.advance(Duration::from_hours(9));
        test.settle().await;
        assert_eq!(logins(), before + 1, "one trial");
        test.settle().await;
        assert_eq!(logins(), before + 1, "no other within the minute");
        test.advance(MINUTE);
        measure(&test).await;
        assert_eq!(logins(), before + 2, "another a minute later");

        let document =
            "query($id: ID!) { item(id: $id) { autoSync { state reason failedAttempts } } }";
        for id in good {
            let item = test.data(document, json!({ "id": id })).await;
            let standing = &item["item"]["autoSync"];
            let reason = standing["reason"].as_str().expect("a reason");
            assert!(reason.starts_with("the connector is OFFLINE"), "{standing}");
            assert_eq!(standing["failedAttempts"], 0);
        }

        close(&bank, false);
        for _ in 0..4 {
            test.advance(MINUTE);
            test.settle().await;
            measure(&test).await;
        }
        assert_eq!(shown(&test).await["status"], "ONLINE");
        test.settle().await;
        assert!(
            logins() >= before + 34,
            "all have run: {}",
            logins() - before
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_connector_is_as_the_laboratory_says_however_its_runs_end() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        for is_sandbox in [false, true] {
            let (connector, bank) = scripted_as(|form| form.is_sandbox = is_sandbox);
            let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
            let (own, other) = (test.principal.clone(), other(&test).await);
            close(&bank, true);
            runs(&test, &own, 10).await;
            let items = runs(&test, &other, 10).await;
            let of_other = "query($id: ID!) { item(id: $id) { status } }";
            let answer = test
                .query_as(Some(other.clone()), of_other, json!({ "id": items[9] }))
                .await;
            assert_eq!(answer["data"]["item"]["status"], "OUTDATED");
            if !is_sandbox {
                // The same runs of a real institution say that it is down.
                assert_eq!(shown(&test).await, as_shown("OFFLINE", Some(0), 20));
                continue;
            }
            assert_eq!(shown(&test).await, as_shown("ONLINE", None, 0));
            assert_eq!(told(&test, &own).await, [] as [Value; 0]);

            // What the switch says is for one application, and good runs do not mend it either.
            close(&bank, false);
            let switch = "mutation($status: ConnectorStatus!) { setSandboxConnectorStatus(input: { connectorId: \"7000\", status: $status }) { __typename } }";
            test.data(switch, json!({ "status": "OFFLINE" })).await;
            runs(&test, &other, 3).await;
            assert_eq!(shown(&test).await["status"], "OFFLINE");
            assert_eq!(code_of(&create(&test, &own).await), "CONNECTOR_OFFLINE");
            let of_connector = "{ connector(id: \"7000\") { health { status } } }";
            let answer = test
                .query_as(Some(other.clone()), of_connector, json!({}))
                .await;
            assert_eq!(answer["data"]["connector"]["health"]["status"], "ONLINE");
            test.data(switch, json!({ "status": "ONLINE" })).await;
            runs(&test, &own, 1).await;
            for (whom, expected) in [
                (
                    &own,
                    vec![json!([7000, "OFFLINE"]), json!([7000, "ONLINE"])],
                ),
                (&other, vec![]),
            ] {
                assert_eq!(told(&test, whom).await, expected);
            }
        }
    }
}
