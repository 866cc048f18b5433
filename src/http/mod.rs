//! The transport: everything between a socket and the graph.
//!
//! Promises: every answer has a request id, and a JSON body where it is not a page or metrics; no request, however
//! large, deep, slow or malformed, costs more than its limits; who is asking is settled before a document is validated;
//! a node that stops finishes its requests and tells its sockets to come back, within [`Timing::drain`].
//!
//! Relies on the graph for what fields mean and on [`crate::auth`] for what a token is worth.

mod address;
mod anonymous;
mod answer;
mod bank;
mod body;
mod catalogue;
mod connection;
mod console;
mod graphql;
pub mod guard;
mod health;
mod multipart;
mod negotiate;
mod oauth;
mod observe;
mod operation;
mod page;
mod single;
mod sse;
mod statement;
mod stream;
mod token;
mod upload;
mod ws;

use std::{ops::Deref, sync::Arc, time::Duration};

use axum::{
    Router,
    http::{HeaderValue, Method, StatusCode, header},
    middleware,
    routing::{any, get, post},
};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;
use tower_http::cors::{AllowOrigin, CorsLayer};

use self::answer::Refusal;
use crate::{
    app::App, connector::sandbox::authority, db::Engine, error::Result, graphql::Graph,
    product::statement as statements,
};

/// How long things may take. The defaults are for production; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Until a new connection has sent the head of its first request, and between the bytes of a head.
    pub head: Duration,
    /// Until the body of a GraphQL request is complete.
    pub body: Duration,
    /// Between two pieces of an uploaded file.
    pub upload_idle: Duration,
    /// Until a socket has sent `connection_init`.
    pub init: Duration,
    /// Between two pings of a socket.
    pub ping: Duration,
    /// Until a closed socket has answered.
    pub close: Duration,
    /// Until everything is finished once the node stops.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(15),
            body: Duration::from_secs(30),
            upload_idle: Duration::from_mins(1),
            init: Duration::from_secs(3),
            ping: Duration::from_secs(15),
            close: Duration::from_secs(2),
            drain: Duration::from_secs(9),
        }
    }
}

/// The transport of one node; cheap to clone.
#[derive(Clone)]
pub struct Web(Arc<Served>);

impl Deref for Web {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.0
    }
}

/// What the transport of a node consists of.
#[derive(Clone)]
pub struct Served {
    app: App,
    graph: Graph,
    timing: Timing,
    sockets: TaskTracker,
    known: guard::Known,
    groups: stream::Groups,
    subscriptions: stream::Census,
    open_sockets: stream::Census,
    reservations: single::Reservations,
}

impl Web {
    /// The transport of a node and its graph.
    pub fn new(app: App, graph: Graph) -> Self {
        Self(Arc::new(Served {
            app,
            graph,
            timing: Timing::default(),
            sockets: TaskTracker::new(),
            known: guard::Known::default(),
            groups: stream::Groups::default(),
            subscriptions: stream::Census::default(),
            open_sockets: stream::Census::default(),
            reservations: single::Reservations::default(),
        }))
    }

    /// The same with other durations.
    #[must_use]
    pub fn with_timing(self, timing: Timing) -> Self {
        let served = Served::clone(&self);
        Self(Arc::new(Served { timing, ..served }))
    }

    /// What the public port answers.
    pub fn router(&self) -> Router {
        let mut router = Router::new()
            .route("/graphql", any(graphql::endpoint))
            .route("/graphql/stream", any(graphql::endpoint))
            .route("/uploads", post(upload::receive))
            .route("/webhooks/catalogue.json", get(catalogue::events))
            .route("/webhooks/asyncapi.json", get(catalogue::asyncapi))
            .route(
                &format!("{}/{{id}}", statements::PATH),
                get(statement::download),
            )
            .route("/oauth/callback", get(oauth::callback))
            .route(authority::PATH, get(bank::show).post(bank::submit))
            .route("/health/live", get(health::live))
            .route("/health/ready", get(health::ready));
        let config = &self.app.config;
        if config.admin_listen.is_none() && config.engine == Engine::Sqlite {
            router = router.route("/metrics", get(health::metrics));
        }
        let router = self.finish(router);
        match cors(&config.cors_origins) {
            Some(cors) => router.layer(cors),
            None => router,
        }
    }

    /// What the port for operators answers.
    pub fn admin_router(&self) -> Router {
        self.finish(
            Router::new()
                .route("/health/live", get(health::live))
                .route("/health/ready", get(health::ready))
                .route("/metrics", get(health::metrics)),
        )
    }

    fn finish(&self, router: Router<Self>) -> Router {
        router
            .fallback(answer::no_such_path)
            .method_not_allowed_fallback(answer::no_such_method)
            .layer(middleware::from_fn_with_state(
                self.clone(),
                observe::observe,
            ))
            .with_state(self.clone())
    }

    /// Serves both ports until the node stops, then finishes what is under way.
    pub async fn serve(self, listener: TcpListener, admin: Option<TcpListener>) -> Result<()> {
        connection::serve(self, listener, admin).await
    }
}

/// What the public port answers.
pub fn router(app: App, graph: Graph) -> Router {
    Web::new(app, graph).router()
}

/// Serves both ports until the node stops, then finishes requests and closes sockets (1001) within ten seconds.
pub async fn serve(
    app: App,
    graph: Graph,
    listener: TcpListener,
    admin: Option<TcpListener>,
) -> Result<()> {
    Web::new(app, graph).serve(listener, admin).await
}

/// Which browsers may read answers. Tokens are never ambient, so credentials are not allowed.
fn cors(origins: &[String]) -> Option<CorsLayer> {
    let allowed = if origins.iter().any(|origin| origin == "*") {
        AllowOrigin::any()
    } else {
        let list: Vec<_> = origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin).ok())
            .collect();
        if list.is_empty() {
            return None;
        }
        AllowOrigin::list(list)
    };
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            token::API_KEY,
            sse::LAST_EVENT_ID,
            single::STREAM_TOKEN,
        ])
        .expose_headers([answer::REQUEST_ID, header::RETRY_AFTER])
        .max_age(Duration::from_hours(1));
    Some(layer)
}

/// What a stopping node says to new work.
fn stopping() -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "INTERNAL_ERROR",
        "this node is stopping; try again",
    )
    .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}
