//! Ponte, a self-hosted open-finance gateway.

pub mod clock;
pub mod config;
pub mod connector;
pub mod db;
pub mod error;
pub mod http;
pub mod money;
pub mod webhook;
