//! What a registration may be made of; the messages fit `INVALID_INPUT`.

use std::collections::{BTreeSet, HashSet};

use entity::kind::EventType;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{egress::check_header, keyring::Headers};
use crate::{
    app::App,
    error::{Error, Result},
};

/// Longest description.
const DESCRIPTION_CHARS_MAX: usize = 500;
/// Most static headers of one registration.
const HEADERS_MAX: usize = 20;
/// Longest value of a static header.
const HEADER_BYTES_MAX: usize = 4_096;
/// Most requests under way at once, as their owner may set it.
const CONCURRENCY_MAX: i32 = 100;
/// Most requests of a second, as their owner may set it.
const PER_SECOND_MAX: i32 = 10_000;
/// Requests under way at once, unless told otherwise.
pub(super) const CONCURRENCY_DEFAULT: i32 = 20;

pub(super) fn url(app: &App, url: &str) -> Result<String> {
    match app.egress.policy().check_url(url) {
        Ok(url) => Ok(url.into()),
        Err(reason) => Err(Error::invalid("url", reason)),
    }
}

pub(super) fn events(events: Option<Vec<EventType>>) -> Result<Option<BTreeSet<EventType>>> {
    let events: Option<BTreeSet<_>> = events.map(|events| events.into_iter().collect());
    if events.as_ref().is_some_and(BTreeSet::is_empty) {
        return Err(Error::invalid(
            "events",
            "name at least one event, or leave it out for all but ITEM_STATUS_CHANGED",
        ));
    }
    Ok(events)
}

pub(super) fn description(description: Option<&str>) -> Result<()> {
    match description {
        Some(text) if text.chars().count() > DESCRIPTION_CHARS_MAX || text.contains('\0') => {
            Err(Error::invalid(
                "description",
                format!("at most {DESCRIPTION_CHARS_MAX} characters"),
            ))
        }
        Some(_) | None => Ok(()),
    }
}

/// A limit of requests under way at once; the default when none is given.
pub(super) fn concurrency(most: Option<i32>) -> Result<i32> {
    match most {
        None => Ok(CONCURRENCY_DEFAULT),
        Some(most) if (1..=CONCURRENCY_MAX).contains(&most) => Ok(most),
        Some(_) => Err(Error::invalid(
            "maxConcurrency",
            format!("must be between 1 and {CONCURRENCY_MAX}"),
        )),
    }
}

/// A limit of requests a second, if there is one.
pub(super) fn per_second(most: Option<i32>) -> Result<Option<i32>> {
    match most {
        Some(most) if !(1..=PER_SECOND_MAX).contains(&most) => Err(Error::invalid(
            "maxPerSecond",
            format!("must be between 1 and {PER_SECOND_MAX}; null is no limit"),
        )),
        Some(_) | None => Ok(most),
    }
}

pub(super) fn headers(headers: Vec<(String, SecretString)>) -> Result<Headers> {
    if headers.len() > HEADERS_MAX {
        return Err(Error::invalid(
            "headers",
            format!("must be at most {HEADERS_MAX}"),
        ));
    }
    let mut names = HashSet::new();
    headers
        .into_iter()
        .map(|(name, value)| {
            let value = value.expose_secret();
            let (name, _) =
                check_header(&name, value).map_err(|reason| Error::invalid("headers", reason))?;
            if value.len() > HEADER_BYTES_MAX {
                let reason = format!("must have values of at most {HEADER_BYTES_MAX} bytes");
                return Err(Error::invalid("headers", reason));
            }
            if !names.insert(name.clone()) {
                let reason = format!("must contain {name} only once");
                return Err(Error::invalid("headers", reason));
            }
            Ok((name.as_str().to_owned(), Zeroizing::new(value.to_owned())))
        })
        .collect()
}
