//! What is connected to, and what becomes of answers.

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use reqwest::dns::Resolve as _;
use url::Url;

use super::{
    super::{Outcome, check_header, client::Guard},
    Endpoint, Manner, NO_CONTENT, Script, TIMEOUT, client, outgoing, policy,
    policy::{FORBIDDEN_HOSTS, LOOPBACK_HOSTS, WRONG_URLS},
};

/// Sends to a path of the endpoint, which stands on loopback, with loopback allowed.
async fn send_to(endpoint: &Endpoint, timeout: Duration) -> Outcome {
    client(&["127.0.0.0/8"], &Script::new(&[]))
        .send(
            outgoing(&format!("http://127.0.0.1:{}/hook", endpoint.port)),
            timeout,
        )
        .await
}

fn without_duration(outcome: Outcome) -> Outcome {
    Outcome {
        duration: Duration::ZERO,
        ..outcome
    }
}

#[tokio::test]
async fn no_notation_makes_a_connection_outside_the_policy() {
    let endpoint = Endpoint::start(NO_CONTENT).await;
    let script = Script::new(&[&["127.0.0.1"]]);
    let client = client(&[], &script);
    let hosts = LOOPBACK_HOSTS.iter().chain(&FORBIDDEN_HOSTS);
    let urls = hosts.flat_map(|host| {
        ["http", "https"].map(|scheme| format!("{scheme}://{host}:{}/", endpoint.port))
    });
    let mut tried = 0;
    for url in urls.chain(WRONG_URLS.map(str::to_owned)) {
        // What does not even parse cannot be sent to.
        if let Ok(url) = Url::parse(&url) {
            let outcome = client.send(outgoing(url.as_str()), TIMEOUT).await;
            assert_eq!(outcome.status, None, "{url}");
            assert!(outcome.error.is_some(), "{url}");
            tried += 1;
        }
    }
    println!(
        "{tried} URLs tried, {} connections",
        endpoint.connections().await
    );
    assert!(tried > 200);
    assert_eq!(endpoint.connections().await, 0);
}

#[tokio::test]
async fn the_same_notations_do_connect_where_loopback_is_allowed() {
    let endpoint = Endpoint::start(NO_CONTENT).await;
    for (index, host) in LOOPBACK_HOSTS.iter().enumerate() {
        let script = Script::new(&[]);
        let outcome = client(&["127.0.0.0/8"], &script)
            .send(
                outgoing(&format!("http://{host}:{}/", endpoint.port)),
                TIMEOUT,
            )
            .await;
        assert_eq!(outcome.status, Some(204), "{host}: {outcome:?}");
        assert_eq!(endpoint.connections().await, index + 1, "{host}");
        assert_eq!(script.asked(), 0, "{host}");
    }
}

#[tokio::test]
async fn a_name_that_leads_to_any_refused_address_is_not_connected_to() {
    let endpoint = Endpoint::start(NO_CONTENT).await;
    let table: [(&[&str], &str); 14] = [
        (&["127.0.0.1"], "loopback"),
        (&["::1"], "loopback"),
        (&["::ffff:127.0.0.1"], "loopback"),
        (&["0.0.0.0"], "unspecified"),
        (&["::"], "unspecified"),
        (&["10.0.0.1"], "private"),
        (&["169.254.169.254"], "link-local"),
        (&["::ffff:169.254.169.254"], "link-local"),
        (&["fd00:ec2::254"], "private"),
        (&["64:ff9b::7f00:1"], "NAT64"),
        (&["2002:7f00:1::"], "6to4"),
        (&["::127.0.0.1"], "IPv4-compatible"),
        (&["8.8.8.8", "127.0.0.1"], "loopback"),
        (&["127.0.0.1", "8.8.8.8"], "loopback"),
    ];
    for (addresses, kind) in table {
        let script = Script::new(&[addresses]);
        let url = format!("https://hooks.example.com:{}/", endpoint.port);
        let outcome = client(&[], &script).send(outgoing(&url), TIMEOUT).await;
        assert_eq!(
            without_duration(outcome),
            Outcome {
                error: Some(format!(
                    "the host name leads to a {kind} address, which PONTE_WEBHOOK_ALLOW_NETWORKS does not contain"
                )),
                ..Outcome::default()
            },
            "{addresses:?}"
        );
        assert_eq!(script.asked(), 1);
    }
    assert_eq!(endpoint.connections().await, 0);
}

#[tokio::test]
async fn a_name_without_addresses_is_said_to_be_unknown() {
    for script in [Script::new(&[]), Script::new(&[&[]])] {
        let outcome = client(&[], &script)
            .send(outgoing("https://hooks.example.com/"), TIMEOUT)
            .await;
        let expected = "the host name cannot be resolved";
        assert_eq!(outcome.error.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn a_rebinding_name_is_resolved_once_and_never_leads_to_its_second_address() {
    // Two endpoints on one port are told apart by which address is allowed.
    let endpoint = Endpoint::start(Manner::AnswersAndCloses(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    let script = Script::new(&[&["127.0.0.2"], &["127.0.0.1"]]);
    let client = client(&["127.0.0.2/32"], &script);
    let url = format!("http://rebinding.example.com:{}/", endpoint.port);
    let first = client.send(outgoing(&url), TIMEOUT).await;
    assert_eq!((first.status, script.asked()), (Some(200), 1));
    for asked in 2..50 {
        let later = client.send(outgoing(&url), TIMEOUT).await;
        assert_eq!((later.status, script.asked()), (None, asked));
    }
    assert_eq!(endpoint.connections().await, 1);
}

#[tokio::test]
async fn a_name_that_turns_from_public_to_loopback_gives_out_public_addresses_only() {
    let script = Script::new(&[&["8.8.8.8", "::ffff:8.8.4.4"], &["127.0.0.1"], &["8.8.8.8"]]);
    let guard = Guard {
        policy: Arc::new(policy(&[])),
        lookup: Arc::clone(&script) as _,
        allowed_only: false,
    };
    let mut answers = Vec::new();
    for _ in 0..3 {
        let resolved = guard.resolve("hooks.example.com".parse().unwrap()).await;
        answers.push(resolved.ok().map(|addresses| {
            addresses
                .map(|address| address.to_string())
                .collect::<Vec<_>>()
        }));
    }
    assert_eq!(
        answers,
        [
            Some(vec!["8.8.8.8:0".to_owned(), "8.8.4.4:0".to_owned()]),
            None,
            Some(vec!["8.8.8.8:0".to_owned()]),
        ]
    );
    assert_eq!(script.asked(), 3);
}

#[tokio::test]
async fn plain_http_to_a_name_is_for_allowed_networks_only() {
    let endpoint = Endpoint::start(NO_CONTENT).await;
    let url = format!("http://app:{}/", endpoint.port);
    let inside = Script::new(&[&["127.0.0.1"]]);
    let outcome = client(&["127.0.0.0/8"], &inside)
        .send(outgoing(&url), TIMEOUT)
        .await;
    assert_eq!(outcome.status, Some(204));
    for addresses in [&["8.8.8.8"][..], &["127.0.0.1", "8.8.8.8"]] {
        let outcome = client(&["127.0.0.0/8"], &Script::new(&[addresses]))
            .send(outgoing(&url), TIMEOUT)
            .await;
        assert_eq!(
            outcome.error.as_deref(),
            Some(
                "plain http is for networks in PONTE_WEBHOOK_ALLOW_NETWORKS, and the host name leads elsewhere; use https"
            )
        );
    }
    assert_eq!(endpoint.connections().await, 1);
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_not_followed() {
    let target = Endpoint::start(NO_CONTENT).await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: http://127.0.0.1:{}/\r\ncontent-length: 0\r\n\r\n",
            target.port
        );
        let endpoint = Endpoint::start(Manner::Answers(head.leak())).await;
        let outcome = send_to(&endpoint, TIMEOUT).await;
        assert_eq!(
            without_duration(outcome),
            Outcome {
                status: Some(status),
                error: Some(format!(
                    "the endpoint answered {status}, and redirects are not followed; register the URL it leads to"
                )),
                ..Outcome::default()
            }
        );
    }
    assert_eq!(target.connections().await, 0);
}

#[tokio::test]
async fn a_request_is_one_post_of_json_with_the_receivers_headers() {
    let endpoint = Endpoint::start(Manner::Answers(
        "HTTP/1.1 429 Slow Down\r\nretry-after: 120\r\ncontent-length: 11\r\n\r\nnot\0now plé",
    ))
    .await;
    let mut request = outgoing(&format!("http://127.0.0.1:{}/hook?a=b", endpoint.port));
    let (name, value) = check_header("X-Token", "s3cret").unwrap();
    request.headers.insert(name, value);
    request
        .headers
        .insert("webhook-id", HeaderValue::from_static("one"));
    let outcome = client(&["127.0.0.0/8"], &Script::new(&[]))
        .send(request, TIMEOUT)
        .await;
    assert!(outcome.duration > Duration::ZERO);
    assert_eq!(
        without_duration(outcome),
        Outcome {
            status: Some(429),
            retry_after: Some("120".into()),
            body: "not\u{fffd}now pl\u{fffd}".into(),
            ..Outcome::default()
        }
    );
    let sent = endpoint.requests().concat();
    let (head, body) = sent.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    lines.sort_unstable();
    let host = format!("host: 127.0.0.1:{}", endpoint.port);
    let agent = concat!("user-agent: Ponte/", env!("CARGO_PKG_VERSION"));
    let expected = [
        "POST /hook?a=b HTTP/1.1",
        "accept: */*",
        "content-length: 2",
        "content-type: application/json",
        &host,
        agent,
        "webhook-id: one",
        "x-token: s3cret",
    ];
    assert_eq!(lines, expected);
    assert_eq!(body, "{}");
}

#[test]
fn headers_of_the_connection_and_of_the_signature_cannot_be_chosen() {
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "connection",
        "upgrade",
        "content-type",
        "WEBHOOK-SIGNATURE",
        "webhook-id",
        "webhook-timestamp",
        "",
        "a b",
        "a:b",
        "a\r\nb",
    ] {
        assert!(check_header(name, "value").is_err(), "{name:?}");
    }
    for value in ["a\r\nb: c", "a\nb", "\0"] {
        assert!(check_header("x-token", value).is_err(), "{value:?}");
    }
    let (name, value) = check_header("Authorization", "Bearer s3cret").unwrap();
    assert_eq!(format!("{name}: {value:?}"), "authorization: Sensitive");
}

#[tokio::test]
async fn hanging_dripping_resetting_and_huge_answers_end_in_time_and_are_cut() {
    const LIMIT: Duration = Duration::from_millis(400);
    const PAUSE: Duration = Duration::from_millis(20);
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n";
    const CHUNKED: &str = "HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\n";
    let block: &str = "é".repeat(4096).leak();
    let chunk: &str = format!("1000\r\n{}\r\n", "\0".repeat(4096)).leak();
    let none = || Some("no answer within 400ms".to_owned());
    // Name, manner, status, least and most bytes of the excerpt, error (when it is known to the letter).
    let table = [
        ("hangs", Manner::Hangs, None, 0..=0, none()),
        (
            "drips its head",
            Manner::Repeats("HTTP/1.1 200 OK\r\nx: ", "y", PAUSE),
            None,
            0..=0,
            none(),
        ),
        (
            "goes on announcing",
            Manner::Repeats("", "HTTP/1.1 103 Early Hints\r\n\r\n", PAUSE),
            None,
            0..=0,
            none(),
        ),
        (
            "drips its body",
            Manner::Repeats(OK, "x", PAUSE),
            Some(200),
            1..=30,
            None,
        ),
        (
            "is huge",
            Manner::Repeats(OK, block, Duration::ZERO),
            Some(200),
            65_536..=65_536,
            None,
        ),
        (
            "is endless and no text",
            Manner::Repeats(CHUNKED, chunk, Duration::ZERO),
            Some(500),
            65_535..=65_536,
            None,
        ),
        (
            "breaks off",
            Manner::AnswersAndCloses("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
            Some(200),
            4..=4,
            None,
        ),
    ];
    for (name, manner, status, excerpt, error) in table {
        let endpoint = Endpoint::start(manner).await;
        let outcome = send_to(&endpoint, LIMIT).await;
        assert_eq!(outcome.status, status, "{name}: {:?}", outcome.error);
        assert_eq!(outcome.error, error, "{name}");
        assert!(
            excerpt.contains(&outcome.body.len()),
            "{name}: {} bytes",
            outcome.body.len()
        );
        assert!(!outcome.body.contains('\0'), "{name}");
        assert!(outcome.duration < LIMIT * 2, "{name}: {outcome:?}");
        assert_eq!(endpoint.connections().await, 1, "{name}");
    }
}

#[tokio::test]
async fn faults_before_an_answer_are_explained_without_the_url() {
    const LIMIT: Duration = Duration::from_secs(4);
    let line: &str = format!("x: {}\r\n", "a".repeat(16 * 1024)).leak();
    let table = [
        ("resets", Manner::Resets, "no answer: "),
        ("closes", Manner::AnswersAndCloses(""), "no answer: "),
        (
            "is no HTTP",
            Manner::AnswersAndCloses("220 mail.example.com ESMTP\r\n"),
            "no answer: ",
        ),
        (
            "has an endless head",
            Manner::Repeats("HTTP/1.1 200 OK\r\n", line, Duration::ZERO),
            "no answer: ",
        ),
    ];
    for (name, manner, start) in table {
        let endpoint = Endpoint::start(manner).await;
        let outcome = send_to(&endpoint, LIMIT).await;
        let error = outcome.error.unwrap();
        println!("{name}: {error}");
        assert!(error.starts_with(start), "{name}: {error}");
        assert!(!error.contains("hook"), "{name}: {error}");
        assert_eq!(outcome.status, None);
        assert!(outcome.duration < LIMIT, "{name}");
    }
}

#[tokio::test]
async fn a_closed_port_and_a_peer_without_tls_are_no_connection() {
    let endpoint = Endpoint::start(NO_CONTENT).await;
    let port = endpoint.port;
    let client = client(&["127.0.0.0/8"], &Script::new(&[]));
    let url = format!("https://127.0.0.1:{port}/hook");
    let outcome = client.send(outgoing(&url), TIMEOUT).await;
    let error = outcome.error.unwrap();
    assert!(error.starts_with("no connection: "), "{error}");
    drop(endpoint);
    tokio::task::yield_now().await;
    let url = format!("http://127.0.0.1:{port}/hook");
    let outcome = client.send(outgoing(&url), TIMEOUT).await;
    assert_eq!(
        outcome.error.as_deref(),
        Some("no connection: Connection refused (os error 111)")
    );
}

#[tokio::test]
async fn connections_are_kept_for_the_same_endpoint() {
    let endpoint = Endpoint::start(NO_CONTENT).await;
    let script = Script::new(&[&["127.0.0.1"]]);
    let client = client(&["127.0.0.0/8"], &script);
    let url = format!("http://app:{}/", endpoint.port);
    for _ in 0..10 {
        assert_eq!(client.send(outgoing(&url), TIMEOUT).await.status, Some(204));
    }
    assert_eq!((endpoint.connections().await, script.asked()), (1, 1));
}
