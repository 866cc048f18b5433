//! Products, as Items collect them.

use async_graphql::Enum;

/// A family of data that an Item can collect.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::Product")]
pub enum ProductType {
    /// Bank accounts.
    Accounts,
    /// Credit-card accounts.
    CreditCards,
    /// Movements of every account. Needs ACCOUNTS or CREDIT_CARDS beside it.
    Transactions,
    /// Who paid and who received. Needs TRANSACTIONS beside it.
    PaymentData,
    /// Positions at a broker or bank.
    Investments,
    /// Movements of positions. Needs INVESTMENTS beside it.
    InvestmentsTransactions,
    /// Who the holder is.
    Identity,
    /// Brokerage notes.
    BrokerageNote,
    /// Portability of pension plans.
    MoveSecurity,
    /// Loans and financing.
    Loans,
    /// Statements as documents.
    AccountStatements,
}
