//! A client of the binary that remembers what it must never read.

use serde_json::{Value, json};

use crate::support::server::Server;

pub const CREATE: &str =
    "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
pub const DESCRIPTION: &str = "PLANTED DESCRIPTION 4711";
pub const AMOUNT: &str = "PLANTED-amount";

/// A client, its tokens, and what it planted.
pub struct Client<'a> {
    pub server: &'a Server,
    pub key: String,
    pub http: reqwest::Client,
    pub secrets: Vec<String>,
    /// What stood in files: stored, and told to their owner, in the clear.
    pub contents: Vec<String>,
    /// What was answered to requests that were refused, and those.
    pub refusals: Vec<(String, String)>,
    planted: usize,
}

impl<'a> Client<'a> {
    pub fn new(server: &'a Server) -> Self {
        Self {
            server,
            key: server.key.lock().expect("a key").clone(),
            http: reqwest::Client::new(),
            secrets: Vec::new(),
            contents: vec![DESCRIPTION.to_owned(), AMOUNT.to_owned()],
            refusals: Vec::new(),
            planted: 0,
        }
    }

    /// A new secret.
    pub fn plant(&mut self, what: &str) -> String {
        self.planted += 1;
        let secret = format!("PLANTED-{what}-{:04}", self.planted);
        self.secrets.push(secret.clone());
        secret
    }

    /// A secret that the server has made.
    pub fn keep(&mut self, answer: &Value, pointer: &str) -> String {
        let secret = answer.pointer(pointer).and_then(Value::as_str);
        let secret = secret.unwrap_or_else(|| panic!("no {pointer} in {answer}"));
        self.secrets.push(secret.to_owned());
        secret.to_owned()
    }

    pub async fn send(
        &self,
        path: &str,
        kind: &str,
        token: &str,
        body: impl Into<reqwest::Body>,
    ) -> String {
        let request = self.http.post(format!("{}{path}", self.server.base));
        let answer = request
            .header("content-type", kind)
            .header("x-api-key", token)
            .body(body);
        answer
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("text")
    }

    pub async fn query(&self, document: &str, variables: Value) -> Value {
        let body = json!({ "query": document, "variables": variables }).to_string();
        let answer = self
            .send("/graphql", "application/json", &self.key, body)
            .await;
        serde_json::from_str(&answer).expect("JSON")
    }

    /// A body that must be refused, as it is.
    pub async fn refused(&mut self, body: String) {
        let answer = self
            .send("/graphql", "application/json", &self.key, body.clone())
            .await;
        self.note(&body, answer);
    }

    /// The same for a document.
    pub async fn refused_document(&mut self, document: &str, variables: Value) {
        self.refused(json!({ "query": document, "variables": variables }).to_string())
            .await;
    }

    pub fn note(&mut self, asked: &str, answer: String) {
        assert!(
            answer.contains("\"errors\""),
            "{asked} was answered {answer}"
        );
        self.refusals.push((answer, asked.to_owned()));
    }
}

/// What createItem takes.
pub fn item(connector: &str, parameters: &[(&str, &str)]) -> Value {
    let parameters: Vec<_> = parameters
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect();
    json!({ "input": { "connectorId": connector, "parameters": parameters } })
}
