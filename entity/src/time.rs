//! Instants as they are stored and shown.

use std::{fmt, time::Duration};

use chrono::{DateTime, SecondsFormat};
use sea_orm::{
    DeriveValueType,
    prelude::{Date, DateTimeUtc},
};
use serde::{Deserialize, Serialize};

/// An instant in whole milliseconds since 1970-01-01T00:00:00Z.
///
/// Stored as an integer, so that order and equality mean the same on both engines and nothing is lost on the way to the
/// client, who sees milliseconds.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    DeriveValueType,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant plus a duration, saturating.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This instant minus a duration, saturating.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero when it is not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The day in UTC.
    pub fn date(self) -> Date {
        self.to_utc().date_naive()
    }

    /// As a calendar instant.
    pub fn to_utc(self) -> DateTimeUtc {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

impl From<DateTimeUtc> for Timestamp {
    fn from(instant: DateTimeUtc) -> Self {
        Self(instant.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    /// `2026-01-31T10:00:00.000Z`, the form of the public schema and of webhooks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}
