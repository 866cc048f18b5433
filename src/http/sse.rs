//! Answers as server-sent events: the distinct-connections mode of graphql-sse, and what a plain EventSource needs.
//!
//! Every event has the cursor of the log as its id, and a stream begins with one, so that whoever comes back with
//! `Last-Event-ID` misses nothing, also what happened before the first event. Nothing is produced that the client does
//! not take: a stream that is not read stands still. It ends without `complete` when its token ends or the node stops:
//! the client is to come back.

use std::{convert::Infallible, time::Duration};

use async_stream::stream;
use axum::{
    body::{Body, Bytes},
    http::{HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt as _};
use url::form_urlencoded;

use super::{
    Web,
    answer::Refusal,
    graphql::{admit, read},
    negotiate::Media,
    operation::Ready,
    stopping,
    stream::{Life, Said, answers, living},
    token,
};
use crate::{
    auth::{self, PrincipalKind},
    event::cursor,
};

/// With what a client resumes.
pub(super) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The token in the address, for EventSource, which cannot send headers.
const ACCESS_TOKEN: &str = "access_token";
/// How long an EventSource waits before it comes back.
const RETRY: Duration = Duration::from_secs(1);

/// Answers one operation as a stream of events.
pub(super) async fn endpoint(web: Web, id: &str, parts: Parts, body: Body) -> Response {
    match open(&web, id, &parts, body).await {
        Ok(response) => response,
        Err(refusal) => refusal.answer(id, Media::Json),
    }
}

async fn open(web: &Web, id: &str, parts: &Parts, body: Body) -> Result<Response, Refusal> {
    if !web.app.running() {
        return Err(stopping());
    }
    let (asked, _) = read(web, parts, body).await?;
    let in_address = in_address(web, parts).await?;
    let presented = token::in_headers(&parts.headers).or(in_address.as_deref());
    // What is wrong with a document is told in the stream, where a client of this protocol looks for it.
    match admit(web, parts, asked, presented).await {
        Ok(ready) => {
            let resume = last_event(web, parts, &ready).await?;
            Ok(respond(events(web.clone(), ready, resume, id.to_owned())))
        }
        Err(refusal) if refusal.is_of_document() => {
            let errors = refusal.errors(id).to_string();
            let told = [next(None, &refused(&errors)), complete()];
            Ok(respond(futures_util::stream::iter(told)))
        }
        Err(refusal) => Err(refusal),
    }
}

/// The token in the address of a GET: it can end in logs on the way, so that only one of a user is taken.
async fn in_address(web: &Web, parts: &Parts) -> Result<Option<String>, Refusal> {
    if parts.method != Method::GET {
        return Ok(None);
    }
    let query = parts.uri.query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let Some((_, token)) = pairs.find(|(name, _)| name == ACCESS_TOKEN) else {
        return Ok(None);
    };
    let principal = auth::token::verify(&web.app, &token).await?;
    match principal.kind {
        PrincipalKind::ConnectToken(_) => Ok(Some(token.into_owned())),
        PrincipalKind::ApiKey => Err(Refusal::invalid(
            StatusCode::BAD_REQUEST,
            ACCESS_TOKEN,
            "takes connect tokens only; send an API key as Authorization: Bearer …",
        )),
    }
}

/// Behind what a client that comes back goes on. A bad one is an answer of its own, at which EventSource gives up.
async fn last_event(web: &Web, parts: &Parts, ready: &Ready) -> Result<Option<i64>, Refusal> {
    let (Some(last), Some(principal)) =
        (parts.headers.get(LAST_EVENT_ID), ready.asking.principal())
    else {
        return Ok(None);
    };
    let last = last.to_str().unwrap_or_default();
    if last.is_empty() {
        return Ok(None);
    }
    let position = cursor::resume(&web.app, principal.application, last).await?;
    Ok(Some(position))
}

/// A response of events.
pub(super) fn respond(events: impl Stream<Item = Bytes> + Send + 'static) -> Response {
    let body = Body::from_stream(events.map(Ok::<_, Infallible>));
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // Proxies that collect answers would hold events back.
        (
            HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, body).into_response()
}

fn events(
    web: Web,
    ready: Ready,
    resume: Option<i64>,
    id: String,
) -> impl Stream<Item = Bytes> + Send {
    stream! {
        let principal = ready.asking.principal().cloned();
        let application = ready.application();
        let cursor = |position: Option<i64>| {
            Some(cursor::encode(&web.app, application?, position?))
        };
        yield Bytes::from(format!("retry: {}\n:\n\n", RETRY.as_millis()));
        let answers = answers(web.clone(), ready, resume, id);
        for await life in living(web.clone(), principal, answers) {
            match life {
                Life::Told(Said::At(position)) => {
                    if let Some(cursor) = cursor(Some(position)) {
                        // An id alone is no event, and yet the one that a client comes back with.
                        yield Bytes::from(format!("id: {cursor}\n\n"));
                    }
                }
                Life::Told(Said::Next(frame)) => yield next(cursor(frame.position), &frame.json),
                Life::Told(Said::Refused(errors)) => yield next(None, &refused(&errors)),
                Life::Silence => yield comment(),
                Life::Over => yield complete(),
            }
        }
    }
}

/// A sign of life.
pub(super) fn comment() -> Bytes {
    Bytes::from_static(b":\n\n")
}

/// An answer; JSON as it is written here has no line breaks.
pub(super) fn next(cursor: Option<String>, json: &str) -> Bytes {
    let id = cursor
        .map(|cursor| format!("id: {cursor}\n"))
        .unwrap_or_default();
    Bytes::from(format!("{id}event: next\ndata: {json}\n\n"))
}

fn complete() -> Bytes {
    Bytes::from_static(b"event: complete\ndata: \n\n")
}

/// Errors in the form of an answer.
pub(super) fn refused(errors: &str) -> String {
    format!("{{\"errors\":{errors}}}")
}
