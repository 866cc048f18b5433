//! The audit log.

use async_graphql::{Context, Enum, ID, InputObject, Object, Result};
use entity::audit_entry;
use serde_json::Value;

use super::{
    super::{
        ContextExt as _, loader,
        page::{self, Arguments, List, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Id, uuid},
    },
    item::Item,
};
use crate::{
    audit::list::{self as entries, AuditFilter as Wanted},
    db::row::Row as _,
    item::check_client_user_id,
};

/// Who did what to what is yours.
#[derive(Clone)]
pub struct AuditEntry(pub audit_entry::Model);

/// Who did what to what is yours. Never changes; goes after two years, unless the operator has set another time. It holds ids, counts and names of fields, no values.
#[Object]
impl AuditEntry {
    /// Identity. Later entries have larger ids.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// When it was done; of what is counted, when it was written down.
    async fn at(&self) -> DateTime {
        DateTime(self.0.at)
    }

    /// What was done.
    async fn action(&self) -> AuditAction {
        self.0.action.into()
    }

    /// Who did it.
    async fn actor(&self) -> AuditActor {
        self.0.actor.into()
    }

    /// The token with which it was done: that of an API_KEY_CREATED or CONNECT_TOKEN_CREATED, as their `targetId`. Null when it was done without one.
    async fn token_id(&self) -> Option<Id> {
        self.0.token_id.map(Id::Row)
    }

    /// The request in which it was done, as `X-Request-Id` and `extensions.requestId` tell it; of what is counted, the last. Null when it was done without one.
    async fn request_id(&self) -> Option<Id> {
        self.0.request_id.map(Id::Row)
    }

    /// The network address from which it was done, behind the operator's proxies; of what is counted, the last. Null when there was none.
    async fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// To what it was done: the Item, webhook, delivery, upload, token or application that `action` names. Null for BULK_READ and for what is done to a client user.
    async fn target_id(&self) -> Option<Id> {
        self.0.target_id.map(Id::Row)
    }

    /// The Item to which it was done, as it is now; null once it is deleted, and when it was done to something else.
    async fn item(&self, ctx: &Context<'_>) -> Result<Option<Item>> {
        match self.0.target_id {
            Some(id) => Ok(loader::item(ctx, id).await?.map(Item::from)),
            None => Ok(None),
        }
    }

    /// Stands for the client user whom it concerns: the same text for the same user, from which nobody learns your name for them. `AuditFilter.clientUserId` finds it. Null when it concerns none.
    async fn client_user_digest(&self) -> Option<String> {
        use std::fmt::Write as _;

        let digest = self.0.client_user.as_ref()?;
        Some(digest.iter().fold(String::new(), |mut hex, byte| {
            // A String takes everything.
            let _ = write!(hex, "{byte:02x}");
            hex
        }))
    }

    /// More of it, by action: `fields` names what an update changed; `connectorId` of a new Item; `itemId` of a connect token; `count` of replayed events; `deliveryId` of a test event;
    /// `bytes` of an upload; `tokensRevoked` with a new client secret; `items` and `connectTokens` of a deleted client user; `times`, `since` and `rows` by kind of what is counted.
    async fn detail(&self) -> &Value {
        &self.0.detail
    }
}

impl From<audit_entry::Model> for AuditEntry {
    fn from(row: audit_entry::Model) -> Self {
        Self(row)
    }
}

impl Plain for AuditEntry {}

impl Pointed for AuditEntry {
    fn pointer(&self) -> String {
        page::cursor(List::AuditEntries, self.0.key())
    }
}

connection!(
    /// A page of the audit log, newest first.
    AuditEntryConnection,
    /// An entry in a list.
    AuditEntryEdge,
    AuditEntry
);

/// Which entries are wanted; everything given must hold.
#[derive(InputObject, Default)]
pub struct AuditFilter {
    /// Only these actions.
    actions: Option<Vec<AuditAction>>,
    /// Only what concerns this client user, also one that has been deleted since.
    client_user_id: Option<String>,
    /// Only what was done to this: an Item, a webhook, a token …
    target_id: Option<ID>,
    /// Only at this instant or later.
    from: Option<DateTime>,
    /// Only before this instant.
    to: Option<DateTime>,
}

impl From<AuditFilter> for Wanted {
    fn from(filter: AuditFilter) -> Self {
        let actions = filter.actions;
        Self {
            actions: actions.map(|wanted| wanted.into_iter().map(Into::into).collect()),
            client_user_id: filter.client_user_id,
            target: filter.target_id.as_ref().map(uuid),
            from: filter.from.map(|at| at.0),
            to: filter.to.map(|at| at.0),
        }
    }
}

/// A page of the audit log.
pub async fn list(
    ctx: &Context<'_>,
    arguments: Arguments,
    filter: Option<AuditFilter>,
) -> Result<AuditEntryConnection> {
    let slice = arguments.slice(List::AuditEntries, crate::graphql::MOST_ROWS)?;
    let filter = Wanted::from(filter.unwrap_or_default());
    check_client_user_id(filter.client_user_id.as_deref())?;
    let page = entries::list(ctx.app(), ctx.principal()?, &filter, slice).await?;
    Ok(AuditEntryConnection::new(page))
}

/// What was done.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::AuditAction")]
pub enum AuditAction {
    /// The operator made your application.
    ApplicationCreated,
    /// The operator gave your application a new client secret.
    ApplicationSecretRotated,
    /// The operator gave your application new keys that sign deliveries to the `webhookUrl` of Items.
    ApplicationWebhookSecretRotated,
    /// The operator gave your application a new key for encrypted parameters.
    ApplicationParametersKeyRotated,
    /// The operator changed the interval of your automatic runs.
    ApplicationUpdated,
    /// The operator disabled your application.
    ApplicationDisabled,
    /// The operator wrapped every key, also those of what is yours, with a new master key.
    MasterKeyRotated,
    /// The operator put back a copy of the database: what happened since the copy is not in it.
    DatabaseRestored,
    /// `createApiKey` issued an API key: the target.
    ApiKeyCreated,
    /// `createApiKey` was refused, with your client id and a wrong secret or while you were disabled. Counted by address and minute.
    ApiKeyRefused,
    /// `createConnectToken` issued a connect token: the target.
    ConnectTokenCreated,
    /// `createItem` made an Item.
    ItemCreated,
    /// `updateItem` started a run of an Item.
    ItemUpdated,
    /// `sendItemMfa` answered an Item's question.
    ItemMfaSent,
    /// `disableItemAutoSync` took an Item out of automatic runs.
    ItemAutoSyncDisabled,
    /// The operator forgot an Item's failed logins.
    ItemUnlocked,
    /// The operator gave notice that a connector ends, at which you have Items.
    ConnectorRetired,
    /// The operator took that notice back.
    ConnectorKept,
    /// An Item was deleted: by `deleteItem`, with its client user, or because its time or its connector had come to the end.
    ItemDeleted,
    /// An institution was asked for a live balance: `fetchAccountBalance`.
    BalanceFetched,
    /// Something was done in the laboratory: to an Item's made-up bank (`targetId`), or to a sandbox connector.
    SandboxChanged,
    /// A file was uploaded.
    UploadCreated,
    /// `createWebhook` registered a webhook.
    WebhookCreated,
    /// `updateWebhook` changed a webhook.
    WebhookUpdated,
    /// `deleteWebhook` deleted a webhook.
    WebhookDeleted,
    /// `rotateWebhookSecret` gave a webhook a new secret.
    WebhookSecretRotated,
    /// `replayWebhook` delivered events again.
    WebhookReplayed,
    /// `sendTestEvent` sent a test event to a webhook.
    TestEventSent,
    /// `retryDelivery` sent a delivery again.
    DeliveryRetried,
    /// `updateTransaction` gave a transaction the user's own category, or took it away.
    TransactionUpdated,
    /// `createCategoryRule` made or changed a rule.
    CategoryRuleCreated,
    /// `deleteCategoryRule` deleted a rule.
    CategoryRuleDeleted,
    /// `exportClientUser` began an export.
    ClientUserExported,
    /// `deleteClientUser` ordered a client user's data to be erased.
    ClientUserDeleted,
    /// Answers showed 100 or more Items, consents, accounts, transactions and holders each. Counted by token and minute.
    BulkRead,
}

/// Who did something.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::AuditActor")]
pub enum AuditActor {
    /// A server of yours, with an API key.
    ApiKey,
    /// A user's browser or phone, with a connect token.
    ConnectToken,
    /// Whoever presented your client id and a client secret.
    ClientSecret,
    /// An end user's browser, sent back by an institution after a login there.
    Browser,
    /// The operator of this Ponte, at its command line.
    Operator,
    /// This Ponte by itself.
    Ponte,
}
