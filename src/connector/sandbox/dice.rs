//! Answers that look like chance and are functions of a seed.
//!
//! Everything the sandbox shows must come out the same on every node, in every version and for every call, so nothing
//! here depends on a library's generator. Unfit for keys.

use sha2::{Digest, Sha256};

/// What a sandbox user's data follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seed {
    number: u64,
    /// Whether the bank shows everything that a bank can show.
    pub(super) in_full: bool,
}

impl Seed {
    /// The seed of a user of a connector.
    pub(super) fn of(connector: i32, user: &str) -> Self {
        let digest = Sha256::new()
            .chain_update(b"ponte sandbox")
            .chain_update(connector.to_be_bytes())
            .chain_update(user.as_bytes())
            .finalize();
        let (head, _) = digest
            .split_first_chunk::<8>()
            .expect("a digest has 32 bytes");
        Self {
            number: u64::from_be_bytes(*head),
            in_full: false,
        }
    }

    /// The same, at a bank that shows everything.
    pub(super) fn showing_all(self, in_full: bool) -> Self {
        Self { in_full, ..self }
    }

    /// Dice for one question: the same subject and number always roll the same.
    pub(super) fn dice(self, subject: u64, number: i64) -> Dice {
        let mut dice = Dice(self.number ^ mixed(subject));
        dice.0 = dice.roll() ^ number.cast_unsigned();
        dice
    }
}

/// A sequence of rolls.
pub(super) struct Dice(u64);

impl Dice {
    /// Any number (`SplitMix64`).
    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed(self.0)
    }

    /// A number in `low..=high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.abs_diff(low) + 1;
        low.saturating_add_unsigned(self.roll() % span)
    }

    /// Whether something happens that does so in this many of 100 cases.
    pub(super) fn percent(&mut self, chance: i64) -> bool {
        self.between(1, 100) <= chance
    }

    /// One of these.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let last = i64::try_from(choices.len()).map_or(0, |len| len - 1);
        &choices[usize::try_from(self.between(0, last)).unwrap_or(0)]
    }
}

fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_sees_the_same_bank_for_ever() {
        let mut dice = Seed::of(0, "user-ok").dice(1, 2);
        let rolls = [dice.roll(), dice.roll()];
        assert_eq!(rolls, [0x6e65_78c0_3ff4_7cfc, 0xa9a4_407b_f173_d420]);
    }

    #[test]
    fn ranges_include_both_ends_and_nothing_else() {
        let mut dice = Seed::of(0, "user-ok").dice(0, 0);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            seen.insert(dice.between(-1, 2));
        }
        assert_eq!(Vec::from_iter(seen), [-1, 0, 1, 2]);
    }
}
