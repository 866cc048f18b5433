//! Statements of accounts.

use async_graphql::{Context, Object, Result, SimpleObject};
use entity::{kind::Product, statement};
use uuid::Uuid;

use super::{
    super::{
        ContextExt as _, loader,
        page::{self, Arguments, List, Pointed, connection},
        rows::Plain,
        scalar::{DateTime, Id},
    },
    account::Account,
    document::integer,
};
use crate::{db::row::Row as _, error::Error, product::statement as statements};

/// A statement that an institution has issued for a month of an account: a PDF. One that the institution no longer shows stays. FORBIDDEN to connect tokens.
#[derive(Clone)]
pub struct Statement(pub statement::Model);

/// A statement that an institution has issued for a month of an account: a PDF. One that the institution no longer shows stays. FORBIDDEN to connect tokens.
#[Object]
impl Statement {
    /// Identity.
    pub async fn id(&self) -> Id {
        Id::Row(self.0.id)
    }

    /// Its account.
    async fn account(&self, ctx: &Context<'_>) -> Result<Account> {
        let account = loader::account(ctx, self.0.account_id).await?;
        Ok(Account(account.ok_or(Error::NotFound { what: "account" })?))
    }

    /// The month that it is for: `YYYY-MM`.
    async fn month(&self) -> String {
        statements::month(&self.0)
    }

    /// Bytes of its file.
    async fn size(&self) -> i32 {
        integer(&self.0.details, "size").unwrap_or(0)
    }

    /// SHA-256 of its file, hexadecimal: files that are the same need not be fetched again.
    async fn sha256(&self) -> &str {
        &self.0.sha256
    }

    /// Where its file can be fetched by GET, for a while. Made anew for every answer.
    async fn file(&self, ctx: &Context<'_>) -> StatementFile {
        let address = statements::address(ctx.app(), self.0.id);
        StatementFile {
            url: address.url.into(),
            expires_at: DateTime(address.expires_at),
        }
    }

    /// When the institution last confirmed the statements of its Item; null when it never has.
    async fn as_of(&self, ctx: &Context<'_>) -> Result<Option<DateTime>> {
        let freshness = loader::freshness(ctx, self.0.item_id, Product::AccountStatements).await?;
        Ok(freshness.as_of.map(DateTime))
    }

    /// Whether that may be out of date: the last run was to update it and has not, or it is older than two intervals of automatic runs, than 48 hours where there are none; what a regulated institution may be asked only now and then has that time more.
    async fn stale(&self, ctx: &Context<'_>) -> Result<bool> {
        let freshness = loader::freshness(ctx, self.0.item_id, Product::AccountStatements).await?;
        Ok(freshness.stale)
    }

    /// When it was first seen.
    async fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    /// When it last changed.
    async fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

/// Where the file of a statement can be fetched.
#[derive(SimpleObject)]
pub struct StatementFile {
    /// The address. It needs no token: whoever has it has the file, `application/pdf`.
    url: String,
    /// Until when it works: 30 minutes.
    expires_at: DateTime,
}

impl Plain for Statement {}

impl From<statement::Model> for Statement {
    fn from(row: statement::Model) -> Self {
        Self(row)
    }
}

impl Pointed for Statement {
    fn pointer(&self) -> String {
        page::cursor(List::Statements, self.0.key())
    }
}

/// Counts the statements of an account.
pub struct StatementCount(Uuid);

impl StatementCount {
    async fn count(&self, ctx: &Context<'_>) -> crate::error::Result<i64> {
        loader::count_papers::<statement::Model>(ctx, self.0).await
    }
}

connection!(
    /// A page of statements, the latest month first.
    StatementConnection,
    /// A statement in a list.
    StatementEdge,
    Statement,
    counted by StatementCount
);

/// A page of the statements of an account.
pub async fn list(
    ctx: &Context<'_>,
    account: Uuid,
    arguments: Arguments,
) -> Result<StatementConnection> {
    let slice = arguments.slice(List::Statements, crate::graphql::MOST_ROWS)?;
    let page = loader::papers_of::<statement::Model>(ctx, account, slice).await?;
    Ok(StatementConnection::new(page, StatementCount(account)))
}
