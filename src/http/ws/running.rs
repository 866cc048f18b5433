//! One operation of a socket.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use async_stream::stream;
use axum::extract::ws::Message;
use futures_util::{
    Stream, StreamExt as _,
    future::{AbortHandle, abortable as abortable_future},
    stream::{self, BoxStream, abortable},
};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{
    super::{
        Web, answer,
        operation::Ready,
        stream::{Said, answers},
    },
    protocol,
};

/// What an operation hands to its socket.
pub(super) struct Told {
    /// The operation, as the client calls it.
    pub(super) id: String,
    /// Which of those that the client has called so.
    pub(super) serial: u64,
    pub(super) part: Part,
}

/// A piece of what an operation tells.
pub(super) struct Part {
    pub(super) message: Option<Message>,
    /// Where in the log the operation stands with it.
    pub(super) position: Option<i64>,
    /// Whether nothing comes after it.
    pub(super) last: bool,
}

/// A running operation; it ends when this is dropped.
pub(super) struct Running {
    pub(super) serial: u64,
    /// Where in the log it stands, if it can be resumed.
    pub(super) position: Option<i64>,
    slot: Slot,
    handle: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Freed at once, also while the socket is busy with a client that does not read.
        drop(self.slot.stream().take());
        self.handle.abort();
    }
}

/// Where an operation is driven from, until it is taken out.
#[derive(Clone)]
struct Slot(Arc<Mutex<Option<BoxStream<'static, Part>>>>);

impl Slot {
    fn stream(&self) -> MutexGuard<'_, Option<BoxStream<'static, Part>>> {
        self.0.lock().expect("panics of operations are caught")
    }
}

impl Stream for Slot {
    type Item = Part;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Part>> {
        match &mut *self.stream() {
            Some(stream) => stream.poll_next_unpin(context),
            None => Poll::Ready(None),
        }
    }
}

/// Starts an operation. What it tells ends with a last message, also when it panics.
///
/// A subscription is driven by its socket: most of the time it waits, and then it hands over what others have made. A
/// query or mutation runs in a task of its own, beside the others of its socket.
pub(super) fn start(
    web: &Web,
    id: String,
    serial: u64,
    ready: Ready,
    request_id: String,
) -> (Running, BoxStream<'static, Told>) {
    let span = tracing::info_span!("operation", request_id);
    let fault = answer::fault().errors(&request_id).to_string();
    let subscription = ready.is_subscription();
    let answers = answers(web.clone(), ready, None, request_id);
    let parts = parts(answers, id.clone(), fault).boxed();
    let parts = if subscription {
        parts
    } else {
        beside(web, parts, span)
    };
    let slot = Slot(Arc::new(Mutex::new(Some(parts))));
    let (parts, handle) = abortable(slot.clone());
    let told = parts.map(move |part| Told {
        id: id.clone(),
        serial,
        part,
    });
    (
        Running {
            serial,
            position: None,
            slot,
            handle,
        },
        told.boxed(),
    )
}

/// Lets a task of its own run ahead by one part. It ends when nobody takes it.
fn beside(
    web: &Web,
    mut parts: BoxStream<'static, Part>,
    span: tracing::Span,
) -> BoxStream<'static, Part> {
    let (sender, receiver) = mpsc::channel(1);
    let running = async move {
        while let Some(part) = parts.next().await {
            if sender.send(part).await.is_err() {
                return;
            }
        }
    };
    let (running, handle) = abortable_future(running.instrument(span));
    web.app.spawn(async move {
        // Aborted when the client, or its socket, is done with it.
        let _ = running.await;
    });
    stream::unfold(
        (receiver, Stopping(handle)),
        |(mut receiver, stopping)| async {
            let part = receiver.recv().await?;
            Some((part, (receiver, stopping)))
        },
    )
    .boxed()
}

/// Stops a task when dropped.
struct Stopping(AbortHandle);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The messages of an operation.
fn parts(
    answers: BoxStream<'static, Said>,
    id: String,
    fault: String,
) -> impl Stream<Item = Part> + Send {
    let last = |message| Part {
        message: Some(message),
        position: None,
        last: true,
    };
    stream! {
        let mut answers = AssertUnwindSafe(answers).catch_unwind();
        while let Some(said) = answers.next().await {
            match said {
                Ok(Said::At(position)) => yield Part {
                    message: None,
                    position: Some(position),
                    last: false,
                },
                Ok(Said::Next(frame)) => yield Part {
                    message: Some(protocol::next(&id, &frame.json)),
                    position: frame.position,
                    last: false,
                },
                Ok(Said::Refused(errors)) => {
                    yield last(protocol::error(&id, &errors));
                    return;
                }
                Err(_) => {
                    yield last(protocol::error(&id, &fault));
                    return;
                }
            }
        }
        yield last(protocol::complete(&id));
    }
}
