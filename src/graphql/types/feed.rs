//! The feed of changes, as clients read it.

use async_graphql::{Context, Enum, Object, Result};
use serde_json::Value;

use super::{
    super::{
        ContextExt as _, loader,
        page::{self, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Id},
    },
    node::Node,
};
use crate::event::change::{self, Entry};

/// An entity that is new, different or gone.
pub struct Change(Entry);

/// An entity that is new, different or gone. What belongs to a deleted Item is told by the Item's own DELETED and not one by one; once its data is purged, that is all that is left of it here.
#[Object]
impl Change {
    /// Its place in the feed. Give it as `after` to go on behind it, in `changes` only.
    async fn cursor(&self) -> &str {
        &self.0.cursor
    }

    /// What kind of entity it is.
    async fn kind(&self) -> EntityKind {
        self.0.change.kind.into()
    }

    /// What became of it.
    async fn action(&self) -> ChangeAction {
        self.0.change.action.into()
    }

    /// The entity's id.
    async fn entity_id(&self) -> Id {
        Id::Row(self.0.change.entity)
    }

    /// The Item it is, or belongs to; null when it belongs to none.
    async fn item_id(&self) -> Option<Id> {
        self.0.change.item.map(Id::Row)
    }

    /// The fields of the entity that are different since the change before, by their names in this schema; empty unless UPDATED. `updatedAt` and what follows from other fields, such as `canUpdate`, is not named.
    async fn fields(&self) -> Vec<&str> {
        let fields = self.0.change.fields.as_ref().and_then(Value::as_array);
        let names = fields.into_iter().flatten();
        names.filter_map(Value::as_str).collect()
    }

    /// The entity as it is now, which can be newer than the change; null once it is deleted. A transaction that was replaced is shown as it was.
    async fn node(&self, ctx: &Context<'_>) -> Result<Option<Node>> {
        let change = &self.0.change;
        Ok(loader::node(ctx, change.kind, change.entity).await?)
    }

    /// When it happened.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.change.created_at)
    }
}

impl From<Entry> for Change {
    fn from(entry: Entry) -> Self {
        Self(entry)
    }
}

impl Plain for Change {}

impl Pointed for Change {
    fn pointer(&self) -> String {
        self.0.cursor.clone()
    }
}

connection!(
    /// A page of the feed of changes, oldest first.
    ChangeConnection,
    /// A change in a list.
    ChangeEdge,
    Change
);

/// A page of the feed.
pub async fn list(
    ctx: &Context<'_>,
    first: Option<i32>,
    after: Option<String>,
) -> Result<ChangeConnection> {
    let (app, principal) = (ctx.app(), ctx.principal()?);
    principal.require_api_key("read changes; it may follow itemUpdated")?;
    let limit = page::rows(first, crate::graphql::MOST_CHANGES)?;
    let page = change::list(app, principal.application, after.as_deref(), limit).await?;
    Ok(ChangeConnection::new(page))
}

/// What can change.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::EntityKind")]
pub enum EntityKind {
    /// An `Item`.
    Item,
    /// A `Consent`.
    Consent,
    /// An `Account`.
    Account,
    /// A `Transaction`.
    Transaction,
    /// An `Identity`.
    Identity,
    /// An `Investment`.
    Investment,
    /// An `InvestmentTransaction`.
    InvestmentTransaction,
    /// A `Loan`.
    Loan,
    /// A `Bill`.
    Bill,
    /// A `Statement`.
    Statement,
}

/// What became of an entity.
#[derive(Enum, Clone, Copy, Debug, PartialEq, Eq)]
#[graphql(remote = "entity::kind::ChangeAction")]
pub enum ChangeAction {
    /// It is new.
    Created,
    /// It is different: see `fields`.
    Updated,
    /// It is gone.
    Deleted,
}
