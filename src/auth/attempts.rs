//! How often one address may guess a client secret wrongly, on all nodes together.
//!
//! Every failure is a row's business, so that going from node to node gains a guesser nothing; what this node knows of it
//! refuses without a query. Rows hold a keyed digest of the address and go a minute after their window.

use std::{collections::HashMap, net::IpAddr, sync::Mutex, time::Duration};

use crate::{
    app::App,
    clock::Timestamp,
    db,
    error::{Error, Result},
};

const WINDOW: Duration = Duration::from_mins(1);
/// Most addresses that this node remembers; beyond it all are forgotten, those whose window is over first.
const ADDRESSES: usize = 100_000;
/// Most failures of a window that this node writes down; further ones it counts by itself, so that a guesser with many
/// networks fills no table.
const WRITTEN: usize = 20_000;
/// Most old windows that are removed at once.
const FORGOTTEN: usize = 2 * WRITTEN;

/// Failed attempts by address, in windows of a minute, as far as this node knows.
pub struct Attempts {
    most: u32,
    known: Mutex<Known>,
}

struct Known {
    failed: HashMap<IpAddr, (Timestamp, u32)>,
    /// When this node began to count what it writes.
    since: Timestamp,
    /// How much it has written since.
    written: usize,
}

/// Who is told of a failure.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    /// This node.
    Here,
    /// All nodes.
    All,
    /// All nodes, and old windows are to be removed.
    AllAnew,
}

impl Attempts {
    /// Allows `most` failures a minute.
    pub fn new(most: u32) -> Self {
        Self {
            most,
            known: Mutex::new(Known {
                failed: HashMap::new(),
                since: Timestamp(i64::MIN),
                written: 0,
            }),
        }
    }

    /// Fails with RATE_LIMITED when so much has failed in a window.
    fn judge(&self, (since, count): (Timestamp, u32), now: Timestamp) -> Result<()> {
        if count >= self.most && now.since(since) < WINDOW {
            let left = WINDOW.saturating_sub(now.since(since));
            return Err(Error::RateLimited {
                retry_after_seconds: left.as_secs() + 1,
            });
        }
        Ok(())
    }

    /// Fails while this node knows that an address has used up its failures.
    fn check(&self, address: IpAddr, now: Timestamp) -> Result<()> {
        let known = self.known.lock().expect("no panic while counting");
        known
            .failed
            .get(&network(address))
            .map_or(Ok(()), |window| self.judge(*window, now))
    }

    /// Counts one failure, and says who is to be told of it.
    fn failed(&self, address: IpAddr, now: Timestamp) -> Told {
        let mut known = self.known.lock().expect("no panic while counting");
        let Known {
            failed,
            since,
            written,
        } = &mut *known;
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
        if now.since(*since) >= WINDOW {
            (*since, *written) = (now, 0);
        }
        *written += 1;
        match *written {
            1 => Told::AllAnew,
            2..=WRITTEN => Told::All,
            _ => Told::Here,
        }
    }

    /// Remembers how an address stands on all nodes.
    fn learn(&self, address: IpAddr, window: (Timestamp, u32)) {
        let mut known = self.known.lock().expect("no panic while counting");
        known.failed.insert(network(address), window);
    }
}

/// Fails with RATE_LIMITED while an address has used up its failures of this minute, on whatever node.
pub async fn check(app: &App, address: IpAddr, now: Timestamp) -> Result<()> {
    app.attempts.check(address, now)?;
    let Some(row) = db::guess::find(&app.db, &digest(app, address)).await? else {
        return Ok(());
    };
    let window = (row.since, u32::try_from(row.failed).unwrap_or(u32::MAX));
    let judged = app.attempts.judge(window, now);
    if judged.is_err() {
        app.attempts.learn(address, window);
    }
    judged
}

/// Counts one failure of an address.
pub async fn failed(app: &App, address: IpAddr, now: Timestamp) -> Result<()> {
    let told = app.attempts.failed(address, now);
    if told == Told::Here {
        return Ok(());
    }
    let network = digest(app, address);
    let db = app.db.clone();
    app.unit(async move {
        db::guess::count(&db, &network, now, WINDOW).await?;
        if told == Told::AllAnew {
            db::guess::forget(&db, now.minus(2 * WINDOW), FORGOTTEN).await?;
        }
        Ok(())
    })
    .await
}

fn digest(app: &App, address: IpAddr) -> [u8; 32] {
    let network = network(address).to_string();
    app.vault.digest(&[b"secret guesses", network.as_bytes()])
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
    fn no_guesser_fills_the_table() {
        let attempts = Attempts::new(2);
        let now = Timestamp(1_000_000);
        let address = |n: u32| IpAddr::V4(n.into());
        assert_eq!(attempts.failed(address(0), now), Told::AllAnew);
        for n in 1..20_000 {
            assert_eq!(attempts.failed(address(n), now), Told::All);
        }
        assert_eq!(attempts.failed(address(20_000), now), Told::Here);
        let next = now.plus(WINDOW);
        assert_eq!(attempts.failed(address(20_001), next), Told::AllAnew);
    }

    #[test]
    fn neighbours_in_one_ipv6_network_count_as_one_address() {
        let attempts = Attempts::new(1);
        attempts.failed("2001:db8::1".parse().expect("an address"), Timestamp(0));
        let neighbour = "2001:db8::ffff".parse().expect("an address");
        assert!(attempts.check(neighbour, Timestamp(0)).is_err());
    }
}
