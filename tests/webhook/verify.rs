//! What README.md shows to receivers in Rust.

use standardwebhooks::Webhook;

/// The event; fails when the request is not what Ponte sent. `body` is the raw bytes.
pub fn verified(
    secret: &str,
    body: &[u8],
    headers: &http::HeaderMap,
) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    Webhook::new(secret)?.verify(body, headers)?;
    Ok(serde_json::from_slice(body)?)
}
