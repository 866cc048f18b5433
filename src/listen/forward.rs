//! The developer's own server.

use std::{error::Error as _, time::Duration};

use reqwest::{Client, StatusCode, header, redirect::Policy};
use url::Url;

use super::Event;
use crate::{
    clock::Clock,
    webhook::signature::{self, Secret},
};

/// How long an answer may take: longer than webhooks wait, since somebody may be looking with a debugger.
const TIMEOUT: Duration = Duration::from_mins(1);
/// How long it may take to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("Ponte/", env!("CARGO_PKG_VERSION"), " listen");

/// What came of a request.
pub(super) enum Outcome {
    /// An answer, whatever it says.
    Answered(StatusCode),
    /// None within the time.
    TimedOut,
    /// There is nobody to answer.
    Down(String),
}

/// Where events go.
pub(super) struct Forward {
    http: Client,
    url: Url,
    secret: Secret,
    clock: Clock,
}

impl Forward {
    pub fn new(url: Url, secret: Secret) -> Result<Self, String> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(format!("--forward-to {url}: must be http or https"));
        }
        let http = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(USER_AGENT)
            .build();
        Ok(Self {
            http: http.map_err(|error| error.to_string())?,
            url,
            secret,
            clock: Clock::system(),
        })
    }

    /// Posts an event as a webhook would, once.
    pub async fn post(&self, event: &Event) -> Outcome {
        let body = event.payload.to_string();
        let now = self.clock.now();
        let signed = signature::sign(&[&self.secret], &[], &event.id, now, body.as_bytes());
        let request = self
            .http
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(signature::ID, signed.id)
            .header(signature::TIMESTAMP, signed.timestamp)
            .header(signature::SIGNATURE, signed.signature)
            .body(body);
        match request.send().await {
            Ok(answer) => Outcome::Answered(answer.status()),
            Err(error) if error.is_timeout() && !error.is_connect() => Outcome::TimedOut,
            Err(error) => {
                let error = error.without_url();
                let mut reason = error.to_string();
                let mut source = error.source();
                while let Some(cause) = source {
                    reason = cause.to_string();
                    source = cause.source();
                }
                Outcome::Down(reason)
            }
        }
    }
}
