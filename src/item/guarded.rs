//! Calls of connectors, run apart.

use std::{future::Future, time::Duration};

use entity::kind::ExecutionStatus;

use super::state;
use crate::{connector::Failure, error::Result};

/// Runs a connector's call apart, bounded in time: its panic is a failure of the call and not of the caller.
pub async fn guarded<T: Send + 'static>(
    lasts: Duration,
    call: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<Result<T, Failure>> {
    let mut task = tokio::spawn(call);
    let _abort = AbortOnDrop(task.abort_handle());
    match tokio::time::timeout(lasts, &mut task).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(panic)) => {
            tracing::error!(panic = panic.is_panic(), "the connector did not return");
            let code = ExecutionStatus::UnexpectedError;
            Ok(Err(Failure::new(code, state::explanation(code))))
        }
        Err(_) => Ok(Err(Failure::new(
            ExecutionStatus::ConnectionError,
            "The institution did not answer in time. Try again later.",
        ))),
    }
}

/// A call that nobody waits for any more must not go on at the institution.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
