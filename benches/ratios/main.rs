//! What Ponte costs over the least that the same work can cost, measured in one run: `tests/postgres cargo bench`.
//!
//! Most figures are a ratio to a baseline that runs alternately with it, on PostgreSQL with 2,000 Items and 900,000
//! transactions: 0.9 means at 0.9 of the baseline's speed. Those of a promise in seconds, bytes or deliveries are a ratio to it. Names as arguments choose what is measured:
//! `tests/postgres cargo bench -- nested flat`.

#![expect(
    clippy::disallowed_methods,
    reason = "benchmarks are configured by a variable"
)]

mod abuse;
mod deliveries;
mod events;
mod graph;
#[path = "../../tests/transport/hostile.rs"]
mod hostile;
mod merge;
mod process;
mod schedule;
mod sockets;

use std::time::Instant;

use clap::Parser;
use entity::kind::Environment;
use ponte::{
    app::App,
    auth::{application::Operator, token},
    clock::{Clock, Rng},
    config::Settings,
    connector::Registry,
};
use sea_orm::{ConnectionTrait as _, Database};
use uuid::Uuid;

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What every node of a benchmark opens its database with.
const MASTER_KEY: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";

const ITEMS: i32 = 2_000;
const ACCOUNTS_PER_ITEM: i32 = 3;
const ROWS_PER_ACCOUNT: i32 = 150;

#[derive(Parser)]
struct Arguments {
    /// What to measure; everything unless told.
    names: Vec<String>,
    /// What cargo passes to every benchmark.
    #[arg(long)]
    bench: bool,
}

#[derive(Parser)]
struct Node {
    #[command(flatten)]
    settings: Settings,
}

/// A node over a filled database, and an application of it.
struct Bench {
    app: App,
    application: Uuid,
    key: String,
}

#[tokio::main]
async fn main() {
    let wanted = Arguments::parse().names;
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    // Ten thousand sockets have two ends here.
    let _ = rlimit::increase_nofile_limit(u64::MAX);
    let seeded = ["nested", "flat", "abuse", "merge"];
    let bench = Bench::open(seeded.into_iter().any(wants)).await;
    if wants("deliveries") {
        deliveries::deliveries(&bench.app, bench.application).await;
    }
    if wants("poisoned") {
        deliveries::poisoned(&bench.app, bench.application).await;
    }
    if wants("ordered") {
        deliveries::ordered(&bench.app, bench.application, "PostgreSQL").await;
        let (embedded, _folder) = Bench::embedded().await;
        deliveries::ordered(&embedded.app, embedded.application, "SQLite").await;
    }
    if wants("nested") {
        graph::nested(&bench).await;
    }
    if wants("flat") {
        graph::flat(&bench).await;
    }
    if wants("abuse") {
        abuse::abuse(&bench).await;
    }
    if wants("merge") {
        merge::merging(&bench.app, bench.application).await;
    }
    if wants("fan-out") {
        events::fan_out(&bench).await;
    }
    if wants("unrelated") {
        events::unrelated(&bench).await;
    }
    if wants("latency") {
        events::latency(&bench, "PostgreSQL").await;
        let (embedded, _folder) = Bench::embedded().await;
        events::latency(&embedded, "SQLite").await;
    }
    if wants("paused") {
        events::paused(&bench).await;
    }
    if wants("memory") {
        events::memory().await;
    }
    if wants("claiming") {
        schedule::claiming(&bench).await;
    }
    if wants("executions") {
        Box::pin(schedule::executions(&bench)).await;
    }
    if wants("process") {
        process::start();
    }
}

impl Bench {
    /// Over a new PostgreSQL database, filled or not.
    async fn open(seeded: bool) -> Self {
        let admin = std::env::var("PONTE_TEST_POSTGRES_URL")
            .expect("run `tests/postgres cargo bench`, which starts a PostgreSQL and names it");
        let (base, _) = admin.rsplit_once('/').expect("a URL with a database");
        let server = Database::connect(&admin).await.expect("the server answers");
        for statement in [
            "DROP DATABASE IF EXISTS ponte_bench WITH (FORCE)",
            "CREATE DATABASE ponte_bench",
        ] {
            let done = server.execute_unprepared(statement).await;
            done.expect("a database of our own");
        }
        let bench = Self::over(&format!("{base}/ponte_bench")).await;
        if seeded {
            let began = Instant::now();
            seed(&bench.app, bench.application).await;
            println!(
                "seeded {ITEMS} Items and {} transactions in {:.1} s",
                ITEMS * ACCOUNTS_PER_ITEM * ROWS_PER_ACCOUNT,
                began.elapsed().as_secs_f64()
            );
        }
        bench
    }

    /// Over a new SQLite database, in a folder that is there as long as the other.
    async fn embedded() -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite://{}", folder.path().join("ponte.db").display());
        (Self::over(&url).await, folder)
    }

    async fn over(url: &str) -> Self {
        let flags = [
            "bench",
            "--database-url",
            url,
            "--master-key",
            MASTER_KEY,
            "--connector-limits",
            "",
            "--sandbox-step-ms",
            "0",
            "--webhook-allow-networks",
            "127.0.0.0/8",
            "--sockets-per-application",
            "100000",
        ];
        let config = Node::parse_from(flags).settings.check().expect("settings");
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
        let (id, secret) = (owner.client_id.to_string(), &owner.client_secret);
        let key = token::create_api_key(&app, [127, 0, 0, 1].into(), &id, secret)
            .await
            .expect("an API key")
            .token;
        Self {
            app,
            application: owner.id,
            key,
        }
    }
}

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
        "VACUUM ANALYZE".to_owned(),
        "CHECKPOINT".to_owned(),
    ];
    for statement in statements {
        app.db
            .write()
            .execute_unprepared(&statement)
            .await
            .expect("seeded");
    }
}

fn verdict(ratio: f64, limit: f64) {
    let word = if ratio >= limit { "kept" } else { "MISSED" };
    println!("    ratio {ratio:.2}, limit {limit}: {word}");
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
