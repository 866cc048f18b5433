//! Who the holder of an Item is.

use entity::{execution, identity, kind::EntityKind, staged_document};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait, EntityTrait, IntoActiveModel as _,
    QueryFilter as _,
};
use serde_json::{Value, json};

use crate::{
    app::App,
    connector::IdentityRecord,
    error::{Error, Result},
    event::change::Told,
};

/// What the holder is staged as, without a key.
pub const STAGED: &str = "identity";

/// Stores what a run has staged of the holder: updated in place when it has changed. Answers what there is to tell of it.
pub async fn merge(
    txn: &impl ConnectionTrait,
    app: &App,
    execution: &execution::Model,
) -> Result<Option<Told>> {
    let Some(staged) =
        staged_document::Entity::find_by_id((execution.id, STAGED.to_owned(), String::new()))
            .one(txn)
            .await?
    else {
        return Ok(None);
    };
    let record: IdentityRecord = serde_json::from_value(staged.body).map_err(Error::internal)?;
    let details = details(&record);
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
        details,
        created_at: known.as_ref().map_or(now, |known| known.created_at),
        updated_at: known.as_ref().map_or(now, |known| known.updated_at),
    };
    let told = match &known {
        None => Some(Told::created(EntityKind::Identity, row.id)),
        Some(known) => differences(known, &row),
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
    Ok(told)
}

/// What has no column of its own, by the names of the public schema; what the institution does not tell is left out.
fn details(record: &IdentityRecord) -> Value {
    let mut details = json!({
        "addresses": record.addresses,
        "phoneNumbers": record.phone_numbers,
        "emails": record.emails,
    });
    let told = [
        ("socialName", json!(record.social_name)),
        ("investorProfile", json!(record.investor_profile)),
        ("establishmentCode", json!(record.establishment_code)),
        ("establishmentName", json!(record.establishment_name)),
        ("sex", json!(record.sex)),
        ("incorporationDate", json!(record.incorporation_date)),
        ("companiesCnpj", json!(record.companies_cnpj)),
        ("relations", json!(record.relations)),
        ("maritalStatus", json!(record.marital_status)),
        ("nationality", json!(record.nationality)),
        ("otherDocuments", json!(record.other_documents)),
        ("passport", json!(record.passport)),
        ("parties", json!(record.parties)),
        (
            "businessOtherDocuments",
            json!(record.business_other_documents),
        ),
        ("qualifications", json!(record.qualifications)),
        (
            "financialRelationships",
            json!(record.financial_relationships),
        ),
    ];
    for (name, value) in told {
        let empty = value.as_array().is_some_and(Vec::is_empty);
        if !value.is_null() && !empty {
            details[name] = value;
        }
    }
    details
}

/// What clients see differently. `updatedAt` always does, and is not named.
fn differences(a: &identity::Model, b: &identity::Model) -> Option<Told> {
    let rows = |name: &str| a.details.get(name) != b.details.get(name);
    Told::differing(
        EntityKind::Identity,
        b.id,
        &[
            ("socialName", rows("socialName")),
            ("investorProfile", rows("investorProfile")),
            ("establishmentCode", rows("establishmentCode")),
            ("establishmentName", rows("establishmentName")),
            ("sex", rows("sex")),
            ("incorporationDate", rows("incorporationDate")),
            ("companiesCnpj", rows("companiesCnpj")),
            ("relations", rows("relations")),
            ("maritalStatus", rows("maritalStatus")),
            ("nationality", rows("nationality")),
            ("otherDocuments", rows("otherDocuments")),
            ("passport", rows("passport")),
            ("parties", rows("parties")),
            ("businessOtherDocuments", rows("businessOtherDocuments")),
            ("qualifications", rows("qualifications")),
            ("financialRelationships", rows("financialRelationships")),
            ("fullName", a.full_name != b.full_name),
            ("companyName", a.company_name != b.company_name),
            ("document", a.document != b.document),
            ("documentType", a.document_type != b.document_type),
            ("taxNumber", a.tax_number != b.tax_number),
            ("birthDate", a.birth_date != b.birth_date),
            ("jobTitle", a.job_title != b.job_title),
            ("addresses", rows("addresses")),
            ("phoneNumbers", rows("phoneNumbers")),
            ("emails", rows("emails")),
        ],
    )
}
