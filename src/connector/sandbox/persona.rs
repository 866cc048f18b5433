//! Who may log in to a sandbox, and what becomes of it.

use entity::kind::ExecutionStatus;

use crate::connector::{Failure, Warning};

/// The one password that works.
pub(super) const PASSWORD: &str = "password-ok";
/// The one code that works.
pub(super) const CODE: &str = "123456";

/// Who has to wait for the bank's approval.
const DELAYED: &str = "user-ok-auth-pending";

const MAX_THOUSANDS: i64 = 5_000;

/// A user of a sandbox.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Persona {
    /// What a two-step login asks; connectors without one know only those who are asked for a code.
    pub(super) asked: Asked,
    /// What the login leads to, once everything is answered.
    pub(super) outcome: Result<Household, Failure>,
    /// Whether the bank gives its approval only some time after the first login.
    pub(super) delayed: bool,
}

/// What a two-step login asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A code.
    Code,
    /// A code that is shown in an image.
    Image,
    /// To choose something.
    Choice,
    /// To choose a phone, then the code.
    PhoneThenCode,
    /// The code, then to choose a company.
    CodeThenCompany,
}

/// What a user has at the bank.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Household {
    /// How many checking accounts.
    pub(super) checking_accounts: u8,
    /// What reading the accounts leads to.
    pub(super) accounts: AccountsStep,
    /// A checking account with this many thousand movements instead of a usual one.
    pub(super) bulk_thousands: Option<i64>,
}

/// What reading the accounts leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccountsStep {
    /// The accounts.
    Works,
    /// The accounts and a warning.
    Warns,
    /// A failure.
    Fails,
    /// The accounts; others wait for another holder's signature.
    Cosigned,
    /// A failure, like every other step.
    Broken,
}

impl AccountsStep {
    /// What the step fails with.
    pub(super) fn failure(self) -> Option<Failure> {
        match self {
            Self::Fails => Some(Failure::new(
                ExecutionStatus::SiteNotAvailable,
                "the bank's page of accounts is not available; it is read again with the next update",
            )),
            Self::Broken => self.breakdown(),
            Self::Works | Self::Warns | Self::Cosigned => None,
        }
    }

    /// What every step fails with.
    pub(super) fn breakdown(self) -> Option<Failure> {
        (self == Self::Broken).then(|| {
            Failure::new(
                ExecutionStatus::Error,
                "the bank answered with data that cannot be read; update again later",
            )
        })
    }

    /// What the step warns of.
    pub(super) fn warning(self) -> Option<Warning> {
        let (code, message, words) = match self {
            Self::Warns => (
                "ACCT_003",
                "some accounts are temporarily unavailable and were left out",
                "Conta temporariamente indisponível. Tente novamente mais tarde.",
            ),
            Self::Cosigned => (
                "ACCT_002",
                "some accounts wait for another holder's signature at the bank and were left out",
                "Aguardando autorização do segundo titular.",
            ),
            Self::Works | Self::Fails | Self::Broken => return None,
        };
        Some(Warning {
            code: code.to_owned(),
            message: message.to_owned(),
            provider_message: Some(words.to_owned()),
        })
    }
}

/// The persona of a user name, if there is one.
pub(super) fn find(user: &str) -> Option<Persona> {
    if let Some(failure) = failure(user) {
        return Some(Persona {
            asked: Asked::Code,
            outcome: Err(failure),
            delayed: false,
        });
    }
    let asked = match user {
        "user-ok-img" => Asked::Image,
        "user-ok-select" => Asked::Choice,
        "user-ok-phone" => Asked::PhoneThenCode,
        "user-ok-multi-company" => Asked::CodeThenCompany,
        _ => Asked::Code,
    };
    let mut household = Household {
        checking_accounts: 1,
        accounts: AccountsStep::Works,
        bulk_thousands: None,
    };
    match user {
        "user-ok" | DELAYED => {}
        "user-ok-two-checking-accounts" => household.checking_accounts = 2,
        "user-ok-account-error" => household.accounts = AccountsStep::Fails,
        "user-ok-account-warning" => household.accounts = AccountsStep::Warns,
        _ if asked != Asked::Code => {}
        _ => household.bulk_thousands = Some(bulk_thousands(user)?),
    }
    Some(Persona {
        asked,
        outcome: Ok(household),
        delayed: user == DELAYED,
    })
}

/// The persona of a tax number at the regulated interface, if there is one.
pub(super) fn find_regulated(cpf: &str) -> Option<Persona> {
    let digits: String = cpf.chars().filter(char::is_ascii_digit).collect();
    let mut household = Household {
        checking_accounts: 1,
        accounts: AccountsStep::Works,
        bulk_thousands: None,
    };
    let (mut refused, mut delayed) = (None, false);
    match digits.as_str() {
        "76109277673" => {}
        "23824264030" => household.accounts = AccountsStep::Cosigned,
        "05117767055" => {
            refused = Some(Failure::new(
                ExecutionStatus::UserAuthorizationNotGranted,
                "the bank rejected the consent; connect again",
            ));
        }
        "00250273799" => delayed = true,
        "16351171199" => household.accounts = AccountsStep::Broken,
        _ => return None,
    }
    Some(Persona {
        asked: Asked::Code,
        outcome: refused.map_or(Ok(household), Err),
        delayed,
    })
}

/// What the login of a persona fails with, if it does.
fn failure(user: &str) -> Option<Failure> {
    const NEEDS_ACTION: &str =
        "the bank asks the user to do something there; do it, then update again";
    let (code, message) = match user {
        "user-logged" => (
            ExecutionStatus::AlreadyLoggedIn,
            "another session is open at the bank; log out there and update again",
        ),
        "user-locked" => (
            ExecutionStatus::AccountLocked,
            "the bank has blocked access; contact the bank, then send new parameters",
        ),
        "user-error" => (
            ExecutionStatus::UnexpectedError,
            "the bank answered something unexpected; update again later",
        ),
        "user-unavailable" => (
            ExecutionStatus::SiteNotAvailable,
            "the bank is under maintenance; update again later",
        ),
        "user-connection-error" => (
            ExecutionStatus::ConnectionError,
            "the bank could not be reached; update again later",
        ),
        "user-account-need-actions" => (ExecutionStatus::AccountNeedsAction, NEEDS_ACTION),
        "user-account-need-actions-provider-message" => {
            let words = "Atualize seus dados cadastrais no aplicativo do banco.";
            return Some(Failure {
                provider_message: Some(words.to_owned()),
                ..Failure::new(ExecutionStatus::AccountNeedsAction, NEEDS_ACTION)
            });
        }
        "user-account-credentials-reset" => (
            ExecutionStatus::AccountCredentialsReset,
            "the password has expired; change it at the bank, then send new parameters",
        ),
        "user-not-supported" => (
            ExecutionStatus::UserNotSupported,
            "this kind of account is not supported; use another connector",
        ),
        _ => return None,
    };
    Some(Failure::new(code, message))
}

/// The N of `user-ok-perf-Nx`.
fn bulk_thousands(user: &str) -> Option<i64> {
    let rest = user.strip_prefix("user-ok-perf")?;
    if rest.is_empty() {
        return Some(1);
    }
    let digits = rest.strip_prefix('-')?.strip_suffix('x')?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousands = digits.parse().unwrap_or(i64::MAX).min(MAX_THOUSANDS);
    (thousands > 0).then_some(thousands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_household_says_how_large_it_is_in_its_name() {
        for (user, thousands) in [
            ("user-ok-perf", Some(1)),
            ("user-ok-perf-1x", Some(1)),
            ("user-ok-perf-250x", Some(250)),
            ("user-ok-perf-5000x", Some(5_000)),
            ("user-ok-perf-5001x", Some(5_000)),
            ("user-ok-perf-99999999999999999999x", Some(5_000)),
            ("user-ok-perf-0x", None),
            ("user-ok-perf-x", None),
            ("user-ok-perf--1x", None),
            ("user-ok-perf-+1x", None),
            ("user-ok-perf-1", None),
            ("user-ok-perfect", None),
        ] {
            let found = find(user).map(|persona| {
                persona
                    .outcome
                    .expect("it has accounts")
                    .bulk_thousands
                    .expect("it is large")
            });
            assert_eq!(found, thousands, "{user}");
        }
    }
}
