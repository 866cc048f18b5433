//! Applications: made and steered by the operator.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::{
    application, event_head,
    kind::{AuditAction, Environment},
    parameters_key,
};
use sea_orm::{
    ActiveModelTrait as _,
    ActiveValue::Set,
    ColumnTrait as _, ConnectionTrait, EntityTrait, IntoActiveModel as _, PaginatorTrait as _,
    QueryFilter as _, QueryOrder as _, QuerySelect as _,
    sea_query::{Expr, ExprTrait as _},
};
use uuid::Uuid;

use super::parameters_key as keys;
use crate::{
    audit::{Actor, Entry, append_all},
    clock::{Clock, Rng, Timestamp},
    db::Db,
    error::{Error, Result},
    vault::{Pair, Scope, Vault},
    webhook::{
        keys::{OVERLAP, seal_signing_key},
        signature::Secret,
    },
};

/// An application as it is shown once, with its secrets.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Created {
    /// Identity.
    pub id: Uuid,
    /// The same, under the name that `createApiKey` takes.
    pub client_id: Uuid,
    /// Shown once; only its keyed hash is kept.
    pub client_secret: String,
    /// Signs deliveries to the `webhookUrl`s of its Items.
    pub webhook_secret: String,
    /// Verifies the same deliveries for those who would rather keep no secret.
    pub webhook_public_key: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub environment: Environment,
    /// Hours between automatic runs; null when there are none, or they are minutes apart.
    pub auto_sync_interval_hours: Option<i32>,
    /// Minutes between automatic runs; null when there are none, or they are hours apart.
    pub auto_sync_interval_minutes: Option<i32>,
}

/// The time between automatic runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interval {
    /// 8, 12 or 24 of them.
    Hours(i32),
    /// Up to a day of them, to try things out.
    Minutes(i32),
}

impl Interval {
    /// Which of the two columns says it: hours, minutes.
    fn columns(of: Option<Self>) -> (Option<i32>, Option<i32>) {
        match of {
            None => (None, None),
            Some(Self::Hours(hours)) => (Some(hours), None),
            Some(Self::Minutes(minutes)) => (None, Some(minutes)),
        }
    }

    /// Whether an application of this environment may have it.
    fn check(of: Option<Self>, environment: Environment) -> Result<()> {
        let problem = match (of, environment) {
            (None, _)
            | (Some(Self::Hours(8 | 12 | 24)), Environment::Production | Environment::Sandbox)
            | (Some(Self::Minutes(1..=1440)), Environment::Sandbox) => return Ok(()),
            (Some(_), Environment::Development) => {
                "development applications have no automatic runs"
            }
            (Some(Self::Hours(_)), _) => "every 8, 12 or 24 hours",
            (Some(Self::Minutes(_)), Environment::Sandbox) => "every 1 to 1440 minutes",
            (Some(Self::Minutes(_)), Environment::Production) => {
                "minutes are for sandbox applications; every 8, 12 or 24 hours"
            }
        };
        Err(Error::invalid("autoSync", problem))
    }
}

/// New webhook keys of an application.
#[derive(Debug)]
pub struct Rotated {
    /// Signs from now on.
    pub webhook_secret: String,
    /// Verifies from now on.
    pub webhook_public_key: String,
    /// When those of before stop signing beside it.
    pub previous_until: Timestamp,
}

/// A new key for encrypted parameters.
#[derive(Debug)]
pub struct RotatedParametersKey {
    /// The key that clients encrypt with from now on.
    pub key: parameters_key::Model,
    /// Until when the one of before opens; `None` when there was none.
    pub previous_until: Option<Timestamp>,
}

/// What operating on applications needs.
pub struct Operator<'a> {
    /// Where they are.
    pub db: &'a Db,
    /// Hashes and seals their secrets.
    pub vault: &'a Vault,
    /// Time.
    pub clock: &'a Clock,
    /// Chance.
    pub rng: &'a Rng,
}

impl Operator<'_> {
    /// Makes an application with new secrets.
    pub async fn create(
        &self,
        name: &str,
        environment: Environment,
        auto_sync: Option<Interval>,
    ) -> Result<Created> {
        Interval::check(auto_sync, environment)?;
        let (auto_sync_hours, auto_sync_minutes) = Interval::columns(auto_sync);
        let name = name.trim();
        if name.is_empty() || name.chars().count() > 100 {
            return Err(Error::invalid("name", "1 to 100 characters"));
        }
        let now = self.clock.now();
        let id = self.rng.id(now);
        let client_secret = fresh_secret(self.rng);
        let webhook_secret = Secret::generate(self.rng);
        let txn = self.db.begin().await?;
        let sealed = self
            .vault
            .seal(&txn, webhook_scope(id), webhook_secret.reveal().as_bytes())
            .await?;
        let (signing_key, public_key) =
            seal_signing_key(&txn, self.vault, self.rng, signing_scope(id)).await?;
        application::Entity::insert(application::ActiveModel {
            id: Set(id),
            name: Set(name.to_owned()),
            environment: Set(environment),
            auto_sync_hours: Set(auto_sync_hours),
            auto_sync_minutes: Set(auto_sync_minutes),
            auto_sync_changed_at: Set(None),
            secret_hash: Set(self.vault.secret_hash(&client_secret).to_vec()),
            token_version: Set(1),
            webhook_secret: Set(sealed),
            previous_webhook_secret: Set(None),
            previous_webhook_secret_until: Set(None),
            webhook_signing_key: Set(Some(signing_key)),
            webhook_public_key: Set(Some(public_key.clone())),
            previous_webhook_signing_key: Set(None),
            disabled_at: Set(None),
            created_at: Set(now),
        })
        .exec_without_returning(&txn)
        .await?;
        event_head::Entity::insert(event_head::ActiveModel {
            application_id: Set(id),
            position: Set(0),
        })
        .exec_without_returning(&txn)
        .await?;
        self.note(&txn, entry(id, AuditAction::ApplicationCreated))
            .await?;
        txn.commit().await?;
        Ok(Created {
            id,
            client_id: id,
            client_secret,
            webhook_secret: webhook_secret.reveal().to_string(),
            webhook_public_key: public_key,
            name: name.to_owned(),
            environment,
            auto_sync_interval_hours: auto_sync_hours,
            auto_sync_interval_minutes: auto_sync_minutes,
        })
    }

    /// Changes the time between automatic runs, or turns them off. The schedule of the application's Items follows
    /// within seconds, by the workers.
    pub async fn set_auto_sync(
        &self,
        id: Uuid,
        interval: Option<Interval>,
    ) -> Result<application::Model> {
        let txn = self.db.begin().await?;
        let row = application::Entity::find_by_id(id)
            .lock_exclusive()
            .one(&txn)
            .await?
            .ok_or(Error::NotFound {
                what: "application",
            })?;
        Interval::check(interval, row.environment)?;
        let (hours, minutes) = Interval::columns(interval);
        let mut changed = row.into_active_model();
        changed.auto_sync_hours = Set(hours);
        changed.auto_sync_minutes = Set(minutes);
        changed.auto_sync_changed_at = Set(Some(self.clock.now()));
        let row = changed.update(&txn).await?;
        let entry = entry(id, AuditAction::ApplicationUpdated);
        self.note(&txn, entry.with("fields", vec!["autoSync"]))
            .await?;
        txn.commit().await?;
        Ok(row)
    }

    /// All of them, oldest first.
    pub async fn list(&self) -> Result<Vec<application::Model>> {
        Ok(application::Entity::find()
            .order_by_asc(application::Column::Id)
            .all(self.db.read())
            .await?)
    }

    /// Whether there is none yet.
    pub async fn none(&self) -> Result<bool> {
        Ok(application::Entity::find().count(self.db.read()).await? == 0)
    }

    /// Gives an application a new client secret. With `revoke`, every issued token ends too.
    pub async fn rotate_secret(&self, id: Uuid, revoke: bool) -> Result<String> {
        let secret = fresh_secret(self.rng);
        let hash = self.vault.secret_hash(&secret).to_vec();
        let mut update = application::Entity::update_many()
            .col_expr(application::Column::SecretHash, Expr::value(hash))
            .filter(application::Column::Id.eq(id));
        if revoke {
            update = update.col_expr(
                application::Column::TokenVersion,
                Expr::col(application::Column::TokenVersion).add(1),
            );
        }
        let txn = self.db.begin().await?;
        if update.exec(&txn).await?.rows_affected == 0 {
            return Err(Error::NotFound {
                what: "application",
            });
        }
        let entry = entry(id, AuditAction::ApplicationSecretRotated);
        self.note(&txn, entry.with("tokensRevoked", revoke)).await?;
        txn.commit().await?;
        Ok(secret)
    }

    /// Replaces what signs deliveries to the `webhookUrl`s of an application's Items; those of before sign beside it for
    /// a day.
    pub async fn rotate_webhook_secret(&self, id: Uuid) -> Result<Rotated> {
        let txn = self.db.begin().await?;
        let mut row = application::Entity::find_by_id(id)
            .lock_exclusive()
            .one(&txn)
            .await?
            .ok_or(Error::NotFound {
                what: "application",
            })?;
        // An overlap that has not ended ends now: there are two secrets, never three.
        for envelope in [
            &row.previous_webhook_secret,
            &row.previous_webhook_signing_key,
        ] {
            self.vault.destroy(&txn, envelope.as_deref()).await?;
        }
        let (vault, secret) = (self.vault, &row.webhook_secret);
        let (from, to) = (webhook_scope(id), previous_webhook_scope(id));
        row.previous_webhook_secret = Some(vault.reseal(&txn, from, to, secret).await?);
        let (from, to) = (signing_scope(id), previous_signing_scope(id));
        row.previous_webhook_signing_key = match &row.webhook_signing_key {
            Some(key) => Some(vault.reseal(&txn, from, to, key).await?),
            None => None,
        };
        let until = self.clock.now().plus(OVERLAP);
        row.previous_webhook_secret_until = Some(until);
        let secret = Secret::generate(self.rng).reveal();
        row.webhook_secret = self
            .vault
            .seal(&txn, webhook_scope(id), secret.as_bytes())
            .await?;
        let (key, public) = seal_signing_key(&txn, self.vault, self.rng, signing_scope(id)).await?;
        row.webhook_signing_key = Some(key);
        row.webhook_public_key = Some(public.clone());
        application::Entity::update(row.into_active_model().reset_all())
            .exec(&txn)
            .await?;
        let entry = entry(id, AuditAction::ApplicationWebhookSecretRotated);
        self.note(&txn, entry).await?;
        txn.commit().await?;
        Ok(Rotated {
            webhook_secret: secret.to_string(),
            webhook_public_key: public,
            previous_until: until,
        })
    }

    /// Replaces the key that clients encrypt parameters with; the one of before opens for a day longer.
    pub async fn rotate_parameters_key(&self, id: Uuid) -> Result<RotatedParametersKey> {
        let pair = Pair::generate().await?;
        let txn = self.db.begin().await?;
        keys::hold(&txn, id).await?;
        let previous_until = keys::retire(&txn, id, self.clock.now()).await?;
        let means = (self.vault, self.clock, self.rng);
        let key = keys::insert(&txn, means, id, &pair).await?;
        let entry = entry(id, AuditAction::ApplicationParametersKeyRotated);
        self.note(&txn, entry).await?;
        txn.commit().await?;
        Ok(RotatedParametersKey {
            key,
            previous_until,
        })
    }

    /// Stops serving an application: its tokens, sockets and streams end within seconds.
    pub async fn disable(&self, id: Uuid) -> Result<application::Model> {
        let txn = self.db.begin().await?;
        let row = application::Entity::find_by_id(id)
            .lock_exclusive()
            .one(&txn)
            .await?
            .ok_or(Error::NotFound {
                what: "application",
            })?;
        let version = row.token_version + 1;
        let mut changed = row.into_active_model();
        changed.disabled_at = Set(Some(self.clock.now()));
        changed.token_version = Set(version);
        let row = changed.update(&txn).await?;
        self.note(&txn, entry(id, AuditAction::ApplicationDisabled))
            .await?;
        txn.commit().await?;
        Ok(row)
    }

    async fn note(&self, txn: &impl ConnectionTrait, entry: Entry) -> Result<()> {
        entry.append(txn, self.clock, self.rng).await?;
        Ok(())
    }
}

/// Notes for every application what the operator has done to all of them at once.
pub async fn note_for_all(db: &Db, clock: &Clock, rng: &Rng, action: AuditAction) -> Result<()> {
    let applications: Vec<Uuid> = application::Entity::find()
        .select_only()
        .column(application::Column::Id)
        .into_tuple()
        .all(db.read())
        .await?;
    let entries = applications.into_iter().map(|id| entry(id, action));
    let txn = db.begin().await?;
    append_all(&txn, clock, rng, entries.collect()).await?;
    txn.commit().await?;
    Ok(())
}

fn entry(application: Uuid, action: AuditAction) -> Entry {
    Entry::new(application, action, Actor::operator()).on(application)
}

/// Where an application's webhook secret belongs.
pub fn webhook_scope(id: Uuid) -> Scope {
    Scope::of_application(id, id, "webhook_secret")
}

/// Where the secret belongs that still signs during an overlap.
pub fn previous_webhook_scope(id: Uuid) -> Scope {
    Scope::of_application(id, id, "previous_webhook_secret")
}

/// Where the asymmetric key of an application's webhooks belongs.
pub fn signing_scope(id: Uuid) -> Scope {
    Scope::of_application(id, id, "webhook_signing_key")
}

/// Where the asymmetric key belongs that still signs during an overlap.
pub fn previous_signing_scope(id: Uuid) -> Scope {
    Scope::of_application(id, id, "previous_webhook_signing_key")
}

fn fresh_secret(rng: &Rng) -> String {
    URL_SAFE_NO_PAD.encode(rng.bytes::<32>())
}
