//! The client that sends webhooks.
//!
//! Promises that no connection leaves the [`Policy`]: a name is resolved once, every address it has is judged, and only
//! judged addresses are connected to. Redirects are not followed, proxies are not asked, an answer is read up to a
//! bound, and everything ends within the time given.

use std::{
    error::Error as _,
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{
    dns::{Addrs, Name, Resolve, Resolving},
    redirect, retry,
};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::{Policy, bare, is_localhost, normalised};
use crate::{error, webhook::signature};

/// How much of an answer is read.
const EXCERPT_BYTES: usize = 64 * 1024;
/// How long a connection, with name resolution and TLS handshake, may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many unused connections are kept for each host.
const IDLE_PER_HOST: usize = 100;
/// How many of a name's addresses are tried.
const ADDRESSES_MAX: usize = 8;
/// How much of a fault's text is shown.
const FAULT_CHARS: usize = 300;
/// What is sent.
pub const CONTENT_TYPE: &str = "application/json";
/// Who sends.
pub const USER_AGENT: &str = concat!("Ponte/", env!("CARGO_PKG_VERSION"));

/// Headers that belong to the connection, or to us.
const RESERVED_HEADERS: [HeaderName; 16] = [
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    signature::ID,
    signature::TIMESTAMP,
    signature::SIGNATURE,
];

/// Checks a header that a client wants on its webhooks; the message fits `INVALID_INPUT`. The value is marked sensitive.
pub fn check_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| "must have names of letters, digits and hyphens".to_owned())?;
    if RESERVED_HEADERS.contains(&name) {
        return Err(format!(
            "must not contain {name}, which is set by the server"
        ));
    }
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| format!("must have visible ASCII characters only in the value of {name}"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// One request.
pub struct Outgoing {
    /// Where to.
    pub url: Url,
    /// The receiver's own headers, from [`check_header`], and those of the signature.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// Why there was none, or why it does not count; fit for the webhook's owner.
    pub error: Option<String>,
    /// From the first step to the last byte that was read.
    pub duration: Duration,
    /// The answer's `Retry-After`.
    pub retry_after: Option<String>,
    /// The beginning of the answer's body, as text; empty when there was none.
    pub body: String,
}

/// Where addresses of names come from.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of a name.
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

#[async_trait]
impl<T: Lookup> Lookup for Arc<T> {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        T::lookup(self, name).await
    }
}

/// The resolver of the operating system.
struct SystemLookup;

#[async_trait]
impl Lookup for SystemLookup {
    async fn lookup(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = tokio::net::lookup_host((name, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}

/// Why a name leads nowhere.
#[derive(Debug)]
enum Refusal {
    Unknown,
    Special(&'static str),
    PlainToPublic,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("the host name cannot be resolved"),
            Self::Special(kind) => write!(
                f,
                "the host name leads to a {kind} address, which PONTE_WEBHOOK_ALLOW_NETWORKS does not contain"
            ),
            Self::PlainToPublic => f.write_str(
                "plain http is for networks in PONTE_WEBHOOK_ALLOW_NETWORKS, and the host name leads elsewhere; use https",
            ),
        }
    }
}

impl std::error::Error for Refusal {}

/// A resolver that gives out judged addresses, and none when one of them is refused.
pub(super) struct Guard {
    pub(super) policy: Arc<Policy>,
    pub(super) lookup: Arc<dyn Lookup>,
    /// Whether only networks of the allow-list may be reached, as with plain http.
    pub(super) allowed_only: bool,
}

impl Guard {
    fn judge(&self, address: IpAddr) -> Result<(), Refusal> {
        self.policy.judge(address).map_err(Refusal::Special)?;
        if self.allowed_only && !self.policy.is_allowed(address) {
            return Err(Refusal::PlainToPublic);
        }
        Ok(())
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Refusal> {
        if is_localhost(&bare(name)) {
            // Known without asking; and a machine whose `localhost` has two addresses needs only one of them allowed.
            let both = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let judged: Vec<IpAddr> = both
                .into_iter()
                .filter(|address| self.judge(*address).is_ok())
                .collect();
            return if judged.is_empty() {
                Err(Refusal::Special("loopback"))
            } else {
                Ok(judged)
            };
        }
        let found = self.lookup.lookup(name).await.unwrap_or_default();
        if found.is_empty() {
            return Err(Refusal::Unknown);
        }
        found
            .into_iter()
            .map(|address| {
                let address = normalised(address);
                self.judge(address).map(|()| address)
            })
            .collect()
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Self {
            policy: Arc::clone(&self.policy),
            lookup: Arc::clone(&self.lookup),
            allowed_only: self.allowed_only,
        };
        Box::pin(async move {
            let judged = guard.addresses(name.as_str()).await?;
            let judged = judged
                .into_iter()
                .take(ADDRESSES_MAX)
                // Port 0 stands for the URL's.
                .map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(judged) as Addrs)
        })
    }
}

/// Sends webhooks.
///
/// Connections are kept and used again for the same scheme, host and port; each was judged when it was opened.
pub struct Client {
    policy: Arc<Policy>,
    plain: reqwest::Client,
    /// Missing on a machine without root certificates, which can still do everything else.
    tls: Option<reqwest::Client>,
}

impl Client {
    /// A client that resolves names as the operating system does.
    pub fn new(policy: Policy) -> error::Result<Self> {
        Self::with_lookup(policy, SystemLookup)
    }

    /// A client that resolves names in its own way.
    pub fn with_lookup(policy: Policy, lookup: impl Lookup) -> error::Result<Self> {
        let policy = Arc::new(policy);
        let lookup: Arc<dyn Lookup> = Arc::new(lookup);
        let builder = |allowed_only| {
            reqwest::Client::builder()
                .dns_resolver(Guard {
                    policy: Arc::clone(&policy),
                    lookup: Arc::clone(&lookup),
                    allowed_only,
                })
                .no_proxy()
                .redirect(redirect::Policy::none())
                .retry(retry::never())
                .referer(false)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT)
                .pool_max_idle_per_host(IDLE_PER_HOST)
                .user_agent(USER_AGENT)
        };
        let tls = builder(false)
            .https_only(true)
            .build()
            .inspect_err(|error| {
                tracing::error!(
                    error = deepest(error),
                    "webhooks over https will fail: install root certificates (package ca-certificates) and restart"
                );
            })
            .ok();
        let plain = builder(true)
            .tls_certs_only([])
            .build()
            .map_err(error::Error::internal)?;
        Ok(Self { policy, plain, tls })
    }

    /// The policy that this client keeps.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Sends one POST and reads the beginning of the answer, all within `timeout`.
    ///
    /// The status decides: a body that is too long, too slow or broken off is cut, and the status counts.
    pub async fn send(&self, request: Outgoing, timeout: Duration) -> Outcome {
        // Measures a wait on another machine, which no App's clock moves.
        let start = Instant::now();
        let mut outcome = self.attempt(request, start + timeout, timeout).await;
        outcome.duration = start.elapsed();
        outcome
    }

    async fn attempt(&self, request: Outgoing, deadline: Instant, timeout: Duration) -> Outcome {
        let client = match self.client_for(&request.url) {
            Ok(client) => client,
            Err(reason) => return failed(reason),
        };
        let mut headers = request.headers;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        let sending = client
            .post(request.url)
            .headers(headers)
            .body(request.body)
            .send();
        let mut response = match timeout_at(deadline, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return failed(explain(&error)),
            Err(_) => return failed(format!("no answer within {timeout:?}")),
        };
        let mut excerpt = Vec::new();
        while excerpt.len() < EXCERPT_BYTES {
            match timeout_at(deadline, response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    let rest = EXCERPT_BYTES - excerpt.len();
                    excerpt.extend_from_slice(&chunk[..chunk.len().min(rest)]);
                }
                Ok(Ok(None) | Err(_)) | Err(_) => break,
            }
        }
        let status = response.status();
        Outcome {
            status: Some(status.as_u16()),
            error: status.is_redirection().then(|| {
                format!(
                    "the endpoint answered {}, and redirects are not followed; register the URL it leads to",
                    status.as_u16()
                )
            }),
            duration: Duration::ZERO,
            retry_after: response
                .headers()
                .get(header::RETRY_AFTER)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            body: text(&excerpt),
        }
    }

    /// Judges what the resolver is never asked about, and picks the client whose resolver judges the rest.
    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, String> {
        self.policy
            .check(url)
            .map_err(|reason| format!("the URL {reason}"))?;
        if url.scheme() == "http" {
            return Ok(&self.plain);
        }
        self.tls.as_ref().ok_or_else(|| {
            "this server has no root certificates to verify https with; its operator installs ca-certificates".to_owned()
        })
    }
}

fn failed(reason: String) -> Outcome {
    Outcome {
        error: Some(reason),
        ..Outcome::default()
    }
}

/// The innermost cause, which names the fault without what surrounds it.
fn deepest(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    text(cause.to_string().as_bytes())
        .chars()
        .take(FAULT_CHARS)
        .collect()
}

/// Says why no answer came, without the URL, which may hold a secret.
fn explain(error: &reqwest::Error) -> String {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.to_string();
        }
        source = cause.source();
    }
    if error.is_timeout() {
        return format!("no connection within {CONNECT_TIMEOUT:?}");
    }
    let fault = deepest(error);
    if error.is_connect() {
        format!("no connection: {fault}")
    } else {
        format!("no answer: {fault}")
    }
}

/// Text of at most [`EXCERPT_BYTES`], with replacement characters for what is none. Postgres stores no zero bytes.
fn text(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace('\0', "\u{fffd}");
    text.truncate(text.floor_char_boundary(EXCERPT_BYTES));
    text
}
