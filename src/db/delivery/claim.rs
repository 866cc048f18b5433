//! Claiming: one statement for all lanes, whether they keep their Items' order or not.

use std::time::Duration;

use entity::delivery;
use sea_orm::{ConnectionTrait as _, Statement, Value};
use serde_json::json;

use super::read;
use crate::{
    clock::Timestamp,
    db::{Db, Engine, execution::limit_value, row::Row as _},
    error::Result,
};

/// How many deliveries to take from a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The lane.
    pub target: String,
    /// At most so many.
    pub most: usize,
    /// Whether an Item's next event waits for the one before.
    pub ordered: bool,
}

/// Whether nobody has a due delivery x; now is $2.
const FREE: &str = "x.next_attempt_at <= $2 AND (x.lease_until IS NULL OR x.lease_until <= $2)";

/// Claims due deliveries of some lanes, the longest waiting first, each under a new epoch and for the length of a lease.
///
/// One statement, so that two workers never claim the same one. A delivery whose worker dies is taken again when the
/// lease ends. In an ordered lane, whatever has an unfinished event of the same Item before it is left.
pub async fn claim(
    db: &Db,
    now: Timestamp,
    lease: Duration,
    quotas: &[Quota],
) -> Result<Vec<delivery::Model>> {
    let most = quotas.iter().map(|quota| quota.most).max().unwrap_or(0);
    let listed: Vec<_> = quotas
        .iter()
        .map(
            |quota| json!({ "target": quota.target, "most": quota.most, "ordered": quota.ordered }),
        )
        .collect();
    let ordered = quotas.iter().any(|quota| quota.ordered);
    let chosen = match db.engine() {
        Engine::Postgres => chosen_postgres(ordered),
        Engine::Sqlite => chosen_sqlite(ordered),
    };
    let turns = if ordered {
        turns(db.engine())
    } else {
        String::new()
    };
    let sql = format!(
        "WITH RECURSIVE lane(target, most, ordered) AS ({}){turns} \
         UPDATE delivery SET epoch = epoch + 1, lease_until = $1 WHERE id {chosen} RETURNING {}",
        match db.engine() {
            Engine::Postgres => {
                "SELECT target, least(most, $4), ordered FROM jsonb_to_recordset($3::jsonb) AS l(target text, most bigint, ordered boolean)"
            }
            Engine::Sqlite => {
                "SELECT json_extract(value, '$.target'), json_extract(value, '$.most'), json_extract(value, '$.ordered') FROM json_each($3)"
            }
        },
        delivery::Model::COLUMNS.join(", ")
    );
    let values: [Value; 4] = [
        now.plus(lease).0.into(),
        now.0.into(),
        json!(listed).to_string().into(),
        limit_value(most),
    ];
    let rows = db
        .write()
        .query_all_raw(Statement::from_sql_and_values(db.backend(), sql, values))
        .await?;
    let mut claimed: Vec<delivery::Model> = read(&rows)?;
    claimed.sort_unstable_by_key(|delivery| (delivery.next_attempt_at, delivery.id));
    Ok(claimed)
}

/// As arrays, because a plan for a subquery of unknown length reads the whole table.
fn chosen_postgres(ordered: bool) -> String {
    let of = |which: &str, condition: &str| {
        format!(
            "ARRAY(SELECT due.id FROM lane CROSS JOIN LATERAL (SELECT x.id FROM delivery x WHERE {which} AND {FREE} \
             ORDER BY x.next_attempt_at LIMIT lane.most FOR UPDATE OF x SKIP LOCKED) due{condition})"
        )
    };
    if ordered {
        format!(
            "= ANY({} || {})",
            of("x.target = lane.target", " WHERE NOT lane.ordered"),
            of(
                "x.id = ANY(ARRAY(SELECT turn.id FROM turn WHERE turn.target = lane.target))",
                " WHERE lane.ordered"
            )
        )
    } else {
        format!("= ANY({})", of("x.target = lane.target", ""))
    }
}

fn chosen_sqlite(ordered: bool) -> String {
    let turn = if ordered {
        "SELECT turn.id FROM turn WHERE turn.target = lane.target AND lane.ordered UNION ALL "
    } else {
        ""
    };
    format!(
        "IN (SELECT id FROM (SELECT d.id AS id, lane.most AS most, \
           row_number() OVER (PARTITION BY lane.target ORDER BY d.next_attempt_at) AS place \
         FROM lane JOIN delivery d ON d.id IN ({turn}SELECT id FROM (\
           SELECT x.id AS id FROM delivery x WHERE x.target = lane.target AND NOT lane.ordered AND {FREE} \
           ORDER BY x.next_attempt_at LIMIT $4))) WHERE place <= most)"
    )
}

/// What may go next in ordered lanes, a table `turn`: more than is to be claimed, and no more than that takes.
///
/// A backlog of one Item holds what is further back, so the lane is not read in the order of time alone: beside the
/// longest waiting of it, `head` steps from Item to Item along an index, and ends when enough of their first are free.
/// What belongs to no Item waits for nothing.
fn turns(engine: Engine) -> String {
    const PENDING: &str = "delivery x WHERE x.next_attempt_at IS NOT NULL AND x.target =";
    let one = |which: &str| format!("CASE WHEN {FREE} THEN {which} + 1 ELSE {which} END");
    let head = |of: &str, behind: &str| {
        let first =
            format!("{of}.target AND x.item_id {behind} ORDER BY x.item_id, x.position LIMIT 1");
        match engine {
            Engine::Postgres => {
                format!("{of} CROSS JOIN LATERAL (SELECT x.* FROM {PENDING} {first}) x")
            }
            Engine::Sqlite => {
                format!("{of} JOIN delivery x ON x.id = (SELECT x.id FROM {PENDING} {first})")
            }
        }
    };
    let due =
        "SELECT x.id, x.target, x.item_id, x.position FROM delivery x WHERE x.target = lane.target";
    // The first of each lane, of those that this condition lets through.
    let of_each = |condition: &str| match engine {
        Engine::Postgres => format!(
            "lane CROSS JOIN LATERAL ({due} AND {FREE}{condition} ORDER BY x.next_attempt_at LIMIT lane.most) x"
        ),
        Engine::Sqlite => format!(
            "lane JOIN delivery x ON x.id IN (SELECT id FROM ({due} AND {FREE}{condition} ORDER BY x.next_attempt_at LIMIT $4))"
        ),
    };
    format!(
        ", head(target, most, item_id, id, free, found) AS (\
           SELECT lane.target, lane.most, x.item_id, x.id, {FREE}, {} FROM {} WHERE lane.ordered \
           UNION ALL \
           SELECT head.target, head.most, x.item_id, x.id, {FREE}, {} FROM {} WHERE head.found < head.most\
         ), turn(target, id) AS (\
           SELECT target, id FROM head WHERE free \
           UNION SELECT x.target, x.id FROM {} WHERE lane.ordered \
           UNION SELECT x.target, x.id FROM {} WHERE lane.ordered AND (x.item_id IS NULL OR NOT EXISTS (SELECT 1 FROM delivery e \
             WHERE e.target = x.target AND e.item_id = x.item_id AND e.position < x.position AND e.next_attempt_at IS NOT NULL))\
         )",
        one("0"),
        head("lane", "IS NOT NULL"),
        one("head.found"),
        head("head", "> head.item_id"),
        of_each(" AND x.item_id IS NULL"),
        of_each("")
    )
}
