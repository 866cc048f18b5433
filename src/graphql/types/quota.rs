//! What is left of the calls that a regulated interface allows.

use async_graphql::{Enum, SimpleObject};

use super::{super::scalar::DateTime, product::ProductType};
use crate::item::quota;

/// How often a call of a regulated interface may be made in a calendar month for a person at an institution, by all
/// applications of this server together.
#[derive(SimpleObject)]
pub struct Quota {
    /// The product that is collected by it.
    product: ProductType,
    /// Which call.
    call: RegulatedCall,
    /// How often it may be made in a month.
    limit: i32,
    /// How often it has been made in this month, for any Item of the same person; at a sandbox for this Item alone.
    used: i32,
    /// When the next month begins, in the regulator's time zone (UTC-3).
    resets_at: DateTime,
}

impl From<quota::Quota> for Quota {
    fn from(quota: quota::Quota) -> Self {
        Self {
            product: quota.limit.product.into(),
            call: quota.limit.call.into(),
            limit: quota.limit.month,
            used: quota.used,
            resets_at: DateTime(quota.resets_at),
        }
    }
}

/// A call of a regulated interface whose number is limited.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::RegulatedCall")]
pub enum RegulatedCall {
    /// Which accounts there are. Made every seven days.
    AccountList,
    /// What is on them. Made in every run.
    AccountBalance,
    /// Movements of the last six days. Made in every run.
    TransactionsRecent,
    /// Older movements. Made when some are missing, such as at first, and once a week while PENDING ones are that old.
    TransactionsOlder,
    /// Which cards there are. Made every seven days.
    CardList,
    /// Their bills. Made once a day.
    CardBills,
    /// Their limits. Made in every run.
    CardLimits,
    /// Which investments there are. Made once a day.
    InvestmentList,
    /// What they are. Made every seven days.
    InvestmentDetail,
    /// What they are worth. Made in every run.
    InvestmentBalance,
    /// Movements of investments of the last six days. Made in every run.
    InvestmentTransactionsRecent,
    /// Older movements of investments. Made when some are missing, such as at first.
    InvestmentTransactionsOlder,
    /// Who the holder is. Made every eight days.
    Identity,
    /// Which loans there are. Made every seven days.
    LoanList,
    /// Their instalments and payments. Made every 25 hours.
    LoanPayments,
}
