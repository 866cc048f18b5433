//! What follows from an attempt: success, another try later, or the end.
//!
//! Promises the intervals that Standard Webhooks recommends, ten attempts over a little more than three days, spread so
//! that deliveries which failed together do not return together. Pure: the caller records the verdict.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};

use super::egress::Outcome;
use crate::clock::{Rng, Timestamp};

const SECOND: u64 = 1;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Seconds to wait after the first attempt, after the second, and so on; the attempt behind the last is final.
const DELAYS_SECONDS: [u64; 9] = [
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
];

/// How many attempts a delivery gets at most.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the schedule has a handful of entries"
)]
pub const MAX_ATTEMPTS: u32 = DELAYS_SECONDS.len() as u32 + 1;

/// The longest wait that an endpoint can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * HOUR);

/// How far a wait strays from the schedule, either way.
const JITTER: f64 = 0.1;

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Delivered.
    Succeeded,
    /// Try again.
    Retry {
        /// When.
        at: Timestamp,
    },
    /// The delivery has failed for good.
    GiveUp {
        /// Why, for the webhook's owner.
        reason: String,
    },
    /// The endpoint wants nothing more: the delivery has failed and its webhook is to be disabled.
    Disable {
        /// Why, for the webhook's owner.
        reason: String,
    },
}

/// Judges the attempt that was just made, the `attempt`-th of its delivery counted from one.
///
/// `Retry-After` can lengthen a wait up to a day, never shorten it.
pub fn judge(attempt: u32, outcome: &Outcome, now: Timestamp, rng: &Rng) -> Verdict {
    match outcome.status {
        Some(200..=299) => return Verdict::Succeeded,
        Some(410) => {
            return Verdict::Disable {
                reason: "the endpoint answered 410 Gone".to_owned(),
            };
        }
        Some(_) | None => {}
    }
    let made = usize::try_from(attempt.max(1)).unwrap_or(usize::MAX);
    let Some(&seconds) = DELAYS_SECONDS.get(made - 1) else {
        let last = match (&outcome.error, outcome.status) {
            (Some(error), _) => error.clone(),
            (None, Some(status)) => format!("the endpoint answered {status}"),
            (None, None) => "no answer".to_owned(),
        };
        return Verdict::GiveUp {
            reason: format!("{made} attempts failed, the last with: {last}"),
        };
    };
    let chance = rng.fraction();
    let scheduled = Duration::from_secs(seconds).mul_f64(1.0 - JITTER + 2.0 * JITTER * chance);
    let asked = outcome
        .retry_after
        .as_deref()
        .and_then(|value| retry_after(value, now))
        .unwrap_or_default()
        .min(RETRY_AFTER_MAX)
        // Only ever later than asked, yet not all at once.
        .mul_f64(1.0 + JITTER * chance);
    Verdict::Retry {
        at: now.plus(scheduled.max(asked)),
    }
}

/// Reads `Retry-After`: seconds, or a date in one of the three forms of HTTP. What it cannot read does not count.
fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let date = DateTime::parse_from_rfc2822(value)
        .map(|date| date.to_utc())
        .or_else(|_| {
            NaiveDateTime::parse_from_str(value, "%A, %d-%b-%y %H:%M:%S GMT")
                .or_else(|_| NaiveDateTime::parse_from_str(value, "%a %b %e %H:%M:%S %Y"))
                .map(|date| date.and_utc())
        })
        .ok()?;
    Some(Timestamp::from(date).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-24T12:00:00Z, a Tuesday.
    const NOW: Timestamp = Timestamp(1_795_521_600_000);

    fn answer(status: u16) -> Outcome {
        Outcome {
            status: Some(status),
            ..Outcome::default()
        }
    }

    fn asking(retry_after: &str) -> Outcome {
        Outcome {
            retry_after: Some(retry_after.to_owned()),
            ..answer(503)
        }
    }

    /// Seconds until the next attempt, over many draws: the least and the most.
    fn waits(attempt: u32, outcome: &Outcome) -> (f64, f64) {
        let rng = Rng::seeded(9);
        (0..2000).fold((f64::MAX, 0.0), |(least, most): (f64, f64), _| {
            let Verdict::Retry { at } = judge(attempt, outcome, NOW, &rng) else {
                panic!("attempt {attempt} is not tried again")
            };
            let wait = at.since(NOW).as_secs_f64();
            (least.min(wait), most.max(wait))
        })
    }

    fn assert_spread(actual: (f64, f64), expected: (f64, f64), what: &str) {
        let slack = 0.002 * expected.1;
        assert!(
            actual.0 >= expected.0 - 0.001
                && actual.0 <= expected.0 + slack
                && actual.1 <= expected.1 + 0.001
                && actual.1 >= expected.1 - slack,
            "{what}: {actual:?} instead of {expected:?}"
        );
    }

    #[test]
    fn every_success_is_a_success_and_gone_disables_at_any_attempt() {
        let rng = Rng::seeded(1);
        for attempt in [0, 1, 9, 10, 11, u32::MAX] {
            for status in [200, 201, 202, 204, 299] {
                let verdict = judge(attempt, &answer(status), NOW, &rng);
                assert_eq!(verdict, Verdict::Succeeded, "{attempt} {status}");
            }
            assert_eq!(
                judge(attempt, &answer(410), NOW, &rng),
                Verdict::Disable {
                    reason: "the endpoint answered 410 Gone".into()
                }
            );
        }
    }

    #[test]
    fn failures_are_tried_again_by_the_recommended_schedule_give_or_take_a_tenth() {
        let table = [
            (1, 5.0),
            (2, 300.0),
            (3, 1800.0),
            (4, 7200.0),
            (5, 18_000.0),
            (6, 36_000.0),
            (7, 50_400.0),
            (8, 72_000.0),
            (9, 86_400.0),
        ];
        for (attempt, seconds) in table {
            let outcomes = [
                Outcome::default(),
                answer(100),
                answer(199),
                answer(302),
                answer(400),
                answer(404),
                answer(429),
                answer(500),
                answer(999),
            ];
            for outcome in outcomes {
                assert_spread(
                    waits(attempt, &outcome),
                    (seconds * 0.9, seconds * 1.1),
                    &format!("attempt {attempt}, {outcome:?}"),
                );
            }
        }
        assert_eq!(MAX_ATTEMPTS, 10);
    }

    #[test]
    fn after_the_last_attempt_the_delivery_is_given_up_with_the_last_reason() {
        let rng = Rng::seeded(1);
        let timeout = Outcome {
            error: Some("no answer within 15 s".into()),
            ..Outcome::default()
        };
        let table = [
            (
                10,
                answer(500),
                "10 attempts failed, the last with: the endpoint answered 500",
            ),
            (
                10,
                asking("60"),
                "10 attempts failed, the last with: the endpoint answered 503",
            ),
            (
                11,
                timeout,
                "11 attempts failed, the last with: no answer within 15 s",
            ),
        ];
        for (attempt, outcome, reason) in table {
            assert_eq!(
                judge(attempt, &outcome, NOW, &rng),
                Verdict::GiveUp {
                    reason: reason.into()
                }
            );
        }
    }

    #[test]
    fn retry_after_lengthens_a_wait_up_to_a_day_and_never_shortens_it() {
        const DAY: f64 = 86_400.0;
        let table = [
            // Longer than the schedule: as asked, or up to a tenth later.
            (1, "60", (60.0, 66.0)),
            (1, " 3600 ", (3600.0, 3960.0)),
            (1, "Tue, 24 Nov 2026 13:00:00 GMT", (3600.0, 3960.0)),
            (1, "Tuesday, 24-Nov-26 13:00:00 GMT", (3600.0, 3960.0)),
            (1, "Tue Nov 24 13:00:00 2026", (3600.0, 3960.0)),
            // Longer than a day: a day.
            (1, "604800", (DAY, DAY * 1.1)),
            (1, "99999999999999999999999999", (DAY, DAY * 1.1)),
            (1, "Fri, 31 Dec 9999 23:59:59 GMT", (DAY, DAY * 1.1)),
            // Shorter, past or unreadable: the schedule.
            (2, "0", (270.0, 330.0)),
            (2, "1", (270.0, 330.0)),
            (2, "Tue, 24 Nov 2026 11:00:00 GMT", (270.0, 330.0)),
            (2, "", (270.0, 330.0)),
            (2, "-5", (270.0, 330.0)),
            (2, "+600", (270.0, 330.0)),
            (2, "600.5", (270.0, 330.0)),
            (2, "1e9", (270.0, 330.0)),
            (2, "soon", (270.0, 330.0)),
            (2, "Mon, 24 Nov 2026 13:00:00 GMT", (270.0, 330.0)),
        ];
        for (attempt, value, expected) in table {
            assert_spread(waits(attempt, &asking(value)), expected, value);
        }
    }
}
