mod login;
mod movements;
mod particulars;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Days, Utc};
use entity::kind::{AccountSubtype, AccountType, TransactionStatus};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use secrecy::SecretString;

use super::*;
use crate::{
    clock::{Clock, Timestamp},
    connector::{
        AccountRecord, FieldKind, IdentityRecord, Laboratory, Memory, Registry, Requests,
        TransactionRecord, Window,
        validate::{self, Required},
    },
    money::Amount,
};

const FIRST_DAY: &str = "2026-03-02";

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a date")
}

/// A connector of the sandbox.
fn sandbox(id: i32) -> Arc<dyn Connector> {
    let registry = Registry::builtin();
    registry.find(id).expect("it is built in").clone()
}

fn plain() -> Arc<dyn Connector> {
    sandbox(0)
}

fn one_step_mfa() -> Arc<dyn Connector> {
    sandbox(1)
}

fn two_step_mfa() -> Arc<dyn Connector> {
    sandbox(3)
}

/// A call at noon in São Paulo.
fn call_on(day: NaiveDate) -> Call {
    let noon = day
        .and_hms_opt(15, 0, 0)
        .expect("a time")
        .and_local_timezone(Utc)
        .unwrap();
    Call {
        clock: Clock::manual(Timestamp::from(noon)),
        sandbox_step: Duration::ZERO,
        files: BTreeMap::new(),
        memory: Memory::default(),
        oauth: None,
        laboratory: Laboratory::default(),
        granted: None,
        requests: Requests::default(),
    }
}

fn credentials(values: &[(&str, &str)]) -> Credentials {
    Credentials(
        values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect(),
    )
}

async fn log_in(connector: &dyn Connector, user: &str, day: NaiveDate) -> Session {
    let login = connector
        .login(
            &call_on(day),
            &credentials(&[("user", user), ("password", "password-ok")]),
        )
        .await;
    match login {
        Ok(Login::Connected(session)) => session,
        other => panic!("{user}: {other:?}"),
    }
}

async fn collect(
    connector: &dyn Connector,
    session: &Session,
    product: Product,
    windows: Vec<(String, Window)>,
) -> Result<Vec<Batch>, Failure> {
    let call = call_on(day(FIRST_DAY));
    connector
        .collect(call, session.clone(), Request { product, windows })
        .try_collect()
        .await
}

/// What a run that reads everything sees.
#[derive(Debug, PartialEq)]
struct Seen {
    accounts: Vec<AccountRecord>,
    rows: BTreeMap<String, Vec<TransactionRecord>>,
    covered: Vec<Coverage>,
    identity: IdentityRecord,
}

impl Seen {
    fn of(&self, account: &AccountRecord) -> &[TransactionRecord] {
        &self.rows[&account.key]
    }

    fn checking(&self) -> &[TransactionRecord] {
        self.of(&self.accounts[0])
    }

    fn card(&self) -> &[TransactionRecord] {
        self.of(self.accounts.last().expect("a card"))
    }
}

fn year_to(today: NaiveDate) -> Window {
    Window {
        from: today - Days::new(365),
        to: today,
    }
}

async fn see(connector: &dyn Connector, user: &str, today: NaiveDate, window: Window) -> Seen {
    let session = log_in(connector, user, today).await;
    let mut seen = Seen {
        accounts: Vec::new(),
        rows: BTreeMap::new(),
        covered: Vec::new(),
        identity: IdentityRecord::default(),
    };
    for product in connector.descriptor().products.clone() {
        let windows = seen
            .accounts
            .iter()
            .map(|a| (a.key.clone(), window))
            .collect();
        let windows = if product == Product::Transactions {
            windows
        } else {
            Vec::new()
        };
        for batch in collect(connector, &session, product, windows)
            .await
            .expect("it works")
        {
            match batch {
                Batch::Accounts(accounts) => seen.accounts.extend(accounts),
                Batch::Transactions { account, rows } => {
                    assert!(!rows.is_empty() && rows.len() <= BATCH_ROWS);
                    seen.rows.entry(account).or_default().extend(rows);
                }
                Batch::Covered(coverage) => seen.covered.push(coverage),
                Batch::Bills { account, rows } => {
                    assert_eq!(
                        (account, rows.len()),
                        (seen.accounts[seen.accounts.len() - 1].key.clone(), 12)
                    );
                }
                Batch::Identity(identity) => seen.identity = *identity,
                other => panic!("{other:?}"),
            }
        }
    }
    seen
}
