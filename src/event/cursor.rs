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

const OWNER_BYTES: usize = 16 + 16;
const POSITION_BYTES: usize = 8;
const PLACE_BYTES: usize = POSITION_BYTES + 4;
const MAC_BYTES: usize = 16;

/// The cursor of a position in an application's log. Position 0 is before everything.
pub fn encode(app: &App, application: Uuid, position: i64) -> String {
    seal(app, application, position.to_be_bytes())
}

/// The position behind a cursor. Fails with BAD_CURSOR unless it is one of this log and application.
pub fn decode(app: &App, application: Uuid, cursor: &str) -> Result<i64> {
    let position: [u8; POSITION_BYTES] = open(app, application, cursor)?;
    Ok(i64::from_be_bytes(position))
}

/// A place among the changes that events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The event's position.
    pub position: i64,
    /// The change's place among what the event tells.
    pub ordinal: i32,
}

impl Place {
    /// Before everything.
    pub const START: Self = Self::behind(0);

    /// Behind everything that the event at a position tells.
    pub const fn behind(position: i64) -> Self {
        Self {
            position,
            ordinal: i32::MAX,
        }
    }
}

/// The cursor of a place among the changes. Its length tells it from the log's.
pub fn of_place(app: &App, application: Uuid, place: Place) -> String {
    let mut bytes = [0; PLACE_BYTES];
    let (position, ordinal) = bytes.split_at_mut(POSITION_BYTES);
    position.copy_from_slice(&place.position.to_be_bytes());
    ordinal.copy_from_slice(&place.ordinal.to_be_bytes());
    seal(app, application, bytes)
}

/// The place behind a cursor. Fails with BAD_CURSOR unless it is one of the changes of this log and application.
pub fn place(app: &App, application: Uuid, cursor: &str) -> Result<Place> {
    let bytes: [u8; PLACE_BYTES] = open(app, application, cursor)?;
    let (position, ordinal) = bytes.split_first_chunk().ok_or(Error::BadCursor)?;
    Ok(Place {
        position: i64::from_be_bytes(*position),
        ordinal: i32::from_be_bytes(ordinal.try_into().map_err(|_| Error::BadCursor)?),
    })
}

/// What says where, with whose it is and a proof that it comes from here.
fn seal<const N: usize>(app: &App, application: Uuid, place: [u8; N]) -> String {
    let mut bytes = Vec::with_capacity(OWNER_BYTES + N + MAC_BYTES);
    bytes.extend_from_slice(app.log_id.as_bytes());
    bytes.extend_from_slice(application.as_bytes());
    bytes.extend_from_slice(&place);
    let mac = app.vault.cursor_mac(&bytes);
    bytes.extend_from_slice(&mac[..MAC_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn open<const N: usize>(app: &App, application: Uuid, cursor: &str) -> Result<[u8; N]> {
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| Error::BadCursor)?;
    let (body, mac) = bytes
        .split_at_checked(OWNER_BYTES + N)
        .ok_or(Error::BadCursor)?;
    let expected = app.vault.cursor_mac(body);
    let genuine: bool = mac.ct_eq(&expected[..MAC_BYTES]).into();
    if !genuine
        || body[..16] != app.log_id.as_bytes()[..]
        || body[16..OWNER_BYTES] != application.as_bytes()[..]
    {
        return Err(Error::BadCursor);
    }
    body[OWNER_BYTES..].try_into().map_err(|_| Error::BadCursor)
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
    let oldest = oldest(app, application).await?;
    if position < oldest {
        return Err(Error::CursorExpired {
            oldest: encode(app, application, oldest),
        });
    }
    Ok(())
}

/// Fails with BAD_CURSOR when a place is in the future, and with CURSOR_EXPIRED unless everything behind it is still kept.
pub async fn check_place(app: &App, application: Uuid, place: Place) -> Result<()> {
    if place.position > head(app, application).await? {
        return Err(Error::BadCursor);
    }
    let oldest = Place::behind(oldest(app, application).await?);
    if place < oldest {
        return Err(Error::CursorExpired {
            oldest: of_place(app, application, oldest),
        });
    }
    Ok(())
}

/// The oldest position behind which everything is still kept.
pub(crate) async fn oldest(app: &App, application: Uuid) -> Result<i64> {
    if let Some(first) = first(app, application).await? {
        return Ok(first - 1);
    }
    // Nothing is kept: only the very end works. What has been published since is not to be taken for lost.
    let end = head(app, application).await?;
    let first = first(app, application).await?;
    Ok(first.map_or(end, |first| first - 1))
}

/// The first position that is kept.
async fn first(app: &App, application: Uuid) -> Result<Option<i64>> {
    Ok(event::Entity::owned_by(application)
        .filter(event::Column::Position.is_not_null())
        .select_only()
        .column(event::Column::Position)
        .order_by_asc(event::Column::Position)
        .into_tuple::<i64>()
        .one(app.db.read())
        .await?)
}

/// The last position given out.
pub async fn head(app: &App, application: Uuid) -> Result<i64> {
    let row = event_head::Entity::find_by_id(application)
        .one(app.db.read())
        .await?;
    Ok(row.map_or(0, |row| row.position))
}
