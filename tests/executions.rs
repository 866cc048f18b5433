//! The runs of an Item, as clients read them.

use std::time::Duration;

use chrono::DateTime;
use serde_json::{Value, json};

use crate::support::{TestApp, on_both_engines};

const OK: [(&str, &str); 2] = [("user", "user-ok"), ("password", "password-ok")];

async fn runs(test: &TestApp, id: uuid::Uuid, page: &str) -> Value {
    let document = format!(
        "query($id: ID!) {{ item(id: $id) {{ executions({page}) {{ pageInfo {{ hasNextPage endCursor }} nodes {{ id itemId triggeredBy status products \
           createdAt startedAt endedAt error {{ code message }} \
           steps {{ kind product startedAt endedAt rows counts {{ created updated deleted unchanged }} error {{ code }} warnings {{ code }} }} }} }} }} }}"
    );
    test.data(&document, json!({ "id": id })).await["item"]["executions"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_run_tells_its_steps_and_what_became_of_the_rows() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        test.updated(id, &[]).await;
        let told = runs(&test, id, "first: 10").await;
        let nodes = told["nodes"].as_array().expect("runs");
        assert_eq!(nodes.len(), 2);
        let products = json!(["ACCOUNTS", "CREDIT_CARDS", "TRANSACTIONS", "IDENTITY"]);
        for run in nodes {
            assert_eq!(json!([run["itemId"], run["status"], run["triggeredBy"]]), json!([id, "SUCCESS", "CLIENT"]));
            assert_eq!((&run["products"], &run["error"]), (&products, &Value::Null));
            assert!(run["startedAt"].is_string() && run["endedAt"].is_string());
            let steps = run["steps"].as_array().expect("steps");
            let names: Vec<&Value> = steps.iter().map(|step| &step["product"]).collect();
            assert_eq!(json!(names), json!([null, "ACCOUNTS", "CREDIT_CARDS", "TRANSACTIONS", "IDENTITY", null]));
            let kinds: Vec<&Value> = steps.iter().map(|step| &step["kind"]).collect();
            assert_eq!(json!(kinds), json!(["LOGIN", "COLLECT", "COLLECT", "COLLECT", "COLLECT", "MERGE"]));
            // One begins where the one before has ended, from the run's start to its end.
            assert_eq!((&steps[0]["startedAt"], &steps[5]["endedAt"]), (&run["startedAt"], &run["endedAt"]));
            assert_eq!(steps[0]["counts"], Value::Null);
            let read: u64 = steps[..5].iter().filter_map(|step| step["rows"].as_u64()).sum();
            assert_eq!(steps[5]["rows"], read);
            assert!(steps.iter().all(|step| step["error"].is_null() && step["warnings"] == json!([])));
        }
        let rows: Vec<Value> = test.accounts(id).await;
        let rows: usize = rows.iter().map(|it| it["transactions"]["nodes"].as_array().map_or(0, Vec::len)).sum();
        let counts = |run: &Value, step: usize| run["steps"][step]["counts"].clone();
        let every = 1 + 13 + rows + 1;
        let as_counted = |created: usize, unchanged: u64| {
            json!({ "created": created, "updated": 0, "deleted": 0, "unchanged": unchanged })
        };
        let (second, first) = (&nodes[0], &nodes[1]);
        // A card comes with twelve bills.
        for (step, created) in [(1, 1), (2, 13), (3, rows), (4, 1), (5, every)] {
            assert_eq!(counts(first, step), as_counted(created, 0), "step {step}");
        }
        let read = second["steps"][3]["rows"].as_u64().expect("a number");
        assert!(read > 0 && read < rows as u64);
        for (step, unchanged) in [(1, 1), (2, 13), (3, read), (4, 1), (5, 1 + 13 + read + 1)] {
            assert_eq!(counts(second, step), as_counted(0, unchanged), "step {step}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_with_the_run_and_the_step_that_had_them() {
    on_both_engines(|test| async move {
        let partly = test
            .connect(
                "0",
                &[
                    ("user", "user-ok-account-error"),
                    ("password", "password-ok"),
                ],
            )
            .await;
        let locked = test
            .connect("0", &[("user", "user-locked"), ("password", "password-ok")])
            .await;
        test.settle().await;
        let run = runs(&test, partly, "first: 1").await["nodes"][0].clone();
        assert_eq!(
            json!([run["status"], run["error"]]),
            json!(["PARTIAL_SUCCESS", null])
        );
        assert_eq!(
            (&run["steps"][0]["kind"], &run["steps"][0]["error"]),
            (&json!("LOGIN"), &Value::Null)
        );
        assert_eq!(run["steps"][1]["error"]["code"], "SITE_NOT_AVAILABLE");
        assert_eq!(run["steps"][1]["counts"], Value::Null);
        let user = "user-ok-account-warning";
        let warned = test.connect("0", &[("user", user), ("password", "password-ok")]).await;
        test.settle().await;
        let document = "query($id: ID!) { item(id: $id) { statusDetail { product warnings { message providerMessage } } \
            executions(first: 1) { nodes { steps { product warnings { message providerMessage } } } } } }";
        let item = test.data(document, json!({ "id": warned })).await["item"].clone();
        let of_accounts = |list: &Value| {
            let all = list.as_array().cloned().unwrap_or_default();
            let found = all.into_iter().find(|one| one["product"] == "ACCOUNTS");
            found.expect("accounts")["warnings"].clone()
        };
        let told = of_accounts(&item["statusDetail"]);
        assert!(told[0]["providerMessage"].as_str().is_some_and(|it| !it.is_empty()), "{told}");
        assert_eq!(told, of_accounts(&item["executions"]["nodes"][0]["steps"]));
        let run = runs(&test, locked, "first: 1").await["nodes"][0].clone();
        assert_eq!(
            json!([
                run["status"],
                run["error"]["code"],
                run["steps"].as_array().map(Vec::len)
            ]),
            json!(["ACCOUNT_LOCKED", "ACCOUNT_LOCKED", 1])
        );
        let login = &run["steps"][0];
        assert_eq!(
            (&login["kind"], &login["error"]["code"]),
            (&json!("LOGIN"), &json!("ACCOUNT_LOCKED"))
        );
        assert_eq!(
            (&login["startedAt"], &login["endedAt"]),
            (&run["startedAt"], &run["endedAt"])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_lasts_as_long_as_the_user_takes_and_a_merge_that_fails_says_so() {
    on_both_engines(|test| async move {
        let id = test.connect("3", &OK).await;
        test.settle().await;
        let open = runs(&test, id, "first: 1").await["nodes"][0]["steps"].clone();
        assert_eq!(open, json!([]), "a step that is under way is not told");
        test.advance(Duration::from_secs(70));
        test.answer(id, "token", "123456").await;
        test.settle().await;
        let steps = runs(&test, id, "first: 1").await["nodes"][0]["steps"].clone();
        let took = |step: &Value| {
            let at = |name: &str| step[name].as_str().and_then(|at| DateTime::parse_from_rfc3339(at).ok());
            at("endedAt").zip(at("startedAt")).map(|(end, start)| (end - start).num_seconds())
        };
        assert_eq!((&steps[0]["kind"], took(&steps[0])), (&json!("LOGIN"), Some(70)));

        let id = test.connected().await;
        let fail = "mutation($id: ID!) { failNextSandboxRun(input: { itemId: $id, code: MERGE_ERROR }) { item { id } } }";
        test.data(fail, json!({ "id": id })).await;
        test.updated(id, &[]).await;
        let run = runs(&test, id, "first: 1").await["nodes"][0].clone();
        let merge = run["steps"].as_array().and_then(|steps| steps.last()).expect("steps");
        assert_eq!(
            json!([run["status"], merge["kind"], merge["error"]["code"], merge["counts"]]),
            json!(["MERGE_ERROR", "MERGE", "MERGE_ERROR", null])
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_are_paged_newest_first() {
    on_both_engines(|test| async move {
        let id = test.connect("0", &OK).await;
        test.settle().await;
        for _ in 0..4 {
            test.updated(id, &[]).await;
        }
        let all = runs(&test, id, "first: 50").await;
        let ids = |page: &Value| -> Vec<Value> {
            let nodes = page["nodes"].as_array().cloned().unwrap_or_default();
            nodes.into_iter().map(|run| run["id"].clone()).collect()
        };
        let all = ids(&all);
        assert_eq!(all.len(), 5);
        let first = runs(&test, id, "first: 2").await;
        assert_eq!(ids(&first), all[..2]);
        let after = format!("first: 2, after: {}", first["pageInfo"]["endCursor"]);
        let second = runs(&test, id, &after).await;
        assert_eq!(
            (ids(&second), &second["pageInfo"]["hasNextPage"]),
            (all[2..4].to_vec(), &json!(true))
        );
        assert_eq!(ids(&runs(&test, id, "last: 1").await), all[4..]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_keeps_what_the_institution_said() {
    on_both_engines(|test| async move {
        let user = "user-account-need-actions-provider-message";
        let id = test.connect("0", &[("user", user), ("password", "password-ok")]).await;
        test.settle().await;
        test.updated(id, &OK).await;
        let document = "query($id: ID!) { item(id: $id) { error { code } consecutiveFailedLoginAttempts oauthRedirectUri \
            executions(first: 2) { nodes { error { code message providerMessage } } } } }";
        let item = test.data(document, json!({ "id": id })).await["item"].clone();
        assert_eq!(item["error"], Value::Null);
        assert_eq!(item["consecutiveFailedLoginAttempts"], 0);
        assert_eq!(item["oauthRedirectUri"], Value::Null);
        let [now, before] = [0, 1].map(|run| item["executions"]["nodes"][run]["error"].clone());
        assert_eq!(now, Value::Null);
        assert_eq!(before["code"], "ACCOUNT_NEEDS_ACTION");
        assert!(before["providerMessage"].is_string(), "{before}");
    })
    .await;
}
