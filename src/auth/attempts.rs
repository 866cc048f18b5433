//! How often one address may guess a client secret wrongly.

use std::{collections::HashMap, net::IpAddr, sync::Mutex, time::Duration};

use crate::{
    clock::Timestamp,
    error::{Error, Result},
};

const WINDOW: Duration = Duration::from_mins(1);
/// Most addresses that are remembered; beyond it the oldest windows are forgotten first.
const ADDRESSES: usize = 100_000;

/// Failed attempts by address, in windows of a minute.
pub struct Attempts {
    most: u32,
    failed: Mutex<HashMap<IpAddr, (Timestamp, u32)>>,
}

impl Attempts {
    /// Allows `most` failures a minute.
    pub fn new(most: u32) -> Self {
        Self {
            most,
            failed: Mutex::default(),
        }
    }

    /// Fails while an address has used up its failures of this minute.
    pub fn check(&self, address: IpAddr, now: Timestamp) -> Result<()> {
        let failed = self.failed.lock().expect("no panic while counting");
        match failed.get(&network(address)) {
            Some((since, count)) if *count >= self.most && now.since(*since) < WINDOW => {
                let left = WINDOW.saturating_sub(now.since(*since));
                Err(Error::RateLimited {
                    retry_after_seconds: left.as_secs() + 1,
                })
            }
            _ => Ok(()),
        }
    }

    /// Counts one failure.
    pub fn failed(&self, address: IpAddr, now: Timestamp) {
        let mut failed = self.failed.lock().expect("no panic while counting");
        if failed.len() >= ADDRESSES {
            failed.retain(|_, (since, _)| now.since(*since) < WINDOW);
            if failed.len() >= ADDRESSES {
                failed.clear();
            }
        }
        let entry = failed.entry(network(address)).or_insert((now, 0));
        if now.since(entry.0) >= WINDOW {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
}

/// What counts as one address: an IPv4 address, or the /64 network of an IPv6 one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_limited_by_its_failures_and_free_again_after_a_minute() {
        let attempts = Attempts::new(2);
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let now = Timestamp(1_000_000);
        attempts.failed(one, now);
        assert!(attempts.check(one, now).is_ok());
        attempts.failed(one, now);
        assert!(matches!(
            attempts.check(one, now.plus(Duration::from_secs(20))),
            Err(Error::RateLimited {
                retry_after_seconds: 41
            })
        ));
        assert!(attempts.check(other, now).is_ok());
        assert!(attempts.check(one, now.plus(WINDOW)).is_ok());
    }

    #[test]
    fn neighbours_in_one_ipv6_network_count_as_one_address() {
        let attempts = Attempts::new(1);
        attempts.failed("2001:db8::1".parse().expect("an address"), Timestamp(0));
        let neighbour = "2001:db8::ffff".parse().expect("an address");
        assert!(attempts.check(neighbour, Timestamp(0)).is_err());
    }
}
