//! Webhooks: signed requests that carry events to other people's servers.
//!
//! A registration ([`create`], [`update`], [`delete`], [`rotate_secret`]) says which events go where; the relay makes a
//! delivery of each that matches, and [`delivery`] sends it until the endpoint takes it or the [`schedule`] ends.
//! [`signature`] proves who sent a request, [`egress`] decides where a request may go and sends it; the two and the
//! schedule know no database. A test event ([`send_test_event`]) is delivered like any other, [`replay`] delivers a stretch of
//! the log again, [`tail`] shows deliveries as they change. Secrets, keys and
//! headers are sealed at rest; the keyring opens them for the worker.

mod check;
pub mod circuit;
pub mod delivery;
pub mod egress;
mod keyring;
pub(crate) mod keys;
mod lanes;
mod list;
mod registration;
mod replay;
pub mod schedule;
pub mod signature;
mod standing;
pub mod tail;
mod trial;

pub use self::{
    delivery::sent_headers,
    list::{Parent, attempts, by_id, circuits, deliveries, deliveries_by_id, list},
    registration::{
        Created, NewWebhook, WebhookUpdate, create, delete, find, find_delivery, retry_delivery,
        rotate_secret, update,
    },
    replay::{Replay, replay},
    standing::Backlog,
    trial::{send_test_event, told},
};
