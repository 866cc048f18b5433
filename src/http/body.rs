//! Bodies, read within bounds of size and time.

use std::time::Duration;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, StatusCode, header},
};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::answer::Refusal;

/// How long the rest of a refused body is read, so that its sender sees the answer before the connection ends.
const DRAIN: Duration = Duration::from_secs(5);
/// Most bytes of that.
const DRAINED: usize = 32 * 1024 * 1024;

/// Whether a body announces more than it may have.
pub(super) fn announces_more(headers: &HeaderMap, most: usize) -> bool {
    headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok())
        .is_some_and(|length| usize::try_from(length).map_or(true, |length| length > most))
}

/// Reads a whole body.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Body,
    most: usize,
    within: Duration,
) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::limit(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body",
            format!("the body has more than {most} bytes"),
        )
        .with("most", most)
    };
    if announces_more(headers, most) {
        drain(headers, body);
        return Err(too_large());
    }
    let mut stream = body.into_data_stream();
    let reading = async {
        let mut read = Vec::new();
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|_| cut_off())?;
            if read.len() + piece.len() > most {
                return Ok(None);
            }
            read.extend_from_slice(&piece);
        }
        Ok(Some(Bytes::from(read)))
    };
    match timeout(within, reading).await {
        Ok(Ok(Some(read))) => Ok(read),
        Ok(Ok(None)) => {
            drain(headers, Body::from_stream(stream));
            Err(too_large())
        }
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(too_slow()),
    }
}

/// Reads on for a while, beside the answer, and throws it away. Who waits to be told to go on is not told.
pub(super) fn drain(headers: &HeaderMap, body: Body) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let mut stream = body.into_data_stream();
    let reading = async move {
        let mut read = 0;
        while let Some(Ok(piece)) = stream.next().await {
            read += piece.len();
            if read > DRAINED {
                return;
            }
        }
    };
    tokio::spawn(timeout(DRAIN, reading));
}

pub(super) fn cut_off() -> Refusal {
    Refusal::invalid(
        StatusCode::BAD_REQUEST,
        "body",
        "ended before it was complete",
    )
}

pub(super) fn too_slow() -> Refusal {
    Refusal::invalid(
        StatusCode::REQUEST_TIMEOUT,
        "body",
        "took too long to arrive",
    )
    .header(
        header::CONNECTION,
        header::HeaderValue::from_static("close"),
    )
}
