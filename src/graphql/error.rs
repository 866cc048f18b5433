//! The only place that turns an error into what a GraphQL client sees.
//!
//! A resolver's `?` keeps our [`Error`] as the source of async-graphql's; [`finish`] finds it again and writes its code
//! and what goes with it into `extensions`. Every answer of every transport passes through here.

use async_graphql::{ErrorExtensionValues, Response, ServerError, Value};

use crate::error::Error;

/// Most errors that one answer carries.
const MOST_ERRORS: usize = 10;

/// Most characters of a message: some repeat names that the client sent.
const LONGEST_MESSAGE: usize = 500;

/// Where messages of the executor begin to repeat a value that the client sent, and what stands there instead.
const REPEATING: [(&str, &str); 3] = [
    (", found ", ", found something else."),
    (
        " does not contain the value \"",
        " does not contain the value that was sent",
    ),
    (
        " does not contain value \"",
        " does not contain the value that was sent",
    ),
];

/// Gives every error its code and the request's id, logs faults of ours, and keeps answers small.
pub fn finish(response: &mut Response, request_id: &str) {
    response.errors.truncate(MOST_ERRORS);
    for error in &mut response.errors {
        code(error);
        if let Some((end, _)) = error.message.char_indices().nth(LONGEST_MESSAGE) {
            error.message.truncate(end);
            error.message.push('…');
        }
        let extensions = error
            .extensions
            .get_or_insert_with(ErrorExtensionValues::default);
        extensions.set("requestId", request_id);
    }
}

/// Whether an error comes from an operation, and not from coercing or validating what was sent.
pub(super) fn is_ours(error: &ServerError) -> bool {
    error.source::<Error>().is_some()
}

fn code(shown: &mut ServerError) {
    let mut extensions = shown.extensions.take().unwrap_or_default();
    if let Some(error) = shown.source::<Error>() {
        if matches!(error, Error::Internal(_) | Error::LeaseLost) {
            error.log("graphql");
        }
        extensions.set("code", error.code());
        for (key, value) in error.extensions() {
            extensions.set(key, Value::from_json(value).unwrap_or_default());
        }
    } else {
        // Whatever has no source of ours was found before a resolver ran, or in coercing its arguments.
        if extensions.get("code").is_none() {
            extensions.set("code", "VALIDATION_FAILED");
        }
        withhold_values(&mut shown.message);
    }
    shown.extensions = Some(extensions);
}

/// What a client put into the wrong place may be a password, and whoever reads its logs is not meant to.
fn withhold_values(message: &mut String) {
    for (begin, instead) in REPEATING {
        if let Some(at) = message.find(begin) {
            message.truncate(at);
            message.push_str(instead);
        }
    }
}
