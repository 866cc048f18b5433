//! What was collected, as clients read it: pages per Item or account, and single rows by id.
//!
//! Everything starts from a [`Principal`]; what belongs to a deleted Item is gone at once, before its rows are.

use std::collections::HashMap;

use chrono::NaiveDate;
use entity::{
    account, consent, identity,
    kind::{AccountType, TransactionStatus, TransactionType},
};
use sea_orm::{ColumnTrait as _, FromQueryResult as _, QueryFilter as _, QueryResult};
use uuid::Uuid;

use super::text::fold;
use crate::{
    app::App,
    auth::Principal,
    clock::Timestamp,
    db::page::{self, Conditions, Key, Page, Row, Slice, Source},
    error::{Error, Result},
    money::Amount,
};

/// Longest text that is searched for, in characters.
const LONGEST_SEARCH: usize = 200;

const ACCOUNTS: Source = Source {
    table: "account",
    columns: &["*"],
    primary: "id",
    parent: "item_id",
    order: &["id"],
    descending: false,
};

impl Row for account::Model {
    fn read(row: &QueryResult) -> Result<Self> {
        Ok(Self::from_query_result(row, "")?)
    }

    fn key(&self) -> Key {
        Key::Id(self.id)
    }
}

/// Accounts of Items that the principal has been shown, oldest first.
pub async fn accounts(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    kind: Option<AccountType>,
    slice: Slice,
) -> Result<HashMap<Uuid, Page<account::Model>>> {
    let conditions = of_kind(application, kind);
    page::of_parents(
        &app.db,
        ACCOUNTS,
        items,
        &conditions,
        slice,
        |row: &account::Model| row.item_id,
    )
    .await
}

/// How many accounts Items have.
pub async fn count_accounts(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    kind: Option<AccountType>,
) -> Result<HashMap<Uuid, i64>> {
    page::count(&app.db, ACCOUNTS, items, &of_kind(application, kind)).await
}

fn of_kind(application: Uuid, kind: Option<AccountType>) -> Conditions {
    let mut conditions = owned_by(application);
    conditions.equal("kind", kind.map(AccountType::as_str));
    conditions
}

fn owned_by(application: Uuid) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.equal("application_id", Some(application));
    conditions
}

const CONSENTS: Source = Source {
    table: "consent",
    columns: &["*"],
    primary: "id",
    parent: "item_id",
    order: &["id"],
    descending: true,
};

impl Row for consent::Model {
    fn read(row: &QueryResult) -> Result<Self> {
        Ok(Self::from_query_result(row, "")?)
    }

    fn key(&self) -> Key {
        Key::Id(self.id)
    }
}

/// Consents of Items that the principal has been shown, newest first.
pub async fn consents(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    slice: Slice,
) -> Result<HashMap<Uuid, Page<consent::Model>>> {
    page::of_parents(
        &app.db,
        CONSENTS,
        items,
        &owned_by(application),
        slice,
        |row: &consent::Model| row.item_id,
    )
    .await
}

/// The holders of Items that the principal has been shown.
pub async fn identities(
    app: &App,
    application: Uuid,
    items: &[Uuid],
) -> Result<HashMap<Uuid, identity::Model>> {
    let rows = identity::Entity::owned_by(application)
        .filter(identity::Column::ItemId.is_in(items.iter().copied()))
        .all(app.db.read())
        .await?;
    Ok(rows.into_iter().map(|row| (row.item_id, row)).collect())
}

/// A transaction as clients see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Identity.
    pub id: Uuid,
    /// Its Item.
    pub item_id: Uuid,
    /// Its account.
    pub account_id: Uuid,
    /// Instant.
    pub date: Timestamp,
    /// Local day.
    pub posted_on: NaiveDate,
    /// Cleaned text.
    pub description: String,
    /// Verbatim text.
    pub description_raw: Option<String>,
    /// The holder's view.
    pub amount: Amount,
    /// In the account's currency, when that is another one.
    pub account_amount: Option<Amount>,
    /// ISO 4217.
    pub currency_code: String,
    /// Direction.
    pub kind: TransactionType,
    /// Settled or not.
    pub status: TransactionStatus,
    /// Running balance.
    pub balance: Option<Amount>,
    /// The institution's id.
    pub provider_id: Option<String>,
    /// The institution's code.
    pub provider_code: Option<String>,
    /// First seen.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

const MOVEMENT: &[&str] = &[
    "id",
    "item_id",
    "account_id",
    "date",
    "posted_on",
    "description",
    "description_raw",
    "amount_units",
    "amount_nanos",
    "account_amount_units",
    "account_amount_nanos",
    "currency_code",
    "kind",
    "status",
    "balance_units",
    "balance_nanos",
    "provider_id",
    "provider_code",
    "created_at",
    "updated_at",
];

const OF_ACCOUNT: Source = Source {
    table: "account_transaction",
    columns: MOVEMENT,
    primary: "id",
    parent: "account_id",
    order: &["posted_on", "id"],
    descending: true,
};

const OF_ITEM: Source = Source {
    parent: "item_id",
    ..OF_ACCOUNT
};

fn amount(units: i64, nanos: i32) -> Result<Amount> {
    Amount::from_parts(units, nanos).map_err(Error::internal)
}

impl Row for Movement {
    /// The columns are read by place: a page has many rows.
    fn read(row: &QueryResult) -> Result<Self> {
        let maybe = |units: usize| -> Result<Option<Amount>> {
            match row.try_get_by_index::<Option<i64>>(units)? {
                Some(whole) => amount(whole, row.try_get_by_index(units + 1)?).map(Some),
                None => Ok(None),
            }
        };
        Ok(Self {
            id: row.try_get_by_index(0)?,
            item_id: row.try_get_by_index(1)?,
            account_id: row.try_get_by_index(2)?,
            date: row.try_get_by_index(3)?,
            posted_on: row.try_get_by_index(4)?,
            description: row.try_get_by_index(5)?,
            description_raw: row.try_get_by_index(6)?,
            amount: amount(row.try_get_by_index(7)?, row.try_get_by_index(8)?)?,
            account_amount: maybe(9)?,
            currency_code: row.try_get_by_index(11)?,
            kind: row.try_get_by_index(12)?,
            status: row.try_get_by_index(13)?,
            balance: maybe(14)?,
            provider_id: row.try_get_by_index(16)?,
            provider_code: row.try_get_by_index(17)?,
            created_at: row.try_get_by_index(18)?,
            updated_at: row.try_get_by_index(19)?,
        })
    }

    fn key(&self) -> Key {
        Key::Day(self.posted_on, self.id)
    }
}

/// Which transactions are wanted; everything given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TransactionFilter {
    /// First day.
    pub from: Option<NaiveDate>,
    /// Last day.
    pub to: Option<NaiveDate>,
    /// Only of this account.
    pub account: Option<Uuid>,
    /// Only with this status.
    pub status: Option<TransactionStatus>,
    /// Only in this direction.
    pub kind: Option<TransactionType>,
    /// Only seen first at this instant or later.
    pub created_from: Option<Timestamp>,
    /// Only whose description contains this, without regard to case and accents.
    pub search: Option<String>,
}

impl TransactionFilter {
    /// Fails unless it can be asked for.
    pub fn check(&self) -> Result<()> {
        match &self.search {
            Some(text) if text.chars().count() > LONGEST_SEARCH || text.contains('\0') => {
                Err(Error::invalid(
                    "search",
                    format!("at most {LONGEST_SEARCH} characters, none of them NUL"),
                ))
            }
            _ => Ok(()),
        }
    }

    fn conditions(&self, application: Uuid) -> Conditions {
        let mut conditions = owned_by(application);
        conditions.at_least("posted_on", self.from);
        conditions.at_most("posted_on", self.to);
        conditions.equal("account_id", self.account);
        conditions.equal("status", self.status.map(TransactionStatus::as_str));
        conditions.equal("kind", self.kind.map(TransactionType::as_str));
        conditions.at_least("created_at", self.created_from.map(|at| at.0));
        let search = self.search.as_deref().map(fold);
        conditions.containing("search_text", search.as_deref());
        conditions
    }
}

/// What transactions are listed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parent {
    /// All of an Item.
    Item,
    /// All of an account.
    Account,
}

impl Parent {
    fn source(self) -> Source {
        match self {
            Self::Item => OF_ITEM,
            Self::Account => OF_ACCOUNT,
        }
    }
}

/// Transactions of Items or accounts that the principal has been shown, newest first.
pub async fn transactions(
    app: &App,
    application: Uuid,
    parent: Parent,
    ids: &[Uuid],
    filter: &TransactionFilter,
    slice: Slice,
) -> Result<HashMap<Uuid, Page<Movement>>> {
    let conditions = filter.conditions(application);
    page::of_parents(
        &app.db,
        parent.source(),
        ids,
        &conditions,
        slice,
        |row: &Movement| match parent {
            Parent::Item => row.item_id,
            Parent::Account => row.account_id,
        },
    )
    .await
}

/// How many transactions Items or accounts have.
pub async fn count_transactions(
    app: &App,
    application: Uuid,
    parent: Parent,
    ids: &[Uuid],
    filter: &TransactionFilter,
) -> Result<HashMap<Uuid, i64>> {
    let conditions = filter.conditions(application);
    page::count(&app.db, parent.source(), ids, &conditions).await
}

/// Transactions by id.
pub async fn transactions_by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Movement>> {
    let found = page::by_id::<Movement>(&app.db, OF_ACCOUNT, principal.application, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}

/// Accounts by id.
pub async fn accounts_by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, account::Model>> {
    let found =
        page::by_id::<account::Model>(&app.db, ACCOUNTS, principal.application, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}

/// Consents by id.
pub async fn consents_by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, consent::Model>> {
    let found =
        page::by_id::<consent::Model>(&app.db, CONSENTS, principal.application, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}

const IDENTITIES: Source = Source {
    table: "identity",
    columns: &["*"],
    primary: "id",
    parent: "item_id",
    order: &["id"],
    descending: false,
};

impl Row for identity::Model {
    fn read(row: &QueryResult) -> Result<Self> {
        Ok(Self::from_query_result(row, "")?)
    }

    fn key(&self) -> Key {
        Key::Id(self.id)
    }
}

/// Holders by id.
pub async fn identities_by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, identity::Model>> {
    let found =
        page::by_id::<identity::Model>(&app.db, IDENTITIES, principal.application, ids).await?;
    Ok(found.into_iter().map(|row| (row.id, row)).collect())
}
