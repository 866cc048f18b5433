//! The same catalogue as an AsyncAPI 3.0 document, for tools that read those.

use serde_json::{Map, Value, json};

use super::catalogue::{self, Entry};

const CHANNEL: &str = "#/channels/webhook";

/// The document as it is served.
pub fn document() -> Value {
    let messages: Map<String, Value> = catalogue::entries().iter().flat_map(messages_of).collect();
    let references = |within: &str| -> Vec<(String, Value)> {
        let reference = |name: &String| json!({ "$ref": format!("{within}/{name}") });
        let named = messages.keys().map(|name| (name.clone(), reference(name)));
        named.collect()
    };
    let in_channel: Map<String, Value> = references("#/components/messages").into_iter().collect();
    let sent = references(&format!("{CHANNEL}/messages"));
    let sent: Vec<Value> = sent.into_iter().map(|(_, reference)| reference).collect();
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

/// An event as webhooks get it, and as those do that ask for thin payloads.
fn messages_of(entry: &Entry) -> [(String, Value); 2] {
    let thin = format!("{} (thin)", entry.name);
    [
        (
            entry.r#type.to_string(),
            message(entry, entry.name, &entry.schema, &entry.example),
        ),
        (
            format!("{}_THIN", entry.r#type),
            message(entry, &thin, &entry.thin.schema, &entry.thin.example),
        ),
    ]
}

fn message(entry: &Entry, title: &str, schema: &Value, example: &Value) -> Value {
    json!({
        "name": entry.name,
        "title": title,
        "summary": entry.description,
        "contentType": "application/json",
        "headers": { "$ref": "#/components/schemas/headers" },
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": schema,
        },
        "examples": [{ "name": entry.name, "payload": example }],
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
