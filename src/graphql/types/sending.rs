//! Sending by request: test events and replays.

use async_graphql::{ID, InputObject, SimpleObject};

use super::{
    super::scalar::DateTime,
    event::EventType,
    webhook::{Delivery, Webhook},
};
use crate::webhook::Replay;

/// Which example goes where.
#[derive(InputObject)]
pub struct SendTestEventInput {
    /// Which webhook.
    pub webhook_id: ID,
    /// Which type of event. `/webhooks/catalogue.json` shows the examples.
    #[graphql(name = "type")]
    pub kind: EventType,
}

/// A test event on its way.
#[derive(SimpleObject)]
pub struct SendTestEventPayload {
    /// The delivery; its attempts show what the endpoint answered.
    pub delivery: Delivery,
}

/// What is to be delivered again. Give `after` or `since`, one of the two.
#[derive(InputObject)]
pub struct ReplayWebhookInput {
    /// Which webhook.
    pub webhook_id: ID,
    /// Everything behind this cursor of the log.
    after: Option<String>,
    /// Everything that happened at this time or later, as far as it is kept.
    since: Option<DateTime>,
    /// Only these types, of those that the webhook asks for; all of those when left out.
    types: Option<Vec<EventType>>,
    /// Whether to count only, and deliver nothing.
    dry_run: Option<bool>,
}

impl From<ReplayWebhookInput> for Replay {
    fn from(input: ReplayWebhookInput) -> Self {
        let kinds = |types: Vec<EventType>| types.into_iter().map(Into::into).collect();
        Self {
            after: input.after,
            since: input.since.map(|at| at.0),
            kinds: input.types.map(kinds),
            dry_run: input.dry_run.unwrap_or(false),
        }
    }
}

/// A replay.
#[derive(SimpleObject)]
pub struct ReplayWebhookPayload {
    /// The webhook.
    pub webhook: Webhook,
    /// How many events are delivered again; with `dryRun`, would be.
    pub count: i64,
}
