//! Every field of every type that hangs from an Item, asked of the sandbox's personas: none is an error, and hardly one is
//! null with all of them.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql_parser::types::{BaseType, ObjectType, Type, TypeKind, TypeSystemDefinition};
use ponte::{auth::application::Interval, graphql};
use serde_json::{Value, json};

use crate::support::{
    TestApp, on_both_engines, operator,
    receiver::{Answer, Receiver},
};

/// The object types of the schema, by name.
type Schema = BTreeMap<String, ObjectType>;

fn schema() -> Schema {
    let document = async_graphql_parser::parse_schema(graphql::sdl()).expect("the schema");
    let objects = document
        .definitions
        .into_iter()
        .filter_map(|one| match one {
            TypeSystemDefinition::Type(definition) => match definition.node.kind {
                TypeKind::Object(object) => Some((definition.node.name.node.to_string(), object)),
                _ => None,
            },
            _ => None,
        });
    objects.collect()
}

fn named(ty: &Type) -> &str {
    match &ty.base {
        BaseType::Named(name) => name,
        BaseType::List(of) => named(of),
    }
}

/// What is asked of a type: every field that needs no argument, down to where types come again. `None` for unions. Notes
/// each nullable field as never seen so far, so that what no answer has reached counts as null.
fn selection(
    schema: &Schema,
    name: &str,
    path: &mut Vec<String>,
    seen: &mut BTreeMap<String, bool>,
) -> Option<String> {
    let object = schema.get(name)?;
    let owner = name;
    path.push(name.to_owned());
    let mut fields = Vec::new();
    for field in &object.fields {
        let field = &field.node;
        let (name, of) = (field.name.node.as_str(), named(&field.ty.node));
        let page = path.last().is_some_and(|it| it.ends_with("Connection"));
        let needs = |it: &&async_graphql_parser::Positioned<
            async_graphql_parser::types::InputValueDefinition,
        >| { !it.node.ty.node.nullable && it.node.default_value.is_none() };
        let again = path.iter().any(|one| one == of);
        if again || field.arguments.iter().any(|it| needs(&it)) || (page && name != "nodes") {
            continue;
        }
        let first = field
            .arguments
            .iter()
            .any(|it| it.node.name.node == "first");
        let first = if first { "(first: 40)" } else { "" };
        if schema.contains_key(of) {
            let Some(inner) = selection(schema, of, path, seen) else {
                continue;
            };
            fields.push(format!("{name}{first} {inner}"));
        } else if !matches!(of, "Node" | "ExportRecord") {
            fields.push(format!("{name}{first}"));
        } else {
            continue;
        }
        if field.ty.node.nullable {
            seen.entry(format!("{owner}.{name}")).or_default();
        }
    }
    path.pop();
    (!fields.is_empty()).then(|| format!("{{ {} }}", fields.join(" ")))
}

/// Notes of each nullable field whether it was ever there.
fn look(schema: &Schema, name: &str, value: &Value, seen: &mut BTreeMap<String, bool>) {
    let (Some(object), Some(answer)) = (schema.get(name), value.as_object()) else {
        return;
    };
    for field in &object.fields {
        let field = &field.node;
        let Some(value) = answer.get(field.name.node.as_str()) else {
            continue;
        };
        if field.ty.node.nullable {
            let there = seen
                .entry(format!("{name}.{}", field.name.node))
                .or_default();
            *there |= !value.is_null();
        }
        let of = named(&field.ty.node);
        for one in value.as_array().into_iter().flatten() {
            look(schema, of, one, seen);
        }
        look(schema, of, value, seen);
    }
}

/// Connectors, and what is logged in to them with.
const PERSONAS: [(&str, &[(&str, &str)]); 14] = [
    ("2", &[("user", "user-ok"), OK]),
    ("2", &[("user", "user-ok-two-checking-accounts"), OK]),
    ("8", &[("user", "user-ok"), OK]),
    ("16", &[("user", "user-ok"), OK]),
    ("20", &[("user", "user-ok"), OK]),
    ("0", &[("user", "user-locked"), OK]),
    (
        "0",
        &[("user", "user-account-need-actions-provider-message"), OK],
    ),
    ("0", &[("user", "user-ok-auth-pending"), OK]),
    ("0", &[("user", "user-ok-account-error"), OK]),
    ("0", &[("user", "user-ok-account-warning"), OK]),
    ("1", &[("user", "user-ok"), OK, ("token", "123456")]),
    ("3", &[("user", "user-ok"), OK]),
    ("12", &[("cooperative", "0102"), ("user", "user-ok"), OK]),
    // Waits for its user to come back from the bank's site.
    ("600", &[("cpf", "761.092.776-73")]),
];
const OK: (&str, &str) = ("password", "password-ok");

async fn ask(test: &TestApp, schema: &Schema, seen: &mut BTreeMap<String, bool>) {
    // So that there are deliveries; one answer is not what it should be.
    let receiver = Receiver::start().await;
    receiver.script([Answer::Echo]);
    let webhook = "mutation($url: String!) { createWebhook(input: { url: $url, description: \"All\", maxPerSecond: 1000 }) { webhook { id } } }";
    test.data(webhook, json!({ "url": receiver.url })).await;
    let application = test.owner.id;
    let daily = Some(Interval::Hours(24));
    let changed = operator(&test.app).set_auto_sync(application, daily).await;
    changed.expect("an interval");
    let known = test.app.applications.refresh(&test.app.db).await;
    known.expect("applications");
    for (connector, values) in PERSONAS {
        let parameters = values
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }));
        let input = json!({ "connectorId": connector, "clientUserId": "ana", "parameters": parameters.collect::<Vec<_>>(),
            "webhookUrl": receiver.url, "oauthRedirectUri": "https://app.example/back" });
        let document =
            "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        let data = test.data(document, json!({ "input": input })).await;
        let id = crate::support::id_at(&data, "/createItem/item/id");
        test.settle().await;
        // One field of the Item at a time: together they are more than one document may ask.
        for field in &schema["Item"].fields {
            let name = field.node.name.node.as_str();
            let of = named(&field.node.ty.node);
            let first = field
                .node
                .arguments
                .iter()
                .any(|it| it.node.name.node == "first");
            let first = if first { "(first: 40)" } else { "" };
            let inner = if schema.contains_key(of) {
                match selection(schema, of, &mut vec!["Item".to_owned()], seen) {
                    Some(inner) => inner,
                    None => continue,
                }
            } else {
                String::new()
            };
            let ways = if name == "transactionSummary" {
                vec![
                    "(groupBy: [ACCOUNT])",
                    "(groupBy: [CATEGORY, MONTH])",
                    "(groupBy: [STATUS, TYPE])",
                ]
            } else {
                vec![first]
            };
            for way in ways {
                let document =
                    format!("query($id: ID!) {{ item(id: $id) {{ {name}{way} {inner} }} }}");
                let data = test.data(&document, json!({ "id": id })).await;
                look(schema, "Item", &data["item"], seen);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_of_every_type_of_an_item_answers_and_hardly_one_is_always_null() {
    on_both_engines(|test| async move {
        let schema = schema();
        let mut seen = BTreeMap::new();
        ask(&test, &schema, &mut seen).await;
        let never: BTreeSet<&str> = seen
            .iter()
            .filter(|(_, there)| !**there)
            .map(|(name, _)| name.as_str())
            .collect();
        println!(
            "{} nullable fields, {} never there: {never:#?}",
            seen.len(),
            never.len()
        );
        assert!(seen.len() > 300, "{} nullable fields", seen.len());
        assert!(
            never.len() * 20 < seen.len(),
            "{} of {}",
            never.len(),
            seen.len()
        );
    })
    .await;
}
