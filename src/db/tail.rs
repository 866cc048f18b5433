//! Deliveries by the time of their last change.

use entity::delivery;
use sea_orm::{ConnectionTrait as _, FromQueryResult as _, Statement};
use uuid::Uuid;

use super::{Db, execution::limit_value, schema::columns};
use crate::{clock::Timestamp, error::Result};

/// Deliveries of an application behind a place in the order of their last changes, the earliest first.
pub async fn changed(
    db: &Db,
    application: Uuid,
    (at, id): (Timestamp, Uuid),
    limit: usize,
) -> Result<Vec<delivery::Model>> {
    let sql = format!(
        "SELECT {} FROM delivery WHERE application_id = $1 AND (updated_at, id) > ($2, $3) \
         ORDER BY updated_at, id LIMIT $4",
        columns::<delivery::Entity>()
    );
    let values = [
        application.into(),
        at.0.into(),
        id.into(),
        limit_value(limit),
    ];
    let rows = db
        .read()
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    rows.iter()
        .map(|row| Ok(delivery::Model::from_query_result(row, "")?))
        .collect()
}
