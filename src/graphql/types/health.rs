//! How the endpoints of webhooks have been doing.

use async_graphql::{Enum, SimpleObject};
use entity::circuit;

use super::super::scalar::DateTime;

/// How the endpoint of a webhook has been doing.
#[derive(SimpleObject)]
pub struct WebhookHealth {
    /// Whether requests are sent as they come. After ten failures in a row it opens.
    circuit: CircuitState,
    /// How many requests have failed since the last success.
    consecutive_failures: i32,
    /// When the first of them failed; null when the last request was a success, and before the first.
    failing_since: Option<DateTime>,
    /// When a single request tries again; null while the circuit is closed.
    next_probe_at: Option<DateTime>,
}

impl From<Option<circuit::Model>> for WebhookHealth {
    fn from(row: Option<circuit::Model>) -> Self {
        let probe_at = row.as_ref().and_then(|row| row.probe_at);
        Self {
            circuit: if probe_at.is_some() {
                CircuitState::Open
            } else {
                CircuitState::Closed
            },
            consecutive_failures: row.as_ref().map_or(0, |row| row.failures),
            failing_since: row.map(|row| DateTime(row.failing_since)),
            next_probe_at: probe_at.map(DateTime),
        }
    }
}

/// Whether requests are sent as they come.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// They are.
    Closed,
    /// The endpoint keeps failing: one request at a time probes it, the others wait and use up no attempt. The first success closes it.
    Open,
}
