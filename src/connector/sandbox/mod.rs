//! The sandbox family: made-up banks whose users are personas.
//!
//! What a login leads to follows from the user name (`persona`), what the bank shows from the user and the day (`data`):
//! nothing is left to chance, so that clients can be tried out and tested against it. All that is kept between runs is
//! which users the bank has approved. A run sees the bank as of the local day on which it logged in. Steps take as long
//! as the call says, to be watched.

pub mod authority;
mod bills;
mod bulk;
mod data;
mod dice;
mod family;
mod holder;
mod ledger;
mod loans;
mod particulars;
mod persona;
mod positions;
mod question;
mod shops;
mod slip;
mod statements;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_stream::try_stream;
use async_trait::async_trait;
use chrono::NaiveDate;
use entity::kind::{AccountType, ExecutionStatus, Product};
use futures_util::stream::BoxStream;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use self::{
    authority::Code,
    data::Bank,
    dice::Seed,
    family::{
        CERTIFICATE, CPF, Entry, FAMILY, HOLDERS, JOINT, Mfa, PASSWORD_FIELD, Profile, TOKEN, USER,
    },
    persona::{Asked, CODE, PASSWORD, Persona},
    question::Ask,
};
use super::{
    AccountRecord, BATCH_ROWS, BalanceRecord, Batch, Call, Connector, Coverage, Credentials,
    Descriptor, Failure, Field, FieldKind, Laboratory, Login, Question, Request, Session,
    TransactionRecord, UserAction, Window,
    laboratory::{Edit, Written},
    oauth::{OAUTH_CODE, OAUTH_ERROR},
};
use crate::{clock::Timestamp, money::Amount};

const LOGIN_STEPS: u32 = 3;
const ANSWER_STEPS: u32 = 2;

/// How long a QR code is shown before another takes its place.
const SCAN_STEPS: u32 = 8;
/// The code that is scanned.
const SCANNED_ROUND: u32 = 3;
/// How long a QR code is good.
const CODE_LASTS: Duration = Duration::from_mins(1);

/// How long a user has on the bank's site.
const AUTHORIZATION_LASTS: Duration = Duration::from_mins(10);

/// When a bank that takes its time gives its approval.
const APPROVED_AFTER: Duration = Duration::from_mins(2);
/// Until when it may.
const APPROVAL_LASTS: Duration = Duration::from_mins(30);

/// São Paulo, where the bank is, has been three hours behind UTC all year since 2019.
const BEHIND_UTC: Duration = Duration::from_hours(3);

/// All connectors of the sandbox.
pub(super) fn family() -> impl Iterator<Item = Arc<dyn Connector>> {
    FAMILY
        .iter()
        .map(|profile| -> Arc<dyn Connector> { Arc::new(Sandbox::new(*profile)) })
}

struct Sandbox {
    descriptor: Descriptor,
    profile: Profile,
}

/// What must outlive a call.
#[derive(Serialize, Deserialize)]
struct State {
    user: String,
    stage: Stage,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Stage {
    /// The first of these has been asked, the others are to come.
    Asking(Vec<Ask>),
    /// Shows this QR code, counted from 1.
    Scanning(u32),
    /// Sent to the bank's site.
    Authorizing,
    /// Waits for the bank's approval.
    Awaiting,
    /// Logged in on this day, to see what is shared, or everything.
    Connected {
        day: NaiveDate,
        shared: Option<Vec<String>>,
    },
}

/// What is kept of a user between runs.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    /// When a login first asked for the bank's approval.
    asked_at: Option<Timestamp>,
    /// Whether it was given.
    approved: bool,
    /// What the user has agreed to share, on the bank's site.
    shared: Option<Vec<String>>,
}

impl Sandbox {
    fn new(profile: Profile) -> Self {
        Self {
            descriptor: profile.descriptor(),
            profile,
        }
    }

    /// The persona, if this connector knows it.
    fn persona(&self, user: &str) -> Option<Persona> {
        if self.profile.entry == Entry::Regulated {
            return persona::find_regulated(user);
        }
        let asks = matches!(self.profile.mfa, Mfa::TwoStep | Mfa::Either);
        persona::find(user).filter(|persona| asks || persona.asked == Asked::Code)
    }

    /// The questions that are left once the password is right.
    fn questions(&self, persona: &Persona, credentials: &Credentials) -> Result<Vec<Ask>, Failure> {
        let token = value(credentials, TOKEN);
        let mut asks = match (self.profile.mfa, token) {
            (Mfa::OneStep, _) | (Mfa::Either, Some(_)) if token != Some(CODE) => {
                return Err(wrong_answer());
            }
            (Mfa::None | Mfa::OneStep, _) | (Mfa::Either, Some(_)) => Vec::new(),
            (Mfa::TwoStep, _) | (Mfa::Either, None) => Ask::of(persona.asked).to_vec(),
        };
        if value(credentials, HOLDERS) == Some(JOINT) {
            asks.push(Ask::SecondHolder);
        }
        Ok(asks)
    }
}

#[async_trait]
impl Connector for Sandbox {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn login(&self, call: &Call, credentials: &Credentials) -> Result<Login, Failure> {
        ask(call, LOGIN_STEPS).await?;
        if let Some(failure) = call.laboratory.failure(None) {
            return Err(failure);
        }
        match self.profile.entry {
            Entry::Qr => return Ok(show_code(call, SOMEBODY, 1)),
            Entry::Site | Entry::Regulated => return self.login_on_site(call, credentials),
            Entry::Password | Entry::Joint | Entry::Cooperative | Entry::Certificate => {}
        }
        let user = value(credentials, USER).unwrap_or_default();
        let persona = self
            .persona(user)
            .filter(|_| value(credentials, PASSWORD_FIELD) == Some(PASSWORD))
            .filter(|_| {
                self.profile.entry != Entry::Certificate || call.files.contains_key(CERTIFICATE)
            })
            .ok_or_else(unknown_user)?;
        let asks = self.questions(&persona, credentials)?;
        go_on(call, user, asks, persona)
    }

    async fn answer(
        &self,
        call: &Call,
        session: &Session,
        answers: &Credentials,
    ) -> Result<Login, Failure> {
        ask(call, ANSWER_STEPS).await?;
        let State { user, stage } = read(session)?;
        let persona = self.persona(&user).ok_or_else(foreign_session)?;
        let mut asks = match stage {
            Stage::Asking(asks) if !asks.is_empty() => asks,
            Stage::Authorizing => {
                let shared = authorized(call, answers)?;
                keep(call, |kept| kept.shared = Some(shared));
                return go_on(call, &user, Vec::new(), persona);
            }
            _ => return Err(foreign_session()),
        };
        if !asks.remove(0).accepts(answers) {
            return Err(wrong_answer());
        }
        go_on(call, &user, asks, persona)
    }

    async fn poll(&self, call: &Call, session: &Session) -> Result<Login, Failure> {
        ask(call, 0).await?;
        let State { user, stage } = read(session)?;
        match stage {
            Stage::Scanning(round) if round < SCANNED_ROUND => {
                Ok(show_code(call, &user, round + 1))
            }
            Stage::Scanning(_) => {
                let persona = self.persona(&user).ok_or_else(foreign_session)?;
                connect(call, &user, persona)
            }
            Stage::Awaiting => {
                let persona = self.persona(&user).ok_or_else(foreign_session)?;
                if let Some(left) = left(call, kept(call).asked_at) {
                    return Ok(await_approval(&user, left));
                }
                keep(call, |kept| kept.approved = true);
                connect(call, &user, persona)
            }
            Stage::Asking(_) | Stage::Authorizing | Stage::Connected { .. } => {
                Err(foreign_session())
            }
        }
    }

    async fn balance(
        &self,
        call: &Call,
        credentials: &Credentials,
        account: &str,
    ) -> Result<Option<BalanceRecord>, Failure> {
        ask(call, 1).await?;
        if let Some(failure) = call.laboratory.failure(None) {
            return Err(failure);
        }
        let user = value(credentials, CPF).unwrap_or_default();
        let persona = self.persona(user).ok_or_else(unknown_user)?;
        let shared = kept(call).shared.ok_or_else(not_shared)?;
        let Login::Connected(session) = connect(call, user, persona)? else {
            return Err(foreign_session());
        };
        let (bank, _) = self.bank(&session)?;
        if let Some(failure) = bank.household().accounts.breakdown() {
            return Err(failure);
        }
        if !shares(Some(&shared), "checking") {
            return Err(not_shared());
        }
        let mut accounts = bank.checking_accounts();
        accounts.extend(bank.savings());
        let found = accounts.into_iter().find(|one| one.key == account);
        Ok(found.and_then(|account| live(account, &bank, call)))
    }

    fn collect(
        &self,
        call: Call,
        session: Session,
        request: Request,
    ) -> BoxStream<'static, Result<Batch, Failure>> {
        let bank = self.bank(&session);
        Box::pin(try_stream! {
            let (bank, shared) = bank?;
            ask(&call, steps(request.product)).await?;
            let told = call.laboratory.failure(Some(request.product));
            if let Some(failure) = told.or_else(|| bank.household().accounts.breakdown()) {
                Err(failure)?;
            }
            if let Some(warning) = call.laboratory.warning(request.product) {
                yield Batch::Warning(warning);
            }
            match request.product {
                Product::Accounts => {
                    let step = bank.household().accounts;
                    if let Some(failure) = step.failure() {
                        Err(failure)?;
                    }
                    if shares(shared.as_deref(), "checking") {
                        let mut accounts = bank.checking_accounts();
                        accounts.extend(bank.savings());
                        let accounts = accounts.into_iter();
                        yield Batch::Accounts(accounts.map(|account| rebalanced(account, &call.laboratory, bank.settled_to())).collect());
                    }
                    if let Some(warning) = step.warning() {
                        yield Batch::Warning(warning);
                    }
                }
                Product::CreditCards => {
                    if shares(shared.as_deref(), "card") {
                        let card = rebalanced(bank.card(), &call.laboratory, bank.settled_to());
                        let account = card.key.clone();
                        yield Batch::Accounts(vec![card]);
                        yield Batch::Bills { account, rows: bank.bills() };
                    }
                }
                Product::Transactions => {
                    for (account, window) in request.windows {
                        let known = bank.find(&account).zip(bank.clamp(window));
                        let Some((book, window)) = known else { continue };
                        let movements = bank.transactions(book, window);
                        let mut movements = edited(&call.laboratory, &account, window, movements);
                        loop {
                            let rows: Vec<_> = movements.by_ref().take(BATCH_ROWS).collect();
                            if rows.is_empty() {
                                break;
                            }
                            call.requests.next().await?;
                            yield Batch::Transactions { account: account.clone(), rows };
                        }
                        yield Batch::Covered(Coverage { account, window, complete: true });
                    }
                }
                Product::Identity => yield Batch::Identity(Box::new(bank.identity())),
                Product::Investments => yield Batch::Investments(bank.investments()),
                Product::InvestmentsTransactions => {
                    for (investment, window) in request.windows {
                        let Some(rows) = bank.investment_transactions(&investment, window) else {
                            continue;
                        };
                        for rows in rows.chunks(BATCH_ROWS) {
                            call.requests.next().await?;
                            let (investment, rows) = (investment.clone(), rows.to_vec());
                            yield Batch::InvestmentTransactions { investment, rows };
                        }
                        let account = investment;
                        yield Batch::InvestmentCovered(Coverage { account, window, complete: true });
                    }
                }
                Product::Loans => yield Batch::Loans(bank.loans()),
                Product::PaymentData => {
                    for (account, window) in request.windows {
                        let known = bank.find(&account).zip(bank.clamp(window));
                        let Some((book, window)) = known else { continue };
                        for rows in bank.payments(book, window).chunks(BATCH_ROWS) {
                            call.requests.next().await?;
                            let rows = rows.to_vec();
                            yield Batch::Payments { account: account.clone(), rows };
                        }
                    }
                }
                Product::AccountStatements => {
                    for (book, account) in bank.stated() {
                        let asked = request.windows.iter().find(|(key, _)| *key == account.key);
                        let Some((_, window)) = asked else { continue };
                        for month in statements::months(&bank, *window) {
                            call.requests.next().await?;
                            let statement = statements::issue(&bank, &account, book, month, &call.laboratory);
                            yield Batch::Statements { account: account.key.clone(), rows: vec![statement] };
                        }
                    }
                }
                Product::BrokerageNote | Product::MoveSecurity => {}
            }
        })
    }
}

impl Sandbox {
    /// Sends the user to the bank's site, unless they have been there before.
    fn login_on_site(&self, call: &Call, credentials: &Credentials) -> Result<Login, Failure> {
        let user = match self.profile.entry {
            Entry::Regulated => value(credentials, CPF).unwrap_or_default(),
            _ => SOMEBODY,
        };
        let persona = self.persona(user).ok_or_else(unknown_user)?;
        if kept(call).shared.is_some() {
            return go_on(call, user, Vec::new(), persona);
        }
        let oauth = call.oauth.as_ref().ok_or_else(foreign_session)?;
        Ok(Login::Question {
            question: Question {
                field: Field {
                    name: OAUTH_CODE.to_owned(),
                    label: "Authorisation".to_owned(),
                    kind: FieldKind::Oauth,
                    instructions: Some("Log in at Ponte Bank and choose what to share.".to_owned()),
                    data: Some(authority::authorize_url(oauth).into()),
                    ..Field::default()
                },
                expires_in: Some(AUTHORIZATION_LASTS),
            },
            session: write(user, Stage::Authorizing),
        })
    }

    /// The bank that a session has logged in to, and what of it is shared.
    fn bank(&self, session: &Session) -> Result<(Bank, Option<Vec<String>>), Failure> {
        let State { user, stage } = read(session)?;
        let household = self.persona(&user).and_then(|p| p.outcome.ok());
        match (stage, household) {
            (Stage::Connected { day, shared }, Some(household)) => {
                let all = [Product::PaymentData, Product::InvestmentsTransactions];
                let offered = &self.descriptor.products;
                let in_full = all.iter().all(|product| offered.contains(product));
                let seed = Seed::of(self.descriptor.id, &user).showing_all(in_full);
                let bank = Bank::new(seed, household, day);
                Ok((bank.of_company(self.profile.company), shared))
            }
            _ => Err(foreign_session()),
        }
    }
}

/// An account with the balance that its book has after what was done to it by hand.
fn rebalanced(
    mut account: AccountRecord,
    laboratory: &Laboratory,
    settled_to: NaiveDate,
) -> AccountRecord {
    let always = Window {
        from: NaiveDate::MIN,
        to: NaiveDate::MAX,
    };
    let difference = laboratory.difference(&account.key, always, settled_to);
    account.balance = account.balance.and_then(|balance| {
        let difference = difference?;
        let changed = match account.kind {
            AccountType::Bank => balance.checked_add(difference),
            // What is owed is positive.
            AccountType::Credit => balance.checked_sub(difference),
        };
        changed.ok()
    });
    account
}

/// What is on an account, as the regulated interface tells it.
fn live(account: AccountRecord, bank: &Bank, call: &Call) -> Option<BalanceRecord> {
    let data = account.bank_data.as_ref();
    let told = |name: &str| data?.get(name)?.as_str()?.parse::<Amount>().ok();
    // What is pending leaves the account soon.
    let pending = account.balance?.checked_sub(told("closingBalance")?).ok()?;
    let blocked = pending.max(Amount::ZERO);
    let automatically_invested = told("automaticallyInvestedBalance");
    let account = rebalanced(account, &call.laboratory, bank.settled_to());
    Some(BalanceRecord {
        available: account.balance?,
        blocked: Some(blocked),
        automatically_invested,
        currency_code: account.currency_code,
        updated_at: call.now(),
    })
}

/// The movements of an account with what was done to its book by hand.
fn edited(
    laboratory: &Laboratory,
    account: &str,
    window: Window,
    movements: Box<dyn Iterator<Item = TransactionRecord> + Send>,
) -> Box<dyn Iterator<Item = TransactionRecord> + Send> {
    let mut edits: Vec<Edit> = laboratory.of(account).cloned().collect();
    if edits.is_empty() {
        return movements;
    }
    let shown = move |row: &Written| (window.from..=window.to).contains(&row.posted_on);
    let mut movements = movements;
    Box::new(std::iter::from_fn(move || {
        for row in movements.by_ref() {
            let fits = |edit: &Edit| edit.struck.as_ref().is_some_and(|mark| mark.fits(&row));
            let Some(place) = edits.iter().position(fits) else {
                return Some(row);
            };
            // Each strikes out one row.
            if let Some(written) = edits.remove(place).written.filter(shown) {
                return Some(written.over(row));
            }
        }
        while !edits.is_empty() {
            if let Some(written) = edits.remove(0).written.filter(shown) {
                return Some(written.record("BRL"));
            }
        }
        None
    }))
}

/// Asks the bank once, which takes as many steps of time.
async fn ask(call: &Call, steps: u32) -> Result<(), Failure> {
    call.requests.next().await?;
    if !call.sandbox_step.is_zero() {
        call.clock.sleep(call.sandbox_step * steps).await;
    }
    Ok(())
}

/// How many steps a product takes.
fn steps(product: Product) -> u32 {
    match product {
        Product::Accounts | Product::Transactions => 2,
        Product::CreditCards
        | Product::PaymentData
        | Product::Investments
        | Product::InvestmentsTransactions
        | Product::Identity
        | Product::BrokerageNote
        | Product::MoveSecurity
        | Product::Loans
        | Product::AccountStatements => 1,
    }
}

/// Who logs in without giving a name.
const SOMEBODY: &str = "user-ok";

/// What the user has agreed to share, by the code that the browser has brought back.
fn authorized(call: &Call, answers: &Credentials) -> Result<Vec<String>, Failure> {
    if value(answers, OAUTH_ERROR).is_some() {
        return Err(Failure::new(
            ExecutionStatus::UserAuthorizationNotGranted,
            "the user refused on the bank's site; connect again",
        ));
    }
    let code = value(answers, OAUTH_CODE).zip(call.oauth.as_ref());
    code.and_then(|(code, oauth)| Code::exchange(code, oauth, call.clock.now()))
        .map(|code| code.shared)
        .ok_or_else(|| {
            Failure::new(
                ExecutionStatus::UserAuthorizationNotGranted,
                "the authorisation code is not one of this login, or it has expired; connect again",
            )
        })
}

fn shares(shared: Option<&[String]>, what: &str) -> bool {
    shared.is_none_or(|shared| shared.iter().any(|one| one == what))
}

/// Asks what is left to ask, or ends the login.
fn go_on(call: &Call, user: &str, asks: Vec<Ask>, persona: Persona) -> Result<Login, Failure> {
    match asks.first() {
        Some(next) => Ok(Login::Question {
            question: Question {
                field: next.field(),
                expires_in: None,
            },
            session: write(user, Stage::Asking(asks)),
        }),
        None if persona.delayed => wait_or_connect(call, user, persona),
        None => connect(call, user, persona),
    }
}

/// Ends a login as the persona has it.
fn connect(call: &Call, user: &str, persona: Persona) -> Result<Login, Failure> {
    persona.outcome?;
    let stage = Stage::Connected {
        day: call.now().minus(BEHIND_UTC).date(),
        shared: kept(call).shared,
    };
    Ok(Login::Connected(write(user, stage)))
}

/// Ends a login that the bank approves some time after the first: this one waits for it, one that comes too early is
/// refused, and what was approved once stays so.
fn wait_or_connect(call: &Call, user: &str, persona: Persona) -> Result<Login, Failure> {
    let known = kept(call);
    if known.approved {
        return connect(call, user, persona);
    }
    if known.asked_at.is_none() {
        let now = call.now();
        keep(call, |kept| kept.asked_at = Some(now));
        return Ok(await_approval(user, APPROVED_AFTER));
    }
    let Some(left) = left(call, known.asked_at) else {
        keep(call, |kept| kept.approved = true);
        return connect(call, user, persona);
    };
    Err(Failure {
        attributes: BTreeMap::from([(
            "remainingSeconds".to_owned(),
            left.as_secs().max(1).to_string(),
        )]),
        ..Failure::new(
            ExecutionStatus::UserAuthorizationNotGranted,
            "the bank has not given its approval yet; wait as long as the attributes say, then send the parameters again",
        )
    })
}

fn kept(call: &Call) -> Kept {
    let stored = call.memory.recall();
    stored
        .and_then(|json| serde_json::from_slice(&json).ok())
        .unwrap_or_default()
}

fn keep(call: &Call, change: impl FnOnce(&mut Kept)) {
    let mut kept = kept(call);
    change(&mut kept);
    let json = serde_json::to_vec(&kept).expect("texts and a time are valid JSON");
    call.memory.keep(Some(json));
}

/// How long the bank's approval is still to come.
fn left(call: &Call, asked_at: Option<Timestamp>) -> Option<Duration> {
    let now = call.now();
    let waited = now.since(asked_at.unwrap_or(now));
    APPROVED_AFTER
        .checked_sub(waited)
        .filter(|left| !left.is_zero())
}

fn await_approval(user: &str, left: Duration) -> Login {
    Login::Action {
        action: UserAction {
            kind: "authorize-access".to_owned(),
            instructions: "Allow the access in the app of Ponte Bank. The bank takes about two minutes to confirm it.".to_owned(),
            data: None,
            attributes: BTreeMap::new(),
            expires_in: Some(APPROVAL_LASTS),
        },
        session: write(user, Stage::Awaiting),
        poll_after: left,
        delayed: true,
    }
}

fn show_code(call: &Call, user: &str, round: u32) -> Login {
    let (now, shown) = (call.clock.now(), call.sandbox_step * SCAN_STEPS);
    Login::Action {
        action: UserAction {
            kind: "qr".to_owned(),
            instructions: "Scan the code with the app of Ponte Bank. It changes while you wait."
                .to_owned(),
            data: Some(format!("ponte-bank:login:{:x}:{round}", now.0)),
            attributes: BTreeMap::new(),
            expires_in: Some(CODE_LASTS.max(shown * 2)),
        },
        session: write(user, Stage::Scanning(round)),
        poll_after: shown,
        delayed: false,
    }
}

fn value<'a>(Credentials(values): &'a Credentials, name: &str) -> Option<&'a str> {
    let value = values.get(name).map(ExposeSecret::expose_secret);
    value.filter(|value| !value.is_empty())
}

fn unknown_user() -> Failure {
    Failure::new(
        ExecutionStatus::InvalidCredentials,
        "the bank does not know this user or password; send new parameters",
    )
}

fn wrong_answer() -> Failure {
    Failure::new(
        ExecutionStatus::InvalidCredentialsMfa,
        "the bank did not accept the answer; start a new update and answer again",
    )
}

fn not_shared() -> Failure {
    Failure::new(
        ExecutionStatus::UserAuthorizationNotGranted,
        "the user does not share this account with you; connect again",
    )
}

fn foreign_session() -> Failure {
    Failure::new(
        ExecutionStatus::UnexpectedError,
        "the login cannot be gone on with; start a new update",
    )
}

fn write(user: &str, stage: Stage) -> Session {
    let json = serde_json::to_vec(&State {
        user: user.to_owned(),
        stage,
    })
    .expect("strings and a date are valid JSON");
    Session(Zeroizing::new(json))
}

fn read(session: &Session) -> Result<State, Failure> {
    serde_json::from_slice(&session.0).map_err(|_| foreign_session())
}
