//! Subscribers over real sockets: each goes on behind its last cursor, however often its connection ends.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use super::server::Server;

/// All that an event tells and that never changes.
pub const FIELDS: &str =
    "cursor id type name itemId itemSequence clientUserId triggeredBy createdAt payload";

/// How long a connection may take to be greeted.
const GREETING: Duration = Duration::from_secs(10);
/// How long nothing may come while something is missing.
const PATIENCE: Duration = Duration::from_secs(45);
/// How long somebody whose connection has ended waits before the next.
const PAUSE: Duration = Duration::from_millis(20);

/// The subscription to everything.
pub fn events() -> String {
    format!("subscription($after: String) {{ events(after: $after) {{ {FIELDS} }} }}")
}

/// The way that answers come.
#[derive(Clone, Copy, Debug)]
pub enum Transport {
    /// `graphql-transport-ws`, going on by the variable `after`.
    Socket,
    /// Server-sent events, going on by `Last-Event-ID`.
    Stream,
    /// A query that waits, asked again and again with the variable `after`.
    Poll,
}

/// What somebody asks, and where.
#[derive(Clone, Debug)]
pub struct Asking {
    address: SocketAddr,
    key: String,
    transport: Transport,
    document: String,
    /// Most bytes that wait in the client's kernel, where it matters.
    buffer: Option<u32>,
}

/// What a server says to somebody who asks.
#[derive(Debug)]
pub enum Said {
    /// Where the answers begin.
    At(String),
    /// The root field of an answer.
    Next(Value),
    /// Errors.
    Refused(String),
}

impl Said {
    /// From an answer in GraphQL's form.
    fn of(answer: &mut Value) -> Self {
        match answer.get_mut("data").and_then(Value::as_object_mut) {
            Some(data) if !data.values().any(Value::is_null) => {
                let root = data.values_mut().next().map(Value::take);
                Self::Next(root.unwrap_or_default())
            }
            _ => Self::Refused(answer.to_string()),
        }
    }
}

impl Asking {
    pub fn new(server: &Server, transport: Transport, document: impl Into<String>) -> Self {
        Self {
            address: server
                .base
                .trim_start_matches("http://")
                .parse()
                .expect("an address"),
            key: server.key.lock().expect("a key").clone(),
            transport,
            document: document.into(),
            buffer: None,
        }
    }

    /// With so few bytes in the kernel that a client that does not read stops its server soon.
    pub fn with_buffer(self, bytes: u32) -> Self {
        Self {
            buffer: Some(bytes),
            ..self
        }
    }

    /// Asks once; `None` when nobody is there, or not yet ready.
    pub async fn open(&self, after: Option<&str>) -> Option<Connection> {
        timeout(GREETING, async {
            match self.transport {
                Transport::Socket => self.socket(after).await,
                Transport::Stream => self.stream(after).await,
                Transport::Poll => self.poll(after).await,
            }
        })
        .await
        .ok()
        .flatten()
    }

    async fn connect(&self) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().ok()?;
        if let Some(bytes) = self.buffer {
            socket.set_recv_buffer_size(bytes).ok()?;
        }
        let stream = socket.connect(self.address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(stream)
    }

    async fn socket(&self, after: Option<&str>) -> Option<Connection> {
        let mut request = format!("ws://{}/graphql", self.address)
            .into_client_request()
            .expect("a request");
        request.headers_mut().insert(
            "sec-websocket-protocol",
            "graphql-transport-ws".parse().expect("a header"),
        );
        let (mut socket, _) = client_async(request, self.connect().await?).await.ok()?;
        let token = format!("Bearer {}", self.key);
        let init = json!({ "type": "connection_init", "payload": { "Authorization": token } });
        socket.send(Message::text(init.to_string())).await.ok()?;
        while !matches!(socket.next().await?.ok()?, Message::Text(text) if text.contains("connection_ack"))
        {
        }
        let subscribe = json!({ "id": "1", "type": "subscribe", "payload": {
            "query": self.document, "variables": { "after": after } } });
        let sent = socket.send(Message::text(subscribe.to_string())).await;
        sent.ok().map(|()| Connection::Socket(Box::new(socket)))
    }

    async fn stream(&self, after: Option<&str>) -> Option<Connection> {
        let last = after
            .map(|cursor| format!("last-event-id: {cursor}\r\n"))
            .unwrap_or_default();
        let head = format!("accept: text/event-stream\r\n{last}");
        let body = json!({ "query": self.document });
        let stream = self.request(&head, &body).await?;
        Some(Connection::Stream(stream))
    }

    async fn poll(&self, after: Option<&str>) -> Option<Connection> {
        let body = json!({ "query": self.document, "variables": { "after": after } });
        let mut answer = self.request("accept: application/json\r\n", &body).await?;
        let mut text = Vec::new();
        answer.read_to_end(&mut text).await.ok()?;
        // One that is cut off is none.
        let answer = serde_json::from_slice(&text).ok()?;
        Some(Connection::Page(Some(answer)))
    }

    /// Posts, and reads the head of the answer. HTTP/1.0: what follows is the answer as it is, until the end.
    async fn request(&self, head: &str, body: &Value) -> Option<BufReader<TcpStream>> {
        let body = body.to_string();
        let request = format!(
            "POST /graphql HTTP/1.0\r\nhost: {}\r\ncontent-type: application/json\r\nauthorization: Bearer {}\r\n{head}content-length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        );
        let mut stream = BufReader::new(self.connect().await?);
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        // Not ready yet, or stopping.
        if head.contains(" 503 ") {
            return None;
        }
        assert!(head.contains(" 200 "), "{head}");
        Some(stream)
    }
}

/// Answers on their way.
pub enum Connection {
    Socket(Box<WebSocketStream<TcpStream>>),
    Stream(BufReader<TcpStream>),
    Page(Option<Value>),
}

impl Connection {
    /// What is said next; `None` when the connection has ended, however that was.
    pub async fn next(&mut self) -> Option<Said> {
        match self {
            Self::Socket(socket) => from_socket(socket).await,
            Self::Stream(stream) => from_stream(stream).await,
            Self::Page(answer) => answer.take().as_mut().map(Said::of),
        }
    }
}

async fn from_socket(socket: &mut WebSocketStream<TcpStream>) -> Option<Said> {
    loop {
        let text = match socket.next().await?.ok()? {
            Message::Text(text) => text,
            Message::Ping(_) | Message::Pong(_) => continue,
            _ => return None,
        };
        let mut message: Value = serde_json::from_str(&text).expect("JSON");
        match message["type"].as_str() {
            Some("next") => return Some(Said::of(&mut message["payload"])),
            Some("error") => return Some(Said::Refused(text.to_string())),
            Some("ping") => {}
            _ => return None,
        }
    }
}

async fn from_stream(stream: &mut BufReader<TcpStream>) -> Option<Said> {
    let (mut id, mut data) = (None, None);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        // The end, perhaps in the middle of a line.
        let line = line.strip_suffix('\n')?;
        match line.split_once(": ") {
            Some(("id", text)) => id = Some(text.to_owned()),
            Some(("data", text)) => data = Some(text.to_owned()),
            Some(_) => {}
            None if !line.is_empty() => {}
            None => match (id.take(), data.take()) {
                (_, Some(text)) if text.is_empty() => return None,
                (id, Some(text)) => {
                    let mut answer: Value = serde_json::from_str(&text).expect("JSON");
                    let said = Said::of(&mut answer);
                    if let Said::Next(event) = &said {
                        assert_eq!(event["cursor"], json!(id), "an id is its event's cursor");
                    }
                    return Some(said);
                }
                (Some(id), None) => return Some(Said::At(id)),
                (None, None) => {}
            },
        }
    }
}

/// Where the log ends now, as a stream tells it before anything happens.
pub async fn end_of_log(server: &Server) -> String {
    let document = "subscription { events { cursor } }";
    let asking = Asking::new(server, Transport::Stream, document);
    let mut stream = asking.open(None).await.expect("a stream");
    match stream.next().await {
        Some(Said::At(cursor)) => cursor,
        other => panic!("{other:?}"),
    }
}

/// Somebody who keeps what is told and goes on behind it.
pub struct Subscriber {
    pub name: String,
    told: Arc<Mutex<Vec<Value>>>,
    connections: Arc<AtomicUsize>,
    following: JoinHandle<()>,
}

impl Subscriber {
    /// Follows from a cursor on; `take` says what is kept of an answer.
    pub fn follow(
        name: &str,
        asking: Asking,
        after: &str,
        take: impl Fn(Value) -> Value + Send + 'static,
    ) -> Self {
        let told: Arc<Mutex<Vec<Value>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let (keeping, counting) = (told.clone(), connections.clone());
        let mut last = after.to_owned();
        let following = async move {
            // A page that is answered is no new connection, one that comes after a failure is.
            let mut connected = false;
            loop {
                let Some(mut connection) = asking.open(Some(&last)).await else {
                    connected = false;
                    sleep(PAUSE).await;
                    continue;
                };
                if !connected {
                    counting.fetch_add(1, Ordering::Relaxed);
                }
                let paged = matches!(asking.transport, Transport::Poll);
                while let Some(said) = connection.next().await {
                    let events = match said {
                        Said::At(cursor) => {
                            last = cursor;
                            continue;
                        }
                        Said::Next(mut page) if paged => match page["nodes"].take() {
                            Value::Array(events) => events,
                            _ => panic!("no page: {page}"),
                        },
                        Said::Next(event) => vec![event],
                        Said::Refused(errors) => panic!("refused behind {last}: {errors}"),
                    };
                    for event in events {
                        event["cursor"]
                            .as_str()
                            .expect("a cursor")
                            .clone_into(&mut last);
                        keeping.lock().expect("a list").push(take(event));
                    }
                }
                connected = paged;
                if !paged {
                    sleep(PAUSE).await;
                }
            }
        };
        Self {
            name: name.to_owned(),
            told,
            connections,
            following: tokio::spawn(following),
        }
    }

    /// How often it has been connected.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How much it has been told.
    pub fn count(&self) -> usize {
        self.told.lock().expect("a list").len()
    }

    /// Waits until it has been told so much; `false` when nothing has come for a while.
    async fn reached(&self, count: usize) -> bool {
        let (mut before, mut since) = (self.count(), Instant::now());
        loop {
            let now = self.count();
            if now >= count {
                return true;
            }
            if now > before {
                (before, since) = (now, Instant::now());
            }
            assert!(!self.following.is_finished(), "{} was refused", self.name);
            if since.elapsed() > PATIENCE {
                return false;
            }
            sleep(PAUSE).await;
        }
    }

    /// Waits until it has been told so much.
    pub async fn reaches(&self, count: usize) {
        let reached = self.reached(count).await;
        assert!(reached, "{}: {} of {count}", self.name, self.count());
    }

    /// Everything that it has been told, in order. It ends with this.
    pub fn told(self) -> Vec<Value> {
        self.following.abort();
        std::mem::take(&mut self.told.lock().expect("a list"))
    }

    /// Fails unless it has been told exactly this, in this order.
    pub async fn heard_exactly(self, expected: &[Value]) {
        self.reached(expected.len()).await;
        let name = self.name.clone();
        let told = self.told();
        for (n, (told, expected)) in told.iter().zip(expected).enumerate() {
            assert_eq!(told, expected, "{name}: number {n}");
        }
        assert_eq!(told.get(expected.len()), None, "{name}: invented");
        assert_eq!(told.len(), expected.len(), "{name}: lost");
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.following.abort();
    }
}
