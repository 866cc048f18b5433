//! Whose turn it is to ask an institution.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, timeout};

use super::Failure;

/// What lets requests through to an institution, no faster than its operator allows.
#[async_trait]
pub trait Turnstile: Send + Sync {
    /// Returns when the next request may be made; fails when that would be too late for whoever waits for its answer.
    async fn pass(&self) -> Result<(), Failure>;
}

/// The requests of a call to a connector. Those of all nodes to one connector come no faster than its limit allows.
#[derive(Clone, Default)]
pub struct Requests(Option<Arc<Turns>>);

struct Turns {
    turnstile: Box<dyn Turnstile>,
    waited: Mutex<Waited>,
}

/// How long has been waited for turns; waits at the same time count once.
#[derive(Default)]
struct Waited {
    before: Duration,
    waiting: usize,
    since: Option<Instant>,
}

impl Requests {
    /// Requests that come through a turnstile; without one they are not limited.
    pub fn through(turnstile: impl Turnstile + 'static) -> Self {
        Self(Some(Arc::new(Turns {
            turnstile: Box::new(turnstile),
            waited: Mutex::default(),
        })))
    }

    /// Waits for the turn of one request. A connector does so before each that it makes, and hands a failure on.
    pub async fn next(&self) -> Result<(), Failure> {
        match &self.0 {
            Some(turns) => {
                let _waiting = Waiting::begin(turns);
                turns.turnstile.pass().await
            }
            None => Ok(()),
        }
    }

    /// Does what makes these requests, for so long at most; the time for which it waits for its turns does not count.
    pub async fn within<T>(&self, lasts: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        let mut left = lasts;
        loop {
            let before = self.waited();
            if let Ok(done) = timeout(left, &mut work).await {
                return Some(done);
            }
            left = self.waited().saturating_sub(before);
            if left.is_zero() {
                return None;
            }
        }
    }

    fn waited(&self) -> Duration {
        let Some(turns) = &self.0 else {
            return Duration::ZERO;
        };
        let waited = turns.waited.lock().unwrap_or_else(PoisonError::into_inner);
        waited.before + waited.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let limited = if self.0.is_some() { "limited" } else { "free" };
        write!(f, "Requests({limited})")
    }
}

/// One wait, until it is dropped.
struct Waiting<'a>(&'a Turns);

impl<'a> Waiting<'a> {
    fn begin(turns: &'a Turns) -> Self {
        let mut waited = turns.waited.lock().unwrap_or_else(PoisonError::into_inner);
        waited.waiting += 1;
        waited.since.get_or_insert_with(Instant::now);
        Self(turns)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waited = self.0.waited.lock().unwrap_or_else(PoisonError::into_inner);
        waited.waiting -= 1;
        if waited.waiting == 0 {
            let since = waited.since.take();
            waited.before += since.map_or(Duration::ZERO, |since| since.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Slow;

    #[async_trait]
    impl Turnstile for Slow {
        async fn pass(&self) -> Result<(), Failure> {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(())
        }
    }

    #[tokio::test]
    async fn waiting_for_a_turn_is_not_the_institutions_time() {
        let requests = Requests::through(Slow);
        let asks = async {
            for _ in 0..3 {
                requests.next().await.expect("a turn");
            }
        };
        let second = Duration::from_secs(1);
        assert_eq!(requests.within(second, asks).await, Some(()));
        let endless = async {
            requests.next().await.expect("a turn");
            std::future::pending::<()>().await;
        };
        assert_eq!(requests.within(second / 5, endless).await, None);
    }
}
