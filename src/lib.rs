//! Ponte, a self-hosted open-finance gateway.

pub mod app;
pub mod audit;
pub mod auth;
pub mod backup;
pub mod bus;
pub mod category;
pub mod client_user;
pub mod clock;
pub mod config;
pub mod connector;
pub mod db;
pub mod doctor;
pub mod error;
pub mod event;
pub mod graphql;
pub mod http;
pub mod item;
pub mod listen;
pub mod metrics;
pub mod money;
pub mod product;
pub mod ready;
pub mod sync;
pub mod tax_number;
pub mod vault;
pub mod webhook;
