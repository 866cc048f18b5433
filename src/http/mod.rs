//! The transport: what comes in over HTTP and sockets, before it is anybody's operation.

pub mod guard;
