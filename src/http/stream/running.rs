//! The operations of a stream that carries many: a socket, or the single connection of server-sent events.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use futures_util::{
    Stream, StreamExt as _,
    future::{AbortHandle, abortable},
    stream::{self, BoxStream},
    task::AtomicWaker,
};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{
    super::{Web, operation::Ready},
    Said, answers,
};

/// What an operation hands to its stream.
pub(in crate::http) struct Told {
    /// The operation, as the client calls it.
    pub(in crate::http) id: Arc<str>,
    /// Which of those that the client has called so.
    pub(in crate::http) serial: u64,
    /// What it says; nothing comes after `None`.
    pub(in crate::http) said: Option<Said>,
}

/// A running operation; it ends when this is dropped.
pub(in crate::http) struct Running {
    pub(in crate::http) serial: u64,
    /// Where in the log it stands, if it can be resumed.
    pub(in crate::http) position: Option<i64>,
    slot: Arc<Slot>,
}

impl Running {
    /// Ends it: what it holds is freed at once, also while its stream is busy with a client that does not read.
    pub(in crate::http) fn stop(&self) {
        drop(self.slot.stream().take());
        self.slot.taken.wake();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Where an operation is driven from, until it is taken out.
struct Slot {
    stream: Mutex<Option<BoxStream<'static, Said>>>,
    taken: AtomicWaker,
}

impl Slot {
    fn stream(&self) -> MutexGuard<'_, Option<BoxStream<'static, Said>>> {
        self.stream.lock().expect("panics of operations are caught")
    }
}

/// What an operation tells, from its first answer to its end.
pub(in crate::http) struct Telling {
    id: Arc<str>,
    serial: u64,
    slot: Arc<Slot>,
    ended: bool,
}

impl Stream for Telling {
    type Item = Told;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Told>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.slot.taken.register(context.waker());
        let mut stream = self.slot.stream();
        let said = match &mut *stream {
            Some(stream) => std::task::ready!(stream.poll_next_unpin(context)),
            None => None,
        };
        if said.is_none() {
            *stream = None;
        }
        drop(stream);
        self.ended = said.is_none();
        Poll::Ready(Some(Told {
            id: self.id.clone(),
            serial: self.serial,
            said,
        }))
    }
}

/// Starts an operation.
///
/// A subscription is driven by its stream: most of the time it waits, and then it hands over what others have made. A
/// query or mutation runs in a task of its own, beside the others of its stream.
pub(in crate::http) fn start(
    web: &Web,
    id: &str,
    serial: u64,
    ready: Ready,
    request_id: String,
) -> (Running, Telling) {
    let answers = if ready.is_subscription() {
        answers(web.clone(), ready, None, request_id)
    } else {
        let span = tracing::info_span!("operation", request_id);
        beside(web, answers(web.clone(), ready, None, request_id), span)
    };
    let slot = Arc::new(Slot {
        stream: Mutex::new(Some(answers)),
        taken: AtomicWaker::new(),
    });
    let running = Running {
        serial,
        position: None,
        slot: slot.clone(),
    };
    let telling = Telling {
        id: id.into(),
        serial,
        slot,
        ended: false,
    };
    (running, telling)
}

/// Lets a task of its own run ahead by one answer. It ends when nobody takes it.
fn beside(
    web: &Web,
    mut answers: BoxStream<'static, Said>,
    span: tracing::Span,
) -> BoxStream<'static, Said> {
    let (sender, receiver) = mpsc::channel(1);
    let running = async move {
        while let Some(said) = answers.next().await {
            if sender.send(said).await.is_err() {
                return;
            }
        }
    };
    let (running, handle) = abortable(running.instrument(span));
    web.app.spawn(async move {
        // Aborted when the client, or its stream, is done with it.
        let _ = running.await;
    });
    let state = (receiver, Stopping(handle));
    stream::unfold(state, |(mut receiver, stopping)| async {
        let said = receiver.recv().await?;
        Some((said, (receiver, stopping)))
    })
    .boxed()
}

/// Stops a task when dropped.
struct Stopping(AbortHandle);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.abort();
    }
}
