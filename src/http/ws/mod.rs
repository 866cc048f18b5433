//! /graphql over WebSocket: the subprotocol graphql-transport-ws.
//!
//! Promises: a socket that says nothing useful is closed; a token's end, its revocation and the node's stop close it
//! (4403, 1001); no client makes the node hold more than a few answers for it, however slowly it reads; operations of
//! one socket take turns, so that none starves another, and hand over one answer at a time: one that waits for its
//! reader holds nothing but that answer.

mod protocol;
mod session;

use axum::{
    extract::{FromRequestParts as _, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::Response,
};
use url::Url;

use self::session::Session;
use super::{Web, address, answer::Refusal, connection::Place, graphql::BODY, stopping, token};

const SUBPROTOCOL: &str = "graphql-transport-ws";
/// What a socket reads at once; most wait idle, and each has its own.
const READ_BUFFER: usize = 512;
/// Most bytes that wait in the socket's own buffer; an answer that is larger ends its socket.
const WRITE_BUFFER: usize = 16 * 1024 * 1024;

/// Turns a request into a socket.
pub(super) async fn upgrade(web: Web, mut parts: Parts, id: &str) -> Result<Response, Refusal> {
    if !web.app.running() {
        return Err(stopping());
    }
    if !origin_allowed(&web, &parts.headers) {
        return Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "sockets may not be opened from this origin",
        ));
    }
    let upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &web)
        .await
        .map_err(|_| {
            Refusal::invalid(
                StatusCode::BAD_REQUEST,
                "Upgrade",
                "must be a WebSocket handshake",
            )
        })?
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .max_message_size(BODY)
        .max_frame_size(BODY)
        .max_write_buffer_size(WRITE_BUFFER);
    if upgrade.selected_protocol().is_none() {
        return Err(Refusal::invalid(
            StatusCode::BAD_REQUEST,
            "Sec-WebSocket-Protocol",
            "must offer graphql-transport-ws",
        ));
    }
    let trusted = &web.app.config.trusted_proxies;
    let address = address::of(&parts.extensions, &parts.headers, trusted);
    let origin = token::origin(&parts.headers).map(str::to_owned);
    let place = parts.extensions.remove::<Place>();
    let sockets = web.sockets.clone();
    // Most sockets are idle most of the time: what serves one is boxed, so that no move on its way reserves it again.
    let session = Box::new(Session::new(web, address, origin, id.to_owned()));
    Ok(upgrade.on_upgrade(move |socket| {
        sockets.track_future(Box::pin(async move {
            session.run(socket).await;
            drop(place);
        }))
    }))
}

/// Browsers may open sockets from origins that may read answers, and from our own. Other clients name none.
fn origin_allowed(web: &Web, headers: &HeaderMap) -> bool {
    let Some(origin) = token::origin(headers) else {
        return true;
    };
    let config = &web.app.config;
    let listed = |one: &String| one == "*" || one == origin;
    let public = config.public_url.as_ref().map(Url::origin);
    config.cors_origins.iter().any(listed)
        || public.is_some_and(|public| public.ascii_serialization() == origin)
        || own(origin, headers).unwrap_or(false)
}

/// Whether an origin is the host that was asked.
fn own(origin: &str, headers: &HeaderMap) -> Option<bool> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let (_, origin_host) = origin.split_once("://")?;
    Some(origin_host.eq_ignore_ascii_case(host))
}
