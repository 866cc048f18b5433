//! Whether an Item may be updated now: asked before, refused the same way after.

use std::time::Duration;

use entity::{item, kind::ItemStatus};

use super::{lockout, state};
use crate::{
    clock::Timestamp,
    connector::{Descriptor, SourceKind},
    error::{Error, Result},
};

/// Login failures in a row after which an update has to wait.
const BACK_OFF_AFTER: i32 = 2;
/// How long it has to wait.
const BACK_OFF: Duration = Duration::from_mins(15);
/// Login failures in a row after which nothing but new parameters or the operator helps.
const STOP_AFTER: i32 = 5;

/// Whether `updateItem` without parameters would be accepted now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Whether it would.
    pub allowed: bool,
    /// The error code it would be refused with.
    pub code: Option<&'static str>,
    /// Why, and what to do.
    pub reason: Option<String>,
    /// When to try again, where waiting helps.
    pub retry_at: Option<Timestamp>,
}

/// What `updateItem` without parameters would be told now.
pub fn ask(
    form: &Descriptor,
    item: &item::Model,
    logins: Option<i32>,
    now: Timestamp,
) -> Permission {
    let refusal = judge(form, item, false, logins, now).err().or_else(|| {
        let mfa = form
            .credentials
            .iter()
            .find(|field| field.mfa && !field.optional)?;
        Some(Error::ConnectorRequiredParameter(mfa.name.clone()))
    });
    match refusal {
        None => Permission {
            allowed: true,
            code: None,
            reason: None,
            retry_at: None,
        },
        Some(error) => Permission {
            allowed: false,
            code: Some(error.code()),
            reason: Some(error.to_string()),
            retry_at: match error {
                Error::TooManyConsecutiveLoginFailures { retry_at }
                | Error::TooManyLoginAttempts { retry_at } => Some(retry_at),
                _ => None,
            },
        },
    }
}

/// Refuses an update that must not happen now; `logins` is how many a day may have.
///
/// Only failures to log in at an institution count towards waiting: they are what gets users locked out there. Once a run
/// has failed otherwise, what was refused before it has been waited for or replaced. A file locks nobody out.
pub(super) fn judge(
    form: &Descriptor,
    item: &item::Model,
    new_parameters: bool,
    logins: Option<i32>,
    now: Timestamp,
) -> Result<()> {
    let status = state::status(item.execution_status);
    if matches!(status, ItemStatus::Updating | ItemStatus::Merging) {
        return Err(Error::ItemAlreadyUpdating);
    }
    match form.source {
        SourceKind::Institution => {}
        SourceKind::File if new_parameters => return Ok(()),
        SourceKind::File => {
            return Err(Error::ParametersNotProvided(
                "upload a new file and send its uploadId",
            ));
        }
        SourceKind::Gone => {
            return Err(Error::ConnectorRetired(
                "this server does not have the connector; ask its operator",
            ));
        }
    }
    // Where nothing is sent the user says it at the institution, anew with every login that it has refused.
    let new_parameters = new_parameters || form.credentials.is_empty();
    if let Some(retry_at) = lockout::until(logins, form, item, now) {
        return Err(Error::TooManyLoginAttempts { retry_at });
    }
    // None is left once the operator has unlocked the Item.
    let refused = if status == ItemStatus::LoginError {
        item.failed_logins
    } else {
        0
    };
    if !new_parameters && refused >= STOP_AFTER {
        return Err(Error::TooManyConsecutiveErrors);
    }
    if refused >= BACK_OFF_AFTER
        && let Some(ended) = item.last_ended_at
        && now < ended.plus(BACK_OFF)
    {
        return Err(Error::TooManyConsecutiveLoginFailures {
            retry_at: ended.plus(BACK_OFF),
        });
    }
    if !new_parameters {
        if refused > 0 {
            return Err(Error::LastExecutionHadLoginError);
        }
        if item.credentials.is_none() && form.credentials.iter().any(|field| !field.optional) {
            return Err(Error::ParametersNotProvided(
                "nothing is stored; send all parameters",
            ));
        }
    }
    Ok(())
}
