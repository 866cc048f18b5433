//! Answers that are not the graph's: why a request was refused, as the JSON of a GraphQL answer.

use axum::{
    Extension,
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{guard::Rejection, negotiate::Media};
use crate::error::Error;

/// Names the request in its answer.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request: in its answer, in the log, in every error.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

impl RequestId {
    /// As operations know it.
    pub(super) fn uuid(&self) -> Option<Uuid> {
        self.0.parse().ok()
    }
}

/// Why a request is not executed.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    /// Whether the request was fine and its document is not: 200 in application/json.
    document: bool,
    code: &'static str,
    message: String,
    extensions: Map<String, Value>,
    location: Option<(usize, usize)>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            document: false,
            code,
            message: message.into(),
            extensions: Map::new(),
            location: None,
            headers: Vec::new(),
        }
    }

    /// A part of the request that cannot be used.
    pub(super) fn invalid(
        status: StatusCode,
        field: &'static str,
        reason: impl std::fmt::Display,
    ) -> Self {
        Self::new(status, "INVALID_INPUT", format!("{field}: {reason}")).with("field", field)
    }

    /// A limit of the transport that the request is beyond.
    pub(super) fn limit(
        status: StatusCode,
        limit: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self::new(status, "DOCUMENT_REJECTED", message).with("limit", limit)
    }

    /// A document that cannot be executed.
    pub(super) fn document(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            document: true,
            ..Self::new(StatusCode::BAD_REQUEST, code, message)
        }
    }

    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.extensions.insert(key.to_owned(), value.into());
        self
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Whether the request was fine and its document is not.
    pub(super) fn is_of_document(&self) -> bool {
        self.document
    }

    /// The `errors` of the answer.
    pub(super) fn errors(&self, request_id: &str) -> Value {
        let mut extensions = self.extensions.clone();
        extensions.insert("code".to_owned(), self.code.into());
        extensions.insert("requestId".to_owned(), request_id.into());
        let mut error = json!({ "message": self.message, "extensions": extensions });
        if let Some((line, column)) = self.location {
            error["locations"] = json!([{ "line": line, "column": column }]);
        }
        json!([error])
    }

    /// The answer in a media type.
    pub(super) fn answer(self, request_id: &str, media: Media) -> Response {
        let status = if self.document && media == Media::Json {
            StatusCode::OK
        } else {
            self.status
        };
        let body = json!({ "errors": self.errors(request_id) }).to_string();
        let mut response =
            (status, [(header::CONTENT_TYPE, media.content_type())], body).into_response();
        for (name, value) in self.headers {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Internal(_) | Error::LeaseLost) {
            error.log("http");
        }
        let status = match &error {
            Error::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::NotFound { .. } => StatusCode::NOT_FOUND,
            Error::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Internal(_) | Error::LeaseLost => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        let refusal = Self {
            extensions: error.extensions(),
            ..Self::new(status, error.code(), error.to_string())
        };
        match error {
            Error::RateLimited {
                retry_after_seconds,
            } => refusal.header(header::RETRY_AFTER, retry_after_seconds.into()),
            Error::Unauthenticated(_) => {
                refusal.header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            _ => refusal,
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let refusal = Self::document(rejection.code(), rejection.to_string());
        match rejection {
            Rejection::Parse { line, column, .. } => Self {
                location: Some((line, column)),
                ..refusal
            },
            Rejection::Limit { limit, most, .. } => refusal.with("limit", limit).with("most", most),
        }
    }
}

/// An application that has as many of something open as it may.
pub(super) fn too_many(limit: &'static str, most: usize) -> Refusal {
    Refusal::new(
        StatusCode::TOO_MANY_REQUESTS,
        "RATE_LIMITED",
        format!("the application has {most} {limit} open on this node; close some first"),
    )
    .with("limit", limit)
    .with("most", most)
}

/// A request of ours that a fault ended.
pub(super) fn fault() -> Refusal {
    Refusal::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "INTERNAL_ERROR",
        "internal error",
    )
}

/// Answers a path that is not served.
pub(super) async fn no_such_path(Extension(id): Extension<RequestId>, _: Uri) -> Response {
    Refusal::new(StatusCode::NOT_FOUND, "NOT_FOUND", "path not found").answer(&id.0, Media::Json)
}

/// Answers a method that a path does not serve; the router adds which it does.
pub(super) async fn no_such_method(Extension(id): Extension<RequestId>, _: Method) -> Response {
    wrong_method("this path does not take this method").answer(&id.0, Media::Json)
}

pub(super) fn wrong_method(reason: &str) -> Refusal {
    Refusal::invalid(StatusCode::METHOD_NOT_ALLOWED, "method", reason)
}
