//! Root fields that follow the log.

use std::pin::pin;

use async_graphql::{Context, ID, Result, Subscription as GraphSubscription};
use async_stream::try_stream;
use futures_util::{Stream, StreamExt as _};
use uuid::Uuid;

use super::{
    ContextExt as _,
    scalar::uuid,
    types::{
        event::{Event, EventFilter, EventType, ItemUpdated, kinds},
        webhook::Delivery,
    },
};
use crate::{
    app::App,
    auth::Principal,
    error::Error,
    event::{
        cursor,
        feed::{self, Place, Scope, Start},
        log::{self, Filter},
        snapshot::{self, Shown},
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
    #[expect(clippy::too_many_arguments, reason = "the field's")]
    async fn item_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only this Item.")] item_id: Option<ID>,
        #[graphql(desc = "Only Items of this client user. 1 to 256 characters.")]
        client_user_id: Option<String>,
        #[graphql(desc = "Only changes of these types; all when left out.")] types: Option<
            Vec<EventType>,
        >,
        #[graphql(
            desc = "Resume behind this cursor: first everything missed, then live. From now on when left out."
        )]
        after: Option<String>,
        #[graphql(
            default = false,
            desc = "First the present state of each Item, with `snapshot: true` and the cursor that it is true at, then everything that happens afterwards, nothing left out or told twice. Not together with `after`."
        )]
        snapshot: bool,
        #[graphql(
            default = false,
            desc = "When answers are read more slowly than things happen, skip changes of an Item that a later one supersedes."
        )]
        coalesce: bool,
    ) -> Result<impl Stream<Item = Result<ItemUpdated>> + use<>> {
        let (app, principal) = (ctx.app().clone(), ctx.principal()?.clone());
        check_client_user_id(client_user_id.as_deref())?;
        if snapshot && after.is_some() {
            return Err(Error::invalid("snapshot", "give snapshot or after, not both").into());
        }
        let id = item_id.as_ref().map(uuid);
        let scope = Scope::of(&principal, id, client_user_id);
        let filter = Filter::of_items(kinds(types));
        let mut start = start(ctx, &scope, after).await?;
        if let Some(id) = id {
            check_item(&app, &principal, id, &scope, &start).await?;
        }
        start.coalesce = coalesce;
        let snapshot = snapshot && start.place.resume().is_none();
        Ok(try_stream! {
            let mut shown = Shown::default();
            let mut more = snapshot;
            while more {
                let part = snapshot::part(&app, &principal, &scope, shown.last()).await?;
                shown.note(&part);
                more = part.more;
                let mut items = part.items.into_iter().peekable();
                while let Some(row) = items.next() {
                    start.place.about(Some(row.id));
                    let more = more || items.peek().is_some();
                    yield ItemUpdated::state(&app, row, part.position, more);
                }
            }
            start.after = shown.position().or(start.after);
            let place = start.place.clone();
            let (until, unpublished) = shown.pending();
            place.need(until, unpublished);
            // What was shown already comes whatever its type, so that it is known when all of it has come.
            let followed = if snapshot { Filter::default() } else { filter.clone() };
            let events = pin!(feed::follow(app.clone(), scope, followed, start));
            for await event in events {
                let event = event?;
                place.came(event.id);
                if !shown.includes(&event) && filter.admits(&event) {
                    yield ItemUpdated::change(Event::new(&app, event));
                }
            }
        })
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
        let (app, principal) = (ctx.app().clone(), ctx.principal()?);
        principal.require_api_key("follow the log; it may follow itemUpdated")?;
        let filter = filter.unwrap_or_default();
        check_client_user_id(filter.client_user_id.as_deref())?;
        let wanted = filter.wanted();
        let item = filter.item_id.as_ref().map(uuid);
        let scope = Scope::of(principal, item, filter.client_user_id);
        let start = start(ctx, &scope, after).await?;
        let events = feed::follow(app.clone(), scope, wanted, start);
        Ok(events.map(move |event| Ok(Event::new(&app, event?))))
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

/// Fails with NOT_FOUND for an Item that is none of the principal's.
async fn check_item(
    app: &App,
    principal: &Principal,
    id: Uuid,
    scope: &Scope,
    start: &Start,
) -> crate::error::Result<()> {
    if start.place.continues() {
        return Ok(());
    }
    match item::load(app, principal, id).await {
        // Whoever was away when the Item was deleted is still to hear of it.
        Err(Error::NotFound { .. })
            if start.after.is_some() && log::any(&app.db, scope).await? =>
        {
            Ok(())
        }
        known => known.map(|_| ()),
    }
}

/// From where to follow: what the transport says goes before what the document says.
async fn start(ctx: &Context<'_>, scope: &Scope, after: Option<String>) -> Result<Start> {
    let place = ctx.data_opt::<Place>().cloned().unwrap_or_default();
    let after = match (place.resume(), after) {
        (Some(position), _) => Some(position),
        (None, Some(after)) => Some(cursor::resume(ctx.app(), scope.application, &after).await?),
        (None, None) => None,
    };
    Ok(Start {
        after,
        place,
        ..Start::default()
    })
}
