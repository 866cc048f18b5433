//! The feed of changes: every entity, exactly the fields, no gap and nothing twice.

use std::{collections::BTreeSet, time::Duration};

use entity::{change, kind::TransactionStatus};
use ponte::{
    clock::Rng,
    connector::TransactionRecord,
    db::Engine,
    event::{
        cursor::{self, Place},
        retention,
    },
    money::Amount,
};
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    TestApp, api_key, code_of, create_application, on_both_engines,
    scripted::{row, scripted},
    seed,
};

const PAGE: &str = "query($after: String, $first: Int) { changes(after: $after, first: $first) { \
   edges { cursor node { cursor kind action entityId itemId fields createdAt node { __typename id } } } \
   nodes { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

/// Everything behind a cursor, in pages of so many.
async fn behind(test: &TestApp, after: Option<&Value>, first: usize) -> Vec<Value> {
    let mut after = after.cloned().unwrap_or(Value::Null);
    let mut told = Vec::new();
    loop {
        let data = test
            .data(PAGE, json!({ "after": after, "first": first }))
            .await;
        let page = &data["changes"];
        let info = &page["pageInfo"];
        // What stood before a cursor that was given may be forgotten by now.
        if after.is_null() || !told.is_empty() {
            assert_eq!(info["hasPreviousPage"], json!(!told.is_empty()));
        }
        for edge in page["edges"].as_array().expect("edges") {
            assert_eq!(edge["cursor"], edge["node"]["cursor"]);
            told.push(edge["node"].clone());
        }
        if info["hasNextPage"] == false {
            return told;
        }
        assert_eq!(page["edges"].as_array().map(Vec::len), Some(first));
        after = info["endCursor"].clone();
    }
}

/// `KIND ACTION field field`, as it is easily read.
fn short(change: &Value) -> String {
    let text = |name: &str| change[name].as_str().expect("a text").to_owned();
    let mut words = vec![text("kind"), text("action")];
    let fields = change["fields"].as_array().expect("fields");
    words.extend(
        fields
            .iter()
            .map(|field| field.as_str().expect("a name").to_owned()),
    );
    words.join(" ")
}

fn shorts(changes: &[Value]) -> Vec<String> {
    changes.iter().map(short).collect()
}

fn last(changes: &[Value]) -> Option<&Value> {
    changes.last().map(|change| &change["cursor"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_tells_every_entity_that_it_makes_before_what_hangs_from_it() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let told = behind(&test, None, 7).await;
        let mut runs: Vec<(String, usize)> = Vec::new();
        for change in shorts(&told) {
            match runs.last_mut() {
                Some((last, times)) if *last == change => *times += 1,
                _ => runs.push((change, 1)),
            }
        }
        let expected = [
            "ITEM CREATED",
            "CONSENT CREATED",
            "ITEM UPDATED executionStatus",
            "ACCOUNT CREATED",
            "TRANSACTION CREATED",
            "ACCOUNT CREATED",
            "TRANSACTION CREATED",
            "BILL CREATED",
            "IDENTITY CREATED",
            "ITEM UPDATED status executionStatus statusDetail lastUpdatedAt",
        ];
        let seen: Vec<&str> = runs.iter().map(|(change, _)| change.as_str()).collect();
        let merging = "ITEM UPDATED status executionStatus";
        let without: Vec<&str> = seen.iter().copied().filter(|change| *change != merging).collect();
        assert_eq!(without, expected, "{runs:?}");

        for change in &told {
            assert_eq!(change["itemId"], json!(item));
            assert_eq!(change["node"]["id"], change["entityId"], "{change}");
            let kind = change["node"]["__typename"].as_str().expect("a type").to_uppercase();
            assert_eq!(change["kind"], kind);
        }
        let listed = test
            .data(
                "query($id: ID!) { item(id: $id) { id identity { id } consents { nodes { id } } accounts { nodes { id bills { nodes { id } } } } transactions(first: 500) { totalCount nodes { id } } } }",
                json!({ "id": item }),
            )
            .await;
        let mut there = BTreeSet::new();
        ids(&listed, &mut there);
        assert_eq!(standing(&told), there);
    })
    .await;
}

/// All ids of an answer.
fn ids(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(id)) = fields.get("id") {
                found.insert(id.clone());
            }
            fields.values().for_each(|value| ids(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| ids(value, found)),
        _ => {}
    }
}

/// What is there after these changes; each is made once, changed while it is there, and gone once.
fn standing(changes: &[Value]) -> BTreeSet<String> {
    let mut there = BTreeSet::new();
    for change in changes {
        let id = change["entityId"].as_str().expect("an id").to_owned();
        match change["action"].as_str() {
            Some("CREATED") => assert!(there.insert(id), "{change}"),
            Some("UPDATED") => assert!(there.contains(&id), "{change}"),
            _ => assert!(there.remove(&id), "{change}"),
        }
    }
    there
}

/// A connected Item of a bank that shows these rows.
async fn over(
    engine: Engine,
    rows: Vec<TransactionRecord>,
) -> (
    TestApp,
    std::sync::Arc<std::sync::Mutex<crate::support::scripted::Bank>>,
    Uuid,
) {
    let (registry, bank) = scripted();
    let test = TestApp::start_over(engine, &[], registry).await;
    bank.lock().expect("a bank").rows = rows;
    let item = test.connect("7000", &[("user", "x")]).await;
    test.settle().await;
    (test, bank, item)
}

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_exactly_the_fields_that_differ() {
    type Edit = fn(&mut TransactionRecord);
    let edits: [(&str, Edit); 12] = [
        ("date", |row| row.date.0 += 1_000),
        ("postedOn", |row| {
            row.posted_on = "2026-03-12".parse().expect("a day");
        }),
        ("description", |row| row.description.push('!')),
        ("descriptionRaw", |row| {
            row.description_raw = Some("raw".to_owned());
        }),
        ("amount", |row| row.amount = Amount::from_cents(-101)),
        ("amountInAccountCurrency", |row| {
            row.amount_in_account_currency = Some(Amount::from_cents(-5));
        }),
        ("currencyCode", |row| row.currency_code = "USD".to_owned()),
        ("type", |row| {
            row.kind = entity::kind::TransactionType::Credit;
        }),
        ("status", |row| row.status = TransactionStatus::Pending),
        ("balance", |row| row.balance = Some(Amount::from_cents(1))),
        ("providerCode", |row| {
            row.provider_code = Some("7".to_owned());
        }),
        ("description amount status", |row| {
            row.description.push('?');
            row.amount = Amount::from_cents(-102);
            row.status = TransactionStatus::Pending;
        }),
    ];
    for engine in ENGINES {
        let rows: Vec<_> = (0..14)
            .map(|n| row(Some(&format!("r{n}")), "2026-03-15", -100, "Row"))
            .collect();
        let (test, bank, item) = over(engine, rows).await;
        let before = behind(&test, None, 500).await;
        {
            let mut bank = bank.lock().expect("a bank");
            for ((_, edit), row) in edits.iter().zip(&mut bank.rows) {
                edit(row);
            }
            bank.rows.pop();
            bank.rows.push(row(Some("new"), "2026-03-15", 1, "New"));
        }
        test.updated(item, &[]).await;
        let told = behind(&test, last(&before), 500).await;
        let rows: Vec<&Value> = told
            .iter()
            .filter(|change| change["kind"] == "TRANSACTION")
            .collect();
        let mut seen: Vec<String> = rows.iter().map(|change| short(change)).collect();
        seen.sort();
        let mut expected: Vec<String> = edits
            .iter()
            .map(|(fields, _)| format!("TRANSACTION UPDATED {fields}"))
            .chain([
                "TRANSACTION CREATED".to_owned(),
                "TRANSACTION DELETED".to_owned(),
            ])
            .collect();
        expected.sort();
        assert_eq!(seen, expected);
        for change in rows {
            assert_eq!(change["node"].is_null(), change["action"] == "DELETED");
        }
        assert!(told.iter().all(|change| change["kind"] != "ACCOUNT"));
        standing(&[before, told].concat());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_whose_transactions_stay_as_they_are_is_told_when_its_run_ends() {
    for engine in ENGINES {
        let (test, bank, item) = over(engine, Vec::new()).await;
        let before = behind(&test, None, 500).await;
        assert_eq!(
            shorts(&before)
                .iter()
                .filter(|change| *change == "ACCOUNT CREATED")
                .count(),
            1
        );
        test.updated(item, &[]).await;
        let same = behind(&test, last(&before), 500).await;
        assert!(
            same.iter().all(|change| change["kind"] == "ITEM"),
            "{same:?}"
        );
        bank.lock().expect("a bank").balance = 250;
        test.updated(item, &[]).await;
        let told = behind(&test, last(&same), 500).await;
        let tail = shorts(&told).split_off(told.len() - 2);
        assert_eq!(tail[0], "ACCOUNT UPDATED balance");
        assert!(
            tail[1].starts_with("ITEM UPDATED status executionStatus"),
            "{tail:?}"
        );

        // With rows to tell of, it comes before them.
        bank.lock().expect("a bank").balance = 300;
        bank.lock().expect("a bank").rows = vec![row(Some("a"), "2026-03-15", 50, "A")];
        test.updated(item, &[]).await;
        let told = shorts(&behind(&test, last(&told), 500).await);
        let place = told
            .iter()
            .position(|change| change == "ACCOUNT UPDATED balance");
        assert_eq!(told[place.expect("told") + 1], "TRANSACTION CREATED");
        assert_eq!(
            told.iter()
                .filter(|change| change.starts_with("ACCOUNT"))
                .count(),
            1
        );
    }
}

/// A number below another.
fn below(rng: &Rng, limit: u16) -> u16 {
    u16::from_be_bytes(rng.bytes()) % limit
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_pages_while_things_happen_misses_nothing_and_reads_nothing_twice() {
    for engine in ENGINES {
        let rng = Rng::seeded(seed());
        let (test, bank, item) = over(engine, Vec::new()).await;
        let mut after = Value::Null;
        let mut told: Vec<Value> = Vec::new();
        let mut made = 0;
        for _ in 0..12 {
            {
                let mut bank = bank.lock().expect("a bank");
                bank.rows.retain(|_| below(&rng, 8) > 0);
                for row in &mut bank.rows {
                    if below(&rng, 4) == 0 {
                        row.description.push('+');
                    }
                }
                for _ in 0..below(&rng, 40) {
                    made += 1;
                    let name = format!("Row {made}");
                    bank.rows.push(row(Some(&name), "2026-03-15", -100, &name));
                }
            }
            test.updated(item, &[]).await;
            for _ in 0..below(&rng, 6) {
                let first = 1 + below(&rng, 30);
                let data = test
                    .data(PAGE, json!({ "after": after, "first": first }))
                    .await;
                let edges = data["changes"]["edges"].as_array().expect("edges");
                told.extend(edges.iter().map(|edge| edge["node"].clone()));
                let end = &data["changes"]["pageInfo"]["endCursor"];
                if !end.is_null() {
                    after = end.clone();
                }
            }
        }
        let rest = behind(&test, Some(&after).filter(|after| !after.is_null()), 11).await;
        told.extend(rest);
        let plain = |changes: &[Value]| -> Vec<(Value, String)> {
            let plain = |change: &Value| (change["entityId"].clone(), short(change));
            changes.iter().map(plain).collect()
        };
        let whole = behind(&test, None, 500).await;
        assert_eq!(plain(&told), plain(&whole));
        let rows = bank.lock().expect("a bank").rows.len();
        let standing = standing(&whole);
        assert_eq!(
            standing.len(),
            rows + 3,
            "Item, consent and account beside the rows"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_costs_one_statement_for_each_kind_that_it_shows() {
    on_both_engines(|test| async move {
        test.connected().await;
        let document = "{ changes(first: 500) { nodes { kind node { id } } } }";
        let before = test.app.db.statements();
        test.data(document, json!({})).await;
        assert_eq!(test.app.db.statements() - before, 2 + 6);
        let before = test.app.db.statements();
        let document = "{ changes(first: 500) { nodes { kind fields } } }";
        test.data(document, json!({})).await;
        assert_eq!(test.app.db.statements() - before, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_are_of_this_list_this_application_and_what_is_kept() {
    on_both_engines(|test| async move {
        let query = "query($after: String) { changes(after: $after) { nodes { cursor kind } pageInfo { endCursor } } }";
        let events = "query($after: String) { events(after: $after) { nodes { cursor } } }";
        test.connected().await;
        let told = behind(&test, None, 500).await;
        let (first, end) = (told[0]["cursor"].clone(), told[told.len() - 1]["cursor"].clone());
        let data = test.data(events, json!({})).await;
        let event = &data["events"]["nodes"][0]["cursor"];
        let owner = test.principal.application;
        let future = cursor::of_place(&test.app, owner, Place { position: 1_000_000, ordinal: 0 });
        let mut tampered = first.as_str().expect("a cursor").to_owned();
        tampered.replace_range(50..51, if &tampered[50..51] == "A" { "B" } else { "A" });
        for bad in [event, &json!("x"), &json!(""), &json!(tampered), &json!(future)] {
            assert_eq!(test.code(query, json!({ "after": bad })).await, "BAD_CURSOR", "{bad}");
        }
        assert_eq!(test.code(events, json!({ "after": first })).await, "BAD_CURSOR");
        let other = create_application(&test.app, "other").await;
        let other = api_key(&test.app, other.id).await;
        let refused = test.query_as(Some(other), query, json!({ "after": first })).await;
        assert_eq!(code_of(&refused), "BAD_CURSOR");
        for first in [-1, 501] {
            let document = "query($first: Int) { changes(first: $first) { nodes { kind } } }";
            assert_eq!(test.code(document, json!({ "first": first })).await, "INVALID_INPUT");
        }

        // What an event tells goes with it. Whoever has read all of it has missed nothing.
        test.advance(Duration::from_hours(31 * 24));
        let item = test.connected().await;
        while retention::run_once(&test.app).await.expect("it runs") > 0 {}
        let answer = test.query(query, json!({ "after": first })).await;
        let error = &answer["errors"][0]["extensions"];
        assert_eq!(error["code"], "CURSOR_EXPIRED");
        let fresh = behind(&test, None, 500).await;
        assert!(fresh.iter().all(|change| change["itemId"] == json!(item)));
        assert_eq!(behind(&test, Some(&end), 500).await.len(), fresh.len());
        let data = test.data(query, json!({ "after": error["oldestCursor"] })).await;
        assert_eq!(data["changes"]["nodes"][0]["cursor"], fresh[0]["cursor"]);
        let rows = change::Entity::find().all(test.app.db.read()).await.expect("rows");
        assert_eq!(rows.len(), fresh.len());

        test.advance(Duration::from_hours(31 * 24));
        while retention::run_once(&test.app).await.expect("it runs") > 0 {}
        assert_eq!(test.code(query, json!({ "after": fresh[0]["cursor"] })).await, "CURSOR_EXPIRED");
        assert_eq!(test.data(query, json!({ "after": last(&fresh) })).await["changes"]["nodes"], json!([]));
        assert!(change::Entity::find().one(test.app.db.read()).await.expect("rows").is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_item_leaves_nothing_but_that_it_was_deleted() {
    on_both_engines(|test| async move {
        let (gone, stays) = (test.connected().await, test.connected().await);
        let before = behind(&test, None, 500).await;
        test.data(
            "mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }",
            json!({ "id": gone }),
        )
        .await;
        ponte::event::relay::run_once(&test.app)
            .await
            .expect("the relay");
        let told = behind(&test, last(&before), 500).await;
        assert_eq!(shorts(&told), ["ITEM DELETED"]);
        assert_eq!(told[0]["entityId"], json!(gone));
        assert_eq!(told[0]["itemId"], json!(gone));
        assert_eq!(told[0]["node"], Value::Null);
        let all = behind(&test, None, 500).await;
        for change in &all {
            assert_eq!(
                change["node"].is_null(),
                change["itemId"] == json!(gone),
                "{change}"
            );
        }

        test.settle().await;
        let left = behind(&test, None, 3).await;
        let of = |changes: &[Value], item: Uuid| -> Vec<String> {
            let own = changes
                .iter()
                .filter(|change| change["itemId"] == json!(item));
            own.map(short).collect()
        };
        assert_eq!(of(&left, gone), ["ITEM DELETED"]);
        let others = of(&before, stays);
        assert_eq!(of(&left, stays), others);
        // A cursor at what is purged is as good as before.
        let rest = behind(&test, Some(&before[2]["cursor"]), 500).await;
        assert_eq!(rest.len(), others.len() + 1);
    })
    .await;
}
