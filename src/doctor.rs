//! `ponte doctor`: what is wrong with a deployment, and what to do about it.
//!
//! A list of checks, each of which answers findings: what it looked at, how that is, what was found, and what to
//! change. Promises to write nothing, to end also when nothing answers, and to repeat no secret. What a check reads and
//! what it makes of that are apart, so that the latter can be tested without the former.

mod database;
mod file;
mod network;
mod settings;
mod standing;

use std::{fmt, time::Duration};

use futures_util::future::BoxFuture;
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

pub use self::{
    database::{judge_postgres, judge_sqlite},
    network::{judge_nats, judge_networks},
    settings::judge_settings,
    standing::{judge_clock, judge_connectors, judge_keys, judge_unfinished},
};
use crate::{
    clock::{Clock, Rng},
    config::Config,
    db::Db,
    error::{Error, Result},
};

/// How long one check may take; the whole file of an embedded database is read in one of them.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long the database may take to answer at all.
const CONNECT: Duration = Duration::from_secs(15);

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and is not as it should be in production.
    Warn,
    /// It does not work, or will lose something.
    Fail,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was looked at; stable.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; `None` when there is nothing to do.
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn warn(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }

    fn fail(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, found, remedy)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict:<4}  {:<22}  {}", self.check, self.found)?;
        match &self.remedy {
            Some(remedy) => write!(f, " -> {remedy}"),
            None => Ok(()),
        }
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// How many findings are failures.
    pub failed: usize,
    /// How many are warnings.
    pub warned: usize,
    /// One for each thing that was looked at, in the order of the checks.
    pub findings: Vec<Finding>,
}

impl Report {
    fn of(findings: Vec<Finding>) -> Self {
        let count = |verdict| {
            findings
                .iter()
                .filter(|finding| finding.verdict == verdict)
                .count()
        };
        Self {
            failed: count(Verdict::Fail),
            warned: count(Verdict::Warn),
            findings,
        }
    }

    /// The findings of one name.
    pub fn of_check<'a>(&'a self, check: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.check == check)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        let passed = self.findings.len() - self.failed - self.warned;
        write!(
            f,
            "{passed} ok, {} warnings, {} failures",
            self.warned, self.failed
        )
    }
}

/// What is examined.
struct Deployment<'a> {
    config: &'a Config,
    /// `None` when it cannot be reached; whatever needs it is left out then.
    db: Option<Db>,
    clock: &'a Clock,
    rng: &'a Rng,
}

type Check = for<'a> fn(&'a Deployment<'a>) -> BoxFuture<'a, Result<Vec<Finding>>>;

/// The checks, by the name under which they are reported when they themselves fail. One is added by a line.
const CHECKS: &[(&str, Check)] = &[
    ("settings", |on| {
        Box::pin(async { Ok(judge_settings(on.config)) })
    }),
    ("database.server", |on| Box::pin(database::check(on))),
    ("database.files", |on| Box::pin(file::check(on))),
    ("schema", |on| Box::pin(standing::schema(on))),
    ("clock", |on| Box::pin(standing::clock(on))),
    ("keys", |on| Box::pin(standing::keys(on))),
    ("egress", |on| Box::pin(network::check(on))),
    ("nats", |on| Box::pin(network::nats(on))),
    ("unfinished", |on| Box::pin(standing::unfinished(on))),
    ("connectors", |on| Box::pin(standing::connectors(on))),
];

/// Examines a deployment with these settings, beside whatever runs.
pub async fn examine(config: &Config, clock: &Clock, rng: &Rng) -> Report {
    let (db, reached) = reach(config).await;
    let deployment = Deployment {
        config,
        db,
        clock,
        rng,
    };
    let mut findings = vec![reached];
    for (name, check) in CHECKS {
        match timeout(PATIENCE, check(&deployment)).await {
            Ok(Ok(found)) => findings.extend(found),
            Ok(Err(error)) => findings.push(Finding::fail(
                name,
                error.in_full(),
                "mend what is named; the check could not be made",
            )),
            Err(_) => findings.push(Finding::fail(
                name,
                format!("no answer within {} seconds", PATIENCE.as_secs()),
                "look at the load of the database and the network",
            )),
        }
    }
    Report::of(findings)
}

async fn reach(config: &Config) -> (Option<Db>, Finding) {
    const CHECK: &str = "database";
    let opening = async {
        let db = Db::inspect(config.database_url.expose_secret()).await?;
        db.ping().await?;
        Ok::<_, Error>(db)
    };
    match timeout(CONNECT, opening).await {
        Ok(Ok(db)) => (Some(db), Finding::ok(CHECK, "it answers")),
        Ok(Err(error)) => {
            let told = error.in_full();
            let remedy = if told.contains("unsupported startup parameter") {
                "a pooler stands before PostgreSQL; connect to the server itself, or to a pooler in session mode that lets \
                 the parameter options pass"
            } else {
                "check PONTE_DATABASE_URL, that the database is there (ponte migrate makes an embedded one), its user, and the network"
            };
            (None, Finding::fail(CHECK, told, remedy))
        }
        Err(_) => (
            None,
            Finding::fail(
                CHECK,
                format!("no answer within {} seconds", CONNECT.as_secs()),
                "check PONTE_DATABASE_URL and the network",
            ),
        ),
    }
}
