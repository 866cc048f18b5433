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
        AccountRecord, BalanceRecord, Batch, BillRecord, Call, Connector, ConnectorKind, Coverage,
        Credentials, Descriptor, Failure, Field, IdentityRecord, InvestmentRecord,
        InvestmentTransactionRecord, LoanRecord, Login, PaymentOf, Registry, Request, Session,
        SourceKind, StatementRecord, TransactionDetails, TransactionRecord, Warning, Window,
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
    /// The positions.
    pub investments: Vec<InvestmentRecord>,
    /// Movements of positions, by the key of their position.
    pub movements: Vec<(&'static str, InvestmentTransactionRecord)>,
    /// The loans.
    pub loans: Vec<LoanRecord>,
    /// The holder.
    pub holder: Option<IdentityRecord>,
    /// The accounts that it shows; the only one unless told.
    pub accounts: Option<Vec<AccountRecord>>,
    /// The cards that it shows.
    pub cards: Vec<AccountRecord>,
    /// The bills of each card.
    pub bills: Vec<BillRecord>,
    /// What it says is on the account now; that there is no such account when `None`.
    pub live: Option<Result<BalanceRecord, Failure>>,
    /// The statements of each account, whatever is asked for.
    pub statements: Vec<StatementRecord>,
    /// Whether it shows rows of days to come.
    pub foresees: bool,
    /// What it warns of when it shows its accounts.
    pub warning: Option<Warning>,
    /// The payment data that it shows.
    pub payments: Vec<PaymentOf>,
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
    /// How often it is asked for each.
    pub requests: usize,
    /// When it was asked, logins included.
    pub asked: Vec<Timestamp>,
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
        reset_password_url: None,
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
        has_live_balance: false,
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

    async fn login(&self, call: &Call, _: &Credentials) -> Result<Login, Failure> {
        call.requests.next().await?;
        let (panics, hangs, refuses) = {
            let mut bank = self.bank.lock().expect("a bank");
            bank.logins += 1;
            bank.asked.push(call.clock.now());
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

    async fn balance(
        &self,
        call: &Call,
        _: &Credentials,
        _: &str,
    ) -> Result<Option<BalanceRecord>, Failure> {
        let live = {
            let mut bank = self.bank.lock().expect("a bank");
            bank.granted.push(call.granted.clone());
            bank.live.clone()
        };
        live.transpose()
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
        let (requests, pages, asked) = (call.requests, bank.requests, self.bank.clone());
        bank.windows
            .extend(request.windows.iter().map(|(_, window)| *window));
        if bank.failing == Some(request.product) {
            let failure = Failure::new(ExecutionStatus::SiteNotAvailable, "closed");
            return futures_util::stream::iter([Err(failure)]).boxed();
        }
        let mut batches: Vec<Result<Batch, Failure>> = Vec::new();
        match request.product {
            Product::Accounts => {
                let only = || vec![account(bank.balance)];
                let accounts = bank.accounts.clone().unwrap_or_else(only);
                batches.push(Ok(Batch::Accounts(accounts)));
                batches.extend(bank.warning.clone().map(|it| Ok(Batch::Warning(it))));
            }
            Product::CreditCards => {
                batches.push(Ok(Batch::Accounts(bank.cards.clone())));
                batches.extend(bank.cards.iter().map(|card| {
                    Ok(Batch::Bills {
                        account: card.key.clone(),
                        rows: bank.bills.clone(),
                    })
                }));
            }
            Product::PaymentData => {
                for (account, window) in request.windows {
                    let inside = |day| day >= window.from && day <= window.to;
                    let rows = bank.payments.iter();
                    let rows = rows.filter(|it| inside(it.movement.posted_on));
                    let rows = rows.cloned().collect();
                    batches.push(Ok(Batch::Payments { account, rows }));
                }
            }
            Product::Investments => {
                let batch = |rows: &[InvestmentRecord]| Ok(Batch::Investments(rows.to_vec()));
                batches.extend(bank.investments.chunks(100).map(batch));
            }
            Product::InvestmentsTransactions => {
                for (investment, window) in request.windows {
                    batches.extend(movements(&bank, &investment, window).into_iter().map(Ok));
                }
            }
            Product::AccountStatements => {
                batches.extend(request.windows.into_iter().map(|(account, _)| {
                    let rows = bank.statements.clone();
                    Ok(Batch::Statements { account, rows })
                }));
            }
            Product::Loans => batches.push(Ok(Batch::Loans(bank.loans.clone()))),
            Product::Identity => {
                let holder = bank.holder.clone().map(Box::new);
                batches.extend(holder.map(|holder| Ok(Batch::Identity(holder))));
            }
            _ => {
                for (account, window) in request.windows {
                    let rows: Vec<_> = bank
                        .rows
                        .iter()
                        .filter(|row| row.posted_on >= window.from)
                        .filter(|row| row.posted_on <= window.to || bank.foresees)
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
        }
        Box::pin(async_stream::try_stream! {
            for _ in 0..pages {
                requests.next().await?;
                asked.lock().expect("a bank").asked.push(call.clock.now());
            }
            for batch in batches {
                yield batch?;
            }
        })
    }
}

/// The movements of a position inside of a window, in batches, and what that covers.
fn movements(bank: &Bank, investment: &str, window: Window) -> Vec<Batch> {
    let of = bank.movements.iter().filter(|(key, row)| {
        *key == investment && row.date >= window.from && row.date <= window.to
    });
    let rows: Vec<_> = of.map(|(_, row)| row.clone()).collect();
    let covered = Batch::InvestmentCovered(Coverage {
        account: investment.to_owned(),
        window,
        complete: bank.complete,
    });
    let mut batches: Vec<Batch> = rows
        .chunks(100)
        .map(|rows| Batch::InvestmentTransactions {
            investment: investment.to_owned(),
            rows: rows.to_vec(),
        })
        .collect();
    batches.push(covered);
    batches
}

/// A position of fixed income.
pub fn investment(key: &str, cents: i64) -> InvestmentRecord {
    InvestmentRecord {
        subtype: Some("CDB".to_owned()),
        ..InvestmentRecord::new(
            key.to_owned(),
            "FIXED_INCOME",
            format!("CDB {key}"),
            Amount::from_cents(cents),
            "2026-03-16".parse().expect("a day"),
        )
    }
}

/// A movement of a position.
pub fn movement(
    id: Option<&str>,
    day: &str,
    kind: &str,
    cents: i64,
) -> InvestmentTransactionRecord {
    InvestmentTransactionRecord {
        id: id.map(str::to_owned),
        kind: kind.to_owned(),
        movement_type: None,
        date: day.parse().expect("a day"),
        trade_date: None,
        description: None,
        quantity: None,
        value: None,
        amount: Some(Amount::from_cents(cents)),
        net_amount: None,
        agreed_rate: None,
        indexer_percentage: None,
        price_factor: None,
        brokerage_number: None,
        expenses: None,
    }
}

/// A loan.
pub fn loan(key: &str, kind: &str, owed: &str) -> LoanRecord {
    serde_json::from_value::<LoanRecord>(serde_json::json!({
        "productName": format!("Loan {key}"),
        "kind": kind,
        "date": "2026-03-16",
        "currencyCode": "BRL",
        "payments": { "contractOutstandingBalance": owed, "releases": [] },
    }))
    .map(|loan| LoanRecord {
        key: key.to_owned(),
        ..loan
    })
    .expect("a loan")
}

/// The only account, with so much on it.
pub fn account(cents: i64) -> AccountRecord {
    AccountRecord {
        key: "1".to_owned(),
        kind: AccountType::Bank,
        subtype: AccountSubtype::CheckingAccount,
        subtype_raw: None,
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
