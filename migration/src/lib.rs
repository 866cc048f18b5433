//! Schema changes, one file each, applied in order.

pub use sea_orm_migration::prelude::*;

mod m20261124_000001_create_applications_and_keys;
mod m20261124_000002_create_items_and_executions;
mod m20261124_000003_create_products;
mod m20261124_000004_create_events_and_webhooks;
mod m20261125_000001_extend_webhooks;
mod m20261125_000002_extend_deliveries;
mod m20261125_000003_create_changes;
mod m20261126_000002_index_deliveries_without_items;
mod m20261127_000001_add_auto_sync;
mod m20261127_000003_create_secret_guesses;
mod m20261127_000005_create_audit_and_erasures;
mod m20261128_000001_create_positions_and_loans;
mod m20261128_000002_add_categories;
mod m20261128_000003_extend_transactions;
mod m20261128_000004_add_memory_to_items;
mod m20261128_000005_create_parameters_keys_and_quotas;
mod m20261128_000006_create_connector_health;
mod m20261128_000007_create_statements;
mod m20261128_000008_add_failure_to_executions;
mod m20261128_000009_add_subtype_raw_to_accounts;
mod m20261128_000010_add_phases_to_executions;
mod m20261128_000011_create_connector_notices;
mod m20261128_000012_add_warnings_to_sandbox_banks;

/// Brings a database to the schema that this binary knows, and back.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261124_000001_create_applications_and_keys::Migration),
            Box::new(m20261124_000002_create_items_and_executions::Migration),
            Box::new(m20261124_000003_create_products::Migration),
            Box::new(m20261124_000004_create_events_and_webhooks::Migration),
            Box::new(m20261125_000001_extend_webhooks::Migration),
            Box::new(m20261125_000002_extend_deliveries::Migration),
            Box::new(m20261125_000003_create_changes::Migration),
            Box::new(m20261126_000002_index_deliveries_without_items::Migration),
            Box::new(m20261127_000001_add_auto_sync::Migration),
            Box::new(m20261127_000003_create_secret_guesses::Migration),
            Box::new(m20261127_000005_create_audit_and_erasures::Migration),
            Box::new(m20261128_000001_create_positions_and_loans::Migration),
            Box::new(m20261128_000002_add_categories::Migration),
            Box::new(m20261128_000003_extend_transactions::Migration),
            Box::new(m20261128_000004_add_memory_to_items::Migration),
            Box::new(m20261128_000005_create_parameters_keys_and_quotas::Migration),
            Box::new(m20261128_000006_create_connector_health::Migration),
            Box::new(m20261128_000007_create_statements::Migration),
            Box::new(m20261128_000008_add_failure_to_executions::Migration),
            Box::new(m20261128_000009_add_subtype_raw_to_accounts::Migration),
            Box::new(m20261128_000010_add_phases_to_executions::Migration),
            Box::new(m20261128_000011_create_connector_notices::Migration),
            Box::new(m20261128_000012_add_warnings_to_sandbox_banks::Migration),
        ]
    }
}
