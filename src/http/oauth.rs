//! GET /oauth/callback: where institutions send browsers back to (RFC 6749, section 4.1.2).

use std::collections::BTreeMap;

use axum::{
    Extension,
    extract::{Query, Request, State},
    http::StatusCode,
    response::Response,
};
use maud::{Markup, html};

use super::{Web, address, answer::RequestId, page};
use crate::{
    auth::Caller,
    error::Error,
    item::oauth::{self, Brought},
};

/// Takes what the institution says, and sends the browser on to the application.
pub(super) async fn callback(
    State(web): State<Web>,
    Extension(id): Extension<RequestId>,
    Query(mut query): Query<BTreeMap<String, String>>,
    request: Request,
) -> Response {
    let caller = Caller {
        request: id.uuid(),
        address: Some(address::of(
            request.extensions(),
            request.headers(),
            &web.app.config.trusted_proxies,
        )),
    };
    let state = query.remove("state").unwrap_or_default();
    let brought = match (query.remove("code"), query.remove("error")) {
        (Some(code), None) => Brought::Code(code.into()),
        (_, error) => Brought::Error(error.unwrap_or_else(|| "invalid_request".to_owned())),
    };
    match oauth::come_back(&web.app, caller, &state, brought).await {
        Ok(landing) => match landing.url {
            Some(url) => page::see_other(&url),
            None if landing.agreed => {
                let text = "Your account is being connected. You can close this window.";
                show(&web, StatusCode::OK, "Thank you", &html! { p { (text) } })
            }
            None => {
                let text = "Nothing was connected. You can close this window.";
                show(
                    &web,
                    StatusCode::OK,
                    "Not connected",
                    &html! { p { (text) } },
                )
            }
        },
        Err(error) => failed(&web, &error),
    }
}

fn failed(web: &Web, error: &Error) -> Response {
    let (status, text) = match error {
        Error::NotFound { .. } | Error::InvalidInput { .. } => (
            StatusCode::BAD_REQUEST,
            "This login is unknown or has ended. Go back to the application and connect again.",
        ),
        Error::ItemMfaExpired => (
            StatusCode::BAD_REQUEST,
            "This login took too long. Go back to the application and connect again.",
        ),
        other => {
            other.log("oauth callback");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong here. Reload this page to try again.",
            )
        }
    };
    show(
        web,
        status,
        "Not connected",
        &html! { p.problem { (text) } },
    )
}

fn show(web: &Web, status: StatusCode, title: &str, content: &Markup) -> Response {
    page::page(&web.app, status, title, content)
}
