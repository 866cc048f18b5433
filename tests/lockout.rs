//! What keeps an institution from locking a user out because of Ponte, and what is never refused because of it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use entity::kind::{ExecutionStatus, Product};
use ponte::{auth::application::Interval, connector::Registry, db::Engine, item, sync};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    START, TestApp, code_of, eventually, on_both_engines,
    scripted::{Bank, scripted_as},
};

const USER: [(&str, &str); 1] = [("user", "x")];
const MIDNIGHT: &str = "2026-03-17T00:00:00.000Z";

/// A node with a real institution whose logins are counted.
async fn counting(engine: Engine, most: &str) -> (TestApp, Arc<Mutex<Bank>>) {
    let (connector, bank) = scripted_as(|form| form.is_sandbox = false);
    let flags = ["--login-attempts-per-day", most];
    let test = TestApp::start_over(engine, &flags, Registry::new([connector])).await;
    (test, bank)
}

impl TestApp {
    /// The code that an update without parameters is refused with, having been told before; empty when it is accepted.
    async fn refusal(&self, id: Uuid) -> (String, Value) {
        let told = self.item(id).await["canUpdate"].clone();
        let answer = self.update(id, &[]).await;
        if told["allowed"] == true {
            assert_eq!(answer.get("errors"), None, "{answer}");
            assert_eq!(
                told,
                json!({ "allowed": true, "code": null, "reason": null, "retryAt": null })
            );
            self.settle().await;
            return (String::new(), Value::Null);
        }
        let error = &answer["errors"][0];
        assert_eq!(told["code"], error["extensions"]["code"], "{answer}");
        assert_eq!(told["reason"], error["message"], "{answer}");
        assert_eq!(told["retryAt"], error["extensions"]["retryAt"], "{answer}");
        (code_of(&answer), told["retryAt"].clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_has_so_many_logins_and_no_more_whatever_is_sent() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = counting(engine, "3").await;
        let logins = || bank.lock().expect("a bank").logins;
        let id = test.connect("7000", &USER).await;
        test.settle().await;
        test.updated(id, &[]).await;
        test.updated(id, &[("user", "y")]).await;
        assert_eq!(logins(), 3);

        let expected = ("TOO_MANY_LOGIN_ATTEMPTS".to_owned(), json!(MIDNIGHT));
        assert_eq!(test.refusal(id).await, expected);
        let answer = test.update(id, &[("user", "z")]).await;
        assert_eq!(code_of(&answer), "TOO_MANY_LOGIN_ATTEMPTS");
        // Another Item has a day of its own.
        let other = test.connect("7000", &USER).await;
        test.settle().await;
        assert_eq!(test.item(other).await["status"], "UPDATED");
        assert_eq!(logins(), 4);

        test.advance(Duration::from_hours(12) - Duration::from_millis(1));
        assert_eq!(test.refusal(id).await, expected);
        test.advance(Duration::from_millis(1));
        for _ in 0..3 {
            assert_eq!(test.refusal(id).await.0, "");
        }
        assert_eq!(test.refusal(id).await.0, "TOO_MANY_LOGIN_ATTEMPTS");
        item::unlock(&test.app, id).await.expect("unlocked");
        assert_eq!(test.refusal(id).await.0, "");
        assert_eq!(logins(), 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_goes_on_after_a_crash_logs_in_again_only_while_it_may() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        for (most, logins, ends) in [("1", 1, "ERROR"), ("2", 2, "SUCCESS")] {
            let (test, bank) = counting(engine, most).await;
            bank.lock().expect("a bank").hangs = true;
            let id = test.connect("7000", &USER).await;
            let app = test.app.clone();
            let lost = tokio::spawn(async move { sync::run_once(&app).await });
            let begun = bank.clone();
            eventually(|| begun.lock().expect("a bank").logins == 1).await;
            lost.abort();
            bank.lock().expect("a bank").hangs = false;
            test.advance(test.app.config.lease);
            test.settle().await;
            let item = test.item(id).await;
            assert_eq!(item["executionStatus"], ends);
            assert_eq!(bank.lock().expect("a bank").logins, logins);
            if ends == "ERROR" {
                assert_eq!(
                    item["error"]["message"],
                    format!(
                        "This day's logins are used up, so that the institution locks nobody out. Update again at {MIDNIGHT}."
                    )
                );
                assert_eq!(item["status"], "OUTDATED");
            }
            assert_eq!(test.refusal(id).await.0, "TOO_MANY_LOGIN_ATTEMPTS");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn automatic_runs_wait_for_the_next_day_and_lose_no_attempt() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = counting(engine, "2").await;
        test.every(Some(Interval::Hours(8))).await;
        let id = test.connect("7000", &USER).await;
        test.settle().await;
        bank.lock().expect("a bank").refuses = Some(ExecutionStatus::SiteNotAvailable);
        test.updated(id, &[]).await;
        let stands = async || {
            let document = "query($id: ID!) { item(id: $id) { autoSync { state reason nextAt failedAttempts } } }";
            test.data(document, json!({ "id": id })).await["item"]["autoSync"].clone()
        };
        let reason = "this day's logins are used up, so that the institution locks nobody out; the next run comes when the next day begins in UTC";
        let expected = json!({ "state": "RETRYING", "reason": reason, "nextAt": MIDNIGHT, "failedAttempts": 0 });
        assert_eq!(stands().await, expected);
        for _ in 0..11 {
            test.advance(Duration::from_hours(1));
            test.settle().await;
        }
        assert_eq!(stands().await, expected);
        assert_eq!(bank.lock().expect("a bank").logins, 2);
        bank.lock().expect("a bank").refuses = None;
        test.advance(Duration::from_hours(2));
        test.settle().await;
        assert_eq!(bank.lock().expect("a bank").logins, 3);
        assert_eq!(stands().await["state"], "SCHEDULED");

        // The operator's unlocking brings the next run forward again.
        test.updated(id, &[]).await;
        let late = START.plus(Duration::from_hours(36)).to_string();
        assert_eq!(stands().await["nextAt"], late);
        item::unlock(&test.app, id).await.expect("unlocked");
        let next = START.plus(Duration::from_hours(21)).to_string();
        assert_eq!(stands().await["nextAt"], next);
        test.advance(Duration::from_mins(8 * 60 + 30));
        test.settle().await;
        assert_eq!(bank.lock().expect("a bank").logins, 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_told_before_and_only_refused_logins_lead_to_one() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = counting(engine, "50").await;
        let set = |code| bank.lock().expect("a bank").refuses = code;
        let fifteen = || {
            test.app
                .clock
                .now()
                .plus(Duration::from_mins(15))
                .to_string()
        };
        let refused = |code: &str| (code.to_owned(), Value::Null);
        set(Some(ExecutionStatus::InvalidCredentials));
        let id = test.connect("7000", &USER).await;
        assert_eq!(test.refusal(id).await, refused("ITEM_ALREADY_UPDATING"));
        test.settle().await;
        let again = refused("LAST_EXECUTION_HAD_LOGIN_ERROR");
        assert_eq!(test.refusal(id).await, again);

        // Two in a row: 15 minutes, whatever is sent.
        test.updated(id, &[("user", "2")]).await;
        let later = (
            "TOO_MANY_CONSECUTIVE_LOGIN_FAILURES".to_owned(),
            json!(fifteen()),
        );
        assert_eq!(test.refusal(id).await, later);
        assert_eq!(code_of(&test.update(id, &[("user", "3")]).await), later.0);
        test.advance(Duration::from_mins(15));
        assert_eq!(test.refusal(id).await, again);

        // What is no refused login refuses nothing, however often, also with refused ones before.
        for code in [
            ExecutionStatus::SiteNotAvailable,
            ExecutionStatus::ConnectionError,
            ExecutionStatus::UnexpectedError,
            ExecutionStatus::Error,
            ExecutionStatus::AlreadyLoggedIn,
        ] {
            set(Some(code));
            test.updated(id, &[("user", code.as_str())]).await;
            for _ in 0..2 {
                assert_eq!(test.refusal(id).await.0, "", "{code}");
            }
        }

        // Five in a row, the others in between not counted: new parameters, or the operator.
        set(Some(ExecutionStatus::AccountLocked));
        for n in 3..=5 {
            test.updated(id, &[("user", "4")]).await;
            let expected = if n < 5 {
                "TOO_MANY_CONSECUTIVE_LOGIN_FAILURES"
            } else {
                "TOO_MANY_CONSECUTIVE_ERRORS"
            };
            assert_eq!(test.refusal(id).await.0, expected, "{n}");
            test.advance(Duration::from_mins(15));
        }
        assert_eq!(
            test.refusal(id).await,
            refused("TOO_MANY_CONSECUTIVE_ERRORS")
        );
        set(Some(ExecutionStatus::SiteNotAvailable));
        test.updated(id, &[("user", "5")]).await;
        assert_eq!(test.refusal(id).await.0, "");
        set(Some(ExecutionStatus::InvalidCredentials));
        test.updated(id, &[("user", "6")]).await;
        assert_eq!(
            test.refusal(id).await,
            refused("TOO_MANY_CONSECUTIVE_ERRORS")
        );
        item::unlock(&test.app, id).await.expect("unlocked");
        assert_eq!(test.refusal(id).await.0, "");
        assert_eq!(test.refusal(id).await, again);
        set(None);
        test.updated(id, &[("user", "7")]).await;
        assert_eq!(test.refusal(id).await.0, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_be_sent_is_told_before() {
    on_both_engines(|test| async move {
        let ok = [("user", "user-ok"), ("password", "password-ok")];
        let file = test.upload(b"not a statement").await;
        let file = test.connect("900", &[("file", file.as_str())]).await;
        let with_code = [ok[0], ok[1], ("token", "123456")];
        let one_step = test.connect("1", &with_code).await;
        let two_step = test.connect("3", &ok).await;
        let sandbox = test.connect("0", &ok).await;
        test.settle().await;
        assert_eq!(test.refusal(file).await.0, "PARAMETERS_NOT_PROVIDED");
        assert_eq!(
            test.refusal(one_step).await.0,
            "CONNECTOR_REQUIRED_PARAMETER_VALIDATION_ERROR"
        );
        // A question that waits is abandoned, and another one is asked.
        assert_eq!(test.item(two_step).await["status"], "WAITING_USER_INPUT");
        assert_eq!(test.refusal(two_step).await.0, "");
        assert_eq!(test.item(two_step).await["status"], "WAITING_USER_INPUT");
        // A sandbox locks nobody out.
        for _ in 0..51 {
            test.updated(sandbox, &[]).await;
        }
        assert_eq!(test.refusal(sandbox).await.0, "");
    })
    .await;
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (connector, _bank) = scripted_as(|form| form.credentials[0].mfa = true);
        let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
        let id = test.connect("7000", &USER).await;
        test.settle().await;
        assert_eq!(test.refusal(id).await.0, "PARAMETERS_NOT_PROVIDED");
    }
}

/// What a run may fail with, where that leaves its Item, whether what is stored may be tried again by its client, and what
/// automatic runs do.
const FAILURES: [(ExecutionStatus, &str, &str, &str); 14] = {
    use ExecutionStatus as E;
    const REFUSED: &str = "LAST_EXECUTION_HAD_LOGIN_ERROR";
    [
        (E::InvalidCredentials, "LOGIN_ERROR", REFUSED, "DROPPED"),
        (E::AccountLocked, "LOGIN_ERROR", REFUSED, "DROPPED"),
        (
            E::AccountCredentialsReset,
            "LOGIN_ERROR",
            REFUSED,
            "DROPPED",
        ),
        (
            E::UserAuthorizationNotGranted,
            "LOGIN_ERROR",
            REFUSED,
            "DROPPED",
        ),
        (
            E::UserAuthorizationRevoked,
            "LOGIN_ERROR",
            REFUSED,
            "DROPPED",
        ),
        (E::InvalidCredentialsMfa, "OUTDATED", "", "RETRYING"),
        (E::UserInputTimeout, "OUTDATED", "", "RETRYING"),
        (E::AlreadyLoggedIn, "OUTDATED", "", "RETRYING"),
        (E::AccountNeedsAction, "OUTDATED", "", "RETRYING"),
        (E::UserNotSupported, "OUTDATED", "", "RETRYING"),
        (E::SiteNotAvailable, "OUTDATED", "", "RETRYING"),
        (E::ConnectionError, "OUTDATED", "", "RETRYING"),
        (E::UnexpectedError, "OUTDATED", "", "RETRYING"),
        (E::Error, "OUTDATED", "", "RETRYING"),
    ]
};

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_leaves_its_item_as_the_table_says() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = counting(engine, "50").await;
        test.every(Some(Interval::Hours(24))).await;
        for (code, status, refusal, automatic) in FAILURES {
            bank.lock().expect("a bank").refuses = Some(code);
            let id = test.connect("7000", &USER).await;
            test.settle().await;
            let document = "query($id: ID!) { item(id: $id) { status executionStatus error { code } autoSync { state } } }";
            let item = test.data(document, json!({ "id": id })).await["item"].clone();
            assert_eq!(
                item,
                json!({ "status": status, "executionStatus": code.as_str(), "error": { "code": code.as_str() }, "autoSync": { "state": automatic } }),
            );
            assert_eq!(
                test.refusal(id).await,
                (refusal.to_owned(), Value::Null),
                "{code}"
            );
            // New parameters are always welcome.
            bank.lock().expect("a bank").refuses = None;
            test.advance(Duration::from_mins(15));
            test.updated(id, &[("user", code.as_str())]).await;
            assert_eq!(test.item(id).await["status"], "UPDATED", "{code}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_accepted_ends_a_row_of_refused_ones_however_its_run_ends() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (test, bank) = counting(engine, "50").await;
        let refused =
            || bank.lock().expect("a bank").refuses = Some(ExecutionStatus::InvalidCredentials);
        let in_a_row = async |id: Uuid| {
            let document =
                "query($id: ID!) { item(id: $id) { status consecutiveFailedLoginAttempts } }";
            let data = test.data(document, json!({ "id": id })).await;
            (
                data["item"]["status"].clone(),
                data["item"]["consecutiveFailedLoginAttempts"].clone(),
            )
        };
        refused();
        let id = test.connect("7000", &USER).await;
        test.settle().await;
        assert_eq!(in_a_row(id).await, (json!("LOGIN_ERROR"), json!(1)));
        {
            let mut bank = bank.lock().expect("a bank");
            (bank.refuses, bank.failing) = (None, Some(Product::Accounts));
        }
        test.updated(id, &[("user", "y")]).await;
        assert_eq!(in_a_row(id).await, (json!("OUTDATED"), json!(0)));
        refused();
        test.updated(id, &[]).await;
        assert_eq!(
            in_a_row(id).await,
            (json!("LOGIN_ERROR"), json!(1)),
            "the first of another row"
        );
    }
}
