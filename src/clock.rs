//! Time and chance, as everything else sees them.
//!
//! All code asks the [`Clock`] and the [`Rng`] of the App and binds what they say as parameters, so that a test can run
//! a month in seconds and repeat it from a seed. Instants are [`Timestamp`]s.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
pub use entity::time::Timestamp;
use rand::{Rng as _, SeedableRng, rngs::StdRng};
use tokio::sync::Notify;
use uuid::Uuid;

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
pub struct Rng {
    seeded: Option<Arc<Mutex<StdRng>>>,
    last: Arc<Mutex<LastId>>,
}

/// What keeps the ids of one process in the order in which they were made.
#[derive(Default)]
struct LastId {
    millis: u64,
    counter: u16,
}

/// Ids of one millisecond that can be told apart by their counter.
const COUNTERS: u16 = 1 << 12;

impl Rng {
    /// Randomness of the operating system, fit for keys.
    pub fn system() -> Self {
        Self {
            seeded: None,
            last: Arc::default(),
        }
    }

    /// A repeatable sequence, for tests.
    pub fn seeded(seed: u64) -> Self {
        Self {
            seeded: Some(Arc::new(Mutex::new(StdRng::seed_from_u64(seed)))),
            last: Arc::default(),
        }
    }

    /// Fills a buffer.
    pub fn fill(&self, buffer: &mut [u8]) {
        match &self.seeded {
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

    /// A new `UUIDv7` of the given instant. Ids made by one process ascend, also within a millisecond.
    pub fn id(&self, now: Timestamp) -> Uuid {
        let mut random: [u8; 10] = self.bytes();
        let millis = {
            let mut last = self.last.lock().expect("no panic while counting");
            let millis = u64::try_from(now.0).unwrap_or(0).max(last.millis);
            if millis > last.millis {
                *last = LastId { millis, counter: 0 };
            } else {
                last.counter += 1;
                if last.counter == COUNTERS {
                    *last = LastId {
                        millis: millis + 1,
                        counter: 0,
                    };
                }
            }
            let [high, low] = last.counter.to_be_bytes();
            (random[0], random[1]) = (high, low);
            last.millis
        };
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_ascend_also_when_the_clock_does_not() {
        let rng = Rng::seeded(1);
        let ids: Vec<Uuid> = (0..20_000_i64)
            .map(|n| rng.id(Timestamp(1_000_000 - n % 3)))
            .collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
    }
}
