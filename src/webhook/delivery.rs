//! temporary
use crate::{app::App, error::Result};
/// x
pub async fn run(_: App) {}
/// x
pub async fn run_once(_: &App) -> Result<usize> {
    Ok(0)
}
