//! Webhooks: signed requests that carry events to other people's servers.
//!
//! [`signature`] proves who sent a request, [`egress`] decides where a request may go and sends it, [`schedule`] says
//! what follows from the answer. None of the three knows the database.

pub mod delivery;
pub mod egress;
pub mod schedule;
pub mod signature;
