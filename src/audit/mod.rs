//! The audit log: who created, changed, read in bulk, deleted and rotated what. Append-only.
//!
//! An [`Entry`] is written in the transaction of what it tells, so that neither is there without the other. What changes
//! nothing is counted in memory ([`tally`]) and written once a minute. An entry holds ids, counts and names of fields,
//! never a value; whom it concerns it holds as a keyed digest alone, so that erasing a client user leaves the log as it is.
//! Triggers refuse to change a row; only retention deletes one.

pub mod list;
pub mod tally;

use entity::{
    audit_entry,
    kind::{AuditAction, AuditActor},
};
use sea_orm::{ActiveModelTrait as _, ConnectionTrait, EntityTrait as _, IntoActiveModel as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

pub use self::tally::{Shown, Tally};
use crate::{
    auth::{Caller, Principal, PrincipalKind},
    clock::{Clock, Rng},
    error::Result,
    vault::Vault,
};

/// Who does something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What they are.
    pub kind: AuditActor,
    /// Their token.
    pub token: Option<Uuid>,
    /// From where they do it.
    pub caller: Caller,
}

impl Actor {
    /// The operator, at the command line.
    pub fn operator() -> Self {
        Self::without_token(AuditActor::Operator, Caller::default())
    }

    /// The server by itself.
    pub fn ponte() -> Self {
        Self::without_token(AuditActor::Ponte, Caller::default())
    }

    /// An end user's browser, sent back by an institution.
    pub fn browser(caller: Caller) -> Self {
        Self::without_token(AuditActor::Browser, caller)
    }

    /// Whoever presented a client id and secret, right or wrong.
    pub fn client_secret(caller: Caller) -> Self {
        Self::without_token(AuditActor::ClientSecret, caller)
    }

    fn without_token(kind: AuditActor, caller: Caller) -> Self {
        Self {
            kind,
            token: None,
            caller,
        }
    }
}

impl From<&Principal> for Actor {
    fn from(principal: &Principal) -> Self {
        Self {
            kind: match principal.kind {
                PrincipalKind::ApiKey => AuditActor::ApiKey,
                PrincipalKind::ConnectToken(_) => AuditActor::ConnectToken,
            },
            token: Some(principal.token),
            caller: principal.caller,
        }
    }
}

/// Something that was done, about to be written down.
#[derive(Clone, Debug)]
pub struct Entry {
    application: Uuid,
    action: AuditAction,
    actor: Actor,
    target: Option<Uuid>,
    client_user: Option<[u8; 32]>,
    detail: Map<String, Value>,
}

impl Entry {
    /// Something done to what belongs to an application.
    pub fn new(application: Uuid, action: AuditAction, actor: impl Into<Actor>) -> Self {
        Self {
            application,
            action,
            actor: actor.into(),
            target: None,
            client_user: None,
            detail: Map::new(),
        }
    }

    /// The same, done by a principal to what is its own.
    pub fn of(principal: &Principal, action: AuditAction) -> Self {
        Self::new(principal.application, action, principal)
    }

    /// Names what it was done to.
    #[must_use]
    pub fn on(mut self, target: Uuid) -> Self {
        self.target = Some(target);
        self
    }

    /// Says whom it concerns, if that is known.
    #[must_use]
    pub fn about(mut self, vault: &Vault, client_user_id: Option<&str>) -> Self {
        let application = self.application;
        self.client_user = client_user_id.map(|user| client_user(vault, application, user));
        self
    }

    /// Adds an id, a count, or names of fields; never a value of one.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }

    /// Writes it, inside the transaction of what it tells.
    pub async fn append(
        self,
        txn: &impl ConnectionTrait,
        clock: &Clock,
        rng: &Rng,
    ) -> Result<Uuid> {
        let row = self.into_row(clock, rng);
        let id = row.id;
        audit_entry::Entity::insert(row.into_active_model().reset_all())
            .exec_without_returning(txn)
            .await?;
        Ok(id)
    }

    fn into_row(self, clock: &Clock, rng: &Rng) -> audit_entry::Model {
        let at = clock.now();
        let Caller { request, address } = self.actor.caller;
        audit_entry::Model {
            id: rng.id(at),
            application_id: self.application,
            at,
            action: self.action,
            actor: self.actor.kind,
            token_id: self.actor.token,
            request_id: request,
            address: address.map(|address| address.to_string()),
            target_id: self.target,
            client_user: self.client_user.map(|digest| digest.to_vec()),
            detail: Value::Object(self.detail),
        }
    }
}

/// Writes several at once.
pub async fn append_all(
    txn: &impl ConnectionTrait,
    clock: &Clock,
    rng: &Rng,
    entries: Vec<Entry>,
) -> Result<()> {
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        let rows = entries.by_ref().take(500);
        let rows = rows.map(|entry| entry.into_row(clock, rng).into_active_model().reset_all());
        audit_entry::Entity::insert_many(rows)
            .exec_without_returning(txn)
            .await?;
    }
    Ok(())
}

/// What the log knows a client user by.
pub fn client_user(vault: &Vault, application: Uuid, client_user_id: &str) -> [u8; 32] {
    vault.digest(&[
        b"client-user",
        application.as_bytes(),
        client_user_id.as_bytes(),
    ])
}
