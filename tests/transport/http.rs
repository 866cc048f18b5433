//! Requests over HTTP: forms, methods, tokens, and what anonymous callers may learn.

use std::time::Duration;

use ponte::clock::{Clock, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use super::harness::{Answer, Node, Raw, VIEWER, events, send, timing};

const MODERN: &str = "application/graphql-response+json";
const START: Timestamp = Timestamp(1_773_662_400_000);

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// An error without what differs from request to request.
fn shape(answer: &Answer) -> Value {
    let mut body = answer.json();
    body["errors"][0]["extensions"]["requestId"] = Value::Null;
    json!([answer.status.as_u16(), body, answer.header("content-type")])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_answered_in_the_form_that_is_accepted() {
    let node = Node::start().await;
    for (accept, form) in [
        ("application/json", "application/json; charset=utf-8"),
        ("*/*", "application/json; charset=utf-8"),
        (MODERN, "application/graphql-response+json; charset=utf-8"),
    ] {
        let answer = node.ask(json!({ "query": "{ __typename }" }), accept).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.text, r#"{"data":{"__typename":"Query"}}"#);
        assert_eq!(answer.header("content-type"), form);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("x-request-id").len(), 36);
    }
    let answer = node
        .ask(json!({ "query": "{ __typename }" }), "text/plain")
        .await;
    assert_eq!(answer.refusal(), refused(406, "INVALID_INPUT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_that_are_not_executed_have_a_code_and_no_data() {
    let node = Node::start().await;
    let fanned = (0..40)
        .map(|n| format!("a{n}: __typename"))
        .collect::<Vec<_>>()
        .join(" ");
    for (parameters, code) in [
        (json!({ "query": "{" }), "PARSE_FAILED"),
        (
            json!({ "query": "{ nothingOfThatName }" }),
            "VALIDATION_FAILED",
        ),
        (
            json!({ "query": format!("{{ {fanned} }}") }),
            "DOCUMENT_REJECTED",
        ),
        (
            json!({ "query": "query A { __typename } query B { __typename }" }),
            "VALIDATION_FAILED",
        ),
        (
            json!({ "query": "query A { __typename }", "operationName": "B" }),
            "VALIDATION_FAILED",
        ),
        (
            json!({ "query": "query($n: String!) { __type(name: $n) { name } }" }),
            "VALIDATION_FAILED",
        ),
        (
            json!({ "query": "query($n: String!) { __type(name: $n) { name } }", "variables": { "n": 7 } }),
            "VALIDATION_FAILED",
        ),
    ] {
        for (accept, status) in [(MODERN, 400), ("application/json", 200)] {
            let answer = node.ask(parameters.clone(), accept).await;
            assert_eq!(
                answer.refusal(),
                refused(status, code),
                "{parameters} {answer:?}"
            );
            assert_eq!(answer.json().get("data"), None, "{parameters}");
        }
    }
    let answer = node.query(&format!("{{ {fanned} }}")).await;
    assert_eq!(
        (answer.extension("limit"), answer.extension("most")),
        (json!("aliases"), json!(30))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_not_well_formed_are_refused_in_json() {
    let node = Node::start().await;
    for (body, code, told) in [
        ("", "INVALID_INPUT", "body"),
        ("{", "INVALID_INPUT", "body"),
        ("7", "INVALID_INPUT", "body"),
        (
            "[{\"query\":\"{ __typename }\"}]",
            "DOCUMENT_REJECTED",
            "batch",
        ),
        ("[]", "DOCUMENT_REJECTED", "batch"),
        ("{}", "INVALID_INPUT", "query"),
        ("{\"query\":7}", "INVALID_INPUT", "query"),
        (
            "{\"query\":\"{ __typename }\",\"variables\":\"{}\"}",
            "INVALID_INPUT",
            "variables",
        ),
        (
            "{\"query\":\"{ __typename }\",\"variables\":[]}",
            "INVALID_INPUT",
            "variables",
        ),
        (
            "{\"query\":\"{ __typename }\",\"operationName\":7}",
            "INVALID_INPUT",
            "operationName",
        ),
        (
            "{\"query\":\"{ __typename }\",\"extensions\":7}",
            "INVALID_INPUT",
            "extensions",
        ),
    ] {
        for accept in [MODERN, "application/json"] {
            let answer = send(node.post(body).header("accept", accept)).await;
            assert_eq!(answer.refusal(), refused(400, code), "{body}");
            let name = if code == "INVALID_INPUT" {
                "field"
            } else {
                "limit"
            };
            assert_eq!(answer.extension(name), json!(told), "{body}");
        }
    }
    let null = json!({ "query": "{ __typename }", "variables": null, "operationName": null, "extensions": null });
    assert_eq!(node.ask(null, MODERN).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_json_in_utf_8_is_taken() {
    let node = Node::start().await;
    let body = r#"{"query":"{ __typename }"}"#;
    for (kind, status) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON;charset=\"UTF-8\"", 200),
        ("application/json; charset=utf-16", 415),
        ("text/plain", 415),
        ("application/graphql", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
    ] {
        let request = node
            .client
            .post(node.url("/graphql"))
            .header("content-type", kind);
        let answer = send(request.body(body)).await;
        assert_eq!(answer.status.as_u16(), status, "{kind}");
        if status == 415 {
            assert_eq!(answer.code(), "INVALID_INPUT");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn get_is_for_queries_and_sockets_for_subscriptions() {
    let node = Node::start().await;
    let get = |query: &'static [(&'static str, &'static str)]| {
        let mut url = url::Url::parse(&node.url("/graphql")).expect("a URL");
        url.query_pairs_mut().extend_pairs(query);
        send(node.client.get(url).bearer_auth(&node.key))
    };
    let typename = get(&[
        ("query", "query A { __typename }"),
        ("operationName", "A"),
        ("variables", "{}"),
    ])
    .await;
    assert_eq!(typename.text, r#"{"data":{"__typename":"Query"}}"#);
    assert_eq!(
        get(&[
            ("query", "{ __typename }"),
            ("variables", ""),
            ("operationName", "")
        ])
        .await
        .status,
        200
    );
    for broken in [
        &[("query", "{ __typename }"), ("variables", "{")][..],
        &[("query", "{ __typename }"), ("variables", "[]")],
        &[("query", "{ __typename }"), ("query", "{ __typename }")],
        &[("variables", "{}")],
    ] {
        assert_eq!(
            get(broken).await.refusal(),
            refused(400, "INVALID_INPUT"),
            "{broken:?}"
        );
    }
    let other = node
        .client
        .get(node.url("/graphql?query=%7B__typename%7D"))
        .header("connection", "Upgrade, HTTP2-Settings")
        .header("upgrade", "h2c");
    assert_eq!(send(other).await.status, 200);
    let mutation = get(&[("query", "mutation { __typename }")]).await;
    assert_eq!(mutation.refusal(), refused(405, "INVALID_INPUT"));
    assert_eq!(mutation.header("allow"), "POST");
    let subscription = node.query(&events("e")).await;
    assert_eq!(subscription.refusal(), refused(400, "INVALID_INPUT"));
    let answer = send(node.client.request(Method::PATCH, node.url("/graphql"))).await;
    assert_eq!(answer.refusal(), refused(405, "INVALID_INPUT"));
    assert_eq!(answer.header("allow"), "GET, POST, PUT, DELETE, OPTIONS");
    // Streams that carry several operations are for those who are known.
    let reservation = send(node.client.put(node.url("/graphql"))).await;
    assert_eq!(reservation.refusal(), refused(401, "UNAUTHENTICATED"));
    let stream = send(node.client.delete(node.url("/graphql"))).await;
    assert_eq!(stream.refusal(), refused(404, "NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_valid_token_real_and_invented_names_look_alike() {
    let node = Node::start().await;
    let expected = shape(&node.anonymous(VIEWER).await);
    assert_eq!(expected[0], 401);
    assert_eq!(
        expected[1]["errors"][0]["extensions"]["code"],
        "UNAUTHENTICATED"
    );
    for document in [
        "{ invented }",
        "{ __typename viewer }",
        "{ __typename invented }",
        "mutation { createItem(input: {}) { item { id } } }",
        "mutation { invented }",
        "subscription { events }",
        "subscription { invented }",
        "query($x: CreateApiKeyPayload, $y: Invented) { __typename }",
        "{ ... on Item { __typename } }",
        "{ ... on Invented { __typename } }",
        "{ ...F } fragment F on Viewer { __typename }",
        "{ ...F } fragment F on Invented { __typename }",
        "{ ...Missing }",
        "query A { __typename } query B { __typename }",
    ] {
        assert_eq!(
            shape(&node.anonymous(document).await),
            expected,
            "{document}"
        );
    }
    // What is not selected is not looked at, whether it exists or not.
    for other in ["viewer", "invented", "invented { more }"] {
        let document = format!(
            "query A {{ __typename }} query B {{ {other} }} fragment F on Query {{ {other} }}"
        );
        let body = json!({ "query": document, "operationName": "A" }).to_string();
        let answer = send(node.post(body)).await;
        assert_eq!(
            answer.text, r#"{"data":{"__typename":"Query"}}"#,
            "{document}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_told_so_except_where_none_is_needed() {
    let node = Node::start().await;
    let create = "mutation($i: CreateApiKeyInput!) { createApiKey(input: $i) { apiKey } }";
    let input =
        json!({ "clientId": node.owner.client_id, "clientSecret": node.owner.client_secret });
    for bad in ["x", "a.b.c", &format!("{}x", node.key), &"x".repeat(20_000)] {
        let ask = |document: &str, variables: Value| {
            let body = json!({ "query": document, "variables": variables }).to_string();
            send(node.post(body).bearer_auth(bad))
        };
        let viewer = ask(VIEWER, json!({})).await;
        assert_eq!(viewer.refusal(), refused(401, "UNAUTHENTICATED"));
        assert_eq!(viewer.header("www-authenticate"), "Bearer");
        let schema = ask("{ __schema { queryType { name } } }", json!({})).await;
        assert_eq!(schema.refusal(), refused(401, "UNAUTHENTICATED"));
        assert_eq!(
            ask("{ __typename }", json!({})).await.text,
            r#"{"data":{"__typename":"Query"}}"#
        );
        let created = ask(create, json!({ "i": input })).await;
        assert!(
            created.json()["data"]["createApiKey"]["apiKey"].is_string(),
            "{created:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_headers_take_a_token_and_an_expired_one_is_none() {
    let clock = Clock::manual(START);
    let node = Node::start_with(&[], timing(), clock.clone()).await;
    let body = || node.post(json!({ "query": VIEWER }).to_string());
    let asked = [
        body().bearer_auth(&node.key),
        body().header("x-api-key", &node.key),
        body().header("authorization", format!("bEARER {}", node.key)),
        body()
            .basic_auth("proxy", Some("user"))
            .header("x-api-key", &node.key),
    ];
    for request in asked {
        let answer = send(request).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json().get("errors")),
            (200, None)
        );
    }
    clock.advance(Duration::from_hours(2));
    let answer = send(body().bearer_auth(&node.key)).await;
    assert_eq!(answer.refusal(), refused(401, "UNAUTHENTICATED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_token_is_bound_to_its_origins() {
    let node = Node::start().await;
    let token = node.connect_token(&["https://app.example.com"]).await;
    let ask = |origin: Option<&'static str>| {
        let request =
            node.post(json!({ "query": "{ __schema { queryType { name } } }" }).to_string());
        let request = request.bearer_auth(&token);
        send(match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        })
    };
    assert_eq!(ask(None).await.status, 200);
    assert_eq!(ask(Some("https://app.example.com")).await.status, 200);
    assert_eq!(
        ask(Some("https://evil.example.com")).await.refusal(),
        refused(403, "FORBIDDEN")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_secrets_are_limited_per_address_and_say_when_to_come_back() {
    let node = Node::start_with(
        &[
            "--secret-attempts-per-minute",
            "2",
            "--trusted-proxies",
            "127.0.0.0/8",
        ],
        timing(),
        Clock::system(),
    )
    .await;
    let guess = |address: &'static str| {
        let input = json!({ "clientId": node.owner.client_id, "clientSecret": "wrong" });
        let document = "mutation($i: CreateApiKeyInput!) { createApiKey(input: $i) { apiKey } }";
        let body = json!({ "query": document, "variables": { "i": input } }).to_string();
        send(
            node.post(body)
                .header("x-forwarded-for", format!("203.0.113.77, {address}")),
        )
    };
    for _ in 0..2 {
        assert_eq!(
            guess("198.51.100.1").await.refusal(),
            refused(200, "UNAUTHENTICATED")
        );
    }
    let limited = guess("198.51.100.1").await;
    assert_eq!(limited.refusal(), refused(200, "RATE_LIMITED"));
    let seconds: u64 = limited.header("retry-after").parse().expect("seconds");
    assert!((1..=61).contains(&seconds), "{seconds}");
    assert_eq!(limited.extension("retryAfter"), json!(seconds));
    assert_eq!(
        guess("198.51.100.2").await.refusal(),
        refused(200, "UNAUTHENTICATED")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_that_is_off_is_refused_with_a_token_and_unknown_without() {
    let node = Node::start_with(&["--introspection", "false"], timing(), Clock::system()).await;
    for document in [
        "{ __schema { queryType { name } } }",
        "{ __typename ...F } fragment F on Query { __type(name: \"Query\") { name } }",
        "query A { __typename } query B { __schema { queryType { name } } }",
    ] {
        let body = json!({ "query": document, "operationName": document.contains("query A").then_some("A") });
        let answer = node.ask(body, MODERN).await;
        assert_eq!(
            answer.refusal(),
            refused(400, "DOCUMENT_REJECTED"),
            "{document}"
        );
        assert_eq!(answer.extension("limit"), json!("introspection"));
    }
    let answer = node.anonymous("{ __schema { queryType { name } } }").await;
    assert_eq!(shape(&answer), shape(&node.anonymous("{ invented }").await));
    let other = Node::start().await;
    let answer = other.anonymous("{ __schema { queryType { name } } }").await;
    assert_eq!(
        answer.text,
        r#"{"data":{"__schema":{"queryType":{"name":"Query"}}}}"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_may_read_from_the_origins_of_the_settings() {
    let preflight = |node: &Node, origin: &'static str| {
        let request = node.client.request(Method::OPTIONS, node.url("/graphql"));
        send(
            request
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .header(
                    "access-control-request-headers",
                    "authorization,content-type",
                ),
        )
    };
    let node = Node::start_with(
        &["--cors-origins", "https://app.example.com"],
        timing(),
        Clock::system(),
    )
    .await;
    let answer = preflight(&node, "https://app.example.com").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        "https://app.example.com"
    );
    assert_eq!(
        answer.header("access-control-allow-methods"),
        "GET,POST,PUT,DELETE,OPTIONS"
    );
    assert_eq!(
        answer.header("access-control-allow-headers"),
        "authorization,content-type,accept,x-api-key,last-event-id,x-graphql-event-stream-token"
    );
    assert_eq!(answer.header("access-control-max-age"), "3600");
    let evil = preflight(&node, "https://evil.example.com").await;
    assert_eq!(evil.header("access-control-allow-origin"), "");
    let any = Node::start_with(&["--cors-origins", "*"], timing(), Clock::system()).await;
    assert_eq!(
        preflight(&any, "https://evil.example.com")
            .await
            .header("access-control-allow-origin"),
        "*"
    );
    let closed = Node::start().await;
    let answer = preflight(&closed, "https://app.example.com").await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.header("access-control-allow-origin")
        ),
        (204, "")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_methods_are_answered_in_json() {
    let node = Node::start().await;
    for path in ["/", "/graphql/", "/nowhere", "/health"] {
        let answer = send(node.client.get(node.url(path))).await;
        assert_eq!(answer.refusal(), refused(404, "NOT_FOUND"), "{path}");
    }
    for (method, path) in [(Method::POST, "/health/live"), (Method::GET, "/uploads")] {
        let answer = send(node.client.request(method, node.url(path))).await;
        assert_eq!(answer.refusal(), refused(405, "INVALID_INPUT"), "{path}");
        assert!(!answer.header("allow").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_where_the_settings_say() {
    let node = Node::start().await;
    let at = |address, path: &str| send(node.client.get(format!("http://{address}{path}")));
    for address in [node.address, node.admin] {
        assert_eq!(
            at(address, "/health/live").await.text,
            r#"{"status":"live"}"#
        );
        assert_eq!(
            at(address, "/health/ready").await.text,
            r#"{"status":"ready"}"#
        );
        let metrics = at(address, "/metrics").await;
        assert_eq!(
            (metrics.status.as_u16(), metrics.header("content-type")),
            (200, "text/plain; version=0.0.4; charset=utf-8")
        );
    }
    assert_eq!(at(node.admin, "/graphql").await.status, 404);
    let apart = Node::start_with(
        &["--admin-listen", "127.0.0.1:0"],
        timing(),
        Clock::system(),
    )
    .await;
    assert_eq!(at(apart.address, "/metrics").await.status, 404);
    assert_eq!(at(apart.admin, "/metrics").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_console_that_talks_to_nobody_else() {
    let node = Node::start().await;
    let page = |node: &Node| {
        let accept = "text/html,application/xhtml+xml,*/*;q=0.8";
        send(
            node.client
                .get(node.url("/graphql"))
                .header("accept", accept),
        )
    };
    let answer = page(&node).await;
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    let policy = answer.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'nonce-"),
        "{policy}"
    );
    let nonce = policy
        .split('\'')
        .nth(3)
        .and_then(|nonce| nonce.strip_prefix("nonce-"))
        .expect("a nonce");
    assert_eq!(
        answer.text.matches(&format!("nonce=\"{nonce}\"")).count(),
        2
    );
    assert!(!answer.text.contains("{{nonce}}"));
    assert!(!answer.text.contains("https://") && !answer.text.contains("http://"));
    let off = Node::start_with(&["--graphiql", "false"], timing(), Clock::system()).await;
    assert_eq!(page(&off).await.refusal(), refused(400, "INVALID_INPUT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_silent_clients_are_left() {
    let timing = ponte::http::Timing {
        head: Duration::from_millis(300),
        body: Duration::from_millis(300),
        ..timing()
    };
    let node = Node::start_with(&[], timing, Clock::system()).await;
    let mut silent = Raw::open(node.address).await;
    assert_eq!(silent.rest().await, "");
    let mut head = Raw::open(node.address).await;
    head.send("POST /graphql HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        .await;
    head.rest().await;
    let mut preface = Raw::open(node.address).await;
    preface.send("PRI * HTTP/2.0\r\n").await;
    preface.rest().await;
    let mut body = Raw::open(node.address).await;
    body.send("POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{").await;
    let answer = body.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains(r#""field":"body""#), "{answer}");
    node.canary().await;
}
