//! What is written into the books of the made-up bank, day by day.
//!
//! The rows of a day follow from the seed and the day alone, and say how they look while they are young. So that a
//! history without beginning neither drifts nor has to be summed up from its start, every month of a checking account
//! opens with an amount of its own, and a movement into or out of savings on the last day leads to the next one; the
//! card's bill closes on one day of the month and is paid in full, from the first checking account, on another.

use chrono::{Datelike, Days, Months, NaiveDate};

use super::dice::Seed;

/// Days until a movement settles.
pub(super) const SETTLES_AFTER: i64 = 2;
/// Day of the month on which the card's bill closes.
pub(super) const CLOSES_ON: u32 = 3;
/// Day of the month on which the card's bill is paid.
pub(super) const DUE_ON: u32 = 10;

/// Cents of one real.
pub(super) const REAL: i64 = 100;

const TURNS: u64 = u64::from_be_bytes(*b"turns   ");
const OPENING: u64 = u64::from_be_bytes(*b"opening ");
const HABITS: u64 = u64::from_be_bytes(*b"habits  ");
const ENERGY: u64 = u64::from_be_bytes(*b"energy  ");
const SPENDING: u64 = u64::from_be_bytes(*b"spending");
const PURCHASES: u64 = u64::from_be_bytes(*b"purchase");
const INSTALMENTS: u64 = u64::from_be_bytes(*b"instalm ");
const HOLDS: u64 = u64::from_be_bytes(*b"holds   ");
const ABROAD: u64 = u64::from_be_bytes(*b"abroad  ");
const CASH: u64 = u64::from_be_bytes(*b"cash    ");

/// Day of the month on which the fee for the card is charged.
const FEE_ON: u32 = 8;
/// Day of the month on which savings are paid in; their yield comes on the first.
const SAVES_ON: u32 = 6;
/// Day of every third month on which the card is used for cash.
const CASH_ON: u32 = 18;
/// Day of the month of a purchase abroad.
const ABROAD_ON: u32 = 20;
/// What is paid into savings every month, and what they yield.
const SAVED: i64 = 200 * REAL;
const YIELD: i64 = 11 * REAL + 37;
/// What savings had before the first month that is counted.
const SAVINGS_BEGIN: i64 = 1_500 * REAL;
/// Hundredths of a percent that the tax on purchases abroad is.
const TAX_ABROAD: i64 = 338;

const MONTHS_OF_INSTALMENTS: i64 = 10;

/// Short text, completed text, least and most reais; negative ones leave the account.
const MOVEMENTS: [(&str, &str, i64, i64); 12] = [
    (
        "COMPRA DEBITO",
        "COMPRA DEBITO SUPERMERCADO EXTRA SAO PAULO",
        -320,
        -45,
    ),
    (
        "COMPRA DEBITO",
        "COMPRA DEBITO PAO DE ACUCAR SAO PAULO",
        -260,
        -38,
    ),
    ("COMPRA DEBITO", "COMPRA DEBITO PADARIA BELA VISTA", -48, -9),
    (
        "COMPRA DEBITO",
        "COMPRA DEBITO FARMACIA SAO JOAO",
        -140,
        -15,
    ),
    (
        "PIX ENVIADO",
        "PIX ENVIADO MARIA APARECIDA SOUZA",
        -220,
        -15,
    ),
    ("PIX ENVIADO", "PIX ENVIADO JOSE CARLOS LIMA", -180, -20),
    ("PIX ENVIADO", "PIX ENVIADO MERCADINHO DO ZE LTDA", -90, -8),
    ("PIX RECEBIDO", "PIX RECEBIDO PEDRO HENRIQUE ALVES", 20, 280),
    ("PIX RECEBIDO", "PIX RECEBIDO LUCIA HELENA MARTINS", 15, 190),
    ("TED ENVIADA", "TED ENVIADA COLEGIO SANTA CRUZ", -480, -240),
    ("SAQUE", "SAQUE BANCO24HORAS SHOPPING PAULISTA", -300, -50),
    (
        "PAGAMENTO DE BOLETO",
        "PAGAMENTO DE BOLETO SABESP",
        -160,
        -60,
    ),
];

/// Short text, settled text, least and most reais.
const MERCHANTS: [(&str, &str, i64, i64); 10] = [
    ("UBER TRIP", "UBER *TRIP SAO PAULO", 9, 64),
    ("IFOOD", "IFOOD *RESTAURANTE SAO PAULO", 28, 130),
    ("99 APP", "99 APP *CORRIDA SAO PAULO", 8, 55),
    ("AMAZON BR", "AMAZON BR SAO PAULO", 35, 380),
    ("MERCADOLIVRE", "MERCADOLIVRE *LOJA OSASCO", 25, 420),
    ("DROGA RAIA", "DROGA RAIA 1432 SAO PAULO", 14, 160),
    ("POSTO SHELL", "POSTO SHELL MARGINAL SAO PAULO", 80, 260),
    ("CARREFOUR", "CARREFOUR HIPER OSASCO", 60, 480),
    ("NETFLIX", "NETFLIX.COM SAO PAULO", 20, 60),
    ("CINEMARK", "CINEMARK SHOPPING ELDORADO", 30, 120),
];

const SHOPS: [&str; 3] = ["MAGAZINE LUIZA", "CASAS BAHIA", "FAST SHOP"];

/// What is written into one of the bank's books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Book {
    /// A checking account, counted from 0.
    Checking(u8),
    /// The card.
    Card,
    /// The savings.
    Savings,
}

impl Book {
    /// A subject of dice that this book shares with no other.
    pub(super) fn subject(self, subject: u64) -> u64 {
        let own = match self {
            Self::Checking(which) => 1 + u64::from(which),
            Self::Card => 0,
            Self::Savings => 1 << 16,
        };
        subject.rotate_left(8).wrapping_add(own)
    }
}

/// A movement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The holder's view, in cents.
    pub(super) cents: i64,
    /// Its text in the end.
    pub(super) text: String,
    /// Its text while it is younger than some days.
    pub(super) young: Option<(i64, String)>,
    /// The age in days at which it is gone, if it never settles.
    pub(super) gone_at: Option<i64>,
    /// The holder's view in cents of a dollar, if it was made in dollars.
    pub(super) dollars: Option<i64>,
}

impl Row {
    fn settled(cents: i64, text: impl Into<String>) -> Self {
        Self {
            cents,
            text: text.into(),
            young: None,
            gone_at: None,
            dollars: None,
        }
    }

    fn of_card(cents: i64, short: &str, text: impl Into<String>) -> Self {
        Self {
            young: Some((SETTLES_AFTER, format!("PENDENTE - {short}"))),
            ..Self::settled(cents, text)
        }
    }

    /// The text at an age in days.
    pub(super) fn text_at(&self, age: i64) -> &str {
        match &self.young {
            Some((until, young)) if age < *until => young,
            _ => &self.text,
        }
    }
}

/// Everything that is ever written into a book on a day, in order.
pub(super) fn rows(seed: Seed, book: Book, day: NaiveDate) -> Vec<Row> {
    match book {
        Book::Checking(which) => {
            let mut rows = checking_rows(seed, which, day);
            let next = next_month(day);
            if day + Days::new(1) == next {
                let first = first_of_month(day);
                let moved: i64 = days(first, day)
                    .flat_map(|day| checking_rows(seed, which, day))
                    .map(|row| row.cents)
                    .sum();
                let missing = opening(seed, book, next) - opening(seed, book, first) - moved;
                rows.extend(match missing {
                    0 => None,
                    ..0 => Some(Row::settled(missing, "APLICACAO CDB PONTE")),
                    1.. => Some(Row::settled(missing, "RESGATE CDB PONTE")),
                });
            }
            rows.extend(hold(seed, book, day));
            rows
        }
        Book::Card => {
            let mut rows = Vec::new();
            if day.day() == DUE_ON {
                rows.push(Row::of_card(
                    bill(seed, day),
                    "PAGAMENTO RECEBIDO",
                    "PAGAMENTO RECEBIDO OBRIGADO",
                ));
            }
            rows.extend(purchases(seed, day));
            rows
        }
        Book::Savings => match day.day() {
            1 => vec![Row::settled(YIELD, "RENDIMENTO POUPANCA")],
            SAVES_ON => vec![Row::settled(SAVED, "DEPOSITO POUPANCA")],
            _ => Vec::new(),
        },
    }
}

/// What is in the savings before a day, in cents.
pub(super) fn saved_before(day: NaiveDate) -> i64 {
    let months = month_number(day) - 2_000 * 12;
    let yields = months + i64::from(day.day() > 1);
    let deposits = months + i64::from(day.day() > SAVES_ON);
    SAVINGS_BEGIN + yields * YIELD + deposits * SAVED
}

/// The day on which the bill closes that a movement of a day is on.
pub(super) fn closes(day: NaiveDate) -> NaiveDate {
    let month = if day.day() <= CLOSES_ON {
        first_of_month(day)
    } else {
        next_month(day)
    };
    month + Days::new(u64::from(CLOSES_ON - 1))
}

/// What the bank knows the bill by that closes on a day.
pub(super) fn bill_key(closes: NaiveDate) -> String {
    closes.format("bill-%Y-%m").to_string()
}

/// The movements on the bill that closes on a day, up to another day.
pub(super) fn on_bill(
    seed: Seed,
    closes: NaiveDate,
    to: NaiveDate,
) -> impl Iterator<Item = (NaiveDate, Row)> {
    let from = first_of_month(closes) - Months::new(1) + Days::new(u64::from(CLOSES_ON));
    days(from, closes.min(to))
        .flat_map(move |day| purchases(seed, day).into_iter().map(move |row| (day, row)))
}

/// What a checking account opens a month with, in cents.
pub(super) fn opening(seed: Seed, book: Book, month: NaiveDate) -> i64 {
    seed.dice(book.subject(OPENING), month_number(month))
        .between(3_000 * REAL, 6_000 * REAL)
}

/// What is owed on the card once everything up to a day has settled, in cents.
pub(super) fn owed(seed: Seed, settled_to: NaiveDate) -> i64 {
    let month = first_of_month(settled_to);
    let last_paid_month = if settled_to.day() >= DUE_ON {
        month
    } else {
        month - Months::new(1)
    };
    let unpaid_from = last_paid_month + Days::new(u64::from(CLOSES_ON));
    spent(seed, unpaid_from, settled_to)
}

/// The bill that closes in the month of a day, in cents.
pub(super) fn bill(seed: Seed, day: NaiveDate) -> i64 {
    let month = first_of_month(day);
    let closed = month + Days::new(u64::from(CLOSES_ON - 1));
    let from = month - Months::new(1) + Days::new(u64::from(CLOSES_ON));
    spent(seed, from, closed)
}

fn spent(seed: Seed, from: NaiveDate, to: NaiveDate) -> i64 {
    days(from, to)
        .flat_map(|day| purchases(seed, day))
        .map(|row| -row.cents)
        .sum()
}

/// The settling rows of a checking account, without the one that leads to the next month.
fn checking_rows(seed: Seed, which: u8, day: NaiveDate) -> Vec<Row> {
    let mut habits = seed.dice(HABITS, i64::from(which));
    let salary = habits.between(5_500, 9_500) * REAL;
    let rent = habits.between(1_400, 2_200) * REAL;
    let internet = habits.between(99, 149) * REAL + 90;
    let garage = habits.between(250, 450) * REAL;
    let regular = match (which, day.day()) {
        (0, 5) => Some((salary, "TED RECEBIDA SALARIO ACME TECNOLOGIA LTDA")),
        (0, 7) => Some((-rent, "PIX ENVIADO ALUGUEL IMOBILIARIA CENTRAL")),
        (0, DUE_ON) => Some((-bill(seed, day), "PAGAMENTO FATURA CARTAO PONTE")),
        (0, 12) => {
            let energy = seed.dice(ENERGY, month_number(day)).between(9_000, 26_000);
            Some((-energy, "DEBITO AUTOMATICO ENEL ENERGIA"))
        }
        (0, 15) => Some((-internet, "DEBITO AUTOMATICO VIVO FIBRA")),
        (1.., 6) => Some((garage, "PIX RECEBIDO ALUGUEL VAGA DE GARAGEM")),
        _ => None,
    };
    let mut rows: Vec<_> = regular
        .map(|(cents, text)| Row::settled(cents, text))
        .into_iter()
        .collect();
    let mut dice = seed.dice(Book::Checking(which).subject(SPENDING), day_number(day));
    let moves = if which == 0 {
        turn(seed, day).checking
    } else {
        dice.percent(25)
    };
    if moves {
        let (short, text, least, most) = *dice.pick(&MOVEMENTS);
        rows.push(Row {
            young: Some((1, short.to_owned())),
            ..Row::settled(dice.between(least * REAL, most * REAL), text)
        });
    }
    rows
}

/// A pre-authorisation, which never settles.
fn hold(seed: Seed, book: Book, day: NaiveDate) -> Option<Row> {
    let number = day_number(day);
    let mut dice = seed.dice(book.subject(HOLDS), number);
    (number % 3 == 0).then(|| Row {
        gone_at: Some(dice.between(1, SETTLES_AFTER)),
        ..Row::settled(
            -dice.between(50, 200) * REAL,
            "PRE-AUTORIZACAO POSTO IPIRANGA",
        )
    })
}

fn purchases(seed: Seed, day: NaiveDate) -> Vec<Row> {
    let mut dice = seed.dice(PURCHASES, day_number(day));
    let mut rows = Vec::new();
    if turn(seed, day).card {
        let (short, text, least, most) = *dice.pick(&MERCHANTS);
        rows.push(Row::of_card(
            -dice.between(least * REAL, most * REAL),
            short,
            text,
        ));
    }
    if seed.in_full {
        rows.extend(rare(seed, day));
    }
    let mut plan = seed.dice(INSTALMENTS, 0);
    let (offset, due) = (plan.between(0, 9), plan.between(12, 24));
    if i64::from(day.day()) == due {
        let cycle = MONTHS_OF_INSTALMENTS;
        let month = month_number(day) + offset;
        let mut plan = seed.dice(INSTALMENTS, 1 + month.div_euclid(cycle));
        let shop = *plan.pick(&SHOPS);
        let number = month.rem_euclid(cycle) + 1;
        let short = format!("{shop} PARC {number:02}/{cycle}");
        let text = format!("{short} SAO PAULO");
        rows.push(Row::of_card(
            -plan.between(60 * REAL, 250 * REAL),
            &short,
            text,
        ));
    }
    rows
}

/// What only a bank that shows everything writes into the card's book: a fee, cash, a purchase abroad with its tax.
fn rare(seed: Seed, day: NaiveDate) -> Vec<Row> {
    let month = month_number(day);
    let row = |cents: i64, text: &str| Row::of_card(cents, text, text);
    match day.day() {
        FEE_ON => vec![row(-(29 * REAL + 90), "ANUIDADE DIFERENCIADA")],
        CASH_ON if month % 3 == 0 => {
            let cash = seed.dice(CASH, month).between(2, 6) * 50 * REAL;
            vec![
                row(-cash, "SAQUE CREDITO BANCO24HORAS"),
                row(-(15 * REAL + 90), "TARIFA SAQUE CREDITO"),
            ]
        }
        ABROAD_ON => {
            let mut dice = seed.dice(ABROAD, month);
            let (dollars, rate) = (dice.between(999, 5_999), dice.between(500, 580));
            let cents = dollars * rate / 100;
            let purchase = Row {
                dollars: Some(-dollars),
                ..Row::of_card(-cents, "APPLE.COM/BILL", "APPLE.COM/BILL CUPERTINO")
            };
            let tax = -(cents * TAX_ABROAD / 10_000);
            vec![purchase, row(tax, "IOF COMPRA INTERNACIONAL")]
        }
        _ => Vec::new(),
    }
}

/// Who moves on a day.
struct Turn {
    checking: bool,
    card: bool,
}

/// On every second day either the first checking account or the card has a row, on the others seldom; so something new
/// appears at least every other day.
fn turn(seed: Seed, day: NaiveDate) -> Turn {
    let number = day_number(day);
    let parity = seed.dice(TURNS, i64::MAX).between(0, 1);
    let mut dice = seed.dice(TURNS, number);
    if number.rem_euclid(2) == parity {
        let checking = dice.percent(50);
        Turn {
            checking,
            card: !checking,
        }
    } else {
        Turn {
            checking: dice.percent(15),
            card: dice.percent(5),
        }
    }
}

/// The days of a range, both inclusive.
pub(super) fn days(from: NaiveDate, to: NaiveDate) -> impl Iterator<Item = NaiveDate> {
    from.iter_days().take_while(move |day| *day <= to)
}

/// The first day of a day's month.
pub(super) fn first_of_month(day: NaiveDate) -> NaiveDate {
    day - Days::new(u64::from(day.day0()))
}

/// The first day of the month after a day's.
pub(super) fn next_month(day: NaiveDate) -> NaiveDate {
    first_of_month(day) + Months::new(1)
}

/// A number of the day that grows by one a day.
pub(super) fn day_number(day: NaiveDate) -> i64 {
    i64::from(day.num_days_from_ce())
}

fn month_number(day: NaiveDate) -> i64 {
    i64::from(day.year()) * 12 + i64::from(day.month0())
}
