//! The API of a Ponte, as a client uses it.

use std::time::Duration;

use reqwest::{Client, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use super::Event;

/// How long a question waits for something to happen.
const WAIT_SECONDS: u64 = 20;
/// How long an answer may take beyond that.
const TIMEOUT: Duration = Duration::from_secs(WAIT_SECONDS + 20);
/// Events that one answer brings.
const FIRST: u32 = 100;

const KEY: &str = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey } }";
const NOW: &str = "{ viewer { cursor } }";
const EVENTS: &str = "query($first: Int!, $after: String!, $types: [EventType!], $wait: Int!) { \
    events(first: $first, after: $after, filter: { types: $types }, waitSeconds: $wait) { \
    nodes { id cursor name payload } } }";

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It may come later.
    Away {
        reason: String,
        pause: Option<Duration>,
    },
    /// What comes behind the cursor is no longer kept, down to this one.
    Expired { oldest: String },
    /// It never will.
    Hopeless(String),
}

impl Trouble {
    fn away(reason: &impl ToString) -> Self {
        Self::Away {
            reason: reason.to_string(),
            pause: None,
        }
    }
}

/// A Ponte, for one application.
pub(super) struct Server {
    http: Client,
    url: Url,
    client_id: String,
    client_secret: SecretString,
    key: Option<SecretString>,
}

impl Server {
    pub fn new(base: &Url, client_id: String, client_secret: SecretString) -> Result<Self, String> {
        let url = format!("{}/graphql", base.as_str().trim_end_matches('/'));
        let http = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(Duration::from_secs(10))
            .build();
        Ok(Self {
            http: http.map_err(|error| error.to_string())?,
            url: Url::parse(&url).map_err(|error| error.to_string())?,
            client_id,
            client_secret,
            key: None,
        })
    }

    /// The cursor of this moment.
    pub async fn now(&mut self) -> Result<String, Trouble> {
        let data = self.ask(NOW, json!({})).await?;
        text(&data, "/viewer/cursor")
    }

    /// What has happened behind a cursor; waits a while for something to.
    pub async fn events(&mut self, after: &str, types: &[String]) -> Result<Vec<Event>, Trouble> {
        let types = (!types.is_empty()).then_some(types);
        let variables =
            json!({ "first": FIRST, "after": after, "types": types, "wait": WAIT_SECONDS });
        let mut data = self.ask(EVENTS, variables).await?;
        let nodes = data.pointer_mut("/events/nodes").map(Value::take);
        serde_json::from_value(nodes.unwrap_or_default()).map_err(|error| Trouble::away(&error))
    }

    /// Asks under an API key, a new one when there is none or it has ended.
    async fn ask(&mut self, document: &str, variables: Value) -> Result<Value, Trouble> {
        if let Some(key) = self.key.clone() {
            match self.post(Some(&key), document, &variables).await {
                Err(Refusal { code, .. }) if code == "UNAUTHENTICATED" => self.key = None,
                answer => return answer.map_err(Refusal::into_trouble),
            }
        }
        let input = json!({ "input": { "clientId": self.client_id, "clientSecret": self.client_secret.expose_secret() } });
        let data = self.post(None, KEY, &input).await;
        let data = data.map_err(Refusal::into_trouble)?;
        let key = SecretString::from(text(&data, "/createApiKey/apiKey")?);
        let answer = self.post(Some(&key), document, &variables).await;
        self.key = Some(key);
        answer.map_err(Refusal::into_trouble)
    }

    async fn post(
        &self,
        key: Option<&SecretString>,
        document: &str,
        variables: &Value,
    ) -> Result<Value, Refusal> {
        let body = json!({ "query": document, "variables": variables }).to_string();
        let mut request = self
            .http
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(body);
        if let Some(key) = key {
            request = request.bearer_auth(key.expose_secret());
        }
        let unreachable = |error: reqwest::Error| Refusal::away(&error.without_url());
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let bytes = answer.bytes().await.map_err(unreachable)?;
        let Ok(mut answer) = serde_json::from_slice::<Value>(&bytes) else {
            let reason = format!("the server answers {status} and no GraphQL");
            return Err(Refusal::away(&reason));
        };
        match answer.pointer_mut("/errors/0").map(Value::take) {
            Some(error) => Err(Refusal {
                code: error["extensions"]["code"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                extensions: error["extensions"].clone(),
            }),
            None => Ok(answer["data"].take()),
        }
    }
}

/// An answer that is none.
struct Refusal {
    code: String,
    message: String,
    extensions: Value,
}

impl Refusal {
    fn away(reason: &impl ToString) -> Self {
        Self {
            code: "INTERNAL_ERROR".to_owned(),
            message: reason.to_string(),
            extensions: Value::Null,
        }
    }

    fn into_trouble(self) -> Trouble {
        match self.code.as_str() {
            "INTERNAL_ERROR" => Trouble::away(&format!("the server: {}", self.message)),
            "RATE_LIMITED" => Trouble::Away {
                reason: format!("the server: {}", self.message),
                pause: self.extensions["retryAfter"]
                    .as_u64()
                    .map(Duration::from_secs),
            },
            "CURSOR_EXPIRED" => match self.extensions["oldestCursor"].as_str() {
                Some(oldest) => Trouble::Expired {
                    oldest: oldest.to_owned(),
                },
                None => Trouble::Hopeless(self.message),
            },
            code => Trouble::Hopeless(format!("the server answers {code}: {}", self.message)),
        }
    }
}

fn text(data: &Value, pointer: &str) -> Result<String, Trouble> {
    let text = data.pointer(pointer).and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| Trouble::Hopeless(format!("the server answers no {pointer}")))
}
