//! Statements of accounts: issued month by month, kept, and fetched at signed addresses.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use entity::{kind::Product, statement_file};
use http_body_util::BodyExt as _;
use ponte::{
    connector::{LARGEST_STATEMENT, Registry, StatementRecord},
    db::Engine,
    http,
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::support::{
    TestApp, on_both_engines,
    scripted::{Bank, scripted_as},
};

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];
const OK: [(&str, &str); 2] = [("user", "user-ok"), ("password", "password-ok")];
const DAY: Duration = Duration::from_hours(24);

impl TestApp {
    /// The statements of an Item's accounts, by the accounts' types.
    async fn statements(&self, item: Uuid) -> Vec<(String, Vec<Value>)> {
        let document = "query($id: ID!) { item(id: $id) { accounts { nodes { type statements { totalCount nodes { \
            id month size sha256 asOf stale account { id } file { url expiresAt } } } } } } }";
        let data = self.data(document, json!({ "id": item })).await;
        let accounts = data["item"]["accounts"]["nodes"]
            .as_array()
            .expect("accounts");
        let rows = accounts.iter().map(|account| {
            let list = &account["statements"];
            let nodes = list["nodes"].as_array().expect("a list").clone();
            assert_eq!(list["totalCount"], json!(nodes.len()));
            (account["type"].as_str().unwrap_or("?").to_owned(), nodes)
        });
        rows.collect()
    }

    async fn fetch(&self, url: &str) -> Response {
        let router = http::router(self.app.clone(), self.graph.clone());
        let request = Request::get(url).body(Body::empty()).expect("a request");
        router.oneshot(request).await.expect("an answer")
    }

    async fn files(&self, item: Uuid) -> u64 {
        statement_file::Entity::find()
            .filter(statement_file::Column::ItemId.eq(item))
            .count(self.app.db.read())
            .await
            .expect("a number")
    }
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().expect("a text")
}

async fn body(response: Response) -> Bytes {
    response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes()
}

/// What a line of a printed statement ends with.
fn last_word(pdf: &[u8], line: &str) -> String {
    let text = String::from_utf8_lossy(pdf);
    let line = text.lines().find(|one| one.contains(line)).expect("a line");
    let line = line.split(')').next().expect("a text");
    line.split_whitespace().last().expect("a word").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn bank_accounts_have_a_statement_for_each_month_that_has_settled() {
    on_both_engines(|test| async move {
        let item = test.connect("2", &OK).await;
        test.settle().await;
        let months = ["2026-02", "2026-01", "2025-12", "2025-11", "2025-10", "2025-09"];
        let mut files = BTreeMap::new();
        let accounts = test.statements(item).await;
        assert_eq!(accounts.len(), 3);
        for (kind, statements) in &accounts {
            let listed: Vec<_> = statements.iter().map(|it| word(it, "month")).collect();
            if kind == "CREDIT" {
                assert_eq!(listed, [""; 0]);
                continue;
            }
            assert_eq!(listed, months);
            let mut closing = None;
            for statement in statements.iter().rev() {
                assert_eq!(statement["stale"], false);
                assert_eq!(statement["file"]["expiresAt"], "2026-03-16T12:30:00.000Z");
                let url = word(&statement["file"], "url");
                assert!(url.starts_with(test.app.config.base_url().as_str()), "{url}");
                let answer = test.fetch(url).await;
                assert_eq!(answer.status(), StatusCode::OK);
                assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/pdf");
                let name = format!("attachment; filename=\"statement-{}.pdf\"", word(statement, "month"));
                assert_eq!(answer.headers()[header::CONTENT_DISPOSITION], name);
                assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
                assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
                let pdf = body(answer).await;
                assert!(pdf.starts_with(b"%PDF-"));
                assert_eq!(statement["size"], json!(pdf.len()));
                let digest = Sha256::digest(&pdf);
                let digest = digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
                assert_eq!(statement["sha256"], digest);
                // One goes on where the one before has ended.
                let opening = last_word(&pdf, "SALDO ANTERIOR");
                assert_eq!(closing.unwrap_or_else(|| opening.clone()), opening);
                closing = Some(last_word(&pdf, "SALDO FINAL"));
                files.insert(word(statement, "id").to_owned(), digest);
            }
        }
        assert_eq!(files.len(), 12);

        // A run on the same day asks for none; once another month has settled it brings that one.
        let read = "query($id: ID!) { item(id: $id) { executions(first: 1) { nodes { steps { product counts { created updated unchanged } } } }} }";
        for (days, created) in [(0, 0), (16, 0), (1, 2)] {
            test.advance(DAY * days);
            test.updated(item, &[]).await;
            let data = test.data(read, json!({ "id": item })).await;
            let steps = data["item"]["executions"]["nodes"][0]["steps"].as_array().cloned().expect("steps");
            let step = steps.iter().find(|step| step["product"] == "ACCOUNT_STATEMENTS").expect("a step");
            assert_eq!(step["counts"]["created"], created, "after {days} days: {step}");
        }
        let now = test.statements(item).await;
        let kept: BTreeSet<_> = now.iter().flat_map(|(_, rows)| rows).map(|row| word(row, "id").to_owned()).collect();
        assert_eq!(kept.len(), 14);
        assert!(files.keys().all(|id| kept.contains(id)));

        test.data("mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }", json!({ "id": item })).await;
        let address = word(&accounts[0].1[0]["file"], "url");
        assert_ne!(test.fetch(address).await.status(), StatusCode::OK);
        test.settle().await;
        assert_eq!(test.files(item).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_good_for_half_an_hour_and_for_one_file() {
    on_both_engines(|test| async move {
        let item = test.connect("2", &OK).await;
        test.settle().await;
        let accounts = test.statements(item).await;
        let (one, other) = (&accounts[0].1[0], &accounts[0].1[1]);
        let url = word(&one["file"], "url");
        let forged = [
            url.replace(word(one, "id"), word(other, "id")),
            url.replace("expires=1", "expires=2"),
            url.replace("signature=", "signature=A"),
            url.split("&signature").next().expect("a part").to_owned(),
            url.split('?').next().expect("a part").to_owned(),
            url.replace(word(one, "id"), "of-nobody"),
        ];
        for forged in forged {
            assert_ne!(forged, url);
            let answer = test.fetch(&forged).await;
            assert_eq!(answer.status(), StatusCode::NOT_FOUND, "{forged}");
            let error: Value = serde_json::from_slice(&body(answer).await).expect("JSON");
            assert_eq!(error["errors"][0]["extensions"]["code"], "NOT_FOUND");
        }
        test.advance(Duration::from_mins(29));
        assert_eq!(test.fetch(url).await.status(), StatusCode::OK);
        test.advance(Duration::from_mins(1));
        let answer = test.fetch(url).await;
        assert_eq!(answer.status(), StatusCode::GONE);
        let error: Value = serde_json::from_slice(&body(answer).await).expect("JSON");
        assert_eq!(error["errors"][0]["extensions"]["code"], "INVALID_INPUT");
        let again = test.statements(item).await;
        let url = word(&again[0].1[0]["file"], "url");
        assert_eq!(test.fetch(url).await.status(), StatusCode::OK);
    })
    .await;
}

fn statement(key: &str, contents: &[u8]) -> StatementRecord {
    StatementRecord {
        key: key.to_owned(),
        month: "2026-02-17".parse().expect("a day"),
        contents: Bytes::copy_from_slice(contents),
    }
}

async fn issuing(engine: Engine) -> (TestApp, Arc<Mutex<Bank>>, Uuid) {
    let (connector, bank) = scripted_as(|form| form.products.push(Product::AccountStatements));
    let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
    bank.lock().expect("a bank").statements =
        vec![statement("a", b"%PDF-a"), statement("b", b"%PDF-b")];
    let item = test.connect("7000", &[("user", "ana")]).await;
    test.settle().await;
    (test, bank, item)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_issued_anew_takes_the_place_of_the_one_before() {
    for engine in ENGINES {
        let (test, bank, item) = issuing(engine).await;
        let before = test.statements(item).await.remove(0).1;
        assert_eq!(before.len(), 2);
        assert_eq!(before[0]["month"], "2026-02");
        // The same file, another one, and one that nobody can keep.
        let huge = vec![0; LARGEST_STATEMENT + 1];
        bank.lock().expect("a bank").statements = vec![
            statement("a", b"%PDF-a"),
            statement("b", b"%PDF-c"),
            statement("d", &huge),
            statement("e", b""),
        ];
        test.updated(item, &[]).await;
        let after = test.statements(item).await.remove(0).1;
        let id_and_size = |rows: &[Value]| {
            rows.iter()
                .map(|row| (row["id"].clone(), row["size"].clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(id_and_size(&before), id_and_size(&after));
        let sha256 = |rows: &[Value]| {
            rows.iter()
                .map(|row| row["sha256"].clone())
                .filter(Value::is_string)
                .collect::<Vec<_>>()
        };
        let (old, new) = (sha256(&before), sha256(&after));
        assert_eq!(old.iter().filter(|one| new.contains(one)).count(), 1);
        assert_eq!(test.files(item).await, 2);
        let warned = test.data("query($id: ID!) { item(id: $id) { executionStatus statusDetail { product warnings { code } } } }", json!({ "id": item })).await;
        let details = warned["item"]["statusDetail"]
            .as_array()
            .cloned()
            .expect("details");
        let detail = details
            .iter()
            .find(|detail| detail["product"] == "ACCOUNT_STATEMENTS")
            .expect("a detail");
        assert_eq!(
            detail["warnings"],
            json!([{ "code": "STM_002" }, { "code": "STM_002" }])
        );

        // One that is no longer shown stays.
        bank.lock().expect("a bank").statements.clear();
        test.updated(item, &[]).await;
        assert_eq!(test.statements(item).await.remove(0).1.len(), 2);
        assert_eq!(test.files(item).await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_run_that_came_to_nothing_does_not_stay() {
    for engine in ENGINES {
        let (test, bank, item) = issuing(engine).await;
        let stray = statement_file::ActiveModel {
            item_id: sea_orm::ActiveValue::Set(item),
            sha256: sea_orm::ActiveValue::Set("00".repeat(32)),
            contents: sea_orm::ActiveValue::Set(b"%PDF-stray".to_vec()),
        };
        statement_file::Entity::insert(stray)
            .exec_without_returning(test.app.db.write())
            .await
            .expect("a row");
        bank.lock().expect("a bank").failing = Some(Product::AccountStatements);
        test.updated(item, &[]).await;
        // Nothing is known of the statements by this run.
        assert_eq!(test.files(item).await, 3);
        bank.lock().expect("a bank").failing = None;
        test.updated(item, &[]).await;
        assert_eq!(test.files(item).await, 2);
        assert_eq!(test.statements(item).await.remove(0).1.len(), 2);
    }
}
