//! A month of automatic runs with the manual clock: every run when it is due, none at another time.
//!
//! [`KINDS`] is the table of what is expected. Beside it the rules stand once more, in [`Expected`], written from what
//! clients are promised and knowing nothing of how the schedule is made; every run of every Item is held against them.

use std::{collections::BTreeMap, time::Duration};

use entity::{
    execution, item,
    kind::{Environment, ExecutionStatus as S, Product, TriggeredBy},
};
use ponte::{
    auth::{
        Principal,
        application::Interval::{self, Hours, Minutes},
    },
    clock::Timestamp,
    connector::Registry,
    db::Engine,
    event,
    item::upkeep::Upkeep,
    item::{self as items},
    sync,
};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{START, TestApp, api_key, operator, scale, scripted::scripted_as};

const DAYS: u32 = 30;
/// Time moves in steps of this: what is due within one starts together.
const STEP: Duration = Duration::from_mins(10);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Automatic runs in the month, at least and at most, and the state at its end.
type Runs = (usize, usize, &'static str);

/// Every day, and up to half an hour later each time.
const DAILY: Runs = (29, 30, "SCHEDULED");
const NONE: Runs = (0, 0, "NOT_AVAILABLE");
const DROPPED: Runs = (0, 0, "DROPPED");
/// Five repetitions, an hour apart.
const RETRIED: Runs = (5, 5, "DROPPED");

/// What is done about Items of a kind, and when, after the start.
type Deed = (Duration, Doing);

#[derive(Clone, Copy)]
enum Doing {
    /// `disableItemAutoSync`.
    Disable,
    /// `updateItem` without parameters.
    Update,
    /// `updateItem` with the right password.
    Correct,
}

#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    /// How many of 200 Items.
    share: usize,
    application: &'static str,
    connector: &'static str,
    user: &'static str,
    runs: Runs,
    deeds: &'static [Deed],
}

const fn kind(name: &'static str, share: usize, runs: Runs) -> Kind {
    Kind {
        name,
        share,
        application: "daily",
        connector: "0",
        user: name,
        runs,
        deeds: &[],
    }
}

const fn of(application: &'static str, kind: Kind) -> Kind {
    Kind {
        application,
        ..kind
    }
}

const fn through(connector: &'static str, user: &'static str, kind: Kind) -> Kind {
    Kind {
        connector,
        user,
        ..kind
    }
}

const fn doing(deeds: &'static [Deed], kind: Kind) -> Kind {
    Kind { deeds, ..kind }
}

const APPLICATIONS: [(&str, Environment, Option<Interval>); 6] = [
    ("daily", Environment::Production, Some(Hours(24))),
    ("twice", Environment::Production, Some(Hours(12))),
    ("thrice", Environment::Production, Some(Hours(8))),
    ("demo", Environment::Sandbox, Some(Minutes(720))),
    ("off", Environment::Sandbox, None),
    ("development", Environment::Development, None),
];

#[rustfmt::skip]
const KINDS: &[Kind] = &[
    // Good logins, whatever they bring.
    kind("user-ok", 69, DAILY),
    kind("user-ok-two-checking-accounts", 6, DAILY),
    kind("user-ok-account-error", 6, DAILY),
    kind("user-ok-account-warning", 6, DAILY),
    kind("user-ok-perf", 1, DAILY),
    of("twice", through("0", "user-ok", kind("every 12 hours", 3, (57, 60, "SCHEDULED")))),
    of("thrice", through("0", "user-ok", kind("every 8 hours", 2, (84, 90, "SCHEDULED")))),
    of("demo", through("0", "user-ok", kind("every 720 minutes", 2, (57, 60, "SCHEDULED")))),
    // Failures of the institution: repeated five times.
    kind("user-logged", 6, RETRIED),
    kind("user-error", 6, RETRIED),
    kind("user-unavailable", 6, RETRIED),
    kind("user-connection-error", 6, RETRIED),
    kind("user-account-need-actions", 6, RETRIED),
    kind("user-account-need-actions-provider-message", 4, RETRIED),
    kind("user-not-supported", 4, RETRIED),
    of("thrice", through("0", "user-unavailable", kind("every 8 hours, unavailable", 2, RETRIED))),
    // A client's run that fails as well does not bring one back.
    doing(&[(DAY.saturating_mul(15), Doing::Update)],
        through("0", "user-unavailable", kind("unavailable, updated in vain", 2, RETRIED))),
    // Refused logins: never.
    kind("user-locked", 6, DROPPED),
    kind("user-account-credentials-reset", 6, DROPPED),
    kind("user-unknown", 6, DROPPED),
    // Until the client sends what works: 24 days are left.
    doing(&[(DAY.saturating_mul(6), Doing::Correct)],
        through("0", "user-ok wrongly", kind("a wrong password, corrected", 3, (23, 24, "SCHEDULED")))),
    // Turned off after five days; by those whose client updates them after twelve, turned on again.
    doing(&[(DAY.saturating_mul(5), Doing::Disable)],
        through("0", "user-ok", kind("turned off", 4, (4, 4, "DISABLED")))),
    doing(&[(DAY.saturating_mul(5), Doing::Disable), (DAY.saturating_mul(12), Doing::Update)],
        through("0", "user-ok", kind("turned off and on", 4, (21, 22, "SCHEDULED")))),
    // A client's run moves the schedule.
    doing(&[(HOUR.saturating_mul(7 * 24 + 5), Doing::Update)],
        through("0", "user-ok", kind("updated in between", 4, (28, 29, "SCHEDULED")))),
    // Codes for every run: never, also where the code is right.
    through("1", "user-ok", kind("one-step MFA", 5, NONE)),
    through("3", "user-ok", kind("two-step MFA, never answered", 5, NONE)),
    // No automatic runs for these applications.
    of("off", through("0", "user-ok", kind("off", 3, NONE))),
    of("development", through("0", "user-ok", kind("development", 3, NONE))),
    // A bank that is closed on the tenth day for three and a half hours, and from the fifteenth on for two days.
    through("7000", "x", kind("closed for a while", 3, (18, 24, "DROPPED"))),
    doing(&[(HOUR.saturating_mul(15 * 24 + 36), Doing::Update), (DAY.saturating_mul(20), Doing::Update)],
        through("7000", "x", kind("closed, and updated once it is open", 3, (27, 34, "SCHEDULED")))),
    // A consent of twenty days.
    through("7001", "x", kind("a consent that ends", 4, (18, 19, "DROPPED"))),
    // A device that the institution trusts.
    through("7002", "x", kind("a trusted device", 4, DAILY)),
];

/// When the scripted bank is closed.
const CLOSED: [(Duration, Duration); 2] = [
    (
        DAY.saturating_mul(10),
        Duration::from_mins(10 * 24 * 60 + 210),
    ),
    (DAY.saturating_mul(15), DAY.saturating_mul(17)),
];

/// What clients are promised of one Item, kept up from what is seen of it.
struct Expected {
    interval: Option<Duration>,
    available: bool,
    consent_ends: Option<Timestamp>,
    failed: bool,
    retries: u32,
    dropped: bool,
    disabled: bool,
    last_success: Option<Timestamp>,
    last_end: Option<Timestamp>,
    /// Automatic runs so far.
    runs: usize,
}

impl Expected {
    /// When the next automatic run comes: not before the first, nor after the second.
    fn next(&self) -> Option<(Timestamp, Timestamp)> {
        let interval = self.interval.filter(|_| self.available)?;
        if self.dropped || self.disabled {
            return None;
        }
        let (next, waited) = if self.failed {
            (self.last_end?.plus(HOUR), HOUR)
        } else {
            (self.last_success?.plus(interval), interval)
        };
        if self.consent_ends.is_some_and(|ends| next >= ends) {
            return None;
        }
        Some((next, next.plus((waited / 10).min(MINUTE * 30))))
    }

    /// A run has ended.
    fn ended(&mut self, run: &execution::Model, ended: Timestamp) {
        let automatic = run.triggered_by == TriggeredBy::Sync;
        self.last_end = Some(ended);
        match run.status {
            S::Success | S::PartialSuccess => {
                (self.failed, self.retries) = (false, 0);
                self.last_success = Some(ended);
                if !automatic {
                    (self.dropped, self.disabled) = (false, false);
                }
            }
            S::InvalidCredentials | S::AccountLocked | S::AccountCredentialsReset => {
                self.failed = true;
                self.dropped = true;
            }
            _ => {
                if automatic && self.failed {
                    self.retries += 1;
                }
                self.failed = true;
                self.dropped |= self.retries == 5;
            }
        }
    }
}

struct Month {
    test: TestApp,
    principals: BTreeMap<&'static str, Principal>,
    items: BTreeMap<Uuid, (&'static Kind, Expected)>,
    upkeep: Upkeep,
    seen: Timestamp,
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_month_every_run_happens_when_and_only_when_it_is_due() {
    // Each in a task of its own, so that they share no core.
    let months = [Engine::Sqlite, Engine::Postgres].map(|engine| tokio::spawn(month(engine)));
    for month in months {
        month.await.expect("a month");
    }
}

async fn month(engine: Engine) {
    let (closing, bank) = scripted_as(|_| {});
    let (consent, _) = scripted_as(|form| {
        form.id = 7001;
        form.consent_lasts = Some(DAY * 20);
    });
    let (trusting, _) = scripted_as(|form| {
        form.id = 7002;
        (form.has_mfa, form.trusts_device) = (true, true);
    });
    let builtin = Registry::builtin();
    let all = builtin.list().cloned().chain([closing, consent, trusting]);
    // What nobody touches in this month is to be there at its end.
    let flags = ["--sync-concurrency", "32", "--sandbox-item-days", "60"];
    let test = TestApp::start_over(engine, &flags, Registry::new(all)).await;
    let mut month = Month::begin(test).await;
    let end = START.plus(DAY * DAYS);
    while month.test.app.clock.now() < end {
        let now = month.test.app.clock.now();
        let day = now.since(START);
        let closed = CLOSED.iter().any(|(from, to)| (*from..*to).contains(&day));
        bank.lock().expect("a bank").failing = closed.then_some(Product::Accounts);
        month.do_deeds(now).await;
        month.run().await;
        month.move_on(end).await;
    }
    month.look_at_everything().await;
    let runs: usize = month
        .items
        .values()
        .map(|(_, expected)| expected.runs)
        .sum();
    println!(
        "{engine:?}: {} Items, {runs} automatic runs",
        month.items.len()
    );
    for (id, (kind, expected)) in &month.items {
        let (least, most, _) = kind.runs;
        assert!(
            (least..=most).contains(&expected.runs),
            "{id} ({}): {} runs instead of {least} to {most}",
            kind.name,
            expected.runs
        );
    }
    month.notices().await;
}

impl Month {
    async fn begin(test: TestApp) -> Self {
        let mut principals = BTreeMap::new();
        for (name, environment, interval) in APPLICATIONS {
            let created = operator(&test.app)
                .create(name, environment, interval)
                .await
                .expect("an application");
            principals.insert(name, api_key(&test.app, created.id).await);
        }
        let mut month = Self {
            test,
            principals,
            items: BTreeMap::new(),
            upkeep: Upkeep::default(),
            seen: START,
        };
        let times = if scale() >= 10 { 5 } else { 1 };
        for kind in KINDS {
            for number in 0..kind.share * times {
                let id = month.connect(kind, number).await;
                let interval = APPLICATIONS
                    .iter()
                    .find(|(name, ..)| *name == kind.application)
                    .and_then(|(_, _, interval)| *interval)
                    .map(|interval| match interval {
                        Hours(hours) => HOUR * hours.unsigned_abs(),
                        Minutes(minutes) => MINUTE * minutes.unsigned_abs(),
                    });
                let consent_ends = (kind.connector == "7001").then(|| START.plus(DAY * 20));
                let expected = Expected {
                    interval,
                    available: !["1", "3"].contains(&kind.connector),
                    consent_ends,
                    failed: false,
                    retries: 0,
                    dropped: false,
                    disabled: false,
                    last_success: None,
                    last_end: None,
                    runs: 0,
                };
                month.items.insert(id, (kind, expected));
            }
        }
        assert_eq!(month.items.len(), 200 * times, "the shares add up");
        month
    }

    async fn connect(&self, kind: &Kind, number: usize) -> Uuid {
        let (user, password) = match kind.user.strip_suffix(" wrongly") {
            Some(user) => (user, "wrong"),
            None => (kind.user, "password-ok"),
        };
        let parameters = match kind.connector {
            "0" | "3" => {
                json!([{ "name": "user", "value": user }, { "name": "password", "value": password }])
            }
            "1" => {
                json!([{ "name": "user", "value": user }, { "name": "password", "value": password },
                { "name": "token", "value": "123456" }])
            }
            _ => json!([{ "name": "user", "value": user }]),
        };
        let scripted = kind.connector.starts_with("70");
        // Few with everything: the schedule does not depend on it, how long the month takes does.
        let products = match number {
            _ if scripted => json!(["ACCOUNTS"]),
            0..2 => Value::Null,
            _ if kind.user == "user-ok-account-error" => json!(["ACCOUNTS", "CREDIT_CARDS"]),
            _ => json!(["ACCOUNTS"]),
        };
        let input = json!({ "connectorId": kind.connector, "parameters": parameters, "products": products });
        let document =
            "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        let data = self.ask(kind, document, json!({ "input": input })).await;
        crate::support::id_at(&data, "/createItem/item/id")
    }

    async fn ask(&self, kind: &Kind, document: &str, variables: Value) -> Value {
        let principal = self.principals[kind.application].clone();
        let response = self
            .test
            .query_as(Some(principal), document, variables)
            .await;
        assert_eq!(response.get("errors"), None, "{}: {response}", kind.name);
        response["data"].clone()
    }

    /// Does what is to be done about Items at this step.
    async fn do_deeds(&mut self, now: Timestamp) {
        const UPDATE: &str =
            "mutation($input: UpdateItemInput!) { updateItem(input: $input) { item { id } } }";
        let mut disabled = Vec::new();
        for (id, (kind, _)) in &self.items {
            let due = |deed: &&Deed| START.plus(deed.0) == now;
            for (_, doing) in kind.deeds.iter().filter(due) {
                let input = match doing {
                    Doing::Disable => {
                        let document = "mutation($id: ID!) { disableItemAutoSync(input: { itemId: $id }) { item { nextAutoSyncAt } } }";
                        let data = self.ask(kind, document, json!({ "id": id })).await;
                        assert_eq!(
                            data["disableItemAutoSync"]["item"]["nextAutoSyncAt"],
                            Value::Null
                        );
                        disabled.push(*id);
                        continue;
                    }
                    Doing::Update => json!({ "itemId": id }),
                    Doing::Correct => {
                        json!({ "itemId": id, "parameters": [{ "name": "password", "value": "password-ok" }] })
                    }
                };
                self.ask(kind, UPDATE, json!({ "input": input })).await;
            }
        }
        for id in disabled {
            if let Some((_, expected)) = self.items.get_mut(&id) {
                expected.disabled = true;
            }
        }
    }

    /// Runs what is due, and holds every run against what is expected.
    async fn run(&mut self) {
        let app = self.test.app.clone();
        while sync::run_once(&app).await.expect("the sync worker") > 0 {}
        let now = app.clock.now();
        let runs = execution::Entity::find()
            .filter(execution::Column::EndedAt.gte(self.seen.0))
            .order_by_asc(execution::Column::EndedAt)
            .order_by_asc(execution::Column::Id)
            .all(app.db.read())
            .await
            .expect("the runs");
        self.seen = now.plus(Duration::from_millis(1));
        for run in runs {
            let (kind, expected) = self.items.get_mut(&run.item_id).expect("an Item");
            let started = run.started_at.expect("it was started");
            if run.triggered_by == TriggeredBy::Sync {
                expected.runs += 1;
                let Some((from, to)) = expected.next() else {
                    panic!(
                        "{} ({}) ran at {started}, when it was not to",
                        run.item_id, kind.name
                    );
                };
                assert!(
                    started >= from && started <= to.plus(STEP),
                    "{} ({}) ran at {started}, and not from {from} to {to}",
                    run.item_id,
                    kind.name
                );
            }
            expected.ended(&run, run.ended_at.expect("it has ended"));
        }
        for (id, (kind, expected)) in &self.items {
            if let Some((_, to)) = expected.next() {
                assert!(
                    now <= to.plus(STEP),
                    "{id} ({}) has not run by {to}",
                    kind.name
                );
            }
        }
    }

    /// Goes to the next step at which anything is due, and at each midday looks at what clients see.
    async fn move_on(&mut self, end: Timestamp) {
        let app = self.test.app.clone();
        let now = app.clock.now();
        let due: Option<i64> = item::Entity::find()
            .select_only()
            .column_as(item::Column::AutoSyncDueAt.min(), "due")
            .into_tuple::<Option<i64>>()
            .one(app.db.read())
            .await
            .expect("the earliest")
            .flatten();
        // An unanswered question runs out.
        let waiting: Option<i64> = execution::Entity::find()
            .filter(execution::Column::EndedAt.is_null())
            .select_only()
            .column_as(execution::Column::DueAt.min(), "due")
            .into_tuple::<Option<i64>>()
            .one(app.db.read())
            .await
            .expect("the earliest")
            .flatten();
        let midday = START
            .plus(DAY * u32::try_from(now.since(START).as_secs() / 86_400 + 1).expect("a day"));
        let deeds = self.items.values().flat_map(|(kind, _)| kind.deeds);
        let deeds = deeds
            .map(|(after, _)| START.plus(*after))
            .filter(|at| *at > now);
        let closing = CLOSED.iter().flat_map(|(from, to)| [*from, *to]);
        let closing = closing
            .map(|after| START.plus(after))
            .filter(|at| *at > now);
        let fixed = deeds
            .chain(closing)
            .chain([midday, end])
            .min()
            .expect("an end");
        let next = due.into_iter().chain(waiting).map(Timestamp).min();
        let step = |at: Timestamp| {
            let steps = at.since(START).as_millis().div_ceil(STEP.as_millis());
            START
                .plus(STEP * u32::try_from(steps).expect("few steps"))
                .max(now.plus(STEP))
        };
        let next = next.map_or(fixed, |next| step(next).min(fixed));
        if next == midday {
            self.look_at_everything().await;
            self.upkeep.run_once(&app).await.expect("upkeep");
            while event::relay::run_once(&app).await.expect("the relay") > 0 {}
            while items::purge::run_once(&app).await.expect("the purge") > 0 {}
        }
        app.clock.advance(next.since(now));
    }

    /// What clients see of every Item is what is expected of it.
    async fn look_at_everything(&self) {
        const LIST: &str = "query($after: String) { items(first: 200, after: $after) { nodes { id lastUpdatedAt nextAutoSyncAt \
            autoSync { state reason intervalHours intervalMinutes nextAt failedAttempts disabledAt } } pageInfo { hasNextPage endCursor } } }";
        let mut seen = 0;
        for (name, principal) in &self.principals {
            let mut after = Value::Null;
            loop {
                let response = self
                    .test
                    .query_as(Some(principal.clone()), LIST, json!({ "after": after }))
                    .await;
                let page = &response["data"]["items"];
                for shown in page["nodes"].as_array().expect("a list") {
                    seen += 1;
                    let id: Uuid = shown["id"]
                        .as_str()
                        .and_then(|id| id.parse().ok())
                        .expect("an id");
                    let (kind, expected) = &self.items[&id];
                    let next = expected.next().map(|(from, _)| from.to_string());
                    assert_eq!(
                        shown["nextAutoSyncAt"],
                        json!(next),
                        "{} of {name}: {shown}",
                        kind.name
                    );
                    let sync = &shown["autoSync"];
                    assert_eq!(sync["nextAt"], shown["nextAutoSyncAt"]);
                    assert_eq!(
                        sync["failedAttempts"],
                        json!(expected.retries),
                        "{}: {shown}",
                        kind.name
                    );
                    assert_eq!(
                        sync["disabledAt"].is_null(),
                        !expected.disabled,
                        "{}: {shown}",
                        kind.name
                    );
                    let state = match (
                        expected.interval.filter(|_| expected.available),
                        expected.next(),
                    ) {
                        (None, _) => "NOT_AVAILABLE",
                        (Some(_), None) if expected.disabled => "DISABLED",
                        (Some(_), None) => "DROPPED",
                        (Some(_), Some(_)) if expected.failed => "RETRYING",
                        (Some(_), Some(_)) => "SCHEDULED",
                    };
                    assert_eq!(sync["state"], state, "{}: {shown}", kind.name);
                    let now = self.test.app.clock.now();
                    // What is due says that its turn is to come.
                    let waits = expected.next().is_some_and(|(next, _)| next <= now);
                    assert!(
                        sync["reason"].is_null() == (state == "SCHEDULED") || waits,
                        "{shown}"
                    );
                    let minutes = expected.interval.map(|interval| interval.as_secs() / 60);
                    assert_eq!(sync["intervalMinutes"], json!(minutes));
                    if self.test.app.clock.now() >= START.plus(DAY * DAYS) {
                        assert_eq!(state, kind.runs.2, "{} at the end", kind.name);
                    }
                }
                if page["pageInfo"]["hasNextPage"] != true {
                    break;
                }
                after = page["pageInfo"]["endCursor"].clone();
            }
        }
        assert_eq!(seen, self.items.len());
    }

    /// Clients have heard of every consent that ends, once each time.
    async fn notices(&self) {
        let ending = self
            .items
            .iter()
            .filter(|(_, (kind, _))| kind.connector == "7001");
        for (id, (kind, _)) in ending {
            let document = "query($id: ID!) { events(first: 200, filter: { itemId: $id, types: [ITEM_CONSENT_EXPIRING, ITEM_CONSENT_EXPIRED] }) \
                { nodes { name payload } } }";
            let data = self.ask(kind, document, json!({ "id": id })).await;
            let told: Vec<_> = data["events"]["nodes"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|event| {
                    (
                        event["name"].clone(),
                        event["payload"]["data"]["daysLeft"].clone(),
                    )
                })
                .collect();
            let expiring = |days: u32| (json!("item/consent_expiring"), json!(days));
            assert_eq!(
                told,
                [
                    expiring(7),
                    expiring(1),
                    (json!("item/consent_expired"), json!(0))
                ]
            );
        }
    }
}
