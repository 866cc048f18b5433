//! Consents: what a user allowed by connecting, and notices before one ends.
//!
//! A regulated institution's consent has an end, after which nothing can be read until the user connects again.
//! The client is told so many days ahead; the Item leaves automatic runs by what `auto_sync` finds. Through Open Finance it
//! names what it allows by regulated codes, which follow from the products. A deleted Item's are withdrawn.

use std::time::Duration;

use entity::{
    consent, item,
    kind::{EntityKind, EventType, OpenFinancePermission, Product},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, DatabaseTransaction, EntityTrait, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};
use serde_json::json;
use uuid::Uuid;

use super::{Held, auto_sync, products_of, save};
use crate::{
    app::App,
    clock::Timestamp,
    connector::Descriptor,
    error::Result,
    event::{
        self, Draft,
        body::{ConsentEnds, Ending},
        change::Told,
    },
};

/// Most Items that one pass tells of.
const BATCH: u64 = 100;
const DAY: Duration = Duration::from_hours(24);

/// Notes on an Item that its user has just allowed it, for as long as the connector's consents last.
pub(super) fn give(app: &App, form: &Descriptor, item: &mut item::Model) {
    let now = app.clock.now();
    item.consent_expires_at = form.consent_lasts.map(|lasts| now.plus(lasts));
    item.consent_notice_at = item
        .consent_expires_at
        .and_then(|ends| next_notice(&app.config.consent_notice_days, ends, now));
}

/// Inserts what the user has just allowed. Answers its id.
pub(super) async fn insert(
    txn: &DatabaseTransaction,
    app: &App,
    form: &Descriptor,
    item: &item::Model,
) -> Result<Uuid> {
    let now = app.clock.now();
    let id = app.rng.id(now);
    let permissions = form
        .is_open_finance
        .then(|| json!(permissions(&products_of(item))));
    consent::Entity::insert(consent::ActiveModel {
        id: Set(id),
        application_id: Set(item.application_id),
        item_id: Set(item.id),
        products: Set(item.products.clone()),
        permissions: Set(permissions),
        created_at: Set(now),
        expires_at: Set(item.consent_expires_at),
        revoked_at: Set(None),
    })
    .exec_without_returning(txn)
    .await?;
    Ok(id)
}

/// Withdraws what was allowed on an Item, and answers what.
pub(super) async fn revoke(
    txn: &DatabaseTransaction,
    item: &item::Model,
    now: Timestamp,
) -> Result<Vec<Uuid>> {
    let live = consent::Column::ItemId
        .eq(item.id)
        .and(consent::Column::RevokedAt.is_null());
    let ids = consent::Entity::find()
        .filter(live.clone())
        .order_by_asc(consent::Column::Id)
        .select_only()
        .column(consent::Column::Id)
        .into_tuple()
        .all(txn)
        .await?;
    consent::Entity::update_many()
        .col_expr(consent::Column::RevokedAt, Expr::value(now.0))
        .filter(live)
        .exec(txn)
        .await?;
    Ok(ids)
}

/// Notes that a user has withdrawn at the institution what they had allowed.
pub(crate) async fn withdrawn(
    txn: &DatabaseTransaction,
    item: &mut Held,
    now: Timestamp,
) -> Result<()> {
    let revoked = revoke(txn, item, now).await?.into_iter();
    item.note(revoked.map(|id| Told::updated(EntityKind::Consent, id, &["revokedAt"])));
    (item.consent_expires_at, item.consent_notice_at) = (None, None);
    Ok(())
}

/// The regulated codes without which these products cannot be read.
fn permissions(products: &[Product]) -> Vec<OpenFinancePermission> {
    use OpenFinancePermission as P;

    let wanted = |product| products.contains(&product);
    let movements = wanted(Product::Transactions) || wanted(Product::PaymentData);
    let mut codes = Vec::new();
    if wanted(Product::Identity) {
        codes.extend([
            P::RegistrationAll,
            P::RegistrationIdentifications,
            P::RegistrationQualifications,
            P::RegistrationFinancialRelations,
        ]);
    }
    if wanted(Product::Accounts) {
        codes.extend(movements.then_some(P::AccountsAll));
        codes.extend([P::AccountsList, P::AccountsBalances, P::AccountsLimits]);
        codes.extend(movements.then_some(P::AccountsTransactions));
    }
    if wanted(Product::CreditCards) {
        codes.extend(movements.then_some(P::CreditCardsAll));
        codes.extend([P::CreditCardsList, P::CreditCardsLimits]);
        codes.extend(movements.then_some(P::CreditCardsTransactions));
        codes.push(P::CreditCardsBills);
    }
    if wanted(Product::Loans) {
        codes.push(P::CreditOperationsAll);
    }
    if wanted(Product::Investments) {
        codes.push(P::InvestmentsAll);
    }
    codes
}

/// When a client is told next of a consent that ends: so many days ahead, and at its end.
fn next_notice(days: &[u32], ends: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let ahead = days.iter().map(|days| ends.minus(DAY * *days));
    ahead.chain([ends]).filter(|at| *at > now).min()
}

/// Tells of consents that end soon or have ended, and says how many that were.
pub async fn run_once(app: &App) -> Result<usize> {
    let due: Vec<Uuid> = item::Entity::find()
        .filter(item::Column::ConsentNoticeAt.lte(app.clock.now().0))
        .order_by_asc(item::Column::ConsentNoticeAt)
        .limit(BATCH)
        .select_only()
        .column(item::Column::Id)
        .into_tuple()
        .all(app.db.read())
        .await?;
    for id in &due {
        let (owner, id) = (app.clone(), *id);
        app.unit(async move { tell(&owner, id).await }).await?;
    }
    if !due.is_empty() {
        app.wakes.relay.notify();
    }
    Ok(due.len())
}

async fn tell(app: &App, id: Uuid) -> Result<()> {
    let txn = app.db.begin().await?;
    let now = app.clock.now();
    let row = item::Entity::find_by_id(id)
        .filter(item::Column::ConsentNoticeAt.lte(now.0))
        .filter(item::Column::DeletedAt.is_null())
        .lock_exclusive()
        .one(&txn)
        .await?;
    let Some(row) = row else { return Ok(()) };
    let mut item = Held::stored(row);
    let Some(ends) = item.consent_expires_at else {
        item.consent_notice_at = None;
        save(&txn, &item).await?;
        return Ok(txn.commit().await?);
    };
    let left = ends.since(now);
    let kind = if left.is_zero() {
        EventType::ItemConsentExpired
    } else {
        EventType::ItemConsentExpiring
    };
    item.consent_notice_at = next_notice(&app.config.consent_notice_days, ends, now);
    item.auto_sync_due_at = auto_sync::due(app, &item, now);
    let draft = Draft::new(kind, None).carrying(&ConsentEnds {
        data: Ending {
            consent_expires_at: ends.to_string(),
            days_left: u32::try_from(left.as_secs().div_ceil(DAY.as_secs())).unwrap_or(u32::MAX),
        },
    });
    event::append(&txn, app, &mut item, [draft]).await?;
    save(&txn, &item).await?;
    Ok(txn.commit().await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consent_allows_what_its_products_need_and_no_more() {
        let named = |products: &[Product]| -> Vec<&str> {
            permissions(products).into_iter().map(Into::into).collect()
        };
        assert_eq!(
            named(&[Product::Accounts, Product::Loans]),
            [
                "ACCOUNTS_LIST",
                "ACCOUNTS_BALANCES",
                "ACCOUNTS_LIMITS",
                "CREDIT_OPERATIONS_ALL"
            ]
        );
        assert_eq!(
            named(&[
                Product::CreditCards,
                Product::Transactions,
                Product::Investments
            ]),
            [
                "CREDIT_CARDS_ALL",
                "CREDIT_CARDS_LIST",
                "CREDIT_CARDS_LIMITS",
                "CREDIT_CARDS_TRANSACTIONS",
                "CREDIT_CARDS_BILLS",
                "INVESTMENTS_ALL"
            ]
        );
        assert_eq!(named(&[Product::Identity]).len(), 4);
    }

    #[test]
    fn notices_come_the_days_ahead_that_are_left_and_at_the_end() {
        let day = |number: u32| Timestamp(0).plus(DAY * number);
        let next = |now| next_notice(&[30, 7, 1], day(90), now);
        assert_eq!(next(day(0)), Some(day(60)));
        assert_eq!(next(day(60)), Some(day(83)));
        assert_eq!(next(day(85)), Some(day(89)));
        assert_eq!(next(day(89)), Some(day(90)));
        assert_eq!(next(day(90)), None);
        // A consent that is shorter than the first notice begins with the next.
        assert_eq!(next_notice(&[30, 7, 1], day(10), day(0)), Some(day(3)));
    }
}
