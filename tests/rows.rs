//! Long lists of plain rows: written down at once, and the same as what the executor answers.

use async_graphql::parser::{
    parse_schema,
    types::{BaseType, FieldDefinition, TypeKind, TypeSystemDefinition},
};
use entity::transaction;
use ponte::graphql;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, EntityTrait as _, IntoActiveModel as _,
    PaginatorTrait as _,
};
use serde_json::json;

use crate::support::{TestApp, on_both_engines};

/// The fields of a type that can be asked for without arguments and without anything below them.
fn scalars(name: &str) -> Vec<String> {
    let document = parse_schema(graphql::sdl()).expect("the schema");
    let mut leaves = vec![
        "ID".to_owned(),
        "String".to_owned(),
        "Boolean".to_owned(),
        "Int".to_owned(),
    ];
    let mut fields: Vec<FieldDefinition> = Vec::new();
    for definition in document.definitions {
        let TypeSystemDefinition::Type(definition) = definition else {
            continue;
        };
        let of = definition.node.name.node.to_string();
        match definition.node.kind {
            TypeKind::Scalar | TypeKind::Enum(_) => leaves.push(of),
            TypeKind::Object(object) if of == name => {
                fields = object.fields.into_iter().map(|field| field.node).collect();
            }
            _ => {}
        }
    }
    let leaf = |field: &FieldDefinition| match &field.ty.node.base {
        BaseType::Named(kind) => {
            leaves.iter().any(|leaf| kind.as_str() == leaf) && field.arguments.is_empty()
        }
        BaseType::List(_) => false,
    };
    fields
        .iter()
        .filter(|field| leaf(field))
        .map(|field| field.name.node.to_string())
        .collect()
}

/// Asks for fields of the rows of a list, plainly and through a fragment, which takes the executor.
async fn both_ways(test: &TestApp, list: &str, kind: &str, fields: &str) {
    let document = |selected: String| {
        format!("{{ items {{ nodes {{ id {list} {{ nodes {{ {selected} }} }} }} }} }}")
    };
    let document = |selected: String| match list {
        "" => format!("{{ items {{ nodes {{ {selected} }} }} }}"),
        "connectors" => format!("{{ connectors {{ nodes {{ {selected} }} }} }}"),
        _ => document(selected),
    };
    let plain = test.data(&document(fields.to_owned()), json!({})).await;
    let executed = document(format!("... on {kind} {{ {fields} }}"));
    let executed = test.data(&executed, json!({})).await;
    assert_eq!(plain, executed, "{fields}");
    assert!(plain.to_string().len() > 40, "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_rows_and_executed_ones_are_the_same() {
    on_both_engines(|test| async move {
        test.connected().await;
        let mut rows = transaction::Entity::find()
            .all(test.app.db.read())
            .await
            .expect("rows");
        let odd = "quote \" slash \\ line \n tab \t bell \u{7} line separator \u{2028} São João 🏦";
        let row = rows.pop().expect("a row");
        let mut row = row.into_active_model();
        row.description = Set(odd.to_owned());
        row.description_raw = Set(Some(odd.to_owned()));
        row.provider_code = Set(Some(odd.to_owned()));
        row.account_amount_units = Set(Some(-1));
        row.account_amount_nanos = Set(Some(-5));
        row.balance_units = Set(Some(0));
        row.balance_nanos = Set(Some(-999_999_999));
        row.posted_on = Set("2026-03-16".parse().expect("a day"));
        row.update(test.app.db.write()).await.expect("stored");
        assert!(
            transaction::Entity::find()
                .count(test.app.db.read())
                .await
                .expect("counted")
                > 20
        );

        for (list, kind) in [
            ("transactions", "Transaction"),
            ("", "Item"),
            ("connectors", "Connector"),
            ("accounts", "Account"),
        ] {
            let fields = scalars(kind);
            assert!(fields.len() > 5, "{kind}: {fields:?}");
            for field in &fields {
                both_ways(&test, list, kind, field).await;
            }
            both_ways(&test, list, kind, &fields.join(" ")).await;
            both_ways(&test, list, kind, "__typename id id other: id").await;
        }
        let with_connector = "id connector { name id country } other: connector { isSandbox }";
        both_ways(&test, "", "Item", with_connector).await;
        both_ways(&test, "", "Item", "connector { id credentials { name } } status").await;
        both_ways(&test, "transactions", "Transaction", "account { id } amount").await;
        let edges = test
            .data(
                "{ items { nodes { transactions(first: 1) { nodes { description } edges { node { description balance } } } } } }",
                json!({}),
            )
            .await;
        let page = &edges["items"]["nodes"][0]["transactions"];
        assert_eq!(page["nodes"][0]["description"], odd);
        assert_eq!(page["edges"][0]["node"], json!({ "description": odd, "balance": "-0.999999999" }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directive_on_a_plain_row_is_heeded() {
    on_both_engines(|test| async move {
        test.connected().await;
        let document = "query($no: Boolean!) { items { nodes { id status @include(if: $no) transactions(first: 1) { nodes { id amount @skip(if: true) } } } } }";
        let data = test.data(document, json!({ "no": false })).await;
        let item = &data["items"]["nodes"][0];
        assert!(item.get("status").is_none() && item["id"].is_string(), "{item}");
        let row = &item["transactions"]["nodes"][0];
        assert!(row.get("amount").is_none() && row["id"].is_string(), "{row}");
    })
    .await;
}
