//! Logins on an institution's own site: the browser comes back with the answer.
//!
//! Whoever brings the `state` of a run answers its question: it is a keyed digest over application, Item and run, which
//! only the browser that was sent to the institution can know, and it is worth nothing once the question is answered.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{
    execution, item,
    kind::{AuditAction, ExecutionStatus},
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use url::Url;
use uuid::Uuid;

use super::{Held, mfa};
use crate::{
    app::App,
    audit::{Actor, Entry},
    auth::Caller,
    connector::{
        FieldKind, Oauth,
        oauth::{OAUTH_CODE, OAUTH_ERROR},
    },
    error::{Error, Result},
};

const NOT_FOUND: Error = Error::NotFound { what: "login" };

/// Longest code that is taken.
const LONGEST_CODE: usize = 4 * 1024;
const ID_BYTES: usize = 16;

/// What a run's connector needs for its institution's site.
pub fn of_run(app: &App, execution: &execution::Model) -> Oauth {
    let id = execution.id.as_bytes();
    let mac = digest(app, b"oauth state", execution);
    let state = URL_SAFE_NO_PAD.encode([id.as_slice(), &mac].concat());
    let secret = digest(app, b"oauth verifier", execution);
    Oauth::new(app.config.base_url(), state, &secret)
}

fn digest(app: &App, use_as: &[u8], execution: &execution::Model) -> [u8; 32] {
    app.vault.digest(&[
        use_as,
        execution.application_id.as_bytes(),
        execution.item_id.as_bytes(),
        execution.id.as_bytes(),
    ])
}

/// What an institution has sent a browser back with.
#[derive(Debug)]
pub enum Brought {
    /// The user has agreed.
    Code(SecretString),
    /// They have not, or something went wrong: the `error` of RFC 6749.
    Error(String),
}

/// Where a browser goes on to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// The application's own page; `None` when it has named none.
    pub url: Option<Url>,
    /// Whether the user has agreed.
    pub agreed: bool,
}

/// Answers the question of the run that a browser comes back to; a worker goes on with it.
///
/// A browser that comes again, having been reloaded, goes on as before. Fails with NOT_FOUND when `state` is not one of
/// ours or its run has ended, and with ITEM_MFA_EXPIRED when it comes too late and
/// the application has named no page to go on to.
pub async fn come_back(
    app: &App,
    caller: Caller,
    state: &str,
    brought: Brought,
) -> Result<Landing> {
    let execution = run_of(app, state).await?;
    let owner = app.clone();
    let landing = app
        .unit(async move { take(&owner, caller, &execution, brought).await })
        .await?;
    app.wakes.sync.notify();
    app.wakes.relay.notify();
    Ok(landing)
}

/// The run that a state was given out for.
async fn run_of(app: &App, state: &str) -> Result<execution::Model> {
    let bytes = URL_SAFE_NO_PAD.decode(state).map_err(|_| NOT_FOUND)?;
    let (id, mac) = bytes.split_at_checked(ID_BYTES).ok_or(NOT_FOUND)?;
    let id = Uuid::from_slice(id).map_err(|_| NOT_FOUND)?;
    let execution = execution::Entity::find_by_id(id)
        .one(app.db.read())
        .await?
        .ok_or(NOT_FOUND)?;
    let expected = digest(app, b"oauth state", &execution);
    if bool::from(expected.ct_eq(mac)) {
        Ok(execution)
    } else {
        Err(NOT_FOUND)
    }
}

async fn take(
    app: &App,
    caller: Caller,
    execution: &execution::Model,
    brought: Brought,
) -> Result<Landing> {
    let txn = app.db.begin().await?;
    let row = item::Entity::owned_by(execution.application_id)
        .filter(item::Column::Id.eq(execution.item_id))
        .filter(item::Column::DeletedAt.is_null())
        .lock_exclusive()
        .one(&txn)
        .await?
        .ok_or(NOT_FOUND)?;
    let current = super::unfinished(&txn, &row).await?;
    if current.is_none_or(|current| current.id != execution.id) {
        return Err(NOT_FOUND);
    }
    let mut item = Held::stored(row);
    let (name, value, agreed) = match brought {
        Brought::Code(code) => (OAUTH_CODE, code, true),
        Brought::Error(error) => (OAUTH_ERROR, error.into(), false),
    };
    let refused = (!agreed).then_some(ExecutionStatus::UserAuthorizationNotGranted);
    let landing = Landing {
        url: landing(&item, refused),
        agreed,
    };
    match mfa::question(&item, app.clock.now()) {
        Ok(field) if field.kind == FieldKind::Oauth => {}
        Ok(_) => return Err(NOT_FOUND),
        Err(Error::ItemMfaExpired) => {
            let error = Some(ExecutionStatus::UserInputTimeout);
            let url = self::landing(&item, error).ok_or(Error::ItemMfaExpired)?;
            return Ok(Landing {
                url: Some(url),
                agreed: false,
            });
        }
        Err(_) => return Ok(landing),
    }
    if value.expose_secret().len() > LONGEST_CODE {
        return Err(Error::invalid("code", "is too long"));
    }
    let values = BTreeMap::from([(name.to_owned(), value)]);
    mfa::take(&txn, app, &mut item, &values).await?;
    Entry::new(
        item.application_id,
        AuditAction::ItemMfaSent,
        Actor::browser(caller),
    )
    .on(item.id)
    .about(&app.vault, item.client_user_id.as_deref())
    .append(&txn, &app.clock, &app.rng)
    .await?;
    txn.commit().await?;
    Ok(landing)
}

/// The application's page, told which Item it is about and what went wrong, if something has.
fn landing(item: &item::Model, error: Option<ExecutionStatus>) -> Option<Url> {
    let mut url = Url::parse(item.oauth_redirect_uri.as_deref()?).ok()?;
    let mut query = url.query_pairs_mut();
    query.append_pair("itemId", &item.id.to_string());
    if let Some(error) = error {
        query.append_pair("error", error.as_str());
    }
    drop(query);
    Some(url)
}
