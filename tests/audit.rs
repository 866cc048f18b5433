//! The audit log: every change leaves its entry, with who did it and from where, and nothing that is secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use async_graphql_parser::types::{TypeKind, TypeSystemDefinition};
use entity::{audit_entry, kind::AuditAction};
use ponte::{
    audit::tally,
    auth::{Caller, application::note_for_all, token},
    db::Engine,
    event::retention,
    graphql, item,
};
use sea_orm::{ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    login::{agreed, authorizing, open},
    privacy::{dump, find},
    support::{
        TestApp, api_key, create_application, id_at, on_both_engines, operator, receiver::Receiver,
    },
};

const ENTRY: &str =
    "id at action actor tokenId requestId address targetId item { id } clientUserDigest detail";

/// All entries, oldest first.
async fn entries(test: &TestApp, filter: Value) -> Vec<Value> {
    let document = format!(
        "query($filter: AuditFilter) {{ auditLog(first: 200, filter: $filter) {{ nodes {{ {ENTRY} }} }} }}"
    );
    let data = test.data(&document, json!({ "filter": filter })).await;
    let mut nodes = data["auditLog"]["nodes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    nodes.reverse();
    nodes
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .filter_map(|entry| entry["action"].as_str())
        .collect()
}

/// A mutation of a table: its field, an input in which `$name` stands for an id, and the action that it leaves on which target.
const MUTATIONS: &[(&str, &str, &str, &str)] = &[
    (
        "createConnectToken",
        r#"{ "clientUserId": "PLANTED-USER" }"#,
        "CONNECT_TOKEN_CREATED",
        "",
    ),
    (
        "createItem",
        r#"{ "connectorId": "0", "clientUserId": "PLANTED-USER", "parameters": [{ "name": "user", "value": "user-ok" }, { "name": "password", "value": "PLANTED-PASSWORD" }] }"#,
        "ITEM_CREATED",
        "",
    ),
    (
        "updateItem",
        r#"{ "itemId": "$item", "parameters": [{ "name": "password", "value": "PLANTED-NEW" }], "webhookUrl": null }"#,
        "ITEM_UPDATED",
        "$item",
    ),
    (
        "sendItemMfa",
        r#"{ "itemId": "$waiting", "parameters": [{ "name": "token", "value": "123456" }] }"#,
        "ITEM_MFA_SENT",
        "$waiting",
    ),
    (
        "disableItemAutoSync",
        r#"{ "itemId": "$item" }"#,
        "ITEM_AUTO_SYNC_DISABLED",
        "$item",
    ),
    (
        "createWebhook",
        r#"{ "url": "$url", "headers": [{ "name": "x-key", "value": "PLANTED-HEADER" }] }"#,
        "WEBHOOK_CREATED",
        "",
    ),
    (
        "updateWebhook",
        r#"{ "webhookId": "$webhook", "description": "PLANTED-WORDS" }"#,
        "WEBHOOK_UPDATED",
        "$webhook",
    ),
    (
        "rotateWebhookSecret",
        r#"{ "webhookId": "$webhook" }"#,
        "WEBHOOK_SECRET_ROTATED",
        "$webhook",
    ),
    (
        "sendTestEvent",
        r#"{ "webhookId": "$webhook", "type": "ITEM_CREATED" }"#,
        "TEST_EVENT_SENT",
        "$webhook",
    ),
    (
        "replayWebhook",
        r#"{ "webhookId": "$webhook", "since": "2026-01-01T00:00:00.000Z" }"#,
        "WEBHOOK_REPLAYED",
        "$webhook",
    ),
    (
        "retryDelivery",
        r#"{ "deliveryId": "$delivery" }"#,
        "DELIVERY_RETRIED",
        "$delivery",
    ),
    (
        "updateTransaction",
        r#"{ "transactionId": "$row", "categoryId": "05080000" }"#,
        "TRANSACTION_UPDATED",
        "$row",
    ),
    (
        "createCategoryRule",
        r#"{ "description": "PLANTED-WORDS", "categoryId": "05080000", "clientUserId": "PLANTED-USER" }"#,
        "CATEGORY_RULE_CREATED",
        "",
    ),
    (
        "deleteCategoryRule",
        r#"{ "categoryRuleId": "$rule", "applyToExisting": true }"#,
        "CATEGORY_RULE_DELETED",
        "$rule",
    ),
    (
        "deleteWebhook",
        r#"{ "webhookId": "$webhook" }"#,
        "WEBHOOK_DELETED",
        "$webhook",
    ),
    (
        "fetchAccountBalance",
        r#"{ "accountId": "$regulated" }"#,
        "BALANCE_FETCHED",
        "$regulated",
    ),
    (
        "createSandboxTransaction",
        r#"{ "accountId": "$account", "postedOn": "2026-03-15", "amount": "-1", "description": "PLANTED-TEXT" }"#,
        "SANDBOX_CHANGED",
        "$item",
    ),
    (
        "updateSandboxTransaction",
        r#"{ "transactionId": "$row", "description": "PLANTED-TEXT" }"#,
        "SANDBOX_CHANGED",
        "$item",
    ),
    (
        "deleteSandboxTransaction",
        r#"{ "transactionId": "$row" }"#,
        "SANDBOX_CHANGED",
        "$item",
    ),
    (
        "advanceSandboxClock",
        r#"{ "itemId": "$item", "days": 1 }"#,
        "SANDBOX_CHANGED",
        "$item",
    ),
    (
        "failNextSandboxRun",
        r#"{ "itemId": "$item", "code": "ERROR" }"#,
        "SANDBOX_CHANGED",
        "$item",
    ),
    (
        "warnNextSandboxRun",
        r#"{ "itemId": "$item", "product": "ACCOUNTS", "code": "ACCT_003", "providerMessage": "PLANTED-TEXT" }"#,
        "SANDBOX_CHANGED",
        "$item",
    ),
    (
        "setSandboxConnectorStatus",
        r#"{ "connectorId": "0", "status": "UNSTABLE" }"#,
        "SANDBOX_CHANGED",
        "",
    ),
    (
        "deleteItem",
        r#"{ "itemId": "$item" }"#,
        "ITEM_DELETED",
        "$item",
    ),
    (
        "deleteClientUser",
        r#"{ "clientUserId": "nobody" }"#,
        "CLIENT_USER_DELETED",
        "",
    ),
];

#[test]
fn the_table_names_every_mutation() {
    let schema = async_graphql_parser::parse_schema(graphql::sdl()).expect("the schema");
    let mut fields = BTreeSet::new();
    for definition in schema.definitions {
        if let TypeSystemDefinition::Type(definition) = definition
            && let TypeKind::Object(object) = &definition.node.kind
            && definition.node.name.node == "Mutation"
        {
            let names = object.fields.iter();
            fields.extend(names.map(|field| field.node.name.node.to_string()));
        }
    }
    let mut rows: BTreeSet<String> = MUTATIONS.iter().map(|row| row.0.to_owned()).collect();
    // It has tests of its own below.
    rows.insert("createApiKey".to_owned());
    // It changes nothing.
    rows.insert("validateParameters".to_owned());
    assert_eq!(fields, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mutation_leaves_exactly_its_entry_and_nothing_secret() {
    on_both_engines(|test| async move {
        let receiver = Receiver::start().await;
        let item = test.connected().await;
        let waiting = test.connect("3", &[("user", "user-ok"), ("password", "password-ok")]).await;
        let made = test
            .data(
                "mutation($url: String!) { createWebhook(input: { url: $url }) { webhook { id } } }",
                json!({ "url": receiver.url }),
            )
            .await;
        let webhook = id_at(&made, "/createWebhook/webhook/id");
        test.updated(item, &[]).await;
        let made = test
            .data(
                "query($id: ID!) { webhook(id: $id) { deliveries(first: 1) { nodes { id } } } }",
                json!({ "id": webhook }),
            )
            .await;
        let delivery = id_at(&made, "/webhook/deliveries/nodes/0/id");
        let accounts = test.accounts(item).await;
        let shown = |pointer: &str| id_at(&accounts[0], pointer).to_string();
        let made = test
            .data(
                "mutation { createCategoryRule(input: { description: \"padaria\", categoryId: \"11010000\" }) { categoryRule { id } } }",
                json!({}),
            )
            .await;
        let rule = id_at(&made, "/createCategoryRule/categoryRule/id");
        let cpf = json!([{ "name": "cpf", "value": "761.092.776-73" }]);
        let (regulated, url) = authorizing(&test, "600", cpf).await;
        open(&test, &agreed(&test, &url, &["checking"]).await).await;
        test.settle().await;
        let regulated = id_at(&test.accounts(regulated).await[0], "/id");
        let ids: BTreeMap<&str, String> = BTreeMap::from([
            ("$regulated", regulated.to_string()),
            ("$account", shown("/id")),
            ("$row", shown("/transactions/nodes/0/id")),
            ("$item", item.to_string()),
            ("$rule", rule.to_string()),
            ("$waiting", waiting.to_string()),
            ("$webhook", webhook.to_string()),
            ("$delivery", delivery.to_string()),
            ("$url", receiver.url.clone()),
        ]);
        let caller = Caller {
            request: Some(Uuid::from_u128(77)),
            address: Some([192, 0, 2, 7].into()),
        };
        for (field, input, action, target) in MUTATIONS {
            let before = entries(&test, json!({})).await.len();
            let input = ids.iter().fold((*input).to_owned(), |text, (name, id)| text.replace(name, id));
            let input: Value = serde_json::from_str(&input).expect("JSON");
            let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
            let document = format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ __typename }} }}");
            let request = async_graphql::Request::new(document)
                .variables(async_graphql::Variables::from_json(json!({ "input": input })))
                .data(graphql::Asking::new(Some(test.principal.clone()), caller));
            let answer = test.graph.execute(request).await;
            assert!(answer.errors.is_empty(), "{field}: {:?}", answer.errors);
            let left = entries(&test, json!({})).await.split_off(before);
            assert_eq!(actions(&left), [*action], "{field}");
            let entry = &left[0];
            assert_eq!(entry["actor"], "API_KEY", "{field}");
            assert_eq!(entry["tokenId"], json!(test.principal.token), "{field}");
            assert_eq!(entry["requestId"], json!(caller.request), "{field}");
            assert_eq!(entry["address"], "192.0.2.7", "{field}");
            assert_eq!(entry["at"], "2026-03-16T12:00:00.000Z", "{field}");
            if let Some(id) = ids.get(target) {
                assert_eq!(entry["targetId"], json!(id), "{field}");
            }
            // A refused one leaves none.
            let unknown = json!({ "input": { "itemId": Uuid::from_u128(1), "webhookId": Uuid::from_u128(1) } });
            if *field == "deleteItem" || *field == "deleteWebhook" {
                let kind = if *field == "deleteItem" { "itemId" } else { "webhookId" };
                let document = format!("mutation($id: ID!) {{ {field}(input: {{ {kind}: $id }}) {{ __typename }} }}");
                test.code(&document, json!({ "id": unknown["input"][kind] })).await;
                assert_eq!(entries(&test, json!({})).await.len(), before + 1);
            }
            test.settle().await;
        }
        let updated = entries(&test, json!({ "actions": ["ITEM_UPDATED"] })).await;
        assert_eq!(updated.last().expect("one")["detail"], json!({ "fields": ["parameters", "webhookUrl"] }));
        // Nothing planted, no secret of a webhook, no token, in any column.
        let rows: Vec<String> = dump(test.app.db.read())
            .await
            .into_iter()
            .filter(|row| row.starts_with("audit_entry:"))
            .collect();
        assert!(rows.len() > MUTATIONS.len());
        for needle in ["PLANTED", "password-ok", "user-ok", "whsec_", "eyJ", "123456", &receiver.url] {
            assert_eq!(find(&rows, needle), None, "{needle}");
        }
        // A repeated call with an idempotency key makes nothing and says nothing.
        let input = json!({ "input": { "connectorId": "0", "idempotencyKey": "once",
            "parameters": [{ "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" }] } });
        let create = "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        let first = test.data(create, input.clone()).await;
        assert_eq!(test.data(create, input).await, first);
        let id = id_at(&first, "/createItem/item/id");
        assert_eq!(actions(&entries(&test, json!({ "targetId": id })).await), ["ITEM_CREATED"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_does_is_told_to_the_application() {
    on_both_engines(|test| async move {
        let operator = operator(&test.app);
        let made = operator
            .create("Audited", entity::kind::Environment::Sandbox, None)
            .await
            .expect("made");
        operator
            .set_auto_sync(made.id, None)
            .await
            .expect("changed");
        let stranger = api_key(&test.app, made.id).await;
        operator
            .rotate_secret(made.id, true)
            .await
            .expect("rotated");
        operator
            .rotate_webhook_secret(made.id)
            .await
            .expect("rotated");
        operator
            .rotate_parameters_key(made.id)
            .await
            .expect("rotated");
        let (db, clock, rng) = (&test.app.db, &test.app.clock, &test.app.rng);
        for action in [AuditAction::MasterKeyRotated, AuditAction::DatabaseRestored] {
            note_for_all(db, clock, rng, action).await.expect("noted");
        }
        operator.disable(made.id).await.expect("disabled");
        assert!(operator.rotate_secret(Uuid::nil(), false).await.is_err());
        let document =
            "{ auditLog { nodes { action actor targetId tokenId requestId address detail } } }";
        let answer = test.query_as(Some(stranger), document, json!({})).await;
        let expected = |action: &str, detail: Value| {
            json!({ "action": action, "actor": "OPERATOR", "targetId": made.id, "tokenId": null, "requestId": null,
                "address": null, "detail": detail })
        };
        assert_eq!(
            answer["data"]["auditLog"]["nodes"],
            json!([
                expected("APPLICATION_DISABLED", json!({})),
                expected("DATABASE_RESTORED", json!({})),
                expected("MASTER_KEY_ROTATED", json!({})),
                expected("APPLICATION_PARAMETERS_KEY_ROTATED", json!({})),
                expected("APPLICATION_WEBHOOK_SECRET_ROTATED", json!({})),
                expected("APPLICATION_SECRET_ROTATED", json!({ "tokensRevoked": true })),
                expected("APPLICATION_UPDATED", json!({ "fields": ["autoSync"] })),
                expected("APPLICATION_CREATED", json!({})),
            ])
        );
        let item = test.connected().await;
        item::unlock(&test.app, item).await.expect("unlocked");
        let of_item = entries(&test, json!({ "targetId": item })).await;
        assert_eq!(actions(&of_item), ["ITEM_CREATED", "ITEM_UNLOCKED"]);
        assert_eq!(of_item[1]["actor"], "OPERATOR");
        assert_eq!(of_item[1]["item"]["id"], json!(item));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_uploads_are_told_and_guessing_is_counted_but_does_not_fill_the_log() {
    on_both_engines(|test| async move {
        let (app, owner) = (&test.app, &test.owner);
        let key = |address: [u8; 4], secret: String| async move {
            token::create_api_key(app, address.into(), &owner.id.to_string(), &secret).await
        };
        let before = entries(&test, json!({})).await.len();
        let issued = key([192, 0, 2, 1], owner.client_secret.clone())
            .await
            .expect("a key");
        let principal = token::verify(app, &issued.token).await.expect("it is good");
        // 200 guesses from 100 addresses; 30 from one more.
        for address in 0..100_u8 {
            for _ in 0..2 {
                assert!(
                    key([198, 51, 100, address], "wrong".to_owned())
                        .await
                        .is_err()
                );
            }
        }
        assert!(
            token::create_api_key(app, [203, 0, 113, 1].into(), &Uuid::nil().to_string(), "x")
                .await
                .is_err()
        );
        test.upload(b"not a statement").await;
        let told = entries(&test, json!({})).await.split_off(before);
        assert_eq!(actions(&told), ["API_KEY_CREATED", "UPLOAD_CREATED"]);
        assert_eq!(told[0]["targetId"], json!(principal.token));
        assert_eq!(
            (&told[0]["actor"], &told[0]["address"]),
            (&json!("CLIENT_SECRET"), &json!("192.0.2.1"))
        );
        assert_eq!(told[1]["detail"], json!({ "bytes": 15 }));
        // What was counted is written once, whatever there was.
        assert_eq!(tally::flush(app).await.expect("written"), 21);
        assert_eq!(tally::flush(app).await.expect("written"), 0);
        let refused = entries(&test, json!({ "actions": ["API_KEY_REFUSED"] })).await;
        assert_eq!(refused.len(), 21);
        let times: u64 = refused
            .iter()
            .filter_map(|entry| entry["detail"]["times"].as_u64())
            .sum();
        assert_eq!(times, 200);
        let others: Vec<_> = refused
            .iter()
            .filter(|entry| entry["address"].is_null())
            .collect();
        assert_eq!(others.len(), 1);
        assert_eq!(others[0]["detail"]["times"], 160);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_read_is_counted_by_token_with_what_was_shown() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let rows = "query($id: ID!, $first: Int!) { item(id: $id) { transactions(first: $first) { nodes { id } } } }";
        for first in [50, 20] {
            test.data(rows, json!({ "id": item, "first": first })).await;
        }
        assert_eq!(tally::flush(&test.app).await.expect("written"), 0);
        let mut shown = 0;
        for _ in 0..3 {
            let data = test.data(rows, json!({ "id": item, "first": 200 })).await;
            shown += data["item"]["transactions"]["nodes"].as_array().map_or(0, Vec::len);
        }
        assert!(shown >= 300, "{shown}");
        test.advance(Duration::from_secs(30));
        assert_eq!(tally::flush(&test.app).await.expect("written"), 1);
        let told = entries(&test, json!({ "actions": ["BULK_READ"] })).await;
        assert_eq!(told.len(), 1);
        assert_eq!(
            told[0]["detail"],
            json!({ "times": 3, "since": "2026-03-16T12:00:00.000Z", "rows": { "ITEM": 3, "TRANSACTION": shown } })
        );
        assert_eq!(told[0]["tokenId"], json!(test.principal.token));
        assert_eq!(told[0]["address"], "127.0.0.1");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_filtered_paged_and_nobody_elses() {
    on_both_engines(|test| async move {
        let create = "mutation($user: String!) { createItem(input: { connectorId: \"0\", clientUserId: $user, parameters: [\
            { name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { item { id } } }";
        let mut items = Vec::new();
        for user in ["ana", "bia", "ana"] {
            let data = test.data(create, json!({ "user": user })).await;
            items.push(id_at(&data, "/createItem/item/id"));
            test.advance(Duration::from_mins(1));
        }
        let targets = |list: Vec<Value>| list.into_iter().map(|entry| entry["targetId"].clone()).collect::<Vec<_>>();
        let of_ana = entries(&test, json!({ "clientUserId": "ana" })).await;
        assert_eq!(of_ana[0]["clientUserDigest"], of_ana[1]["clientUserDigest"]);
        assert_eq!(targets(of_ana), [json!(items[0]), json!(items[2])]);
        let window = json!({ "from": "2026-03-16T12:01:00.000Z", "to": "2026-03-16T12:02:00.000Z" });
        assert_eq!(targets(entries(&test, window).await), [json!(items[1])]);
        // Page by page, newest first, and back.
        let page = "query($first: Int, $after: String, $last: Int, $before: String) { auditLog(first: $first, after: $after, last: $last, before: $before) \
            { nodes { id action } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
        let all = test.data(page, json!({ "first": 50 })).await["auditLog"]["nodes"].clone();
        let (mut found, mut after) = (Vec::new(), Value::Null);
        loop {
            let data = test.data(page, json!({ "first": 2, "after": after })).await;
            found.extend(data["auditLog"]["nodes"].as_array().cloned().unwrap_or_default());
            after = data["auditLog"]["pageInfo"]["endCursor"].clone();
            if data["auditLog"]["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        assert_eq!(json!(found), all);
        let last = test.data(page, json!({ "last": 1 })).await;
        assert_eq!(last["auditLog"]["nodes"][0]["action"], "APPLICATION_CREATED");
        assert_eq!(test.code(page, json!({ "first": 1, "after": "nonsense" })).await, "BAD_CURSOR");
        // By id as well; for nobody else.
        let id = all[0]["id"].clone();
        let node = "query($id: ID!) { node(id: $id) { id ... on AuditEntry { action } } }";
        assert_eq!(test.data(node, json!({ "id": id })).await["node"]["action"], "ITEM_CREATED");
        let stranger = create_application(&test.app, "Stranger").await;
        let stranger = api_key(&test.app, stranger.id).await;
        let answer = test.query_as(Some(stranger.clone()), node, json!({ "id": id })).await;
        assert_eq!(answer["data"], json!({ "node": null }));
        let answer = test.query_as(Some(stranger), "{ auditLog { nodes { action } } }", json!({})).await;
        assert_eq!(answer["data"]["auditLog"]["nodes"], json!([{ "action": "APPLICATION_CREATED" }]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_never_changed_and_goes_when_it_is_old() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test = TestApp::start_with(engine, &["--audit-retention-days", "10"]).await;
        let changed = test.app.db.write();
        let changed = changed
            .execute_unprepared("UPDATE audit_entry SET actor = 'PONTE'")
            .await;
        let error = changed.expect_err("nobody may").to_string();
        assert!(error.contains("append-only"), "{error}");
        test.app
            .applications
            .refresh(&test.app.db)
            .await
            .expect("read");
        test.advance(Duration::from_hours(9 * 24));
        test.connected().await;
        assert_eq!(retention::run_once(&test.app).await.expect("run"), 0);
        test.advance(Duration::from_hours(25));
        assert_eq!(retention::run_once(&test.app).await.expect("run"), 1);
        let kept = audit_entry::Entity::find().count(test.app.db.read()).await;
        assert_eq!(kept.expect("a count"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_costs_one_more_row_and_its_reading_none() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let before = audit_entry::Entity::find()
            .count(test.app.db.read())
            .await
            .expect("a count");
        test.connect("0", &[("user", "user-ok"), ("password", "password-ok")])
            .await;
        let after = audit_entry::Entity::find()
            .count(test.app.db.read())
            .await
            .expect("a count");
        assert_eq!(after, before + 1);
        test.settle().await;
        let statements = test.app.db.statements();
        test.data(
            "query($id: ID!) { item(id: $id) { transactions(first: 500) { nodes { id } } } }",
            json!({ "id": item }),
        )
        .await;
        assert_eq!(test.app.db.statements() - statements, 2);
    })
    .await;
}
