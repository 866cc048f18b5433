//! Ways to log in: codes to scan, approvals that take their time, certificates, the institution's own site.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
};
use entity::upload;
use http_body_util::BodyExt as _;
use ponte::http;
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use url::Url;
use uuid::Uuid;

use crate::{
    graph::connect_token,
    support::{TestApp, code_of, id_at, on_both_engines},
};

const OK: [(&str, &str); 2] = [("user", "user-ok"), ("password", "password-ok")];
const PENDING: [(&str, &str); 2] = [
    ("user", "user-ok-auth-pending"),
    ("password", "password-ok"),
];

/// Where an Item stands, with what the user has to do.
async fn standing(test: &TestApp, id: Uuid) -> Value {
    let data = test
        .data(
            "query($id: ID!) { item(id: $id) { status executionStatus error { code attributes { name value } } \
               parameter { name type data } userAction { type data attributes { name value } expiresAt } } }",
            json!({ "id": id }),
        )
        .await;
    data["item"].clone()
}

fn ended(status: &str, execution: &str, error: Option<&str>) -> Value {
    json!({
        "status": status,
        "executionStatus": execution,
        "error": error.map(|code| json!({ "code": code, "attributes": [] })),
        "parameter": null,
        "userAction": null,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_qr_code_is_shown_renewed_and_scanned() {
    on_both_engines(|test| async move {
        let id = test.connect("19", &[]).await;
        test.settle().await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        // Nobody scans a code at night.
        let data = test
            .data(
                "query($id: ID!) { item(id: $id) { autoSync { state } } }",
                json!({ "id": id }),
            )
            .await;
        assert_eq!(data["item"]["autoSync"]["state"], "NOT_AVAILABLE");
        let shown = ["-> WAITING_USER_ACTION", "item/waiting_user_action"];
        let events = test.events(id).await;
        assert_eq!(
            events[..9],
            [
                "-> CREATED",
                "-> LOGIN_IN_PROGRESS",
                shown[0],
                shown[1],
                shown[0],
                shown[1],
                shown[0],
                shown[1],
                "-> ACCOUNTS_IN_PROGRESS",
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_takes_time_is_awaited_and_the_run_goes_on_by_itself() {
    on_both_engines(|test| async move {
        let id = test.connect("0", &PENDING).await;
        test.settle().await;
        assert_eq!(
            standing(&test, id).await,
            json!({
                "status": "WAITING_USER_ACTION",
                "executionStatus": "USER_AUTHORIZATION_PENDING",
                "error": null,
                "parameter": null,
                "userAction": {
                    "type": "authorize-access",
                    "data": null,
                    "attributes": [],
                    "expiresAt": "2026-03-16T12:30:00.000Z",
                },
            })
        );
        test.advance(Duration::from_secs(119));
        test.settle().await;
        let waiting = standing(&test, id).await;
        assert_eq!(waiting["executionStatus"], "USER_AUTHORIZATION_PENDING");
        test.advance(Duration::from_secs(1));
        test.settle().await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        assert_eq!(
            test.events(id).await[..5],
            [
                "-> CREATED",
                "-> LOGIN_IN_PROGRESS",
                "-> USER_AUTHORIZATION_PENDING",
                "item/waiting_user_action",
                "-> ACCOUNTS_IN_PROGRESS",
            ]
        );
        // What was approved once stays so.
        test.updated(id, &[]).await;
        let events = test.events(id).await;
        let waited = events
            .iter()
            .filter(|name| *name == "item/waiting_user_action");
        assert_eq!(waited.count(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_updates_before_the_approval_is_told_how_long_to_wait() {
    on_both_engines(|test| async move {
        let id = test.connect("0", &PENDING).await;
        test.settle().await;
        test.advance(Duration::from_secs(20));
        test.updated(id, &[]).await;
        let refused = standing(&test, id).await;
        assert_eq!(refused["status"], "LOGIN_ERROR");
        assert_eq!(
            refused["error"],
            json!({
                "code": "USER_AUTHORIZATION_NOT_GRANTED",
                "attributes": [{ "name": "remainingSeconds", "value": "100" }],
            })
        );
        test.advance(Duration::from_secs(100));
        test.updated(id, &PENDING).await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_parameters_forget_what_the_institution_has_approved() {
    on_both_engines(|test| async move {
        let id = test.connect("0", &PENDING).await;
        test.settle().await;
        test.advance(Duration::from_mins(2));
        test.settle().await;
        test.updated(id, &OK).await;
        test.updated(id, &PENDING).await;
        let waiting = standing(&test, id).await;
        assert_eq!(waiting["executionStatus"], "USER_AUTHORIZATION_PENDING");
    })
    .await;
}

/// How many uploads are held for an Item.
async fn held(test: &TestApp, id: Uuid) -> u64 {
    upload::Entity::find()
        .filter(upload::Column::ItemId.eq(id))
        .count(test.app.db.read())
        .await
        .expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_kept_for_later_runs_until_another_takes_its_place() {
    on_both_engines(|test| async move {
        let certificate = test.upload(b"a certificate").await;
        let with = |certificate: &str| {
            let mut values: Vec<(String, String)> = Vec::new();
            values.extend(OK.map(|(name, value)| (name.to_owned(), value.to_owned())));
            values.push(("certificate".to_owned(), certificate.to_owned()));
            values
        };
        let values = with(&certificate);
        let values: Vec<_> = values
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        let id = test.connect("11", &values).await;
        for _ in 0..2 {
            test.settle().await;
            assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
            assert_eq!(held(&test, id).await, 1);
            assert_eq!(test.update(id, &[]).await.get("errors"), None);
        }
        test.settle().await;
        let another = test.upload(b"another certificate").await;
        test.updated(id, &[("certificate", &another)]).await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        assert_eq!(held(&test, id).await, 1);
        let again = test.update(id, &[("certificate", &certificate)]).await;
        assert_eq!(code_of(&again), "INVALID_INPUT");

        let input = json!({ "itemId": id });
        test.data(
            "mutation($input: DeleteItemInput!) { deleteItem(input: $input) { deletedItemId } }",
            json!({ "input": input }),
        )
        .await;
        test.settle().await;
        assert_eq!(held(&test, id).await, 0);
    })
    .await;
}

const CALLBACK: &str = "/oauth/callback";

/// A browser at this node.
async fn browse(test: &TestApp, request: Request<Body>) -> Response {
    let router = http::router(test.app.clone(), test.graph.clone());
    router.oneshot(request).await.expect("an answer")
}

pub async fn open(test: &TestApp, url: &str) -> Response {
    let request = Request::get(url).body(Body::empty());
    browse(test, request.expect("a request")).await
}

async fn text(response: Response) -> String {
    let body = response.into_body().collect().await.expect("a body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

fn location(response: &Response) -> String {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = response.headers()[header::LOCATION].to_str();
    location.expect("an address").to_owned()
}

/// Fills in the bank's form, as it was shown, and sends it.
async fn submit(test: &TestApp, page: &str, fields: &[(&str, &str)]) -> Response {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for hidden in page.split("<input type=\"hidden\" name=\"").skip(1) {
        let (name, rest) = hidden.split_once('"').expect("a name");
        let value = rest.split('"').nth(1).expect("a value");
        form.append_pair(name, &value.replace("&amp;", "&"));
    }
    form.extend_pairs(fields);
    let request = Request::post("/sandbox/bank/authorize")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form.finish()));
    browse(test, request.expect("a request")).await
}

const SITE_LOGIN: [(&str, &str); 3] = [
    ("user", "ralph.bragg@gmail.com"),
    ("password", "P@ssword01"),
    ("decision", "approve"),
];

/// An Item that waits for its user's authorisation, and where the browser is to be sent.
pub async fn authorizing(test: &TestApp, connector: &str, parameters: Value) -> (Uuid, String) {
    let data = test
        .data(
            "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }",
            json!({ "input": {
                "connectorId": connector,
                "parameters": parameters,
                "oauthRedirectUri": "https://app.example/connected?step=2",
            } }),
        )
        .await;
    let id = id_at(&data, "/createItem/item/id");
    test.settle().await;
    let waiting = standing(test, id).await;
    assert_eq!(waiting["status"], "WAITING_USER_INPUT");
    assert_eq!(waiting["parameter"]["name"], "oauthCode");
    assert_eq!(waiting["parameter"]["type"], "OAUTH");
    let url = waiting["parameter"]["data"].as_str().expect("an address");
    (id, url.to_owned())
}

/// What the bank's site sends the browser back with once the user agrees to share this.
pub async fn agreed(test: &TestApp, url: &str, shared: &[&str]) -> String {
    let page = text(open(test, url).await).await;
    let mut fields = SITE_LOGIN.to_vec();
    fields.extend(shared.iter().map(|one| ("share", *one)));
    location(&submit(test, &page, &fields).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_on_the_banks_own_site_and_comes_back() {
    on_both_engines(|test| async move {
        let (id, url) = authorizing(&test, "200", json!([])).await;
        let back = agreed(&test, &url, &["checking"]).await;
        let callback = format!("{}oauth/callback?", test.app.config.base_url());
        assert!(back.starts_with(&callback), "{back}");
        let landing = format!("https://app.example/connected?step=2&itemId={id}");
        // A browser that is reloaded goes on as before.
        for _ in 0..2 {
            assert_eq!(location(&open(&test, &back).await), landing);
        }
        test.settle().await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        let accounts = test.accounts(id).await;
        let shared: Vec<_> = accounts.iter().map(|one| &one["subtype"]).collect();
        assert_eq!(json!(shared), json!(["CHECKING_ACCOUNT"]));
        // The authorisation outlives the run; what has brought it does not.
        test.updated(id, &[]).await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        let late = open(&test, &back).await;
        assert_eq!(late.status(), StatusCode::BAD_REQUEST);
        assert!(text(late).await.contains("unknown or has ended"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_refuses_comes_back_with_the_reason() {
    on_both_engines(|test| async move {
        let (id, url) = authorizing(&test, "200", json!([])).await;
        let page = text(open(&test, &url).await).await;
        let back = location(&submit(&test, &page, &[("decision", "refuse")]).await);
        let landing = location(&open(&test, &back).await);
        let expected = format!(
            "https://app.example/connected?step=2&itemId={id}&error=USER_AUTHORIZATION_NOT_GRANTED"
        );
        assert_eq!(landing, expected);
        test.settle().await;
        let code = "USER_AUTHORIZATION_NOT_GRANTED";
        assert_eq!(
            standing(&test, id).await,
            ended("LOGIN_ERROR", code, Some(code))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_banks_site_takes_its_own_users_and_sends_browsers_nowhere_else() {
    on_both_engines(|test| async move {
        let (_, url) = authorizing(&test, "200", json!([])).await;
        let page = text(open(&test, &url).await).await;
        for (fields, status, problem) in [
            (
                vec![
                    ("decision", "approve"),
                    ("user", "ralph.bragg@gmail.com"),
                    ("password", "x"),
                ],
                StatusCode::UNAUTHORIZED,
                "does not know this user",
            ),
            (
                SITE_LOGIN.to_vec(),
                StatusCode::BAD_REQUEST,
                "Choose at least one",
            ),
        ] {
            let answer = submit(&test, &page, &fields).await;
            assert_eq!(answer.status(), status);
            assert!(text(answer).await.contains(problem), "{problem}");
        }
        let asked = Url::parse(&url).expect("an address");
        let asked: BTreeMap<String, String> = asked.query_pairs().into_owned().collect();
        for (name, value) in [
            ("redirect_uri", "https://evil.example/oauth/callback"),
            ("code_challenge_method", "plain"),
            ("code_challenge", "short"),
            ("response_type", "token"),
            ("state", ""),
        ] {
            let mut changed = asked.clone();
            changed.insert(name.to_owned(), value.to_owned());
            let mut url = Url::parse("http://127.0.0.1:4000/sandbox/bank/authorize").expect("one");
            url.query_pairs_mut().extend_pairs(&changed);
            let answer = open(&test, url.as_str()).await;
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{name}");
        }
        let state = format!("\"><script>{}", "x".repeat(10));
        let mut changed = asked;
        changed.insert("state".to_owned(), state);
        let mut url = Url::parse("http://127.0.0.1:4000/sandbox/bank/authorize").expect("one");
        url.query_pairs_mut().extend_pairs(&changed);
        let answer = open(&test, url.as_str()).await;
        let policy = &answer.headers()[header::CONTENT_SECURITY_POLICY];
        assert!(
            policy
                .to_str()
                .expect("text")
                .starts_with("default-src 'none'")
        );
        assert!(!text(answer).await.contains("<script"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_taken_from_the_run_it_is_for_and_from_no_other() {
    on_both_engines(|test| async move {
        let (one, one_url) = authorizing(&test, "200", json!([])).await;
        let (other, other_url) = authorizing(&test, "200", json!([])).await;
        let query = |url: &str, name: &str| {
            let url = Url::parse(url).expect("an address");
            let found = url.query_pairs().find(|(key, _)| key == name);
            found
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        };
        let back = agreed(&test, &one_url, &["checking", "card"]).await;
        let (state, code) = (query(&back, "state"), query(&back, "code"));
        assert_eq!(state, query(&one_url, "state"));
        // Every flipped character of the state leads nowhere.
        for place in 0..state.len() {
            let mut changed = state.clone().into_bytes();
            changed[place] = if changed[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("text");
            if changed == state || place == state.len() - 1 {
                continue;
            }
            let url = format!("{CALLBACK}?code={code}&state={changed}");
            assert_eq!(open(&test, &url).await.status(), StatusCode::BAD_REQUEST);
        }
        let nothing = format!("{CALLBACK}?code={code}");
        assert_eq!(
            open(&test, &nothing).await.status(),
            StatusCode::BAD_REQUEST
        );
        test.settle().await;
        assert_eq!(standing(&test, one).await["status"], "WAITING_USER_INPUT");
        // The code of one run is worth nothing to another: its verifier is another one.
        let crossed = format!(
            "{CALLBACK}?code={code}&state={}",
            query(&other_url, "state")
        );
        assert_eq!(open(&test, &crossed).await.status(), StatusCode::SEE_OTHER);
        test.settle().await;
        let refused = standing(&test, other).await;
        assert_eq!(refused["error"]["code"], "USER_AUTHORIZATION_NOT_GRANTED");
        // A client that has caught the code itself may send it too.
        let sent = test.answer(one, "oauthCode", &code).await;
        assert_eq!(sent.get("errors"), None, "{sent}");
        test.settle().await;
        assert_eq!(standing(&test, one).await["status"], "UPDATED");
    })
    .await;
}

/// Sends the browser back having refused.
async fn refused(test: &TestApp, url: &str) {
    let page = text(open(test, url).await).await;
    let mut fields = SITE_LOGIN.to_vec();
    fields[2] = ("decision", "refuse");
    let back = location(&submit(test, &page, &fields).await);
    open(test, &back).await;
    test.settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_refused_at_the_bank_may_think_better_of_it() {
    on_both_engines(|test| async move {
        let (id, url) = authorizing(&test, "200", json!([])).await;
        refused(&test, &url).await;
        assert_eq!(standing(&test, id).await["status"], "LOGIN_ERROR");
        let allowed = test
            .data(
                "query($id: ID!) { item(id: $id) { canUpdate { allowed } } }",
                json!({ "id": id }),
            )
            .await;
        assert_eq!(allowed["item"]["canUpdate"]["allowed"], true);
        test.updated(id, &[]).await;
        let asked = standing(&test, id).await;
        assert_eq!(asked["status"], "WAITING_USER_INPUT");
        let url = asked["parameter"]["data"].as_str().expect("an address");
        open(&test, &agreed(&test, url, &["checking"]).await).await;
        test.settle().await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        let data = test
            .data(
                "query($id: ID!) { item(id: $id) { consents { nodes { revokedAt } } } }",
                json!({ "id": id }),
            )
            .await;
        let consents = data["item"]["consents"]["nodes"].as_array().cloned();
        assert_eq!(consents.map(|all| all.len()), Some(2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_more_is_agreed_to_at_the_bank_and_one_less_is_not() {
    on_both_engines(|test| async move {
        let input = json!({ "connectorId": "600", "products": ["ACCOUNTS"], "parameters": [{ "name": "cpf", "value": "761.092.776-73" }] });
        let data = test.data("mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }", json!({ "input": input })).await;
        let id = id_at(&data, "/createItem/item/id");
        test.settle().await;
        let address = async || standing(&test, id).await["parameter"]["data"].as_str().expect("an address").to_owned();
        open(&test, &agreed(&test, &address().await, &["checking"]).await).await;
        test.settle().await;
        let ask = "mutation($id: ID!, $products: [ProductType!]) { updateItem(input: { itemId: $id, products: $products }) { item { id } } }";
        // Whoever acts for the user says where they land.
        let token = connect_token(&test, json!({ "itemId": id, "oauthRedirectUri": "https://other.example/back" })).await;
        let more = json!({ "id": id, "products": ["ACCOUNTS", "LOANS"] });
        let answer = test.query_as(Some(token), ask, more).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        test.settle().await;
        assert_eq!(standing(&test, id).await["status"], "WAITING_USER_INPUT");
        let shown = async || {
            let document = "query($id: ID!) { item(id: $id) { loans { totalCount } consents { nodes { products } } } }";
            let item = test.data(document, json!({ "id": id })).await["item"].clone();
            (item["loans"]["totalCount"].clone(), item["consents"]["nodes"].clone())
        };
        let consents = json!([{ "products": ["ACCOUNTS", "LOANS"] }, { "products": ["ACCOUNTS"] }]);
        assert_eq!(shown().await, (json!(0), consents.clone()));
        let back = open(&test, &agreed(&test, &address().await, &["checking"]).await).await;
        assert_eq!(location(&back), format!("https://other.example/back?itemId={id}"));
        test.settle().await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        let (loans, _) = shown().await;
        assert_ne!(loans, json!(0));
        test.data(ask, json!({ "id": id, "products": ["ACCOUNTS"] })).await;
        test.settle().await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        assert_eq!(shown().await, (loans, consents));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_connects_again_is_asked_again_and_a_withdrawn_consent_says_so() {
    on_both_engines(|test| async move {
        let cpf = json!([{ "name": "cpf", "value": "761.092.776-73" }]);
        let (id, url) = authorizing(&test, "600", cpf).await;
        open(&test, &agreed(&test, &url, &["checking"]).await).await;
        test.settle().await;
        let consents = async || {
            let data = test.data("query($id: ID!) { item(id: $id) { consents { nodes { revokedAt } } } }", json!({ "id": id })).await;
            let nodes = data["item"]["consents"]["nodes"].as_array().cloned().expect("a list");
            nodes.iter().map(|node| node["revokedAt"].is_null()).collect::<Vec<_>>()
        };
        assert_eq!(consents().await, [true]);
        // A run by itself goes on with what was granted.
        test.updated(id, &[]).await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        let input = json!({ "itemId": id, "code": "USER_AUTHORIZATION_REVOKED" });
        test.data("mutation($input: FailNextSandboxRunInput!) { failNextSandboxRun(input: $input) { item { id } } }", json!({ "input": input })).await;
        test.updated(id, &[]).await;
        assert_eq!(standing(&test, id).await["status"], "LOGIN_ERROR");
        assert_eq!(consents().await, [false]);
        // The same number, written otherwise, is the same person, who must say yes once more.
        test.updated(id, &[("cpf", "76109277673")]).await;
        let asked = standing(&test, id).await;
        assert_eq!(asked["status"], "WAITING_USER_INPUT");
        let url = asked["parameter"]["data"].as_str().expect("an address");
        open(&test, &agreed(&test, url, &["checking", "card"]).await).await;
        test.settle().await;
        assert_eq!(standing(&test, id).await, ended("UPDATED", "SUCCESS", None));
        assert_eq!(consents().await, [true, false]);

        let again = json!({ "connectorId": "600", "avoidDuplicates": true, "parameters": [{ "name": "cpf", "value": "761.092.776-73" }] });
        let again = test.query("mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }", json!({ "input": again })).await;
        assert_eq!(code_of(&again), "ITEM_USER_ALREADY_EXISTS");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authorisation_that_takes_too_long_is_over() {
    on_both_engines(|test| async move {
        let (id, url) = authorizing(&test, "200", json!([])).await;
        let back = agreed(&test, &url, &["card"]).await;
        test.advance(Duration::from_mins(10));
        let code = "USER_INPUT_TIMEOUT";
        let landing = format!("https://app.example/connected?step=2&itemId={id}&error={code}");
        assert_eq!(location(&open(&test, &back).await), landing);
        test.settle().await;
        assert_eq!(
            standing(&test, id).await,
            ended("OUTDATED", code, Some(code))
        );
        // No automatic run asks for a login that nobody makes.
        let data = test
            .data(
                "query($id: ID!) { item(id: $id) { nextAutoSyncAt autoSync { state } } }",
                json!({ "id": id }),
            )
            .await;
        assert_eq!(
            data["item"],
            json!({ "nextAutoSyncAt": null, "autoSync": { "state": "NOT_AVAILABLE" } })
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_regulated_bank_treats_each_person_as_their_number_says() {
    on_both_engines(|test| async move {
        let refused = "USER_AUTHORIZATION_NOT_GRANTED";
        for (cpf, status, execution, error) in [
            ("761.092.776-73", "UPDATED", "SUCCESS", None),
            ("23824264030", "UPDATED", "SUCCESS", None),
            ("051.177.670-55", "LOGIN_ERROR", refused, Some(refused)),
            ("002.502.737-99", "UPDATED", "SUCCESS", None),
            ("163.511.711-99", "OUTDATED", "ERROR", Some("ERROR")),
        ] {
            let parameters = json!([{ "name": "cpf", "value": cpf }]);
            let (id, url) = authorizing(&test, "600", parameters).await;
            let back = agreed(&test, &url, &["checking", "card"]).await;
            open(&test, &back).await;
            test.settle().await;
            if cpf == "002.502.737-99" {
                let waiting = standing(&test, id).await;
                assert_eq!(waiting["executionStatus"], "USER_AUTHORIZATION_PENDING");
                test.advance(Duration::from_mins(2));
                test.settle().await;
            }
            assert_eq!(
                standing(&test, id).await,
                ended(status, execution, error),
                "{cpf}"
            );
            let detail = test.item(id).await["statusDetail"][0].clone();
            let warnings: Vec<_> = detail["warnings"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|warning| warning["code"].as_str().unwrap_or_default())
                .collect();
            let expected: &[&str] = match cpf {
                "23824264030" => &["ACCT_002"],
                "163.511.711-99" => &["ERROR"],
                _ => &[],
            };
            assert_eq!(warnings, expected, "{cpf}");
        }
        let unknown = test.connect("600", &[("cpf", "111.444.777-35")]).await;
        test.settle().await;
        let code = "INVALID_CREDENTIALS";
        assert_eq!(
            standing(&test, unknown).await,
            ended("LOGIN_ERROR", code, Some(code))
        );
    })
    .await;
}
