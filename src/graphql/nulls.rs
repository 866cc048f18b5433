//! What an answer shows in the place of a field that failed.
//!
//! The executor leaves such a field out. GraphQL wants null there, or, where the schema says that there is no null, in
//! the place of the nearest object or element above it that may be null, up to the whole of `data`.

use std::collections::HashMap;

use super::error::is_ours;
use async_graphql::{
    Name, PathSegment, Response, Value,
    indexmap::IndexMap,
    parser::{
        parse_schema,
        types::{
            BaseType, ExecutableDocument, OperationType, Selection, SelectionSet, Type, TypeKind,
            TypeSystemDefinition,
        },
    },
};

/// The types of all fields.
pub struct Types(HashMap<Name, HashMap<Name, Type>>);

impl Types {
    /// Reads them from the schema's text.
    pub fn read(sdl: &str) -> Self {
        let document = parse_schema(sdl).expect("the schema's own text");
        let mut types = HashMap::new();
        for definition in document.definitions {
            let TypeSystemDefinition::Type(definition) = definition else {
                continue;
            };
            let fields = match definition.node.kind {
                TypeKind::Object(object) => object.fields,
                TypeKind::Interface(interface) => interface.fields,
                _ => continue,
            };
            let fields = fields
                .into_iter()
                .map(|field| (field.node.name.node, field.node.ty.node))
                .collect();
            types.insert(definition.node.name.node, fields);
        }
        Self(types)
    }

    /// Puts nulls where fields of an answer failed.
    pub fn put(&self, document: &ExecutableDocument, name: Option<&str>, response: &mut Response) {
        let errors = &response.errors;
        // What has failed in coercing arguments alone was never run, and is told like a document that is not valid.
        let refused = response.data == Value::Null && !errors.iter().any(is_ours);
        if errors.is_empty() || refused {
            return;
        }
        let operation = document.operations.iter().find(|(known, _)| {
            name.is_none_or(|name| known.is_some_and(|known| known.as_str() == name))
        });
        let Some((_, operation)) = operation else {
            return;
        };
        let root = match operation.node.ty {
            OperationType::Query => "Query",
            OperationType::Mutation => "Mutation",
            OperationType::Subscription => "Subscription",
        };
        let selected = &operation.node.selection_set.node;
        let places: Vec<_> = errors
            .iter()
            .filter(|error| !error.path.is_empty())
            .filter_map(|error| {
                let nullable = self.nullable(document, selected, root, &error.path)?;
                Some((error.path.clone(), nullable))
            })
            .collect();
        // First every failed field is there, then those that must not be null take what is around them along.
        for (path, _) in &places {
            insert(&mut response.data, path);
        }
        for (path, nullable) in &places {
            let kept = nullable.iter().rposition(|nullable| *nullable);
            clear(&mut response.data, kept.map_or(&[], |last| &path[..=last]));
        }
    }

    /// For each step of a path, whether what is there may be null.
    fn nullable(
        &self,
        document: &ExecutableDocument,
        selected: &SelectionSet,
        root: &str,
        path: &[PathSegment],
    ) -> Option<Vec<bool>> {
        let mut sets = vec![(selected, Name::new(root))];
        let mut kind: Option<&Type> = None;
        let mut nullable = Vec::with_capacity(path.len());
        for segment in path {
            match segment {
                PathSegment::Index(_) => {
                    let BaseType::List(element) = &kind?.base else {
                        return None;
                    };
                    kind = Some(element);
                    nullable.push(element.nullable);
                }
                PathSegment::Field(key) => {
                    let mut below = Vec::new();
                    let mut found = None;
                    for (set, parent) in sets {
                        self.select(document, set, &parent, key, &mut |field, below_it| {
                            found = Some(field);
                            below.push((below_it, named(&field.base)));
                        });
                    }
                    let field = found?;
                    nullable.push(field.nullable);
                    kind = Some(field);
                    sets = below;
                }
            }
        }
        Some(nullable)
    }

    /// Calls back for each field of a selection that answers under a key, with its type and what is selected of it.
    fn select<'a>(
        &'a self,
        document: &'a ExecutableDocument,
        set: &'a SelectionSet,
        parent: &Name,
        key: &str,
        found: &mut impl FnMut(&'a Type, &'a SelectionSet),
    ) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    if field.response_key().node.as_str() == key
                        && let Some(fields) = self.0.get(parent)
                        && let Some(kind) = fields.get(&field.name.node)
                    {
                        found(kind, &field.selection_set.node);
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let on = condition.map_or(parent, |condition| &condition.node.on.node);
                    let set = &fragment.node.selection_set.node;
                    self.select(document, set, on, key, found);
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = document.fragments.get(&spread.node.fragment_name.node)
                    {
                        let on = &fragment.node.type_condition.node.on.node;
                        let set = &fragment.node.selection_set.node;
                        self.select(document, set, on, key, found);
                    }
                }
            }
        }
    }
}

fn named(base: &BaseType) -> Name {
    match base {
        BaseType::Named(name) => name.clone(),
        BaseType::List(element) => named(&element.base),
    }
}

/// Makes sure that there is something at a path. An object that lost all its fields has become null.
fn insert(data: &mut Value, path: &[PathSegment]) {
    match path {
        [] => {}
        [PathSegment::Field(key), rest @ ..] => {
            if *data == Value::Null {
                *data = Value::Object(IndexMap::new());
            }
            if let Value::Object(object) = data {
                insert(object.entry(Name::new(key)).or_default(), rest);
            }
        }
        [PathSegment::Index(index), rest @ ..] => {
            if let Value::List(list) = data
                && let Some(element) = list.get_mut(*index)
            {
                insert(element, rest);
            }
        }
    }
}

/// Puts null at a path.
fn clear(data: &mut Value, path: &[PathSegment]) {
    match (path, data) {
        ([], data) => *data = Value::Null,
        ([PathSegment::Field(key), rest @ ..], Value::Object(object)) => {
            if let Some(value) = object.get_mut(key.as_str()) {
                clear(value, rest);
            }
        }
        ([PathSegment::Index(index), rest @ ..], Value::List(list)) => {
            if let Some(element) = list.get_mut(*index) {
                clear(element, rest);
            }
        }
        _ => {}
    }
}
