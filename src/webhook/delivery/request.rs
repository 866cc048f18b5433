//! One HTTP request of a delivery.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use entity::{attempt, delivery, kind::WebhookPayload};
use http::header;
use tokio::time::Instant;
use url::Url;
use uuid::Uuid;

use super::{TIMEOUT, record::Done};
use crate::{
    app::App,
    error::{Error, Result},
    metrics,
    webhook::{
        egress::{CONTENT_TYPE, Outcome, Outgoing, USER_AGENT},
        keyring::Opened,
        schedule::{Verdict, judge},
        signature,
    },
};

/// How much of an answer is kept.
const KEPT_BYTES: usize = 4 * 1024;

/// A delivery and the epoch under which it is held.
pub(super) type Held = (Uuid, i64);

/// A claimed delivery with all that sending it needs.
pub(super) struct Request {
    pub delivery: delivery::Model,
    pub what: What,
    pub claimed: Instant,
}

/// What is to be done about a delivery.
pub(super) enum What {
    /// It is sent.
    Send {
        body: Bytes,
        payload: WebhookPayload,
        /// An error counts as an attempt that failed, so that the delivery does not come back at once.
        opened: Result<Arc<Opened>>,
        url: String,
    },
    /// It cannot be sent ever again, for this reason.
    Gone(&'static str),
}

impl Request {
    /// What a worker holds of it.
    pub fn held(&self) -> Held {
        (self.delivery.id, self.delivery.epoch)
    }

    /// Sends it, once, and judges what comes of it.
    pub async fn send(self, app: &App) -> Done {
        let at = app.clock.now();
        let id = app.rng.id(at);
        let delivery = self.delivery;
        let mut done = Done {
            id,
            at,
            url: None,
            took: Duration::ZERO,
            status: None,
            error: None,
            answer: None,
            signature: None,
            header_names: None,
            payload: None,
            failed: None,
            verdict: Verdict::Succeeded,
            delivery,
        };
        let (body, payload, opened, url) = match self.what {
            What::Send {
                body,
                payload,
                opened,
                url,
            } => (body, payload, opened, url),
            What::Gone(reason) => {
                done.error = Some(reason.to_owned());
                done.verdict = Verdict::GiveUp {
                    reason: reason.to_owned(),
                };
                return done;
            }
        };
        let prepared = opened.and_then(|opened| {
            let event = done.delivery.event_id.to_string();
            let (headers, signature) = opened.headers(&event, at, &body)?;
            let url = Url::parse(&url).map_err(Error::internal)?;
            let request = Outgoing { url, headers, body };
            Ok((opened, signature, request))
        });
        let (mut refused, mut made) = (false, false);
        let outcome = match prepared {
            Ok((opened, signature, request)) => {
                made = true;
                refused = app.egress.policy().check(&request.url).is_err();
                if !refused {
                    done.signature = Some(signature);
                    done.header_names.clone_from(&opened.names);
                    done.payload = Some(payload);
                }
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
        let attempt = u32::try_from(done.delivery.attempts).unwrap_or(0) + 1;
        done.verdict = judge(attempt, &outcome, app.clock.now(), &app.rng);
        metrics::delivery_attempt(match (&done.verdict, refused) {
            (Verdict::Succeeded, _) => "succeeded",
            (_, true) => "refused",
            (_, false) => "failed",
        });
        done.failed = match (&done.verdict, outcome.status) {
            (Verdict::Succeeded, _) => Some(false),
            (_, None) => made.then_some(true),
            // One Item's address that is wrong says nothing of the others at the same origin.
            (_, Some(400..=428 | 430..=499)) if done.delivery.webhook_id.is_none() => None,
            (_, Some(_)) => Some(true),
        };
        done.url = (url != done.delivery.url).then_some(url);
        done.took = outcome.duration;
        done.status = outcome.status;
        done.error = outcome.error;
        done.answer = shortened(outcome.body);
        done
    }
}

/// What an attempt sent as headers, without the values of static ones.
pub fn sent_headers(attempt: &attempt::Model, event: Uuid) -> Vec<(String, Option<String>)> {
    let Some(signature) = &attempt.signature else {
        return Vec::new();
    };
    let own = [
        (header::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
        (header::USER_AGENT, USER_AGENT.to_owned()),
        (signature::ID, event.to_string()),
        (
            signature::TIMESTAMP,
            signature::seconds(attempt.at).to_string(),
        ),
        (signature::SIGNATURE, signature.clone()),
    ];
    let own = own.map(|(name, value)| (name.to_string(), Some(value)));
    let named = attempt
        .header_names
        .iter()
        .flat_map(|names| names.split(' '));
    own.into_iter()
        .chain(named.map(|name| (name.to_owned(), None)))
        .collect()
}

fn shortened(mut answer: String) -> Option<String> {
    answer.truncate(answer.floor_char_boundary(KEPT_BYTES));
    (!answer.is_empty()).then_some(answer)
}
