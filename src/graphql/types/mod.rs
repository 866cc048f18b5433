//! Types of the public schema, one file per noun.

pub mod account;
pub mod application;
pub mod attempt;
pub mod audit;
pub mod bill;
pub mod change;
pub mod client_user;
pub mod connector;
pub mod consent;
pub mod details;
pub mod document;
pub mod event;
pub mod execution;
pub mod feed;
pub mod health;
pub mod identity;
pub mod investment;
pub mod item;
pub mod loan;
pub mod node;
pub mod payment;
pub mod product;
pub mod purchase;
pub mod sending;
pub mod transaction;
pub mod webhook;
