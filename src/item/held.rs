//! An Item whose row is held, and what it was when the transaction began.

use std::ops::{Deref, DerefMut};

use entity::{item, kind::EntityKind};

use super::state;
use crate::event::change::Told;

/// An Item whose row is held, and what the transaction that holds it has to tell of it.
#[derive(Clone, Debug)]
pub struct Held {
    // Apart: held across many steps of a future, they would make each of them large.
    row: Box<item::Model>,
    before: Option<Box<item::Model>>,
    noted: Vec<Told>,
}

impl Held {
    /// As the database has it.
    pub fn stored(row: item::Model) -> Self {
        let row = Box::new(row);
        Self {
            before: Some(row.clone()),
            row,
            noted: Vec::new(),
        }
    }

    /// Inserted by this transaction.
    pub fn fresh(row: item::Model) -> Self {
        Self {
            row: Box::new(row),
            before: None,
            noted: Vec::new(),
        }
    }

    /// Notes what else this transaction changes, for the next event that is appended about the Item.
    pub fn note(&mut self, told: impl IntoIterator<Item = Told>) {
        self.noted.extend(told);
    }

    /// What is to be told now: what was noted, and how the Item itself differs from when it was told last.
    pub(super) fn tell(&mut self) -> Vec<Told> {
        let mut told: Vec<Told> = std::mem::take(&mut self.noted);
        match &self.before {
            // What belongs to a new Item comes behind it.
            None => told.insert(0, Told::created(EntityKind::Item, self.row.id)),
            Some(before) => told.extend(differences(before, &self.row)),
        }
        self.before = Some(self.row.clone());
        told
    }

    /// The Item alone.
    pub fn into_row(self) -> item::Model {
        *self.row
    }
}

impl Deref for Held {
    type Target = item::Model;

    fn deref(&self) -> &item::Model {
        &self.row
    }
}

impl DerefMut for Held {
    fn deref_mut(&mut self) -> &mut item::Model {
        &mut self.row
    }
}

/// What clients see differently. `updatedAt` always does, and is not named.
fn differences(a: &item::Model, b: &item::Model) -> Option<Told> {
    let status = |row: &item::Model| state::status(row.execution_status);
    Told::differing(
        EntityKind::Item,
        b.id,
        &[
            ("status", status(a) != status(b)),
            ("executionStatus", a.execution_status != b.execution_status),
            (
                "error",
                a.error_code != b.error_code
                    || a.error_message != b.error_message
                    || a.error_provider_message != b.error_provider_message
                    || a.error_attributes != b.error_attributes,
            ),
            ("statusDetail", a.status_detail != b.status_detail),
            (
                "parameter",
                a.parameter != b.parameter || a.parameter_expires_at != b.parameter_expires_at,
            ),
            (
                "userAction",
                a.user_action != b.user_action
                    || a.user_action_expires_at != b.user_action_expires_at,
            ),
            ("products", a.products != b.products),
            ("clientUserId", a.client_user_id != b.client_user_id),
            ("webhookUrl", a.webhook_url != b.webhook_url),
            (
                "oauthRedirectUri",
                a.oauth_redirect_uri != b.oauth_redirect_uri,
            ),
            (
                "autoSync",
                a.auto_sync_disabled_at != b.auto_sync_disabled_at
                    || a.auto_sync_dropped != b.auto_sync_dropped
                    || a.auto_sync_failures != b.auto_sync_failures,
            ),
            ("lastUpdatedAt", a.last_updated_at != b.last_updated_at),
            (
                "consentExpiresAt",
                a.consent_expires_at != b.consent_expires_at,
            ),
        ],
    )
}
