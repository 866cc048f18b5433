//! One follower: a cursor over the log.

use std::{collections::HashSet, sync::Arc, time::Duration};

use async_stream::try_stream;
use entity::event;
use futures_util::Stream;
use uuid::Uuid;

use super::{Place, READ, Scope, Signal};
use crate::{
    app::App,
    error::Result,
    event::{cursor, log},
};

/// How often a stream that is still needed looks how far the log has come.
const SETTLE: Duration = Duration::from_millis(100);

/// From where and how a scope is followed.
#[derive(Clone, Default)]
pub struct Start {
    /// Behind this position; from now on without one, by what this node has heard of.
    pub after: Option<i64>,
    /// Skip events of an Item when a later one of it is waiting already.
    pub coalesce: bool,
    /// Told where the follower stands.
    pub place: Place,
}

/// Follows a scope from behind a position, first everything missed, then live.
///
/// Lossless: whoever is slow reads on from the log. Ends when the node stops.
pub fn follow(
    app: App,
    scope: Scope,
    filter: log::Filter,
    start: Start,
) -> impl Stream<Item = Result<Arc<event::Model>>> + Send {
    try_stream! {
        let Start { after, coalesce, place } = start;
        let channel = app.feed.channel(&app, &scope).await?;
        let mut news = channel.latest.subscribe();
        let mut position = after.unwrap_or_else(|| app.feed.pushed(scope.application));
        place.coalesce(coalesce);
        while app.running() {
            place.at(position);
            news.borrow_and_update();
            // What is in the ring by now, it has already when the ring is looked at.
            let pushed = app.feed.pushed(scope.application);
            let (events, end) = match channel.after(position) {
                Some(events) if events.is_empty() => {
                    position = position.max(pushed);
                    place.at(position);
                    if place.signal().is_none() {
                        place.signals(Signal::new(channel.clone()));
                    }
                    place.wait(true);
                    tokio::select! {
                        changed = news.changed() => if changed.is_err() { break },
                        // Events of others bring a position on, and wake nobody.
                        () = tokio::time::sleep(SETTLE), if place.is_needed() => {}
                        () = app.stopping() => break,
                    }
                    place.wait(false);
                    continue;
                }
                Some(mut events) => {
                    let end = events.last().and_then(|event| event.position);
                    events.retain(|event| filter.admits(event));
                    (events, end)
                }
                None => {
                    let events = log::after(&app.db, &scope, &filter, position, READ).await?;
                    // Asked afterwards: what was cut off meanwhile shows.
                    cursor::check_kept(&app, scope.application, position).await?;
                    let complete = (events.len() as u64) < READ;
                    let last = events.last().and_then(|event| event.position);
                    let end = if complete { last.max(Some(pushed)) } else { last };
                    (events.into_iter().map(Arc::new).collect(), end)
                }
            };
            let events: Vec<Arc<event::Model>> = events;
            let events = if coalesce { latest(events, |event| event.item_id) } else { events };
            for event in events {
                place.about(event.item_id);
                place.at(event.position.unwrap_or(position));
                yield event;
            }
            position = position.max(end.unwrap_or(position));
        }
    }
}

/// What is not superseded: of each Item the last alone, and all that is about none.
pub fn latest<T>(all: Vec<T>, item: impl Fn(&T) -> Option<Uuid>) -> Vec<T> {
    let mut seen = HashSet::new();
    let mut kept: Vec<T> = all
        .into_iter()
        .rev()
        .filter(|one| item(one).is_none_or(|item| seen.insert(item)))
        .collect();
    kept.reverse();
    kept
}
