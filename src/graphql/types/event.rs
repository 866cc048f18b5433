//! The log of events, as clients read and follow it.

use std::{pin::pin, sync::Arc, time::Duration};

use async_graphql::{Context, Enum, ID, InputObject, Object, Result};
use entity::{event, item};
use futures_util::StreamExt as _;
use serde_json::Value;

use super::{
    super::{
        ContextExt as _, loader,
        page::{self, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Id, uuid},
    },
    item::Item,
};
use crate::{
    app::App,
    db::page::{Key, Page, Slice},
    error::Error,
    event::{
        self as events, cursor,
        feed::{self, Scope, Start},
        log::{self, Filter},
    },
    item::{check_client_user_id, state},
};

/// Something that happened.
#[derive(Clone)]
pub struct Event {
    row: Arc<event::Model>,
    cursor: String,
}

impl Event {
    /// A published event.
    pub fn new(app: &App, row: Arc<event::Model>) -> Self {
        let position = row.position.unwrap_or_default();
        Self {
            cursor: cursor::encode(app, row.application_id, position),
            row,
        }
    }
}

/// Something that happened. Delivered at least once: deduplicate by `id`.
#[Object]
impl Event {
    /// Identity, the same in webhooks.
    pub async fn id(&self) -> Id {
        Id::Row(self.row.id)
    }

    /// Its place in the log. Give it as `after` to go on behind it, in `events` and in subscriptions.
    async fn cursor(&self) -> &str {
        &self.cursor
    }

    /// What happened.
    #[graphql(name = "type")]
    async fn kind(&self) -> EventType {
        self.row.kind.into()
    }

    /// The same as webhooks name it, such as `item/updated`.
    async fn name(&self) -> &str {
        self.row.kind.name()
    }

    /// The Item it is about; null when it is about none.
    async fn item_id(&self) -> Option<Id> {
        self.row.item_id.map(Id::Row)
    }

    /// The Item it is about as it is now; null once it is deleted, and when the event is about none.
    async fn item(&self, ctx: &Context<'_>) -> Result<Option<Item>> {
        match self.row.item_id {
            Some(id) => Ok(loader::item(ctx, id).await?.map(Item::from)),
            None => Ok(None),
        }
    }

    /// Number of the event among its Item's, without gaps. ITEM_STATUS_CHANGED repeats the last number. Null when it is about no Item.
    async fn item_sequence(&self) -> Option<i64> {
        self.row.item_sequence
    }

    /// The Item's client user when it happened; null when it had none.
    async fn client_user_id(&self) -> Option<&str> {
        self.row.client_user_id.as_deref()
    }

    /// Who caused the run that it tells of; null when no run did.
    async fn triggered_by(&self) -> Option<TriggeredBy> {
        self.row.triggered_by.map(Into::into)
    }

    /// When it happened.
    async fn created_at(&self) -> DateTime {
        DateTime(self.row.created_at)
    }

    /// Exactly the body that webhooks carry.
    async fn payload(&self) -> Value {
        events::body(&self.row)
    }
}

impl Plain for Event {}

impl Pointed for Event {
    fn pointer(&self) -> String {
        self.cursor.clone()
    }
}

connection!(
    /// A page of the log, oldest first. Its cursors are those of the subscriptions.
    EventConnection,
    /// An event in a list.
    EventEdge,
    Event
);

/// Which events are wanted; everything given must hold.
#[derive(InputObject, Default)]
pub struct EventFilter {
    /// Only these types; all when left out.
    pub types: Option<Vec<EventType>>,
    /// Only about this Item.
    pub item_id: Option<ID>,
    /// Only about Items of this client user.
    pub client_user_id: Option<String>,
    /// Only about this connector, or Items through it.
    pub connector_id: Option<ID>,
    /// Only about this account.
    pub account_id: Option<ID>,
}

impl EventFilter {
    /// What of it the log looks at, Item and client user apart.
    pub fn wanted(&self) -> Filter {
        Filter {
            kinds: kinds(self.types.clone()),
            // No connector has a negative id.
            connector: (self.connector_id.as_ref()).map(|id| id.parse().unwrap_or(-1)),
            account: self.account_id.as_ref().map(uuid),
        }
    }
}

/// Types of events, as the log knows them.
pub fn kinds(types: Option<Vec<EventType>>) -> Option<Vec<entity::kind::EventType>> {
    types.map(|types| types.into_iter().map(Into::into).collect())
}

/// Longest that a page is waited for, in seconds.
const LONGEST_WAIT: u64 = 60;

/// A page of the log.
pub async fn list(
    ctx: &Context<'_>,
    first: Option<i32>,
    after: Option<String>,
    filter: Option<EventFilter>,
    wait_seconds: Option<i32>,
) -> Result<EventConnection> {
    let (app, principal) = (ctx.app(), ctx.principal()?);
    principal.require_api_key("read the log; it may follow itemUpdated")?;
    let owner = principal.application;
    let filter = filter.unwrap_or_default();
    let user = filter.client_user_id.as_deref();
    check_client_user_id(user)?;
    let mut slice = Slice {
        after: None,
        before: None,
        limit: page::rows(first, crate::graphql::MOST_ROWS)?,
        backward: false,
    };
    if let Some(after) = after {
        slice.after = Some(Key::Position(cursor::resume(app, owner, &after).await?));
    }
    let item = filter.item_id.as_ref().map(uuid);
    let wanted = filter.wanted();
    let patience = match u64::try_from(wait_seconds.unwrap_or(0)) {
        Ok(seconds) if seconds <= LONGEST_WAIT => Duration::from_secs(seconds),
        _ => {
            let reason = format!("must be between 0 and {LONGEST_WAIT}");
            return Err(Error::invalid("waitSeconds", reason).into());
        }
    };
    let mut page = log::list(app, owner, &wanted, item, user, slice).await?;
    if page.rows.is_empty() && slice.limit > 0 && !patience.is_zero() {
        let after = match slice.after {
            Some(Key::Position(position)) => position,
            _ => 0,
        };
        let scope = Scope::of(principal, item, filter.client_user_id.clone());
        let start = Start {
            after: Some(after),
            ..Start::default()
        };
        let events = pin!(feed::follow(app.clone(), scope, wanted.clone(), start));
        let comes = tokio::time::timeout(patience, events.into_future()).await;
        if let Ok((Some(event), _)) = comes {
            event?;
            page = log::list(app, owner, &wanted, item, user, slice).await?;
        }
    }
    Ok(EventConnection::new(Page {
        rows: page
            .rows
            .into_iter()
            .map(|row| Event::new(app, Arc::new(row)))
            .collect::<Vec<Event>>(),
        has_previous: page.has_previous,
        has_next: page.has_next,
    }))
}

/// A change of an Item, or its state at the beginning.
pub struct ItemUpdated {
    event: Event,
    /// The Item as the snapshot has it, and whether it is not the last one.
    state: Option<(Box<item::Model>, bool)>,
}

impl ItemUpdated {
    /// A change.
    pub fn change(event: Event) -> Self {
        Self { event, state: None }
    }

    /// A state of the snapshot, true at a position.
    pub fn state(app: &App, row: item::Model, position: i64, more: bool) -> Self {
        let status = state::status(row.execution_status);
        let event = Arc::new(events::of_state(app, &row, status, position));
        Self {
            event: Event::new(app, event),
            state: Some((Box::new(row), more)),
        }
    }
}

/// A change of an Item, or its state at the beginning of a subscription with `snapshot`.
#[Object]
impl ItemUpdated {
    /// Give it as `after` to go on behind this. While `moreStates` is true, ask for the snapshot again instead: the states that are missing come no other way.
    async fn cursor(&self) -> &str {
        &self.event.cursor
    }

    /// What happened. In a snapshot an ITEM_STATUS_CHANGED that is made for it and is in no log.
    async fn event(&self) -> &Event {
        &self.event
    }

    /// Whether this is a state of the snapshot and no change.
    async fn snapshot(&self) -> bool {
        self.state.is_some()
    }

    /// Whether further states of the snapshot follow.
    async fn more_states(&self) -> bool {
        self.state.as_ref().is_some_and(|(_, more)| *more)
    }

    /// The Item as it is now, which can be newer than the event; in a snapshot as it was at the cursor. Null once it is deleted.
    async fn item(&self, ctx: &Context<'_>) -> Result<Option<Item>> {
        match (&self.state, self.event.row.item_id) {
            (Some((row, _)), _) => Ok(Some(Item::from((**row).clone()))),
            (None, Some(id)) => Ok(loader::item(ctx, id).await?.map(Item::from)),
            (None, None) => Ok(None),
        }
    }
}

/// What happened.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::EventType")]
pub enum EventType {
    /// A new Item finished its first run.
    ItemCreated,
    /// A later run finished.
    ItemUpdated,
    /// A run failed.
    ItemError,
    /// An Item was deleted.
    ItemDeleted,
    /// An Item waits for a value that the user must type: see `Item.parameter`.
    ItemWaitingUserInput,
    /// An Item waits for something that the user must do elsewhere: see `Item.userAction`.
    ItemWaitingUserAction,
    /// The institution accepted the login; collection begins.
    ItemLoginSucceeded,
    /// The consent behind an Item ends soon: by default 30, 7 and 1 days ahead. The payload's `data` has `consentExpiresAt` and `daysLeft`. Unless the user connects again (`updateItem` with parameters), the Item leaves automatic runs then.
    ItemConsentExpiring,
    /// The consent behind an Item has ended; the user has to connect again. The payload's `data` has `consentExpiresAt`.
    ItemConsentExpired,
    /// A run moved to another state. Beside it comes the event that this amounts to, if any.
    ItemStatusChanged,
    /// The health of a connector changed.
    ConnectorStatusUpdated,
    /// Transactions of an account were inserted.
    TransactionsCreated,
    /// Transactions of an account were changed.
    TransactionsUpdated,
    /// Transactions of an account were removed.
    TransactionsDeleted,
    /// A webhook was disabled: its endpoint answered 410, or nothing but failures for five days. The payload's `data` has `webhookId` and `reason`. Not sent to that webhook itself.
    WebhookDisabled,
}

/// Who caused a run.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::TriggeredBy")]
pub enum TriggeredBy {
    /// The user, through a connect token.
    User,
    /// The application, through an API key.
    Client,
    /// The schedule.
    Sync,
    /// The operator of this Ponte.
    Internal,
}
