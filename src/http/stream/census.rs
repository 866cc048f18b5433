//! How much of something each application has open on this node.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use uuid::Uuid;

/// How much each application has open.
#[derive(Clone, Default)]
pub(in crate::http) struct Census(Arc<Mutex<HashMap<Uuid, usize>>>);

impl Census {
    /// One more, unless the application has this many already.
    pub(in crate::http) fn seat(&self, application: Uuid, most: usize) -> Option<Seat> {
        let mut taken = self.0.lock().expect("no panic while counting");
        let count = taken.entry(application).or_default();
        (*count < most).then(|| {
            *count += 1;
            Seat {
                census: self.clone(),
                application,
            }
        })
    }
}

/// One of those; given back when dropped.
pub(in crate::http) struct Seat {
    census: Census,
    application: Uuid,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.census.0.lock().expect("no panic while counting");
        if let Some(count) = taken.get_mut(&self.application) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.application);
            }
        }
    }
}
