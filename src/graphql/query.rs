//! Root fields that read.

use async_graphql::{Context, ID, Object, Result};

use super::ContextExt as _;

/// Root fields that read.
pub struct Query;

#[Object]
impl Query {
    /// Who this token is.
    async fn viewer(&self, ctx: &Context<'_>) -> Result<ID> {
        Ok(ctx.principal()?.application.into())
    }
}
