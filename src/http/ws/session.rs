//! A socket from its first message to its last.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    pin::Pin,
    time::Duration,
};

use axum::{
    body::Bytes,
    extract::ws::{Message, WebSocket},
};
use futures_util::{
    FutureExt as _, Sink, SinkExt as _, Stream, StreamExt as _, future::BoxFuture,
    stream::SelectAll,
};
use serde_json::{Map, Value};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};
use tracing::Instrument as _;

use super::{
    super::{
        Web,
        answer::Refusal,
        operation::{Asked, Ready, prepare},
        stream::{Running, Said, Seat, Telling, Told, start},
        token,
    },
    protocol::{self, Close, Incoming},
};
use crate::{
    auth::{Caller, Principal},
    event::cursor,
    graphql::Asking,
    metrics,
};

/// Most operations at once.
const OPERATIONS: usize = 50;
/// Most answers that are put together before they are sent, and most bytes after which they are.
const BATCH: usize = 32;
const BATCH_BYTES: usize = 64 * 1024;
/// Most answers to a client that talks and does not read.
const QUEUE: usize = 256;

/// A socket and what it knows.
pub(super) struct Session {
    web: Web,
    address: IpAddr,
    origin: Option<String>,
    request_id: String,
    principal: Option<Principal>,
    expiry: Option<BoxFuture<'static, ()>>,
    seat: Option<Seat>,
    running: HashMap<String, Running>,
    serial: u64,
    told: SelectAll<Telling>,
    queue: VecDeque<Message>,
}

/// What follows from what happened.
type Step = Result<(), Option<Close>>;

impl Session {
    pub(super) fn new(
        web: Web,
        address: IpAddr,
        origin: Option<String>,
        request_id: String,
    ) -> Self {
        Self {
            web,
            address,
            origin,
            request_id,
            principal: None,
            expiry: None,
            seat: None,
            running: HashMap::new(),
            serial: 0,
            told: SelectAll::new(),
            queue: VecDeque::new(),
        }
    }

    /// Serves the socket until either side ends it.
    pub(super) async fn run(self: Box<Self>, socket: WebSocket) {
        let span = tracing::info_span!("socket", request_id = %self.request_id);
        metrics::sockets(1.0);
        self.serve(socket).instrument(span).await;
        metrics::sockets(-1.0);
    }

    async fn serve(mut self: Box<Self>, socket: WebSocket) {
        let patience = self.web.timing.close;
        let (mut sink, mut stream) = socket.split();
        let close = self.talk(&mut sink, &mut stream).await;
        tracing::debug!(
            code = close.map(|close| close.0),
            operations = self.running.len(),
            "socket ends"
        );
        drop(self);
        let goodbye = async {
            match close {
                Some(close) => sink.send(close.message()).await?,
                None => sink.flush().await?,
            }
            while let Some(Ok(message)) = stream.next().await {
                if matches!(message, Message::Close(_)) {
                    break;
                }
            }
            sink.close().await
        };
        // A client that does not answer is left.
        let _ = Box::pin(timeout(patience, goodbye)).await;
    }

    /// Returns why the socket is to be closed, or nothing when the client has closed it.
    async fn talk(
        &mut self,
        sink: &mut (impl Sink<Message, Error = axum::Error> + Unpin),
        stream: &mut (impl Stream<Item = Result<Message, axum::Error>> + Unpin),
    ) -> Option<Close> {
        let app = self.web.app.clone();
        let timing = self.web.timing;
        let mut beat = app.beat.subscribe();
        let mut ping = interval_at(Instant::now() + timing.ping, timing.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let init = sleep(timing.init);
        tokio::pin!(init);
        let mut unanswered = 0;
        let mut writing = false;
        loop {
            let step: Step = tokio::select! {
                () = app.stopping() => {
                    self.farewell();
                    let _ = Box::pin(timeout(timing.close, write(sink, &mut self.queue))).await;
                    Err(Some(Close::GOING_AWAY))
                }
                () = &mut init, if self.principal.is_none() => Err(Some(Close::INIT_TIMEOUT)),
                () = passed(&mut self.expiry) => {
                    self.expiry = self.expires();
                    self.check_standing()
                }
                Ok(()) = beat.changed() => self.check_standing(),
                _ = ping.tick() => {
                    unanswered += 1;
                    if unanswered > 2 {
                        Err(Some(Close::NO_PONG))
                    } else {
                        self.queue.push_back(Message::Ping(Bytes::new()));
                        Ok(())
                    }
                }
                incoming = stream.next() => {
                    unanswered = 0;
                    let known = self.principal.is_some();
                    let step = Box::pin(self.receive(incoming)).await;
                    if !known {
                        self.expiry = self.expires();
                    }
                    // Pongs of the protocol below wait in the socket for the next flush.
                    writing = true;
                    step
                }
                written = write(sink, &mut self.queue), if writing => {
                    writing = false;
                    written.map_err(|_| None)
                }
                Some(told) = self.told.next(), if !writing && !self.told.is_empty() => {
                    self.tell_all(told);
                    Ok(())
                }
            };
            if let Err(close) = step {
                return close;
            }
            if self.queue.len() > QUEUE {
                return Some(Close::FLOODED);
            }
            writing |= !self.queue.is_empty();
        }
    }

    /// When the token ends, by the App's clock.
    fn expires(&self) -> Option<BoxFuture<'static, ()>> {
        let clock = self.web.app.clock.clone();
        let left = self.principal.as_ref()?.expires_at.since(clock.now());
        // Not at once again should the clock be set back meanwhile.
        let left = left.max(Duration::from_millis(1));
        Some(async move { clock.sleep(left).await }.boxed())
    }

    fn check_standing(&self) -> Step {
        let app = &self.web.app;
        match &self.principal {
            Some(principal) if !app.applications.stands(principal, app.clock.now()) => {
                Err(Some(Close::FORBIDDEN))
            }
            _ => Ok(()),
        }
    }

    async fn receive(&mut self, incoming: Option<Result<Message, axum::Error>>) -> Step {
        let text = match incoming {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(_))) => return Err(Some(Close::NOT_TEXT)),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => return Ok(()),
            Some(Ok(Message::Close(_))) | None => return Err(None),
            Some(Err(error)) => return Err(too_large(&error).then_some(Close::TOO_LARGE)),
        };
        match Incoming::parse(&text).map_err(Some)? {
            Incoming::Init(payload) => return self.init(&payload).await,
            Incoming::Ping(payload) => {
                self.renew(payload.as_ref()).await?;
                self.queue.push_back(protocol::pong());
            }
            Incoming::Pong => {}
            Incoming::Subscribe { id, payload } => return self.subscribe(id, payload),
            Incoming::Complete { id } => {
                self.running.remove(&id);
            }
        }
        Ok(())
    }

    async fn init(&mut self, payload: &Map<String, Value>) -> Step {
        if self.principal.is_some() {
            return Err(Some(Close::SECOND_INIT));
        }
        let presented = token::in_payload(payload);
        match token::principal(&self.web.app, presented, self.origin.as_deref()).await {
            Ok(principal) => {
                let most = self.web.app.config.sockets_per_application;
                let seat = self.web.open_sockets.seat(principal.application, most);
                self.seat = Some(seat.ok_or(Some(Close::TOO_MANY))?);
                self.principal = Some(principal);
                self.queue.push_back(protocol::acknowledge());
                Ok(())
            }
            Err(error) => {
                tracing::debug!(code = error.code(), "socket refused");
                Err(Some(Close::FORBIDDEN))
            }
        }
    }

    /// A ping may bring a fresh token of the same rights: the socket and its operations then last as long as that. A
    /// bad one changes nothing but ends the socket, as it would in `connection_init`.
    async fn renew(&mut self, payload: Option<&Map<String, Value>>) -> Step {
        let (Some(known), Some(payload)) = (&self.principal, payload) else {
            return Ok(());
        };
        let Some(presented) = token::in_payload(payload) else {
            return Ok(());
        };
        match token::principal(&self.web.app, Some(presented), self.origin.as_deref()).await {
            Ok(fresh) if fresh.succeeds(known) => {
                self.principal = Some(fresh);
                self.expiry = self.expires();
                Ok(())
            }
            Ok(_) => Err(Some(Close::OTHER_TOKEN)),
            Err(error) => {
                tracing::debug!(code = error.code(), "fresh token refused");
                Err(Some(Close::FORBIDDEN))
            }
        }
    }

    fn subscribe(&mut self, id: String, payload: Map<String, Value>) -> Step {
        let Some(principal) = self.principal.clone() else {
            return Err(Some(Close::UNAUTHORIZED));
        };
        if self.running.contains_key(&id) {
            return Err(Some(Close::DUPLICATE));
        }
        self.check_standing()?;
        let asked = Asked::from_map(payload)
            .map_err(|_| Close(4400, "Invalid payload of a subscribe message"))
            .map_err(Some)?;
        let app = &self.web.app;
        let request = app.rng.id(app.clock.now());
        let caller = Caller {
            request: Some(request),
            address: Some(self.address),
        };
        let (asking, request_id) = (Asking::new(Some(principal), caller), request.to_string());
        match self.judge(asked, asking) {
            Ok(ready) => {
                self.serial += 1;
                let (running, told) = start(&self.web, &id, self.serial, ready, request_id);
                self.running.insert(id, running);
                self.told.push(told);
            }
            Err(refusal) => self.queue.push_back(protocol::error(
                &id,
                &refusal.errors(&request_id).to_string(),
            )),
        }
        Ok(())
    }

    /// The operation of a document that may run.
    fn judge(&self, asked: Asked, asking: Asking) -> Result<Ready, Refusal> {
        if self.running.len() >= OPERATIONS {
            return Err(Refusal::document(
                "DOCUMENT_REJECTED",
                format!("a socket runs at most {OPERATIONS} operations at once"),
            )
            .with("limit", "operations")
            .with("most", OPERATIONS));
        }
        let name = asked.operation_name.as_deref();
        let inspected = self.web.known.judge(&asked.query, name)?;
        let introspections = inspected.introspections;
        prepare(&self.web, asked, inspected.document, introspections, asking)
    }

    /// Puts what an operation told into the queue, and what others tell meanwhile, up to a batch.
    fn tell_all(&mut self, first: Told) {
        let mut bytes = self.tell(first);
        for _ in 1..BATCH {
            if bytes >= BATCH_BYTES {
                return;
            }
            match self.told.next().now_or_never() {
                Some(Some(told)) => bytes += self.tell(told),
                _ => return,
            }
        }
    }

    /// Says where each subscription stands, so that the client resumes there.
    fn farewell(&mut self) {
        let Some(principal) = &self.principal else {
            return;
        };
        let (app, owner) = (&self.web.app, principal.application);
        let cursors: Map<String, Value> = self
            .running
            .iter()
            .filter_map(|(id, running)| {
                let cursor = cursor::encode(app, owner, running.position?);
                Some((id.clone(), cursor.into()))
            })
            .collect();
        if !cursors.is_empty() {
            self.queue.push_back(protocol::farewell(&cursors));
        }
    }

    /// What an operation tells after the client has completed it is dropped.
    fn tell(&mut self, told: Told) -> usize {
        let id: &str = &told.id;
        let Some(running) = self.running.get_mut(id) else {
            return 0;
        };
        if running.serial != told.serial {
            return 0;
        }
        let last = match told.said {
            Some(Said::At(position)) => {
                running.position = Some(position);
                return 0;
            }
            Some(Said::Next(frame)) => {
                running.position = frame.position.or(running.position);
                self.queue.push_back(protocol::next(id, &frame.json));
                return frame.json.len();
            }
            Some(Said::Refused(errors)) => protocol::error(id, &errors),
            None => protocol::complete(id),
        };
        // Streams end because the node stops; the client is to come back, not to believe that they are complete.
        if self.web.app.running() {
            self.running.remove(id);
            self.queue.push_back(last);
        }
        0
    }
}

async fn passed(expiry: &mut Option<BoxFuture<'static, ()>>) {
    match expiry {
        Some(expiry) => expiry.await,
        None => std::future::pending().await,
    }
}

/// Sends everything in the queue. Nothing is lost when it is cancelled.
async fn write(
    sink: &mut (impl Sink<Message, Error = axum::Error> + Unpin),
    queue: &mut VecDeque<Message>,
) -> Result<(), axum::Error> {
    std::future::poll_fn(|context| {
        let mut sink = Pin::new(&mut *sink);
        while !queue.is_empty() {
            std::task::ready!(sink.as_mut().poll_ready(context))?;
            if let Some(message) = queue.pop_front() {
                sink.as_mut().start_send(message)?;
            }
        }
        sink.as_mut().poll_flush(context)
    })
    .await
}

fn too_large(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.to_string().contains("too long") || cause.to_string().contains("too large") {
            return true;
        }
        source = cause.source();
    }
    false
}
