//! Everything that is held about a client user, in pages.
//!
//! One walk with one cursor: Item by Item what belongs to it, then what is kept under the user's name. A page is bounded in
//! rows and in statements, whatever the user has. Each row is told as it is when its page is read.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{Datelike as _, NaiveDate};
use entity::{
    account, audit_entry, bill, category_rule, connect_token, consent, event, execution, identity,
    investment, investment_transaction, item, kind::AuditAction, loan, statement,
};
use sea_orm::{ColumnTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use uuid::Uuid;

use crate::{
    app::App,
    audit::{
        Entry,
        list::{self as entries, AuditFilter},
    },
    auth::Principal,
    category::rule,
    db::{
        page::{Key, Page, Slice},
        row::Row,
    },
    error::{Error, Result},
    event::{cursor, log},
    item::{check_client_user_id, held_parameters},
    product::{
        investment as positions,
        list::{self as products, AccountFilter, Depth, Listed, Movement, Parent},
        loan as loans, paper,
    },
};

/// Parts that one page looks into. An Item has thirteen.
const PARTS: usize = 120;
/// Positions of the log that one part looks at.
const STRETCH: i64 = 20_000;

const VERSION: u8 = 2;

/// Something that is held about a client user.
#[derive(Debug)]
pub enum Record {
    /// A connection of the user.
    Item(Box<item::Model>),
    /// That credentials are held, and of which parameters.
    Credentials(Uuid, Vec<String>),
    /// What the user allowed.
    Consent(consent::Model),
    /// An account or card.
    Account(Box<account::Model>),
    /// A holder.
    Identity(Box<identity::Model>),
    /// A movement.
    Transaction(Box<Movement>),
    /// A position.
    Investment(Box<investment::Model>),
    /// A movement of a position.
    InvestmentTransaction(Box<investment_transaction::Model>),
    /// A loan.
    Loan(Box<loan::Model>),
    /// A bill of a card.
    Bill(Box<bill::Model>),
    /// A statement of an account.
    Statement(Box<statement::Model>),
    /// A run.
    Execution(Box<execution::Model>),
    /// A token that was made for the user.
    ConnectToken(connect_token::Model),
    /// What decides the categories of the user's movements.
    CategoryRule(category_rule::Model),
    /// What happened.
    Event(Box<event::Model>),
    /// What was done.
    AuditEntry(Box<audit_entry::Model>),
}

/// A page of an export.
#[derive(Debug)]
pub struct Exported {
    /// Its records.
    pub records: Vec<Record>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// A kind of records. Numbers are part of cursors: new ones come last, whatever their place in the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Section {
    Items,
    Credentials,
    Consents,
    Accounts,
    Identity,
    Transactions,
    Executions,
    ConnectTokens,
    Events,
    AuditEntries,
    Investments,
    InvestmentTransactions,
    Loans,
    CategoryRules,
    Bills,
    ReplacedTransactions,
    Statements,
}

/// A place in the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    section: Section,
    /// The Item that is told of, or has been.
    item: Uuid,
    /// Behind this row.
    key: Option<Key>,
}

/// A page of what is held about a client user. The first page of an export is noted in the audit log.
pub async fn export(
    app: &App,
    principal: &Principal,
    client_user_id: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Exported> {
    principal.require_api_key("export client users")?;
    check_client_user_id(Some(client_user_id))?;
    let mut place = if let Some(cursor) = after {
        Place::decode(cursor).ok_or(Error::BadCursor)?
    } else {
        note(app, principal, client_user_id).await?;
        Place::of(Section::Items, Uuid::nil())
    };
    let walk = Walk {
        app,
        principal,
        user: client_user_id,
    };
    let mut records = Vec::new();
    for _ in 0..PARTS {
        if records.len() >= limit {
            break;
        }
        let left = limit - records.len();
        let (some, next) = walk.part(place, left).await?;
        records.extend(some);
        match next {
            Some(next) => place = next,
            None => {
                return Ok(Exported {
                    records,
                    next: None,
                });
            }
        }
    }
    Ok(Exported {
        records,
        next: Some(place.encode()),
    })
}

/// Notes that an export is begun.
async fn note(app: &App, principal: &Principal, client_user_id: &str) -> Result<()> {
    let entry = Entry::of(principal, AuditAction::ClientUserExported)
        .about(&app.vault, Some(client_user_id));
    let owner = app.clone();
    app.unit(async move {
        entry
            .append(owner.db.write(), &owner.clock, &owner.rng)
            .await?;
        Ok(())
    })
    .await
}

/// What a walk is about.
struct Walk<'a> {
    app: &'a App,
    principal: &'a Principal,
    user: &'a str,
}

/// Records, and where to go on behind them.
type Part = (Vec<Record>, Option<Place>);

impl Walk<'_> {
    /// The records at a place, at most so many.
    async fn part(&self, place: Place, limit: usize) -> Result<Part> {
        match place.section {
            Section::Items => self.next_item(place.item).await,
            Section::ConnectTokens => self.tokens(place, limit).await,
            Section::CategoryRules => self.rules(place, limit).await,
            Section::Events => self.events(place, limit).await,
            Section::AuditEntries => self.entries(place, limit).await,
            _ => match self
                .items()
                .filter(item::Column::Id.eq(place.item))
                .one(self.app.db.read())
                .await?
            {
                Some(item) => self.of_item(&item, place, limit).await,
                // It is gone, or is another user's now.
                None => Ok((Vec::new(), Some(Place::of(Section::Items, place.item)))),
            },
        }
    }

    fn items(&self) -> sea_orm::Select<item::Entity> {
        self.principal
            .items()
            .filter(item::Column::ClientUserId.eq(self.user))
    }

    async fn next_item(&self, after: Uuid) -> Result<Part> {
        let next = self
            .items()
            .filter(item::Column::Id.gt(after))
            .order_by_asc(item::Column::Id)
            .one(self.app.db.read())
            .await?;
        Ok(match next {
            Some(item) => {
                let place = Place::of(Section::Credentials, item.id);
                (vec![Record::Item(Box::new(item))], Some(place))
            }
            None => (Vec::new(), Some(Place::of(Section::ConnectTokens, after))),
        })
    }

    async fn of_item(&self, item: &item::Model, place: Place, limit: usize) -> Result<Part> {
        let (app, owner, ids) = (self.app, self.principal.application, [item.id]);
        let slice = Slice {
            after: place.key,
            before: None,
            limit,
            backward: false,
        };
        let next = |section| Some(Place::of(section, item.id));
        Ok(match place.section {
            Section::Credentials => {
                let names = held_parameters(app, item).await?;
                let held = (!names.is_empty()).then_some(Record::Credentials(item.id, names));
                let records = held.into_iter().collect();
                (records, next(Section::Consents))
            }
            Section::Consents => {
                let page = products::consents(app, owner, &ids, slice)
                    .await?
                    .remove(&item.id);
                place.page(page, Section::Accounts, Record::Consent)
            }
            Section::Accounts => {
                let page = products::accounts(app, owner, &ids, AccountFilter::default(), slice)
                    .await?
                    .remove(&item.id);
                place.page(page, Section::Identity, |row| {
                    Record::Account(Box::new(row))
                })
            }
            Section::Identity => {
                let found = products::identities(app, owner, &ids)
                    .await?
                    .remove(&item.id);
                let records = found.into_iter().map(|row| Record::Identity(Box::new(row)));
                (records.collect(), next(Section::Transactions))
            }
            Section::Transactions => {
                let all = Listed {
                    depth: Depth::Whole,
                    ..Listed::of(Parent::Item)
                };
                let page = products::transactions(app, owner, &all, &ids, slice)
                    .await?
                    .remove(&item.id);
                place.page(page, Section::ReplacedTransactions, |row| {
                    Record::Transaction(Box::new(row))
                })
            }
            Section::ReplacedTransactions => {
                let page = products::replaced_transactions(app, owner, item.id, slice).await?;
                place.page(Some(page), Section::Investments, |row| {
                    Record::Transaction(Box::new(row))
                })
            }
            Section::Investments => {
                let page = positions::list(app, owner, &ids, None, slice)
                    .await?
                    .remove(&item.id);
                place.page(page, Section::InvestmentTransactions, |row| {
                    Record::Investment(Box::new(row))
                })
            }
            Section::InvestmentTransactions => {
                let page = positions::transactions_of_items(app, owner, &ids, slice)
                    .await?
                    .remove(&item.id);
                place.page(page, Section::Loans, |row| {
                    Record::InvestmentTransaction(Box::new(row))
                })
            }
            Section::Loans => {
                let page = loans::list(app, owner, &ids, None, slice)
                    .await?
                    .remove(&item.id);
                place.page(page, Section::Bills, |row| Record::Loan(Box::new(row)))
            }
            Section::Bills => {
                let page = paper::of_items(app, owner, &ids, slice)
                    .await?
                    .remove(&item.id);
                place.page(page, Section::Statements, |row| Record::Bill(Box::new(row)))
            }
            Section::Statements => {
                let page = paper::of_items(app, owner, &ids, slice)
                    .await?
                    .remove(&item.id);
                place.page(page, Section::Executions, |row| {
                    Record::Statement(Box::new(row))
                })
            }
            _ => self.runs(item, place, limit).await?,
        })
    }

    async fn runs(&self, item: &item::Model, place: Place, limit: usize) -> Result<Part> {
        let mut runs = execution::Entity::owned_by(self.principal.application)
            .filter(execution::Column::ItemId.eq(item.id));
        if let Some(Key::Id(after)) = place.key {
            runs = runs.filter(execution::Column::Id.gt(after));
        }
        let rows = runs
            .order_by_asc(execution::Column::Id)
            .limit(limit as u64)
            .all(self.app.db.read())
            .await?;
        let full = rows.last().filter(|_| rows.len() >= limit);
        let then = full.map_or(Place::of(Section::Items, item.id), |row| {
            place.behind(Key::Id(row.id))
        });
        let records = rows.into_iter().map(|row| Record::Execution(Box::new(row)));
        Ok((records.collect(), Some(then)))
    }

    async fn tokens(&self, place: Place, limit: usize) -> Result<Part> {
        let mut tokens = connect_token::Entity::owned_by(self.principal.application)
            .filter(connect_token::Column::ClientUserId.eq(self.user));
        if let Some(Key::Id(after)) = place.key {
            tokens = tokens.filter(connect_token::Column::Id.gt(after));
        }
        let rows = tokens
            .order_by_asc(connect_token::Column::Id)
            .limit(limit as u64)
            .all(self.app.db.read())
            .await?;
        let full = rows.last().filter(|_| rows.len() >= limit);
        let then = full.map_or(Place::of(Section::CategoryRules, place.item), |row| {
            place.behind(Key::Id(row.id))
        });
        Ok((
            rows.into_iter().map(Record::ConnectToken).collect(),
            Some(then),
        ))
    }

    async fn rules(&self, place: Place, limit: usize) -> Result<Part> {
        let slice = Slice {
            after: place.key,
            before: None,
            limit,
            backward: false,
        };
        let page = rule::list(self.app, self.principal, Some(self.user), slice).await?;
        Ok(place.page(Some(page), Section::Events, Record::CategoryRule))
    }

    async fn events(&self, place: Place, limit: usize) -> Result<Part> {
        let (app, owner) = (self.app, self.principal.application);
        let after = match place.key {
            Some(Key::Position(position)) => position,
            _ => cursor::oldest(app, owner).await?,
        };
        let head = cursor::head(app, owner).await?;
        let to = head.min(after.saturating_add(STRETCH));
        let rows = log::of_client_user(app, owner, self.user, (after, to), limit).await?;
        let then = match rows.last() {
            Some(row) if rows.len() >= limit => {
                place.behind(Key::Position(row.position.unwrap_or(to)))
            }
            _ if to < head => place.behind(Key::Position(to)),
            _ => Place::of(Section::AuditEntries, place.item),
        };
        let records = rows.into_iter().map(|row| Record::Event(Box::new(row)));
        Ok((records.collect(), Some(then)))
    }

    async fn entries(&self, place: Place, limit: usize) -> Result<Part> {
        let filter = AuditFilter {
            client_user_id: Some(self.user.to_owned()),
            ..AuditFilter::default()
        };
        let slice = Slice {
            after: place.key,
            before: None,
            limit,
            backward: false,
        };
        let page = entries::list(self.app, self.principal, &filter, slice).await?;
        let last = page.rows.last().map(Row::key).filter(|_| page.has_next);
        let records = page
            .rows
            .into_iter()
            .map(|row| Record::AuditEntry(Box::new(row)));
        Ok((records.collect(), last.map(|key| place.behind(key))))
    }
}

impl Section {
    const ALL: [Self; 17] = [
        Self::Items,
        Self::Credentials,
        Self::Consents,
        Self::Accounts,
        Self::Identity,
        Self::Transactions,
        Self::Executions,
        Self::ConnectTokens,
        Self::Events,
        Self::AuditEntries,
        Self::Investments,
        Self::InvestmentTransactions,
        Self::Loans,
        Self::CategoryRules,
        Self::Bills,
        Self::ReplacedTransactions,
        Self::Statements,
    ];
}

impl Place {
    fn of(section: Section, item: Uuid) -> Self {
        Self {
            section,
            item,
            key: None,
        }
    }

    fn behind(self, key: Key) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// The records of a page, and where to go on: behind it, or with another section.
    fn page<R: Row>(
        self,
        page: Option<Page<R>>,
        then: Section,
        record: impl Fn(R) -> Record,
    ) -> Part {
        let page = page.unwrap_or_default();
        let last = page.rows.last().map(Row::key).filter(|_| page.has_next);
        let next = last.map_or(Self::of(then, self.item), |key| self.behind(key));
        (page.rows.into_iter().map(record).collect(), Some(next))
    }

    fn encode(self) -> String {
        let mut bytes = vec![VERSION, self.section as u8];
        bytes.extend_from_slice(self.item.as_bytes());
        match self.key {
            Some(Key::Id(id)) => bytes.extend_from_slice(id.as_bytes()),
            Some(Key::Day(day, id)) => {
                bytes.extend_from_slice(&day.num_days_from_ce().to_be_bytes());
                bytes.extend_from_slice(id.as_bytes());
            }
            Some(Key::Position(position)) => bytes.extend_from_slice(&position.to_be_bytes()),
            // No section is walked by amount or instant.
            None | Some(Key::Amount(..) | Key::At(..)) => {}
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(cursor: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (head, rest) = bytes.split_first_chunk::<18>()?;
        let [version, section, item @ ..] = head;
        let section = *Section::ALL.get(usize::from(*section))?;
        let key = match (section, rest.len()) {
            (_, 0) => None,
            (
                Section::Transactions
                | Section::ReplacedTransactions
                | Section::Bills
                | Section::Statements
                | Section::InvestmentTransactions,
                20,
            ) => {
                let (day, id) = rest.split_first_chunk()?;
                let day = NaiveDate::from_num_days_from_ce_opt(i32::from_be_bytes(*day))?;
                Some(Key::Day(day, Uuid::from_slice(id).ok()?))
            }
            (Section::Events, 8) => {
                let position = i64::from_be_bytes(rest.try_into().ok()?);
                Some(Key::Position(position.max(0)))
            }
            (
                Section::Consents
                | Section::Accounts
                | Section::Executions
                | Section::ConnectTokens
                | Section::AuditEntries
                | Section::Investments
                | Section::Loans
                | Section::CategoryRules,
                16,
            ) => Some(Key::Id(Uuid::from_slice(rest).ok()?)),
            _ => return None,
        };
        (*version == VERSION).then_some(Self {
            section,
            item: Uuid::from_bytes(*item),
            key,
        })
    }
}
