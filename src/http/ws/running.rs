//! One operation of a socket, in a task of its own.

use async_graphql::Request;
use axum::extract::ws::Message;
use futures_util::{
    StreamExt as _,
    future::{AbortHandle, abortable},
    stream::{self, BoxStream},
};
use tokio::sync::mpsc;
use tracing::Instrument as _;

use super::{
    super::{Web, answer, operation::Answer},
    protocol,
};
use crate::metrics;

/// What an operation hands to its socket.
pub(super) struct Told {
    /// The operation, as the client calls it.
    pub(super) id: String,
    /// Which of those that the client has called so.
    pub(super) serial: u64,
    pub(super) message: Message,
    /// Whether nothing comes after it.
    pub(super) last: bool,
}

/// A running operation; it ends when this is dropped.
pub(super) struct Running {
    pub(super) serial: u64,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
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

/// Starts an operation. What it tells ends with a last message, also when it panics.
pub(super) fn start(
    web: &Web,
    id: String,
    serial: u64,
    request: Request,
    subscription: bool,
    request_id: String,
) -> (Running, BoxStream<'static, Told>) {
    let (sender, receiver) = mpsc::channel(1);
    let span = tracing::info_span!("operation", request_id);
    let fault = protocol::error(&id, &answer::fault().errors(&request_id));
    let operation = Operation {
        web: web.clone(),
        id: id.clone(),
        request_id,
        subscription,
        sender,
    };
    let (task, handle) = abortable(operation.run(request).instrument(span));
    web.app.spawn(async move {
        // Aborted when the client, or its socket, is done with it.
        let _ = task.await;
    });
    let told = stream::unfold(receiver, |mut receiver| async move {
        let (message, last) = receiver.recv().await?;
        Some(((message, last), receiver))
    })
    .chain(stream::iter([(fault, true)]))
    .map(move |(message, last)| Told {
        id: id.clone(),
        serial,
        message,
        last,
    });
    (
        Running {
            serial,
            task: handle,
        },
        told.boxed(),
    )
}

struct Operation {
    web: Web,
    id: String,
    request_id: String,
    subscription: bool,
    sender: mpsc::Sender<(Message, bool)>,
}

impl Operation {
    async fn run(self, request: Request) {
        let _counted = self.subscription.then(Counted::new);
        let mut answers = self.web.graph.execute_stream(request);
        let mut first = true;
        while let Some(response) = answers.next().await {
            let answer = Answer::new(response, &self.request_id);
            let failed = answer.refused() || (self.subscription && first && answer.not_begun());
            let message = if first && failed {
                protocol::error(&self.id, &answer.errors())
            } else {
                protocol::next(&self.id, &answer)
            };
            if self.sender.send((message, first && failed)).await.is_err() || (first && failed) {
                return;
            }
            first = false;
        }
        // The socket is gone otherwise, and with it who would be told.
        let _ = self.sender.send((protocol::complete(&self.id), true)).await;
    }
}
