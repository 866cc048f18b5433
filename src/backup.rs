//! Backups of an embedded database, and what has to happen when a backup of any database was put back.
//!
//! Promises that a backup is a whole database or no file at all, as of one moment, taken beside a running server, and that
//! only its owner can read it. It is marked as a copy, and no node serves a copy before [`restored`] has given it a log of
//! its own: positions are given out again after a restoration, so the cursors of before must not be taken for good.
//!
//! The master key is never part of a backup. PostgreSQL is backed up by its own means.

use std::{
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use entity::meta;
use sea_orm::EntityTrait as _;
use secrecy::ExposeSecret as _;
use uuid::Uuid;

use crate::{
    clock::{Clock, Rng},
    config::{Config, sqlite_path},
    db::{self, Db, Engine},
    error::{Error, Result},
};

/// Name of the fact which log this is.
pub(crate) const LOG_ID: &str = "log_id";
/// Name of the fact that a database is a copy, and of what moment.
const COPY: &str = "copy_of";

/// A backup that was taken.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Where it is.
    pub file: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// Copies the embedded database into a new file, beside a running server. Fails when the file exists, over PostgreSQL, and
/// when SQLite does not find the copy in order; then no file is left.
pub async fn take(config: &Config, file: &Path, clock: &Clock, rng: &Rng) -> Result<Backup> {
    if config.engine == Engine::Postgres {
        return Err(Error::internal(
            "ponte backup copies an embedded database; PostgreSQL is backed up with pg_dump --format=custom, or continuously with \
             base backups and archived logs (point-in-time recovery): see docs/operations.md, Backup and restore",
        ));
    }
    if file.exists() {
        return Err(exists(file));
    }
    let database = PathBuf::from(sqlite_path(config.database_url.expose_secret()));
    let name = file
        .file_name()
        .ok_or_else(|| Error::internal("a backup needs the name of a file"))?;
    let mut partial = name.to_owned();
    partial.push(format!(".partial-{:08x}", u32::from_le_bytes(rng.bytes())));
    let partial = Partial(file.with_file_name(partial));
    create(&partial.0)?;
    db::backup::copy(&database, &partial.0).await?;
    db::backup::mark_and_verify(&partial.0, COPY, &clock.now().to_string()).await?;
    let (partial, file) = (partial, file.to_owned());
    tokio::task::spawn_blocking(move || keep(&partial, file))
        .await
        .map_err(Error::internal)?
}

/// A file that is not whole yet, and goes unless it is kept.
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn create(path: &Path) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map_err(|error| cannot(path, &error))?;
    Ok(())
}

/// Gives a file that is whole its name, unless something else has it by now, and makes both last.
fn keep(partial: &Partial, file: PathBuf) -> Result<Backup> {
    let whole = File::open(&partial.0).map_err(|error| cannot(&partial.0, &error))?;
    whole
        .sync_all()
        .map_err(|error| cannot(&partial.0, &error))?;
    let bytes = whole
        .metadata()
        .map_err(|error| cannot(&partial.0, &error))?
        .len();
    std::fs::hard_link(&partial.0, &file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => exists(&file),
        _ => cannot(&file, &error),
    })?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| cannot(folder, &error))?;
    Ok(Backup { file, bytes })
}

fn exists(file: &Path) -> Error {
    Error::internal(format!(
        "{} exists; a backup overwrites nothing: name another file",
        file.display()
    ))
}

fn cannot(path: &Path, error: &io::Error) -> Error {
    Error::internal(format!("cannot write {}: {error}", path.display()))
}

/// Of what moment a database is a copy; `None` when it is none, or was declared restored.
pub async fn copy_of(db: &Db) -> Result<Option<String>> {
    let row = meta::Entity::find_by_id(COPY).one(db.read()).await?;
    Ok(row.map(|row| row.value))
}

/// Fails when a database is a copy that was put in place and not declared restored.
pub async fn check_no_copy(db: &Db) -> Result<()> {
    match copy_of(db).await? {
        None => Ok(()),
        Some(at) => Err(Error::internal(format!(
            "the database is a backup of {at} that was put back: run ponte doctor --restored, which begins a log of its own"
        ))),
    }
}

/// What a database that was put back became.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// Id of the log from now on.
    pub log_id: Uuid,
    /// Runs that were under way, due now.
    pub executions_released: u64,
    /// Deliveries that were under way, sent again when they are due.
    pub deliveries_released: u64,
    /// Applications whose every token has ended.
    pub applications_signed_out: u64,
}

/// Declares that a database was put back from a backup, while no node runs over it: gives it a new log id, so that
/// cursors of before are refused, lets go of what its former nodes held, and ends every token. Every call does all that
/// again.
pub async fn restored(db: &Db, clock: &Clock, rng: &Rng) -> Result<Restored> {
    let now = clock.now();
    let log_id = rng.id(now);
    let released = db::backup::begin_anew(db, now, (LOG_ID, log_id.to_string()), COPY).await?;
    Ok(Restored {
        log_id,
        executions_released: released.executions,
        deliveries_released: released.deliveries,
        applications_signed_out: released.applications,
    })
}
