//! What a client asks to be executed, on any transport: its parameters, its judgement, its answer.

use std::sync::Arc;

use async_graphql::{Request, Response, ServerError, Value as GraphValue, Variables};
use async_graphql_parser::types::{
    BaseType, ExecutableDocument, OperationDefinition, OperationType, Selection,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use url::form_urlencoded;
use uuid::Uuid;

use super::{Web, answer::Refusal, guard};
use crate::graphql::{Asking, finish};

/// What a client adds to its parameters for the transport.
pub(super) type Extensions = Map<String, Value>;

/// The parameters of a GraphQL request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) query: Arc<str>,
    pub(super) operation_name: Option<String>,
    pub(super) variables: Map<String, Value>,
}

impl Asked {
    /// Out of the body of a POST.
    pub(super) fn from_body(body: &[u8]) -> Result<(Self, Extensions), Refusal> {
        guard::scan_json(body)?;
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Self::with_extensions(map),
            Ok(Value::Array(_)) => Err(Refusal::limit(
                StatusCode::BAD_REQUEST,
                "batch",
                "batches are not served; send one request each",
            )),
            Ok(_) => Err(invalid("body", "must be a JSON object")),
            Err(_) => Err(invalid("body", "is not JSON")),
        }
    }

    /// Out of the query string of a GET.
    pub(super) fn from_query(query: &str) -> Result<(Self, Extensions), Refusal> {
        let mut map = Map::new();
        for (key, text) in form_urlencoded::parse(query.as_bytes()) {
            let value = match key.as_ref() {
                "query" => Value::String(text.into_owned()),
                "operationName" if !text.is_empty() => Value::String(text.into_owned()),
                name @ ("variables" | "extensions") if !text.is_empty() => {
                    guard::scan_json(text.as_bytes())?;
                    serde_json::from_str(&text).map_err(|_| {
                        if name == "variables" {
                            invalid("variables", "is not JSON")
                        } else {
                            invalid("extensions", "is not JSON")
                        }
                    })?
                }
                _ => continue,
            };
            if map.insert(key.into_owned(), value).is_some() {
                return Err(invalid("query", "a parameter is given twice"));
            }
        }
        Self::with_extensions(map)
    }

    /// Out of the members of a JSON object; others are ignored.
    pub(super) fn from_map(map: Map<String, Value>) -> Result<Self, Refusal> {
        Self::with_extensions(map).map(|(asked, _)| asked)
    }

    fn with_extensions(mut map: Map<String, Value>) -> Result<(Self, Extensions), Refusal> {
        let query = match map.remove("query") {
            Some(Value::String(query)) => query.into(),
            None | Some(Value::Null) => {
                return Err(invalid("query", "is missing; send a GraphQL document"));
            }
            Some(_) => return Err(invalid("query", "must be a string")),
        };
        let operation_name = match map.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name),
            Some(_) => return Err(invalid("operationName", "must be a string")),
        };
        let variables = match map.remove("variables") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(variables)) => variables,
            Some(_) => return Err(invalid("variables", "must be an object")),
        };
        let extensions = match map.remove("extensions") {
            None | Some(Value::Null) => Extensions::new(),
            Some(Value::Object(extensions)) => extensions,
            Some(_) => return Err(invalid("extensions", "must be an object")),
        };
        let asked = Self {
            query,
            operation_name,
            variables,
        };
        Ok((asked, extensions))
    }
}

fn invalid(field: &'static str, reason: &str) -> Refusal {
    Refusal::invalid(StatusCode::BAD_REQUEST, field, reason)
}

/// An operation that may run.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) asked: Asked,
    pub(super) document: Arc<ExecutableDocument>,
    pub(super) asking: Asking,
}

impl Ready {
    /// For the executor.
    pub(super) fn request(&self) -> Request {
        let variables = Value::Object(self.asked.variables.clone());
        let mut request = Request::new(String::new())
            .variables(Variables::from_json(variables))
            .data(self.asking.clone());
        request
            .operation_name
            .clone_from(&self.asked.operation_name);
        request.set_parsed_query(ExecutableDocument::clone(&self.document));
        request
    }

    /// Whose it is; nobody's when it is asked without a token.
    pub(super) fn application(&self) -> Option<Uuid> {
        let principal = self.asking.principal()?;
        Some(principal.application)
    }

    /// The operation.
    pub(super) fn operation(&self) -> Option<&OperationDefinition> {
        let name = self.asked.operation_name.as_deref();
        guard::select(&self.document.operations, name)
    }

    /// Whether it is a subscription.
    pub(super) fn is_subscription(&self) -> bool {
        let operation = self.operation();
        operation.is_some_and(|operation| operation.ty == OperationType::Subscription)
    }
}

/// Checks what a caller who is known asks of a document that the guard has passed.
pub(super) fn prepare(
    web: &Web,
    asked: Asked,
    document: Arc<ExecutableDocument>,
    introspections: usize,
    asking: Asking,
) -> Result<Ready, Refusal> {
    if introspections > 0 && !web.app.config.introspection {
        return Err(
            Refusal::document("DOCUMENT_REJECTED", "introspection is not answered here")
                .with("limit", "introspection"),
        );
    }
    let name = asked.operation_name.as_deref();
    let Some(operation) = guard::select(&document.operations, name) else {
        return Err(Refusal::document(
            "VALIDATION_FAILED",
            "`operationName` must name one of the document's operations, if it has several",
        ));
    };
    check_variables(operation, &asked.variables)?;
    if operation.ty == OperationType::Subscription {
        check_subscription(operation)?;
    }
    Ok(Ready {
        asked,
        document,
        asking,
    })
}

/// The executor notices a missing variable only where it is used, after other fields have been executed.
fn check_variables(
    operation: &OperationDefinition,
    variables: &Map<String, Value>,
) -> Result<(), Refusal> {
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let kind = &definition.var_type.node;
        if kind.nullable || definition.default_value.is_some() {
            continue;
        }
        let name = definition.name.node.as_str();
        if variables.get(name).is_none_or(Value::is_null) {
            let kind = match &kind.base {
                BaseType::Named(name) => name.as_str(),
                BaseType::List(_) => "a list",
            };
            return Err(Refusal::document(
                "VALIDATION_FAILED",
                format!("variable ${name} ({kind}) is required"),
            ));
        }
    }
    Ok(())
}

/// The executor runs several root fields at once and overlooks those in fragments.
fn check_subscription(operation: &OperationDefinition) -> Result<(), Refusal> {
    match operation.selection_set.node.items.as_slice() {
        [only] if matches!(only.node, Selection::Field(_)) => Ok(()),
        _ => Err(Refusal::document(
            "VALIDATION_FAILED",
            "a subscription selects exactly one field, not in a fragment",
        )),
    }
}

/// An answer of the graph.
#[derive(Debug)]
pub(super) struct Answer {
    response: Response,
}

impl Answer {
    /// Takes an answer of the executor and gives its errors their codes.
    pub(super) fn new(mut response: Response, request_id: &str) -> Self {
        finish(&mut response, request_id);
        Self { response }
    }

    /// Whether nothing was executed, so that there are errors and no `data`.
    pub(super) fn refused(&self) -> bool {
        let invalid =
            |error: &ServerError| error.path.is_empty() || code(error) == Some("VALIDATION_FAILED");
        self.response.data == GraphValue::Null
            && !self.response.errors.is_empty()
            && self.response.errors.iter().all(invalid)
    }

    /// Whether this first answer of a subscription says that it could not begin.
    pub(super) fn not_begun(&self) -> bool {
        self.response.data == GraphValue::Null
            && !self.response.errors.is_empty()
            && self
                .response
                .errors
                .iter()
                .all(|error| error.path.len() <= 1)
    }

    /// Whether the subscription itself has failed, and not the answer to one event.
    pub(super) fn broken(&self) -> bool {
        self.refused() || self.not_begun()
    }

    /// Whether it would fail again: a fault of ours passes, a cursor that is too old does not.
    pub(super) fn is_final(&self) -> bool {
        let errors = &self.response.errors;
        errors
            .iter()
            .any(|error| code(error) != Some("INTERNAL_ERROR"))
    }

    /// Its errors.
    pub(super) fn errors(&self) -> &[ServerError] {
        &self.response.errors
    }

    /// What goes into the head of an HTTP answer.
    pub(super) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for error in &self.response.errors {
            if code(error) == Some("RATE_LIMITED")
                && let Some(extensions) = &error.extensions
                && let Some(GraphValue::Number(seconds)) = extensions.get("retryAfter")
                && let Some(seconds) = seconds.as_u64()
            {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
        headers
    }
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Form<'a> {
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            errors: &'a [ServerError],
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a GraphValue>,
        }
        Form {
            errors: &self.response.errors,
            data: (!self.refused()).then_some(&self.response.data),
        }
        .serialize(serializer)
    }
}

fn code(error: &ServerError) -> Option<&str> {
    match error.extensions.as_ref()?.get("code")? {
        GraphValue::String(code) => Some(code),
        _ => None,
    }
}
