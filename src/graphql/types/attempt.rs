//! Attempts of deliveries: what was sent and what was answered.

use async_graphql::{Context, Object, Result, SimpleObject};
use entity::attempt;
use uuid::Uuid;

use super::super::{loader, scalar::DateTime};
use crate::{event as payloads, webhook as webhooks};

/// One HTTP request of a delivery.
pub struct Attempt {
    row: attempt::Model,
    event: Uuid,
}

impl Attempt {
    /// One that told of this event.
    pub fn new(row: attempt::Model, event: Uuid) -> Self {
        Self { row, event }
    }
}

/// One HTTP request of a delivery.
#[Object]
impl Attempt {
    /// When it began.
    async fn at(&self) -> DateTime {
        DateTime(self.row.at)
    }

    /// How long it took, in milliseconds.
    async fn duration_ms(&self) -> i32 {
        self.row.duration_ms
    }

    /// What was sent as headers, without the values of your static ones; empty when nothing was sent.
    async fn request_headers(&self) -> Vec<RequestHeader> {
        webhooks::sent_headers(&self.row, self.event)
            .into_iter()
            .map(|(name, value)| RequestHeader { name, value })
            .collect()
    }

    /// The first 4 KiB of the body that was sent; null when nothing was sent, and once the event is no longer kept.
    async fn request_body(&self, ctx: &Context<'_>) -> Result<Option<String>> {
        let Some(payload) = self.row.payload else {
            return Ok(None);
        };
        let event = loader::told(ctx, self.event).await?;
        Ok(event.map(|event| payloads::excerpt(&event, payload)))
    }

    /// The status of the answer; null when there was none.
    async fn status_code(&self) -> Option<i32> {
        self.row.status_code
    }

    /// Why there was no answer, or why it did not count, in English; null when the status says it all.
    async fn error(&self) -> Option<&str> {
        self.row.error.as_deref()
    }

    /// The first 4 KiB of the answer, without the values of your static headers; null when it was empty.
    async fn response_body(&self) -> Option<&str> {
        self.row.response_body.as_deref()
    }
}

/// A header of a request that was made.
#[derive(SimpleObject)]
pub struct RequestHeader {
    /// Its name, in lower case.
    name: String,
    /// Its value; null for your static headers, whose values are shown nowhere.
    value: Option<String>,
}
