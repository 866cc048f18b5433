//! Whatever the input, an answer in linear time, and whatever is accepted, exact. `SEED=` repeats a run,
//! `PONTE_TEST_SCALE` lengthens it.

use std::{collections::BTreeSet, fmt::Write, ops::Range, time::Instant};

use chrono::{Days, NaiveDate};
use entity::kind::TransactionType;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{
    Document, MAX_ACCOUNTS, MAX_TEXT, fixture_tests,
    number::{self, Evidence},
    parse,
};
use crate::money::Amount;

#[expect(
    clippy::disallowed_methods,
    reason = "tests are steered by the environment"
)]
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Chance from a seed that is printed when the test fails.
fn chance() -> StdRng {
    let seed = variable("SEED").unwrap_or_else(rand::random);
    println!("SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn scaled(count: u64) -> u64 {
    count * variable("PONTE_TEST_SCALE").unwrap_or(1)
}

/// What holds of every document that is accepted.
fn assert_sound(document: &Document) {
    assert!(!document.statements.is_empty() && document.statements.len() <= MAX_ACCOUNTS);
    let keys: BTreeSet<_> = document
        .statements
        .iter()
        .map(|statement| &statement.account.key)
        .collect();
    assert_eq!(keys.len(), document.statements.len());
    let text = |text: &str, longest| {
        assert!(
            !text.is_empty() && text.len() <= longest && text.trim() == text,
            "{text:?}"
        );
        assert!(!text.contains(char::is_control), "{text:?}");
    };
    let currency = |code: &str| {
        assert!(
            code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()),
            "{code}"
        );
    };
    let exact = |amount: Amount| assert_eq!(amount.to_string().parse(), Ok(amount));
    for statement in &document.statements {
        let account = &statement.account;
        text(&account.key, 2_000);
        text(&account.number, 1_000);
        currency(&account.currency_code);
        account.balance.into_iter().for_each(exact);
        assert!(statement.coverage.is_some() || statement.rows.is_empty());
        for row in &statement.rows {
            exact(row.amount);
            row.amount_in_account_currency.into_iter().for_each(exact);
            currency(&row.currency_code);
            text(&row.description, MAX_TEXT * 4);
            row.description_raw
                .iter()
                .for_each(|raw| text(raw, MAX_TEXT * 4));
            row.id
                .iter()
                .chain(&row.provider_code)
                .for_each(|id| text(id, 1_020));
            assert!(
                row.amount == Amount::ZERO
                    || row.amount.is_negative() == (row.kind == TransactionType::Debit)
            );
            let window = statement.coverage.as_ref().expect("it has rows").window;
            assert!(window.from <= row.posted_on && row.posted_on <= window.to);
        }
    }
}

fn range(rng: &mut StdRng, length: usize) -> Range<usize> {
    let start = rng.random_range(0..=length);
    start..rng.random_range(start..=length.min(start + 200))
}

/// Damages a file as bad disks, bad programs and bad people do.
fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>, others: &[(String, Vec<u8>)]) {
    const TOKENS: [&str; 24] = [
        "<",
        ">",
        "</",
        "/>",
        "&",
        "&#0;",
        "&#x85;",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "<OFX>",
        "</OFX>",
        "<STMTTRN>",
        "</STMTTRN>",
        "<TRNAMT>",
        "<CURRENCY>",
        "<STMTRS>",
        "1,234",
        "99999999999999999999",
        "\0",
        "\u{feff}",
        "\r",
        "[-5:EST]",
    ];
    match rng.random_range(0..7) {
        0 if !bytes.is_empty() => {
            let index = rng.random_range(0..bytes.len());
            bytes[index] ^= 1 << rng.random_range(0..8);
        }
        1 => bytes.truncate(rng.random_range(0..=bytes.len())),
        2 => {
            let copy = bytes[range(rng, bytes.len())].to_vec();
            let at = rng.random_range(0..=bytes.len());
            bytes.splice(at..at, copy);
        }
        3 => {
            let (_, other) = others.choose(rng).expect("there are fixtures");
            let piece = other[range(rng, other.len())].to_vec();
            let hole = range(rng, bytes.len());
            bytes.splice(hole, piece);
        }
        4 => {
            let hole = range(rng, bytes.len());
            bytes.drain(hole);
        }
        _ => {
            let token = TOKENS.choose(rng).expect("there are tokens").bytes();
            let at = rng.random_range(0..=bytes.len());
            bytes.splice(at..at, token);
        }
    }
}

#[test]
fn damaged_files_are_refused_or_read_soundly() {
    let mut rng = chance();
    let fixtures = fixture_tests::all();
    let (mut tried, mut accepted) = (0, 0);
    for _ in 0..scaled(400) {
        for (_, original) in &fixtures {
            let mut bytes = original.clone();
            for _ in 0..rng.random_range(1..6) {
                mutate(&mut rng, &mut bytes, &fixtures);
            }
            tried += 1;
            if let Ok(document) = parse(&bytes) {
                assert_sound(&document);
                accepted += 1;
            }
        }
    }
    println!("{tried} tried, {accepted} accepted");
    assert!(
        accepted > tried / 20,
        "too few get through to mean anything: {accepted} of {tried}"
    );
}

#[test]
fn noise_is_answered() {
    let mut rng = chance();
    for _ in 0..scaled(2_000) {
        let length = rng.random_range(0..2_000);
        let mut bytes: Vec<u8> = (0..length).map(|_| rng.random()).collect();
        if rng.random() {
            bytes.splice(0..0, *b"<OFX>");
            for byte in &mut bytes {
                if rng.random_ratio(1, 3) {
                    *byte = *b"<>/&;![]-ABC ".choose(&mut rng).expect("there are bytes");
                }
            }
        }
        if let Ok(document) = parse(&bytes) {
            assert_sound(&document);
        }
    }
}

#[test]
fn no_digit_of_an_accepted_amount_is_lost() {
    let mut rng = chance();
    let significant = |text: &str| {
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        digits.trim_matches('0').to_owned()
    };
    let mut accepted = 0;
    for _ in 0..scaled(50_000) {
        let length = rng.random_range(1..14);
        let text: String = (0..length)
            .map(|_| char::from(*b"+-.,' 0123456789000".choose(&mut rng).expect("bytes")))
            .collect();
        let mut evidence = Evidence::default();
        evidence.observe(["1.5", "1,5", "1"].choose(&mut rng).expect("texts"));
        if let Ok(amount) = number::amount(&text, evidence) {
            accepted += 1;
            assert_eq!(
                significant(&amount.to_string()),
                significant(&text),
                "{text}"
            );
            assert_eq!(
                amount.is_negative(),
                text.starts_with('-') && amount != Amount::ZERO,
                "{text}"
            );
        }
    }
    assert!(accepted > 1_000, "{accepted}");
}

/// How an amount may be printed; by the evidence of others, all forms are clear.
fn styles(amount: Amount) -> Vec<(String, &'static str)> {
    let plain = amount.to_string();
    let (sign, digits) = plain
        .strip_prefix('-')
        .map_or(("", plain.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').expect("two decimals at least");
    let grouped = |separator: &str| {
        let bytes: Vec<&[u8]> = whole.as_bytes().rchunks(3).rev().collect();
        let groups: Vec<_> = bytes
            .iter()
            .map(|group| String::from_utf8_lossy(group).into_owned())
            .collect();
        groups.join(separator)
    };
    vec![
        (plain.clone(), "0.5"),
        (format!("{sign}{whole},{fraction}"), "0,5"),
        (format!("{sign}{}.{fraction}", grouped(",")), "0.5"),
        (format!("{sign}{},{fraction}", grouped(".")), "0,5"),
        (format!("{sign}{},{fraction}", grouped(" ")), "0,5"),
        (format!("{sign}000{digits}000"), "0.5"),
    ]
}

#[test]
fn amounts_of_every_style_are_the_same_amount() {
    let mut rng = chance();
    for _ in 0..scaled(5_000) {
        let magnitude = 10_i64.pow(rng.random_range(0..18));
        let step = 10_i32.pow(rng.random_range(0..9));
        let nanos = rng.random_range(0..1_000_000_000) / step * step;
        let units = rng.random_range(0..=magnitude);
        let amount = Amount::from_parts(units, nanos).expect("one sign");
        let amount = if rng.random() {
            amount.checked_neg().expect("in range")
        } else {
            amount
        };
        for (text, sample) in styles(amount) {
            let mut evidence = Evidence::default();
            evidence.observe(sample);
            assert_eq!(number::amount(&text, evidence), Ok(amount), "{text}");
        }
    }
}

/// A statement before it is printed; of texts that need escapes, of any date, of any amount.
struct Movement {
    day: NaiveDate,
    amount: Amount,
    id: Option<String>,
    name: String,
    memo: Option<String>,
}

fn movement(rng: &mut StdRng) -> Movement {
    fn words(rng: &mut StdRng) -> String {
        const WORDS: [&str; 10] = [
            "Tea", "&", "<b>", "é", "]]>", "\"'", "数", "&amp;", "a;b", "1,5",
        ];
        let count = rng.random_range(1..5);
        let words: Vec<_> = (0..count)
            .map(|_| *WORDS.choose(rng).expect("there are words"))
            .collect();
        words.join(" ")
    }
    let first = NaiveDate::from_ymd_opt(1999, 12, 31).expect("a day");
    Movement {
        day: first + Days::new(rng.random_range(0..20_000)),
        amount: Amount::from_parts(rng.random_range(-99_999..99_999), 0)
            .and_then(|units| units.checked_add(Amount::from_cents(rng.random_range(-99..99))))
            .expect("in range"),
        id: rng
            .random::<bool>()
            .then(|| rng.random_range(0..50).to_string()),
        name: words(rng),
        memo: rng.random::<bool>().then(|| words(rng)),
    }
}

/// Prints statements; in SGML leaves are not closed.
fn print(accounts: &[Vec<Movement>], xml: bool) -> String {
    let leaf = |name: &str, text: &str| {
        let text = text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        if xml {
            format!("<{name}>{text}</{name}>")
        } else {
            format!("<{name}>{text}\n")
        }
    };
    let mut file = String::from("<OFX>");
    for (number, movements) in accounts.iter().enumerate() {
        let account = leaf("ACCTID", &format!("A{number}"));
        write!(
            file,
            "<STMTRS>{}<BANKACCTFROM>{account}</BANKACCTFROM><BANKTRANLIST>",
            leaf("CURDEF", "EUR")
        )
        .expect("strings take all");
        for movement in movements {
            file.push_str("<STMTTRN>");
            file.push_str(&leaf(
                "DTPOSTED",
                &movement.day.format("%Y%m%d").to_string(),
            ));
            file.push_str(&leaf("TRNAMT", &movement.amount.to_string()));
            file.push_str(&leaf("FITID", movement.id.as_deref().unwrap_or_default()));
            file.push_str(&leaf("NAME", &movement.name));
            file.push_str(&leaf("MEMO", movement.memo.as_deref().unwrap_or_default()));
            file.push_str("</STMTTRN>");
        }
        file.push_str("</BANKTRANLIST></STMTRS>");
    }
    file + "</OFX>"
}

#[test]
fn printed_statements_are_read_as_they_were_in_sgml_and_xml() {
    let mut rng = chance();
    for _ in 0..scaled(300) {
        let accounts: Vec<Vec<Movement>> = (0..rng.random_range(1..4))
            .map(|_| {
                (0..rng.random_range(0..20))
                    .map(|_| movement(&mut rng))
                    .collect()
            })
            .collect();
        let [sgml, xml] = [false, true]
            .map(|xml| parse(print(&accounts, xml).as_bytes()).expect("it is well formed"));
        assert_eq!(sgml, xml);
        assert_sound(&sgml);
        assert_eq!(sgml.statements.len(), accounts.len());
        for (statement, movements) in sgml.statements.iter().zip(&accounts) {
            assert_eq!(statement.rows.len(), movements.len());
            for (row, movement) in statement.rows.iter().zip(movements) {
                let memo = movement
                    .memo
                    .as_ref()
                    .filter(|memo| **memo != movement.name);
                assert_eq!(
                    (
                        row.posted_on,
                        row.amount,
                        &row.id,
                        &row.description,
                        row.description_raw.as_ref()
                    ),
                    (
                        movement.day,
                        movement.amount,
                        &movement.id,
                        &movement.name,
                        memo
                    )
                );
                assert_eq!(row.date.date(), movement.day);
            }
        }
    }
}

#[test]
fn a_large_file_is_read_quickly() {
    let movement = "<STMTTRN>\r\n<TRNTYPE>DEBIT\r\n<DTPOSTED>20240102120000[-5:EST]\r\n<TRNAMT>-1.25\r\n<FITID>1\r\n<NAME>Tea & cake\r\n</STMTTRN>\r\n";
    let size: usize = if scaled(1) > 1 { 20 << 20 } else { 2 << 20 };
    let count = size / movement.len();
    let file = format!(
        "<OFX><STMTRS><BANKACCTFROM><ACCTID>1</BANKACCTFROM><BANKTRANLIST>{}</BANKTRANLIST></STMTRS></OFX>",
        movement.repeat(count)
    );
    let start = Instant::now();
    let document = parse(file.as_bytes()).expect("it is well formed");
    println!("{count} movements in {:?}", start.elapsed());
    assert_eq!(document.statements[0].rows.len(), count);
}
