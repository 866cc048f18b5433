//! Passes over stored transactions after the rules of their categories have changed.
//!
//! A pass is ordered in the transaction of the change. It goes through the Items by id and through each one's transactions
//! by day, in batches: a transaction each, with the Item's row held, that decides, tells and notes how far it has come.
//! So a crash repeats nothing and loses nothing, and a change that comes meanwhile begins it anew. There is one pass for
//! all of an application's client users and one for each of those that rules were changed for.

use std::{collections::BTreeMap, time::Duration};

use chrono::NaiveDate;
use entity::{
    account, category_pass, category_rule, item,
    kind::{AccountSubtype, EntityKind, EventType, TriggeredBy},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use uuid::Uuid;

use super::{Decided, rule::Rules};
use crate::{
    app::App,
    db::category::{self as statements, Change, Stored},
    error::Result,
    event::{self, Draft, body::RowsChanged, change::Told},
    item::{Held, save},
};

/// Transactions that are decided together; also the most that one event tells of.
const BATCH: usize = 500;
/// Batches of a pass before it is another's turn.
const IN_TURN: usize = 20;
/// Passes that are gone on with in turn.
const PASSES: u64 = 20;
/// How often the loop looks without a hint.
const BEAT: Duration = Duration::from_secs(10);

/// Orders a pass over what a changed rule is about, or begins it anew. The caller holds the application's rules.
pub(super) async fn request(
    txn: &DatabaseTransaction,
    app: &App,
    rule: &category_rule::Model,
) -> Result<()> {
    use category_pass::Column as C;

    let user = rule.client_user_id.as_deref();
    let known = category_pass::Entity::owned_by(rule.application_id)
        .filter(user.map_or_else(
            || C::ClientUserId.is_null(),
            |user| C::ClientUserId.eq(user),
        ))
        .lock_exclusive()
        .one(txn)
        .await?;
    let now = app.clock.now();
    let row = category_pass::Model {
        id: known.as_ref().map_or_else(|| app.rng.id(now), |row| row.id),
        application_id: rule.application_id,
        client_user_id: rule.client_user_id.clone(),
        item_id: Uuid::nil(),
        posted_on: None,
        row_id: None,
        round: known.as_ref().map_or(0, |row| row.round.wrapping_add(1)),
        requested_at: now,
    };
    let stored = row.into_active_model().reset_all();
    if known.is_some() {
        category_pass::Entity::update(stored).exec(txn).await?;
    } else {
        category_pass::Entity::insert(stored)
            .exec_without_returning(txn)
            .await?;
    }
    Ok(())
}

/// Gives up the pass for a client user.
pub(super) async fn forget(
    txn: &impl ConnectionTrait,
    application: Uuid,
    client_user_id: &str,
) -> Result<()> {
    category_pass::Entity::delete_many()
        .filter(category_pass::Column::ApplicationId.eq(application))
        .filter(category_pass::Column::ClientUserId.eq(client_user_id))
        .exec(txn)
        .await?;
    Ok(())
}

/// Goes on with passes until the node stops.
pub async fn run(app: App) {
    while app.running() {
        match run_once(&app).await {
            Ok(0) => app.wakes.categories.wait(&app, BEAT).await,
            Ok(_) => {}
            Err(error) => app.log_and_pause("categories", &error).await,
        }
    }
}

/// Goes on with passes and says how many steps that were.
pub async fn run_once(app: &App) -> Result<usize> {
    let rows = category_pass::Entity::find()
        .order_by_asc(category_pass::Column::RequestedAt)
        .limit(PASSES)
        .all(app.db.read())
        .await?;
    let mut done = 0;
    for row in rows {
        let mut row = Some(row);
        for _ in 0..IN_TURN {
            let Some(pass) = row.take().filter(|_| app.running()) else {
                break;
            };
            let owner = app.clone();
            // Its way into the task moves it a few times.
            row = app
                .unit(Box::pin(async move { step(&owner, pass).await }))
                .await?;
            app.wakes.relay.notify();
            done += 1;
        }
    }
    Ok(done)
}

/// One batch. Answers the pass as it stands then; `None` when it is done, or no longer as it was.
async fn step(app: &App, pass: category_pass::Model) -> Result<Option<category_pass::Model>> {
    let txn = app.db.begin().await?;
    // The Item before all that belongs to it.
    let held = item_of(&txn, &pass).await?;
    let current = category_pass::Entity::find_by_id(pass.id)
        .lock_exclusive()
        .one(&txn)
        .await?;
    if current.as_ref() != Some(&pass) {
        return Ok(None);
    }
    let Some(mut item) = held else {
        if pass.posted_on.is_none() {
            category_pass::Entity::delete_by_id(pass.id)
                .exec(&txn)
                .await?;
            txn.commit().await?;
            return Ok(None);
        }
        // It is gone, or another user's now: on to the next.
        return Ok(Some(note(txn, pass, None).await?));
    };
    let behind = match (pass.posted_on, pass.row_id) {
        (Some(day), Some(row)) if pass.item_id == item.id => (day, row),
        _ => (FIRST_DAY, Uuid::nil()),
    };
    let rows = statements::stored(&app.db, &txn, item.id, behind, BATCH).await?;
    decide(&txn, app, &mut item, &rows).await?;
    let last = rows.last().filter(|_| rows.len() == BATCH);
    let place = last.map(|row| (row.posted_on, row.id));
    let pass = category_pass::Model {
        item_id: item.id,
        ..pass
    };
    Ok(Some(note(txn, pass, place).await?))
}

/// Before every day that an institution may name.
const FIRST_DAY: NaiveDate = NaiveDate::from_ymd_opt(1, 1, 1).expect("a day");

/// Holds the Item that a pass is at, or the next one.
async fn item_of(txn: &DatabaseTransaction, pass: &category_pass::Model) -> Result<Option<Held>> {
    let mut items =
        item::Entity::owned_by(pass.application_id).filter(item::Column::DeletedAt.is_null());
    if let Some(user) = &pass.client_user_id {
        items = items.filter(item::Column::ClientUserId.eq(user));
    }
    items = if pass.posted_on.is_some() {
        items.filter(item::Column::Id.eq(pass.item_id))
    } else {
        items.filter(item::Column::Id.gt(pass.item_id))
    };
    let row = items
        .order_by_asc(item::Column::Id)
        .limit(1)
        .lock_exclusive()
        .one(txn)
        .await?;
    Ok(row.map(Held::stored))
}

/// Notes how far a pass has come: behind a transaction of its Item, or behind the whole Item.
async fn note(
    txn: DatabaseTransaction,
    pass: category_pass::Model,
    place: Option<(NaiveDate, Uuid)>,
) -> Result<category_pass::Model> {
    let pass = category_pass::Model {
        posted_on: place.map(|(day, _)| day),
        row_id: place.map(|(_, row)| row),
        ..pass
    };
    category_pass::Entity::update(pass.clone().into_active_model().reset_all())
        .exec(&txn)
        .await?;
    txn.commit().await?;
    Ok(pass)
}

/// Decides transactions of an Item anew and tells of those that look different now.
async fn decide(
    txn: &DatabaseTransaction,
    app: &App,
    item: &mut Held,
    rows: &[Stored],
) -> Result<()> {
    let rules = Rules::of_item(txn, item.application_id, item.id).await?;
    let kinds: BTreeMap<Uuid, AccountSubtype> = account::Entity::owned_by(item.application_id)
        .filter(account::Column::ItemId.eq(item.id))
        .select_only()
        .column(account::Column::Id)
        .column(account::Column::Subtype)
        .into_tuple::<(Uuid, AccountSubtype)>()
        .all(txn)
        .await?
        .into_iter()
        .collect();
    let mut changes = Vec::new();
    let mut told: BTreeMap<Uuid, Vec<(Uuid, Told)>> = BTreeMap::new();
    for row in rows {
        let kind = kinds
            .get(&row.account)
            .copied()
            .unwrap_or(AccountSubtype::Unknown);
        let texts = [
            Some(row.description.as_str()),
            row.description_raw.as_deref(),
        ];
        let rule = rules.decide(texts, row.kind, kind);
        if rule == row.rule.as_deref() {
            continue;
        }
        let visible = difference(
            row.id,
            decided(row, row.rule.as_deref()),
            decided(row, rule),
        );
        changes.push(Change {
            id: row.id,
            rule,
            visible: visible.is_some(),
        });
        if let Some(one) = visible {
            told.entry(row.account).or_default().push((row.id, one));
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    statements::decide_stored(&app.db, txn, item.id, &changes, app.clock.now()).await?;
    if told.is_empty() {
        return Ok(());
    }
    let events = told
        .into_iter()
        .map(|(account, rows)| changed(account, TriggeredBy::Client, rows));
    event::append(txn, app, item, events.collect::<Vec<_>>()).await?;
    save(txn, item).await
}

/// The category of a stored transaction if a rule decides this.
fn decided(row: &Stored, rule: Option<&str>) -> Option<Decided> {
    let other = row.other.as_deref().zip(row.source);
    Decided::stored(row.user.as_deref(), rule, other)
}

/// What a client sees differently of a transaction whose category was decided anew.
pub(super) fn difference(
    id: Uuid,
    before: Option<Decided>,
    after: Option<Decided>,
) -> Option<Told> {
    let category = |decided: Option<Decided>| decided.map(|decided| decided.category);
    let source = |decided: Option<Decided>| decided.map(|decided| decided.source);
    let other = category(before) != category(after);
    Told::differing(
        EntityKind::Transaction,
        id,
        &[
            ("category", other),
            ("categoryId", other),
            ("categorySource", source(before) != source(after)),
        ],
    )
}

/// The event that transactions of an account are different.
pub(super) fn changed(account: Uuid, by: TriggeredBy, rows: Vec<(Uuid, Told)>) -> Draft {
    let (ids, told): (Vec<Uuid>, Vec<Told>) = rows.into_iter().unzip();
    Draft::new(EventType::TransactionsUpdated, Some(by))
        .of_account(account)
        .carrying(&RowsChanged {
            account_id: account,
            transaction_ids: ids.into(),
        })
        .telling(told)
}
