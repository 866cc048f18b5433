//! Root fields that follow the log.

use async_graphql::{Context, ID, Result, Subscription as GraphSubscription};
use futures_util::{Stream, StreamExt as _};

use super::ContextExt as _;
use crate::event::{
    feed::{self, Scope},
    log::Filter,
};

/// Root fields that follow the log.
pub struct Subscription;

#[GraphSubscription]
impl Subscription {
    /// The ids of all events of the application, as they happen.
    async fn events(&self, ctx: &Context<'_>) -> Result<impl Stream<Item = Result<ID>> + use<>> {
        let (app, principal) = (ctx.app().clone(), ctx.principal()?);
        let scope = Scope::of(principal, None, None);
        Ok(feed::follow(app, scope, Filter::default(), None)
            .map(|event| event.map(|event| event.id.into()).map_err(Into::into)))
    }
}
