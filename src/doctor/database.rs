//! Settings of the database that decide whether what was committed stays, and whether our statements get through.

use super::{Deployment, Finding};
use crate::{
    config::Config,
    db::{
        Engine,
        inspect::{self, Postgres, Sqlite},
    },
    error::Result,
};

/// The oldest PostgreSQL that is served.
const OLDEST: i64 = 130_000;
/// Limits of time under which our longest statements (merges, clean-up) may fall, in milliseconds.
const SHORT: i64 = 60_000;

pub(super) async fn check(on: &Deployment<'_>) -> Result<Vec<Finding>> {
    let Some(db) = &on.db else {
        return Ok(Vec::new());
    };
    Ok(match db.engine() {
        Engine::Postgres => judge_postgres(&inspect::postgres(db).await?, on.config),
        Engine::Sqlite => judge_sqlite(&inspect::sqlite(db).await?),
    })
}

/// Judges what PostgreSQL says of itself.
pub fn judge_postgres(server: &Postgres, config: &Config) -> Vec<Finding> {
    let mut findings = vec![version(server), writable(server)];
    findings.extend(durable(server));
    findings.extend([
        connections(server, config),
        pooler(server),
        timeouts(server),
        encoding(server),
        isolation(server),
        encryption(server),
    ]);
    findings
}

fn setting<'a>(server: &'a Postgres, name: &str) -> &'a str {
    server.settings.get(name).map_or("", String::as_str)
}

fn number(server: &Postgres, name: &str) -> i64 {
    setting(server, name).parse().unwrap_or(0)
}

fn version(server: &Postgres) -> Finding {
    const CHECK: &str = "database.version";
    if server.version < OLDEST {
        return Finding::fail(
            CHECK,
            server.version_name.clone(),
            "upgrade to PostgreSQL 13 or later",
        );
    }
    Finding::ok(CHECK, server.version_name.clone())
}

fn writable(server: &Postgres) -> Finding {
    const CHECK: &str = "database.writable";
    if server.standby {
        return Finding::fail(
            CHECK,
            "a standby, which takes no writes",
            "let PONTE_DATABASE_URL name the primary",
        );
    }
    if setting(server, "default_transaction_read_only") == "on" {
        return Finding::fail(
            CHECK,
            "default_transaction_read_only is on",
            "turn it off for the database and the role",
        );
    }
    Finding::ok(CHECK, "takes writes")
}

fn durable(server: &Postgres) -> Vec<Finding> {
    [
        (
            "database.fsync",
            "fsync",
            "a crash of its machine may leave it damaged; turn it on and restart PostgreSQL",
        ),
        (
            "database.full_page_writes",
            "full_page_writes",
            "a crash of its machine may leave torn pages; turn it on",
        ),
        (
            "database.commits",
            "synchronous_commit",
            "what a client was told may be gone after a crash; set it to on (or remote_apply) for the database and the role",
        ),
    ]
    .into_iter()
    .map(|(check, name, remedy)| {
        let shown = setting(server, name);
        let found = format!("{name} = {shown}");
        if shown == "off" {
            Finding::fail(check, found, remedy)
        } else {
            Finding::ok(check, found)
        }
    })
    .collect()
}

/// How many nodes like this one fit.
fn connections(server: &Postgres, config: &Config) -> Finding {
    const CHECK: &str = "database.connections";
    let reserved =
        number(server, "superuser_reserved_connections") + number(server, "reserved_connections");
    let most = [
        Some(number(server, "max_connections") - reserved),
        server.role_connections,
        server.database_connections,
    ]
    .into_iter()
    .flatten()
    .min()
    .unwrap_or(0);
    let wanted = i64::from(config.database_connections);
    let nodes = most / wanted.max(1);
    let found = format!(
        "{most} can be had, a node takes up to {wanted}: enough for {nodes} nodes like this one"
    );
    match nodes {
        0 => Finding::fail(
            CHECK,
            found,
            "raise max_connections (or the limit of the role or the database), or lower PONTE_DATABASE_CONNECTIONS",
        ),
        1 => Finding::warn(
            CHECK,
            found,
            "a second node, and every rolling upgrade, needs as many again: raise max_connections or lower PONTE_DATABASE_CONNECTIONS",
        ),
        _ => Finding::ok(CHECK, found),
    }
}

fn pooler(server: &Postgres) -> Finding {
    const CHECK: &str = "database.pooler";
    const REMEDY: &str = "connect to PostgreSQL itself, or to a pooler in session mode that passes the parameter options: nodes keep \
         prepared statements and listen for notifications";
    if server.shared_process {
        return Finding::fail(
            CHECK,
            "two connections share one server process: a pooler lends them by the transaction",
            REMEDY,
        );
    }
    // Every connection of ours asks for this when it is opened.
    if setting(server, "jit") != "off" {
        return Finding::fail(
            CHECK,
            "what a connection asks for when it is opened does not reach the server",
            REMEDY,
        );
    }
    Finding::ok(CHECK, "none in transaction mode is seen")
}

fn timeouts(server: &Postgres) -> Finding {
    const CHECK: &str = "database.timeouts";
    let mut short = Vec::new();
    for (name, least) in [
        ("statement_timeout", SHORT),
        ("transaction_timeout", SHORT),
        ("lock_timeout", SHORT / 6),
        ("idle_session_timeout", i64::MAX),
    ] {
        let limit = number(server, name);
        if limit > 0 && limit < least {
            short.push(format!("{name} = {limit} ms"));
        }
    }
    if short.is_empty() {
        return Finding::ok(CHECK, "none ends our statements or connections");
    }
    Finding::warn(
        CHECK,
        short.join(", "),
        "set them to 0 for our role (ALTER ROLE … SET …): large merges and clean-up take longer, and idle connections are kept",
    )
}

fn encoding(server: &Postgres) -> Finding {
    const CHECK: &str = "database.encoding";
    let found = setting(server, "server_encoding");
    if found == "UTF8" {
        return Finding::ok(CHECK, found);
    }
    Finding::fail(
        CHECK,
        found,
        "make the database anew with ENCODING 'UTF8': names that this one cannot hold are refused",
    )
}

fn isolation(server: &Postgres) -> Finding {
    const CHECK: &str = "database.isolation";
    let found = setting(server, "default_transaction_isolation");
    if found == "read committed" {
        return Finding::ok(CHECK, found);
    }
    Finding::fail(
        CHECK,
        found,
        "set default_transaction_isolation to 'read committed' for the database and the role: workers would fail whenever they meet",
    )
}

fn encryption(server: &Postgres) -> Finding {
    const CHECK: &str = "database.encryption";
    if server.encrypted {
        Finding::ok(CHECK, "TLS")
    } else if server.local {
        Finding::ok(CHECK, "none, on this machine alone")
    } else {
        Finding::warn(
            CHECK,
            "accounts and names cross the network in the clear",
            "let PostgreSQL speak TLS and add ?sslmode=verify-full&sslrootcert=… to PONTE_DATABASE_URL",
        )
    }
}

/// Judges what SQLite says of itself.
pub fn judge_sqlite(file: &Sqlite) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(
        "database.version",
        format!("SQLite {}", file.version),
    )];
    for (check, name, expected, remedy) in [
        (
            "database.journal",
            "journal_mode",
            "wal",
            "start ponte once; it sets this by itself. On a network drive it cannot: move the database to a local disk",
        ),
        (
            "database.commits",
            "synchronous",
            "2",
            "use the binary as it was built: another SQLite was linked",
        ),
        (
            "database.foreign_keys",
            "foreign_keys",
            "1",
            "use the binary as it was built: another SQLite was linked",
        ),
        (
            "database.secure_delete",
            "secure_delete",
            "1",
            "use the binary as it was built: what was deleted could be read from the file",
        ),
    ] {
        let shown = file.pragmas.get(name).map_or("unknown", String::as_str);
        let found = format!("{name} = {shown}");
        findings.push(if shown == expected {
            Finding::ok(check, found)
        } else {
            Finding::fail(check, found, remedy)
        });
    }
    findings.push(if file.damage.is_empty() {
        Finding::ok("database.integrity", "quick_check finds nothing")
    } else {
        Finding::fail(
            "database.integrity",
            file.damage.join("; "),
            "stop the server, keep the file, and put the last backup back (docs/operations.md)",
        )
    });
    findings
}
