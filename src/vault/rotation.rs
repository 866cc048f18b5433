//! Rotation of the master key: online, in batches, resumable.
//!
//! The new key is put in front of the old ones, the database tells every node of it, the nodes read their keys anew,
//! and every wrapped key is wrapped again. Only when nothing is left under an old key is the old key dropped.

use std::time::Duration;

use entity::{data_key, system_key};
use sea_orm::{
    ColumnTrait as _, EntityTrait, PaginatorTrait as _, QueryFilter as _, QuerySelect as _,
    sea_query::Expr,
};

use super::{MasterKeys, master};
use crate::{
    clock::{Clock, Rng},
    config::MasterKeySource,
    db::Db,
    error::{Error, Result},
};

const BATCH: u64 = 200;

/// What a rotation did.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// Id of the key that wraps everything now.
    pub current: String,
    /// How many keys were wrapped again.
    pub rewrapped: u64,
    /// Whether the old keys were removed from the key file. Keys given as a setting, or in a file that cannot be written, are
    /// the operator's to remove.
    pub old_keys_dropped: bool,
}

/// Rotates the master key beside running servers.
///
/// With a key file of one key, a new key is made and put first. With several keys (a rotation that was begun, or keys
/// that the operator wrote), the first becomes current. `beat` is how often nodes look for new keys: the old key is
/// dropped only after nothing has come under it for two beats.
pub async fn rotate(
    db: &Db,
    source: &MasterKeySource,
    clock: &Clock,
    rng: &Rng,
    beat: Duration,
) -> Result<Rotation> {
    let masters = MasterKeys::read(source, rng)?;
    let masters = match source {
        MasterKeySource::File { path, .. } if masters.kids().count() == 1 => {
            let old = master::read_file(path)?;
            let fresh = master::fresh(rng);
            let mut lines = vec![fresh.as_str()];
            lines.extend(old.lines());
            master::write_file(path, &lines)?;
            MasterKeys::read(source, rng)?
        }
        MasterKeySource::Inline(_) if masters.kids().count() == 1 => {
            return Err(Error::internal(
                "PONTE_MASTER_KEY holds one key: put the new key before it, separated by a comma, on every node; then rotate",
            ));
        }
        _ => masters,
    };
    master::remember_current(db.write(), masters.current_kid()).await?;
    let mut rewrapped = 0;
    loop {
        let moved = rewrap(db, &masters, rng).await?;
        rewrapped += moved;
        // A node that has not yet learnt the new key may still wrap with the old one.
        clock.sleep(beat * 2).await;
        if moved == 0 && left(db, &masters).await? == 0 {
            break;
        }
    }
    let mut old_keys_dropped = matches!(source, MasterKeySource::File { .. });
    if let MasterKeySource::File { path, .. } = source {
        let text = master::read_file(path)?;
        let first = text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty() && !line.starts_with('#'))
            .ok_or_else(|| Error::internal("the master key file has become empty"))?;
        let first = first.split(',').next().unwrap_or(first);
        // A secret that is mounted cannot be written from here; everything is under the new key all the same.
        if let Err(error) = master::write_file(path, &[first]) {
            tracing::warn!(error = error.in_full(), "the old keys stay in the key file");
            old_keys_dropped = false;
        }
    }
    Ok(Rotation {
        current: masters.current_kid().to_owned(),
        rewrapped,
        old_keys_dropped,
    })
}

async fn left(db: &Db, masters: &MasterKeys) -> Result<u64> {
    let kid = masters.current_kid();
    let data = data_key::Entity::find()
        .filter(data_key::Column::MasterKid.ne(kid))
        .count(db.read())
        .await?;
    let system = system_key::Entity::find()
        .filter(system_key::Column::MasterKid.ne(kid))
        .count(db.read())
        .await?;
    Ok(data + system)
}

/// Wraps again whatever is under another key than the current one. Each row is replaced only if it is still as read.
async fn rewrap(db: &Db, masters: &MasterKeys, rng: &Rng) -> Result<u64> {
    let mut count = 0;
    for row in system_key::Entity::find()
        .filter(system_key::Column::MasterKid.ne(masters.current_kid()))
        .all(db.read())
        .await?
    {
        let key = masters.unwrap(&row.master_kid, &row.wrapped, row.id.as_bytes())?;
        let (wrapped, kid) = masters.wrap(&key, row.id.as_bytes(), rng)?;
        count += system_key::Entity::update_many()
            .col_expr(system_key::Column::Wrapped, Expr::value(wrapped))
            .col_expr(system_key::Column::MasterKid, Expr::value(kid))
            .filter(system_key::Column::Id.eq(row.id))
            .filter(system_key::Column::MasterKid.eq(row.master_kid))
            .exec(db.write())
            .await?
            .rows_affected;
    }
    loop {
        let rows = data_key::Entity::find()
            .filter(data_key::Column::MasterKid.ne(masters.current_kid()))
            .limit(BATCH)
            .all(db.read())
            .await?;
        if rows.is_empty() {
            return Ok(count);
        }
        let txn = db.begin().await?;
        for row in rows {
            let key = masters.unwrap(&row.master_kid, &row.wrapped, row.id.as_bytes())?;
            let (wrapped, kid) = masters.wrap(&key, row.id.as_bytes(), rng)?;
            count += data_key::Entity::update_many()
                .col_expr(data_key::Column::Wrapped, Expr::value(wrapped))
                .col_expr(data_key::Column::MasterKid, Expr::value(kid))
                .filter(data_key::Column::Id.eq(row.id))
                .filter(data_key::Column::MasterKid.eq(row.master_kid))
                .exec(&txn)
                .await?
                .rows_affected;
        }
        txn.commit().await?;
    }
}
