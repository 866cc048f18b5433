//! Root fields that follow the log.

use async_graphql::{Context, ID, Result, Subscription as GraphSubscription};
use futures_util::{Stream, StreamExt as _};

use super::{
    ContextExt as _,
    scalar::uuid,
    types::{
        event::{Event, EventFilter, ItemUpdated},
        webhook::Delivery,
    },
};
use crate::{
    app::App,
    event::{
        cursor,
        feed::{self, Scope},
        log::Filter,
    },
    item::{self, check_client_user_id},
    webhook::tail,
};

/// Root fields that follow the log.
pub struct Subscription;

/// Everything that can be followed. A stream loses nothing: whoever is slow is served from the log, and `after` resumes behind any cursor.
#[GraphSubscription]
impl Subscription {
    /// One payload per change of an Item that this token may see. Fails with NOT_FOUND for an Item that it may not, BAD_CURSOR for a cursor that is none of yours, CURSOR_EXPIRED for one older than what is kept.
    async fn item_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only changes of this Item.")] item_id: Option<ID>,
        #[graphql(desc = "Only changes of Items of this client user.")] client_user_id: Option<
            String,
        >,
        #[graphql(
            desc = "Resume behind this cursor: first everything missed, then live. From now on when left out."
        )]
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<ItemUpdated>> + use<>> {
        let (app, principal) = (ctx.app(), ctx.principal()?);
        check_client_user_id(client_user_id.as_deref())?;
        let id = item_id.as_ref().map(uuid);
        if let Some(id) = id {
            item::load(app, principal, id).await?;
        }
        let scope = Scope::of(principal, id, client_user_id);
        let events = follow(app, scope, Filter::of_items(), after).await?;
        Ok(events.map(|event| event.map(ItemUpdated)))
    }

    /// The whole log of the application, as it grows. FORBIDDEN to connect tokens.
    async fn events(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only these events.")] filter: Option<EventFilter>,
        #[graphql(
            desc = "Resume behind this cursor: first everything missed, then live. From now on when left out."
        )]
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<Event>> + use<>> {
        let (app, principal) = (ctx.app(), ctx.principal()?);
        principal.require_api_key("follow the log; it may follow itemUpdated")?;
        let filter = filter.unwrap_or_default();
        check_client_user_id(filter.client_user_id.as_deref())?;
        let kinds = filter.kinds();
        let item = filter.item_id.as_ref().map(uuid);
        let scope = Scope::of(principal, item, filter.client_user_id);
        follow(app, scope, kinds, after).await
    }

    /// Deliveries as they change from now on: made, attempted, succeeded, failed; each as it stands when it is read. A live view, not a log: it cannot be resumed, states that follow each other closely may be told as one, and one may be told twice: deduplicate by the delivery's `id`, `status` and number of attempts. After a break read `deliveries`. Fails with NOT_FOUND for a webhook or Item that you do not have. FORBIDDEN to connect tokens.
    async fn delivery_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only deliveries of this webhook.")] webhook_id: Option<ID>,
        #[graphql(desc = "Only deliveries about this Item.")] item_id: Option<ID>,
    ) -> Result<impl Stream<Item = Result<Delivery>> + use<>> {
        let filter = tail::Filter {
            webhook: webhook_id.as_ref().map(uuid),
            item: item_id.as_ref().map(uuid),
        };
        let changes = tail::follow(ctx.app(), ctx.principal()?, filter).await?;
        Ok(changes.map(|row| Ok(Delivery(row?))))
    }
}

async fn follow(
    app: &App,
    scope: Scope,
    filter: Filter,
    after: Option<String>,
) -> Result<impl Stream<Item = Result<Event>> + use<>> {
    let position = match after {
        Some(after) => Some(cursor::resume(app, scope.application, &after).await?),
        None => None,
    };
    let events = feed::follow(app.clone(), scope, filter, position);
    let app = app.clone();
    Ok(events.map(move |event| Ok(Event::new(&app, event?))))
}
