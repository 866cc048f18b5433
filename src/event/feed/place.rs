//! Where a follower stands in the log.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use uuid::Uuid;

use super::Signal;

const NOWHERE: i64 = i64::MIN;

/// Where a follower stands, told by the stream to whoever serves it: a transport can resume it elsewhere, name its
/// events, and skip what is superseded. Also the other way round: from where a stream is to go on.
#[derive(Clone, Default)]
pub struct Place(Arc<Inner>);

struct Inner {
    resume: Option<i64>,
    continues: bool,
    signal: Mutex<Option<Signal>>,
    position: AtomicI64,
    item: Mutex<Option<Uuid>>,
    coalesce: AtomicBool,
    waits: AtomicBool,
    pending: Mutex<Pending>,
}

/// What of the log only this stream knows how to tell.
#[derive(Default)]
struct Pending {
    until: i64,
    events: HashSet<Uuid>,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            resume: None,
            continues: false,
            signal: Mutex::default(),
            position: AtomicI64::new(NOWHERE),
            item: Mutex::default(),
            coalesce: AtomicBool::default(),
            waits: AtomicBool::default(),
            pending: Mutex::default(),
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

    /// Of a stream that was here before, and was found to be in order then.
    pub fn continuing(position: i64) -> Self {
        Self(Arc::new(Inner {
            resume: Some(position),
            continues: true,
            ..Inner::default()
        }))
    }

    /// Whether the stream was found to be in order before.
    pub fn continues(&self) -> bool {
        self.0.continues
    }

    /// Tells when there is more to tell than when the stream waited; none while it does not.
    pub fn signal(&self) -> Option<Signal> {
        self.0
            .signal
            .lock()
            .expect("no panic while telling")
            .clone()
    }

    pub(super) fn signals(&self, signal: Signal) {
        *self.0.signal.lock().expect("no panic while telling") = Some(signal);
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

    /// Whether everything has been told and the stream waits for what is to come, which anybody could tell instead.
    pub fn waits(&self) -> bool {
        self.0.waits.load(Ordering::Acquire) && !self.is_needed()
    }

    /// Only this stream knows how to tell what is up to a position, and these events, wherever they will stand.
    pub fn need(&self, until: i64, events: HashSet<Uuid>) {
        *self.0.pending.lock().expect("no panic while needing") = Pending { until, events };
    }

    /// One of those events has come.
    pub fn came(&self, event: Uuid) {
        let mut pending = self.0.pending.lock().expect("no panic while needing");
        pending.events.remove(&event);
    }

    /// Whether some of that is still to come.
    pub(super) fn is_needed(&self) -> bool {
        let pending = self.0.pending.lock().expect("no panic while needing");
        !pending.events.is_empty() || self.0.position.load(Ordering::Acquire) < pending.until
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
