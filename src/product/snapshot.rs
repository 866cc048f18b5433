//! Products that an institution shows whole: staged as documents, merged by key and content, one parent at a time.
//!
//! A parent is the Item, or a row of another product: an investment, an account. What is stored and equal is neither
//! written nor told, what has changed keeps its id, and a merge that is repeated changes nothing. What a merge has to tell
//! is staged too, and told by the end of the run.

use std::collections::{HashMap, HashSet};

use entity::{
    execution,
    kind::{EntityKind, Product},
    staged_document,
};
use sea_orm::{
    ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, sea_query::OnConflict,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Counts, investment, statement::Issued};
use crate::{
    app::App,
    connector::{
        BATCH_ROWS, BillRecord, InvestmentRecord, InvestmentTransactionRecord, LoanRecord, Window,
    },
    db::snapshot::{self as rows, Owner, Row, Side, Table, Vanished},
    error::{Error, Result},
    event::change::Told,
};

/// What the changes that a merge has to tell are staged as.
const TOLD: &str = "told";
/// Most documents that one transaction removes.
const BATCH: usize = 2_000;

/// A record of such a product. Its fields are named as the public schema names them.
pub trait Snapshot: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What it is staged as.
    const STAGED: &'static str;
    /// What changes tell of it as.
    const ENTITY: EntityKind;
    /// Where it is stored.
    const TABLE: Table;

    /// Values of the columns of [`Self::TABLE`].
    fn columns(&self) -> Vec<sea_orm::Value>;
}

/// What the documents of a product are staged as, its own and those of its parents.
pub fn staged_by(product: Product) -> &'static [&'static str] {
    match product {
        Product::Investments => &[InvestmentRecord::STAGED],
        Product::InvestmentsTransactions => {
            &[InvestmentTransactionRecord::STAGED, investment::COVERED]
        }
        Product::Loans => &[LoanRecord::STAGED],
        Product::CreditCards => &[BillRecord::STAGED],
        Product::AccountStatements => &[Issued::STAGED],
        Product::Accounts
        | Product::Transactions
        | Product::PaymentData
        | Product::Identity
        | Product::BrokerageNote
        | Product::MoveSecurity => &[],
    }
}

/// What the rows of a parent are staged as.
pub fn of_parent(kind: &str, parent: &str) -> String {
    format!("{kind}/{parent}")
}

/// A record as it is staged and stored: what the institution does not tell is left out, and so is NUL, which PostgreSQL
/// does not take in a text.
pub fn document(record: &impl Serialize) -> Result<Value> {
    let mut document = serde_json::to_value(record).map_err(Error::internal)?;
    if let Some(fields) = document.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    without_nul(&mut document);
    Ok(document)
}

fn without_nul(value: &mut Value) {
    match value {
        Value::String(text) => text.retain(|c| c != '\0'),
        Value::Array(values) => values.iter_mut().for_each(without_nul),
        Value::Object(fields) => fields.values_mut().for_each(without_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Stages documents by key, replacing those that are staged under their keys. The last of several with one key wins.
pub async fn stage(
    txn: &impl ConnectionTrait,
    execution: Uuid,
    kind: &str,
    documents: Vec<(String, Value)>,
) -> Result<()> {
    use staged_document::Column as C;

    let mut seen = HashSet::new();
    let mut rows: Vec<staged_document::ActiveModel> = Vec::with_capacity(documents.len());
    for (key, body) in documents.into_iter().rev() {
        if seen.insert(key.clone()) {
            rows.push(staged_document::ActiveModel {
                execution_id: Set(execution),
                kind: Set(kind.to_owned()),
                key: Set(key),
                body: Set(body),
            });
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    staged_document::Entity::insert_many(rows)
        .on_conflict(
            OnConflict::columns([C::ExecutionId, C::Kind, C::Key])
                .update_column(C::Body)
                .to_owned(),
        )
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// The first documents behind a key, in the order of their keys.
pub async fn staged(
    connection: &impl ConnectionTrait,
    execution: Uuid,
    kind: &str,
    after: Option<&str>,
) -> Result<Vec<(String, Value)>> {
    use staged_document::Column as C;

    let mut documents = staged_document::Entity::find()
        .filter(C::ExecutionId.eq(execution))
        .filter(C::Kind.eq(kind));
    if let Some(after) = after {
        documents = documents.filter(C::Key.gt(after));
    }
    let found = documents
        .order_by_asc(C::Key)
        .limit(BATCH_ROWS as u64)
        .all(connection)
        .await?;
    Ok(found.into_iter().map(|row| (row.key, row.body)).collect())
}

/// Forgets some of what a stream of a product has staged, and says how many documents that were.
pub async fn forget(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: Uuid,
    product: Product,
) -> Result<usize> {
    let mut forgotten = 0;
    for kind in staged_by(product) {
        forgotten += rows::forget(&app.db, txn, execution, Some(kind), BATCH).await?;
    }
    Ok(forgotten)
}

/// The stored parent of what is merged, and what has been staged of it.
#[derive(Clone, Copy, Debug)]
pub struct Parent<'a> {
    /// The Item, or the row of another product.
    pub id: Uuid,
    /// What its documents are staged as.
    pub staged: &'a str,
    /// Only what has a day of this column inside of this window can have vanished; anything when `None`.
    pub within: Option<(&'static str, Window)>,
    /// Whether everything was shown, so that what is missing has vanished.
    pub complete: bool,
}

/// Merges what a run has staged of a parent with what is stored of it.
pub async fn merge<R: Snapshot>(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    parent: Parent<'_>,
) -> Result<Counts> {
    let mut counts = Counts::default();
    let mut after: Option<String> = None;
    loop {
        let batch = staged(txn, execution.id, parent.staged, after.as_deref()).await?;
        let Some((last, _)) = batch.last() else { break };
        after = Some(last.clone());
        let told = merge_batch::<R>(txn, app, execution, parent.id, batch, &mut counts).await?;
        tell(txn, app, execution.id, parent.staged, &told).await?;
    }
    if parent.complete {
        vanish::<R>(txn, app, execution, parent, &mut counts).await?;
    }
    Ok(counts)
}

async fn merge_batch<R: Snapshot>(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    parent: Uuid,
    batch: Vec<(String, Value)>,
    counts: &mut Counts,
) -> Result<Vec<Told>> {
    let (table, now) = (R::TABLE, app.clock.now());
    let keys: Vec<String> = batch.iter().map(|(key, _)| key.clone()).collect();
    let stored = rows::stored(&app.db, txn, table, parent, &keys).await?;
    let stored: HashMap<&str, &rows::Stored> =
        stored.iter().map(|row| (row.key.as_str(), row)).collect();
    let (mut put, mut told, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    for (key, details) in batch {
        let digest = digest(&details);
        let known = stored.get(key.as_str());
        let id = match known {
            Some(known) if known.digest == digest && !known.closed => {
                counts.unchanged += 1;
                continue;
            }
            Some(known) => {
                counts.updated += 1;
                changed.push((known.id, known.closed, details.clone()));
                known.id
            }
            None => {
                counts.created += 1;
                let id = app.rng.id(now);
                told.push(Told::created(R::ENTITY, id));
                id
            }
        };
        let record: R = serde_json::from_value(details.clone()).map_err(Error::internal)?;
        put.push(Row {
            id,
            key,
            digest,
            details,
            columns: record.columns(),
        });
    }
    let ids: Vec<Uuid> = changed.iter().map(|(id, ..)| *id).collect();
    let before = rows::details(&app.db, txn, table, &ids).await?;
    told.extend(changed.iter().filter_map(|(id, closed, details)| {
        let mut fields = differing(before.get(id).unwrap_or(&Value::Null), details);
        if *closed {
            fields.push("closedAt");
        }
        (!fields.is_empty()).then(|| Told::updated(R::ENTITY, *id, &fields))
    }));
    let owner = Owner {
        application: execution.application_id,
        item: execution.item_id,
    };
    rows::put(&app.db, txn, table, (owner, parent), put, now).await?;
    Ok(told)
}

/// Does with what the institution no longer shows what is done with it.
async fn vanish<R: Snapshot>(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
    parent: Parent<'_>,
    counts: &mut Counts,
) -> Result<()> {
    let table = R::TABLE;
    if table.vanished == Vanished::Kept {
        return Ok(());
    }
    let side = Side {
        execution: execution.id,
        staged: parent.staged,
        parent: parent.id,
        within: parent.within,
    };
    let gone = rows::gone(&app.db, txn, table, side).await?;
    counts.deleted += gone.len() as u64;
    for ids in gone.chunks(BATCH_ROWS) {
        let told: Vec<Told> = if table.vanished == Vanished::Closed {
            rows::close(&app.db, txn, table, ids, app.clock.now()).await?;
            let closed = ids.iter();
            closed
                .map(|id| Told::updated(R::ENTITY, *id, &["closedAt"]))
                .collect()
        } else {
            rows::delete(&app.db, txn, table, ids).await?;
            ids.iter().map(|id| Told::deleted(R::ENTITY, *id)).collect()
        };
        tell(txn, app, execution.id, parent.staged, &told).await?;
    }
    Ok(())
}

/// Stages changes to be told by the end of the run, in the order of what they are staged as: parents come first.
async fn tell(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: Uuid,
    kind: &str,
    told: &[Told],
) -> Result<()> {
    if told.is_empty() {
        return Ok(());
    }
    let key = of_parent(kind, &app.rng.id(app.clock.now()).to_string());
    let body = serde_json::to_value(told).map_err(Error::internal)?;
    stage(txn, execution, TOLD, vec![(key, body)]).await
}

/// The changes that the merges of a run have to tell.
pub async fn told(txn: &impl ConnectionTrait, execution: Uuid) -> Result<Vec<Told>> {
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let batch = staged(txn, execution, TOLD, after.as_deref()).await?;
        let Some((last, _)) = batch.last() else {
            return Ok(told);
        };
        after = Some(last.clone());
        for (_, body) in batch {
            let some: Vec<Told> = serde_json::from_value(body).map_err(Error::internal)?;
            told.extend(some);
        }
    }
}

/// The fields in which two documents differ.
fn differing<'a>(a: &'a Value, b: &'a Value) -> Vec<&'a str> {
    let names = |document: &'a Value| document.as_object().into_iter().flat_map(|it| it.keys());
    let mut differing: Vec<&str> = names(a)
        .chain(names(b))
        .map(String::as_str)
        .filter(|name| a.get(name) != b.get(name))
        .collect();
    differing.sort_unstable();
    differing.dedup();
    differing
}

/// Of a document, whatever the order of its fields.
fn digest(document: &Value) -> Vec<u8> {
    let mut hash = Sha256::new();
    feed(&mut hash, document);
    hash.finalize()[..16].to_vec()
}

fn feed(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort_unstable();
            hash.update(b"{");
            for name in names {
                feed(hash, &Value::from(name.as_str()));
                feed(hash, &fields[name]);
            }
            hash.update(b"}");
        }
        Value::Array(values) => {
            hash.update(b"[");
            for value in values {
                feed(hash, value);
            }
            hash.update(b"]");
        }
        Value::String(text) => {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            hash.update(value.to_string());
            hash.update(b",");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_digest_sees_the_content_and_not_the_order_of_fields() {
        let document = json!({ "name": "CDB", "fees": [{ "a": "1", "b": null }], "n": 1 });
        let turned: Value =
            serde_json::from_str(r#"{"n":1,"fees":[{"b":null,"a":"1"}],"name":"CDB"}"#)
                .expect("JSON");
        assert_eq!(digest(&document), digest(&turned));
        for other in [
            json!({ "name": "CDB", "fees": [{ "a": "1", "b": null }], "n": 2 }),
            json!({ "name": "CDB", "fees": [{ "a": "1" }], "n": 1 }),
            json!({ "name": "CDBf", "ees": [{ "a": "1", "b": null }], "n": 1 }),
            json!({ "name": "CDB", "fees": [[{ "a": "1", "b": null }]], "n": 1 }),
        ] {
            assert_ne!(digest(&document), digest(&other), "{other}");
        }
    }

    #[test]
    fn a_document_holds_what_is_told_and_no_nul() {
        let told =
            json!({ "name": "a\0b", "code": null, "fees": [{ "name": "\0", "rate": null }] });
        assert_eq!(
            document(&told).expect("a document"),
            json!({ "name": "ab", "fees": [{ "name": "", "rate": null }] })
        );
    }

    #[test]
    fn documents_differ_in_what_is_new_gone_or_different() {
        let before = json!({ "a": 1, "b": 2, "c": 3 });
        assert_eq!(
            differing(&before, &json!({ "d": 4, "c": 3, "b": 9 })),
            ["a", "b", "d"]
        );
        assert_eq!(differing(&before, &before), [""; 0]);
    }
}
