//! How many requests a webhook may begin now, so many a second: evenly, with bursts of a tenth of a second's.

use std::time::Duration;

use crate::clock::Timestamp;

const SECOND: i64 = 1_000_000;

/// What may begin now, and the time of the limit after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    pub now: usize,
    /// How long until there is one more.
    pub wait: Duration,
}

fn interval(per_second: i32) -> (i64, i64) {
    let per_second = i64::from(per_second.max(1));
    let interval = SECOND / per_second;
    (interval, interval * ((per_second / 10).max(1) - 1))
}

/// `at` is when the limit is met again, in microseconds.
pub(super) fn budget(per_second: i32, at: i64, now: Timestamp) -> Budget {
    let (interval, burst) = interval(per_second);
    let now = now.0.saturating_mul(1_000);
    let ahead = at.max(now) - burst - now;
    let wait = u64::try_from(at - burst - now).unwrap_or(0);
    Budget {
        now: if ahead > 0 {
            0
        } else {
            usize::try_from(-ahead / interval + 1).unwrap_or(0)
        },
        wait: Duration::from_micros(wait.max(1)),
    }
}

/// When the limit is met again once so many have begun.
pub(super) fn after(per_second: i32, at: i64, now: Timestamp, begun: usize) -> i64 {
    let (interval, _) = interval(per_second);
    let begun = i64::try_from(begun).unwrap_or(i64::MAX);
    let from = at.max(now.0.saturating_mul(1_000));
    from.saturating_add(interval.saturating_mul(begun))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_has_more_than_the_limit_and_a_tenth() {
        for per_second in [1, 2, 3, 7, 10, 25, 100, 1_000, 10_000] {
            let (mut at, mut begun) = (0, Vec::new());
            for millis in (0..5_000).step_by(3) {
                let now = Timestamp(1_700_000_000_000 + millis);
                let budget = budget(per_second, at, now);
                begun.extend(std::iter::repeat_n(millis, budget.now));
                at = after(per_second, at, now, budget.now);
            }
            let limit = usize::try_from(per_second).unwrap();
            for from in (0..4_000).step_by(50) {
                let window = begun.iter().filter(|at| (from..from + 1_000).contains(*at));
                let count = window.count();
                assert!(count <= limit + limit / 10, "{per_second}: {count}");
                assert!(count >= limit * 9 / 10, "{per_second}: {count}");
            }
        }
    }

    #[test]
    fn whoever_has_to_wait_is_told_how_long() {
        let now = Timestamp(1_000);
        let first = budget(2, 0, now);
        assert_eq!(first.now, 1);
        let at = after(2, 0, now, 1);
        let second = budget(2, at, now);
        assert_eq!(second.now, 0);
        assert_eq!(second.wait, Duration::from_millis(500));
        assert_eq!(budget(2, at, Timestamp(1_500)).now, 1);
    }
}
