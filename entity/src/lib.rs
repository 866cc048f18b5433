//! Tables of Ponte: one file each, with models, relations and owner-scoped finders.

pub mod kind;
