//! Parameters that a browser encrypts: made by Node.js with the code that README.md shows.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use entity::{data_key, parameters_key};
use ponte::{
    auth::{Principal, token},
    clock::{Clock, Rng},
    config::MasterKeySource,
    graphql,
    item::upkeep::Upkeep,
    vault,
};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    TestApp, api_key, code_of, create_application, id_at, on_both_engines, operator,
};

const README: &str = include_str!("../README.md");
const KEY: &str = "{ viewer { application { parametersKey { keyId algorithm publicKeyPem } } } }";
const CREATE: &str =
    "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id status } } }";
const UPDATE: &str =
    "mutation($input: UpdateItemInput!) { updateItem(input: $input) { item { id status } } }";
const GOOD: [(&str, &str); 2] = [("user", "user-ok"), ("password", "password-ok")];

/// What a browser makes of these values, one after the other.
fn encrypted(key: &Value, parameters: &[Value]) -> Vec<String> {
    let (_, rest) = README
        .split_once("<!-- encrypt: browser -->\n```js\n")
        .expect("README.md shows how");
    let (code, _) = rest.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    let module = folder.path().join("encrypt.mjs");
    std::fs::write(&module, code).expect("a file");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/encrypt.mjs");
    let mut child = Command::new("node")
        .arg(script)
        .arg(&module)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node.js starts");
    let all: Vec<&Value> = std::iter::once(key).chain(parameters).collect();
    let mut input = child.stdin.take().expect("its input");
    input
        .write_all(json!(all).to_string().as_bytes())
        .expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

fn object(parameters: &[(&str, &str)]) -> Value {
    parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn plain(parameters: &[(&str, &str)]) -> Value {
    let listed = parameters.iter();
    listed
        .map(|(name, value)| json!({ "name": name, "value": value }))
        .collect()
}

async fn key_of(test: &TestApp, principal: &Principal) -> Value {
    let answer = test.query_as(Some(principal.clone()), KEY, json!({})).await;
    answer["data"]["viewer"]["application"]["parametersKey"].clone()
}

async fn create(test: &TestApp, principal: &Principal, encrypted: &str) -> Value {
    let input = json!({ "connectorId": "0", "parameters": [], "encryptedParameters": encrypted });
    let variables = json!({ "input": input });
    test.query_as(Some(principal.clone()), CREATE, variables)
        .await
}

async fn browser(test: &TestApp) -> Principal {
    let request = token::ConnectTokenRequest::default();
    let issued = token::create_connect_token(&test.app, &test.principal, request)
        .await
        .expect("a token");
    token::verify(&test.app, &issued.token)
        .await
        .expect("it is good")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_connects_and_updates_an_item_with_what_it_has_encrypted() {
    on_both_engines(|test| async move {
        let browser = browser(&test).await;
        let key = key_of(&test, &browser).await;
        assert_eq!(key["algorithm"], "RSA-OAEP-256");
        assert_eq!(key_of(&test, &test.principal).await, key);
        let sealed = encrypted(&key, &[object(&GOOD), object(&[("password", "wrong")])]);

        let answer = create(&test, &browser, &sealed[0]).await;
        let id = id_at(&answer["data"], "/createItem/item/id");
        test.settle().await;
        assert_eq!(test.item(id).await["status"], "UPDATED");

        // The user is stored: what is sent is merged over it, as plain parameters are.
        let input = json!({ "itemId": id, "encryptedParameters": sealed[1] });
        let answer = test
            .query_as(Some(browser), UPDATE, json!({ "input": input }))
            .await;
        assert_eq!(answer["data"]["updateItem"]["item"]["status"], "UPDATING");
        test.settle().await;
        assert_eq!(
            test.item(id).await["executionStatus"],
            "INVALID_CREDENTIALS"
        );

        // They are judged like plain ones, and told what is wrong with them.
        let unfit = encrypted(&key, &[object(&[("user", "user-ok"), ("agency", "1")])]);
        let answer = create(&test, &test.principal, &unfit[0]).await;
        assert_eq!(code_of(&answer), "CONNECTOR_VALIDATION_ERROR");
        let wrong = &answer["errors"][0]["extensions"]["details"];
        let named: Vec<&Value> = wrong
            .as_array()
            .expect("a list")
            .iter()
            .map(|problem| &problem["parameter"])
            .collect();
        assert_eq!(named, [&json!("password"), &json!("agency")]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_does_not_open_is_refused_in_the_same_words() {
    on_both_engines(|test| async move {
        let key = key_of(&test, &test.principal).await;
        let other = create_application(&test.app, "Other").await;
        let other = api_key(&test.app, other.id).await;
        let others = encrypted(&key_of(&test, &other).await, &[object(&GOOD)]);
        let many: Value = (0..33)
            .map(|n| (n.to_string(), json!("")))
            .collect::<serde_json::Map<_, _>>()
            .into();
        let texts = [
            object(&GOOD),
            json!("user-ok"),
            json!(["user-ok"]),
            json!({ "user": 1 }),
            json!(null),
            many,
        ];
        let sealed = encrypted(&key, &texts);
        let (id, good) = sealed[0].split_once('.').expect("a key and a ciphertext");
        let (_, of_other) = others[0].split_once('.').expect("a key and a ciphertext");
        let changed = good.replacen(&good[..1], if good.starts_with('A') { "B" } else { "A" }, 1);
        let mut bad = sealed[1..].to_vec();
        bad.extend([
            String::new(),
            "not base64".to_owned(),
            "AAAA".to_owned(),
            "A".repeat(100_000),
            changed,
            of_other.to_owned(),
            others[0].clone(),
            format!("{}.{good}", Uuid::nil()),
            format!("{id}.{of_other}"),
            format!("{id}.{id}.{good}"),
            format!("x.{good}"),
        ]);
        let expected = create(&test, &test.principal, "").await;
        assert_eq!(code_of(&expected), "INVALID_INPUT");
        assert_eq!(
            expected["errors"][0]["extensions"]["field"],
            "encryptedParameters"
        );
        for bad in &bad {
            assert_eq!(create(&test, &test.principal, bad).await, expected, "{bad}");
            let input = json!({ "itemId": Uuid::nil(), "encryptedParameters": bad });
            let answer = test.query(UPDATE, json!({ "input": input })).await;
            assert_eq!(
                answer["errors"][0]["extensions"],
                expected["errors"][0]["extensions"]
            );
        }

        // Without the key's id it opens too; beside plain ones it is refused.
        let answer = create(&test, &test.principal, good).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        let both =
            json!({ "connectorId": "0", "parameters": plain(&GOOD), "encryptedParameters": good });
        assert_eq!(
            test.code(CREATE, json!({ "input": both })).await,
            "INVALID_INPUT"
        );
        let neither = json!({ "connectorId": "0", "parameters": [] });
        let code = test.code(CREATE, json!({ "input": neither })).await;
        assert_eq!(code, "CONNECTOR_VALIDATION_ERROR");
        test.settle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_key_opens_for_a_day_and_is_forgotten_then() {
    on_both_engines(|test| async move {
        let old = key_of(&test, &test.principal).await;
        let sealed = encrypted(&old, &[object(&GOOD)]);
        let (_, unnamed) = sealed[0].split_once('.').expect("a key and a ciphertext");
        let rotated = operator(&test.app)
            .rotate_parameters_key(test.owner.id)
            .await
            .expect("rotated");
        let until = test.app.clock.now().plus(Duration::from_hours(24));
        assert_eq!(rotated.previous_until, Some(until));
        let new = key_of(&test, &test.principal).await;
        assert_eq!(new["keyId"], json!(rotated.key.id));
        assert_ne!(new["publicKeyPem"], old["publicKeyPem"]);

        test.advance(Duration::from_hours(24) - Duration::from_millis(1));
        for good in [&sealed[0], unnamed] {
            let answer = create(&test, &test.principal, good).await;
            assert_eq!(answer.get("errors"), None, "{answer}");
        }
        test.settle().await;
        let keys = async || {
            let db = test.app.db.read();
            let rows = parameters_key::Entity::find().count(db).await;
            let sealed = data_key::Entity::find().count(db).await;
            (rows.expect("a count"), sealed.expect("a count"))
        };
        let (rows, values) = keys().await;
        assert_eq!(rows, 2);
        test.advance(Duration::from_millis(1));
        for late in [&sealed[0], unnamed] {
            let answer = create(&test, &test.principal, late).await;
            assert_eq!(code_of(&answer), "INVALID_INPUT");
        }
        while Upkeep::default().run_once(&test.app).await.expect("upkeep") > 0 {}
        assert_eq!(keys().await, (1, values - 1));
        let sealed = encrypted(&new, &[object(&GOOD)]);
        let answer = create(&test, &test.principal, &sealed[0]).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        test.settle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_call_is_known_by_what_was_encrypted() {
    on_both_engines(|test| async move {
        let key = key_of(&test, &test.principal).await;
        let other = object(&[("user", "user-ok-else"), ("password", "password-ok")]);
        let sealed = encrypted(&key, &[object(&GOOD), object(&GOOD), other]);
        assert_ne!(sealed[0], sealed[1]);
        let call = async |encrypted: &str, idempotency: Option<&str>, avoid: bool| {
            let input = json!({ "connectorId": "0", "parameters": [], "encryptedParameters": encrypted,
                "idempotencyKey": idempotency, "avoidDuplicates": avoid });
            test.query(CREATE, json!({ "input": input })).await
        };
        let first = call(&sealed[0], Some("once"), false).await;
        let id = id_at(&first["data"], "/createItem/item/id");
        assert_eq!(call(&sealed[1], Some("once"), false).await, first);
        let again = json!({ "connectorId": "0", "parameters": plain(&GOOD), "idempotencyKey": "once" });
        assert_eq!(test.query(CREATE, json!({ "input": again })).await, first);
        let reused = call(&sealed[2], Some("once"), false).await;
        assert_eq!(code_of(&reused), "IDEMPOTENCY_KEY_REUSED");
        let duplicate = call(&sealed[1], None, true).await;
        assert_eq!(code_of(&duplicate), "ITEM_USER_ALREADY_EXISTS");
        assert_eq!(duplicate["errors"][0]["extensions"]["items"], json!([id]));
        test.settle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_master_key_opens_what_was_encrypted_before() {
    const NEW: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=";
    const OLD: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";

    on_both_engines(|test| async move {
        let key = key_of(&test, &test.principal).await;
        let sealed = encrypted(&key, &[object(&GOOD)]);
        let source = MasterKeySource::Inline(format!("{NEW},{OLD}").into());
        let beat = Duration::from_millis(1);
        vault::rotate(
            &test.app.db,
            &source,
            &Clock::system(),
            &Rng::system(),
            beat,
        )
        .await
        .expect("rotated");
        let node = test.another(&["--master-key", NEW]).await;
        let input =
            json!({ "connectorId": "0", "parameters": [], "encryptedParameters": sealed[0] });
        let request = async_graphql::Request::new(CREATE)
            .variables(async_graphql::Variables::from_json(
                json!({ "input": input }),
            ))
            .data(graphql::Asking::new(
                Some(test.principal.clone()),
                [127, 0, 0, 1].into(),
            ));
        let answer = graphql::build(node.clone()).execute(request).await;
        assert!(answer.errors.is_empty(), "{:?}", answer.errors);
        node.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_judged_without_a_login() {
    on_both_engines(|test| async move {
        let check = "mutation($input: ValidateParametersInput!) { validateParameters(input: $input) { errors { code message parameter } } }";
        let judge = async |input: Value| test.query(check, json!({ "input": input })).await;
        let wrong = json!([{ "name": "user", "value": "" }, { "name": "branch", "value": "PLANTED-VALUE" }]);
        let answer = judge(json!({ "connectorId": "0", "parameters": wrong })).await;
        assert_eq!(
            answer["data"]["validateParameters"]["errors"],
            json!([
                { "code": "001", "message": "is empty", "parameter": "user" },
                { "code": "001", "message": "is missing", "parameter": "password" },
                { "code": "002", "message": "is not a parameter of this connector", "parameter": "branch" },
            ])
        );
        let refused = test.query(CREATE, json!({ "input": { "connectorId": "0", "parameters": wrong } })).await;
        assert_eq!(refused["errors"][0]["extensions"]["details"], answer["data"]["validateParameters"]["errors"], "as createItem says");
        let good = json!([{ "name": "cpf", "value": "761.092.776-73" }]);
        let answer = judge(json!({ "connectorId": "600", "parameters": good })).await;
        assert_eq!(answer["data"]["validateParameters"]["errors"], json!([]));
        let malformed = json!([{ "name": "cpf", "value": "761" }]);
        let answer = judge(json!({ "connectorId": "600", "parameters": malformed })).await;
        assert_eq!(answer["data"]["validateParameters"]["errors"][0]["code"], "003");

        let key = test.data(KEY, json!({})).await["viewer"]["application"]["parametersKey"].clone();
        let boxed = encrypted(&key, &[json!({ "user": "nobody" })]).remove(0);
        let answer = judge(json!({ "connectorId": "0", "parameters": [], "encryptedParameters": boxed })).await;
        assert_eq!(answer["data"]["validateParameters"]["errors"][0]["parameter"], "password");
        assert_eq!(code_of(&judge(json!({ "connectorId": "4711", "parameters": [] })).await), "NOT_FOUND");
        assert_eq!(test.data("{ items { totalCount } }", json!({})).await["items"]["totalCount"], 0);
    })
    .await;
}
