//! Connectors that come to an end: announced 30 days ahead, then their Items are deleted.
//!
//! The operator gives notice and may take it back until then. Meanwhile new Items are refused, those that exist go
//! on, `Connector.retiresAt` and an event say what is coming. Nothing is ever announced by itself: a node that does not
//! know a connector may only be older than the others. Until somebody decides, Items of such a connector are shown and
//! do not run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{PoisonError, RwLock},
    time::Duration,
};

use entity::{connector_notice, item, kind::AuditAction};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, DatabaseTransaction,
    EntityTrait as _, IntoActiveModel as _, ModelTrait as _, PaginatorTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, sea_query::OnConflict,
};
use serde::Serialize;
use uuid::Uuid;

use super::{Held, health, remove};
use crate::{
    app::App,
    audit::{Actor, Entry},
    clock::Timestamp,
    db::{self, Db},
    error::{Error, Result},
};

/// Between the notice and the end (domain: "deleted 30 days after the deprecation notice").
const NOTICE: Duration = Duration::from_hours(30 * 24);
/// Items that one statement brings.
const BATCH: u64 = 500;

/// The notices that were given, as last read.
#[derive(Debug, Default)]
pub struct Notices(RwLock<BTreeMap<i32, Timestamp>>);

impl Notices {
    /// Reads all of them again.
    pub async fn refresh(&self, db: &Db) -> Result<()> {
        let rows = connector_notice::Entity::find().all(db.read()).await?;
        let notices = rows.into_iter().map(|row| (row.connector_id, end(&row)));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = notices.collect();
        Ok(())
    }

    /// When the Items of a connector are deleted; `None` when it stays.
    pub fn ends_at(&self, connector: i32) -> Option<Timestamp> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&connector).copied()
    }

    fn ended(&self, now: Timestamp) -> Vec<i32> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let ended = known.iter().filter(|(_, ends)| **ends <= now);
        ended.map(|(connector, _)| *connector).collect()
    }

    fn given(&self) -> Vec<i32> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.keys().copied().collect()
    }
}

/// When the Items of a connector are deleted, as stored.
pub(super) async fn ends_at(
    connection: &impl ConnectionTrait,
    connector: i32,
) -> Result<Option<Timestamp>> {
    let notice = connector_notice::Entity::find_by_id(connector)
        .one(connection)
        .await?;
    Ok(notice.as_ref().map(end))
}

fn end(notice: &connector_notice::Model) -> Timestamp {
    notice.noticed_at.plus(NOTICE)
}

/// A connector, as its operator is told of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    /// The domain's id.
    pub id: i32,
    /// Its name; `None` when this version does not have it.
    pub name: Option<&'static str>,
    /// How many Items there are.
    pub items: u64,
    /// When they are deleted, if notice was given.
    pub retires_at: Option<String>,
}

/// All connectors of this version, those that there still are Items of, and those that notice was given of.
pub async fn list(app: &App) -> Result<Vec<Listed>> {
    let counts = db::item::by_connector(&app.db).await?;
    let known = app
        .connectors
        .list()
        .map(|connector| connector.descriptor().id);
    let ids: BTreeSet<i32> = known
        .chain(counts.keys().copied())
        .chain(app.retirements.given())
        .collect();
    let items = |id| counts.get(&id).copied().unwrap_or_default();
    Ok(ids
        .into_iter()
        .map(|id| listed(app, id, items(id)))
        .collect())
}

fn listed(app: &App, id: i32, items: u64) -> Listed {
    let known = app.connectors.find(id);
    Listed {
        id,
        name: known.map(|connector| connector.descriptor().name),
        items,
        retires_at: app.retirements.ends_at(id).map(|at| at.to_string()),
    }
}

/// Gives notice of a connector's end and tells every application that has an Item there. A notice that was given stays as
/// it is.
pub async fn retire(app: &App, connector: i32) -> Result<Listed> {
    let txn = app.db.begin().await?;
    let items = items_of(&txn, connector).await?;
    if items == 0 && app.connectors.find(connector).is_none() {
        return Err(Error::NotFound { what: "connector" });
    }
    let notice = connector_notice::Model {
        connector_id: connector,
        noticed_at: app.clock.now(),
    };
    let given = connector_notice::Entity::insert(notice.clone().into_active_model().reset_all())
        .on_conflict(
            OnConflict::column(connector_notice::Column::ConnectorId)
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(&txn)
        .await?;
    if given > 0 {
        tell(&txn, app, connector, Some(end(&notice))).await?;
    }
    txn.commit().await?;
    app.retirements.refresh(&app.db).await?;
    Ok(listed(app, connector, items))
}

/// Takes a notice back, and tells so. Refused while Items are being deleted at the end; once all are gone it opens the
/// connector again.
pub async fn keep(app: &App, connector: i32) -> Result<Listed> {
    let txn = app.db.begin().await?;
    let notice = connector_notice::Entity::find_by_id(connector)
        .lock_exclusive()
        .one(&txn)
        .await?
        .ok_or(Error::NotFound {
            what: "notice of that connector's retirement",
        })?;
    let items = items_of(&txn, connector).await?;
    if items > 0 && end(&notice) <= app.clock.now() {
        return Err(Error::invalid(
            "id",
            "that connector has come to its end: try again once its items are gone",
        ));
    }
    notice.delete(&txn).await?;
    tell(&txn, app, connector, None).await?;
    txn.commit().await?;
    app.retirements.refresh(&app.db).await?;
    Ok(listed(app, connector, items))
}

/// Tells every application that has an Item there, and notes it in their audit logs.
async fn tell(
    txn: &DatabaseTransaction,
    app: &App,
    connector: i32,
    retires_at: Option<Timestamp>,
) -> Result<()> {
    let told = health::tell_all(txn, app, connector, retires_at).await?;
    let action = match retires_at {
        Some(_) => AuditAction::ConnectorRetired,
        None => AuditAction::ConnectorKept,
    };
    for application in told {
        Entry::new(application, action, Actor::operator())
            .with("connectorId", connector)
            .append(txn, &app.clock, &app.rng)
            .await?;
    }
    tracing::warn!(connector.id = connector, %action, "a connector's retirement was decided");
    Ok(())
}

async fn items_of(txn: &DatabaseTransaction, connector: i32) -> Result<u64> {
    Ok(item::Entity::find()
        .filter(item::Column::ConnectorId.eq(connector))
        .filter(item::Column::DeletedAt.is_null())
        .count(txn)
        .await?)
}

/// Fails with CONNECTOR_RETIRED when a connector takes no new Items.
pub(super) async fn admit(txn: &DatabaseTransaction, connector: i32) -> Result<()> {
    match ends_at(txn, connector).await? {
        Some(_) => Err(Error::ConnectorRetired(
            "the connector is being retired and takes no new items",
        )),
        None => Ok(()),
    }
}

/// Deletes some Items of connectors that have come to their end, and says how many. One that cannot be deleted holds up no
/// other.
pub(super) async fn run_once(app: &App) -> Result<usize> {
    let mut deleted = 0;
    for connector in app.retirements.ended(app.clock.now()) {
        let left: Vec<Uuid> = item::Entity::find()
            .filter(item::Column::ConnectorId.eq(connector))
            .filter(item::Column::DeletedAt.is_null())
            .order_by_asc(item::Column::Id)
            .limit(BATCH)
            .select_only()
            .column(item::Column::Id)
            .into_tuple()
            .all(app.db.read())
            .await?;
        for id in left {
            let owner = app.clone();
            // Its way into the task moves it a few times.
            let work = Box::pin(async move { delete(&owner, id, connector).await });
            match app.unit(work).await {
                Ok(done) => deleted += usize::from(done),
                Err(error) => error.log("deletion of a retired connector's item"),
            }
        }
    }
    if deleted > 0 {
        app.wakes.relay.notify();
        app.wakes.purge.notify();
    }
    Ok(deleted)
}

/// Deletes an Item, unless it is gone or the notice has been taken back meanwhile; says whether it has.
async fn delete(app: &App, id: Uuid, connector: i32) -> Result<bool> {
    let txn = app.db.begin().await?;
    let notice = connector_notice::Entity::find_by_id(connector)
        .lock_shared()
        .one(&txn)
        .await?;
    if notice.is_none_or(|notice| end(&notice) > app.clock.now()) {
        return Ok(false);
    }
    let row = item::Entity::find_by_id(id)
        .filter(item::Column::DeletedAt.is_null())
        .lock_exclusive()
        .one(&txn)
        .await?;
    let Some(row) = row else { return Ok(false) };
    remove(&txn, app, &mut Held::stored(row), &Actor::ponte()).await?;
    txn.commit().await?;
    Ok(true)
}
