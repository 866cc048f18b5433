//! Answers that come one after another, for every transport that streams.
//!
//! Promises: a subscription loses nothing, however slowly it is read, and what it has not been asked for yet is not in
//! memory. Subscriptions that ask the same (document, variables, rights) are executed once per event and share the
//! bytes: each begins by itself, which checks it and brings what it missed, and joins the others where it has nothing
//! left to tell. One that falls behind what the others keep goes on by itself from its cursor.

mod census;
mod living;
mod running;
mod shared;

use std::{
    future::poll_fn, panic::AssertUnwindSafe, pin::Pin, sync::Arc, task::Poll, time::Duration,
};

use async_graphql::Request;
use async_stream::stream;
use axum::extract::ws::Utf8Bytes;
use futures_util::{Stream, StreamExt as _, stream::BoxStream};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

pub(super) use self::{
    census::{Census, Seat},
    living::{Life, living},
    running::{Running, Telling, Told, start},
    shared::Groups,
};
use super::{
    Web, answer,
    operation::{Answer, Ready},
};
use crate::{
    event::feed::{Place, latest},
    metrics,
};

/// How long a stream whose execution broke off waits before it goes on.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a subscription that cannot begin for a fault of ours, such as a database that is away, is tried again.
const PATIENCE: Duration = Duration::from_secs(10);

/// One answer, serialised.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) json: Utf8Bytes,
    /// Where in the log the stream stands with it, if it can be resumed there.
    pub(super) position: Option<i64>,
    item: Option<Uuid>,
}

/// What a stream says.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// It has begun, or nothing has happened for a while, and it can be resumed behind this position.
    At(i64),
    /// An answer.
    Next(Frame),
    /// It could not begin, or go on: the errors as JSON.
    Refused(String),
}

/// The answers to an operation; the stream ends with the operation, or because the node stops.
pub(super) fn answers(
    web: Web,
    ready: Ready,
    resume: Option<i64>,
    request_id: String,
) -> BoxStream<'static, Said> {
    if !ready.is_subscription() {
        let (request, place) = (ready.request(), Place::default());
        let told = alone(&web, request, Kind::Once, place, request_id.clone());
        return fenced(told, request_id);
    }
    let seat = ready.asking.principal().map(|principal| {
        let most = web.app.config.subscriptions_per_application;
        web.subscriptions.seat(principal.application, most)
    });
    match seat {
        Some(None) => {
            let refusal = answer::too_many(
                "subscriptions",
                web.app.config.subscriptions_per_application,
            );
            let errors = refusal.errors(&request_id).to_string();
            futures_util::stream::iter([Said::Refused(errors)]).boxed()
        }
        seat => {
            let told = followed(web, ready, resume, request_id.clone(), seat.flatten());
            fenced(told, request_id)
        }
    }
}

/// A panic ends one stream, and nothing else of its connection.
fn fenced(
    told: impl Stream<Item = Said> + Send + 'static,
    request_id: String,
) -> BoxStream<'static, Said> {
    let told = AssertUnwindSafe(told).catch_unwind();
    told.map(move |said| {
        said.unwrap_or_else(|_| Said::Refused(answer::fault().errors(&request_id).to_string()))
    })
    .boxed()
}

/// An open subscription, in the metrics.
struct Counted;

impl Counted {
    fn new() -> Self {
        metrics::subscriptions(1.0);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::subscriptions(-1.0);
    }
}

/// What an execution of one's own says. A subscription that was in order before, or is tried again anyhow, ends for a while
/// when it fails, unless it would fail again.
fn alone(
    web: &Web,
    request: Request,
    kind: Kind,
    place: Place,
    request_id: String,
) -> impl Stream<Item = Said> + Send + use<> {
    let mut responses = web.graph.execute_stream(request.data(place.clone()));
    stream! {
        let mut first = matches!(kind, Kind::Once | Kind::New);
        while let Some(response) = responses.next().await {
            let answer = Answer::new(response, &request_id);
            let failed = match kind {
                Kind::Once => answer.refused(),
                Kind::New | Kind::Retried | Kind::Begun => answer.broken(),
            };
            if failed && (first || answer.is_final()) {
                let errors = serde_json::to_string(answer.errors());
                yield Said::Refused(errors.expect("errors are JSON"));
            }
            if failed {
                return;
            }
            first = false;
            yield Said::Next(frame(&answer, &place));
        }
    }
}

/// What is executed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A query or a mutation.
    Once,
    /// A subscription that is not known to be in order.
    New,
    /// The same, while a fault of ours may pass.
    Retried,
    /// One that was.
    Begun,
}

fn frame(answer: &Answer, place: &Place) -> Frame {
    let json = serde_json::to_string(answer).expect("an answer is JSON");
    Frame {
        json: json.into(),
        position: place.position(),
        item: place.item(),
    }
}

/// What comes next of an execution of one's own.
enum Step {
    Said(Said),
    /// It has told everything there is.
    Waits,
    Ended,
}

async fn step(mut own: Pin<&mut (impl Stream<Item = Said> + ?Sized)>, place: &Place) -> Step {
    poll_fn(|context| match own.as_mut().poll_next(context) {
        Poll::Ready(Some(said)) => Poll::Ready(Step::Said(said)),
        Poll::Ready(None) => Poll::Ready(Step::Ended),
        Poll::Pending if place.waits() => Poll::Ready(Step::Waits),
        Poll::Pending => Poll::Pending,
    })
    .await
}

fn followed(
    web: Web,
    ready: Ready,
    resume: Option<i64>,
    request_id: String,
    seat: Option<Seat>,
) -> impl Stream<Item = Said> + Send {
    stream! {
        let _held = (Counted::new(), seat);
        let app = web.app.clone();
        let ready = Arc::new(ready);
        let mut position = resume;
        let (mut begun, mut placed) = (false, false);
        let since = Instant::now();
        while app.running() {
            let place = match position {
                Some(position) if begun => Place::continuing(position),
                position => Place::resuming(position),
            };
            let kind = match begun {
                true => Kind::Begun,
                false if since.elapsed() < PATIENCE => Kind::Retried,
                false => Kind::New,
            };
            let own = alone(&web, ready.request(), kind, place.clone(), request_id.clone());
            let mut own = Box::pin(own);
            let waits = loop {
                match step(own.as_mut(), &place).await {
                    Step::Waits => break true,
                    Step::Ended => break false,
                    Step::Said(said) => {
                        if let Said::Next(frame) = &said {
                            position = frame.position.or(position);
                            // It can go on from there, should it break off.
                            begun |= frame.position.is_some();
                        }
                        let refused = matches!(said, Said::Refused(_));
                        yield said;
                        if refused {
                            return;
                        }
                    }
                }
            };
            // What it takes to execute is given back before the long wait.
            drop(own);
            let stands = place.position().zip(place.signal()).filter(|_| waits);
            let Some((mut at, signal)) = stands else {
                if app.running() {
                    sleep(PAUSE).await;
                }
                continue;
            };
            begun = true;
            if !placed {
                placed = true;
                yield Said::At(at);
            }
            let group = web.groups.join(&web, &ready, at, signal, &request_id);
            let coalesce = place.coalesces();
            drop(place);
            let mut moved = group.moved();
            while let Some(frames) = group.after(at, coalesce) {
                if frames.is_empty() {
                    if group.ended() {
                        break;
                    }
                    tokio::select! {
                        changed = moved.changed() => if changed.is_err() { break },
                        () = sleep(web.timing.ping) => {
                            // What happens elsewhere moves it on: it need not be read again.
                            let stands = group.stands(&app, at);
                            if stands > at {
                                at = stands;
                                yield Said::At(at);
                            }
                        }
                        () = app.stopping() => return,
                    }
                    continue;
                }
                let frames = if coalesce { latest(frames, |frame| frame.item) } else { frames };
                for frame in frames {
                    at = frame.position.unwrap_or(at);
                    yield Said::Next(frame);
                }
            }
            position = Some(at);
        }
    }
}
