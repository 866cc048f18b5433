//! API keys and connect tokens: issued, and verified without a query.
//!
//! Both are JWTs signed with HS256 under a key of the vault that their header names by id. They differ in audience, so
//! that one never passes for the other. Every registered claim that we set is required, times are judged by the App's
//! clock with five seconds of leeway, and the algorithm is ours and not the header's.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use entity::{application, connect_token, kind::AuditAction};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use sea_orm::{ActiveValue::Set, EntityTrait};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use super::{Caller, ConnectToken, Principal, PrincipalKind, attempts};
use crate::{
    app::App,
    audit::{Actor, Entry},
    clock::Timestamp,
    error::{Error, Result},
    item,
};

/// How long an API key lasts.
pub const API_KEY_LASTS: Duration = Duration::from_hours(2);
/// How long a connect token lasts.
pub const CONNECT_TOKEN_LASTS: Duration = Duration::from_mins(30);

const ISSUER: &str = "ponte";
const API_KEY: &str = "ponte/api-key";
const CONNECT_TOKEN: &str = "ponte/connect-token";
const LEEWAY: Duration = Duration::from_secs(5);
/// Longer texts are no tokens of ours.
const LONGEST_TOKEN: usize = 8 * 1024;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: Uuid,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
    /// The application's token version.
    ver: i32,
    /// The application again, where browser code of other platforms looks for it.
    #[serde(rename = "clientId")]
    client_id: Uuid,
    #[serde(rename = "itemId", default, skip_serializing_if = "Option::is_none")]
    item: Option<Uuid>,
    #[serde(
        rename = "clientUserId",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    client_user_id: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    origins: Vec<String>,
}

/// A token that has just been issued.
#[derive(Debug)]
pub struct Issued {
    /// The JWT.
    pub token: String,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a connect token is asked to carry.
#[derive(Clone, Debug, Default)]
pub struct ConnectTokenRequest {
    /// The one existing Item it may update.
    pub item: Option<Uuid>,
    /// Stamped on the Items made with it.
    pub client_user_id: Option<String>,
    /// Told of the events of the Items made with it.
    pub webhook_url: Option<String>,
    /// Where an OAuth login ends.
    pub oauth_redirect_uri: Option<String>,
    /// Refuse Items with credentials that are connected already.
    pub avoid_duplicates: bool,
    /// Origins of the browsers that may use it; empty for any.
    pub allowed_origins: Vec<String>,
}

/// Trades a client id and secret for an API key. Failures are limited per address and cost the same for ids that do
/// not exist.
pub async fn create_api_key(
    app: &App,
    caller: Caller,
    client_id: &str,
    client_secret: &str,
) -> Result<Issued> {
    let now = app.clock.now();
    let address = caller.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    attempts::check(app, address, now).await?;
    let row = match Uuid::parse_str(client_id) {
        Ok(id) => {
            application::Entity::find_by_id(id)
                .one(app.db.read())
                .await?
        }
        Err(_) => None,
    };
    let known = row.as_ref().map(|row| row.id);
    let hash = row.as_ref().map_or(&[0; 32][..], |row| &row.secret_hash);
    let matches = app.vault.secret_matches(client_secret, hash);
    let Some(row) = row.filter(|row| matches && row.disabled_at.is_none()) else {
        attempts::failed(app, address, now).await?;
        if let Some(known) = known {
            app.tally.refused(known, caller, now);
        }
        return Err(Error::Unauthenticated(
            "wrong client id or secret, or the application is disabled",
        ));
    };
    let id = app.rng.id(now);
    let issued = issue(app, &row, API_KEY, API_KEY_LASTS, id, None)?;
    let actor = Actor::client_secret(caller);
    let entry = Entry::new(row.id, AuditAction::ApiKeyCreated, actor).on(id);
    let owner = app.clone();
    app.unit(async move {
        entry
            .append(owner.db.write(), &owner.clock, &owner.rng)
            .await
    })
    .await?;
    Ok(issued)
}

/// Issues a connect token for a browser or a phone.
pub async fn create_connect_token(
    app: &App,
    principal: &Principal,
    request: ConnectTokenRequest,
) -> Result<Issued> {
    principal.require_api_key("create connect tokens")?;
    let request = checked(app, principal, request).await?;
    let now = app.clock.now();
    let id = app.rng.id(now);
    let row = application::Entity::find_by_id(principal.application)
        .one(app.db.read())
        .await?
        .ok_or(Error::NotFound {
            what: "application",
        })?;
    let token = ConnectToken {
        id,
        item: request.item,
        client_user_id: request.client_user_id.clone(),
        origins: request.allowed_origins,
    };
    let issued = issue(
        app,
        &row,
        CONNECT_TOKEN,
        CONNECT_TOKEN_LASTS,
        id,
        Some(token),
    )?;
    let mut entry = Entry::of(principal, AuditAction::ConnectTokenCreated)
        .on(id)
        .about(&app.vault, request.client_user_id.as_deref());
    if let Some(item) = request.item {
        entry = entry.with("itemId", item.to_string());
    }
    let stored = connect_token::ActiveModel {
        id: Set(id),
        application_id: Set(principal.application),
        item_id: Set(request.item),
        client_user_id: Set(request.client_user_id),
        webhook_url: Set(request.webhook_url),
        oauth_redirect_uri: Set(request.oauth_redirect_uri),
        avoid_duplicates: Set(request.avoid_duplicates),
        created_at: Set(now),
        expires_at: Set(issued.expires_at),
        revoked_at: Set(None),
    };
    let owner = app.clone();
    app.unit(async move {
        let txn = owner.db.begin().await?;
        connect_token::Entity::insert(stored)
            .exec_without_returning(&txn)
            .await?;
        entry.append(&txn, &owner.clock, &owner.rng).await?;
        txn.commit().await?;
        Ok(())
    })
    .await?;
    Ok(issued)
}

async fn checked(
    app: &App,
    principal: &Principal,
    request: ConnectTokenRequest,
) -> Result<ConnectTokenRequest> {
    if let Some(id) = request.item {
        item::load(app, principal, id).await?;
    }
    item::check_client_user_id(request.client_user_id.as_deref())?;
    item::check_webhook_url(app, request.webhook_url.as_deref())?;
    item::check_redirect_uri(request.oauth_redirect_uri.as_deref())?;
    if request.allowed_origins.len() > 20 {
        return Err(Error::invalid("allowedOrigins", "at most 20 origins"));
    }
    let allowed_origins = request
        .allowed_origins
        .iter()
        .map(|text| match Url::parse(text) {
            Ok(url) if url.origin().is_tuple() && url.path() == "/" && url.query().is_none() => {
                Ok(url.origin().ascii_serialization())
            }
            _ => Err(Error::invalid(
                "allowedOrigins",
                "each must be an origin such as https://app.example.com",
            )),
        })
        .collect::<Result<_>>()?;
    Ok(ConnectTokenRequest {
        allowed_origins,
        ..request
    })
}

fn issue(
    app: &App,
    owner: &application::Model,
    audience: &str,
    lasts: Duration,
    id: Uuid,
    token: Option<ConnectToken>,
) -> Result<Issued> {
    let now = app.clock.now().0.div_euclid(1_000);
    let exp = now + i64::try_from(lasts.as_secs()).expect("a few hours");
    let (item, client_user_id, origins) = match token {
        Some(token) => (token.item, token.client_user_id, token.origins),
        None => (None, None, Vec::new()),
    };
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: audience.to_owned(),
        sub: owner.id,
        jti: id,
        iat: now,
        nbf: now,
        exp,
        ver: owner.token_version,
        client_id: owner.id,
        item,
        client_user_id,
        origins,
    };
    let (kid, key) = app.vault.token_signing_key();
    let header = Header {
        kid: Some(kid.to_string()),
        ..Header::new(Algorithm::HS256)
    };
    let token = jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&*key))
        .map_err(Error::internal)?;
    Ok(Issued {
        token,
        expires_at: Timestamp(exp * 1_000),
    })
}

/// Who holds this token. One uniform error for whatever is wrong with it.
pub async fn verify(app: &App, token: &str) -> Result<Principal> {
    const REFUSED: Error =
        Error::Unauthenticated("the token is invalid, expired or revoked; create a new one");
    if token.len() > LONGEST_TOKEN {
        return Err(REFUSED);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| REFUSED)?;
    let key = header
        .kid
        .and_then(|kid| Uuid::parse_str(&kid).ok())
        .and_then(|kid| app.vault.token_key(kid))
        .ok_or(REFUSED)?;
    let claims = decode(token, &key).ok_or(REFUSED)?;
    let now = app.clock.now();
    let (nbf, exp) = (
        Timestamp(claims.nbf.saturating_mul(1_000)),
        Timestamp(claims.exp.saturating_mul(1_000)),
    );
    if nbf > now.plus(LEEWAY) || exp <= now {
        return Err(REFUSED);
    }
    let kind = match claims.aud.as_str() {
        API_KEY => PrincipalKind::ApiKey,
        CONNECT_TOKEN => PrincipalKind::ConnectToken(ConnectToken {
            id: claims.jti,
            item: claims.item,
            client_user_id: claims.client_user_id,
            origins: claims.origins,
        }),
        _ => return Err(REFUSED),
    };
    let principal = Principal {
        application: claims.sub,
        kind,
        version: claims.ver,
        expires_at: exp,
        token: claims.jti,
        caller: Caller::default(),
    };
    if app.applications.revoked(principal.token) {
        return Err(REFUSED);
    }
    let known = app
        .applications
        .load(&app.db, principal.application)
        .await?;
    match known {
        Some(known) if !known.disabled && known.token_version == principal.version => Ok(principal),
        _ => Err(REFUSED),
    }
}

fn decode(token: &str, key: &[u8; 32]) -> Option<Claims> {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.set_audience(&[API_KEY, CONNECT_TOKEN]);
    validation.set_issuer(&[ISSUER]);
    validation.required_spec_claims =
        HashSet::from(["exp", "nbf", "aud", "iss", "sub"].map(str::to_owned));
    // The App's clock judges times, after the signature has been.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.leeway = 0;
    jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_secret(key), &validation)
        .ok()
        .map(|data| data.claims)
}
