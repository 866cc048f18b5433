//! Which form of answer a client prefers.

use axum::http::{HeaderMap, HeaderValue, header};

/// The media types of GraphQL answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// `application/graphql-response+json`: the status tells whether the document was executed.
    GraphqlResponse,
    /// `application/json`: 200 for every well-formed request.
    Json,
}

impl Media {
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }
}

/// How much a client wants a media type: quality in thousandths, then how exactly it was named.
type Wish = (u16, u8);

/// The form a client prefers: application/json unless it says otherwise, none when it takes neither.
pub(super) fn negotiate(headers: &HeaderMap) -> Option<Media> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Some(Media::Json);
    }
    let modern = wish(&ranges, "graphql-response+json");
    let plain = wish(&ranges, "json");
    match (modern.0, plain.0) {
        (0, 0) => None,
        // Named alike, the modern form wins; matched by a wildcard alike, the plain one.
        _ if modern > plain || (modern == plain && modern.1 == 2) => Some(Media::GraphqlResponse),
        _ => Some(Media::Json),
    }
}

/// Whether a client is a browser that shows a page.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    ranges(headers)
        .iter()
        .any(|range| range.kind == "text/html" && range.quality > 0)
}

/// The forms of answers that come one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streamed {
    /// `text/event-stream`, as graphql-sse has it.
    Events,
    /// `multipart/mixed` with `subscriptionSpec`, as Apollo's clients have it.
    Multipart,
}

/// The streamed form that a client names, if it names one; wildcards mean none.
pub(super) fn streamed(headers: &HeaderMap) -> Option<Streamed> {
    ranges(headers).iter().find_map(|range| {
        let form = match range.kind.as_str() {
            "text/event-stream" => Streamed::Events,
            "multipart/mixed" if range.subscriptions => Streamed::Multipart,
            _ => return None,
        };
        (range.quality > 0).then_some(form)
    })
}

struct Range {
    kind: String,
    quality: u16,
    /// Whether it asks for subscriptions.
    subscriptions: bool,
}

fn ranges(headers: &HeaderMap) -> Vec<Range> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next()?.to_ascii_lowercase();
            let named: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
            let find = |wanted: &str| {
                let found = named
                    .iter()
                    .find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
                found.map(|(_, text)| text.trim())
            };
            let quality = find("q").map_or(1_000, quality);
            let subscriptions = find("subscriptionSpec").is_some();
            (!kind.is_empty()).then_some(Range {
                kind,
                quality,
                subscriptions,
            })
        })
        .collect()
}

/// A quality in thousandths; what is none counts as refused.
fn quality(text: &str) -> u16 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    match whole {
        "1" => 1_000,
        "0" => format!("{rest:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

/// The wish that the most exact range expresses.
fn wish(ranges: &[Range], subtype: &str) -> Wish {
    ranges
        .iter()
        .filter_map(|range| {
            let exactness = match range.kind.as_str() {
                "*/*" => 0,
                "application/*" => 1,
                kind if kind.strip_prefix("application/") == Some(subtype) => 2,
                _ => return None,
            };
            Some((range.quality, exactness))
        })
        .max_by_key(|(_, exactness)| *exactness)
        .unwrap_or((0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Option<Media> {
        let value = HeaderValue::from_str(accept).expect("a header value");
        negotiate(&HeaderMap::from_iter([(header::ACCEPT, value)]))
    }

    #[test]
    fn the_form_of_an_answer_follows_quality_then_exactness() {
        const MODERN: &str = "application/graphql-response+json";
        assert_eq!(negotiate(&HeaderMap::new()), Some(Media::Json));
        for (accept, expected) in [
            ("*/*".to_owned(), Some(Media::Json)),
            ("application/*".to_owned(), Some(Media::Json)),
            ("application/json".to_owned(), Some(Media::Json)),
            (
                "application/json; charset=utf-8".to_owned(),
                Some(Media::Json),
            ),
            (MODERN.to_owned(), Some(Media::GraphqlResponse)),
            (MODERN.to_uppercase(), Some(Media::GraphqlResponse)),
            (
                format!("{MODERN}, application/json;q=0.9"),
                Some(Media::GraphqlResponse),
            ),
            (
                format!("{MODERN};q=0.5, application/json"),
                Some(Media::Json),
            ),
            (
                format!("application/json, {MODERN}"),
                Some(Media::GraphqlResponse),
            ),
            (format!("*/*, {MODERN}"), Some(Media::GraphqlResponse)),
            ("application/json, */*".to_owned(), Some(Media::Json)),
            (
                "*/*, application/json;q=0".to_owned(),
                Some(Media::GraphqlResponse),
            ),
            ("text/html, */*;q=0.8".to_owned(), Some(Media::Json)),
            ("text/html".to_owned(), None),
            ("application/json;q=0".to_owned(), None),
            ("application/json;q=high".to_owned(), None),
            ("text/event-stream".to_owned(), None),
        ] {
            assert_eq!(of(&accept), expected, "{accept}");
        }
    }
}
