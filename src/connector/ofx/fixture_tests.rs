//! Real files and files of our own, each with all that is expected of it.

use std::{fmt::Write, fs, path::PathBuf};

use super::{Document, ParseError, parse};
use crate::connector::{TransactionRecord, Warning};

/// The files, those of others and ours.
pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ofx")
}

/// All fixtures with their names, in order.
pub(super) fn all() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder())
        .expect("the fixtures are there")
        .map(|file| file.expect("a folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ofx"))
        .map(|path| {
            let name = path
                .file_name()
                .expect("a file has a name")
                .to_string_lossy()
                .into_owned();
            (name, fs::read(path).expect("a fixture can be read"))
        })
        .collect();
    all.sort();
    all
}

fn read(name: &str) -> Result<Document, ParseError> {
    let files = all();
    let (_, bytes) = files.iter().find(|(file, _)| file == name).expect(name);
    parse(bytes)
}

fn row(row: &TransactionRecord) -> String {
    format!(
        "{} {} [{}] {:?} {:?} {}{} {} {} {}{}{}",
        row.posted_on,
        row.date,
        row.id.as_deref().unwrap_or("-"),
        row.description,
        row.description_raw.as_deref().unwrap_or("-"),
        row.amount,
        row.amount_in_account_currency
            .map(|amount| format!(" ({amount})"))
            .unwrap_or_default(),
        row.currency_code,
        row.kind,
        row.status,
        row.balance
            .map(|balance| format!(" balance {balance}"))
            .unwrap_or_default(),
        row.provider_code
            .as_deref()
            .map(|code| format!(" #{code}"))
            .unwrap_or_default(),
    )
}

/// Everything a document says, a line per thing.
fn print(document: &Document) -> String {
    let mut text = String::new();
    for statement in &document.statements {
        let account = &statement.account;
        let data = account.bank_data.as_ref().or(account.credit_data.as_ref());
        let balance = account
            .balance
            .map_or("-".to_owned(), |balance| balance.to_string());
        writeln!(
            text,
            "{}: {} {} ({}) {:?} {:?} {balance} {} {}",
            account.key,
            account.kind,
            account.subtype,
            account.subtype_raw.as_deref().unwrap_or("-"),
            account.number,
            account.name,
            account.currency_code,
            data.expect("one of both"),
        )
        .expect("strings take all");
        assert_eq!(
            (
                account.bank_data.is_some(),
                &account.marketing_name,
                &account.owner,
                &account.tax_number
            ),
            (account.credit_data.is_none(), &None, &None, &None)
        );
        for movement in &statement.rows {
            writeln!(text, "  {}", row(movement)).expect("strings take all");
        }
        if let Some(coverage) = &statement.coverage {
            assert_eq!(coverage.account, account.key);
            let (window, complete) = (
                coverage.window,
                if coverage.complete {
                    "complete"
                } else {
                    "incomplete"
                },
            );
            writeln!(text, "  {} to {} {complete}", window.from, window.to)
                .expect("strings take all");
        }
    }
    let mut warn = |kind: &str, warnings: &[Warning]| {
        for Warning { code, message, .. } in warnings {
            writeln!(text, "{kind}: {code} {message}").expect("strings take all");
        }
    };
    warn("accounts", &document.account_warnings);
    warn("transactions", &document.transaction_warnings);
    text
}

#[track_caller]
fn assert_file(name: &str, expected: &str) {
    let printed = print(&read(name).expect(name));
    assert_eq!(printed.trim_end(), expected.trim(), "{name}:\n{printed}");
}

#[test]
fn a_card_owes_its_negative_balance_and_has_its_available_credit() {
    assert_file(
        "anzcc.ofx",
        r#"
card/xxxx1234/b6/AUD: CREDIT CREDIT_CARD (-) "xxxx1234" "Credit card" 123.45 AUD {"availableCreditLimit":"123.45"}
  2017-05-08 2017-05-08T00:00:00.000Z [201705080001] "SOME MEMO" "-" -5.50 AUD DEBIT POSTED
  2017-03-11 to 2017-05-09 complete
"#,
    );
}

#[test]
fn a_branch_is_part_of_the_number_and_zones_move_the_instant_only() {
    assert_file(
        "bank_medium.ofx",
        r#"
bank/160000100/00/12300 000012345678/CHECKING/CAD: BANK CHECKING_ACCOUNT (CHECKING) "00/12300 000012345678" "Checking account" 682.34 CAD {"closingBalance":"382.34","transferNumber":"160000100/00/12300 000012345678"}
  2009-04-01 2009-04-01T17:20:17.000Z [0000123456782009040100001] "MCDONALD'S #112" "POS MERCHANDISE;MCDONALD'S #112" -6.60 CAD DEBIT POSTED
  2009-04-02 2009-04-02T17:20:17.000Z [0000123456782009040200004] "Joe's Bald Hairstyles" "MISCELLANEOUS PAYMENTS;Joe's Bald Hairstyles" -316.67 CAD DEBIT POSTED
  2009-04-03 2009-04-03T17:20:17.000Z [0000123456782009040300005] "CONNIE'S HAIR D" "POS MERCHANDISE;CONNIE'S HAIR D" -22.00 CAD DEBIT POSTED
  2009-04-01 to 2009-05-23 complete
"#,
    );
}

#[test]
fn available_funds_are_the_balance_of_a_bank_account() {
    assert_file(
        "checking.ofx",
        r#"
bank/5472369148//1452687~7/CHECKING/USD: BANK CHECKING_ACCOUNT (CHECKING) "1452687~7" "Checking account" 75.99 USD {"closingBalance":"100.99","transferNumber":"5472369148/1452687~7"}
  2011-03-31 2011-03-31T12:00:00.000Z [0000486] "DIVIDEND EARNED FOR PERIOD OF 03" "DIVIDEND EARNED FOR PERIOD OF 03/01/2011 THROUGH 03/31/2011 ANNUAL PERCENTAGE YIELD EARNED IS 0.05%" 0.01 USD CREDIT POSTED
  2011-04-05 2011-04-05T12:00:00.000Z [0000487] "AUTOMATIC WITHDRAWAL, ELECTRIC BILL" "AUTOMATIC WITHDRAWAL, ELECTRIC BILL WEB(S )" -34.51 USD DEBIT POSTED
  2011-04-07 2011-04-07T12:00:00.000Z [0000488] "RETURNED CHECK FEE, CHECK # 319" "RETURNED CHECK FEE, CHECK # 319 FOR $45.33 ON 04/07/11" -25.00 USD DEBIT POSTED #319
  2000-01-01 to 2013-05-25 complete
"#,
    );
}

#[test]
fn an_empty_balance_is_none_and_a_row_outside_widens_the_days() {
    assert_file(
        "empty_balance.ofx",
        r#"
bank/123845030//192639749/CHECKING/CAD: BANK CHECKING_ACCOUNT (CHECKING) "192639749" "Checking account" - CAD {"transferNumber":"123845030/192639749"}
  2011-03-08 2011-03-08T02:00:00.000Z [2000957249] "Foobar" "-" 120.00 CAD CREDIT POSTED
  2011-03-08 to 2011-06-14 complete
"#,
    );
}

#[test]
fn padded_amounts_of_four_decimals_are_exact() {
    assert_file(
        "fidelity-savings.ofx",
        r#"
investment/fidelity.com/X0000001/USD: BANK UNKNOWN (-) "X0000001" "Investment account" - USD {}
  2012-07-20 2012-07-20T04:00:00.000Z [X0000000000000000000001] "Check Paid #0000001001" "-" -1500.00 USD DEBIT POSTED #0000001001
  2012-07-27 2012-07-27T04:00:00.000Z [X0000000000000000000002] "TRANSFERRED FROM     VS X10-08144" "TRANSFERRED FROM     VS X10-08144-1" 115.8331 USD CREDIT POSTED
  2012-07-27 2012-07-27T04:00:00.000Z [X0000000000000000000003] "BILL PAYMENT         CITICORP CH" "BILL PAYMENT         CITICORP CHOICE          /0001/N********" -197.1063 USD DEBIT POSTED
  2012-07-27 2012-07-27T04:00:00.000Z [X0000000000000000000004] "DIRECT               DEBIT HOMES" "DIRECT               DEBIT HOMESTREET LS LOAN PMT" -197.122 USD DEBIT POSTED
  2012-07-10 to 2012-09-08 complete
"#,
    );
}

#[test]
fn a_foreign_amount_is_converted_when_the_product_is_exact() {
    assert_file(
        "investment_medium.ofx",
        r#"
investment/404/ABC123/CAD: BANK UNKNOWN (-) "ABC123" "Investment account" 1.00 CAD {}
  2009-12-15 2009-12-16T00:20:00.000Z [20091215.U489357.e.USD.1510480481] "CASH TRADE: AUD.USD" "-" -3.65 (-3.869) USD DEBIT POSTED
  2009-12-15 2009-12-16T00:20:00.000Z [20091215.U489357.e.USD.1510982018] "CASH TRADE: AUD.USD" "-" 3.35 (3.551) USD CREDIT POSTED
  2009-12-15 2009-12-16T00:20:00.000Z [20091215.U489357.e.USD.1511863617] "CASH TRADE: AUD.USD" "-" -3.65 (-3.869) USD DEBIT POSTED
  2009-12-14 to 2009-12-15 complete
"#,
    );
}

#[test]
fn accounts_without_movements_cover_nothing() {
    assert_file(
        "multiple_accounts.ofx",
        r#"
bank/123/00/9100/CHECKING/USD: BANK CHECKING_ACCOUNT (CHECKING) "00/9100" "Checking account" 111.00 USD {"closingBalance":"111.00","transferNumber":"123/00/9100"}
bank/123/00/9200/SAVINGS/USD: BANK SAVINGS_ACCOUNT (SAVINGS) "00/9200" "Savings account" 222.00 USD {"closingBalance":"222.00","transferNumber":"123/00/9200"}
"#,
    );
}

#[test]
fn without_its_own_currency_an_account_has_none_and_its_rows_have_theirs() {
    assert_file(
        "ofx-v102-empty-tags.ofx",
        r#"
bank/NPBS//12345678//XXX: BANK UNKNOWN (-) "12345678" "Bank account" - XXX {"transferNumber":"NPBS/12345678"}
  2018-05-07 2018-05-07T00:00:00.000Z [-] "CBA:Transfer" "-" 12.34 AUD CREDIT POSTED
  2018-05-06 to 2018-08-04 complete
"#,
    );
}

#[test]
fn text_in_cdata_is_trimmed() {
    assert_file(
        "suncorp.ofx",
        r#"
bank/SUNCORP//123456789/CHECKING/AUD: BANK CHECKING_ACCOUNT (CHECKING) "123456789" "Checking account" 1234.12 AUD {"closingBalance":"1234.12","transferNumber":"SUNCORP/123456789"}
  2013-12-15 2013-12-15T00:00:00.000Z [1] "EFTPOS WDL HANDYWAY ALDI STORE" "EFTPOS WDL HANDYWAY ALDI STORE   GEELONG WEST VICAU" -16.85 AUD DEBIT POSTED
  2013-06-18 to 2013-12-15 complete
"#,
    );
}

#[test]
fn a_file_with_decimal_commas_groups_thousands_with_points() {
    assert_file(
        "decimal-comma.ofx",
        r#"
bank/0341/1234/56789-0/CHECKING/BRL: BANK CHECKING_ACCOUNT (Checking) "1234/56789-0" "Checking account" -12.50 BRL {"closingBalance":"-12.50","transferNumber":"0341/1234/56789-0"}
  2024-01-05 2024-01-05T13:00:00.000Z [20240105001] "SALÁRIO – PAGAMENTO" "-" 1234.56 BRL CREDIT POSTED #77
  2024-01-06 2024-01-06T13:00:00.000Z [20240106001] "PADARIA PÃO & CIA" "-" -1500.00 BRL DEBIT POSTED
  2024-01-07 2024-01-07T13:00:00.000Z [20240106001] "TARIFA" "ISENÇÃO DE TARIFA" 0.00 BRL DEBIT POSTED
  2024-01-01 to 2024-01-31 complete
"#,
    );
}

#[test]
fn valid_utf8_is_read_as_such_and_a_converted_amount_is_not_converted_again() {
    assert_file(
        "wrong-charset.ofx",
        r#"
card/xxxx7890/db/EUR: CREDIT CREDIT_CARD (-) "xxxx7890" "Credit card" 44.75 EUR {}
  2024-01-10 2024-01-10T00:00:00.000Z [A1] "Café de l'Île & Fils" "-" -20.00 CHF DEBIT POSTED
  2024-01-11 2024-01-11T00:00:00.000Z [A2] "Hotel" "-" -30.00 EUR DEBIT POSTED
  2024-01-12 2024-01-12T00:00:00.000Z [A3] "Retour" "-" 5.25 (7.875) GBP CREDIT POSTED
  2024-01-13 2024-01-13T00:00:00.000Z [A4] "Œuvre" "-" 1.00 EUR CREDIT POSTED
  2024-01-10 to 2024-01-31 incomplete
"#,
    );
}

#[test]
fn one_file_may_hold_everything_and_an_account_twice() {
    assert_file(
        "everything-utf16.ofx",
        r#"
bank/ŁÓDŹ%2F1//PL61/SAVINGS/PLN: BANK SAVINGS_ACCOUNT (SAVINGS) "PL61" "Savings account" 107.00 PLN {"closingBalance":"107.00","transferNumber":"ŁÓDŹ/1/PL61"}
  2024-02-15 2024-02-15T00:00:00.000Z [-] "Luty" "-" 7.00 PLN CREDIT POSTED
  2024-01-15 2024-01-15T00:00:00.000Z [-] "Styczeń" "-" 100.00 PLN CREDIT POSTED
  2024-01-01 to 2024-02-29 complete
card/xxxx4444/2f/PLN: CREDIT CREDIT_CARD (-) "xxxx4444" "Credit card" 0.00 PLN {}
investment/b.example/Z9/USD: BANK UNKNOWN (-) "Z9" "Investment account" 12.34 USD {}
  2024-01-20 2024-01-20T00:00:00.000Z [-] "Fee" "-" -0.01 USD DEBIT POSTED
  2024-01-01 to 2024-01-31 complete
accounts: MESSAGES_NOT_IMPORTED LOANMSGSRSV1 is not imported.
accounts: INVESTMENTS_NOT_IMPORTED Positions and trades are not imported, only the movements of cash.
transactions: PENDING_NOT_IMPORTED Movements that the institution has not posted yet are not imported.
"#,
    );
}

#[test]
fn files_that_are_wrong_say_where() {
    for (name, line, message, provider_message) in [
        (
            "signon_fail.ofx",
            11,
            "the institution answered with error 15500 instead of a statement",
            Some(
                "Your request could not be processed because you supplied an invalid identification code or your password \
                 was incorrect",
            ),
        ),
        (
            "error_message.ofx",
            22,
            "the institution answered with error 2000 instead of a statement",
            Some("General Server Error"),
        ),
        (
            "decimal_error.ofx",
            36,
            "DTPOSTED \"201120000000\" is not a date (account 1)",
            None,
        ),
        (
            "date_missing.ofx",
            33,
            "STMTTRN has no DTPOSTED (account 1)",
            None,
        ),
    ] {
        assert_eq!(
            read(name),
            Err(ParseError {
                line,
                message: message.to_owned(),
                provider_message: provider_message.map(str::to_owned),
            })
        );
    }
}

#[test]
fn every_fixture_is_named_here() {
    let source = include_str!("fixture_tests.rs");
    for (name, _) in all() {
        assert!(source.contains(&format!("\"{name}\"")), "{name}");
    }
}

/// A bank statement with one movement of these elements.
fn statement(account: &str, movement: &str) -> String {
    format!(
        "<OFX><STMTRS><CURDEF>EUR{account}<BANKTRANLIST><STMTTRN>{movement}</STMTTRN></BANKTRANLIST></STMTRS></OFX>"
    )
}

const ACCOUNT: &str = "<BANKACCTFROM><ACCTID>1</BANKACCTFROM>";

#[test]
fn movements_of_every_kind() {
    for (movement, printed) in [
        // The first text that says something describes it.
        (
            "<NAME><PAYEE><NAME>P</PAYEE><MEMO>M",
            r#"[-] "P" "M" -1.00 EUR DEBIT POSTED"#,
        ),
        ("<PAYEE>P<MEMO>P", r#"[-] "P" "-" -1.00 EUR DEBIT POSTED"#),
        ("<MEMO>M", r#"[-] "M" "-" -1.00 EUR DEBIT POSTED"#),
        (
            "<TRNTYPE>check",
            r#"[-] "CHECK" "-" -1.00 EUR DEBIT POSTED"#,
        ),
        ("", r#"[-] "OTHER" "-" -1.00 EUR DEBIT POSTED"#),
        // Codes.
        (
            "<FITID>F<CHECKNUM>000<REFNUM>R1",
            r#"[F] "OTHER" "-" -1.00 EUR DEBIT POSTED #R1"#,
        ),
        (
            "<CHECKNUM>0012<REFNUM>R1",
            r#"[-] "OTHER" "-" -1.00 EUR DEBIT POSTED #0012"#,
        ),
        (
            "<CHECKNUM>0<REFNUM>00",
            r#"[-] "OTHER" "-" -1.00 EUR DEBIT POSTED"#,
        ),
        // Currencies.
        ("<CURRENCY>USD", r#"[-] "OTHER" "-" -1.00 USD DEBIT POSTED"#),
        (
            "<CURRENCY><CURSYM>usd<CURRATE>0.5</CURRENCY>",
            r#"[-] "OTHER" "-" -1.00 (-0.50) USD DEBIT POSTED"#,
        ),
        (
            "<CURRENCY><CURSYM>U$<CURRATE>0.5</CURRENCY>",
            r#"[-] "OTHER" "-" -1.00 EUR DEBIT POSTED"#,
        ),
        (
            "<CURRENCY><CURRATE><CURSYM></CURRENCY>",
            r#"[-] "OTHER" "-" -1.00 EUR DEBIT POSTED"#,
        ),
    ] {
        let file = statement(ACCOUNT, &format!("<DTPOSTED>20240102<TRNAMT>-1{movement}"));
        let document = parse(file.as_bytes()).expect(movement);
        let prefix = "2024-01-02 2024-01-02T00:00:00.000Z ";
        assert_eq!(
            row(&document.statements[0].rows[0]),
            format!("{prefix}{printed}"),
            "{movement}"
        );
    }
    for (kind, printed) in [
        ("FEE", "DEBIT"),
        ("pos", "DEBIT"),
        ("DEP", "CREDIT"),
        ("", "CREDIT"),
    ] {
        let file = statement(
            ACCOUNT,
            &format!("<DTPOSTED>20240102<TRNAMT>-0.00<TRNTYPE>{kind}</TRNTYPE>"),
        );
        let document = parse(file.as_bytes()).expect(kind);
        assert_eq!(
            document.statements[0].rows[0].kind.to_string(),
            printed,
            "{kind}"
        );
    }
}

#[test]
fn the_number_of_a_card_is_nowhere_but_its_last_digits() {
    let number = "4111 1111 1111 1111";
    let file = statement(
        &format!("<CCACCTFROM><ACCTID>{number}</CCACCTFROM>"),
        "<DTPOSTED>20240102<TRNAMT>1",
    );
    let document = parse(file.as_bytes()).expect("a good file");
    assert_eq!(document.statements[0].account.number, "xxxx1111");
    let shown = format!("{document:?}");
    assert!(
        !shown.contains(number) && !shown.contains("11111"),
        "{shown}"
    );
}

#[test]
fn two_cards_of_the_same_last_digits_are_two_accounts() {
    let card = |number| {
        format!("<CCSTMTRS><CURDEF>EUR<CCACCTFROM><ACCTID>{number}</CCACCTFROM></CCSTMTRS>")
    };
    let keys: Vec<_> = parse(
        format!(
            "<OFX>{}{}</OFX>",
            card("4111111111111111"),
            card("5555555555551111")
        )
        .as_bytes(),
    )
    .expect("a good file")
    .statements
    .into_iter()
    .map(|statement| statement.account.key)
    .collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
}

#[test]
fn what_cannot_be_imported_exactly_is_refused() {
    let long = "x".repeat(256);
    for (account, movement, message) in [
        ("", "", "the account is not named (account 1)"),
        (
            "<BANKACCTFROM><ACCTID></BANKACCTFROM>",
            "",
            "BANKACCTFROM has no ACCTID (account 1)",
        ),
        (
            &format!("<BANKACCTFROM><ACCTID>{long}</BANKACCTFROM>"),
            "",
            "ACCTID is longer than 64 characters (account 1)",
        ),
        (
            ACCOUNT,
            "<DTPOSTED>20240102",
            "STMTTRN has no TRNAMT (account 1)",
        ),
        (
            ACCOUNT,
            "<DTPOSTED>20240102<TRNAMT>1<DTPOSTED>20240103<TRNAMT>2",
            "STMTTRN has more than one DTPOSTED (account 1)",
        ),
        (
            ACCOUNT,
            "<DTPOSTED>20240102<TRNAMT>$1",
            "TRNAMT \"$1\" is not an amount (account 1)",
        ),
        (
            ACCOUNT,
            "<DTPOSTED>20240102<TRNAMT>1,234",
            "TRNAMT \"1,234\" can be read with thousands or with decimals (account 1)",
        ),
        (
            ACCOUNT,
            "<DTPOSTED>20240102<TRNAMT>0.0123456789",
            "TRNAMT \"0.0123456789\" has more than nine decimals or is out of range (account 1)",
        ),
        (
            ACCOUNT,
            "<DTPOSTED>2024010212345678901234567890123456789012345678901234<TRNAMT>1",
            "DTPOSTED \"2024010212345678901234567890123456789012\"… is not a date (account 1)",
        ),
        (
            ACCOUNT,
            &format!("<DTPOSTED>20240102<TRNAMT>1<FITID>{long}"),
            "FITID is longer than 255 characters (account 1)",
        ),
    ] {
        let error = parse(statement(account, movement).as_bytes()).expect_err(message);
        assert_eq!((error.line, error.message.as_str()), (1, message));
    }
    let accounts: Vec<_> = (0..=super::MAX_ACCOUNTS)
        .map(|number| format!("<STMTRS><BANKACCTFROM><ACCTID>{number}</BANKACCTFROM></STMTRS>\n"))
        .collect();
    let accounts = accounts.concat();
    let error = parse(format!("<OFX>\n{accounts}</OFX>").as_bytes()).expect_err("one too many");
    assert_eq!(
        error.to_string(),
        "line 1002: there are more than 1000 accounts (account 1001)"
    );
    let error = parse(b"<OFX><SIGNONMSGSRSV1></SIGNONMSGSRSV1></OFX>").expect_err("no statement");
    assert_eq!(
        error.to_string(),
        "line 1: the file holds no statement of an account"
    );
}

#[test]
fn movements_are_imported_wherever_they_are_in_a_statement_and_nowhere_else() {
    let movement = "<STMTTRN><DTPOSTED>20240102<TRNAMT>1</STMTTRN>";
    let rows = |file: &str| {
        let document = parse(file.as_bytes()).map_err(|error| error.message)?;
        Ok(document.statements[0].rows.len())
    };
    let list = format!("<BANKTRANLIST>{movement}</BANKTRANLIST>");
    for (file, answer) in [
        (
            format!("<OFX><STMTRS>{ACCOUNT}{list}{movement}{list}</STMTRS></OFX>"),
            Ok(3),
        ),
        (
            format!("<OFX><STMTRS>{ACCOUNT}<X>{list}</X></STMTRS></OFX>"),
            Ok(1),
        ),
        (
            format!("<OFX><STMTRS>{ACCOUNT}{list}</STMTRS>{movement}</OFX>"),
            Err("STMTTRN is outside of a statement".to_owned()),
        ),
        (
            format!("<OFX><STMTRS>{ACCOUNT}{list}<STMTRS>{ACCOUNT}{list}</STMTRS></STMTRS></OFX>"),
            Err("one statement is inside of another (account 1)".to_owned()),
        ),
        (
            format!("<OFX><STMTRS>{ACCOUNT}<BANKTRANLIST>{movement}</STMTRS></OFX>"),
            Err("<BANKTRANLIST> is not closed".to_owned()),
        ),
    ] {
        assert_eq!(rows(&file), answer, "{file}");
    }
}

#[test]
fn days_are_those_stated_and_those_of_the_movements() {
    let covered = |days: &str, movements: &[&str]| {
        let movements: Vec<_> = movements
            .iter()
            .map(|day| format!("<STMTTRN><DTPOSTED>{day}<TRNAMT>1</STMTTRN>"))
            .collect();
        let list = format!("<BANKTRANLIST>{days}{}</BANKTRANLIST>", movements.concat());
        let file = format!("<OFX><STMTRS>{ACCOUNT}{list}</STMTRS></OFX>");
        let mut document = parse(file.as_bytes()).expect(days);
        let coverage = document.statements.remove(0).coverage?;
        Some(format!(
            "{} {} {}",
            coverage.window.from, coverage.window.to, coverage.complete
        ))
    };
    for (days, movements, expected) in [
        (
            "<DTSTART>20240101<DTEND>20240131",
            &[][..],
            Some("2024-01-01 2024-01-31 true"),
        ),
        (
            "<DTSTART>20240101<DTEND>20240131",
            &["20240202", "20231231"],
            Some("2023-12-31 2024-02-02 true"),
        ),
        (
            "<DTSTART>20240101<DTEND>",
            &["20240102"],
            Some("2024-01-01 2024-01-02 false"),
        ),
        (
            "<DTSTART>20240101<DTEND>99991231",
            &["20240102"],
            Some("2024-01-01 2024-01-02 false"),
        ),
        ("<DTEND>20240131", &[], Some("2024-01-31 2024-01-31 false")),
        (
            "<DTSTART>20240131<DTEND>20240101",
            &["20240202", "20240201"],
            Some("2024-02-01 2024-02-02 false"),
        ),
        (
            "",
            &["20240202", "20240201"],
            Some("2024-02-01 2024-02-02 false"),
        ),
        ("", &[], None),
    ] {
        assert_eq!(
            covered(days, movements).as_deref(),
            expected,
            "{days} {movements:?}"
        );
    }
}
