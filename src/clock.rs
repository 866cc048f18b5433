//! Time and chance, as everything else sees them.
//!
//! All code asks the [`Clock`] and the [`Rng`] of the App and binds what they say as parameters, so that a test can run
//! a month in seconds and repeat it from a seed. Instants are [`Timestamp`]s: whole milliseconds since 1970 UTC, the
//! precision that clients see, stored as integers, so that order and equality mean the same on both engines.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

/// An instant in whole milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    pub fn date(self) -> NaiveDate {
        self.to_utc().date_naive()
    }

    /// As a calendar instant.
    pub fn to_utc(self) -> DateTime<Utc> {
        DateTime::from_timestamp_millis(self.0).unwrap_or_default()
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant.timestamp_millis())
    }
}

impl fmt::Display for Timestamp {
    /// `2026-01-31T10:00:00.000Z`, the form of the public schema and of webhooks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

/// Where time comes from: the system, or a test.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    /// The system's clock plus an offset in milliseconds, which follows the database's clock.
    System {
        offset: AtomicI64,
    },
    Manual {
        now: AtomicI64,
        moved: Notify,
    },
}

impl Clock {
    /// The clock of the system.
    pub fn system() -> Self {
        Self(Arc::new(Source::System {
            offset: AtomicI64::new(0),
        }))
    }

    /// A clock that stands still until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self(Arc::new(Source::Manual {
            now: AtomicI64::new(start.0),
            moved: Notify::new(),
        }))
    }

    /// The present instant.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the system"
    )]
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System { offset } => {
                Timestamp(Utc::now().timestamp_millis() + offset.load(Ordering::Relaxed))
            }
            Source::Manual { now, .. } => Timestamp(now.load(Ordering::SeqCst)),
        }
    }

    /// Makes a system clock follow another one, such as the database's, that shows `reference` now.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that asks the system"
    )]
    pub fn follow(&self, reference: Timestamp) {
        if let Source::System { offset } = &*self.0 {
            offset.store(
                reference.0 - Utc::now().timestamp_millis(),
                Ordering::Relaxed,
            );
        }
    }

    /// Moves a manual clock on and wakes those who sleep by it; a system clock is left alone.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual { now, moved } = &*self.0 {
            now.fetch_add(
                i64::try_from(by.as_millis()).unwrap_or(i64::MAX),
                Ordering::SeqCst,
            );
            moved.notify_waiters();
        }
    }

    /// Returns once this clock has moved on by `duration`.
    pub async fn sleep(&self, duration: Duration) {
        match &*self.0 {
            Source::System { .. } => tokio::time::sleep(duration).await,
            Source::Manual { moved, .. } => {
                let until = self.now().plus(duration);
                loop {
                    let notified = moved.notified();
                    tokio::pin!(notified);
                    notified.as_mut().enable();
                    if self.now() >= until {
                        return;
                    }
                    notified.await;
                }
            }
        }
    }
}

/// Where chance comes from: the operating system, or a seed.
#[derive(Clone)]
pub struct Rng(Option<Arc<Mutex<StdRng>>>);

impl Rng {
    /// Randomness of the operating system, fit for keys.
    pub fn system() -> Self {
        Self(None)
    }

    /// A repeatable sequence, for tests.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))))
    }

    /// Fills a buffer.
    pub fn fill(&self, buffer: &mut [u8]) {
        match &self.0 {
            None => getrandom::fill(buffer).expect("the operating system provides randomness"),
            Some(seeded) => seeded
                .lock()
                .expect("no panic while drawing")
                .fill_bytes(buffer),
        }
    }

    /// An array of random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut buffer = [0; N];
        self.fill(&mut buffer);
        buffer
    }

    /// A number in `0.0..1.0`, for jitter.
    pub fn fraction(&self) -> f64 {
        let bits = u32::from_le_bytes(self.bytes());
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    /// A new `UUIDv7` of the given instant.
    pub fn id(&self, now: Timestamp) -> Uuid {
        let millis = u64::try_from(now.0).unwrap_or(0);
        uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()).into_uuid()
    }
}
