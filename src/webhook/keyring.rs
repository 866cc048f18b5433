//! The keyring: what a request needs that is sealed at rest, opened once and kept for a while.
//!
//! Promises that a changed registration is seen at once (it is kept under the time of its last change) and a changed
//! secret of an application within [`APPLICATION_LASTS`]; that what it forgets is wiped; and that it never grows beyond
//! [`MOST`].

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::Arc,
    time::Duration,
};

use entity::{application, webhook};
use http::HeaderMap;
use sea_orm::EntityTrait as _;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    egress::check_header,
    signature::{self, Secret, SignedHeaders},
};
use crate::{
    app::App,
    auth::application::{previous_webhook_scope, webhook_scope},
    clock::Timestamp,
    error::{Error, Result},
    vault::Scope,
};

/// Most endpoints whose secrets are kept open.
const MOST: usize = 1_000;
/// How long an application's secrets are used without looking whether they have changed.
const APPLICATION_LASTS: Duration = Duration::from_secs(5);
/// The shortest header value that is looked for in answers; shorter ones would strike by chance.
const SECRET_BYTES_MIN: usize = 4;

/// Where a webhook's sealed columns belong.
pub(super) fn scope(webhook: &webhook::Model, field: &'static str) -> Scope {
    Scope::of_application(webhook.application_id, webhook.id, field)
}

/// Column of the secret that signs.
pub(super) const SECRET: &str = "secret";
/// Column of the secret that signs during an overlap.
pub(super) const PREVIOUS_SECRET: &str = "previous_secret";
/// Column of the static headers.
pub(super) const HEADERS: &str = "headers";

/// Names and values of static headers, in clear.
pub(super) type Headers = Vec<(String, Zeroizing<String>)>;

/// Static headers as they are sealed.
pub(super) fn headers_to_bytes(headers: &Headers) -> Zeroizing<Vec<u8>> {
    let pairs: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    Zeroizing::new(serde_json::to_vec(&pairs).expect("pairs of texts"))
}

fn headers_from_bytes(bytes: &[u8]) -> Result<Headers> {
    let pairs: Vec<(String, String)> = serde_json::from_slice(bytes).map_err(Error::internal)?;
    Ok(pairs
        .into_iter()
        .map(|(name, value)| (name, Zeroizing::new(value)))
        .collect())
}

/// Reads a sealed signing secret.
pub(super) fn secret_from_bytes(bytes: &[u8]) -> Result<Secret> {
    let text = std::str::from_utf8(bytes).map_err(Error::internal)?;
    Secret::parse(text).map_err(Error::internal)
}

/// What one endpoint's requests carry. Wiped when dropped.
pub(super) struct Opened {
    secret: Secret,
    previous: Option<(Secret, Timestamp)>,
    headers: Headers,
}

impl Opened {
    /// The endpoint's own headers, with the signature over them.
    pub fn headers(&self, id: &str, now: Timestamp, body: &[u8]) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let (name, value) = check_header(name, value).map_err(Error::internal)?;
            headers.insert(name, value);
        }
        self.sign(id, now, body)
            .insert_into(&mut headers)
            .map_err(Error::internal)?;
        Ok(headers)
    }

    fn sign(&self, id: &str, now: Timestamp, body: &[u8]) -> SignedHeaders {
        let mut secrets = vec![&self.secret];
        if let Some((previous, until)) = &self.previous
            && *until > now
        {
            secrets.push(previous);
        }
        signature::sign(&secrets, id, now, body)
    }

    /// An endpoint's answer without the values of its own headers, should it repeat them.
    pub fn redact(&self, mut answer: String) -> String {
        for (_, value) in &self.headers {
            if value.len() < SECRET_BYTES_MIN {
                continue;
            }
            let escaped = Zeroizing::new(serde_json::to_string(&**value).expect("a text"));
            let escaped = escaped.trim_matches('"');
            for shown in [value.as_str(), escaped] {
                if answer.contains(shown) {
                    answer = answer.replace(shown, "<redacted>");
                }
            }
        }
        answer
    }
}

/// A map that forgets its oldest entry when it is full.
struct Bounded<K, V> {
    entries: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K: Copy + Eq + Hash, V> Bounded<K, V> {
    fn new() -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    fn insert(&mut self, key: K, value: V) {
        if self.entries.insert(key, value).is_none() {
            self.order.push_back(key);
        }
        if self.entries.len() > MOST
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }
}

struct KeptWebhook {
    changed: Timestamp,
    opened: Arc<Opened>,
}

struct KeptApplication {
    read: Timestamp,
    envelopes: (Vec<u8>, Option<Vec<u8>>),
    opened: Arc<Opened>,
}

/// Opened secrets, by endpoint.
pub(super) struct Keyring {
    webhooks: Bounded<Uuid, KeptWebhook>,
    applications: Bounded<Uuid, KeptApplication>,
}

impl Keyring {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            webhooks: Bounded::new(),
            applications: Bounded::new(),
        }
    }

    /// What requests of this registration carry.
    pub async fn webhook(&mut self, app: &App, row: &webhook::Model) -> Result<Arc<Opened>> {
        if let Some(kept) = self.webhooks.entries.get(&row.id)
            && kept.changed == row.updated_at
        {
            return Ok(kept.opened.clone());
        }
        let open = async |field, envelope: &[u8]| {
            app.vault
                .unseal(app.db.read(), scope(row, field), envelope)
                .await
        };
        let previous = match (&row.previous_secret, row.previous_secret_until) {
            (Some(envelope), Some(until)) if until > app.clock.now() => {
                let bytes = open(PREVIOUS_SECRET, envelope).await?;
                Some((secret_from_bytes(&bytes)?, until))
            }
            _ => None,
        };
        let headers = match &row.headers {
            Some(envelope) => headers_from_bytes(&open(HEADERS, envelope).await?)?,
            None => Headers::new(),
        };
        let opened = Arc::new(Opened {
            secret: secret_from_bytes(&open(SECRET, &row.secret).await?)?,
            previous,
            headers,
        });
        self.webhooks.insert(
            row.id,
            KeptWebhook {
                changed: row.updated_at,
                opened: opened.clone(),
            },
        );
        Ok(opened)
    }

    /// What requests to the endpoints of an application's Items carry.
    pub async fn application(&mut self, app: &App, id: Uuid) -> Result<Arc<Opened>> {
        let now = app.clock.now();
        if let Some(kept) = self.applications.entries.get(&id)
            && now.since(kept.read) < APPLICATION_LASTS
        {
            return Ok(kept.opened.clone());
        }
        let row = application::Entity::find_by_id(id)
            .one(app.db.read())
            .await?
            .ok_or(Error::NotFound {
                what: "application",
            })?;
        let until = row.previous_webhook_secret_until;
        let envelopes = (
            row.webhook_secret,
            row.previous_webhook_secret
                .filter(|_| until.is_some_and(|until| until > now)),
        );
        if let Some(kept) = self.applications.entries.get_mut(&id)
            && kept.envelopes == envelopes
        {
            kept.read = now;
            return Ok(kept.opened.clone());
        }
        let open = async |scope, envelope: &[u8]| {
            let bytes = app.vault.unseal(app.db.read(), scope, envelope).await?;
            secret_from_bytes(&bytes)
        };
        let previous = match (&envelopes.1, until) {
            (Some(envelope), Some(until)) => {
                Some((open(previous_webhook_scope(id), envelope).await?, until))
            }
            _ => None,
        };
        let opened = Arc::new(Opened {
            secret: open(webhook_scope(id), &envelopes.0).await?,
            previous,
            headers: Headers::new(),
        });
        self.applications.insert(
            id,
            KeptApplication {
                read: now,
                envelopes,
                opened: opened.clone(),
            },
        );
        Ok(opened)
    }
}
