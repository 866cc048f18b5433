//! Who may send at once: a fair share of a node's slots for every lane.
//!
//! A lane whose last request came to its end in time is *trusted* and may fill a quarter of the slots. One whose did not,
//! or that is unknown, may have a single request under way, and all of those together half of the slots: endpoints that
//! hang, however many, leave the rest to those that answer.

use std::{collections::HashMap, time::Duration};

use crate::db::delivery::Quota;

/// A request that ends within this time, well or badly, makes its lane trusted.
const IN_TIME: Duration = Duration::from_secs(2);
/// Most lanes that are remembered; beyond it all idle ones are unknown again.
const MOST: usize = 10_000;

#[derive(Clone, Copy, Default)]
struct Lane {
    under_way: usize,
    trusted: bool,
}

/// The slots of one node.
pub(super) struct Lanes {
    slots: usize,
    under_way: usize,
    on_trial: usize,
    known: HashMap<String, Lane>,
}

impl Lanes {
    /// As many slots as this node sends at once.
    pub fn new(slots: usize) -> Self {
        Self {
            slots,
            under_way: 0,
            on_trial: 0,
            known: HashMap::new(),
        }
    }

    /// Whether a slot is free.
    pub fn has_room(&self) -> bool {
        self.under_way < self.slots
    }

    /// Whether nothing is under way.
    pub fn idle(&self) -> bool {
        self.under_way == 0
    }

    /// Shares the free slots among lanes that have something due: one each in turn, until none is left or wanted.
    pub fn share(&self, due: &[String]) -> Vec<Quota> {
        let mut free = self.slots - self.under_way;
        let mut trials = (self.slots / 2).max(1).saturating_sub(self.on_trial);
        let mut shares: Vec<(&String, usize, usize)> = Vec::new();
        for target in due {
            let lane = self.known.get(target).copied().unwrap_or_default();
            let room = if lane.trusted {
                (self.slots / 4).max(1).saturating_sub(lane.under_way)
            } else if lane.under_way == 0 && trials > 0 {
                trials -= 1;
                1
            } else {
                0
            };
            if room > 0 {
                shares.push((target, room, 0));
            }
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
        shares
            .into_iter()
            .filter(|(_, _, share)| *share > 0)
            .map(|(target, _, most)| Quota {
                target: target.clone(),
                most,
            })
            .collect()
    }

    /// Takes a slot for a lane; says whether it is on trial, for [`Lanes::leave`].
    pub fn enter(&mut self, target: &str) -> bool {
        if self.known.len() >= MOST && !self.known.contains_key(target) {
            self.known.retain(|_, lane| lane.under_way > 0);
        }
        let lane = self.known.entry(target.to_owned()).or_default();
        let trial = !lane.trusted;
        lane.under_way += 1;
        self.under_way += 1;
        if trial {
            self.on_trial += 1;
        }
        trial
    }

    /// Gives a slot back. `took` says how long the request took, if it came to an end.
    pub fn leave(&mut self, target: &str, trial: bool, took: Option<Duration>) {
        self.under_way -= 1;
        if trial {
            self.on_trial -= 1;
        }
        if let Some(lane) = self.known.get_mut(target) {
            lane.under_way -= 1;
            lane.trusted = took.is_some_and(|time| time <= IN_TIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Option<Duration> = Some(Duration::from_millis(10));

    fn names(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|n| format!("{prefix}{n}")).collect()
    }

    fn take(lanes: &mut Lanes, due: &[String]) -> Vec<(String, bool)> {
        lanes
            .share(due)
            .into_iter()
            .flat_map(|quota| std::iter::repeat_n(quota.target, quota.most))
            .map(|target| {
                let trial = lanes.enter(&target);
                (target, trial)
            })
            .collect()
    }

    fn trusted(lanes: &mut Lanes, target: &str) {
        let trial = lanes.enter(target);
        lanes.leave(target, trial, QUICK);
    }

    #[test]
    fn any_number_of_hanging_endpoints_leaves_half_of_the_slots() {
        let mut lanes = Lanes::new(32);
        let hanging = names("hangs", 500);
        assert_eq!(take(&mut lanes, &hanging).len(), 16);
        assert!(take(&mut lanes, &hanging).is_empty());
        trusted(&mut lanes, "answers");
        assert_eq!(take(&mut lanes, &["answers".to_owned()]).len(), 8);
    }

    #[test]
    fn an_unknown_lane_is_tried_once_and_then_has_a_quarter() {
        let mut lanes = Lanes::new(8);
        let one = ["one".to_owned()];
        let taken = take(&mut lanes, &one);
        assert_eq!(taken, [("one".to_owned(), true)]);
        assert!(lanes.share(&one).is_empty());
        lanes.leave("one", true, QUICK);
        assert_eq!(take(&mut lanes, &one).len(), 2);
        assert!(lanes.share(&one).is_empty());
    }

    #[test]
    fn a_lane_that_stops_answering_is_on_trial_again() {
        let mut lanes = Lanes::new(8);
        trusted(&mut lanes, "one");
        let taken = take(&mut lanes, &["one".to_owned()]);
        for (target, trial) in taken {
            lanes.leave(&target, trial, None);
        }
        assert_eq!(take(&mut lanes, &["one".to_owned()]).len(), 1);
        assert!(!lanes.idle());
    }

    #[test]
    fn a_single_slot_serves_everybody_in_turn() {
        let mut lanes = Lanes::new(1);
        let both = names("lane", 2);
        assert_eq!(take(&mut lanes, &both), [("lane0".to_owned(), true)]);
        assert!(!lanes.has_room());
        lanes.leave("lane0", true, QUICK);
        assert!(lanes.idle() && lanes.has_room());
        assert_eq!(take(&mut lanes, &both[1..]).len(), 1);
    }

    #[test]
    fn free_slots_are_shared_evenly() {
        let mut lanes = Lanes::new(16);
        let all = names("lane", 5);
        for one in &all {
            trusted(&mut lanes, one);
        }
        let shares: Vec<usize> = lanes.share(&all).iter().map(|quota| quota.most).collect();
        assert_eq!(shares, [4, 3, 3, 3, 3]);
    }
}
