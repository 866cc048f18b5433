//! Statements of the made-up accounts: a PDF for each month, issued once all of its movements have settled.

use bytes::Bytes;
use chrono::{Days, Months, NaiveDate};
use encoding_rs::WINDOWS_1252;
use entity::kind::TransactionStatus;
use pdf_writer::{Content, Finish as _, Name, Pdf, Rect, Ref, Str};

use super::{
    data::Bank,
    edited,
    ledger::{Book, first_of_month},
};
use crate::{
    connector::{AccountRecord, Laboratory, StatementRecord, TransactionRecord, Window},
    money::Amount,
};

/// How many months the bank has statements of.
const MONTHS: u32 = 6;

/// A4, in points.
const PAGE: Rect = Rect {
    x1: 0.0,
    y1: 0.0,
    x2: 595.0,
    y2: 842.0,
};
const MARGIN: f32 = 48.0;
const FONT: Name<'static> = Name(b"F1");
const FONT_SIZE: f32 = 8.0;
const LEADING: f32 = 11.0;
const LINES_OF_A_PAGE: usize = 66;
/// Columns of a line that the text of a movement has.
const TEXT_WIDTH: usize = 60;

/// The months inside of a window of which there are statements, each by its first day.
pub(super) fn months(bank: &Bank, window: Window) -> impl Iterator<Item = NaiveDate> {
    let this = first_of_month(bank.today());
    let settled_to = bank.settled_to();
    (1..=MONTHS)
        .rev()
        .map(move |back| this - Months::new(back))
        .filter(move |month| (window.from..=window.to).contains(month))
        .filter(move |month| last_of_month(*month) <= settled_to)
}

/// The statement of an account for a month.
pub(super) fn issue(
    bank: &Bank,
    account: &AccountRecord,
    book: Book,
    month: NaiveDate,
    laboratory: &Laboratory,
) -> StatementRecord {
    let window = Window {
        from: month,
        to: last_of_month(month),
    };
    let rows = bank.transactions(book, window);
    let mut rows: Vec<_> = edited(laboratory, &account.key, window, rows)
        .filter(|row| row.status == TransactionStatus::Posted)
        .collect();
    rows.sort_by_key(|row| row.posted_on);
    let before = Window {
        from: NaiveDate::MIN,
        to: month - Days::new(1),
    };
    let changed = laboratory.difference(&account.key, before, before.to);
    let opening = changed.and_then(|changed| bank.opening(book, month).checked_add(changed).ok());
    StatementRecord {
        key: month.format("%Y-%m").to_string(),
        month,
        contents: Bytes::from(print(&lines(account, month, opening, &rows))),
    }
}

fn last_of_month(month: NaiveDate) -> NaiveDate {
    month + Months::new(1) - Days::new(1)
}

fn lines(
    account: &AccountRecord,
    month: NaiveDate,
    opening: Option<Amount>,
    rows: &[TransactionRecord],
) -> Vec<String> {
    let told = |value: &Option<String>| value.clone().unwrap_or_default();
    let shown = |balance: Option<Amount>| balance.map_or_else(String::new, |it| it.to_string());
    let mut lines = vec![
        "PONTE BANK - EXTRATO DE CONTA".to_owned(),
        String::new(),
        format!(
            "Titular  {}  {}",
            told(&account.owner),
            told(&account.tax_number)
        ),
        format!("Conta    {}  {}", account.number, account.name),
        format!(
            "Período  {} a {}",
            month.format("%d/%m/%Y"),
            last_of_month(month).format("%d/%m/%Y")
        ),
        String::new(),
        format!(
            "{:<10}  {:<TEXT_WIDTH$}  {:>12}  {:>12}",
            "Data", "Histórico", "Valor", "Saldo"
        ),
        format!(
            "{:<10}  {:<TEXT_WIDTH$}  {:>12}  {:>12}",
            "",
            "SALDO ANTERIOR",
            "",
            shown(opening)
        ),
    ];
    let mut balance = opening;
    for row in rows {
        balance = balance.and_then(|balance| balance.checked_add(row.amount).ok());
        let text: String = row.description.chars().take(TEXT_WIDTH).collect();
        let (day, amount) = (row.posted_on.format("%d/%m/%Y"), row.amount.to_string());
        lines.push(format!(
            "{day:<10}  {text:<TEXT_WIDTH$}  {amount:>12}  {:>12}",
            shown(balance)
        ));
    }
    lines.push(format!(
        "{:<10}  {:<TEXT_WIDTH$}  {:>12}  {:>12}",
        "",
        "SALDO FINAL",
        "",
        shown(balance)
    ));
    lines
}

/// Prints lines onto pages.
fn print(lines: &[String]) -> Vec<u8> {
    let (catalog, tree, font) = (Ref::new(1), Ref::new(2), Ref::new(3));
    let pages: Vec<&[String]> = lines.chunks(LINES_OF_A_PAGE).collect();
    let place = |n: usize| 4 + 2 * i32::try_from(n).unwrap_or(0);
    let of_page = |n: usize| (Ref::new(place(n)), Ref::new(place(n) + 1));
    let mut pdf = Pdf::new();
    pdf.catalog(catalog).pages(tree);
    let kids = (0..pages.len()).map(|n| of_page(n).0);
    pdf.pages(tree)
        .kids(kids)
        .count(i32::try_from(pages.len()).unwrap_or(0));
    let courier = Name(b"Courier");
    let encoding = Name(b"WinAnsiEncoding");
    pdf.type1_font(font)
        .base_font(courier)
        .encoding_predefined(encoding);
    for (n, lines) in pages.iter().enumerate() {
        let (page, contents) = of_page(n);
        let mut written = pdf.page(page);
        written.parent(tree).media_box(PAGE).contents(contents);
        written.resources().fonts().pair(FONT, font);
        written.finish();
        let mut content = Content::new();
        content
            .begin_text()
            .set_font(FONT, FONT_SIZE)
            .set_leading(LEADING);
        content.next_line(MARGIN, PAGE.y2 - MARGIN);
        for line in *lines {
            let (encoded, _, _) = WINDOWS_1252.encode(line);
            content.show(Str(&encoded)).next_line_using_leading();
        }
        content.end_text();
        pdf.stream(contents, &content.finish());
    }
    pdf.finish()
}
