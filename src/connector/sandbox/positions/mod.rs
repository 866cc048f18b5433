//! What a sandbox user has invested: one position of every family, others by chance, and what became of them month by month.
//!
//! A position follows from the seed, its row of the catalogue and the day. It is opened on a day of its own and fed every
//! month since; what it is worth is what was bought and not sold, at the price of the day. A certificate of deposit runs for
//! a quarter: it vanishes when it ends, and another one appears.

mod catalogue;

use chrono::{Datelike as _, Days, Months, NaiveDate};
use serde_json::json;

use self::catalogue::{CATALOGUE, Paper};
use super::{
    dice::{Dice, Seed},
    holder::{cnpj, isin},
    ledger::{REAL, first_of_month},
};
use crate::{
    connector::{InvestmentRecord, InvestmentTransactionRecord, Window},
    money::Amount,
};

const HELD: u64 = u64::from_be_bytes(*b"held    ");
const TERMS: u64 = u64::from_be_bytes(*b"terms   ");
const MONTHS: u64 = u64::from_be_bytes(*b"months  ");
const PRICES: u64 = u64::from_be_bytes(*b"prices  ");
const IDS: u64 = u64::from_be_bytes(*b"moves   ");

/// Hundredths of users who hold what not everybody holds.
const HOLD: i64 = 60;
/// Hundredths of a gain that are income tax.
const INCOME_TAX_PERCENT: i64 = 15;
/// Days in which a withdrawal costs IOF.
const IOF_DAYS: i64 = 30;
/// Days that an exchange takes to settle.
const SETTLES_IN: u64 = 2;

/// A position of a user.
struct Position {
    seed: Seed,
    paper: &'static Paper,
    /// Its place in the catalogue, and of a certificate of deposit the quarter that it was issued in.
    place: i64,
    opened: NaiveDate,
    ends: Option<NaiveDate>,
}

/// What a user has invested as the bank shows it on a day.
pub(super) fn list(seed: Seed, owner: Option<&str>, today: NaiveDate) -> Vec<InvestmentRecord> {
    let held = held(seed, today);
    held.map(|position| position.record(owner, today)).collect()
}

/// The movements of a position that fall into a window, oldest first; `None` when the user has no such position.
pub(super) fn movements(
    seed: Seed,
    key: &str,
    window: Window,
    today: NaiveDate,
) -> Option<Vec<InvestmentTransactionRecord>> {
    let position = held(seed, today).find(|position| position.key() == key)?;
    let inside = |row: &InvestmentTransactionRecord| {
        row.date >= window.from && row.date <= window.to.min(today)
    };
    let trades = position.trades(window.to.min(today)).into_iter();
    Some(
        trades
            .map(|trade| position.movement(&trade))
            .filter(inside)
            .collect(),
    )
}

fn held(seed: Seed, today: NaiveDate) -> impl Iterator<Item = Position> {
    let places = CATALOGUE.iter().zip(0..);
    let held =
        places.filter(move |(paper, place)| paper.common || seed.dice(HELD, *place).percent(HOLD));
    held.map(move |(paper, place)| Position::of(seed, paper, place, today))
        .filter(move |position| position.opened <= today)
}

/// What is done with a position on a day.
struct Trade {
    day: NaiveDate,
    kind: &'static str,
    /// Whole units that come in, or go out when negative.
    units: i64,
    /// Cents.
    amount: i64,
}

impl Position {
    fn of(seed: Seed, paper: &'static Paper, place: i64, today: NaiveDate) -> Self {
        let mut dice = seed.dice(TERMS, place);
        if paper.subtype == "CDB" {
            let month = first_of_month(today);
            let opened = month - Months::new(month.month0() % 3);
            let quarter = i64::from(opened.year()) * 4 + i64::from(opened.month0() / 3);
            return Self {
                seed,
                paper,
                place: place + 100 * quarter,
                opened,
                ends: Some(opened + Months::new(3)),
            };
        }
        let opened = epoch() + Days::new(dice.between(0, 700).unsigned_abs());
        let lasts = matches!(paper.kind, "FIXED_INCOME" | "COE")
            .then(|| Months::new(12 * u32::try_from(dice.between(9, 14)).unwrap_or(10)));
        Self {
            seed,
            paper,
            place,
            opened,
            ends: lasts.map(|lasts| opened + lasts),
        }
    }

    fn key(&self) -> String {
        let number = self.seed.dice(IDS, -1 - self.place).roll();
        format!("{}-{number:016x}", self.paper.subtype.to_lowercase())
    }

    /// Cents of one unit on a day.
    fn price(&self, day: NaiveDate) -> i64 {
        let first = self.seed.dice(PRICES, self.place).between(8, 120) * REAL;
        let days = (day - self.opened).num_days().max(0);
        let steady = first + first * self.paper.gain * days / 365 / 10_000;
        if self.paper.kind == "EQUITY" || self.paper.kind == "ETF" {
            let number = i64::from(day.num_days_from_ce()) * 100 + self.place;
            let sway = self.seed.dice(PRICES, number).between(-180, 180);
            return (steady + steady * sway / 10_000).max(1);
        }
        steady
    }

    /// Everything done with it until a day, by day.
    fn trades(&self, until: NaiveDate) -> Vec<Trade> {
        let mut trades = Vec::new();
        let mut held = 0;
        let mut month = first_of_month(self.opened);
        let mut number: i64 = 0;
        while month <= until {
            let dice = self.seed.dice(MONTHS, self.place * 1_000 + number);
            for trade in self.month(month, number, held, dice) {
                if trade.day >= self.opened && trade.day <= until {
                    held += trade.units;
                    trades.push(trade);
                }
            }
            month = month + Months::new(1);
            number += 1;
        }
        trades
    }

    /// What is done in the `number`th month, when so many units are held at its beginning.
    fn month(&self, month: NaiveDate, number: i64, held: i64, mut dice: Dice) -> Vec<Trade> {
        let mut trades = Vec::new();
        let mut on = |day: NaiveDate, kind, units: i64, cents: i64| {
            let amount = if units == 0 {
                cents
            } else {
                units.abs() * self.price(day)
            };
            trades.push(Trade {
                day,
                kind,
                units,
                amount,
            });
        };
        let day = |of: i64| month + Days::new(of.clamp(0, 27).unsigned_abs());
        let worth = held * self.price(month);
        let first = day(dice.between(2, 6));
        if number == 0 {
            on(self.opened, "BUY", dice.between(20, 90), 0);
            return trades;
        }
        if self.paper.kind == "SECURITY" && number % 12 == 5 {
            on(first, "TRANSFER", dice.between(1, 4), 0);
        }
        if matches!(self.paper.kind, "FIXED_INCOME" | "EQUITY") && number % 3 == 2 {
            on(first, "INTEREST", 0, worth / 100);
        }
        if matches!(self.paper.subtype, "CRI" | "CRA" | "DEBENTURES") && number % 6 == 4 {
            on(day(9), "AMORTIZATION", 0, worth / 50);
        }
        if self.paper.subtype != "CDB" {
            on(day(dice.between(10, 14)), "BUY", dice.between(1, 9), 0);
        }
        if self.paper.kind == "MUTUAL_FUND" && matches!(month.month(), 5 | 11) {
            on(day(20), "TAX", 0, worth / 200);
        }
        if dice.percent(12) && held > 20 {
            on(day(dice.between(22, 27)), "SELL", -dice.between(1, 10), 0);
        }
        trades
    }

    fn movement(&self, trade: &Trade) -> InvestmentTransactionRecord {
        let exchange = matches!(self.paper.kind, "EQUITY" | "ETF");
        let bought = trade.kind == "BUY";
        let counted = trade.units != 0;
        let number = i64::from(trade.day.num_days_from_ce()) * 10_000 + self.place % 10_000;
        let mut dice = self.seed.dice(IDS, number);
        let id = format!("{:016x}{}", dice.roll(), trade.kind.to_lowercase());
        let fees = if exchange && counted {
            trade.amount / 500 + 5
        } else {
            0
        };
        let tax = if trade.kind == "TAX" { trade.amount } else { 0 };
        let net = if bought {
            trade.amount + fees
        } else {
            trade.amount - fees
        };
        let transfer = trade.kind == "TRANSFER";
        InvestmentTransactionRecord {
            // The bank knows no ids of what it has only taken note of.
            id: (self.paper.kind != "OTHER").then_some(id),
            kind: trade.kind.to_owned(),
            movement_type: Some(if trade.units > 0 { "CREDIT" } else { "DEBIT" }.to_owned()),
            date: if exchange {
                trade.day + Days::new(SETTLES_IN)
            } else {
                trade.day
            },
            trade_date: Some(trade.day),
            description: Some(describe(trade.kind, self.paper.name)),
            quantity: counted.then(|| whole(trade.units.abs())),
            value: counted.then(|| Amount::from_cents(self.price(trade.day))),
            amount: (!transfer).then(|| Amount::from_cents(trade.amount)),
            net_amount: (!transfer).then(|| Amount::from_cents(net)),
            agreed_rate: self.fixed().filter(|_| bought),
            indexer_percentage: self.share().filter(|_| bought),
            price_factor: counted.then(|| whole(1)),
            brokerage_number: exchange.then(|| dice.between(10_000_000, 99_999_999).to_string()),
            expenses: (exchange || tax > 0).then(|| {
                let part = |hundredths: i64| Amount::from_cents(fees * hundredths / 100);
                json!({
                    "serviceTax": part(5),
                    "brokerageFee": part(40),
                    "incomeTax": Amount::from_cents(tax),
                    "tradingAssetsNoticeFee": part(2),
                    "maintenanceFee": part(3),
                    "settlementFee": part(15),
                    "clearingFee": part(5),
                    "stockExchangeFee": part(10),
                    "custodyFee": part(10),
                    "operatingFee": part(5),
                    "other": part(5),
                    "iof": part(0),
                    "iofProvision": part(0),
                })
            }),
        }
    }

    fn share(&self) -> Option<Amount> {
        let (_, share, _) = self.paper.index?;
        Some(Amount::from_cents(share))
    }

    fn fixed(&self) -> Option<Amount> {
        let (_, _, fixed) = self.paper.index?;
        Some(Amount::from_cents(fixed))
    }

    fn record(&self, owner: Option<&str>, today: NaiveDate) -> InvestmentRecord {
        let (paper, trades) = (self.paper, self.trades(today));
        let units: i64 = trades.iter().map(|trade| trade.units).sum();
        let spent = trades.iter().filter(|trade| trade.units != 0);
        let spent: i64 = spent.map(|trade| trade.amount * trade.units.signum()).sum();
        let gross = units * self.price(today);
        let gained = gross - spent;
        let exempt = matches!(paper.subtype, "LCI" | "LCA" | "CRI" | "CRA" | "FI_INFRA");
        let tax = if exempt {
            0
        } else {
            gained.max(0) * INCOME_TAX_PERCENT / 100
        };
        let young = (today - self.opened).num_days() < IOF_DAYS;
        let iof = if young { gained.max(0) / 10 } else { 0 };
        let issuer_cnpj = cnpj(
            self.seed
                .dice(TERMS, -1 - self.place % 100)
                .between(10_000_000, 99_999_999),
        );
        let grace =
            matches!(paper.subtype, "LCI" | "LCA" | "CDB").then(|| self.opened + Days::new(90));
        let index = paper.index.map(|(index, ..)| index);
        let percent = Amount::from_cents;
        let listed = matches!(paper.kind, "EQUITY" | "ETF" | "FIXED_INCOME" | "COE");
        let mut dice = self.seed.dice(TERMS, self.place + 1_000_000);
        let status = match dice.between(1, 10) {
            1 if !paper.common => "PENDING",
            _ => "ACTIVE",
        };
        InvestmentRecord {
            subtype: Some(paper.subtype.to_owned()),
            number: Some(dice.between(100_000, 999_999).to_string()),
            amount: Some(Amount::from_cents(gross)),
            quantity: Some(whole(units)),
            value: Some(Amount::from_cents(self.price(today))),
            taxes: Some(Amount::from_cents(tax)),
            taxes2: Some(Amount::from_cents(iof)),
            amount_profit: Some(Amount::from_cents(gained)),
            amount_withdrawal: grace
                .is_none_or(|grace| grace <= today)
                .then(|| Amount::from_cents(gross - tax - iof)),
            amount_original: Some(Amount::from_cents(spent)),
            last_month_rate: Some(percent(paper.gain / 12)),
            last_twelve_months_rate: Some(percent(paper.gain - dice.between(-40, 40))),
            annual_rate: Some(percent(paper.gain)),
            rate: self.share(),
            fixed_annual_rate: self.fixed(),
            price_factor: Some(whole(1)),
            code: Some(paper.ticker.map_or_else(|| issuer_cnpj.clone(), str::to_owned)),
            isin: listed.then(|| isin(paper.ticker.unwrap_or(paper.subtype))),
            owner: owner.map(str::to_owned),
            issuer: Some(paper.issuer.to_owned()),
            issuer_cnpj: Some(issuer_cnpj),
            rate_type: index.map(str::to_owned),
            rate_periodicity: index.map(|_| "YEARLY".to_owned()),
            indexer_additional_info: (index == Some("IPCA"))
                .then(|| "IPCA do segundo mês anterior".to_owned()),
            due_date: self.ends,
            issue_date: self.ends.map(|_| self.opened),
            purchase_date: Some(self.opened),
            grace_period_date: grace,
            tax_exempt: Some(exempt),
            debtor: matches!(paper.subtype, "CRI" | "CRA").then(|| json!({ "name": "Shopping Ponte S.A." })),
            coupon_payment: (paper.kind == "FIXED_INCOME").then(|| {
                let pays = matches!(paper.subtype, "TREASURY" | "CRI" | "CRA" | "DEBENTURES");
                json!({
                    "hasCoupon": pays,
                    "periodicity": if pays { "QUARTERLY" } else { "IRREGULAR" },
                    "additionalInfo": if pays { "Juros trimestrais" } else { "Juros no vencimento" },
                })
            }),
            status: Some(status.to_owned()),
            metadata: self.metadata(&mut dice),
            ..InvestmentRecord::new(
                self.key(),
                paper.kind,
                paper.name.to_owned(),
                Amount::from_cents(gross - tax - iof),
                today,
            )
        }
    }

    fn metadata(&self, dice: &mut Dice) -> Option<serde_json::Value> {
        match self.paper.kind {
            "SECURITY" => Some(json!({
                "taxRegime": *dice.pick(&["PROGRESSIVO", "REGRESSIVO"]),
                "proposalNumber": dice.between(1_000_000, 9_999_999).to_string(),
                "processNumber": format!("15414.{:06}/2023-{:02}", dice.between(0, 999_999), dice.between(0, 99)),
                "fundName": "Ponte Previdência Multimercado FIC FIM",
                "insurer": { "name": self.paper.issuer, "cnpj": cnpj(dice.between(10_000_000, 99_999_999)) },
            })),
            "MUTUAL_FUND" => Some(json!({
                "anbimaClass": if self.paper.subtype == "STOCK_FUND" { "Ações" } else { "Multimercados" },
                "anbimaSubclass": "Livre",
                "anbimaCategory": "Alocação",
            })),
            _ => None,
        }
    }
}

fn whole(units: i64) -> Amount {
    Amount::from_cents(units * 100)
}

fn describe(kind: &str, name: &str) -> String {
    let what = match kind {
        "BUY" => "APLICACAO",
        "SELL" => "RESGATE",
        "TAX" => "COME-COTAS",
        "TRANSFER" => "PORTABILIDADE",
        "INTEREST" => "RENDIMENTO",
        _ => "AMORTIZACAO",
    };
    format!("{what} {}", name.to_uppercase())
}

/// Nothing was invested before.
fn epoch() -> NaiveDate {
    NaiveDate::from_ymd_opt(2022, 1, 3).expect("January has a third day")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().expect("a day")
    }

    fn all(seed: Seed, key: &str, today: NaiveDate) -> Vec<InvestmentTransactionRecord> {
        let window = Window {
            from: epoch(),
            to: today,
        };
        movements(seed, key, window, today).expect("a position")
    }

    #[test]
    fn everybody_has_every_family_and_all_together_have_every_kind() {
        let today = day("2026-03-16");
        let mut kinds = BTreeSet::new();
        for user in 0..20 {
            let seed = Seed::of(2, &format!("user {user}"));
            let held = list(seed, Some("Ana"), today);
            let families: BTreeSet<_> = held.iter().map(|one| one.kind.clone()).collect();
            assert_eq!(families.len(), 7, "{families:?}");
            let keys: BTreeSet<_> = held.iter().map(|one| &one.key).collect();
            assert_eq!(keys.len(), held.len());
            kinds.extend(held.into_iter().filter_map(|one| one.subtype));
        }
        assert_eq!(kinds.len(), CATALOGUE.len());
    }

    #[test]
    fn what_has_happened_stays_and_every_quarter_a_deposit_ends_and_another_begins() {
        let seed = Seed::of(2, "user-ok");
        let mut before: BTreeMap<String, Vec<InvestmentTransactionRecord>> = BTreeMap::new();
        let (mut rows, mut gone) = (0, 0);
        for days in 0..190 {
            let today = day("2026-03-16") + Days::new(days);
            let held = list(seed, None, today);
            let now: BTreeMap<_, _> = held
                .iter()
                .map(|one| (one.key.clone(), all(seed, &one.key, today)))
                .collect();
            for (key, earlier) in &before {
                let Some(now) = now.get(key) else {
                    gone += 1;
                    continue;
                };
                assert_eq!(now[..earlier.len()], earlier[..], "{key} on {today}");
                rows += now.len() - earlier.len();
            }
            before = now;
        }
        assert_eq!(gone, 2);
        assert!(rows > 50, "{rows} movements in 190 days");
    }

    #[test]
    fn what_is_held_is_what_was_bought_and_not_sold() {
        let today = day("2026-03-16");
        for one in list(Seed::of(2, "user-ok"), None, today) {
            if matches!(one.kind.as_str(), "EQUITY" | "ETF") {
                // What is not settled yet is held already.
                continue;
            }
            let mut held = Amount::ZERO;
            for row in all(Seed::of(2, "user-ok"), &one.key, today) {
                let units = row.quantity.unwrap_or_default();
                let units = if row.movement_type.as_deref() == Some("DEBIT") {
                    units.checked_neg().expect("a count")
                } else {
                    units
                };
                held = held.checked_add(units).expect("a count");
            }
            assert_eq!(Some(held), one.quantity, "{}", one.name);
            assert!(!one.balance.is_negative(), "{one:?}");
        }
    }

    #[test]
    fn a_window_shows_the_part_of_all_movements_that_is_inside() {
        let (seed, today) = (Seed::of(16, "user-ok"), day("2026-03-16"));
        let window = Window {
            from: day("2025-06-01"),
            to: day("2025-12-31"),
        };
        for one in list(seed, None, today) {
            let mut expected = all(seed, &one.key, today);
            expected.retain(|row| row.date >= window.from && row.date <= window.to);
            let found = movements(seed, &one.key, window, today).expect("a position");
            assert_eq!(found, expected, "{}", one.name);
        }
        assert!(movements(seed, "nothing", window, today).is_none());
    }
}
