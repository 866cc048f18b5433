//! The files of an embedded database: who can read them, and how much room there is.

use std::path::{Path, PathBuf};

use secrecy::ExposeSecret as _;

use super::{Deployment, Finding};
use crate::{
    config::sqlite_path,
    db::Engine,
    error::{Error, Result},
};

const MIB: u64 = 1024 * 1024;
/// Below this a node soon stands still.
const LEAST: u64 = 64 * MIB;
/// Below this it is time to look.
const SCARCE: u64 = 1024 * MIB;

pub(super) async fn check(on: &Deployment<'_>) -> Result<Vec<Finding>> {
    if on.config.engine == Engine::Postgres || on.db.is_none() {
        return Ok(Vec::new());
    }
    let file = PathBuf::from(sqlite_path(on.config.database_url.expose_secret()));
    tokio::task::spawn_blocking(move || Ok(vec![permissions(&file)?, space(&file)?]))
        .await
        .map_err(Error::internal)?
}

fn folder(file: &Path) -> &Path {
    file.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Others may know that there is a file when they cannot enter its folder.
#[cfg(unix)]
fn permissions(file: &Path) -> Result<Finding> {
    use std::os::unix::fs::PermissionsExt as _;

    const CHECK: &str = "database.permissions";
    let mode = |path: &Path| -> Result<u32> {
        let metadata = std::fs::metadata(path).map_err(|error| {
            Error::internal(format!("cannot look at {}: {error}", path.display()))
        })?;
        Ok(metadata.permissions().mode() & 0o777)
    };
    let folder = folder(file);
    let (within, around) = (mode(file)?, mode(folder)?);
    let found = format!("file {within:03o}, folder {around:03o}");
    if around & 0o022 != 0 {
        return Ok(Finding::warn(
            CHECK,
            format!("{found}: others can put another file in its place"),
            format!("chmod 700 {}", folder.display()),
        ));
    }
    if within & 0o077 != 0 && around & 0o011 != 0 {
        return Ok(Finding::warn(
            CHECK,
            format!("{found}: others can read it"),
            format!("chmod 700 {}", folder.display()),
        ));
    }
    Ok(Finding::ok(CHECK, found))
}

#[cfg(not(unix))]
fn permissions(_: &Path) -> Result<Finding> {
    Ok(Finding::ok(
        "database.permissions",
        "not known on this system",
    ))
}

#[cfg(unix)]
fn space(file: &Path) -> Result<Finding> {
    let cannot = |error: &dyn std::fmt::Display| {
        Error::internal(format!("cannot look at {}: {error}", file.display()))
    };
    let size = std::fs::metadata(file)
        .map_err(|error| cannot(&error))?
        .len();
    let volume = rustix::fs::statvfs(folder(file)).map_err(|error| cannot(&error))?;
    Ok(judge_space(
        volume.f_bavail.saturating_mul(volume.f_frsize),
        size,
    ))
}

#[cfg(not(unix))]
fn space(_: &Path) -> Result<Finding> {
    Ok(Finding::ok("database.space", "not known on this system"))
}

fn judge_space(free: u64, size: u64) -> Finding {
    const CHECK: &str = "database.space";
    const REMEDY: &str = "make room on the disk, or shorten PONTE_EVENT_RETENTION_DAYS";
    let found = format!(
        "{} MiB free, the database has {} MiB",
        free / MIB,
        size / MIB
    );
    if free < LEAST {
        Finding::fail(CHECK, found, REMEDY)
    } else if free < SCARCE || free < size {
        Finding::warn(CHECK, found, REMEDY)
    } else {
        Finding::ok(CHECK, found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn room_is_judged_by_what_is_free_and_by_what_a_copy_would_take() {
        let gib = 1024 * MIB;
        for (free, size, verdict) in [
            (10 * gib, gib, Verdict::Ok),
            (10 * gib, 11 * gib, Verdict::Warn),
            (gib - 1, 0, Verdict::Warn),
            (63 * MIB, 0, Verdict::Fail),
        ] {
            assert_eq!(judge_space(free, size).verdict, verdict, "{free} {size}");
        }
    }
}
