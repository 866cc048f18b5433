//! Movements that an institution deletes and writes anew: which gone row has become which new one.
//!
//! Judged by day, amount, currency and text, one to one, the surest first; the same rows always lead to the same answer.
//! A gone row that has become another stays answerable under its id, but is in no list.

use std::collections::BTreeMap;

use chrono::{Days, NaiveDate};
use sea_orm::ConnectionTrait;

use super::text::likeness;
use crate::{
    app::App,
    db::{
        merge::{Fresh, Gone, Side},
        replacement::{self, Replaced},
    },
    error::Result,
};

/// How far apart the days of a gone row and of the one it became may be.
const WITHIN_DAYS: u64 = 3;
/// How alike texts must be where the amounts are the same.
const ALIKE: f64 = 0.5;
/// How alike they must be where the amounts are not.
const NEARLY_EQUAL: f64 = 0.8;
/// Hundredths by which amounts may differ then.
const MOST_DIFFERENCE: i128 = 2;
/// Most gone rows that are looked at: those of the newest days.
const MOST_GONE: usize = 2_000;
/// Most new rows that they are compared with.
const MOST_FRESH: usize = 5_000;
/// Most texts that are compared.
const MOST_COMPARED: usize = 100_000;

/// Which of the gone rows of an account have become which staged ones.
pub async fn find(
    app: &App,
    txn: &impl ConnectionTrait,
    side: Side<'_>,
    gone: &[Gone],
) -> Result<Vec<Replaced>> {
    let mut gone: Vec<&Gone> = gone.iter().collect();
    gone.sort_by_key(|row| (std::cmp::Reverse(row.posted_on), row.id));
    gone.truncate(MOST_GONE);
    let (Some(newest), Some(oldest)) = (gone.first(), gone.last()) else {
        return Ok(Vec::new());
    };
    let days = Days::new(WITHIN_DAYS);
    let days = (oldest.posted_on - days, newest.posted_on + days);
    let fresh = replacement::candidates(&app.db, txn, side, days, MOST_FRESH).await?;
    Ok(pair(&gone, &fresh))
}

/// The pairs of gone rows and new ones, the surest first, each row in one pair at most.
fn pair(gone: &[&Gone], fresh: &[Fresh]) -> Vec<Replaced> {
    let mut by_day: BTreeMap<NaiveDate, Vec<usize>> = BTreeMap::new();
    for (place, row) in fresh.iter().enumerate() {
        by_day.entry(row.posted_on).or_default().push(place);
    }
    let mut pairs: Vec<(i32, u64, usize, usize)> = Vec::new();
    let mut compared = 0;
    for (g, row) in gone.iter().enumerate() {
        let days = Days::new(WITHIN_DAYS);
        let near = by_day.range(row.posted_on - days..=row.posted_on + days);
        for (day, f) in near.flat_map(|(day, places)| places.iter().map(move |f| (*day, *f))) {
            let Some(amounts) = amounts(row, &fresh[f]) else {
                continue;
            };
            compared += 1;
            if compared > MOST_COMPARED {
                break;
            }
            let apart = (day - row.posted_on).num_days().unsigned_abs();
            let likeness = likeness(&row.search_text, &fresh[f].search_text);
            if let Some(confidence) = confidence(amounts, likeness, apart) {
                pairs.push((confidence, apart, g, f));
            }
        }
    }
    pairs.sort_unstable_by_key(|(confidence, apart, g, f)| (-confidence, *apart, *g, *f));
    let (mut paired, mut taken) = (vec![false; gone.len()], vec![false; fresh.len()]);
    let mut replaced = Vec::new();
    for (confidence, _, g, f) in pairs {
        if !paired[g] && !taken[f] {
            (paired[g], taken[f]) = (true, true);
            replaced.push(Replaced {
                id: gone[g].id,
                by: fresh[f].new_id,
                confidence,
            });
        }
    }
    replaced
}

/// How the amounts of two rows stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amounts {
    Equal,
    Close,
}

/// `None` when the amounts are too different to be those of one movement.
fn amounts(gone: &Gone, fresh: &Fresh) -> Option<Amounts> {
    if gone.currency_code != fresh.currency_code {
        return None;
    }
    let nanos = |units: i64, nanos: i32| i128::from(units) * 1_000_000_000 + i128::from(nanos);
    let before = nanos(gone.amount_units, gone.amount_nanos);
    let after = nanos(fresh.amount_units, fresh.amount_nanos);
    if before == after {
        return Some(Amounts::Equal);
    }
    let close = before.signum() == after.signum()
        && (after - before).abs() * 100 <= before.abs() * MOST_DIFFERENCE;
    close.then_some(Amounts::Close)
}

/// How sure it is that two rows are one movement, in hundredths; `None` when it is too unsure to say so.
fn confidence(amounts: Amounts, likeness: f64, days_apart: u64) -> Option<i32> {
    let (enough, least, most) = match amounts {
        Amounts::Equal => (ALIKE, 70.0, 100.0),
        Amounts::Close => (NEARLY_EQUAL, 40.0, 70.0),
    };
    if likeness < enough {
        return None;
    }
    let sure = least + (most - least) * (likeness - enough) / (1.0 - enough);
    #[expect(clippy::cast_possible_truncation, reason = "it is between 0 and 100")]
    let sure = sure.round() as i32;
    let less = i32::try_from(days_apart)
        .unwrap_or(i32::MAX)
        .saturating_mul(5);
    Some(sure.saturating_sub(less).max(1))
}

#[cfg(test)]
mod tests {
    use entity::kind::TransactionStatus;
    use uuid::Uuid;

    use super::*;

    fn gone(id: u128, day: &str, cents: i64, text: &str) -> Gone {
        let amount = crate::money::Amount::from_cents(cents);
        Gone {
            id: Uuid::from_u128(id),
            status: TransactionStatus::Posted,
            posted_on: day.parse().expect("a day"),
            amount_units: amount.units(),
            amount_nanos: amount.nanos(),
            currency_code: "BRL".to_owned(),
            search_text: text.to_owned(),
        }
    }

    fn fresh(id: u128, day: &str, cents: i64, text: &str) -> Fresh {
        let row = gone(id, day, cents, text);
        Fresh {
            row_key: format!("{id}"),
            new_id: row.id,
            posted_on: row.posted_on,
            amount_units: row.amount_units,
            amount_nanos: row.amount_nanos,
            currency_code: row.currency_code,
            search_text: row.search_text,
        }
    }

    fn pairs(gone: &[Gone], fresh: &[Fresh]) -> Vec<(u128, u128, i32)> {
        let gone: Vec<&Gone> = gone.iter().collect();
        pair(&gone, fresh)
            .into_iter()
            .map(|it| (it.id.as_u128(), it.by.as_u128(), it.confidence))
            .collect()
    }

    #[test]
    fn the_same_movement_is_known_by_day_amount_and_text() {
        let it = |day, cents, text| {
            let before = [gone(1, "2026-03-10", -1_000, "mercado extra sao paulo")];
            let found = pairs(&before, &[fresh(2, day, cents, text)]);
            found.first().map(|(_, _, confidence)| *confidence)
        };
        assert_eq!(
            it("2026-03-10", -1_000, "mercado extra sao paulo"),
            Some(100)
        );
        assert_eq!(it("2026-03-12", -1_000, "mercado extra"), Some(90));
        assert_eq!(it("2026-03-10", -1_000, "mercado do bairro"), None);
        assert_eq!(it("2026-03-14", -1_000, "mercado extra"), None);
        assert_eq!(
            it("2026-03-10", -1_015, "mercado extra sao paulo"),
            Some(70)
        );
        assert_eq!(it("2026-03-10", -1_015, "mercado extra rio"), None);
        assert_eq!(it("2026-03-10", -1_030, "mercado extra sao paulo"), None);
        assert_eq!(it("2026-03-10", 1_000, "mercado extra sao paulo"), None);
    }

    #[test]
    fn each_row_is_in_one_pair_and_the_surest_comes_first() {
        let before = [
            gone(1, "2026-03-10", -500, "padaria bela vista"),
            gone(2, "2026-03-10", -500, "padaria bela vista"),
            gone(3, "2026-03-10", -500, "padaria bela"),
        ];
        let after = [
            fresh(11, "2026-03-11", -500, "padaria bela vista"),
            fresh(12, "2026-03-10", -500, "padaria bela vista"),
        ];
        assert_eq!(pairs(&before, &after), [(1, 12, 100), (2, 11, 95)]);
        let turned: Vec<Fresh> = after.iter().rev().cloned().collect();
        assert_eq!(pairs(&before, &turned), [(1, 12, 100), (2, 11, 95)]);
    }
}
