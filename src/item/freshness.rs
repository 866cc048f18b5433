//! How fresh what an Item has collected is, product by product.
//!
//! Data is as of the last run that has collected its product. It is stale when the last run has not, and when that is
//! longer ago than two intervals of automatic runs: one may fail, two are a reason to look. Where the Item takes no part
//! in automatic runs, two days count instead. What a regulated institution may be asked only now and then has that time more.

use std::time::Duration;

use entity::{item, kind::Product};
use serde_json::Value;

use super::auto_sync::{self, State};
use crate::{app::App, clock::Timestamp, connector::regulated};

/// How long data stays fresh where no automatic run renews it.
const FRESH_FOR: Duration = Duration::from_hours(48);

/// How fresh a product of an Item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freshness {
    /// When the institution last confirmed it.
    pub as_of: Option<Timestamp>,
    /// Whether it may be out of date.
    pub stale: bool,
}

/// How fresh a product of an Item is now.
pub fn of(app: &App, item: &item::Model, product: Product) -> Freshness {
    let detail = item.status_detail.get(product.as_str());
    let field = |name: &str| detail.and_then(|detail| detail.get(name));
    let as_of = field("lastUpdatedAt")
        .and_then(Value::as_i64)
        .map(Timestamp);
    let is = |name: &str| field(name).and_then(Value::as_bool) == Some(true);
    let updated = is("isUpdated") && !is("incomplete");
    let now = app.clock.now();
    let standing = auto_sync::of(app, item, now);
    let renewed = !matches!(standing.state, State::Disabled | State::NotAvailable);
    let interval = standing.interval.filter(|_| renewed);
    let lasts = interval.map_or(FRESH_FOR, |interval| interval * 2);
    let regulated = item.person_digest.is_some();
    let rests = regulated::rests(product).filter(|_| regulated);
    let lasts = lasts + rests.unwrap_or_default();
    Freshness {
        as_of,
        stale: !updated || as_of.is_none_or(|at| at.plus(lasts) < now),
    }
}
