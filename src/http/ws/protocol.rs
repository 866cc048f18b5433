//! The messages of graphql-transport-ws, and the codes that end a socket.

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::guard;

/// Longest id of an operation: it comes back with every answer.
const LONGEST_ID: usize = 128;

/// What a client says.
#[derive(Debug)]
pub(super) enum Incoming {
    Init(Map<String, Value>),
    /// With whatever the client sends along.
    Ping(Option<Map<String, Value>>),
    Pong,
    Subscribe {
        id: String,
        payload: Map<String, Value>,
    },
    Complete {
        id: String,
    },
}

impl Incoming {
    /// Reads a message; what is none of the protocol's is an error.
    pub(super) fn parse(text: &str) -> Result<Self, Close> {
        const INVALID: Close = Close(4400, "Invalid message received");
        guard::scan_json(text.as_bytes()).map_err(|_| INVALID)?;
        let Ok(Value::Object(mut message)) = serde_json::from_str(text) else {
            return Err(INVALID);
        };
        let payload = match message.remove("payload") {
            None | Some(Value::Null) => None,
            Some(Value::Object(payload)) => Some(payload),
            Some(_) => return Err(INVALID),
        };
        let id = match message.remove("id") {
            Some(Value::String(id)) if !id.is_empty() && id.len() <= LONGEST_ID => Some(id),
            _ => None,
        };
        let kind = match message.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            _ => return Err(INVALID),
        };
        match (kind, id, payload) {
            ("connection_init", _, payload) => Ok(Self::Init(payload.unwrap_or_default())),
            ("ping", _, payload) => Ok(Self::Ping(payload)),
            ("pong", ..) => Ok(Self::Pong),
            ("subscribe", Some(id), Some(payload)) => Ok(Self::Subscribe { id, payload }),
            ("complete", Some(id), _) => Ok(Self::Complete { id }),
            _ => Err(INVALID),
        }
    }
}

pub(super) fn acknowledge() -> Message {
    message(&json!({ "type": "connection_ack" }))
}

pub(super) fn pong() -> Message {
    message(&json!({ "type": "pong" }))
}

/// An answer, as JSON.
pub(super) fn next(id: &str, payload: &str) -> Message {
    with_payload("next", id, payload)
}

/// Errors, as JSON.
pub(super) fn error(id: &str, errors: &str) -> Message {
    with_payload("error", id, errors)
}

/// Where each operation stands, for a client that is about to be left: it resumes with these as `after`.
pub(super) fn farewell(cursors: &Map<String, Value>) -> Message {
    message(&json!({ "type": "ping", "payload": { "cursors": cursors } }))
}

pub(super) fn complete(id: &str) -> Message {
    message(&json!({ "id": id, "type": "complete" }))
}

/// The payload is JSON already, shared by all who get it.
fn with_payload(kind: &'static str, id: &str, payload: &str) -> Message {
    let id = serde_json::to_string(id).expect("a text is JSON");
    let text = format!(r#"{{"id":{id},"type":"{kind}","payload":{payload}}}"#);
    Message::Text(Utf8Bytes::from(text))
}

fn message(form: &impl Serialize) -> Message {
    let text = serde_json::to_string(form).expect("JSON values and errors serialize");
    Message::Text(Utf8Bytes::from(text))
}

/// Why a socket is closed: a code and a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Close(pub(super) u16, pub(super) &'static str);

impl Close {
    pub(super) const GOING_AWAY: Self = Self(1001, "Going away");
    pub(super) const NO_PONG: Self = Self(1001, "No sign of life");
    pub(super) const NOT_TEXT: Self = Self(4400, "Messages are text");
    pub(super) const TOO_LARGE: Self = Self(1009, "Message too large");
    pub(super) const FLOODED: Self = Self(1008, "Answers are not read");
    pub(super) const UNAUTHORIZED: Self = Self(4401, "Unauthorized");
    pub(super) const FORBIDDEN: Self = Self(4403, "Forbidden");
    pub(super) const INIT_TIMEOUT: Self = Self(4408, "Connection initialisation timeout");
    pub(super) const DUPLICATE: Self = Self(4409, "Subscriber already exists");
    pub(super) const OTHER_TOKEN: Self = Self(4403, "The token belongs to somebody else");
    pub(super) const TOO_MANY: Self = Self(1013, "The application has too many sockets open");
    pub(super) const SECOND_INIT: Self = Self(4429, "Too many initialisation requests");

    pub(super) fn message(self) -> Message {
        Message::Close(Some(CloseFrame {
            code: self.0,
            reason: Utf8Bytes::from_static(self.1),
        }))
    }
}
