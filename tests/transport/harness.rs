//! A node behind a real listener, and clients that say exactly what a test wants.

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use entity::{
    event,
    kind::{Environment, EventType},
};
use futures_util::{SinkExt as _, StreamExt as _};
use ponte::{
    app::App,
    auth::{application::Created, token},
    clock::{Clock, Rng},
    config::Settings,
    connector::Registry,
    db::Engine,
    error::Result,
    graphql,
    http::{Timing, Web},
};
use reqwest::{RequestBuilder, StatusCode, header::HeaderMap};
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::support::TestDatabase;
pub use crate::support::{eventually, operator, seed};

/// Longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Short where production is patient, and long where a busy machine needs it.
pub fn timing() -> Timing {
    Timing {
        head: Duration::from_secs(5),
        close: Duration::from_millis(500),
        ..Timing::default()
    }
}

/// A query that needs a token.
pub const VIEWER: &str = "{ viewer { kind } }";

/// A subscription to everything.
pub fn events(alias: &str) -> String {
    format!("subscription {{ {alias}: events {{ id }} }}")
}

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

/// A node that serves on a port of its own.
pub struct Node {
    pub app: App,
    pub owner: Created,
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub client: reqwest::Client,
    pub key: String,
    pub serving: JoinHandle<Result<()>>,
    _database: TestDatabase,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The code of the only error; that the body has GraphQL's shape and the request's id goes without saying.
    pub fn code(&self) -> String {
        let body = self.json();
        let errors = body["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("no errors: {self:?}"));
        assert_eq!(errors.len(), 1, "{self:?}");
        assert_eq!(
            errors[0]["extensions"]["requestId"].as_str(),
            Some(self.header("x-request-id")),
            "{self:?}"
        );
        assert!(errors[0]["message"].is_string(), "{self:?}");
        errors[0]["extensions"]["code"]
            .as_str()
            .expect("a code")
            .to_owned()
    }

    /// Status and code.
    pub fn refusal(&self) -> (u16, String) {
        (self.status.as_u16(), self.code())
    }

    pub fn extension(&self, name: &str) -> Value {
        self.json()["errors"][0]["extensions"][name].clone()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().expect("text"))
    }
}

impl Node {
    pub async fn start() -> Self {
        Self::start_with(&[], timing(), Clock::system()).await
    }

    /// Over an engine.
    pub async fn start_on(engine: Engine) -> Self {
        Self::start_over(engine, &[], timing(), Clock::system()).await
    }

    pub async fn start_with(flags: &[&str], timing: Timing, clock: Clock) -> Self {
        Self::start_over(Engine::Sqlite, flags, timing, clock).await
    }

    async fn start_over(engine: Engine, flags: &[&str], timing: Timing, clock: Clock) -> Self {
        let (database, url) = TestDatabase::create(engine).await;
        let base = [
            "ponte",
            "--database-url",
            &url,
            "--database-connections",
            "4",
            "--roles",
            "api",
            "--master-key",
            "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
        ];
        let config = Cli::try_parse_from(base.iter().chain(flags))
            .expect("flags that exist")
            .settings
            .check()
            .expect("settings that are right");
        let app = App::open(config, clock, Rng::seeded(7), Registry::builtin())
            .await
            .expect("a node");
        let owner = operator(&app)
            .create("Tests", Environment::Sandbox, None)
            .await
            .expect("an application");
        app.start();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let admin_listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let admin = admin_listener.local_addr().expect("an address");
        let web = Web::new(app.clone(), graphql::build(app.clone())).with_timing(timing);
        let serving = tokio::spawn(web.serve(listener, Some(admin_listener)));
        let mut node = Self {
            app,
            owner,
            address,
            admin,
            client: reqwest::Client::builder()
                .timeout(PATIENCE)
                .build()
                .expect("a client"),
            key: String::new(),
            serving,
            _database: database,
        };
        node.key = node.api_key().await;
        node
    }

    pub async fn api_key(&self) -> String {
        let id = self.owner.client_id.to_string();
        token::create_api_key(
            &self.app,
            [127, 0, 0, 1].into(),
            &id,
            &self.owner.client_secret,
        )
        .await
        .expect("an API key")
        .token
    }

    /// A connect token that browsers at these origins may use.
    pub async fn connect_token(&self, origins: &[&str]) -> String {
        let principal = token::verify(&self.app, &self.key)
            .await
            .expect("the API key");
        let request = token::ConnectTokenRequest {
            allowed_origins: origins.iter().map(|&origin| origin.to_owned()).collect(),
            ..token::ConnectTokenRequest::default()
        };
        token::create_connect_token(&self.app, &principal, request)
            .await
            .expect("a connect token")
            .token
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn post(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.client
            .post(self.url("/graphql"))
            .header("content-type", "application/json")
            .body(body)
    }

    /// Sends a document without a token.
    pub async fn anonymous(&self, document: &str) -> Answer {
        send(self.post(json!({ "query": document }).to_string())).await
    }

    /// Sends a document with the API key.
    pub async fn query(&self, document: &str) -> Answer {
        self.ask(json!({ "query": document }), "application/json")
            .await
    }

    /// Sends parameters with the API key, and takes a media type.
    pub async fn ask(&self, parameters: Value, accept: &str) -> Answer {
        let request = self.post(parameters.to_string());
        send(request.bearer_auth(&self.key).header("accept", accept)).await
    }

    /// That the node still answers, and soon.
    pub async fn canary(&self) {
        let began = std::time::Instant::now();
        let answer = self.query("{ __typename }").await;
        assert_eq!(answer.text, r#"{"data":{"__typename":"Query"}}"#);
        println!("canary {:?}", began.elapsed());
        assert!(
            began.elapsed() < Duration::from_secs(2),
            "{:?}",
            began.elapsed()
        );
    }

    /// Appends events of the application and publishes them.
    pub async fn happen(&self, count: usize) {
        let now = self.app.clock.now();
        let rows: Vec<_> = (0..count)
            .map(|_| {
                event::Model {
                    connector_id: Some(0),
                    ..event::Model::new(
                        self.app.rng.id(now),
                        self.owner.id,
                        EventType::ConnectorStatusUpdated,
                        now,
                    )
                }
                .to_append()
            })
            .collect();
        for some in rows.chunks(500) {
            event::Entity::insert_many(some.to_vec())
                .exec_without_returning(self.app.db.write())
                .await
                .expect("events");
        }
        self.app.wakes.relay.notify();
    }

    /// Returns once this many scopes are followed.
    pub async fn followed(&self, scopes: usize) {
        eventually(|| self.app.feed.scopes() == scopes).await;
    }

    /// A socket that has been greeted and has its acknowledgement.
    pub async fn socket(&self) -> Socket {
        let mut socket = Socket::open(self.address, &[]).await.expect("a socket");
        socket.init(&self.key).await;
        socket
    }

    /// Ends every token of the application and gives it another secret.
    pub async fn revoke(&mut self) {
        self.owner.client_secret = operator(&self.app)
            .rotate_secret(self.owner.id, true)
            .await
            .expect("another secret");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.app.stop();
    }
}

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.expect("an answer");
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        text: response.text().await.expect("a body"),
    }
}

/// A client that speaks bytes.
pub struct Raw(pub TcpStream);

impl Raw {
    pub async fn open(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("sent");
    }

    /// Everything until the server closes.
    pub async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        // A reset ends it as well.
        let _ = timeout(PATIENCE, self.0.read_to_end(&mut bytes))
            .await
            .expect("it ends");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A WebSocket client.
pub struct Socket(pub WebSocketStream<TcpStream>);

/// What a server says.
#[derive(Debug, PartialEq)]
pub enum Said {
    Message(Value),
    Close(u16, String),
    Gone,
}

impl Socket {
    /// Opens one with the subprotocol; a refusal is its status and body.
    pub async fn open(
        address: SocketAddr,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, (u16, String)> {
        Self::open_as(address, "graphql-transport-ws", headers).await
    }

    pub async fn open_as(
        address: SocketAddr,
        subprotocol: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, (u16, String)> {
        let stream = TcpStream::connect(address).await.expect("a connection");
        Self::over(stream, address, subprotocol, headers).await
    }

    async fn over(
        stream: TcpStream,
        address: SocketAddr,
        subprotocol: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, (u16, String)> {
        let mut request = format!("ws://{address}/graphql")
            .into_client_request()
            .expect("a request");
        let map = request.headers_mut();
        if !subprotocol.is_empty() {
            map.insert(
                "sec-websocket-protocol",
                subprotocol.parse().expect("a header"),
            );
        }
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header"));
        }
        match client_async(request, stream).await {
            Ok((socket, response)) => {
                assert_eq!(response.headers()["sec-websocket-protocol"], subprotocol);
                Ok(Self(socket))
            }
            Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                Err((
                    response.status().as_u16(),
                    String::from_utf8_lossy(&body).into_owned(),
                ))
            }
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn text(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.expect("sent");
    }

    pub async fn send(&mut self, message: Value) {
        self.text(message.to_string()).await;
    }

    pub async fn init(&mut self, token: &str) {
        self.send(json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {token}") } })).await;
        assert_eq!(
            self.next().await,
            Said::Message(json!({ "type": "connection_ack" }))
        );
    }

    pub async fn subscribe(&mut self, id: &str, document: &str) {
        self.send(json!({ "id": id, "type": "subscribe", "payload": { "query": document } }))
            .await;
    }

    /// What the server says next; pings are none of it.
    pub async fn next(&mut self) -> Said {
        let saying = async {
            loop {
                return match self.0.next().await {
                    Some(Ok(Message::Text(text))) => {
                        Said::Message(serde_json::from_str(&text).expect("JSON"))
                    }
                    Some(Ok(Message::Close(Some(frame)))) => {
                        Said::Close(frame.code.into(), frame.reason.to_string())
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    _ => Said::Gone,
                };
            }
        };
        timeout(PATIENCE, saying).await.expect("it says something")
    }

    /// The next message.
    pub async fn message(&mut self) -> Value {
        match self.next().await {
            Said::Message(message) => message,
            other => panic!("{other:?}"),
        }
    }

    /// The code with which it is closed, whatever was said before.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Said::Message(_) => {}
                Said::Close(code, _) => return code,
                Said::Gone => panic!("gone without a word"),
            }
        }
    }
}
