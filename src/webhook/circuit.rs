//! Circuits: what keeps failing is only probed.
//!
//! A target whose requests have failed [`THRESHOLD`] times one after another gets a single one at a time, the more
//! seldom the longer it has been failing; the other deliveries wait and use up none of their attempts. The first
//! success closes the circuit.

use std::time::Duration;

/// Failures one after another that open a circuit.
pub const THRESHOLD: i32 = 10;
/// The shortest wait between two probes.
pub(super) const FIRST: Duration = Duration::from_secs(5);
/// The longest wait between two probes.
const LONGEST: Duration = Duration::from_mins(5);

/// How long to wait for the next probe of what has been failing for so long: a tenth of that.
pub(super) fn interval(failing_for: Duration) -> Duration {
    (failing_for / 10).clamp(FIRST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_come_the_more_seldom_the_longer_the_failure() {
        for (failing_for, wait) in [(0, 5), (50, 5), (100, 10), (3_000, 300), (1_000_000, 300)] {
            let interval = interval(Duration::from_secs(failing_for));
            assert_eq!(interval, Duration::from_secs(wait));
        }
    }
}
