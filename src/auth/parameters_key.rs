//! Keys under which clients encrypt parameters: one for each application, made when it is first asked for.
//!
//! One that was replaced opens for a day longer.

use entity::{
    application,
    parameters_key::{Column, Entity, Model},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, Condition, ConnectionTrait, DatabaseTransaction,
    EntityTrait as _, IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::Expr,
};
use tokio::sync::Mutex;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    app::App,
    clock::{Clock, Rng, Timestamp},
    error::{Error, Result},
    vault::{Pair, Scope, Vault},
    webhook::keys::OVERLAP,
};

/// How clients encrypt, by its name in JOSE.
pub const ALGORITHM: &str = Pair::ALGORITHM;

/// Held by whoever of this process makes an application's first key.
static MAKING: Mutex<()> = Mutex::const_new(());
/// Replaced keys that are removed at once.
const FORGOTTEN: u64 = 200;

fn scope(application: Uuid, key: Uuid) -> Scope {
    Scope::of_application(application, key, "private_key")
}

/// The key that an application's clients encrypt with now; the first who asks has it made.
pub async fn current(app: &App, application: Uuid) -> Result<Model> {
    if let Some(row) = find(app.db.read(), application).await? {
        return Ok(row);
    }
    // Many may ask at first; one is enough.
    let _one = MAKING.lock().await;
    if let Some(row) = find(app.db.read(), application).await? {
        return Ok(row);
    }
    let pair = Pair::generate().await?;
    let owner = app.clone();
    app.unit(async move {
        let txn = owner.db.begin().await?;
        hold(&txn, application).await?;
        if let Some(row) = find(&txn, application).await? {
            return Ok(row);
        }
        let means = (&owner.vault, &owner.clock, &owner.rng);
        let row = insert(&txn, means, application, &pair).await?;
        txn.commit().await?;
        Ok(row)
    })
    .await
}

/// Stores a pair as an application's current one. The caller holds the application's row and knows that it has none.
pub(super) async fn insert(
    txn: &DatabaseTransaction,
    (vault, clock, rng): (&Vault, &Clock, &Rng),
    application: Uuid,
    pair: &Pair,
) -> Result<Model> {
    let now = clock.now();
    let id = rng.id(now);
    let row = Model {
        id,
        application_id: application,
        private_key: vault
            .seal(txn, scope(application, id), &pair.private)
            .await?,
        public_key: pair.public.clone(),
        created_at: now,
        good_until: None,
    };
    Entity::insert(row.clone().into_active_model().reset_all())
        .exec_without_returning(txn)
        .await?;
    Ok(row)
}

/// Holds an application's row, so that its keys are one transaction's business at a time.
pub(super) async fn hold(txn: &DatabaseTransaction, application: Uuid) -> Result<()> {
    application::Entity::find_by_id(application)
        .select_only()
        .column(application::Column::Id)
        .lock_exclusive()
        .into_tuple::<Uuid>()
        .one(txn)
        .await?
        .map(|_| ())
        .ok_or(Error::NotFound {
            what: "application",
        })
}

/// The current key of an application, if it has been asked for before.
async fn find(connection: &impl ConnectionTrait, application: Uuid) -> Result<Option<Model>> {
    Ok(Entity::owned_by(application)
        .filter(Column::GoodUntil.is_null())
        .one(connection)
        .await?)
}

/// Replaces the current key of an application, if it has one: it opens for a day longer. Answers until when.
pub(super) async fn retire(
    txn: &DatabaseTransaction,
    application: Uuid,
    now: Timestamp,
) -> Result<Option<Timestamp>> {
    let until = now.plus(OVERLAP);
    let replaced = Entity::update_many()
        .col_expr(Column::GoodUntil, Expr::value(until.0))
        .filter(Column::ApplicationId.eq(application))
        .filter(Column::GoodUntil.is_null())
        .exec(txn)
        .await?;
    Ok((replaced.rows_affected > 0).then_some(until))
}

/// Removes keys that open nothing any more, and says how many.
pub async fn forget(app: &App) -> Result<usize> {
    let now = app.clock.now();
    let old = Entity::find()
        .filter(Column::GoodUntil.lte(now.0))
        .limit(FORGOTTEN)
        .all(app.db.read())
        .await?;
    if old.is_empty() {
        return Ok(0);
    }
    let owner = app.clone();
    app.unit(async move {
        let txn = owner.db.begin().await?;
        for row in &old {
            owner.vault.destroy(&txn, Some(&row.private_key)).await?;
            Entity::delete_by_id(row.id).exec(&txn).await?;
        }
        txn.commit().await?;
        Ok(old.len())
    })
    .await
}

/// Opens what was encrypted for an application under a key that is still good: the one that is named, or any. `None` when
/// it does not open.
pub async fn open(
    app: &App,
    application: Uuid,
    key: Option<Uuid>,
    ciphertext: Vec<u8>,
) -> Result<Option<Zeroizing<Vec<u8>>>> {
    let good = Condition::any()
        .add(Column::GoodUntil.is_null())
        .add(Column::GoodUntil.gt(app.clock.now().0));
    let mut keys = Entity::owned_by(application)
        .filter(good)
        .order_by_desc(Column::Id);
    if let Some(id) = key {
        keys = keys.filter(Column::Id.eq(id));
    }
    let mut private = Vec::new();
    for row in keys.all(app.db.read()).await? {
        let scope = scope(application, row.id);
        let opened = app.vault.unseal(app.db.read(), scope, &row.private_key);
        private.push(opened.await?);
    }
    Pair::decrypt(private, ciphertext).await
}
