//! The tree to accounts, movements and coverage.
//!
//! Every movement of the tree is imported into the account of its statement, or the file is refused: one that stands
//! outside of any statement, or in a statement inside of another one, shows that a tag is missing. One account in several
//! statements of a file is one account: movements and days add up, and the latest balance counts.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use entity::kind::AccountType;
use serde_json::{Map, Value};

use super::{
    MAX_ACCOUNTS, Problem, date,
    field::Fields,
    identity::Identity,
    movement,
    number::Evidence,
    sgml::{Element, Tree},
};
use crate::{
    clock::Timestamp,
    connector::{AccountRecord, Coverage, TransactionRecord, Warning, Window},
    money::Amount,
};

/// ISO 4217 for no currency.
pub(super) const NO_CURRENCY: &str = "XXX";
/// What holds one statement.
const STATEMENTS: [&str; 3] = ["STMTRS", "CCSTMTRS", "INVSTMTRS"];
/// Message sets that hold no statements, or are imported.
const KNOWN_MESSAGES: [&str; 8] = [
    "SIGNONMSGSRSV1",
    "SIGNUPMSGSRSV1",
    "PROFMSGSRSV1",
    "SECLISTMSGSRSV1",
    "EMAILMSGSRSV1",
    "BANKMSGSRSV1",
    "CREDITCARDMSGSRSV1",
    "INVSTMTMSGSRSV1",
];

/// All that a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Its accounts, in the order of the file, each with a key of its own.
    pub statements: Vec<Statement>,
    /// What of the accounts is not imported.
    pub account_warnings: Vec<Warning>,
    /// What of the movements is not imported.
    pub transaction_warnings: Vec<Warning>,
}

/// What a file says about one account.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The account.
    pub account: AccountRecord,
    /// Its movements, in the order of the file.
    pub rows: Vec<TransactionRecord>,
    /// The days it is about; `None` when it has neither dates nor movements.
    pub coverage: Option<Coverage>,
}

/// Reads all statements, or says what is wrong.
pub fn read(tree: &Tree) -> Result<Document, Problem> {
    let mut evidence = Evidence::default();
    for element in tree.elements() {
        if is_any(element, &["TRNAMT", "BALAMT", "AVAILCASH"]) {
            evidence.observe(&element.text());
        }
    }
    let mut reader = Reader {
        fields: Fields {
            evidence,
            ordinal: 0,
        },
        known: BTreeMap::new(),
        document: Document::default(),
    };
    let mut index = 0;
    while index < tree.len() {
        let element = tree.element(index);
        index += 1;
        if element.is("STATUS") {
            refuse_error(element)?;
        } else if is_any(element, &STATEMENTS) {
            reader.fields.ordinal += 1;
            reader.statement(tree, element)?;
            index = element.end();
        } else if element.is("STMTTRN") {
            return Err(Problem::at(
                element.offset(),
                "STMTTRN is outside of a statement",
            ));
        } else if element.name().to_ascii_uppercase().ends_with("MSGSRSV1") {
            reader.message_set(element);
        }
    }
    if reader.document.statements.is_empty() {
        return Err(Problem::at(0, "the file holds no statement of an account"));
    }
    Ok(reader.document)
}

/// A file that carries an error of the institution is not a statement, whatever else is in it.
fn refuse_error(status: Element) -> Result<(), Problem> {
    let severity = status.value("SEVERITY").map(|(_, text)| text);
    if !severity.is_some_and(|severity| severity.eq_ignore_ascii_case("ERROR")) {
        return Ok(());
    }
    let code = status.value("CODE").map(|(_, code)| code);
    let code = code.filter(|code| code.len() <= 10 && code.bytes().all(|b| b.is_ascii_digit()));
    Err(Problem {
        offset: status.offset(),
        message: match code {
            Some(code) => {
                format!("the institution answered with error {code} instead of a statement")
            }
            None => "the institution answered with an error instead of a statement".to_owned(),
        },
        provider_message: status.value("MESSAGE").map(|(_, text)| text),
    })
}

struct Reader {
    fields: Fields,
    /// By key: what the account is called in the file, its place in the document, when its balance was taken.
    known: BTreeMap<String, (String, usize, Option<Timestamp>)>,
    document: Document,
}

impl Reader {
    fn message_set(&mut self, element: Element) {
        if !is_any(element, &KNOWN_MESSAGES) {
            let message = format!("{} is not imported.", element.name().to_ascii_uppercase());
            warn(
                &mut self.document.account_warnings,
                "MESSAGES_NOT_IMPORTED",
                &message,
            );
        }
    }

    fn statement(&mut self, tree: &Tree, statement: Element) -> Result<(), Problem> {
        let currency_code = statement
            .value("CURDEF")
            .and_then(|(_, text)| currency(&text))
            .unwrap_or_else(|| NO_CURRENCY.to_owned());
        let identity = Identity::read(&self.fields, statement, &currency_code)?;
        let rows = self.movements(tree, statement, &currency_code)?;
        let mut coverage = None;
        for list in statement.children() {
            if is_any(list, &["BANKTRANLIST", "INVTRANLIST"]) {
                coverage = join(coverage, stated(&identity.key, list));
                let known = ["DTSTART", "DTEND", "STMTTRN", "INVBANKTRAN"];
                if list.is("INVTRANLIST") && list.children().any(|child| !is_any(child, &known)) {
                    self.warn_of_investments();
                }
            } else if list.is("BANKTRANLISTP") {
                warn(
                    &mut self.document.transaction_warnings,
                    "PENDING_NOT_IMPORTED",
                    "Movements that the institution has not posted yet are not imported.",
                );
            } else if list.is("INVPOSLIST") && list.children().next().is_some() {
                self.warn_of_investments();
            }
        }
        let coverage = widened(&identity.key, coverage, &rows);
        let (account, as_of) = self.account(statement, &identity, currency_code)?;
        let read = Statement {
            account,
            rows,
            coverage,
        };
        self.add(statement, identity, read, as_of)
    }

    /// All movements of a statement, wherever in it they are.
    fn movements(
        &self,
        tree: &Tree,
        statement: Element,
        currency_code: &str,
    ) -> Result<Vec<TransactionRecord>, Problem> {
        let mut rows = Vec::new();
        let mut index = statement.start() + 1;
        while index < statement.end() {
            let element = tree.element(index);
            index += 1;
            if is_any(element, &STATEMENTS) {
                return Err(self
                    .fields
                    .problem(element, "one statement is inside of another"));
            }
            if element.is("STMTTRN") {
                rows.push(movement::read(&self.fields, element, currency_code)?);
                index = element.end();
            }
        }
        Ok(rows)
    }

    /// Adds a statement, or what it knows more about an account that the file has named before.
    fn add(
        &mut self,
        element: Element,
        identity: Identity,
        statement: Statement,
        as_of: Option<Timestamp>,
    ) -> Result<(), Problem> {
        let Some((full, index, balance_as_of)) = self.known.get_mut(&identity.key) else {
            if self.known.len() >= MAX_ACCOUNTS {
                return Err(self.fields.problem(
                    element,
                    &format!("there are more than {MAX_ACCOUNTS} accounts"),
                ));
            }
            let index = self.document.statements.len();
            self.known
                .insert(identity.key, (identity.full, index, as_of));
            self.document.statements.push(statement);
            return Ok(());
        };
        if *full != identity.full {
            return Err(self
                .fields
                .problem(element, "two cards cannot be told apart"));
        }
        let earlier = &mut self.document.statements[*index];
        if statement.account.balance.is_some()
            && (earlier.account.balance.is_none() || as_of >= *balance_as_of)
        {
            earlier.account = statement.account;
            *balance_as_of = as_of;
        }
        earlier.rows.extend(statement.rows);
        earlier.coverage = join(earlier.coverage.take(), statement.coverage);
        Ok(())
    }

    /// The account with its balances, and when they were taken.
    fn account(
        &self,
        statement: Element,
        identity: &Identity,
        currency_code: String,
    ) -> Result<(AccountRecord, Option<Timestamp>), Problem> {
        let (ledger, ledger_as_of) = self.balance(statement.child("LEDGERBAL"), "BALAMT")?;
        let (mut available, available_as_of) =
            self.balance(statement.child("AVAILBAL"), "BALAMT")?;
        if available.is_none() {
            available = self.balance(statement.child("INVBAL"), "AVAILCASH")?.0;
        }
        let mut data = Map::new();
        let mut put = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                data.insert(name.to_owned(), Value::String(value));
            }
        };
        let balance = if identity.kind == AccountType::Credit {
            put(
                "availableCreditLimit",
                available.map(|amount| amount.to_string()),
            );
            ledger.map(Amount::checked_neg).transpose().map_err(|_| {
                self.fields
                    .problem(statement, "the balance is out of range")
            })?
        } else {
            put("transferNumber", identity.transfer_number.clone());
            put("closingBalance", ledger.map(|amount| amount.to_string()));
            available.or(ledger)
        };
        let data = Some(Value::Object(data));
        let (bank_data, credit_data) = match identity.kind {
            AccountType::Bank => (data, None),
            AccountType::Credit => (None, data),
        };
        let account = AccountRecord {
            key: identity.key.clone(),
            kind: identity.kind,
            subtype: identity.subtype,
            subtype_raw: identity.subtype_raw.clone(),
            number: identity.number.clone(),
            name: identity.name.to_owned(),
            marketing_name: None,
            balance,
            currency_code,
            owner: None,
            tax_number: None,
            bank_data,
            credit_data,
        };
        Ok((account, ledger_as_of.max(available_as_of)))
    }

    fn balance(
        &self,
        element: Option<Element>,
        name: &str,
    ) -> Result<(Option<Amount>, Option<Timestamp>), Problem> {
        let Some(element) = element else {
            return Ok((None, None));
        };
        let amount = element
            .value(name)
            .map(|(value, text)| self.fields.amount(value, &text))
            .transpose()?;
        let as_of = element
            .value("DTASOF")
            .and_then(|(_, text)| date::read(&text));
        Ok((amount, as_of.map(|moment| moment.instant)))
    }

    fn warn_of_investments(&mut self) {
        warn(
            &mut self.document.account_warnings,
            "INVESTMENTS_NOT_IMPORTED",
            "Positions and trades are not imported, only the movements of cash.",
        );
    }
}

/// Adds a warning once.
fn warn(warnings: &mut Vec<Warning>, code: &str, message: &str) {
    /// More than a person reads.
    const MOST: usize = 20;
    if warnings.len() < MOST && warnings.iter().all(|warning| warning.message != message) {
        warnings.push(Warning {
            code: code.to_owned(),
            message: message.to_owned(),
            provider_message: None,
        });
    }
}

fn is_any(element: Element, names: &[&str]) -> bool {
    names.iter().any(|name| element.is(name))
}

/// A currency code, if the text can be one.
pub(super) fn currency(text: &str) -> Option<String> {
    let is_code = text.len() == 3 && text.bytes().all(|b| b.is_ascii_alphabetic());
    is_code.then(|| text.to_ascii_uppercase())
}

/// The days that a list of movements says it is about; complete if it says both. The first of two days after the second
/// says nothing.
fn stated(account: &str, list: Element) -> Option<Coverage> {
    let day = |name| {
        let (_, text) = list.value(name)?;
        Some(date::read(&text)?.day)
    };
    let (from, to) = match (day("DTSTART"), day("DTEND")) {
        (Some(from), Some(to)) if from > to => return None,
        stated => stated,
    };
    Some(Coverage {
        account: account.to_owned(),
        window: Window {
            from: from.or(to)?,
            to: to.or(from)?,
        },
        complete: from.is_some() && to.is_some(),
    })
}

/// The days stated and those of the movements.
fn widened(
    account: &str,
    stated: Option<Coverage>,
    rows: &[TransactionRecord],
) -> Option<Coverage> {
    let days = || rows.iter().map(|row| row.posted_on);
    let (Some(first), Some(last)) = (days().min(), days().max()) else {
        return stated;
    };
    let window = stated.as_ref().map(|stated| stated.window);
    Some(Coverage {
        account: account.to_owned(),
        window: Window {
            from: window.map_or(first, |window| window.from.min(first)),
            to: window.map_or(last, |window| window.to.max(last)),
        },
        complete: stated.is_some_and(|stated| stated.complete),
    })
}

/// The days of two lists of one account; complete only if there is no day between them.
fn join(first: Option<Coverage>, second: Option<Coverage>) -> Option<Coverage> {
    let (Some(first), Some(second)) = (&first, &second) else {
        return first.or(second);
    };
    let (a, b) = (first.window, second.window);
    let day_after = |day: NaiveDate| day.checked_add_days(Days::new(1)).unwrap_or(day);
    let adjoin = b.from <= day_after(a.to) && a.from <= day_after(b.to);
    Some(Coverage {
        account: first.account.clone(),
        window: Window {
            from: a.from.min(b.from),
            to: a.to.max(b.to),
        },
        complete: first.complete && second.complete && adjoin,
    })
}
