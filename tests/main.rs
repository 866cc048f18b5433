//! All tests of the node, in one binary: through the real router or the real schema, as a client would.

mod auth;
mod auto_sync;
mod backup;
mod changes;
mod cli;
mod doctor;
mod file;
mod follow;
mod graph;
mod layering;
mod listen;
mod merge;
mod operations;
mod paused;
mod plans;
mod privacy;
mod rows;
mod schema;
mod storm;
mod support;
mod sync;
mod transport;
mod upgrade;
mod vault;
mod webhook;
