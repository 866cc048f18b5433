//! Pages that people see on the way of a login: plain, without scripts, shown in no frame.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::app::App;

const STYLE: &str = "\
    body{font:16px/1.5 system-ui,sans-serif;margin:0;background:#f3f5f4;color:#1c2421}\
    main{max-width:26rem;margin:8vh auto;padding:2rem;background:#fff;border-radius:12px;box-shadow:0 1px 8px #0002}\
    h1{font-size:1.3rem;margin:0 0 1rem;color:#0b6e4f}\
    label{display:block;margin:.8rem 0}\
    input:not([type=checkbox]){display:block;width:100%;box-sizing:border-box;padding:.5rem;font:inherit;border:1px solid #9aa;border-radius:6px}\
    button{font:inherit;padding:.6rem 1.2rem;margin:.6rem .6rem 0 0;border:1px solid #0b6e4f;border-radius:6px;background:#0b6e4f;color:#fff;cursor:pointer}\
    button.quiet{background:#fff;color:#0b6e4f}\
    .problem{color:#a11}.hint{color:#566;font-size:.9rem}";

/// A page with this title and content. No store keeps it, and its address tells other sites nothing.
pub(super) fn page(app: &App, status: StatusCode, title: &str, content: &Markup) -> Response {
    let nonce = STANDARD.encode(app.rng.bytes::<16>());
    let body = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style nonce=(nonce) { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (title) }
                    (content)
                }
            }
        }
    };
    // No form-action: browsers hold it against the redirects that follow a form.
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
    );
    let mut response = (status, Html(body.into_string())).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

/// Sends the browser on, with a GET.
pub(super) fn see_other(to: &url::Url) -> Response {
    let location = HeaderValue::from_str(to.as_str()).expect("an address is visible ASCII");
    let headers = [
        (header::LOCATION, location),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}
