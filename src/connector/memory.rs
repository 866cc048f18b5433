//! What a connector keeps of an Item between runs.

use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

/// What a connector keeps of an Item between runs, in its own form: a trusted device, a grant that can be renewed.
///
/// Sealed at rest. What a call keeps is stored with the step that the call ends, so a crash before that forgets it; new
/// parameters of the user forget it too.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Kept>>);

/// What is to be stored of a [`Memory`].
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Change {
    /// It is as it was.
    #[default]
    None,
    /// Nothing is kept any more.
    Forget,
    /// This is kept from now on.
    Keep(Zeroizing<Vec<u8>>),
}

#[derive(Default)]
struct Kept {
    value: Option<Zeroizing<Vec<u8>>>,
    changed: bool,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Memory(<redacted>)")
    }
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Forget => "Forget",
            Self::Keep(_) => "Keep(<redacted>)",
        })
    }
}

impl Memory {
    /// With what was kept.
    pub fn of(value: Option<Zeroizing<Vec<u8>>>) -> Self {
        Self(Arc::new(Mutex::new(Kept {
            value,
            changed: false,
        })))
    }

    /// What is kept.
    pub fn recall(&self) -> Option<Zeroizing<Vec<u8>>> {
        self.with(|kept| kept.value.clone())
    }

    /// Keeps this from now on, and nothing when `None`.
    pub fn keep(&self, value: Option<Vec<u8>>) {
        let value = value.map(Zeroizing::new);
        self.with(|kept| {
            kept.changed |= kept.value != value;
            kept.value = value;
        });
    }

    /// What is to be stored since this was last asked.
    pub fn take_change(&self) -> Change {
        self.with(
            |kept| match (std::mem::take(&mut kept.changed), &kept.value) {
                (false, _) => Change::None,
                (true, None) => Change::Forget,
                (true, Some(value)) => Change::Keep(value.clone()),
            },
        )
    }

    fn with<T>(&self, what: impl FnOnce(&mut Kept) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_sameness_never() {
        let memory = Memory::of(Some(Zeroizing::new(b"a".to_vec())));
        assert_eq!(memory.take_change(), Change::None);
        memory.keep(Some(b"a".to_vec()));
        assert_eq!(memory.take_change(), Change::None);
        memory.clone().keep(Some(b"b".to_vec()));
        let changed = Change::Keep(Zeroizing::new(b"b".to_vec()));
        assert_eq!(memory.take_change(), changed);
        assert_eq!(memory.take_change(), Change::None);
        memory.keep(None);
        assert_eq!(memory.take_change(), Change::Forget);
        assert_eq!(memory.recall(), None);
    }
}
