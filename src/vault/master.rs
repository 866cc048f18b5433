//! Master keys: read, checked, and used for nothing but wrapping other keys.

use std::{fs, io::Write as _, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use entity::meta;
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, sea_query::OnConflict};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Key, decrypt, encrypt};
use crate::{
    clock::Rng,
    config::MasterKeySource,
    error::{Error, Result},
};

/// Name of the fact which master key is current, for nodes that read their keys before a rotation.
const CURRENT: &str = "master_kid";

/// The master keys of this installation; the first is current.
pub struct MasterKeys(Vec<(String, Key)>);

impl MasterKeys {
    /// Reads them from where the settings say; creates the file of an embedded default once.
    pub fn read(source: &MasterKeySource, rng: &Rng) -> Result<Self> {
        let text = match source {
            MasterKeySource::Inline(text) => Zeroizing::new(text.expose_secret().to_owned()),
            MasterKeySource::File { path, create } => {
                if *create && !path.exists() {
                    create_file(path, rng)?;
                }
                read_file(path)?
            }
            MasterKeySource::Missing => {
                return Err(Error::internal(
                    "no master key: set PONTE_MASTER_KEY (32 bytes in base64, such as `openssl rand -base64 32` prints) or PONTE_MASTER_KEY_FILE",
                ));
            }
        };
        Self::parse(&text)
    }

    /// Parses keys separated by commas or lines.
    pub fn parse(text: &str) -> Result<Self> {
        let mut keys = Vec::new();
        for part in text
            .split([',', '\n'])
            .map(str::trim)
            .filter(|part| !part.is_empty() && !part.starts_with('#'))
        {
            let bytes = Zeroizing::new(STANDARD.decode(part).unwrap_or_default());
            let key: [u8; 32] = bytes.as_slice().try_into().map_err(|_| {
                Error::internal(
                    "a master key is not 32 bytes in base64; `openssl rand -base64 32` makes one",
                )
            })?;
            keys.push((kid(&key), Zeroizing::new(key)));
        }
        if keys.is_empty() {
            return Err(Error::internal("the master key is empty"));
        }
        Ok(Self(keys))
    }

    /// Id of the key that wraps new keys.
    pub fn current_kid(&self) -> &str {
        &self.0[0].0
    }

    /// Ids of all of them, the current one first.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(kid, _)| kid.as_str())
    }

    /// Whether one of them has this id.
    pub fn knows(&self, kid: &str) -> bool {
        self.kids().any(|known| known == kid)
    }

    pub(super) fn wrap(&self, key: &Key, row: &[u8], rng: &Rng) -> Result<(Vec<u8>, String)> {
        let (kid, master) = &self.0[0];
        Ok((
            encrypt(master, &associated_data(row), &**key, rng)?,
            kid.clone(),
        ))
    }

    pub(super) fn unwrap(&self, kid: &str, wrapped: &[u8], row: &[u8]) -> Result<Key> {
        let (_, master) = self.0.iter().find(|(known, _)| known == kid).ok_or_else(|| {
            Error::internal(format!(
                "the database is sealed with master key {kid}, which is not among the given ones"
            ))
        })?;
        let key = decrypt(master, &associated_data(row), wrapped)?;
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| super::unsealable())?;
        Ok(Zeroizing::new(key))
    }
}

fn associated_data(row: &[u8]) -> Vec<u8> {
    [b"ponte wrapped key 1".as_slice(), row].concat()
}

/// A name for a key that tells nothing about it.
fn kid(key: &[u8; 32]) -> String {
    let digest = Sha256::new()
        .chain_update(b"ponte master key id")
        .chain_update(key)
        .finalize();
    let digest: [u8; 32] = digest.into();
    let (head, _) = digest.split_first_chunk().expect("32 bytes begin with 8");
    // Six bytes of it are enough to tell a few keys apart.
    format!("{:012x}", u64::from_be_bytes(*head) >> 16)
}

fn create_file(path: &Path, rng: &Rng) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(Error::internal)?;
    }
    write_file(path, &[&fresh(rng)])?;
    tracing::info!(path = %path.display(), "created a master key; whoever loses it loses every stored credential: back it up apart from the database");
    Ok(())
}

/// A new key as text.
pub(super) fn fresh(rng: &Rng) -> Zeroizing<String> {
    let key: Key = Zeroizing::new(rng.bytes());
    Zeroizing::new(STANDARD.encode(*key))
}

/// The lines of a key file, once its mode has been checked.
pub(super) fn read_file(path: &Path) -> Result<Zeroizing<String>> {
    let shown = path.display();
    let metadata = fs::metadata(path).map_err(|error| {
        Error::internal(format!("cannot read the master key file {shown}: {error}"))
    })?;
    check_mode(path, &metadata)?;
    fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| {
            Error::internal(format!("cannot read the master key file {shown}: {error}"))
        })
}

/// Nobody but the owner may read it. A file of root's may be read by its group: that is how a secret is mounted into a
/// container whose user is not root.
#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;

    let mode = metadata.mode() & 0o777;
    let refused = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if mode & refused != 0 {
        let shown = path.display();
        return Err(Error::internal(format!(
            "the master key file {shown} has mode {mode:03o}, so others can read it; run: chmod 600 {shown}"
        )));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<()> {
    Ok(())
}

/// Puts keys into a file, whole or not at all, readable by its owner alone.
pub(super) fn write_file(path: &Path, keys: &[&str]) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::internal(format!(
            "cannot write the master key file {}: {error}",
            path.display()
        ))
    };
    let fresh = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(&fresh).map_err(failed)?;
    for key in keys {
        writeln!(file, "{key}").map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)
}

/// Which master key wraps new keys, as far as the database knows.
pub(super) async fn current_kid(connection: &impl ConnectionTrait) -> Result<Option<String>> {
    let row = meta::Entity::find_by_id(CURRENT).one(connection).await?;
    Ok(row.map(|row| row.value))
}

/// Tells every node which master key wraps new keys from now on.
pub(super) async fn remember_current(connection: &impl ConnectionTrait, kid: &str) -> Result<()> {
    let row = meta::ActiveModel {
        name: Set(CURRENT.to_owned()),
        value: Set(kid.to_owned()),
    };
    meta::Entity::insert(row)
        .on_conflict(
            OnConflict::column(meta::Column::Name)
                .update_column(meta::Column::Value)
                .to_owned(),
        )
        .exec_without_returning(connection)
        .await?;
    Ok(())
}
