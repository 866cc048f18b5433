//! One HTTP request of a delivery.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use entity::delivery;
use url::Url;

use super::{TIMEOUT, record::Done};
use crate::{
    app::App,
    error::{Error, Result},
    event, metrics,
    webhook::{
        egress::{Outcome, Outgoing},
        keyring::Opened,
        schedule::{Verdict, judge},
    },
};

/// How much of an answer is kept.
const KEPT_BYTES: usize = 4 * 1024;

/// A claimed delivery with all that sending it needs.
pub(super) struct Request {
    pub delivery: delivery::Model,
    pub what: What,
}

/// What is to be done about a delivery.
pub(super) enum What {
    /// It is sent.
    Send {
        event: Arc<entity::event::Model>,
        /// An error counts as an attempt that failed, so that the delivery does not come back at once.
        opened: Result<Arc<Opened>>,
        url: String,
    },
    /// It cannot be sent ever again, for this reason.
    Gone(&'static str),
}

impl Request {
    /// Sends it, once, and judges what comes of it.
    pub async fn send(self, app: App) -> Done {
        let at = app.clock.now();
        let id = app.rng.id(at);
        let delivery = self.delivery;
        let (event, opened, url) = match self.what {
            What::Send { event, opened, url } => (event, opened, url),
            What::Gone(reason) => {
                return Done {
                    id,
                    at,
                    url: delivery.url.clone(),
                    delivery,
                    took: Duration::ZERO,
                    status: None,
                    error: Some(reason.to_owned()),
                    answer: None,
                    verdict: Verdict::GiveUp {
                        reason: reason.to_owned(),
                    },
                };
            }
        };
        let prepared = opened.and_then(|opened| {
            let request = outgoing(&app, &event, &opened, &url)?;
            Ok((opened, request))
        });
        let mut refused = false;
        let outcome = match prepared {
            Ok((opened, request)) => {
                refused = app.egress.policy().check(&request.url).is_err();
                let mut outcome = app.egress.send(request, TIMEOUT).await;
                outcome.body = opened.redact(outcome.body);
                outcome
            }
            Err(error) => {
                error.log("delivery request");
                Outcome {
                    error: Some("the request could not be made".to_owned()),
                    ..Outcome::default()
                }
            }
        };
        let made = u32::try_from(delivery.attempts).unwrap_or(0) + 1;
        let verdict = judge(made, &outcome, app.clock.now(), &app.rng);
        metrics::delivery_attempt(match (&verdict, refused) {
            (Verdict::Succeeded, _) => "succeeded",
            (_, true) => "refused",
            (_, false) => "failed",
        });
        Done {
            id,
            delivery,
            url,
            at,
            took: outcome.duration,
            status: outcome.status,
            error: outcome.error,
            answer: shortened(outcome.body),
            verdict,
        }
    }
}

fn outgoing(
    app: &App,
    event: &entity::event::Model,
    opened: &Opened,
    url: &str,
) -> Result<Outgoing> {
    // The event never changes, so every attempt sends the same bytes.
    let body = serde_json::to_vec(&event::body(event)).map_err(Error::internal)?;
    Ok(Outgoing {
        url: Url::parse(url).map_err(Error::internal)?,
        headers: opened.headers(&event.id.to_string(), app.clock.now(), &body)?,
        body: Bytes::from(body),
    })
}

fn shortened(mut answer: String) -> Option<String> {
    answer.truncate(answer.floor_char_boundary(KEPT_BYTES));
    (!answer.is_empty()).then_some(answer)
}
