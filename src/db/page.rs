//! One page of rows for each of many parents, in one statement however many parents there are.
//!
//! PostgreSQL joins each parent laterally with its page. SQLite has no LATERAL, and numbering whole parents would read
//! all their rows: there each parent's page is a correlated list of row ids. Where a cursor is given, one row of the
//! other side comes along, so that "is there more" is told and not guessed in either direction.

use std::{collections::HashMap, fmt::Write as _};

use chrono::NaiveDate;
use sea_orm::{ConnectionTrait as _, QueryResult, Statement, Value};
use uuid::Uuid;

use super::{Db, Engine};
use crate::error::{Error, Result};

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
}

impl Key {
    fn values(self) -> Vec<Value> {
        match self {
            Self::Id(id) => vec![id.into()],
            Self::Day(day, id) => vec![day.into(), id.into()],
            Self::Position(position) => vec![position.into()],
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
    /// What is read of each row.
    pub columns: &'static [&'static str],
    /// Its primary key.
    pub primary: &'static str,
    /// What a parent is found by.
    pub parent: &'static str,
    /// What it is ordered by.
    pub order: &'static [&'static str],
    /// Whether the largest comes first.
    pub descending: bool,
}

/// A row of a [`Source`].
pub trait Row: Sized {
    /// Reads it, with the columns in the source's order.
    fn read(row: &QueryResult) -> Result<Self>;

    /// Where it stands.
    fn key(&self) -> Key;
}

/// What rows must be like, each column of the row `x` by itself.
#[derive(Clone, Debug, Default)]
pub struct Conditions(Vec<(String, Vec<Value>)>);

impl Conditions {
    /// A column is this, if a value is given.
    pub fn equal(&mut self, column: &str, value: Option<impl Into<Value>>) {
        self.compare(column, "=", value);
    }

    /// A column is this word, written out instead of bound: a partial index is found by its words.
    pub fn is(&mut self, column: &str, word: &'static str) {
        self.add(format!("x.{column} = '{word}'"), Vec::new());
    }

    /// A column is this or larger, if a value is given.
    pub fn at_least(&mut self, column: &str, value: Option<impl Into<Value>>) {
        self.compare(column, ">=", value);
    }

    /// A column is this or smaller, if a value is given.
    pub fn at_most(&mut self, column: &str, value: Option<impl Into<Value>>) {
        self.compare(column, "<=", value);
    }

    fn compare(&mut self, column: &str, operator: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(format!("x.{column} {operator} ?"), vec![value.into()]);
        }
    }

    /// A column has no value.
    pub fn null(&mut self, column: &str) {
        self.add(format!("x.{column} IS NULL"), Vec::new());
    }

    /// A column has a value.
    pub fn not_null(&mut self, column: &str) {
        self.add(format!("x.{column} IS NOT NULL"), Vec::new());
    }

    /// A column is one of these, if a list is given.
    pub fn one_of<V: Into<Value>>(
        &mut self,
        column: &str,
        values: Option<impl IntoIterator<Item = V>>,
    ) {
        let Some(values) = values else { return };
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        if values.is_empty() {
            self.add("1 = 0".to_owned(), values);
        } else {
            let places = vec!["?"; values.len()].join(", ");
            self.add(format!("x.{column} IN ({places})"), values);
        }
    }

    /// A column contains this text literally, if one is given.
    pub fn containing(&mut self, column: &str, text: Option<&str>) {
        if let Some(text) = text {
            let condition = format!("x.{column} LIKE ? ESCAPE '\\'");
            self.add(condition, vec![pattern(text).into()]);
        }
    }

    fn add(&mut self, sql: String, values: Vec<Value>) {
        self.0.push((sql, values));
    }
}

/// The pattern of texts that contain this one literally.
fn pattern(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for c in text.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// A statement in the making.
struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    fn bind(&mut self, value: Value) {
        self.values.push(value);
        write!(self.text, "${}", self.values.len()).expect("a String takes everything");
    }

    /// Appends SQL in which every `?` is a value.
    fn push(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        let mut pieces = sql.split('?');
        self.text.push_str(pieces.next().unwrap_or_default());
        for (piece, value) in pieces.zip(values) {
            self.bind(value);
            self.text.push_str(piece);
        }
    }
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
    let sql = statement(db.engine(), source, parents, conditions, slice);
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
        let row = R::read(row)?;
        lists.entry(parent_of(&row)).or_default().push(row);
    }
    Ok(lists
        .into_iter()
        .map(|(parent, rows)| (parent, cut(rows, R::key, source.descending, slice)))
        .collect())
}

/// The rows with these ids that belong to an application, those of deleted Items left out.
pub async fn by_id<R: Row>(
    db: &Db,
    source: Source,
    application: Uuid,
    ids: &[Uuid],
) -> Result<Vec<R>> {
    let named: Vec<_> = source.columns.iter().map(|c| format!("x.{c}")).collect();
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
    found.iter().map(R::read).collect()
}

/// Kinds of things that are found by their id, as [`kinds`] tells them.
const KINDS: [(&str, &str); 8] = [
    ("item", "x.deleted_at IS NULL"),
    ("account", OF_LIVING_ITEM),
    ("account_transaction", OF_LIVING_ITEM),
    ("identity", OF_LIVING_ITEM),
    ("consent", OF_LIVING_ITEM),
    ("event", "x.position IS NOT NULL"),
    ("webhook", "1 = 1"),
    ("delivery", "1 = 1"),
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

fn statement(
    engine: Engine,
    source: Source,
    parents: &[Uuid],
    conditions: &Conditions,
    slice: Slice,
) -> Sql {
    let Source { table, primary, .. } = source;
    let columns = |of: &str| -> String {
        let named: Vec<_> = source.columns.iter().map(|c| format!("{of}.{c}")).collect();
        named.join(", ")
    };
    let mut sql = Sql {
        text: format!("SELECT {} FROM ", columns("t")),
        values: Vec::new(),
    };
    push_parents(&mut sql, engine, parents);
    let selected = match engine {
        Engine::Postgres => {
            sql.text.push_str(" CROSS JOIN LATERAL (");
            columns("x")
        }
        Engine::Sqlite => {
            write!(sql.text, " CROSS JOIN {table} t WHERE t.{primary} IN (")
                .expect("a String takes everything");
            format!("x.{primary}")
        }
    };
    push_part(&mut sql, engine, source, &selected, conditions, slice);
    if let Some(after) = slice.after {
        sql.text.push_str(" UNION ALL ");
        let outside = Outside::Before(after);
        push_outside(&mut sql, engine, source, &selected, conditions, outside);
    }
    if let Some(before) = slice.before {
        sql.text.push_str(" UNION ALL ");
        let outside = Outside::Behind(before);
        push_outside(&mut sql, engine, source, &selected, conditions, outside);
    }
    sql.text.push_str(match engine {
        Engine::Postgres => ") t",
        Engine::Sqlite => ")",
    });
    write!(sql.text, " LIMIT {}", MOST_ROWS + 1).expect("a String takes everything");
    sql
}

/// The parents as a table `p`.
fn push_parents(sql: &mut Sql, engine: Engine, parents: &[Uuid]) {
    let (before, separator, behind) = match engine {
        Engine::Postgres => ("", ",", ""),
        Engine::Sqlite => ("[\"", "\",\"", "\"]"),
    };
    let ids: Vec<String> = parents.iter().map(|id| id.simple().to_string()).collect();
    let list = format!("{before}{}{behind}", ids.join(separator));
    let from = match engine {
        Engine::Postgres => "unnest(string_to_array(?, ',')::uuid[]) AS p(id)",
        Engine::Sqlite => "json_each(?) p",
    };
    sql.push(from, [list.into()]);
}

fn parent_id(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "p.id",
        Engine::Sqlite => "unhex(p.value)",
    }
}

fn push_conditions(sql: &mut Sql, conditions: &Conditions) {
    for (condition, values) in &conditions.0 {
        sql.text.push_str(" AND ");
        sql.push(condition, values.iter().cloned());
    }
}

/// The rows of one parent that a slice asks for, and one more.
fn push_part(
    sql: &mut Sql,
    engine: Engine,
    source: Source,
    selected: &str,
    conditions: &Conditions,
    slice: Slice,
) {
    open(sql, engine, source, selected, conditions);
    let (behind, before) = comparisons(source.descending);
    if let Some(key) = slice.after {
        compare(sql, source, behind, key);
    }
    if let Some(key) = slice.before {
        compare(sql, source, before, key);
    }
    close(sql, source, slice.backward, slice.limit + 1);
}

#[derive(Clone, Copy)]
enum Outside {
    /// At the cursor or before it.
    Before(Key),
    /// At the cursor or behind it.
    Behind(Key),
}

/// The one row outside a cursor that is nearest to it.
fn push_outside(
    sql: &mut Sql,
    engine: Engine,
    source: Source,
    selected: &str,
    conditions: &Conditions,
    outside: Outside,
) {
    open(sql, engine, source, selected, conditions);
    let (behind, before) = comparisons(source.descending);
    let backward = match outside {
        Outside::Before(key) => {
            compare(sql, source, &format!("{before}="), key);
            true
        }
        Outside::Behind(key) => {
            compare(sql, source, &format!("{behind}="), key);
            false
        }
    };
    close(sql, source, backward, 1);
}

fn comparisons(descending: bool) -> (&'static str, &'static str) {
    if descending { ("<", ">") } else { (">", "<") }
}

/// SQLite takes a limited part of a union only from a subquery.
fn open(sql: &mut Sql, engine: Engine, source: Source, selected: &str, conditions: &Conditions) {
    let before = match engine {
        Engine::Postgres => "(",
        Engine::Sqlite => "SELECT * FROM (",
    };
    write!(
        sql.text,
        "{before}SELECT {selected} FROM {} x WHERE x.{} = {}",
        source.table,
        source.parent,
        parent_id(engine)
    )
    .expect("a String takes everything");
    push_conditions(sql, conditions);
}

fn compare(sql: &mut Sql, source: Source, operator: &str, key: Key) {
    let columns: Vec<_> = source.order.iter().map(|c| format!("x.{c}")).collect();
    let places = vec!["?"; columns.len()].join(", ");
    let condition = format!(" AND ({}) {operator} ({places})", columns.join(", "));
    sql.push(&condition, key.values());
}

fn close(sql: &mut Sql, source: Source, backward: bool, limit: usize) {
    let direction = if source.descending == backward {
        "ASC"
    } else {
        "DESC"
    };
    let order: Vec<_> = source
        .order
        .iter()
        .map(|column| format!("x.{column} {direction}"))
        .collect();
    write!(sql.text, " ORDER BY {} LIMIT {limit})", order.join(", "))
        .expect("a String takes everything");
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
