//! Counting a login right before it is made.

use entity::{execution, kind::ExecutionStatus};

use super::record;
use crate::{
    app::App,
    connector::{Descriptor, Failure},
    error::Result,
    item::{lockout, save},
};

/// Counts the login that a run is about to make, for good; answers why it must not be made, if so. A run that goes on after
/// a lost lease logs in once more, and is counted once more.
pub async fn count(
    app: &App,
    form: &Descriptor,
    execution: &execution::Model,
) -> Result<Option<Failure>> {
    let most = lockout::limit(app.config.login_attempts_per_day, form);
    if most.is_none() {
        return Ok(None);
    }
    let (owner, form, execution) = (app.clone(), form.clone(), execution.clone());
    app.unit(async move {
        let now = owner.clock.now();
        let txn = owner.db.begin().await?;
        let mut item = record::lock(&txn, &execution, now).await?;
        if let Some(until) = lockout::until(most, &form, &item, now) {
            let message = format!(
                "This day's logins are used up, so that the institution locks nobody out. Update again at {until}."
            );
            let refused = Failure::new(ExecutionStatus::Error, message);
            return Ok(Some(refused.until(until)));
        }
        lockout::count(&mut item, now);
        save(&txn, &item).await?;
        txn.commit().await?;
        Ok(None)
    })
    .await
}
