//! One page of rows for each of many parents, in one statement however many parents there are.
//!
//! PostgreSQL joins each parent laterally with its page. SQLite has no LATERAL, and numbering whole parents would read
//! all their rows: there each parent's page is a correlated list of row ids. Where a cursor is given, one row of the
//! other side comes along, so that "is there more" is told and not guessed in either direction.

mod statement;
pub mod summary;

use std::{collections::HashMap, fmt::Write as _};

use chrono::NaiveDate;
use sea_orm::{ConnectionTrait as _, Statement, Value};
use uuid::Uuid;

pub use self::statement::Conditions;
pub(super) use self::statement::pattern as containing;
use self::statement::{Sql, parent_id, push_conditions, push_parents, statement};
use super::{
    Db,
    row::{Cells, Row},
};
use crate::{
    clock::Timestamp,
    error::{Error, Result},
    money::Amount,
};

/// Most rows that one statement brings, over all parents.
const MOST_ROWS: usize = 50_000;

/// What a list is ordered by, and a cursor points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// Ordered by id.
    Id(Uuid),
    /// Ordered by day, then id.
    Day(NaiveDate, Uuid),
    /// Ordered by position in the log.
    Position(i64),
    /// Ordered by amount, then id.
    Amount(Amount, Uuid),
    /// Ordered by instant, then id.
    At(Timestamp, Uuid),
}

impl Key {
    fn values(self) -> Vec<Value> {
        match self {
            Self::Id(id) => vec![id.into()],
            Self::Day(day, id) => vec![day.into(), id.into()],
            Self::Position(position) => vec![position.into()],
            Self::Amount(amount, id) => {
                vec![amount.units().into(), amount.nanos().into(), id.into()]
            }
            Self::At(at, id) => vec![at.0.into(), id.into()],
        }
    }
}

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slice {
    /// Only what comes behind this.
    pub after: Option<Key>,
    /// Only what comes before this.
    pub before: Option<Key>,
    /// At most so many rows.
    pub limit: usize,
    /// Counted from the end of the list.
    pub backward: bool,
}

/// Part of a list, in the list's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<R> {
    /// Its rows.
    pub rows: Vec<R>,
    /// Whether there are rows before it.
    pub has_previous: bool,
    /// Whether there are rows behind it.
    pub has_next: bool,
}

impl<R> Page<R> {
    /// The same page of other rows.
    pub fn map<S>(self, row: impl FnMut(R) -> S) -> Page<S> {
        Page {
            rows: self.rows.into_iter().map(row).collect(),
            has_previous: self.has_previous,
            has_next: self.has_next,
        }
    }
}

impl<R> Default for Page<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            has_previous: false,
            has_next: false,
        }
    }
}

/// A table that is read in pages.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its name.
    pub table: &'static str,
    /// Its primary key.
    pub primary: &'static str,
    /// What a parent is found by.
    pub parent: &'static str,
    /// What it is ordered by.
    pub order: &'static [&'static str],
    /// Whether the largest comes first.
    pub descending: bool,
}

/// A page for each of these parents; a parent without rows is missing.
pub async fn of_parents<R: Row>(
    db: &Db,
    source: Source,
    parents: &[Uuid],
    conditions: &Conditions,
    slice: Slice,
    parent_of: impl Fn(&R) -> Uuid,
) -> Result<HashMap<Uuid, Page<R>>> {
    ordered(db, source, parents, conditions, slice, (parent_of, R::key)).await
}

/// The same for rows that can be ordered in several ways: `key_of` is how the source orders them.
pub async fn ordered<R: Row>(
    db: &Db,
    source: Source,
    parents: &[Uuid],
    conditions: &Conditions,
    slice: Slice,
    (parent_of, key_of): (impl Fn(&R) -> Uuid, impl Fn(&R) -> Key),
) -> Result<HashMap<Uuid, Page<R>>> {
    let sql = statement(db.engine(), source, R::COLUMNS, parents, conditions, slice);
    let statement = Statement::from_sql_and_values(db.backend(), sql.text, sql.values);
    let found = db.read().query_all_raw(statement).await?;
    if found.len() > MOST_ROWS {
        return Err(Error::invalid(
            "first",
            format!("this asks for more than {MOST_ROWS} rows at once; ask for smaller pages"),
        ));
    }
    let mut lists: HashMap<Uuid, Vec<R>> = HashMap::with_capacity(parents.len());
    for row in &found {
        let row = R::read(&mut Cells::new(row))?;
        lists.entry(parent_of(&row)).or_default().push(row);
    }
    Ok(lists
        .into_iter()
        .map(|(parent, rows)| (parent, cut(rows, &key_of, source.descending, slice)))
        .collect())
}

/// The rows with these ids that belong to an application, those of deleted Items left out.
pub async fn by_id<R: Row>(
    db: &Db,
    source: Source,
    application: Uuid,
    ids: &[Uuid],
) -> Result<Vec<R>> {
    let named: Vec<_> = R::COLUMNS.iter().map(|c| format!("x.{c}")).collect();
    let mut sql = Sql {
        text: format!("SELECT {} FROM ", named.join(", ")),
        values: Vec::new(),
    };
    push_parents(&mut sql, db.engine(), ids);
    let condition = format!(
        " CROSS JOIN {} x WHERE x.{} = {} AND x.application_id = ? AND {OF_LIVING_ITEM}",
        source.table,
        source.primary,
        parent_id(db.engine())
    );
    sql.push(&condition, [application.into()]);
    let statement = Statement::from_sql_and_values(db.backend(), sql.text, sql.values);
    let found = db.read().query_all_raw(statement).await?;
    found
        .iter()
        .map(|row| R::read(&mut Cells::new(row)))
        .collect()
}

/// Kinds of things that are found by their id, as [`kinds`] tells them.
const KINDS: [(&str, &str); 16] = [
    ("item", "x.deleted_at IS NULL"),
    ("account", OF_LIVING_ITEM),
    ("account_transaction", OF_LIVING_ITEM),
    ("replaced_transaction", OF_LIVING_ITEM),
    ("identity", OF_LIVING_ITEM),
    ("consent", OF_LIVING_ITEM),
    ("investment", OF_LIVING_ITEM),
    ("investment_transaction", OF_LIVING_ITEM),
    ("loan", OF_LIVING_ITEM),
    ("bill", OF_LIVING_ITEM),
    ("statement", OF_LIVING_ITEM),
    ("event", "x.position IS NOT NULL"),
    ("webhook", "1 = 1"),
    ("delivery", "1 = 1"),
    ("audit_entry", "1 = 1"),
    ("category_rule", "1 = 1"),
];

const OF_LIVING_ITEM: &str =
    "EXISTS (SELECT 1 FROM item WHERE item.id = x.item_id AND item.deleted_at IS NULL)";

/// In which table of an application each of these ids is; ids that are nowhere are missing.
pub async fn kinds(db: &Db, application: Uuid, ids: &[Uuid]) -> Result<Vec<(Uuid, String)>> {
    let mut sql = Sql {
        text: String::new(),
        values: Vec::new(),
    };
    for (place, (table, condition)) in KINDS.iter().enumerate() {
        if place > 0 {
            sql.text.push_str(" UNION ALL ");
        }
        write!(sql.text, "SELECT x.id, '{table}' FROM ").expect("a String takes everything");
        push_parents(&mut sql, db.engine(), ids);
        let rest = format!(
            " CROSS JOIN {table} x WHERE x.id = {} AND x.application_id = ? AND {condition}",
            parent_id(db.engine())
        );
        sql.push(&rest, [application.into()]);
    }
    let statement = Statement::from_sql_and_values(db.backend(), sql.text, sql.values);
    let found = db.read().query_all_raw(statement).await?;
    found
        .iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect()
}

/// How many rows each of these parents has; a parent without rows is missing.
pub async fn count(
    db: &Db,
    source: Source,
    parents: &[Uuid],
    conditions: &Conditions,
) -> Result<HashMap<Uuid, i64>> {
    let Source { table, parent, .. } = source;
    let mut sql = Sql {
        text: format!("SELECT x.{parent}, count(*) FROM "),
        values: Vec::new(),
    };
    push_parents(&mut sql, db.engine(), parents);
    write!(
        sql.text,
        " CROSS JOIN {table} x WHERE x.{parent} = {}",
        parent_id(db.engine())
    )
    .expect("a String takes everything");
    push_conditions(&mut sql, conditions);
    write!(sql.text, " GROUP BY x.{parent}").expect("a String takes everything");
    let statement = Statement::from_sql_and_values(db.backend(), sql.text, sql.values);
    let found = db.read().query_all_raw(statement).await?;
    found
        .iter()
        .map(|row| Ok((row.try_get_by_index(0)?, row.try_get_by_index(1)?)))
        .collect()
}

/// Makes a page of rows among which are those that a slice asks for, one more if there is one, and one at or outside
/// each cursor if there is one.
pub fn cut<R>(
    mut rows: Vec<R>,
    key: impl Fn(&R) -> Key,
    descending: bool,
    slice: Slice,
) -> Page<R> {
    let order = |a: Key, b: Key| {
        if descending { b.cmp(&a) } else { a.cmp(&b) }
    };
    rows.sort_by(|a, b| order(key(a), key(b)));
    let (mut has_previous, mut has_next) = (false, false);
    if slice.after.is_some() || slice.before.is_some() {
        rows.retain(|row| {
            let key = key(row);
            let before = slice.after.is_some_and(|after| order(key, after).is_le());
            let behind = slice
                .before
                .is_some_and(|before| order(key, before).is_ge());
            has_previous |= before;
            has_next |= behind;
            !before && !behind
        });
    }
    if rows.len() > slice.limit {
        if slice.backward {
            rows.drain(..rows.len() - slice.limit);
            has_previous = true;
        } else {
            rows.truncate(slice.limit);
            has_next = true;
        }
    }
    Page {
        rows,
        has_previous,
        has_next,
    }
}
