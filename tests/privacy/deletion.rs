//! A deleted Item is gone: at once for whoever asks, soon after from every table and, embedded, from every byte.

use std::{
    fmt::Write as _,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode};
use entity::{attempt, data_key, execution};
use ponte::{config::sqlite_path, connector::Registry, db::Engine, product::text::fold, sync};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, PaginatorTrait as _, QueryFilter as _, TransactionOptions,
    TransactionTrait as _,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{count, dump, find};
use crate::support::{TestApp, code_of, id_at, on_both_engines};

/// What the endpoint says back beside what it got.
const REMARK: &str = "Stored for Endpoint Planted Person";
/// In every description of the statement.
const ROW: &str = "PLANTED MOVEMENT";
const NUMBER: &str = "7731002~9";
const ROWS: usize = 800;

/// An endpoint that says back what it got and more, and takes it or not.
#[derive(Clone, Default)]
struct Hook {
    url: String,
    failing: Arc<AtomicBool>,
    received: Arc<Mutex<Vec<Value>>>,
}

impl Hook {
    async fn start() -> Self {
        async fn receive(State(hook): State<Hook>, body: Bytes) -> (StatusCode, String) {
            let sent = serde_json::from_slice(&body).expect("JSON");
            hook.received.lock().expect("a list").push(sent);
            let status = if hook.failing.load(Ordering::SeqCst) {
                StatusCode::INTERNAL_SERVER_ERROR
            } else {
                StatusCode::OK
            };
            (
                status,
                format!("{REMARK}: {}", String::from_utf8_lossy(&body)),
            )
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let hook = Self {
            url: format!("http://{}/hook", listener.local_addr().expect("an address")),
            ..Self::default()
        };
        let router = Router::new().fallback(receive).with_state(hook.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        hook
    }

    fn heard_of_deletion(&self, id: Uuid) -> bool {
        let received = self.received.lock().expect("a list");
        received
            .iter()
            .any(|one| one["event"] == "item/deleted" && one["itemId"] == json!(id))
    }
}

async fn create(test: &TestApp, connector: &str, hook: &str, parameters: Value) -> Uuid {
    let input = json!({ "connectorId": connector, "webhookUrl": hook, "parameters": parameters, "idempotencyKey": connector });
    let document =
        "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
    let data = test.data(document, json!({ "input": input })).await;
    id_at(&data, "/createItem/item/id")
}

async fn delete(test: &TestApp, id: Uuid) -> Value {
    let document =
        "mutation($input: DeleteItemInput!) { deleteItem(input: $input) { deletedItemId } }";
    test.query(document, json!({ "input": { "itemId": id } }))
        .await
}

fn bank() -> Value {
    json!([{ "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" }])
}

/// A statement whose every row can be recognised.
fn statement(marker: &str, number: &str) -> Vec<u8> {
    let mut rows = String::new();
    for n in 0..ROWS {
        let day = 10 + n % 20;
        writeln!(
            rows,
            "<STMTTRN><TRNTYPE>DEBIT<DTPOSTED>201303{day}120000<TRNAMT>-{n}.25<FITID>{marker}{n}<NAME>{marker} {n}</STMTTRN>"
        )
        .expect("text");
    }
    format!(
        "OFXHEADER:100\nDATA:OFXSGML\nVERSION:102\nSECURITY:NONE\nENCODING:USASCII\nCHARSET:1252\nCOMPRESSION:NONE\n\
         OLDFILEUID:NONE\nNEWFILEUID:NONE\n\n<OFX><SIGNONMSGSRSV1><SONRS><STATUS><CODE>0<SEVERITY>INFO</STATUS>\
         <DTSERVER>20130525225731<LANGUAGE>ENG</SONRS></SIGNONMSGSRSV1><BANKMSGSRSV1><STMTTRNRS><TRNUID>0<STATUS><CODE>0\
         <SEVERITY>INFO</STATUS><STMTRS><CURDEF>USD<BANKACCTFROM><BANKID>547<ACCTID>{number}<ACCTTYPE>CHECKING</BANKACCTFROM>\
         <BANKTRANLIST><DTSTART>20130301<DTEND>20130525{rows}</BANKTRANLIST><LEDGERBAL><BALAMT>1.00<DTASOF>20130525</LEDGERBAL>\
         </STMTRS></STMTTRNRS></BANKMSGSRSV1></OFX>"
    )
    .into_bytes()
}

/// What says who the user of an Item is and what they did, read as a client reads it.
async fn personal(test: &TestApp, id: Uuid) -> Vec<String> {
    let document = "query($id: ID!) { item(id: $id) { \
        identity { fullName companyName document taxNumber birthDate jobTitle emails { value } phoneNumbers { value } addresses { fullAddress primaryAddress } } \
        accounts { nodes { number owner taxNumber bankData { transferNumber } transactions(first: 500) { nodes { description descriptionRaw providerId } } } } } }";
    let data = test.data(document, json!({ "id": id })).await;
    let mut found = Vec::new();
    collect(&data, &mut found);
    found.retain(|text| text.chars().count() >= 7);
    found.sort();
    found.dedup();
    assert!(found.len() > 20, "{found:?}");
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|one| collect(one, found)),
        Value::Object(map) => map.values().for_each(|one| collect(one, found)),
        _ => {}
    }
}

fn files(test: &TestApp) -> Vec<PathBuf> {
    let url = test.app.config.database_url.expose_secret();
    ["", "-wal", "-shm"]
        .iter()
        .map(|end| PathBuf::from(format!("{}{end}", sqlite_path(url))))
        .collect()
}

/// The files of an embedded database as text in lower case, their names first.
fn bytes(test: &TestApp) -> Vec<String> {
    if test.app.db.engine() == Engine::Postgres {
        return Vec::new();
    }
    files(test)
        .into_iter()
        .filter_map(|path| {
            let bytes = std::fs::read(&path).ok()?;
            let shown = String::from_utf8_lossy(&bytes).to_lowercase();
            Some(format!("{} {shown}", path.display()))
        })
        .collect()
}

/// Fails if anything of these is left.
pub async fn assert_gone(test: &TestApp, needles: &[String], when: &str) {
    let (rows, files) = (dump(test.app.db.read()).await, bytes(test));
    for needle in needles {
        for needle in [needle.clone(), fold(needle)] {
            assert_eq!(find(&rows, &needle), None, "{needle} {when}");
            let file = find(&files, &needle).map(|file| file.chars().take(80).collect::<String>());
            assert_eq!(file, None, "{needle} {when}");
        }
    }
}

/// Fails if a table still has something of an Item but what tells that it is gone.
async fn assert_no_rows(test: &TestApp, id: Uuid) {
    let keys = data_key::Entity::find().filter(data_key::Column::ItemId.eq(id));
    assert_eq!(keys.count(test.app.db.read()).await.expect("a count"), 0);
    let (plain, bare) = (id.to_string(), id.simple().to_string());
    let rows = dump(test.app.db.read()).await;
    let kept: Vec<_> = rows
        .iter()
        .filter(|row| row.contains(&plain) || row.contains(&bare))
        .filter(|row| {
            !["event", "delivery", "attempt", "audit_entry"]
                .contains(&row.split(':').next().unwrap_or_default())
        })
        .filter(|row| !(row.starts_with("change:") && row.contains("deleted")))
        .collect();
    assert_eq!(kept, Vec::<&String>::new());
    for table in ["staged_document", "staged_transaction", "upload_chunk"] {
        let sql = format!("SELECT count(*) FROM {table}");
        assert_eq!(count(test.app.db.read(), &sql).await, 0, "{table}");
    }
}

async fn assert_unreadable(test: &TestApp, id: Uuid, account: &Value, transaction: &Value) {
    let document = "query($item: ID!, $account: ID!, $transaction: ID!) { \
        item(id: $item) { id } node(id: $item) { id } account(id: $account) { id } transaction(id: $transaction) { id } \
        nodes(ids: [$item, $account, $transaction]) { id } items { nodes { id } } }";
    let variables = json!({ "item": id, "account": account, "transaction": transaction });
    let mut data = test.data(document, variables).await;
    let listed = data["items"]["nodes"].take();
    let listed = listed.as_array().expect("a list");
    assert!(!listed.iter().any(|one| one["id"] == json!(id)));
    assert_eq!(
        data,
        json!({
            "item": null, "node": null, "account": null, "transaction": null, "nodes": [null, null, null],
            "items": { "nodes": null },
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_item_is_gone_from_every_answer_table_and_file() {
    on_both_engines(|test| async move {
        let hook = Hook::start().await;
        // Neighbours, before and after, share pages with what goes.
        let upload = test.upload(&statement("NEIGHBOUR BEFORE", "1")).await;
        let neighbour = test.connect("900", &[("file", &upload)]).await;
        let account = create(&test, "0", &hook.url, bank()).await;
        let upload = test.upload(&statement(ROW, NUMBER)).await;
        let file = json!([{ "name": "file", "value": upload }]);
        let file = create(&test, "900", &hook.url, file).await;
        test.settle().await;
        let upload = test.upload(&statement("NEIGHBOUR AFTER", "2")).await;
        test.connect("900", &[("file", &upload)]).await;
        // The endpoint is down when the second run ends: what it says then and later is about Items that are gone.
        hook.failing.store(true, Ordering::SeqCst);
        test.updated(account, &[]).await;

        let mut needles = personal(&test, account).await;
        needles.extend([ROW, NUMBER, REMARK].map(str::to_owned));
        let rows = dump(test.app.db.read()).await;
        for needle in &needles {
            assert!(
                find(&rows, needle).is_some(),
                "{needle} is not there at all"
            );
        }
        needles.push("password-ok".to_owned());
        let telling = attempt::Entity::find().filter(attempt::Column::ResponseBody.is_not_null());
        assert!(
            telling
                .clone()
                .count(test.app.db.read())
                .await
                .expect("a count")
                > 0
        );

        for id in [account, file] {
            let accounts = test.accounts(id).await;
            let transaction = accounts[0]["transactions"]["nodes"][0]["id"].clone();
            let answer = delete(&test, id).await;
            assert_eq!(
                answer["data"]["deleteItem"]["deletedItemId"],
                json!(id),
                "{answer}"
            );
            assert_unreadable(&test, id, &accounts[0]["id"], &transaction).await;
            let keys = data_key::Entity::find().filter(data_key::Column::ItemId.eq(id));
            assert_eq!(keys.count(test.app.db.read()).await.expect("a count"), 0);
            assert_eq!(code_of(&delete(&test, id).await), "NOT_FOUND");
            assert_eq!(code_of(&test.update(id, &[]).await), "NOT_FOUND");
        }
        test.settle().await;
        assert_gone(&test, &needles, "after the purge").await;
        for id in [account, file] {
            assert_no_rows(&test, id).await;
            assert_eq!(
                test.events(id).await.last().expect("an event"),
                "item/deleted"
            );
            assert!(hook.heard_of_deletion(id));
            assert_eq!(code_of(&delete(&test, id).await), "NOT_FOUND");
        }
        // What is tried again tells nothing either.
        hook.failing.store(false, Ordering::SeqCst);
        for wait in [10, 600, 90_000] {
            test.advance(Duration::from_secs(wait));
            test.settle().await;
        }
        assert_gone(&test, &needles, "after later attempts").await;
        assert_eq!(telling.count(test.app.db.read()).await.expect("a count"), 0);
        // Nobody else lost anything.
        let kept = test.accounts(neighbour).await;
        assert_eq!(
            kept[0]["transactions"]["nodes"].as_array().map(Vec::len),
            Some(500)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_under_way_leaves_nothing_of_an_item_that_was_deleted() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let test = TestApp::start_with(engine, &["--sandbox-step-ms", "1000"]).await;
        let mut needles = vec!["user-ok".to_owned(), "password-ok".to_owned()];
        for stage in [
            "LOGIN_IN_PROGRESS",
            "ACCOUNTS_IN_PROGRESS",
            "CREDITCARDS_IN_PROGRESS",
            "TRANSACTIONS_IN_PROGRESS",
            "IDENTITY_IN_PROGRESS",
            "",
        ] {
            println!("on {engine:?} during {stage}");
            let id = create(&test, "0", "http://127.0.0.1:9/", bank()).await;
            let app = test.app.clone();
            let worker = tokio::spawn(async move { sync::run_once(&app).await });
            // The worker stands in a step of this stage, or has come to the end.
            while test.item(id).await["executionStatus"] != stage && !worker.is_finished() {
                test.advance(Duration::from_millis(200));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if stage.is_empty() {
                needles.extend(personal(&test, id).await);
            }
            let answer = delete(&test, id).await;
            assert_eq!(answer.get("errors"), None, "{answer}");
            test.settle().await;
            let told = test.events(id).await;
            while !worker.is_finished() {
                test.advance(Duration::from_millis(200));
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            worker.await.expect("no panic").expect("the worker");
            test.settle().await;
            assert_eq!(test.events(id).await, told, "the worker went on");
            assert_no_rows(&test, id).await;
        }
        // Every stage has staged the same person.
        assert_gone(&test, &needles[1..], "after all stages").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_its_user_ends_with_its_item() {
    on_both_engines(|test| async move {
        let id = test
            .connect("3", &[("user", "user-ok"), ("password", "password-ok")])
            .await;
        test.settle().await;
        assert_eq!(test.item(id).await["status"], "WAITING_USER_INPUT");
        let answer = delete(&test, id).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        assert_eq!(
            code_of(&test.answer(id, "token", "123456").await),
            "NOT_FOUND"
        );
        let runs = execution::Entity::find().filter(execution::Column::EndedAt.is_null());
        assert_eq!(runs.count(test.app.db.read()).await.expect("a count"), 0);
        test.settle().await;
        test.advance(Duration::from_hours(1));
        test.settle().await;
        assert_no_rows(&test, id).await;
        assert_eq!(
            test.events(id).await.last().expect("an event"),
            "item/deleted"
        );
        assert_gone(&test, &["password-ok".to_owned()], "after the purge").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_that_is_kept_from_the_log_comes_back_for_it() {
    let test = TestApp::start_over(Engine::Sqlite, &[], Registry::builtin()).await;
    let upload = test.upload(&statement(ROW, NUMBER)).await;
    let id = test.connect("900", &[("file", &upload)]).await;
    test.settle().await;
    // Somebody reads for a long time: the log cannot be emptied.
    let options = TransactionOptions::default();
    let reading = test.app.db.read().begin_with_options(options).await;
    let reading = reading.expect("a transaction");
    count(&reading, "SELECT count(*) FROM item").await;
    delete(&test, id).await;
    test.settle().await;
    drop(reading);
    test.settle().await;
    assert_gone(
        &test,
        &[ROW.to_owned(), NUMBER.to_owned()],
        "after a reader",
    )
    .await;
    assert_no_rows(&test, id).await;
}
