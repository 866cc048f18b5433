//! Sums over rows with amounts, made by the database: exact on both engines, in one statement for many parents.
//!
//! Whole units are summed in two parts and billionths by themselves, so that no sum leaves 64 bits before it is put
//! together again.

use std::fmt::Write as _;

use sea_orm::{ConnectionTrait as _, QueryResult, Statement};
use uuid::Uuid;

use super::{
    Conditions, MOST_ROWS, Source, Sql, parent_id, push_conditions, push_parents,
    statement::first_of,
};
use crate::{
    db::{Db, Engine},
    error::{Error, Result},
    money::Amount,
};

/// Units that the upper part of a sum is counted in.
const PART: i128 = 1_000_000;

/// What rows are summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// A column of text.
    Text(&'static str),
    /// A column of ids.
    Id(&'static str),
    /// The month of a column of days, as `2026-03`.
    Month(&'static str),
    /// The first of these columns that has a value.
    First(&'static [&'static str]),
    /// The root of the category in the first of these columns that has a value.
    FirstRoot(&'static [&'static str]),
}

impl Group {
    fn sql(self, engine: Engine) -> String {
        match (self, engine) {
            (Self::Text(column), _) => format!("x.{column}"),
            (Self::Id(column), Engine::Postgres) => format!("CAST(x.{column} AS text)"),
            (Self::Id(column), Engine::Sqlite) => format!("lower(hex(x.{column}))"),
            (Self::Month(column), Engine::Postgres) => format!("to_char(x.{column}, 'YYYY-MM')"),
            (Self::Month(column), Engine::Sqlite) => format!("strftime('%Y-%m', x.{column})"),
            (Self::First(columns), _) => first_of(columns),
            (Self::FirstRoot(columns), _) => {
                format!("substr({}, 1, 2) || '000000'", first_of(columns))
            }
        }
    }
}

/// What some rows come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums {
    /// Whose rows; nil where all parents are summed together.
    pub parent: Uuid,
    /// What they have in common, in the order of the groups.
    pub keys: Vec<Option<String>>,
    /// How many.
    pub count: i64,
    /// Of those above zero.
    pub inflow: Amount,
    /// Of those below zero.
    pub outflow: Amount,
}

/// What the rows of these parents come to, by groups, in no order: for each parent or for all of them together. Fails when
/// there are more than 50,000 groups.
pub async fn of_parents(
    db: &Db,
    source: Source,
    parents: &[Uuid],
    conditions: &Conditions,
    groups: &[Group],
    together: bool,
) -> Result<Vec<Sums>> {
    let (table, parent, engine) = (source.table, source.parent, db.engine());
    let mut keys: Vec<String> = groups.iter().map(|group| group.sql(engine)).collect();
    if !together {
        keys.push(Group::Id(parent).sql(engine));
    }
    let places: Vec<String> = (1..=keys.len()).map(|place| place.to_string()).collect();
    let sums: Vec<String> = ["> 0", "< 0"].into_iter().flat_map(parts).collect();
    let mut sql = Sql {
        text: format!(
            "SELECT {}, count(*), {} FROM ",
            keys.join(", "),
            sums.join(", ")
        ),
        values: Vec::new(),
    };
    push_parents(&mut sql, engine, parents);
    write!(
        sql.text,
        " CROSS JOIN {table} x WHERE x.{parent} = {}",
        parent_id(engine)
    )
    .expect("a String takes everything");
    push_conditions(&mut sql, conditions);
    write!(
        sql.text,
        " GROUP BY {} LIMIT {}",
        places.join(", "),
        MOST_ROWS + 1
    )
    .expect("a String takes everything");
    let statement = Statement::from_sql_and_values(db.backend(), sql.text, sql.values);
    let found = db.read().query_all_raw(statement).await?;
    if found.len() > MOST_ROWS {
        return Err(Error::invalid(
            "groupBy",
            format!("this asks for more than {MOST_ROWS} rows at once; ask for fewer"),
        ));
    }
    found
        .iter()
        .map(|row| read(row, groups.len(), together))
        .collect()
}

/// The sums of amounts that compare so with zero: units in two parts, billionths.
fn parts(compares: &str) -> [String; 3] {
    let counts = format!("x.amount_units {compares} OR x.amount_nanos {compares}");
    [
        format!("x.amount_units / {PART}"),
        format!("x.amount_units % {PART}"),
        "x.amount_nanos".to_owned(),
    ]
    .map(|part| format!("CAST(sum(CASE WHEN {counts} THEN {part} ELSE 0 END) AS text)"))
}

fn read(row: &QueryResult, groups: usize, together: bool) -> Result<Sums> {
    let keys = (0..groups).map(|place| Ok(row.try_get_by_index(place)?));
    let keys = keys.collect::<Result<_>>()?;
    let parent = if together {
        Uuid::nil()
    } else {
        let id: String = row.try_get_by_index(groups)?;
        Uuid::parse_str(&id).map_err(Error::internal)?
    };
    let first = groups + usize::from(!together);
    let sum = |place: usize| -> Result<i128> {
        let sum: String = row.try_get_by_index(first + place)?;
        sum.parse().map_err(Error::internal)
    };
    let amount = |place: usize| -> Result<Amount> {
        let units = sum(place)? * PART + sum(place + 1)?;
        Amount::from_sums(units, sum(place + 2)?).map_err(|_| {
            Error::invalid(
                "filter",
                "the amounts come to more than can be told exactly; narrow it",
            )
        })
    };
    Ok(Sums {
        parent,
        keys,
        count: row.try_get_by_index(first)?,
        inflow: amount(1)?,
        outflow: amount(4)?,
    })
}
