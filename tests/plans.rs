//! How PostgreSQL runs the statements that workers repeat and clients wait for, over tables that are not small: by an
//! index, every one. The server explains each as it runs, `auto_explain` writes it into its log.

use std::time::Duration;

use entity::kind::Environment;
use ponte::{
    app::App,
    auth::application::Interval,
    category,
    clock::{Clock, Rng},
    connector::Registry,
    db,
    db::Engine,
    event, item,
    item::upkeep::Upkeep,
    sync, webhook,
};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::json;
use uuid::Uuid;

use crate::support::{START, TestApp, operator, postgres_url, settings};

/// Tables that grow with what a Ponte has to do.
const LARGE: [&str; 15] = [
    "item",
    "execution",
    "event",
    "change",
    "delivery",
    "account",
    "account_transaction",
    "investment",
    "investment_transaction",
    "loan",
    "bill",
    "statement",
    "statement_file",
    "quota",
    "data_key",
];

/// So many rows of each: enough that reading all of them is never cheaper.
const ROWS: i32 = 20_000;

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_of_workers_or_clients_reads_a_whole_table() {
    let mut test = TestApp::start(Engine::Postgres).await;
    operator(&test.app)
        .set_auto_sync(test.owner.id, Some(Interval::Hours(8)))
        .await
        .expect("an interval");
    let other = operator(&test.app)
        .create("Other", Environment::Production, Some(Interval::Hours(8)))
        .await
        .expect("an application");
    let id = test.connected().await;
    fill(&test, other.id).await;
    let server = Database::connect(postgres_url())
        .await
        .expect("the server answers");
    let name = database_of(&test.app.db).await;
    for setting in [
        "session_preload_libraries = 'auto_explain'",
        "auto_explain.log_min_duration = 0",
        "auto_explain.log_format = 'text'",
    ] {
        let sql = format!("ALTER DATABASE {name} SET {setting}");
        server.execute_unprepared(&sql).await.expect("explains");
    }
    let admin = postgres_url();
    let (base, _) = admin.rsplit_once('/').expect("a URL with a database");
    let config = settings(&format!("{base}/{name}"), &[]);
    // New connections, which explain themselves; what has been planned over small tables is planned anew.
    test.app = App::open(
        config,
        Clock::manual(START),
        Rng::seeded(1),
        Registry::builtin(),
    )
    .await
    .expect("a node");
    test.graph = ponte::graphql::build(test.app.clone());
    let log = Log::open(server, name).await;

    work(&test, id).await;

    let plans = log.read().await;
    assert!(
        plans.len() > 200,
        "{} statements were explained",
        plans.len()
    );
    let mut whole: Vec<&str> = plans
        .iter()
        .filter(|plan| {
            LARGE
                .iter()
                .any(|table| plan.contains(&format!("Seq Scan on {table} ")))
        })
        .map(String::as_str)
        .collect();
    whole.sort_unstable();
    whole.dedup_by_key(|plan| plan.lines().next());
    assert!(whole.is_empty(), "{}", whole.join("\n\n"));
}

/// What workers do all day, and what clients ask.
async fn work(test: &TestApp, id: Uuid) {
    let app = &test.app;
    let url = "https://127.0.0.1:1/hook";
    webhook::create(
        app,
        &test.principal,
        webhook::NewWebhook {
            url: url.to_owned(),
            ..webhook::NewWebhook::default()
        },
    )
    .await
    .expect("a webhook");
    test.connected().await;
    let invested = test
        .connect("2", &[("user", "user-ok"), ("password", "password-ok")])
        .await;
    test.settle().await;
    test.updated(invested, &[]).await;
    test.updated(id, &[]).await;
    test.advance(Duration::from_hours(9));
    for _ in 0..3 {
        sync::run_once(app).await.expect("automatic runs");
        event::relay::run_once(app).await.expect("the relay");
        webhook::delivery::run_once(app)
            .await
            .expect("the deliveries");
        item::purge::run_once(app).await.expect("the purge");
        Upkeep::default().run_once(app).await.expect("upkeep");
        sync::lag(app).await.expect("a measure");
        db::queues::measure(&app.db, app.clock.now())
            .await
            .expect("a measure");
        app.applications
            .refresh(&app.db)
            .await
            .expect("applications");
    }
    let all = "query($id: ID!) { item(id: $id) { id status autoSync { state } accounts { nodes { id balance \
        transactions(first: 10) { nodes { id amount description } } } } transactions(first: 10, filter: { from: \"2026-01-01\" }) \
        { nodes { id } } byAmount: transactions(first: 10, orderBy: AMOUNT_DESC, filter: { amountFrom: \"-5\", categoryId: \"05000000\" }) { nodes { id category { id } } } \
        byCreation: transactions(first: 10, orderBy: CREATED_AT_DESC) { nodes { id } } transactionSummary(groupBy: [CATEGORY, MONTH]) { rows { total } } consents { nodes { id } } identity { fullName } deliveries(first: 5) { nodes { id status } } } \
        items(first: 20) { nodes { id connector { name } quotas { used } } } byUser: items(first: 5, filter: { clientUserId: \"user 7\" }) { nodes { id } } \
        events(first: 20) { nodes { id payload } } ofItem: events(first: 20, filter: { itemId: $id }) { nodes { id } } \
        changes(first: 20) { nodes { cursor } } node(id: $id) { id } webhooks { nodes { id deliveries(first: 5) { nodes { id } } } } }";
    test.data(all, json!({ "id": id })).await;
    let whole = "query($id: ID!) { item(id: $id) { investments(first: 20, type: EQUITY) { totalCount nodes { id \
        transactions(first: 10, filter: { from: \"2026-01-01\", type: BUY }) { totalCount nodes { id investment { id } } } } } loans(kind: LOAN) { totalCount nodes { id } } } }";
    let data = test.data(whole, json!({ "id": invested })).await;
    for kind in ["investment", "loan"] {
        let node = &data["item"][format!("{kind}s")]["nodes"][0]["id"];
        let one = format!("{{ {kind}(id: {node}) {{ id }} node(id: {node}) {{ id }} }}");
        test.data(&one, json!({})).await;
    }
    let papers = "query($id: ID!) { item(id: $id) { accounts { nodes { id bills(first: 5) { totalCount nodes { id } } \
        statements(first: 5) { totalCount nodes { id file { url } } } } } } }";
    let data = test.data(papers, json!({ "id": invested })).await;
    let accounts = data["item"]["accounts"]["nodes"]
        .as_array()
        .expect("accounts");
    for (account, kind) in [(accounts.last(), "bill"), (accounts.first(), "statement")] {
        let node = account.map(|account| account[format!("{kind}s")]["nodes"][0]["id"].clone());
        let node = node.expect("an account");
        let one = format!("{{ {kind}(id: {node}) {{ id }} node(id: {node}) {{ id }} }}");
        test.data(&one, json!({})).await;
    }
    let account = db::quota::Account {
        person: b"person 7".to_vec(),
        connector: 1,
        month: item::quota::month(START),
    };
    let call = entity::kind::RegulatedCall::LoanList;
    let spent = db::quota::spend(&app.db, app.db.write(), &account, call, 4).await;
    assert!(spent.expect("it is counted"));
    let rule = "mutation { createCategoryRule(input: { description: \"padaria\", matchType: CONTAINS, categoryId: \"11010000\", applyToExisting: true }) { categoryRule { id } } }";
    test.data(rule, json!({})).await;
    category::pass::run_once(app).await.expect("a pass");
    test.data("{ categoryRules { nodes { id } } }", json!({}))
        .await;
    let scope = event::feed::Scope::of(&test.principal, Some(id), None);
    event::log::after(&app.db, &scope, &event::log::Filter::default(), 1, 100)
        .await
        .expect("events");
}

/// Rows of two applications, as after a while.
async fn fill(test: &TestApp, other: Uuid) {
    let (owner, now) = (test.owner.id, START.0);
    let application = format!("(CASE WHEN n % 2 = 0 THEN '{owner}' ELSE '{other}' END)::uuid");
    let statements = [
        format!(
            "INSERT INTO item (id, application_id, connector_id, client_user_id, products, credentials, execution_status, status_detail, \
             person_digest, failed_logins, failed_runs, last_ended_at, last_updated_at, collected_once, auto_sync_due_at, event_sequence, created_at, updated_at) \
             SELECT md5('item' || n)::uuid, {application}, n / 2 % 2, 'user ' || n, '[\"ACCOUNTS\"]', 'x'::bytea, 'SUCCESS', '{{}}', ('person ' || n)::bytea, 0, 0, {now}, {now}, \
             true, {now} + 36000000 + n, 0, {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO execution (id, application_id, item_id, connector_id, triggered_by, status, first_run, products, steps, covered, merged, \
             upload_ids, question_asked, due_at, epoch, lost_leases, claimed_early, early_losses, created_at, ended_at) \
             SELECT md5('execution' || n)::uuid, {application}, md5('item' || n)::uuid, n / 2 % 2, 'SYNC', 'SUCCESS', false, '[]', '[]', '[]', '[]', '[]', \
             0, {now}, 1, 0, false, 0, {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO event (id, application_id, position, kind, item_id, item_sequence, payload, created_at) \
             SELECT md5('event' || n)::uuid, {application}, 100000 + n, 'ITEM_UPDATED', md5('item' || n)::uuid, 1, '{{}}', {now} \
             FROM generate_series(1, {ROWS}) n"
        ),
        "INSERT INTO change (event_sequence, ordinal, kind, entity_id, action, fields) \
             SELECT sequence, 0, 'ITEM', item_id, 'UPDATED', '[]' FROM event WHERE position >= 100000"
            .to_owned(),
        format!(
            "INSERT INTO account (id, application_id, item_id, key, ordinal, kind, subtype, number, name, currency_code, created_at, updated_at) \
             SELECT md5('account' || n)::uuid, {application}, md5('item' || n)::uuid, 'k', 0, 'BANK', 'CHECKING_ACCOUNT', '1', 'Checking', 'BRL', \
             {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO account_transaction (id, application_id, item_id, account_id, row_key, digest, date, posted_on, description, search_text, \
             amount_units, amount_nanos, currency_code, kind, status, created_at, updated_at) \
             SELECT md5('row' || n)::uuid, {application}, md5('item' || n)::uuid, md5('account' || n)::uuid, 'r', 'x'::bytea, {now}, \
             date '2026-01-01', 'x', 'x', -1, 0, 'BRL', 'DEBIT', 'POSTED', {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO investment (id, application_id, item_id, key, digest, kind, balance_units, balance_nanos, currency_code, details, created_at, updated_at) \
             SELECT md5('investment' || n)::uuid, {application}, md5('item' || n)::uuid, 'k', 'x'::bytea, 'EQUITY', 1, 0, 'BRL', '{{}}', \
             {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO investment_transaction (id, application_id, item_id, investment_id, key, digest, kind, date, details, created_at, updated_at) \
             SELECT md5('movement' || n)::uuid, {application}, md5('item' || n)::uuid, md5('investment' || n)::uuid, 'k', 'x'::bytea, 'BUY', \
             date '2026-01-01', '{{}}', {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO loan (id, application_id, item_id, key, digest, kind, currency_code, details, created_at, updated_at) \
             SELECT md5('loan' || n)::uuid, {application}, md5('item' || n)::uuid, 'k', 'x'::bytea, 'LOAN', 'BRL', '{{}}', \
             {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO bill (id, application_id, item_id, account_id, key, digest, due_on, details, created_at, updated_at) \
             SELECT md5('bill' || n)::uuid, {application}, md5('item' || n)::uuid, md5('account' || n)::uuid, 'k', 'x'::bytea, \
             date '2026-01-01', '{{}}', {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO statement (id, application_id, item_id, account_id, key, digest, month, sha256, details, created_at, updated_at) \
             SELECT md5('statement' || n)::uuid, {application}, md5('item' || n)::uuid, md5('account' || n)::uuid, 'k', 'x'::bytea, \
             date '2026-01-01', 'x', '{{}}', {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO statement_file (item_id, sha256, contents) SELECT md5('item' || n)::uuid, 'x', 'x'::bytea FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO quota (person, connector_id, month, call, used) SELECT ('person ' || n)::bytea, n / 2 % 2, {}, 'LOAN_LIST', 1 \
             FROM generate_series(1, {ROWS}) n",
            item::quota::month(START)
        ),
        format!(
            "INSERT INTO delivery (id, application_id, event_id, item_id, position, target, url, status, attempts, epoch, created_at, updated_at) \
             SELECT md5('delivery' || n)::uuid, {application}, md5('event' || n)::uuid, md5('item' || n)::uuid, 100000 + n, 'there', 'https://a.example', \
             'SUCCEEDED', 1, 1, {now}, {now} FROM generate_series(1, {ROWS}) n"
        ),
        format!(
            "INSERT INTO data_key (id, application_id, item_id, wrapped, master_kid, created_at) \
             SELECT md5('key' || n)::uuid, {application}, md5('item' || n)::uuid, 'x'::bytea, (SELECT master_kid FROM data_key LIMIT 1), {now} \
             FROM generate_series(1, {ROWS}) n"
        ),
        "UPDATE event_head SET position = 200000".to_owned(),
        "ANALYZE".to_owned(),
    ];
    for statement in statements {
        test.app
            .db
            .write()
            .execute_unprepared(&statement)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

async fn database_of(db: &db::Db) -> String {
    let sql = Statement::from_string(
        DbBackend::Postgres,
        "SELECT current_database()::text AS name",
    );
    let row = db.read().query_one_raw(sql).await.expect("a database");
    row.expect("a row").try_get("", "name").expect("a name")
}

/// The server's log, from where it stood.
struct Log {
    server: DatabaseConnection,
    database: String,
    path: String,
    from: i64,
}

impl Log {
    async fn open(server: DatabaseConnection, database: String) -> Self {
        let folder: String = one(
            &server,
            "SELECT setting AS it FROM pg_settings WHERE name = 'data_directory'",
        )
        .await;
        let path = format!("{folder}/../log");
        let from = one(
            &server,
            &format!("SELECT size AS it FROM pg_stat_file('{path}')"),
        )
        .await;
        Self {
            server,
            database,
            path,
            from,
        }
    }

    /// The statements of the database with their plans, each as one text.
    async fn read(&self) -> Vec<String> {
        let Self { path, from, .. } = self;
        let sql = format!(
            "SELECT pg_read_file('{path}', {from}, size - {from}) AS it FROM pg_stat_file('{path}')"
        );
        let text: String = one(&self.server, &sql).await;
        let mark = format!("] {} LOG:  duration: ", self.database);
        // A plan's lines are indented; whatever comes next in the log is not.
        let mut plans = Vec::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line.contains(&mark) && line.contains("plan:") {
                let mut plan = String::new();
                while let Some(more) = lines.next_if(|line| line.starts_with('\t')) {
                    plan.push_str(more.trim_end());
                    plan.push('\n');
                }
                plans.push(plan);
            }
        }
        plans
    }
}

async fn one<T: sea_orm::TryGetable>(server: &DatabaseConnection, sql: &str) -> T {
    let row = server
        .query_one_raw(Statement::from_string(DbBackend::Postgres, sql))
        .await
        .expect("the server answers");
    row.expect("a row").try_get("", "it").expect("a value")
}
