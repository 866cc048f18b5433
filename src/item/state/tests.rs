//! All states × all signals against a written table.

use entity::kind::{ExecutionStatus as S, ItemStatus, Product};
use strum::IntoEnumIterator as _;

use super::{Signal as G, is_ended, is_failure, next, status};

/// States that are alike, and the signals they allow with the states these lead to.
type Row = (&'static [S], &'static [(&'static str, &'static str)]);

/// Each state, and the states it leads to by each signal; whatever is not written is not allowed.
///
/// `failure` stands for any code that ends a run by failing, except CREATE_ERROR and MERGE_ERROR.
const TABLE: &[Row] = &[
    (
        &[S::Creating],
        &[("prepared", "CREATED"), ("CREATE_ERROR", "CREATE_ERROR")],
    ),
    (
        &[S::Created],
        &[
            ("login started", "LOGIN_IN_PROGRESS"),
            ("failure", "failure"),
        ],
    ),
    (
        &[S::LoginInProgress, S::LoginMfaInProgress],
        &[
            ("question asked", "WAITING_USER_INPUT"),
            ("action demanded", "WAITING_USER_ACTION"),
            ("approval delayed", "USER_AUTHORIZATION_PENDING"),
            ("collecting", "collecting"),
            ("failure", "failure"),
        ],
    ),
    (
        &[S::WaitingUserInput],
        &[
            ("update requested", "CREATED"),
            ("answer given", "LOGIN_MFA_IN_PROGRESS"),
            ("failure", "failure"),
        ],
    ),
    (
        &[S::WaitingUserAction, S::UserAuthorizationPending],
        &[
            ("update requested", "CREATED"),
            ("question asked", "WAITING_USER_INPUT"),
            ("action demanded", "WAITING_USER_ACTION"),
            ("approval delayed", "USER_AUTHORIZATION_PENDING"),
            ("collecting", "collecting"),
            ("failure", "failure"),
        ],
    ),
    (
        &[
            S::AccountsInProgress,
            S::CreditcardsInProgress,
            S::TransactionsInProgress,
            S::InvestmentsInProgress,
            S::InvestmentsTransactionsInProgress,
            S::PaymentDataInProgress,
            S::IdentityInProgress,
            S::LoansInProgress,
            S::AccountStatementsInProgress,
        ],
        &[
            ("collecting", "later"),
            ("merge started", "MERGING"),
            ("failure", "failure"),
        ],
    ),
    (
        &[S::Merging],
        &[
            ("finished", "SUCCESS"),
            ("finished partially", "PARTIAL_SUCCESS"),
            ("MERGE_ERROR", "MERGE_ERROR"),
            ("ERROR", "ERROR"),
            ("UNEXPECTED_ERROR", "UNEXPECTED_ERROR"),
        ],
    ),
    (
        &[
            S::Success,
            S::PartialSuccess,
            S::CreateError,
            S::Error,
            S::MergeError,
            S::InvalidCredentials,
            S::InvalidCredentialsMfa,
            S::UserInputTimeout,
            S::AlreadyLoggedIn,
            S::AccountLocked,
            S::AccountCredentialsReset,
            S::AccountNeedsAction,
            S::UserAuthorizationNotGranted,
            S::UserAuthorizationRevoked,
            S::UserNotSupported,
            S::SiteNotAvailable,
            S::ConnectionError,
            S::UnexpectedError,
        ],
        &[("update requested", "CREATED")],
    ),
];

/// The order of collection, with the state of each product's step.
const STEPS: &[(Product, S)] = &[
    (Product::Accounts, S::AccountsInProgress),
    (Product::CreditCards, S::CreditcardsInProgress),
    (Product::Transactions, S::TransactionsInProgress),
    (Product::Investments, S::InvestmentsInProgress),
    (
        Product::InvestmentsTransactions,
        S::InvestmentsTransactionsInProgress,
    ),
    (Product::PaymentData, S::PaymentDataInProgress),
    (Product::Identity, S::IdentityInProgress),
    (Product::Loans, S::LoansInProgress),
    (Product::AccountStatements, S::AccountStatementsInProgress),
];

fn signals() -> Vec<G> {
    let mut signals = vec![
        G::Prepared,
        G::UpdateRequested,
        G::LoginStarted,
        G::QuestionAsked,
        G::AnswerGiven,
        G::ActionDemanded,
        G::ApprovalDelayed,
        G::MergeStarted,
        G::Finished,
        G::FinishedPartially,
    ];
    signals.extend(Product::iter().map(G::Collecting));
    signals.extend(S::iter().map(G::Failed));
    signals
}

fn name(signal: G) -> String {
    match signal {
        G::Prepared => "prepared".to_owned(),
        G::UpdateRequested => "update requested".to_owned(),
        G::LoginStarted => "login started".to_owned(),
        G::QuestionAsked => "question asked".to_owned(),
        G::AnswerGiven => "answer given".to_owned(),
        G::ActionDemanded => "action demanded".to_owned(),
        G::ApprovalDelayed => "approval delayed".to_owned(),
        G::Collecting(_) => "collecting".to_owned(),
        G::MergeStarted => "merge started".to_owned(),
        G::Finished => "finished".to_owned(),
        G::FinishedPartially => "finished partially".to_owned(),
        G::Failed(code) => code.to_string(),
    }
}

fn expected(state: S, signal: G) -> Option<S> {
    let (_, rows) = TABLE
        .iter()
        .find(|(states, _)| states.contains(&state))
        .unwrap_or_else(|| panic!("{state} is not in the table"));
    let find = |wanted: &str| rows.iter().find(|(name, _)| *name == wanted);
    if let G::Failed(code) = signal
        && let Some(("failure", _)) = find("failure")
    {
        let run_failure = TABLE[7].0.contains(&code)
            && !matches!(
                code,
                S::Success | S::PartialSuccess | S::CreateError | S::MergeError
            );
        return run_failure.then_some(code);
    }
    let (_, target) = find(&name(signal))?;
    match (*target, signal) {
        ("collecting", G::Collecting(product)) => {
            STEPS.iter().find(|(p, _)| *p == product).map(|(_, s)| *s)
        }
        ("later", G::Collecting(product)) => {
            let here = STEPS.iter().position(|(_, s)| *s == state)?;
            STEPS[here + 1..]
                .iter()
                .find(|(p, _)| *p == product)
                .map(|(_, s)| *s)
        }
        (target, _) => Some(target.parse().expect("a state")),
    }
}

#[test]
fn every_state_meets_every_signal_as_the_table_says() {
    let mut pairs = 0;
    for state in S::iter() {
        for signal in signals() {
            assert_eq!(
                next(state, signal).ok(),
                expected(state, signal),
                "{state} and {signal:?}"
            );
            pairs += 1;
        }
    }
    assert_eq!(pairs, S::iter().count() * signals().len());
}

#[test]
fn the_status_follows_from_the_execution() {
    for (states, rows) in TABLE {
        for state in *states {
            let terminal = rows.len() == 1 && rows[0] == ("update requested", "CREATED");
            assert_eq!(is_ended(*state), terminal, "{state}");
        }
    }
    for state in S::iter() {
        let expected = match state.as_str() {
            "WAITING_USER_INPUT" => ItemStatus::WaitingUserInput,
            "WAITING_USER_ACTION" | "USER_AUTHORIZATION_PENDING" => ItemStatus::WaitingUserAction,
            "MERGING" => ItemStatus::Merging,
            "SUCCESS" | "PARTIAL_SUCCESS" => ItemStatus::Updated,
            "INVALID_CREDENTIALS"
            | "ACCOUNT_CREDENTIALS_RESET"
            | "USER_AUTHORIZATION_NOT_GRANTED"
            | "USER_AUTHORIZATION_REVOKED"
            | "ACCOUNT_LOCKED" => ItemStatus::LoginError,
            name if name == "CREATING" || name == "CREATED" || name.ends_with("_IN_PROGRESS") => {
                ItemStatus::Updating
            }
            _ => ItemStatus::Outdated,
        };
        assert_eq!(status(state), expected, "{state}");
        assert_eq!(
            is_failure(state),
            matches!(expected, ItemStatus::LoginError | ItemStatus::Outdated),
            "{state}"
        );
    }
}

/// Where a run stands, as one would draw it on a napkin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Model {
    New,
    Ready,
    LoggingIn,
    Asking,
    Acting,
    Collecting(u8),
    Storing,
    Over,
}

impl Model {
    /// Where a signal leads, if anywhere.
    fn moved(self, signal: G) -> Option<Self> {
        let step = |product| super::collecting(product).map(|_| super::order(product));
        let other_failure =
            |code| is_failure(code) && !matches!(code, S::CreateError | S::MergeError);
        match (self, signal) {
            (Self::New, G::Prepared)
            | (Self::Asking | Self::Acting | Self::Over, G::UpdateRequested) => Some(Self::Ready),
            (Self::Ready, G::LoginStarted) | (Self::Asking, G::AnswerGiven) => {
                Some(Self::LoggingIn)
            }
            (Self::LoggingIn | Self::Acting, G::QuestionAsked) => Some(Self::Asking),
            (Self::LoggingIn | Self::Acting, G::ActionDemanded | G::ApprovalDelayed) => {
                Some(Self::Acting)
            }
            (Self::LoggingIn | Self::Acting, G::Collecting(product)) => {
                step(product).map(Self::Collecting)
            }
            (Self::Collecting(before), G::Collecting(product)) => step(product)
                .filter(|place| *place > before)
                .map(Self::Collecting),
            (Self::Collecting(_), G::MergeStarted) => Some(Self::Storing),
            (Self::New, G::Failed(S::CreateError))
            | (
                Self::Storing,
                G::Finished
                | G::FinishedPartially
                | G::Failed(S::MergeError | S::Error | S::UnexpectedError),
            ) => Some(Self::Over),
            (
                Self::Ready | Self::LoggingIn | Self::Asking | Self::Acting | Self::Collecting(_),
                G::Failed(code),
            ) if other_failure(code) => Some(Self::Over),
            _ => None,
        }
    }

    /// What clients see of it meanwhile; they see how it ended by other means.
    fn status(self) -> Option<ItemStatus> {
        match self {
            Self::New | Self::Ready | Self::LoggingIn | Self::Collecting(_) => {
                Some(ItemStatus::Updating)
            }
            Self::Asking => Some(ItemStatus::WaitingUserInput),
            Self::Acting => Some(ItemStatus::WaitingUserAction),
            Self::Storing => Some(ItemStatus::Merging),
            Self::Over => None,
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(5_000))]

    #[test]
    fn no_sequence_of_signals_leads_where_the_model_does_not(
        drawn in proptest::collection::vec(0_usize..10_000, 1..60)
    ) {
        let all = signals();
        let (mut state, mut model) = (S::Creating, Model::New);
        for number in drawn {
            // Half of the signals are such as the state allows, so that sequences get somewhere.
            let allowed: Vec<G> = all.iter().copied().filter(|signal| next(state, *signal).is_ok()).collect();
            let signal = if number % 2 == 0 && !allowed.is_empty() {
                allowed[number / 2 % allowed.len()]
            } else {
                all[number / 2 % all.len()]
            };
            let (moved, expected) = (next(state, signal).ok(), model.moved(signal));
            proptest::prop_assert_eq!(moved.is_some(), expected.is_some(), "{} {:?}", state, signal);
            if let (Some(moved), Some(expected)) = (moved, expected) {
                (state, model) = (moved, expected);
                proptest::prop_assert_eq!(is_ended(state), model == Model::Over);
                if let Some(status) = model.status() {
                    proptest::prop_assert_eq!(super::status(state), status);
                }
            }
        }
    }
}
