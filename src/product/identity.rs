//! Who the holder of an Item is.

use entity::{execution, identity, staged_document};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, ConnectionTrait, EntityTrait,
    IntoActiveModel as _, QueryFilter as _, sea_query::OnConflict,
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    app::App,
    connector::IdentityRecord,
    error::{Error, Result},
};

const KIND: &str = "identity";

/// Stages the holder.
pub async fn stage(
    txn: &impl ConnectionTrait,
    execution: Uuid,
    record: &IdentityRecord,
) -> Result<()> {
    use staged_document::Column as C;

    staged_document::Entity::insert(staged_document::ActiveModel {
        execution_id: Set(execution),
        kind: Set(KIND.to_owned()),
        key: Set(String::new()),
        body: Set(serde_json::to_value(record).map_err(Error::internal)?),
    })
    .on_conflict(
        OnConflict::columns([C::ExecutionId, C::Kind, C::Key])
            .update_column(C::Body)
            .to_owned(),
    )
    .exec_without_returning(txn)
    .await?;
    Ok(())
}

/// Stores what a run has staged of the holder: updated in place when it has changed.
pub async fn merge(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
) -> Result<()> {
    let Some(staged) =
        staged_document::Entity::find_by_id((execution.id, KIND.to_owned(), String::new()))
            .one(txn)
            .await?
    else {
        return Ok(());
    };
    let record: IdentityRecord = serde_json::from_value(staged.body).map_err(Error::internal)?;
    let known = identity::Entity::owned_by(execution.application_id)
        .filter(identity::Column::ItemId.eq(execution.item_id))
        .one(txn)
        .await?;
    let now = app.clock.now();
    let mut row = identity::Model {
        id: known
            .as_ref()
            .map_or_else(|| app.rng.id(now), |known| known.id),
        application_id: execution.application_id,
        item_id: execution.item_id,
        full_name: record.full_name,
        company_name: record.company_name,
        document: record.document,
        document_type: record.document_type,
        tax_number: record.tax_number,
        birth_date: record.birth_date,
        job_title: record.job_title,
        details: json!({
            "addresses": record.addresses,
            "phoneNumbers": record.phone_numbers,
            "emails": record.emails,
        }),
        created_at: known.as_ref().map_or(now, |known| known.created_at),
        updated_at: known.as_ref().map_or(now, |known| known.updated_at),
    };
    match known {
        None => {
            identity::Entity::insert(row.into_active_model().reset_all())
                .exec_without_returning(txn)
                .await?;
        }
        Some(known) if known == row => {}
        Some(_) => {
            row.updated_at = now;
            identity::Entity::update(row.into_active_model().reset_all())
                .exec(txn)
                .await?;
        }
    }
    Ok(())
}
