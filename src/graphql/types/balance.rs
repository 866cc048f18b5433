//! Live balances.

use async_graphql::{ID, InputObject, SimpleObject};
use entity::account;

use super::{
    super::scalar::{DateTime, Decimal},
    account::Account,
};
use crate::connector::BalanceRecord;

/// Whose balance to ask for.
#[derive(InputObject)]
pub struct FetchAccountBalanceInput {
    /// The account: a BANK one, of a connector that `hasLiveBalance`.
    pub account_id: ID,
}

/// What the institution has answered.
#[derive(SimpleObject)]
pub struct FetchAccountBalancePayload {
    /// What is on the account now.
    balance: LiveBalance,
    /// The account, as the last run has stored it.
    account: Account,
}

/// What is on an account at a moment, as its institution tells it outside of runs.
#[derive(SimpleObject)]
pub struct LiveBalance {
    /// Available funds.
    balance: Decimal,
    /// What is held back; null when the institution does not tell.
    blocked_balance: Option<Decimal>,
    /// What the institution invests by itself and can be had at once; null when it does not tell.
    automatically_invested_balance: Option<Decimal>,
    /// ISO 4217 code of the amounts.
    currency_code: String,
    /// When that was so, as the institution says.
    updated_at: DateTime,
}

impl From<(account::Model, BalanceRecord)> for FetchAccountBalancePayload {
    fn from((account, record): (account::Model, BalanceRecord)) -> Self {
        Self {
            balance: LiveBalance {
                balance: Decimal(record.available),
                blocked_balance: record.blocked.map(Decimal),
                automatically_invested_balance: record.automatically_invested.map(Decimal),
                currency_code: record.currency_code,
                updated_at: DateTime(record.updated_at),
            },
            account: account.into(),
        }
    }
}
