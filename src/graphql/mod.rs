//! The graph: what clients see. Translates between the public schema and the operations; decides nothing itself.

mod context;
mod error;
mod mutation;
mod query;
mod scalar;
mod subscription;
pub mod types;

use async_graphql::Schema;

pub use self::{
    context::{Asking, ContextExt},
    error::finish,
    mutation::Mutation,
    query::Query,
    subscription::Subscription,
};
use crate::app::App;

/// The executable schema.
pub type Graph = Schema<Query, Mutation, Subscription>;

/// Builds the schema over a node.
pub fn build(app: App) -> Graph {
    Schema::build(Query, Mutation, Subscription)
        .disable_suggestions()
        .data(app)
        .finish()
}
