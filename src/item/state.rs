//! The state machine of an Item's execution: pure and total.
//!
//! [`next`] names every pair of state and signal; whatever it does not allow is an [`InvalidTransition`]. The status of
//! an Item is derived from its execution's by [`status`] and never set beside it.

use entity::kind::{ExecutionStatus, ItemStatus, Product};

/// Something that moves an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The Item's row and its run have been made.
    Prepared,
    /// A new run is asked for; a run that waits for the user is abandoned.
    UpdateRequested,
    /// A worker begins to log in.
    LoginStarted,
    /// The institution asks the user something.
    QuestionAsked,
    /// The user has answered.
    AnswerGiven,
    /// The institution wants the user to act elsewhere.
    ActionDemanded,
    /// The institution gives its approval later.
    ApprovalDelayed,
    /// A product's collection begins.
    Collecting(Product),
    /// Everything has been collected; storing begins.
    MergeStarted,
    /// Everything requested has been stored.
    Finished,
    /// Some of what was requested has been stored.
    FinishedPartially,
    /// The run has failed with this code.
    Failed(ExecutionStatus),
}

/// A signal that a state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{state} does not allow {signal:?}")]
pub struct InvalidTransition {
    /// Where the execution stands.
    pub state: ExecutionStatus,
    /// What was to move it.
    pub signal: Signal,
}

/// What a state allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Creating,
    Created,
    Login,
    WaitingInput,
    WaitingAction,
    Collecting(Product),
    Merging,
    Ended,
}

fn phase(state: ExecutionStatus) -> Phase {
    use ExecutionStatus as S;
    match state {
        S::Creating => Phase::Creating,
        S::Created => Phase::Created,
        S::LoginInProgress | S::LoginMfaInProgress => Phase::Login,
        S::WaitingUserInput => Phase::WaitingInput,
        S::WaitingUserAction | S::UserAuthorizationPending => Phase::WaitingAction,
        S::AccountsInProgress => Phase::Collecting(Product::Accounts),
        S::CreditcardsInProgress => Phase::Collecting(Product::CreditCards),
        S::TransactionsInProgress => Phase::Collecting(Product::Transactions),
        S::PaymentDataInProgress => Phase::Collecting(Product::PaymentData),
        S::InvestmentsInProgress => Phase::Collecting(Product::Investments),
        S::InvestmentsTransactionsInProgress => Phase::Collecting(Product::InvestmentsTransactions),
        S::IdentityInProgress => Phase::Collecting(Product::Identity),
        S::LoansInProgress => Phase::Collecting(Product::Loans),
        S::AccountStatementsInProgress => Phase::Collecting(Product::AccountStatements),
        S::Merging => Phase::Merging,
        S::Success
        | S::PartialSuccess
        | S::CreateError
        | S::Error
        | S::MergeError
        | S::InvalidCredentials
        | S::InvalidCredentialsMfa
        | S::UserInputTimeout
        | S::AlreadyLoggedIn
        | S::AccountLocked
        | S::AccountCredentialsReset
        | S::AccountNeedsAction
        | S::UserAuthorizationNotGranted
        | S::UserAuthorizationRevoked
        | S::UserNotSupported
        | S::SiteNotAvailable
        | S::ConnectionError
        | S::UnexpectedError => Phase::Ended,
    }
}

/// The state while a product is collected; `None` for products that have no step of their own.
pub fn collecting(product: Product) -> Option<ExecutionStatus> {
    use ExecutionStatus as S;
    match product {
        Product::Accounts => Some(S::AccountsInProgress),
        Product::CreditCards => Some(S::CreditcardsInProgress),
        Product::Transactions => Some(S::TransactionsInProgress),
        Product::PaymentData => Some(S::PaymentDataInProgress),
        Product::Investments => Some(S::InvestmentsInProgress),
        Product::InvestmentsTransactions => Some(S::InvestmentsTransactionsInProgress),
        Product::Identity => Some(S::IdentityInProgress),
        Product::Loans => Some(S::LoansInProgress),
        Product::AccountStatements => Some(S::AccountStatementsInProgress),
        Product::BrokerageNote | Product::MoveSecurity => None,
    }
}

/// The place of a product in the order of collection.
pub fn order(product: Product) -> u8 {
    match product {
        Product::Accounts => 0,
        Product::CreditCards => 1,
        Product::Transactions => 2,
        Product::Investments => 3,
        Product::InvestmentsTransactions => 4,
        Product::PaymentData => 5,
        Product::Identity => 6,
        Product::Loans => 7,
        Product::AccountStatements => 8,
        Product::BrokerageNote => 9,
        Product::MoveSecurity => 10,
    }
}

/// The state after a signal.
#[expect(clippy::too_many_lines, reason = "every pair is named")]
pub fn next(state: ExecutionStatus, signal: Signal) -> Result<ExecutionStatus, InvalidTransition> {
    use ExecutionStatus as S;
    use Signal as G;

    let moved = match (phase(state), signal) {
        (Phase::Creating, G::Prepared) => Some(S::Created),
        (Phase::WaitingInput | Phase::WaitingAction | Phase::Ended, G::UpdateRequested) => {
            Some(S::Created)
        }
        (Phase::Created, G::LoginStarted) => Some(S::LoginInProgress),
        (Phase::Login | Phase::WaitingAction, G::QuestionAsked) => Some(S::WaitingUserInput),
        (Phase::WaitingInput, G::AnswerGiven) => Some(S::LoginMfaInProgress),
        (Phase::Login | Phase::WaitingAction, G::ActionDemanded) => Some(S::WaitingUserAction),
        (Phase::Login | Phase::WaitingAction, G::ApprovalDelayed) => {
            Some(S::UserAuthorizationPending)
        }
        (Phase::Login | Phase::WaitingAction, G::Collecting(product)) => collecting(product),
        (Phase::Collecting(current), G::Collecting(product)) => {
            collecting(product).filter(|_| order(product) > order(current))
        }
        (Phase::Collecting(_), G::MergeStarted) => Some(S::Merging),
        (Phase::Merging, G::Finished) => Some(S::Success),
        (Phase::Merging, G::FinishedPartially) => Some(S::PartialSuccess),
        (Phase::Creating, G::Failed(code)) => (code == S::CreateError).then_some(code),
        (
            Phase::Created
            | Phase::Login
            | Phase::WaitingInput
            | Phase::WaitingAction
            | Phase::Collecting(_),
            G::Failed(code),
        ) => (is_failure(code) && !matches!(code, S::CreateError | S::MergeError)).then_some(code),
        (Phase::Merging, G::Failed(code)) => {
            matches!(code, S::MergeError | S::Error | S::UnexpectedError).then_some(code)
        }
        (
            Phase::Creating,
            G::UpdateRequested
            | G::LoginStarted
            | G::QuestionAsked
            | G::AnswerGiven
            | G::ActionDemanded
            | G::ApprovalDelayed
            | G::Collecting(_)
            | G::MergeStarted
            | G::Finished
            | G::FinishedPartially,
        )
        | (
            Phase::Created,
            G::Prepared
            | G::UpdateRequested
            | G::QuestionAsked
            | G::AnswerGiven
            | G::ActionDemanded
            | G::ApprovalDelayed
            | G::Collecting(_)
            | G::MergeStarted
            | G::Finished
            | G::FinishedPartially,
        )
        | (
            Phase::Login,
            G::Prepared
            | G::UpdateRequested
            | G::LoginStarted
            | G::AnswerGiven
            | G::MergeStarted
            | G::Finished
            | G::FinishedPartially,
        )
        | (
            Phase::WaitingInput,
            G::Prepared
            | G::LoginStarted
            | G::QuestionAsked
            | G::ActionDemanded
            | G::ApprovalDelayed
            | G::Collecting(_)
            | G::MergeStarted
            | G::Finished
            | G::FinishedPartially,
        )
        | (
            Phase::WaitingAction,
            G::Prepared
            | G::LoginStarted
            | G::AnswerGiven
            | G::MergeStarted
            | G::Finished
            | G::FinishedPartially,
        )
        | (
            Phase::Collecting(_),
            G::Prepared
            | G::UpdateRequested
            | G::LoginStarted
            | G::QuestionAsked
            | G::AnswerGiven
            | G::ActionDemanded
            | G::ApprovalDelayed
            | G::Finished
            | G::FinishedPartially,
        )
        | (
            Phase::Merging,
            G::Prepared
            | G::UpdateRequested
            | G::LoginStarted
            | G::QuestionAsked
            | G::AnswerGiven
            | G::ActionDemanded
            | G::ApprovalDelayed
            | G::Collecting(_)
            | G::MergeStarted,
        )
        | (
            Phase::Ended,
            G::Prepared
            | G::LoginStarted
            | G::QuestionAsked
            | G::AnswerGiven
            | G::ActionDemanded
            | G::ApprovalDelayed
            | G::Collecting(_)
            | G::MergeStarted
            | G::Finished
            | G::FinishedPartially
            | G::Failed(_),
        ) => None,
    };
    moved.ok_or(InvalidTransition { state, signal })
}

/// Whether a state is the end of a run.
pub fn is_ended(state: ExecutionStatus) -> bool {
    phase(state) == Phase::Ended
}

/// Whether a state is the end of a run that failed.
pub fn is_failure(state: ExecutionStatus) -> bool {
    is_ended(state) && status(state) != ItemStatus::Updated
}

/// The coarse status of an Item whose latest execution stands here.
pub fn status(state: ExecutionStatus) -> ItemStatus {
    use ExecutionStatus as S;
    match state {
        S::Creating
        | S::Created
        | S::LoginInProgress
        | S::LoginMfaInProgress
        | S::AccountsInProgress
        | S::CreditcardsInProgress
        | S::TransactionsInProgress
        | S::PaymentDataInProgress
        | S::InvestmentsInProgress
        | S::InvestmentsTransactionsInProgress
        | S::IdentityInProgress
        | S::LoansInProgress
        | S::AccountStatementsInProgress => ItemStatus::Updating,
        S::WaitingUserInput => ItemStatus::WaitingUserInput,
        S::WaitingUserAction | S::UserAuthorizationPending => ItemStatus::WaitingUserAction,
        S::Merging => ItemStatus::Merging,
        S::Success | S::PartialSuccess => ItemStatus::Updated,
        S::InvalidCredentials
        | S::AccountCredentialsReset
        | S::UserAuthorizationNotGranted
        | S::UserAuthorizationRevoked
        | S::AccountLocked => ItemStatus::LoginError,
        S::CreateError
        | S::Error
        | S::MergeError
        | S::InvalidCredentialsMfa
        | S::UserInputTimeout
        | S::AlreadyLoggedIn
        | S::AccountNeedsAction
        | S::UserNotSupported
        | S::SiteNotAvailable
        | S::ConnectionError
        | S::UnexpectedError => ItemStatus::Outdated,
    }
}

/// What a failure means and what to do, in words fit for every client and event.
pub fn explanation(code: ExecutionStatus) -> &'static str {
    use ExecutionStatus as S;
    match code {
        S::InvalidCredentials => "The institution refused the credentials. Send new parameters.",
        S::InvalidCredentialsMfa => {
            "The institution refused the code. Start an update and type the new code."
        }
        S::UserInputTimeout => "The user did not answer in time. Start an update and answer again.",
        S::AlreadyLoggedIn => "A session is open elsewhere. Log out there, wait, and update again.",
        S::AccountLocked => "The institution has blocked access. The user must contact it.",
        S::AccountCredentialsReset => {
            "The password must be changed at the institution. Then send the new one."
        }
        S::AccountNeedsAction => {
            "The user must do something at the institution. Then update again."
        }
        S::UserAuthorizationPending => {
            "The institution's approval is outstanding. The run goes on by itself once it is given."
        }
        S::UserAuthorizationNotGranted => "The user did not give the authorisation. Connect again.",
        S::UserAuthorizationRevoked => {
            "The user withdrew the authorisation at the institution. Connect again."
        }
        S::UserNotSupported => "This kind of account is not supported.",
        S::SiteNotAvailable => "The institution is not available. Update again later.",
        S::ConnectionError => "The institution could not be reached. Update again later.",
        S::MergeError => {
            "The data was collected but not stored; what was there before is intact. Update again later."
        }
        S::CreateError => "The Item could not be set up. Create it again.",
        S::Error => "Nothing usable was collected. Update again later.",
        S::UnexpectedError
        | S::Creating
        | S::Created
        | S::LoginInProgress
        | S::LoginMfaInProgress
        | S::WaitingUserInput
        | S::WaitingUserAction
        | S::AccountsInProgress
        | S::CreditcardsInProgress
        | S::TransactionsInProgress
        | S::PaymentDataInProgress
        | S::InvestmentsInProgress
        | S::InvestmentsTransactionsInProgress
        | S::IdentityInProgress
        | S::LoansInProgress
        | S::AccountStatementsInProgress
        | S::Merging
        | S::Success
        | S::PartialSuccess => "Something unexpected happened. Update again later.",
    }
}

#[cfg(test)]
mod tests;
