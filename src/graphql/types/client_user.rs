//! What is held about a client user, and its end.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Result, SimpleObject, Union};
use entity::{connect_token, kind::EntityKind};

use super::{
    super::{
        ContextExt as _, loader,
        page::rows,
        scalar::{DateTime, Id},
    },
    account::Account,
    audit::AuditEntry,
    bill::Bill,
    category_rule::CategoryRule,
    consent::Consent,
    event::Event,
    execution::Execution,
    identity::Identity,
    investment::{Investment, InvestmentTransaction},
    item::Item,
    loan::Loan,
    statement::Statement,
    transaction::Transaction,
};
use crate::{
    app::App,
    client_user::{
        self, Erased,
        export::{Exported, Record},
    },
    item::history::Run,
};

/// A page of everything that is held about a client user.
#[derive(SimpleObject)]
pub struct ClientUserExport {
    /// For each Item what it is, that credentials are held, its consents, accounts, holder, transactions, positions with their movements, loans, bills, statements and runs; then connect tokens, category rules for the user alone, events, entries of the audit log. May be empty before the end.
    records: Vec<ExportRecord>,
    /// Give it as `after` to go on; null when the export is complete.
    cursor: Option<String>,
}

/// Something that is held about a client user.
#[derive(Union)]
pub enum ExportRecord {
    /// A connection.
    Item(Item),
    /// That credentials are held.
    Credentials(HeldCredentials),
    /// What the user allowed.
    Consent(Consent),
    /// An account or card.
    Account(Account),
    /// A holder.
    Identity(Identity),
    /// A movement, also one that was replaced.
    Transaction(Transaction),
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
    /// A run.
    Execution(Execution),
    /// A token.
    ConnectToken(ConnectToken),
    /// What decides the categories of the user's movements alone.
    CategoryRule(CategoryRule),
    /// What happened.
    Event(Event),
    /// What was done.
    AuditEntry(AuditEntry),
}

/// That the values of an Item's parameters are held. They are sealed: no answer shows them.
#[derive(SimpleObject)]
pub struct HeldCredentials {
    /// The Item that is logged in to with them.
    item_id: Id,
    /// Names of the parameters whose values are held.
    parameter_names: Vec<String>,
}

/// A connect token that was issued. It is forgotten a day after its end.
#[derive(SimpleObject)]
pub struct ConnectToken {
    /// Identity: its `jti`.
    id: Id,
    /// The existing Item that it may update; null when it names none.
    item_id: Option<Id>,
    /// The client user that it acts for.
    client_user_id: Option<String>,
    /// Address that is told of all events of the Items made with it; null when there is none.
    webhook_url: Option<String>,
    /// Where the browser is sent after a login on an institution's own site; null when there is none.
    oauth_redirect_uri: Option<String>,
    /// When it was issued.
    created_at: DateTime,
    /// When it ends.
    expires_at: DateTime,
}

impl From<connect_token::Model> for ConnectToken {
    fn from(row: connect_token::Model) -> Self {
        Self {
            id: Id::Row(row.id),
            item_id: row.item_id.map(Id::Row),
            client_user_id: row.client_user_id,
            webhook_url: row.webhook_url,
            oauth_redirect_uri: row.oauth_redirect_uri,
            created_at: DateTime(row.created_at),
            expires_at: DateTime(row.expires_at),
        }
    }
}

impl ExportRecord {
    fn new(app: &App, record: Record) -> Self {
        match record {
            Record::Item(row) => Self::Item(Item(row)),
            Record::Credentials(item, parameter_names) => Self::Credentials(HeldCredentials {
                item_id: Id::Row(item),
                parameter_names,
            }),
            Record::Consent(row) => Self::Consent(Consent(row)),
            Record::Account(row) => Self::Account(Account(*row)),
            Record::Identity(row) => Self::Identity(Identity(*row)),
            Record::Transaction(row) => Self::Transaction(Transaction(*row)),
            Record::Execution(row) => Self::Execution(Execution(Run::from(*row))),
            Record::Investment(row) => Self::Investment(Investment(*row)),
            Record::InvestmentTransaction(row) => {
                Self::InvestmentTransaction(InvestmentTransaction(*row))
            }
            Record::Loan(row) => Self::Loan(Loan(*row)),
            Record::Bill(row) => Self::Bill(Bill(*row)),
            Record::Statement(row) => Self::Statement(Statement(*row)),
            Record::ConnectToken(row) => Self::ConnectToken(row.into()),
            Record::CategoryRule(row) => Self::CategoryRule(CategoryRule(row)),
            Record::Event(row) => Self::Event(Event::new(app, Arc::new(*row))),
            Record::AuditEntry(row) => Self::AuditEntry(AuditEntry(*row)),
        }
    }
}

/// The kind of personal data that a record is, as bulk reads are counted.
fn kind(record: &Record) -> Option<EntityKind> {
    match record {
        Record::Item(_) => Some(EntityKind::Item),
        Record::Consent(_) => Some(EntityKind::Consent),
        Record::Account(_) => Some(EntityKind::Account),
        Record::Identity(_) => Some(EntityKind::Identity),
        Record::Transaction(_) => Some(EntityKind::Transaction),
        Record::Investment(_) => Some(EntityKind::Investment),
        Record::InvestmentTransaction(_) => Some(EntityKind::InvestmentTransaction),
        Record::Loan(_) => Some(EntityKind::Loan),
        Record::Bill(_) => Some(EntityKind::Bill),
        Record::Statement(_) => Some(EntityKind::Statement),
        Record::Credentials(..)
        | Record::Execution(_)
        | Record::ConnectToken(_)
        | Record::CategoryRule(_)
        | Record::Event(_)
        | Record::AuditEntry(_) => None,
    }
}

/// A page of an export.
pub async fn export(
    ctx: &Context<'_>,
    client_user_id: &str,
    first: Option<i32>,
    after: Option<&str>,
) -> Result<ClientUserExport> {
    let (app, principal) = (ctx.app(), ctx.principal()?);
    let limit = rows(first, crate::graphql::MOST_EXPORTED)?;
    let Exported { records, next } =
        client_user::export(app, principal, client_user_id, after, limit).await?;
    for kind in records.iter().filter_map(kind) {
        loader::show(ctx, kind, 1);
    }
    let records = records.into_iter();
    Ok(ClientUserExport {
        records: records.map(|one| ExportRecord::new(app, one)).collect(),
        cursor: next,
    })
}

/// Whose data is to be erased.
#[derive(InputObject)]
pub struct DeleteClientUserInput {
    /// Your name for the user. 1 to 256 characters.
    pub client_user_id: String,
}

/// A client user that is being erased.
#[derive(SimpleObject)]
pub struct DeleteClientUserPayload {
    /// The Items that this call deleted, 100 at most: gone for everybody who asks.
    deleted_item_ids: Vec<ID>,
    /// How many Items of the user are still there. They are being deleted, whether you ask again or not; 0 means that all are gone.
    remaining_items: i64,
}

impl From<Erased> for DeleteClientUserPayload {
    fn from(erased: Erased) -> Self {
        Self {
            deleted_item_ids: erased.items.into_iter().map(Into::into).collect(),
            remaining_items: erased.remaining,
        }
    }
}
