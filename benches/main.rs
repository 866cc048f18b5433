//! What Ponte costs over the least that the same work can cost, measured in one run: `tests/postgres cargo bench`.
//!
//! Every figure is a ratio to a baseline that runs alternately with it, on PostgreSQL with 2,000 Items and 900,000
//! transactions. A ratio of 0.9 means: at 0.9 of the baseline's speed.

#![expect(
    clippy::disallowed_methods,
    reason = "benchmarks are configured by a variable"
)]

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{Request, header},
    response::IntoResponse,
    routing::post,
};
use clap::Parser;
use entity::{
    account, execution, item,
    kind::{Environment, ExecutionStatus, Product, TriggeredBy},
    transaction,
};
use ponte::{
    app::App,
    auth::{application::Operator, token},
    clock::{Clock, Rng},
    config::Settings,
    connector::{Coverage, Registry, SourceKind, Window},
    db::merge,
    graphql, http,
    product::{self, transaction::Stager},
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, ConnectionTrait as _, Database, EntityTrait as _,
    IntoActiveModel as _, QueryFilter as _, QueryOrder as _, QuerySelect as _, Statement,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ITEMS: i32 = 2_000;
const ACCOUNTS_PER_ITEM: i32 = 3;
const ROWS_PER_ACCOUNT: i32 = 150;
const ROUNDS: usize = 150;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    /// What cargo passes to every benchmark.
    #[arg(long)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let admin = std::env::var("PONTE_TEST_POSTGRES_URL")
        .expect("run `tests/postgres cargo bench`, which starts a PostgreSQL and names it");
    let (base, _) = admin.rsplit_once('/').expect("a URL with a database");
    let server = Database::connect(&admin).await.expect("the server answers");
    let _ = server
        .execute_unprepared("DROP DATABASE IF EXISTS ponte_bench WITH (FORCE)")
        .await;
    server
        .execute_unprepared("CREATE DATABASE ponte_bench")
        .await
        .expect("a database");
    let url = format!("{base}/ponte_bench");

    let flags = [
        "bench",
        "--database-url",
        &url,
        "--master-key",
        "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
        "--sandbox-step-ms",
        "0",
    ];
    let config = Cli::parse_from(flags).settings.check().expect("settings");
    let app = App::open(config, Clock::system(), Rng::system(), Registry::builtin())
        .await
        .expect("a node");
    let operator = Operator {
        db: &app.db,
        vault: &app.vault,
        clock: &app.clock,
        rng: &app.rng,
    };
    let owner = operator
        .create("Benchmarks", Environment::Sandbox, None)
        .await
        .expect("an application");
    let began = Instant::now();
    seed(&app, owner.id).await;
    println!(
        "seeded {ITEMS} Items and {} transactions in {:.1} s",
        ITEMS * ACCOUNTS_PER_ITEM * ROWS_PER_ACCOUNT,
        began.elapsed().as_secs_f64()
    );
    let key = token::create_api_key(
        &app,
        [127, 0, 0, 1].into(),
        &owner.client_id.to_string(),
        &owner.client_secret,
    )
    .await
    .expect("an API key")
    .token;

    let graph = http::router(app.clone(), graphql::build(app.clone()));
    let baseline = Router::new()
        .route("/nested", post(nested_in_sql))
        .route("/flat", post(flat_by_serde))
        .with_state((app.clone(), owner.id));
    compare(
        "nested query, 20 Items × 3 accounts × 25 transactions",
        0.9,
        &graph,
        &baseline,
        &key,
        NESTED,
        "/nested",
    )
    .await;
    compare(
        "flat list of 20 Items with their connector",
        0.8,
        &graph,
        &baseline,
        &key,
        FLAT,
        "/flat",
    )
    .await;
    merging(&app, owner.id).await;
    process();
}

const NESTED: &str = "{ items(first: 20) { nodes { id status accounts(first: 3) { nodes { id name balance currencyCode \
    transactions(first: 25) { nodes { id postedOn description amount currencyCode type status } } } } } } }";

const FLAT: &str = "{ items(first: 20) { nodes { id status executionStatus createdAt updatedAt connector { id name } } } }";

async fn seed(app: &App, application: Uuid) {
    let now = app.clock.now().0;
    let statements = [
        format!(
            "INSERT INTO item (id, application_id, connector_id, products, execution_status, status_detail, failed_logins, failed_runs, \
             collected_once, event_sequence, created_at, updated_at) \
             SELECT md5('item' || n)::uuid, '{application}', 0, '[\"ACCOUNTS\",\"TRANSACTIONS\"]', 'SUCCESS', '{{}}', 0, 0, true, 0, {now}, {now} \
             FROM generate_series(1, {ITEMS}) n"
        ),
        format!(
            "INSERT INTO account (id, application_id, item_id, key, ordinal, kind, subtype, number, name, balance_units, balance_nanos, \
             currency_code, created_at, updated_at) \
             SELECT md5('account' || n || '/' || a)::uuid, '{application}', md5('item' || n)::uuid, 'k' || a, a, 'BANK', 'CHECKING_ACCOUNT', \
             '0001/' || n, 'Checking account', n, 0, 'BRL', {now}, {now} \
             FROM generate_series(1, {ITEMS}) n, generate_series(1, {ACCOUNTS_PER_ITEM}) a"
        ),
        format!(
            "INSERT INTO account_transaction (id, application_id, item_id, account_id, row_key, digest, date, posted_on, description, \
             search_text, amount_units, amount_nanos, currency_code, kind, status, created_at, updated_at) \
             SELECT md5('row' || n || '/' || a || '/' || t)::uuid, '{application}', md5('item' || n)::uuid, md5('account' || n || '/' || a)::uuid, \
             'i:' || t, 'x'::bytea, {now}, date '2026-01-01' - t, 'Supermercado Pao de Acucar ' || t, 'supermercado pao de acucar ' || t, \
             -(t % 90), -500000000, 'BRL', 'DEBIT', 'POSTED', {now}, {now} \
             FROM generate_series(1, {ITEMS}) n, generate_series(1, {ACCOUNTS_PER_ITEM}) a, generate_series(1, {ROWS_PER_ACCOUNT}) t"
        ),
        "ANALYZE".to_owned(),
    ];
    for statement in statements {
        app.db
            .write()
            .execute_unprepared(&statement)
            .await
            .expect("seeded");
    }
}

/// Runs a query and its baseline alternately and prints the ratio of their medians.
async fn compare(
    name: &str,
    limit: f64,
    graph: &Router,
    baseline: &Router,
    key: &str,
    query: &str,
    path: &str,
) {
    let body = json!({ "query": query }).to_string();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut sizes = (0, 0);
    for round in 0..ROUNDS + 20 {
        let (a, size_a) = timed(graph, "/graphql", key, &body).await;
        let (b, size_b) = timed(baseline, path, key, &body).await;
        if round >= 20 {
            ours.push(a);
            theirs.push(b);
        }
        sizes = (size_a, size_b);
    }
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "{name}: {:.2} ms ({} bytes), baseline {:.2} ms ({} bytes)",
        ours * 1e3,
        sizes.0,
        theirs * 1e3,
        sizes.1
    );
    verdict(theirs / ours, limit);
}

fn verdict(ratio: f64, limit: f64) {
    let word = if ratio >= limit { "kept" } else { "MISSED" };
    println!("    ratio {ratio:.2}, limit {limit}: {word}");
}

async fn timed(router: &Router, path: &str, key: &str, body: &str) -> (f64, usize) {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, format!("Bearer {key}"))
        .extension(axum::extract::ConnectInfo(std::net::SocketAddr::from((
            [127, 0, 0, 1],
            9,
        ))))
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let began = Instant::now();
    let answer = router.clone().oneshot(request).await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    let bytes = to_bytes(answer.into_body(), usize::MAX)
        .await
        .expect("a body");
    let took = began.elapsed().as_secs_f64();
    assert!(
        !bytes.windows(8).any(|window| window == b"\"errors\""),
        "{}",
        String::from_utf8_lossy(&bytes)
    );
    (took, bytes.len())
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The nested answer made by PostgreSQL itself, in one statement.
async fn nested_in_sql(State((app, application)): State<(App, Uuid)>) -> impl IntoResponse {
    let sql = "SELECT json_build_object('data', json_build_object('items', json_build_object('nodes', coalesce(json_agg(i), '[]'::json))))::text AS body FROM (\
        SELECT i.id, 'UPDATED' AS status, (SELECT json_build_object('nodes', coalesce(json_agg(a), '[]'::json)) FROM (\
          SELECT a.id, a.name, a.balance_units::text || '.' || lpad(abs(a.balance_nanos / 10000000)::text, 2, '0') AS balance, a.currency_code AS \"currencyCode\", \
          (SELECT json_build_object('nodes', coalesce(json_agg(t), '[]'::json)) FROM (\
            SELECT t.id, t.posted_on AS \"postedOn\", t.description, \
              t.amount_units::text || '.' || lpad(abs(t.amount_nanos / 10000000)::text, 2, '0') AS amount, t.currency_code AS \"currencyCode\", t.kind AS type, t.status \
            FROM account_transaction t WHERE t.account_id = a.id ORDER BY t.posted_on DESC, t.id DESC LIMIT 25) t) AS transactions \
          FROM account a WHERE a.application_id = $1 AND a.item_id = i.id ORDER BY a.id LIMIT 3) a) AS accounts \
        FROM item i WHERE i.application_id = $1 AND i.deleted_at IS NULL ORDER BY i.id DESC LIMIT 20) i";
    let statement = Statement::from_sql_and_values(app.db.backend(), sql, [application.into()]);
    let row = app
        .db
        .read()
        .query_one_raw(statement)
        .await
        .expect("an answer")
        .expect("a row");
    let body: String = row.try_get("", "body").expect("a text");
    ([(header::CONTENT_TYPE, "application/json")], body)
}

/// The flat answer by the same statement, serialised by serde.
async fn flat_by_serde(State((app, application)): State<(App, Uuid)>) -> impl IntoResponse {
    let rows = item::Entity::owned_by(application)
        .filter(item::Column::DeletedAt.is_null())
        .order_by_desc(item::Column::Id)
        .limit(21)
        .all(app.db.read())
        .await
        .expect("rows");
    let connector = app.connectors.find(0).expect("connector 0").descriptor();
    let nodes: Vec<Value> = rows
        .iter()
        .take(20)
        .map(|row| {
            json!({
                "id": row.id, "status": ponte::item::state::status(row.execution_status), "executionStatus": row.execution_status,
                "createdAt": row.created_at.to_string(), "updatedAt": row.updated_at.to_string(),
                "connector": { "id": connector.id.to_string(), "name": connector.name },
            })
        })
        .collect();
    let body = json!({ "data": { "items": { "nodes": nodes } } }).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body)
}

/// Merging 100,000 staged transactions against inserting the same rows plainly.
#[expect(
    clippy::too_many_lines,
    reason = "one measurement from seed to verdict"
)]
async fn merging(app: &App, application: Uuid) {
    const ROWS: usize = 100_000;
    let (mut ours, mut theirs, mut whole) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..3_u128 {
        let now = app.clock.now();
        let item_id = Uuid::from_u128(0xffff_0000 + round);
        let execution = execution::Model {
            id: app.rng.id(now),
            application_id: application,
            item_id,
            connector_id: 0,
            triggered_by: TriggeredBy::Client,
            status: ExecutionStatus::Merging,
            first_run: true,
            products: json!([Product::Accounts, Product::Transactions]),
            steps: json!([]),
            covered: json!([]),
            merged: json!([]),
            session: None,
            answer: None,
            upload_ids: json!([]),
            question_asked: 0,
            due_at: now,
            epoch: 1,
            lease_until: None,
            lost_leases: 0,
            claimed_early: false,
            early_losses: 0,
            error_code: None,
            created_at: now,
            started_at: None,
            ended_at: None,
        };
        let mut row = account_row(app, application, item_id, "merged");
        account::Entity::insert(row.clone().into_active_model().reset_all())
            .exec_without_returning(app.db.write())
            .await
            .expect("an account");

        let began = Instant::now();
        let mut keys = Stager::new(execution.id, SourceKind::Institution);
        let mut staged = Vec::with_capacity(ROWS);
        for batch in 0..ROWS / 1_000 {
            let rows = keys.rows(app, "merged", records(batch));
            staged.extend(rows.iter().cloned());
            let txn = app.db.begin().await.expect("a transaction");
            merge::stage(&txn, rows).await.expect("staged");
            txn.commit().await.expect("committed");
        }
        let staging = began.elapsed();
        let coverage = Coverage {
            account: "merged".to_owned(),
            window: Window {
                from: now.date() - chrono::Days::new(365),
                to: now.date(),
            },
            complete: true,
        };
        let began = Instant::now();
        let txn = app.db.begin().await.expect("a transaction");
        product::transaction::merge(
            &txn,
            app,
            &execution,
            &mut row,
            Some(&coverage),
            SourceKind::Institution,
        )
        .await
        .expect("merged");
        txn.commit().await.expect("committed");
        ours.push(began.elapsed().as_secs_f64());
        whole.push((staging + began.elapsed()).as_secs_f64());

        let plain = account_row(app, application, item_id, "plain");
        account::Entity::insert(plain.clone().into_active_model().reset_all())
            .exec_without_returning(app.db.write())
            .await
            .expect("an account");
        let rows: Vec<_> = staged
            .into_iter()
            .map(|staged| stored(app, application, item_id, plain.id, staged))
            .collect();
        let began = Instant::now();
        let txn = app.db.begin().await.expect("a transaction");
        for chunk in rows.chunks(1_000) {
            let chunk: Vec<_> = chunk
                .iter()
                .map(|row| row.clone().into_active_model().reset_all())
                .collect();
            transaction::Entity::insert_many(chunk)
                .exec_without_returning(&txn)
                .await
                .expect("inserted");
        }
        txn.commit().await.expect("committed");
        theirs.push(began.elapsed().as_secs_f64());
    }
    let (ours, theirs, whole) = (median(ours), median(theirs), median(whole));
    println!(
        "merge of {ROWS} new transactions: {ours:.2} s ({whole:.2} s with staging), plain multi-row insert {theirs:.2} s"
    );
    verdict(theirs / ours, 0.3);
    println!("    with staging:");
    verdict(theirs / whole, 0.3);
}

fn records(batch: usize) -> Vec<ponte::connector::TransactionRecord> {
    use entity::kind::{TransactionStatus, TransactionType};
    let today = chrono::NaiveDate::from_ymd_opt(2026, 1, 1).expect("a day");
    (0..1_000_i64)
        .map(|n| {
            let number = i64::try_from(batch).unwrap_or(0) * 1_000 + n;
            let posted_on = today - chrono::Days::new(u64::try_from(number % 300).unwrap_or(0));
            ponte::connector::TransactionRecord {
                id: Some(format!("bank-{number}")),
                date: posted_on
                    .and_hms_opt(0, 0, 0)
                    .expect("midnight")
                    .and_utc()
                    .into(),
                posted_on,
                description: format!("Supermercado Pão de Açúcar {number}"),
                description_raw: None,
                amount: ponte::money::Amount::from_cents(-number),
                amount_in_account_currency: None,
                currency_code: "BRL".to_owned(),
                kind: TransactionType::Debit,
                status: TransactionStatus::Posted,
                balance: None,
                provider_code: None,
            }
        })
        .collect()
}

fn account_row(app: &App, application: Uuid, item_id: Uuid, key: &str) -> account::Model {
    use entity::kind::{AccountSubtype, AccountType};
    let now = app.clock.now();
    account::Model {
        id: app.rng.id(now),
        application_id: application,
        item_id,
        key: key.to_owned(),
        ordinal: 0,
        kind: AccountType::Bank,
        subtype: AccountSubtype::CheckingAccount,
        number: "1".to_owned(),
        name: "Checking account".to_owned(),
        marketing_name: None,
        balance_units: None,
        balance_nanos: None,
        currency_code: "BRL".to_owned(),
        owner: None,
        tax_number: None,
        bank_data: None,
        credit_data: None,
        collected_to: None,
        suspect: None,
        created_at: now,
        updated_at: now,
    }
}

fn stored(
    app: &App,
    application_id: Uuid,
    item_id: Uuid,
    account_id: Uuid,
    staged: entity::staged_transaction::Model,
) -> transaction::Model {
    let now = app.clock.now();
    transaction::Model {
        id: app.rng.id(now),
        application_id,
        item_id,
        account_id,
        row_key: staged.row_key,
        digest: staged.digest,
        provider_id: staged.provider_id,
        date: staged.date,
        posted_on: staged.posted_on,
        description: staged.description,
        description_raw: staged.description_raw,
        search_text: staged.search_text,
        amount_units: staged.amount_units,
        amount_nanos: staged.amount_nanos,
        account_amount_units: staged.account_amount_units,
        account_amount_nanos: staged.account_amount_nanos,
        currency_code: staged.currency_code,
        kind: staged.kind,
        status: staged.status,
        balance_units: staged.balance_units,
        balance_nanos: staged.balance_nanos,
        provider_code: staged.provider_code,
        category_id: None,
        created_at: now,
        updated_at: now,
    }
}

/// Start-up time and idle memory of the binary over a new SQLite database.
fn process() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|l| l.local_addr())
        .expect("a port")
        .port();
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ponte"))
        .current_dir(folder.path())
        .env("PONTE_LISTEN", format!("127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    let ready = loop {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break began.elapsed();
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    std::thread::sleep(Duration::from_secs(3));
    let status =
        std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("its status");
    let resident = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap_or("VmRSS: ?");
    println!(
        "first start over a new SQLite database: {:.0} ms until it listens; idle memory {}",
        ready.as_secs_f64() * 1e3,
        resident.trim_start_matches("VmRSS:").trim()
    );
    let _ = child.kill();
    let _ = child.wait();
}
