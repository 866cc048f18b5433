//! The graph: what clients see. Translates between the public schema and the operations; decides nothing itself.
//!
//! All limits of the schema are here; the transport's guard has judged the document before.

#![expect(
    clippy::unused_async,
    reason = "resolvers are async whether they wait or not"
)]

mod context;
mod error;
mod loader;
mod mutation;
mod nulls;
mod page;
mod query;
mod rows;
mod scalar;
mod subscription;
mod turn;
pub mod types;

use std::sync::Arc;

use async_graphql::{Request, Response, Schema, SchemaBuilder, parser::types::ExecutableDocument};
use futures_util::{StreamExt as _, stream::BoxStream};

pub use self::{
    context::{Asking, ContextExt},
    error::finish,
    mutation::Mutation,
    query::Query,
    subscription::Subscription,
};
use self::{loader::Loaders, nulls::Types, turn::Turn};
use crate::{app::App, audit::Shown};

/// Rows of a page unless the client tells.
pub const DEFAULT_ROWS: usize = 50;
/// Most rows of a page, and ids of `nodes`.
pub const MOST_ROWS: usize = 200;
/// Most rows of a page of transactions.
pub const MOST_TRANSACTIONS: usize = 500;
/// Most rows of a page of changes.
pub const MOST_CHANGES: usize = 500;
/// Most records of a page of an export.
pub const MOST_EXPORTED: usize = 500;
/// Most fields below each other; the standard introspection query has 15.
const MOST_DEPTH: usize = 20;
/// Most fields of a document, fragments counted wherever they are spread.
const MOST_COMPLEXITY: usize = 2_500;

/// The executable schema.
#[derive(Clone)]
pub struct Graph {
    schema: Schema<Query, Mutation, Subscription>,
    types: Arc<Types>,
    app: App,
}

impl Graph {
    /// Runs a query or a mutation. The request's data holds an [`Asking`].
    pub async fn execute(&self, request: impl Into<Request>) -> Response {
        let (request, asked, turn, shown) = prepared(request.into());
        let mut response = turn.run(self.schema.execute(request)).await;
        self.app.tally.answered(&shown, self.app.clock.now());
        self.put_nulls(asked.as_ref(), &mut response);
        response
    }

    /// Runs a subscription, or anything else as a stream of one answer. The request's data holds an [`Asking`].
    pub fn execute_stream(&self, request: impl Into<Request>) -> BoxStream<'static, Response> {
        let (request, asked, turn, shown) = prepared(request.into());
        let graph = self.clone();
        let answers = turn.stream(self.schema.execute_stream(request));
        let answers = answers.map(move |mut response| {
            graph.app.tally.answered(&shown, graph.app.clock.now());
            graph.put_nulls(asked.as_ref(), &mut response);
            response
        });
        answers.boxed()
    }

    fn put_nulls(&self, asked: Option<&Asked>, response: &mut Response) {
        if let Some((document, name)) = asked {
            self.types.put(document, name.as_deref(), response);
        }
    }
}

/// A document, and which of its operations is asked for.
type Asked = (ExecutableDocument, Option<String>);

/// A request with its loaders, what it asks, unless that cannot be read, and what its answers show.
fn prepared(request: Request) -> (Request, Option<Asked>, Turn, Arc<Shown>) {
    let (turn, shown) = (Turn::default(), Arc::new(Shown::default()));
    let mut request = request.data(Loaders::new(&turn, shown.clone()));
    let name = request.operation_name.clone();
    let document = request.parsed_query().ok().cloned();
    let asked = document.map(|document| (document, name));
    (request, asked, turn, shown)
}

/// Builds the schema over a node.
pub fn build(app: App) -> Graph {
    let schema = builder().data(app.clone()).finish();
    let types = Arc::new(Types::read(&schema.sdl()));
    Graph { schema, types, app }
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
