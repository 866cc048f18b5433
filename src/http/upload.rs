//! POST /uploads: a file on its way to a parameter of type FILE.
//!
//! The body is the file, sealed piece by piece as it arrives. A body that is cut off leaves an upload that nobody can
//! use and that expires by itself.

use std::time::Duration;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::timeout;

use super::{
    Web, address,
    answer::{Refusal, RequestId},
    body,
    negotiate::Media,
    token,
};
use crate::{
    auth::{Caller, Principal},
    error::Error,
    item::upload::{self, LARGEST, Uploaded},
};

/// How long a whole file may take.
const WHOLE: Duration = Duration::from_mins(15);

/// Takes a file and answers `{"uploadId","expiresAt"}`.
pub(super) async fn receive(
    State(web): State<Web>,
    Extension(id): Extension<RequestId>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let caller = Caller {
        request: id.uuid(),
        address: Some(address::of(
            &parts.extensions,
            &parts.headers,
            &web.app.config.trusted_proxies,
        )),
    };
    match timeout(WHOLE, store(&web, &parts.headers, caller, body)).await {
        Ok(Ok(uploaded)) => (
            StatusCode::CREATED,
            [(header::CONTENT_TYPE, Media::Json.content_type())],
            json!({ "uploadId": uploaded.id, "expiresAt": uploaded.expires_at.to_string() })
                .to_string(),
        )
            .into_response(),
        Ok(Err(refusal)) => refusal.answer(&id.0, Media::Json),
        Err(_) => body::too_slow().answer(&id.0, Media::Json),
    }
}

async fn store(
    web: &Web,
    headers: &HeaderMap,
    caller: Caller,
    body: Body,
) -> Result<Uploaded, Refusal> {
    let presented = token::in_headers(headers);
    let principal = token::principal(&web.app, presented, token::origin(headers)).await;
    let principal = match principal {
        Ok(principal) => Principal {
            caller,
            ..principal
        },
        Err(error) => {
            body::drain(headers, body);
            return Err(error.into());
        }
    };
    if body::announces_more(headers, LARGEST) {
        body::drain(headers, body);
        return Err(too_large());
    }
    let mut writer = match upload::begin(&web.app, &principal).await {
        Ok(writer) => writer,
        Err(error) => {
            body::drain(headers, body);
            return Err(error.into());
        }
    };
    let mut stream = body.into_data_stream();
    loop {
        let piece = match timeout(web.timing.upload_idle, stream.next()).await {
            Ok(Some(Ok(piece))) => piece,
            Ok(Some(Err(_))) => return Err(body::cut_off()),
            Ok(None) => return Ok(writer.finish().await?),
            Err(_) => return Err(body::too_slow()),
        };
        match writer.write(&piece).await {
            Ok(()) => {}
            Err(Error::InvalidInput { .. }) => {
                body::drain(headers, Body::from_stream(stream));
                return Err(too_large());
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn too_large() -> Refusal {
    Refusal::invalid(StatusCode::PAYLOAD_TOO_LARGE, "file", "larger than 20 MiB")
}
