//! The catalogue of events, for whoever builds a receiver. The same for everybody, so it needs no token and may be kept.

use std::sync::LazyLock;

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::negotiate::Media;
use crate::event::{asyncapi, catalogue};

/// How long it may be kept without asking again: a new version of the node may say more.
const CACHE: &str = "public, max-age=3600";

/// A document that never changes while the node runs.
struct Document {
    text: String,
    tag: HeaderValue,
}

impl Document {
    fn new(value: &Value) -> Self {
        let text = value.to_string();
        let digest = Sha256::digest(text.as_bytes());
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..12]));
        Self {
            tag: HeaderValue::from_str(&tag).expect("base64 is visible ASCII"),
            text,
        }
    }

    fn answer(&'static self, asked: &HeaderMap) -> Response {
        let headers = [
            (header::CONTENT_TYPE, Media::Json.content_type()),
            (header::CACHE_CONTROL, HeaderValue::from_static(CACHE)),
            (header::ETAG, self.tag.clone()),
        ];
        let known = asked
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|tags| tags.to_str().ok())
            .flat_map(|tags| tags.split(','))
            .any(|tag| tag.trim().trim_start_matches("W/") == self.tag);
        if known {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        } else {
            (headers, self.text.as_str()).into_response()
        }
    }
}

/// Every type of event with the schema of its body and an example.
pub(super) async fn events(asked: HeaderMap) -> Response {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::new(&catalogue::document()));
    DOCUMENT.answer(&asked)
}

/// The same as AsyncAPI 3.0.
pub(super) async fn asyncapi(asked: HeaderMap) -> Response {
    static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::new(&asyncapi::document()));
    DOCUMENT.answer(&asked)
}
