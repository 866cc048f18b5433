//! Anything that has an id.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{Context, ID, Interface, Result};
use entity::kind::EntityKind;
use uuid::Uuid;

use super::{
    super::{
        ContextExt as _, loader,
        scalar::{Id, uuid},
    },
    account::Account,
    audit::AuditEntry,
    bill::Bill,
    category::Category,
    category_rule::CategoryRule,
    connector::Connector,
    consent::Consent,
    event::Event,
    identity::Identity,
    investment::{Investment, InvestmentTransaction},
    item::Item,
    loan::Loan,
    statement::Statement,
    transaction::Transaction,
    webhook::{Delivery, Webhook},
};
use crate::{
    app::App,
    audit,
    auth::Principal,
    category,
    db::page::kinds,
    error::{Error, Result as OwnResult},
    event::log,
    item,
    product::{investment, list, loan, paper},
    webhook,
};

/// Anything that has an id.
#[derive(Clone, Interface)]
#[graphql(field(name = "id", ty = "Id", desc = "Identity."))]
pub enum Node {
    /// A user's connection.
    Item(Item),
    /// An integration.
    Connector(Connector),
    /// An account or card.
    Account(Account),
    /// A movement.
    Transaction(Transaction),
    /// A holder.
    Identity(Identity),
    /// What a user allowed.
    Consent(Consent),
    /// A position.
    Investment(Investment),
    /// A movement of a position.
    InvestmentTransaction(InvestmentTransaction),
    /// A loan.
    Loan(Loan),
    /// A bill of a card.
    Bill(Bill),
    /// A statement of an account.
    Statement(Statement),
    /// What happened.
    Event(Event),
    /// An endpoint.
    Webhook(Webhook),
    /// An event for an endpoint.
    Delivery(Delivery),
    /// Who did what.
    AuditEntry(AuditEntry),
    /// What money is spent on.
    Category(Category),
    /// What decides categories.
    CategoryRule(CategoryRule),
}

impl Node {
    /// The kind of personal data that it is.
    fn personal(&self) -> Option<EntityKind> {
        match self {
            Self::Item(_) => Some(EntityKind::Item),
            Self::Account(_) => Some(EntityKind::Account),
            Self::Transaction(_) => Some(EntityKind::Transaction),
            Self::Identity(_) => Some(EntityKind::Identity),
            Self::Consent(_) => Some(EntityKind::Consent),
            Self::Investment(_) => Some(EntityKind::Investment),
            Self::InvestmentTransaction(_) => Some(EntityKind::InvestmentTransaction),
            Self::Loan(_) => Some(EntityKind::Loan),
            Self::Bill(_) => Some(EntityKind::Bill),
            Self::Statement(_) => Some(EntityKind::Statement),
            Self::Connector(_)
            | Self::Event(_)
            | Self::Webhook(_)
            | Self::Delivery(_)
            | Self::AuditEntry(_)
            | Self::Category(_)
            | Self::CategoryRule(_) => None,
        }
    }
}

/// What has these ids, in their order; null where this principal has no such thing.
pub async fn find(ctx: &Context<'_>, ids: &[ID]) -> Result<Vec<Option<Node>>> {
    let (app, principal) = (ctx.app(), ctx.principal()?);
    let most = crate::graphql::MOST_ROWS;
    if ids.len() > most {
        return Err(Error::invalid("ids", format!("at most {most} ids")).into());
    }
    let mut rows: Vec<Uuid> = ids.iter().map(uuid).filter(|id| !id.is_nil()).collect();
    rows.sort_unstable();
    rows.dedup();
    let found = if rows.is_empty() {
        HashMap::new()
    } else {
        load(app, principal, &rows).await?
    };
    for kind in found.values().filter_map(Node::personal) {
        loader::show(ctx, kind, 1);
    }
    let node = |id: &ID| match found.get(&uuid(id)) {
        Some(node) => Some(node.clone()),
        None => match category::find(id) {
            Some(category) => Some(Node::Category(Category(category))),
            None => connector(app, id).map(Node::Connector),
        },
    };
    Ok(ids.iter().map(node).collect())
}

/// The connector with an id.
pub fn connector(app: &App, id: &ID) -> Option<Connector> {
    let number: i32 = id.parse().ok()?;
    // Only the one spelling that the connector itself shows.
    let known = app.connectors.find(number)?;
    (number.to_string() == id.as_str()).then(|| Connector(known.clone()))
}

/// A connect token sees its Items. For an API key, one statement tells what the ids are, and one reads each kind.
async fn load(app: &App, principal: &Principal, ids: &[Uuid]) -> OwnResult<HashMap<Uuid, Node>> {
    let mut nodes = HashMap::with_capacity(ids.len());
    if principal.connect_token().is_some() {
        let items = item::list::by_id(app, principal, ids).await?;
        nodes.extend(
            items
                .into_iter()
                .map(|(id, row)| (id, Node::Item(row.into()))),
        );
        return Ok(nodes);
    }
    let owner = principal.application;
    let mut by_table: HashMap<String, Vec<Uuid>> = HashMap::new();
    for (id, table) in kinds(&app.db, owner, ids).await? {
        by_table.entry(table).or_default().push(id);
    }
    for (table, ids) in by_table {
        nodes.extend(of_table(app, principal, &table, &ids).await?);
    }
    Ok(nodes)
}

/// What has these ids in one table of an application.
pub async fn of_table(
    app: &App,
    principal: &Principal,
    table: &str,
    ids: &[Uuid],
) -> OwnResult<HashMap<Uuid, Node>> {
    Ok(match table {
        "item" => {
            let found = item::list::by_id(app, principal, ids).await?;
            each(found, |row| Node::Item(row.into()))
        }
        "account" => {
            let found = list::accounts_by_id(app, principal, ids).await?;
            each(found, |row| Node::Account(row.into()))
        }
        "account_transaction" | "replaced_transaction" => {
            let found = list::transactions_by_id(app, principal, ids).await?;
            each(found, |row| Node::Transaction(row.into()))
        }
        "identity" => {
            let found = list::identities_by_id(app, principal, ids).await?;
            each(found, |row| Node::Identity(row.into()))
        }
        "consent" => {
            let found = list::consents_by_id(app, principal, ids).await?;
            each(found, |row| Node::Consent(row.into()))
        }
        "investment" => {
            let found = investment::by_id(app, principal, ids).await?;
            each(found, |row| Node::Investment(row.into()))
        }
        "investment_transaction" => {
            let found = investment::transactions_by_id(app, principal, ids).await?;
            each(found, |row| Node::InvestmentTransaction(row.into()))
        }
        "loan" => {
            let found = loan::by_id(app, principal, ids).await?;
            each(found, |row| Node::Loan(row.into()))
        }
        "bill" => {
            let found = paper::by_id(app, principal, ids).await?;
            each(found, |row| Node::Bill(Bill(row)))
        }
        "statement" => {
            let found = paper::by_id(app, principal, ids).await?;
            each(found, |row| Node::Statement(Statement(row)))
        }
        "event" => {
            let found = log::by_id(app, principal.application, ids).await?;
            each(found, |row| Node::Event(Event::new(app, Arc::new(row))))
        }
        "webhook" => {
            let found = webhook::by_id(app, principal, ids).await?;
            each(found, |row| Node::Webhook(row.into()))
        }
        "delivery" => {
            let found = webhook::deliveries_by_id(app, principal, ids).await?;
            each(found, |row| Node::Delivery(row.into()))
        }
        "audit_entry" => {
            let found = audit::list::by_id(app, principal, ids).await?;
            each(found, |row| Node::AuditEntry(row.into()))
        }
        "category_rule" => {
            let found = category::rule::by_id(app, principal, ids).await?;
            each(found, |row| Node::CategoryRule(row.into()))
        }
        _ => HashMap::new(),
    })
}

fn each<R>(found: HashMap<Uuid, R>, node: impl Fn(R) -> Node) -> HashMap<Uuid, Node> {
    let nodes = found.into_iter().map(|(id, row)| (id, node(row)));
    nodes.collect()
}
