//! Who is asking, and what they may do.
//!
//! An application owns everything; a [`Principal`] is an application by its API key, or one of its end users by a
//! connect token. Every read and write starts from a principal. Tokens are judged from memory: the applications are
//! read again every few seconds, so that disabling one or revoking its tokens takes effect on every node soon.

pub mod application;
pub mod attempts;
mod caller;
pub mod parameters_key;
pub mod token;

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, RwLock},
    time::Duration,
};

use entity::{application as table, connect_token, item, kind::Environment};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait, QueryFilter as _, QuerySelect as _, Select,
};
use uuid::Uuid;

pub use self::{attempts::Attempts, caller::Caller};
use crate::{
    clock::Timestamp,
    db::Db,
    error::{Error, Result},
};

/// Who is asking.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The application that the token belongs to.
    pub application: Uuid,
    /// Kind of token.
    pub kind: PrincipalKind,
    /// The application's token version when the token was issued.
    pub version: i32,
    /// When the token ends.
    pub expires_at: Timestamp,
    /// The token's id.
    pub token: Uuid,
    /// The request in which it is presented.
    pub caller: Caller,
}

/// Kind of token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// A server of the application: everything.
    ApiKey,
    /// An end user of the application: connecting accounts.
    ConnectToken(ConnectToken),
}

/// What a connect token carries.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectToken {
    /// Its row.
    pub id: Uuid,
    /// The one existing Item it may update.
    pub item: Option<Uuid>,
    /// The client user it acts for.
    pub client_user_id: Option<String>,
    /// Origins of the browsers that may use it; empty for any.
    pub origins: Vec<String>,
}

impl Principal {
    /// The connect token, if it is one.
    pub fn connect_token(&self) -> Option<&ConnectToken> {
        match &self.kind {
            PrincipalKind::ApiKey => None,
            PrincipalKind::ConnectToken(token) => Some(token),
        }
    }

    /// Fails for a connect token. `what` completes "a connect token may not …".
    pub fn require_api_key(&self, what: &'static str) -> Result<()> {
        match &self.kind {
            PrincipalKind::ApiKey => Ok(()),
            PrincipalKind::ConnectToken(_) => Err(Error::Forbidden(what)),
        }
    }

    /// Whether a token may take the place of another for what is under way: both are API keys of one application, or
    /// connect tokens of it for the same client user and Item.
    pub fn succeeds(&self, other: &Self) -> bool {
        self.application == other.application
            && match (&self.kind, &other.kind) {
                (PrincipalKind::ApiKey, PrincipalKind::ApiKey) => true,
                (PrincipalKind::ConnectToken(fresh), PrincipalKind::ConnectToken(known)) => {
                    fresh.id == known.id
                        || (fresh.client_user_id.is_some()
                            && fresh.client_user_id == known.client_user_id
                            && fresh.item == known.item)
                }
                _ => false,
            }
    }

    /// The Items that this principal may see, those that have been deleted left out.
    pub fn items(&self) -> Select<item::Entity> {
        let items =
            item::Entity::owned_by(self.application).filter(item::Column::DeletedAt.is_null());
        match &self.kind {
            PrincipalKind::ApiKey => items,
            PrincipalKind::ConnectToken(token) => {
                let mut own = Condition::any().add(item::Column::ConnectTokenId.eq(token.id));
                if let Some(named) = token.item {
                    own = own.add(item::Column::Id.eq(named));
                }
                items.filter(own)
            }
        }
    }

    /// Whether a connect token may be used from a browser at this origin. Other clients send none.
    pub fn check_origin(&self, origin: Option<&str>) -> Result<()> {
        match (&self.kind, origin) {
            (PrincipalKind::ConnectToken(token), Some(origin))
                if !token.origins.is_empty()
                    && !token.origins.iter().any(|allowed| allowed == origin) =>
            {
                Err(Error::Forbidden("be used from this origin"))
            }
            _ => Ok(()),
        }
    }
}

/// What is kept in memory of an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownApplication {
    /// Identity.
    pub id: Uuid,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub environment: Environment,
    /// Hours between automatic runs.
    pub auto_sync_hours: Option<i32>,
    /// Minutes between automatic runs, to try things out; instead of hours.
    pub auto_sync_minutes: Option<i32>,
    /// Tokens of another version are void.
    pub token_version: i32,
    /// Verifies deliveries to the endpoints of its Items.
    pub webhook_public_key: Option<String>,
    /// Whether nothing of it is served.
    pub disabled: bool,
}

impl KnownApplication {
    /// The time between automatic runs, if it has them.
    pub fn auto_sync_interval(&self) -> Option<Duration> {
        let lasts = |number: i32, unit: Duration| Some(unit * u32::try_from(number).ok()?);
        match (self.auto_sync_minutes, self.auto_sync_hours) {
            (Some(minutes), _) => lasts(minutes, Duration::from_mins(1)),
            (None, Some(hours)) => lasts(hours, Duration::from_hours(1)),
            (None, None) => None,
        }
    }
}

impl From<table::Model> for KnownApplication {
    fn from(row: table::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            environment: row.environment,
            auto_sync_hours: row.auto_sync_hours,
            auto_sync_minutes: row.auto_sync_minutes,
            token_version: row.token_version,
            webhook_public_key: row.webhook_public_key,
            disabled: row.disabled_at.is_some(),
        }
    }
}

/// The applications and the revoked connect tokens as last read, so that a token is judged without a query.
#[derive(Clone, Default)]
pub struct Applications {
    known: Arc<RwLock<HashMap<Uuid, KnownApplication>>>,
    revoked: Arc<RwLock<HashSet<Uuid>>>,
}

impl Applications {
    /// Reads all of them again.
    pub async fn refresh(&self, db: &Db) -> Result<()> {
        let rows = table::Entity::find().all(db.read()).await?;
        let known = rows.into_iter().map(|row| (row.id, row.into())).collect();
        *self
            .known
            .write()
            .expect("no panic while writing applications") = known;
        let revoked: Vec<Uuid> = connect_token::Entity::find()
            .filter(connect_token::Column::RevokedAt.is_not_null())
            .select_only()
            .column(connect_token::Column::Id)
            .into_tuple()
            .all(db.read())
            .await?;
        *self.revoked.write().expect("no panic while writing tokens") =
            revoked.into_iter().collect();
        Ok(())
    }

    /// Takes note of connect tokens that this node has revoked; others read of them within a beat.
    pub fn revoke(&self, tokens: impl IntoIterator<Item = Uuid>) {
        let mut revoked = self.revoked.write().expect("no panic while writing tokens");
        revoked.extend(tokens);
    }

    /// Whether a token has been revoked by itself.
    pub fn revoked(&self, token: Uuid) -> bool {
        let revoked = self.revoked.read().expect("no panic while writing tokens");
        revoked.contains(&token)
    }

    /// One of them, read now unless it is known.
    pub async fn load(&self, db: &Db, id: Uuid) -> Result<Option<KnownApplication>> {
        if let Some(known) = self.find(id) {
            return Ok(Some(known));
        }
        let Some(row) = table::Entity::find_by_id(id).one(db.read()).await? else {
            return Ok(None);
        };
        let known = KnownApplication::from(row);
        self.known
            .write()
            .expect("no panic while writing applications")
            .insert(id, known.clone());
        Ok(Some(known))
    }

    /// Which there are, in order.
    pub fn ids(&self) -> Vec<Uuid> {
        let known = self
            .known
            .read()
            .expect("no panic while writing applications");
        let mut ids: Vec<Uuid> = known.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// One of them, if it is known.
    pub fn find(&self, id: Uuid) -> Option<KnownApplication> {
        self.known
            .read()
            .expect("no panic while writing applications")
            .get(&id)
            .cloned()
    }

    /// Whether a principal still stands: not expired, not revoked, its application not disabled.
    pub fn stands(&self, principal: &Principal, now: Timestamp) -> bool {
        principal.expires_at > now
            && !self.revoked(principal.token)
            && self
                .find(principal.application)
                .is_some_and(|known| !known.disabled && known.token_version == principal.version)
    }
}
