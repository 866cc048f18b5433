//! What can go wrong, and the stable code under which a client hears of it.
//!
//! An institution that refuses a login is data on the Item, not an [`Error`]. A variant's `Display` is safe to show to
//! clients; what lies beneath an internal error stays in `source()` and in the log.

use entity::time::Timestamp;
use sea_orm::DbErr;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The result of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One parameter that a connector's form does not accept.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ParameterProblem {
    /// Stable code: `001` missing, `002` unknown, `003` malformed.
    pub code: &'static str,
    /// Name of the parameter.
    pub parameter: String,
    /// What is wrong and what is expected; never the value.
    pub message: String,
}

/// Why there is no live balance of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalanceProblem {
    /// There is none of this account, or of any at this connector.
    InvalidRequest,
    /// The user does not allow it, or no longer.
    ConsentError,
    /// The institution no longer shows the account.
    NotFound,
    /// The month's calls are used up.
    OpenFinanceRateLimit,
    /// The institution failed.
    FetchError,
    /// The institution cannot be reached.
    ConnectorUnavailable,
}

/// Why an operation was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No token, a bad one, or one that has ended; also a wrong client id or secret.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The kind of token may not do this at all.
    #[error("a connect token may not {0}; use an API key on your server")]
    Forbidden(&'static str),
    /// Only applications of the environment SANDBOX may do this, and only to sandbox connectors.
    #[error("{0} is for applications of the environment SANDBOX and sandbox connectors")]
    OnlyInSandbox(&'static str),
    /// Nothing of that kind and id belongs to the caller.
    #[error("{what} not found")]
    NotFound {
        /// Kind of thing.
        what: &'static str,
    },
    /// A value that cannot be used.
    #[error("{field}: {reason}")]
    InvalidInput {
        /// Input field.
        field: &'static str,
        /// What is wrong and what to do.
        reason: String,
    },
    /// Too many requests.
    #[error("too many requests; retry after {retry_after_seconds} seconds")]
    RateLimited {
        /// When to come back.
        retry_after_seconds: u64,
    },
    /// Not a cursor of this log, or of its future.
    #[error("the cursor is not one of this list or log; start without one")]
    BadCursor,
    /// Older than what is kept.
    #[error("the cursor is older than the events that are kept; go on from `oldestCursor`")]
    CursorExpired {
        /// The oldest cursor that works.
        oldest: String,
    },
    /// The key was used with another input.
    #[error("the idempotency key was used with another input in the last 24 hours")]
    IdempotencyKeyReused,
    /// A run is under way.
    #[error("item is already updating")]
    ItemAlreadyUpdating,
    /// The last run ended in LOGIN_ERROR and nothing new was sent.
    #[error("the last run ended in LOGIN_ERROR; send new parameters")]
    LastExecutionHadLoginError,
    /// Login failures in a row; wait.
    #[error("too many login failures in a row; retry at {retry_at}")]
    TooManyConsecutiveLoginFailures {
        /// When an update is accepted again.
        retry_at: Timestamp,
    },
    /// The day's logins are used up; wait.
    #[error(
        "this day's logins are used up, so that the institution locks nobody out; retry at {retry_at}"
    )]
    TooManyLoginAttempts {
        /// When an update is accepted again.
        retry_at: Timestamp,
    },
    /// Login failures in a row; stopped.
    #[error(
        "five login failures in a row; send new parameters, or ask the operator to unlock the item"
    )]
    TooManyConsecutiveErrors,
    /// Nobody reaches the institution.
    #[error("the connector is OFFLINE: its institution cannot be reached; try again later")]
    ConnectorOffline {
        /// When a next attempt may be let through; `None` when nobody knows.
        retry_at: Option<Timestamp>,
    },
    /// Its institution is served no longer, or not for long.
    #[error("{0}")]
    ConnectorRetired(&'static str),
    /// Nothing stored and nothing sent.
    #[error("parameters are needed: {0}")]
    ParametersNotProvided(&'static str),
    /// Parameters that do not fit the connector's form.
    #[error("parameters do not fit the connector's form: {}", summary(.0))]
    ConnectorValidation(Vec<ParameterProblem>),
    /// A fresh MFA value is required in every run.
    #[error("parameter {0} must be sent anew with every update")]
    ConnectorRequiredParameter(String),
    /// The MFA value of the last run was sent again.
    #[error("parameter {0} was used in the last run; send a fresh value")]
    MfaParameterAlreadyUsed(String),
    /// The same credentials are connected already.
    #[error("these credentials are connected already")]
    ItemUserAlreadyExists(Vec<Uuid>),
    /// The Item asks nothing.
    #[error("the item is not waiting for user input")]
    ItemMfaNotFound,
    /// An answer is being processed.
    #[error("an answer has been given and is being processed")]
    ItemMfaAlreadyProvided,
    /// The answer came too late.
    #[error("the question has expired; start a new update")]
    ItemMfaExpired,
    /// Another parameter is asked for.
    #[error("parameter {expected} is expected")]
    ItemMfaParameterExpectedMismatch {
        /// Name of the parameter that is asked for.
        expected: String,
    },
    /// No live balance.
    #[error("{message}")]
    Balance {
        /// Which code.
        problem: BalanceProblem,
        /// What is wrong and what to do.
        message: String,
        /// When to come back, where that is known.
        retry_at: Option<Timestamp>,
        /// The institution's own words, if any.
        provider_message: Option<String>,
    },
    /// An application has as many rules of categories as it may have.
    #[error("there are {most} category rules already; delete some that are no longer needed")]
    TooManyCategoryRules {
        /// So many.
        most: u64,
    },
    /// Another worker has taken over the execution, or it has ended.
    #[error("internal error")]
    LeaseLost,
    /// A fault of ours.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

fn summary(problems: &[ParameterProblem]) -> String {
    problems
        .iter()
        .map(|p| format!("{} {}", p.parameter, p.message))
        .collect::<Vec<_>>()
        .join("; ")
}

impl Error {
    /// An internal error out of anything.
    pub fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// A value that cannot be used.
    pub fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::InvalidInput {
            field,
            reason: reason.into(),
        }
    }

    /// Logs the chain of causes, once, where it is handled.
    pub fn log(&self, place: &'static str) {
        let mut causes = Vec::new();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        tracing::error!(place, error = %self, causes = causes.join(": "), "failed");
    }

    /// The error with its causes, for the operator.
    pub fn in_full(&self) -> String {
        let (mut text, mut source) = match self {
            Self::Internal(cause) => (cause.to_string(), cause.source()),
            other => (other.to_string(), std::error::Error::source(other)),
        };
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        text
    }

    /// The stable public code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unauthenticated(_) => "UNAUTHENTICATED",
            Self::Forbidden(_) | Self::OnlyInSandbox(_) => "FORBIDDEN",
            Self::NotFound { .. } => "NOT_FOUND",
            Self::InvalidInput { .. } => "INVALID_INPUT",
            Self::RateLimited { .. } => "RATE_LIMITED",
            Self::BadCursor => "BAD_CURSOR",
            Self::CursorExpired { .. } => "CURSOR_EXPIRED",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::ItemAlreadyUpdating => "ITEM_ALREADY_UPDATING",
            Self::LastExecutionHadLoginError => "LAST_EXECUTION_HAD_LOGIN_ERROR",
            Self::TooManyConsecutiveLoginFailures { .. } => "TOO_MANY_CONSECUTIVE_LOGIN_FAILURES",
            Self::TooManyLoginAttempts { .. } => "TOO_MANY_LOGIN_ATTEMPTS",
            Self::TooManyConsecutiveErrors => "TOO_MANY_CONSECUTIVE_ERRORS",
            Self::ConnectorOffline { .. } => "CONNECTOR_OFFLINE",
            Self::ConnectorRetired(_) => "CONNECTOR_RETIRED",
            Self::ParametersNotProvided(_) => "PARAMETERS_NOT_PROVIDED",
            Self::ConnectorValidation(_) => "CONNECTOR_VALIDATION_ERROR",
            Self::ConnectorRequiredParameter(_) => "CONNECTOR_REQUIRED_PARAMETER_VALIDATION_ERROR",
            Self::MfaParameterAlreadyUsed(_) => "MFA_PARAMETER_ALREADY_USED",
            Self::ItemUserAlreadyExists(_) => "ITEM_USER_ALREADY_EXISTS",
            Self::ItemMfaNotFound => "ITEM_MFA_NOT_FOUND",
            Self::ItemMfaAlreadyProvided => "ITEM_MFA_ALREADY_PROVIDED",
            Self::ItemMfaExpired => "ITEM_MFA_EXPIRED",
            Self::ItemMfaParameterExpectedMismatch { .. } => "ITEM_MFA_PARAMETER_EXPECTED_MISMATCH",
            Self::Balance { problem, .. } => match problem {
                BalanceProblem::InvalidRequest => "BALANCE_INVALID_REQUEST",
                BalanceProblem::ConsentError => "BALANCE_CONSENT_ERROR",
                BalanceProblem::NotFound => "BALANCE_NOT_FOUND",
                BalanceProblem::OpenFinanceRateLimit => "BALANCE_OPEN_FINANCE_RATE_LIMIT",
                BalanceProblem::FetchError => "BALANCE_FETCH_ERROR",
                BalanceProblem::ConnectorUnavailable => "BALANCE_CONNECTOR_UNAVAILABLE",
            },
            Self::TooManyCategoryRules { .. } => "TOO_MANY_CATEGORY_RULES",
            Self::LeaseLost | Self::Internal(_) => "INTERNAL_ERROR",
        }
    }

    /// What goes into `extensions` beside the code.
    pub fn extensions(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| {
            map.insert(key.to_owned(), value);
        };
        match self {
            Self::InvalidInput { field, .. } => put("field", json!(field)),
            Self::RateLimited {
                retry_after_seconds,
            } => put("retryAfter", json!(retry_after_seconds)),
            Self::CursorExpired { oldest } => put("oldestCursor", json!(oldest)),
            Self::TooManyConsecutiveLoginFailures { retry_at }
            | Self::TooManyLoginAttempts { retry_at } => {
                put("retryAt", json!(retry_at.to_string()));
            }
            Self::Balance {
                retry_at,
                provider_message,
                ..
            } => {
                if let Some(at) = retry_at {
                    put("retryAt", json!(at.to_string()));
                }
                if let Some(message) = provider_message {
                    put("providerMessage", json!(message));
                }
            }
            Self::ConnectorOffline { retry_at } => {
                put("retryAt", json!(retry_at.map(|at| at.to_string())));
            }
            Self::ConnectorValidation(problems) => put("details", json!(problems)),
            Self::ConnectorRequiredParameter(parameter)
            | Self::MfaParameterAlreadyUsed(parameter) => {
                put("parameter", json!(parameter));
            }
            Self::ItemMfaParameterExpectedMismatch { expected } => {
                put("parameter", json!(expected));
            }
            Self::ItemUserAlreadyExists(items) => put("items", json!(items)),
            Self::Unauthenticated(_)
            | Self::Forbidden(_)
            | Self::OnlyInSandbox(_)
            | Self::NotFound { .. }
            | Self::BadCursor
            | Self::IdempotencyKeyReused
            | Self::ItemAlreadyUpdating
            | Self::LastExecutionHadLoginError
            | Self::TooManyConsecutiveErrors
            | Self::ConnectorRetired(_)
            | Self::ParametersNotProvided(_)
            | Self::ItemMfaNotFound
            | Self::ItemMfaAlreadyProvided
            | Self::ItemMfaExpired
            | Self::TooManyCategoryRules { .. }
            | Self::LeaseLost
            | Self::Internal(_) => {}
        }
        map
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        Self::internal(error)
    }
}
