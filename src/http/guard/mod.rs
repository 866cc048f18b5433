//! What a GraphQL document may cost, judged before anything walks it.
//!
//! Promises, for every document however hostile: the parser and everything behind it see at most [`NESTING`] open brackets,
//! so that no recursion overflows a stack; the document, with its fragments expanded, has at most [`NODES`] nodes, so that
//! validation and execution stay linear in what a request may pay for; no message repeats the document. All of it takes
//! time linear in the document (its fragments are looked at once each, not once a spread) and is pure.
//!
//! Every transport goes through [`inspect`] and hands the parsed document on, so that there is one parse and one judgement.
//! Whether introspection is on, who is asking and whether names exist is left to others; [`Inspected::anonymous`] only says
//! what a caller without a token would be asking for.

mod cost;
mod known;
mod scan;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_graphql_parser::{
    parse_query,
    types::{DocumentOperations, ExecutableDocument, OperationDefinition, OperationType},
};

pub use scan::{scan, scan_json};

/// Most bytes of a document.
pub const SIZE: usize = 64 * 1024;
/// Most bytes of a name: names come back in answers, as keys, paths and in messages.
pub const NAME: usize = 200;
/// Most lexical tokens of a document, comments included.
pub const TOKENS: usize = 2_000;
/// Most brackets of any kind open at once, in a document or in JSON; also most selections inside one another once
/// fragments are expanded.
pub const NESTING: usize = 32;
/// Most fields inside one another, fragments expanded. The standard introspection query needs 15.
pub const DEPTH: usize = 15;
/// Most fields, inline fragments and spreads, fragments expanded.
pub const NODES: usize = 2_000;
/// Most aliases, fragments expanded.
pub const ALIASES: usize = 30;
/// Most operations and fragments.
pub const DEFINITIONS: usize = 10;
/// Most directives, fragments expanded.
pub const DIRECTIVES: usize = 50;
/// Most lists of fields or types inside one another below `__schema` or `__type`, whose graph has cycles.
pub const INTROSPECTION: usize = 2;
/// Most selections of `__schema` and `__type`, fragments expanded.
pub const INTROSPECTIONS: usize = 10;

/// Why a document is not looked at further. `Display` is the message for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is not a GraphQL document.
    #[error("{message}")]
    Parse {
        /// What was expected, without the text that was found.
        message: String,
        /// Line, from 1.
        line: usize,
        /// Character in the line, from 1.
        column: usize,
    },
    /// It asks for more than a document may.
    #[error("{message}")]
    Limit {
        /// Which limit: `size`, `name`, `tokens`, `nesting`, `depth`, `nodes`, `aliases`, `definitions`, `directives` or
        /// `introspection`.
        limit: &'static str,
        /// The most that is accepted.
        most: usize,
        /// What there is too much of, and how much is accepted.
        message: String,
    },
}

impl Rejection {
    /// The stable public code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Parse { .. } => "PARSE_FAILED",
            Self::Limit { .. } => "DOCUMENT_REJECTED",
        }
    }

    fn limit(limit: &'static str, most: usize, message: impl Into<String>) -> Self {
        Self::Limit {
            limit,
            most,
            message: message.into(),
        }
    }
}

/// What the selected operation asks of a caller without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anonymous {
    /// Nothing but `__typename`, or on a mutation `createApiKey`: anyone may run it.
    Allowed,
    /// A query for the schema and nothing else: anyone may run it where introspection is on.
    Introspection,
    /// Anything else, or no operation: it needs a token.
    Refused,
}

pub use self::known::Known;

/// A document within the limits.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// The document, parsed.
    pub document: Arc<ExecutableDocument>,
    /// What kind of operation the operation name selects; none when it selects none.
    pub operation: Option<OperationType>,
    /// What a caller without a token would be asking for.
    pub anonymous: Anonymous,
    /// Fields at the root of the selected operation, fragments expanded, repetitions counted: for a mutation, how often
    /// something is done.
    pub root_fields: usize,
    /// Fields, inline fragments and spreads of the whole document, fragments expanded.
    pub nodes: usize,
    /// Selections of `__schema` and `__type` in the whole document, fragments expanded.
    pub introspections: usize,
}

/// Scans, parses and judges a document, and tells what its selected operation is.
///
/// All operations and fragments count towards the limits, also those that are not selected or not used.
pub fn inspect(document: &str, operation_name: Option<&str>) -> Result<Inspected, Rejection> {
    scan(document)?;
    let document = parse_query(document).map_err(|error| parse_failure(&error))?;
    let judged = cost::judge(&document, |operations| select(operations, operation_name))?;
    Ok(Inspected {
        operation: judged.selected.map(|(operation, _)| operation),
        anonymous: judged
            .selected
            .map_or(Anonymous::Refused, |(operation, root)| {
                root.anonymous(operation)
            }),
        root_fields: judged.selected.map_or(0, |(_, root)| root.fields),
        nodes: judged.nodes,
        introspections: judged.introspections,
        // The parser reserves more than it fills: what is kept for long is copied to its size.
        document: Arc::new(ExecutableDocument::clone(&document)),
    })
}

/// The operation that the executor will choose: the named one, or without a name the only one. An operation without a
/// name is not selected by any name, the empty one included.
pub fn select<'a>(
    operations: &'a DocumentOperations,
    name: Option<&str>,
) -> Option<&'a OperationDefinition> {
    match (operations, name) {
        (DocumentOperations::Single(operation), None) => Some(&operation.node),
        (DocumentOperations::Single(_), Some(_)) => None,
        (DocumentOperations::Multiple(operations), Some(name)) => {
            operations.get(name).map(|operation| &operation.node)
        }
        (DocumentOperations::Multiple(operations), None) => {
            let mut operations = operations.values();
            let only = operations.next()?;
            operations.next().is_none().then_some(&only.node)
        }
    }
}

/// The parser's messages quote the document; only what it expected is passed on.
fn parse_failure(error: &async_graphql_parser::Error) -> Rejection {
    use async_graphql_parser::Error;

    let message = match error {
        Error::Syntax { message, .. } => match expectation(message) {
            Some(expected) => format!("the document does not parse: {expected}"),
            None => "the document does not parse".to_owned(),
        },
        Error::MultipleOperations { .. } => {
            "an operation without a name must be the only operation".to_owned()
        }
        Error::OperationDuplicated { .. } => "two operations have the same name".to_owned(),
        Error::FragmentDuplicated { .. } => "two fragments have the same name".to_owned(),
        Error::MissingOperation => "the document has no operation".to_owned(),
        Error::RecursionLimitExceeded => {
            return Rejection::limit("nesting", NESTING, "the document is nested too deep");
        }
        _ => "the document does not parse".to_owned(),
    };
    let position = error.positions().next().unwrap_or_default();
    Rejection::Parse {
        message,
        line: position.line.max(1),
        column: position.column.max(1),
    }
}

/// The last line of the parser's report, which lists grammar rules and quotes nothing.
fn expectation(report: &str) -> Option<String> {
    let rules = report.lines().last()?.trim_start().strip_prefix("= ")?;
    let rules = rules.replace("EOI", "the end").replace('_', " ");
    (report.lines().count() > 1 && rules.len() <= 120).then_some(rules)
}
