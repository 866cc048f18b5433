//! Orders of transactions, and the lists that they make.

use async_graphql::Enum;

use super::super::page::List;
use crate::product::list::Order;

/// How transactions are ordered; those that are equal by their ids. A cursor is good for the order that it was read in.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionOrder {
    /// By `postedOn`, the latest first.
    DateDesc,
    /// By `postedOn`, the earliest first.
    DateAsc,
    /// By `amount`, whatever its currency, the largest first: what came in before what went out.
    AmountDesc,
    /// By `amount`, whatever its currency, the smallest first: what went out before what came in.
    AmountAsc,
    /// By `createdAt`, the latest first.
    CreatedAtDesc,
}

impl From<TransactionOrder> for Order {
    fn from(order: TransactionOrder) -> Self {
        match order {
            TransactionOrder::DateDesc => Self::DateDescending,
            TransactionOrder::DateAsc => Self::DateAscending,
            TransactionOrder::AmountDesc => Self::AmountDescending,
            TransactionOrder::AmountAsc => Self::AmountAscending,
            TransactionOrder::CreatedAtDesc => Self::CreatedDescending,
        }
    }
}

/// The list that cursors in an order belong to.
pub fn list_in(order: Order) -> List {
    match order {
        Order::DateDescending => List::Transactions,
        Order::DateAscending => List::TransactionsByDay,
        Order::AmountDescending => List::TransactionsByFallingAmount,
        Order::AmountAscending => List::TransactionsByRisingAmount,
        Order::CreatedDescending => List::TransactionsByCreation,
    }
}
