//! Collecting one product: streamed from the connector into staging, in batches of short transactions.

use std::sync::Arc;

use chrono::NaiveDate;
use entity::{
    execution,
    kind::{ExecutionStatus, ItemStatus, Product},
};
use futures_util::StreamExt as _;
use serde::Serialize;
use serde_json::Value;

use super::{
    quota::{self, Admitted, Reading},
    record::{self, Notes},
    run::{Lease, products},
};
use crate::{
    app::App,
    connector::{
        Batch, BillRecord, Call, Connector, Coverage, Failure, IdentityRecord, InvestmentRecord,
        InvestmentTransactionRecord, LARGEST_STATEMENT, LoanRecord, RETRY_AT, Requests, Session,
        StatementRecord, Warning, Window,
    },
    db::{execution as staging, merge},
    error::{Error, Result},
    item::{
        history::Step,
        state::{self, Signal},
    },
    product::{
        account::{self, Known},
        identity,
        investment::{self, Numbering},
        snapshot::{self, Snapshot as _},
        statement,
        transaction::Stager,
    },
};

/// Days that the first collection of an account reaches back.
const FIRST_DAYS: u64 = 365;
/// Days that a PENDING row can make a later collection reach back.
const PENDING_DAYS: u64 = 45;
/// Most staged rows that one transaction removes.
const FORGOTTEN: u64 = 2_000;
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
    // What nobody has claimed before has nothing staged.
    if execution.epoch > 1 {
        restart(app, execution, product).await?;
    }
    let source = connector.descriptor().source;
    let wanted = products(execution);
    let accounts = account::staged(app.db.read(), execution.id).await?;
    let stored = account::of_item(app.db.read(), execution).await?;
    let known = Known::among(&stored, &accounts, source);
    let payments = wanted.contains(&Product::PaymentData);
    let today = call.now().date();
    let stager = Stager::new(execution.id, source, payments)
        .holding(account::holders(&accounts))
        .on(today);
    let mut staging = Staging {
        app,
        lease,
        execution,
        product,
        stager: stager.with_first_keys(known.first_keys()),
        wanted,
        numbering: Numbering::default(),
        accounts: i32::try_from(accounts.len()).map_err(Error::internal)?,
        rows: 0,
        covered: Vec::new(),
        warnings: Vec::new(),
    };
    let readings = match product {
        Product::Transactions => {
            windows(app, connector, execution, today, &accounts, &known).await?
        }
        Product::PaymentData => covered_windows(execution)?,
        Product::AccountStatements => {
            statement_windows(app, execution, today, &accounts, &known).await?
        }
        Product::InvestmentsTransactions => {
            position_windows(app, connector, execution, today).await?
        }
        _ => Ok(Vec::new()),
    };
    let admitted = match readings {
        Ok(readings) => {
            let step = quota::Planned {
                product,
                readings,
                today,
            };
            quota::admit(app, connector.descriptor(), execution, step).await?
        }
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
            let requests = call.requests.clone();
            let stream = connector.collect(call, session, request);
            staging.drain(&requests, stream).await?
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

/// What to ask of each account or position; a warning when there is nothing to ask about.
type Readings = Result<Vec<Reading>, Warning>;

/// What to read of the transactions of the accounts that a run has found; a warning when there are none.
///
/// An account is read from where its last complete collection ended, and as far back as any of its rows can still
/// settle. Payment data comes with the rows that it is about: until it has been collected too, they are read again.
async fn windows(
    app: &App,
    connector: &Arc<dyn Connector>,
    execution: &execution::Model,
    today: NaiveDate,
    staged: &[account::Staged],
    known: &Known<'_>,
) -> Result<Readings> {
    if staged.is_empty() {
        let failed = record::steps(execution)?
            .iter()
            .any(|step| step.failure.is_some());
        return Ok(Err(no_accounts(failed)));
    }
    let overlap = u64::from(connector.descriptor().overlap_days);
    let payments = products(execution).contains(&Product::PaymentData);
    let pending = merge::oldest_pending(&app.db, execution.item_id).await?;
    let days_back = |days: u64| today - chrono::Days::new(days);
    let mut readings = Vec::with_capacity(staged.len());
    for staged in staged {
        let key = staged.record.key.clone();
        let row = known.get(&key);
        let collected_to = row.and_then(|row| row.collected_to);
        let complete_to = if payments {
            collected_to.min(row.and_then(|row| row.payment_collected_to))
        } else {
            collected_to
        };
        let from = match row.zip(complete_to) {
            None => days_back(FIRST_DAYS),
            Some((row, to)) => {
                let since = to - chrono::Days::new(overlap);
                pending
                    .iter()
                    .find(|(account, _)| *account == row.id)
                    .map_or(since, |(_, oldest)| {
                        since.min((*oldest).max(days_back(PENDING_DAYS)))
                    })
            }
        };
        readings.push(Reading {
            key,
            window: Window { from, to: today },
            collected_to,
            complete_to,
        });
    }
    Ok(Ok(readings))
}

/// What to read of the statements of the accounts that a run has found: the months behind the latest that is stored. A
/// warning when there are no accounts.
async fn statement_windows(
    app: &App,
    execution: &execution::Model,
    to: NaiveDate,
    staged: &[account::Staged],
    known: &Known<'_>,
) -> Result<Readings> {
    if staged.is_empty() {
        let text =
            "There are no accounts that could be read, so their statements could not be either.";
        return Ok(Err(quota::lacking("STM_001", text)));
    }
    let next = statement::to_read(app, execution.item_id).await?;
    let window = |staged: &account::Staged| {
        let key = staged.record.key.clone();
        let stored = known.get(&key).and_then(|row| next.get(&row.id).copied());
        let first = statement::first_of_month(to - chrono::Days::new(FIRST_DAYS));
        let from = stored.unwrap_or(first);
        Reading::of(key, Window { from, to })
    };
    Ok(Ok(staged.iter().map(window).collect()))
}

/// What to read of the movements of the positions that a run has found. A warning when it could not find any.
async fn position_windows(
    app: &App,
    connector: &Arc<dyn Connector>,
    execution: &execution::Model,
    to: NaiveDate,
) -> Result<Readings> {
    let shown = record::has_collected(execution, Product::Investments)?;
    let overlap = chrono::Days::new(u64::from(connector.descriptor().overlap_days));
    let positions = investment::to_read(app, execution, shown).await?;
    if positions.is_empty() && !shown {
        let text = "The investments could not be read, so their transactions could not either.";
        return Ok(Err(quota::lacking("INV_006", text)));
    }
    let readings = positions.into_iter().map(|(key, collected_to)| {
        let from = collected_to.map_or(to - chrono::Days::new(FIRST_DAYS), |day| day - overlap);
        Reading {
            key,
            window: Window { from, to },
            collected_to,
            complete_to: collected_to,
        }
    });
    Ok(Ok(readings.collect()))
}

/// What to read of payment data: what has been read of transactions. A warning when that could not be.
fn covered_windows(execution: &execution::Model) -> Result<Readings> {
    if !record::has_collected(execution, Product::Transactions)? {
        let text = "The transactions could not be read, so their payment data could not either.";
        return Ok(Err(quota::lacking("PAY_001", text)));
    }
    let covered = record::covered(execution)?.into_iter();
    Ok(Ok(covered
        .map(|coverage| Reading::of(coverage.account, coverage.window))
        .collect()))
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
    quota::lacking(code, message)
}

/// Where a stream goes.
struct Staging<'a> {
    app: &'a App,
    lease: &'a Lease,
    execution: &'a execution::Model,
    product: Product,
    stager: Stager,
    wanted: Vec<Product>,
    numbering: Numbering,
    accounts: i32,
    rows: u64,
    covered: Vec<Coverage>,
    warnings: Vec<Warning>,
}

impl Staging<'_> {
    /// Stages a stream to its end; answers why it ended early, if so.
    async fn drain(
        &mut self,
        requests: &Requests,
        mut stream: futures_util::stream::BoxStream<'static, Result<Batch, Failure>>,
    ) -> Result<Option<Failure>> {
        loop {
            self.lease.check(self.app)?;
            match requests.within(BATCH_LASTS, stream.next()).await {
                Some(None) => return Ok(None),
                Some(Some(Ok(batch))) => self.stage(batch).await?,
                Some(Some(Err(failure))) => return Ok(Some(failure)),
                None => {
                    return Ok(Some(Failure::new(
                        ExecutionStatus::ConnectionError,
                        "The institution did not answer in time.",
                    )));
                }
            }
        }
    }

    /// Whether a batch belongs to a product that is asked for. An institution may hand over more in one answer.
    fn wants(&self, batch: &Batch) -> bool {
        let product = match batch {
            Batch::Transactions { .. } => Product::Transactions,
            Batch::Payments { .. } => Product::PaymentData,
            Batch::Bills { .. } => Product::CreditCards,
            Batch::Investments(_) => Product::Investments,
            Batch::InvestmentTransactions { .. } | Batch::InvestmentCovered(_) => {
                Product::InvestmentsTransactions
            }
            Batch::Loans(_) => Product::Loans,
            Batch::Identity(_) => Product::Identity,
            Batch::Statements { .. } => Product::AccountStatements,
            Batch::Accounts(_) | Batch::Covered(_) | Batch::Warning(_) => return true,
        };
        self.wanted.contains(&product)
    }

    async fn stage(&mut self, batch: Batch) -> Result<()> {
        let (execution, epoch) = (self.execution.id, self.execution.epoch);
        if !self.wants(&batch) {
            return Ok(());
        }
        match batch {
            Batch::Accounts(mut records) => {
                records.retain(|record| self.wanted.contains(&account::product(record.kind)));
                let staged: Vec<_> = (self.accounts..)
                    .zip(records)
                    .map(|(ordinal, record)| account::Staged { ordinal, record })
                    .collect();
                self.accounts += i32::try_from(staged.len()).map_err(Error::internal)?;
                let key = |staged: &account::Staged| staged.record.key.clone();
                self.snapshot(account::STAGED, &staged, key).await
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
                // What is covered of payment data is what was asked for.
                if self.product != Product::PaymentData {
                    self.covered.push(coverage);
                }
                Ok(())
            }
            Batch::Bills { account, rows } => {
                let kind = snapshot::of_parent(BillRecord::STAGED, &account);
                let key = |record: &BillRecord| record.key.clone();
                self.snapshot(&kind, &rows, key).await
            }
            Batch::Payments { account, rows } => {
                self.rows += rows.len() as u64;
                let payments = self.stager.payments(&account, rows);
                let owner = self.app.clone();
                self.app
                    .unit(async move {
                        let txn = owner.db.begin().await?;
                        record::hold(&txn, execution, epoch).await?;
                        merge::stage_payments(&owner.db, &txn, execution, &account, &payments)
                            .await?;
                        Ok(txn.commit().await?)
                    })
                    .await
            }
            Batch::Investments(records) => {
                let key = |record: &InvestmentRecord| record.key.clone();
                self.snapshot(InvestmentRecord::STAGED, &records, key).await
            }
            Batch::InvestmentTransactions { investment, rows } => {
                let kind = snapshot::of_parent(InvestmentTransactionRecord::STAGED, &investment);
                let mut numbering = std::mem::take(&mut self.numbering);
                let key = |row: &InvestmentTransactionRecord| numbering.key(&investment, row);
                let staged = self.snapshot(&kind, &rows, key).await;
                self.numbering = numbering;
                staged
            }
            Batch::InvestmentCovered(coverage) => {
                let covered = snapshot::document(&coverage)?;
                self.documents(investment::COVERED, vec![(coverage.account, covered)])
                    .await
            }
            Batch::Loans(records) => {
                let key = |record: &LoanRecord| record.key.clone();
                self.snapshot(LoanRecord::STAGED, &records, key).await
            }
            Batch::Statements { account, rows } => {
                for record in rows {
                    self.statement(account.clone(), record).await?;
                }
                Ok(())
            }
            Batch::Identity(record) => {
                let key = |_: &IdentityRecord| String::new();
                self.snapshot(identity::STAGED, &[*record], key).await
            }
            Batch::Warning(warning) => {
                self.warnings.push(warning);
                Ok(())
            }
        }
    }
}

impl Staging<'_> {
    /// Stages records of a product that is shown whole.
    async fn snapshot<R: Serialize>(
        &mut self,
        kind: &str,
        records: &[R],
        mut key: impl FnMut(&R) -> String,
    ) -> Result<()> {
        self.rows += records.len() as u64;
        let documents = records
            .iter()
            .map(|record| Ok((key(record), snapshot::document(record)?)));
        let documents = documents.collect::<Result<Vec<_>>>()?;
        self.documents(kind, documents).await
    }

    /// Stages one statement, unless its file cannot be kept.
    async fn statement(&mut self, account: String, record: StatementRecord) -> Result<()> {
        let size = record.contents.len();
        if size == 0 || size > LARGEST_STATEMENT {
            let most = LARGEST_STATEMENT / (1024 * 1024);
            let month = record.month.format("%Y-%m");
            self.warnings.push(Warning {
                code: "STM_002".to_owned(),
                message: format!(
                    "The statement of {month} is empty or larger than {most} MiB, and was left out."
                ),
                provider_message: None,
            });
            return Ok(());
        }
        self.rows += 1;
        let (owner, execution) = (self.app.clone(), self.execution.clone());
        self.app
            .unit(async move {
                let txn = owner.db.begin().await?;
                record::hold(&txn, execution.id, execution.epoch).await?;
                statement::stage(&txn, &execution, &account, record).await?;
                Ok(txn.commit().await?)
            })
            .await
    }

    async fn documents(&self, kind: &str, documents: Vec<(String, Value)>) -> Result<()> {
        let (execution, epoch) = (self.execution.id, self.execution.epoch);
        let (owner, kind) = (self.app.clone(), kind.to_owned());
        self.app
            .unit(async move {
                let txn = owner.db.begin().await?;
                record::hold(&txn, execution, epoch).await?;
                snapshot::stage(&txn, execution, &kind, documents).await?;
                Ok(txn.commit().await?)
            })
            .await
    }
}

/// Forgets what an interrupted stream of a product has staged, so that what the institution took back meanwhile does not
/// stay: as long as this worker holds the run, so that it takes nothing from another that has it by now.
async fn restart(app: &App, execution: &execution::Model, product: Product) -> Result<()> {
    loop {
        let (owner, run, epoch) = (app.clone(), execution.id, execution.epoch);
        let forgotten = app
            .unit(async move {
                let txn = owner.db.begin().await?;
                record::hold(&txn, run, epoch).await?;
                let mut forgotten = snapshot::forget(&txn, &owner, run, product).await?;
                if product == Product::Transactions {
                    forgotten += staging::delete_staged(&owner.db, &txn, run, FORGOTTEN).await?;
                }
                txn.commit().await?;
                Ok(forgotten)
            })
            .await?;
        if forgotten == 0 {
            return Ok(());
        }
    }
}
