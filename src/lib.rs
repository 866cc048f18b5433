//! Ponte, a self-hosted open-finance gateway.

pub mod clock;
pub mod connector;
pub mod money;
