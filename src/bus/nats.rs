//! NATS: hints, and published events, between the nodes of one log.
//!
//! A node counts as connected while its own probes come back to it: that shows the way there and back, and that its
//! subscriptions stand. Every message is authenticated, with its subject, under a key of the vault, so that whoever may
//! publish can neither invent events nor hints; one that was repeated changes nothing, because events are taken only in
//! the order of their positions. Events go to one subject for each application, and nodes that serve subscriptions hear
//! all of them: a message for an application that nobody follows there is dropped by its subject alone.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, Message, ServerAddr, Subscriber};
use bytes::Bytes;
use entity::{
    event,
    kind::{EventType, TriggeredBy},
    time::Timestamp,
};
use futures_util::{StreamExt as _, stream};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use subtle::ConstantTimeEq as _;
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use uuid::Uuid;

use super::{Hint, doubt, hear, name};
use crate::{
    app::App,
    config::Config,
    error::{Error, Result},
    metrics::{self, Way},
};

/// How often a node tries out whether it hears itself.
const PULSE: Duration = Duration::from_secs(1);
/// How long a probe may take, and how long a message may wait to be sent.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest pause between attempts to connect.
const PAUSE: Duration = Duration::from_secs(1);
/// Batches of events that wait to be sent; what does not fit is only hinted at.
const WAITING: usize = 256;
/// Messages that wait to be taken, and commands that wait to be sent. What comes beyond that is lost, and found in the log.
const BUFFERED: usize = 1_024;
/// Largest message. The server's own limit may be lower.
const MESSAGE_BYTES: usize = 256 * 1024;
/// Authenticates what follows it.
const MAC_BYTES: usize = 32;
/// What a message needs beside its events.
const ENVELOPE_BYTES: usize = 256;

/// This node's connection to NATS, for those who send.
pub(super) struct Link {
    works: AtomicBool,
    client: Mutex<Option<Client>>,
    batches: mpsc::Sender<Batch>,
    waiting: Mutex<Option<mpsc::Receiver<Batch>>>,
    /// The last probe that has come back.
    echoed: AtomicI64,
}

struct Batch {
    application: Uuid,
    events: Vec<Arc<event::Model>>,
}

impl Default for Link {
    fn default() -> Self {
        let (batches, waiting) = mpsc::channel(WAITING);
        Self {
            works: AtomicBool::new(false),
            client: Mutex::default(),
            batches,
            waiting: Mutex::new(Some(waiting)),
            echoed: AtomicI64::new(0),
        }
    }
}

impl Link {
    /// Whether this node hears itself.
    pub(super) fn works(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    /// Sends events soon; `false` when too many wait already.
    pub(super) fn carry(&self, application: Uuid, events: Vec<Arc<event::Model>>) -> bool {
        let batch = Batch {
            application,
            events,
        };
        self.batches.try_send(batch).is_ok()
    }

    /// Sends a hint; `false` when it could not be handed over.
    pub(super) async fn hint(&self, app: &App, hint: &Hint) -> bool {
        let client = self.client.lock().expect("no panic while sending").clone();
        let Some(client) = client else { return false };
        let body = hint.encode(app.bus.node);
        send(app, &client, hints(app), body.as_bytes())
            .await
            .is_ok()
    }
}

fn hints(app: &App) -> String {
    format!("{}.hints", name(app))
}

/// Where a node hears itself.
fn probes(app: &App) -> String {
    format!("{}.nodes.{}", name(app), app.bus.node.simple())
}

fn events_of(app: &App, application: &str) -> String {
    format!("{}.events.{application}", name(app))
}

/// Keeps the connection until the node stops, and moves what comes and goes.
pub(super) async fn run(app: App) {
    let Some(link) = &app.bus.nats else { return };
    let batches = link.waiting.lock().expect("no panic while starting").take();
    let Some(mut batches) = batches else { return };
    metrics::bus_connected(Way::Nats, false);
    while app.running() {
        match follow(&app, link, &mut batches).await {
            Ok(()) => return,
            Err(error) => app.log_and_pause("nats", &error).await,
        }
    }
}

/// Returns when the node stops, and fails when there can be no connection as things are set.
async fn follow(app: &App, link: &Link, batches: &mut mpsc::Receiver<Batch>) -> Result<()> {
    let (told, mut news) = mpsc::unbounded_channel();
    let client = connect(app, told).await?;
    let mut hints = subscribe(&client, hints(app)).await?;
    let mut probes = subscribe(&client, probes(app)).await?;
    let mut events = if app.config.api {
        subscribe(&client, events_of(app, "*")).await?.boxed()
    } else {
        stream::pending().boxed()
    };
    *link.client.lock().expect("no panic while sending") = Some(client.clone());
    let mut connection = Connection {
        app,
        link,
        client: &client,
        probe: 0,
        heard: Instant::now(),
        told: false,
    };
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let ended = || Error::internal("the NATS client has ended");
        tokio::select! {
            message = hints.next() => connection.hint(&message.ok_or_else(ended)?),
            message = probes.next() => connection.echo(&message.ok_or_else(ended)?),
            message = events.next() => connection.events(&message.ok_or_else(ended)?),
            batch = batches.recv() => if let Some(batch) = batch {
                connection.carry(batch).await;
            },
            event = news.recv() => if let Some(event) = event {
                connection.changed(&event).await;
            },
            _ = pulse.tick() => connection.pulse().await,
            () = app.stopping() => return Ok(()),
        }
    }
}

/// A client that connects, and connects again, by itself.
/// Where the settings say that NATS is, and how to log in there.
async fn server(config: &Config) -> Result<(Vec<ServerAddr>, ConnectOptions)> {
    let url = config
        .nats_url
        .as_ref()
        .map_or("", |url| url.expose_secret());
    let addresses = url
        .split(',')
        .map(|url| url.trim().parse::<ServerAddr>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(Error::internal)?;
    let options = match &config.nats_credentials_file {
        Some(path) => ConnectOptions::with_credentials_file(path)
            .await
            .map_err(|error| {
                Error::internal(format!(
                    "cannot use the NATS credentials in {}: {error}",
                    path.display()
                ))
            })?,
        None => ConnectOptions::new(),
    };
    Ok((
        addresses,
        options.name("ponte").connection_timeout(PATIENCE),
    ))
}

/// Connects once and answers the server's version. Fails when it does not answer, or lets nobody in with these settings.
pub(super) async fn reach(config: &Config) -> Result<String> {
    let (addresses, options) = server(config).await?;
    let client = timeout(PATIENCE, options.connect(addresses))
        .await
        .map_err(|_| Error::internal("it does not answer in time"))?
        .map_err(Error::internal)?;
    timeout(PATIENCE, client.flush())
        .await
        .map_err(|_| Error::internal("it does not answer in time"))?
        .map_err(Error::internal)?;
    Ok(client.server_info().version)
}

async fn connect(app: &App, told: mpsc::UnboundedSender<Event>) -> Result<Client> {
    let (addresses, options) = server(&app.config).await?;
    options
        .retry_on_initial_connect()
        .ping_interval(PATIENCE)
        .subscription_capacity(BUFFERED)
        .client_capacity(BUFFERED)
        .reconnect_delay_callback(|attempts| {
            let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
            Duration::from_millis(50)
                .saturating_mul(attempts)
                .min(PAUSE)
        })
        .event_callback(move |event| {
            let told = told.clone();
            async move {
                // Whoever listened has stopped.
                let _ = told.send(event);
            }
        })
        .connect(addresses)
        .await
        .map_err(Error::internal)
}

async fn subscribe(client: &Client, subject: String) -> Result<Subscriber> {
    client.subscribe(subject).await.map_err(Error::internal)
}

/// Sends a body, authenticated.
async fn send(app: &App, client: &Client, subject: String, body: &[u8]) -> Result<()> {
    let mut bytes = Vec::with_capacity(MAC_BYTES + body.len());
    bytes.extend_from_slice(&app.vault.bus_mac(&subject, body));
    bytes.extend_from_slice(body);
    let sent = timeout(PATIENCE, client.publish(subject, Bytes::from(bytes)));
    sent.await
        .map_err(Error::internal)?
        .map_err(Error::internal)
}

struct Connection<'a> {
    app: &'a App,
    link: &'a Link,
    client: &'a Client,
    probe: i64,
    /// When this node last heard itself.
    heard: Instant,
    /// Whether the log has it that NATS is away.
    told: bool,
}

impl Connection<'_> {
    /// The body of a message, if it is of a node of ours.
    fn body<'a>(&self, message: &'a Message) -> Option<&'a [u8]> {
        let genuine = message
            .payload
            .split_at_checked(MAC_BYTES)
            .filter(|(mac, body)| {
                let expected = self.app.vault.bus_mac(&message.subject, body);
                bool::from(expected.ct_eq(mac))
            });
        if genuine.is_none() {
            self.app
                .bus
                .counters
                .refused
                .fetch_add(1, Ordering::Relaxed);
            metrics::bus_refused();
        }
        genuine.map(|(_, body)| body)
    }

    fn hint(&self, message: &Message) {
        if let Some(body) = self.body(message) {
            let (from, hint) = Hint::decode(body);
            if from != Some(self.app.bus.node) {
                hear(self.app, hint);
            }
        }
    }

    /// A probe has come back: the connection stands, and what was lost before it did is looked for.
    fn echo(&mut self, message: &Message) {
        let number = self
            .body(message)
            .and_then(|body| std::str::from_utf8(body).ok()?.parse().ok());
        let last = self.link.echoed.load(Ordering::Relaxed);
        // One that was sent before the connection was lost, or is repeated, shows nothing.
        let Some(number) = number.filter(|number| *number > last && *number <= self.probe) else {
            return;
        };
        self.link.echoed.store(number, Ordering::Relaxed);
        self.heard = Instant::now();
        if !self.link.works.swap(true, Ordering::Relaxed) {
            metrics::bus_connected(Way::Nats, true);
            tracing::info!("NATS carries events and hints");
            self.told = false;
            doubt(self.app);
        }
    }

    fn events(&self, message: &Message) {
        let subject = message.subject.rsplit_once('.');
        let application = subject.and_then(|(_, id)| Uuid::try_parse(id).ok());
        let Some(application) = application.filter(|id| self.app.feed.follows(*id)) else {
            return;
        };
        let Some(body) = self.body(message) else {
            return;
        };
        match serde_json::from_slice::<Carried>(body) {
            Ok(carried) if carried.from == self.app.bus.node => {}
            Ok(carried) if !carried.events.is_empty() => {
                let events: Vec<_> = carried
                    .events
                    .into_iter()
                    .map(|row| Arc::new(row.into_event(application)))
                    .collect();
                self.app
                    .bus
                    .counters
                    .carried
                    .fetch_add(events.len() as u64, Ordering::Relaxed);
                self.app.feed.offer(application, &events);
            }
            // A mere hint, or the words of another version.
            _ => self.app.feed.wake(application),
        }
    }

    /// Sends events, in as few messages as the server takes them.
    async fn carry(&self, batch: Batch) {
        let most = self.client.max_payload().min(MESSAGE_BYTES);
        let subject = events_of(self.app, &batch.application.simple().to_string());
        for body in bodies(self.app.bus.node, &batch.events, most) {
            if send(self.app, self.client, subject.clone(), &body)
                .await
                .is_err()
            {
                self.app.bus.tell(|hint| hint.grew(batch.application));
                return;
            }
        }
        let count = batch.events.len() as u64;
        self.app
            .bus
            .counters
            .sent
            .fetch_add(count, Ordering::Relaxed);
    }

    async fn changed(&mut self, event: &Event) {
        match event {
            // Subscriptions are made anew before anything else is sent.
            Event::Connected => {
                self.heard = Instant::now();
                self.probe().await;
            }
            Event::Disconnected | Event::Closed => self.lost(),
            // Messages were dropped on their way to us.
            Event::SlowConsumer(_) => doubt(self.app),
            Event::ServerError(error) => tracing::warn!(%error, "NATS refuses something"),
            Event::ClientError(error) => self.away(error),
            Event::LameDuckMode | Event::Draining => {}
        }
    }

    async fn pulse(&mut self) {
        if self.heard.elapsed() > PATIENCE {
            self.lost();
        }
        self.probe().await;
    }

    async fn probe(&mut self) {
        let connected = self.client.connection_state() == async_nats::connection::State::Connected;
        if !connected {
            self.away(&"not connected yet");
            return;
        }
        self.probe += 1;
        let number = self.probe.to_string();
        if send(self.app, self.client, probes(self.app), number.as_bytes())
            .await
            .is_err()
        {
            self.lost();
        }
    }

    /// Goes on without NATS. What was on its way may be lost on both sides.
    fn lost(&mut self) {
        if self.link.works.swap(false, Ordering::Relaxed) {
            metrics::bus_connected(Way::Nats, false);
            // No probe of before counts.
            self.link.echoed.store(self.probe, Ordering::Relaxed);
            self.app.bus.tell(|hint| hint.merge(Hint::everything()));
            doubt(self.app);
            self.away(&"the connection was lost");
        }
    }

    /// Says once that NATS is away.
    fn away(&mut self, why: &dyn std::fmt::Display) {
        if !self.told {
            tracing::warn!(%why, "NATS is away; nodes wake each other by NOTIFY and read the log until it is back");
            self.told = true;
        }
    }
}

/// Events on their way.
#[derive(Serialize, Deserialize)]
struct Carried {
    from: Uuid,
    /// Without gaps; none where there is too much to carry.
    events: Vec<Row>,
}

/// An event without its application, which the subject names.
#[derive(Serialize, Deserialize)]
struct Row(
    i64,
    Uuid,
    Option<i64>,
    EventType,
    Option<Uuid>,
    Option<Uuid>,
    Option<i32>,
    Option<i64>,
    Option<String>,
    Option<Uuid>,
    Option<TriggeredBy>,
    Option<String>,
    Value,
    Timestamp,
);

impl Row {
    fn of(event: &event::Model) -> Self {
        Self(
            event.sequence,
            event.id,
            event.position,
            event.kind,
            event.item_id,
            event.account_id,
            event.connector_id,
            event.item_sequence,
            event.client_user_id.clone(),
            event.connect_token_id,
            event.triggered_by,
            event.webhook_url.clone(),
            event.payload.clone(),
            event.created_at,
        )
    }

    fn into_event(self, application: Uuid) -> event::Model {
        event::Model {
            sequence: self.0,
            id: self.1,
            application_id: application,
            position: self.2,
            kind: self.3,
            item_id: self.4,
            account_id: self.5,
            connector_id: self.6,
            item_sequence: self.7,
            client_user_id: self.8,
            connect_token_id: self.9,
            triggered_by: self.10,
            webhook_url: self.11,
            payload: self.12,
            created_at: self.13,
        }
    }
}

/// The bodies of the messages that carry these events, none larger than `most` with all that goes around it. An event that
/// is too large by itself is only hinted at.
fn bodies(from: Uuid, events: &[Arc<event::Model>], most: usize) -> Vec<Vec<u8>> {
    let room = most.saturating_sub(MAC_BYTES + ENVELOPE_BYTES);
    let mut messages: Vec<Vec<Row>> = Vec::new();
    let mut left = 0;
    for event in events {
        let row = Row::of(event);
        let bytes = serde_json::to_vec(&row).map_or(usize::MAX, |text| text.len() + 1);
        if bytes > room {
            messages.push(Vec::new());
            left = 0;
            continue;
        }
        match messages.last_mut() {
            Some(rows) if bytes <= left => rows.push(row),
            _ => {
                messages.push(vec![row]);
                left = room;
            }
        }
        left -= bytes;
    }
    messages
        .into_iter()
        .map(|events| serde_json::to_vec(&Carried { from, events }).expect("events are plain data"))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(position: i64, words: usize) -> Arc<event::Model> {
        let id = Uuid::from_u128(7);
        Arc::new(event::Model {
            sequence: 100 + position,
            position: Some(position),
            item_id: Some(Uuid::from_u128(8)),
            account_id: Some(Uuid::from_u128(9)),
            connector_id: Some(3),
            item_sequence: Some(4),
            client_user_id: Some("a user".to_owned()),
            connect_token_id: Some(Uuid::from_u128(10)),
            triggered_by: Some(TriggeredBy::User),
            webhook_url: Some("https://example.com".to_owned()),
            payload: json!({ "text": "x".repeat(words) }),
            ..event::Model::new(id, Uuid::from_u128(1), EventType::ItemUpdated, Timestamp(5))
        })
    }

    #[test]
    fn events_arrive_whole_and_in_order_in_messages_of_bounded_size() {
        let most = 4_096;
        let events: Vec<_> = (1..=40)
            .map(|n| event(n, if n == 20 { 5_000 } else { 300 }))
            .collect();
        let bodies = bodies(Uuid::nil(), &events, most);
        assert!(bodies.len() > 3, "{}", bodies.len());
        let mut positions = Vec::new();
        let mut hints = 0;
        for body in bodies {
            assert!(body.len() + MAC_BYTES <= most, "{} bytes", body.len());
            let carried: Carried = serde_json::from_slice(&body).expect("JSON");
            hints += usize::from(carried.events.is_empty());
            for row in carried.events {
                let event = row.into_event(Uuid::from_u128(1));
                let position = event.position.expect("a position");
                let place = usize::try_from(position).expect("a small number") - 1;
                assert_eq!(event, *events[place]);
                positions.push(position);
            }
        }
        let expected: Vec<i64> = (1..=40).filter(|n| *n != 20).collect();
        assert_eq!((positions, hints), (expected, 1));
    }
}
