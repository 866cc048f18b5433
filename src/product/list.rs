//! What was collected, as clients read it: pages per Item or account, and single rows by id.
//!
//! Everything starts from a [`Principal`]; what belongs to a deleted Item is gone at once, before its rows are.

use std::collections::{BTreeSet, HashMap};

use chrono::NaiveDate;
use entity::{
    account, consent, identity,
    kind::{AccountType, CategorySource, TransactionStatus, TransactionType},
};
use sea_orm::{ColumnTrait as _, QueryFilter as _};
use uuid::Uuid;

use super::{particulars::Particulars, text::fold};
use crate::{
    app::App,
    auth::Principal,
    category::{self, Category, Decided},
    clock::Timestamp,
    db::{
        page::{self, Conditions, Key, Page, Slice, Source},
        replacement::{self, Replaced},
        row::{Cells, Row, stored},
    },
    error::{Error, Result},
    money::Amount,
};

/// Longest text that is searched for, in characters.
const LONGEST_SEARCH: usize = 200;
/// Most categories that are asked for at once.
const MOST_CATEGORIES: usize = 200;

const ACCOUNTS: Source = Source {
    table: "account",
    primary: "id",
    parent: "item_id",
    order: &["id"],
    descending: false,
};

stored!(
    account::Model {
        id,
        application_id,
        item_id,
        key,
        first_key,
        ordinal,
        kind,
        subtype,
        subtype_raw,
        number,
        name,
        marketing_name,
        balance_units,
        balance_nanos,
        currency_code,
        owner,
        tax_number,
        bank_data,
        credit_data,
        collected_to,
        payment_collected_to,
        suspect,
        closed_at,
        created_at,
        updated_at
    },
    |row| Key::Id(row.id)
);

/// Which accounts are wanted; everything given must hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct AccountFilter {
    /// Only of this family.
    pub kind: Option<AccountType>,
    /// Only closed ones, or only others.
    pub closed: Option<bool>,
}

impl AccountFilter {
    fn conditions(self, application: Uuid) -> Conditions {
        let mut conditions = owned_by(application);
        conditions.equal("kind", self.kind.map(AccountType::as_str));
        match self.closed {
            Some(true) => conditions.not_null("closed_at"),
            Some(false) => conditions.null("closed_at"),
            None => {}
        }
        conditions
    }
}

/// Accounts of Items that the principal has been shown, oldest first.
pub async fn accounts(
    app: &App,
    application: Uuid,
    items: &[Uuid],
    filter: AccountFilter,
    slice: Slice,
) -> Result<HashMap<Uuid, Page<account::Model>>> {
    let conditions = filter.conditions(application);
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
    filter: AccountFilter,
) -> Result<HashMap<Uuid, i64>> {
    let conditions = filter.conditions(application);
    page::count(&app.db, ACCOUNTS, items, &conditions).await
}

fn owned_by(application: Uuid) -> Conditions {
    let mut conditions = Conditions::default();
    conditions.equal("application_id", Some(application));
    conditions
}

const CONSENTS: Source = Source {
    table: "consent",
    primary: "id",
    parent: "item_id",
    order: &["id"],
    descending: true,
};

stored!(
    consent::Model {
        id,
        application_id,
        item_id,
        products,
        permissions,
        created_at,
        expires_at,
        revoked_at
    },
    |row| Key::Id(row.id)
);

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
#[derive(Clone, Debug, PartialEq)]
pub struct Movement {
    /// Identity.
    pub id: Uuid,
    /// Its Item.
    pub item_id: Uuid,
    /// Its account.
    pub account_id: Uuid,
    /// Local day.
    pub posted_on: NaiveDate,
    /// Cleaned text.
    pub description: String,
    /// The holder's view.
    pub amount: Amount,
    /// ISO 4217.
    pub currency_code: String,
    /// Direction.
    pub kind: TransactionType,
    /// Settled or not.
    pub status: TransactionStatus,
    /// How the list that it is of is ordered.
    pub order: Order,
    /// More, where it has been read.
    details: Option<Details>,
    /// The rest, where it has been read.
    particulars: Option<Box<Particulars>>,
    /// What has become of it, if it is gone.
    pub former: Option<Former>,
}

/// That a transaction is gone, and what it has become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Former {
    /// What it has become.
    pub replaced: Replaced,
    /// When it was gone.
    pub deleted_at: Timestamp,
}

/// How much is read of the transactions of a list: a page has many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Depth {
    /// What lists show.
    Brief,
    /// Also their [`Details`].
    Detailed,
    /// Also their [`Particulars`].
    Whole,
}

/// What lists seldom show of a transaction, and do not read then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// Instant.
    pub date: Timestamp,
    /// Verbatim text.
    pub description_raw: Option<String>,
    /// In the account's currency, when that is another one.
    pub account_amount: Option<Amount>,
    /// Running balance.
    pub balance: Option<Amount>,
    /// The institution's id.
    pub provider_id: Option<String>,
    /// The institution's code.
    pub provider_code: Option<String>,
    /// What it was for.
    pub category: Option<Decided>,
    /// First seen.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
}

impl Movement {
    /// More of it; fails where a list has left it out.
    pub fn details(&self) -> Result<&Details> {
        self.details.as_ref().ok_or_else(left_out)
    }

    /// The rest; fails where a list has left it out.
    pub fn particulars(&self) -> Result<&Particulars> {
        self.particulars.as_deref().ok_or_else(left_out)
    }
}

fn left_out() -> Error {
    Error::internal("the list has left out what is asked for")
}

/// How transactions are ordered; those that are equal by their ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// By day, the latest first.
    #[default]
    DateDescending,
    /// By day, the earliest first.
    DateAscending,
    /// By amount, the largest first.
    AmountDescending,
    /// By amount, the smallest first.
    AmountAscending,
    /// By when they were first seen, the latest first.
    CreatedDescending,
}

impl Order {
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::DateDescending | Self::DateAscending => &["posted_on", "id"],
            Self::AmountDescending | Self::AmountAscending => {
                &["amount_units", "amount_nanos", "id"]
            }
            Self::CreatedDescending => &["created_at", "id"],
        }
    }

    fn descending(self) -> bool {
        match self {
            Self::DateDescending | Self::AmountDescending | Self::CreatedDescending => true,
            Self::DateAscending | Self::AmountAscending => false,
        }
    }

    fn key(self, row: &Movement) -> Key {
        match self {
            Self::DateDescending | Self::DateAscending => Key::Day(row.posted_on, row.id),
            Self::AmountDescending | Self::AmountAscending => Key::Amount(row.amount, row.id),
            Self::CreatedDescending => {
                let details = row.details.as_ref();
                let at = details.map_or(Timestamp(0), |details| details.created_at);
                Key::At(at, row.id)
            }
        }
    }
}

/// The columns of a transaction: what lists show, [`Details`], [`Particulars`], [`Former`].
const COLUMNS: [&str; WHOLE + FORMER] = [
    "id",
    "item_id",
    "account_id",
    "posted_on",
    "description",
    "amount_units",
    "amount_nanos",
    "currency_code",
    "kind",
    "status",
    "date",
    "description_raw",
    "account_amount_units",
    "account_amount_nanos",
    "balance_units",
    "balance_nanos",
    "provider_id",
    "provider_code",
    "user_category_id",
    "rule_category_id",
    "category_id",
    "category_source",
    "created_at",
    "updated_at",
    "details",
    "payment_data",
    "bill_id",
    "replaced_by",
    "confidence",
    "deleted_at",
];
const BRIEF: usize = 10;
const DETAILS: usize = 14;
const WHOLE: usize = BRIEF + DETAILS + 3;
const FORMER: usize = 3;

impl Row for Movement {
    const COLUMNS: &'static [&'static str] = COLUMNS.split_at(WHOLE).0;

    fn read(cells: &mut Cells<'_>) -> Result<Self> {
        let Detailed(detailed) = Detailed::read(cells)?;
        let particulars = Particulars::read(cells.take()?, cells.take()?, cells.take()?)?;
        Ok(Self {
            particulars: Some(Box::new(particulars)),
            ..detailed
        })
    }

    fn key(&self) -> Key {
        self.order.key(self)
    }
}

/// A transaction that is gone.
struct Gone(Movement);

impl Row for Gone {
    const COLUMNS: &'static [&'static str] = &COLUMNS;

    fn read(cells: &mut Cells<'_>) -> Result<Self> {
        let movement = Movement::read(cells)?;
        let replaced = Replaced {
            id: movement.id,
            by: cells.take()?,
            confidence: cells.take()?,
        };
        let former = Former {
            replaced,
            deleted_at: cells.take()?,
        };
        Ok(Self(Movement {
            former: Some(former),
            ..movement
        }))
    }

    fn key(&self) -> Key {
        self.0.key()
    }
}

/// A transaction with its details alone.
struct Detailed(Movement);

impl Row for Detailed {
    const COLUMNS: &'static [&'static str] = COLUMNS.split_at(BRIEF + DETAILS).0;

    fn read(cells: &mut Cells<'_>) -> Result<Self> {
        let Brief(brief) = Brief::read(cells)?;
        let details = Details {
            date: cells.take()?,
            description_raw: cells.take()?,
            account_amount: maybe_amount(cells)?,
            balance: maybe_amount(cells)?,
            provider_id: cells.take()?,
            provider_code: cells.take()?,
            category: decided(cells)?,
            created_at: cells.take()?,
            updated_at: cells.take()?,
        };
        Ok(Self(Movement {
            details: Some(details),
            ..brief
        }))
    }

    fn key(&self) -> Key {
        self.0.key()
    }
}

/// A transaction without its details.
struct Brief(Movement);

impl Row for Brief {
    const COLUMNS: &'static [&'static str] = COLUMNS.split_at(BRIEF).0;

    fn read(cells: &mut Cells<'_>) -> Result<Self> {
        Ok(Self(Movement {
            id: cells.take()?,
            item_id: cells.take()?,
            account_id: cells.take()?,
            posted_on: cells.take()?,
            description: cells.take()?,
            amount: amount(cells.take()?, cells.take()?)?,
            currency_code: cells.take()?,
            kind: cells.take()?,
            status: cells.take()?,
            order: Order::default(),
            details: None,
            particulars: None,
            former: None,
        }))
    }

    fn key(&self) -> Key {
        self.0.key()
    }
}

fn amount(units: i64, nanos: i32) -> Result<Amount> {
    Amount::from_parts(units, nanos).map_err(Error::internal)
}

fn maybe_amount(cells: &mut Cells<'_>) -> Result<Option<Amount>> {
    let (units, nanos): (Option<i64>, Option<i32>) = (cells.take()?, cells.take()?);
    match (units, nanos) {
        (Some(units), Some(nanos)) => amount(units, nanos).map(Some),
        _ => Ok(None),
    }
}

fn decided(cells: &mut Cells<'_>) -> Result<Option<Decided>> {
    let (user, rule): (Option<String>, Option<String>) = (cells.take()?, cells.take()?);
    let (id, source): (Option<String>, Option<CategorySource>) = (cells.take()?, cells.take()?);
    let other = id.as_deref().zip(source);
    Ok(Decided::stored(user.as_deref(), rule.as_deref(), other))
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
    /// Only of this category, or of one that belongs to it.
    pub category: Option<String>,
    /// Only of one of these categories, or of one that belongs to one of them.
    pub categories: Option<Vec<String>>,
    /// Only with one of these statuses.
    pub statuses: Option<Vec<TransactionStatus>>,
    /// Only in one of these directions.
    pub kinds: Option<Vec<TransactionType>>,
    /// Only of this amount or a larger one.
    pub amount_from: Option<Amount>,
    /// Only of this amount or a smaller one.
    pub amount_to: Option<Amount>,
    /// Only of this amount or a larger one, in or out.
    pub absolute_from: Option<Amount>,
    /// Only of this amount or a smaller one, in or out.
    pub absolute_to: Option<Amount>,
    /// Only seen first at this instant or earlier.
    pub created_to: Option<Timestamp>,
}

/// The columns of a transaction's category, the one that counts first.
pub const CATEGORY: [&str; 3] = ["user_category_id", "rule_category_id", "category_id"];

const AMOUNT: [&str; 2] = ["amount_units", "amount_nanos"];

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
            _ => self.check_lists(),
        }
    }

    fn check_lists(&self) -> Result<()> {
        if self
            .categories
            .as_ref()
            .is_some_and(|ids| ids.len() > MOST_CATEGORIES)
        {
            return Err(Error::invalid(
                "categoryIds",
                format!("at most {MOST_CATEGORIES} ids"),
            ));
        }
        for (field, amount) in [
            ("absoluteAmountFrom", self.absolute_from),
            ("absoluteAmountTo", self.absolute_to),
        ] {
            if amount.is_some_and(Amount::is_negative) {
                return Err(Error::invalid(field, "must not be negative"));
            }
        }
        Ok(())
    }

    pub(super) fn conditions(&self, application: Uuid) -> Conditions {
        let mut conditions = owned_by(application);
        conditions.at_least("posted_on", self.from);
        conditions.at_most("posted_on", self.to);
        conditions.equal("account_id", self.account);
        conditions.equal("status", self.status.map(TransactionStatus::as_str));
        conditions.equal("kind", self.kind.map(TransactionType::as_str));
        conditions.at_least("created_at", self.created_from.map(|at| at.0));
        let search = self.search.as_deref().map(fold);
        conditions.containing("search_text", search.as_deref());
        conditions.at_most("created_at", self.created_to.map(|at| at.0));
        let statuses = self
            .statuses
            .as_ref()
            .map(|of| of.iter().map(|it| it.as_str()));
        conditions.one_of("status", statuses);
        let kinds = self
            .kinds
            .as_ref()
            .map(|of| of.iter().map(|it| it.as_str()));
        conditions.one_of("kind", kinds);
        conditions.first_one_of(&CATEGORY, self.category.as_ref().map(|id| families([id])));
        conditions.first_one_of(&CATEGORY, self.categories.as_ref().map(families));
        conditions.amount_at_least(AMOUNT, self.amount_from);
        conditions.amount_at_most(AMOUNT, self.amount_to);
        let opposite = |amount: Amount| amount.checked_neg().ok().zip(Some(amount));
        conditions.amount_outside(AMOUNT, self.absolute_from.and_then(opposite));
        if let Some((low, high)) = self.absolute_to.and_then(opposite) {
            conditions.amount_at_least(AMOUNT, Some(low));
            conditions.amount_at_most(AMOUNT, Some(high));
        }
        conditions
    }
}

/// The ids of these categories and of all that belong to them, each once. What is no category has none.
fn families<'a>(ids: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'static str> {
    let known = ids.into_iter().filter_map(|id| category::find(id));
    let members = known.flat_map(Category::family);
    members.map(|member| member.id).collect()
}

/// What transactions are listed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Parent {
    /// All of an Item.
    Item,
    /// All of an account.
    Account,
    /// All on a bill.
    Bill,
}

impl Parent {
    pub(super) fn source(self, order: Order) -> Source {
        Source {
            table: "account_transaction",
            primary: "id",
            parent: match self {
                Self::Item => "item_id",
                Self::Account => "account_id",
                Self::Bill => "bill_id",
            },
            order: order.columns(),
            descending: order.descending(),
        }
    }

    fn of(self, row: &Movement) -> Uuid {
        match self {
            Self::Item => row.item_id,
            Self::Account => row.account_id,
            Self::Bill => {
                let particulars = row.particulars.as_ref();
                particulars.and_then(|it| it.bill_id).unwrap_or_default()
            }
        }
    }
}

/// Which transactions are listed, how, and how much of them is read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listed {
    /// Of what.
    pub parent: Parent,
    /// Which of them.
    pub filter: TransactionFilter,
    /// In which order.
    pub order: Order,
    /// How much of them is read.
    pub depth: Depth,
}

impl Listed {
    /// All of an Item, an account or a bill, newest first, as lists show them.
    pub fn of(parent: Parent) -> Self {
        Self {
            parent,
            filter: TransactionFilter::default(),
            order: Order::default(),
            depth: Depth::Brief,
        }
    }
}

/// Transactions of Items, accounts or bills that the principal has been shown.
pub async fn transactions(
    app: &App,
    application: Uuid,
    listed: &Listed,
    ids: &[Uuid],
    slice: Slice,
) -> Result<HashMap<Uuid, Page<Movement>>> {
    let (db, parent, order) = (&app.db, listed.parent, listed.order);
    let (source, conditions) = (parent.source(order), listed.filter.conditions(application));
    let (owner, key) = (
        |row: &Movement| parent.of(row),
        |row: &Movement| order.key(row),
    );
    let least = match (parent, order) {
        // Only a whole row says on which bill it is.
        (Parent::Bill, _) => Depth::Whole,
        (_, Order::CreatedDescending) => Depth::Detailed,
        _ => Depth::Brief,
    };
    let mut pages = match listed.depth.max(least) {
        Depth::Brief => {
            let of = (
                |Brief(row): &Brief| owner(row),
                |Brief(row): &Brief| key(row),
            );
            let pages = page::ordered(db, source, ids, &conditions, slice, of).await?;
            each(pages, |Brief(row)| row)
        }
        Depth::Detailed => {
            let of = (
                |Detailed(row): &Detailed| owner(row),
                |Detailed(row): &Detailed| key(row),
            );
            let pages = page::ordered(db, source, ids, &conditions, slice, of).await?;
            each(pages, |Detailed(row)| row)
        }
        Depth::Whole => page::ordered(db, source, ids, &conditions, slice, (owner, key)).await?,
    };
    if order != Order::default() {
        for row in pages.values_mut().flat_map(|page| &mut page.rows) {
            row.order = order;
        }
    }
    Ok(pages)
}

fn each<R>(
    pages: HashMap<Uuid, Page<R>>,
    movement: impl Fn(R) -> Movement,
) -> HashMap<Uuid, Page<Movement>> {
    let pages = pages.into_iter();
    pages.map(|(id, page)| (id, page.map(&movement))).collect()
}

/// How many transactions Items, accounts or bills have.
pub async fn count_transactions(
    app: &App,
    application: Uuid,
    parent: Parent,
    ids: &[Uuid],
    filter: &TransactionFilter,
) -> Result<HashMap<Uuid, i64>> {
    let conditions = filter.conditions(application);
    page::count(&app.db, parent.source(Order::default()), ids, &conditions).await
}

/// Transactions by id, also those that have been replaced.
pub async fn transactions_by_id(
    app: &App,
    principal: &Principal,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Movement>> {
    let owner = principal.application;
    let source = Parent::Account.source(Order::default());
    let found = page::by_id::<Movement>(&app.db, source, owner, ids).await?;
    let mut found: HashMap<Uuid, Movement> = found.into_iter().map(|row| (row.id, row)).collect();
    let missing = ids.iter().filter(|id| !found.contains_key(*id));
    let missing: Vec<Uuid> = missing.copied().collect();
    if !missing.is_empty() {
        let gone = page::by_id::<Gone>(&app.db, REPLACED, owner, &missing).await?;
        found.extend(gone.into_iter().map(|Gone(row)| (row.id, row)));
    }
    Ok(found)
}

const REPLACED: Source = Source {
    table: "replaced_transaction",
    primary: "id",
    parent: "item_id",
    order: &["posted_on", "id"],
    descending: true,
};

/// Transactions of an Item that have been replaced, newest first.
pub async fn replaced_transactions(
    app: &App,
    application: Uuid,
    item: Uuid,
    slice: Slice,
) -> Result<Page<Movement>> {
    let owner = |Gone(row): &Gone| row.item_id;
    let conditions = owned_by(application);
    let pages = page::of_parents(&app.db, REPLACED, &[item], &conditions, slice, owner).await?;
    Ok(each(pages, |Gone(row)| row)
        .remove(&item)
        .unwrap_or_default())
}

/// Which transaction each of these has replaced; those that have replaced none are missing.
pub async fn replaced_by(
    app: &App,
    application: Uuid,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Replaced>> {
    let rows = replacement::replaced_by(&app.db, application, ids).await?;
    Ok(rows.into_iter().map(|row| (row.by, row)).collect())
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
    primary: "id",
    parent: "item_id",
    order: &["id"],
    descending: false,
};

stored!(
    identity::Model {
        id,
        application_id,
        item_id,
        full_name,
        company_name,
        document,
        document_type,
        tax_number,
        birth_date,
        job_title,
        details,
        created_at,
        updated_at
    },
    |row| Key::Id(row.id)
);

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
