//! What the regulated interface allows: how often each call may be made for a person at an institution.

use std::time::Duration;

use entity::kind::{Product, RegulatedCall as Call};

/// Days back from today that count as recent.
pub const RECENT_DAYS: u64 = 6;

/// How often a call may be made, and how often that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Which call.
    pub call: Call,
    /// The product whose step makes it.
    pub product: Product,
    /// How often in a calendar month, for one person at one institution.
    pub month: i32,
    /// How long what it answered is used before it is made again; when `None` every run makes it, and those for older
    /// movements the runs that miss some.
    pub every: Option<Duration>,
}

const DAY: Option<Duration> = Some(Duration::from_hours(24));
const WEEK: Option<Duration> = Some(Duration::from_hours(7 * 24));

// Where nothing but the call is made, its product fails once it is used up: no month has five times eight days, and none
// 31 times 25 hours.
const EIGHT_DAYS: Option<Duration> = Some(Duration::from_hours(8 * 24));
const MORE_THAN_A_DAY: Option<Duration> = Some(Duration::from_hours(25));

/// Every call that is limited, in the order in which a step makes them.
pub const LIMITS: [Limit; 15] = [
    limit(Call::AccountList, Product::Accounts, 4, WEEK),
    limit(Call::AccountBalance, Product::Accounts, 420, None),
    limit(Call::CardList, Product::CreditCards, 4, WEEK),
    limit(Call::CardBills, Product::CreditCards, 30, DAY),
    limit(Call::CardLimits, Product::CreditCards, 240, None),
    limit(Call::TransactionsRecent, Product::Transactions, 240, None),
    limit(Call::TransactionsOlder, Product::Transactions, 4, None),
    limit(Call::InvestmentList, Product::Investments, 30, DAY),
    limit(Call::InvestmentDetail, Product::Investments, 4, WEEK),
    limit(Call::InvestmentBalance, Product::Investments, 120, None),
    limit(
        Call::InvestmentTransactionsRecent,
        Product::InvestmentsTransactions,
        120,
        None,
    ),
    limit(
        Call::InvestmentTransactionsOlder,
        Product::InvestmentsTransactions,
        4,
        None,
    ),
    limit(Call::Identity, Product::Identity, 4, EIGHT_DAYS),
    limit(Call::LoanList, Product::Loans, 4, WEEK),
    limit(Call::LoanPayments, Product::Loans, 30, MORE_THAN_A_DAY),
];

const fn limit(call: Call, product: Product, month: i32, every: Option<Duration>) -> Limit {
    Limit {
        call,
        product,
        month,
        every,
    }
}

/// The limits of a product's step, in order.
pub fn limits(product: Product) -> impl Iterator<Item = &'static Limit> {
    LIMITS.iter().filter(move |limit| limit.product == product)
}

/// How long a product's answers are used before any of its calls is made again; `None` when every run makes one.
pub fn rests(product: Product) -> Option<Duration> {
    let every: Option<Vec<Duration>> = limits(product).map(|limit| limit.every).collect();
    every?.into_iter().min()
}

/// The limit of a call.
pub fn limit_of(call: Call) -> Option<&'static Limit> {
    LIMITS.iter().find(|limit| limit.call == call)
}

/// The code of the warning that a call's being used up amounts to.
pub fn code(call: Call) -> &'static str {
    match call {
        Call::TransactionsOlder => "TXN_003",
        Call::TransactionsRecent => "TXN_006",
        Call::InvestmentList
        | Call::InvestmentDetail
        | Call::InvestmentBalance
        | Call::InvestmentTransactionsRecent
        | Call::InvestmentTransactionsOlder => "INV_004",
        Call::AccountList
        | Call::AccountBalance
        | Call::CardList
        | Call::CardBills
        | Call::CardLimits
        | Call::Identity
        | Call::LoanList
        | Call::LoanPayments => "423",
    }
}
