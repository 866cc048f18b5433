//! Connectors that come to an end, and Items of connectors that a node does not have.

use std::time::Duration;

use ponte::{
    connector::Registry,
    db::{self, Engine},
    doctor::{self, Verdict},
    item::{retirement, upkeep::Upkeep},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, code_of, id_at, on_both_engines, scripted::scripted};

const DAY: Duration = Duration::from_hours(24);

async fn keep_up(test: &TestApp) {
    let app = &test.app;
    app.retirements.refresh(&app.db).await.expect("notices");
    let mut upkeep = Upkeep::default();
    while upkeep.run_once(app).await.expect("upkeep") > 0 {}
    test.settle().await;
}

/// What the application was told of connectors.
async fn told(test: &TestApp) -> Vec<Value> {
    test.settle().await;
    let document = "{ events(first: 200, filter: { types: [CONNECTOR_STATUS_UPDATED] }) { nodes { payload } } }";
    let data = test.data(document, json!({})).await;
    let nodes = data["events"]["nodes"].as_array().cloned();
    let bodies = nodes.unwrap_or_default().into_iter();
    bodies
        .map(|node| json!([node["payload"]["connectorId"], node["payload"]["data"]]))
        .collect()
}

async fn there(test: &TestApp, id: Uuid) -> bool {
    let data = test
        .data(
            "query($id: ID!) { item(id: $id) { id } }",
            json!({ "id": id }),
        )
        .await;
    data["item"] != Value::Null
}

async fn retires_at(test: &TestApp) -> Value {
    let data = test
        .data("{ connector(id: \"2\") { retiresAt } }", json!({}))
        .await;
    data["connector"]["retiresAt"].clone()
}

const PASSWORD: [(&str, &str); 2] = [("user", "user-ok"), ("password", "password-ok")];

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_connector_that_ends_are_deleted_thirty_days_after_its_notice() {
    on_both_engines(|test| async move {
        // Made-up banks' Items would otherwise go because nobody touches them.
        let (one, two) = (test.connect("2", &PASSWORD).await, test.connect("2", &PASSWORD).await);
        let other = test.connect("0", &PASSWORD).await;
        let keyed = "mutation { createItem(input: { connectorId: \"2\", idempotencyKey: \"once\", parameters: [{ name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { item { id } } }";
        let made = test.data(keyed, json!({})).await;
        let third = id_at(&made, "/createItem/item/id");
        test.settle().await;
        assert_eq!(retires_at(&test).await, Value::Null);

        let listed = retirement::retire(&test.app, 2).await.expect("a notice");
        let end = "2026-04-15T12:00:00.000Z";
        assert_eq!((listed.items, listed.retires_at.as_deref()), (3, Some(end)));
        assert_eq!(retires_at(&test).await, end);
        assert_eq!(told(&test).await, [json!([2, { "status": "ONLINE", "retiresAt": end }])]);
        let again = retirement::retire(&test.app, 2).await.expect("it stands");
        assert_eq!(again.retires_at.as_deref(), Some(end));
        assert_eq!(told(&test).await.len(), 1, "told once");

        let create = "mutation { createItem(input: { connectorId: \"2\", parameters: [{ name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { item { id } } }";
        assert_eq!(test.code(create, json!({})).await, "CONNECTOR_RETIRED");
        // The answer to a call of before still comes.
        assert_eq!(test.data(keyed, json!({})).await, made);
        let log = test.data("{ auditLog(first: 1) { nodes { action actor detail } } }", json!({})).await;
        assert_eq!(log["auditLog"]["nodes"][0], json!({ "action": "CONNECTOR_RETIRED", "actor": "OPERATOR", "detail": { "connectorId": 2 } }));
        test.advance(29 * DAY);
        for item in [one, two, third, other] {
            test.updated(item, &[]).await;
        }
        keep_up(&test).await;
        assert!(there(&test, one).await && there(&test, two).await);

        test.advance(DAY);
        let late = retirement::keep(&test.app, 2).await;
        assert_eq!(late.map_err(|error| error.code()).err(), Some("INVALID_INPUT"));
        keep_up(&test).await;
        for item in [one, two, third] {
            assert!(!there(&test, item).await);
        }
        assert!(there(&test, other).await, "another connector's stays");
        for item in [one, two] {
            assert_eq!(test.events(item).await.last().map(String::as_str), Some("item/deleted"));
        }
        retirement::keep(&test.app, 2).await.expect("it is open again");
        assert_eq!(retires_at(&test).await, Value::Null);
        assert_eq!(retirement::retire(&test.app, 4711).await.map_err(|error| error.code()).err(), Some("NOT_FOUND"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_can_be_taken_back_until_the_last_day() {
    on_both_engines(|test| async move {
        let item = test.connect("2", &PASSWORD).await;
        test.settle().await;
        retirement::retire(&test.app, 2).await.expect("a notice");
        test.advance(29 * DAY + Duration::from_hours(23));
        test.updated(item, &[]).await;
        // What another node has not heard of yet must not delete anything.
        let late = test.another(&[]).await;
        retirement::keep(&test.app, 2).await.expect("it is kept");
        test.advance(Duration::from_hours(1));
        assert_eq!(Upkeep::default().run_once(&late).await.expect("upkeep"), 0);
        keep_up(&test).await;
        assert!(there(&test, item).await);
        assert_eq!(retires_at(&test).await, Value::Null);
        let told = told(&test).await;
        assert_eq!(
            told.last(),
            Some(&json!([2, { "status": "ONLINE", "retiresAt": null }]))
        );
        test.connect("2", &PASSWORD).await;
        let none = retirement::keep(&test.app, 2).await;
        assert_eq!(none.map_err(|error| error.code()).err(), Some("NOT_FOUND"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_connector_that_a_node_does_not_have_are_shown_and_do_not_run() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let (connectors, _bank) = scripted();
        let test = TestApp::start_over(engine, &[], connectors).await;
        let item = test.connect("7000", &[("user", "ana")]).await;
        test.settle().await;
        let other = test.another(&[]).await;
        let ask = |document: &'static str| test.query_at(&other, document, json!({ "id": item }));
        let shown = ask(
            "query($id: ID!) { item(id: $id) { status connector { id name products health { status } retiresAt } autoSync { state reason } nextAutoSyncAt \
             canUpdate { allowed code } accounts { totalCount } statusDetail { product stale } } items { nodes { connector { id name } } } }",
        )
        .await;
        assert_eq!(shown.get("errors"), None, "{shown}");
        let name = "A connector that this server does not have";
        let found = &shown["data"]["item"];
        assert_eq!(
            found["connector"],
            json!({ "id": "7000", "name": name, "products": [], "health": { "status": "UNKNOWN" }, "retiresAt": null })
        );
        assert_eq!(
            shown["data"]["items"]["nodes"],
            json!([{ "connector": { "id": "7000", "name": name } }])
        );
        assert_eq!(found["autoSync"]["state"], "NOT_AVAILABLE");
        assert_eq!(
            found["canUpdate"],
            json!({ "allowed": false, "code": "CONNECTOR_RETIRED" })
        );
        assert_eq!(found["accounts"]["totalCount"], 1);
        let update = ask("mutation($id: ID!) { updateItem(input: { itemId: $id, parameters: [{ name: \"user\", value: \"eva\" }] }) { item { id } } }").await;
        assert_eq!(code_of(&update), "CONNECTOR_RETIRED");

        let known = db::item::by_connector(&other.db).await.expect("counts");
        let finding = doctor::judge_connectors(&known, &Registry::builtin());
        assert_eq!(
            (finding.check, finding.verdict),
            ("connectors", Verdict::Warn)
        );
        assert!(finding.found.contains("7000 (1 items)"), "{finding}");
        let listed = retirement::list(&other).await.expect("a list");
        let gone = listed
            .iter()
            .find(|one| one.id == 7000)
            .expect("it is listed");
        assert_eq!((gone.name, gone.items), (None, 1));

        retirement::retire(&other, 7000).await.expect("a notice");
        test.advance(30 * DAY);
        while Upkeep::default().run_once(&other).await.expect("upkeep") > 0 {}
        assert!(!there(&test, item).await);
    }
}
