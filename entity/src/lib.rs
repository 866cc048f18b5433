//! Tables of Ponte: one file each, with its columns and its owner-scoped finder.
//!
//! Instants are [`time::Timestamp`]s; the closed vocabularies are in [`kind`].

pub mod account;
pub mod application;
pub mod attempt;
pub mod audit_entry;
pub mod bill;
pub mod category_pass;
pub mod category_rule;
pub mod change;
pub mod circuit;
pub mod connect_token;
pub mod connector_gate;
pub mod connector_health;
pub mod connector_outcome;
pub mod consent;
pub mod data_key;
pub mod delivery;
pub mod erasure;
pub mod erasure_item;
pub mod event;
pub mod event_head;
pub mod execution;
pub mod idempotency_key;
pub mod identity;
pub mod investment;
pub mod investment_transaction;
pub mod item;
pub mod kind;
pub mod loan;
pub mod meta;
pub mod parameters_key;
pub mod quota;
pub mod replaced_transaction;
pub mod sandbox_bank;
pub mod sandbox_movement;
pub mod secret_guess;
pub mod staged_document;
pub mod staged_transaction;
pub mod system_key;
pub mod test_event;
pub mod time;
pub mod transaction;
pub mod upload;
pub mod upload_chunk;
pub mod webhook;
