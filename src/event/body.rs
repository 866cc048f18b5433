//! What an event says: the body that webhooks carry, also the `payload` of the graph.
//!
//! Every part is a type. Whoever appends an event fills one of the additions, [`body`] puts the envelope around it, and
//! the schemas of the [`catalogue`](super::catalogue) are generated from the same types, comments included: they are
//! written for the receiver. An addition carries ids, codes, counts and dates; never names, amounts or an institution's
//! words.

use std::borrow::Cow;

use chrono::NaiveDate;
use entity::{
    event,
    kind::{EventType, ExecutionStatus, ItemStatus, TriggeredBy, WebhookPayload},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde::Serialize;
use serde_json::{Value, json};
use strum::IntoEnumIterator;
use uuid::Uuid;

use crate::db::replacement::Replaced;

/// The envelope of every event.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Body<A, E> {
    /// What happened.
    event: &'static str,
    /// Identity of the event, the same for every endpoint and attempt, and in the header `webhook-id`: deduplicate by it.
    event_id: Uuid,
    /// Your application.
    client_id: Uuid,
    /// Who caused the run that it tells of; absent when no run did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::<TriggeredBy>")]
    triggered_by: Option<TriggeredBy>,
    /// When it happened.
    #[schemars(schema_with = "instant")]
    created_at: String,
    /// True when `sendTestEvent` made it; absent otherwise. A test tells of nothing that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "only_true")]
    test: Option<bool>,
    #[serde(flatten)]
    about: A,
    #[serde(flatten)]
    addition: E,
}

/// The envelope of an event about an Item.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AboutItem {
    /// The Item it is about.
    item_id: Uuid,
    /// Number of the event among its Item's, without gaps. `item/status_changed` repeats the last number.
    #[schemars(extend("minimum" = 0))]
    item_sequence: i64,
    /// The Item's client user when it happened; null when it had none.
    client_user_id: Option<String>,
}

/// The envelope of an event about a connector.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AboutConnector {
    /// The connector it is about.
    connector_id: i32,
}

/// The body of webhooks that are told as little as possible.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Thin<A> {
    /// What happened.
    event: &'static str,
    /// Identity of the event, the same for every endpoint and attempt, and in the header `webhook-id`: deduplicate by it.
    event_id: Uuid,
    /// When it happened.
    #[schemars(schema_with = "instant")]
    created_at: String,
    /// True when `sendTestEvent` made it; absent otherwise. A test tells of nothing that exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "only_true")]
    test: Option<bool>,
    #[serde(flatten)]
    about: A,
}

/// Which Item a thin body is about.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct OfItem {
    /// The Item it is about.
    item_id: Uuid,
    /// Number of the event among its Item's, without gaps. `item/status_changed` repeats the last number.
    #[schemars(extend("minimum" = 0))]
    item_sequence: i64,
}

/// What an event adds that says all by its name.
#[derive(Serialize, JsonSchema)]
pub struct Nothing {}

/// What ITEM_STATUS_CHANGED adds.
#[derive(Serialize, JsonSchema)]
pub struct StatusChanged {
    /// Where the run stands now.
    pub data: ItemState,
}

/// Where a run stands.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ItemState {
    /// The coarse state of the Item.
    #[schemars(schema_with = "words::<ItemStatus>")]
    pub status: ItemStatus,
    /// The state of the run, in detail.
    #[schemars(schema_with = "words::<ExecutionStatus>")]
    pub execution_status: ExecutionStatus,
}

/// What ITEM_ERROR adds.
#[derive(Serialize, JsonSchema)]
pub struct Failed {
    /// Why the run failed.
    pub error: Reason,
}

/// Why a run failed.
#[derive(Serialize, JsonSchema)]
pub struct Reason {
    /// The state that the run ended in, as `Item.error.code` has it.
    #[schemars(schema_with = "words::<ExecutionStatus>")]
    pub code: ExecutionStatus,
    /// What it means and what to do, in English. The institution's own words are in `Item.error`.
    pub message: Cow<'static, str>,
}

/// What ITEM_CONSENT_EXPIRING and ITEM_CONSENT_EXPIRED add.
#[derive(Serialize, JsonSchema)]
pub struct ConsentEnds {
    /// When the consent ends.
    pub data: Ending,
}

/// When a consent ends.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ending {
    /// The end, as `Item.consentExpiresAt` has it.
    #[schemars(schema_with = "instant")]
    pub consent_expires_at: String,
    /// Days until then, begun ones counted; 0 once it has ended.
    pub days_left: u32,
}

/// What CONNECTOR_STATUS_UPDATED adds.
#[derive(Serialize, JsonSchema)]
pub struct HealthChanged {
    /// How well the connector works now.
    pub data: Health,
}

/// How well a connector works, and whether it stays.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// Whether logins reach the institution.
    #[schemars(extend("enum" = ["ONLINE", "UNSTABLE", "OFFLINE", "UNKNOWN"]))]
    pub status: Cow<'static, str>,
    /// When all Items of the connector are deleted, as `Connector.retiresAt` has it; null when it stays.
    #[schemars(schema_with = "instant_or_null")]
    pub retires_at: Option<String>,
}

/// What TRANSACTIONS_CREATED adds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowsInserted {
    /// The account of the transactions.
    pub account_id: Uuid,
    /// How many there are.
    pub transactions_count: u64,
    /// The earliest day among them: `TransactionFilter.from` finds them.
    pub transactions_min_date: Option<NaiveDate>,
    /// When they were stored: `TransactionFilter.createdAtFrom` finds them.
    #[schemars(schema_with = "instant")]
    pub transactions_created_at_from: String,
}

/// What TRANSACTIONS_UPDATED adds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowsChanged<'a> {
    /// The account of the transactions.
    pub account_id: Uuid,
    /// The transactions, 500 at most; more come in further events.
    #[schemars(length(min = 1, max = 500))]
    pub transaction_ids: Cow<'a, [Uuid]>,
}

/// What TRANSACTIONS_DELETED adds.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RowsDeleted<'a> {
    /// The account of the transactions.
    pub account_id: Uuid,
    /// The transactions, 500 at most; more come in further events.
    #[schemars(length(min = 1, max = 500))]
    pub transaction_ids: Cow<'a, [Uuid]>,
    /// Those among them that the institution seems to have written anew, and what they have become. These ids stay answerable.
    pub replacements: Vec<Replacement>,
}

/// A transaction that was deleted and what it has become.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replacement {
    /// The one that was deleted.
    pub transaction_id: Uuid,
    /// The one in its place.
    pub replaced_by: Uuid,
    /// How sure it is that they are the same movement, from 0 to 1, in hundredths.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub confidence: f64,
}

impl From<&Replaced> for Replacement {
    fn from(replaced: &Replaced) -> Self {
        Self {
            transaction_id: replaced.id,
            replaced_by: replaced.by,
            confidence: f64::from(replaced.confidence) / 100.0,
        }
    }
}

/// What WEBHOOK_DISABLED adds.
#[derive(Serialize, JsonSchema)]
pub struct WebhookDisabled {
    /// Which webhook, and why.
    pub data: Disabled,
}

/// A webhook that was disabled without its owner's doing.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disabled {
    /// The webhook.
    pub webhook_id: Uuid,
    /// Why, in English, as `Webhook.disabledReason` has it.
    pub reason: Cow<'static, str>,
}

/// The body of webhooks that are told so much.
pub fn body_of(event: &event::Model, payload: WebhookPayload) -> Value {
    match payload {
        WebhookPayload::Full => body(event),
        WebhookPayload::Thin => thin(event),
    }
}

/// The body that webhooks carry unless they are told less, also the `payload` of the graph.
pub fn body(event: &event::Model) -> Value {
    let mut body = match (event.item_id, event.connector_id) {
        (Some(item_id), _) => envelope(
            event,
            AboutItem {
                item_id,
                item_sequence: event.item_sequence.unwrap_or_default(),
                client_user_id: event.client_user_id.clone(),
            },
        ),
        (None, Some(connector_id)) => envelope(event, AboutConnector { connector_id }),
        (None, None) => envelope(event, Nothing {}),
    };
    if let (Value::Object(body), Value::Object(addition)) = (&mut body, &event.payload) {
        body.extend(addition.clone());
    }
    body
}

fn envelope(event: &event::Model, about: impl Serialize) -> Value {
    let body = Body {
        event: event.kind.name(),
        event_id: event.id,
        client_id: event.application_id,
        triggered_by: event.triggered_by,
        created_at: event.created_at.to_string(),
        test: None,
        about,
        addition: Nothing {},
    };
    serde_json::to_value(body).expect("an envelope is plain data")
}

/// Which event it is, of which Item, and when.
fn thin(event: &event::Model) -> Value {
    fn of(event: &event::Model, about: impl Serialize) -> Value {
        let test = event.payload.get("test").and_then(Value::as_bool);
        let thin = Thin {
            event: event.kind.name(),
            event_id: event.id,
            created_at: event.created_at.to_string(),
            test: test.filter(|test| *test),
            about,
        };
        serde_json::to_value(thin).expect("a thin body is plain data")
    }
    match event.item_id {
        Some(item_id) => of(
            event,
            OfItem {
                item_id,
                item_sequence: event.item_sequence.unwrap_or_default(),
            },
        ),
        None => of(event, Nothing {}),
    }
}

/// The schema of the body of a kind of event, JSON Schema 2020-12, without references. Later versions may add
/// properties, so it admits unknown ones.
pub fn schema(kind: EventType, payload: WebhookPayload) -> Value {
    let schema = match payload {
        WebhookPayload::Full => full_schema(kind),
        WebhookPayload::Thin => match kind {
            EventType::ConnectorStatusUpdated | EventType::WebhookDisabled => {
                schema_of::<Thin<Nothing>>()
            }
            _ => schema_of::<Thin<OfItem>>(),
        },
    };
    let mut schema = schema.to_value();
    schema["title"] = json!(kind.name());
    schema["description"] = json!(description(kind));
    schema["properties"]["event"] =
        json!({ "const": kind.name(), "description": "What happened." });
    schema
}

fn full_schema(kind: EventType) -> Schema {
    match kind {
        EventType::ItemCreated
        | EventType::ItemUpdated
        | EventType::ItemDeleted
        | EventType::ItemWaitingUserInput
        | EventType::ItemWaitingUserAction
        | EventType::ItemLoginSucceeded => of::<AboutItem, Nothing>(),
        EventType::ItemError => of::<AboutItem, Failed>(),
        EventType::ItemConsentExpiring | EventType::ItemConsentExpired => {
            of::<AboutItem, ConsentEnds>()
        }
        EventType::ItemStatusChanged => of::<AboutItem, StatusChanged>(),
        EventType::ConnectorStatusUpdated => of::<AboutConnector, HealthChanged>(),
        EventType::TransactionsCreated => of::<AboutItem, RowsInserted>(),
        EventType::TransactionsUpdated => of::<AboutItem, RowsChanged<'static>>(),
        EventType::TransactionsDeleted => of::<AboutItem, RowsDeleted<'static>>(),
        EventType::WebhookDisabled => of::<Nothing, WebhookDisabled>(),
    }
}

/// What a kind of event says, for its receiver.
pub fn description(kind: EventType) -> &'static str {
    match kind {
        EventType::ItemCreated => "A new Item finished its first run.",
        EventType::ItemUpdated => "A later run of an Item finished.",
        EventType::ItemError => "A run of an Item failed.",
        EventType::ItemDeleted => "An Item was deleted, with everything collected through it.",
        EventType::ItemWaitingUserInput => "An Item waits for a value that the user must type.",
        EventType::ItemWaitingUserAction => {
            "An Item waits for something that the user must do elsewhere."
        }
        EventType::ItemLoginSucceeded => "The institution accepted the login; collection begins.",
        EventType::ItemConsentExpiring => {
            "The consent behind an Item ends soon. Unless the user connects again, it leaves automatic runs then."
        }
        EventType::ItemConsentExpired => {
            "The consent behind an Item has ended. The user has to connect again."
        }
        EventType::ItemStatusChanged => {
            "A run moved to another state. Sent only to webhooks that ask for it by name."
        }
        EventType::ConnectorStatusUpdated => {
            "The health of a connector changed, or whether it stays."
        }
        EventType::TransactionsCreated => "Transactions of an account were inserted.",
        EventType::TransactionsUpdated => "Transactions of an account were changed.",
        EventType::TransactionsDeleted => "Transactions of an account were removed.",
        EventType::WebhookDisabled => {
            "A webhook was disabled because its endpoint is gone or kept failing. Never sent to that webhook itself."
        }
    }
}

fn of<A: JsonSchema, E: JsonSchema>() -> Schema {
    schema_of::<Body<A, E>>()
}

fn schema_of<B: JsonSchema>() -> Schema {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|it| it.inline_subschemas = true);
    settings.into_generator().into_root_schema_for::<B>()
}

/// The words of a closed vocabulary.
fn words<W: IntoEnumIterator + Serialize>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": W::iter().map(|word| json!(word)).collect::<Vec<_>>() })
}

/// An instant as we print it.
fn instant(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

fn instant_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "format": "date-time" })
}

fn only_true(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "const": true })
}
