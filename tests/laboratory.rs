//! The laboratory: made-up banks that a frontend team changes to try its own work out.

use std::time::Duration;

use entity::kind::Environment;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, api_key, code_of, on_both_engines, operator};

async fn lab(test: &TestApp, mutation: &str, input: Value) -> Value {
    let name = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
    let document =
        format!("mutation($input: {name}!) {{ {mutation}(input: $input) {{ __typename }} }}");
    test.query(&document, json!({ "input": input })).await
}

async fn done(test: &TestApp, mutation: &str, input: Value) {
    let answer = lab(test, mutation, input).await;
    assert_eq!(answer.get("errors"), None, "{mutation}: {answer}");
}

/// The rows of an Item's account, as Ponte has them.
async fn rows(test: &TestApp, id: Uuid, account: usize) -> (Value, Vec<Value>) {
    let account = test.accounts(id).await[account].clone();
    let rows = account["transactions"]["nodes"].as_array().cloned();
    (account, rows.unwrap_or_default())
}

fn find<'a>(rows: &'a [Value], description: &str) -> Option<&'a Value> {
    rows.iter().find(|row| row["description"] == description)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_written_changed_and_struck_out_at_the_bank() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        for account in [0, 1] {
            let (before, known) = rows(&test, id, account).await;
            let balance = |account: &Value| -> rust_decimal::Decimal {
                account["balance"].as_str().expect("one").parse().expect("a number")
            };
            done(
                &test,
                "createSandboxTransaction",
                json!({ "accountId": before["id"], "postedOn": "2026-03-15", "amount": "-12.34", "description": "By hand" }),
            )
            .await;
            test.updated(id, &[]).await;
            let (after, written) = rows(&test, id, account).await;
            assert_eq!(written.len(), known.len() + 1);
            let row = find(&written, "By hand").expect("it is there").clone();
            assert_eq!(
                json!([row["postedOn"], row["amount"], row["type"], row["status"]]),
                json!(["2026-03-15", "-12.34", "DEBIT", "POSTED"])
            );
            let spent = balance(&before) - balance(&after);
            let owes = if account == 0 { 1 } else { -1 };
            assert_eq!(spent, rust_decimal::Decimal::new(1_234 * owes, 2));

            done(
                &test,
                "updateSandboxTransaction",
                json!({ "transactionId": row["id"], "amount": "-20", "description": "Changed by hand" }),
            )
            .await;
            test.updated(id, &[]).await;
            let (_, changed) = rows(&test, id, account).await;
            assert_eq!(changed.len(), known.len() + 1);
            assert!(find(&changed, "By hand").is_none());
            let row = find(&changed, "Changed by hand").expect("it is there").clone();
            assert_eq!(row["amount"], "-20.00");

            done(&test, "deleteSandboxTransaction", json!({ "transactionId": row["id"] })).await;
            test.updated(id, &[]).await;
            let (last, left) = rows(&test, id, account).await;
            assert_eq!(left.len(), known.len());
            assert_eq!(balance(&last), balance(&before));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_the_banks_own_is_changed_and_struck_out() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let (_, known) = rows(&test, id, 0).await;
        let young: Vec<&Value> = known.iter().take(2).collect();
        done(
            &test,
            "updateSandboxTransaction",
            json!({ "transactionId": young[0]["id"], "description": "Renamed" }),
        )
        .await;
        done(
            &test,
            "deleteSandboxTransaction",
            json!({ "transactionId": young[1]["id"] }),
        )
        .await;
        test.updated(id, &[]).await;
        let (_, left) = rows(&test, id, 0).await;
        assert_eq!(left.len(), known.len() - 1);
        let renamed = find(&left, "Renamed").expect("it is there");
        assert_eq!(renamed["id"], young[0]["id"]);
        assert!(left.iter().all(|row| row["id"] != young[1]["id"]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_to_a_row_twice_before_a_run_takes_the_place_of_the_first() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        for account in [0, 1] {
            let (_, known) = rows(&test, id, account).await;
            let young: Vec<_> = known.iter().take(2).cloned().collect();
            let rename = |row: &Value, text: &str| json!({ "transactionId": row["id"], "description": text });
            for text in ["Once", "Twice"] {
                done(&test, "updateSandboxTransaction", rename(&young[0], text)).await;
            }
            done(&test, "updateSandboxTransaction", rename(&young[1], "Never")).await;
            done(&test, "deleteSandboxTransaction", json!({ "transactionId": young[1]["id"] })).await;
            test.updated(id, &[]).await;
            let (_, left) = rows(&test, id, account).await;
            assert_eq!(left.len(), known.len() - 1);
            let there = |text: &str| find(&left, text).is_some();
            assert_eq!((there("Once"), there("Twice"), there("Never")), (false, true, false));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_row_that_was_struck_out_stays_away_when_it_would_have_settled() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let sums = async |account: usize| {
            let (account, rows) = rows(&test, id, account).await;
            let number = |value: &Value| {
                value
                    .as_str()
                    .and_then(|it| it.parse::<rust_decimal::Decimal>().ok())
                    .expect("a number")
            };
            let days = rows
                .iter()
                .filter(|row| row["postedOn"].as_str() > Some("2026-03-13"));
            let posted = days
                .filter(|row| row["status"] == "POSTED")
                .map(|row| number(&row["amount"]));
            (
                number(&account["balance"]),
                posted.sum::<rust_decimal::Decimal>(),
            )
        };
        for account in [0, 1] {
            let found = async || {
                let (_, known) = rows(&test, id, account).await;
                known.into_iter().find(|row| row["status"] == "PENDING")
            };
            // Not every day has one.
            while found().await.is_none() {
                done(&test, "advanceSandboxClock", json!({ "itemId": id })).await;
                test.updated(id, &[]).await;
            }
            let (balance, posted) = sums(account).await;
            let pending = found().await.expect("a row");
            let (day, amount) = (pending["postedOn"].clone(), pending["amount"].clone());
            done(
                &test,
                "deleteSandboxTransaction",
                json!({ "transactionId": pending["id"] }),
            )
            .await;
            test.updated(id, &[]).await;
            done(
                &test,
                "advanceSandboxClock",
                json!({ "itemId": id, "days": 3 }),
            )
            .await;
            test.updated(id, &[]).await;
            let (_, now) = rows(&test, id, account).await;
            assert!(
                !now.iter()
                    .any(|row| row["postedOn"] == day && row["amount"] == amount),
                "{account}"
            );
            // What has settled meanwhile is what the balance has changed by, or what is owed.
            let (balance_now, posted_now) = sums(account).await;
            let sign = if account == 0 {
                rust_decimal::Decimal::ONE
            } else {
                rust_decimal::Decimal::NEGATIVE_ONE
            };
            assert_eq!(
                balance_now - balance,
                (posted_now - posted) * sign,
                "{account}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_edited_keeps_what_is_not() {
    on_both_engines(|test| async move {
        let id = test.connect("2", &[("user", "user-ok"), ("password", "password-ok")]).await;
        test.settle().await;
        let document = "query($id: ID!) { item(id: $id) { transactions(first: 500) { nodes { id description amount currencyCode merchant { name } creditCardMetadata { cardNumber } operationType account { type } } } } }";
        let all = async || {
            let data = test.data(document, json!({ "id": id })).await;
            data["item"]["transactions"]["nodes"].as_array().cloned().expect("rows")
        };
        // The bank shows a purchase abroad on the 20th.
        done(&test, "advanceSandboxClock", json!({ "itemId": id, "days": 6 })).await;
        test.updated(id, &[]).await;
        let known = all().await;
        let abroad = |row: &&Value| row["account"]["type"] == "CREDIT" && row["currencyCode"] == "USD";
        let before = known.iter().find(abroad).expect("a purchase");
        assert!(before["creditCardMetadata"]["cardNumber"].is_string());
        done(&test, "updateSandboxTransaction", json!({ "transactionId": before["id"], "description": "Dinner" })).await;
        test.updated(id, &[]).await;
        let after = all().await;
        let after = find(&after, "Dinner").expect("it is there");
        for field in ["amount", "currencyCode", "merchant", "creditCardMetadata", "operationType"] {
            assert_eq!(after[field], before[field], "{field}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_goes_on_in_time_and_its_pending_rows_settle() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let newest = async || {
            let (_, rows) = rows(&test, id, 0).await;
            rows[0]["postedOn"].as_str().expect("a day").to_owned()
        };
        assert!(newest().await.as_str() <= "2026-03-16");
        done(
            &test,
            "advanceSandboxClock",
            json!({ "itemId": id, "days": 40 }),
        )
        .await;
        test.updated(id, &[]).await;
        assert!(newest().await.as_str() > "2026-04-15");
        done(&test, "advanceSandboxClock", json!({ "itemId": id })).await;
        test.updated(id, &[]).await;
        let (_, later) = rows(&test, id, 0).await;
        assert!(
            later
                .iter()
                .all(|row| row["postedOn"].as_str() <= Some("2026-04-26"))
        );
        for days in [0, 3_651, 3_650] {
            let refused = lab(
                &test,
                "advanceSandboxClock",
                json!({ "itemId": id, "days": days }),
            )
            .await;
            assert_eq!(code_of(&refused), "INVALID_INPUT", "{days}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_fails_as_it_was_told_to_and_the_one_after_does_not() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        for (code, product, status, execution) in [
            ("SITE_NOT_AVAILABLE", None, "OUTDATED", "SITE_NOT_AVAILABLE"),
            ("ACCOUNT_LOCKED", None, "LOGIN_ERROR", "ACCOUNT_LOCKED"),
            ("MERGE_ERROR", None, "OUTDATED", "MERGE_ERROR"),
            (
                "CONNECTION_ERROR",
                Some("IDENTITY"),
                "UPDATED",
                "PARTIAL_SUCCESS",
            ),
            (
                "USER_AUTHORIZATION_REVOKED",
                Some("TRANSACTIONS"),
                "LOGIN_ERROR",
                "USER_AUTHORIZATION_REVOKED",
            ),
        ] {
            let input = json!({ "itemId": id, "code": code, "product": product });
            done(&test, "failNextSandboxRun", input).await;
            let parameters = [("user", "user-ok"), ("password", "password-ok")];
            test.updated(id, &parameters).await;
            let item = test.item(id).await;
            assert_eq!(
                json!([item["status"], item["executionStatus"]]),
                json!([status, execution])
            );
            test.advance(Duration::from_mins(16));
            test.updated(id, &parameters).await;
            assert_eq!(test.item(id).await["executionStatus"], "SUCCESS");
        }
        for code in ["SUCCESS", "CREATE_ERROR", "CREATED"] {
            let refused = lab(
                &test,
                "failNextSandboxRun",
                json!({ "itemId": id, "code": code }),
            )
            .await;
            assert_eq!(code_of(&refused), "INVALID_INPUT", "{code}");
        }
        let input = json!({ "itemId": id, "code": "ERROR", "product": "LOANS" });
        assert_eq!(
            code_of(&lab(&test, "failNextSandboxRun", input).await),
            "INVALID_INPUT"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_warns_of_what_is_asked_for_and_goes_on() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let warnings = async || -> Vec<(Value, Value)> {
            let document = "query($id: ID!) { item(id: $id) { executionStatus statusDetail { product isUpdated warnings { code message providerMessage } } } }";
            let data = test.data(document, json!({ "id": id })).await;
            assert_eq!(data["item"]["executionStatus"], "SUCCESS");
            let details = data["item"]["statusDetail"].as_array().cloned().unwrap_or_default();
            assert!(details.iter().all(|one| one["isUpdated"] == true), "{details:?}");
            let of = |one: Value| (one["product"].clone(), one["warnings"].clone());
            details.into_iter().map(of).filter(|(_, warnings)| *warnings != json!([])).collect()
        };
        let words = "Conta conjunta: falta autorização.";
        let input = json!({ "itemId": id, "product": "CREDIT_CARDS", "code": "CC_005", "message": "no bills", "providerMessage": words });
        // The last one asked for counts.
        done(&test, "warnNextSandboxRun", json!({ "itemId": id, "product": "ACCOUNTS", "code": "ACCT_004" })).await;
        done(&test, "warnNextSandboxRun", input).await;
        test.updated(id, &[]).await;
        let told = json!([{ "code": "CC_005", "message": "no bills", "providerMessage": words }]);
        assert_eq!(warnings().await, [(json!("CREDIT_CARDS"), told)]);
        test.updated(id, &[]).await;
        assert_eq!(warnings().await, []);
        for (field, input) in [
            ("product", json!({ "itemId": id, "product": "LOANS", "code": "LOAN_001" })),
            ("code", json!({ "itemId": id, "product": "ACCOUNTS", "code": "acct" })),
            ("code", json!({ "itemId": id, "product": "ACCOUNTS", "code": "" })),
            ("message", json!({ "itemId": id, "product": "ACCOUNTS", "code": "A", "message": "" })),
            ("providerMessage", json!({ "itemId": id, "product": "ACCOUNTS", "code": "A", "providerMessage": "x".repeat(257) })),
        ] {
            let refused = lab(&test, "warnNextSandboxRun", input).await;
            assert_eq!(code_of(&refused), "INVALID_INPUT", "{refused}");
            assert_eq!(refused["errors"][0]["extensions"]["field"], field);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_broken_for_one_application_and_mended() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let other = operator(&test.app)
            .create("Other", Environment::Sandbox, None)
            .await
            .expect("an application");
        test.app.applications.refresh(&test.app.db).await.expect("applications");
        let other = api_key(&test.app, other.id).await;
        let switch = |status: &str| json!({ "connectorId": "0", "status": status });
        let create = json!({ "input": { "connectorId": "0", "parameters": [
            { "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" }] } });
        let document = "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";

        done(&test, "setSandboxConnectorStatus", switch("OFFLINE")).await;
        done(&test, "setSandboxConnectorStatus", switch("OFFLINE")).await;
        test.settle().await;
        let health = "{ connector(id: \"0\") { health { status connectionsLast6Hours } } }";
        let shown = test.data(health, json!({})).await;
        assert_eq!(shown["connector"]["health"], json!({ "status": "OFFLINE", "connectionsLast6Hours": 0 }));
        assert_eq!(code_of(&test.query(document, create.clone()).await), "CONNECTOR_OFFLINE");
        test.updated(id, &[]).await;
        assert_eq!(test.item(id).await["executionStatus"], "SITE_NOT_AVAILABLE");
        // Nobody else notices.
        let elsewhere = test.query_as(Some(other.clone()), health, json!({})).await;
        assert_eq!(elsewhere["data"]["connector"]["health"]["status"], "ONLINE");
        let accepted = test.query_as(Some(other), document, create.clone()).await;
        assert_eq!(accepted.get("errors"), None, "{accepted}");

        done(&test, "setSandboxConnectorStatus", switch("ONLINE")).await;
        test.updated(id, &[]).await;
        assert_eq!(test.item(id).await["executionStatus"], "SUCCESS");
        let told = "{ events(first: 200, filter: { types: [CONNECTOR_STATUS_UPDATED], connectorId: \"0\" }) { nodes { payload } } }";
        let told = test.data(told, json!({})).await;
        let statuses: Vec<_> = told["events"]["nodes"].as_array().into_iter().flatten()
            .map(|node| node["payload"]["data"]["status"].clone()).collect();
        assert_eq!(statuses, ["OFFLINE", "ONLINE"]);
        let refused = lab(&test, "setSandboxConnectorStatus", switch("UNKNOWN")).await;
        assert_eq!(code_of(&refused), "INVALID_INPUT");
        let unknown = lab(&test, "setSandboxConnectorStatus", json!({ "connectorId": "77", "status": "OFFLINE" })).await;
        assert_eq!(code_of(&unknown), "NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_laboratory_is_for_sandbox_applications_and_their_own_items() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let (account, known) = rows(&test, id, 0).await;
        let inputs = |id: Value, account: Value, transaction: Value| [
            ("createSandboxTransaction", json!({ "accountId": account, "postedOn": "2026-03-15", "amount": "1", "description": "x" })),
            ("updateSandboxTransaction", json!({ "transactionId": transaction, "amount": "1" })),
            ("deleteSandboxTransaction", json!({ "transactionId": transaction })),
            ("advanceSandboxClock", json!({ "itemId": id, "days": 1 })),
            ("failNextSandboxRun", json!({ "itemId": id, "code": "ERROR" })),
            ("warnNextSandboxRun", json!({ "itemId": id, "product": "ACCOUNTS", "code": "ACCT_003" })),
        ];
        let nobody = json!(Uuid::nil());
        for (mutation, input) in inputs(nobody.clone(), nobody.clone(), nobody) {
            assert_eq!(code_of(&lab(&test, mutation, input).await), "NOT_FOUND", "{mutation}");
        }
        let production = operator(&test.app)
            .create("Production", Environment::Production, None)
            .await
            .expect("an application");
        test.app.applications.refresh(&test.app.db).await.expect("applications");
        let production = api_key(&test.app, production.id).await;
        let own = inputs(json!(id), account["id"].clone(), known[0]["id"].clone());
        for (mutation, input) in own {
            let name = format!("{}{}Input", mutation[..1].to_uppercase(), &mutation[1..]);
            let document = format!("mutation($input: {name}!) {{ {mutation}(input: $input) {{ __typename }} }}");
            let foreign = test.query_as(Some(production.clone()), &document, json!({ "input": input })).await;
            assert_eq!(code_of(&foreign), "NOT_FOUND", "{mutation}");
        }
        let document = "mutation { setSandboxConnectorStatus(input: { connectorId: \"0\", status: OFFLINE }) { __typename } }";
        let refused = test.query_as(Some(production.clone()), document, json!({})).await;
        assert_eq!(code_of(&refused), "FORBIDDEN");
        for bad in ["", &"x".repeat(257), "a\u{0}b"] {
            let input = json!({ "accountId": account["id"], "postedOn": "2026-03-15", "amount": "1", "description": bad });
            assert_eq!(code_of(&lab(&test, "createSandboxTransaction", input).await), "INVALID_INPUT");
        }
    })
    .await;
}
