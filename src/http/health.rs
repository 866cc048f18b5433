//! Whether a node lives, whether it can serve, and its metrics.

use std::time::Duration;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Web, negotiate::Media};
use crate::metrics;

/// How long the database may take to show that it is there.
const PATIENCE: Duration = Duration::from_secs(2);

/// The process lives.
pub(super) async fn live() -> Response {
    answer(StatusCode::OK, &json!({ "status": "live" }))
}

/// The node can serve: it is not stopping, and its database answers.
pub(super) async fn ready(State(web): State<Web>) -> Response {
    let app = &web.app;
    let problem = if app.running() {
        match timeout(PATIENCE, app.db.read().ping()).await {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some("the database does not answer"),
            Err(_) => Some("the database does not answer in time"),
        }
    } else {
        Some("the node is stopping")
    };
    match problem {
        None => answer(StatusCode::OK, &json!({ "status": "ready" })),
        Some(reason) => answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "status": "not ready", "reason": reason }),
        ),
    }
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, Media::Json.content_type())];
    (status, headers, body.to_string()).into_response()
}

/// The metrics in the text format of Prometheus; empty while none are recorded.
pub(super) async fn metrics() -> Response {
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        metrics::render().unwrap_or_default(),
    )
        .into_response()
}
