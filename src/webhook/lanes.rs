//! Who may send at once: a fair share of a node's slots for every lane, and what waits for one.
//!
//! A lane whose last request came to its end in time is *trusted*: it may fill a quarter of the slots, or as many as its
//! owner allows, and have half a second's work claimed ahead, so that slots are never idle while the database is asked.
//! One whose did not, or that is unknown, may have a single request under way, and all of those together half of the
//! slots: endpoints that hang, however many, leave the rest to those that answer. Lanes with something claimed take free
//! slots in turn.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use super::circuit::THRESHOLD;
use crate::db::delivery::{Due, Quota};

/// A request that ends within this time, well or badly, makes its lane trusted.
const IN_TIME: Duration = Duration::from_secs(2);
/// How much work is claimed ahead.
const AHEAD: Duration = Duration::from_millis(500);
/// Most requests of one lane that are claimed ahead.
const AHEAD_MOST: usize = 256;
/// Most requests that are claimed ahead together.
const AHEAD_ALL: usize = 2_048;
/// Most lanes that are remembered; beyond it all idle ones are unknown again.
const MOST: usize = 10_000;

struct Lane<T> {
    under_way: usize,
    queue: VecDeque<Waiting<T>>,
    /// Whether it stands in line for a slot.
    in_line: bool,
    trusted: bool,
    /// How long the last request took.
    took: Duration,
    failures: i32,
    /// Failures that the database does not know of yet.
    unrecorded: usize,
    most: usize,
}

struct Waiting<T> {
    what: T,
    trial: bool,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self {
            under_way: 0,
            queue: VecDeque::new(),
            in_line: false,
            trusted: false,
            took: IN_TIME,
            failures: 0,
            unrecorded: 0,
            most: 1,
        }
    }
}

impl<T> Lane<T> {
    fn outstanding(&self) -> usize {
        self.under_way + self.queue.len()
    }

    fn ahead(&self) -> usize {
        let turns = AHEAD.as_micros() / self.took.as_micros().max(1);
        let turns = usize::try_from(turns).unwrap_or(AHEAD_MOST);
        turns.saturating_mul(self.most).min(AHEAD_MOST)
    }
}

/// What has taken a slot.
pub(super) struct Taken<T> {
    /// What is to be sent.
    pub what: T,
    /// Whose slot it is, for [`Lanes::leave`].
    pub slot: Slot,
}

/// What may be claimed, and who has to wait because others came first.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shared {
    pub quotas: Vec<Quota>,
    /// Whether no room was left for some.
    pub full: bool,
    /// The first, by its place, for which no trial was left.
    pub trial_behind: Option<usize>,
}

/// A slot of a lane.
pub(super) struct Slot {
    target: String,
    trial: bool,
}

/// The slots of one node, and what waits for them.
pub(super) struct Lanes<T> {
    slots: usize,
    /// Tasks that fill slots.
    seats: usize,
    under_way: usize,
    queued: usize,
    on_trial: usize,
    known: HashMap<String, Lane<T>>,
    line: VecDeque<String>,
}

impl<T> Lanes<T> {
    /// As many slots as this node sends at once.
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            seats: 0,
            under_way: 0,
            queued: 0,
            on_trial: 0,
            known: HashMap::new(),
            line: VecDeque::new(),
        }
    }

    /// How many more may be claimed.
    pub fn room(&self) -> usize {
        (self.slots + AHEAD_ALL).saturating_sub(self.outstanding())
    }

    /// How many are under way or wait for a slot.
    pub fn outstanding(&self) -> usize {
        self.under_way + self.queued
    }

    /// How many lanes may begin a trial.
    pub fn trials(&self) -> usize {
        (self.slots / 2).max(1).saturating_sub(self.on_trial)
    }

    /// Shares what may be claimed among lanes that have something due: one each in turn, until none is left or wanted.
    /// `budgets` says how many each may begin now.
    pub fn share(&mut self, due: &[Due], budgets: &[usize]) -> Shared {
        let mut free = self.room();
        let mut trials = self.trials();
        let mut trial_behind = None;
        let mut shares: Vec<(&Due, usize, usize)> = Vec::new();
        for (place, (one, budget)) in due.iter().zip(budgets).enumerate() {
            let room = self.wanted(one).min(*budget);
            let trial = self.known.get(&one.target).is_none_or(|lane| !lane.trusted);
            if room == 0 {
                continue;
            }
            if trial && trials == 0 {
                trial_behind.get_or_insert(place);
                continue;
            }
            if trial {
                trials -= 1;
            }
            shares.push((one, room, 0));
        }
        let mut given = true;
        while free > 0 && given {
            given = false;
            for (_, room, share) in &mut shares {
                if free > 0 && share < room {
                    *share += 1;
                    free -= 1;
                    given = true;
                }
            }
        }
        let full = shares.iter().any(|(_, _, share)| *share == 0);
        let quotas = shares
            .into_iter()
            .filter(|(_, _, share)| *share > 0)
            .map(|(one, _, most)| Quota {
                target: one.target.clone(),
                most,
                ordered: one.ordered,
            })
            .collect();
        Shared {
            quotas,
            full,
            trial_behind,
        }
    }

    /// How many a lane may have claimed now. Claims are few and large: a lane comes again once half of it is used up.
    fn wanted(&mut self, due: &Due) -> usize {
        if self.known.len() >= MOST && !self.known.contains_key(&due.target) {
            self.known
                .retain(|_, lane| lane.outstanding() + lane.unrecorded > 0);
        }
        let lane = self.known.entry(due.target.clone()).or_default();
        let quarter = (self.slots / 4).max(1);
        lane.most = quarter.min(due.most.unwrap_or(quarter)).max(1);
        let outstanding = lane.outstanding();
        if outstanding == 0 && lane.unrecorded == 0 {
            lane.failures = due.failures;
            lane.trusted &= due.probe_at.is_none();
        } else if lane.failures >= THRESHOLD {
            return 0;
        }
        if !lane.trusted {
            return usize::from(outstanding == 0);
        }
        let allowed = lane.most + lane.ahead();
        let room = allowed.saturating_sub(outstanding);
        if room * 2 < allowed { 0 } else { room }
    }

    /// Lets something that was claimed wait for a slot of its lane.
    pub fn enqueue(&mut self, target: &str, what: T) {
        let lane = self.known.entry(target.to_owned()).or_default();
        let trial = !lane.trusted;
        lane.queue.push_back(Waiting { what, trial });
        self.queued += 1;
        if trial {
            self.on_trial += 1;
        }
        self.line_up(target);
    }

    fn line_up(&mut self, target: &str) {
        if let Some(lane) = self.known.get_mut(target)
            && !lane.in_line
            && !lane.queue.is_empty()
            && lane.under_way < lane.most
        {
            lane.in_line = true;
            self.line.push_back(target.to_owned());
        }
    }

    /// How many tasks are to be started so that what waits finds a slot. Each calls [`Lanes::next`] until it has nothing.
    pub fn seats_wanted(&mut self) -> usize {
        let wanted = self.queued.min(self.slots - self.seats);
        self.seats += wanted;
        wanted
    }

    /// The next in line takes a slot; `None` ends the task that asks.
    pub fn next(&mut self) -> Option<Taken<T>> {
        while let Some(target) = self.line.pop_front() {
            let Some(lane) = self.known.get_mut(&target) else {
                continue;
            };
            lane.in_line = false;
            let Some(waiting) = lane.queue.pop_front() else {
                continue;
            };
            lane.under_way += 1;
            self.queued -= 1;
            self.under_way += 1;
            self.line_up(&target);
            return Some(Taken {
                what: waiting.what,
                slot: Slot {
                    target,
                    trial: waiting.trial,
                },
            });
        }
        self.seats -= 1;
        None
    }

    /// Ends a task that will not ask any more.
    pub fn unseat(&mut self) {
        self.seats -= 1;
    }

    /// Gives a slot back. `took` says how long the request took, if it came to an end; `failed`, whether the target did,
    /// if that is known. Answers what is no longer to be sent from here: the lane is not trusted any more, or keeps failing.
    pub fn leave(&mut self, slot: &Slot, took: Option<Duration>, failed: Option<bool>) -> Vec<T> {
        self.under_way -= 1;
        if slot.trial {
            self.on_trial -= 1;
        }
        let Some(lane) = self.known.get_mut(&slot.target) else {
            return Vec::new();
        };
        lane.under_way -= 1;
        lane.trusted = took.is_some_and(|time| time <= IN_TIME);
        lane.took = took.unwrap_or(IN_TIME);
        match failed {
            Some(true) => {
                lane.failures = lane.failures.saturating_add(1);
                lane.unrecorded += 1;
            }
            Some(false) => lane.failures = 0,
            None => {}
        }
        if lane.trusted && lane.failures < THRESHOLD {
            self.line_up(&slot.target);
            return Vec::new();
        }
        let back = std::mem::take(&mut lane.queue);
        self.handed_back(back)
    }

    /// A failure of this lane has been recorded, or never will be.
    pub fn recorded(&mut self, target: &str) {
        if let Some(lane) = self.known.get_mut(target) {
            lane.unrecorded = lane.unrecorded.saturating_sub(1);
        }
    }

    /// Takes everything back that waits for a slot.
    pub fn clear(&mut self) -> Vec<T> {
        let queues = self.known.values_mut();
        let all = queues.flat_map(|lane| std::mem::take(&mut lane.queue));
        let all: VecDeque<_> = all.collect();
        self.handed_back(all)
    }

    fn handed_back(&mut self, back: VecDeque<Waiting<T>>) -> Vec<T> {
        self.queued -= back.len();
        self.on_trial -= back.iter().filter(|waiting| waiting.trial).count();
        back.into_iter().map(|waiting| waiting.what).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Option<Duration> = Some(Duration::from_millis(10));
    const SLOW: Option<Duration> = Some(Duration::from_secs(1));
    const WELL: Option<bool> = Some(false);

    fn due(prefix: &str, count: usize) -> Vec<Due> {
        (0..count)
            .map(|n| Due {
                target: format!("{prefix}{n}"),
                ..Due::default()
            })
            .collect()
    }

    fn share(lanes: &mut Lanes<usize>, due: &[Due]) -> Vec<usize> {
        let shared = lanes.share(due, &vec![usize::MAX; due.len()]);
        shared.quotas.into_iter().map(|quota| quota.most).collect()
    }

    /// Claims all that is shared, and begins all that finds a slot.
    fn take(lanes: &mut Lanes<usize>, due: &[Due]) -> Vec<Slot> {
        for quota in lanes.share(due, &vec![usize::MAX; due.len()]).quotas {
            for n in 0..quota.most {
                lanes.enqueue(&quota.target, n);
            }
        }
        let seats = lanes.seats_wanted();
        (0..seats)
            .filter_map(|_| lanes.next().map(|taken| taken.slot))
            .collect()
    }

    fn trusted(lanes: &mut Lanes<usize>, due: &[Due], took: Option<Duration>) {
        for slot in take(lanes, due) {
            assert_eq!(lanes.leave(&slot, took, WELL).len(), 0);
            assert!(lanes.next().is_none());
        }
    }

    #[test]
    fn any_number_of_hanging_endpoints_leaves_half_of_the_slots() {
        let mut lanes = Lanes::new(32);
        let answering = due("answers", 1);
        trusted(&mut lanes, &answering, QUICK);
        let hanging = due("hangs", 500);
        let shared = lanes.share(&hanging, &[1; 500]);
        assert_eq!((shared.quotas.len(), shared.trial_behind), (16, Some(16)));
        assert_eq!(take(&mut lanes, &hanging).len(), 16);
        assert!(take(&mut lanes, &hanging).is_empty());
        assert_eq!(take(&mut lanes, &answering).len(), 8);
    }

    #[test]
    fn an_unknown_lane_is_tried_once_and_then_has_a_quarter_and_work_ahead() {
        let mut lanes = Lanes::new(32);
        let one = due("one", 1);
        let slots = take(&mut lanes, &one);
        assert_eq!(slots.len(), 1);
        assert!(share(&mut lanes, &one).is_empty());
        lanes.leave(&slots[0], SLOW, WELL);
        assert!(lanes.next().is_none());
        // A second each: nothing is claimed ahead.
        assert_eq!(share(&mut lanes, &one), [8]);
        let slots = take(&mut lanes, &one);
        assert_eq!(slots.len(), 8);
        for slot in slots {
            lanes.leave(&slot, Some(Duration::from_millis(100)), WELL);
            assert!(lanes.next().is_none());
        }
        // A tenth of a second each: eight slots do forty in half a second.
        assert_eq!(share(&mut lanes, &one), [48]);
        assert_eq!(take(&mut lanes, &one).len(), 8);
        assert_eq!(lanes.outstanding(), 48);
        assert!(
            share(&mut lanes, &one).is_empty(),
            "not before half is used"
        );
    }

    #[test]
    fn what_its_owner_allows_bounds_a_lane() {
        let mut lanes = Lanes::new(32);
        let mut one = due("one", 1);
        one[0].most = Some(2);
        trusted(&mut lanes, &one, SLOW);
        assert_eq!(take(&mut lanes, &one).len(), 2);
        let mut lanes = Lanes::new(32);
        trusted(&mut lanes, &one, QUICK);
        let slots = take(&mut lanes, &one);
        assert_eq!((slots.len(), lanes.outstanding()), (2, 102));
        assert_eq!(lanes.share(&one, &[0]), Shared::default());
    }

    #[test]
    fn a_lane_that_stops_answering_or_keeps_failing_hands_back_what_waits() {
        let mut lanes = Lanes::new(8);
        let one = due("one", 1);
        trusted(&mut lanes, &one, QUICK);
        let slots = take(&mut lanes, &one);
        let waiting = lanes.outstanding() - slots.len();
        assert_eq!(lanes.leave(&slots[0], None, Some(true)).len(), waiting);
        assert!(lanes.next().is_none());
        assert!(share(&mut lanes, &one).is_empty());
        assert!(lanes.leave(&slots[1], None, Some(true)).is_empty());
        lanes.recorded("one0");
        lanes.recorded("one0");
        assert_eq!(share(&mut lanes, &one), [1], "it is on trial again");

        let mut lanes = Lanes::new(64);
        trusted(&mut lanes, &one, QUICK);
        let mut back = 0;
        for (n, slot) in (1..).zip(take(&mut lanes, &one)) {
            let handed = lanes.leave(&slot, QUICK, Some(true)).len();
            assert!(handed == 0 || n == THRESHOLD);
            back += handed;
        }
        assert!(back > 0);
        assert_eq!(lanes.outstanding(), 0);
        assert!(share(&mut lanes, &one).is_empty(), "until it is recorded");
    }

    #[test]
    fn a_target_that_is_probed_gets_a_single_request() {
        let mut lanes = Lanes::new(32);
        let mut one = due("one", 1);
        trusted(&mut lanes, &one, QUICK);
        one[0].probe_at = Some(crate::clock::Timestamp(0));
        one[0].failures = THRESHOLD;
        assert_eq!(take(&mut lanes, &one).len(), 1);
        assert!(share(&mut lanes, &one).is_empty());
    }

    #[test]
    fn a_single_slot_serves_everybody_in_turn() {
        let mut lanes = Lanes::new(1);
        let both = due("lane", 2);
        trusted(&mut lanes, &both[..1], QUICK);
        trusted(&mut lanes, &both[1..], QUICK);
        let mut slots = take(&mut lanes, &both);
        let mut order = Vec::new();
        while let Some(slot) = slots.pop().or_else(|| lanes.next().map(|taken| taken.slot)) {
            order.push(slot.target.clone());
            lanes.leave(&slot, QUICK, WELL);
        }
        assert_eq!(order[..4], ["lane0", "lane1", "lane0", "lane1"]);
        assert_eq!(lanes.outstanding(), 0);
    }
}
