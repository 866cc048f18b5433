//! A response that lasts: it shows that it lives, and ends with the right to it.

use std::time::Duration;

use async_stream::stream;
use futures_util::{Stream, StreamExt as _, pin_mut};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::super::Web;
use crate::auth::Principal;

/// A piece of such a response.
pub(in crate::http) enum Life<T> {
    /// Of what it is about.
    Told(T),
    /// A sign of life, after a silence.
    Silence,
    /// There is no more to tell. Without this the response is cut off, because the token has ended or the node stops:
    /// the client is to come back.
    Over,
}

/// What a stream tells, for as long as the caller may listen.
pub(in crate::http) fn living<T: Send>(
    web: Web,
    principal: Option<Principal>,
    told: impl Stream<Item = T> + Send,
) -> impl Stream<Item = Life<T>> + Send {
    stream! {
        pin_mut!(told);
        let standing = standing(&web, principal.as_ref());
        pin_mut!(standing);
        let mut beat = interval_at(Instant::now() + web.timing.ping, web.timing.ping);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let life = tokio::select! {
                one = told.next() => match one {
                    Some(one) => Life::Told(one),
                    None => break,
                },
                () = &mut standing => return,
                _ = beat.tick() => Life::Silence,
            };
            yield life;
        }
        if web.app.running() {
            yield Life::Over;
        }
    }
}

/// Returns once a token has ended, or the node is stopping.
async fn standing(web: &Web, principal: Option<&Principal>) {
    let app = &web.app;
    let Some(principal) = principal else {
        return app.stopping().await;
    };
    let mut beat = app.beat.subscribe();
    loop {
        let left = principal.expires_at.since(app.clock.now());
        tokio::select! {
            () = app.stopping() => return,
            () = app.clock.sleep(left.max(Duration::from_millis(1))) => {}
            changed = beat.changed() => if changed.is_err() { return },
        }
        if !app.applications.stands(principal, app.clock.now()) {
            return;
        }
    }
}
