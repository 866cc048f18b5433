//! Root fields that read.

use async_graphql::{Context, ID, Object, Result};

use super::{
    ContextExt as _, loader,
    page::Arguments,
    scalar::uuid,
    types::{
        account::Account,
        application::Viewer,
        audit::{self, AuditEntryConnection, AuditFilter},
        bill::Bill,
        category::{self, Category, CategoryConnection},
        category_rule::{self, CategoryRuleConnection},
        client_user::{self, ClientUserExport},
        connector::{self, Connector, ConnectorConnection, ConnectorFilter},
        event::{self, EventConnection, EventFilter},
        feed::{self, ChangeConnection},
        investment::Investment,
        item::{self, Item, ItemConnection, ItemFilter},
        loan::Loan,
        merchant::{self, MerchantLookup},
        node::{self, Node},
        statement::Statement,
        summary::{self, CategoryLevel, TransactionGrouping, TransactionSummary},
        transaction::{Transaction, TransactionFilter},
        webhook::{self, Webhook, WebhookConnection},
    },
};
use crate::{category as categories, product::list, webhook as webhooks};

/// Root fields that read.
pub struct Query;

/// Everything that can be read. Nothing here changes anything.
#[Object]
impl Query {
    /// Whatever has this id; null when you have no such thing. Connect tokens find connectors, categories and their Items.
    async fn node(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Any id of this API.")] id: ID,
    ) -> Result<Option<Node>> {
        Ok(node::find(ctx, &[id]).await?.into_iter().next().flatten())
    }

    /// Whatever has these ids, in their order; null where you have no such thing. At most 200.
    async fn nodes(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Any ids of this API.")] ids: Vec<ID>,
    ) -> Result<Vec<Option<Node>>> {
        node::find(ctx, &ids).await
    }

    /// Who your token is and what it may do.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<Viewer> {
        Ok(Viewer(ctx.principal()?.clone()))
    }

    /// What Items can be connected through, by ascending id, sandbox connectors included. At most 200 a page, 50 unless told.
    async fn connectors(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only these connectors.")] filter: Option<ConnectorFilter>,
    ) -> Result<ConnectorConnection> {
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        connector::list(ctx, &arguments, filter)
    }

    /// A connector; null when there is none with this id.
    async fn connector(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The connector's id.")] id: ID,
    ) -> Result<Option<Connector>> {
        ctx.principal()?;
        Ok(node::connector(ctx.app(), &id))
    }

    /// Your Items, newest first. At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn items(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only these Items.")] filter: Option<ItemFilter>,
    ) -> Result<ItemConnection> {
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        item::list(ctx, arguments, filter).await
    }

    /// An Item; null when you have none with this id.
    async fn item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The Item's id.")] id: ID,
    ) -> Result<Option<Item>> {
        Ok(loader::item(ctx, uuid(&id)).await?.map(Item::from))
    }

    /// An account; null when you have none with this id. FORBIDDEN to connect tokens, who find their accounts below their Items.
    async fn account(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The account's id.")] id: ID,
    ) -> Result<Option<Account>> {
        ctx.principal()?.require_api_key("read accounts by id")?;
        Ok(loader::account(ctx, uuid(&id)).await?.map(Account))
    }

    /// A transaction, also one that the institution has deleted and written anew (`replacedBy`); null when you have none with this id. FORBIDDEN to connect tokens.
    async fn transaction(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The transaction's id.")] id: ID,
    ) -> Result<Option<Transaction>> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&id));
        principal.require_api_key("read transactions")?;
        let mut found = list::transactions_by_id(app, principal, &[id]).await?;
        Ok(found.remove(&id).map(Transaction))
    }

    /// A position; null when you have none with this id. FORBIDDEN to connect tokens.
    async fn investment(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The position's id.")] id: ID,
    ) -> Result<Option<Investment>> {
        ctx.principal()?.require_api_key("read investments")?;
        Ok(loader::investment(ctx, uuid(&id)).await?.map(Investment))
    }

    /// A loan; null when you have none with this id. FORBIDDEN to connect tokens.
    async fn loan(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The loan's id.")] id: ID,
    ) -> Result<Option<Loan>> {
        ctx.principal()?.require_api_key("read loans")?;
        Ok(loader::loan(ctx, uuid(&id)).await?.map(Loan))
    }

    /// What the transactions of several Items or accounts, or of all Items of a client user, come to together, for each currency. Give exactly one of `itemIds`, `accountIds` and `clientUserId`; what is not yours counts for nothing. FORBIDDEN to connect tokens.
    #[expect(clippy::too_many_arguments, reason = "as the public schema has them")]
    async fn transaction_summary(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only transactions of these Items. At most 200.")] item_ids: Option<
            Vec<ID>,
        >,
        #[graphql(desc = "Only transactions of these accounts. At most 200.")] account_ids: Option<
            Vec<ID>,
        >,
        #[graphql(desc = "Only transactions of this client user, who has at most 200 Items.")]
        client_user_id: Option<String>,
        #[graphql(desc = "Only these transactions.")] filter: Option<TransactionFilter>,
        #[graphql(desc = "What to sum by: one to three different things.")] group_by: Vec<
            TransactionGrouping,
        >,
        #[graphql(
            desc = "Whether CATEGORY sums each category by itself or with all that belongs to its root. LEAF when left out."
        )]
        category_level: Option<CategoryLevel>,
    ) -> Result<TransactionSummary> {
        let of = (item_ids, account_ids, client_user_id);
        summary::over(ctx, of, filter, group_by, category_level).await
    }

    /// The categories of transactions, by ascending id; with `parentId` only those that belong to one, one level below. At most 200 a page, 50 unless told; there are fewer than 200.
    async fn categories(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list.")] first: Option<i32>,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Only what belongs to this category.")] parent_id: Option<ID>,
    ) -> Result<CategoryConnection> {
        category::list(ctx, first, after, parent_id.as_ref())
    }

    /// A category; null when there is none with this id.
    async fn category(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The category's id: eight digits.")] id: ID,
    ) -> Result<Option<Category>> {
        ctx.principal()?;
        Ok(categories::find(&id).map(Category))
    }

    /// What is known of merchants by their tax numbers (CNPJ), the directory that movements are completed from. At most 200 numbers; more are INVALID_INPUT. FORBIDDEN to connect tokens.
    async fn merchants(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Tax numbers of companies, with or without punctuation; those with letters, too."
        )]
        cnpjs: Vec<String>,
    ) -> Result<MerchantLookup> {
        merchant::look_up(ctx, &cnpjs)
    }

    /// Your category rules, oldest first. At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn category_rules(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list.")] first: Option<i32>,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "Only those that are for this client user alone.")] client_user_id: Option<
            String,
        >,
    ) -> Result<CategoryRuleConnection> {
        category_rule::list(ctx, first, after, client_user_id.as_deref()).await
    }

    /// A bill of a card; null when you have none with this id. FORBIDDEN to connect tokens.
    async fn bill(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The bill's id.")] id: ID,
    ) -> Result<Option<Bill>> {
        ctx.principal()?.require_api_key("read bills")?;
        Ok(loader::paper(ctx, uuid(&id)).await?.map(Bill))
    }

    /// A statement of an account; null when you have none with this id. FORBIDDEN to connect tokens.
    async fn statement(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The statement's id.")] id: ID,
    ) -> Result<Option<Statement>> {
        ctx.principal()?.require_api_key("read statements")?;
        Ok(loader::paper(ctx, uuid(&id)).await?.map(Statement))
    }

    /// Your registered webhooks, oldest first. At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn webhooks(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list.")] first: Option<i32>,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
    ) -> Result<WebhookConnection> {
        webhook::list(ctx, first, after).await
    }

    /// A registered webhook; null when you have none with this id. FORBIDDEN to connect tokens.
    async fn webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The webhook's id.")] id: ID,
    ) -> Result<Option<Webhook>> {
        let row = webhooks::find(ctx.app(), ctx.principal()?, uuid(&id)).await?;
        Ok(row.map(Webhook))
    }

    /// The log of what happened, oldest first. Its cursors are those of the subscriptions. At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list.")] first: Option<i32>,
        #[graphql(
            desc = "Only what comes behind this cursor; from the oldest event that is kept when left out. BAD_CURSOR when it is none of yours, CURSOR_EXPIRED when it is older than what is kept."
        )]
        after: Option<String>,
        #[graphql(desc = "Only these events.")] filter: Option<EventFilter>,
        #[graphql(
            desc = "When there is nothing behind `after` yet, wait up to so many seconds for it: 0 to 60, 0 when left out. An empty page is an answer too: ask again."
        )]
        wait_seconds: Option<i32>,
    ) -> Result<EventConnection> {
        event::list(ctx, first, after, filter, wait_seconds).await
    }

    /// Every entity of yours that is new, different or gone, oldest change first: read on from the last cursor instead of reading lists again. Nothing is missing and nothing comes twice, whatever happens meanwhile. At most 500 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn changes(
        &self,
        ctx: &Context<'_>,
        #[graphql(
            desc = "Only what comes behind this cursor of a change; from the oldest change that is kept when left out. BAD_CURSOR when it is none of yours, CURSOR_EXPIRED when it is older than what is kept."
        )]
        after: Option<String>,
        #[graphql(desc = "So many from the start of the list.")] first: Option<i32>,
    ) -> Result<ChangeConnection> {
        feed::list(ctx, first, after).await
    }

    /// Who did what to what is yours, newest first. Entries of the last moments may come in behind younger ones. At most 200 a page, 50 unless told. FORBIDDEN to connect tokens.
    async fn audit_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "So many from the start of the list. Excludes `last`.")] first: Option<
            i32,
        >,
        #[graphql(desc = "Only rows behind this cursor.")] after: Option<String>,
        #[graphql(desc = "So many from the end of the list. Excludes `first`.")] last: Option<i32>,
        #[graphql(desc = "Only rows before this cursor.")] before: Option<String>,
        #[graphql(desc = "Only these entries.")] filter: Option<AuditFilter>,
    ) -> Result<AuditEntryConnection> {
        let arguments = Arguments {
            first,
            after,
            last,
            before,
        };
        audit::list(ctx, arguments, filter).await
    }

    /// Everything that is held about a client user, in pages: read on with `after` until `cursor` is null. What exists from the first page to the last is there, once, as it is when its page is read; what comes or goes meanwhile may be missing, and a transaction whose day changes meanwhile may come twice or not. Empty for a user who has nothing. Not part of it: the values of credentials, which nobody can read; files, which are dropped with the run that reads them; what your own endpoints were sent and answered. The audit log notes the first page. At most 500 records a page, 50 unless told. Fails with BAD_CURSOR for a cursor that comes from elsewhere. FORBIDDEN to connect tokens.
    async fn export_client_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Your name for the user. 1 to 256 characters.")] client_user_id: String,
        #[graphql(desc = "Most records of this page.")] first: Option<i32>,
        #[graphql(desc = "The `cursor` of the page before; from the start when left out.")]
        after: Option<String>,
    ) -> Result<ClientUserExport> {
        client_user::export(ctx, &client_user_id, first, after.as_deref()).await
    }
}
