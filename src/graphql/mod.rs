//! The graph: what clients see. Translates between the public schema and the operations; decides nothing itself.
//!
//! All limits of the schema are here. The guard before it ([`crate::http::guard`]) has judged the document already.

#![expect(
    clippy::unused_async,
    reason = "resolvers are async whether they wait or not"
)]

mod context;
mod error;
mod loader;
mod mutation;
mod page;
mod query;
mod scalar;
mod subscription;
pub mod types;

use std::sync::Arc;

use async_graphql::{Data, Request, Response, Schema, SchemaBuilder};
use futures_util::stream::BoxStream;

use self::loader::Loaders;
pub use self::{
    context::{Asking, ContextExt},
    error::finish,
    mutation::Mutation,
    query::Query,
    subscription::Subscription,
};
use crate::app::App;

/// Rows of a page unless the client tells.
pub const DEFAULT_ROWS: usize = 50;
/// Most rows of a page, and ids of `nodes`.
pub const MOST_ROWS: usize = 200;
/// Most rows of a page of transactions.
pub const MOST_TRANSACTIONS: usize = 500;
/// Most fields below each other; the standard introspection query has 15.
const MOST_DEPTH: usize = 20;
/// Most fields of a document, fragments counted wherever they are spread.
const MOST_COMPLEXITY: usize = 2_500;

/// The executable schema.
#[derive(Clone)]
pub struct Graph(Schema<Query, Mutation, Subscription>);

impl Graph {
    /// Runs a query or a mutation. The request's data holds an [`Asking`].
    pub async fn execute(&self, request: impl Into<Request>) -> Response {
        self.0
            .execute(request.into().data(Loaders::default()))
            .await
    }

    /// Runs a subscription, or anything else as a stream of one answer. The request's data holds an [`Asking`].
    pub fn execute_stream(&self, request: impl Into<Request>) -> BoxStream<'static, Response> {
        self.execute_stream_with_session_data(request, Arc::default())
    }

    /// The same with data that all requests of a socket share.
    pub fn execute_stream_with_session_data(
        &self,
        request: impl Into<Request>,
        session: Arc<Data>,
    ) -> BoxStream<'static, Response> {
        let request = request.into().data(Loaders::default());
        self.0.execute_stream_with_session_data(request, session)
    }
}

/// Builds the schema over a node.
pub fn build(app: App) -> Graph {
    Graph(builder().data(app).finish())
}

/// The public schema, as text. Needs no node.
pub fn sdl() -> String {
    builder().finish().sdl()
}

fn builder() -> SchemaBuilder<Query, Mutation, Subscription> {
    Schema::build(Query, Mutation, Subscription)
        .disable_suggestions()
        .limit_depth(MOST_DEPTH)
        .limit_complexity(MOST_COMPLEXITY)
}
