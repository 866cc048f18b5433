//! How the database stands to this node: its schema, its clock, its keys, and what should have been done by now.

use std::{collections::BTreeMap, time::Duration};

use super::{Deployment, Finding};
use crate::{
    backup,
    clock::Timestamp,
    connector::Registry,
    db::{
        self, Engine,
        inspect::{self, Unfinished},
    },
    error::{Error, Result},
    metrics::Queues,
    vault::{self, Survey},
};

/// How long after its end a lease counts as forgotten, and an event as stuck.
const LATE: Duration = Duration::from_mins(1);
/// Clocks apart by more than this are worth a look, in milliseconds.
const SKEWED: i64 = 1_000;
/// Clocks apart by more than this are wrong.
const WRONG: i64 = 60_000;

pub(super) async fn schema(on: &Deployment<'_>) -> Result<Vec<Finding>> {
    const CHECK: &str = "schema";
    let Some(db) = &on.db else {
        return Ok(Vec::new());
    };
    let schema = db.schema().await?;
    let finding = if let Err(error) = schema.check_known() {
        Finding::fail(
            CHECK,
            error.in_full(),
            "use the version of ponte that the other nodes run",
        )
    } else if schema.outstanding.is_empty() {
        Finding::ok(CHECK, "as this version knows it")
    } else {
        let found = format!("{} migrations are outstanding", schema.outstanding.len());
        if on.config.migrate {
            Finding::warn(
                CHECK,
                found,
                "the next node that starts applies them; or run ponte migrate",
            )
        } else {
            Finding::fail(CHECK, found, "run ponte migrate")
        }
    };
    let mut findings = vec![finding];
    if schema.has_begun()
        && let Some(at) = backup::copy_of(db).await?
    {
        findings.push(Finding::fail(
            "schema.copy",
            format!("a backup of {at} that was put back"),
            "stop all nodes and run ponte doctor --restored",
        ));
    }
    Ok(findings)
}

pub(super) async fn clock(on: &Deployment<'_>) -> Result<Vec<Finding>> {
    let Some(db) = &on.db else {
        return Ok(Vec::new());
    };
    let before = on.clock.now();
    let shown = db.server_time().await?;
    let after = on.clock.now();
    let (reference, whose) = if let Some(time) = shown {
        (Some(time), "the database's")
    } else if db.schema().await?.outstanding.is_empty() {
        let last = inspect::unfinished(db, before).await?.last_event;
        (last.filter(|last| *last > after), "the last event's time")
    } else {
        (None, "")
    };
    // Halfway between question and answer.
    let now = Timestamp(before.0.midpoint(after.0));
    Ok(vec![judge_clock(now, reference, whose)])
}

/// Judges this machine's clock against another one.
pub fn judge_clock(now: Timestamp, reference: Option<Timestamp>, whose: &str) -> Finding {
    const CHECK: &str = "clock";
    const REMEDY: &str =
        "let a time service (chrony, systemd-timesyncd) keep the clocks of all machines";
    let Some(reference) = reference else {
        return Finding::ok(CHECK, "nothing lies in its future");
    };
    let apart = now.0 - reference.0;
    let found = format!("{apart:+} ms from {whose}");
    match apart.abs() {
        0..=SKEWED => Finding::ok(CHECK, found),
        ..=WRONG => Finding::warn(CHECK, found, REMEDY),
        _ => Finding::fail(CHECK, found, REMEDY),
    }
}

pub(super) async fn keys(on: &Deployment<'_>) -> Result<Vec<Finding>> {
    let Some(db) = &on.db else {
        return Ok(Vec::new());
    };
    if !db.schema().await?.has_begun() {
        return Ok(vec![Finding::ok("keys", "the database has none yet")]);
    }
    let survey = vault::survey(db, &on.config.master_key, on.rng).await;
    Ok(judge_keys(&survey))
}

/// Judges the master keys by what they open.
pub fn judge_keys(survey: &Result<Survey, Error>) -> Vec<Finding> {
    const CHECK: &str = "keys";
    let survey = match survey {
        Ok(survey) => survey,
        Err(error) => {
            return vec![Finding::fail(
                CHECK,
                error.in_full(),
                "give the key that this database was made with, in a file of mode 0600 that PONTE_MASTER_KEY_FILE names; without it \
                 nothing that is sealed opens again",
            )];
        }
    };
    let current = survey.given.first().map_or("", String::as_str);
    let missing = survey.missing();
    if !missing.is_empty() {
        return vec![Finding::fail(
            CHECK,
            format!(
                "values are under {}, which is not among the given keys ({})",
                missing.join(", "),
                survey.given.join(", ")
            ),
            "add that key behind the current one; after a rotation or a restoration it is in the key file of before",
        )];
    }
    let mut findings = vec![Finding::ok(CHECK, format!("{current} opens the vault"))];
    let old = survey.old();
    if !old.is_empty() {
        findings.push(Finding::warn(
            "keys.rotation",
            format!("values are still under {}", old.join(", ")),
            "run ponte keys rotate, which may be interrupted and run again",
        ));
    } else if survey.given.len() > 1 {
        findings.push(Finding::warn(
            "keys.rotation",
            format!("{} keys are given, and everything is under the first", survey.given.len()),
            "remove the others on every node, and keep them with the backups that were made under them",
        ));
    } else {
        findings.push(Finding::ok("keys.rotation", "none under way"));
    }
    findings
}

pub(super) async fn unfinished(on: &Deployment<'_>) -> Result<Vec<Finding>> {
    let Some(db) = &on.db else {
        return Ok(Vec::new());
    };
    if !db.schema().await?.outstanding.is_empty() {
        return Ok(Vec::new());
    }
    let now = match db.engine() {
        Engine::Postgres => db.server_time().await?.unwrap_or_else(|| on.clock.now()),
        Engine::Sqlite => on.clock.now(),
    };
    let late = now.minus(on.config.lease + LATE);
    let unfinished = inspect::unfinished(db, late).await?;
    let queues = db::queues::measure(db, now).await?;
    Ok(judge_unfinished(&unfinished, queues, now))
}

/// Judges what waits and should not any more.
pub fn judge_unfinished(unfinished: &Unfinished, queues: Queues, now: Timestamp) -> Vec<Finding> {
    const REMEDY: &str = "see that a node with the role worker runs, and what it logs; more nodes, or a higher concurrency, do more at once";
    let since = |at: Timestamp| format!("{} s", now.since(at).as_secs());
    let mut findings = Vec::new();
    findings.push(match unfinished.oldest_lease {
        Some(at) => Finding::warn(
            "unfinished.leases",
            format!(
                "{} executions were let go of by their worker and taken by none, the longest {} ago",
                unfinished.executions,
                since(at)
            ),
            REMEDY,
        ),
        None => Finding::ok("unfinished.leases", "none ran out long ago"),
    });
    findings.push(match unfinished.oldest_unpublished {
        Some(at) if now.since(at) > LATE => Finding::warn(
            "unfinished.events",
            format!("events are without a position since {}", since(at)),
            "see that a node runs and what its relay logs: subscribers and webhooks hear of nothing meanwhile",
        ),
        Some(_) | None => Finding::ok("unfinished.events", "all that are older than a minute are published"),
    });
    for (check, what, count, lag) in [
        (
            "unfinished.executions",
            "executions",
            queues.executions,
            queues.execution_lag,
        ),
        (
            "unfinished.deliveries",
            "deliveries",
            queues.deliveries,
            queues.delivery_lag,
        ),
    ] {
        findings.push(if lag > LATE.as_secs_f64() {
            Finding::warn(
                check,
                format!("{count} {what} are due, the longest for {lag:.0} s"),
                REMEDY,
            )
        } else {
            Finding::ok(check, format!("{count} {what} are due"))
        });
    }
    findings
}

pub(super) async fn connectors(on: &Deployment<'_>) -> Result<Vec<Finding>> {
    let Some(db) = &on.db else {
        return Ok(Vec::new());
    };
    if !db.schema().await?.outstanding.is_empty() {
        return Ok(Vec::new());
    }
    let items = db::item::by_connector(db).await?;
    Ok(vec![judge_connectors(&items, &Registry::builtin())])
}

/// Judges the connectors that there are Items of, with how many, by those that this version has.
pub fn judge_connectors(items: &BTreeMap<i32, u64>, known: &Registry) -> Finding {
    const CHECK: &str = "connectors";
    let gone = items.iter().filter(|(id, _)| known.find(**id).is_none());
    let gone: Vec<_> = gone
        .map(|(id, count)| format!("{id} ({count} items)"))
        .collect();
    if gone.is_empty() {
        return Finding::ok(CHECK, "this version has all that there are items of");
    }
    Finding::warn(
        CHECK,
        format!(
            "this version does not have {}: these items do not run",
            gone.join(", ")
        ),
        "use a version that has them, or end them with ponte connector retire",
    )
}
