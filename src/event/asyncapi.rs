//! The same catalogue as an AsyncAPI 3.0 document, for tools that read those.

use serde_json::{Map, Value, json};

use super::catalogue::{self, Entry};

const CHANNEL: &str = "#/channels/webhook";

/// The document as it is served.
pub fn document() -> Value {
    let entries = catalogue::entries();
    let in_channel: Map<String, Value> = entries
        .iter()
        .map(|entry| {
            let reference = format!("#/components/messages/{}", entry.r#type);
            (entry.r#type.to_string(), json!({ "$ref": reference }))
        })
        .collect();
    let sent: Vec<Value> = entries
        .iter()
        .map(|entry| json!({ "$ref": format!("{CHANNEL}/messages/{}", entry.r#type) }))
        .collect();
    let messages: Map<String, Value> = entries
        .iter()
        .map(|entry| (entry.r#type.to_string(), message(entry)))
        .collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Ponte webhooks",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Events as signed HTTP requests, by the Standard Webhooks specification. Answer 2xx within 15 seconds; \
                            deduplicate by webhook-id.",
        },
        "defaultContentType": "application/json",
        "channels": {
            "webhook": {
                "address": null,
                "title": "Your endpoint",
                "description": "The url of a registered webhook, or the webhookUrl of an Item.",
                "messages": in_channel,
            },
        },
        "operations": {
            "deliver": {
                "action": "send",
                "title": "Deliver an event",
                "channel": { "$ref": CHANNEL },
                "messages": sent,
                "bindings": { "http": { "method": "POST", "bindingVersion": "0.3.0" } },
            },
        },
        "components": {
            "messages": messages,
            "schemas": { "headers": headers() },
        },
    })
}

fn message(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "title": entry.name,
        "summary": entry.description,
        "contentType": "application/json",
        "headers": { "$ref": "#/components/schemas/headers" },
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": entry.schema,
        },
        "examples": [{ "name": entry.name, "payload": entry.example }],
    })
}

fn headers() -> Value {
    json!({
        "type": "object",
        "required": ["webhook-id", "webhook-timestamp", "webhook-signature"],
        "properties": {
            "webhook-id": {
                "type": "string",
                "format": "uuid",
                "description": "The event's id, the same in every attempt.",
            },
            "webhook-timestamp": {
                "type": "string",
                "pattern": "^[0-9]+$",
                "description": "When the attempt was signed, in seconds since 1970.",
            },
            "webhook-signature": {
                "type": "string",
                "description": "Signatures over id, timestamp and body, separated by spaces; two secrets sign during a rotation.",
            },
        },
    })
}
