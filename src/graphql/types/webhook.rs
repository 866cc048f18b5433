//! Registered webhooks, their deliveries and attempts.

use async_graphql::{Context, Enum, ID, InputObject, MaybeUndefined, Object, Result, SimpleObject};
use entity::{delivery, webhook};
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use super::{
    super::{
        ContextExt as _, loader,
        page::{self, Arguments, List, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Id},
    },
    attempt::Attempt,
    change::change,
    event::{Event, EventType},
    health::WebhookHealth,
};
use crate::{
    db::row::Row as _,
    event::{self as events, relay},
    item::Change,
    webhook::{self as webhooks, Created, NewWebhook, WebhookUpdate},
};

/// An endpoint of yours that is told of events.
#[derive(Clone)]
pub struct Webhook(pub webhook::Model);

/// An endpoint of yours that is told of events.
#[Object]
impl Webhook {
    /// Identity.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// Where requests go, in normal form.
    async fn url(&self) -> &str {
        &self.0.url
    }

    /// The events it is told of.
    async fn events(&self) -> Vec<EventType> {
        relay::wanted(&self.0).into_iter().map(Into::into).collect()
    }

    /// Your own words; null when there are none.
    async fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// Whether deliveries are made and sent. What was pending when it was disabled waits until it is enabled again.
    async fn enabled(&self) -> bool {
        self.0.enabled
    }

    /// Since when it is disabled; null while it is enabled.
    async fn disabled_at(&self) -> Option<DateTime> {
        self.0.disabled_at.map(DateTime)
    }

    /// Why it is disabled, in English; null while it is enabled. An endpoint that answers 410, or nothing but failures for five days, is disabled, and WEBHOOK_DISABLED tells of it.
    async fn disabled_reason(&self) -> Option<&str> {
        self.0.disabled_reason.as_deref()
    }

    /// The public half of the key that signs its requests beside the secret (`v1a` in `webhook-signature`, ed25519): `whpk_…`, as Standard Webhooks describes. Replaced with the
    /// secret by `rotateWebhookSecret`. Null for a moment after an upgrade from a version without.
    async fn public_key(&self) -> Option<&str> {
        self.0.public_key.as_deref()
    }

    /// How much its requests tell.
    async fn payload(&self) -> WebhookPayload {
        self.0.payload.into()
    }

    /// Whether the next event of an Item waits until the one before has been taken or given up. Other Items do not wait.
    async fn ordered(&self) -> bool {
        self.0.ordered
    }

    /// Most requests under way at once, from each node of this Ponte.
    async fn max_concurrency(&self) -> i32 {
        self.0.max_concurrency
    }

    /// Most requests begun in a second, from all nodes together; null when there is no limit.
    async fn max_per_second(&self) -> Option<i32> {
        self.0.max_per_second
    }

    /// How its endpoint has been doing.
    async fn health(&self, ctx: &Context<'_>) -> Result<WebhookHealth> {
        Ok(loader::circuit(ctx, self.0.id).await?.into())
    }

    /// When it was registered.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it was last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// What was or will be sent to it, newest first. At most 200 a page, 50 unless told.
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list.")] first: Option<i32>,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Only those that stand like this.")] status: Option<DeliveryStatus>,
    ) -> Result<DeliveryConnection> {
        let of = (webhooks::Parent::Webhook, self.0.id);
        deliveries(ctx, of, first, after, status).await
    }
}

/// A page of deliveries of a webhook or an Item.
pub async fn deliveries(
    ctx: &Context<'_>,
    (parent, id): (webhooks::Parent, Uuid),
    first: Option<i32>,
    after: Option<String>,
    status: Option<DeliveryStatus>,
) -> Result<DeliveryConnection> {
    ctx.principal()?.require_api_key("see deliveries")?;
    let slice = forward(first, after).slice(List::Deliveries, crate::graphql::MOST_ROWS)?;
    let status = status.map(Into::into);
    let page = loader::deliveries_of(ctx, parent, id, status, slice).await?;
    Ok(DeliveryConnection::new(page))
}

/// How much the requests of a webhook tell.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::WebhookPayload")]
pub enum WebhookPayload {
    /// Exactly `Event.payload`.
    Full,
    /// Only `event`, `eventId`, `createdAt` and, when it is about an Item, `itemId` and `itemSequence`: the receiver asks for the rest.
    Thin,
}

fn forward(first: Option<i32>, after: Option<String>) -> Arguments {
    Arguments {
        first,
        after,
        ..Arguments::default()
    }
}

impl From<webhook::Model> for Webhook {
    fn from(row: webhook::Model) -> Self {
        Self(row)
    }
}

impl Plain for Webhook {}

impl Pointed for Webhook {
    fn pointer(&self) -> String {
        page::cursor(List::Webhooks, self.0.key())
    }
}

connection!(
    /// A page of webhooks, oldest first.
    WebhookConnection,
    /// A webhook in a list.
    WebhookEdge,
    Webhook
);

/// A page of webhooks.
pub async fn list(
    ctx: &Context<'_>,
    first: Option<i32>,
    after: Option<String>,
) -> Result<WebhookConnection> {
    let slice = forward(first, after).slice(List::Webhooks, crate::graphql::MOST_ROWS)?;
    let page = webhooks::list(ctx.app(), ctx.principal()?, slice).await?;
    Ok(WebhookConnection::new(page))
}

/// An event for one endpoint.
#[derive(Clone)]
pub struct Delivery(pub delivery::Model);

/// An event for one endpoint. It is sent again, with the same `webhook-id` and body, until the endpoint answers 2xx: ten times at most, over three days.
#[Object]
impl Delivery {
    /// Identity. Not the event's: that is what requests carry as `webhook-id`.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// What it tells of; null once the event is no longer kept, and for a test event, which is in no log.
    async fn event(&self, ctx: &Context<'_>) -> Result<Option<Event>> {
        let row = loader::event(ctx, self.0.event_id).await?;
        Ok(row.map(|row| Event::new(ctx.app(), row)))
    }

    /// All that it tells, also of a test event, as a webhook that gets full payloads receives it; null once the event is no longer kept.
    async fn payload(&self, ctx: &Context<'_>) -> Result<Option<Value>> {
        let event = loader::told(ctx, self.0.event_id).await?;
        Ok(event.map(|event| events::body(&event)))
    }

    /// The registration; null when it goes to the `webhookUrl` of an Item.
    async fn webhook(&self, ctx: &Context<'_>) -> Result<Option<Webhook>> {
        match self.0.webhook_id {
            Some(id) => Ok(loader::webhook(ctx, id).await?.map(Webhook)),
            None => Ok(None),
        }
    }

    /// Where the last request went; before the first, where it was to go.
    async fn url(&self) -> &str {
        &self.0.url
    }

    /// Where it stands.
    async fn status(&self) -> DeliveryStatus {
        self.0.status.into()
    }

    /// The requests that were made, oldest first: the last 50.
    async fn attempts(&self, ctx: &Context<'_>) -> Result<Vec<Attempt>> {
        let rows = loader::attempts_of(ctx, self.0.id).await?;
        let event = self.0.event_id;
        Ok(rows
            .into_iter()
            .map(|row| Attempt::new(row, event))
            .collect())
    }

    /// When it is tried again; null once it has come to an end.
    async fn next_attempt_at(&self) -> Option<DateTime> {
        self.0.next_attempt_at.map(DateTime)
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }
}

impl From<delivery::Model> for Delivery {
    fn from(row: delivery::Model) -> Self {
        Self(row)
    }
}

impl Plain for Delivery {}

impl Pointed for Delivery {
    fn pointer(&self) -> String {
        page::cursor(List::Deliveries, self.0.key())
    }
}

connection!(
    /// A page of deliveries, newest first.
    DeliveryConnection,
    /// A delivery in a list.
    DeliveryEdge,
    Delivery
);

/// Where a delivery stands.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::DeliveryStatus")]
pub enum DeliveryStatus {
    /// It will be sent, for the first time or again.
    Pending,
    /// The endpoint answered 2xx.
    Succeeded,
    /// It was given up. `retryDelivery` sends it again.
    Failed,
    /// It was left out when its webhook was enabled again with `backlog: SKIP`. `retryDelivery` sends it.
    Skipped,
}

/// A header that is sent with every request.
#[derive(InputObject)]
pub struct HeaderInput {
    /// Letters, digits and hyphens. Headers of the connection, `Content-Type` and `webhook-…` are the server's.
    name: String,
    /// Visible ASCII characters. Sealed at rest, never shown again.
    value: String,
}

fn headers(inputs: Vec<HeaderInput>) -> Vec<(String, SecretString)> {
    let secret = |input: HeaderInput| (input.name, input.value.into());
    inputs.into_iter().map(secret).collect()
}

fn events(inputs: Vec<EventType>) -> Vec<entity::kind::EventType> {
    inputs.into_iter().map(Into::into).collect()
}

fn map<T, U>(change: Change<T>, convert: impl FnOnce(T) -> U) -> Change<U> {
    match change {
        Change::Keep => Change::Keep,
        Change::Set(value) => Change::Set(value.map(convert)),
    }
}

/// What a new webhook is made of.
#[derive(InputObject)]
pub struct CreateWebhookInput {
    /// An https address of a public host.
    url: String,
    /// What it is told of; all but ITEM_STATUS_CHANGED when left out.
    events: Option<Vec<EventType>>,
    /// Your own words, at most 500 characters.
    description: Option<String>,
    /// Sent with every request; at most 20.
    headers: Option<Vec<HeaderInput>>,
    /// How much requests tell.
    #[graphql(default_with = "WebhookPayload::Full")]
    payload: WebhookPayload,
    /// Whether the next event of an Item waits until the one before has been taken or given up. Other Items do not wait.
    #[graphql(default)]
    ordered: bool,
    /// Most requests under way at once, from each node of this Ponte: 1 to 100. 20 when left out.
    max_concurrency: Option<i32>,
    /// Most requests begun in a second, spread evenly, from all nodes together: 1 to 10000. No limit when left out.
    max_per_second: Option<i32>,
}

impl From<CreateWebhookInput> for NewWebhook {
    fn from(input: CreateWebhookInput) -> Self {
        Self {
            url: input.url,
            events: input.events.map(events),
            description: input.description,
            headers: headers(input.headers.unwrap_or_default()),
            payload: Some(input.payload.into()),
            ordered: input.ordered,
            max_concurrency: input.max_concurrency,
            max_per_second: input.max_per_second,
        }
    }
}

/// A new webhook.
#[derive(SimpleObject)]
pub struct CreateWebhookPayload {
    /// The webhook.
    webhook: Webhook,
    /// Signs its requests (`v1`), as Standard Webhooks describes: `whsec_…`. Shown this once; keep it on your server.
    secret: String,
}

impl From<Created> for CreateWebhookPayload {
    fn from(created: Created) -> Self {
        Self {
            webhook: Webhook(created.webhook),
            secret: created.secret.to_string(),
        }
    }
}

/// What is to change about a webhook.
#[derive(InputObject)]
pub struct UpdateWebhookInput {
    /// Which webhook.
    pub webhook_id: ID,
    /// An https address of a public host. Left out: unchanged. What is pending goes to the new address.
    url: MaybeUndefined<String>,
    /// What it is told of. Left out: unchanged. Null: all but ITEM_STATUS_CHANGED.
    events: MaybeUndefined<Vec<EventType>>,
    /// Your own words. Left out: unchanged. Null: cleared.
    description: MaybeUndefined<String>,
    /// Whether deliveries are made and sent. Left out: unchanged.
    enabled: MaybeUndefined<bool>,
    /// Replaces all static headers. Left out: unchanged. Null: none.
    headers: MaybeUndefined<Vec<HeaderInput>>,
    /// How much requests tell, also those of what waits. Left out or null: unchanged.
    payload: Option<WebhookPayload>,
    /// Whether the next event of an Item waits for the one before. Left out or null: unchanged.
    ordered: Option<bool>,
    /// Most requests under way at once: 1 to 100. Left out: unchanged. Null: 20.
    max_concurrency: MaybeUndefined<i32>,
    /// Most requests begun in a second: 1 to 10000. Left out: unchanged. Null: no limit.
    max_per_second: MaybeUndefined<i32>,
    /// With `enabled: true`: what becomes of what waited. Left out or null: what was pending is sent as it comes due, what happened while it was disabled is not.
    backlog: Option<Backlog>,
}

/// What becomes of what waited when a webhook is enabled again.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "webhooks::Backlog")]
pub enum Backlog {
    /// All of it is sent: what was pending at once, and the events that happened while the webhook was disabled.
    Send,
    /// None of it is sent: what was pending becomes SKIPPED.
    Skip,
}

impl From<UpdateWebhookInput> for WebhookUpdate {
    fn from(input: UpdateWebhookInput) -> Self {
        Self {
            url: change(input.url),
            events: map(change(input.events), events),
            description: change(input.description),
            enabled: change(input.enabled),
            headers: map(change(input.headers), headers),
            payload: input.payload.map(Into::into),
            ordered: input.ordered,
            max_concurrency: change(input.max_concurrency),
            max_per_second: change(input.max_per_second),
            backlog: input.backlog.map(Into::into),
        }
    }
}

/// A changed webhook.
#[derive(SimpleObject)]
pub struct UpdateWebhookPayload {
    /// The webhook as it is now.
    pub webhook: Webhook,
}

/// Which webhook is to be deleted.
#[derive(InputObject)]
pub struct DeleteWebhookInput {
    /// Which webhook.
    pub webhook_id: ID,
}

/// A webhook that is gone.
#[derive(SimpleObject)]
pub struct DeleteWebhookPayload {
    /// The id that it had.
    pub deleted_webhook_id: ID,
}

/// Which webhook gets a new secret.
#[derive(InputObject)]
pub struct RotateWebhookSecretInput {
    /// Which webhook.
    pub webhook_id: ID,
}

/// A webhook with a new secret.
#[derive(SimpleObject)]
pub struct RotateWebhookSecretPayload {
    /// The webhook.
    webhook: Webhook,
    /// The new secret: `whsec_…`. Shown this once; keep it on your server.
    secret: String,
}

impl From<Created> for RotateWebhookSecretPayload {
    fn from(created: Created) -> Self {
        Self {
            webhook: Webhook(created.webhook),
            secret: created.secret.to_string(),
        }
    }
}

/// Which delivery is to be sent again.
#[derive(InputObject)]
pub struct RetryDeliveryInput {
    /// Which delivery.
    pub delivery_id: ID,
}

/// A delivery that is due.
#[derive(SimpleObject)]
pub struct RetryDeliveryPayload {
    /// The delivery as it is now.
    pub delivery: Delivery,
}
