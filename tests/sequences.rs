//! Random sequences of what clients, users and institutions do to an Item, held against a small model of it.
//!
//! 200 sequences on each engine; more with `PONTE_TEST_SCALE`, each from a seed that is printed.

use std::time::Duration;

use ponte::clock::{Rng, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, on_both_engines, scale, seed};

const SEQUENCES: usize = 200;
const LONGEST: usize = 12;
const MINUTE: Duration = Duration::from_mins(1);
const BACK_OFF: Duration = Duration::from_mins(15);

/// Something that happens to an Item.
#[derive(Clone, Copy, Debug)]
enum Deed {
    /// An update with what is stored.
    Update,
    /// An update with a password, right or wrong.
    Send(bool),
    /// An answer, right or wrong.
    Answer(bool),
    /// An answer to another question.
    AnswerElse,
    /// So many minutes.
    Wait(u32),
    /// The next run fails like this.
    FailNext(&'static str),
    /// The operator forgets its failures.
    Unlock,
}

const FAILURES: [&str; 5] = [
    "SITE_NOT_AVAILABLE",
    "CONNECTION_ERROR",
    "ACCOUNT_LOCKED",
    "USER_AUTHORIZATION_REVOKED",
    "ALREADY_LOGGED_IN",
];

/// The Item, as one would explain it to somebody.
#[derive(Debug)]
struct Model {
    status: &'static str,
    execution: String,
    question_lasts: Duration,
    /// Until when the question is open.
    asked_until: Option<Timestamp>,
    right_password: bool,
    refused_logins: u32,
    ended: Timestamp,
    next_failure: Option<&'static str>,
}

impl Model {
    fn end(&mut self, status: &'static str, execution: &str, now: Timestamp) {
        (self.status, self.execution) = (status, execution.to_owned());
        (self.asked_until, self.ended) = (None, now);
        match status {
            "UPDATED" => self.refused_logins = 0,
            "LOGIN_ERROR" => self.refused_logins += 1,
            _ => {}
        }
    }

    /// A run, up to its end or to the question.
    fn run(&mut self, now: Timestamp) {
        if let Some(code) = self.next_failure.take() {
            let refused = matches!(code, "ACCOUNT_LOCKED" | "USER_AUTHORIZATION_REVOKED");
            let status = if refused { "LOGIN_ERROR" } else { "OUTDATED" };
            self.end(status, code, now);
        } else if self.right_password {
            (self.status, self.execution) = ("WAITING_USER_INPUT", "WAITING_USER_INPUT".into());
            self.asked_until = Some(now.plus(self.question_lasts));
        } else {
            self.end("LOGIN_ERROR", "INVALID_CREDENTIALS", now);
        }
    }

    /// What an update is refused with.
    fn refusal(&self, sends: bool, now: Timestamp) -> Option<&'static str> {
        let refused = if self.status == "LOGIN_ERROR" {
            self.refused_logins
        } else {
            0
        };
        match refused {
            5.. if !sends => Some("TOO_MANY_CONSECUTIVE_ERRORS"),
            2.. if now < self.ended.plus(BACK_OFF) => Some("TOO_MANY_CONSECUTIVE_LOGIN_FAILURES"),
            1.. if !sends => Some("LAST_EXECUTION_HAD_LOGIN_ERROR"),
            _ => None,
        }
    }

    /// What a deed does, and the code that it is refused with.
    fn meet(&mut self, deed: Deed, now: Timestamp) -> Option<&'static str> {
        match deed {
            Deed::Update | Deed::Send(_) => {
                let sends = matches!(deed, Deed::Send(_));
                let refusal = self.refusal(sends, now);
                if refusal.is_none() {
                    if let Deed::Send(right) = deed {
                        self.right_password = right;
                    }
                    self.run(now);
                }
                refusal
            }
            Deed::Answer(_) | Deed::AnswerElse if self.asked_until.is_none() => {
                Some(match self.execution.as_str() {
                    "USER_INPUT_TIMEOUT" => "ITEM_MFA_EXPIRED",
                    _ => "ITEM_MFA_NOT_FOUND",
                })
            }
            Deed::AnswerElse => Some("ITEM_MFA_PARAMETER_EXPECTED_MISMATCH"),
            Deed::Answer(true) => {
                self.end("UPDATED", "SUCCESS", now);
                None
            }
            Deed::Answer(false) => {
                self.end("OUTDATED", "INVALID_CREDENTIALS_MFA", now);
                None
            }
            Deed::Wait(_) => {
                if self.asked_until.is_some_and(|until| until <= now) {
                    self.end("OUTDATED", "USER_INPUT_TIMEOUT", now);
                }
                None
            }
            Deed::FailNext(code) => {
                self.next_failure = Some(code);
                None
            }
            Deed::Unlock => {
                self.refused_logins = 0;
                None
            }
        }
    }
}

fn below(rng: &Rng, end: usize) -> usize {
    let end = u64::try_from(end).expect("small");
    usize::try_from(u64::from_le_bytes(rng.bytes()) % end).expect("small")
}

fn deed(rng: &Rng) -> Deed {
    match below(rng, 16) {
        0..4 => Deed::Update,
        4 | 5 => Deed::Send(true),
        6 | 7 => Deed::Send(false),
        8..11 => Deed::Answer(true),
        11 => Deed::Answer(false),
        12 => Deed::AnswerElse,
        13 => Deed::Wait([1, 4, 6, 16][below(rng, 4)]),
        14 => Deed::FailNext(FAILURES[below(rng, FAILURES.len())]),
        _ => Deed::Unlock,
    }
}

/// Does it, and answers the code of the refusal.
async fn perform(test: &TestApp, id: Uuid, deed: Deed) -> Option<String> {
    let password = |right| if right { "password-ok" } else { "wrong" };
    let answer = match deed {
        Deed::Update => test.update(id, &[]).await,
        Deed::Send(right) => test.update(id, &[("password", password(right))]).await,
        Deed::Answer(right) => {
            let code = if right { "123456" } else { "654321" };
            test.answer(id, "token", code).await
        }
        Deed::AnswerElse => test.answer(id, "company", "1").await,
        Deed::Wait(minutes) => {
            test.advance(MINUTE * minutes);
            Value::Null
        }
        Deed::FailNext(code) => {
            let document = "mutation($input: FailNextSandboxRunInput!) { failNextSandboxRun(input: $input) { __typename } }";
            let input = json!({ "itemId": id, "code": code });
            test.query(document, json!({ "input": input })).await
        }
        Deed::Unlock => {
            ponte::item::unlock(&test.app, id)
                .await
                .expect("it is unlocked");
            Value::Null
        }
    };
    test.settle().await;
    let code = answer.pointer("/errors/0/extensions/code");
    code.and_then(Value::as_str).map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_an_item_it_stands_as_the_model_does() {
    let seed = seed();
    on_both_engines(move |test| async move {
        let rng = Rng::seeded(seed);
        for number in 0..SEQUENCES * scale() {
            let right = below(&rng, 4) > 0;
            let password = if right { "password-ok" } else { "wrong" };
            let now = test.app.clock.now();
            let mut model = Model {
                status: "UPDATING",
                execution: "CREATED".to_owned(),
                question_lasts: test.app.config.mfa_timeout,
                asked_until: None,
                right_password: right,
                refused_logins: 0,
                ended: now,
                next_failure: None,
            };
            let input = json!({ "connectorId": "3", "products": ["ACCOUNTS"], "parameters": [
                { "name": "user", "value": "user-ok" }, { "name": "password", "value": password }] });
            let document = "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
            let data = test.data(document, json!({ "input": input })).await;
            let id = crate::support::id_at(&data, "/createItem/item/id");
            test.settle().await;
            model.run(now);
            let mut deeds = Vec::new();
            for _ in 0..=below(&rng, LONGEST) {
                let deed = deed(&rng);
                deeds.push(deed);
                let told = model.refusal(false, test.app.clock.now());
                let item = test.item(id).await;
                assert_eq!(item["canUpdate"]["code"], json!(told), "{number}: {deeds:?} {model:?}");
                let code = perform(&test, id, deed).await;
                let expected = model.meet(deed, test.app.clock.now());
                assert_eq!(code.as_deref(), expected, "{number}: {deeds:?} {model:?}");
                let item = test.item(id).await;
                assert_eq!(
                    json!([item["status"], item["executionStatus"]]),
                    json!([model.status, model.execution]),
                    "{number}: {deeds:?} {model:?}"
                );
            }
            let document = "mutation($input: DeleteItemInput!) { deleteItem(input: $input) { deletedItemId } }";
            test.data(document, json!({ "input": { "itemId": id } })).await;
        }
        test.settle().await;
    })
    .await;
}
