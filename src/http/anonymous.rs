//! What of a document a caller without a token may have looked at.
//!
//! Validation answers differently for names that exist and names that do not. So a document of such a caller is cut down
//! to its selected operation and what that spreads, and must name no type that is not everybody's.

use std::collections::HashSet;

use async_graphql_parser::types::{
    BaseType, DocumentOperations, ExecutableDocument, OperationDefinition, Selection, SelectionSet,
    Type,
};

use super::guard;

/// Types that anybody may name.
const KNOWN: [&str; 9] = [
    "Query",
    "Mutation",
    "CreateApiKeyInput",
    "CreateApiKeyPayload",
    "ID",
    "String",
    "Boolean",
    "Int",
    "Float",
];

/// The selected operation and what it spreads, alone.
pub(super) fn reduce(
    mut document: ExecutableDocument,
    operation_name: Option<&str>,
) -> ExecutableDocument {
    if let DocumentOperations::Multiple(operations) = &mut document.operations
        && let Some(name) = operation_name
    {
        operations.retain(|each, _| each == name);
    }
    let spread = match guard::select(&document.operations, operation_name) {
        Some(operation) => spread(&document, operation),
        None => HashSet::new(),
    };
    document
        .fragments
        .retain(|name, _| spread.contains(name.as_str()));
    document
}

/// Whether a reduced document names only types that are everybody's.
pub(super) fn names_nothing(document: &ExecutableDocument) -> bool {
    let operations = document.operations.iter().all(|(_, operation)| {
        let variables = &operation.node.variable_definitions;
        variables
            .iter()
            .all(|variable| known(named(&variable.node.var_type.node)))
            && conditions_known(&operation.node.selection_set.node)
    });
    operations
        && document.fragments.values().all(|fragment| {
            known(&fragment.node.type_condition.node.on.node)
                && conditions_known(&fragment.node.selection_set.node)
        })
}

fn known(name: &str) -> bool {
    KNOWN.contains(&name)
}

fn named(kind: &Type) -> &str {
    match &kind.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => named(inner),
    }
}

/// Recurses over brackets, which the guard has bounded.
fn conditions_known(set: &SelectionSet) -> bool {
    set.items.iter().all(|selection| match &selection.node {
        Selection::Field(field) => conditions_known(&field.node.selection_set.node),
        Selection::FragmentSpread(_) => true,
        Selection::InlineFragment(fragment) => {
            let condition = fragment.node.type_condition.as_ref();
            condition.is_none_or(|condition| known(&condition.node.on.node))
                && conditions_known(&fragment.node.selection_set.node)
        }
    })
}

/// The names of all fragments that an operation spreads, directly or through others.
fn spread(document: &ExecutableDocument, operation: &OperationDefinition) -> HashSet<String> {
    let mut names = HashSet::new();
    let mut sets = vec![&operation.selection_set.node];
    while let Some(set) = sets.pop() {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => sets.push(&field.node.selection_set.node),
                Selection::InlineFragment(fragment) => {
                    sets.push(&fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if names.insert(name.to_string())
                        && let Some(fragment) = document.fragments.get(name)
                    {
                        sets.push(&fragment.node.selection_set.node);
                    }
                }
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use async_graphql_parser::parse_query;

    use super::*;

    fn reduced(document: &str, name: Option<&str>) -> (usize, Vec<String>, bool) {
        let reduced = reduce(parse_query(document).expect("a document"), name);
        let mut fragments: Vec<_> = reduced.fragments.keys().map(ToString::to_string).collect();
        fragments.sort();
        let nothing = names_nothing(&reduced);
        (reduced.operations.iter().len(), fragments, nothing)
    }

    #[test]
    fn only_the_selected_operation_and_what_it_spreads_is_looked_at() {
        let document = "
            query A { ...F } query B { item { secret } }
            fragment F on Query { ...G } fragment G on Query { __typename } fragment H on Item { id }";
        assert_eq!(
            reduced(document, Some("A")),
            (1, vec!["F".to_owned(), "G".to_owned()], true)
        );
        assert_eq!(
            reduced("{ __typename } fragment H on Item { id }", None),
            (1, vec![], true)
        );
    }

    #[test]
    fn types_that_are_not_everybodys_are_not_named() {
        for (document, expected) in [
            (
                "mutation($i: CreateApiKeyInput!) { createApiKey(input: $i) { apiKey } }",
                true,
            ),
            ("query($i: [Item!]) { __typename }", false),
            ("{ ... on Query { __typename } }", true),
            ("{ ... on Item { __typename } }", false),
            ("{ ...F } fragment F on Item { __typename }", false),
            ("mutation { createApiKey { ... on Item { id } } }", false),
        ] {
            assert_eq!(reduced(document, None).2, expected, "{document}");
        }
    }
}
