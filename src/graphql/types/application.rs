//! Applications and tokens.

use async_graphql::{ComplexObject, Context, Enum, ID, InputObject, Object, Result, SimpleObject};
use entity::parameters_key;

use super::super::{
    ContextExt as _,
    scalar::{DateTime, Id, uuid},
};
use crate::{
    auth::{
        KnownApplication, Principal,
        parameters_key::{self as keys, ALGORITHM},
        token::{ConnectTokenRequest, Issued},
    },
    error::Error,
    event::cursor,
};

/// What trades for an API key.
#[derive(InputObject)]
pub struct CreateApiKeyInput {
    /// The application's client id, as `ponte application create` printed it.
    pub client_id: ID,
    /// The application's client secret, as `ponte application create` printed it.
    pub client_secret: String,
}

/// A new API key.
#[derive(SimpleObject)]
pub struct CreateApiKeyPayload {
    /// A JWT; send it as `Authorization: Bearer …` or `X-API-KEY: …`. Keep it on your server.
    pub api_key: String,
    /// When it ends: two hours after it was issued.
    pub expires_at: DateTime,
}

impl From<Issued> for CreateApiKeyPayload {
    fn from(issued: Issued) -> Self {
        Self {
            api_key: issued.token,
            expires_at: DateTime(issued.expires_at),
        }
    }
}

/// What a connect token carries.
#[derive(InputObject)]
pub struct CreateConnectTokenInput {
    /// The one existing Item that it may update, beside those made with it.
    item_id: Option<ID>,
    /// Your name for the user; stamped on the Items made with it. 1 to 256 characters.
    client_user_id: Option<String>,
    /// Address that is told of all events of the Items made with it.
    webhook_url: Option<String>,
    /// Where the browser is sent after a login on an institution's own site: an https address, or the deep link of an app.
    oauth_redirect_uri: Option<String>,
    /// Refuse credentials that are connected already for the same client user. false when left out.
    avoid_duplicates: Option<bool>,
    /// Origins of the browsers that may use it, such as `https://app.example.com`; any when left out. At most 20.
    allowed_origins: Option<Vec<String>>,
}

impl From<CreateConnectTokenInput> for ConnectTokenRequest {
    fn from(input: CreateConnectTokenInput) -> Self {
        Self {
            item: input.item_id.as_ref().map(uuid),
            client_user_id: input.client_user_id,
            webhook_url: input.webhook_url,
            oauth_redirect_uri: input.oauth_redirect_uri,
            avoid_duplicates: input.avoid_duplicates.unwrap_or_default(),
            allowed_origins: input.allowed_origins.unwrap_or_default(),
        }
    }
}

/// A new connect token.
#[derive(SimpleObject)]
pub struct CreateConnectTokenPayload {
    /// A JWT for one user's browser or phone; sent like an API key.
    connect_token: String,
    /// When it ends: 30 minutes after it was issued.
    expires_at: DateTime,
}

impl From<Issued> for CreateConnectTokenPayload {
    fn from(issued: Issued) -> Self {
        Self {
            connect_token: issued.token,
            expires_at: DateTime(issued.expires_at),
        }
    }
}

/// Who a token is and what it may do.
pub struct Viewer(pub Principal);

/// Who a token is and what it may do.
#[Object]
impl Viewer {
    /// Kind of token.
    async fn kind(&self) -> ViewerKind {
        match self.0.connect_token() {
            None => ViewerKind::ApiKey,
            Some(_) => ViewerKind::ConnectToken,
        }
    }

    /// The application that the token belongs to.
    async fn application(&self, ctx: &Context<'_>) -> Result<Application> {
        let app = ctx.app();
        let known = app.applications.load(&app.db, self.0.application).await?;
        let known = known.ok_or(Error::NotFound {
            what: "application",
        })?;
        Ok(known.into())
    }

    /// The one existing Item that a connect token may update; null when it names none, and for API keys.
    async fn item_id(&self) -> Option<Id> {
        self.0.connect_token()?.item.map(Id::Row)
    }

    /// The client user that a connect token acts for; null when it names none, and for API keys.
    async fn client_user_id(&self) -> Option<&str> {
        self.0.connect_token()?.client_user_id.as_deref()
    }

    /// The end of the log at this moment: give it as `after` to subscriptions, or to `events`, to see what happens from now on.
    async fn cursor(&self, ctx: &Context<'_>) -> Result<String> {
        let (app, owner) = (ctx.app(), self.0.application);
        Ok(cursor::encode(app, owner, cursor::head(app, owner).await?))
    }

    /// When the token ends.
    async fn expires_at(&self) -> DateTime {
        DateTime(self.0.expires_at)
    }
}

/// Kind of token.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewerKind {
    /// A server of the application: everything.
    ApiKey,
    /// A user of the application: connecting accounts.
    ConnectToken,
}

/// A customer of this Ponte: owns Items, webhooks and everything else.
#[derive(SimpleObject)]
#[graphql(complex)]
pub struct Application {
    /// Identity, also the `clientId`.
    id: ID,
    /// What people call it.
    name: String,
    /// What it is for.
    environment: Environment,
    /// Hours between automatic runs of its Items; null when there are none, or when they are minutes apart.
    auto_sync_interval_hours: Option<i32>,
    /// Minutes between automatic runs of its Items, which a sandbox application may have to try things out; null when there are none, or when they are hours apart.
    auto_sync_interval_minutes: Option<i32>,
    /// The public half of the key that signs deliveries to the `webhookUrl` of Items beside the webhook secret (`v1a`, ed25519): `whpk_…`, as Standard Webhooks describes. Null for
    /// a moment after an upgrade from a version without.
    webhook_public_key: Option<String>,
}

#[ComplexObject]
impl Application {
    /// The key to encrypt parameters with before they are sent as `encryptedParameters`. It can change: read it right before.
    async fn parameters_key(&self, ctx: &Context<'_>) -> Result<ParametersKey> {
        let (app, owner) = (ctx.app(), ctx.principal()?.application);
        Ok(keys::current(app, owner).await?.into())
    }
}

/// A public key to encrypt parameters with.
#[derive(SimpleObject)]
pub struct ParametersKey {
    /// Which key it is; may stand before the ciphertext, with a dot between.
    key_id: ID,
    /// `RSA-OAEP-256`: RSA-OAEP with SHA-256 as digest and in MGF1, no label. In WebCrypto `{ name: "RSA-OAEP", hash: "SHA-256" }`.
    algorithm: &'static str,
    /// The key, SubjectPublicKeyInfo in PEM. RSA of 3072 bits, so what is encrypted may be 318 bytes long.
    public_key_pem: String,
}

impl From<parameters_key::Model> for ParametersKey {
    fn from(row: parameters_key::Model) -> Self {
        Self {
            key_id: row.id.into(),
            algorithm: ALGORITHM,
            public_key_pem: row.public_key,
        }
    }
}

impl From<KnownApplication> for Application {
    fn from(known: KnownApplication) -> Self {
        Self {
            id: known.id.into(),
            name: known.name,
            environment: known.environment.into(),
            auto_sync_interval_hours: known.auto_sync_hours,
            auto_sync_interval_minutes: known.auto_sync_minutes,
            webhook_public_key: known.webhook_public_key,
        }
    }
}

/// What an application is for.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::Environment")]
pub enum Environment {
    /// Trying things out.
    Sandbox,
    /// Building against real institutions.
    Development,
    /// Serving real users.
    Production,
}
