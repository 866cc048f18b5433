//! The vault: AES-256-GCM sealing, and every key.
//!
//! The master key only wraps. Each sealed value has a data key of its own (a row of `data_key`, wrapped by the master
//! key), so that deleting that row destroys the value; keys for hashes, digests, cursors and tokens are random rows of
//! `system_key`, wrapped likewise, so that a new master key breaks nothing. A sealed value is bound to where it belongs
//! by its associated data ([`Scope`]); whatever was changed or moved fails with one uniform error.

mod master;
mod pair;
mod rotation;
mod survey;

use std::{
    collections::BTreeMap,
    sync::{Arc, RwLock},
};

use aes_gcm::{
    Aes256Gcm, KeyInit as _, Nonce,
    aead::{Aead as _, Payload},
};
use entity::{data_key, system_key};
use hmac::{Hmac, Mac as _};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, QueryOrder as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::master::MasterKeys;
pub use self::pair::Pair;
pub use self::rotation::{Rotation, rotate};
pub use self::survey::{Survey, survey};
use crate::{
    clock::{Clock, Rng, Timestamp},
    config::MasterKeySource,
    db::Db,
    error::{Error, Result},
};

/// A 256-bit key, wiped when dropped.
pub(crate) type Key = Zeroizing<[u8; 32]>;

const ENVELOPE_VERSION: u8 = 1;
const NONCE_BYTES: usize = 12;

/// Where a sealed value belongs. It opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Owner.
    pub application: Uuid,
    /// The Item whose deletion destroys the value, if any.
    pub item: Option<Uuid>,
    /// The row that holds it.
    pub row: Uuid,
    /// The column that holds it.
    pub field: &'static str,
}

impl Scope {
    /// A column of an Item, or of a row that belongs to one.
    pub fn of_item(application: Uuid, item: Uuid, row: Uuid, field: &'static str) -> Self {
        Self {
            application,
            item: Some(item),
            row,
            field,
        }
    }

    /// A column of something that belongs to the application itself.
    pub fn of_application(application: Uuid, row: Uuid, field: &'static str) -> Self {
        Self {
            application,
            item: None,
            row,
            field,
        }
    }

    fn associated_data(&self, data_key: Uuid) -> Vec<u8> {
        let mut data = b"ponte sealed value 1".to_vec();
        data.extend_from_slice(data_key.as_bytes());
        data.extend_from_slice(self.application.as_bytes());
        data.extend_from_slice(self.item.unwrap_or_default().as_bytes());
        data.extend_from_slice(self.row.as_bytes());
        data.extend_from_slice(self.field.as_bytes());
        data
    }
}

/// What a system key is for. Each has rows of its own in `system_key`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    strum::Display,
    strum::EnumString,
    strum::EnumIter,
)]
#[strum(serialize_all = "snake_case")]
enum Purpose {
    /// Keyed hashes of client secrets.
    Secret,
    /// Keyed digests that find equal values without opening them.
    Digest,
    /// Authentication of cursors.
    Cursor,
    /// Signatures of tokens; several may overlap.
    Token,
}

struct SystemKeys {
    secret: Key,
    digest: Key,
    cursor: Key,
    /// By key id, oldest first; the last signs.
    tokens: BTreeMap<Uuid, Key>,
}

/// Seals and opens values, and keeps the keys for hashes, digests, cursors and tokens.
#[derive(Clone)]
pub struct Vault(Arc<Inner>);

struct Inner {
    source: MasterKeySource,
    masters: RwLock<MasterKeys>,
    system: RwLock<SystemKeys>,
    clock: Clock,
    rng: Rng,
}

/// The key of one value or one upload, with the row that holds it wrapped.
pub struct DataKey {
    /// Row of `data_key`.
    pub id: Uuid,
    key: Key,
}

impl Vault {
    /// Opens the vault of a database: reads the master keys, and reads or (on a new database) makes the system keys.
    ///
    /// Fails when no master key is given, or when the given ones do not open this database.
    pub async fn open(db: &Db, source: MasterKeySource, clock: Clock, rng: Rng) -> Result<Self> {
        let masters = MasterKeys::read(&source, &rng)?;
        let system = load_or_create(db, &masters, &clock, &rng).await?;
        Ok(Self(Arc::new(Inner {
            source,
            masters: RwLock::new(masters),
            system: RwLock::new(system),
            clock,
            rng,
        })))
    }

    /// Learns master keys and token keys that were added since; called at a slow beat and when an unknown one turns up.
    pub async fn refresh(&self, db: &Db) -> Result<()> {
        let unknown = {
            let current = master::current_kid(db.read()).await?;
            let masters = self.masters();
            current.is_some_and(|kid| !masters.knows(&kid) || masters.current_kid() != kid)
        };
        if unknown {
            let source = self.0.source.clone();
            let rng = self.0.rng.clone();
            let read = tokio::task::spawn_blocking(move || MasterKeys::read(&source, &rng))
                .await
                .map_err(Error::internal)??;
            *self.0.masters.write().expect("no panic while writing keys") = read;
        }
        let rows = system_key::Entity::find()
            .order_by_asc(system_key::Column::Id)
            .all(db.read())
            .await?;
        let system = unwrap_all(&rows, &self.masters())?;
        *self.0.system.write().expect("no panic while writing keys") = system;
        Ok(())
    }

    fn masters(&self) -> std::sync::RwLockReadGuard<'_, MasterKeys> {
        self.0.masters.read().expect("no panic while writing keys")
    }

    fn system<T>(&self, read: impl FnOnce(&SystemKeys) -> T) -> T {
        read(&self.0.system.read().expect("no panic while writing keys"))
    }

    /// Makes a data key and stores it wrapped. Without its row, nothing that it sealed opens again.
    pub async fn create_data_key(
        &self,
        connection: &impl ConnectionTrait,
        application: Uuid,
        item: Option<Uuid>,
    ) -> Result<DataKey> {
        let now = self.0.clock.now();
        let id = self.0.rng.id(now);
        let key = Zeroizing::new(self.0.rng.bytes());
        let (wrapped, master_kid) = self.masters().wrap(&key, id.as_bytes(), &self.0.rng)?;
        let row = data_key::ActiveModel {
            id: Set(id),
            application_id: Set(application),
            item_id: Set(item),
            wrapped: Set(wrapped),
            master_kid: Set(master_kid),
            created_at: Set(now),
        };
        data_key::Entity::insert(row)
            .exec_without_returning(connection)
            .await?;
        Ok(DataKey { id, key })
    }

    /// Reads a data key back.
    pub async fn data_key(&self, connection: &impl ConnectionTrait, id: Uuid) -> Result<DataKey> {
        let row = data_key::Entity::find_by_id(id)
            .one(connection)
            .await?
            .ok_or_else(unsealable)?;
        let opened = self
            .masters()
            .unwrap(&row.master_kid, &row.wrapped, id.as_bytes());
        let key = match opened {
            Ok(key) => key,
            // A rotation may have begun after this node read its keys.
            Err(error) => {
                let read = MasterKeys::read(&self.0.source, &self.0.rng).map_err(|_| error)?;
                let key = read.unwrap(&row.master_kid, &row.wrapped, id.as_bytes())?;
                *self.0.masters.write().expect("no panic while writing keys") = read;
                key
            }
        };
        Ok(DataKey { id, key })
    }

    /// Seals a value under a data key of its own.
    pub async fn seal(
        &self,
        connection: &impl ConnectionTrait,
        scope: Scope,
        plaintext: &[u8],
    ) -> Result<Vec<u8>> {
        let data_key = self
            .create_data_key(connection, scope.application, scope.item)
            .await?;
        let mut envelope = vec![ENVELOPE_VERSION];
        envelope.extend_from_slice(data_key.id.as_bytes());
        let aad = scope.associated_data(data_key.id);
        envelope.extend(encrypt(&data_key.key, &aad, plaintext, &self.0.rng)?);
        Ok(envelope)
    }

    /// Opens what [`Vault::seal`] made for this very scope.
    pub async fn unseal(
        &self,
        connection: &impl ConnectionTrait,
        scope: Scope,
        envelope: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let id = data_key_id(envelope).ok_or_else(unsealable)?;
        let data_key = self.data_key(connection, id).await?;
        decrypt(&data_key.key, &scope.associated_data(id), &envelope[17..])
    }

    /// Seals a value anew for where it belongs from now on; the old envelope is destroyed.
    pub async fn reseal(
        &self,
        connection: &impl ConnectionTrait,
        from: Scope,
        to: Scope,
        envelope: &[u8],
    ) -> Result<Vec<u8>> {
        let value = self.unseal(connection, from, envelope).await?;
        self.destroy(connection, Some(envelope)).await?;
        self.seal(connection, to, &value).await
    }

    /// Destroys a sealed value by deleting its data key.
    pub async fn destroy(
        &self,
        connection: &impl ConnectionTrait,
        envelope: Option<&[u8]>,
    ) -> Result<()> {
        if let Some(id) = envelope.and_then(data_key_id) {
            data_key::Entity::delete_by_id(id).exec(connection).await?;
        }
        Ok(())
    }

    /// Seals one piece of a larger whole, such as a chunk of an upload.
    pub fn seal_piece(&self, key: &DataKey, aad: &[u8], piece: &[u8]) -> Result<Vec<u8>> {
        encrypt(&key.key, aad, piece, &self.0.rng)
    }

    /// Opens what [`Vault::seal_piece`] made.
    pub fn unseal_piece(
        &self,
        key: &DataKey,
        aad: &[u8],
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        decrypt(&key.key, aad, sealed)
    }

    /// Keyed hash of a client secret.
    pub fn secret_hash(&self, secret: &str) -> [u8; 32] {
        self.system(|keys| mac(&keys.secret, &[secret.as_bytes()]))
    }

    /// Whether a secret has this hash, in constant time.
    pub fn secret_matches(&self, secret: &str, hash: &[u8]) -> bool {
        self.secret_hash(secret).ct_eq(hash).into()
    }

    /// Keyed digest of a list of texts: equal lists have equal digests, and nothing else can be learnt from one.
    pub fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.system(|keys| mac(&keys.digest, parts))
    }

    /// Authenticates a cursor.
    pub fn cursor_mac(&self, body: &[u8]) -> [u8; 32] {
        self.system(|keys| mac(&keys.cursor, &[body]))
    }

    /// Authenticates what nodes tell each other about a subject.
    pub fn bus_mac(&self, subject: &str, body: &[u8]) -> [u8; 32] {
        // Lengths are part of what is authenticated, so no cursor is ever this.
        self.system(|keys| mac(&keys.cursor, &[b"ponte bus", subject.as_bytes(), body]))
    }

    /// The key that signs tokens now, with its id.
    pub(crate) fn token_signing_key(&self) -> (Uuid, Key) {
        self.system(|keys| {
            let (id, key) = keys.tokens.last_key_value().expect("made at first start");
            (*id, key.clone())
        })
    }

    /// The token key with this id, unless it has been retired.
    pub(crate) fn token_key(&self, id: Uuid) -> Option<Key> {
        self.system(|keys| keys.tokens.get(&id).cloned())
    }
}

fn data_key_id(envelope: &[u8]) -> Option<Uuid> {
    (envelope.first() == Some(&ENVELOPE_VERSION))
        .then(|| envelope.get(1..17))
        .flatten()
        .and_then(|bytes| Uuid::from_slice(bytes).ok())
}

/// The one error for whatever does not open: it says nothing about why.
fn unsealable() -> Error {
    Error::internal("a sealed value does not open")
}

fn encrypt(key: &Key, aad: &[u8], plaintext: &[u8], rng: &Rng) -> Result<Vec<u8>> {
    let nonce: [u8; NONCE_BYTES] = rng.bytes();
    let sealed = Aes256Gcm::new((&**key).into())
        .encrypt(
            &Nonce::from(nonce),
            Payload {
                msg: plaintext,
                aad,
            },
        )
        .map_err(|_| unsealable())?;
    let mut out = nonce.to_vec();
    out.extend(sealed);
    Ok(out)
}

fn decrypt(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let (nonce, ciphertext) = sealed
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or_else(unsealable)?;
    Aes256Gcm::new((&**key).into())
        .decrypt(
            &Nonce::from(*nonce),
            Payload {
                msg: ciphertext,
                aad,
            },
        )
        .map(Zeroizing::new)
        .map_err(|_| unsealable())
}

fn mac(key: &Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&**key).expect("HMAC takes any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

async fn load_or_create(
    db: &Db,
    masters: &MasterKeys,
    clock: &Clock,
    rng: &Rng,
) -> Result<SystemKeys> {
    use strum::IntoEnumIterator as _;

    let txn = db.begin().await?;
    db.lock_key_creation(&txn).await?;
    let mut rows = system_key::Entity::find()
        .order_by_asc(system_key::Column::Id)
        .all(&txn)
        .await?;
    for purpose in Purpose::iter() {
        if rows.iter().any(|row| row.purpose == purpose.to_string()) {
            continue;
        }
        let key: Key = Zeroizing::new(rng.bytes());
        rows.push(insert_system_key(&txn, purpose, &key, masters, clock.now(), rng).await?);
    }
    let keys = unwrap_all(&rows, masters)?;
    if master::current_kid(&txn).await?.is_none() {
        master::remember_current(&txn, masters.current_kid()).await?;
    }
    txn.commit().await?;
    Ok(keys)
}

async fn insert_system_key(
    connection: &impl ConnectionTrait,
    purpose: Purpose,
    key: &Key,
    masters: &MasterKeys,
    now: Timestamp,
    rng: &Rng,
) -> Result<system_key::Model> {
    let id = rng.id(now);
    let (wrapped, master_kid) = masters.wrap(key, id.as_bytes(), rng)?;
    let row = system_key::Model {
        id,
        purpose: purpose.to_string(),
        wrapped,
        master_kid,
        created_at: now,
    };
    system_key::Entity::insert(system_key::ActiveModel::from(row.clone()))
        .exec_without_returning(connection)
        .await?;
    Ok(row)
}

fn unwrap_all(rows: &[system_key::Model], masters: &MasterKeys) -> Result<SystemKeys> {
    let mut keys: BTreeMap<Purpose, BTreeMap<Uuid, Key>> = BTreeMap::new();
    for row in rows {
        let purpose = row.purpose.parse::<Purpose>().map_err(Error::internal)?;
        let key = masters.unwrap(&row.master_kid, &row.wrapped, row.id.as_bytes())?;
        keys.entry(purpose).or_default().insert(row.id, key);
    }
    let mut only = |purpose| {
        keys.remove(&purpose)
            .filter(|keys| !keys.is_empty())
            .ok_or_else(|| Error::internal(format!("the database has no {purpose} key")))
    };
    let first = |keys: BTreeMap<Uuid, Key>| keys.into_values().next().expect("not empty");
    Ok(SystemKeys {
        secret: first(only(Purpose::Secret)?),
        digest: first(only(Purpose::Digest)?),
        cursor: first(only(Purpose::Cursor)?),
        tokens: only(Purpose::Token)?,
    })
}
