//! An endpoint for webhooks that does as it is told.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::sync::Notify;

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
        Self::at(0).await
    }

    /// On this port.
    pub async fn at(port: u16) -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            default: Mutex::new(Answer::Status(204)),
            received: Mutex::default(),
            arrived: Notify::new(),
            gate: Notify::new(),
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .unwrap();
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
                writeln!(text, "{name}: {}", value.to_str().unwrap()).unwrap();
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
