//! How much may run at a connector at once and be asked of it in a minute, for all nodes together.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

/// How far ahead of its time a request may come, where many are allowed.
const TOLERANCE: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Limits of one connector; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// Executions at once.
    pub at_once: Option<usize>,
    /// Requests in any minute.
    pub per_minute: Option<u32>,
}

impl Limit {
    /// How far apart its requests are; `None` when they are not limited.
    pub fn pace(self) -> Option<Pace> {
        self.per_minute.map(Pace::of)
    }
}

impl fmt::Display for Limit {
    /// `20 runs at once and 120 requests a minute`, or what of it is limited.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_once = self.at_once.map(|most| format!("{most} runs at once"));
        let per_minute = self.per_minute;
        let per_minute = per_minute.map(|most| format!("{most} requests a minute"));
        let both: Vec<_> = at_once.into_iter().chain(per_minute).collect();
        f.write_str(&both.join(" and "))
    }
}

/// Requests so far apart that no minute sees more than it may. Where they are close, some come together.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How much time each uses up.
    pub apart: Duration,
    /// How far ahead of its time one may come.
    pub tolerance: Duration,
}

impl Pace {
    fn of(per_minute: u32) -> Self {
        let apart = MINUTE / per_minute.max(1);
        if apart >= TOLERANCE {
            return Self {
                apart: in_millis(apart),
                tolerance: Duration::ZERO,
            };
        }
        // As many as come together at first are missing between the others.
        Self {
            apart: in_millis((MINUTE + TOLERANCE) / (per_minute - 1)),
            tolerance: TOLERANCE,
        }
    }
}

/// Rounded up to what instants are made of, or there would be more in a minute.
fn in_millis(apart: Duration) -> Duration {
    let millis = apart.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Limits of all connectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    others: Limit,
    named: BTreeMap<i32, Limit>,
}

impl Limits {
    /// Those of a connector.
    pub fn of(&self, connector: i32) -> Limit {
        self.named.get(&connector).copied().unwrap_or(self.others)
    }
}

/// A text that names no limits.
#[derive(Debug)]
pub struct InvalidLimits(String);

impl fmt::Display for InvalidLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not CONNECTOR=AT_ONCE or CONNECTOR=AT_ONCE/PER_MINUTE, such as *=200 or 600=20/120 (0: no limit)",
            self.0
        )
    }
}

impl FromStr for Limits {
    type Err = InvalidLimits;

    fn from_str(text: &str) -> Result<Self, InvalidLimits> {
        let mut limits = Self::default();
        let parts = text.split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            let (connector, limit) = read(part).ok_or_else(|| InvalidLimits(part.to_owned()))?;
            match connector {
                Some(connector) => {
                    limits.named.insert(connector, limit);
                }
                None => limits.others = limit,
            }
        }
        Ok(limits)
    }
}

fn read(part: &str) -> Option<(Option<i32>, Limit)> {
    let (connector, limit) = part.split_once('=')?;
    let connector = match connector.trim() {
        "*" => None,
        id => Some(id.parse().ok()?),
    };
    let (at_once, per_minute) = match limit.split_once('/') {
        Some((at_once, per_minute)) => (at_once, per_minute.trim().parse().ok()?),
        None => (limit, 0),
    };
    let at_once: usize = at_once.trim().parse().ok()?;
    let limit = Limit {
        at_once: Some(at_once).filter(|most| *most > 0),
        per_minute: Some(per_minute).filter(|most| *most > 0),
    };
    Some((connector, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_named_by_connector_and_for_all_others() {
        let limits: Limits = "*=200, 600=20/120,7=0/6".parse().expect("limits");
        let limit = |at_once, per_minute| Limit {
            at_once,
            per_minute,
        };
        assert_eq!(limits.of(0), limit(Some(200), None));
        assert_eq!(limits.of(600), limit(Some(20), Some(120)));
        assert_eq!(limits.of(7), limit(None, Some(6)));
        assert_eq!(
            limits.of(600).to_string(),
            "20 runs at once and 120 requests a minute"
        );
        assert_eq!(limits.of(7).to_string(), "6 requests a minute");
        assert_eq!("".parse::<Limits>().expect("none").of(1), Limit::default());
        for wrong in ["600", "x=1", "1=x", "1=1/x", "1=-1", "=1"] {
            let error = wrong.parse::<Limits>().expect_err(wrong);
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }
}
