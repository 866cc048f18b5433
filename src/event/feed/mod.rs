//! The feed: whoever follows the log, followed by cursor.
//!
//! A subscription is a position in the log. It reads from a ring of recent events that all followers of the same
//! [`Scope`] share, or from the database when it is behind the ring; there is no queue per follower, so a slow one
//! costs nothing and loses nothing. Scopes are indexed by Item, client user and connect token, so an event costs work
//! only for those it concerns.

mod follow;
mod place;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use entity::{event, event_head};
use sea_orm::{ColumnTrait as _, EntityTrait, QueryFilter as _};
use tokio::sync::watch;
use uuid::Uuid;

pub use self::{
    follow::{Start, follow, latest},
    place::Place,
};
use super::{cursor, log};
use crate::{
    app::App,
    auth::{Principal, PrincipalKind},
    error::Result,
    metrics,
};

/// Events that a ring keeps.
const RING: usize = 512;
/// Events that one read of the log brings.
const READ: u64 = 200;
/// How often the log is looked at without a hint, while no other node is heard.
const BEAT: Duration = Duration::from_millis(500);

/// Which part of an application's log is followed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Whose log.
    pub application: Uuid,
    /// Only this Item.
    pub item: Option<Uuid>,
    /// Only Items of this client user.
    pub client_user_id: Option<String>,
    /// Only Items that this connect token may see.
    pub token: Option<TokenScope>,
}

/// The Items of a connect token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenScope {
    /// Those made with it.
    pub id: Uuid,
    /// The one named in it.
    pub item: Option<Uuid>,
}

impl Scope {
    /// What a principal may follow, narrowed by an Item or a client user.
    pub fn of(principal: &Principal, item: Option<Uuid>, client_user_id: Option<String>) -> Self {
        let token = match &principal.kind {
            PrincipalKind::ApiKey => None,
            PrincipalKind::ConnectToken(token) => Some(TokenScope {
                id: token.id,
                item: token.item,
            }),
        };
        Self {
            application: principal.application,
            item,
            client_user_id,
            token,
        }
    }

    fn matches(&self, event: &event::Model) -> bool {
        self.item.is_none_or(|item| event.item_id == Some(item))
            && self
                .client_user_id
                .as_ref()
                .is_none_or(|user| event.client_user_id.as_ref() == Some(user))
            && self.token.as_ref().is_none_or(|token| {
                event.connect_token_id == Some(token.id)
                    || (token.item.is_some() && event.item_id == token.item)
            })
    }

    /// What a scope is found by when an event comes; an event finds it by any of them.
    fn topics(&self) -> Vec<Topic> {
        match (self.item, &self.token, &self.client_user_id) {
            (Some(item), _, _) => vec![Topic::Item(item)],
            (None, Some(token), _) => [Some(Topic::Token(token.id)), token.item.map(Topic::Item)]
                .into_iter()
                .flatten()
                .collect(),
            (None, None, Some(user)) => vec![Topic::ClientUser(user.clone())],
            (None, None, None) => vec![Topic::All],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Topic {
    All,
    Item(Uuid),
    ClientUser(String),
    Token(Uuid),
}

/// Recent events of one scope, shared by all its followers.
struct Channel {
    scope: Scope,
    ring: Mutex<Ring>,
    /// The position of the last event that was put into the ring.
    latest: watch::Sender<i64>,
}

/// All events of a scope behind `from`.
struct Ring {
    from: i64,
    events: VecDeque<Arc<event::Model>>,
}

impl Channel {
    fn push(&self, event: &Arc<event::Model>) {
        let position = event.position.unwrap_or_default();
        if !self.scope.matches(event) {
            return;
        }
        {
            let mut ring = self.ring.lock().expect("no panic while pushing");
            // A scope with two topics is found twice.
            if ring.events.back().and_then(|last| last.position) >= Some(position) {
                return;
            }
            if ring.events.len() == RING
                && let Some(oldest) = ring.events.pop_front()
            {
                ring.from = oldest.position.unwrap_or_default();
            }
            ring.events.push_back(event.clone());
        }
        self.latest.send_replace(position);
    }

    /// What the ring has behind a position; `None` when that is further back than the ring reaches.
    fn after(&self, position: i64) -> Option<Vec<Arc<event::Model>>> {
        let ring = self.ring.lock().expect("no panic while reading");
        (position >= ring.from).then(|| {
            let start = ring
                .events
                .partition_point(|event| event.position <= Some(position));
            ring.events.range(start..).cloned().collect()
        })
    }
}

/// Tells of new events of a scope, and keeps the scope in the feed.
#[derive(Clone)]
pub struct Signal {
    _channel: Arc<Channel>,
    latest: watch::Receiver<i64>,
}

impl Signal {
    fn new(channel: Arc<Channel>) -> Self {
        Self {
            latest: channel.latest.subscribe(),
            _channel: channel,
        }
    }

    /// The position of the last event of the scope that has come.
    pub fn latest(&self) -> i64 {
        *self.latest.borrow()
    }

    /// Returns once there is an event behind a position.
    pub async fn beyond(&mut self, position: i64) {
        // The channel is held, so that its sender is there.
        let _ = self.latest.wait_for(|latest| *latest > position).await;
    }
}

/// One application's part of the feed.
struct Followed {
    /// Everything up to here has been put into the rings.
    position: i64,
    channels: HashMap<Scope, Weak<Channel>>,
    topics: HashMap<Topic, Vec<Weak<Channel>>>,
}

impl Followed {
    fn push(&mut self, event: &Arc<event::Model>) {
        let topics = [
            Some(Topic::All),
            event.item_id.map(Topic::Item),
            event.client_user_id.clone().map(Topic::ClientUser),
            event.connect_token_id.map(Topic::Token),
        ];
        for topic in topics.into_iter().flatten() {
            if let Some(channels) = self.topics.get(&topic) {
                for channel in channels.iter().filter_map(Weak::upgrade) {
                    channel.push(event);
                }
            }
        }
        self.position = event.position.unwrap_or(self.position);
    }

    /// Forgets scopes that nobody follows any more.
    fn prune(&mut self) {
        self.channels
            .retain(|_, channel| channel.strong_count() > 0);
        self.topics.retain(|_, channels| {
            channels.retain(|channel| channel.strong_count() > 0);
            !channels.is_empty()
        });
    }
}

/// Everybody who follows the log on this node.
#[derive(Default)]
pub struct Feed {
    followed: Mutex<HashMap<Uuid, Followed>>,
    dirty: Mutex<HashSet<Uuid>>,
    hint: tokio::sync::Notify,
    reads: AtomicU64,
}

impl Feed {
    /// Says that an application's log has grown: a hint, never the truth.
    pub fn wake(&self, application: Uuid) {
        self.dirty
            .lock()
            .expect("no panic while hinting")
            .insert(application);
        self.hint.notify_one();
    }

    /// Says that any log may have grown.
    pub fn wake_all(&self) {
        self.mark_all();
        self.hint.notify_one();
    }

    /// Whether anybody on this node follows an application.
    pub fn follows(&self, application: Uuid) -> bool {
        self.followed
            .lock()
            .expect("no panic while following")
            .contains_key(&application)
    }

    /// Takes events of an application, in their order, that were published just now. What continues what followers have is
    /// put before them at once, what they have already is passed over, and a gap is filled from the log.
    pub fn offer(&self, application: Uuid, events: &[Arc<event::Model>]) {
        let mut followed = self.followed.lock().expect("no panic while following");
        let Some(one) = followed.get_mut(&application) else {
            return;
        };
        let before = one.position;
        let mut gap = false;
        for event in events {
            let position = event.position.unwrap_or_default();
            if position == one.position + 1 {
                one.push(event);
            } else if position > one.position {
                gap = true;
                break;
            }
        }
        let count = usize::try_from(one.position - before).unwrap_or_default();
        drop(followed);
        metrics::feed_events("bus", count);
        if gap {
            self.wake(application);
        }
    }

    /// How often this node has read a log for its followers.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Number of scopes followed on this node.
    pub fn scopes(&self) -> usize {
        let followed = self.followed.lock().expect("no panic while following");
        let channels = followed.values().flat_map(|one| one.channels.values());
        channels.filter(|one| one.strong_count() > 0).count()
    }

    async fn channel(&self, app: &App, scope: &Scope) -> Result<Arc<Channel>> {
        let known = |followed: &HashMap<Uuid, Followed>| {
            followed
                .get(&scope.application)
                .and_then(|one| one.channels.get(scope))
                .and_then(Weak::upgrade)
        };
        if let Some(channel) = known(&self.followed.lock().expect("no panic while following")) {
            return Ok(channel);
        }
        let head = cursor::head(app, scope.application).await?;
        let mut followed = self.followed.lock().expect("no panic while following");
        if let Some(channel) = known(&followed) {
            return Ok(channel);
        }
        let new = !followed.contains_key(&scope.application);
        let one = followed
            .entry(scope.application)
            .or_insert_with(|| Followed {
                position: head,
                channels: HashMap::new(),
                topics: HashMap::new(),
            });
        let channel = Arc::new(Channel {
            scope: scope.clone(),
            ring: Mutex::new(Ring {
                from: one.position,
                events: VecDeque::new(),
            }),
            latest: watch::Sender::new(one.position),
        });
        one.channels.insert(scope.clone(), Arc::downgrade(&channel));
        for topic in scope.topics() {
            one.topics
                .entry(topic)
                .or_default()
                .push(Arc::downgrade(&channel));
        }
        drop(followed);
        if new {
            // A hint that came before the application was followed has been passed over.
            self.wake(scope.application);
        }
        Ok(channel)
    }

    /// Up to where an application's log has been put into the rings of those who follow it; 0 when nobody does.
    pub fn pushed(&self, application: Uuid) -> i64 {
        self.followed
            .lock()
            .expect("no panic while following")
            .get(&application)
            .map_or(0, |one| one.position)
    }
}

/// Moves the log into the rings until the node stops.
pub async fn run(app: App) {
    while app.running() {
        match run_once(&app).await {
            Ok(()) => {}
            Err(error) => app.log_and_pause("feed", &error).await,
        }
        tokio::select! {
            () = app.feed.hint.notified() => {}
            () = tokio::time::sleep(app.bus.beat(BEAT)) => app.feed.mark_all(),
            () = app.stopping() => {}
        }
    }
}

impl Feed {
    fn mark_all(&self) {
        let mut followed = self.followed.lock().expect("no panic while following");
        followed.values_mut().for_each(Followed::prune);
        followed.retain(|_, one| !one.channels.is_empty());
        let mut dirty = self.dirty.lock().expect("no panic while hinting");
        dirty.extend(followed.keys());
    }
}

/// Puts what the log has gained into the rings of those who follow it.
pub async fn run_once(app: &App) -> Result<()> {
    let dirty = std::mem::take(&mut *app.feed.dirty.lock().expect("no panic while hinting"));
    let behind: HashMap<Uuid, i64> = {
        let followed = app.feed.followed.lock().expect("no panic while following");
        dirty
            .into_iter()
            .filter_map(|id| followed.get(&id).map(|one| (id, one.position)))
            .collect()
    };
    if behind.is_empty() {
        return Ok(());
    }
    let heads = event_head::Entity::find()
        .filter(event_head::Column::ApplicationId.is_in(behind.keys().copied()))
        .all(app.db.read())
        .await?;
    for head in heads {
        let mut position = behind[&head.application_id];
        let scope = Scope {
            application: head.application_id,
            item: None,
            client_user_id: None,
            token: None,
        };
        while position < head.position {
            app.feed.reads.fetch_add(1, Ordering::Relaxed);
            let events =
                log::after(&app.db, &scope, &log::Filter::default(), position, READ).await?;
            metrics::feed_events("log", events.len());
            let Some(last) = events.last().and_then(|event| event.position) else {
                break;
            };
            position = last;
            let mut followed = app.feed.followed.lock().expect("no panic while following");
            let Some(one) = followed.get_mut(&head.application_id) else {
                break;
            };
            for event in events {
                if event.position > Some(one.position) {
                    one.push(&Arc::new(event));
                }
            }
        }
    }
    Ok(())
}
