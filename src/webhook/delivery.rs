//! temporary
use crate::app::App;
/// x
pub async fn run(_: App) {}
