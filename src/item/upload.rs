//! Uploads: files that a parameter of type FILE names.
//!
//! A file is sealed in chunks as it arrives and kept in the database, where every node finds it. It belongs to who made
//! it, is bound to one Item by createItem or updateItem, and is deleted when that run ends, or after an hour unused. What an
//! institution asks for with its login, such as a certificate, is read by every run and kept until another takes its place.

use std::time::Duration;

use entity::{data_key, execution, item, kind::AuditAction, upload, upload_chunk};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};
use uuid::Uuid;

use crate::{
    app::App,
    audit::Entry,
    auth::Principal,
    clock::Timestamp,
    connector::{Descriptor, SourceKind},
    error::{Error, Result},
    vault::DataKey,
};

/// Largest file.
pub const LARGEST: usize = 20 * 1024 * 1024;
const CHUNK: usize = 256 * 1024;
const LASTS: Duration = Duration::from_hours(1);
/// Most uploads of an application that wait for their Item.
const MOST_PENDING: usize = 20;
/// Most bytes of those.
const MOST_BYTES: i64 = 100 * 1024 * 1024;

/// An upload under way.
pub struct Writer {
    app: App,
    principal: Principal,
    id: Uuid,
    key: DataKey,
    buffer: Vec<u8>,
    chunks: i32,
    size: usize,
    expires_at: Timestamp,
}

/// A finished upload.
#[derive(Debug)]
pub struct Uploaded {
    /// What the parameter takes.
    pub id: Uuid,
    /// When it is dropped unless an Item takes it.
    pub expires_at: Timestamp,
}

/// Begins an upload. Fails with RATE_LIMITED while too many wait for their Item.
pub async fn begin(app: &App, principal: &Principal) -> Result<Writer> {
    let (owner, principal) = (app.clone(), principal.clone());
    app.unit(async move {
        let app = owner;
        let now = app.clock.now();
        let txn = app.db.begin().await?;
        let lock = app
            .vault
            .digest(&[b"uploads", principal.application.as_bytes()]);
        app.db.lock_digest(&txn, &lock).await?;
        let pending: Vec<(i64, Timestamp)> = upload::Entity::owned_by(principal.application)
            .filter(upload::Column::ItemId.is_null())
            .filter(upload::Column::ExpiresAt.gt(now.0))
            .order_by_asc(upload::Column::ExpiresAt)
            .select_only()
            .column(upload::Column::Size)
            .column(upload::Column::ExpiresAt)
            .into_tuple()
            .all(&txn)
            .await?;
        let bytes: i64 = pending.iter().map(|(size, _)| size).sum();
        if (pending.len() >= MOST_PENDING || bytes >= MOST_BYTES)
            && let Some((_, oldest)) = pending.first()
        {
            return Err(Error::RateLimited {
                retry_after_seconds: oldest.since(now).as_secs() + 1,
            });
        }
        let id = app.rng.id(now);
        let key = app
            .vault
            .create_data_key(&txn, principal.application, None)
            .await?;
        let expires_at = now.plus(LASTS);
        upload::Entity::insert(upload::ActiveModel {
            id: Set(id),
            application_id: Set(principal.application),
            connect_token_id: Set(principal.connect_token().map(|token| token.id)),
            item_id: Set(None),
            data_key_id: Set(Some(key.id)),
            size: Set(0),
            chunks: Set(0),
            complete: Set(false),
            created_at: Set(now),
            expires_at: Set(expires_at),
        })
        .exec_without_returning(&txn)
        .await?;
        txn.commit().await?;
        Ok(Writer {
            app: app.clone(),
            principal,
            id,
            key,
            buffer: Vec::with_capacity(CHUNK),
            chunks: 0,
            size: 0,
            expires_at,
        })
    })
    .await
}

impl Writer {
    /// Takes the next bytes. Fails once the file is larger than [`LARGEST`].
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.size += bytes.len();
        if self.size > LARGEST {
            return Err(Error::invalid("file", "larger than 20 MiB"));
        }
        while !bytes.is_empty() {
            if self.buffer.len() == CHUNK {
                self.flush(false).await?;
            }
            let room = CHUNK - self.buffer.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    /// Ends the file.
    pub async fn finish(mut self) -> Result<Uploaded> {
        if self.size == 0 {
            return Err(Error::invalid(
                "file",
                "is empty; send the file as the body",
            ));
        }
        self.flush(true).await?;
        Ok(Uploaded {
            id: self.id,
            expires_at: self.expires_at,
        })
    }

    async fn flush(&mut self, last: bool) -> Result<()> {
        let aad = associated_data(self.id, self.chunks, last);
        let sealed = self.app.vault.seal_piece(&self.key, &aad, &self.buffer)?;
        let size = i64::try_from(self.buffer.len()).expect("a chunk is small");
        let (id, ordinal, app) = (self.id, self.chunks, self.app.clone());
        let entry = last.then(|| {
            let token = self.principal.connect_token();
            Entry::of(&self.principal, AuditAction::UploadCreated)
                .on(id)
                .about(
                    &app.vault,
                    token.and_then(|token| token.client_user_id.as_deref()),
                )
                .with("bytes", self.size)
        });
        self.app
            .unit(async move {
                let txn = app.db.begin().await?;
                upload_chunk::Entity::insert(upload_chunk::ActiveModel {
                    upload_id: Set(id),
                    ordinal: Set(ordinal),
                    sealed: Set(sealed),
                })
                .exec_without_returning(&txn)
                .await?;
                upload::Entity::update_many()
                    .col_expr(
                        upload::Column::Size,
                        Expr::col(upload::Column::Size).add(size),
                    )
                    .col_expr(upload::Column::Chunks, Expr::value(ordinal + 1))
                    .col_expr(upload::Column::Complete, Expr::value(last))
                    .filter(upload::Column::Id.eq(id))
                    .exec(&txn)
                    .await?;
                if let Some(entry) = entry {
                    entry.append(&txn, &app.clock, &app.rng).await?;
                }
                txn.commit().await?;
                Ok(())
            })
            .await?;
        self.chunks += 1;
        self.buffer.clear();
        Ok(())
    }
}

fn associated_data(upload: Uuid, ordinal: i32, last: bool) -> Vec<u8> {
    let mut data = b"ponte upload 1".to_vec();
    data.extend_from_slice(upload.as_bytes());
    data.extend_from_slice(&ordinal.to_be_bytes());
    data.push(u8::from(last));
    data
}

/// Binds uploads to an Item, for one run. Each must be the caller's, complete, unexpired and unused.
pub(super) async fn bind(
    txn: &DatabaseTransaction,
    app: &App,
    principal: &Principal,
    item: Uuid,
    uploads: &[(String, Uuid)],
) -> Result<()> {
    let token = principal.connect_token().map(|token| token.id);
    for (_, id) in uploads {
        let mut mine = upload::Entity::update_many()
            .col_expr(upload::Column::ItemId, Expr::value(Some(item)))
            .filter(upload::Column::Id.eq(*id))
            .filter(upload::Column::ApplicationId.eq(principal.application))
            .filter(upload::Column::ItemId.is_null())
            .filter(upload::Column::Complete.eq(true))
            .filter(upload::Column::ExpiresAt.gt(app.clock.now().0));
        mine = match token {
            Some(token) => mine.filter(upload::Column::ConnectTokenId.eq(token)),
            None => mine.filter(upload::Column::ConnectTokenId.is_null()),
        };
        if mine.exec(txn).await?.rows_affected == 0 {
            return Err(Error::invalid(
                "parameters",
                "no such upload, or it has expired or been used; send the file to POST /uploads again",
            ));
        }
        data_key::Entity::update_many()
            .col_expr(data_key::Column::ItemId, Expr::value(Some(item)))
            .filter(data_key::Column::ApplicationId.eq(principal.application))
            .filter(
                Expr::col(data_key::Column::Id).in_subquery(
                    sea_orm::QuerySelect::query(
                        &mut upload::Entity::find_by_id(*id)
                            .select_only()
                            .column(upload::Column::DataKeyId),
                    )
                    .to_owned(),
                ),
            )
            .exec(txn)
            .await?;
    }
    Ok(())
}

/// The uploads of a run, by parameter name.
pub fn of_run(execution: &execution::Model) -> Vec<(String, Uuid)> {
    serde_json::from_value(execution.upload_ids.clone()).unwrap_or_default()
}

/// The contents of an upload.
pub async fn read(app: &App, application: Uuid, id: Uuid) -> Result<Option<Vec<u8>>> {
    let Some(row) = upload::Entity::owned_by(application)
        .filter(upload::Column::Id.eq(id))
        .one(app.db.read())
        .await?
    else {
        return Ok(None);
    };
    let Some(key) = row.data_key_id.filter(|_| row.complete) else {
        return Ok(None);
    };
    let key = app.vault.data_key(app.db.read(), key).await?;
    let mut contents = Vec::with_capacity(usize::try_from(row.size).unwrap_or(0));
    for ordinal in 0..row.chunks {
        let chunk = upload_chunk::Entity::find_by_id((id, ordinal))
            .one(app.db.read())
            .await?
            .ok_or_else(|| Error::internal("an upload lacks a chunk"))?;
        let aad = associated_data(id, ordinal, ordinal + 1 == row.chunks);
        contents.extend_from_slice(&app.vault.unseal_piece(&key, &aad, &chunk.sealed)?);
    }
    Ok(Some(contents))
}

/// The uploads that every run of an Item reads, by parameter name.
pub(super) fn kept(item: &item::Model) -> Vec<(String, Uuid)> {
    let ids = item.upload_ids.clone();
    ids.and_then(|ids| serde_json::from_value(ids).ok())
        .unwrap_or_default()
}

/// What an Item notes of the uploads that it is given: those that institutions ask for with the login are kept.
pub(super) fn to_keep(form: &Descriptor, uploads: &[(String, Uuid)]) -> Option<serde_json::Value> {
    let kept = form.source == SourceKind::Institution && !uploads.is_empty();
    kept.then(|| serde_json::json!(uploads))
}

/// Deletes the uploads of a run that ends, but for those that later runs read too.
pub(crate) async fn delete_of_run(
    txn: &impl ConnectionTrait,
    item: &item::Model,
    execution: &execution::Model,
) -> Result<()> {
    let kept = kept(item);
    for (_, id) in of_run(execution) {
        if kept.iter().any(|(_, kept)| *kept == id) {
            continue;
        }
        delete(txn, id).await?;
    }
    Ok(())
}

/// Deletes an upload, its key first, and says how many rows that were.
pub(crate) async fn delete(txn: &impl ConnectionTrait, id: Uuid) -> Result<usize> {
    let row = upload::Entity::find_by_id(id).one(txn).await?;
    if let Some(key) = row.and_then(|row| row.data_key_id) {
        data_key::Entity::delete_by_id(key).exec(txn).await?;
    }
    let chunks = upload_chunk::Entity::delete_many()
        .filter(upload_chunk::Column::UploadId.eq(id))
        .exec(txn)
        .await?
        .rows_affected;
    let uploads = upload::Entity::delete_by_id(id)
        .exec(txn)
        .await?
        .rows_affected;
    Ok(usize::try_from(chunks + uploads).unwrap_or(usize::MAX))
}
