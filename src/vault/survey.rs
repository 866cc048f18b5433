//! Which master keys a database is under, and whether the given ones open it. Reads only.

use entity::{data_key, system_key};
use sea_orm::{ColumnTrait as _, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _};

use super::{MasterKeys, master, unwrap_all};
use crate::{clock::Rng, config::MasterKeySource, db::Db, error::Result};

/// How the given master keys stand to a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Ids of the given keys, the current one first.
    pub given: Vec<String>,
    /// Ids of the keys that something is under.
    pub used: Vec<String>,
    /// The key that wraps new keys, as the database knows it; `None` before the first start.
    pub current: Option<String>,
}

impl Survey {
    /// Keys that something is under and that are not given.
    pub fn missing(&self) -> Vec<&str> {
        let used = self.used.iter().map(String::as_str);
        used.filter(|kid| !self.given.iter().any(|given| given == kid))
            .collect()
    }

    /// Keys other than the current one that something is still under.
    pub fn old(&self) -> Vec<&str> {
        let used = self.used.iter().map(String::as_str);
        used.filter(|kid| self.given.first().map(String::as_str) != Some(kid))
            .collect()
    }
}

/// Compares the given master keys with what a database is under, and opens every system key and a data key of each.
///
/// Fails when the keys cannot be read, and when one of them is not the key whose id it has.
pub async fn survey(db: &Db, source: &MasterKeySource, rng: &Rng) -> Result<Survey> {
    let source = match source {
        MasterKeySource::File { path, .. } => MasterKeySource::File {
            path: path.clone(),
            create: false,
        },
        other => other.clone(),
    };
    let masters = MasterKeys::read(&source, rng)?;
    let rows = system_key::Entity::find().all(db.read()).await?;
    let mut used: Vec<String> = rows.iter().map(|row| row.master_kid.clone()).collect();
    let known: Vec<_> = rows
        .into_iter()
        .filter(|row| masters.knows(&row.master_kid))
        .collect();
    let all = known.len() == used.len();
    if all && !known.is_empty() {
        unwrap_all(&known, &masters)?;
    }
    // From key to key along the index, however many values there are.
    let mut last = String::new();
    while let Some(row) = data_key::Entity::find()
        .filter(data_key::Column::MasterKid.gt(last.as_str()))
        .order_by_asc(data_key::Column::MasterKid)
        .limit(1)
        .one(db.read())
        .await?
    {
        if masters.knows(&row.master_kid) {
            masters.unwrap(&row.master_kid, &row.wrapped, row.id.as_bytes())?;
        }
        last.clone_from(&row.master_kid);
        used.push(row.master_kid);
    }
    used.sort();
    used.dedup();
    Ok(Survey {
        given: masters.kids().map(str::to_owned).collect(),
        used,
        current: master::current_kid(db.read()).await?,
    })
}
