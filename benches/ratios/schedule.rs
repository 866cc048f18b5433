//! Automatic runs: what it costs to find and start them, how soon they start, how many a node does.
//!
//! Nodes are processes of the binary; they, PostgreSQL and this process share the machine's cores.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use entity::{execution, kind::TriggeredBy};
use ponte::{
    app::App,
    auth::{
        Caller, Principal, PrincipalKind,
        application::{Interval, Operator},
    },
    clock::Timestamp,
    item::{self, NewItem},
    sync::{self, Turn},
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _, QuerySelect as _, Statement,
};
use uuid::Uuid;

use crate::{Bench, MASTER_KEY, median, verdict};

/// Items that are due.
const DUE: usize = 10_000;
/// Items in a small table and in a large one.
const FEW: usize = 20_000;
const MANY: usize = 1_000_000;
/// Items that a node runs to measure how fast it is.
const RUN: usize = 1_000;
const HOUR: Duration = Duration::from_hours(1);

/// Claiming all that is due of many Items against the same of few: the rest of the table costs nothing.
pub async fn claiming(bench: &Bench) {
    let (app, application) = (&bench.app, bench.application);
    every_eight_hours(app, application).await;
    let mut took = Vec::new();
    let mut there = 0;
    for items in [FEW, MANY] {
        seed(app, application, there, items).await;
        there = items;
        let mut rounds = Vec::new();
        for _ in 0..3 {
            rounds.push(claim_all(app).await);
        }
        let best = median(rounds);
        println!(
            "claiming {DUE} due of {items} Items: {:.0} ms, {:.0} µs for each",
            best * 1e3,
            best * 1e6 / f64::from(u32::try_from(DUE).expect("few"))
        );
        took.push(best);
    }
    println!("claiming from {MANY} Items against {FEW}");
    verdict(took[0] / took[1], 0.8);
    let statements = [
        "TRUNCATE execution, event, change",
        "DELETE FROM item WHERE connector_id = 0",
    ];
    for statement in statements {
        app.db
            .write()
            .execute_unprepared(statement)
            .await
            .expect("cleared");
    }
}

/// So many Items that were updated lately, those of before among them.
async fn seed(app: &App, application: Uuid, there: usize, items: usize) {
    let now = app.clock.now();
    let updated = now.minus(HOUR).0;
    let due = now.plus(HOUR * 7).0;
    let from = there + 1;
    let statements = [
        format!(
            "INSERT INTO item (id, application_id, connector_id, products, credentials, execution_status, status_detail, failed_logins, failed_runs, \
             last_ended_at, last_updated_at, collected_once, auto_sync_due_at, event_sequence, created_at, updated_at) \
             SELECT md5('scheduled' || n)::uuid, '{application}', 0, '[\"ACCOUNTS\"]', 'x'::bytea, 'SUCCESS', '{{}}', 0, 0, {updated}, {updated}, true, \
             {due} + n, 0, {updated}, {updated} FROM generate_series({from}, {items}) n"
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

/// Makes some of all Items due, one in so many, and takes all of them as a node without an end of slots does.
async fn claim_all(app: &App) -> f64 {
    let now = app.clock.now();
    let updated = now.minus(HOUR * 9).0;
    let (due, seven) = (now.minus(HOUR).0, now.plus(HOUR * 7).0);
    let statements = [
        "TRUNCATE execution, event, change".to_owned(),
        format!(
            "UPDATE item SET auto_sync_due_at = {seven}, execution_status = 'SUCCESS' WHERE auto_sync_due_at IS NULL"
        ),
        format!(
            "UPDATE item SET auto_sync_due_at = {due} + n, last_updated_at = {updated}, last_ended_at = {updated} \
             FROM generate_series(1, {DUE}) n WHERE id = md5('scheduled' || n)::uuid"
        ),
        "VACUUM ANALYZE".to_owned(),
        "CHECKPOINT".to_owned(),
    ];
    for statement in statements {
        app.db
            .write()
            .execute_unprepared(&statement)
            .await
            .expect("made due");
    }
    let (mut turn, mut claimed) = (Turn::default(), 0);
    let began = Instant::now();
    while claimed < DUE {
        let some = sync::claim(app, &mut turn, 64, 64).await.expect("a claim");
        assert!(!some.executions.is_empty(), "{claimed} claimed");
        claimed += some.executions.len();
    }
    began.elapsed().as_secs_f64()
}

/// How many small Items a node runs in a second, one node and two, and how soon after they are due they start.
pub async fn executions(bench: &Bench) {
    let (app, application) = (&bench.app, bench.application);
    every_eight_hours(app, application).await;
    let principal = Principal {
        application,
        kind: PrincipalKind::ApiKey,
        version: 1,
        expires_at: Timestamp(i64::MAX),
        token: Uuid::nil(),
        caller: Caller::default(),
    };
    for _ in 0..RUN {
        let parameter = |name: &str, value: &str| (name.to_owned(), value.to_owned().into());
        let new = NewItem {
            connector_id: "0".to_owned(),
            parameters: vec![
                parameter("user", "user-ok"),
                parameter("password", "password-ok"),
            ],
            products: Some(vec![entity::kind::Product::Accounts]),
            ..NewItem::default()
        };
        item::create(app, &principal, new).await.expect("an Item");
    }
    while sync::run_once(app).await.expect("first runs") > 0 {}
    let mut rates = Vec::new();
    for nodes in [1, 2] {
        let mut children: Vec<_> = (0..nodes).map(|_| node()).collect();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let rate = all_due_at_once(app).await;
        println!("{nodes} node(s): {rate:.0} executions of small Items a second");
        rates.push(rate);
        if nodes == 1 {
            soon(app).await;
        }
        for child in &mut children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    println!("two nodes against one, on the same cores");
    verdict(rates[1] / rates[0], 0.7);
}

/// All Items due at one instant; answers how many ran in a second.
async fn all_due_at_once(app: &App) -> f64 {
    let before = ended(app).await;
    let now = app.clock.now();
    make_due(app, now.minus(HOUR), "0").await;
    let (written, commits) = written(app).await;
    let began = Instant::now();
    let count = f64::from(u32::try_from(RUN).expect("few"));
    while ended(app).await - before < RUN as u64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(began.elapsed() < Duration::from_mins(5), "they run");
    }
    let rate = count / began.elapsed().as_secs_f64();
    // The server's statistics come a moment later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (written_after, commits_after) = self::written(app).await;
    println!(
        "each writes {:.1} KiB of log in {:.1} transactions, with all that nodes do meanwhile",
        (written_after - written) / count / 1024.0,
        (commits_after - commits) / count
    );
    rate
}

/// Bytes of write-ahead log and transactions so far.
async fn written(app: &App) -> (f64, f64) {
    let sql = "SELECT (pg_current_wal_lsn() - '0/0')::float8 AS bytes, xact_commit::float8 AS commits \
        FROM pg_stat_database WHERE datname = current_database()";
    let statement = Statement::from_string(app.db.backend(), sql);
    let row = app.db.read().query_one_raw(statement).await;
    let row = row.expect("the server answers").expect("a row");
    let cell = |name: &str| row.try_get("", name).expect("a number");
    (cell("bytes"), cell("commits"))
}

/// Items due one after another, a tenth of what a node can bear: how long each waits.
async fn soon(app: &App) {
    let before = ended(app).await;
    let since = app.clock.now();
    // From now on, 50 milliseconds apart.
    make_due(
        app,
        since.plus(Duration::from_secs(1)),
        "(row_number() OVER ()) * 50",
    )
    .await;
    let waiting = Instant::now();
    while ended(app).await - before < RUN as u64 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(waiting.elapsed() < Duration::from_mins(5), "they run");
    }
    // In the order in which they start, which is the order in which they were due.
    let mut started: Vec<Timestamp> = execution::Entity::find()
        .filter(execution::Column::TriggeredBy.eq(TriggeredBy::Sync))
        .filter(execution::Column::CreatedAt.gte(since.0))
        .select_only()
        .column(execution::Column::StartedAt)
        .into_tuple()
        .all(app.db.read())
        .await
        .expect("runs");
    started.sort_unstable();
    let first = since.plus(Duration::from_secs(1));
    let mut waited: Vec<f64> = started
        .iter()
        .zip(1_u32..)
        .map(|(at, n)| {
            at.since(first.plus(Duration::from_millis(50) * n))
                .as_secs_f64()
        })
        .collect();
    waited.sort_by(f64::total_cmp);
    let (half, most) = (waited[waited.len() / 2], waited[waited.len() * 99 / 100]);
    println!(
        "from due to started: p50 {:.0} ms, p99 {:.0} ms",
        half * 1e3,
        most * 1e3
    );
    verdict(1.0 / most, 1.0);
}

/// Makes every Item due at an instant and so many milliseconds later.
async fn make_due(app: &App, at: Timestamp, later: &str) {
    let updated = at.minus(HOUR * 9).0;
    let sql = format!(
        "UPDATE item SET auto_sync_due_at = d.at, last_updated_at = {updated}, last_ended_at = {updated} \
         FROM (SELECT id, {} + {later} AS at FROM item WHERE credentials IS NOT NULL) d WHERE item.id = d.id",
        at.0
    );
    app.db
        .write()
        .execute_unprepared(&sql)
        .await
        .expect("made due");
}

async fn ended(app: &App) -> u64 {
    execution::Entity::find()
        .filter(execution::Column::TriggeredBy.eq(TriggeredBy::Sync))
        .filter(execution::Column::EndedAt.is_not_null())
        .count(app.db.read())
        .await
        .expect("a count")
}

async fn every_eight_hours(app: &App, application: Uuid) {
    let operator = Operator {
        db: &app.db,
        vault: &app.vault,
        clock: &app.clock,
        rng: &app.rng,
    };
    operator
        .set_auto_sync(application, Some(Interval::Hours(8)))
        .await
        .expect("an interval");
    app.applications.refresh(&app.db).await.expect("read again");
}

/// A worker over the benchmark's database.
fn node() -> Child {
    let admin = std::env::var("PONTE_TEST_POSTGRES_URL").expect("a server");
    let (base, _) = admin.rsplit_once('/').expect("a URL with a database");
    Command::new(env!("CARGO_BIN_EXE_ponte"))
        .env("PONTE_DATABASE_URL", format!("{base}/ponte_bench"))
        .env("PONTE_MASTER_KEY", MASTER_KEY)
        .env("PONTE_LISTEN", "127.0.0.1:0")
        .env("PONTE_SANDBOX_STEP_MS", "0")
        .env("PONTE_LOG", "warn")
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the server starts")
}
