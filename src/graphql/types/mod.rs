//! Types of the public schema, one file per noun.

pub mod application;
