//! Answers as the parts of one: the multipart protocol for subscriptions of Apollo's clients.
//!
//! A part is a JSON object with `payload`; `{}` shows that a silent stream lives. A stream that ends because the node
//! stops or its token ends is cut off instead of closed, so that the client comes back.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, header, request::Parts},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt as _};

use super::{
    Web,
    answer::Refusal,
    graphql::{admitted, execute, in_one_piece},
    negotiate::{Media, negotiate},
    operation::Ready,
    sse::refused,
    stopping,
    stream::{Life, Said, answers, living},
};

const CONTENT_TYPE: &str = "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0";
const END: &[u8] = b"\r\n--graphql--\r\n";

/// Answers a subscription in parts, and anything else in one piece.
pub(super) async fn endpoint(web: Web, id: &str, parts: Parts, body: Body) -> Response {
    let media = negotiate(&parts.headers).unwrap_or(Media::Json);
    match open(&web, id, &parts, body, media).await {
        Ok(response) => response,
        Err(refusal) => refusal.answer(id, media),
    }
}

async fn open(
    web: &Web,
    id: &str,
    parts: &Parts,
    body: Body,
    media: Media,
) -> Result<Response, Refusal> {
    let ready = admitted(web, parts, body).await?;
    if !ready.is_subscription() {
        let answer = execute(web, id, ready).await?;
        return Ok(in_one_piece(&answer, id, media));
    }
    if !web.app.running() {
        return Err(stopping());
    }
    let pieces = pieces(web.clone(), ready, id.to_owned());
    let body = Body::from_stream(pieces.map(Ok::<_, Infallible>));
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))];
    Ok((headers, body).into_response())
}

fn pieces(web: Web, ready: Ready, id: String) -> impl Stream<Item = Bytes> + Send {
    let principal = ready.asking.principal().cloned();
    let answers = answers(web.clone(), ready, None, id);
    living(web, principal, answers).map(|life| match life {
        // The head goes out with the first piece.
        Life::Told(Said::At(_)) | Life::Silence => part("{}"),
        Life::Told(Said::Next(frame)) => part(&payload(&frame.json)),
        Life::Told(Said::Refused(errors)) => part(&payload(&refused(&errors))),
        Life::Over => Bytes::from_static(END),
    })
}

fn payload(json: &str) -> String {
    format!("{{\"payload\":{json}}}")
}

fn part(json: &str) -> Bytes {
    Bytes::from(format!(
        "\r\n--graphql\r\nContent-Type: application/json\r\n\r\n{json}"
    ))
}
