//! The made-up bank as a user sees it on one day.
//!
//! What the bank shows on a day is a function of the seed and that day, and nothing else: a run repeated on the same day
//! sees the same, and no state is kept. Movements live as those of real institutions do:
//!
//! - the rows of the last two days are PENDING and settle later, those of the card under a text that differs a little;
//! - texts of the checking accounts are completed one day after a row appears;
//! - a pre-authorisation on every third day is gone one or two days later;
//! - rows of checking accounts have ids, rows of the card have none, and are on a bill once they have settled;
//! - who has paid whom is told by a product of its own, and where the bank shows everything with the movement too.
//!
//! Balances are opening plus settled rows.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta};
use entity::kind::{AccountSubtype, AccountType, TransactionStatus, TransactionType};
use serde_json::{Value, json};

use super::{
    bills,
    bulk::Bulk,
    dice::Seed,
    holder,
    ledger::{self, Book, REAL, Row, days, first_of_month},
    loans,
    particulars::Movement,
    persona::Household,
    positions,
};
use crate::{
    clock::Timestamp,
    connector::{
        AccountRecord, BillRecord, IdentityRecord, InvestmentRecord, InvestmentTransactionRecord,
        LoanRecord, MovementKey, PaymentOf, TransactionDetails, TransactionRecord, Window,
    },
    money::Amount,
};

/// How many days the bank shows, today included.
pub(super) const HISTORY_DAYS: u64 = 365;

const CREDIT_LIMIT: i64 = 15_000 * REAL;
const CASH_LIMIT: i64 = 2_000 * REAL;
const OVERDRAFT_LIMIT: i64 = 1_000 * REAL;
const MINIMUM_PAYMENT_PERCENT: i64 = 15;

const KEYS: u64 = u64::from_be_bytes(*b"keys    ");
const RESERVES: u64 = u64::from_be_bytes(*b"reserves");
const NUMBERS: u64 = u64::from_be_bytes(*b"numbers ");
const IDS: u64 = u64::from_be_bytes(*b"row ids ");

const MOST_ROWS_OF_A_DAY: i64 = 1_000;

/// What a user sees at the bank on one day.
pub(super) struct Bank {
    seed: Seed,
    household: Household,
    today: NaiveDate,
    company: bool,
}

impl Bank {
    /// The bank as this user sees it today.
    pub(super) fn new(seed: Seed, household: Household, today: NaiveDate) -> Self {
        Self {
            seed,
            household,
            today,
            company: false,
        }
    }

    /// The same, of a user who is a company, if it is one.
    pub(super) fn of_company(self, company: bool) -> Self {
        Self { company, ..self }
    }

    /// What this user has there.
    pub(super) fn household(&self) -> &Household {
        &self.household
    }

    /// The holder.
    pub(super) fn identity(&self) -> IdentityRecord {
        if self.company {
            holder::company(self.seed)
        } else {
            holder::identity(self.seed)
        }
    }

    /// The day on which the user sees it.
    pub(super) fn today(&self) -> NaiveDate {
        self.today
    }

    /// What an account opens a month with.
    pub(super) fn opening(&self, book: Book, month: NaiveDate) -> Amount {
        Amount::from_cents(self.opening_cents(book, month))
    }

    fn opening_cents(&self, book: Book, day: NaiveDate) -> i64 {
        match book {
            Book::Savings => ledger::saved_before(day),
            Book::Checking(_) | Book::Card => ledger::opening(self.seed, book, day),
        }
    }

    /// The holder's name.
    fn owner(&self) -> Option<String> {
        let holder = self.identity();
        holder.full_name.or(holder.company_name)
    }

    /// What the user has invested.
    pub(super) fn investments(&self) -> Vec<InvestmentRecord> {
        positions::list(self.seed, self.owner().as_deref(), self.today)
    }

    /// The movements of a position inside of a window, if the user has it.
    pub(super) fn investment_transactions(
        &self,
        key: &str,
        window: Window,
    ) -> Option<Vec<InvestmentTransactionRecord>> {
        positions::movements(self.seed, key, window, self.today)
    }

    /// What the user owes.
    pub(super) fn loans(&self) -> Vec<LoanRecord> {
        loans::list(self.seed, self.today)
    }

    /// The accounts that statements are issued for, with their books. The bank prints none of very many movements.
    pub(super) fn stated(&self) -> Vec<(Book, AccountRecord)> {
        let checking = (0..self.household.checking_accounts)
            .map(Book::Checking)
            .zip(self.checking_accounts())
            .filter(|(book, _)| self.bulk_of(*book).is_none());
        let savings = self.savings().map(|account| (Book::Savings, account));
        checking.chain(savings).collect()
    }

    /// The checking accounts.
    pub(super) fn checking_accounts(&self) -> Vec<AccountRecord> {
        (0..self.household.checking_accounts)
            .map(|which| self.checking_account(which))
            .collect()
    }

    /// The card.
    pub(super) fn card(&self) -> AccountRecord {
        let seed = self.seed;
        let settled_to = self.settled_to();
        let owed = ledger::owed(seed, settled_to);
        let reserved: i64 = self
            .visible(Book::Card, settled_to + Days::new(1), self.today)
            .filter(|(_, _, row)| row.cents < 0)
            .map(|(_, _, row)| -row.cents)
            .sum();
        let month = first_of_month(self.today);
        let (closing_month, closed_month) = if self.today.day() <= ledger::CLOSES_ON {
            (month, month - Months::new(1))
        } else {
            (ledger::next_month(self.today), month)
        };
        let limit = text(CREDIT_LIMIT);
        let available = text(CREDIT_LIMIT - owed - reserved);
        let mut numbers = self.card_numbers().into_iter();
        let number = numbers.next().unwrap_or_default();
        let further: Vec<_> = numbers.map(|number| json!({ "number": number })).collect();
        let holder = self.identity();
        AccountRecord {
            key: self.key(Book::Card),
            kind: AccountType::Credit,
            subtype: AccountSubtype::CreditCard,
            subtype_raw: None,
            name: "Cartão de Crédito".to_owned(),
            marketing_name: Some("Ponte Mastercard Platinum".to_owned()),
            balance: Some(Amount::from_cents(owed)),
            currency_code: "BRL".to_owned(),
            owner: self.owner(),
            tax_number: holder.document,
            bank_data: None,
            credit_data: Some(json!({
                "level": "PLATINUM",
                "brand": "MASTERCARD",
                "brandAdditionalInfo": "Platinum internacional",
                "balanceCloseDate": closing_month + Days::new(u64::from(ledger::CLOSES_ON - 1)),
                "balanceDueDate": closing_month + Days::new(u64::from(ledger::DUE_ON - 1)),
                "availableCreditLimit": available,
                "creditLimit": limit,
                "isLimitFlexible": false,
                "minimumPayment": text(ledger::bill(seed, closed_month) * MINIMUM_PAYMENT_PERCENT / 100),
                "balanceForeignCurrency": text(0),
                "status": "ACTIVE",
                "holderType": "MAIN",
                "additionalCards": further,
                "disaggregatedCreditLimits": [{
                    "creditLineLimitType": "LIMITE_CREDITO_TOTAL",
                    "consolidationType": "CONSOLIDADO",
                    "identificationNumber": number,
                    "isLimitFlexible": false,
                    "usedAmount": text(owed + reserved),
                    "usedAmountCurrencyCode": "BRL",
                    "limitAmount": limit,
                    "limitAmountCurrencyCode": "BRL",
                    "availableAmount": available,
                    "availableAmountCurrencyCode": "BRL",
                }, {
                    "creditLineLimitType": "LIMITE_CREDITO_MODALIDADE_OPERACAO",
                    "consolidationType": "INDIVIDUAL",
                    "identificationNumber": number,
                    "isLimitFlexible": true,
                    "usedAmount": text(0),
                    "usedAmountCurrencyCode": "BRL",
                    "lineName": "SAQUE_CREDITO_BRASIL",
                    "lineNameAdditionalInfo": "Saques no país",
                    "limitAmount": text(CASH_LIMIT),
                    "limitAmountCurrencyCode": "BRL",
                    "limitAmountReason": "Limite escolhido pelo titular",
                    "customizedLimitAmount": text(CASH_LIMIT / 2),
                    "customizedLimitAmountCurrencyCode": "BRL",
                    "availableAmount": text(CASH_LIMIT / 2),
                    "availableAmountCurrencyCode": "BRL",
                }],
            })),
            number,
        }
    }

    /// The part of a window that the bank can show.
    pub(super) fn clamp(&self, window: Window) -> Option<Window> {
        let history = self.history();
        let clamped = Window {
            from: window.from.max(history.from),
            to: window.to.min(history.to),
        };
        (clamped.from <= clamped.to).then_some(clamped)
    }

    /// The book with this key.
    pub(super) fn find(&self, key: &str) -> Option<Book> {
        (0..self.household.checking_accounts)
            .map(Book::Checking)
            .chain([Book::Card, Book::Savings])
            .find(|book| self.key(*book) == key)
    }

    /// The movements of a window, by day.
    pub(super) fn transactions(
        &self,
        book: Book,
        window: Window,
    ) -> Box<dyn Iterator<Item = TransactionRecord> + Send> {
        if let Some(thousands) = self.bulk_of(book) {
            return Box::new(Bulk::new(self.seed, thousands, window));
        }
        let opened = match book {
            Book::Checking(_) => first_of_month(window.from),
            Book::Card | Book::Savings => window.from,
        };
        let mut running = self.opening_cents(book, opened);
        let card_numbers = self.card_numbers();
        let party = match book {
            Book::Checking(which) if self.seed.in_full => {
                Some((self.identity(), self.number(which)))
            }
            Book::Checking(_) | Book::Card | Book::Savings => None,
        };
        let mut records = Vec::new();
        for (day, ordinal, row) in self.visible(book, opened, window.to) {
            let age = self.age(day);
            let settled = age >= ledger::SETTLES_AFTER;
            if settled {
                running += row.cents;
            }
            if day < window.from {
                continue;
            }
            let status = if settled {
                TransactionStatus::Posted
            } else {
                TransactionStatus::Pending
            };
            let (id, balance) = match book {
                Book::Checking(_) | Book::Savings => (
                    Some(self.row_id(book, day, ordinal)),
                    settled.then(|| Amount::from_cents(running)),
                ),
                Book::Card => (None, None),
            };
            let movement = self.movement(book, day, ordinal, &row);
            let mut record = TransactionRecord {
                balance,
                provider_code: movement.code(),
                details: movement.details(&card_numbers, settled),
                ..record(id, day, row.text_at(age).to_owned(), row.cents, status)
            };
            // So that it helps to tell what the movement was for.
            record.details.payment_data = party
                .as_ref()
                .and_then(|(holder, number)| movement.payment(holder, number));
            if let Some(dollars) = row.dollars {
                record.amount_in_account_currency = Some(record.amount);
                record.amount = Amount::from_cents(dollars);
                "USD".clone_into(&mut record.currency_code);
                record.description_raw = Some(format!("{} USD {}", row.text, text(-dollars)));
            }
            records.push(record);
        }
        Box::new(records.into_iter())
    }

    /// The payment data of the movements of a window, by day. The bank knows none of very many movements.
    pub(super) fn payments(&self, book: Book, window: Window) -> Vec<PaymentOf> {
        let Book::Checking(which) = book else {
            return Vec::new();
        };
        if self.bulk_of(book).is_some() {
            return Vec::new();
        }
        let (holder, number) = (self.identity(), self.number(which));
        let rows = self.visible(book, window.from, window.to);
        let payments = rows.filter_map(|(day, ordinal, row)| {
            let payment = self
                .movement(book, day, ordinal, &row)
                .payment(&holder, &number)?;
            let id = Some(self.row_id(book, day, ordinal));
            let text = row.text_at(self.age(day)).to_owned();
            let record = record(id, day, text, row.cents, TransactionStatus::Posted);
            Some(PaymentOf {
                movement: MovementKey::from(&record),
                payment,
            })
        });
        payments.collect()
    }

    /// The bills of the card.
    pub(super) fn bills(&self) -> Vec<BillRecord> {
        bills::list(self.seed, self.today, self.settled_to())
    }

    fn movement<'a>(&self, book: Book, day: NaiveDate, ordinal: i64, row: &'a Row) -> Movement<'a> {
        Movement {
            seed: self.seed,
            book,
            day,
            ordinal,
            row,
        }
    }

    /// The last digits of the card, and of a further one where the bank shows everything.
    fn card_numbers(&self) -> Vec<String> {
        let numbers = if self.seed.in_full { 2 } else { 1 };
        (0..numbers)
            .map(|which| {
                let mut dice = self.seed.dice(Book::Card.subject(NUMBERS), which);
                format!("{:04}", dice.between(0, 9_999))
            })
            .collect()
    }

    /// Branch and number of a checking account.
    fn number(&self, which: u8) -> String {
        let book = Book::Checking(which);
        let mut digits = self.seed.dice(book.subject(NUMBERS), 0);
        format!(
            "0001/{:07}-{}",
            digits.between(0, 9_999_999),
            digits.between(0, 9)
        )
    }

    /// The savings, where the bank shows everything.
    pub(super) fn savings(&self) -> Option<AccountRecord> {
        if !self.seed.in_full {
            return None;
        }
        let saved = ledger::saved_before(self.settled_to() + Days::new(1));
        let pot = saved / 3;
        let mut digits = self.seed.dice(Book::Savings.subject(NUMBERS), 0);
        let number = format!("0001/{:08}-0", digits.between(0, 99_999_999));
        let holder = self.identity();
        Some(AccountRecord {
            key: self.key(Book::Savings),
            kind: AccountType::Bank,
            subtype: AccountSubtype::SavingsAccount,
            subtype_raw: Some("CONTA_POUPANCA".to_owned()),
            name: "Conta Poupança".to_owned(),
            marketing_name: Some("Ponte Poupança".to_owned()),
            balance: Some(Amount::from_cents(saved)),
            currency_code: "BRL".to_owned(),
            owner: holder.full_name.or(holder.company_name),
            tax_number: holder.document,
            bank_data: Some(json!({
                "transferNumber": format!("999/{number}"),
                "closingBalance": text(saved),
                "automaticallyInvestedBalance": text(0),
                "overdraftContractedLimit": text(0),
                "overdraftUsedLimit": text(0),
                "unarrangedOverdraftAmount": text(0),
                "hasReservedBalance": true,
                "reservedBalances": [{
                    "name": "Viagem",
                    "identification": "cofrinho-1",
                    "availableAmounts": [{
                        "amount": text(pot),
                        "currencyCode": "BRL",
                        "remuneration": {
                            "preFixedRate": "0.005",
                            "postFixedIndexerPercentage": "1.00",
                            "rateType": "EXPONENCIAL",
                            "indexer": "CDI",
                            "calculation": "DIAS_UTEIS",
                            "ratePeriodicity": "ANUAL",
                            "indexerAdditionalInfo": "CDI divulgado pela B3",
                        },
                    }],
                }],
            })),
            credit_data: None,
            number,
        })
    }

    fn checking_account(&self, which: u8) -> AccountRecord {
        let book = Book::Checking(which);
        let (settled, pending) = self.checking_balance(book);
        let number = self.number(which);
        let holder = self.identity();
        let marketing_name = match which {
            0 => "Ponte Conta".to_owned(),
            more => format!("Ponte Conta {}", more + 1),
        };
        AccountRecord {
            key: self.key(book),
            kind: AccountType::Bank,
            subtype: AccountSubtype::CheckingAccount,
            subtype_raw: Some("CONTA_DEPOSITO_A_VISTA".to_owned()),
            name: "Conta Corrente".to_owned(),
            marketing_name: Some(marketing_name),
            balance: Some(Amount::from_cents(settled)),
            currency_code: "BRL".to_owned(),
            owner: self.owner(),
            tax_number: holder.document,
            bank_data: Some(json!({
                "transferNumber": format!("999/{number}"),
                "closingBalance": text(settled + pending),
                "automaticallyInvestedBalance": text(0),
                "overdraftContractedLimit": text(OVERDRAFT_LIMIT),
                "overdraftUsedLimit": text((-settled).clamp(0, OVERDRAFT_LIMIT)),
                "unarrangedOverdraftAmount": text((-settled - OVERDRAFT_LIMIT).max(0)),
                "hasReservedBalance": which == 0,
                "reservedBalances": if which == 0 { self.reserved() } else { Vec::new() },
            })),
            credit_data: None,
            number,
        }
    }

    /// What the holder has set aside, beside what is on the first account.
    fn reserved(&self) -> Vec<Value> {
        let mut dice = self.seed.dice(RESERVES, 0);
        vec![json!({
            "name": "Viagem",
            "identification": format!("{:08x}", dice.between(0, 0xffff_ffff)),
            "availableAmounts": [{
                "amount": text(dice.between(200, 4_000) * REAL),
                "currencyCode": "BRL",
                "remuneration": {
                    "preFixedRate": "0.005",
                    "postFixedIndexerPercentage": "1.00",
                    "rateType": "EXPONENCIAL",
                    "indexer": "CDI",
                    "calculation": "DIAS_UTEIS",
                    "ratePeriodicity": "ANUAL",
                    "indexerAdditionalInfo": "CDI over, base 252",
                },
            }],
        })]
    }

    /// What has settled, and what the pending rows come to, in cents.
    fn checking_balance(&self, book: Book) -> (i64, i64) {
        if let Some(thousands) = self.bulk_of(book) {
            return (Bulk::balance(self.seed, thousands, self.history()), 0);
        }
        let opened = first_of_month(self.settled_to());
        let (mut settled, mut pending) = (ledger::opening(self.seed, book, opened), 0);
        for (day, _, row) in self.visible(book, opened, self.today) {
            if self.age(day) >= ledger::SETTLES_AFTER {
                settled += row.cents;
            } else {
                pending += row.cents;
            }
        }
        (settled, pending)
    }

    /// The rows that can be seen today, with their day and their place in it.
    fn visible(
        &self,
        book: Book,
        from: NaiveDate,
        to: NaiveDate,
    ) -> impl Iterator<Item = (NaiveDate, i64, Row)> {
        days(from, to).flat_map(move |day| {
            let age = self.age(day);
            (0..)
                .zip(ledger::rows(self.seed, book, day))
                .filter(move |(_, row)| row.gone_at.is_none_or(|gone_at| age < gone_at))
                .map(move |(ordinal, row)| (day, ordinal, row))
        })
    }

    fn bulk_of(&self, book: Book) -> Option<i64> {
        self.household
            .bulk_thousands
            .filter(|_| book == Book::Checking(0))
    }

    fn history(&self) -> Window {
        Window {
            from: self.today - Days::new(HISTORY_DAYS - 1),
            to: self.today,
        }
    }

    fn age(&self, day: NaiveDate) -> i64 {
        (self.today - day).num_days()
    }

    /// The last day whose movements have settled.
    pub(super) fn settled_to(&self) -> NaiveDate {
        self.today - TimeDelta::days(ledger::SETTLES_AFTER)
    }

    fn key(&self, book: Book) -> String {
        let kind = match book {
            Book::Checking(_) => "checking",
            Book::Card => "card",
            Book::Savings => "savings",
        };
        let number = self.seed.dice(book.subject(KEYS), 0).roll();
        format!("{kind}-{number:016x}")
    }

    fn row_id(&self, book: Book, day: NaiveDate, ordinal: i64) -> String {
        let place = ledger::day_number(day) * MOST_ROWS_OF_A_DAY + ordinal;
        let mut dice = self.seed.dice(book.subject(IDS), place);
        format!("{:016x}{:016x}", dice.roll(), dice.roll())
    }
}

/// A movement in reais.
pub(super) fn record(
    id: Option<String>,
    day: NaiveDate,
    description: String,
    cents: i64,
    status: TransactionStatus,
) -> TransactionRecord {
    TransactionRecord {
        id,
        date: Timestamp::from(day.and_time(NaiveTime::MIN).and_utc()),
        posted_on: day,
        description,
        description_raw: None,
        amount: Amount::from_cents(cents),
        amount_in_account_currency: None,
        currency_code: "BRL".to_owned(),
        kind: if cents < 0 {
            TransactionType::Debit
        } else {
            TransactionType::Credit
        },
        status,
        balance: None,
        provider_code: None,
        details: TransactionDetails::default(),
    }
}

fn text(cents: i64) -> String {
    Amount::from_cents(cents).to_string()
}
