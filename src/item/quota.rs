//! Calls of regulated interfaces: whose they count as, what is left of a month, and which a run is to make.
//!
//! The regulator counts for each person at each institution what this whole Ponte asks, whatever application asks it. A
//! person is a keyed digest of their CPF or CNPJ. At a sandbox, whose persons are made up and everybody's, each Item is
//! a person of its own.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::{DateTime, Datelike as _, Days, FixedOffset, NaiveDate, TimeZone as _};
use entity::{
    item,
    kind::{Product, RegulatedCall},
};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use uuid::Uuid;

use super::products_of;
use crate::{
    app::App,
    auth::Principal,
    clock::Timestamp,
    connector::{
        Descriptor,
        regulated::{self, LIMITS, Limit, RECENT_DAYS},
    },
    db::quota,
    error::Result,
};

/// Hours by which the regulator's calendar is behind UTC.
const BEHIND_HOURS: i32 = 3;
/// The time after which older movements may be asked for again to see what became of PENDING ones.
pub const PENDING_EVERY: Duration = Duration::from_hours(7 * 24);
/// Months that rows are kept beside the present one.
const KEPT_MONTHS: i32 = 2;
const FORGOTTEN: usize = 2_000;
/// Names of parameters that say who a person is, the more telling one first.
const NAMED_BY: [&str; 2] = ["cnpj", "cpf"];

fn local(now: Timestamp) -> DateTime<FixedOffset> {
    let zone = FixedOffset::west_opt(BEHIND_HOURS * 3_600).expect("within a day");
    now.to_utc().with_timezone(&zone)
}

/// The calendar month of an instant, where the regulator is.
pub fn month(now: Timestamp) -> i32 {
    let local = local(now);
    local.year() * 12 + i32::try_from(local.month0()).unwrap_or(0)
}

/// When the next month begins there.
pub fn resets_at(now: Timestamp) -> Timestamp {
    let local = local(now);
    let (year, month) = match local.month() {
        12 => (local.year() + 1, 1),
        month => (local.year(), month + 1),
    };
    let begins = local.timezone().with_ymd_and_hms(year, month, 1, 0, 0, 0);
    begins.single().map_or(now, |begins| begins.to_utc().into())
}

/// Whose calls an Item's are; `None` where nothing is regulated.
pub(super) fn person(
    app: &App,
    form: &Descriptor,
    item: Uuid,
    kept: &BTreeMap<String, SecretString>,
) -> Option<Vec<u8>> {
    if !form.is_open_finance {
        return None;
    }
    let named = NAMED_BY.iter().find_map(|name| kept.get(*name));
    let number = named.map(|number| {
        let digits = number.expose_secret().chars();
        digits.filter(char::is_ascii_digit).collect::<String>()
    });
    Some(
        match number.filter(|number| !number.is_empty() && !form.is_sandbox) {
            Some(number) => {
                let parts: [&[u8]; 2] = [b"regulated person", number.as_bytes()];
                app.vault.digest(&parts).to_vec()
            }
            None => alone(app, item),
        },
    )
}

/// An Item as a person of its own.
pub fn alone(app: &App, item: Uuid) -> Vec<u8> {
    let parts: [&[u8]; 2] = [b"regulated item", item.as_bytes()];
    app.vault.digest(&parts).to_vec()
}

/// When an Item's runs last made a call.
pub fn made_at(item: &item::Model, call: RegulatedCall) -> Option<Timestamp> {
    let calls = item.calls_at.as_ref()?;
    calls.get(call.as_str())?.as_i64().map(Timestamp)
}

/// Notes that an Item's run makes calls now.
pub fn note(item: &mut item::Model, calls: &[RegulatedCall], now: Timestamp) {
    let mut noted = item.calls_at.take().unwrap_or_else(|| json!({}));
    for call in calls {
        noted[call.as_str()] = json!(now);
    }
    item.calls_at = Some(noted);
}

/// When a product of an Item was last updated.
pub fn updated_at(item: &item::Model, product: Product) -> Option<Timestamp> {
    let detail = item.status_detail.get(product.as_str())?;
    let at = detail.get("lastUpdatedAt").and_then(Value::as_i64)?;
    Some(Timestamp(at))
}

/// The products of which the last run has left something out because calls were used up that are so still.
pub fn used_up(form: &Descriptor, item: &item::Model, now: Timestamp) -> Vec<Product> {
    let this_month = |ended: Timestamp| month(ended) == month(now);
    if !form.is_open_finance || !item.last_ended_at.is_some_and(this_month) {
        return Vec::new();
    }
    let mut products = products_of(item);
    products.retain(|product| {
        let detail = item.status_detail.get(product.as_str());
        let warnings = detail.and_then(|detail| detail.get("warnings"));
        let told = warnings.and_then(Value::as_array).into_iter().flatten();
        let mut codes = told.filter_map(|warning| warning.get("code")?.as_str());
        codes.any(|told| {
            regulated::limits(*product).any(|limit| regulated::code(limit.call) == told)
        })
    });
    products
}

/// Whether a run is to make a call: it makes it always, or what was answered before is old or was never stored.
pub fn is_due(item: &item::Model, limit: &Limit, now: Timestamp) -> bool {
    let updated = updated_at(item, limit.product);
    match (limit.every, made_at(item, limit.call), updated) {
        (Some(every), Some(made), Some(updated)) => updated < made || now.since(made) >= every,
        _ => true,
    }
}

/// The first day whose movements are recent, on a day.
pub fn first_recent_day(today: NaiveDate) -> NaiveDate {
    today - Days::new(RECENT_DAYS)
}

/// How often calls were made in this month.
pub type Used = HashMap<RegulatedCall, i32>;

/// How often a call may be made in this month, and was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The limit.
    pub limit: &'static Limit,
    /// How often it was made.
    pub used: i32,
    /// When it begins anew.
    pub resets_at: Timestamp,
}

/// The quotas of an Item's products, given what was used; none where nothing is regulated.
pub fn of(item: &item::Model, used: &Used, now: Timestamp) -> Vec<Quota> {
    if item.person_digest.is_none() {
        return Vec::new();
    }
    let products = products_of(item);
    let limits = LIMITS.iter();
    limits
        .filter(|limit| products.contains(&limit.product))
        .map(|limit| Quota {
            limit,
            used: used.get(&limit.call).copied().unwrap_or(0),
            resets_at: resets_at(now),
        })
        .collect()
}

/// What the persons of Items have used of this month.
pub async fn used(app: &App, principal: &Principal, items: &[Uuid]) -> Result<HashMap<Uuid, Used>> {
    principal.require_api_key("read quotas")?;
    let month = month(app.clock.now());
    quota::of_items(&app.db, principal.application, items, month).await
}

/// Removes what was counted in months that nobody asks for, and says how much.
pub(super) async fn forget(app: &App) -> Result<usize> {
    let before = month(app.clock.now()) - KEPT_MONTHS;
    let owner = app.clone();
    app.unit(async move { quota::forget(&owner.db, before, FORGOTTEN).await })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{connector::regulated::limits, item::auto_sync::tests::updated};

    fn at(text: &str) -> Timestamp {
        let at = DateTime::parse_from_rfc3339(text).expect("an instant");
        at.to_utc().into()
    }

    #[test]
    fn months_are_the_regulators() {
        for (now, month_of, resets) in [
            (
                "2026-03-16T12:00:00Z",
                2026 * 12 + 2,
                "2026-04-01T03:00:00Z",
            ),
            (
                "2026-04-01T02:59:59.999Z",
                2026 * 12 + 2,
                "2026-04-01T03:00:00Z",
            ),
            (
                "2026-04-01T03:00:00Z",
                2026 * 12 + 3,
                "2026-05-01T03:00:00Z",
            ),
            (
                "2027-01-01T02:00:00Z",
                2026 * 12 + 11,
                "2027-01-01T03:00:00Z",
            ),
            (
                "2028-02-29T23:00:00Z",
                2028 * 12 + 1,
                "2028-03-01T03:00:00Z",
            ),
        ] {
            assert_eq!(month(at(now)), month_of, "{now}");
            assert_eq!(resets_at(at(now)), at(resets), "{now}");
        }
    }

    #[test]
    fn a_call_is_due_once_its_answer_is_old_or_was_lost() {
        let now = at("2026-03-16T12:00:00Z");
        let ago = |hours| now.minus(Duration::from_hours(hours));
        let of = |made: Option<Timestamp>, stored: Option<Timestamp>| item::Model {
            calls_at: made.map(|made| json!({ "LOAN_LIST": made })),
            status_detail: json!({ "LOANS": { "lastUpdatedAt": stored },
                "ACCOUNTS": { "lastUpdatedAt": stored } }),
            ..updated()
        };
        let limit = |product, call| {
            let mut limits = limits(product);
            limits.find(|limit| limit.call == call).expect("a limit")
        };
        let weekly = limit(Product::Loans, RegulatedCall::LoanList);
        for (made, stored, due) in [
            (None, None, true),
            (None, Some(1), true),
            (Some(1), None, true),
            (Some(1), Some(1), false),
            (Some(167), Some(1), false),
            (Some(168), Some(1), true),
            // The run that made it stored nothing.
            (Some(1), Some(2), true),
        ] {
            let item = of(made.map(ago), stored.map(ago));
            assert_eq!(is_due(&item, weekly, now), due, "{made:?} {stored:?}");
        }
        let always = limit(Product::Accounts, RegulatedCall::AccountBalance);
        assert!(is_due(&of(Some(now), Some(now)), always, now));
    }
}
