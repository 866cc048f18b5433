//! Where a follower stands in the log.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use uuid::Uuid;

const NOWHERE: i64 = i64::MIN;

/// Where a follower stands, told by the stream to whoever serves it: a transport can resume it elsewhere, name its
/// events, and skip what is superseded. Also the other way round: from where a stream is to go on.
#[derive(Clone, Default)]
pub struct Place(Arc<Inner>);

struct Inner {
    resume: Option<i64>,
    position: AtomicI64,
    item: Mutex<Option<Uuid>>,
    coalesce: AtomicBool,
    waits: AtomicBool,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            resume: None,
            position: AtomicI64::new(NOWHERE),
            item: Mutex::default(),
            coalesce: AtomicBool::default(),
            waits: AtomicBool::default(),
        }
    }
}

impl Place {
    /// Of a stream that goes on behind a position, whatever its own arguments say.
    pub fn resuming(position: Option<i64>) -> Self {
        Self(Arc::new(Inner {
            resume: position,
            ..Inner::default()
        }))
    }

    /// Behind what the stream is to go on, if it is told from outside.
    pub fn resume(&self) -> Option<i64> {
        self.0.resume
    }

    /// Everything up to here has been told or is not wanted; `None` until the stream can be resumed.
    pub fn position(&self) -> Option<i64> {
        let position = self.0.position.load(Ordering::Acquire);
        (position != NOWHERE).then_some(position)
    }

    /// What the last answer is about.
    pub fn item(&self) -> Option<Uuid> {
        *self.0.item.lock().expect("no panic while telling")
    }

    /// Whether answers that a later one of the same Item supersedes may be skipped.
    pub fn coalesces(&self) -> bool {
        self.0.coalesce.load(Ordering::Acquire)
    }

    /// Whether everything has been told and the stream waits for what is to come.
    pub fn waits(&self) -> bool {
        self.0.waits.load(Ordering::Acquire)
    }

    pub(super) fn wait(&self, waits: bool) {
        self.0.waits.store(waits, Ordering::Release);
    }

    pub(super) fn at(&self, position: i64) {
        self.0.position.store(position, Ordering::Release);
    }

    /// The next answer is about this.
    pub fn about(&self, item: Option<Uuid>) {
        *self.0.item.lock().expect("no panic while telling") = item;
    }

    pub(super) fn coalesce(&self, coalesce: bool) {
        self.0.coalesce.store(coalesce, Ordering::Release);
    }
}
