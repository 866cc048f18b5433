//! GET /statements/{id}: the file of a statement, for whoever has its signed address.

use axum::{
    Extension,
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    Web,
    answer::{Refusal, RequestId},
    negotiate::Media,
};
use crate::{error::Error, product::statement};

/// What an address carries.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Signed {
    expires: String,
    signature: String,
}

/// Answers the file, to be saved and not shown: what an institution hands over is not ours to run.
pub(super) async fn download(
    State(web): State<Web>,
    Extension(request): Extension<RequestId>,
    Path(id): Path<String>,
    Query(signed): Query<Signed>,
) -> Response {
    // What is no number or id signs nothing.
    let expires = signed.expires.parse().unwrap_or(0);
    let id = Uuid::parse_str(&id).unwrap_or_default();
    let file = match statement::file(&web.app, id, expires, &signed.signature).await {
        Ok(file) => file,
        Err(error @ Error::InvalidInput { .. }) => {
            let reason = error.to_string();
            let refusal = Refusal::new(StatusCode::GONE, error.code(), reason);
            return refusal
                .with("field", "expires")
                .answer(&request.0, Media::Json);
        }
        Err(error) => return Refusal::from(error).answer(&request.0, Media::Json),
    };
    let disposition = format!("attachment; filename=\"{}\"", file.name);
    let fixed = [
        (header::CONTENT_TYPE, "application/pdf"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; sandbox; frame-ancestors 'none'",
        ),
    ];
    let disposition = [(header::CONTENT_DISPOSITION, disposition)];
    (StatusCode::OK, fixed, disposition, file.contents).into_response()
}
