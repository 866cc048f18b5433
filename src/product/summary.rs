//! What transactions come to, by category, month and other things that they have in common. Never over currencies.

use std::collections::HashMap;

use entity::{
    item,
    kind::{TransactionStatus, TransactionType},
};
use sea_orm::{ColumnTrait as _, QueryFilter as _, QuerySelect as _};
use uuid::Uuid;

use super::list::{self, CATEGORY, Parent, TransactionFilter};
use crate::{
    app::App,
    auth::Principal,
    category::{self, Category},
    db::page::summary::{self as sums, Group, Sums},
    error::{Error, Result},
    item::{self as items, check_client_user_id},
    money::Amount,
};

/// Most things that are summed by at once.
const MOST_GROUPINGS: usize = 3;
/// Most rows of one summary.
const MOST_ROWS: usize = 1_000;
/// Most Items or accounts that are summed together.
const MOST_PARENTS: usize = 200;

/// Something that transactions have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grouping {
    /// Their category.
    Category,
    /// The month of their day.
    Month,
    /// Their direction.
    Type,
    /// Their status.
    Status,
    /// Their account.
    Account,
    /// Their currency.
    Currency,
}

/// How transactions are summed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Summing {
    /// Which ones.
    pub filter: TransactionFilter,
    /// By what.
    pub groupings: Vec<Grouping>,
    /// Whether categories count for their roots.
    pub roots: bool,
}

/// What transactions with something in common come to. What they were not summed by is `None`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The id of their category.
    pub category: Option<&'static str>,
    /// Their month, as `2026-03`.
    pub month: Option<String>,
    /// Their direction.
    pub kind: Option<TransactionType>,
    /// Their status.
    pub status: Option<TransactionStatus>,
    /// Their account.
    pub account: Option<Uuid>,
    /// Their currency.
    pub currency_code: String,
    /// How many.
    pub count: i64,
    /// What came in.
    pub inflow: Amount,
    /// What went out, negative.
    pub outflow: Amount,
    /// Both.
    pub total: Amount,
}

impl Summing {
    /// Fails unless it can be asked for.
    pub fn check(&self) -> Result<()> {
        self.filter.check()?;
        let mut different = self.groupings.clone();
        different.sort_unstable();
        different.dedup();
        if different.is_empty()
            || different.len() != self.groupings.len()
            || different.len() > MOST_GROUPINGS
        {
            return Err(Error::invalid(
                "groupBy",
                format!("1 to {MOST_GROUPINGS} different things to sum by"),
            ));
        }
        Ok(())
    }

    /// The currency comes first, whatever it is summed by.
    fn groups(&self) -> Vec<Group> {
        let asked = self.groupings.iter().filter_map(|grouping| match grouping {
            Grouping::Category if self.roots => Some(Group::FirstRoot(&CATEGORY)),
            Grouping::Category => Some(Group::First(&CATEGORY)),
            Grouping::Month => Some(Group::Month("posted_on")),
            Grouping::Type => Some(Group::Text("kind")),
            Grouping::Status => Some(Group::Text("status")),
            Grouping::Account => Some(Group::Id("account_id")),
            Grouping::Currency => None,
        });
        [Group::Text("currency_code")]
            .into_iter()
            .chain(asked)
            .collect()
    }

    fn row(&self, sums: Sums) -> Result<Row> {
        let mut keys = sums.keys.into_iter();
        let mut row = Row {
            category: None,
            month: None,
            kind: None,
            status: None,
            account: None,
            currency_code: keys.next().flatten().unwrap_or_default(),
            count: sums.count,
            inflow: sums.inflow,
            outflow: sums.outflow,
            // Of opposite signs: nearer to zero than either.
            total: sums
                .inflow
                .checked_add(sums.outflow)
                .map_err(Error::internal)?,
        };
        let asked = self.groupings.iter();
        for grouping in asked.filter(|grouping| **grouping != Grouping::Currency) {
            let Some(key) = keys.next().flatten() else {
                continue;
            };
            match grouping {
                Grouping::Category => {
                    row.category = category::find(&key).map(|Category { id, .. }| *id);
                }
                Grouping::Month => row.month = Some(key),
                Grouping::Type => row.kind = Some(key.parse().map_err(Error::internal)?),
                Grouping::Status => row.status = Some(key.parse().map_err(Error::internal)?),
                Grouping::Account => {
                    row.account = Some(Uuid::parse_str(&key).map_err(Error::internal)?);
                }
                Grouping::Currency => {}
            }
        }
        Ok(row)
    }

    /// In order of what they have in common; nothing comes before something.
    fn rows(&self, sums: Vec<Sums>) -> Result<Vec<Row>> {
        if sums.len() > MOST_ROWS {
            return Err(Error::invalid(
                "groupBy",
                format!(
                    "the summary has more than {MOST_ROWS} rows; narrow the filter or sum by less"
                ),
            ));
        }
        let rows = sums.into_iter().map(|sums| self.row(sums));
        let mut rows = rows.collect::<Result<Vec<_>>>()?;
        rows.sort_unstable();
        Ok(rows)
    }
}

/// Summaries for Items or accounts that the principal has been shown; one without transactions is missing.
pub async fn of_parents(
    app: &App,
    application: Uuid,
    parent: Parent,
    ids: &[Uuid],
    summing: &Summing,
) -> Result<HashMap<Uuid, Vec<Row>>> {
    let conditions = summing.filter.conditions(application);
    let (source, groups) = (parent.source(list::Order::default()), summing.groups());
    let found = sums::of_parents(&app.db, source, ids, &conditions, &groups, false).await?;
    let mut by_parent: HashMap<Uuid, Vec<Sums>> = HashMap::new();
    for sums in found {
        by_parent.entry(sums.parent).or_default().push(sums);
    }
    by_parent
        .into_iter()
        .map(|(id, sums)| Ok((id, summing.rows(sums)?)))
        .collect()
}

/// Whose transactions are summed together.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Those of these Items.
    Items(Vec<Uuid>),
    /// Those of these accounts.
    Accounts(Vec<Uuid>),
    /// Those of all Items of a client user.
    ClientUser(String),
}

/// One summary over several Items or accounts of an application; what is not its own counts for nothing.
pub async fn over(
    app: &App,
    principal: &Principal,
    scope: Scope,
    summing: &Summing,
) -> Result<Vec<Row>> {
    principal.require_api_key("read transactions")?;
    summing.check()?;
    let bounded = |field, ids: &[Uuid]| {
        if ids.len() > MOST_PARENTS {
            let reason = format!("at most {MOST_PARENTS} ids");
            return Err(Error::invalid(field, reason));
        }
        Ok(())
    };
    let (parent, ids): (Parent, Vec<Uuid>) = match scope {
        Scope::Items(ids) => {
            bounded("itemIds", &ids)?;
            let own = items::list::by_id(app, principal, &ids).await?;
            (Parent::Item, own.into_keys().collect())
        }
        Scope::Accounts(ids) => {
            bounded("accountIds", &ids)?;
            let own = list::accounts_by_id(app, principal, &ids).await?;
            (Parent::Account, own.into_keys().collect())
        }
        Scope::ClientUser(user) => {
            check_client_user_id(Some(&user))?;
            let own = principal
                .items()
                .filter(item::Column::ClientUserId.eq(&user))
                .select_only()
                .column(item::Column::Id)
                .limit(MOST_PARENTS as u64 + 1)
                .into_tuple()
                .all(app.db.read())
                .await?;
            if own.len() > MOST_PARENTS {
                return Err(Error::invalid(
                    "clientUserId",
                    format!("the user has more than {MOST_PARENTS} Items; name some of them"),
                ));
            }
            (Parent::Item, own)
        }
    };
    let conditions = summing.filter.conditions(principal.application);
    let (source, groups) = (parent.source(list::Order::default()), summing.groups());
    let found = sums::of_parents(&app.db, source, &ids, &conditions, &groups, true).await?;
    summing.rows(found)
}
