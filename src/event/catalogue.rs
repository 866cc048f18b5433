//! The catalogue of events as data: for every type its name, what it says, the schema of its body and an example.
//!
//! Schemas are generated from the types that bodies are built of, examples go through [`body_of`] like real events.

use std::{sync::OnceLock, time::Duration};

use chrono::NaiveDate;
use entity::{
    event,
    kind::{EventType, ExecutionStatus, ItemStatus, TriggeredBy, WebhookPayload},
    time::Timestamp,
};
use serde::Serialize;
use serde_json::{Value, json};
use strum::IntoEnumIterator as _;
use uuid::{Uuid, uuid};

use super::{
    Draft,
    body::{
        self, ConsentEnds, Disabled, Ending, Failed, Health, HealthChanged, ItemState, Nothing,
        Reason, Replacement, RowsChanged, RowsDeleted, RowsInserted, StatusChanged,
        WebhookDisabled, body_of,
    },
};

/// The application, Item, account and transactions of examples: made up.
const APPLICATION: Uuid = uuid!("01a20fcd-695d-7000-a579-8ba6923b1f60");
const EVENT: Uuid = uuid!("01a20fcf-1d20-7000-8c3e-5a1f0c9d2b47");
const ITEM: Uuid = uuid!("01a20fcf-1566-7000-8ff5-fe218accb195");
const ACCOUNT: Uuid = uuid!("01a20fcf-1a81-7000-9b0c-3d7e51f2a604");
const ROWS: [Uuid; 2] = [
    uuid!("01a20fcf-1a9f-7000-8d11-c0a4e9b37f52"),
    uuid!("01a20fcf-1a9f-7000-a6e7-19f5d2c8b043"),
];
const REPLACED_BY: Uuid = uuid!("01a20fcf-1a9f-7000-b2c8-4f0e7d61a395");
const WEBHOOK: Uuid = uuid!("01a20fcf-0b12-7000-9e4d-71c0a2f3b586");
/// 2026-11-24T23:06:01.869Z.
const AT: Timestamp = Timestamp(1_795_561_561_869);

/// A type of event.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// As webhooks name it.
    pub name: &'static str,
    /// As the graph names it.
    pub r#type: EventType,
    /// What it says.
    pub description: &'static str,
    /// Whether a webhook gets it without asking for it by name.
    pub by_default: bool,
    /// JSON Schema of its body.
    pub schema: Value,
    /// A body.
    pub example: Value,
    /// The same for webhooks that ask for thin payloads.
    pub thin: Thin,
}

/// How a thin body tells of a type of event.
#[derive(Clone, Debug, Serialize)]
pub struct Thin {
    /// JSON Schema of its body.
    pub schema: Value,
    /// A body.
    pub example: Value,
}

/// All types of events.
pub fn entries() -> &'static [Entry] {
    static ENTRIES: OnceLock<Vec<Entry>> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        EventType::iter()
            .map(|kind| {
                let event = example(kind, EVENT, APPLICATION, AT);
                Entry {
                    name: kind.name(),
                    r#type: kind,
                    description: body::description(kind),
                    by_default: kind.is_default(),
                    schema: body::schema(kind, WebhookPayload::Full),
                    example: body_of(&event, WebhookPayload::Full),
                    thin: Thin {
                        schema: body::schema(kind, WebhookPayload::Thin),
                        example: body_of(&event, WebhookPayload::Thin),
                    },
                }
            })
            .collect()
    })
}

/// The catalogue as it is served.
pub fn document() -> Value {
    json!({ "version": env!("CARGO_PKG_VERSION"), "events": entries() })
}

/// An event of this kind that nothing lies behind.
pub fn example(kind: EventType, id: Uuid, application: Uuid, at: Timestamp) -> event::Model {
    let of_connector = kind == EventType::ConnectorStatusUpdated;
    let of_item = !of_connector && kind != EventType::WebhookDisabled;
    let Draft {
        account,
        triggered_by,
        extra,
        ..
    } = draft(kind);
    event::Model {
        item_id: of_item.then_some(ITEM),
        account_id: account,
        connector_id: (of_item || of_connector).then_some(0),
        item_sequence: of_item.then_some(7),
        client_user_id: of_item.then(|| "ana".to_owned()),
        triggered_by,
        payload: Value::Object(extra),
        ..event::Model::new(id, application, kind, at)
    }
}

fn draft(kind: EventType) -> Draft {
    let of_run = Draft::new(kind, Some(TriggeredBy::Client));
    match kind {
        EventType::ItemCreated
        | EventType::ItemUpdated
        | EventType::ItemWaitingUserInput
        | EventType::ItemWaitingUserAction
        | EventType::ItemLoginSucceeded => of_run.carrying(&Nothing {}),
        EventType::ItemDeleted => Draft::new(kind, None).carrying(&Nothing {}),
        EventType::ItemError => of_run.carrying(&Failed {
            error: Reason {
                code: ExecutionStatus::InvalidCredentials,
                message: "The institution refused the credentials. Send new parameters.".into(),
            },
        }),
        EventType::ItemConsentExpiring => Draft::new(kind, None).carrying(&ConsentEnds {
            data: Ending {
                consent_expires_at: AT.plus(Duration::from_hours(24 * 7)).to_string(),
                days_left: 7,
            },
        }),
        EventType::ItemConsentExpired => Draft::new(kind, None).carrying(&ConsentEnds {
            data: Ending {
                consent_expires_at: AT.to_string(),
                days_left: 0,
            },
        }),
        EventType::ItemStatusChanged => of_run.carrying(&StatusChanged {
            data: ItemState {
                status: ItemStatus::Updating,
                execution_status: ExecutionStatus::TransactionsInProgress,
            },
        }),
        EventType::ConnectorStatusUpdated => Draft::new(kind, None).carrying(&HealthChanged {
            data: Health {
                status: "ONLINE".into(),
                retires_at: None,
            },
        }),
        EventType::TransactionsCreated => of_run.of_account(ACCOUNT).carrying(&RowsInserted {
            account_id: ACCOUNT,
            transactions_count: 42,
            transactions_min_date: NaiveDate::from_ymd_opt(2026, 11, 20),
            transactions_created_at_from: AT.to_string(),
        }),
        EventType::WebhookDisabled => Draft::new(kind, None).carrying(&WebhookDisabled {
            data: Disabled {
                webhook_id: WEBHOOK,
                reason: "the endpoint answered 410 Gone".into(),
            },
        }),
        EventType::TransactionsUpdated => of_run.of_account(ACCOUNT).carrying(&RowsChanged {
            account_id: ACCOUNT,
            transaction_ids: ROWS.as_slice().into(),
        }),
        EventType::TransactionsDeleted => of_run.of_account(ACCOUNT).carrying(&RowsDeleted {
            account_id: ACCOUNT,
            transaction_ids: ROWS.as_slice().into(),
            replacements: vec![Replacement {
                transaction_id: ROWS[0],
                replaced_by: REPLACED_BY,
                confidence: 0.95,
            }],
        }),
    }
}
