//! Whose request it is: tokens in headers and in `connection_init`.

use axum::http::{HeaderMap, HeaderName, header};
use serde_json::{Map, Value};

use crate::{
    app::App,
    auth::{self, Principal},
    error::{Error, Result},
};

/// The other header that takes a token.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

const MISSING: Error = Error::Unauthenticated(
    "a token is needed: send an API key or a connect token as Authorization: Bearer …",
);

/// The token in a request's headers. Other schemes of Authorization are a proxy's business.
pub(super) fn in_headers(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(bearer)
        .or_else(|| headers.get(API_KEY).and_then(|value| value.to_str().ok()))
        .map(str::trim)
}

/// The token in the payload of `connection_init`, whatever the case of its key, there or under `headers`.
pub(super) fn in_payload(payload: &Map<String, Value>) -> Option<&str> {
    let nested = find(payload, "headers").and_then(Value::as_object);
    [Some(payload), nested]
        .into_iter()
        .flatten()
        .find_map(|map| {
            let text = |name: &HeaderName| find(map, name.as_str()).and_then(Value::as_str);
            text(&header::AUTHORIZATION)
                .and_then(bearer)
                .or_else(|| text(&API_KEY).map(str::trim))
        })
}

fn find<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    map.iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The principal behind a token, used from an origin.
pub(super) async fn principal(
    app: &App,
    token: Option<&str>,
    origin: Option<&str>,
) -> Result<Principal> {
    let principal = auth::token::verify(app, token.ok_or(MISSING)?).await?;
    principal.check_origin(origin)?;
    Ok(principal)
}

/// The origin that a browser says a request comes from.
pub(super) fn origin(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::ORIGIN)
        .map(|value| value.to_str().unwrap_or("unreadable"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_found_in_either_header_and_other_schemes_are_passed_over() {
        let of = |pairs: &[(HeaderName, &'static str)]| {
            let headers: HeaderMap = pairs
                .iter()
                .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
                .collect();
            in_headers(&headers).map(str::to_owned)
        };
        let authorization = header::AUTHORIZATION;
        assert_eq!(of(&[]), None);
        assert_eq!(
            of(&[(authorization.clone(), "Bearer a.b")]).as_deref(),
            Some("a.b")
        );
        assert_eq!(
            of(&[(authorization.clone(), "bearer  a.b ")]).as_deref(),
            Some("a.b")
        );
        assert_eq!(of(&[(API_KEY, "a.b")]).as_deref(), Some("a.b"));
        assert_eq!(of(&[(authorization.clone(), "Basic eDp5")]), None);
        assert_eq!(
            of(&[(authorization, "Basic eDp5"), (API_KEY, "a.b")]).as_deref(),
            Some("a.b")
        );
    }

    #[test]
    fn a_token_is_found_in_connection_init_whatever_the_case_of_its_key() {
        for payload in [
            json!({ "Authorization": "Bearer a.b" }),
            json!({ "authorization": "bearer a.b" }),
            json!({ "X-API-KEY": "a.b" }),
            json!({ "x-api-key": "a.b", "Authorization": "Basic x" }),
            json!({ "headers": { "AUTHORIZATION": "Bearer a.b" } }),
            json!({ "Headers": { "X-Api-Key": " a.b" } }),
        ] {
            let map = payload.as_object().expect("an object");
            assert_eq!(in_payload(map), Some("a.b"), "{payload}");
        }
        for payload in [
            json!({}),
            json!({ "Authorization": 7, "X-API-KEY": null }),
            json!({ "Authorization": "a.b" }),
            json!({ "token": "a.b", "headers": ["X-API-KEY", "a.b"] }),
        ] {
            assert_eq!(in_payload(payload.as_object().expect("an object")), None);
        }
    }
}
