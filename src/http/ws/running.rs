//! One operation of a socket, in a task of its own.

use axum::extract::ws::Message;
use futures_util::{
    StreamExt as _,
    future::{AbortHandle, abortable},
    stream::{self, BoxStream},
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
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts an operation. What it tells ends with a last message, also when it panics.
pub(super) fn start(
    web: &Web,
    id: String,
    serial: u64,
    ready: Ready,
    request_id: String,
) -> (Running, BoxStream<'static, Told>) {
    let (sender, receiver) = mpsc::channel(1);
    let span = tracing::info_span!("operation", request_id);
    let fault = Part {
        message: Some(protocol::error(
            &id,
            &answer::fault().errors(&request_id).to_string(),
        )),
        position: None,
        last: true,
    };
    let running = run(web.clone(), id.clone(), request_id, ready, sender);
    let (task, handle) = abortable(running.instrument(span));
    web.app.spawn(async move {
        // Aborted when the client, or its socket, is done with it.
        let _ = task.await;
    });
    let told = stream::unfold(receiver, |mut receiver| async move {
        let part = receiver.recv().await?;
        Some((part, receiver))
    })
    .chain(stream::iter([fault]))
    .map(move |part| Told {
        id: id.clone(),
        serial,
        part,
    });
    (
        Running {
            serial,
            position: None,
            task: handle,
        },
        told.boxed(),
    )
}

async fn run(web: Web, id: String, request_id: String, ready: Ready, sender: mpsc::Sender<Part>) {
    let mut answers = answers(web, ready, None, request_id);
    while let Some(said) = answers.next().await {
        let part = match said {
            Said::At(position) => Part {
                message: None,
                position: Some(position),
                last: false,
            },
            Said::Next(frame) => Part {
                message: Some(protocol::next(&id, &frame.json)),
                position: frame.position,
                last: false,
            },
            Said::Refused(errors) => Part {
                message: Some(protocol::error(&id, &errors)),
                position: None,
                last: true,
            },
        };
        let last = part.last;
        if sender.send(part).await.is_err() || last {
            return;
        }
    }
    let end = Part {
        message: Some(protocol::complete(&id)),
        position: None,
        last: true,
    };
    // The socket is gone otherwise, and with it who would be told.
    let _ = sender.send(end).await;
}
