//! Statements of accounts: what an institution has issued for each month. Those that it no longer shows stay.
//!
//! A file is stored once for each Item, under the SHA-256 of its contents, as soon as it arrives; the statement that names
//! it is staged and merged like other products. Files that no statement names are removed by the next run that merges.

use std::{collections::HashMap, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{Datelike as _, Months, NaiveDate};
use entity::{execution, item, kind::EntityKind, statement, statement_file};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    QuerySelect as _, QueryTrait as _, sea_query::OnConflict,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use url::Url;
use uuid::Uuid;

use super::{
    paper::Paper,
    snapshot::{self, Snapshot},
    transaction::hex,
};
use crate::{
    app::App,
    clock::Timestamp,
    connector::StatementRecord,
    db::{
        page::Key,
        row::stored,
        snapshot::{Table, Vanished},
    },
    error::{Error, Result},
};

/// Where files are fetched, with the statement's id behind it.
pub const PATH: &str = "/statements";
/// How long an address works.
const ADDRESS_LASTS: Duration = Duration::from_mins(30);

const NOT_FOUND: Error = Error::NotFound { what: "statement" };

/// What there is to tell of a statement beside its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Issued {
    /// First day of the month that it is for.
    month: NaiveDate,
    /// Bytes of the file.
    size: usize,
    /// Of the file, hexadecimal.
    sha256: String,
}

impl Snapshot for Issued {
    const STAGED: &'static str = "statement";
    const ENTITY: EntityKind = EntityKind::Statement;
    const TABLE: Table = Table {
        name: "statement",
        parent: "account_id",
        columns: &["month", "sha256"],
        vanished: Vanished::Kept,
    };

    fn columns(&self) -> Vec<sea_orm::Value> {
        vec![self.month.into(), self.sha256.clone().into()]
    }
}

/// The first day of a month.
pub fn first_of_month(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

/// Stages a statement and stores its file.
pub async fn stage(
    txn: &impl ConnectionTrait,
    execution: &execution::Model,
    account_key: &str,
    record: StatementRecord,
) -> Result<()> {
    use statement_file::Column as C;

    let issued = Issued {
        month: first_of_month(record.month),
        size: record.contents.len(),
        sha256: hex(&Sha256::digest(&record.contents)),
    };
    let file = statement_file::ActiveModel {
        item_id: Set(execution.item_id),
        sha256: Set(issued.sha256.clone()),
        contents: Set(record.contents.into()),
    };
    statement_file::Entity::insert(file)
        .on_conflict(
            OnConflict::columns([C::ItemId, C::Sha256])
                .do_nothing()
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    let kind = snapshot::of_parent(Issued::STAGED, account_key);
    let document = snapshot::document(&issued)?;
    snapshot::stage(txn, execution.id, &kind, vec![(record.key, document)]).await
}

/// The first day of which there may be statements that are not stored, for each account of an Item that has some.
pub async fn to_read(app: &App, item: Uuid) -> Result<HashMap<Uuid, NaiveDate>> {
    let latest: Vec<(Uuid, NaiveDate)> = statement::Entity::find()
        .filter(statement::Column::ItemId.eq(item))
        .select_only()
        .column(statement::Column::AccountId)
        .column_as(statement::Column::Month.max(), "month")
        .group_by(statement::Column::AccountId)
        .into_tuple()
        .all(app.db.read())
        .await?;
    let next = latest.into_iter();
    Ok(next
        .map(|(account, month)| (account, month + Months::new(1)))
        .collect())
}

/// Removes the files of an Item that no statement names.
pub async fn sweep(txn: &impl ConnectionTrait, item: Uuid) -> Result<()> {
    let named = statement::Entity::find()
        .filter(statement::Column::ItemId.eq(item))
        .select_only()
        .column(statement::Column::Sha256);
    statement_file::Entity::delete_many()
        .filter(statement_file::Column::ItemId.eq(item))
        .filter(statement_file::Column::Sha256.not_in_subquery(named.into_query()))
        .exec(txn)
        .await?;
    Ok(())
}

/// Where the file of a statement can be fetched without a token, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address. Whoever has it has the file.
    pub url: Url,
    /// Until when it works.
    pub expires_at: Timestamp,
}

/// An address of the file of a statement, made for this moment.
pub fn address(app: &App, id: Uuid) -> Address {
    let expires_at = app.clock.now().plus(ADDRESS_LASTS);
    let mut url = app.config.base_url();
    let path = format!("{}{PATH}/{id}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url.query_pairs_mut()
        .append_pair("expires", &expires_at.0.to_string())
        .append_pair(
            "signature",
            &URL_SAFE_NO_PAD.encode(signature(app, id, expires_at)),
        );
    Address { url, expires_at }
}

fn signature(app: &App, id: Uuid, expires_at: Timestamp) -> [u8; 32] {
    let expires = expires_at.0.to_be_bytes();
    app.vault
        .digest(&[b"statement address", id.as_bytes(), &expires])
}

/// The file of a statement whose address somebody has. Fails with NOT_FOUND unless it is one of ours, and of a statement that
/// there still is, and with INVALID_INPUT once it has expired.
pub async fn file(app: &App, id: Uuid, expires: i64, signed: &str) -> Result<File> {
    let expires_at = Timestamp(expires);
    let signed = URL_SAFE_NO_PAD.decode(signed).map_err(|_| NOT_FOUND)?;
    if !bool::from(signature(app, id, expires_at).ct_eq(&signed)) {
        return Err(NOT_FOUND);
    }
    if app.clock.now() >= expires_at {
        let reason = "this address has expired; read the statement's `url` again";
        return Err(Error::invalid("expires", reason));
    }
    let row = statement::Entity::find_by_id(id)
        .one(app.db.read())
        .await?
        .ok_or(NOT_FOUND)?;
    item::Entity::owned_by(row.application_id)
        .filter(item::Column::Id.eq(row.item_id))
        .filter(item::Column::DeletedAt.is_null())
        .one(app.db.read())
        .await?
        .ok_or(NOT_FOUND)?;
    let stored = statement_file::Entity::find_by_id((row.item_id, row.sha256.clone()))
        .one(app.db.read())
        .await?
        .ok_or(NOT_FOUND)?;
    Ok(File {
        name: format!("statement-{}.pdf", month(&row)),
        contents: stored.contents,
    })
}

/// A file.
#[derive(Debug)]
pub struct File {
    /// What to call it.
    pub name: String,
    /// A PDF.
    pub contents: Vec<u8>,
}

/// The month of a statement: `YYYY-MM`.
pub fn month(row: &statement::Model) -> String {
    row.month.format("%Y-%m").to_string()
}

stored!(
    statement::Model {
        id,
        application_id,
        item_id,
        account_id,
        key,
        digest,
        month,
        sha256,
        details,
        created_at,
        updated_at
    },
    |row| Key::Day(row.month, row.id)
);

impl Paper for statement::Model {
    const ENTITY: EntityKind = EntityKind::Statement;
    const ORDER: &'static [&'static str] = &["month", "id"];

    fn id(&self) -> Uuid {
        self.id
    }

    fn account(&self) -> Uuid {
        self.account_id
    }

    fn item(&self) -> Uuid {
        self.item_id
    }
}
