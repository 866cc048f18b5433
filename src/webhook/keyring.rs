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
    keys,
    signature::{self, Secret, SignedHeaders, SigningKey},
};
use crate::{
    app::App,
    auth::application::{
        previous_signing_scope, previous_webhook_scope, signing_scope, webhook_scope,
    },
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
/// Column of the asymmetric key that signs.
pub(super) const SIGNING_KEY: &str = "signing_key";
/// Column of the asymmetric key that signs during an overlap.
pub(super) const PREVIOUS_SIGNING_KEY: &str = "previous_signing_key";
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
fn secret_from_bytes(bytes: &[u8]) -> Result<Secret> {
    let text = std::str::from_utf8(bytes).map_err(Error::internal)?;
    Secret::parse(text).map_err(Error::internal)
}

/// Keys that sign until then, beside the present ones.
struct Previous {
    secret: Secret,
    key: Option<SigningKey>,
    until: Timestamp,
}

/// What one endpoint's requests carry. Wiped when dropped.
pub(super) struct Opened {
    secret: Secret,
    key: SigningKey,
    previous: Option<Previous>,
    headers: Headers,
    /// The names of the static headers, in one line.
    pub names: Option<String>,
}

impl Opened {
    fn new(secret: Secret, key: SigningKey, previous: Option<Previous>, headers: Headers) -> Self {
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = (!names.is_empty()).then(|| names.join(" "));
        Self {
            secret,
            key,
            previous,
            headers,
            names,
        }
    }

    /// The endpoint's own headers, with the signatures over them; and those by themselves, which are no secret.
    pub fn headers(&self, id: &str, now: Timestamp, body: &[u8]) -> Result<(HeaderMap, String)> {
        let mut headers = HeaderMap::with_capacity(self.headers.len() + 4);
        for (name, value) in &self.headers {
            let (name, value) = check_header(name, value).map_err(Error::internal)?;
            headers.insert(name, value);
        }
        let signed = self.sign(id, now, body);
        signed.insert_into(&mut headers).map_err(Error::internal)?;
        Ok((headers, signed.signature))
    }

    fn sign(&self, id: &str, now: Timestamp, body: &[u8]) -> SignedHeaders {
        let (mut secrets, mut keys) = (vec![&self.secret], vec![&self.key]);
        if let Some(previous) = &self.previous
            && previous.until > now
        {
            secrets.push(&previous.secret);
            keys.extend(&previous.key);
        }
        signature::sign(&secrets, &keys, id, now, body)
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

/// The sealed keys of an application: of now, and of the overlap.
type Envelopes = [Option<Vec<u8>>; 4];

struct KeptApplication {
    read: Timestamp,
    envelopes: Envelopes,
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
        let completed;
        let row = if row.signing_key.is_some() {
            row
        } else {
            completed = keys::complete_webhook(app, row.id).await?;
            completed
                .as_ref()
                .ok_or(Error::NotFound { what: "webhook" })?
        };
        let of = |field| scope(row, field);
        let previous = match (&row.previous_secret, row.previous_secret_until) {
            (Some(secret), Some(until)) if until > app.clock.now() => Some(Previous {
                secret: secret_in(app, of(PREVIOUS_SECRET), secret).await?,
                key: match &row.previous_signing_key {
                    Some(key) => Some(key_in(app, of(PREVIOUS_SIGNING_KEY), key).await?),
                    None => None,
                },
                until,
            }),
            _ => None,
        };
        let headers = match &row.headers {
            Some(envelope) => headers_from_bytes(&open(app, of(HEADERS), envelope).await?)?,
            None => Headers::new(),
        };
        let opened = Arc::new(Opened::new(
            secret_in(app, of(SECRET), &row.secret).await?,
            key_in(app, of(SIGNING_KEY), key_of(row.signing_key.as_ref())?).await?,
            previous,
            headers,
        ));
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
        let mut row = application::Entity::find_by_id(id)
            .one(app.db.read())
            .await?
            .ok_or(GONE)?;
        if row.webhook_signing_key.is_none() {
            row = keys::complete_application(app, id).await?.ok_or(GONE)?;
        }
        let until = row.previous_webhook_secret_until;
        let overlaps = until.is_some_and(|until| until > now);
        let envelopes = [
            Some(row.webhook_secret),
            row.webhook_signing_key,
            row.previous_webhook_secret.filter(|_| overlaps),
            row.previous_webhook_signing_key.filter(|_| overlaps),
        ];
        if let Some(kept) = self.applications.entries.get_mut(&id)
            && kept.envelopes == envelopes
        {
            kept.read = now;
            return Ok(kept.opened.clone());
        }
        let [secret, key, previous_secret, previous_key] = &envelopes;
        let previous = match (previous_secret, until) {
            (Some(secret), Some(until)) => Some(Previous {
                secret: secret_in(app, previous_webhook_scope(id), secret).await?,
                key: match previous_key {
                    Some(key) => Some(key_in(app, previous_signing_scope(id), key).await?),
                    None => None,
                },
                until,
            }),
            _ => None,
        };
        let opened = Arc::new(Opened::new(
            secret_in(app, webhook_scope(id), key_of(secret.as_ref())?).await?,
            key_in(app, signing_scope(id), key_of(key.as_ref())?).await?,
            previous,
            Headers::new(),
        ));
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

const GONE: Error = Error::NotFound {
    what: "application",
};

fn key_of(envelope: Option<&Vec<u8>>) -> Result<&[u8]> {
    envelope
        .map(Vec::as_slice)
        .ok_or_else(|| Error::internal("a row has no key"))
}

async fn open(app: &App, scope: Scope, envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    app.vault.unseal(app.db.read(), scope, envelope).await
}

async fn secret_in(app: &App, scope: Scope, envelope: &[u8]) -> Result<Secret> {
    secret_from_bytes(&open(app, scope, envelope).await?)
}

async fn key_in(app: &App, scope: Scope, envelope: &[u8]) -> Result<SigningKey> {
    let seed = open(app, scope, envelope).await?;
    SigningKey::from_seed(&seed).map_err(Error::internal)
}
