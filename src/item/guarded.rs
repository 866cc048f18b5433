//! Calls of connectors, run apart.

use std::{future::Future, time::Duration};

use entity::kind::ExecutionStatus;

use super::state;
use crate::{
    connector::{Failure, Requests},
    error::Result,
};

/// Runs a connector's call apart, bounded in time but for what it waits for the turns of its `requests`: its panic is a
/// failure of the call and not of the caller.
pub async fn guarded<T: Send + 'static>(
    requests: &Requests,
    lasts: Duration,
    call: impl Future<Output = Result<T, Failure>> + Send + 'static,
) -> Result<Result<T, Failure>> {
    let mut task = tokio::spawn(call);
    let _abort = AbortOnDrop(task.abort_handle());
    match requests.within(lasts, &mut task).await {
        Some(Ok(outcome)) => Ok(outcome),
        Some(Err(panic)) => {
            tracing::error!(panic = panic.is_panic(), "the connector did not return");
            let code = ExecutionStatus::UnexpectedError;
            Ok(Err(Failure::new(code, state::explanation(code))))
        }
        None => Ok(Err(Failure::new(
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
