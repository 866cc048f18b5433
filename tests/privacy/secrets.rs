//! Secrets that are planted everywhere and must come out nowhere, whatever is logged.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use futures_util::{SinkExt as _, StreamExt as _};
use sea_orm::Database;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

use super::{
    client::{AMOUNT, CREATE, Client, DESCRIPTION, item},
    databases, dump, find,
};
use crate::support::{
    receiver::{Answer, Receiver},
    server::Server,
};

const HEADER: &str = "PLANTED-webhook-header-value";
const CODE: &str = "123456";

/// Tokens and client secrets, right and wrong.
async fn tokens(client: &mut Client<'_>, application: &Value) {
    let document =
        "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { apiKey } }";
    let id = &application["clientId"];
    let wrong = client.plant("client-secret");
    client
        .refused_document(
            document,
            json!({ "input": { "clientId": id, "clientSecret": wrong } }),
        )
        .await;
    let wrong = client.plant("client-secret-inline");
    client
        .refused_document(
            &format!("mutation {{ createApiKey(input: {{ clientId: {id}, clientSecret: \"{wrong}\" }}) {{ apiKey }} }}"),
            json!({}),
        )
        .await;
    let stray = client.plant("client-id");
    client
        .refused_document(
            document,
            json!({ "input": { "clientId": stray, "clientSecret": stray } }),
        )
        .await;
    for token in ["token", "ey.token.ey"] {
        let wrong = client.plant(token);
        let answer = client
            .send(
                "/graphql",
                "application/json",
                &wrong,
                "{\"query\":\"{ viewer { __typename } }\"}",
            )
            .await;
        client.note(token, answer);
        let answer = client.send("/uploads", "text/plain", &wrong, "x").await;
        client.note(token, answer);
    }
    let path = client.plant("path");
    client
        .send(&format!("/{path}?token={path}"), "text/plain", &path, "")
        .await;
    let document =
        "mutation { createConnectToken(input: { clientUserId: \"visible\" }) { connectToken } }";
    let answer = client.query(document, json!({})).await;
    let token = client.keep(&answer, "/data/createConnectToken/connectToken");
    let password = client.plant("connect-password");
    let body = json!({ "query": CREATE, "variables": item("0", &[("user", "user-ok"), ("password", &password)]) });
    let answer = client
        .send("/graphql", "application/json", &token, body.to_string())
        .await;
    assert!(answer.contains("createItem"), "{answer}");
}

/// Credentials and codes, in variables and inline, right and wrong.
async fn credentials(client: &mut Client<'_>) {
    let (user, password) = (client.plant("user"), client.plant("password"));
    let answer = client
        .query(
            CREATE,
            item("0", &[("user", &user), ("password", &password)]),
        )
        .await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    client
        .query(
            CREATE,
            item("0", &[("user", "user-ok"), ("password", "password-ok")]),
        )
        .await;
    let password = client.plant("password-inline");
    let inline = format!(
        "mutation {{ createItem(input: {{ connectorId: \"0\", parameters: [{{ name: \"user\", value: \"user-ok\" }}, {{ name: \"password\", value: \"{password}\" }}] }}) {{ item {{ id }} }} }}"
    );
    let answer = client.query(&inline, json!({})).await;
    assert_eq!(answer.get("errors"), None, "{answer}");
    // A question is answered wrong, under another name, and right.
    for (name, code) in [("token", None), ("other", None), ("token", Some(CODE))] {
        let answer = client
            .query(
                CREATE,
                item("3", &[("user", "user-ok"), ("password", "password-ok")]),
            )
            .await;
        let id = answer["data"]["createItem"]["item"]["id"].clone();
        waiting(client, &id).await;
        let code = code.map_or_else(|| client.plant("code"), str::to_owned);
        let document = "mutation($input: SendItemMfaInput!) { sendItemMfa(input: $input) { item { status } } }";
        let variables =
            json!({ "input": { "itemId": id, "parameters": [{ "name": name, "value": code }] } });
        if name == "token" {
            let answer = client.query(document, variables.clone()).await;
            assert_eq!(answer.get("errors"), None, "{answer}");
        } else {
            client.refused_document(document, variables).await;
        }
        let new = client.plant("new-password");
        let document =
            "mutation($input: UpdateItemInput!) { updateItem(input: $input) { item { status } } }";
        let parameters = json!([{ "name": "password", "value": new }]);
        client
            .query(
                document,
                json!({ "input": { "itemId": id, "parameters": parameters } }),
            )
            .await;
    }
    // A form that does not fit.
    for (connector, name) in [
        ("0", "passwort"),
        ("1", "token"),
        ("900", "file"),
        ("8", "x"),
    ] {
        let value = client.plant(name);
        client
            .refused_document(
                CREATE,
                item(
                    connector,
                    &[
                        ("user", "user-ok"),
                        ("password", "password-ok"),
                        (name, &value),
                    ],
                ),
            )
            .await;
    }
}

async fn waiting(client: &Client<'_>, id: &Value) {
    let began = Instant::now();
    loop {
        let answer = client
            .query(
                "query($id: ID!) { item(id: $id) { status } }",
                json!({ "id": id }),
            )
            .await;
        if answer["data"]["item"]["status"] == "WAITING_USER_INPUT" {
            return;
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Requests that cannot be understood, with a secret where it hurts.
async fn nonsense(client: &mut Client<'_>) {
    let documents = [
        "mutation { createItem(input: { connectorId: \"0\", parameters: [{ name: \"password\", value: \"SECRET\" }] }) { nothing } }",
        "mutation { createItem(input: { connectorId: \"0\", parameters: [{ name: \"password\", worth: \"SECRET\" }] }) { item { id } } }",
        "mutation { createItem(input: { connectorId: \"0\", parameters: \"SECRET\" }) { item { id } } }",
        "mutation { createItem(input: { connectorId: \"0\", parameters: [\"SECRET\"] }) { item { id } } }",
        "mutation { createItem(input: { connectorId: \"0\", parameters: [], products: [\"SECRET\"] }) { item { id } } }",
        "mutation { createItem(input: { connectorId: \"0\", parameters: [], products: [SECRET_NAME] }) { item { id } } }",
        "mutation { createItem(input: \"SECRET\") { item { id } } }",
        "mutation { createItem(input: { connectorId: 0, parameters: [], avoidDuplicates: \"SECRET\" }) { item { id } } }",
        "mutation { createItem(input: { connectorId: \"0\", parameters: [{ name: \"password\", value: \"SECRET\" }) { item { id } } }",
        "mutation { createItem(input: { connectorId: \"0\", parameters: [{ name: \"password\", value: \"SECRET",
        "mutation { createItem(password: \"SECRET\", input: { connectorId: \"0\", parameters: [] }) { item { id } } }",
        "{ item(id: \"SECRET\", password: \"SECRET\") { id } }",
        "{ item(id: { password: \"SECRET\" }) { id } }",
        "{ items(first: \"SECRET\") { nodes { id } } }",
        "{ items(after: \"SECRET\") { nodes { id } } }",
        "{ events(after: \"SECRET\") { nodes { id } } }",
        "{ items(filter: { status: [SECRET_NAME] }) { nodes { id } } }",
        "query($first: Int = \"SECRET\") { items(first: $first) { nodes { id } } }",
        "mutation { createWebhook(input: { url: \"https://user:SECRET@example.com/\" }) { secret } }",
        "mutation { createWebhook(input: { url: \"SECRET\" }) { secret } }",
        "mutation { createWebhook(input: { url: \"https://example.com/\", events: [SECRET_NAME] }) { secret } }",
        "mutation { createWebhook(input: { url: \"https://example.com/\", headers: [{ name: \"Host\", value: \"SECRET\" }] }) { secret } }",
        "mutation { createWebhook(input: { url: \"https://example.com/\", headers: [{ name: \"X-A\", value: \"a\\nSECRET\" }] }) { secret } }",
        "\u{0}SECRET",
        "SECRET",
    ];
    for document in documents {
        let secret = client.plant("document");
        let document = document
            .replace("SECRET_NAME", &secret.replace('-', "_"))
            .replace("SECRET", &secret);
        client.secrets.push(secret.replace('-', "_"));
        client.refused_document(&document, json!({})).await;
    }
    let secret = client.plant("variable");
    for variables in [
        json!({ "input": secret }),
        json!({ "input": [secret] }),
        json!({ "input": { "connectorId": { "password": secret }, "parameters": [] } }),
        json!({ "input": { "connectorId": "0", "parameters": secret } }),
        json!({ "input": { "connectorId": "0", "parameters": [secret] } }),
        json!({ "input": { "connectorId": "0", "parameters": [{ "name": "password", "value": [secret] }] } }),
        json!({ "input": { "connectorId": "0", "parameters": [{ "name": "password", "value": { "is": secret } }] } }),
        json!({ "input": { "connectorId": "0", "parameters": [{ "name": "password", "worth": secret }] } }),
        json!({ "input": { "connectorId": "0", "parameters": [], "products": [secret] } }),
        json!({ "input": { "connectorId": "0", "parameters": [], "avoidDuplicates": secret } }),
        json!({ "input": { "connectorId": "0", "parameters": [], "webhookUrl": format!("http://u:{secret}@10.0.0.1/") } }),
        json!({ "input": { "connectorId": "0", "parameters": [{ "name": "password", "value": secret }], "oauthRedirectUri": secret } }),
        json!({ "input": { "connectorId": secret, "parameters": [] } }),
    ] {
        client.refused_document(CREATE, variables).await;
    }
    let secret = client.plant("body");
    for body in [
        format!(
            "{{\"query\": \"{{ viewer {{ __typename }} }}\", \"variables\": {{\"password\": \"{secret}\"}}"
        ),
        format!("{{\"query\": [\"{secret}\"]}}"),
        format!("{{\"query\": \"{{ viewer {{ __typename }} }}\", \"variables\": \"{secret}\"}}"),
        format!(
            "{{\"query\": \"{{ viewer {{ __typename }} }}\", \"operationName\": {{\"password\": \"{secret}\"}}}}"
        ),
        format!(
            "{{\"query\": \"{{ viewer {{ __typename }} }}\", \"operationName\": \"{secret}\"}}"
        ),
        format!("{{\"query\": \"{{ viewer {{ __typename }} }}\", \"extensions\": \"{secret}\"}}"),
        format!("\"{secret}\""),
        format!("[\"{secret}\"]"),
        secret.clone(),
        format!("{{\"password\": \"{secret}\"}}"),
        format!("{{\"{secret}\": 1, \"{secret}\": \u{1}}}"),
    ] {
        client.refused(body).await;
    }
    let secret = client.plant("form");
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let answer = client
            .send("/graphql", kind, &client.key, secret.clone())
            .await;
        client.note(kind, answer);
    }
    let url = format!(
        "{}/graphql?query=mutation+%7B+{secret}+%7D&variables={secret}",
        client.server.base
    );
    let answer = client
        .http
        .get(url)
        .header("x-api-key", &client.key)
        .send()
        .await;
    let answer = answer.expect("an answer").text().await.expect("text");
    client.note("GET", answer);
}

/// A file, a webhook, and what they say.
async fn files_and_webhooks(client: &mut Client<'_>, hook: &Receiver) {
    let statement = std::fs::read_to_string(format!(
        "{}/tests/fixtures/ofx/checking.ofx",
        env!("CARGO_MANIFEST_DIR")
    ))
    .expect("a statement")
    .replace("AUTOMATIC WITHDRAWAL, ELECTRIC BILL", DESCRIPTION);
    let broken = statement.replace("-34.51", AMOUNT);
    for contents in [statement, broken] {
        let answer = client
            .send(
                "/uploads",
                "application/octet-stream",
                &client.key,
                contents,
            )
            .await;
        let upload: Value = serde_json::from_str(&answer).expect("JSON");
        let id = upload["uploadId"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"));
        let answer = client.query(CREATE, item("900", &[("file", id)])).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
    }
    client.secrets.push(HEADER.to_owned());
    let document = "mutation($input: CreateWebhookInput!) { createWebhook(input: $input) { webhook { id } secret } }";
    let input = json!({ "url": hook.url, "headers": [{ "name": "X-Secret", "value": HEADER }] });
    let answer = client.query(document, json!({ "input": input })).await;
    client.keep(&answer, "/data/createWebhook/secret");
    let document = "mutation($input: RotateWebhookSecretInput!) { rotateWebhookSecret(input: $input) { secret } }";
    let id = &answer["data"]["createWebhook"]["webhook"]["id"];
    let answer = client
        .query(document, json!({ "input": { "webhookId": id } }))
        .await;
    client.keep(&answer, "/data/rotateWebhookSecret/secret");
}

/// The same over a socket: tokens in the first message, credentials in later ones.
async fn socket(client: &mut Client<'_>, token: &str) {
    let password = client.plant("socket-password");
    let url = format!("{}/graphql", client.server.base.replacen("http", "ws", 1));
    let mut request = url.into_client_request().expect("a request");
    request.headers_mut().insert(
        "sec-websocket-protocol",
        "graphql-transport-ws".parse().expect("a value"),
    );
    let (mut socket, _) = tokio_tungstenite::connect_async(request)
        .await
        .expect("a socket");
    let variables = item("0", &[("user", "user-ok"), ("password", &password)]);
    for message in [
        json!({ "type": "connection_init", "payload": { "Authorization": format!("Bearer {token}") } }),
        json!({ "type": "subscribe", "id": "1", "payload": { "query": CREATE, "variables": variables } }),
        json!({ "type": "subscribe", "id": "2", "payload": { "query": "{ item(id: 1) ", "variables": { "password": password } } }),
        json!({ "type": "SECRET".replace("SECRET", &password) }),
    ] {
        socket
            .send(Message::text(message.to_string()))
            .await
            .expect("sent");
    }
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(text) = &message {
            client
                .refusals
                .push((text.to_string(), "a message".to_owned()));
        } else if let Message::Close(close) = &message {
            client
                .refusals
                .push((format!("{close:?}"), "a message".to_owned()));
        }
    }
}

/// A request over HTTP/2, whose frames and headers are a library's to log.
async fn http2(client: &mut Client<'_>) {
    let token = client.plant("http2-token");
    let path = client.plant("/http2-path");
    let mut fields = Vec::new();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "x"),
        (":path", &format!("/graphql?{path}")),
        ("x-api-key", &token),
        ("authorization", &format!("Bearer {token}")),
        ("content-type", "application/json"),
    ] {
        // A literal that is not indexed.
        fields.push(0);
        for text in [name, value] {
            fields.push(u8::try_from(text.len()).expect("short"));
            fields.extend_from_slice(text.as_bytes());
        }
    }
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("short");
        [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let body = format!("{{\"query\": \"{{ viewer {{ id }} }}\", \"variables\": \"{token}\"}}");
    let mut stream = TcpStream::connect(client.server.base.trim_start_matches("http://"))
        .await
        .expect("a connection");
    let sent = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &fields),
        frame(0, 1, 1, body.as_bytes()),
    ];
    stream.write_all(&sent.concat()).await.expect("sent");
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(1), reading).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    client.note("HTTP/2", answer);
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_appear_in_no_log_error_event_metric_or_delivery() {
    for (engine, _database, url) in databases().await {
        println!("on {engine:?}");
        let admin = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .to_string();
        let flags = [
            "--admin-listen",
            &admin,
            "--log",
            "trace",
            "--log-format",
            "json",
            "--sandbox-step-ms",
            "0",
            "--database-connections",
            "8",
        ];
        let server = Server::start(Some(&url), &flags).await;
        let application = server.log_in().await;
        let hook = Receiver::answering(Answer::Echo).await;
        let mut client = Client::new(&server);
        client.keep(&application, "/clientSecret");
        client.keep(&application, "/webhookSecret");
        let key = client.key.clone();
        client.secrets.push(key.clone());

        files_and_webhooks(&mut client, &hook).await;
        tokens(&mut client, &application).await;
        credentials(&mut client).await;
        nonsense(&mut client).await;
        socket(&mut client, &key).await;
        http2(&mut client).await;
        hook.arrived(10).await;
        tokio::time::sleep(Duration::from_secs(3)).await;

        let metrics = client
            .http
            .get(format!("http://{admin}/metrics"))
            .send()
            .await;
        let metrics = metrics.expect("an answer").text().await.expect("text");
        assert!(metrics.contains("ponte_"), "{metrics}");
        let connection = Database::connect(&url).await.expect("the database");
        let rows = dump(&connection).await;
        let log = server.log();
        assert!(log.contains("\"answered\""), "{log}");
        assert!(find(&rows, DESCRIPTION).is_some());
        // What the user's data are kept in may hold what stood in a file.
        let kept = ["account_transaction", "item", "execution"];
        let told: Vec<_> = rows
            .iter()
            .filter(|row| !kept.contains(&row.split(':').next().unwrap_or_default()))
            .cloned()
            .collect();
        let echoes = |row: &String| row.starts_with("attempt:") && row.contains("webhook-id");
        assert!(told.iter().any(echoes));
        let mut leaks = Vec::new();
        let secrets = client.secrets.iter().map(|secret| (secret, &rows));
        let contents = client.contents.iter().map(|content| (content, &told));
        for (secret, rows) in secrets.chain(contents) {
            let lines = log.lines().filter(|line| line.contains(secret.as_str()));
            leaks.extend(lines.map(|line| format!("log: {}", shortened(line, secret))));
            if metrics.contains(secret.as_str()) {
                leaks.push(format!("metrics: {secret}"));
            }
            if let Some(row) = find(rows, secret) {
                leaks.push(format!("table: {}", shortened(row, &secret.to_lowercase())));
            }
            let answers = client.refusals.iter();
            let answers = answers.filter(|(answer, _)| answer.contains(secret.as_str()));
            leaks.extend(answers.map(|(answer, asked)| format!("answer: {answer} to {asked}")));
        }
        let lines = log.lines().count();
        println!(
            "{} secrets, {} refusals, {lines} lines of log",
            client.secrets.len(),
            client.refusals.len()
        );
        leaks.sort();
        leaks.dedup();
        assert!(
            leaks.is_empty(),
            "{} leaks:\n{}",
            leaks.len(),
            leaks.join("\n")
        );
        assert!(log.contains("\"DEBUG\""), "our own code says nothing more");
        assert!(!log.contains("no transaction in progress"), "{log}");
    }
}

/// What stands around a secret.
fn shortened(text: &str, secret: &str) -> String {
    let at = text.find(secret).unwrap_or(0);
    let start = text.floor_char_boundary(at.saturating_sub(200));
    let end = text.floor_char_boundary((at + secret.len() + 50).min(text.len()));
    text[start..end].to_owned()
}
