//! A connector whose bank says what the test puts into it.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use entity::kind::{
    AccountSubtype, AccountType, ExecutionStatus, Product, RegulatedCall, TransactionStatus,
    TransactionType,
};
use futures_util::{StreamExt as _, stream::BoxStream};
use ponte::{
    clock::Timestamp,
    connector::{
        AccountRecord, Batch, Call, Connector, ConnectorKind, Coverage, Credentials, Descriptor,
        Failure, Field, Login, Registry, Request, Session, SourceKind, TransactionDetails,
        TransactionRecord, Window,
    },
    money::Amount,
};
use zeroize::Zeroizing;

/// What the bank shows and has been asked.
#[derive(Default)]
pub struct Bank {
    /// The rows of the only account.
    pub rows: Vec<TransactionRecord>,
    /// What is on it, in cents.
    pub balance: i64,
    /// Whether it says that it has shown everything.
    pub complete: bool,
    /// Fails the collection of this product.
    pub failing: Option<Product>,
    /// Refuses every login with this.
    pub refuses: Option<ExecutionStatus>,
    /// Never answers a login.
    pub hangs: bool,
    /// Panics in login.
    pub panics: bool,
    /// Logins so far.
    pub logins: usize,
    /// Windows that were asked for.
    pub windows: Vec<Window>,
    /// Products that were asked for.
    pub products: Vec<Product>,
    /// The regulated calls that were allowed for each.
    pub granted: Vec<Option<Vec<RegulatedCall>>>,
}

/// The connector, number 7000.
pub struct Scripted {
    descriptor: Descriptor,
    bank: Arc<Mutex<Bank>>,
}

/// A registry of the scripted connector, and its bank.
pub fn scripted() -> (Registry, Arc<Mutex<Bank>>) {
    let (connector, bank) = scripted_as(|_| {});
    (Registry::new([connector]), bank)
}

/// A scripted connector that says something else of itself, and its bank.
pub fn scripted_as(change: impl FnOnce(&mut Descriptor)) -> (Arc<dyn Connector>, Arc<Mutex<Bank>>) {
    let bank = Arc::new(Mutex::new(Bank {
        complete: true,
        balance: 100,
        ..Bank::default()
    }));
    let mut descriptor = Descriptor {
        id: 7000,
        name: "Scripted",
        kind: ConnectorKind::PersonalBank,
        country: None,
        institution_url: None,
        image_url: None,
        primary_color: None,
        credentials: vec![Field {
            name: "user".to_owned(),
            label: "User".to_owned(),
            ..Field::default()
        }],
        products: vec![Product::Accounts, Product::Transactions],
        has_mfa: false,
        oauth: false,
        is_sandbox: true,
        is_open_finance: false,
        source: SourceKind::Institution,
        overlap_days: 4,
        trusts_device: false,
        consent_lasts: None,
    };
    change(&mut descriptor);
    let connector = Scripted {
        descriptor,
        bank: bank.clone(),
    };
    (Arc::new(connector), bank)
}

/// A POSTED row of the account.
pub fn row(id: Option<&str>, day: &str, cents: i64, description: &str) -> TransactionRecord {
    let posted_on: chrono::NaiveDate = day.parse().expect("a day");
    TransactionRecord {
        id: id.map(str::to_owned),
        date: Timestamp(
            posted_on
                .and_hms_opt(0, 0, 0)
                .expect("midnight")
                .and_utc()
                .timestamp_millis(),
        ),
        posted_on,
        description: description.to_owned(),
        description_raw: None,
        amount: Amount::from_cents(cents),
        amount_in_account_currency: None,
        currency_code: "BRL".to_owned(),
        kind: if cents < 0 {
            TransactionType::Debit
        } else {
            TransactionType::Credit
        },
        status: TransactionStatus::Posted,
        balance: None,
        provider_code: None,
        details: TransactionDetails::default(),
    }
}

#[async_trait]
impl Connector for Scripted {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    async fn login(&self, _: &Call, _: &Credentials) -> Result<Login, Failure> {
        let (panics, hangs, refuses) = {
            let mut bank = self.bank.lock().expect("a bank");
            bank.logins += 1;
            (bank.panics, bank.hangs, bank.refuses)
        };
        assert!(!panics, "the scripted bank panics");
        if hangs {
            std::future::pending::<()>().await;
        }
        if let Some(code) = refuses {
            return Err(Failure::new(code, "refused"));
        }
        Ok(Login::Connected(Session(Zeroizing::new(b"in".to_vec()))))
    }

    async fn answer(&self, _: &Call, _: &Session, _: &Credentials) -> Result<Login, Failure> {
        Err(Failure::new(
            ExecutionStatus::UnexpectedError,
            "asks nothing",
        ))
    }

    async fn poll(&self, _: &Call, _: &Session) -> Result<Login, Failure> {
        Err(Failure::new(
            ExecutionStatus::UnexpectedError,
            "demands nothing",
        ))
    }

    fn collect(
        &self,
        call: Call,
        _: Session,
        request: Request,
    ) -> BoxStream<'static, Result<Batch, Failure>> {
        let mut bank = self.bank.lock().expect("a bank");
        bank.products.push(request.product);
        bank.granted.push(call.granted);
        bank.windows
            .extend(request.windows.iter().map(|(_, window)| *window));
        if bank.failing == Some(request.product) {
            let failure = Failure::new(ExecutionStatus::SiteNotAvailable, "closed");
            return futures_util::stream::iter([Err(failure)]).boxed();
        }
        let mut batches = Vec::new();
        if request.product == Product::Accounts {
            batches.push(Ok(Batch::Accounts(vec![account(bank.balance)])));
        } else {
            for (account, window) in request.windows {
                let rows: Vec<_> = bank
                    .rows
                    .iter()
                    .filter(|row| row.posted_on >= window.from && row.posted_on <= window.to)
                    .cloned()
                    .collect();
                for rows in rows.chunks(100) {
                    batches.push(Ok(Batch::Transactions {
                        account: account.clone(),
                        rows: rows.to_vec(),
                    }));
                }
                batches.push(Ok(Batch::Covered(Coverage {
                    account,
                    window,
                    complete: bank.complete,
                })));
            }
        }
        futures_util::stream::iter(batches).boxed()
    }
}

fn account(cents: i64) -> AccountRecord {
    AccountRecord {
        key: "1".to_owned(),
        kind: AccountType::Bank,
        subtype: AccountSubtype::CheckingAccount,
        number: "0001/1".to_owned(),
        name: "Checking account".to_owned(),
        marketing_name: None,
        balance: Some(Amount::from_cents(cents)),
        currency_code: "BRL".to_owned(),
        owner: None,
        tax_number: None,
        bank_data: None,
        credit_data: None,
    }
}
