//! The event log: appended in the transaction of what happened, ordered by the relay, followed by cursor.
//!
//! An event row is the outbox. [`append`] writes it beside the change it tells of, the [`relay`] gives it its position
//! and makes the deliveries, the [`feed`] hands it to whoever follows. Nothing else publishes. What an event says is typed
//! in [`body`](mod@body), from which the [`catalogue`] for receivers is generated.

pub mod asyncapi;
pub mod body;
pub mod catalogue;
pub mod change;
pub mod cursor;
pub mod feed;
pub mod log;
pub mod relay;
pub mod retention;
pub mod snapshot;

use entity::{
    event, item,
    kind::{EventType, ItemStatus, TriggeredBy, WebhookPayload},
};
use sea_orm::{ConnectionTrait, EntityTrait};
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

pub use self::body::{body, body_of};
use self::{
    body::{ItemState, StatusChanged},
    change::Told,
};
use crate::{app::App, clock::Timestamp, error::Result};

/// How much of a body is shown beside an attempt.
const EXCERPT_BYTES: usize = 4 * 1024;

/// What an event adds to the envelope: ids, codes, counts and dates; never names, amounts or an institution's words.
pub type Extra = Map<String, Value>;

/// An event about an Item that is to be appended.
#[derive(Clone, Debug)]
pub struct Draft {
    kind: EventType,
    account: Option<Uuid>,
    triggered_by: Option<TriggeredBy>,
    extra: Extra,
    told: Vec<Told>,
}

impl Draft {
    /// An event of this kind, without an addition.
    pub fn new(kind: EventType, triggered_by: Option<TriggeredBy>) -> Self {
        Self {
            kind,
            account: None,
            triggered_by,
            extra: Extra::new(),
            told: Vec::new(),
        }
    }

    /// The transition of an execution to another state.
    pub fn status_changed(
        status: ItemStatus,
        execution_status: entity::kind::ExecutionStatus,
        triggered_by: TriggeredBy,
    ) -> Self {
        Self::new(EventType::ItemStatusChanged, Some(triggered_by)).carrying(&StatusChanged {
            data: ItemState {
                status,
                execution_status,
            },
        })
    }

    /// Names the account it is about.
    #[must_use]
    pub fn of_account(mut self, account: Uuid) -> Self {
        self.account = Some(account);
        self
    }

    /// Adds entities that it tells of, in this order.
    #[must_use]
    pub fn telling(mut self, told: impl IntoIterator<Item = Told>) -> Self {
        self.told.extend(told);
        self
    }

    /// Adds an entity that it tells of before all others.
    pub fn tell_first(&mut self, told: Option<Told>) {
        self.told.splice(0..0, told);
    }

    /// What has happened.
    pub fn kind(&self) -> EventType {
        self.kind
    }

    /// Adds to the envelope what [`body`](mod@body) describes for this kind.
    #[must_use]
    pub fn carrying(mut self, addition: &impl Serialize) -> Self {
        match serde_json::to_value(addition).expect("additions are plain data") {
            Value::Object(fields) => self.extra.extend(fields),
            _ => unreachable!("additions are objects"),
        }
        self
    }
}

/// Appends events about an Item, in this order, inside the transaction of what they tell. The caller holds the Item's
/// row and saves it: the Item's sequence moves on. Answers their ids.
pub async fn append(
    txn: &impl ConnectionTrait,
    app: &App,
    item: &mut item::Model,
    drafts: impl IntoIterator<Item = Draft>,
) -> Result<Vec<Uuid>> {
    append_all(txn, app, [(item, drafts)]).await
}

/// The same for many Items at once.
pub async fn append_all<'a, D: IntoIterator<Item = Draft>>(
    txn: &impl ConnectionTrait,
    app: &App,
    items: impl IntoIterator<Item = (&'a mut item::Model, D)>,
) -> Result<Vec<Uuid>> {
    let now = app.clock.now();
    let mut told = Vec::new();
    let mut rows = Vec::new();
    for (item, drafts) in items {
        for draft in drafts {
            let id = app.rng.id(now);
            told.push((id, draft.told));
            if draft.kind != EventType::ItemStatusChanged {
                item.event_sequence += 1;
            }
            let event = event::Model {
                account_id: draft.account,
                triggered_by: draft.triggered_by,
                webhook_url: item.webhook_url.clone(),
                payload: Value::Object(draft.extra),
                ..about(item, id, draft.kind, now)
            };
            rows.push(event.to_append());
        }
    }
    if !rows.is_empty() {
        event::Entity::insert_many(rows)
            .exec_without_returning(txn)
            .await?;
        change::insert(txn, app, &told).await?;
    }
    Ok(told.into_iter().map(|(id, _)| id).collect())
}

/// Appends an event about an application itself, inside the transaction of what it tells.
pub async fn append_of_application(
    txn: &impl ConnectionTrait,
    app: &App,
    application: Uuid,
    draft: Draft,
) -> Result<()> {
    let now = app.clock.now();
    let event = event::Model {
        triggered_by: draft.triggered_by,
        payload: Value::Object(draft.extra),
        ..event::Model::new(app.rng.id(now), application, draft.kind, now)
    };
    event::Entity::insert(event.to_append())
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Appends an event about a connector to an application's log, inside the transaction of what it tells.
pub async fn append_of_connector(
    txn: &impl ConnectionTrait,
    app: &App,
    application: Uuid,
    connector: i32,
    draft: Draft,
) -> Result<()> {
    let now = app.clock.now();
    let event = event::Model {
        connector_id: Some(connector),
        payload: Value::Object(draft.extra),
        ..event::Model::new(app.rng.id(now), application, draft.kind, now)
    };
    event::Entity::insert(event.to_append())
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// The beginning of a body, for whoever looks at what was sent.
pub fn excerpt(event: &event::Model, payload: WebhookPayload) -> String {
    let mut text = body_of(event, payload).to_string();
    text.truncate(text.floor_char_boundary(EXCERPT_BYTES));
    text
}

/// An Item's state in the form of an event, for a snapshot; it is in no log.
pub fn of_state(app: &App, item: &item::Model, status: ItemStatus, position: i64) -> event::Model {
    let state = Draft::status_changed(status, item.execution_status, TriggeredBy::Internal);
    let id = app.rng.id(app.clock.now());
    event::Model {
        position: Some(position),
        payload: Value::Object(state.extra),
        ..about(item, id, EventType::ItemStatusChanged, item.updated_at)
    }
}

/// An event about an Item.
fn about(item: &item::Model, id: Uuid, kind: EventType, now: Timestamp) -> event::Model {
    event::Model {
        item_id: Some(item.id),
        connector_id: Some(item.connector_id),
        item_sequence: Some(item.event_sequence),
        client_user_id: item.client_user_id.clone(),
        connect_token_id: item.connect_token_id,
        ..event::Model::new(id, item.application_id, kind, now)
    }
}
