//! Types of the public schema, one file per noun.

pub mod account;
pub mod application;
pub mod attempt;
pub mod audit;
pub mod change;
pub mod client_user;
pub mod connector;
pub mod consent;
pub mod details;
pub mod event;
pub mod execution;
pub mod feed;
pub mod health;
pub mod identity;
pub mod item;
pub mod node;
pub mod product;
pub mod quota;
pub mod sending;
pub mod transaction;
pub mod webhook;
