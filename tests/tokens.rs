//! What a connect token may read, found by walking the schema: whatever is not named here must be refused, so that a new
//! field is closed to end users until somebody decides otherwise.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use async_graphql_parser::types::{BaseType, FieldDefinition, Type, TypeDefinition, TypeKind};
use futures_util::StreamExt as _;
use ponte::{auth::Principal, event, graphql};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    auth,
    graph::connect_token,
    schema::{fields, types, values},
    support::{TestApp, api_key, create_application, id_at, on_both_engines},
};

/// What is answered, by type. All the rest is FORBIDDEN.
const READABLE: &[(&str, &[&str])] = &[
    // Whom it was made for, and under which name the user is asked for consent. The widget seals parameters for the key.
    (
        "Viewer",
        &[
            "kind",
            "application",
            "itemId",
            "clientUserId",
            "cursor",
            "expiresAt",
        ],
    ),
    (
        "Application",
        &[
            "id",
            "name",
            "environment",
            "autoSyncIntervalHours",
            "autoSyncIntervalMinutes",
            "webhookPublicKey",
            "parametersKey",
        ],
    ),
    ("ParametersKey", &["keyId", "algorithm", "publicKeyPem"]),
    // Users choose their institution among all and fill in its form. Nothing of this belongs to anybody.
    (
        "ConnectorConnection",
        &["edges", "nodes", "pageInfo", "totalCount"],
    ),
    ("ConnectorEdge", &["cursor", "node"]),
    (
        "Connector",
        &[
            "id",
            "name",
            "type",
            "country",
            "institutionUrl",
            "imageUrl",
            "primaryColor",
            "resetPasswordUrl",
            "credentials",
            "products",
            "hasMfa",
            "oauth",
            "isSandbox",
            "isOpenFinance",
            "hasLiveBalance",
            "retiresAt",
            "health",
        ],
    ),
    (
        "ConnectorHealth",
        &[
            "status",
            "stage",
            "connectionRateLast6Hours",
            "connectionsLast6Hours",
            "changedAt",
        ],
    ),
    (
        "CredentialField",
        &[
            "name",
            "label",
            "type",
            "mfa",
            "optional",
            "validation",
            "validationMessage",
            "placeholder",
            "assistiveText",
            "instructions",
            "options",
            "data",
            "expiresAt",
        ],
    ),
    ("CredentialOption", &["value", "label"]),
    // The categories are the same for all.
    (
        "CategoryConnection",
        &["edges", "nodes", "pageInfo", "totalCount"],
    ),
    ("CategoryEdge", &["cursor", "node"]),
    (
        "Category",
        &[
            "id",
            "description",
            "descriptionTranslated",
            "parentId",
            "parentDescription",
            "parent",
            "children",
        ],
    ),
    (
        "PageInfo",
        &["hasNextPage", "hasPreviousPage", "startCursor", "endCursor"],
    ),
    // Where a connection stands and what its user must do about it. What was collected through it is not the widget's.
    (
        "Item",
        &[
            "id",
            "connector",
            "status",
            "executionStatus",
            "error",
            "statusDetail",
            "parameter",
            "userAction",
            "products",
            "clientUserId",
            "webhookUrl",
            "oauthRedirectUri",
            "consecutiveFailedLoginAttempts",
            "createdAt",
            "updatedAt",
            "lastUpdatedAt",
            "consentExpiresAt",
            "nextAutoSyncAt",
            "autoSync",
            "canUpdate",
            "accounts",
        ],
    ),
    (
        "ItemError",
        &["code", "message", "providerMessage", "attributes"],
    ),
    ("Attribute", &["name", "value"]),
    (
        "ProductStatus",
        &[
            "product",
            "isUpdated",
            "lastUpdatedAt",
            "asOf",
            "stale",
            "warnings",
        ],
    ),
    ("ProductWarning", &["code", "message", "providerMessage"]),
    (
        "UserAction",
        &["type", "instructions", "data", "attributes", "expiresAt"],
    ),
    (
        "AutoSync",
        &[
            "state",
            "reason",
            "intervalHours",
            "intervalMinutes",
            "nextAt",
            "failedAttempts",
            "disabledAt",
        ],
    ),
    (
        "UpdatePermission",
        &["allowed", "code", "reason", "retryAt"],
    ),
    // The widget shows users which accounts they have connected, as their bank shows them.
    (
        "AccountConnection",
        &["edges", "nodes", "pageInfo", "totalCount"],
    ),
    ("AccountEdge", &["cursor", "node"]),
    (
        "Account",
        &[
            "id",
            "type",
            "subtype",
            "number",
            "name",
            "balance",
            "currencyCode",
        ],
    ),
    // Users connect, answer, and watch it happen.
    ("CreateItemPayload", &["item", "cursor"]),
    ("UpdateItemPayload", &["item", "cursor"]),
    ("SendItemMfaPayload", &["item", "cursor"]),
    (
        "ItemUpdated",
        &["cursor", "event", "snapshot", "moreStates", "item"],
    ),
    (
        "Event",
        &[
            "id",
            "cursor",
            "type",
            "name",
            "itemId",
            "item",
            "itemSequence",
            "clientUserId",
            "triggeredBy",
            "createdAt",
            "payload",
        ],
    ),
];

/// A root field that is open to connect tokens: how it is asked, with `$selected` for what is selected of the type that it
/// answers with.
struct Door(&'static str, &'static str, &'static str);

const DOORS: &[Door] = &[
    Door("Query.viewer", "{ viewer $selected }", "Viewer"),
    Door(
        "Query.connectors",
        "{ connectors $selected }",
        "ConnectorConnection",
    ),
    Door(
        "Query.connector",
        "{ connector(id: \"12\") $selected }",
        "Connector",
    ),
    Door(
        "Query.categories",
        "{ categories $selected }",
        "CategoryConnection",
    ),
    Door(
        "Query.category",
        "{ category(id: \"05080000\") $selected }",
        "Category",
    ),
    Door(
        "Query.node",
        "{ node(id: \"$item\") { ... on Item $selected } }",
        "Item",
    ),
    Door(
        "Query.node",
        "{ node(id: \"12\") { ... on Connector $selected } }",
        "Connector",
    ),
    Door(
        "Query.node",
        "{ node(id: \"05080000\") { ... on Category $selected } }",
        "Category",
    ),
    Door(
        "Query.nodes",
        "{ nodes(ids: [\"$item\"]) { ... on Item $selected } }",
        "Item",
    ),
    Door(
        "Subscription.itemUpdated",
        "subscription { itemUpdated(itemId: \"$item\", after: \"$cursor\") $selected }",
        "ItemUpdated",
    ),
    // Not looked behind: each answer takes another Item, and hands back what `Query.item` does.
    UPDATE,
    ANSWER,
    // Last, for the runs that it leaves waiting.
    Door(
        "Mutation.createItem",
        "mutation { createItem(input: { connectorId: \"0\", parameters: [{ name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) $selected }",
        "CreateItemPayload",
    ),
];

const ITEM: Door = Door("Query.item", "{ item(id: \"$item\") $selected }", "Item");
const UPDATE: Door = Door(
    "Mutation.updateItem",
    "mutation { updateItem(input: { itemId: \"$item\" }) $selected }",
    "UpdateItemPayload",
);
const ANSWER: Door = Door(
    "Mutation.sendItemMfa",
    "mutation { sendItemMfa(input: { itemId: \"$item\", parameters: [{ name: \"token\", value: \"123456\" }] }) $selected }",
    "SendItemMfaPayload",
);

/// Users whose Items show between them everything that an Item can: data and a choice to be made, a warning, something to
/// be done elsewhere. The last, who does not wait for it, has an error that says more.
const USERS: &[(&str, &str)] = &[
    ("2", "user-ok"),
    ("5", "user-ok-select"),
    ("0", "user-ok-account-warning"),
    ("0", "user-ok-auth-pending"),
    ("0", "user-ok-auth-pending"),
];

/// A field that a door leads to, by what must be selected on the way.
struct Way {
    /// `Type.field`.
    name: String,
    /// From the outermost to itself, each with its arguments.
    selected: Vec<String>,
}

impl Way {
    fn document(&self, Door(_, document, _): &Door) -> String {
        let selected = self.selected.iter().rev();
        let selected = selected.fold(String::new(), |inner, field| {
            format!("{{ {field} {inner} }}")
        });
        document.replace("$selected", &selected)
    }

    /// Whether an answer has the field, of anything.
    fn is_in(&self, data: &Value) -> bool {
        let root = data.as_object().and_then(|data| data.values().next());
        let mut here: Vec<&Value> = root.into_iter().collect();
        for field in &self.selected {
            let flat = here.into_iter().flat_map(|value| match value {
                Value::Array(all) => all.iter().collect(),
                one => vec![one],
            });
            let key = field.split(['(', ' ']).next().expect("a name");
            here = flat.filter_map(|value| value.get(key)).collect();
        }
        !here.is_empty()
    }
}

type Schema = BTreeMap<String, TypeDefinition>;

fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(of) => named(of),
    }
}

/// A field with something for every argument that it needs.
fn with_arguments(schema: &Schema, field: &FieldDefinition) -> String {
    let needed = field.arguments.iter().map(|argument| &argument.node);
    let needed = needed.filter(|it| !it.ty.node.nullable && it.default_value.is_none());
    let given: Vec<String> = needed
        .map(|argument| {
            let of = named(&argument.ty.node);
            let value = match schema.get(of).map(values).unwrap_or_default().first() {
                Some(word) => word.clone(),
                None if matches!(of, "ID" | "String") => "\"x\"".to_owned(),
                None => panic!("say what to give for {of}"),
            };
            // One may stand for a list of one.
            format!("{}: {value}", argument.name.node)
        })
        .collect();
    match given.as_slice() {
        [] => field.name.node.to_string(),
        given => format!("{}({})", field.name.node, given.join(", ")),
    }
}

fn is_readable(name: &str) -> bool {
    let (of, field) = name.split_once('.').expect("a field of a type");
    let mut lists = READABLE.iter().filter(|(readable, _)| *readable == of);
    lists.any(|(_, fields)| fields.contains(&field))
}

/// Every field behind a type, through what is readable: once for each field that leads to its type.
fn ways(schema: &Schema, of: &str, deep: bool) -> Vec<Way> {
    let mut ways = Vec::new();
    let mut been = BTreeSet::new();
    let mut ahead = VecDeque::from([(of.to_owned(), Vec::<String>::new())]);
    while let Some((of, so_far)) = ahead.pop_front() {
        for field in fields(&schema[&of]) {
            let name = format!("{of}.{}", field.name.node);
            let leads_to = named(&field.ty.node);
            let text = with_arguments(schema, field);
            let kind = schema.get(leads_to).map(|definition| &definition.kind);
            let inner = match kind {
                Some(TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_)) => {
                    " { __typename }"
                }
                _ => "",
            };
            let selected = |text: String| so_far.iter().cloned().chain([text]).collect();
            if deep && !inner.is_empty() && is_readable(&name) && been.insert(name.clone()) {
                assert!(
                    matches!(kind, Some(TypeKind::Object(_))),
                    "say how to ask {name} for each of its types"
                );
                ahead.push_back((leads_to.to_owned(), selected(text.clone())));
            }
            ways.push(Way {
                name,
                selected: selected(text + inner),
            });
        }
    }
    ways
}

/// How often a field was answered, and how often refused.
#[derive(Debug, Default)]
struct Told {
    answered: usize,
    refused: usize,
}

/// The first answer of a document, whatever its kind.
async fn ask(test: &TestApp, whom: &Principal, document: &str) -> Value {
    if !document.starts_with("subscription") {
        let whom = Some(whom.clone());
        return test.query_as(whom, document, json!({})).await;
    }
    let whom = graphql::Asking::new(Some(whom.clone()), [127, 0, 0, 1].into());
    let request = async_graphql::Request::new(document).data(whom);
    let mut answers = test.graph.execute_stream(request);
    let mut answer = tokio::time::timeout(std::time::Duration::from_secs(20), answers.next())
        .await
        .expect("an answer in time")
        .expect("an answer");
    graphql::finish(&mut answer, "test");
    serde_json::to_value(&answer).expect("a response is JSON")
}

fn note(told: &mut BTreeMap<String, Told>, way: &Way, document: &str, answer: &Value) {
    let told = told.entry(way.name.clone()).or_default();
    let Some(errors) = answer["errors"].as_array() else {
        told.answered += usize::from(way.is_in(&answer["data"]));
        return;
    };
    let (_, field) = way.name.split_once('.').expect("a field of a type");
    for error in errors {
        assert_eq!(
            error["extensions"]["code"], "FORBIDDEN",
            "{document}: {answer}"
        );
        let path = error["path"].as_array().cloned().unwrap_or_default();
        assert_eq!(path.last(), Some(&json!(field)), "{document}: {answer}");
    }
    told.refused += 1;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_token_reads_what_is_named_here_and_nothing_else() {
    on_both_engines(|test| async move {
        tokio::spawn(event::feed::run(test.app.clone()));
        let schema = types(&graphql::sdl());
        let viewer = test.data("{ viewer { cursor } }", json!({})).await;
        let cursor = viewer["viewer"]["cursor"].as_str().expect("a cursor");
        let mut items = Vec::new();
        for (connector, user) in USERS {
            let values = [("user", *user), ("password", "password-ok")];
            items.push(test.connect(connector, &values).await);
        }
        test.settle().await;
        test.updated(*items.last().expect("an Item"), &[]).await;

        let mut told = BTreeMap::new();
        let item_and_token = async |item: Uuid| {
            let token = connect_token(&test, json!({ "itemId": item })).await;
            (item.to_string(), token)
        };
        for item in &items {
            let (item, token) = item_and_token(*item).await;
            for way in ways(&schema, ITEM.2, true) {
                let document = way.document(&ITEM).replace("$item", &item);
                note(
                    &mut told,
                    &way,
                    &document,
                    &ask(&test, &token, &document).await,
                );
            }
        }
        let first = item_and_token(items[0]).await;
        for door in DOORS {
            let spends = [UPDATE.0, ANSWER.0].contains(&door.0);
            for way in ways(&schema, door.2, !spends) {
                let (item, token) = if spends {
                    let values = [("user", "user-ok"), ("password", "password-ok")];
                    let waiting = test.connect("3", &values).await;
                    test.settle().await;
                    item_and_token(waiting).await
                } else {
                    first.clone()
                };
                let document = way
                    .document(door)
                    .replace("$item", &item)
                    .replace("$cursor", cursor);
                note(
                    &mut told,
                    &way,
                    &document,
                    &ask(&test, &token, &document).await,
                );
            }
        }

        let named = READABLE
            .iter()
            .flat_map(|(of, fields)| fields.iter().map(move |field| format!("{of}.{field}")));
        for name in named {
            told.entry(name).or_default();
        }
        let wrong: Vec<String> = told
            .iter()
            .filter(
                |(name, told)| match (is_readable(name), told.answered > 0, told.refused > 0) {
                    (true, answered, refused) => !answered || refused,
                    (false, answered, refused) => answered || !refused,
                },
            )
            .map(|(name, told)| {
                let named = if is_readable(name) {
                    "readable"
                } else {
                    "refused"
                };
                format!("{name} should be {named}, and was: {told:?}")
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    })
    .await;
}

#[test]
fn every_root_field_that_is_open_to_connect_tokens_is_walked_through() {
    let doors: BTreeSet<&str> = DOORS.iter().chain([&ITEM]).map(|door| door.0).collect();
    assert_eq!(doors, auth::open_to_connect_tokens());
}

/// Kinds that belong to nobody.
const PUBLIC: [&str; 2] = ["Connector", "Category"];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_has_an_id_is_found_by_its_owner_alone() {
    on_both_engines(|test| async move {
        let document = "mutation($user: String) { createItem(input: { connectorId: \"2\", clientUserId: $user, \
            parameters: [{ name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { item { id } } }";
        let data = test.data(document, json!({ "user": "ana" })).await;
        let item = id_at(&data, "/createItem/item/id");
        let another = test.connected().await;
        test.data("mutation { createWebhook(input: { url: \"http://127.0.0.1:9/hook\" }) { webhook { id } } }", json!({})).await;
        let rule = "mutation { createCategoryRule(input: { description: \"padaria\", categoryId: \"11010000\", clientUserId: \"ana\" }) { categoryRule { id } } }";
        test.data(rule, json!({})).await;
        test.updated(item, &[]).await;

        let mut ids = BTreeMap::from([
            ("Connector".to_owned(), json!("2")),
            ("Category".to_owned(), json!("05080000")),
        ]);
        let of_user = "query($after: String) { exportClientUser(clientUserId: \"ana\", first: 500, after: $after) { records { __typename ... on Node { id } } cursor } }";
        let mut after = Value::Null;
        loop {
            let page = test.data(of_user, json!({ "after": after })).await;
            let page = &page["exportClientUser"];
            for record in page["records"].as_array().expect("a list") {
                if let (Some(kind), Some(id)) = (record["__typename"].as_str(), record.get("id")) {
                    ids.insert(kind.to_owned(), id.clone());
                }
            }
            after = page["cursor"].clone();
            if after.is_null() {
                break;
            }
        }
        let data = test.data("{ webhooks { nodes { id deliveries(first: 1) { nodes { id } } } } }", json!({})).await;
        ids.insert("Webhook".to_owned(), json!(id_at(&data, "/webhooks/nodes/0/id")));
        ids.insert("Delivery".to_owned(), json!(id_at(&data, "/webhooks/nodes/0/deliveries/nodes/0/id")));

        let schema = types(&graphql::sdl());
        let kinds = schema.iter().filter(|(_, definition)| match &definition.kind {
            TypeKind::Object(object) => object.implements.iter().any(|of| of.node == "Node"),
            _ => false,
        });
        let kinds: BTreeSet<&String> = kinds.map(|(name, _)| name).collect();
        assert_eq!(ids.keys().collect::<BTreeSet<_>>(), kinds);

        let stranger = create_application(&test.app, "Strangers").await;
        let stranger = api_key(&test.app, stranger.id).await;
        let of_item = connect_token(&test, json!({ "itemId": item })).await;
        let of_another = connect_token(&test, json!({ "itemId": another })).await;
        for (kind, id) in &ids {
            let public = PUBLIC.contains(&kind.as_str());
            for (who, whom, finds) in [
                ("the owner", &test.principal, true),
                ("another application", &stranger, public),
                ("the Item's user", &of_item, public || kind == "Item"),
                ("another Item's user", &of_another, public),
            ] {
                let document = "query($id: ID!) { node(id: $id) { __typename id } nodes(ids: [$id]) { __typename id } }";
                let answer = test.query_as(Some(whom.clone()), document, json!({ "id": id })).await;
                let found = if finds { json!({ "__typename": kind, "id": id }) } else { Value::Null };
                assert_eq!(answer, json!({ "data": { "node": found, "nodes": [found] } }), "{who} at {kind}");
            }
        }
    })
    .await;
}
