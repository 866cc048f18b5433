//! Root fields that change something.

use async_graphql::{Context, Object, Result};

use super::{
    ContextExt as _,
    types::application::{CreateApiKeyInput, CreateApiKeyPayload},
};
use crate::auth::token;

/// Root fields that change something.
pub struct Mutation;

#[Object]
impl Mutation {
    /// Trades a client id and secret for an API key of two hours. Needs no token. Fails with UNAUTHENTICATED when the pair is wrong, and with RATE_LIMITED after too many failures from one address.
    async fn create_api_key(
        &self,
        ctx: &Context<'_>,
        input: CreateApiKeyInput,
    ) -> Result<CreateApiKeyPayload> {
        let issued = token::create_api_key(
            ctx.app(),
            ctx.address(),
            &input.client_id,
            &input.client_secret,
        )
        .await?;
        Ok(issued.into())
    }
}
