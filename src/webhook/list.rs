//! Registrations and deliveries as clients read them: in pages, and by id. Only for an application's servers.

use std::collections::HashMap;

use entity::{attempt, circuit, delivery, kind::DeliveryStatus, webhook};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use uuid::Uuid;

use crate::{
    app::App,
    auth::Principal,
    db::{
        page::{self, Conditions, Key, Page, Slice, Source},
        row::stored,
    },
    error::Result,
};

/// Most attempts that are shown of one delivery.
const ATTEMPTS_SHOWN: usize = 50;

const WEBHOOKS: Source = Source {
    table: "webhook",
    primary: "id",
    parent: "application_id",
    order: &["id"],
    descending: false,
};

/// Whose deliveries are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parent {
    /// A registration's.
    Webhook,
    /// An Item's: to every registration, and to its own endpoint.
    Item,
}

impl Parent {
    fn source(self) -> Source {
        Source {
            table: "delivery",
            primary: "id",
            parent: match self {
                Self::Webhook => "webhook_id",
                Self::Item => "item_id",
            },
            order: &["id"],
            descending: true,
        }
    }

    fn of(self, row: &delivery::Model) -> Uuid {
        match self {
            Self::Webhook => row.webhook_id,
            Self::Item => row.item_id,
        }
        .unwrap_or_default()
    }
}

const ATTEMPTS: Source = Source {
    table: "attempt",
    primary: "id",
    parent: "delivery_id",
    order: &["id"],
    descending: false,
};

stored!(
    webhook::Model {
        id,
        application_id,
        url,
        events,
        description,
        secret,
        previous_secret,
        previous_secret_until,
        signing_key,
        public_key,
        previous_signing_key,
        headers,
        payload,
        ordered,
        max_concurrency,
        max_per_second,
        rate_at,
        missed_after,
        missed_until,
        enabled,
        disabled_at,
        disabled_reason,
        created_at,
        updated_at
    },
    |row| Key::Id(row.id)
);

stored!(
    delivery::Model {
        id,
        application_id,
        event_id,
        webhook_id,
        target,
        item_id,
        position,
        url,
        status,
        attempts,
        next_attempt_at,
        lease_until,
        epoch,
        created_at,
        updated_at
    },
    |row| Key::Id(row.id)
);

stored!(
    attempt::Model {
        id,
        application_id,
        delivery_id,
        at,
        duration_ms,
        status_code,
        error,
        response_body,
        signature,
        header_names,
        payload
    },
    |row| Key::Id(row.id)
);

/// A page of an application's registrations, oldest first.
pub async fn list(app: &App, principal: &Principal, slice: Slice) -> Result<Page<webhook::Model>> {
    principal.require_api_key("see webhooks")?;
    let owner = principal.application;
    let mut pages = page::of_parents(
        &app.db,
        WEBHOOKS,
        &[owner],
        &Conditions::default(),
        slice,
        |row: &webhook::Model| row.application_id,
    )
    .await?;
    Ok(pages.remove(&owner).unwrap_or_default())
}

/// Registrations of an application by id.
pub async fn by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, webhook::Model>> {
    principal.require_api_key("see webhooks")?;
    let rows = webhook::Entity::owned_by(principal.application)
        .filter(webhook::Column::Id.is_in(ids.iter().copied()))
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Deliveries of an application by id.
pub async fn deliveries_by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, delivery::Model>> {
    principal.require_api_key("see deliveries")?;
    let rows = delivery::Entity::owned_by(principal.application)
        .filter(delivery::Column::Id.is_in(ids.iter().copied()))
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(|row| (row.id, row)).collect())
}

/// Deliveries of each of some parents, newest first.
pub async fn deliveries(
    app: &App,
    principal: &Principal,
    parent: Parent,
    ids: &[Uuid],
    status: Option<DeliveryStatus>,
    slice: Slice,
) -> Result<HashMap<Uuid, Page<delivery::Model>>> {
    principal.require_api_key("see deliveries")?;
    let mut conditions = Conditions::default();
    conditions.equal("application_id", Some(principal.application));
    if let Some(status) = status {
        conditions.is("status", status.as_str());
    }
    page::of_parents(
        &app.db,
        parent.source(),
        ids,
        &conditions,
        slice,
        |row: &delivery::Model| parent.of(row),
    )
    .await
}

/// The circuits of those of some registrations that have failed since their last success. Whoever knows the
/// registrations may see them.
pub async fn circuits(
    app: &App,
    principal: &Principal,
    webhooks: &[Uuid],
) -> Result<HashMap<Uuid, circuit::Model>> {
    principal.require_api_key("see webhooks")?;
    let targets: HashMap<String, Uuid> = webhooks.iter().map(|id| (id.to_string(), *id)).collect();
    let rows = circuit::Entity::find()
        .filter(circuit::Column::Target.is_in(targets.keys()))
        .all(app.db.read())
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| targets.get(&row.target).map(|id| (*id, row)))
        .collect())
}

/// The latest attempts of each of some deliveries, oldest first.
pub async fn attempts(
    app: &App,
    principal: &Principal,
    deliveries: &[Uuid],
) -> Result<HashMap<Uuid, Vec<attempt::Model>>> {
    principal.require_api_key("see deliveries")?;
    let mut conditions = Conditions::default();
    conditions.equal("application_id", Some(principal.application));
    let latest = Slice {
        after: None,
        before: None,
        limit: ATTEMPTS_SHOWN,
        backward: true,
    };
    let pages = page::of_parents(
        &app.db,
        ATTEMPTS,
        deliveries,
        &conditions,
        latest,
        |row: &attempt::Model| row.delivery_id,
    )
    .await?;
    Ok(pages
        .into_iter()
        .map(|(delivery, page)| (delivery, page.rows))
        .collect())
}
