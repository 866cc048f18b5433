//! /graphql over HTTP: POST, GET for queries, and the way to a socket or a page.
//!
//! Follows the GraphQL-over-HTTP specification. Every answer but the page is JSON of GraphQL's shape.

use std::sync::Arc;

use async_graphql_parser::types::OperationType;
use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};

use super::{
    Web, address, anonymous,
    answer::{self, Refusal, RequestId},
    body, console,
    guard::{self, Anonymous, Inspected},
    multipart,
    negotiate::{Media, Streamed, negotiate, streamed, wants_page},
    operation::{Answer, Asked, Extensions, Ready, prepare},
    single, sse, token, ws,
};
use crate::{
    auth::{Caller, Principal},
    error::Error,
    graphql::Asking,
};

/// What /graphql takes; PUT and DELETE for streams that carry several operations.
const METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS";
/// Most bytes of a request's body.
pub(super) const BODY: usize = 128 * 1024;

/// Whatever comes to /graphql.
pub(super) async fn endpoint(
    State(web): State<Web>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method == Method::GET && wants_socket(&parts.headers) {
        return match ws::upgrade(web, parts, &id).await {
            Ok(response) => response,
            Err(refusal) => refusal.answer(&id, Media::Json),
        };
    }
    if parts.method == Method::GET
        && web.app.config.graphiql
        && wants_page(&parts.headers)
        && !has_query(&parts)
    {
        return console::page(&web.app);
    }
    if parts.method == Method::OPTIONS {
        return (StatusCode::NO_CONTENT, [(header::ALLOW, METHODS)]).into_response();
    }
    if single::concerns(&parts) {
        return single::endpoint(web, &id, parts, body).await;
    }
    match streamed(&parts.headers) {
        Some(Streamed::Events) => return sse::endpoint(web, &id, parts, body).await,
        Some(Streamed::Multipart) => return multipart::endpoint(web, &id, parts, body).await,
        None => {}
    }
    let Some(media) = negotiate(&parts.headers) else {
        let refusal = Refusal::invalid(
            StatusCode::NOT_ACCEPTABLE,
            "Accept",
            "must admit application/graphql-response+json, application/json, text/event-stream or multipart/mixed;subscriptionSpec=1.0",
        );
        body::drain(&parts.headers, body);
        return refusal.answer(&id, Media::Json);
    };
    match run(&web, &id, &parts, body).await {
        Ok(answer) => in_one_piece(&answer, &id, media),
        Err(refusal) => refusal.answer(&id, media),
    }
}

/// A single answer.
pub(super) fn in_one_piece(answer: &Answer, id: &str, media: Media) -> Response {
    let status = if answer.refused() && media == Media::GraphqlResponse {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    match serde_json::to_string(answer) {
        Ok(text) => (
            status,
            answer.headers(),
            [(header::CONTENT_TYPE, media.content_type())],
            text,
        )
            .into_response(),
        Err(error) => Refusal::from(Error::internal(error)).answer(id, media),
    }
}

async fn run(web: &Web, id: &str, parts: &Parts, body: Body) -> Result<Answer, Refusal> {
    let ready = admitted(web, parts, body).await?;
    if ready.is_subscription() {
        return Err(Refusal::invalid(
            StatusCode::BAD_REQUEST,
            "query",
            "subscriptions are streamed: open a WebSocket (graphql-transport-ws) at this path, or accept text/event-stream",
        ));
    }
    execute(web, id, ready).await
}

/// Runs a query or a mutation.
pub(super) async fn execute(web: &Web, id: &str, ready: Ready) -> Result<Answer, Refusal> {
    Ok(Answer::new(web.graph.execute(ready.request()).await, id))
}

/// Reads what a request asks, and settles that it may be asked.
pub(super) async fn admitted(web: &Web, parts: &Parts, body: Body) -> Result<Ready, Refusal> {
    let (asked, _) = read(web, parts, body).await?;
    let presented = token::in_headers(&parts.headers);
    admit(web, parts, asked, presented).await
}

/// What a request asks, and the members of its `extensions`.
pub(super) async fn read(
    web: &Web,
    parts: &Parts,
    body: Body,
) -> Result<(Asked, Extensions), Refusal> {
    match parts.method {
        Method::POST => {
            if !is_json(&parts.headers) {
                body::drain(&parts.headers, body);
                return Err(Refusal::invalid(
                    StatusCode::UNSUPPORTED_MEDIA_TYPE,
                    "Content-Type",
                    "must be application/json in utf-8",
                ));
            }
            let body = body::read(&parts.headers, body, BODY, web.timing.body).await?;
            Asked::from_body(&body)
        }
        Method::GET => Asked::from_query(parts.uri.query().unwrap_or_default()),
        _ => Err(answer::wrong_method("/graphql takes POST and GET")
            .header(header::ALLOW, HeaderValue::from_static(METHODS))),
    }
}

/// Judges a document and who asks it.
pub(super) async fn admit(
    web: &Web,
    parts: &Parts,
    asked: Asked,
    presented: Option<&str>,
) -> Result<Ready, Refusal> {
    let name = asked.operation_name.as_deref();
    let known = web.known.find(&asked.query, name);
    let new = known.is_none();
    let inspected = match known {
        Some(inspected) => inspected,
        None => guard::inspect(&asked.query, name)?,
    };
    let operation = inspected.operation;
    let (document, principal) = settle(web, &parts.headers, &asked, inspected, presented).await?;
    if new && principal.is_some() {
        web.known.remember(&asked.query, name, &document);
    }
    if operation == Some(OperationType::Mutation) && parts.method == Method::GET {
        return Err(answer::wrong_method("mutations take POST")
            .header(header::ALLOW, HeaderValue::from_static("POST")));
    }
    let trusted = &web.app.config.trusted_proxies;
    let caller = Caller {
        request: parts.extensions.get().and_then(RequestId::uuid),
        address: Some(address::of(&parts.extensions, &parts.headers, trusted)),
    };
    let asking = Asking::new(principal, caller);
    let (document, introspections) = (document.document, document.introspections);
    prepare(web, asked, document, introspections, asking)
}

/// Settles who is asking, and what of the document they may have looked at.
async fn settle(
    web: &Web,
    headers: &HeaderMap,
    asked: &Asked,
    inspected: Inspected,
    presented: Option<&str>,
) -> Result<(Inspected, Option<Principal>), Refusal> {
    let failure = match token::principal(&web.app, presented, token::origin(headers)).await {
        Ok(principal) => return Ok((inspected, Some(principal))),
        Err(failure) => failure,
    };
    let open = match inspected.anonymous {
        Anonymous::Allowed => true,
        Anonymous::Introspection => web.app.config.introspection && presented.is_none(),
        Anonymous::Refused => false,
    };
    if !open {
        return Err(failure.into());
    }
    let document = Arc::unwrap_or_clone(inspected.document);
    let document = anonymous::reduce(document, asked.operation_name.as_deref());
    if inspected.anonymous == Anonymous::Allowed && !anonymous::names_nothing(&document) {
        return Err(failure.into());
    }
    // An introspection that was cut off is not asked for any more.
    let introspections = if inspected.anonymous == Anonymous::Introspection {
        inspected.introspections
    } else {
        0
    };
    let inspected = Inspected {
        document: Arc::new(document),
        introspections,
        ..inspected
    };
    Ok((inspected, None))
}

/// Whether a request asks for a WebSocket; other upgrades are passed over.
fn wants_socket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
}

fn has_query(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "query")
}

/// Whether a body is application/json, in utf-8 if it says in what.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let mut parts = value.split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.all(|part| match part.split_once('=') {
        Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
            let charset = charset.trim().trim_matches('"');
            charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    })
}
