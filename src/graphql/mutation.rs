//! Root fields that change something.

use async_graphql::{Context, Object, Result};
use entity::kind::EntityKind;

use super::{
    ContextExt as _, loader,
    scalar::uuid,
    types::{
        application::{
            CreateApiKeyInput, CreateApiKeyPayload, CreateConnectTokenInput,
            CreateConnectTokenPayload,
        },
        balance::{FetchAccountBalanceInput, FetchAccountBalancePayload},
        category_rule::{
            CategoryRule, CreateCategoryRuleInput, CreateCategoryRulePayload,
            DeleteCategoryRuleInput, DeleteCategoryRulePayload, UpdateTransactionInput,
            UpdateTransactionPayload,
        },
        change::{
            CreateItemInput, CreateItemPayload, DeleteItemInput, DeleteItemPayload,
            DisableItemAutoSyncInput, DisableItemAutoSyncPayload, SendItemMfaInput,
            SendItemMfaPayload, UpdateItemInput, UpdateItemPayload, ValidateParametersInput,
            ValidateParametersPayload, change,
        },
        client_user::{DeleteClientUserInput, DeleteClientUserPayload},
        laboratory::{
            AdvanceSandboxClockInput, AdvanceSandboxClockPayload, CreateSandboxTransactionInput,
            DeleteSandboxTransactionInput, FailNextSandboxRunInput, SandboxBankPayload,
            SetSandboxConnectorStatusInput, SetSandboxConnectorStatusPayload,
            UpdateSandboxTransactionInput, WarnNextSandboxRunInput,
        },
        sending::{
            ReplayWebhookInput, ReplayWebhookPayload, SendTestEventInput, SendTestEventPayload,
        },
        transaction::Transaction,
        webhook::{
            CreateWebhookInput, CreateWebhookPayload, DeleteWebhookInput, DeleteWebhookPayload,
            Delivery, RetryDeliveryInput, RetryDeliveryPayload, RotateWebhookSecretInput,
            RotateWebhookSecretPayload, UpdateWebhookInput, UpdateWebhookPayload, Webhook,
        },
    },
};
use crate::{
    auth::token,
    category, client_user,
    item::{self, balance, laboratory},
    webhook,
};

/// Root fields that change something.
pub struct Mutation;

/// Everything that can be changed. What is answered is committed.
#[Object]
impl Mutation {
    /// Trades a client id and secret for an API key of two hours. Needs no token. Fails with UNAUTHENTICATED when the pair is wrong, and with RATE_LIMITED after too many failures from one address.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The pair.")] input: CreateApiKeyInput,
    ) -> Result<CreateApiKeyPayload> {
        let issued = token::create_api_key(
            ctx.app(),
            ctx.caller(),
            &input.client_id,
            &input.client_secret,
        )
        .await?;
        Ok(issued.into())
    }

    /// Issues a token of 30 minutes for one user's browser or phone, that may connect accounts and nothing else. Fails with NOT_FOUND for an Item that you do not have. FORBIDDEN to connect tokens.
    async fn create_connect_token(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What the token carries.")] input: CreateConnectTokenInput,
    ) -> Result<CreateConnectTokenPayload> {
        let (app, principal) = (ctx.app(), ctx.principal()?);
        let issued = token::create_connect_token(app, principal, input.into()).await?;
        Ok(issued.into())
    }

    /// Connects a user's account and starts the first run. Does not wait for the institution: a refused login shows on the Item. Fails with CONNECTOR_VALIDATION_ERROR when the parameters do not fit the connector's form, NOT_FOUND for an unknown connector, ITEM_USER_ALREADY_EXISTS when duplicates are to be avoided, CONNECTOR_OFFLINE and CONNECTOR_RETIRED when the connector takes no new Items, IDEMPOTENCY_KEY_REUSED when a key comes with another input.
    async fn create_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What the Item is made of.")] input: CreateItemInput,
    ) -> Result<CreateItemPayload> {
        let (app, principal) = (ctx.app(), ctx.principal()?);
        let changed = item::create(app, principal, input.into()).await?;
        Ok(CreateItemPayload::new(app, changed))
    }

    /// Says what `createItem` would find wrong with the values of a connector's form. Judges their shape only: nobody logs in, nothing is stored and nothing changes; it is a mutation so that no value ends up in an address. Fails with NOT_FOUND for an unknown connector. FORBIDDEN to connect tokens, whose `createItem` says the same.
    async fn validate_parameters(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The values.")] input: ValidateParametersInput,
    ) -> Result<ValidateParametersPayload> {
        let (app, principal) = (ctx.app(), ctx.principal()?);
        let problems = item::check_parameters(app, principal, input.into()).await?;
        Ok(problems.into())
    }

    /// Starts a new run of an Item, with new parameters when given; a question that waits for the user is abandoned. Fails with ITEM_ALREADY_UPDATING while a run is under way, and as `Item.canUpdate` says.
    async fn update_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to change.")] input: UpdateItemInput,
    ) -> Result<UpdateItemPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.item_id));
        let changed = item::update(app, principal, id, input.into()).await?;
        Ok(UpdateItemPayload::new(app, changed))
    }

    /// Answers the question of an Item that is WAITING_USER_INPUT; the run goes on with it. Fails with ITEM_MFA_NOT_FOUND when it asks nothing, ITEM_MFA_ALREADY_PROVIDED when it has been answered, ITEM_MFA_EXPIRED when it is too late, ITEM_MFA_PARAMETER_EXPECTED_MISMATCH when another parameter is asked for.
    async fn send_item_mfa(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The answer.")] input: SendItemMfaInput,
    ) -> Result<SendItemMfaPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.item_id));
        let changed = item::answer(app, principal, id, input.into_parameters()).await?;
        Ok(SendItemMfaPayload::new(app, changed))
    }

    /// Takes an Item out of automatic runs until `updateItem` asks for one. FORBIDDEN to connect tokens.
    async fn disable_item_auto_sync(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which Item.")] input: DisableItemAutoSyncInput,
    ) -> Result<DisableItemAutoSyncPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.item_id));
        let row = item::disable_auto_sync(app, principal, id).await?;
        Ok(DisableItemAutoSyncPayload { item: row.into() })
    }

    /// Writes a row into the book of an account at an Item's made-up bank; the next run finds it. For API keys of SANDBOX applications and Items of sandbox connectors, others are FORBIDDEN. Fails with NOT_FOUND for an account that you do not have.
    async fn create_sandbox_transaction(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The row.")] input: CreateSandboxTransactionInput,
    ) -> Result<SandboxBankPayload> {
        let (app, principal, account) = (ctx.app(), ctx.principal()?, uuid(&input.account_id));
        let item = laboratory::write(app, principal, account, input.into()).await?;
        Ok(SandboxBankPayload { item: item.into() })
    }

    /// Changes a row at an Item's made-up bank; the next run finds it changed. For API keys of SANDBOX applications and Items of sandbox connectors, others are FORBIDDEN. Fails with NOT_FOUND for a transaction that you do not have.
    async fn update_sandbox_transaction(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to change.")] input: UpdateSandboxTransactionInput,
    ) -> Result<SandboxBankPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.transaction_id));
        let item = laboratory::edit(app, principal, id, Some(input.into())).await?;
        Ok(SandboxBankPayload { item: item.into() })
    }

    /// Strikes out a row at an Item's made-up bank; the next run finds it gone. For API keys of SANDBOX applications and Items of sandbox connectors, others are FORBIDDEN. Fails with NOT_FOUND for a transaction that you do not have.
    async fn delete_sandbox_transaction(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which row.")] input: DeleteSandboxTransactionInput,
    ) -> Result<SandboxBankPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.transaction_id));
        let item = laboratory::edit(app, principal, id, None).await?;
        Ok(SandboxBankPayload { item: item.into() })
    }

    /// Moves an Item's made-up bank forward in time; the next run sees it on that day. Tokens, schedules and timestamps go by the real clock still. For API keys of SANDBOX applications and Items of sandbox connectors, others are FORBIDDEN.
    async fn advance_sandbox_clock(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How far.")] input: AdvanceSandboxClockInput,
    ) -> Result<AdvanceSandboxClockPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.item_id));
        let (item, days_ahead) = laboratory::advance(app, principal, id, input.days).await?;
        Ok(AdvanceSandboxClockPayload {
            item: item.into(),
            days_ahead,
        })
    }

    /// Makes the next run of an Item fail with a code; the one after that is as it would be. For API keys of SANDBOX applications and Items of sandbox connectors, others are FORBIDDEN. MERGE_ERROR comes once everything has been collected; the others while logging in, or in the step of `product`. Fails with INVALID_INPUT for a code that no run ends with.
    async fn fail_next_sandbox_run(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "How.")] input: FailNextSandboxRunInput,
    ) -> Result<SandboxBankPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.item_id));
        let (code, at) = (input.code.into(), input.product.map(Into::into));
        let item = laboratory::fail_next(app, principal, id, code, at).await?;
        Ok(SandboxBankPayload { item: item.into() })
    }

    /// Makes the next run of an Item warn of something in the step of a product, which goes on: `Item.statusDetail` and `Item.executions` show it; the run after that is as it would be. Replaces what was asked for before. For API keys of SANDBOX applications and Items of sandbox connectors, others are FORBIDDEN. Fails with INVALID_INPUT for a product that the Item does not collect.
    async fn warn_next_sandbox_run(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What of.")] input: WarnNextSandboxRunInput,
    ) -> Result<SandboxBankPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.item_id));
        let (at, warning) = (input.product.into(), input.warning());
        let item = laboratory::warn_next(app, principal, id, at, warning).await?;
        Ok(SandboxBankPayload { item: item.into() })
    }

    /// Breaks a sandbox connector for all Items of your application, or mends it; tells of it with CONNECTOR_STATUS_UPDATED. For API keys of SANDBOX applications, others are FORBIDDEN.
    async fn set_sandbox_connector_status(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which, and how.")] input: SetSandboxConnectorStatusInput,
    ) -> Result<SetSandboxConnectorStatusPayload> {
        let (app, principal) = (ctx.app(), ctx.principal()?);
        let status = input.status.switchable()?;
        let connector = laboratory::switch(app, principal, &input.connector_id, status).await?;
        Ok(SetSandboxConnectorStatusPayload {
            connector: connector.into(),
        })
    }

    /// Deletes an Item with everything collected through it and its credentials, also while a run is under way. There is no way back. FORBIDDEN to connect tokens.
    async fn delete_item(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which Item.")] input: DeleteItemInput,
    ) -> Result<DeleteItemPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.item_id));
        item::delete(app, principal, id).await?;
        Ok(DeleteItemPayload {
            deleted_item_id: input.item_id,
        })
    }

    /// Erases a client user: deletes all Items that carry the id now, as `deleteItem` does, ends the connect tokens made for the user within five seconds, and makes the log of events forget the id. Answers once this is ordered for good and up to 100 Items are gone; the rest follows by itself, `item/deleted` for each. An Item that is made meanwhile is not touched. For a user who has nothing, nothing is deleted. The README tells what is kept, and until when. FORBIDDEN to connect tokens.
    async fn delete_client_user(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which client user.")] input: DeleteClientUserInput,
    ) -> Result<DeleteClientUserPayload> {
        let (app, principal) = (ctx.app(), ctx.principal()?);
        let erased = client_user::delete(app, principal, &input.client_user_id).await?;
        Ok(erased.into())
    }

    /// Changes what is yours to change about a transaction: its category. Setting what is set already does nothing. Fails with NOT_FOUND for a transaction or a category that does not exist. FORBIDDEN to connect tokens.
    async fn update_transaction(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to change.")] input: UpdateTransactionInput,
    ) -> Result<UpdateTransactionPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.transaction_id));
        let category = change(input.category_id.map_value(|id| id.0));
        let row = category::choice::update(app, principal, id, category).await?;
        loader::show(ctx, EntityKind::Transaction, 1);
        Ok(UpdateTransactionPayload {
            transaction: Transaction(row),
        })
    }

    /// Makes a rule that decides the category of transactions, before the institution and the classifier are asked. One that is there already for the same description, client user, direction, kind of account and way to compare decides for the new category instead. Fails with NOT_FOUND for a category that does not exist, TOO_MANY_CATEGORY_RULES when you have 1,000. FORBIDDEN to connect tokens.
    async fn create_category_rule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What the rule decides, and of what.")] input: CreateCategoryRuleInput,
    ) -> Result<CreateCategoryRulePayload> {
        let (app, principal) = (ctx.app(), ctx.principal()?);
        let row = category::rule::create(app, principal, input.into()).await?;
        Ok(CreateCategoryRulePayload {
            category_rule: CategoryRule(row),
        })
    }

    /// Deletes a category rule. FORBIDDEN to connect tokens.
    async fn delete_category_rule(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which rule.")] input: DeleteCategoryRuleInput,
    ) -> Result<DeleteCategoryRulePayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.category_rule_id));
        let existing = input.apply_to_existing.unwrap_or_default();
        category::rule::delete(app, principal, id, existing).await?;
        Ok(DeleteCategoryRulePayload {
            deleted_category_rule_id: input.category_rule_id,
        })
    }

    /// Registers an endpoint that is told of events by signed requests. Fails with INVALID_INPUT for an address that may not be reached, and when you have as many webhooks as you may. FORBIDDEN to connect tokens.
    async fn create_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What the webhook is made of.")] input: CreateWebhookInput,
    ) -> Result<CreateWebhookPayload> {
        let (app, principal) = (ctx.app(), ctx.principal()?);
        let created = webhook::create(app, principal, input.into()).await?;
        Ok(created.into())
    }

    /// Changes a webhook: what is left out stays as it is. Enabling it sends what waited. FORBIDDEN to connect tokens.
    async fn update_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What is to change.")] input: UpdateWebhookInput,
    ) -> Result<UpdateWebhookPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.webhook_id));
        let row = webhook::update(app, principal, id, input.into()).await?;
        Ok(UpdateWebhookPayload {
            webhook: Webhook(row),
        })
    }

    /// Deletes a webhook with its secrets and deliveries; nothing more is sent. FORBIDDEN to connect tokens.
    async fn delete_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which webhook.")] input: DeleteWebhookInput,
    ) -> Result<DeleteWebhookPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.webhook_id));
        webhook::delete(app, principal, id).await?;
        Ok(DeleteWebhookPayload {
            deleted_webhook_id: input.webhook_id,
        })
    }

    /// Asks the institution what is on an account now, without a run: nothing that is stored changes, and no event tells of it. Where calls are regulated it counts as an ACCOUNT_BALANCE of `Item.quotas`. Fails with BALANCE_INVALID_REQUEST for an account that has no live balance, BALANCE_CONSENT_ERROR when the user does not allow it any more, BALANCE_NOT_FOUND when the institution no longer shows the account, BALANCE_OPEN_FINANCE_RATE_LIMIT (with `retryAt`) when the month's calls are used up, BALANCE_CONNECTOR_UNAVAILABLE when the institution cannot be reached or, with `retryAt`, is asked as often as the operator allows, BALANCE_FETCH_ERROR when it fails. FORBIDDEN to connect tokens.
    async fn fetch_account_balance(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Whose balance.")] input: FetchAccountBalanceInput,
    ) -> Result<FetchAccountBalancePayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.account_id));
        Ok(balance::fetch(app, principal, id).await?.into())
    }

    /// Gives a webhook a new secret. For 24 hours requests carry the signatures of both, so that you can change over. FORBIDDEN to connect tokens.
    async fn rotate_webhook_secret(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which webhook.")] input: RotateWebhookSecretInput,
    ) -> Result<RotateWebhookSecretPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.webhook_id));
        let created = webhook::rotate_secret(app, principal, id).await?;
        Ok(created.into())
    }

    /// Delivers an example of a type of event to a webhook, whether it asks for that type or not: signed and recorded like any delivery, with `"test": true` in the body, and in no log. Fails with INVALID_INPUT while the webhook is disabled. FORBIDDEN to connect tokens.
    async fn send_test_event(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where to, and what.")] input: SendTestEventInput,
    ) -> Result<SendTestEventPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.webhook_id));
        let row = webhook::send_test_event(app, principal, id, input.kind.into()).await?;
        Ok(SendTestEventPayload {
            delivery: Delivery(row),
        })
    }

    /// Delivers everything since a cursor or a time again to a webhook, in the order of the log: what it asks for, whatever became of earlier deliveries, whose attempts are kept. Answers once all of it is due; repeating it does no harm. A disabled webhook gets it once it is enabled. Fails with BAD_CURSOR for a cursor that is none of yours, CURSOR_EXPIRED for one older than what is kept. FORBIDDEN to connect tokens.
    async fn replay_webhook(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Where to, since when, and what.")] input: ReplayWebhookInput,
    ) -> Result<ReplayWebhookPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.webhook_id));
        let (row, count) = webhook::replay(app, principal, id, input.into()).await?;
        Ok(ReplayWebhookPayload {
            webhook: Webhook(row),
            count,
        })
    }

    /// Sends a delivery again, now, whatever became of it, with the whole schedule before it. Fails with INVALID_INPUT once its event is no longer kept. FORBIDDEN to connect tokens.
    async fn retry_delivery(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which delivery.")] input: RetryDeliveryInput,
    ) -> Result<RetryDeliveryPayload> {
        let (app, principal, id) = (ctx.app(), ctx.principal()?, uuid(&input.delivery_id));
        let row = webhook::retry_delivery(app, principal, id).await?;
        Ok(RetryDeliveryPayload {
            delivery: Delivery(row),
        })
    }
}
