//! Merging what a run has staged, one account a transaction, and ending the run.

use std::sync::Arc;

use entity::{execution, kind::Product};

use super::{
    record::{self, steps},
    run::Lease,
};
use crate::{
    app::App,
    connector::{Connector, SourceKind, Warning},
    error::Result,
    event,
    item::{save, state::Signal},
    product::{
        account,
        transaction::{self, Merged},
    },
};

/// Merges account by account. A crash in between repeats what was merged, which changes and tells nothing.
pub async fn merge(
    app: &App,
    lease: &Lease,
    connector: &Arc<dyn Connector>,
    execution: execution::Model,
) -> Result<()> {
    let source = connector.descriptor().source;
    let steps = steps(&execution)?;
    let transactions = steps
        .iter()
        .any(|step| step.product == Product::Transactions && step.failure.is_none());
    let mut warnings = Vec::new();
    for staged in account::staged(app.db.read(), execution.id).await? {
        lease.check(app)?;
        let warning = merge_account(app, &execution, staged, transactions, source).await?;
        warnings.extend(warning.map(|warning| (Product::Transactions, warning)));
        app.wakes.relay.notify();
    }
    let signal = if steps.iter().any(|step| step.failure.is_some()) {
        Signal::FinishedPartially
    } else {
        Signal::Finished
    };
    record::finish(app, execution, signal.into(), warnings).await?;
    Ok(())
}

async fn merge_account(
    app: &App,
    execution: &execution::Model,
    staged: account::Staged,
    transactions: bool,
    source: SourceKind,
) -> Result<Option<Warning>> {
    let (owner, execution) = (app.clone(), execution.clone());
    app.unit(async move {
        let app = owner;
        let txn = app.db.begin().await?;
        let mut item = record::lock(&txn, &execution).await?;
        let mut row = account::merge(&txn, &app, &execution, &staged).await?;
        let merged = if transactions {
            let covered = record::covered(&execution)?;
            let coverage = covered.iter().find(|coverage| coverage.account == row.key);
            transaction::merge(&txn, &app, &execution, &mut row, coverage, source).await?
        } else {
            Merged::Done(Vec::new())
        };
        match merged {
            Merged::Done(events) => {
                if !events.is_empty() {
                    event::append(&txn, &app, &mut item, events).await?;
                    save(&txn, &item).await?;
                }
                txn.commit().await?;
                Ok(None)
            }
            Merged::Suspect { mark, warning } => {
                txn.rollback().await?;
                let txn = app.db.begin().await?;
                record::lock(&txn, &execution).await?;
                account::suspect(&txn, row.id, mark).await?;
                txn.commit().await?;
                Ok(Some(warning))
            }
        }
    })
    .await
}
