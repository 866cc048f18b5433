//! Connectors: how Ponte talks to institutions.
//!
//! A [`Connector`] is described by data ([`Descriptor`]) and turns credentials into normalised records or a coded
//! [`Failure`]. It promises to stream in batches of bounded size, to say per account what it covered, and to keep
//! everything that must outlive a call in its serialisable [`Session`]. It relies on nothing but the [`Call`] it is
//! given: it knows no database and no GraphQL.

mod bill;
mod file;
mod gone;
pub mod laboratory;
mod loan;
pub mod memory;
pub mod oauth;
pub mod ofx;
mod position;
mod record;
pub mod regulated;
mod requests;
pub mod sandbox;
mod statement;
pub mod validate;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate};
use entity::kind::{ExecutionStatus, Product, RegulatedCall};
use futures_util::stream::BoxStream;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use self::bill::{BillPaymentRecord, BillRecord, FinanceChargeRecord};
pub use self::file::{FILE_CONNECTOR_ID, FileConnector};
pub use self::laboratory::Laboratory;
pub use self::loan::LoanRecord;
pub use self::memory::Memory;
pub use self::oauth::Oauth;
pub use self::position::{InvestmentRecord, InvestmentTransactionRecord};
pub use self::record::{
    AccountRecord, BalanceRecord, BoletoRecord, CardRecord, Coverage, EmailRecord, IdentityRecord,
    MerchantRecord, MovementKey, ParticipantRecord, PaymentOf, PaymentRecord, PhoneRecord,
    TransactionDetails, TransactionRecord, Warning,
};
pub use self::requests::{Requests, Turnstile};
pub use self::statement::{LARGEST_STATEMENT, StatementRecord};
use crate::clock::{Clock, Timestamp};

/// Most records in one batch of a stream.
pub const BATCH_ROWS: usize = 1_000;

/// One integration with one institution.
#[async_trait]
pub trait Connector: Send + Sync {
    /// What clients are told of it.
    fn descriptor(&self) -> &Descriptor;

    /// Logs in with the user's credentials.
    async fn login(&self, call: &Call, credentials: &Credentials) -> Result<Login, Failure>;

    /// Goes on with a login whose [`Question`] the user has answered. `answers` is keyed by parameter name.
    async fn answer(
        &self,
        call: &Call,
        session: &Session,
        answers: &Credentials,
    ) -> Result<Login, Failure>;

    /// Asks whether the act that a [`UserAction`] demands has been done; answers the same or a renewed action while not.
    async fn poll(&self, call: &Call, session: &Session) -> Result<Login, Failure>;

    /// Asks what is on an account now, outside of a run and without logging in, by what is kept of the Item: `None` when the
    /// institution no longer shows it. Called only where [`Descriptor::has_live_balance`].
    async fn balance(
        &self,
        _call: &Call,
        _credentials: &Credentials,
        _account: &str,
    ) -> Result<Option<BalanceRecord>, Failure> {
        let code = ExecutionStatus::UserNotSupported;
        Err(Failure::new(
            code,
            "this institution tells no live balances",
        ))
    }

    /// Streams one product. Each batch has at most [`BATCH_ROWS`] records; a failure ends the stream and the product,
    /// not the run.
    fn collect(
        &self,
        call: Call,
        session: Session,
        request: Request,
    ) -> BoxStream<'static, Result<Batch, Failure>>;
}

/// What a call to a connector may use.
#[derive(Clone)]
pub struct Call {
    /// Time, also for pacing.
    pub clock: Clock,
    /// How long a sandbox takes for each step.
    pub sandbox_step: Duration,
    /// The contents of parameters of type FILE, by parameter name; present in every call of a run.
    pub files: BTreeMap<String, Bytes>,
    /// What the connector keeps of the Item from run to run.
    pub memory: Memory,
    /// For connectors whose login happens on the institution's site.
    pub oauth: Option<Oauth>,
    /// For sandbox connectors: what is different about their bank.
    pub laboratory: Laboratory,
    /// At a regulated interface: the calls that have been counted for a product and may be made, no others. A list that is
    /// not among them is known from the connector's [`Memory`]. `None` where nothing is regulated.
    pub granted: Option<Vec<RegulatedCall>>,
    /// Its requests: [`Requests::next`] before each.
    pub requests: Requests,
}

impl Call {
    /// The time at the institution.
    pub fn now(&self) -> Timestamp {
        let ahead = Duration::from_hours(24) * self.laboratory.days_ahead;
        self.clock.now().plus(ahead)
    }
}

/// Parameter values by name. Prints nothing of them.
#[derive(Clone, Debug, Default)]
pub struct Credentials(pub BTreeMap<String, SecretString>);

/// The outcome of a step of logging in.
#[derive(Debug)]
pub enum Login {
    /// Logged in; products may be collected.
    Connected(Session),
    /// The user must type something; `session` is handed to [`Connector::answer`].
    Question {
        /// What to ask.
        question: Question,
        /// Where to go on.
        session: Session,
    },
    /// The user must do something elsewhere; `session` is handed to [`Connector::poll`].
    Action {
        /// What to do.
        action: UserAction,
        /// Where to go on.
        session: Session,
        /// When to ask again.
        poll_after: Duration,
        /// Whether the institution gives its approval later, of its own accord: the run is USER_AUTHORIZATION_PENDING
        /// meanwhile, and ends in USER_AUTHORIZATION_NOT_GRANTED when the time is over.
        delayed: bool,
    },
}

/// Whatever a connector must remember between calls, in its own form; sealed at rest.
#[derive(Clone)]
pub struct Session(pub Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session(<redacted>)")
    }
}

/// A value the user must type during a login.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// How to ask for it.
    pub field: Field,
    /// How long the answer is awaited; the configured default when `None`.
    pub expires_in: Option<Duration>,
}

/// Something the user must do outside of the application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserAction {
    /// `qr` or `authorize-access`.
    pub kind: String,
    /// What to tell the user.
    pub instructions: String,
    /// For `qr`: the text to show as a QR code.
    pub data: Option<String>,
    /// More about it, by name; for clients.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
    /// How long there is time for it.
    pub expires_in: Option<Duration>,
}

/// Why an institution did not do what was asked. Its code is one of the terminal failures of [`ExecutionStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// The code clients see.
    pub code: ExecutionStatus,
    /// What happened and what to do, in English, fit for clients.
    pub message: String,
    /// The institution's own words, if any; shown to clients, never logged or put into events.
    pub provider_message: Option<String>,
    /// More about it, by name, such as how long to wait; shown to clients.
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// The attribute of a failure that says when to try again: before that, automatic runs wait and lose no attempt.
pub const RETRY_AT: &str = "retryAt";

impl Failure {
    /// A failure in our words.
    pub fn new(code: ExecutionStatus, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            provider_message: None,
            attributes: BTreeMap::new(),
        }
    }

    /// The same, not to be tried again before an instant.
    #[must_use]
    pub fn until(mut self, at: Timestamp) -> Self {
        self.attributes.insert(RETRY_AT.to_owned(), at.to_string());
        self
    }

    /// When to try again, if it says so.
    pub fn retry_at(&self) -> Option<Timestamp> {
        self.attributes.get(RETRY_AT).and_then(|at| instant(at))
    }
}

/// The instant that an attribute names as [`Failure::until`] writes it.
pub fn instant(attribute: &str) -> Option<Timestamp> {
    let at = DateTime::parse_from_rfc3339(attribute).ok()?;
    Some(at.to_utc().into())
}

/// What to collect.
#[derive(Clone, Debug)]
pub struct Request {
    /// The product.
    pub product: Product,
    /// For [`Product::Transactions`]: the window of each account, by [`AccountRecord::key`]. For
    /// [`Product::PaymentData`]: what the stream of transactions has covered. Files ignore it.
    /// For [`Product::InvestmentsTransactions`]: of each position, by [`InvestmentRecord::key`].
    /// For [`Product::AccountStatements`]: of each account, from the first month of which there is none yet.
    pub windows: Vec<(String, Window)>,
}

/// A range of days, both inclusive, in the institution's local time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First day.
    pub from: NaiveDate,
    /// Last day.
    pub to: NaiveDate,
}

/// One piece of a product's stream.
#[derive(Clone, Debug)]
pub enum Batch {
    /// Accounts or cards.
    Accounts(Vec<AccountRecord>),
    /// Movements of the account with this key.
    Transactions {
        /// [`AccountRecord::key`] of their account.
        account: String,
        /// At most [`BATCH_ROWS`] of them.
        rows: Vec<TransactionRecord>,
    },
    /// What has been covered of an account's transactions.
    Covered(Coverage),
    /// Bills of the card with this key, in the stream of [`Product::CreditCards`].
    Bills {
        /// [`AccountRecord::key`] of their card.
        account: String,
        /// At most [`BATCH_ROWS`] of them.
        rows: Vec<BillRecord>,
    },
    /// Payment data of movements of the account with this key. A stream of it that ends well has told all that the
    /// institution knows of the windows asked for; movements that it leaves out have none.
    Payments {
        /// [`AccountRecord::key`] of their account.
        account: String,
        /// At most [`BATCH_ROWS`] of them.
        rows: Vec<PaymentOf>,
    },
    /// Positions. A stream that ends well has shown all of them.
    Investments(Vec<InvestmentRecord>),
    /// Movements of the position with this key.
    InvestmentTransactions {
        /// [`InvestmentRecord::key`] of their position.
        investment: String,
        /// At most [`BATCH_ROWS`] of them.
        rows: Vec<InvestmentTransactionRecord>,
    },
    /// What has been covered of a position's movements; its `account` is [`InvestmentRecord::key`].
    InvestmentCovered(Coverage),
    /// Loans. A stream that ends well has shown all of them.
    Loans(Vec<LoanRecord>),
    /// Statements of the account with this key. Those of earlier months stay, shown or not.
    Statements {
        /// [`AccountRecord::key`] of their account.
        account: String,
        /// A few of them: files are held in memory.
        rows: Vec<StatementRecord>,
    },
    /// The holder.
    Identity(Box<IdentityRecord>),
    /// Something the client should know although the product goes on.
    Warning(Warning),
}

/// What clients are told of a connector.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// Domain id, stable for ever.
    pub id: i32,
    /// Name of the institution.
    pub name: &'static str,
    /// Kind of institution.
    pub kind: ConnectorKind,
    /// ISO 3166 alpha-2, if it serves one country.
    pub country: Option<&'static str>,
    /// Home page.
    pub institution_url: Option<&'static str>,
    /// Logo.
    pub image_url: Option<&'static str>,
    /// Brand colour, hexadecimal without `#`.
    pub primary_color: Option<&'static str>,
    /// Where a user gets a new password at the institution.
    pub reset_password_url: Option<&'static str>,
    /// The login form, in display order.
    pub credentials: Vec<Field>,
    /// What it can collect, in the order of collection.
    pub products: Vec<Product>,
    /// Whether a question is asked during login.
    pub has_mfa: bool,
    /// Whether login happens at the institution's site.
    pub oauth: bool,
    /// Whether it is made up.
    pub is_sandbox: bool,
    /// Whether it goes through a regulated interface.
    pub is_open_finance: bool,
    /// How its rows behave when merged.
    pub source: SourceKind,
    /// How many days before the last complete collection a later run reads again.
    pub overlap_days: u32,
    /// Whether the institution asks its questions once and trusts this device afterwards, so that runs need no user.
    pub trusts_device: bool,
    /// Whether balances can be asked for outside of runs.
    pub has_live_balance: bool,
    /// How long the consent lasts that a user gives by connecting; without an end when `None`.
    pub consent_lasts: Option<Duration>,
}

/// How the rows of a connector behave when they are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// An institution: asked for a window, authoritative where it covered completely.
    Institution,
    /// A file: everything in it counts, nothing is deleted for lack of it, no run without a new one.
    File,
    /// A connector that this version does not have: what was collected stays, nothing runs.
    Gone,
}

/// Kind of institution.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ConnectorKind {
    /// A bank for persons.
    PersonalBank,
    /// A bank for companies.
    BusinessBank,
    /// A broker.
    Investment,
    /// An invoicing service.
    Invoice,
    /// A telephone company.
    Telecommunication,
    /// A platform of the digital economy.
    DigitalEconomy,
    /// A payment account.
    PaymentAccount,
    /// Anything else.
    Other,
}

/// A value the user is asked for: a credential, or a question during login.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Key to send back in `parameters`.
    pub name: String,
    /// What people read.
    pub label: String,
    /// How to ask.
    pub kind: FieldKind,
    /// One-step MFA: must be fresh in every run.
    pub mfa: bool,
    /// May be left out.
    pub optional: bool,
    /// Regular expression that the whole value must match.
    pub validation: Option<String>,
    /// What to say when it does not.
    pub validation_message: Option<String>,
    /// An example.
    pub placeholder: Option<String>,
    /// A hint below the field.
    pub assistive_text: Option<String>,
    /// What to do; only on questions.
    pub instructions: Option<String>,
    /// Choices of a SELECT: value and label.
    pub options: Vec<(String, String)>,
    /// Base64 image, or the address to open.
    pub data: Option<String>,
}

/// How a value is asked for.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::Display,
    strum::EnumString,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum FieldKind {
    /// Shown while typed.
    #[default]
    Text,
    /// Digits, kept as text.
    Number,
    /// Masked.
    Password,
    /// One of the options.
    Select,
    /// Show `data` as an image, answer in text.
    Image,
    /// The id of an upload.
    File,
    /// Open `data` in a browser.
    Oauth,
}

/// All connectors, by id.
#[derive(Clone)]
pub struct Registry(Arc<BTreeMap<i32, Arc<dyn Connector>>>);

impl Registry {
    /// A registry of these connectors.
    pub fn new(connectors: impl IntoIterator<Item = Arc<dyn Connector>>) -> Self {
        Self(Arc::new(
            connectors
                .into_iter()
                .map(|c| (c.descriptor().id, c))
                .collect(),
        ))
    }

    /// The connectors that are built in, one line each.
    pub fn builtin() -> Self {
        let files: Arc<dyn Connector> = Arc::new(FileConnector::new());
        Self::new(sandbox::family().chain([files]))
    }

    /// The connector with this id.
    pub fn find(&self, id: i32) -> Option<&Arc<dyn Connector>> {
        self.0.get(&id)
    }

    /// The connector with an id that is stored: what stands for it when this version does not have it.
    pub fn stored(&self, id: i32) -> Arc<dyn Connector> {
        let known = self.find(id).cloned();
        known.unwrap_or_else(|| Arc::new(gone::Gone::new(id)))
    }

    /// All of them, by ascending id.
    pub fn list(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.0.values()
    }
}
