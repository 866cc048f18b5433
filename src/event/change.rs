//! The feed of changes: what events tell, entity by entity.
//!
//! Changes are written with the event that tells of them, in the transaction in which they happen. They stand where
//! their event stands and therefore need no order, no publishing and no forgetting of their own. What is gone with its
//! Item is told by the Item's deletion alone.

use entity::kind::{ChangeAction, EntityKind};
use sea_orm::ConnectionTrait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::cursor::{self, Place};
use crate::{
    app::App,
    db::{self, change::Published, page::Page},
    error::Result,
};

/// An entity that has changed, to be told by an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    kind: EntityKind,
    entity: Uuid,
    action: ChangeAction,
    fields: Vec<String>,
}

impl Told {
    /// It is new.
    pub fn created(kind: EntityKind, entity: Uuid) -> Self {
        Self {
            kind,
            entity,
            action: ChangeAction::Created,
            fields: Vec::new(),
        }
    }

    /// These fields are different now, as the public schema names them.
    pub fn updated(kind: EntityKind, entity: Uuid, fields: &[&str]) -> Self {
        Self {
            kind,
            entity,
            action: ChangeAction::Updated,
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
        }
    }

    /// What became of it.
    pub fn action(&self) -> ChangeAction {
        self.action
    }

    /// The fields of which this says that they differ. Nothing is told where none does.
    pub fn differing(
        kind: EntityKind,
        entity: Uuid,
        fields: &[(&'static str, bool)],
    ) -> Option<Self> {
        let differing = fields.iter().filter(|(_, differs)| *differs);
        let names: Vec<&str> = differing.map(|(name, _)| *name).collect();
        (!names.is_empty()).then(|| Self::updated(kind, entity, &names))
    }

    /// It is gone.
    pub fn deleted(kind: EntityKind, entity: Uuid) -> Self {
        Self {
            kind,
            entity,
            action: ChangeAction::Deleted,
            fields: Vec::new(),
        }
    }

    fn row(&self, event: Uuid, ordinal: usize) -> Value {
        let mut row = json!({
            "e": event.simple().to_string(),
            "o": ordinal,
            "k": self.kind,
            "i": self.entity.simple().to_string(),
            "a": self.action,
        });
        if !self.fields.is_empty() {
            row["f"] = json!(self.fields);
        }
        row
    }
}

/// Writes what each of these events tells, inside the transaction that appends them.
pub(super) async fn insert(
    txn: &impl ConnectionTrait,
    app: &App,
    told: &[(Uuid, Vec<Told>)],
) -> Result<()> {
    let rows: Vec<Value> = told
        .iter()
        .flat_map(|(event, told)| {
            let places = told.iter().enumerate();
            places.map(|(ordinal, told)| told.row(*event, ordinal))
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    db::change::insert(&app.db, txn, Value::Array(rows)).await
}

/// A published change and the cursor behind it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The change.
    pub change: Published,
    /// Where to go on behind it.
    pub cursor: String,
}

/// A page of an application's published changes, oldest first, from behind a cursor or the oldest that is kept.
pub async fn list(
    app: &App,
    application: Uuid,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Entry>> {
    let place = match after {
        Some(after) => cursor::place(app, application, after)?,
        None => Place::START,
    };
    let Place { position, ordinal } = place;
    let mut rows = db::change::after(&app.db, application, position, ordinal, limit + 1).await?;
    let mut has_previous = false;
    if after.is_some() {
        // Looked at afterwards: what was forgotten while the page was read is missing in it.
        cursor::check_place(app, application, place).await?;
        has_previous = db::change::any_until(&app.db, application, position, ordinal).await?;
    }
    let next = rows.get(limit).map(|row| row.position);
    rows.truncate(limit);
    let following = rows.iter().skip(1).map(|row| Some(row.position));
    let following: Vec<Option<i64>> = following.chain([next]).collect();
    let entry = |(change, following): (Published, Option<i64>)| {
        // All that an event tells is committed at once: what is not there behind the last of it never comes.
        let place = if following == Some(change.position) {
            Place {
                position: change.position,
                ordinal: change.ordinal,
            }
        } else {
            Place::behind(change.position)
        };
        Entry {
            cursor: cursor::of_place(app, application, place),
            change,
        }
    };
    Ok(Page {
        has_previous,
        has_next: next.is_some(),
        rows: rows.into_iter().zip(following).map(entry).collect(),
    })
}
