//! Runs of Items: collecting, waiting, failing, being refused, resuming.

use std::time::Duration;

use crate::support::{TestApp, code_of, on_both_engines, scripted::scripted};
use entity::execution;
use ponte::{
    db::{
        self,
        lane::{self, Lane},
    },
    sync,
};
use serde_json::{Value, json};

const OK: [(&str, &str); 2] = [("user", "user-ok"), ("password", "password-ok")];

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_collects_everything_and_tells_each_step() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let item = test.item(id).await;
        assert_eq!(item["status"], "UPDATED");
        assert_eq!(item["executionStatus"], "SUCCESS");
        assert_eq!(item["error"], Value::Null);
        assert_eq!(item["canUpdate"]["allowed"], true);
        let detail = item["statusDetail"].as_array().expect("a list");
        let products: Vec<_> = detail.iter().map(|one| &one["product"]).collect();
        assert_eq!(
            json!(products),
            json!(["ACCOUNTS", "CREDIT_CARDS", "TRANSACTIONS", "IDENTITY"])
        );
        assert!(
            detail
                .iter()
                .all(|one| one["isUpdated"] == true && one["warnings"] == json!([]))
        );

        let accounts = test.accounts(id).await;
        let kinds: Vec<_> = accounts.iter().map(|one| &one["subtype"]).collect();
        assert_eq!(json!(kinds), json!(["CHECKING_ACCOUNT", "CREDIT_CARD"]));
        let words: Vec<_> = accounts.iter().map(|one| &one["subtypeRaw"]).collect();
        assert_eq!(json!(words), json!(["CONTA_DEPOSITO_A_VISTA", null]));
        let rows = accounts[0]["transactions"]["nodes"]
            .as_array()
            .expect("rows");
        assert!(rows.len() > 20, "{} rows", rows.len());
        let oldest = rows
            .last()
            .and_then(|row| row["postedOn"].as_str())
            .expect("a day");
        assert!(oldest < "2025-05-20", "{oldest} is less than 300 days back");

        assert_eq!(
            test.events(id).await,
            [
                "-> CREATED",
                "-> LOGIN_IN_PROGRESS",
                "-> ACCOUNTS_IN_PROGRESS",
                "item/login_succeeded",
                "-> CREDITCARDS_IN_PROGRESS",
                "-> TRANSACTIONS_IN_PROGRESS",
                "-> IDENTITY_IN_PROGRESS",
                "-> MERGING",
                "transactions/created",
                "transactions/created",
                "-> SUCCESS",
                "item/created",
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_run_of_the_same_day_writes_nothing_and_says_only_its_steps() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let (accounts, told) = (test.accounts(id).await, test.events(id).await.len());
        test.updated(id, &[]).await;
        assert_eq!(test.accounts(id).await, accounts);
        assert_eq!(
            test.events(id).await[told..],
            [
                "-> CREATED",
                "-> LOGIN_IN_PROGRESS",
                "-> ACCOUNTS_IN_PROGRESS",
                "item/login_succeeded",
                "-> CREDITCARDS_IN_PROGRESS",
                "-> TRANSACTIONS_IN_PROGRESS",
                "-> IDENTITY_IN_PROGRESS",
                "-> MERGING",
                "-> SUCCESS",
                "item/updated",
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_month_pending_rows_settle_under_their_id_and_rows_are_made_edited_and_deleted() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let mut pending: Vec<(String, String)> = Vec::new();
        let mut settled = 0;
        for _ in 0..30 {
            test.advance(Duration::from_hours(24));
            test.updated(id, &[]).await;
            let accounts = test.accounts(id).await;
            let card = accounts[1]["transactions"]["nodes"].as_array().expect("rows");
            let now: Vec<_> = card
                .iter()
                .map(|row| (row["id"].as_str().unwrap_or("?").to_owned(), row["status"].as_str().unwrap_or("?").to_owned()))
                .collect();
            for (row, _) in pending.iter().filter(|(_, status)| status == "PENDING") {
                let after = now.iter().find(|(id, _)| id == row);
                let (_, status) = after.unwrap_or_else(|| panic!("the pending row {row} has lost its id"));
                settled += usize::from(status == "POSTED");
            }
            pending = now;
        }
        assert!(settled >= 5, "{settled} rows settled");
        let told = test.data(
            "query($id: ID!) { created: events(first: 200, filter: { itemId: $id, types: [TRANSACTIONS_CREATED] }) { nodes { payload } } \
               updated: events(first: 200, filter: { itemId: $id, types: [TRANSACTIONS_UPDATED] }) { nodes { payload } } \
               deleted: events(first: 200, filter: { itemId: $id, types: [TRANSACTIONS_DELETED] }) { nodes { payload } } }",
            json!({ "id": id }),
        ).await;
        for kind in ["created", "updated", "deleted"] {
            let nodes = told[kind]["nodes"].as_array().expect("a list");
            assert!(nodes.len() >= 3, "{kind}: {}", nodes.len());
        }
        // The sequence of an Item's events has no gap.
        let data = test.data("query($id: ID!) { events(first: 200, filter: { itemId: $id }) { nodes { type itemSequence } } }", json!({ "id": id })).await;
        let mut last = 0;
        for node in data["events"]["nodes"].as_array().expect("a list") {
            let sequence = node["itemSequence"].as_i64().expect("a number");
            let expected = last + i64::from(node["type"] != "ITEM_STATUS_CHANGED");
            assert_eq!(sequence, expected, "{node}");
            last = sequence;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "a table of personas")]
async fn every_persona_ends_as_the_domain_says() {
    const PERSONAS: [(&str, &str, &str, &str); 14] = [
        ("user-ok", "password-ok", "UPDATED", "SUCCESS"),
        ("user-ok", "wrong", "LOGIN_ERROR", "INVALID_CREDENTIALS"),
        (
            "nobody",
            "password-ok",
            "LOGIN_ERROR",
            "INVALID_CREDENTIALS",
        ),
        (
            "user-ok-two-checking-accounts",
            "password-ok",
            "UPDATED",
            "SUCCESS",
        ),
        (
            "user-ok-account-error",
            "password-ok",
            "UPDATED",
            "PARTIAL_SUCCESS",
        ),
        (
            "user-ok-account-warning",
            "password-ok",
            "UPDATED",
            "SUCCESS",
        ),
        (
            "user-logged",
            "password-ok",
            "OUTDATED",
            "ALREADY_LOGGED_IN",
        ),
        (
            "user-locked",
            "password-ok",
            "LOGIN_ERROR",
            "ACCOUNT_LOCKED",
        ),
        ("user-error", "password-ok", "OUTDATED", "UNEXPECTED_ERROR"),
        (
            "user-unavailable",
            "password-ok",
            "OUTDATED",
            "SITE_NOT_AVAILABLE",
        ),
        (
            "user-connection-error",
            "password-ok",
            "OUTDATED",
            "CONNECTION_ERROR",
        ),
        (
            "user-account-need-actions",
            "password-ok",
            "OUTDATED",
            "ACCOUNT_NEEDS_ACTION",
        ),
        (
            "user-account-credentials-reset",
            "password-ok",
            "LOGIN_ERROR",
            "ACCOUNT_CREDENTIALS_RESET",
        ),
        (
            "user-not-supported",
            "password-ok",
            "OUTDATED",
            "USER_NOT_SUPPORTED",
        ),
    ];
    on_both_engines(|test| async move {
        for (user, password, status, execution) in PERSONAS {
            let id = test
                .connect("0", &[("user", user), ("password", password)])
                .await;
            test.settle().await;
            let item = test.item(id).await;
            assert_eq!(
                (&item["status"], &item["executionStatus"]),
                (&json!(status), &json!(execution)),
                "{user}"
            );
            let events = test.events(id).await;
            let (last, failed) = (events.last().map(String::as_str), status != "UPDATED");
            assert_eq!(
                last,
                Some(if failed { "item/error" } else { "item/created" }),
                "{user}"
            );
            assert_eq!(
                item["error"]["code"] == json!(execution),
                failed,
                "{user}: {item}"
            );
        }
        let id = test
            .connect(
                "0",
                &[
                    ("user", "user-account-need-actions-provider-message"),
                    ("password", "password-ok"),
                ],
            )
            .await;
        test.settle().await;
        assert!(test.item(id).await["error"]["providerMessage"].is_string());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_that_fails_leaves_the_others_and_says_which() {
    on_both_engines(|test| async move {
        let id = test
            .connect(
                "0",
                &[
                    ("user", "user-ok-account-error"),
                    ("password", "password-ok"),
                ],
            )
            .await;
        test.settle().await;
        let item = test.item(id).await;
        let detail = item["statusDetail"].as_array().expect("a list");
        assert_eq!(detail[0]["product"], "ACCOUNTS");
        assert_eq!(detail[0]["isUpdated"], false);
        assert_eq!(detail[0]["lastUpdatedAt"], Value::Null);
        assert_eq!(detail[0]["warnings"].as_array().map(Vec::len), Some(1));
        assert!(
            detail[1..].iter().all(|one| one["isUpdated"] == true),
            "{detail:?}"
        );
        let accounts = test.accounts(id).await;
        assert_eq!(accounts.len(), 1);
        assert_eq!(accounts[0]["type"], "CREDIT");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_two_step_login_waits_for_its_answer_and_each_wrong_one_has_its_code() {
    on_both_engines(|test| async move {
        let id = test.connect("3", &OK).await;
        assert_eq!(
            code_of(&test.answer(id, "token", "123456").await),
            "ITEM_MFA_NOT_FOUND"
        );
        assert_eq!(
            code_of(&test.update(id, &[]).await),
            "ITEM_ALREADY_UPDATING"
        );
        test.settle().await;
        let item = test.item(id).await;
        assert_eq!(item["status"], "WAITING_USER_INPUT");
        assert_eq!(item["parameter"]["name"], "token");
        assert_eq!(item["parameter"]["expiresAt"], "2026-03-16T12:03:00.000Z");
        assert_eq!(
            test.events(id).await.last().map(String::as_str),
            Some("item/waiting_user_input")
        );

        let wrong = test.answer(id, "code", "123456").await;
        assert_eq!(code_of(&wrong), "ITEM_MFA_PARAMETER_EXPECTED_MISMATCH");
        assert_eq!(wrong["errors"][0]["extensions"]["parameter"], "token");

        let given = test.answer(id, "token", "123456").await;
        assert_eq!(
            given["data"]["sendItemMfa"]["item"],
            json!({ "status": "UPDATING", "executionStatus": "LOGIN_MFA_IN_PROGRESS" })
        );
        assert_eq!(
            code_of(&test.answer(id, "token", "123456").await),
            "ITEM_MFA_ALREADY_PROVIDED"
        );
        test.settle().await;
        assert_eq!(test.item(id).await["status"], "UPDATED");
        assert_eq!(
            code_of(&test.answer(id, "token", "123456").await),
            "ITEM_MFA_NOT_FOUND"
        );

        // A wrong code.
        test.updated(id, &[]).await;
        test.answer(id, "token", "000000").await;
        test.settle().await;
        let item = test.item(id).await;
        assert_eq!(
            (&item["status"], &item["executionStatus"]),
            (&json!("OUTDATED"), &json!("INVALID_CREDENTIALS_MFA"))
        );

        // A late one, before and after the worker has noticed.
        test.updated(id, &[]).await;
        test.advance(Duration::from_mins(3));
        assert_eq!(
            code_of(&test.answer(id, "token", "123456").await),
            "ITEM_MFA_EXPIRED"
        );
        test.settle().await;
        assert_eq!(test.item(id).await["executionStatus"], "USER_INPUT_TIMEOUT");
        assert_eq!(
            code_of(&test.answer(id, "token", "123456").await),
            "ITEM_MFA_EXPIRED"
        );

        // An update abandons the question and begins anew.
        test.updated(id, &[]).await;
        assert_eq!(test.item(id).await["status"], "WAITING_USER_INPUT");
        test.updated(id, &[]).await;
        assert_eq!(test.item(id).await["status"], "WAITING_USER_INPUT");
        test.answer(id, "token", "123456").await;
        test.settle().await;
        assert_eq!(test.item(id).await["status"], "UPDATED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chained_questions_are_asked_one_after_the_other() {
    on_both_engines(|test| async move {
        let id = test
            .connect(
                "3",
                &[("user", "user-ok-phone"), ("password", "password-ok")],
            )
            .await;
        test.settle().await;
        let item = test.item(id).await;
        assert_eq!(item["parameter"]["type"], "SELECT");
        let option = item["parameter"]["options"][0]["value"]
            .as_str()
            .expect("an option")
            .to_owned();
        let name = item["parameter"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        assert_eq!(
            code_of(&test.answer(id, &name, "no such phone").await),
            "CONNECTOR_VALIDATION_ERROR"
        );
        test.answer(id, &name, &option).await;
        test.settle().await;
        let item = test.item(id).await;
        assert_eq!(item["parameter"]["name"], "token");
        test.answer(id, "token", "123456").await;
        test.settle().await;
        assert_eq!(test.item(id).await["status"], "UPDATED");
        let asked = test
            .events(id)
            .await
            .iter()
            .filter(|name| *name == "item/waiting_user_input")
            .count();
        assert_eq!(asked, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_one_step_code_must_be_there_and_fresh_every_time() {
    on_both_engines(|test| async move {
        let with = |code| [OK[0], OK[1], ("token", code)];
        let id = test.connect("1", &with("123456")).await;
        test.settle().await;
        let item = test.item(id).await;
        assert_eq!(item["status"], "UPDATED");
        assert_eq!(
            item["canUpdate"]["code"],
            "CONNECTOR_REQUIRED_PARAMETER_VALIDATION_ERROR"
        );
        let missing = test.update(id, &[]).await;
        assert_eq!(
            code_of(&missing),
            "CONNECTOR_REQUIRED_PARAMETER_VALIDATION_ERROR"
        );
        assert_eq!(missing["errors"][0]["extensions"]["parameter"], "token");
        assert_eq!(
            code_of(&test.update(id, &[("token", "123456")]).await),
            "MFA_PARAMETER_ALREADY_USED"
        );
        test.updated(id, &[("token", "654321")]).await;
        assert_eq!(
            test.item(id).await["executionStatus"],
            "INVALID_CREDENTIALS_MFA"
        );
        test.updated(id, &[("token", "123456")]).await;
        assert_eq!(test.item(id).await["status"], "UPDATED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_told_before_and_are_the_same_after() {
    on_both_engines(|test| async move {
        let id = test.connect("0", &[("user", "user-ok"), ("password", "wrong")]).await;
        assert_eq!(test.item(id).await["canUpdate"]["code"], "ITEM_ALREADY_UPDATING");
        assert_eq!(code_of(&test.update(id, &[]).await), "ITEM_ALREADY_UPDATING");
        test.settle().await;
        assert_eq!(test.item(id).await["canUpdate"]["code"], "LAST_EXECUTION_HAD_LOGIN_ERROR");
        assert_eq!(code_of(&test.update(id, &[]).await), "LAST_EXECUTION_HAD_LOGIN_ERROR");

        // The second login failure in a row begins the back-off, whatever is sent.
        test.updated(id, &[("password", "wrong again")]).await;
        let refused = test.update(id, &[("password", "password-ok")]).await;
        assert_eq!(code_of(&refused), "TOO_MANY_CONSECUTIVE_LOGIN_FAILURES");
        assert_eq!(refused["errors"][0]["extensions"]["retryAt"], "2026-03-16T12:15:00.000Z");
        test.advance(Duration::from_mins(15));
        test.updated(id, &[("password", "password-ok")]).await;
        assert_eq!(test.item(id).await["canUpdate"], json!({ "allowed": true, "code": null, "reason": null, "retryAt": null }));

        // A form that is not filled in stores nothing.
        for (parameters, code) in [
            (json!([]), "001"),
            (json!([{ "name": "user", "value": "x" }]), "001"),
            (json!([{ "name": "user", "value": "x" }, { "name": "password", "value": "y" }, { "name": "pin", "value": "1" }]), "002"),
        ] {
            let refused = test
                .query(
                    "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }",
                    json!({ "input": { "connectorId": "0", "parameters": parameters } }),
                )
                .await;
            assert_eq!(code_of(&refused), "CONNECTOR_VALIDATION_ERROR");
            assert_eq!(refused["errors"][0]["extensions"]["details"][0]["code"], code, "{refused}");
        }
        let data = test.data("{ items { nodes { id } } }", json!({})).await;
        assert_eq!(data["items"]["nodes"], json!([{ "id": id }]));
        assert_eq!(
            test.code("mutation { createItem(input: { connectorId: \"99999999\", parameters: [] }) { item { id } } }", json!({})).await,
            "NOT_FOUND"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_makes_one_item_also_while_calls_meet() {
    on_both_engines(|test| async move {
        let create = |key: &'static str, user: &'static str| {
            let test = &test;
            async move {
                test.query(
                    "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } cursor } }",
                    json!({ "input": { "connectorId": "0", "idempotencyKey": key, "clientUserId": "u", "parameters": [
                        { "name": "user", "value": user }, { "name": "password", "value": "password-ok" } ] } }),
                )
                .await
            }
        };
        let all = futures_util::future::join_all((0..8).map(|_| create("k", "user-ok"))).await;
        for answer in &all {
            assert_eq!(answer, &all[0]);
            assert_eq!(answer.get("errors"), None, "{answer}");
        }
        assert_eq!(code_of(&create("k", "user-error").await), "IDEMPOTENCY_KEY_REUSED");
        test.settle().await;
        assert_eq!(create("k", "user-ok").await, all[0]);
        test.advance(Duration::from_hours(24));
        let next_day = create("k", "user-ok").await;
        assert_ne!(next_day["data"]["createItem"]["item"], all[0]["data"]["createItem"]["item"]);
        let data = test.data("{ items { nodes { id } } }", json!({})).await;
        assert_eq!(data["items"]["nodes"].as_array().map(Vec::len), Some(2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicates_are_found_by_their_credentials_when_asked() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let create = |user: &'static str, avoid: bool| {
            let test = &test;
            async move {
                test.query(
                    "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }",
                    json!({ "input": { "connectorId": "0", "avoidDuplicates": avoid, "parameters": [
                        { "name": "user", "value": user }, { "name": "password", "value": "password-ok" } ] } }),
                )
                .await
            }
        };
        let refused = create("user-ok", true).await;
        assert_eq!(code_of(&refused), "ITEM_USER_ALREADY_EXISTS");
        assert_eq!(refused["errors"][0]["extensions"]["items"], json!([id]));
        assert_eq!(create("user-ok-two-checking-accounts", true).await.get("errors"), None);
        assert_eq!(create("user-ok", false).await.get("errors"), None);
    })
    .await;
}

/// What a worker claims at a connector, to be never heard of again.
async fn claim(test: &TestApp, connector: i32, young: bool) -> Vec<execution::Model> {
    let (db, now, lease) = (&test.app.db, test.app.clock.now(), test.app.config.lease);
    let lane = Lane {
        application: test.owner.id,
        connector,
    };
    let mut due = lane::lost_executions(db.read(), &[connector], now, young, 10)
        .await
        .expect("candidates");
    let asked = lane::due_executions(db, db.read(), &[lane], now, 10).await;
    due.extend(asked.expect("candidates"));
    let ids: Vec<_> = due.iter().map(|candidate| candidate.id).collect();
    lane::take_executions(db, db.write(), &ids, now, lease, young)
        .await
        .expect("a claim")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_resumed_at_the_last_recorded_step() {
    for engine in [db::Engine::Sqlite, db::Engine::Postgres] {
        let (registry, bank) = scripted();
        let test = TestApp::start_over(engine, &[], registry).await;
        bank.lock()
            .expect("a bank")
            .rows
            .push(crate::support::scripted::row(
                Some("a"),
                "2026-03-10",
                -100,
                "one",
            ));
        let id = test.connect("7000", &[("user", "x")]).await;

        // A worker claims and is never heard of again.
        let lease = test.app.config.lease;
        let claimed = claim(&test, 7000, test.app.young()).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!(sync::run_once(&test.app).await.expect("a run"), 0);
        test.advance(lease);
        test.settle().await;
        assert_eq!(test.item(id).await["status"], "UPDATED");
        assert_eq!(bank.lock().expect("a bank").logins, 1);
        let events = test.events(id).await;
        assert_eq!(
            events.iter().filter(|name| *name == "item/created").count(),
            1,
            "{events:?}"
        );

        // What the dead worker still wants to say is not heard.
        let now = test.app.clock.now();
        let (id, epoch) = (claimed[0].id, claimed[0].epoch);
        let error = db::execution::hold(&test.app.db, id, epoch, now, now.plus(lease)).await;
        assert!(matches!(error, Ok(false)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_takes_every_worker_down_ends_instead_of_going_on_for_ever() {
    on_both_engines(|test| async move {
        let id = test.connect("0", &OK).await;
        let lose = async |young: bool| {
            let claimed = claim(&test, 0, young).await;
            test.advance(test.app.config.lease);
            claimed.len()
        };
        // Nodes that are killed as they start do not count, but at last only a seasoned one takes it.
        for _ in 0..4 {
            assert_eq!(lose(true).await, 1);
        }
        assert_eq!(lose(true).await, 0);
        for _ in 0..3 {
            assert_eq!(lose(false).await, 1);
        }
        test.settle().await;
        let item = test.item(id).await;
        assert_eq!(
            (&item["status"], &item["executionStatus"]),
            (&json!("OUTDATED"), &json!("UNEXPECTED_ERROR"))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_that_panics_fails_its_run_and_nothing_else() {
    for engine in [db::Engine::Sqlite, db::Engine::Postgres] {
        let (registry, bank) = scripted();
        let test = TestApp::start_over(engine, &[], registry).await;
        bank.lock().expect("a bank").panics = true;
        let id = test.connect("7000", &[("user", "x")]).await;
        test.settle().await;
        assert_eq!(test.item(id).await["executionStatus"], "UNEXPECTED_ERROR");
        bank.lock().expect("a bank").panics = false;
        test.updated(id, &[]).await;
        assert_eq!(test.item(id).await["status"], "UPDATED");
    }
}
