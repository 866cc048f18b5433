//! Queries against the least SQL that answers the same.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, State},
    http::{Request, header},
    response::IntoResponse,
    routing::{MethodRouter, post},
};
use entity::item;
use ponte::{app::App, graphql, http, item::state};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    Statement,
};
use serde_json::{Value, json};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::{Bench, median, verdict};

const ROUNDS: usize = 500;

/// What a baseline knows: the pool, and whose rows it reads.
type Bare = (App, Uuid);

/// Three levels of rows.
pub async fn nested(bench: &Bench) {
    let name = "nested query, 20 Items × 3 accounts × 25 transactions";
    compare(bench, name, 0.9, NESTED, post(nested_in_sql)).await;
}

/// A short list.
pub async fn flat(bench: &Bench) {
    let name = "flat list of 20 Items with their connector";
    compare(bench, name, 0.8, FLAT, post(flat_by_serde)).await;
}

const NESTED: &str = "{ items(first: 20) { nodes { id status accounts(first: 3) { nodes { id name balance currencyCode \
    transactions(first: 25) { nodes { id postedOn description amount currencyCode type status } } } } } } }";

const FLAT: &str = "{ items(first: 20) { nodes { id status executionStatus createdAt updatedAt connector { id name } } } }";

/// The nested answer made by PostgreSQL itself, in one statement.
async fn nested_in_sql(State((app, application)): State<Bare>) -> impl IntoResponse {
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
async fn flat_by_serde(State((app, application)): State<Bare>) -> impl IntoResponse {
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
                "id": row.id, "status": state::status(row.execution_status), "executionStatus": row.execution_status,
                "createdAt": row.created_at.to_string(), "updatedAt": row.updated_at.to_string(),
                "connector": { "id": connector.id.to_string(), "name": connector.name },
            })
        })
        .collect();
    let body = json!({ "data": { "items": { "nodes": nodes } } }).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body)
}

/// Runs a query and its baseline alternately and prints the ratio of their medians.
async fn compare(bench: &Bench, name: &str, limit: f64, query: &str, baseline: MethodRouter<Bare>) {
    let graph = http::router(bench.app.clone(), graphql::build(bench.app.clone()));
    let bare = (bench.app.clone(), bench.application);
    let baseline = Router::new().route("/graphql", baseline).with_state(bare);
    let body = json!({ "query": query }).to_string();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let mut sizes = (0, 0);
    for round in 0..ROUNDS + 20 {
        let (a, size_a) = timed(&graph, &bench.key, &body).await;
        let (b, size_b) = timed(&baseline, &bench.key, &body).await;
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

async fn timed(router: &Router, key: &str, body: &str) -> (f64, usize) {
    let (took, bytes) = answered(router, key, body).await;
    assert!(
        !bytes.windows(8).any(|window| window == b"\"errors\""),
        "{}",
        String::from_utf8_lossy(&bytes)
    );
    (took.as_secs_f64(), bytes.len())
}

/// Asks and waits for the whole answer.
pub async fn answered(router: &Router, key: &str, body: &str) -> (Duration, Bytes) {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let mut request = Request::post("/graphql").header(header::CONTENT_TYPE, "application/json");
    if !key.is_empty() {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let request = request
        .extension(ConnectInfo(address))
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let began = Instant::now();
    let answer = router.clone().oneshot(request).await.expect("an answer");
    assert!(answer.status().as_u16() < 500, "{}", answer.status());
    let bytes = to_bytes(answer.into_body(), usize::MAX)
        .await
        .expect("a body");
    (began.elapsed(), bytes)
}
