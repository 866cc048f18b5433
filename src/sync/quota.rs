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
        Descriptor, Failure, RETRY_AT, Request, Warning,
        regulated::{self, Limit},
    },
    db::quota::{Account, spend},
    error::Result,
    item::{history::Step, quota, save},
    product::account,
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

/// Spends what a step is about to call, for good, and leaves out of its request what must not be called. `now` is the time
/// at the institution.
pub async fn admit(
    app: &App,
    form: &Descriptor,
    execution: &execution::Model,
    now: Timestamp,
    request: Request,
) -> Result<Admitted> {
    if !form.is_open_finance || regulated::limits(request.product).next().is_none() {
        return Ok(Admitted::Call {
            request,
            granted: None,
            warnings: Vec::new(),
        });
    }
    let known = account::of_item(app.db.read(), execution).await?;
    let known = known
        .into_iter()
        .filter_map(|row| Some((row.key, row.collected_to?)))
        .collect();
    let (owner, execution) = (app.clone(), execution.clone());
    let overlap = Days::new(form.overlap_days.into());
    let work = async move { spend_all(&owner, &execution, now, request, known, overlap).await };
    app.unit(Box::pin(work)).await
}

async fn spend_all(
    app: &App,
    execution: &execution::Model,
    now: Timestamp,
    request: Request,
    known: Vec<(String, NaiveDate)>,
    overlap: Days,
) -> Result<Admitted> {
    let txn = app.db.begin().await?;
    let mut item = record::lock(&txn, execution, app.clock.now()).await?;
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
    let admitted = match request.product {
        Product::Transactions => purse.transactions(&item, request, &known, overlap).await?,
        _ => purse.others(&item, request).await?,
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
    /// up is left out, as long as something was read before.
    async fn others(&self, item: &item::Model, request: Request) -> Result<Admitted> {
        let product = request.product;
        let before = quota::updated_at(item, product).is_some();
        let (mut granted, mut warnings, mut refused) = (Vec::new(), Vec::new(), None);
        for limit in regulated::limits(product) {
            if !quota::is_due(item, limit, self.now) {
                continue;
            }
            if self.spend(limit, 0).await? {
                granted.push(limit.call);
            } else if limit.every.is_some() && before {
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
                request,
                granted: Some(granted),
                warnings,
            },
        })
    }

    /// Every account is read for the days that count as recent. Older movements are asked for, once for all accounts, when
    /// one misses some; when that is used up, accounts that do are left as they are.
    async fn transactions(
        &self,
        item: &item::Model,
        mut request: Request,
        known: &[(String, NaiveDate)],
        overlap: Days,
    ) -> Result<Admitted> {
        let mut limits = regulated::limits(Product::Transactions);
        let (Some(recent), Some(older)) = (limits.next(), limits.next()) else {
            return Ok(Admitted::Fresh);
        };
        let first = quota::first_recent_day(self.now);
        let read_to = |key: &str| {
            let mut known = known.iter();
            known.find_map(|(known, to)| (known == key).then_some(*to))
        };
        let misses = |key: &str| read_to(key).is_none_or(|to| to < first);
        // Beyond the overlap a window reaches back for PENDING rows only.
        let pending = request.windows.iter().any(|(key, window)| {
            let since = read_to(key).map(|to| to - overlap);
            since.is_some_and(|since| window.from < since.min(first))
        });
        let missing = request.windows.iter().any(|(key, _)| misses(key));
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
            pending && again && self.spend(older, RESERVED).await?
        };
        if asked {
            granted.push(older.call);
        } else {
            request.windows.retain(|(key, _)| !misses(key));
            if missing {
                warnings.push(used_up(older, self.now));
            }
            if request.windows.is_empty() {
                return Ok(Admitted::used_up(older, self.now));
            }
            for (_, window) in &mut request.windows {
                window.from = window.from.max(first);
            }
        }
        Ok(Admitted::Call {
            request,
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

/// Whether every step has failed for what is used up, or for lack of what another step was refused.
pub fn lasts(steps: &[Step]) -> bool {
    steps.iter().all(|step| {
        let failure = step.failure.as_ref();
        failure.is_some_and(|failure| failure.attributes.contains_key(RETRY_AT))
            || step
                .warnings
                .iter()
                .any(|warning| warning.code == "TXN_005")
    })
}
