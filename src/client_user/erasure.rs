//! Erasing a client user.
//!
//! One transaction orders it: it notes which Items there are, revokes the user's connect tokens and drops what else is kept
//! under the user's name. From then on it cannot be lost: whoever ordered it deletes the first Items, this module's loop the
//! others, each in a transaction of its own, as `deleteItem` does. An Item that is made meanwhile is not among them.
//!
//! The log names the user until what is still to be sent of it has been sent, or for [`PATIENCE`]; then every event that
//! does not belong to an Item of a later user of that name forgets it, stretch by stretch. The order itself goes last, when
//! no page of the database, its log included, holds the name any more. Every step can be repeated.

use std::time::Duration;

use entity::{
    connect_token, erasure, erasure_item, idempotency_key, item, kind::AuditAction, upload,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, DatabaseTransaction, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Condition, Expr},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    audit::{self, Actor, Entry},
    auth::Principal,
    category,
    clock::Timestamp,
    db::erasure::{self as statements, Stretch},
    error::{Error, Result},
    event::cursor,
    item::{self as items, check_client_user_id},
};

/// Most Items that are deleted before the answer.
const AT_ONCE: usize = 100;
/// Most Items of an erasure that are deleted before it is another's turn.
const IN_TURN: usize = 1_000;
/// Items that are looked up together.
const BATCH: u64 = 100;
/// Positions of the log that one transaction goes through.
const STRETCH: i64 = 5_000;
/// Orders that are gone on with in turn.
const ORDERS: u64 = 20;
/// How often the loop looks without a hint.
const BEAT: Duration = Duration::from_secs(10);
/// How long what is still to be sent keeps the user's name: longer than deliveries are tried.
pub const PATIENCE: Duration = Duration::from_hours(4 * 24);

/// How far an erasure has come.
#[derive(Debug)]
pub struct Erased {
    /// Items that are gone since this was asked for.
    pub items: Vec<Uuid>,
    /// Items that are still to go.
    pub remaining: i64,
}

/// Erases a client user. When this returns it has been ordered for good, the user's connect tokens are revoked, and the
/// first Items are gone.
pub async fn delete(app: &App, principal: &Principal, client_user_id: &str) -> Result<Erased> {
    principal.require_api_key("delete client users")?;
    check_client_user_id(Some(client_user_id))?;
    let (owner, principal, user) = (app.clone(), principal.clone(), client_user_id.to_owned());
    let work = Box::pin(async move {
        let row = order(&owner, &principal, &user).await?;
        let items = delete_items(&owner, &row, AT_ONCE).await?;
        let remaining = statements::left(&owner.db, owner.db.write(), row.id).await?;
        Ok(Erased { items, remaining })
    });
    let erased = app.unit(work).await?;
    app.wakes.relay.notify();
    app.wakes.purge.notify();
    app.wakes.erasure.notify();
    Ok(erased)
}

/// Orders an erasure, or orders a running one anew: it then also takes what has come since.
async fn order(app: &App, principal: &Principal, user: &str) -> Result<erasure::Model> {
    let (application, now) = (principal.application, app.clock.now());
    let txn = app.db.begin().await?;
    let digest = audit::client_user(&app.vault, application, user);
    app.db.lock_digest(&txn, &digest).await?;
    let running = erasure::Entity::owned_by(application)
        .filter(erasure::Column::ClientUserId.eq(user))
        .lock_exclusive()
        .one(&txn)
        .await?;
    let actor = Actor::from(principal);
    let row = erasure::Model {
        id: running
            .as_ref()
            .map_or_else(|| app.rng.id(now), |row| row.id),
        application_id: application,
        client_user_id: Some(user.to_owned()),
        actor: json!(actor),
        scrubbed: 0,
        requested_at: now,
    };
    let stored = row.clone().into_active_model().reset_all();
    if running.is_some() {
        erasure::Entity::update(stored).exec(&txn).await?;
    } else {
        erasure::Entity::insert(stored)
            .exec_without_returning(&txn)
            .await?;
    }
    let items = statements::list_items(&app.db, &txn, row.id, application, user).await?;
    let tokens = revoke_tokens(&txn, application, user, now).await?;
    drop_uploads(&txn, application, &tokens).await?;
    idempotency_key::Entity::delete_many()
        .filter(idempotency_key::Column::ApplicationId.eq(application))
        .filter(idempotency_key::Column::ClientUserId.eq(user))
        .exec(&txn)
        .await?;
    category::rule::forget(&txn, application, user).await?;
    Entry::new(application, AuditAction::ClientUserDeleted, actor)
        .about(&app.vault, Some(user))
        .with("items", items)
        .with("connectTokens", tokens.len())
        .append(&txn, &app.clock, &app.rng)
        .await?;
    txn.commit().await?;
    app.applications.revoke(tokens);
    Ok(row)
}

/// Ends the connect tokens that were made for the user or for one of the user's Items, and takes from them what they say.
async fn revoke_tokens(
    txn: &DatabaseTransaction,
    application: Uuid,
    user: &str,
    now: Timestamp,
) -> Result<Vec<Uuid>> {
    use connect_token::{Column as C, Entity};

    let items = item::Entity::owned_by(application)
        .filter(item::Column::ClientUserId.eq(user))
        .filter(item::Column::DeletedAt.is_null())
        .select_only()
        .column(item::Column::Id);
    let theirs = Condition::any()
        .add(C::ClientUserId.eq(user))
        .add(C::ItemId.in_subquery(sea_orm::QueryTrait::into_query(items)));
    let tokens: Vec<Uuid> = Entity::owned_by(application)
        .filter(C::RevokedAt.is_null())
        .filter(theirs)
        .select_only()
        .column(C::Id)
        .into_tuple()
        .all(txn)
        .await?;
    for some in tokens.chunks(500) {
        let nothing = || Expr::value(None::<String>);
        Entity::update_many()
            .col_expr(C::RevokedAt, Expr::value(Some(now.0)))
            .col_expr(C::ClientUserId, nothing())
            .col_expr(C::WebhookUrl, nothing())
            .col_expr(C::OauthRedirectUri, nothing())
            .filter(C::Id.is_in(some.iter().copied()))
            .exec(txn)
            .await?;
    }
    Ok(tokens)
}

/// Drops files that these tokens brought and no Item has taken.
async fn drop_uploads(txn: &DatabaseTransaction, application: Uuid, tokens: &[Uuid]) -> Result<()> {
    for some in tokens.chunks(500) {
        let uploads: Vec<Uuid> = upload::Entity::owned_by(application)
            .filter(upload::Column::ItemId.is_null())
            .filter(upload::Column::ConnectTokenId.is_in(some.iter().copied()))
            .select_only()
            .column(upload::Column::Id)
            .into_tuple()
            .all(txn)
            .await?;
        for id in uploads {
            items::upload::delete(txn, id).await?;
        }
    }
    Ok(())
}

/// Goes on with erasures until the node stops.
pub async fn run(app: App) {
    while app.running() {
        match run_once(&app).await {
            Ok(0) => app.wakes.erasure.wait(&app, BEAT).await,
            Ok(_) => {}
            Err(error) => app.log_and_pause("erasure", &error).await,
        }
    }
}

/// Goes on with erasures and says how much there was to do.
pub async fn run_once(app: &App) -> Result<usize> {
    let rows = erasure::Entity::find()
        .order_by_asc(erasure::Column::RequestedAt)
        .limit(ORDERS)
        .all(app.db.read())
        .await?;
    let mut done = 0;
    for row in rows {
        let owner = app.clone();
        // Its way into the task moves it a few times.
        let work = Box::pin(async move { go_on(&owner, &row).await });
        done += app.unit(work).await?;
    }
    Ok(done)
}

async fn go_on(app: &App, row: &erasure::Model) -> Result<usize> {
    let Some(user) = &row.client_user_id else {
        return finish(app, row).await;
    };
    let deleted = delete_items(app, row, IN_TURN).await?.len();
    if deleted > 0 {
        app.wakes.relay.notify();
        app.wakes.purge.notify();
    }
    if statements::left(&app.db, app.db.write(), row.id).await? > 0 {
        return Ok(deleted);
    }
    Ok(deleted + scrub(app, row, user).await?)
}

/// Deletes Items of an erasure, at most so many, and says which.
async fn delete_items(app: &App, row: &erasure::Model, most: usize) -> Result<Vec<Uuid>> {
    let actor: Actor = serde_json::from_value(row.actor.clone()).map_err(Error::internal)?;
    let mut deleted = Vec::new();
    while deleted.len() < most && app.running() {
        let some: Vec<Uuid> = erasure_item::Entity::find()
            .filter(erasure_item::Column::ErasureId.eq(row.id))
            .order_by_asc(erasure_item::Column::ItemId)
            .limit(BATCH.min((most - deleted.len()) as u64))
            .select_only()
            .column(erasure_item::Column::ItemId)
            .into_tuple()
            .all(app.db.write())
            .await?;
        if some.is_empty() {
            break;
        }
        for id in some {
            if delete_item(app, row, &actor, id).await? {
                deleted.push(id);
            }
        }
    }
    Ok(deleted)
}

/// Deletes one Item of an erasure; `false` when somebody else has.
async fn delete_item(app: &App, row: &erasure::Model, actor: &Actor, id: Uuid) -> Result<bool> {
    let txn = app.db.begin().await?;
    let found = item::Entity::owned_by(row.application_id)
        .filter(item::Column::Id.eq(id))
        .filter(item::Column::DeletedAt.is_null())
        .lock_exclusive()
        .one(&txn)
        .await?;
    let there = found.is_some();
    if let Some(item) = found {
        items::remove(&txn, app, &mut items::Held::stored(item), actor).await?;
    }
    erasure_item::Entity::delete_by_id((row.id, id))
        .exec(&txn)
        .await?;
    txn.commit().await?;
    Ok(there)
}

/// Makes the log forget the user as far as it may, and says how many events that were.
async fn scrub(app: &App, row: &erasure::Model, user: &str) -> Result<usize> {
    let application = row.application_id;
    if statements::unpublished(&app.db, application, user).await? {
        return Ok(0);
    }
    let head = cursor::head(app, application).await?;
    let all = app.clock.now().since(row.requested_at) >= PATIENCE;
    let mut stretch = Stretch {
        application,
        after: row.scrubbed,
        to: row.scrubbed,
        client_user_id: user,
    };
    let (mut scrubbed, mut spared) = (0, None);
    loop {
        stretch.to = head.min(stretch.after + STRETCH);
        let txn = app.db.begin().await?;
        // Ordered anew meanwhile: from the start then.
        let Some(mut order) = lock(&txn, row).await? else {
            return Ok(scrubbed);
        };
        let events = statements::scrub(&app.db, &txn, stretch, all).await?;
        scrubbed += usize::try_from(events).unwrap_or(usize::MAX);
        if spared.is_none() {
            spared = statements::first_told(&app.db, &txn, stretch).await?;
            order.scrubbed = spared.map_or(stretch.to, |first| first - 1);
        }
        let ended = stretch.to >= head;
        if ended && spared.is_none() {
            order.client_user_id = None;
            scrubbed += 1;
        }
        erasure::Entity::update(order.into_active_model().reset_all())
            .exec(&txn)
            .await?;
        txn.commit().await?;
        if ended || !app.running() {
            return Ok(scrubbed);
        }
        stretch.after = stretch.to;
    }
}

/// Holds the row of an erasure, unless it has been ordered anew.
async fn lock(txn: &DatabaseTransaction, row: &erasure::Model) -> Result<Option<erasure::Model>> {
    let held = erasure::Entity::find_by_id(row.id)
        .lock_exclusive()
        .one(txn)
        .await?;
    Ok(held.filter(|held| {
        held.requested_at == row.requested_at
            && held.actor == row.actor
            && held.client_user_id == row.client_user_id
    }))
}

/// Forgets an erasure once no page holds the name any more that it was about.
async fn finish(app: &App, row: &erasure::Model) -> Result<usize> {
    if !app.db.truncate_log().await? {
        return Ok(0);
    }
    let gone = erasure::Entity::delete_by_id(row.id)
        .exec(app.db.write())
        .await?;
    Ok(usize::try_from(gone.rows_affected).unwrap_or(usize::MAX))
}
