//! A node over a database of its own, with a manual clock, and endpoints that do as they are told.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use clap::Parser;
use entity::{
    attempt, delivery, event,
    kind::{Environment, EventType},
};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use ponte::{
    app::App,
    auth::{
        Principal, PrincipalKind,
        application::{Created, Operator},
    },
    clock::{Clock, Rng, Timestamp},
    config::Settings,
    connector::Registry,
    db::Db,
    event::relay,
    item::{self, NewItem},
    sync,
    webhook::{self, NewWebhook},
};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ConnectionTrait as _, EntityTrait as _, QueryOrder as _,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Notify;
use uuid::Uuid;

/// A node, its only application and the database below.
pub struct World {
    pub app: App,
    pub owner: Created,
    pub principal: Principal,
    _folder: TempDir,
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

/// An API key's principal.
pub fn server_of(application: Uuid) -> Principal {
    Principal {
        application,
        kind: PrincipalKind::ApiKey,
        version: 1,
        expires_at: Timestamp(i64::MAX),
    }
}

/// A database of its own: on the server of PONTE_TEST_POSTGRES_URL, or in a file.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's choice of engine is no setting"
)]
async fn database(folder: &TempDir) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(server) = std::env::var("PONTE_TEST_POSTGRES_URL") else {
        return format!("sqlite://{}/ponte.db", folder.path().display());
    };
    let name = format!(
        "webhook_{}_{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::SeqCst)
    );
    let admin = Db::connect(&server, 1).await.unwrap();
    for sql in [
        format!("DROP DATABASE IF EXISTS {name}"),
        format!("CREATE DATABASE {name}"),
    ] {
        admin.write().execute_unprepared(&sql).await.unwrap();
    }
    let (server, _) = server.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

impl World {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = database(&folder).await;
        let key = folder.path().join("master.key");
        std::fs::write(&key, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n").unwrap();
        let mut permissions = std::fs::metadata(&key).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
        std::fs::set_permissions(&key, permissions).unwrap();
        let mut line = vec!["ponte", "--database-url", &url, "--sandbox-step-ms", "0"];
        let key = key.to_str().unwrap();
        line.extend(["--master-key-file", key]);
        line.extend(["--webhook-allow-networks", "127.0.0.0/8"]);
        line.extend(["--database-connections", "8"]);
        line.extend(more);
        let config = Line::parse_from(line).settings.check().unwrap();
        // The published library compares timestamps with the machine's clock.
        let clock = Clock::manual(Clock::system().now());
        let app = App::open(config, clock, Rng::system(), Registry::builtin())
            .await
            .unwrap();
        let owner = application(&app).await;
        Self {
            principal: server_of(owner.id),
            app,
            owner,
            _folder: folder,
        }
    }

    pub async fn webhook(&self, url: &str, events: Option<Vec<EventType>>) -> webhook::Created {
        let new = NewWebhook {
            url: url.to_owned(),
            events,
            ..NewWebhook::default()
        };
        webhook::create(&self.app, &self.principal, new)
            .await
            .unwrap()
    }

    pub async fn connect(&self, webhook_url: Option<&str>) -> entity::item::Model {
        let new = NewItem {
            connector_id: "0".to_owned(),
            parameters: [("user", "user-ok"), ("password", "password-ok")]
                .map(|(name, value)| (name.to_owned(), value.to_owned().into()))
                .into(),
            webhook_url: webhook_url.map(str::to_owned),
            ..NewItem::default()
        };
        let item = item::create(&self.app, &self.principal, new)
            .await
            .unwrap()
            .item;
        while sync::run_once(&self.app).await.unwrap() > 0 {}
        item
    }

    /// Publishes, and sends what is due.
    pub async fn deliver(&self) -> usize {
        relay::run_once(&self.app).await.unwrap();
        webhook::delivery::run_once(&self.app).await.unwrap()
    }

    /// Appends and publishes events that nothing lies behind.
    pub async fn emit(&self, count: usize, own_endpoint: Option<&str>) {
        let now = self.app.clock.now();
        let rows = (0..count).map(|_| event::ActiveModel {
            sequence: NotSet,
            id: Set(self.app.rng.id(now)),
            application_id: Set(self.owner.id),
            position: Set(None),
            kind: Set(EventType::ConnectorStatusUpdated),
            item_id: Set(None),
            account_id: Set(None),
            connector_id: Set(Some(0)),
            item_sequence: Set(None),
            client_user_id: Set(None),
            connect_token_id: Set(None),
            triggered_by: Set(None),
            webhook_url: Set(own_endpoint.map(str::to_owned)),
            payload: Set(json!({ "data": { "status": "ONLINE" } })),
            created_at: Set(now),
        });
        event::Entity::insert_many(rows)
            .exec_without_returning(self.app.db.write())
            .await
            .unwrap();
        relay::run_once(&self.app).await.unwrap();
    }

    pub fn advance(&self, seconds: u64) {
        self.app.clock.advance(Duration::from_secs(seconds));
    }

    pub async fn events(&self) -> Vec<event::Model> {
        event::Entity::find()
            .order_by_asc(event::Column::Position)
            .all(self.app.db.read())
            .await
            .unwrap()
    }

    pub async fn deliveries(&self) -> Vec<delivery::Model> {
        delivery::Entity::find()
            .order_by_asc(delivery::Column::Id)
            .all(self.app.db.read())
            .await
            .unwrap()
    }

    pub async fn only_delivery(&self) -> delivery::Model {
        let mut all = self.deliveries().await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    pub async fn attempts(&self) -> Vec<attempt::Model> {
        attempt::Entity::find()
            .order_by_asc(attempt::Column::Id)
            .all(self.app.db.read())
            .await
            .unwrap()
    }
}

/// Another application.
pub async fn application(app: &App) -> Created {
    Operator {
        db: &app.db,
        vault: &app.vault,
        clock: &app.clock,
        rng: &app.rng,
    }
    .create("test", Environment::Sandbox, None)
    .await
    .unwrap()
}

/// What an endpoint does with a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Answers with this status.
    Status(u16),
    /// Answers with this status and header.
    With(u16, &'static str, &'static str),
    /// Answers 500 with everything that was sent.
    Echo,
    /// Never answers.
    Hang,
    /// Answers with this status once it is told to.
    Gate(u16),
}

/// A request as an endpoint got it.
#[derive(Clone, Debug)]
pub struct Received {
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Fails unless a published library accepts it.
    pub fn verify(&self, secret: &str) {
        standardwebhooks::Webhook::new(secret)
            .unwrap()
            .verify(&self.body, &self.headers)
            .unwrap();
    }

    /// Whether this secret signed it, whatever the time.
    pub fn signed_by(&self, secret: &str) -> bool {
        let timestamp = self.header("webhook-timestamp").parse().unwrap();
        let signature = standardwebhooks::Webhook::new(secret)
            .unwrap()
            .sign(self.header("webhook-id"), timestamp, &self.body)
            .unwrap();
        self.header("webhook-signature")
            .split(' ')
            .any(|one| one == signature)
    }
}

/// An endpoint on a port of its own.
#[derive(Clone)]
pub struct Receiver {
    pub url: String,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<VecDeque<Answer>>,
    default: Mutex<Answer>,
    received: Mutex<Vec<Received>>,
    arrived: Notify,
    gate: Notify,
}

impl Receiver {
    pub async fn start() -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            default: Mutex::new(Answer::Status(204)),
            received: Mutex::default(),
            arrived: Notify::new(),
            gate: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(receive).with_state(shared.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, shared }
    }

    pub async fn answering(answer: Answer) -> Self {
        let receiver = Self::start().await;
        receiver.always(answer);
        receiver
    }

    /// What it does from now on, once the script has ended.
    pub fn always(&self, answer: Answer) {
        *self.shared.default.lock().unwrap() = answer;
    }

    /// What it does next.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.shared.script.lock().unwrap().extend(answers);
    }

    pub fn open_gate(&self) {
        self.shared.gate.notify_one();
    }

    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    pub fn names(&self) -> Vec<String> {
        self.received()
            .iter()
            .map(|one| one.json()["event"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Returns once so many requests have arrived.
    pub async fn arrived(&self, count: usize) {
        loop {
            let notified = self.shared.arrived.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.shared.received.lock().unwrap().len() >= count {
                return;
            }
            notified.await;
        }
    }
}

async fn receive(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let received = Received {
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    };
    let answer = {
        shared.received.lock().unwrap().push(received.clone());
        let scripted = shared.script.lock().unwrap().pop_front();
        scripted.unwrap_or_else(|| shared.default.lock().unwrap().clone())
    };
    shared.arrived.notify_waiters();
    let status = |code: u16| http::StatusCode::from_u16(code).unwrap();
    match answer {
        Answer::Status(code) => status(code).into_response(),
        Answer::With(code, name, value) => (status(code), [(name, value)]).into_response(),
        Answer::Echo => {
            let mut text = String::new();
            for (name, value) in &received.headers {
                text += &format!("{name}: {}\n", value.to_str().unwrap());
            }
            let escaped = serde_json::to_string(&text).unwrap();
            (status(500), format!("{text}\n{escaped}")).into_response()
        }
        Answer::Hang => std::future::pending().await,
        Answer::Gate(code) => {
            shared.gate.notified().await;
            status(code).into_response()
        }
    }
}
