//! Collecting one product: streamed from the connector into staging, in batches of short transactions.

use std::sync::Arc;

use entity::{
    execution,
    kind::{ExecutionStatus, ItemStatus, Product},
};
use futures_util::StreamExt as _;
use uuid::Uuid;

use super::{
    quota::{self, Admitted},
    record::{self, Notes},
    run::{Lease, products},
};
use crate::{
    app::App,
    connector::{
        Batch, Call, Connector, Coverage, Failure, RETRY_AT, Request, Session, Warning, Window,
    },
    db::merge,
    error::{Error, Result},
    item::{
        history::Step,
        state::{self, Signal},
    },
    product::{account, identity, transaction::Stager},
};

/// Days that the first collection of an account reaches back.
const FIRST_DAYS: u64 = 365;
/// Days that a PENDING row can make a later collection reach back.
const PENDING_DAYS: u64 = 45;
/// Longest time between two batches of a stream.
const BATCH_LASTS: std::time::Duration = std::time::Duration::from_mins(5);

/// A product's outcome: what to record, and where to go on.
pub struct Collected {
    /// The next state, or why the run ends here.
    pub next: Result<Signal, Failure>,
    /// What to record with it.
    pub notes: Notes,
}

/// Collects a product. An institution's failure is the product's; it ends the run only when nothing is left, or when
/// the login no longer holds.
pub async fn collect(
    app: &App,
    lease: &Lease,
    connector: &Arc<dyn Connector>,
    call: &Call,
    session: Session,
    execution: &execution::Model,
    product: Product,
) -> Result<Collected> {
    let started_at = app.clock.now();
    if product == Product::Transactions {
        restart(app, execution.id).await?;
    }
    let mut staging = Staging {
        app,
        lease,
        execution,
        stager: Stager::new(execution.id, connector.descriptor().source),
        accounts: i32::try_from(account::staged(app.db.read(), execution.id).await?.len())
            .map_err(Error::internal)?,
        rows: 0,
        covered: Vec::new(),
        warnings: Vec::new(),
    };
    let admitted = match request(app, connector, execution, product).await? {
        Ok(request) => quota::admit(app, connector.descriptor(), execution, request).await?,
        Err(warning) => Admitted::refused(warning),
    };
    let failure = match admitted {
        Admitted::Call {
            request,
            granted,
            warnings,
        } => {
            staging.warnings.extend(warnings);
            let call = Call {
                granted,
                ..call.clone()
            };
            let stream = connector.collect(call, session, request);
            staging.drain(stream).await?
        }
        Admitted::Refused { warning, failure } => {
            staging.warnings.push(warning);
            Some(failure)
        }
        Admitted::Fresh => {
            return Ok(Collected {
                next: next(execution, product, None)?,
                notes: Notes::default(),
            });
        }
    };
    if failure.is_some() {
        staging.covered.clear();
    }
    let step = Step {
        product,
        started_at,
        ended_at: app.clock.now(),
        rows: staging.rows,
        failure: failure.clone(),
        warnings: staging.warnings,
    };
    let next = next(execution, product, Some(&step))?;
    Ok(Collected {
        next,
        notes: Notes {
            step: Some(step),
            covered: staging.covered,
            ..Notes::default()
        },
    })
}

/// Where a run goes after a step of a product, or without one.
fn next(
    execution: &execution::Model,
    product: Product,
    step: Option<&Step>,
) -> Result<Result<Signal, Failure>> {
    if let Some(failure) = step.and_then(|step| step.failure.as_ref())
        && state::status(failure.code) == ItemStatus::LoginError
    {
        return Ok(Err(failure.clone()));
    }
    let following = products(execution)
        .into_iter()
        .filter(|following| state::order(*following) > state::order(product))
        .find(|following| state::collecting(*following).is_some());
    if let Some(following) = following {
        return Ok(Ok(Signal::Collecting(following)));
    }
    let mut steps = record::steps(execution)?;
    steps.extend(step.cloned());
    let failures: Vec<&Failure> = steps
        .iter()
        .filter_map(|step| step.failure.as_ref())
        .collect();
    Ok(match failures.first() {
        Some(first) if failures.len() == steps.len() => {
            let same = failures.iter().all(|failure| failure.code == first.code);
            let code = if same {
                first.code
            } else {
                ExecutionStatus::Error
            };
            let mut failure = Failure {
                code,
                ..(*first).clone()
            };
            if !quota::lasts(&steps) {
                failure.attributes.remove(RETRY_AT);
            }
            Err(failure)
        }
        _ => Ok(Signal::MergeStarted),
    })
}

/// What to ask the connector for; a warning when there is nothing to ask about.
async fn request(
    app: &App,
    connector: &Arc<dyn Connector>,
    execution: &execution::Model,
    product: Product,
) -> Result<Result<Request, Warning>> {
    let mut windows = Vec::new();
    if product == Product::Transactions {
        let staged = account::staged(app.db.read(), execution.id).await?;
        if staged.is_empty() {
            let failed = record::steps(execution)?
                .iter()
                .any(|step| step.failure.is_some());
            return Ok(Err(no_accounts(failed)));
        }
        let overlap = u64::from(connector.descriptor().overlap_days);
        let known = account::of_item(app.db.read(), execution).await?;
        let pending = merge::oldest_pending(&app.db, execution.item_id).await?;
        let today = app.clock.now().date();
        let days_back = |days: u64| today - chrono::Days::new(days);
        for staged in staged {
            let key = staged.record.key;
            let row = known.iter().find(|row| row.key == key);
            let from = match row.and_then(|row| Some((row, row.collected_to?))) {
                None => days_back(FIRST_DAYS),
                Some((row, collected_to)) => {
                    let since = collected_to - chrono::Days::new(overlap);
                    pending
                        .iter()
                        .find(|(account, _)| *account == row.id)
                        .map_or(since, |(_, oldest)| {
                            since.min((*oldest).max(days_back(PENDING_DAYS)))
                        })
                }
            };
            windows.push((key, Window { from, to: today }));
        }
    }
    Ok(Ok(Request { product, windows }))
}

fn no_accounts(failed: bool) -> Warning {
    let (code, message) = if failed {
        (
            "TXN_005",
            "The accounts could not be read, so their transactions could not either.",
        )
    } else {
        ("TXN_002", "There are no accounts to read transactions of.")
    };
    Warning {
        code: code.to_owned(),
        message: message.to_owned(),
        provider_message: None,
    }
}

/// Where a stream goes.
struct Staging<'a> {
    app: &'a App,
    lease: &'a Lease,
    execution: &'a execution::Model,
    stager: Stager,
    accounts: i32,
    rows: u64,
    covered: Vec<Coverage>,
    warnings: Vec<Warning>,
}

impl Staging<'_> {
    /// Stages a stream to its end; answers why it ended early, if so.
    async fn drain(
        &mut self,
        mut stream: futures_util::stream::BoxStream<'static, Result<Batch, Failure>>,
    ) -> Result<Option<Failure>> {
        loop {
            self.lease.check(self.app)?;
            let next = tokio::time::timeout(BATCH_LASTS, stream.next()).await;
            match next {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(batch))) => self.stage(batch).await?,
                Ok(Some(Err(failure))) => return Ok(Some(failure)),
                Err(_) => {
                    return Ok(Some(Failure::new(
                        ExecutionStatus::ConnectionError,
                        "The institution did not answer in time.",
                    )));
                }
            }
        }
    }

    async fn stage(&mut self, batch: Batch) -> Result<()> {
        let (execution, epoch) = (self.execution.id, self.execution.epoch);
        match batch {
            Batch::Accounts(records) => {
                let first = self.accounts;
                let count = i32::try_from(records.len()).map_err(Error::internal)?;
                self.accounts += count;
                self.rows += u64::from(count.unsigned_abs());
                let owner = self.app.clone();
                self.app
                    .unit(async move {
                        let txn = owner.db.begin().await?;
                        record::hold(&txn, execution, epoch).await?;
                        account::stage(&txn, execution, records, first).await?;
                        Ok(txn.commit().await?)
                    })
                    .await
            }
            Batch::Transactions { account, rows } => {
                self.rows += rows.len() as u64;
                let staged = self.stager.rows(self.app, &account, rows);
                let owner = self.app.clone();
                self.app
                    .unit(async move {
                        let txn = owner.db.begin().await?;
                        record::hold(&txn, execution, epoch).await?;
                        merge::stage(&txn, staged).await?;
                        Ok(txn.commit().await?)
                    })
                    .await
            }
            Batch::Covered(coverage) => {
                self.covered.push(coverage);
                Ok(())
            }
            Batch::Identity(record) => {
                self.rows += 1;
                let owner = self.app.clone();
                self.app
                    .unit(async move {
                        let txn = owner.db.begin().await?;
                        record::hold(&txn, execution, epoch).await?;
                        identity::stage(&txn, execution, &record).await?;
                        Ok(txn.commit().await?)
                    })
                    .await
            }
            Batch::Warning(warning) => {
                self.warnings.push(warning);
                Ok(())
            }
        }
    }
}

/// Forgets what an interrupted stream of transactions has staged, so that what the institution took back meanwhile does
/// not stay.
async fn restart(app: &App, execution: Uuid) -> Result<()> {
    while crate::db::execution::delete_staged(&app.db, execution, 2_000).await? > 0 {}
    Ok(())
}
