//! The statements that bring pages.

use std::fmt::Write as _;

use sea_orm::Value;
use uuid::Uuid;

use super::{Key, MOST_ROWS, Slice, Source};
use crate::{db::Engine, money::Amount};

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

    /// A column is smaller than this, if a value is given.
    pub fn below(&mut self, column: &str, value: Option<impl Into<Value>>) {
        self.compare(column, "<", value);
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

    /// The first of these columns that has a value is one of these, if a list is given.
    pub fn first_one_of<V: Into<Value>>(
        &mut self,
        columns: &[&str],
        values: Option<impl IntoIterator<Item = V>>,
    ) {
        let Some(values) = values else { return };
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        if values.is_empty() {
            self.add("1 = 0".to_owned(), values);
        } else {
            let places = vec!["?"; values.len()].join(", ");
            let first = first_of(columns);
            self.add(format!("{first} IN ({places})"), values);
        }
    }

    /// Two columns, whole units and billionths, are this amount or larger, if one is given.
    pub fn amount_at_least(&mut self, columns: [&str; 2], amount: Option<Amount>) {
        self.compare_amount(columns, ">=", amount);
    }

    /// Two columns, whole units and billionths, are this amount or smaller, if one is given.
    pub fn amount_at_most(&mut self, columns: [&str; 2], amount: Option<Amount>) {
        self.compare_amount(columns, "<=", amount);
    }

    fn compare_amount(&mut self, columns: [&str; 2], operator: &str, amount: Option<Amount>) {
        if let Some(amount) = amount {
            let [units, nanos] = columns;
            let condition = format!("(x.{units}, x.{nanos}) {operator} (?, ?)");
            self.add(
                condition,
                vec![amount.units().into(), amount.nanos().into()],
            );
        }
    }

    /// Two columns, whole units and billionths, are the first amount or smaller, or the second or larger, if they are given.
    pub fn amount_outside(&mut self, columns: [&str; 2], amounts: Option<(Amount, Amount)>) {
        if let Some((low, high)) = amounts {
            let [units, nanos] = columns;
            let column = format!("(x.{units}, x.{nanos})");
            let condition = format!("({column} <= (?, ?) OR {column} >= (?, ?))");
            let values = [low, high].map(|amount| [amount.units().into(), amount.nanos().into()]);
            self.add(condition, values.into_iter().flatten().collect());
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

/// The first of these columns of the row `x` that has a value.
pub(super) fn first_of(columns: &[&str]) -> String {
    let columns: Vec<_> = columns.iter().map(|column| format!("x.{column}")).collect();
    format!("coalesce({})", columns.join(", "))
}

/// The pattern of texts that contain this one literally.
pub(in crate::db) fn pattern(text: &str) -> String {
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
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Sql {
    fn bind(&mut self, value: Value) {
        self.values.push(value);
        write!(self.text, "${}", self.values.len()).expect("a String takes everything");
    }

    /// Appends SQL in which every `?` is a value.
    pub(super) fn push(&mut self, sql: &str, values: impl IntoIterator<Item = Value>) {
        let mut pieces = sql.split('?');
        self.text.push_str(pieces.next().unwrap_or_default());
        for (piece, value) in pieces.zip(values) {
            self.bind(value);
            self.text.push_str(piece);
        }
    }
}

pub(super) fn statement(
    engine: Engine,
    source: Source,
    columns: &[&str],
    parents: &[Uuid],
    conditions: &Conditions,
    slice: Slice,
) -> Sql {
    let Source { table, primary, .. } = source;
    let columns = |of: &str| -> String {
        let named: Vec<_> = columns.iter().map(|c| format!("{of}.{c}")).collect();
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
pub(super) fn push_parents(sql: &mut Sql, engine: Engine, parents: &[Uuid]) {
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

pub(super) fn parent_id(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "p.id",
        Engine::Sqlite => "unhex(p.value)",
    }
}

pub(super) fn push_conditions(sql: &mut Sql, conditions: &Conditions) {
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
