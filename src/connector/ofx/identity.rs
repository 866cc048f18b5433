//! Who an account is: its key, which is the same in every file, and what people call it.
//!
//! The key is made of everything that tells accounts apart, with `/` between: kind, bank, branch, number, type and
//! currency, because balances in two currencies are two accounts. The number of a card is in no key.

use entity::kind::{AccountSubtype, AccountType};
use sha2::{Digest, Sha256};

use super::{Problem, field::Fields, sgml::Element};

/// Most characters in the parts of an account's identity.
const MAX_PART: usize = 64;

/// An account without its balances.
pub struct Identity {
    /// Unique in a file, the same in all files.
    pub key: String,
    /// All that identifies it, to notice two accounts with one key. Not to be kept.
    pub full: String,
    /// Family.
    pub kind: AccountType,
    /// Kind.
    pub subtype: AccountSubtype,
    /// ACCTTYPE as it stands there.
    pub subtype_raw: Option<String>,
    /// As people know it.
    pub number: String,
    /// Generic name.
    pub name: &'static str,
    /// Bank, branch and number of an account at a bank.
    pub transfer_number: Option<String>,
}

impl Identity {
    /// The account that a statement is about.
    pub fn read(fields: &Fields, statement: Element, currency_code: &str) -> Result<Self, Problem> {
        let account = ["BANKACCTFROM", "CCACCTFROM", "INVACCTFROM"]
            .iter()
            .find_map(|name| statement.child(name))
            .ok_or_else(|| fields.problem(statement, "the account is not named"))?;
        let part = |name| {
            fields
                .identifier(account, name, MAX_PART)
                .map(Option::unwrap_or_default)
        };
        let number = part("ACCTID")?;
        if number.is_empty() {
            return Err(fields.problem(account, &format!("{} has no ACCTID", account.name())));
        }
        if account.is("CCACCTFROM") {
            return Ok(Self::card(&number, currency_code));
        }
        if account.is("INVACCTFROM") {
            let key = key(&["investment", &part("BROKERID")?, &number, currency_code]);
            return Ok(Self {
                full: key.clone(),
                key,
                kind: AccountType::Bank,
                subtype: AccountSubtype::Unknown,
                subtype_raw: None,
                number,
                name: "Investment account",
                transfer_number: None,
            });
        }
        let (bank, branch) = (part("BANKID")?, part("BRANCHID")?);
        let raw = part("ACCTTYPE")?;
        let kind = raw.to_ascii_uppercase();
        let (subtype, name) = match kind.as_str() {
            "CHECKING" => (AccountSubtype::CheckingAccount, "Checking account"),
            "SAVINGS" => (AccountSubtype::SavingsAccount, "Savings account"),
            "MONEYMRKT" => (AccountSubtype::Unknown, "Money market account"),
            "CREDITLINE" => (AccountSubtype::Unknown, "Credit line"),
            "CD" => (AccountSubtype::Unknown, "Certificate of deposit"),
            _ => (AccountSubtype::Unknown, "Bank account"),
        };
        let key = key(&["bank", &bank, &branch, &number, &kind, currency_code]);
        Ok(Self {
            full: key.clone(),
            key,
            kind: AccountType::Bank,
            subtype,
            subtype_raw: Some(raw).filter(|raw| !raw.is_empty()),
            transfer_number: (!bank.is_empty()).then(|| joined(&[&bank, &branch, &number])),
            number: joined(&[&branch, &number]),
            name,
        })
    }

    /// A card. Its whole number is never stored: one byte of its digest tells cards with the same last digits apart and
    /// gives away less than those digits do.
    fn card(number: &str, currency_code: &str) -> Self {
        let masked = masked(number);
        let digest = format!("{:02x}", Sha256::digest(number.as_bytes())[0]);
        Self {
            key: key(&["card", &masked, &digest, currency_code]),
            full: key(&["card", number, currency_code]),
            kind: AccountType::Credit,
            subtype: AccountSubtype::CreditCard,
            subtype_raw: None,
            number: masked,
            name: "Credit card",
            transfer_number: None,
        }
    }
}

fn key(parts: &[&str]) -> String {
    let escaped: Vec<_> = parts
        .iter()
        .map(|part| part.replace('%', "%25").replace('/', "%2F"))
        .collect();
    escaped.join("/")
}

/// The parts that are given, as people write them.
fn joined(parts: &[&str]) -> String {
    let given: Vec<_> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    given.join("/")
}

/// The last four characters of a card's number that are letters or digits, behind `xxxx`.
fn masked(number: &str) -> String {
    let shown: Vec<char> = number.chars().filter(|c| c.is_alphanumeric()).collect();
    let last = shown.len().saturating_sub(4);
    format!("xxxx{}", shown[last..].iter().collect::<String>())
}
