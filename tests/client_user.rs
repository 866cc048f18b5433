//! What the law lets a person ask for: everything that is held about them, and its erasure.

use std::{collections::BTreeSet, time::Duration};

use async_graphql_parser::types::{BaseType, TypeKind, TypeSystemDefinition};
use entity::{erasure, item};
use ponte::{
    auth::token::{self, ConnectTokenRequest},
    client_user,
    db::Engine,
    event, graphql, item as items,
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    privacy::{assert_gone, dump, find},
    support::{
        TestApp, code_of, id_at, on_both_engines,
        receiver::{Answer, Receiver},
    },
};

/// Who is erased: an application may well use such a name.
const ANA: &str = "ana.souza@example.com";
const BIA: &str = "bia.lima@example.com";

async fn connect(test: &TestApp, user: &str, hook: Option<&str>) -> Uuid {
    let parameters = json!([{ "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" }]);
    let input = json!({ "connectorId": "0", "clientUserId": user, "webhookUrl": hook, "parameters": parameters,
        "idempotencyKey": format!("{user}-{}", test.app.rng.id(test.app.clock.now())) });
    let document =
        "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
    let data = test.data(document, json!({ "input": input })).await;
    id_at(&data, "/createItem/item/id")
}

async fn delete(test: &TestApp, user: &str) -> Value {
    let document = "mutation($input: DeleteClientUserInput!) { deleteClientUser(input: $input) { deletedItemIds remainingItems } }";
    let data = test
        .data(document, json!({ "input": { "clientUserId": user } }))
        .await;
    data["deleteClientUser"].clone()
}

async fn connect_token(test: &TestApp, user: Option<&str>, item: Option<Uuid>) -> String {
    let request = ConnectTokenRequest {
        client_user_id: user.map(str::to_owned),
        item,
        webhook_url: Some("http://127.0.0.1:9/hook".to_owned()),
        ..ConnectTokenRequest::default()
    };
    let issued = token::create_connect_token(&test.app, &test.principal, request).await;
    issued.expect("a token").token
}

/// A selection of every field of a type that has no arguments, relations with an id of their own cut to it.
pub fn selection(schema: &Schema, name: &str, depth: usize) -> String {
    let fields = schema.fields(name).into_iter().filter_map(|(field, of)| {
        if schema.is_leaf(&of) {
            return Some(field);
        }
        let parts = schema.fields(&of);
        if parts.iter().any(|(name, _)| name == "id") {
            return Some(format!("{field} {{ id }}"));
        }
        (depth < 5).then(|| format!("{field} {{ {} }}", selection(schema, &of, depth + 1)))
    });
    fields.collect::<Vec<_>>().join(" ")
}

/// The public schema, type by type.
pub struct Schema(Vec<async_graphql_parser::types::TypeDefinition>);

impl Schema {
    /// The schema of this binary.
    pub fn read() -> Self {
        let document = async_graphql_parser::parse_schema(graphql::sdl()).expect("the schema");
        let definitions = document.definitions.into_iter();
        Self(
            definitions
                .filter_map(|one| match one {
                    TypeSystemDefinition::Type(one) => Some(one.node),
                    _ => None,
                })
                .collect(),
        )
    }

    fn find(&self, name: &str) -> Option<&TypeKind> {
        let found = self.0.iter().find(|one| one.name.node == name);
        found.map(|one| &one.kind)
    }

    fn is_leaf(&self, name: &str) -> bool {
        matches!(
            self.find(name),
            None | Some(TypeKind::Scalar | TypeKind::Enum(_))
        )
    }

    fn fields(&self, name: &str) -> Vec<(String, String)> {
        let Some(TypeKind::Object(object)) = self.find(name) else {
            return Vec::new();
        };
        let plain = object.fields.iter().map(|field| &field.node);
        let plain = plain.filter(|field| field.arguments.is_empty());
        plain
            .map(|field| {
                let mut base = &field.ty.node.base;
                let of = loop {
                    match base {
                        BaseType::Named(name) => break name.to_string(),
                        BaseType::List(of) => base = &of.base,
                    }
                };
                (field.name.node.to_string(), of)
            })
            .collect()
    }
}

/// The whole export, in pages of so many, and how many pages that were.
async fn export(test: &TestApp, user: &str, first: i32) -> (Vec<Value>, usize) {
    let schema = Schema::read();
    // Where two types give one name to different types, each gets a name of its own.
    let kinds = [
        "Item",
        "HeldCredentials",
        "Consent",
        "Account",
        "Identity",
        "Transaction",
        "Execution",
        "ConnectToken",
        "Event",
        "AuditEntry",
    ];
    let (mut records, mut after, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let mut page: Vec<Value> = Vec::new();
        let mut cursor = Value::Null;
        // One kind a document: fields of one name may differ in nullability.
        for kind in kinds {
            let fields = selection(&schema, kind, 0);
            let document = format!(
                "query($user: String!, $first: Int, $after: String) {{ exportClientUser(clientUserId: $user, first: $first, after: $after) {{ \
                 records {{ __typename ... on {kind} {{ {fields} }} }} cursor }} }}"
            );
            let variables = json!({ "user": user, "first": first, "after": after });
            let data = test.data(&document, variables).await;
            let found = data["exportClientUser"]["records"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            assert!(found.len() <= usize::try_from(first).expect("a number"));
            if page.is_empty() {
                page.clone_from(&found);
            }
            for (one, of_kind) in page.iter_mut().zip(found) {
                if of_kind["__typename"] == kind {
                    *one = of_kind;
                }
            }
            cursor = data["exportClientUser"]["cursor"].clone();
        }
        records.extend(page);
        pages += 1;
        if cursor.is_null() {
            return (records, pages);
        }
        after = cursor;
    }
}

fn of_kind(records: &[Value], kind: &str) -> Vec<Value> {
    let mut found: Vec<Value> = records
        .iter()
        .filter(|one| one["__typename"] == kind)
        .cloned()
        .collect();
    for one in &mut found {
        one.as_object_mut().expect("an object").remove("__typename");
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_what_the_graph_shows_and_nothing_of_anybody_else() {
    on_both_engines(|test| async move {
        let (one, two) = (connect(&test, ANA, None).await, connect(&test, ANA, None).await);
        let other = connect(&test, BIA, None).await;
        connect_token(&test, Some(ANA), None).await;
        connect_token(&test, Some(BIA), Some(other)).await;
        test.settle().await;
        test.updated(one, &[]).await;
        let (records, pages) = export(&test, ANA, 100).await;
        assert!(pages > 3, "{pages}");

        let schema = Schema::read();
        let shown = |kind: &str| selection(&schema, kind, 0);
        let document = format!(
            "query($id: ID!) {{ item(id: $id) {{ {} consents {{ nodes {{ {} }} }} accounts {{ nodes {{ {} }} }} identity {{ {} }} \
             transactions(first: 500) {{ nodes {{ {} }} pageInfo {{ hasNextPage }} }} }} }}",
            shown("Item"), shown("Consent"), shown("Account"), shown("Identity"), shown("Transaction")
        );
        let mut expected: [Vec<Value>; 5] = Default::default();
        for id in [one, two] {
            let mut item = test.data(&document, json!({ "id": id })).await["item"].take();
            assert_eq!(item["transactions"]["pageInfo"]["hasNextPage"], false);
            let fields = item.as_object_mut().expect("an Item");
            for (place, name) in ["consents", "accounts", "transactions"].into_iter().enumerate() {
                let list = fields.remove(name).expect("a list");
                expected[place].extend(list["nodes"].as_array().expect("rows").clone());
            }
            expected[3].push(fields.remove("identity").expect("a holder"));
            // Its `identity` has an id of its own.
            fields.insert("identity".to_owned(), json!({ "id": expected[3].last().expect("one")["id"] }));
            expected[4].push(item);
        }
        for (kind, expected) in ["Consent", "Account", "Transaction", "Identity", "Item"].into_iter().zip(expected) {
            assert!(!expected.is_empty());
            assert_eq!(of_kind(&records, kind), expected, "{kind}");
        }
        let document = format!(
            "query($user: String) {{ events(first: 200, filter: {{ clientUserId: $user }}) {{ nodes {{ {} }} }} }}",
            shown("Event")
        );
        let data = test.data(&document, json!({ "user": ANA })).await;
        assert_eq!(json!(of_kind(&records, "Event")), data["events"]["nodes"]);
        let document = format!(
            "query($user: String) {{ auditLog(first: 200, filter: {{ clientUserId: $user }}) {{ nodes {{ {} }} }} }}",
            shown("AuditEntry")
        );
        let data = test.data(&document, json!({ "user": ANA })).await;
        let exported = of_kind(&records, "AuditEntry");
        assert_eq!(json!(exported), data["auditLog"]["nodes"]);
        // One per document that began an export, and no more.
        let begun = exported.iter().filter(|entry| entry["action"] == "CLIENT_USER_EXPORTED");
        assert_eq!(begun.count(), 10);
        assert_eq!(
            json!(of_kind(&records, "HeldCredentials")),
            json!([{ "itemId": one, "parameterNames": ["password", "user"] }, { "itemId": two, "parameterNames": ["password", "user"] }])
        );
        let tokens = of_kind(&records, "ConnectToken");
        assert_eq!(tokens.len(), 1);
        assert_eq!(tokens[0]["clientUserId"], ANA);
        let runs = of_kind(&records, "Execution");
        let runs: Vec<_> = runs.iter().map(|run| (&run["itemId"], &run["status"])).collect();
        assert_eq!(runs, [(&json!(one), &json!("SUCCESS")), (&json!(one), &json!("SUCCESS")), (&json!(two), &json!("SUCCESS"))]);
        // Each once, and no word of somebody else or of a credential.
        let ids: Vec<String> = records.iter().filter_map(|one| Some(format!("{}{}", one["__typename"], one.get("id")?))).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        let text = json!(records).to_string();
        for foreign in [BIA, &other.to_string(), "password-ok"] {
            assert!(!text.contains(foreign), "{foreign}");
        }
        // A page of another size is the same export; another user's cursor shows nothing of them.
        let (again, _) = export(&test, ANA, 37).await;
        let but_entries = |records: &[Value]| records.iter().filter(|one| one["__typename"] != "AuditEntry").cloned().collect::<Vec<_>>();
        assert_eq!(but_entries(&again), but_entries(&records));
        let document = "query($user: String!, $after: String) { exportClientUser(clientUserId: $user, first: 500, after: $after) { records { __typename ... on Item { id } ... on Account { item { id } } } cursor } }";
        let page = test.data("query($user: String!) { exportClientUser(clientUserId: $user, first: 4) { cursor } }", json!({ "user": ANA })).await;
        let stolen = test.data(document, json!({ "user": BIA, "after": page["exportClientUser"]["cursor"] })).await;
        assert!(!stolen.to_string().contains(&one.to_string()) && !stolen.to_string().contains(&two.to_string()));
        assert_eq!(test.code(document, json!({ "user": ANA, "after": "nonsense" })).await, "BAD_CURSOR");
        assert_eq!(test.code(document, json!({ "user": "", "after": null })).await, "INVALID_INPUT");
        let nobody = test.data(document, json!({ "user": "nobody", "after": null })).await;
        let kinds: Vec<_> = nobody["exportClientUser"]["records"].as_array().expect("a list").iter().map(|one| one["__typename"].clone()).collect();
        assert_eq!(kinds, ["AuditEntry"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_client_user_is_in_no_table_and_the_deletion_is_told_in_full() {
    on_both_engines(|test| async move {
        let receiver = Receiver::start().await;
        let hook = format!("{}?user=ana.souza%40example.com", receiver.url);
        test.data("mutation($url: String!) { createWebhook(input: { url: $url }) { webhook { id } } }", json!({ "url": receiver.url })).await;
        let mine = [connect(&test, ANA, Some(&hook)).await, connect(&test, ANA, None).await];
        let hers = connect(&test, BIA, None).await;
        // An Item that has been given to somebody else, and one that is gone already.
        let given = connect(&test, ANA, None).await;
        let gone = connect(&test, ANA, None).await;
        test.settle().await;
        test.data("mutation($input: UpdateItemInput!) { updateItem(input: $input) { cursor } }", json!({ "input": { "itemId": given, "clientUserId": BIA } })).await;
        test.data("mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }", json!({ "id": gone })).await;
        test.settle().await;
        let tokens = [connect_token(&test, Some(ANA), None).await, connect_token(&test, None, Some(mine[0])).await];
        let kept = connect_token(&test, Some(BIA), None).await;
        let principal = token::verify(&test.app, &tokens[0]).await.expect("it is good");
        let mut upload = items::upload::begin(&test.app, &principal).await.expect("begins");
        upload.write(b"PLANTED FILE").await.expect("written");
        upload.finish().await.expect("ends");
        assert!(find(&dump(test.app.db.read()).await, ANA).is_some());

        let answer = delete(&test, ANA).await;
        let mut deleted: Vec<Uuid> = serde_json::from_value(answer["deletedItemIds"].clone()).expect("ids");
        deleted.sort_unstable();
        assert_eq!(deleted, mine);
        assert_eq!(answer["remainingItems"], 0);
        // At once on this node, within a beat on others; and no Item can be made with one meanwhile.
        for token in &tokens {
            assert!(token::verify(&test.app, token).await.is_err());
        }
        assert!(!test.app.applications.stands(&principal, test.app.clock.now()));
        let create = "mutation { createItem(input: { connectorId: \"0\", parameters: [{ name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { item { id } } }";
        let elsewhere = test.query_as(Some(principal.clone()), create, json!({})).await;
        assert_eq!(code_of(&elsewhere), "UNAUTHENTICATED");
        let node = ponte::auth::Applications::default();
        node.refresh(&test.app.db).await.expect("read");
        assert!(!node.stands(&principal, test.app.clock.now()));
        assert!(token::verify(&test.app, &kept).await.is_ok());

        test.settle().await;
        let needles = [ANA, "ana.souza%40", "PLANTED FILE"].map(str::to_owned);
        assert_gone(&test, &needles, "after the erasure").await;
        assert_eq!(erasure::Entity::find().count(test.app.db.read()).await.expect("a count"), 0);
        // What was sent is what the domain says.
        for id in mine {
            let told = receiver.received().into_iter().map(|one| one.json());
            let told: Vec<_> = told.filter(|body| body["event"] == "item/deleted" && body["itemId"] == json!(id)).collect();
            assert!(!told.is_empty() && told.iter().all(|body| body["clientUserId"] == ANA), "{told:?}");
        }
        // The audit log knows the user by the digest, still.
        let document = "query($user: String) { auditLog(filter: { clientUserId: $user }) { nodes { action targetId detail } } }";
        let data = test.data(document, json!({ "user": ANA })).await;
        let entries = data["auditLog"]["nodes"].as_array().expect("entries").clone();
        let ordered: Vec<_> = entries.iter().filter(|one| one["action"] == "CLIENT_USER_DELETED").collect();
        assert_eq!(ordered.len(), 1);
        assert_eq!(ordered[0]["detail"], json!({ "items": 2, "connectTokens": 2 }));
        assert_eq!(entries.iter().filter(|one| one["action"] == "ITEM_DELETED").count(), 3);
        // Nobody else lost anything.
        for id in [hers, given] {
            assert_eq!(test.item(id).await["status"], "UPDATED");
        }
        assert!(find(&dump(test.app.db.read()).await, BIA).is_some());
        // Whoever has nothing loses nothing; once more is as good as once.
        assert_eq!(delete(&test, ANA).await, json!({ "deletedItemIds": [], "remainingItems": 0 }));
        test.settle().await;
        assert_eq!(find(&dump(test.app.db.read()).await, ANA), None);
        let refused = test.code("mutation { deleteClientUser(input: { clientUserId: \"\" }) { remainingItems } }", json!({})).await;
        assert_eq!(refused, "INVALID_INPUT");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_of_many_items_goes_on_by_itself_and_spares_those_that_come_later() {
    on_both_engines(|test| async move {
        let mut mine = BTreeSet::new();
        for _ in 0..120 {
            mine.insert(connect(&test, ANA, None).await);
        }
        let answer = delete(&test, ANA).await;
        assert_eq!(answer["deletedItemIds"].as_array().map(Vec::len), Some(100));
        assert_eq!(answer["remainingItems"], 20);
        // At the same instant of the clock, and yet later.
        let later = connect(&test, ANA, None).await;
        // Two nodes at once, and one that is repeated, do no harm.
        let (a, b) = tokio::join!(client_user::erasure::run_once(&test.app), client_user::erasure::run_once(&test.app));
        assert!(a.expect("run") + b.expect("run") >= 20);
        test.settle().await;
        let left = item::Entity::find().filter(item::Column::ClientUserId.eq(ANA)).all(test.app.db.read()).await.expect("rows");
        assert_eq!(left.iter().map(|row| row.id).collect::<Vec<_>>(), [later]);
        assert_eq!(test.item(later).await["status"], "UPDATED");
        // Its events still say whose it is, those of the others no more.
        let data = test.data("query($user: String) { events(first: 200, filter: { clientUserId: $user }) { nodes { itemId } } }", json!({ "user": ANA })).await;
        let events = data["events"]["nodes"].as_array().expect("events");
        assert!(!events.is_empty() && events.iter().all(|event| event["itemId"] == json!(later)));
        for id in mine {
            let last = test.events(id).await.pop();
            assert_eq!(last.as_deref(), Some("item/deleted"));
        }
        assert_eq!(erasure::Entity::find().count(test.app.db.read()).await.expect("a count"), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_kept_for_what_is_still_to_be_sent_and_no_longer_than_four_days() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test = TestApp::start(engine).await;
        let receiver = Receiver::start().await;
        let made = test.data("mutation($url: String!) { createWebhook(input: { url: $url }) { webhook { id } } }", json!({ "url": receiver.url })).await;
        let webhook = id_at(&made, "/createWebhook/webhook/id");
        let id = connect(&test, ANA, None).await;
        test.settle().await;
        receiver.always(Answer::Status(500));
        delete(&test, ANA).await;
        test.settle().await;
        // It failed once; the retry says the same.
        assert!(find(&dump(test.app.db.read()).await, ANA).is_some());
        let count = receiver.received().len();
        receiver.always(Answer::Status(200));
        test.advance(Duration::from_hours(1));
        test.settle().await;
        let retried = receiver.received().split_off(count);
        assert!(
            retried
                .iter()
                .any(|one| one.json()["itemId"] == json!(id) && one.json()["clientUserId"] == ANA)
        );
        assert_eq!(find(&dump(test.app.db.read()).await, ANA), None);

        // A webhook that stays disabled keeps the name for four days.
        connect(&test, ANA, None).await;
        test.settle().await;
        receiver.always(Answer::Status(500));
        delete(&test, ANA).await;
        event::relay::run_once(&test.app).await.expect("published");
        test.data("mutation($id: ID!) { updateWebhook(input: { webhookId: $id, enabled: false }) { webhook { id } } }", json!({ "id": webhook })).await;
        test.settle().await;
        test.advance(Duration::from_hours(95));
        test.settle().await;
        assert!(find(&dump(test.app.db.read()).await, ANA).is_some());
        test.advance(Duration::from_hours(1));
        test.settle().await;
        assert_eq!(find(&dump(test.app.db.read()).await, ANA), None);
        assert_eq!(
            erasure::Entity::find()
                .count(test.app.db.read())
                .await
                .expect("a count"),
            0
        );
    }
}
