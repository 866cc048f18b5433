//! Whose turn it is to ask an institution.

use std::{fmt, sync::Arc};

use async_trait::async_trait;

use super::Failure;

/// What lets requests through to an institution, no faster than its operator allows.
#[async_trait]
pub trait Turnstile: Send + Sync {
    /// Returns when the next request may be made; fails when that would be too late for whoever waits for its answer.
    async fn pass(&self) -> Result<(), Failure>;
}

/// The requests of a call to a connector. Those of all nodes to one connector come no faster than its limit allows.
#[derive(Clone, Default)]
pub struct Requests(Option<Arc<dyn Turnstile>>);

impl Requests {
    /// Requests that come through a turnstile; without one they are not limited.
    pub fn through(turnstile: impl Turnstile + 'static) -> Self {
        Self(Some(Arc::new(turnstile)))
    }

    /// Waits for the turn of one request. A connector does so before each that it makes, and hands a failure on.
    pub async fn next(&self) -> Result<(), Failure> {
        match &self.0 {
            Some(turnstile) => turnstile.pass().await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limited = if self.0.is_some() { "limited" } else { "free" };
        write!(f, "Requests({limited})")
    }
}
