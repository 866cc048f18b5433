//! What a node takes next: a fair share of what waits, within the limits of every connector.
//!
//! One node at a time claims, in a transaction of a few milliseconds, because what it may take follows from what all the
//! others hold. Runs that another node has lost go first, however many wait; then those that somebody has asked for, then
//! automatic ones, which leave a part of the node to the others. An application that has little running goes before one that has much, whoever has
//! waited longer, so that none can hold up another by how much it asks for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};

use entity::{connector_gate, execution};
use sea_orm::DatabaseTransaction;
use uuid::Uuid;

use crate::{
    app::App,
    clock::Timestamp,
    config::limits::Limits,
    db::{
        gate,
        lane::{self, Candidate, Lane},
    },
    error::Result,
    item,
};

/// Lanes that one claim looks at.
const WINDOW: usize = 512;
/// A run begins while its first request would wait for no longer than this: longer than nothing, so that whoever asks
/// without pause holds up nobody's runs, and shorter than others wait for their turn.
const AHEAD: Duration = Duration::from_secs(15);
/// Most executions that one claim takes.
const MOST: usize = 64;
/// This part of a node's executions at once is left to those that somebody waits for.
const RESERVED_PART: usize = 4;

/// Whose turn it is on this node, when there are more lanes than one claim looks at.
#[derive(Debug, Default)]
pub struct Turn {
    behind: Option<Lane>,
}

/// What a claim has brought.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Executions that this node holds now.
    pub executions: Vec<execution::Model>,
    /// Whether every lane has had its turn since the last time that this was so.
    pub round: bool,
}

/// The connectors of this node.
fn connectors(app: &App) -> Vec<i32> {
    let all = app.connectors.list();
    all.map(|connector| connector.descriptor().id).collect()
}

/// Everything that anybody may have running, of every application at every connector of this node.
fn lanes(app: &App) -> Vec<Lane> {
    let connectors = connectors(app);
    let lanes = app.applications.ids().into_iter().flat_map(|application| {
        connectors.iter().map(move |&connector| Lane {
            application,
            connector,
        })
    });
    lanes.collect()
}

/// How long the longest Item has waited for its automatic run.
pub async fn lag(app: &App) -> Result<Duration> {
    let (db, now) = (&app.db, app.clock.now());
    let mut lag = Duration::ZERO;
    for lanes in lanes(app).chunks(WINDOW) {
        let first = lane::due_items(db, db.read(), lanes, now, 1).await?;
        let waited = first.iter().map(|candidate| now.since(candidate.due_at));
        lag = waited.chain([lag]).max().unwrap_or_default();
    }
    Ok(lag)
}

/// Takes what this node runs next, `free` executions at most of `slots` that it runs at once.
pub async fn claim(app: &App, turn: &mut Turn, free: usize, slots: usize) -> Result<Claimed> {
    let all = lanes(app).into_iter();
    let mut lanes: Vec<Lane> = all
        .filter(|lane| turn.behind.is_none_or(|behind| *lane > behind))
        .take(WINDOW + 1)
        .collect();
    let round = lanes.len() <= WINDOW;
    lanes.truncate(WINDOW);
    turn.behind = lanes.last().copied().filter(|_| !round);
    let room = Room {
        free,
        reserved: slots / RESERVED_PART,
    };
    // Looked at first without keeping others from claiming: most of the time there is nothing.
    if !any(app, &lanes, room).await? {
        let executions = Vec::new();
        return Ok(Claimed { executions, round });
    }
    let owner = app.clone();
    let executions = app
        .unit(async move { take(&owner, &lanes, room).await })
        .await?;
    Ok(Claimed { executions, round })
}

/// Whether anything waits, of what is automatic or asked for in some lanes.
async fn any(app: &App, lanes: &[Lane], room: Room) -> Result<bool> {
    let (db, now, young) = (&app.db, app.clock.now(), app.young());
    let lost = lane::lost_executions(db.read(), &connectors(app), now, young, 1).await?;
    let asked = lane::due_executions(db, db.read(), lanes, now, 1).await?;
    Ok(!lost.is_empty()
        || !asked.is_empty()
        || (room.automatic(0) > 0
            && !lane::due_items(db, db.read(), &open(app, lanes, now), now, 1)
                .await?
                .is_empty()))
}

/// The lanes whose automatic runs do not wait for a connector that is OFFLINE.
fn open(app: &App, lanes: &[Lane], now: Timestamp) -> Vec<Lane> {
    let open = |lane: &&Lane| {
        let Lane {
            application,
            connector,
        } = **lane;
        !app.health.holds_back(connector, application, now)
    };
    lanes.iter().filter(open).copied().collect()
}

/// Of each connector that is OFFLINE one, to try it out, and of the others all.
fn one_of_each_offline(app: &App, candidates: Vec<Candidate>) -> Vec<Candidate> {
    let mut tried = BTreeSet::new();
    let mut through = candidates;
    through.retain(|candidate| {
        let Lane {
            application,
            connector,
        } = candidate.lane;
        !app.health.offline(connector, application) || tried.insert(connector)
    });
    through
}

/// Leaves out those that would try out a connector which is OFFLINE before it is time to.
async fn let_through(
    app: &App,
    txn: &DatabaseTransaction,
    chosen: Vec<Candidate>,
    now: Timestamp,
) -> Result<Vec<Uuid>> {
    let mut through = Vec::with_capacity(chosen.len());
    for candidate in chosen {
        let Lane {
            application,
            connector,
        } = candidate.lane;
        if !app.health.offline(connector, application)
            || item::health::begin_trial(txn, connector, now).await?
        {
            through.push(candidate.id);
        }
    }
    Ok(through)
}

async fn take(app: &App, lanes: &[Lane], room: Room) -> Result<Vec<execution::Model>> {
    let (db, lease, young) = (&app.db, app.config.lease, app.young());
    let txn = db.begin().await?;
    lane::hold_claim(db, &txn).await?;
    let now = app.clock.now();
    let most = room.asked();
    let lost = lane::lost_executions(&txn, &connectors(app), now, young, most).await?;
    let asked = lane::due_executions(db, &txn, lanes, now, most).await?;
    let automatic = match room.automatic(0) {
        0 => Vec::new(),
        most => lane::due_items(db, &txn, &open(app, lanes, now), now, most).await?,
    };
    let automatic = one_of_each_offline(app, automatic);
    let mut share = Share::new(
        &app.config.connector_limits,
        lane::running(db, &txn, now).await?,
        gate::all(&txn).await?,
        now,
    );
    let mut taken = Vec::new();
    let mut chosen = ids(&share.choose(lost, most));
    chosen.extend(ids(&share.choose(asked, most - chosen.len())));
    if !chosen.is_empty() {
        taken = lane::take_executions(db, &txn, &chosen, now, lease, young).await?;
    }
    let chosen = share.choose(automatic, room.automatic(chosen.len()));
    let chosen = let_through(app, &txn, chosen, now).await?;
    if !chosen.is_empty() {
        let items = lane::take_items(db, &txn, &chosen, now).await?;
        taken.extend(item::auto_sync::start(&txn, app, items, now.plus(lease)).await?);
    }
    txn.commit().await?;
    app.wakes.relay.notify();
    Ok(taken)
}

fn ids(candidates: &[Candidate]) -> Vec<Uuid> {
    candidates.iter().map(|candidate| candidate.id).collect()
}

/// How much a node may take.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Executions that it could begin now.
    free: usize,
    /// Of these, left to those that somebody waits for.
    reserved: usize,
}

impl Room {
    /// For what has been asked for.
    fn asked(self) -> usize {
        self.free.min(MOST)
    }

    /// For automatic runs, beside so many others.
    fn automatic(self, others: usize) -> usize {
        self.free.saturating_sub(others + self.reserved).min(MOST)
    }
}

/// What may be taken yet, given what runs everywhere.
struct Share<'a> {
    limits: &'a Limits,
    now: Timestamp,
    of_application: HashMap<Uuid, usize>,
    of_connector: HashMap<i32, usize>,
    gates: HashMap<i32, Timestamp>,
}

impl<'a> Share<'a> {
    fn new(
        limits: &'a Limits,
        running: Vec<(Lane, usize)>,
        gates: Vec<connector_gate::Model>,
        now: Timestamp,
    ) -> Self {
        let mut share = Self {
            limits,
            now,
            of_application: HashMap::new(),
            of_connector: HashMap::new(),
            gates: gates
                .into_iter()
                .map(|gate| (gate.connector_id, gate.next_start_at))
                .collect(),
        };
        for (lane, held) in running {
            share.count(lane, held);
        }
        share
    }

    fn count(&mut self, lane: Lane, held: usize) {
        *self.of_application.entry(lane.application).or_default() += held;
        *self.of_connector.entry(lane.connector).or_default() += held;
    }

    /// The next to run, at most so many: of the application that has least running, what has waited longest and whose
    /// connector has room.
    fn choose(&mut self, mut candidates: Vec<Candidate>, most: usize) -> Vec<Candidate> {
        candidates.sort_unstable_by_key(|candidate| (candidate.due_at, candidate.id));
        let mut waiting: BTreeMap<Uuid, VecDeque<Candidate>> = BTreeMap::new();
        for candidate in candidates {
            let of_application = waiting.entry(candidate.lane.application).or_default();
            of_application.push_back(candidate);
        }
        let mut chosen = Vec::new();
        while chosen.len() < most {
            let least = waiting.iter().min_by_key(|(application, queue)| {
                let running = self.of_application.get(application).copied().unwrap_or(0);
                (running, queue.front().map(|first| first.due_at))
            });
            let Some(application) = least.map(|(application, _)| *application) else {
                break;
            };
            let next = waiting.get_mut(&application).and_then(VecDeque::pop_front);
            match next {
                Some(candidate) if self.admit(candidate.lane) => chosen.push(candidate),
                Some(_) => {}
                None => {
                    waiting.remove(&application);
                }
            }
        }
        chosen
    }

    /// Counts a start in a lane, if its connector has room for one.
    fn admit(&mut self, lane: Lane) -> bool {
        let limit = self.limits.of(lane.connector);
        let running = self.of_connector.get(&lane.connector).copied().unwrap_or(0);
        if limit.at_once.is_some_and(|most| running >= most) {
            return false;
        }
        if let Some(pace) = limit.pace() {
            let next = self.gates.get(&lane.connector).copied();
            let next = next.unwrap_or(self.now).max(self.now);
            if next > self.now.plus(AHEAD) {
                return false;
            }
            // Its first request takes that place as soon as it runs.
            self.gates.insert(lane.connector, next.plus(pace.apart));
        }
        self.count(lane, 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    fn waiting(application: u128, connector: i32, since: i64, count: u128) -> Vec<Candidate> {
        (0..count)
            .map(|n| Candidate {
                id: id(application * 1_000_000 + u128::from(connector.unsigned_abs()) * 10_000 + n),
                lane: Lane {
                    application: id(application),
                    connector,
                },
                due_at: Timestamp(since),
            })
            .collect()
    }

    fn of_application(chosen: &[Uuid], application: u128) -> usize {
        let own = |one: &&Uuid| one.as_u128() / 1_000_000 == application;
        chosen.iter().filter(own).count()
    }

    #[test]
    fn a_long_backlog_of_one_application_does_not_hold_up_another() {
        let limits = Limits::default();
        let lane = waiting(1, 0, 0, 1)[0].lane;
        let mut share = Share::new(&limits, vec![(lane, 5)], Vec::new(), NOW);
        let candidates = [waiting(1, 0, 10, 100), waiting(2, 0, 900_000, 100)].concat();
        let chosen = share.choose(candidates, 9);
        // Five run already: the other catches up, then they take turns.
        assert_eq!(of_application(&ids(&chosen), 2), 7);
        assert_eq!(of_application(&ids(&chosen), 1), 2);
    }

    #[test]
    fn a_connector_at_its_limit_holds_up_no_other() {
        let limits: Limits = "7=3".parse().expect("limits");
        let lane = waiting(1, 7, 0, 1)[0].lane;
        let mut share = Share::new(&limits, vec![(lane, 2)], Vec::new(), NOW);
        let candidates = [waiting(1, 7, 10, 50), waiting(1, 8, 20, 5)].concat();
        let chosen = share.choose(candidates, 10);
        assert_eq!(chosen.len(), 1 + 5);
    }

    #[test]
    fn runs_begin_as_fast_as_requests_may_be_made() {
        for per_minute in [1_u32, 2, 7, 60, 600] {
            let limits: Limits = format!("*=0/{per_minute}").parse().expect("limits");
            let apart = limits.of(0).pace().expect("a pace").apart;
            let mut gates: Vec<connector_gate::Model> = Vec::new();
            let mut starts = 0;
            // Looked at every half second for four minutes; each run asks once, as soon as it is taken.
            for tick in 0..480 {
                let now = NOW.plus(Duration::from_millis(500) * tick);
                let mut share = Share::new(&limits, Vec::new(), gates.clone(), now);
                let chosen = share.choose(waiting(1, 0, 0, 1_000), 1_000).len();
                starts += chosen;
                let next = gates
                    .first()
                    .map_or(now, |gate| gate.next_start_at.max(now));
                let used = apart * u32::try_from(chosen).expect("few");
                let next_start_at = next.plus(used);
                assert!(
                    next_start_at <= now.plus(AHEAD + apart),
                    "{per_minute} a minute"
                );
                gates = vec![connector_gate::Model {
                    connector_id: 0,
                    next_start_at,
                }];
            }
            let four = usize::try_from(per_minute * 4).expect("small");
            let ahead = usize::try_from(AHEAD.as_millis() / apart.as_millis()).expect("small");
            assert!(starts * 10 >= four * 9, "{starts} of {four}");
            assert!(starts <= four + ahead + 1, "{starts} of {four}");
        }
    }
}
