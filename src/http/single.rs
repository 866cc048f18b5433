//! The single-connection mode of graphql-sse: one event stream carries the answers to operations that come as requests
//! of their own.
//!
//! `PUT` reserves a stream and answers its token, one request opens it, others bring operations to it (202) or stop one
//! (`DELETE`). A reservation lives on the node that made it: anywhere else, and once its stream has ended, it is 404,
//! and the client reserves anew.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_stream::stream;
use axum::{
    body::{Body, Bytes},
    http::{HeaderName, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::{Stream, StreamExt as _, stream::SelectAll};
use serde_json::Value;
use tokio::{sync::mpsc, time::sleep};
use url::form_urlencoded;

use super::{
    Web,
    answer::{Refusal, too_many},
    body,
    graphql::{admit, read},
    negotiate::{Media, Streamed, streamed},
    sse::{comment, refused, respond},
    stopping,
    stream::{Life, Running, Said, Seat, Telling, Told, living, start},
    token,
};
use crate::{auth::Principal, event::cursor};

/// Names the reserved stream.
pub(super) const STREAM_TOKEN: HeaderName = HeaderName::from_static("x-graphql-event-stream-token");
/// Most operations of a stream at once.
const OPERATIONS: usize = 50;
/// Longest id of an operation.
const LONGEST_ID: usize = 128;
/// How long a reservation waits for its stream.
const WAITS: Duration = Duration::from_secs(30);

/// The reserved streams of this node, by token.
#[derive(Clone, Default)]
pub(super) struct Reservations(Arc<Mutex<HashMap<String, Arc<Reserved>>>>);

/// A stream, reserved or open.
struct Reserved {
    principal: Principal,
    operations: Mutex<HashMap<String, Running>>,
    serial: AtomicU64,
    sender: mpsc::UnboundedSender<Telling>,
    /// Until it is opened.
    receiver: Mutex<Option<mpsc::UnboundedReceiver<Telling>>>,
    _seat: Seat,
}

/// Whether a request belongs to this mode.
pub(super) fn concerns(parts: &Parts) -> bool {
    parts.method == Method::PUT || parts.method == Method::DELETE || named(parts).is_some()
}

/// The stream that a request names.
fn named(parts: &Parts) -> Option<String> {
    let header = parts.headers.get(STREAM_TOKEN);
    let header = header.and_then(|value| value.to_str().ok());
    header
        .map(str::to_owned)
        .or_else(|| parameter(parts, "token"))
}

fn parameter(parts: &Parts, wanted: &str) -> Option<String> {
    let query = parts.uri.query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let (_, value) = pairs.find(|(name, _)| name == wanted)?;
    Some(value.into_owned())
}

/// Whatever comes for a stream.
pub(super) async fn endpoint(web: Web, id: &str, parts: Parts, body: Body) -> Response {
    match serve(&web, id, &parts, body).await {
        Ok(response) => response,
        Err(refusal) => refusal.answer(id, Media::Json),
    }
}

async fn serve(web: &Web, id: &str, parts: &Parts, body: Body) -> Result<Response, Refusal> {
    if parts.method == Method::PUT {
        body::drain(&parts.headers, body);
        return reserve(web, parts).await;
    }
    let token = named(parts).unwrap_or_default();
    let reserved = web.reservations.find(&token).ok_or_else(unknown)?;
    if parts.method == Method::DELETE {
        body::drain(&parts.headers, body);
        let presented = token::in_headers(&parts.headers);
        let origin = token::origin(&parts.headers);
        owned(
            &reserved,
            &token::principal(&web.app, presented, origin).await?,
        )?;
        let operation = parameter(parts, "operationId").unwrap_or_default();
        if let Some(running) = reserved.running().get(&operation) {
            running.stop();
        }
        return Ok(StatusCode::OK.into_response());
    }
    if streamed(&parts.headers) == Some(Streamed::Events) {
        body::drain(&parts.headers, body);
        let presented = token::in_headers(&parts.headers);
        let origin = token::origin(&parts.headers);
        let principal = token::principal(&web.app, presented, origin).await?;
        owned(&reserved, &principal)?;
        let receiver = reserved
            .receiver
            .lock()
            .expect("no panic while opening")
            .take();
        let receiver = receiver.ok_or_else(|| conflict("the stream is open already"))?;
        let open = Open {
            web: web.clone(),
            token,
        };
        return Ok(respond(events(open, reserved, principal, receiver)));
    }
    bring(web, id, parts, body, &reserved).await
}

async fn reserve(web: &Web, parts: &Parts) -> Result<Response, Refusal> {
    if !web.app.running() {
        return Err(stopping());
    }
    let presented = token::in_headers(&parts.headers);
    let principal = token::principal(&web.app, presented, token::origin(&parts.headers)).await?;
    let most = web.app.config.sockets_per_application;
    let seat = web.open_sockets.seat(principal.application, most);
    let seat = seat.ok_or_else(|| too_many("sockets", most))?;
    let token = URL_SAFE_NO_PAD.encode(web.app.rng.bytes::<32>());
    let (sender, receiver) = mpsc::unbounded_channel();
    let reserved = Reserved {
        principal,
        operations: Mutex::default(),
        serial: AtomicU64::default(),
        sender,
        receiver: Mutex::new(Some(receiver)),
        _seat: seat,
    };
    web.reservations.insert(token.clone(), reserved);
    let (app, reservations, unopened) = (web.app.clone(), web.reservations.clone(), token.clone());
    web.app.spawn(async move {
        tokio::select! {
            () = sleep(WAITS) => reservations.forget_unopened(&unopened),
            () = app.stopping() => {}
        }
    });
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((StatusCode::CREATED, headers, token).into_response())
}

/// Takes an operation to its stream.
async fn bring(
    web: &Web,
    id: &str,
    parts: &Parts,
    body: Body,
    reserved: &Arc<Reserved>,
) -> Result<Response, Refusal> {
    let (asked, extensions) = read(web, parts, body).await?;
    let operation = match extensions.get("operationId") {
        Some(Value::String(operation))
            if !operation.is_empty() && operation.len() <= LONGEST_ID =>
        {
            operation.clone()
        }
        _ => {
            return Err(Refusal::invalid(
                StatusCode::BAD_REQUEST,
                "extensions.operationId",
                format!("must be a text of 1 to {LONGEST_ID} bytes"),
            ));
        }
    };
    let presented = token::in_headers(&parts.headers);
    let ready = admit(web, parts, asked, presented).await?;
    let principal = ready.asking.principal().ok_or_else(unknown)?;
    owned(reserved, principal)?;
    let telling = {
        let mut running = reserved.running();
        if running.contains_key(&operation) {
            return Err(conflict("an operation of this id is running"));
        }
        if running.len() >= OPERATIONS {
            return Err(Refusal::limit(
                StatusCode::BAD_REQUEST,
                "operations",
                format!("a stream runs at most {OPERATIONS} operations at once"),
            )
            .with("most", OPERATIONS));
        }
        let serial = reserved.serial.fetch_add(1, Ordering::Relaxed);
        let (started, telling) = start(web, &operation, serial, ready, id.to_owned());
        running.insert(operation, started);
        telling
    };
    // Unless the stream has ended meanwhile.
    reserved.sender.send(telling).map_err(|_| unknown())?;
    Ok(StatusCode::ACCEPTED.into_response())
}

/// A stream of somebody else is as good as none.
fn owned(reserved: &Reserved, principal: &Principal) -> Result<(), Refusal> {
    principal
        .succeeds(&reserved.principal)
        .then_some(())
        .ok_or_else(unknown)
}

fn unknown() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "no such stream on this node; reserve a new one with PUT",
    )
}

fn conflict(reason: &str) -> Refusal {
    Refusal::invalid(StatusCode::CONFLICT, "stream", reason)
}

impl Reserved {
    fn running(&self) -> MutexGuard<'_, HashMap<String, Running>> {
        self.operations.lock().expect("no panic while running")
    }

    /// Forgets an operation, unless its id is another's by now.
    fn ended(&self, id: &str, serial: u64) {
        let mut running = self.running();
        if running.get(id).is_some_and(|one| one.serial == serial) {
            running.remove(id);
        }
    }

    fn unopened(&self) -> bool {
        self.receiver
            .lock()
            .expect("no panic while opening")
            .is_some()
    }
}

impl Reservations {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Reserved>>> {
        self.0.lock().expect("no panic while reserving")
    }

    fn find(&self, token: &str) -> Option<Arc<Reserved>> {
        self.all().get(token).cloned()
    }

    fn insert(&self, token: String, reserved: Reserved) {
        self.all().insert(token, Arc::new(reserved));
    }

    /// Ends a reservation that nobody has used.
    fn forget_unopened(&self, token: &str) {
        let mut all = self.all();
        if all.get(token).is_some_and(|reserved| reserved.unopened()) {
            all.remove(token);
        }
    }
}

/// An open stream; its reservation ends with it.
struct Open {
    web: Web,
    token: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.web.reservations.all().remove(&self.token);
    }
}

fn events(
    open: Open,
    reserved: Arc<Reserved>,
    principal: Principal,
    receiver: mpsc::UnboundedReceiver<Telling>,
) -> impl Stream<Item = Bytes> + Send {
    stream! {
        let web = open.web.clone();
        yield comment();
        for await life in living(web.clone(), Some(principal.clone()), told(receiver)) {
            let Told { id, serial, said } = match life {
                Life::Told(told) => told,
                Life::Silence => {
                    yield comment();
                    continue;
                }
                Life::Over => break,
            };
            match said {
                Some(Said::At(_)) => {}
                Some(Said::Next(frame)) => {
                    let cursor = frame
                        .position
                        .map(|position| cursor::encode(&web.app, principal.application, position));
                    yield of_operation(cursor, &id, &frame.json);
                }
                Some(Said::Refused(errors)) => yield of_operation(None, &id, &refused(&errors)),
                None => {
                    // Streams end also because the node stops; then the client is to come back.
                    if !web.app.running() {
                        break;
                    }
                    reserved.ended(&id, serial);
                    let id = Value::from(&*id);
                    yield Bytes::from(format!("event: complete\ndata: {{\"id\":{id}}}\n\n"));
                }
            }
        }
        drop(open);
    }
}

/// What all operations tell that come to a stream.
fn told(mut receiver: mpsc::UnboundedReceiver<Telling>) -> impl Stream<Item = Told> + Send {
    stream! {
        let mut all = SelectAll::new();
        loop {
            tokio::select! {
                telling = receiver.recv() => match telling {
                    Some(telling) => all.push(telling),
                    None => return,
                },
                Some(told) = all.next(), if !all.is_empty() => yield told,
            }
        }
    }
}

fn of_operation(cursor: Option<String>, id: &str, json: &str) -> Bytes {
    let id = Value::from(id);
    super::sse::next(cursor, &format!("{{\"id\":{id},\"payload\":{json}}}"))
}
