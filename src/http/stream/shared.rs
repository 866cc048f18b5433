//! One execution for all who ask the same.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use async_graphql_parser::types::Selection;
use async_graphql_value::Value;
use futures_util::StreamExt as _;
use tokio::{
    sync::{Notify, watch},
    task::yield_now,
    time::timeout,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::{
    super::{
        Web,
        operation::{Answer, Ready},
    },
    Frame, frame,
};
use crate::{
    app::App,
    auth::PrincipalKind,
    event::feed::{Place, Signal},
};

/// Answers that a group keeps for those of its members who read slowly, and their bytes.
const KEPT: usize = 512;
const KEPT_BYTES: usize = 4 * 1024 * 1024;
/// Answers that are made before the foremost member has taken them. What nobody reads is not executed.
const AHEAD: usize = 16;
/// How long an execution waits for more before it is given up until it is needed.
const IDLE: Duration = Duration::from_secs(2);
/// Answers that a member takes at once: what it holds is not freed.
const TAKEN: usize = 64;

/// What makes two subscriptions the same: what they ask, and what they may see.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    document: Arc<str>,
    operation: Option<String>,
    variables: Box<str>,
    application: Uuid,
    rights: PrincipalKind,
}

impl Key {
    /// From where a subscription goes on is its own affair, and no part of what it asks.
    fn of(ready: &Ready) -> Option<Self> {
        let principal = ready.asking.principal()?;
        let mut variables = ready.asked.variables.clone();
        if let Some(name) = after_variable(ready) {
            variables.remove(&name);
        }
        Some(Self {
            document: ready.asked.query.clone(),
            operation: ready.asked.operation_name.clone(),
            variables: serde_json::to_string(&variables).ok()?.into(),
            application: principal.application,
            rights: principal.kind.clone(),
        })
    }
}

/// The variable that is `after` and nothing else.
fn after_variable(ready: &Ready) -> Option<String> {
    let [Selection::Field(field)] = ready
        .operation()?
        .selection_set
        .node
        .items
        .iter()
        .map(|selection| &selection.node)
        .collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let Value::Variable(name) = &field.node.get_argument("after")?.node else {
        return None;
    };
    let used = ready.asked.query.matches(&format!("${name}")).count();
    // In its definition and here.
    (used == 2).then(|| name.to_string())
}

/// The groups of this node.
#[derive(Clone, Default)]
pub(in crate::http) struct Groups(Arc<Mutex<HashMap<Key, Weak<Group>>>>);

impl Groups {
    /// The group of those who ask the same; a new one begins behind this position.
    pub(super) fn join(
        &self,
        web: &Web,
        ready: &Arc<Ready>,
        position: i64,
        signal: Signal,
        request_id: &str,
    ) -> Arc<Group> {
        let Some(key) = Key::of(ready) else {
            return Group::begin(web, ready.clone(), position, signal, request_id);
        };
        let mut groups = self.0.lock().expect("no panic while joining");
        if let Some(group) = groups.get(&key).and_then(Weak::upgrade)
            && group.serves(position)
        {
            return group;
        }
        let group = Group::begin(web, ready.clone(), position, signal, request_id);
        if groups.len() >= groups.capacity() {
            groups.retain(|_, group| group.strong_count() > 0);
        }
        groups.insert(key, Arc::downgrade(&group));
        group
    }
}

/// Subscriptions that share an execution. It ends with the last of them.
pub(super) struct Group {
    application: Option<Uuid>,
    signal: Signal,
    kept: Mutex<Kept>,
    moved: watch::Sender<()>,
    wanted: Arc<Notify>,
    _alive: DropGuard,
}

/// All answers behind a position.
struct Kept {
    from: i64,
    /// Up to here there are no others.
    reached: i64,
    frames: VecDeque<Frame>,
    bytes: usize,
    /// How many of the last answers no member has taken yet.
    untaken: usize,
    ended: bool,
}

impl Group {
    fn begin(
        web: &Web,
        ready: Arc<Ready>,
        position: i64,
        signal: Signal,
        request_id: &str,
    ) -> Arc<Self> {
        let alive = CancellationToken::new();
        let group = Arc::new(Self {
            application: ready.application(),
            signal: signal.clone(),
            kept: Mutex::new(Kept {
                from: position,
                reached: position,
                frames: VecDeque::new(),
                bytes: 0,
                untaken: 0,
                ended: false,
            }),
            moved: watch::Sender::new(()),
            wanted: Arc::default(),
            _alive: alive.clone().drop_guard(),
        });
        let execution = Execution {
            web: web.clone(),
            ready,
            position,
            request_id: request_id.to_owned(),
            group: Arc::downgrade(&group),
        };
        // Its way into the task moves it a few times.
        let execution = Box::pin(execution.run(signal));
        web.app.spawn(async move {
            let _ = alive.run_until_cancelled(execution).await;
        });
        group
    }

    fn serves(&self, position: i64) -> bool {
        let kept = self.kept.lock().expect("no panic while reading");
        !kept.ended && position >= kept.from
    }

    /// Some of the answers behind a position; `None` when that is further back than what is kept.
    pub(super) fn after(&self, position: i64, all: bool) -> Option<Vec<Frame>> {
        let mut kept = self.kept.lock().expect("no panic while reading");
        (position >= kept.from).then(|| {
            let start = kept
                .frames
                .partition_point(|frame| frame.position <= Some(position));
            let end = if all {
                kept.frames.len()
            } else {
                kept.frames.len().min(start + TAKEN)
            };
            kept.untaken = kept.untaken.min(kept.frames.len() - end);
            if kept.untaken < AHEAD {
                self.wanted.notify_one();
            }
            kept.frames.range(start..end).cloned().collect()
        })
    }

    /// Where a member stands who has taken everything up to a position: what is not for this group counts as taken.
    pub(super) fn stands(&self, app: &App, position: i64) -> i64 {
        // Asked first: what has been put into the rings up to there, the signal has told.
        let pushed = self.application.map_or(0, |id| app.feed.pushed(id));
        let kept = self.kept.lock().expect("no panic while reading");
        let latest = kept.frames.back().and_then(|frame| frame.position);
        if latest > Some(position) {
            position
        } else if self.signal.latest() > kept.reached {
            position.max(kept.reached)
        } else {
            position.max(kept.reached).max(pushed)
        }
    }

    /// Whether no more answers come.
    pub(super) fn ended(&self) -> bool {
        self.kept.lock().expect("no panic while reading").ended
    }

    /// Tells of new answers and of the end.
    pub(super) fn moved(&self) -> watch::Receiver<()> {
        self.moved.subscribe()
    }

    /// Adds an answer; answers what tells that more are wanted.
    fn push(&self, frame: Frame) -> Arc<Notify> {
        {
            let mut kept = self.kept.lock().expect("no panic while pushing");
            kept.bytes += frame.json.len();
            kept.untaken += 1;
            kept.frames.push_back(frame);
            while kept.frames.len() > KEPT || (kept.bytes > KEPT_BYTES && kept.frames.len() > 1) {
                let Some(oldest) = kept.frames.pop_front() else {
                    break;
                };
                kept.bytes -= oldest.json.len();
                kept.from = oldest.position.unwrap_or(kept.from);
            }
        }
        self.moved.send_replace(());
        self.wanted.clone()
    }

    fn is_ahead(&self) -> bool {
        self.kept.lock().expect("no panic while reading").untaken >= AHEAD
    }

    fn reached(&self, position: i64) {
        self.kept.lock().expect("no panic while reading").reached = position;
    }

    fn end(&self) {
        self.kept.lock().expect("no panic while ending").ended = true;
        self.moved.send_replace(());
    }
}

/// Ends a group however its execution ends.
struct Ending(Weak<Group>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(group) = self.0.upgrade() {
            group.end();
        }
    }
}

/// What executes for a group.
struct Execution {
    web: Web,
    ready: Arc<Ready>,
    /// What is before it has been told.
    position: i64,
    request_id: String,
    group: Weak<Group>,
}

impl Execution {
    async fn run(mut self, mut signal: Signal) {
        let _ending = Ending(self.group.clone());
        loop {
            signal.beyond(self.position).await;
            // Most are silent most of the time: what it takes to execute is there only while it is needed.
            if !Box::pin(self.burst()).await {
                return;
            }
        }
    }

    /// Tells what there is, and what comes soon after; `false` when the group is to end.
    async fn burst(&mut self) -> bool {
        let place = Place::continuing(self.position);
        let request = self.ready.request().data(place.clone());
        let mut responses = self.web.graph.execute_stream(request);
        loop {
            let response = match timeout(IDLE, responses.next()).await {
                Ok(Some(response)) => response,
                // The stream itself failed; members go on by themselves.
                Ok(None) => return false,
                Err(_) if place.waits() => {
                    self.position = place.position().unwrap_or(self.position);
                    return match self.group.upgrade() {
                        Some(group) => {
                            group.reached(self.position);
                            true
                        }
                        None => false,
                    };
                }
                Err(_) => continue,
            };
            let answer = Answer::new(response, &self.request_id);
            if answer.broken() {
                return false;
            }
            let frame = frame(&answer, &place);
            let Some(wanted) = self.group.upgrade().map(|group| group.push(frame)) else {
                return false;
            };
            // Groups take turns: otherwise whoever wakes this one would be woken by it next, past all others.
            yield_now().await;
            // The group is not held meanwhile: it ends with its members.
            while self.group.upgrade().is_some_and(|group| group.is_ahead()) {
                wanted.notified().await;
            }
        }
    }
}
