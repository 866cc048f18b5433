//! Automatic runs: when they come, what turns them on and off, who goes first, what connectors are spared.

mod month;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use entity::{execution, item, kind::TriggeredBy};
use ponte::{
    auth::application::Interval,
    clock::Timestamp,
    db::Engine,
    item::upkeep::Upkeep,
    sync::{self, Turn},
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{START, TestApp, api_key, on_both_engines, operator};

const OK: [(&str, &str); 2] = [("user", "user-ok"), ("password", "password-ok")];
const HOUR: Duration = Duration::from_hours(1);

impl TestApp {
    /// Gives the application automatic runs, or takes them away, and lets the schedule follow.
    pub async fn every(&self, interval: Option<Interval>) {
        operator(&self.app)
            .set_auto_sync(self.owner.id, interval)
            .await
            .expect("an interval");
        self.keep_up().await;
    }

    async fn keep_up(&self) {
        let mut upkeep = Upkeep::default();
        while upkeep.run_once(&self.app).await.expect("upkeep") > 0 {}
    }

    async fn auto_sync(&self, id: Uuid) -> Value {
        let document = "query($id: ID!) { item(id: $id) { nextAutoSyncAt autoSync { state reason nextAt intervalHours intervalMinutes \
            failedAttempts disabledAt } } }";
        self.data(document, json!({ "id": id })).await["item"].clone()
    }

    async fn row(&self, id: Uuid) -> item::Model {
        item::Entity::find_by_id(id)
            .one(self.app.db.read())
            .await
            .expect("a database")
            .expect("an Item")
    }

    async fn disable(&self, id: Uuid) -> Value {
        let document = "mutation($id: ID!) { disableItemAutoSync(input: { itemId: $id }) { item { autoSync { state } } } }";
        self.data(document, json!({ "id": id })).await["disableItemAutoSync"]["item"].clone()
    }

    /// So many Items of an application that have been updated, with nothing but accounts.
    async fn crowd(&self, count: usize) -> Vec<Uuid> {
        let ids = self.requested(count).await;
        self.settle().await;
        ids
    }

    /// The same, before a worker has begun.
    async fn requested(&self, count: usize) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for _ in 0..count {
            let input = json!({ "connectorId": "0", "products": ["ACCOUNTS"], "parameters": [
                { "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" }] });
            let document =
                "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
            let data = self.data(document, json!({ "input": input })).await;
            ids.push(crate::support::id_at(&data, "/createItem/item/id"));
        }
        ids
    }

    /// Executions that a worker would hold now, by whose they are and who caused them.
    async fn claim(&self, free: usize, slots: usize) -> BTreeMap<(Uuid, TriggeredBy), usize> {
        let claimed = sync::claim(&self.app, &mut Turn::default(), free, slots)
            .await
            .expect("a claim");
        let mut counts = BTreeMap::new();
        for execution in claimed.executions {
            *counts
                .entry((execution.application_id, execution.triggered_by))
                .or_default() += 1;
        }
        counts
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_interval_moves_the_schedule_of_every_item() {
    on_both_engines(|test| async move {
        let id = test.connected().await;
        let none = test.auto_sync(id).await;
        assert_eq!(none["autoSync"]["state"], "NOT_AVAILABLE");
        assert_eq!(none["autoSync"]["reason"], "automatic runs are off for this application");
        assert_eq!(none["nextAutoSyncAt"], Value::Null);

        for hours in [24, 8] {
            test.every(Some(Interval::Hours(hours))).await;
            let next = START.plus(HOUR * hours.unsigned_abs());
            let shown = test.auto_sync(id).await;
            assert_eq!(
                shown,
                json!({ "nextAutoSyncAt": next.to_string(), "autoSync": { "state": "SCHEDULED", "reason": null, "nextAt": next.to_string(),
                    "intervalHours": hours, "intervalMinutes": hours * 60, "failedAttempts": 0, "disabledAt": null } })
            );
            let due = test.row(id).await.auto_sync_due_at.expect("a time");
            assert!(due >= next && due <= next.plus(Duration::from_mins(30)), "{due}");
        }
        test.every(Some(Interval::Minutes(45))).await;
        let shown = test.auto_sync(id).await;
        assert_eq!(shown["autoSync"]["intervalHours"], Value::Null);
        assert_eq!(shown["autoSync"]["intervalMinutes"], 45);
        test.every(None).await;
        assert_eq!(test.auto_sync(id).await["autoSync"]["state"], "NOT_AVAILABLE");
        assert_eq!(test.row(id).await.auto_sync_due_at, None);

        // An application that says so by itself, once every node has heard of it.
        let changed = async || operator(&test.app).list().await.expect("a list")[0].auto_sync_changed_at;
        assert!(changed().await.is_some());
        test.advance(Duration::from_secs(10));
        test.keep_up().await;
        assert_eq!(changed().await, None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_may_not_have_is_refused() {
    on_both_engines(|test| async move {
        use entity::kind::Environment::{Development, Production, Sandbox};

        for (environment, interval, allowed) in [
            (Production, Interval::Hours(24), true),
            (Production, Interval::Hours(6), false),
            (Production, Interval::Minutes(10), false),
            (Sandbox, Interval::Minutes(10), true),
            (Sandbox, Interval::Minutes(0), false),
            (Sandbox, Interval::Minutes(1441), false),
            (Development, Interval::Hours(24), false),
        ] {
            let made = operator(&test.app)
                .create("One", environment, Some(interval))
                .await;
            assert_eq!(made.is_ok(), allowed, "{environment} {interval:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn turning_it_off_during_a_run_outlasts_that_run() {
    on_both_engines(|test| async move {
        test.every(Some(Interval::Hours(24))).await;
        let id = test.connected().await;
        assert_eq!(test.update(id, &[]).await.get("errors"), None);
        assert_eq!(test.auto_sync(id).await["autoSync"]["state"], "RUNNING");
        assert_eq!(
            test.disable(id).await,
            json!({ "autoSync": { "state": "DISABLED" } })
        );
        test.settle().await;
        assert_eq!(test.auto_sync(id).await["autoSync"]["state"], "DISABLED");
        // A run that fails does not turn it on, one that succeeds does.
        test.updated(id, &[("user", "user-unavailable")]).await;
        assert_eq!(test.auto_sync(id).await["autoSync"]["state"], "DISABLED");
        test.updated(id, &[("user", "user-ok")]).await;
        assert_eq!(test.auto_sync(id).await["autoSync"]["state"], "SCHEDULED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_automatic_run_is_told_like_any_other() {
    on_both_engines(|test| async move {
        test.every(Some(Interval::Hours(8))).await;
        let id = test.connected().await;
        let before = test.events(id).await.len();
        test.advance(HOUR * 9);
        test.settle().await;
        let told = test.events(id).await.split_off(before);
        assert_eq!(told.first().map(String::as_str), Some("-> CREATED"));
        assert!(told.contains(&"item/login_succeeded".to_owned()));
        assert_eq!(told.last().map(String::as_str), Some("item/updated"));
        let data = test
            .data("query($id: ID!) { events(first: 200, filter: { itemId: $id, types: [ITEM_UPDATED] }) { nodes { triggeredBy } } }", json!({ "id": id }))
            .await;
        assert_eq!(data["events"]["nodes"], json!([{ "triggeredBy": "SYNC" }]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_run_takes_the_place_of_a_scheduled_one() {
    on_both_engines(|test| async move {
        test.every(Some(Interval::Hours(8))).await;
        let id = test.connected().await;
        test.advance(HOUR * 9);
        // Due, but the client comes first.
        assert_eq!(test.update(id, &[]).await.get("errors"), None);
        test.settle().await;
        let runs = execution::Entity::find()
            .filter(execution::Column::ItemId.eq(id))
            .all(test.app.db.read())
            .await
            .expect("runs");
        assert!(
            runs.iter()
                .all(|run| run.triggered_by == TriggeredBy::Client)
        );
        assert_eq!(runs.len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_ask_go_first_and_find_room() {
    on_both_engines(|test| async move {
        test.every(Some(Interval::Hours(8))).await;
        test.crowd(12).await;
        test.advance(HOUR * 9);
        let owner = test.owner.id;
        let scheduled = |count| BTreeMap::from([((owner, TriggeredBy::Sync), count)]);
        // A quarter of the node is left alone.
        assert_eq!(test.claim(8, 8).await, scheduled(6));
        assert_eq!(test.claim(2, 8).await, BTreeMap::new());
        for _ in 0..2 {
            test.connect("0", &OK).await;
        }
        let asked = BTreeMap::from([((owner, TriggeredBy::Client), 2)]);
        assert_eq!(test.claim(2, 8).await, asked);
        // What is asked for goes before what has waited longer.
        test.connect("0", &OK).await;
        let both = BTreeMap::from([
            ((owner, TriggeredBy::Client), 1),
            ((owner, TriggeredBy::Sync), 5),
        ]);
        assert_eq!(test.claim(8, 8).await, both);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_with_much_to_do_does_not_hold_up_another() {
    on_both_engines(|mut test| async move {
        test.every(Some(Interval::Hours(8))).await;
        test.crowd(30).await;
        let other = operator(&test.app)
            .create(
                "Other",
                entity::kind::Environment::Production,
                Some(Interval::Hours(8)),
            )
            .await
            .expect("an application");
        let first = test.owner.id;
        test.principal = api_key(&test.app, other.id).await;
        // Theirs are due later by hours.
        test.advance(HOUR * 2);
        test.crowd(4).await;
        test.advance(HOUR * 9);
        let claimed = test.claim(9, 9).await;
        let of = |application| claimed.get(&(application, TriggeredBy::Sync)).copied();
        assert_eq!(
            (of(first), of(other.id)),
            (Some(4), Some(3)),
            "taking turns"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_is_never_asked_to_bear_more_than_its_limit() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test = TestApp::start_with(
            engine,
            &["--connector-limits", "0=5/40", "--lease-seconds", "3600"],
        )
        .await;
        test.every(Some(Interval::Hours(8))).await;
        // Their first runs are limited as well.
        test.requested(30).await;
        test.run_by_the_clock().await;
        test.advance(HOUR * 9);
        let held: usize = test.claim(16, 16).await.values().sum();
        assert!(held <= 5, "{held} start at once");
        for _ in 0..40 {
            test.advance(Duration::from_millis(500));
            test.claim(16, 16).await;
        }
        let running = execution::Entity::find()
            .filter(execution::Column::LeaseUntil.gt(test.app.clock.now().0))
            .all(test.app.db.read())
            .await
            .expect("runs");
        assert_eq!(running.len(), 5, "and no more than so many run");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_lost_goes_before_all_that_have_waited_longer() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test = TestApp::start_with(engine, &["--connector-limits", "0=2"]).await;
        for _ in 0..2 {
            test.connect("0", &OK).await;
        }
        let held = async || {
            let claimed = sync::claim(&test.app, &mut Turn::default(), 8, 8).await;
            let executions = claimed.expect("a claim").executions;
            let ids: BTreeSet<Uuid> = executions.iter().map(|one| one.item_id).collect();
            ids
        };
        let lost = held().await;
        assert_eq!(lost.len(), 2);
        for _ in 0..6 {
            test.connect("0", &OK).await;
        }
        test.advance(test.app.config.lease);
        assert_eq!(held().await, lost);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_at_once_is_spread() {
    on_both_engines(|test| async move {
        test.every(Some(Interval::Hours(24))).await;
        test.crowd(100).await;
        let due: Vec<Timestamp> = item::Entity::find()
            .select_only()
            .column(item::Column::AutoSyncDueAt)
            .into_tuple()
            .all(test.app.db.read())
            .await
            .expect("times");
        let next = START.plus(HOUR * 24);
        let minute = |number: u32| next.plus(Duration::from_mins(1) * number);
        assert!(due.iter().all(|due| (next..=minute(30)).contains(due)));
        for part in 0..3 {
            let (from, to) = (minute(part * 10), minute(part * 10 + 10));
            let there = due.iter().filter(|due| (from..to).contains(due)).count();
            assert!(
                (15..60).contains(&there),
                "{there} of 100 in a third of the window"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sandbox_items_that_nobody_touches_are_deleted_and_old_runs_forgotten() {
    on_both_engines(|test| async move {
        let left = test.connected().await;
        let kept = test.connected().await;
        let day = Duration::from_hours(24);
        test.advance(day * 29);
        test.updated(kept, &[]).await;
        test.advance(day);
        test.keep_up().await;
        test.settle().await;
        assert_eq!(test.item(left).await, Value::Null);
        assert_eq!(test.item(kept).await["status"], "UPDATED");
        let data = test
            .data("query($id: ID!) { events(first: 200, filter: { itemId: $id, types: [ITEM_DELETED] }) { nodes { name } } }", json!({ "id": left }))
            .await;
        assert_eq!(data["events"]["nodes"], json!([{ "name": "item/deleted" }]));

        let runs = async || {
            execution::Entity::find()
                .filter(execution::Column::ItemId.eq(kept))
                .all(test.app.db.read())
                .await
                .expect("runs")
                .len()
        };
        assert_eq!(runs().await, 2);
        test.advance(day * 25);
        test.updated(kept, &[]).await;
        test.advance(day * 20);
        test.updated(kept, &[]).await;
        test.advance(day * 16);
        test.keep_up().await;
        // Those of the first day are more than ninety days old.
        assert_eq!(runs().await, 3);
    })
    .await;
}
