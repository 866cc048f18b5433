//! A node for tests: a migrated database of its own, a manual clock, workers that run when they are told to.
//!
//! Every test runs once per engine through [`on_both_engines`]. PostgreSQL is where `PONTE_TEST_POSTGRES_URL` says; a
//! test that cannot reach it fails.

#![expect(
    clippy::disallowed_methods,
    reason = "tests are configured by variables"
)]

pub mod nats;
pub mod postgres;
pub mod proxy;
pub mod receiver;
pub mod scripted;
pub mod server;
pub mod subscriber;

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use clap::Parser;
use entity::{execution, kind::Environment};
use ponte::{
    app::App,
    auth::{
        Caller, Principal, PrincipalKind,
        application::{Created, Operator},
    },
    category, client_user,
    clock::{Clock, Rng, Timestamp},
    config::{Config, Settings},
    connector::Registry,
    db::Engine,
    event, graphql, item, sync, webhook,
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, Database, EntityTrait as _, PaginatorTrait as _,
    QueryFilter as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// 2026-03-16T12:00:00Z, a Monday.
pub const START: Timestamp = Timestamp(1_773_662_400_000);

/// Nodes made so far; each has keys and ids of its own.
static NODES: AtomicU64 = AtomicU64::new(7);

/// A node and its application.
pub struct TestApp {
    /// The node.
    pub app: App,
    /// Its schema.
    pub graph: graphql::Graph,
    /// The application that tests act for.
    pub owner: Created,
    /// Its API key's principal.
    pub principal: Principal,
    url: String,
    _database: TestDatabase,
}

/// A database that goes away with the test.
pub enum TestDatabase {
    /// A folder.
    Sqlite {
        /// Removed with it.
        _folder: tempfile::TempDir,
    },
    /// A database on the test server.
    Postgres { admin: String, name: String },
}

#[derive(Parser)]
#[command(args_override_self = true)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
}

/// Where PostgreSQL is.
pub fn postgres_url() -> String {
    std::env::var("PONTE_TEST_POSTGRES_URL").expect(
        "PONTE_TEST_POSTGRES_URL is not set: run tests/run, which starts a PostgreSQL, or name a server whose user may create databases",
    )
}

/// How much of a storm runs: 1 is short.
pub fn scale() -> usize {
    std::env::var("PONTE_TEST_SCALE")
        .ok()
        .and_then(|scale| scale.parse().ok())
        .unwrap_or(1)
}

/// The seed of a randomised test, printed so that it can be repeated with `SEED=`.
pub fn seed() -> u64 {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from_le_bytes(Rng::system().bytes()));
    println!("SEED={seed}");
    seed
}

impl TestDatabase {
    /// A new, empty one.
    pub async fn create(engine: Engine) -> (Self, String) {
        match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let url = format!("sqlite://{}", folder.path().join("ponte.db").display());
                (Self::Sqlite { _folder: folder }, url)
            }
            Engine::Postgres => {
                let admin = postgres_url();
                let name = format!(
                    "ponte_test_{:016x}",
                    u64::from_le_bytes(Rng::system().bytes())
                );
                let connection = Database::connect(&admin)
                    .await
                    .expect("the test server answers");
                connection
                    .execute_unprepared(&format!("CREATE DATABASE {name}"))
                    .await
                    .expect("may create databases");
                let (base, _) = admin.rsplit_once('/').expect("a URL with a database");
                let url = format!("{base}/{name}");
                (Self::Postgres { admin, name }, url)
            }
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Self::Postgres { admin, name } = self {
            let (admin, name) = (admin.clone(), name.clone());
            // Dropping a database needs a runtime of its own here.
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                if let Ok(runtime) = runtime {
                    runtime.block_on(async {
                        if let Ok(connection) = Database::connect(&admin).await {
                            let _ = connection
                                .execute_unprepared(&format!(
                                    "DROP DATABASE IF EXISTS {name} WITH (FORCE)"
                                ))
                                .await;
                        }
                    });
                }
            });
        }
    }
}

/// Settings for tests, with these flags on top.
pub fn settings(url: &str, flags: &[&str]) -> Config {
    let base = [
        "ponte",
        "--database-url",
        url,
        "--listen",
        "127.0.0.1:0",
        "--database-connections",
        "4",
        "--master-key",
        "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=",
        "--sandbox-step-ms",
        "0",
        "--webhook-allow-networks",
        "127.0.0.0/8",
    ];
    Cli::try_parse_from(base.iter().chain(flags))
        .expect("flags that exist")
        .settings
        .check()
        .expect("settings that are right")
}

/// Runs a test on SQLite and on PostgreSQL.
pub async fn on_both_engines<F>(test: impl Fn(TestApp) -> F)
where
    F: Future<Output = ()>,
{
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        test(TestApp::start(engine).await).await;
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.app.stop();
    }
}

impl TestApp {
    /// A node over a new database.
    pub async fn start(engine: Engine) -> Self {
        Self::start_with(engine, &[]).await
    }

    /// The same with flags.
    pub async fn start_with(engine: Engine, flags: &[&str]) -> Self {
        Self::start_over(engine, flags, Registry::builtin()).await
    }

    /// The same with connectors of the test's own.
    pub async fn start_over(engine: Engine, flags: &[&str], connectors: Registry) -> Self {
        let (database, url) = TestDatabase::create(engine).await;
        let app = App::open(
            settings(&url, flags),
            Clock::manual(START),
            Rng::seeded(NODES.fetch_add(1, Ordering::Relaxed)),
            connectors,
        )
        .await
        .expect("a node");
        let owner = create_application(&app, "Tests").await;
        let principal = api_key(&app, owner.id).await;
        Self {
            graph: graphql::build(app.clone()),
            app,
            owner,
            principal,
            url,
            _database: database,
        }
    }

    /// Another node over the same database, by the same clock. Its end is the test's business.
    pub async fn another(&self, flags: &[&str]) -> App {
        self.another_over(&self.url, flags).await
    }

    /// The same, by another way to the database.
    pub async fn another_over(&self, url: &str, flags: &[&str]) -> App {
        App::open(
            settings(url, flags),
            self.app.clock.clone(),
            Rng::seeded(NODES.fetch_add(1, Ordering::Relaxed)),
            Registry::builtin(),
        )
        .await
        .expect("another node")
    }

    /// Where its database is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Moves time on.
    pub fn advance(&self, by: Duration) {
        self.app.clock.advance(by);
    }

    /// Runs every worker until nothing is due.
    pub async fn settle(&self) {
        loop {
            let done = Box::pin(sync::run_once(&self.app))
                .await
                .expect("the sync worker")
                + event::relay::run_once(&self.app).await.expect("the relay")
                + webhook::delivery::run_once(&self.app)
                    .await
                    .expect("the deliveries")
                + item::purge::run_once(&self.app).await.expect("the purge")
                + client_user::erasure::run_once(&self.app)
                    .await
                    .expect("the erasures")
                + category::pass::run_once(&self.app)
                    .await
                    .expect("the passes over categories");
            if done == 0 {
                return;
            }
        }
    }

    /// Runs every worker while time goes on, until every run has ended: where runs wait by the clock.
    pub async fn run_by_the_clock(&self) {
        let time = async {
            loop {
                self.advance(Duration::from_millis(500));
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let ended = async {
            loop {
                self.settle().await;
                let open = execution::Entity::find().filter(execution::Column::EndedAt.is_null());
                let open = open.count(self.app.db.read()).await.expect("a count");
                if open == 0 {
                    return;
                }
            }
        };
        tokio::select! {
            () = time => {}
            () = ended => {}
        }
    }

    /// Executes a document as the application.
    pub async fn query(&self, document: &str, variables: Value) -> Value {
        self.query_as(Some(self.principal.clone()), document, variables)
            .await
    }

    /// Executes a document as somebody; answers the whole GraphQL response.
    pub async fn query_as(
        &self,
        principal: Option<Principal>,
        document: &str,
        variables: Value,
    ) -> Value {
        ask(&self.graph, principal, document, variables).await
    }

    /// Executes a document at another node.
    pub async fn query_at(&self, app: &App, document: &str, variables: Value) -> Value {
        let graph = graphql::build(app.clone());
        ask(&graph, Some(self.principal.clone()), document, variables).await
    }

    /// The same for documents that must succeed; answers `data`.
    pub async fn data(&self, document: &str, variables: Value) -> Value {
        let response = self.query(document, variables).await;
        assert_eq!(response.get("errors"), None, "{document}: {response}");
        response["data"].clone()
    }

    /// The code of the first error of a document that must fail.
    pub async fn code(&self, document: &str, variables: Value) -> String {
        let response = self.query(document, variables).await;
        code_of(&response)
    }

    /// Creates an Item and answers its id.
    pub async fn connect(&self, connector: &str, parameters: &[(&str, &str)]) -> Uuid {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let data = self
            .data(
                "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id status executionStatus } cursor } }",
                json!({ "input": { "connectorId": connector, "parameters": parameters } }),
            )
            .await;
        id_at(&data, "/createItem/item/id")
    }

    /// Asks for a run of an Item, with parameters, and answers the whole response.
    pub async fn update(&self, id: Uuid, parameters: &[(&str, &str)]) -> Value {
        let parameters: Vec<Value> = parameters
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        let mut input = json!({ "itemId": id });
        if !parameters.is_empty() {
            input["parameters"] = json!(parameters);
        }
        self.query(
            "mutation($input: UpdateItemInput!) { updateItem(input: $input) { item { status executionStatus } cursor } }",
            json!({ "input": input }),
        )
        .await
    }

    /// A run that must be accepted, settled.
    pub async fn updated(&self, id: Uuid, parameters: &[(&str, &str)]) {
        let response = self.update(id, parameters).await;
        assert_eq!(response.get("errors"), None, "{response}");
        self.settle().await;
    }

    /// Answers an Item's question; answers the whole response.
    pub async fn answer(&self, id: Uuid, name: &str, value: &str) -> Value {
        self.query(
            "mutation($input: SendItemMfaInput!) { sendItemMfa(input: $input) { item { status executionStatus } cursor } }",
            json!({ "input": { "itemId": id, "parameters": [{ "name": name, "value": value }] } }),
        )
        .await
    }

    /// An Item's accounts, each with its transactions, newest first.
    pub async fn accounts(&self, id: Uuid) -> Vec<Value> {
        let data = self
            .data(
                "query($id: ID!) { item(id: $id) { accounts { nodes { id type subtype subtypeRaw number name balance currencyCode createdAt updatedAt \
                   transactions(first: 500) { nodes { id postedOn date description descriptionRaw amount amountInAccountCurrency currencyCode \
                     type status balance providerId providerCode createdAt updatedAt } } } } } }",
                json!({ "id": id }),
            )
            .await;
        data.pointer("/item/accounts/nodes")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    }

    /// Uploads a file as the application and answers its id.
    pub async fn upload(&self, contents: &[u8]) -> String {
        let mut writer = item::upload::begin(&self.app, &self.principal)
            .await
            .expect("an upload begins");
        for chunk in contents.chunks(10_000) {
            writer.write(chunk).await.expect("bytes are taken");
        }
        writer
            .finish()
            .await
            .expect("an upload ends")
            .id
            .to_string()
    }

    /// A sandbox Item of `user-ok`, settled.
    pub async fn connected(&self) -> Uuid {
        let id = self
            .connect("0", &[("user", "user-ok"), ("password", "password-ok")])
            .await;
        self.settle().await;
        id
    }

    /// What a client sees of an Item.
    pub async fn item(&self, id: Uuid) -> Value {
        let data = self
            .data(
                "query($id: ID!) { item(id: $id) { id status executionStatus error { code message providerMessage } lastUpdatedAt \
                   statusDetail { product isUpdated lastUpdatedAt warnings { code message } } \
                   parameter { name label type expiresAt options { value label } } canUpdate { allowed code reason retryAt } } }",
                json!({ "id": id }),
            )
            .await;
        data["item"].clone()
    }

    /// The names of an Item's events, in order.
    pub async fn events(&self, id: Uuid) -> Vec<String> {
        let data = self
            .data(
                "query($id: ID!) { events(first: 200, filter: { itemId: $id }) { nodes { name payload } } }",
                json!({ "id": id }),
            )
            .await;
        let nodes = data["events"]["nodes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        nodes
            .iter()
            .map(|node| match node["name"].as_str() {
                Some("item/status_changed") => {
                    format!(
                        "-> {}",
                        node["payload"]["data"]["executionStatus"]
                            .as_str()
                            .unwrap_or("?")
                    )
                }
                name => name.unwrap_or("?").to_owned(),
            })
            .collect()
    }
}

/// Who operates on applications of a node.
pub fn operator(app: &App) -> Operator<'_> {
    Operator {
        db: &app.db,
        vault: &app.vault,
        clock: &app.clock,
        rng: &app.rng,
    }
}

/// Makes an application.
pub async fn create_application(app: &App, name: &str) -> Created {
    operator(app)
        .create(name, Environment::Sandbox, None)
        .await
        .expect("an application")
}

/// The principal of a fresh API key of an application.
pub async fn api_key(app: &App, application: Uuid) -> Principal {
    let known = app
        .applications
        .load(&app.db, application)
        .await
        .expect("the database answers")
        .expect("a known application");
    Principal {
        application,
        kind: PrincipalKind::ApiKey,
        version: known.token_version,
        expires_at: Timestamp(i64::MAX),
        token: Uuid::from_u128(0xA91),
        caller: Caller::default(),
    }
}

/// An id somewhere in an answer.
pub fn id_at(data: &Value, pointer: &str) -> Uuid {
    data.pointer(pointer)
        .and_then(Value::as_str)
        .and_then(|id| id.parse().ok())
        .unwrap_or_else(|| panic!("no id at {pointer} of {data}"))
}

/// The code of the first error of an answer.
pub fn code_of(response: &Value) -> String {
    response
        .pointer("/errors/0/extensions/code")
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no error in {response}"))
        .to_owned()
}

/// Returns once something is true.
pub async fn eventually(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting)
        .await
        .expect("it becomes true");
}

async fn ask(
    graph: &graphql::Graph,
    principal: Option<Principal>,
    document: &str,
    variables: Value,
) -> Value {
    let request = async_graphql::Request::new(document)
        .variables(async_graphql::Variables::from_json(variables))
        .data(graphql::Asking::new(principal, [127, 0, 0, 1].into()));
    // In a task, as a server does: only there siblings wait for each other, so that statements can be counted.
    let graph = graph.clone();
    let mut response = tokio::spawn(async move { graph.execute(request).await })
        .await
        .expect("no panic while executing");
    graphql::finish(&mut response, "test");
    serde_json::to_value(&response).expect("a response is JSON")
}
