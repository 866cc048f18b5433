//! The public schema: kept beside the code, described for clients, true to the contract.

use std::{collections::BTreeMap, fs, path::Path};

use async_graphql_parser::{
    parse_schema,
    types::{
        FieldDefinition, InputValueDefinition, TypeDefinition, TypeKind, TypeSystemDefinition,
    },
};
use ponte::graphql;

/// What clients build upon: names, arguments and types may not change, more may be added.
const CONTRACT: &str = include_str!("contract.graphql");

pub fn types(sdl: &str) -> BTreeMap<String, TypeDefinition> {
    let document = parse_schema(sdl).unwrap_or_else(|error| panic!("{error}"));
    let types = document.definitions.into_iter().filter_map(|definition| {
        let TypeSystemDefinition::Type(definition) = definition else {
            return None;
        };
        Some((definition.node.name.node.to_string(), definition.node))
    });
    types.collect()
}

pub fn fields(definition: &TypeDefinition) -> Vec<&FieldDefinition> {
    match &definition.kind {
        TypeKind::Object(object) => object.fields.iter().map(|field| &field.node).collect(),
        TypeKind::Interface(object) => object.fields.iter().map(|field| &field.node).collect(),
        _ => Vec::new(),
    }
}

fn inputs(definition: &TypeDefinition) -> Vec<&InputValueDefinition> {
    match &definition.kind {
        TypeKind::InputObject(object) => object.fields.iter().map(|field| &field.node).collect(),
        _ => Vec::new(),
    }
}

pub fn values(definition: &TypeDefinition) -> Vec<String> {
    match &definition.kind {
        TypeKind::Enum(enumeration) => enumeration
            .values
            .iter()
            .map(|value| value.node.value.node.to_string())
            .collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_schema_in_the_repository_is_the_one_that_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema.graphql");
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept.trim() == graphql::sdl().trim(),
        "schema.graphql is stale; mend it with: cargo run -- schema > schema.graphql"
    );
}

#[test]
fn every_element_says_what_it_means() {
    let mut silent = Vec::new();
    let mut seen = 0;
    for (name, definition) in types(&graphql::sdl()) {
        let mut told = |path: String, description: Option<&str>| {
            seen += 1;
            if description.is_none_or(|text| text.trim().is_empty()) {
                silent.push(path);
            }
        };
        let text = definition.description.as_ref();
        told(name.clone(), text.map(|text| text.node.as_str()));
        for field in fields(&definition) {
            let path = format!("{name}.{}", field.name.node);
            let text = field.description.as_ref();
            told(path.clone(), text.map(|text| text.node.as_str()));
            for argument in &field.arguments {
                let text = argument.node.description.as_ref();
                told(
                    format!("{path}({})", argument.node.name.node),
                    text.map(|text| text.node.as_str()),
                );
            }
        }
        for input in inputs(&definition) {
            let text = input.description.as_ref();
            told(
                format!("{name}.{}", input.name.node),
                text.map(|text| text.node.as_str()),
            );
        }
        if let TypeKind::Enum(enumeration) = &definition.kind {
            for value in &enumeration.values {
                let text = value.node.description.as_ref();
                told(
                    format!("{name}.{}", value.node.value.node),
                    text.map(|text| text.node.as_str()),
                );
            }
        }
    }
    assert!(seen > 300, "only {seen} elements were read");
    assert!(silent.is_empty(), "without a description: {silent:#?}");
}

#[test]
fn what_the_contract_promises_is_served_as_promised() {
    let (promised, served) = (types(CONTRACT), types(&graphql::sdl()));
    let mut missing = Vec::new();
    for (name, promise) in &promised {
        let Some(definition) = served.get(name) else {
            missing.push(name.clone());
            continue;
        };
        let same_kind =
            std::mem::discriminant(&promise.kind) == std::mem::discriminant(&definition.kind);
        if !same_kind {
            missing.push(format!("{name} of the same kind"));
        }
        for field in fields(promise) {
            let path = format!("{name}.{}", field.name.node);
            match fields(definition)
                .iter()
                .find(|other| other.name == field.name)
            {
                None => missing.push(path),
                Some(other) => {
                    if other.ty.node != field.ty.node {
                        missing.push(format!("{path}: {} (is {})", field.ty.node, other.ty.node));
                    }
                    for argument in &field.arguments {
                        let found = other.arguments.iter().any(|given| {
                            given.node.name == argument.node.name
                                && given.node.ty.node == argument.node.ty.node
                        });
                        if !found {
                            missing.push(format!("{path}({})", argument.node.name.node));
                        }
                    }
                    for given in &other.arguments {
                        let new = !field
                            .arguments
                            .iter()
                            .any(|argument| given.node.name == argument.node.name);
                        if new && !given.node.ty.node.nullable && given.node.default_value.is_none()
                        {
                            missing.push(format!(
                                "{path} without a required {}",
                                given.node.name.node
                            ));
                        }
                    }
                }
            }
        }
        for input in inputs(promise) {
            let found = inputs(definition)
                .iter()
                .any(|other| other.name == input.name && other.ty.node == input.ty.node);
            if !found {
                missing.push(format!("{name}.{}: {}", input.name.node, input.ty.node));
            }
        }
        for input in inputs(definition) {
            let new = !inputs(promise).iter().any(|other| other.name == input.name);
            if new && !input.ty.node.nullable && input.default_value.is_none() {
                missing.push(format!("{name} without a required {}", input.name.node));
            }
        }
        for value in values(promise) {
            if !values(definition).contains(&value) {
                missing.push(format!("{name}.{value}"));
            }
        }
        if let (TypeKind::Object(promise), TypeKind::Object(object)) =
            (&promise.kind, &definition.kind)
        {
            for interface in &promise.implements {
                if !object.implements.contains(interface) {
                    missing.push(format!("{name} implements {}", interface.node));
                }
            }
        }
    }
    assert!(
        promised.len() > 50,
        "only {} types were read",
        promised.len()
    );
    assert!(missing.is_empty(), "promised, not served: {missing:#?}");
}

#[test]
fn the_readme_lists_every_error_code_and_no_other() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let read = |path: &str| std::fs::read_to_string(format!("{folder}/{path}")).expect(path);
    let readme = read("README.md");
    let listed: std::collections::BTreeSet<String> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(code, _)| code.to_owned())
        .collect();
    let source = read("src/error.rs");
    let codes = source
        .split("pub fn code(&self)")
        .nth(1)
        .expect("the codes");
    let codes = codes.split("pub fn extensions").next().expect("the codes");
    let mut known: std::collections::BTreeSet<String> = codes
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect();
    // What is found before a resolver runs.
    known.extend(["PARSE_FAILED", "VALIDATION_FAILED", "DOCUMENT_REJECTED"].map(str::to_owned));
    assert_eq!(listed, known);
}
