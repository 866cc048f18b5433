//! Spending regulated calls before a step makes them.

use chrono::{Days, NaiveDate};
use entity::{
    execution, item,
    kind::{ExecutionStatus, Product, RegulatedCall},
};
use sea_orm::DatabaseTransaction;

use super::record;
use crate::{
    app::App,
    clock::Timestamp,
    connector::{
        Descriptor, Failure, RETRY_AT, Request, Warning, Window,
        regulated::{self, Limit},
    },
    db::quota::{Account, spend},
    error::Result,
    item::{history::Step, quota, save},
};

/// Of the calls for older movements, so many are left to accounts that miss some: what became of PENDING ones is asked
/// for with the others.
const RESERVED: i32 = 2;

/// What becomes of a step.
pub enum Admitted {
    /// The connector is asked.
    Call {
        /// For what.
        request: Request,
        /// The regulated calls that it may make for that; `None` where nothing is regulated.
        granted: Option<Vec<RegulatedCall>>,
        /// What the client should know.
        warnings: Vec<Warning>,
    },
    /// It must not be asked.
    Refused {
        /// Why, for the client.
        warning: Warning,
        /// The same, as the step's failure.
        failure: Failure,
    },
    /// It need not be asked: what is stored is as new as the regulator lets it be.
    Fresh,
}

impl Admitted {
    /// A step without anything to ask about.
    pub fn refused(warning: Warning) -> Self {
        let failure = Failure::new(ExecutionStatus::Error, warning.message.clone());
        Self::Refused { warning, failure }
    }

    fn used_up(limit: &Limit, now: Timestamp) -> Self {
        let warning = used_up(limit, now);
        let failure = Failure::new(ExecutionStatus::Error, warning.message.clone());
        Self::Refused {
            warning,
            failure: failure.until(quota::resets_at(now)),
        }
    }
}

/// What to read of an account or a position.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its key at the institution.
    pub key: String,
    /// The days to ask for.
    pub window: Window,
    /// The last day of which every movement is stored.
    pub collected_to: Option<NaiveDate>,
    /// The same, of which everything is that is told of them elsewhere too.
    pub complete_to: Option<NaiveDate>,
}

impl Reading {
    /// A window of what is not asked for movement by movement.
    pub fn of(key: String, window: Window) -> Self {
        Self {
            key,
            window,
            collected_to: None,
            complete_to: None,
        }
    }
}

/// A step that is about to be made.
pub struct Planned {
    /// Of which product.
    pub product: Product,
    /// What to read.
    pub readings: Vec<Reading>,
    /// The day at the institution.
    pub today: NaiveDate,
}

impl Planned {
    fn request(&self) -> Request {
        let windows = self.readings.iter();
        Request {
            product: self.product,
            windows: windows
                .map(|reading| (reading.key.clone(), reading.window))
                .collect(),
        }
    }
}

/// Spends what a step is about to call, for good, and leaves out of its request what must not be called.
pub async fn admit(
    app: &App,
    form: &Descriptor,
    execution: &execution::Model,
    step: Planned,
) -> Result<Admitted> {
    if !form.is_open_finance || regulated::limits(step.product).next().is_none() {
        return Ok(Admitted::Call {
            request: step.request(),
            granted: None,
            warnings: Vec::new(),
        });
    }
    let (owner, execution) = (app.clone(), execution.clone());
    let overlap = Days::new(form.overlap_days.into());
    let work = async move { spend_all(&owner, &execution, step, overlap).await };
    app.unit(Box::pin(work)).await
}

async fn spend_all(
    app: &App,
    execution: &execution::Model,
    step: Planned,
    overlap: Days,
) -> Result<Admitted> {
    let now = app.clock.now();
    let txn = app.db.begin().await?;
    let mut item = record::lock(&txn, execution, now).await?;
    let unknown = || quota::alone(app, execution.item_id);
    let person = item.person_digest.get_or_insert_with(unknown).clone();
    let purse = Purse {
        app,
        txn: &txn,
        account: Account {
            person,
            connector: item.connector_id,
            month: quota::month(now),
        },
        now,
    };
    let admitted = match step.product {
        Product::Transactions | Product::InvestmentsTransactions => {
            purse.movements(&item, step, overlap).await?
        }
        _ => purse.others(&item, step).await?,
    };
    if let Admitted::Call {
        granted: Some(granted),
        ..
    } = &admitted
    {
        quota::note(&mut item, granted, now);
        save(&txn, &item).await?;
        txn.commit().await?;
    }
    Ok(admitted)
}

/// Whose calls are spent, in which transaction.
struct Purse<'a> {
    app: &'a App,
    txn: &'a DatabaseTransaction,
    account: Account,
    now: Timestamp,
}

impl Purse<'_> {
    /// Spends one call, and leaves so many.
    async fn spend(&self, limit: &Limit, leave: i32) -> Result<bool> {
        let most = limit.month - leave;
        spend(&self.app.db, self.txn, &self.account, limit.call, most).await
    }

    /// A step makes all calls that are due. Without one that every run makes it is over; what is due now and then and used
    /// up is left out, as long as what it has answered before is remembered.
    async fn others(&self, item: &item::Model, step: Planned) -> Result<Admitted> {
        let before = quota::updated_at(item, step.product).is_some();
        let (mut granted, mut warnings, mut refused) = (Vec::new(), Vec::new(), None);
        for limit in regulated::limits(step.product) {
            if !quota::is_due(item, limit, self.now) {
                continue;
            }
            let remembered = before && quota::made_at(item, limit.call).is_some();
            if self.spend(limit, 0).await? {
                granted.push(limit.call);
            } else if limit.every.is_some() && remembered {
                warnings.push(used_up(limit, self.now));
                refused = Some(limit);
            } else {
                return Ok(Admitted::used_up(limit, self.now));
            }
        }
        Ok(match (granted.is_empty(), refused) {
            (true, None) => Admitted::Fresh,
            (true, Some(limit)) => Admitted::used_up(limit, self.now),
            (false, _) => Admitted::Call {
                request: step.request(),
                granted: Some(granted),
                warnings,
            },
        })
    }

    /// Everything is read for the days that count as recent. Older movements are asked for, once for all, when an account or
    /// position misses some; when that is used up, those that do are left as they are.
    async fn movements(
        &self,
        item: &item::Model,
        mut step: Planned,
        overlap: Days,
    ) -> Result<Admitted> {
        let mut limits = regulated::limits(step.product);
        let (Some(recent), Some(older)) = (limits.next(), limits.next()) else {
            return Ok(Admitted::Fresh);
        };
        if step.readings.is_empty() {
            return Ok(Admitted::Call {
                request: step.request(),
                granted: Some(Vec::new()),
                warnings: Vec::new(),
            });
        }
        let first = quota::first_recent_day(step.today);
        let misses = |reading: &Reading| reading.collected_to.is_none_or(|to| to < first);
        let missing = step.readings.iter().any(misses);
        // What is told of movements elsewhere, such as who paid: they are read again for it.
        let bare = |reading: &Reading| reading.complete_to.is_none_or(|to| to < first);
        let bare = step.readings.iter().any(bare);
        // Beyond the overlap a window reaches back for PENDING rows only.
        let pending = step.readings.iter().any(|reading| {
            let since = reading.complete_to.map(|to| to - overlap);
            since.is_some_and(|since| reading.window.from < since.min(first))
        });
        if !self.spend(recent, 0).await? {
            return Ok(Admitted::used_up(recent, self.now));
        }
        let mut granted = vec![recent.call];
        let mut warnings = Vec::new();
        let again = quota::made_at(item, older.call)
            .is_none_or(|made| self.now.since(made) >= quota::PENDING_EVERY);
        let asked = if missing {
            self.spend(older, 0).await?
        } else {
            (bare || pending && again) && self.spend(older, RESERVED).await?
        };
        if asked {
            granted.push(older.call);
        } else {
            step.readings.retain(|reading| !misses(reading));
            if missing || bare {
                warnings.push(used_up(older, self.now));
            }
            if step.readings.is_empty() {
                return Ok(Admitted::used_up(older, self.now));
            }
            for reading in &mut step.readings {
                reading.window.from = reading.window.from.max(first);
            }
        }
        Ok(Admitted::Call {
            request: step.request(),
            granted: Some(granted),
            warnings,
        })
    }
}

/// What the client should know of a call that must not be made any more in this month.
fn used_up(limit: &Limit, now: Timestamp) -> Warning {
    Warning {
        code: regulated::code(limit.call).to_owned(),
        message: format!(
            "{} may be called {} times a month for a person at an institution, and has been. What was read before stays; it goes on at {}.",
            limit.call,
            limit.month,
            quota::resets_at(now)
        ),
        provider_message: None,
    }
}

/// What the client should know of a step that has nothing to ask about.
pub fn lacking(code: &str, message: &str) -> Warning {
    Warning {
        code: code.to_owned(),
        message: message.to_owned(),
        provider_message: None,
    }
}

/// The codes of steps that have failed for lack of what another step was refused.
const LACKING: [&str; 4] = ["TXN_005", "PAY_001", "STM_001", "INV_006"];

/// Whether every step has failed for what is used up, or for lack of what another step was refused.
pub fn lasts(steps: &[Step]) -> bool {
    steps.iter().all(|step| {
        let failure = step.failure.as_ref();
        failure.is_some_and(|failure| failure.attributes.contains_key(RETRY_AT))
            || step
                .warnings
                .iter()
                .any(|warning| LACKING.contains(&warning.code.as_str()))
    })
}
