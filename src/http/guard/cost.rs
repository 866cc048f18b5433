//! What a parsed document amounts to with its fragments expanded, without expanding them.
//!
//! Each fragment is added up once and its sum reused at every spread. Relies on the scan for bounded nesting: the walk
//! recurses over brackets, never over fragments.

use std::collections::{HashMap, HashSet};

use async_graphql_parser::types::{
    DocumentOperations, ExecutableDocument, Field, OperationDefinition, OperationType, Selection,
    SelectionSet,
};

use super::{
    ALIASES, Anonymous, DEFINITIONS, DEPTH, DIRECTIVES, INTROSPECTION, INTROSPECTIONS, NESTING,
    NODES, Rejection,
};

/// What stands at the root of an operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Root {
    /// Fields, repetitions counted.
    pub(super) fields: usize,
    introspection: bool,
    create_api_key: bool,
    other: bool,
}

impl Root {
    fn field(name: &str) -> Self {
        Self {
            fields: 1,
            introspection: matches!(name, "__schema" | "__type"),
            create_api_key: name == "createApiKey",
            other: !matches!(name, "__typename" | "__schema" | "__type" | "createApiKey"),
        }
    }

    fn and(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            introspection: self.introspection || other.introspection,
            create_api_key: self.create_api_key || other.create_api_key,
            other: self.other || other.other,
        }
    }

    pub(super) fn anonymous(self, operation: OperationType) -> Anonymous {
        match operation {
            OperationType::Query if self.other || self.create_api_key => Anonymous::Refused,
            OperationType::Query if self.introspection => Anonymous::Introspection,
            OperationType::Mutation if self.other || self.introspection => Anonymous::Refused,
            OperationType::Query | OperationType::Mutation => Anonymous::Allowed,
            OperationType::Subscription => Anonymous::Refused,
        }
    }
}

/// What a selection set amounts to, fragments expanded. Sums and maxima saturate.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    nodes: usize,
    aliases: usize,
    directives: usize,
    introspections: usize,
    /// Fields inside one another.
    depth: usize,
    /// Selections of any kind inside one another.
    nesting: usize,
    /// Names of introspection's lists inside one another, whatever they stand below.
    lists: usize,
    /// The same, below `__schema` or `__type`.
    introspected_lists: usize,
    root: Root,
}

impl Cost {
    /// Of two things beside one another.
    fn and(self, other: Self) -> Self {
        Self {
            nodes: self.nodes.saturating_add(other.nodes),
            aliases: self.aliases.saturating_add(other.aliases),
            directives: self.directives.saturating_add(other.directives),
            introspections: self.introspections.saturating_add(other.introspections),
            depth: self.depth.max(other.depth),
            nesting: self.nesting.max(other.nesting),
            lists: self.lists.max(other.lists),
            introspected_lists: self.introspected_lists.max(other.introspected_lists),
            root: self.root.and(other.root),
        }
    }

    /// Of a selection around this.
    fn inside(self, directives: usize) -> Self {
        Self {
            nodes: self.nodes.saturating_add(1),
            directives: self.directives.saturating_add(directives),
            nesting: self.nesting.saturating_add(1),
            ..self
        }
    }

    /// Of a field around this.
    fn inside_field(self, field: &Field) -> Self {
        let name = field.name.node.as_str();
        let introspection = matches!(name, "__schema" | "__type");
        let list = matches!(
            name,
            "fields" | "inputFields" | "interfaces" | "possibleTypes"
        );
        Self {
            aliases: self
                .aliases
                .saturating_add(usize::from(field.alias.is_some())),
            introspections: self
                .introspections
                .saturating_add(usize::from(introspection)),
            depth: self.depth.saturating_add(1),
            lists: self.lists.saturating_add(usize::from(list)),
            introspected_lists: if introspection {
                self.introspected_lists.max(self.lists)
            } else {
                self.introspected_lists
            },
            root: Root::field(name),
            ..self.inside(field.directives.len())
        }
    }

    fn with_directives(self, directives: usize) -> Self {
        Self {
            directives: self.directives.saturating_add(directives),
            ..self
        }
    }

    fn check(self) -> Result<(), Rejection> {
        for (limit, amount, most, what) in [
            ("nodes", self.nodes, NODES, "fields and fragments"),
            ("aliases", self.aliases, ALIASES, "aliases"),
            ("directives", self.directives, DIRECTIVES, "directives"),
            ("depth", self.depth, DEPTH, "fields inside one another"),
            (
                "nesting",
                self.nesting,
                NESTING,
                "selections inside one another",
            ),
            (
                "introspection",
                self.introspected_lists,
                INTROSPECTION,
                "lists of fields or types inside one another in an introspection",
            ),
            (
                "introspection",
                self.introspections,
                INTROSPECTIONS,
                "selections of __schema and __type",
            ),
        ] {
            if amount > most {
                let message = format!(
                    "the document has more than {most} {what}, counting fragments wherever they are spread"
                );
                return Err(Rejection::limit(limit, most, message));
            }
        }
        Ok(())
    }
}

/// What [`judge`] found out about a document within the limits.
pub(super) struct Judged {
    pub(super) nodes: usize,
    pub(super) introspections: usize,
    pub(super) selected: Option<(OperationType, Root)>,
}

/// Refuses a document beyond the limits, and describes its selected operation.
pub(super) fn judge(
    document: &ExecutableDocument,
    select: impl FnOnce(&DocumentOperations) -> Option<&OperationDefinition>,
) -> Result<Judged, Rejection> {
    let definitions = document.operations.iter().len() + document.fragments.len();
    if definitions > DEFINITIONS {
        let message = format!("the document has more than {DEFINITIONS} operations and fragments");
        return Err(Rejection::limit("definitions", DEFINITIONS, message));
    }
    let mut sums = Sums::of_fragments(document)?;
    let mut total = Cost::default();
    for (_, operation) in document.operations.iter() {
        total = total.and(sums.operation(&operation.node));
    }
    // A fragment that nothing spreads is validated all the same.
    for (name, cost) in &sums.fragments {
        if !sums.spread.contains(name) {
            total = total.and(cost.unwrap_or_default());
        }
    }
    total.check()?;
    Ok(Judged {
        nodes: total.nodes,
        introspections: total.introspections,
        selected: select(&document.operations)
            .map(|operation| (operation.ty, sums.operation(operation).root)),
    })
}

/// The costs of a document's fragments.
struct Sums<'a> {
    /// Every fragment there is; none while it waits for another one's cost.
    fragments: HashMap<&'a str, Option<Cost>>,
    /// Names that are spread somewhere.
    spread: HashSet<&'a str>,
}

impl<'a> Sums<'a> {
    /// Adds up fragments whose spreads are known until all are; those that never get there spread each other.
    fn of_fragments(document: &'a ExecutableDocument) -> Result<Self, Rejection> {
        let mut sums = Self {
            fragments: document
                .fragments
                .keys()
                .map(|name| (name.as_str(), None))
                .collect(),
            spread: HashSet::new(),
        };
        let mut waiting: Vec<_> = document.fragments.iter().collect();
        while !waiting.is_empty() {
            let before = waiting.len();
            waiting.retain(|(name, fragment)| {
                let cost = sums
                    .selections(&fragment.node.selection_set.node)
                    .map(|cost| cost.with_directives(fragment.node.directives.len()));
                sums.fragments.insert(name.as_str(), cost);
                cost.is_none()
            });
            if waiting.len() == before {
                let message = "fragments spread each other in a circle";
                return Err(Rejection::limit("depth", DEPTH, message));
            }
        }
        Ok(sums)
    }

    fn operation(&mut self, operation: &'a OperationDefinition) -> Cost {
        let variables = &operation.variable_definitions;
        let directives = variables
            .iter()
            .map(|variable| variable.node.directives.len())
            .fold(operation.directives.len(), usize::saturating_add);
        self.selections(&operation.selection_set.node)
            .expect("every fragment is added up before any operation")
            .with_directives(directives)
    }

    /// None when a fragment that it spreads is not added up yet.
    fn selections(&mut self, set: &'a SelectionSet) -> Option<Cost> {
        let mut total = Cost::default();
        for selection in &set.items {
            let directives = selection.node.directives().len();
            total = total.and(match &selection.node {
                Selection::Field(field) => self
                    .selections(&field.node.selection_set.node)?
                    .inside_field(&field.node),
                Selection::InlineFragment(fragment) => self
                    .selections(&fragment.node.selection_set.node)?
                    .inside(directives),
                Selection::FragmentSpread(spread) => {
                    let name = spread.node.fragment_name.node.as_str();
                    self.spread.insert(name);
                    match self.fragments.get(name) {
                        Some(known) => (*known)?.inside(directives),
                        None => Cost {
                            root: Root {
                                other: true,
                                ..Root::default()
                            },
                            ..Cost::default().inside(directives)
                        },
                    }
                }
            });
        }
        Some(total)
    }
}
