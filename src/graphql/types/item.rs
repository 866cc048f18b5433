//! Items: users' connections.

use std::collections::BTreeMap;

use async_graphql::{
    Context, Enum, ID, InputObject, Object, Result, SimpleObject, parser::types::Field as Selected,
};
use entity::{item, kind};
use serde_json::Value;

use super::{
    super::{
        ContextExt as _, loader,
        page::{self, Arguments, List, Pointed, connection},
        rows::{Json, Plain},
        scalar::{DateTime, Id},
    },
    account::{self, AccountConnection, AccountType},
    connector::{Connector, CredentialField},
    consent::ConsentConnection,
    execution::ExecutionConnection,
    identity::Identity,
    investment::{self, InvestmentConnection, InvestmentType},
    loan::{self, LoanConnection, LoanKind},
    product::ProductType,
    quota::Quota,
    summary::{self, CategoryLevel, TransactionGrouping, TransactionSummary},
    transaction::{self, TransactionConnection, TransactionFilter},
    transaction_order::TransactionOrder,
    webhook::{self, DeliveryConnection, DeliveryStatus},
};
use crate::{
    app::App,
    connector::{self as integration, Field, Warning},
    db::row::Row as _,
    item::{
        self as items, auto_sync, connector_of,
        freshness::{self, Freshness},
        list::ItemFilter as Wanted,
        permission, products_of, state,
    },
    product::list::{AccountFilter, Parent},
    webhook::Parent as Deliveries,
};

/// A user's connection through a connector.
#[derive(Clone)]
pub struct Item(pub Box<item::Model>);

/// A user's connection through a connector.
#[Object]
impl Item {
    /// Identity.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// What it is connected through.
    async fn connector(&self, ctx: &Context<'_>) -> Connector {
        Connector(connector_of(ctx.app(), &self.0))
    }

    /// The coarse state.
    async fn status(&self) -> ItemStatus {
        state::status(self.0.execution_status).into()
    }

    /// Where the latest run stands, in detail.
    async fn execution_status(&self) -> ExecutionStatus {
        self.0.execution_status.into()
    }

    /// Why the latest run failed; null when it has not.
    async fn error(&self) -> Option<ItemError> {
        let row = &self.0;
        row.error_code.map(|code| ItemError {
            code: code.as_str().to_owned(),
            message: row
                .error_message
                .clone()
                .unwrap_or_else(|| state::explanation(code).to_owned()),
            provider_message: row.error_provider_message.clone(),
            attributes: attributes(row.error_attributes.as_ref()),
        })
    }

    /// One per requested product: how its last collection went.
    async fn status_detail(&self, ctx: &Context<'_>) -> Vec<ProductStatus> {
        let details = &self.0.status_detail;
        let status = |product: kind::Product| {
            let freshness = freshness::of(ctx.app(), &self.0, product);
            ProductStatus::read(product, details.get(product.as_str()), freshness)
        };
        products_of(&self.0).into_iter().map(status).collect()
    }

    /// What the user must type now, to be sent with `sendItemMfa`; null unless the status is WAITING_USER_INPUT.
    async fn parameter(&self) -> Option<CredentialField> {
        let field: Field = serde_json::from_value(self.0.parameter.clone()?).ok()?;
        Some(CredentialField::new(field, self.0.parameter_expires_at))
    }

    /// What the user must do now, elsewhere; null unless the status is WAITING_USER_ACTION. It can be renewed: read it again.
    async fn user_action(&self) -> Option<UserAction> {
        let stored = self.0.user_action.clone()?;
        let action: integration::UserAction = serde_json::from_value(stored).ok()?;
        Some(UserAction {
            kind: action.kind,
            instructions: action.instructions,
            data: action.data,
            attributes: action.attributes.into_iter().map(Into::into).collect(),
            expires_at: self.0.user_action_expires_at.map(DateTime),
        })
    }

    /// The products that are collected, in the order of collection.
    async fn products(&self) -> Vec<ProductType> {
        products_of(&self.0).into_iter().map(Into::into).collect()
    }

    /// Your name for the user; null when it has none.
    async fn client_user_id(&self) -> Option<&str> {
        self.0.client_user_id.as_deref()
    }

    /// Address that is told of all its events; null when there is none.
    async fn webhook_url(&self) -> Option<&str> {
        self.0.webhook_url.as_deref()
    }

    /// Where its user's browser is sent after a login on the institution's own site; null when nowhere.
    async fn oauth_redirect_uri(&self) -> Option<&str> {
        self.0.oauth_redirect_uri.as_deref()
    }

    /// How many logins in a row its institution has refused: two make updates wait, five stop them until new parameters come.
    async fn consecutive_failed_login_attempts(&self) -> i32 {
        self.0.failed_logins
    }

    /// When it was made.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When anything of it last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// When a run last succeeded, fully or in part; null when none has.
    async fn last_updated_at(&self) -> Option<DateTime> {
        self.0.last_updated_at.map(DateTime)
    }

    /// When the user's consent at the institution ends; null when it has no end.
    async fn consent_expires_at(&self) -> Option<DateTime> {
        self.0.consent_expires_at.map(DateTime)
    }

    /// The earliest time of the next automatic run: an interval after the last success, or an hour after the end of a run that failed. It starts up to a tenth of that and 30 minutes
    /// later. Null when none is to come (`autoSync.reason` says why), also while a run is under way.
    async fn next_auto_sync_at(&self, ctx: &Context<'_>) -> Option<DateTime> {
        let app = ctx.app();
        let standing = auto_sync::of(app, &self.0, app.clock.now());
        standing.next_at.map(DateTime)
    }

    /// Where it stands in automatic runs.
    async fn auto_sync(&self, ctx: &Context<'_>) -> AutoSync {
        let app = ctx.app();
        let standing = auto_sync::of(app, &self.0, app.clock.now());
        AutoSync::new(standing, &self.0)
    }

    /// Whether `updateItem` without parameters would be accepted now.
    async fn can_update(&self, ctx: &Context<'_>) -> UpdatePermission {
        let app = ctx.app();
        let connector = connector_of(app, &self.0);
        let (form, now) = (connector.descriptor(), app.clock.now());
        permission::ask(form, &self.0, app.config.login_attempts_per_day, now).into()
    }

    /// Its accounts and cards, oldest first. At most 200 a page, 50 unless told. A connect token may read some fields of them.
    #[expect(
        clippy::too_many_arguments,
        reason = "a page has four, and there are two filters"
    )]
    async fn accounts(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
        #[graphql(name = "type", desc = "Only accounts of this family.")] kind: Option<AccountType>,
        #[graphql(
            desc = "Only accounts that the institution no longer shows (true), or only those that it does (false); all when left out."
        )]
        closed: Option<bool>,
    ) -> Result<AccountConnection> {
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        let kind = kind.map(Into::into);
        account::list(ctx, self.0.id, arguments, AccountFilter { kind, closed }).await
    }

    /// The transactions of all its accounts, newest first unless told. At most 500 a page, 50 unless told. FORBIDDEN to connect tokens.
    #[expect(clippy::too_many_arguments, reason = "as the public schema has them")]
    async fn transactions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only these transactions.")] filter: Option<TransactionFilter>,
        #[graphql(desc = "In which order. DATE_DESC when left out.")] order_by: Option<
            TransactionOrder,
        >,
    ) -> Result<TransactionConnection> {
        ctx.principal()?.require_api_key("read transactions")?;
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        transaction::list(ctx, Parent::Item, self.0.id, arguments, filter, order_by).await
    }

    /// What the transactions of all its accounts come to, for each currency. FORBIDDEN to connect tokens.
    async fn transaction_summary(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only these transactions.")] filter: Option<TransactionFilter>,
        #[graphql(desc = "What to sum by: one to three different things.")] group_by: Vec<
            TransactionGrouping,
        >,
        #[graphql(
            desc = "Whether CATEGORY sums each category by itself or with all that belongs to its root. LEAF when left out."
        )]
        category_level: Option<CategoryLevel>,
    ) -> Result<TransactionSummary> {
        ctx.principal()?.require_api_key("read transactions")?;
        summary::of(
            ctx,
            Parent::Item,
            self.0.id,
            filter,
            group_by,
            category_level,
        )
        .await
    }

    /// Its positions, oldest first, those included that the institution no longer shows (`closedAt`). At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn investments(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
        #[graphql(name = "type", desc = "Only positions of this family.")] kind: Option<
            InvestmentType,
        >,
    ) -> Result<InvestmentConnection> {
        ctx.principal()?.require_api_key("read investments")?;
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        investment::list(ctx, self.0.id, arguments, kind).await
    }

    /// Its loans, oldest first, those included that the institution no longer shows (`closedAt`). At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn loans(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only loans of this family.")] kind: Option<LoanKind>,
    ) -> Result<LoanConnection> {
        ctx.principal()?.require_api_key("read loans")?;
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        loan::list(ctx, self.0.id, arguments, kind).await
    }

    /// Who the holder is; null until it has been collected, and when the institution does not tell. FORBIDDEN to connect tokens.
    async fn identity(&self, ctx: &Context<'_>) -> Result<Option<Identity>> {
        ctx.principal()?.require_api_key("read identities")?;
        Ok(loader::identity(ctx, self.0.id).await?.map(Identity))
    }

    /// What the user allowed, newest first. At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn consents(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list.")] first: Option<i32>,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
    ) -> Result<ConsentConnection> {
        ctx.principal()?.require_api_key("read consents")?;
        let arguments = Arguments {
            first,
            after,
            ..Arguments::default()
        };
        let slice = arguments.slice(List::Consents, crate::graphql::MOST_ROWS)?;
        let page = loader::consents_of(ctx, self.0.id, slice).await?;
        Ok(ConsentConnection::new(page))
    }

    /// Its runs, newest first, for as long as they are kept. At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn executions(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
    ) -> Result<ExecutionConnection> {
        ctx.principal()?.require_api_key("read executions")?;
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        let slice = arguments.slice(List::Executions, crate::graphql::MOST_ROWS)?;
        let page = loader::executions_of(ctx, self.0.id, slice).await?;
        Ok(ExecutionConnection::new(page))
    }

    /// What its regulated institution may be asked in this month and has been, for its products; empty where nothing is regulated. A product whose calls are used up fails with a warning (TXN_003, TXN_006, INV_004,
    /// 423) and keeps what is stored. FORBIDDEN to connect tokens.
    async fn quotas(&self, ctx: &Context<'_>) -> Result<Vec<Quota>> {
        ctx.principal()?.require_api_key("read quotas")?;
        if self.0.person_digest.is_none() {
            return Ok(Vec::new());
        }
        let used = loader::quotas(ctx, self.0.id).await?;
        let quotas = items::quota::of(&self.0, &used, ctx.app().clock.now());
        Ok(quotas.into_iter().map(Into::into).collect())
    }

    /// What was or will be sent about it, to webhooks and to its own `webhookUrl`, newest first. At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn deliveries(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list.")] first: Option<i32>,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Only those that stand like this.")] status: Option<DeliveryStatus>,
    ) -> Result<DeliveryConnection> {
        webhook::deliveries(ctx, (Deliveries::Item, self.0.id), first, after, status).await
    }
}

impl From<item::Model> for Item {
    fn from(row: item::Model) -> Self {
        Self(Box::new(row))
    }
}

impl Plain for Item {
    fn write(&self, app: &App, field: &Selected, json: &mut Json) -> Option<()> {
        let row = &self.0;
        match field.name.node.as_str() {
            "id" => json.word(row.id),
            "connector" => {
                let connector = Connector(connector_of(app, row));
                json.object(&connector, app, &field.selection_set.node)
            }
            "status" => json.word(state::status(row.execution_status).as_str()),
            "executionStatus" => json.word(row.execution_status.as_str()),
            "clientUserId" => json.maybe(row.client_user_id.as_deref(), Json::text),
            "webhookUrl" => json.maybe(row.webhook_url.as_deref(), Json::text),
            "createdAt" => json.word(row.created_at),
            "updatedAt" => json.word(row.updated_at),
            "lastUpdatedAt" => json.maybe(row.last_updated_at, Json::word),
            "consentExpiresAt" => json.maybe(row.consent_expires_at, Json::word),
            _ => None,
        }
    }
}

impl Pointed for Item {
    fn pointer(&self) -> String {
        page::cursor(List::Items, self.0.key())
    }
}

/// Counts the Items of an application.
pub struct ItemCount(Wanted);

impl ItemCount {
    async fn count(&self, ctx: &Context<'_>) -> crate::error::Result<i64> {
        items::list::count(ctx.app(), ctx.principal()?, &self.0).await
    }
}

connection!(
    /// A page of Items, newest first.
    ItemConnection,
    /// An Item in a list.
    ItemEdge,
    Item,
    counted by ItemCount
);

/// Which Items are wanted; everything given must hold.
#[derive(InputObject, Default)]
pub struct ItemFilter {
    /// Only of this client user.
    client_user_id: Option<String>,
    /// Only with one of these statuses.
    status: Option<Vec<ItemStatus>>,
    /// Only through this connector.
    connector_id: Option<ID>,
}

impl From<ItemFilter> for Wanted {
    fn from(filter: ItemFilter) -> Self {
        let status = filter.status;
        Self {
            client_user_id: filter.client_user_id,
            status: status.map(|wanted| wanted.into_iter().map(Into::into).collect()),
            // No connector has a negative id.
            connector: filter.connector_id.map(|id| id.parse().unwrap_or(-1)),
        }
    }
}

/// A page of Items.
pub async fn list(
    ctx: &Context<'_>,
    arguments: Arguments,
    filter: Option<ItemFilter>,
) -> Result<ItemConnection> {
    let (app, principal) = (ctx.app(), ctx.principal()?);
    let slice = arguments.slice(List::Items, crate::graphql::MOST_ROWS)?;
    let filter = Wanted::from(filter.unwrap_or_default());
    let page = items::list::list(app, principal, &filter, slice).await?;
    loader::show(ctx, kind::EntityKind::Item, page.rows.len());
    Ok(ItemConnection::new(page, ItemCount(filter)))
}

/// The coarse state of an Item.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "kind::ItemStatus")]
pub enum ItemStatus {
    /// A run is under way.
    Updating,
    /// The user must type a value: see `parameter`.
    WaitingUserInput,
    /// The user must do something elsewhere: see `userAction`.
    WaitingUserAction,
    /// Everything has been collected and is being stored.
    Merging,
    /// The last run was good, fully or in part.
    Updated,
    /// The credentials or the authorisation no longer work. No run until they are replaced.
    LoginError,
    /// The credentials are believed good, the last run failed. It may be tried again.
    Outdated,
}

/// Where the latest run of an Item stands.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "kind::ExecutionStatus")]
pub enum ExecutionStatus {
    /// The Item is being made.
    Creating,
    /// Waiting for a worker.
    Created,
    /// The Item could not be set up.
    CreateError,
    /// Logging in.
    LoginInProgress,
    /// Checking the user's answer.
    LoginMfaInProgress,
    /// Waiting for a value that the user must type.
    WaitingUserInput,
    /// Waiting for something that the user must do elsewhere.
    WaitingUserAction,
    /// Reading bank accounts.
    AccountsInProgress,
    /// Reading credit cards.
    CreditcardsInProgress,
    /// Reading transactions.
    TransactionsInProgress,
    /// Reading payment data.
    PaymentDataInProgress,
    /// Reading investments.
    InvestmentsInProgress,
    /// Reading movements of investments.
    InvestmentsTransactionsInProgress,
    /// Reading who the holder is.
    IdentityInProgress,
    /// Reading loans.
    LoansInProgress,
    /// Reading statements.
    AccountStatementsInProgress,
    /// Storing what was collected.
    Merging,
    /// Everything requested was updated.
    Success,
    /// Some products were updated, some failed: see `statusDetail`.
    PartialSuccess,
    /// Nothing usable was collected. It may be tried again.
    Error,
    /// Collected, but not stored. It may be tried again.
    MergeError,
    /// The institution refused the credentials. Send new ones.
    InvalidCredentials,
    /// The institution refused the user's answer. Start an update and answer again.
    InvalidCredentialsMfa,
    /// The user did not answer in time. Start an update.
    UserInputTimeout,
    /// The user has a session open elsewhere. Log out there and wait.
    AlreadyLoggedIn,
    /// The institution blocked access. The user must contact it.
    AccountLocked,
    /// The password must be changed at the institution, then sent.
    AccountCredentialsReset,
    /// The user must do something at the institution: see `error.providerMessage`.
    AccountNeedsAction,
    /// The institution gives its approval later: see `userAction.expiresAt`. The Item is WAITING_USER_ACTION and goes on by itself.
    UserAuthorizationPending,
    /// The user refused, or did not approve. Connect anew.
    UserAuthorizationNotGranted,
    /// The user withdrew consent at the institution. Connect anew.
    UserAuthorizationRevoked,
    /// This kind of account is not handled. Use another connector.
    UserNotSupported,
    /// The institution is down. Wait.
    SiteNotAvailable,
    /// The institution could not be reached. Wait.
    ConnectionError,
    /// An unknown failure. It may be tried again.
    UnexpectedError,
}

/// Why the latest run of an Item failed.
#[derive(SimpleObject)]
pub struct ItemError {
    /// Stable code, such as `INVALID_CREDENTIALS`: one of the failures among the values of `ExecutionStatus`.
    pub code: String,
    /// What happened and what to do, in English.
    pub message: String,
    /// The institution's own words; null when it gave none.
    pub provider_message: Option<String>,
    /// More about it, by name, such as `remainingSeconds` when an approval is awaited, or `retryAt` when a limit is used up until then; mostly empty.
    pub attributes: Vec<Attribute>,
}

/// A detail that has a name.
#[derive(SimpleObject)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its value, as text.
    pub value: String,
}

impl From<(String, String)> for Attribute {
    fn from((name, value): (String, String)) -> Self {
        Self { name, value }
    }
}

fn attributes(stored: Option<&Value>) -> Vec<Attribute> {
    let stored = stored.cloned().unwrap_or_default();
    let named: BTreeMap<String, String> = serde_json::from_value(stored).unwrap_or_default();
    named.into_iter().map(Into::into).collect()
}

/// How the last collection of a product went.
#[derive(SimpleObject)]
pub struct ProductStatus {
    /// Which product.
    product: ProductType,
    /// Whether the last run updated it. It can be true with warnings, when some of it was left out, and false without, when a regulated institution may not be asked again so soon (see `Item.quotas`).
    is_updated: bool,
    /// When it was last updated, also by an earlier run; null when it never was.
    last_updated_at: Option<DateTime>,
    /// When the institution last confirmed it: `lastUpdatedAt`, under the name that the data itself has.
    as_of: Option<DateTime>,
    /// Whether it may be out of date: the last run was to update it and has not, or it is older than two intervals of automatic runs, than 48 hours where there are none; what a regulated institution may be asked only now and then has that time more.
    stale: bool,
    /// What you should know although the run went on; why it failed when it did.
    warnings: Vec<ProductWarning>,
}

impl ProductStatus {
    fn read(product: kind::Product, detail: Option<&Value>, freshness: Freshness) -> Self {
        let field = |name: &str| detail.and_then(|detail| detail.get(name));
        let warnings = field("warnings").cloned().unwrap_or_default();
        let warnings: Vec<Warning> = serde_json::from_value(warnings).unwrap_or_default();
        Self {
            product: product.into(),
            is_updated: field("isUpdated").and_then(Value::as_bool) == Some(true),
            last_updated_at: freshness.as_of.map(DateTime),
            as_of: freshness.as_of.map(DateTime),
            stale: freshness.stale,
            warnings: warnings.into_iter().map(Into::into).collect(),
        }
    }
}

/// Something you should know about a product.
#[derive(SimpleObject)]
pub struct ProductWarning {
    /// Stable code.
    code: String,
    /// What happened and what it means, in English.
    message: String,
    /// The institution's own words; null when it gave none.
    provider_message: Option<String>,
}

impl From<Warning> for ProductWarning {
    fn from(warning: Warning) -> Self {
        Self {
            code: warning.code,
            message: warning.message,
            provider_message: warning.provider_message,
        }
    }
}

/// Something the user must do outside of your application.
#[derive(SimpleObject)]
pub struct UserAction {
    /// `qr`: show `data` as a QR code. `authorize-access`: approve in the institution's app.
    #[graphql(name = "type")]
    kind: String,
    /// What to tell the user.
    instructions: String,
    /// For `qr` the text to show as a QR code; null otherwise.
    data: Option<String>,
    /// More about it, by name; mostly empty.
    attributes: Vec<Attribute>,
    /// Until when there is time for it; null when there is no limit.
    expires_at: Option<DateTime>,
}

/// Where an Item stands in automatic runs, by which Ponte keeps it fresh without being asked.
#[derive(SimpleObject)]
pub struct AutoSync {
    /// Where it stands.
    state: AutoSyncState,
    /// Why it is not simply SCHEDULED, why the next run waits for longer than the interval or leaves products out, or that it is due and waits for its turn; and what to do, in English. Null when there is nothing to say.
    reason: Option<String>,
    /// Hours between two runs; null when there are none, or when they are not whole hours apart.
    interval_hours: Option<i32>,
    /// Minutes between two runs; null when there are none.
    interval_minutes: Option<i32>,
    /// The earliest time of the next run, as `Item.nextAutoSyncAt`; null when none is to come.
    next_at: Option<DateTime>,
    /// How many automatic repetitions of a failed run have failed too, 5 at most; 0 after every success.
    failed_attempts: i32,
    /// When `disableItemAutoSync` turned them off; null while they are on.
    disabled_at: Option<DateTime>,
}

impl AutoSync {
    fn new(standing: auto_sync::AutoSync, row: &item::Model) -> Self {
        const HOUR: u64 = 60;
        let minutes = standing.interval.map(|interval| interval.as_secs() / 60);
        let shown = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        Self {
            state: standing.state.into(),
            reason: standing.reason,
            interval_hours: minutes
                .filter(|minutes| minutes % HOUR == 0)
                .map(|minutes| shown(minutes / HOUR)),
            interval_minutes: minutes.map(shown),
            next_at: standing.next_at.map(DateTime),
            failed_attempts: row.auto_sync_failures,
            disabled_at: row.auto_sync_disabled_at.map(DateTime),
        }
    }
}

/// Where an Item stands in automatic runs.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "auto_sync::State")]
pub enum AutoSyncState {
    /// The next run is an interval after the last success.
    Scheduled,
    /// The last run failed; it is repeated an hour after its end, 5 times at most.
    Retrying,
    /// A run is under way, whoever asked for it.
    Running,
    /// It has left automatic runs: the institution refused the login, a failed run was repeated in vain, or the consent ends. It comes back when an `updateItem` succeeds.
    Dropped,
    /// `disableItemAutoSync` turned them off. A later `updateItem` that succeeds turns them on.
    Disabled,
    /// It takes no part: its application has no automatic runs, or its runs need the user.
    NotAvailable,
}

/// Whether an Item may be updated now.
#[derive(SimpleObject)]
pub struct UpdatePermission {
    /// Whether `updateItem` without parameters would be accepted.
    allowed: bool,
    /// The error code it would be refused with; null when it is allowed.
    code: Option<String>,
    /// Why, and what to do, in English; null when it is allowed.
    reason: Option<String>,
    /// When to try again; null when it is allowed, and when waiting does not help.
    retry_at: Option<DateTime>,
}

impl From<permission::Permission> for UpdatePermission {
    fn from(permission: permission::Permission) -> Self {
        Self {
            allowed: permission.allowed,
            code: permission.code.map(str::to_owned),
            reason: permission.reason,
            retry_at: permission.retry_at.map(DateTime),
        }
    }
}
