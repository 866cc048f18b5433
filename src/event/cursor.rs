//! Cursors of the log: opaque to clients, authenticated, of one log and one application.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{event, event_head};
use sea_orm::{ColumnTrait as _, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use crate::{
    app::App,
    error::{Error, Result},
};

const BODY_BYTES: usize = 16 + 16 + 8;
const MAC_BYTES: usize = 16;

/// The cursor of a position in an application's log. Position 0 is before everything.
pub fn encode(app: &App, application: Uuid, position: i64) -> String {
    let mut bytes = Vec::with_capacity(BODY_BYTES + MAC_BYTES);
    bytes.extend_from_slice(app.log_id.as_bytes());
    bytes.extend_from_slice(application.as_bytes());
    bytes.extend_from_slice(&position.to_be_bytes());
    let mac = app.vault.cursor_mac(&bytes);
    bytes.extend_from_slice(&mac[..MAC_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position behind a cursor. Fails with BAD_CURSOR unless it is one of this log and application.
pub fn decode(app: &App, application: Uuid, cursor: &str) -> Result<i64> {
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| Error::BadCursor)?;
    let (body, mac) = bytes.split_at_checked(BODY_BYTES).ok_or(Error::BadCursor)?;
    let expected = app.vault.cursor_mac(body);
    let genuine: bool = mac.ct_eq(&expected[..MAC_BYTES]).into();
    if !genuine
        || body[..16] != app.log_id.as_bytes()[..]
        || body[16..32] != application.as_bytes()[..]
    {
        return Err(Error::BadCursor);
    }
    let position: [u8; 8] = body[32..].try_into().map_err(|_| Error::BadCursor)?;
    Ok(i64::from_be_bytes(position))
}

/// The position to go on from: that of `after`, checked to be neither in the future nor older than what is kept.
pub async fn resume(app: &App, application: Uuid, after: &str) -> Result<i64> {
    let position = decode(app, application, after)?;
    if position > head(app, application).await? {
        return Err(Error::BadCursor);
    }
    check_kept(app, application, position).await?;
    Ok(position)
}

/// Fails with CURSOR_EXPIRED unless everything behind a position is still kept.
pub async fn check_kept(app: &App, application: Uuid, position: i64) -> Result<()> {
    let kept = event::Entity::owned_by(application)
        .filter(event::Column::Position.is_not_null())
        .select_only()
        .column(event::Column::Position)
        .order_by_asc(event::Column::Position)
        .into_tuple::<i64>()
        .one(app.db.read())
        .await?;
    let oldest = match kept {
        Some(oldest) => oldest - 1,
        // Nothing is kept: only the very end works.
        None => head(app, application).await?,
    };
    if position < oldest {
        return Err(Error::CursorExpired {
            oldest: encode(app, application, oldest),
        });
    }
    Ok(())
}

/// The last position given out.
pub async fn head(app: &App, application: Uuid) -> Result<i64> {
    let row = event_head::Entity::find_by_id(application)
        .one(app.db.read())
        .await?;
    Ok(row.map_or(0, |row| row.position))
}
