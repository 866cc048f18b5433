//! Client users: the application's own users, whom Ponte knows by the name that the application gives them alone.
//!
//! What the law lets a person ask for is done here, for all of their Items together: [`mod@export`] tells everything that is
//! held about them, [`delete`] erases it.

pub mod erasure;
pub mod export;

pub use self::{
    erasure::{Erased, delete},
    export::export,
};
