//! Sums, filters and orders of transactions, against what Rust makes of the same rows.

use std::collections::BTreeMap;

use entity::{
    account,
    kind::{CategorySource, TransactionStatus, TransactionType},
    transaction,
};
use ponte::{category, money::Amount, product::text::fold};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, api_key, create_application, on_both_engines, seed};

/// An Item with two accounts and made-up rows, and those rows.
async fn filled(
    test: &TestApp,
    dice: &mut StdRng,
    count: usize,
) -> (Uuid, Vec<transaction::Model>) {
    let item = test.connected().await;
    let db = test.app.db.write();
    transaction::Entity::delete_many()
        .exec(db)
        .await
        .expect("no rows");
    let accounts = account::Entity::find().all(db).await.expect("accounts");
    let mut rows = Vec::new();
    for n in 0..count {
        let account = accounts.choose(dice).expect("an account");
        let nanos = *[0, 1, 10_000_000, 333_333_333, 999_999_999]
            .choose(dice)
            .expect("one");
        let units = *[0, 1, 7, 1_000, 2_999_999, 9_000_000_000_000_000]
            .choose(dice)
            .expect("one");
        let debit = dice.random_bool(0.6);
        let sign = if debit { -1 } else { 1 };
        let month = dice.random_range(1..=4);
        let day = dice.random_range(1..=28);
        let [user, rule, other] = [0.1, 0.2, 0.7].map(|share| {
            let one = category::all().choose(dice).expect("a category");
            dice.random_bool(share).then(|| one.id.to_owned())
        });
        let created = ponte::clock::Timestamp(1_773_000_000_000 + dice.random_range(0..50) * 1_000);
        let description = ["Pão", "UBER", "Água 100%", "pix"]
            .choose(dice)
            .expect("one");
        rows.push(transaction::Model {
            id: Uuid::from_u128(dice.random()),
            application_id: account.application_id,
            item_id: account.item_id,
            account_id: account.id,
            row_key: format!("row {n}"),
            digest: vec![0],
            provider_id: None,
            date: created,
            posted_on: format!("2026-{month:02}-{day:02}").parse().expect("a day"),
            description: (*description).to_owned(),
            description_raw: None,
            search_text: fold(description),
            amount_units: sign * units,
            amount_nanos: i32::try_from(sign).expect("a sign") * nanos,
            account_amount_units: None,
            account_amount_nanos: None,
            currency_code: (*["BRL", "USD"].choose(dice).expect("one")).to_owned(),
            kind: if debit {
                TransactionType::Debit
            } else {
                TransactionType::Credit
            },
            status: if dice.random_bool(0.3) {
                TransactionStatus::Pending
            } else {
                TransactionStatus::Posted
            },
            balance_units: None,
            balance_nanos: None,
            provider_code: None,
            category_source: other.as_ref().map(|_| CategorySource::Classifier),
            details: None,
            bill_key: None,
            bill_id: None,
            payment_data: None,
            category_id: other,
            rule_category_id: rule,
            user_category_id: user,
            created_at: created,
            updated_at: created,
        });
    }
    for row in &rows {
        row.clone()
            .into_active_model()
            .reset_all()
            .insert(db)
            .await
            .expect("stored");
    }
    (item, rows)
}

fn category_of(row: &transaction::Model) -> Option<&str> {
    [
        &row.user_category_id,
        &row.rule_category_id,
        &row.category_id,
    ]
    .into_iter()
    .flatten()
    .next()
    .map(String::as_str)
}

fn amount_of(row: &transaction::Model) -> Amount {
    Amount::from_parts(row.amount_units, row.amount_nanos).expect("an amount")
}

/// What a row has in common with others, as the answer names it.
fn key(row: &transaction::Model, grouping: &str, roots: bool) -> (&'static str, Value) {
    match grouping {
        "CATEGORY" => {
            let id = category_of(row).map(|id| {
                if roots {
                    format!("{}000000", &id[..2])
                } else {
                    id.to_owned()
                }
            });
            ("categoryId", json!(id))
        }
        "MONTH" => ("month", json!(row.posted_on.to_string()[..7])),
        "TYPE" => ("type", json!(row.kind)),
        "STATUS" => ("status", json!(row.status)),
        "ACCOUNT" => ("accountId", json!(row.account_id)),
        _ => ("currencyCode", json!(row.currency_code)),
    }
}

/// The rows of a summary, in any order.
fn summed(rows: &[&transaction::Model], groupings: &[&str], roots: bool) -> Vec<String> {
    let mut sums: BTreeMap<String, (Value, Vec<Amount>)> = BTreeMap::new();
    for row in rows {
        let mut common = json!({ "categoryId": null, "month": null, "type": null, "status": null, "accountId": null,
            "currencyCode": row.currency_code });
        for grouping in groupings {
            let (name, value) = key(row, grouping, roots);
            common[name] = value;
        }
        let entry = sums
            .entry(common.to_string())
            .or_insert((common, Vec::new()));
        entry.1.push(amount_of(row));
    }
    let add = |amounts: &[Amount], wanted: &dyn Fn(&Amount) -> bool| {
        let wanted = amounts.iter().filter(|amount| wanted(amount));
        let sum = wanted.fold(Amount::ZERO, |sum, amount| {
            sum.checked_add(*amount).expect("in range")
        });
        json!(sum)
    };
    let mut answer: Vec<String> = sums
        .into_values()
        .map(|(mut common, amounts)| {
            common["count"] = json!(amounts.len());
            common["total"] = add(&amounts, &|_| true);
            common["inflow"] = add(&amounts, &|amount| !amount.is_negative());
            common["outflow"] = add(&amounts, &|amount| amount.is_negative());
            common.to_string()
        })
        .collect();
    answer.sort_unstable();
    answer
}

const SUM: &str = "transactionSummary(filter: $filter, groupBy: $by, categoryLevel: $level) { rows { categoryId month type status accountId currencyCode count total inflow outflow } }";

fn answered(summary: &Value) -> Vec<String> {
    let rows = summary["rows"].as_array().expect("rows");
    let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
    rows.sort_unstable();
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_what_adding_up_the_rows_comes_to() {
    on_both_engines(|test| async move {
        let mut dice = StdRng::seed_from_u64(seed());
        let (item, rows) = filled(&test, &mut dice, 400).await;
        let all = ["CATEGORY", "MONTH", "TYPE", "STATUS", "ACCOUNT", "CURRENCY"];
        let document = format!(
            "query($id: ID!, $ids: [ID!], $filter: TransactionFilter, $by: [TransactionGrouping!]!, $level: CategoryLevel) {{ \
               item(id: $id) {{ {SUM} accounts {{ nodes {{ id {SUM} }} }} }} {SUM} }}"
        )
        .replace(&format!("}} }} {SUM}"), &format!("}} }} {}", SUM.replace("transactionSummary(", "transactionSummary(itemIds: $ids, ")));
        for round in 0..40 {
            let mut by: Vec<&str> = all.to_vec();
            while by.len() > dice.random_range(1..=3) {
                by.remove(dice.random_range(0..by.len()));
            }
            let roots = dice.random_bool(0.5);
            let from = if round % 2 == 0 { "2026-01-01" } else { "2026-02-15" };
            let day: chrono::NaiveDate = from.parse().expect("a day");
            let level = if roots { "ROOT" } else { "LEAF" };
            let variables = json!({ "id": item, "ids": [item], "filter": { "from": from }, "by": by, "level": level });
            let data = test.data(&document, variables).await;
            let wanted: Vec<_> = rows.iter().filter(|row| row.posted_on >= day).collect();
            let expected = summed(&wanted, &by, roots);
            assert_eq!(answered(&data["item"]["transactionSummary"]), expected, "{by:?}");
            assert_eq!(answered(&data["transactionSummary"]), expected, "{by:?}");
            for account in data["item"]["accounts"]["nodes"].as_array().expect("accounts") {
                let own: Vec<_> = wanted.iter().filter(|row| account["id"] == json!(row.account_id)).copied().collect();
                assert_eq!(answered(&account["transactionSummary"]), summed(&own, &by, roots), "{by:?}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_summary_is_of_what_is_ones_own_and_bounded() {
    on_both_engines(|test| async move {
        let mut dice = StdRng::seed_from_u64(7);
        let (item, rows) = filled(&test, &mut dice, 20).await;
        let over = |of: &str| format!("{{ transactionSummary({of}, groupBy: [CURRENCY]) {{ rows {{ count account {{ id }} category {{ id }} }} }} }}");
        let count = |answer: &Value| -> i64 {
            let rows = answer["data"]["transactionSummary"]["rows"].as_array().expect("rows");
            rows.iter().filter_map(|row| row["count"].as_i64()).sum()
        };
        let account = rows[0].account_id;
        let of_account = rows.iter().filter(|row| row.account_id == account).count();
        let stranger = create_application(&test.app, "Stranger").await;
        let stranger = api_key(&test.app, stranger.id).await;
        for (of, all) in [
            (format!("itemIds: [\"{item}\", \"{}\"]", Uuid::nil()), rows.len()),
            (format!("accountIds: [\"{account}\"]"), of_account),
            ("clientUserId: \"nobody\"".to_owned(), 0),
        ] {
            let own = test.query(&over(&of), json!({})).await;
            assert_eq!(count(&own), i64::try_from(all).expect("a count"), "{own}");
            let foreign = test.query_as(Some(stranger.clone()), &over(&of), json!({})).await;
            assert_eq!(count(&foreign), 0);
        }
        for of in ["groupBy: [MONTH]", "itemIds: [], accountIds: [], groupBy: [MONTH]", "itemIds: [], groupBy: []",
            "itemIds: [], groupBy: [MONTH, MONTH]", "itemIds: [], groupBy: [MONTH, TYPE, STATUS, ACCOUNT]",
            "itemIds: [], groupBy: [MONTH], filter: { absoluteAmountFrom: \"-1\" }"] {
            let document = format!("{{ transactionSummary({of}) {{ rows {{ count }} }} }}");
            assert_eq!(test.code(&document, json!({})).await, "INVALID_INPUT", "{of}");
        }
        test.data("mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }", json!({ "id": item })).await;
        let gone = test.query(&over(&format!("itemIds: [\"{item}\"]")), json!({})).await;
        assert_eq!(count(&gone), 0);
        test.settle().await;
    })
    .await;
}

type Wanted<'a> = Box<dyn Fn(&transaction::Model) -> bool + 'a>;

const ORDERS: [&str; 5] = [
    "DATE_DESC",
    "DATE_ASC",
    "AMOUNT_DESC",
    "AMOUNT_ASC",
    "CREATED_AT_DESC",
];

/// Ids in an order.
fn sorted(rows: &[transaction::Model], order: &str) -> Vec<Value> {
    let mut rows: Vec<&transaction::Model> = rows.iter().collect();
    match order {
        "DATE_DESC" | "DATE_ASC" => rows.sort_by_key(|row| (row.posted_on, row.id)),
        "CREATED_AT_DESC" => rows.sort_by_key(|row| (row.created_at, row.id)),
        _ => rows.sort_by_key(|row| (amount_of(row), row.id)),
    }
    if order.ends_with("DESC") {
        rows.reverse();
    }
    rows.iter().map(|row| json!(row.id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_read_in_every_order_in_both_directions() {
    on_both_engines(|test| async move {
        let mut dice = StdRng::seed_from_u64(seed());
        let (item, rows) = filled(&test, &mut dice, 60).await;
        let page = |fields: &str| format!(
            "query($id: ID!, $order: TransactionOrder, $first: Int, $after: String, $last: Int, $before: String) {{ item(id: $id) {{ \
               transactions(orderBy: $order, first: $first, after: $after, last: $last, before: $before) {{ \
               edges {{ cursor node {{ {fields} }} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}"
        );
        let mut cursors = Vec::new();
        for order in ORDERS {
            let expected = sorted(&rows, order);
            for fields in ["id", "id createdAt"] {
                let (mut seen, mut after) = (Vec::new(), Value::Null);
                loop {
                    let data = test.data(&page(fields), json!({ "id": item, "order": order, "first": 7, "after": after })).await;
                    let list = &data["item"]["transactions"];
                    let edges = list["edges"].as_array().expect("edges");
                    assert_eq!(list["pageInfo"]["hasPreviousPage"], json!(!seen.is_empty()));
                    seen.extend(edges.iter().map(|edge| edge["node"]["id"].clone()));
                    after = list["pageInfo"]["endCursor"].clone();
                    if list["pageInfo"]["hasNextPage"] == false {
                        break;
                    }
                }
                assert_eq!(seen, expected, "{order}");
                let (mut seen, mut before) = (Vec::new(), Value::Null);
                loop {
                    let data = test.data(&page(fields), json!({ "id": item, "order": order, "last": 7, "before": before })).await;
                    let list = &data["item"]["transactions"];
                    let edges = list["edges"].as_array().expect("edges");
                    seen.splice(0..0, edges.iter().map(|edge| edge["node"]["id"].clone()));
                    before = list["pageInfo"]["startCursor"].clone();
                    if list["pageInfo"]["hasPreviousPage"] == false {
                        break;
                    }
                }
                assert_eq!(seen, expected, "{order}");
            }
            let data = test.data(&page("id"), json!({ "id": item, "order": order, "first": 1 })).await;
            cursors.push((order, data["item"]["transactions"]["edges"][0]["cursor"].clone()));
        }
        for (order, cursor) in &cursors {
            for other in ORDERS {
                let variables = json!({ "id": item, "order": other, "after": cursor });
                let answer = test.query(&page("id"), variables).await;
                let code = answer.pointer("/errors/0/extensions/code").cloned();
                let expected = (other != *order).then(|| json!("BAD_CURSOR"));
                assert_eq!(code, expected, "{order} in {other}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_leave_exactly_what_they_say() {
    on_both_engines(|test| async move {
        let mut dice = StdRng::seed_from_u64(seed());
        let (item, rows) = filled(&test, &mut dice, 150).await;
        let query = "query($id: ID!, $filter: TransactionFilter) { item(id: $id) { transactions(first: 500, filter: $filter) { totalCount nodes { id } } } }";
        let amount = |text: &str| text.parse::<Amount>().expect("an amount");
        let absolute = |row: &transaction::Model| {
            let amount = amount_of(row);
            if amount.is_negative() { amount.checked_neg().expect("in range") } else { amount }
        };
        let below = |row: &transaction::Model, root: &str| category_of(row).is_some_and(|id| id.starts_with(root));
        let cases: Vec<(Value, Wanted<'_>)> = vec![
            (json!({ "categoryId": "05000000" }), Box::new(|row| below(row, "05"))),
            (json!({ "categoryId": "19050000" }), Box::new(|row| below(row, "1905"))),
            (json!({ "categoryId": "19050100" }), Box::new(|row| below(row, "190501"))),
            (json!({ "categoryId": "nothing" }), Box::new(|_| false)),
            (json!({ "categoryIds": ["05000000", "11010000", "?"] }), Box::new(|row| below(row, "05") || below(row, "1101"))),
            (json!({ "categoryIds": [] }), Box::new(|_| false)),
            (json!({ "types": ["DEBIT"] }), Box::new(|row| row.kind == TransactionType::Debit)),
            (json!({ "types": ["DEBIT", "CREDIT"], "statuses": ["PENDING"] }), Box::new(|row| row.status == TransactionStatus::Pending)),
            (json!({ "statuses": [] }), Box::new(|_| false)),
            (json!({ "amountFrom": "-0.333333333" }), Box::new(|row| amount_of(row) >= amount("-0.333333333"))),
            (json!({ "amountTo": "-1.01" }), Box::new(|row| amount_of(row) <= amount("-1.01"))),
            (json!({ "amountFrom": "0", "amountTo": "7.999999999" }), Box::new(|row| amount_of(row) >= Amount::ZERO && amount_of(row) <= amount("7.999999999"))),
            (json!({ "absoluteAmountFrom": "1.333333333" }), Box::new(|row| absolute(row) >= amount("1.333333333"))),
            (json!({ "absoluteAmountTo": "7.01" }), Box::new(|row| absolute(row) <= amount("7.01"))),
            (json!({ "createdAtFrom": "2026-03-08T20:00:10.000Z", "createdAtTo": "2026-03-08T20:00:30.000Z" }),
                Box::new(|row| (1_773_000_010_000..=1_773_000_030_000).contains(&row.created_at.0))),
            (json!({ "search": "100%", "types": ["DEBIT"], "categoryId": "05000000" }),
                Box::new(|row| row.description == "Água 100%" && row.kind == TransactionType::Debit && below(row, "05"))),
        ];
        for (filter, wanted) in &cases {
            let left: Vec<_> = rows.iter().filter(|row| wanted(row)).cloned().collect();
            let data = test.data(query, json!({ "id": item, "filter": filter })).await;
            let list = &data["item"]["transactions"];
            let ids: Vec<Value> = list["nodes"].as_array().expect("nodes").iter().map(|node| node["id"].clone()).collect();
            assert_eq!(ids, sorted(&left, "DATE_DESC"), "{filter}");
            assert_eq!(list["totalCount"], left.len(), "{filter}");
        }
        let many: Vec<String> = (0..201).map(|n| n.to_string()).collect();
        for filter in [json!({ "absoluteAmountTo": "-1" }), json!({ "categoryIds": many })] {
            assert_eq!(test.code(query, json!({ "id": item, "filter": filter })).await, "INVALID_INPUT");
        }
    })
    .await;
}
