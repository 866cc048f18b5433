//! What every request gets: an id, a span, a line in the log, a count, and an answer even when a handler panics.
//!
//! Neither query strings nor headers nor bodies are looked at: tokens, documents and variables stay out of the log.

use std::{panic::AssertUnwindSafe, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, header},
    middleware::Next,
    response::Response,
};
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use super::{
    Web,
    answer::{self, REQUEST_ID, RequestId},
    negotiate::Media,
};
use crate::metrics;

pub(super) async fn observe(State(web): State<Web>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = web.app.rng.id(web.app.clock.now()).to_string();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("other", MatchedPath::as_str)
        .to_owned();
    let method = label(request.method());
    let span = tracing::info_span!("request", request_id = %id, method, route);
    request.extensions_mut().insert(RequestId(id.clone()));
    let answering = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = answering
        .instrument(span.clone())
        .await
        .unwrap_or_else(|_| {
            span.in_scope(|| tracing::error!("a handler panicked"));
            answer::fault().answer(&id, Media::Json)
        });
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    let (status, elapsed) = (response.status().as_u16(), began.elapsed());
    metrics::request(&route, method, status, elapsed.as_secs_f64());
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| {
        if route.starts_with("/health") || route == "/metrics" {
            tracing::debug!(status, duration_ms, "answered");
        } else {
            tracing::info!(status, duration_ms, "answered");
        }
    });
    response
}

/// A method as a label; what is invented by clients is one.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "OTHER",
    }
}
