//! What transactions were for: the tree, who decides, and what survives.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::Duration,
};

use entity::{account, category_pass, kind::TransactionStatus};
use ponte::{
    category::{self, rule::MOST_RULES},
    connector::TransactionRecord,
    db::Engine,
    product::text::plain,
};
use sea_orm::{ActiveModelTrait as _, ActiveValue::Set, EntityTrait as _, IntoActiveModel as _};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    TestApp, api_key, create_application, id_at, on_both_engines,
    scripted::{Bank, row, scripted},
};

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];

/// An Item whose bank shows what the test says.
struct Banking {
    test: TestApp,
    bank: Arc<Mutex<Bank>>,
    item: Uuid,
}

impl Banking {
    async fn over(engine: Engine, rows: Vec<TransactionRecord>) -> Self {
        let (registry, bank) = scripted();
        let test = TestApp::start_over(engine, &[], registry).await;
        bank.lock().expect("a bank").rows = rows;
        let item = test.connect("7000", &[("user", "x")]).await;
        test.settle().await;
        Self { test, bank, item }
    }

    fn bank(&self, change: impl FnOnce(&mut Bank)) {
        change(&mut self.bank.lock().expect("a bank"));
    }

    async fn run(&self) {
        self.test.updated(self.item, &[]).await;
    }

    /// By description: id, category and who has decided it.
    async fn rows(&self) -> BTreeMap<String, (String, Value, Value)> {
        let query = "query($id: ID!, $after: String) { item(id: $id) { transactions(first: 500, after: $after) { \
            nodes { id description categoryId categorySource } pageInfo { hasNextPage endCursor } } } }";
        let (mut after, mut rows) = (Value::Null, Vec::new());
        loop {
            let variables = json!({ "id": self.item, "after": after });
            let data = self.test.data(query, variables).await;
            let page = &data["item"]["transactions"];
            rows.extend(page["nodes"].as_array().cloned().unwrap_or_default());
            after = page["pageInfo"]["endCursor"].clone();
            if page["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
        rows.iter()
            .map(|row| {
                let decided = (
                    text(row, "id"),
                    row["categoryId"].clone(),
                    row["categorySource"].clone(),
                );
                (text(row, "description"), decided)
            })
            .collect()
    }

    /// Category and source of the row with a description.
    async fn decided(&self, description: &str) -> (Value, Value) {
        let (_, category, source) = self.rows().await.remove(description).expect("a row");
        (category, source)
    }

    async fn choose(&self, id: &str, category: Value) -> Value {
        let input = json!({ "transactionId": id, "categoryId": category });
        choose(&self.test, input).await
    }

    async fn rule(&self, mut input: Value) -> Uuid {
        if input.get("categoryId").is_none() {
            input["categoryId"] = json!("13000000");
        }
        rule(&self.test, input).await
    }

    /// What the feed of changes tells of transactions that are different, and the names of their events.
    async fn told(&self) -> Vec<String> {
        let data = self
            .test
            .data(
                "{ changes(first: 500) { nodes { kind action fields } } }",
                json!({}),
            )
            .await;
        let nodes = data["changes"]["nodes"].as_array();
        let nodes = nodes.cloned().unwrap_or_default();
        let updated = nodes
            .iter()
            .filter(|node| node["kind"] == "TRANSACTION" && node["action"] == "UPDATED");
        updated.map(|node| node["fields"].to_string()).collect()
    }
}

async fn choose(test: &TestApp, input: Value) -> Value {
    let data = test
        .data(
            "mutation($input: UpdateTransactionInput!) { updateTransaction(input: $input) { transaction { id category { id description } categorySource updatedAt } } }",
            json!({ "input": input }),
        )
        .await;
    test.settle().await;
    data["updateTransaction"]["transaction"].clone()
}

const CREATE: &str = "mutation($input: CreateCategoryRuleInput!) { createCategoryRule(input: $input) { categoryRule { id } } }";
const DELETE: &str = "mutation($input: DeleteCategoryRuleInput!) { deleteCategoryRule(input: $input) { deletedCategoryRuleId } }";

async fn rule(test: &TestApp, input: Value) -> Uuid {
    let data = test.data(CREATE, json!({ "input": input })).await;
    test.settle().await;
    id_at(&data, "/createCategoryRule/categoryRule/id")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tree_is_read_whole_by_branch_and_by_id() {
    on_both_engines(|test| async move {
        let page = "query($after: String, $parent: ID) { categories(first: 50, after: $after, parentId: $parent) { totalCount \
            nodes { id description descriptionTranslated parentId parentDescription } pageInfo { hasNextPage endCursor } } }";
        let (mut after, mut seen) = (Value::Null, Vec::new());
        loop {
            let data = test.data(page, json!({ "after": after })).await;
            assert_eq!(data["categories"]["totalCount"], 131);
            seen.extend(data["categories"]["nodes"].as_array().cloned().expect("nodes"));
            after = data["categories"]["pageInfo"]["endCursor"].clone();
            if data["categories"]["pageInfo"]["hasNextPage"] == false {
                break;
            }
        }
        let ids: Vec<&str> = seen.iter().filter_map(|node| node["id"].as_str()).collect();
        assert_eq!(ids, category::all().iter().map(|one| one.id).collect::<Vec<_>>());
        assert_eq!(
            seen.iter().find(|node| node["id"] == "05080000"),
            Some(&json!({ "id": "05080000", "description": "Transfer - TED", "descriptionTranslated": "Transferência - TED",
                "parentId": "05000000", "parentDescription": "Transfers" }))
        );
        let below = test.data(page, json!({ "parent": "11000000" })).await;
        let below: Vec<_> = below["categories"]["nodes"].as_array().expect("nodes").iter().map(|node| node["id"].clone()).collect();
        assert_eq!(below, [json!("11010000"), json!("11020000")]);
        assert_eq!(test.data(page, json!({ "parent": "nothing" })).await["categories"]["nodes"], json!([]));
        let by_id = test
            .data(
                "{ category(id: \"19050100\") { id parent { id parent { id parent { id } } } } none: category(id: \"19050199\") { id } \
                   node(id: \"19050000\") { __typename ... on Category { children { id } } } nodes(ids: [\"11000000\", \"77\", \"0\"]) { id } }",
                json!({}),
            )
            .await;
        let children: Vec<Value> = (1..=6).map(|n| json!({ "id": format!("19050{n}00") })).collect();
        assert_eq!(
            by_id,
            json!({
                "category": { "id": "19050100", "parent": { "id": "19050000", "parent": { "id": "19000000", "parent": null } } },
                "none": null, "node": { "__typename": "Category", "children": children },
                "nodes": [{ "id": "11000000" }, null, { "id": "0" }],
            })
        );
        // Up and down and up again multiplies: it is bounded.
        let around = (0..6).fold("id".to_owned(), |inner, _| format!("children {{ parent {{ {inner} }} }}"));
        assert_eq!(test.code(&format!("{{ categories {{ nodes {{ {around} }} }} }}"), json!({})).await, "INVALID_INPUT");
    })
    .await;
}

/// The labelled texts of the sandbox, without the numbers of instalments: what they were for, by direction and kind of account.
fn labelled() -> HashMap<(String, bool), Value> {
    let text = include_str!("../src/category/labelled.csv");
    let rows = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.map(|line| {
        let fields: Vec<&str> = line.split(';').collect();
        let category = (fields[0] != "-").then_some(fields[0]);
        let key = (without_digits(fields[4]), fields[1] == "D");
        (key, json!(category))
    })
    .collect()
}

fn without_digits(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "#")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_movement_of_the_sandbox_is_labelled_and_has_its_category() {
    on_both_engines(|test| async move {
        let labels = labelled();
        for user in ["user-ok", "user-ok-two-checking-accounts"] {
            test.connect("0", &[("user", user), ("password", "password-ok")]).await;
        }
        test.settle().await;
        let (mut after, mut seen) = (Value::Null, 0);
        let data = test.data("{ items { nodes { id } } }", json!({})).await;
        let items = data["items"]["nodes"].as_array().cloned().expect("Items");
        for item in items {
            loop {
                let data = test
                    .data(
                        "query($id: ID!, $after: String) { item(id: $id) { transactions(first: 500, after: $after) { \
                           nodes { description type categoryId categorySource category { id parent { id } } } pageInfo { hasNextPage endCursor } } } }",
                        json!({ "id": item["id"], "after": after }),
                    )
                    .await;
                let page = &data["item"]["transactions"];
                for row in page["nodes"].as_array().expect("rows") {
                    let text = row["description"].as_str().expect("a text");
                    let key = (without_digits(text), row["type"] == "DEBIT");
                    let label = labels.get(&key).unwrap_or_else(|| panic!("{text} is not labelled"));
                    assert_eq!(&row["categoryId"], label, "{row}");
                    assert_eq!(row["category"]["id"], *label, "{row}");
                    // What a shop's word already says is the institution's; the rest is found here.
                    let known = ["CLASSIFIER", "INSTITUTION"].map(|source| json!(source));
                    assert_eq!(known.contains(&row["categorySource"]), !label.is_null(), "{row}");
                    seen += 1;
                }
                after = page["pageInfo"]["endCursor"].clone();
                if page["pageInfo"]["hasNextPage"] == false {
                    after = Value::Null;
                    break;
                }
            }
        }
        assert!(seen > 500, "only {seen} rows");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_users_choice_survives_every_later_run_and_can_be_taken_back() {
    for engine in ENGINES {
        let mut pending = row(None, "2026-03-16", -4_590, "PENDENTE - UBER TRIP");
        pending.status = TransactionStatus::Pending;
        let it = Banking::over(
            engine,
            vec![pending, row(Some("a"), "2026-03-15", -1_000, "Padaria")],
        )
        .await;
        let before = it.rows().await;
        let (ride, bread) = (&before["PENDENTE - UBER TRIP"], &before["Padaria"]);
        assert_eq!(ride.1, "19010000");
        it.test.advance(Duration::from_secs(1));
        let events = it.test.events(it.item).await.len();
        let chosen = it.choose(&ride.0, json!("12000000")).await;
        assert_eq!(
            chosen,
            json!({ "id": ride.0, "category": { "id": "12000000", "description": "Travel" }, "categorySource": "USER",
                "updatedAt": "2026-03-16T12:00:01.000Z" })
        );
        it.choose(&bread.0, json!("11020000")).await;
        let told = it.test.events(it.item).await.split_off(events);
        assert_eq!(told, ["transactions/updated", "transactions/updated"]);
        // The same again tells nothing, and writes nothing.
        let again = it.choose(&ride.0, json!("12000000")).await;
        assert_eq!(again, chosen);
        let input = json!({ "transactionId": ride.0 });
        assert_eq!(choose(&it.test, input).await, chosen, "left out");
        assert_eq!(it.test.events(it.item).await.len(), events + 2);

        // It settles under another key, and the other one gets another text.
        it.bank(|bank| {
            bank.rows[0] = row(None, "2026-03-17", -4_590, "UBER *TRIP SAO PAULO");
            bank.rows[1].description = "Farmacia".to_owned();
        });
        it.test.advance(Duration::from_hours(24));
        it.run().await;
        let user = |id: &str| (json!(id), json!("USER"));
        let after = it.rows().await;
        assert_eq!(after["UBER *TRIP SAO PAULO"].0, ride.0);
        assert_eq!(it.decided("UBER *TRIP SAO PAULO").await, user("12000000"));
        assert_eq!(it.decided("Farmacia").await, user("11020000"));
        assert_eq!(
            it.told().await,
            [
                json!(["category", "categoryId", "categorySource"]).to_string(),
                json!(["category", "categoryId", "categorySource"]).to_string(),
                json!(["date", "postedOn", "description", "status"]).to_string(),
                json!(["description"]).to_string(),
            ]
        );
        // Taken back, what was collected since shows.
        it.choose(&bread.0, Value::Null).await;
        let classified = (json!("18020000"), json!("CLASSIFIER"));
        assert_eq!(it.decided("Farmacia").await, classified);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_ones_own_gets_only_what_there_is() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let rows = test.accounts(item).await;
        let id = rows[0]["transactions"]["nodes"][0]["id"].clone();
        let change = "mutation($input: UpdateTransactionInput!) { updateTransaction(input: $input) { transaction { id } } }";
        for (transaction, category) in [
            (id.clone(), json!("99999999")),
            (id.clone(), json!("")),
            (json!(Uuid::from_u128(1)), json!("05000000")),
            (json!("?"), Value::Null),
        ] {
            let input = json!({ "input": { "transactionId": transaction, "categoryId": category } });
            assert_eq!(test.code(change, input).await, "NOT_FOUND");
        }
        for (input, code) in [
            (json!({ "description": " \u{301} ", "categoryId": "05000000" }), "INVALID_INPUT"),
            (json!({ "description": "x".repeat(201), "categoryId": "05000000" }), "INVALID_INPUT"),
            (json!({ "description": "a\u{0}", "categoryId": "05000000" }), "INVALID_INPUT"),
            (json!({ "description": "x", "categoryId": "05000000", "clientUserId": "" }), "INVALID_INPUT"),
            (json!({ "description": "x", "categoryId": "5" }), "NOT_FOUND"),
        ] {
            assert_eq!(test.code(CREATE, json!({ "input": input })).await, code, "{input}");
        }
        let delete = json!({ "input": { "categoryRuleId": Uuid::from_u128(1) } });
        assert_eq!(test.code(DELETE, delete).await, "NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_counts_for_what_is_collected_from_then_on() {
    for engine in ENGINES {
        let it = Banking::over(
            engine,
            vec![
                row(Some("old"), "2026-01-10", -1_000, "Padaria Real"),
                row(Some("new"), "2026-03-15", -1_000, "PADARIA BELA"),
            ],
        )
        .await;
        let eating = (json!("11010000"), json!("CLASSIFIER"));
        it.rule(json!({ "description": "padária", "matchType": "STARTS_WITH" }))
            .await;
        assert_eq!(it.decided("PADARIA BELA").await, eating);
        it.run().await;
        assert_eq!(
            it.decided("PADARIA BELA").await,
            (json!("13000000"), json!("RULE"))
        );
        assert_eq!(
            it.decided("Padaria Real").await,
            eating,
            "before the window"
        );
        let told = json!(["category", "categoryId", "categorySource"]).to_string();
        assert_eq!(it.told().await, [told.as_str()]);
        // Nothing is different from run to run.
        it.run().await;
        assert_eq!(it.told().await.len(), 1);

        // For the same text and the same movements there is one rule.
        let list = "{ categoryRules { nodes { id description matchType transactionType accountType clientUserId categoryId category { description } createdAt updatedAt } } }";
        let before = it.test.data(list, json!({})).await["categoryRules"]["nodes"].clone();
        it.test.advance(Duration::from_secs(1));
        let again = json!({ "description": " PADARIA ", "matchType": "STARTS_WITH", "categoryId": "10000000" });
        let id = it.rule(again).await;
        let after = it.test.data(list, json!({})).await["categoryRules"]["nodes"].clone();
        assert_eq!(before[0]["id"], json!(id));
        assert_eq!(
            after,
            json!([{ "id": id, "description": "PADARIA", "matchType": "STARTS_WITH", "transactionType": null, "accountType": null,
                "clientUserId": null, "categoryId": "10000000", "category": { "description": "Groceries" },
                "createdAt": before[0]["createdAt"], "updatedAt": "2026-03-16T12:00:01.000Z" }])
        );
        // A client user's goes before it, for that user's Items only.
        it.rule(
            json!({ "description": "padaria", "matchType": "CONTAINS", "clientUserId": "ana" }),
        )
        .await;
        it.run().await;
        let by_rule = |id: &str| (json!(id), json!("RULE"));
        assert_eq!(it.decided("PADARIA BELA").await, by_rule("10000000"));
        it.test
            .data(
                "mutation($id: ID!) { updateItem(input: { itemId: $id, clientUserId: \"ana\" }) { item { id } } }",
                json!({ "id": it.item }),
            )
            .await;
        it.test.settle().await;
        assert_eq!(it.decided("PADARIA BELA").await, by_rule("13000000"));
        let ana = "{ categoryRules(clientUserId: \"ana\") { nodes { clientUserId } } }";
        assert_eq!(
            it.test.data(ana, json!({})).await["categoryRules"]["nodes"],
            json!([{ "clientUserId": "ana" }])
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_reaches_what_is_stored_when_it_is_asked_to() {
    for engine in ENGINES {
        let rows: Vec<_> = (0..1_200)
            .map(|n| {
                let text = format!("{} {n}", if n % 3 == 0 { "Loja" } else { "Padaria" });
                row(Some(&format!("r{n}")), "2025-12-24", -100, &text)
            })
            .collect();
        let it = Banking::over(engine, rows).await;
        let chosen = it.rows().await["Padaria 1"].0.clone();
        it.choose(&chosen, json!("14000000")).await;
        let events = it.test.events(it.item).await.len();
        let rule =
            json!({ "description": "padaria", "matchType": "CONTAINS", "applyToExisting": true });
        let id = it.rule(rule).await;
        let by_rule = |rows: &BTreeMap<String, (String, Value, Value)>| {
            rows.values().filter(|row| row.2 == "RULE").count()
        };
        // 800 rows, less the one whose user has chosen, in three batches.
        let told = it.test.events(it.item).await.split_off(events);
        assert_eq!(told, ["transactions/updated"; 3]);
        let of_rule = "query($id: ID!) { item(id: $id) { transactions(filter: { categoryId: \"13000000\" }) { totalCount } } }";
        let counted = it.test.data(of_rule, json!({ "id": it.item })).await;
        assert_eq!(counted["item"]["transactions"]["totalCount"], 799);
        assert_eq!(by_rule(&it.rows().await), 799);
        assert_eq!(
            it.decided("Padaria 1").await,
            (json!("14000000"), json!("USER"))
        );
        // Taken back, the rule shows below the choice.
        it.choose(&chosen, Value::Null).await;
        assert_eq!(
            it.decided("Padaria 1").await,
            (json!("13000000"), json!("RULE"))
        );

        let input = json!({ "categoryRuleId": id, "applyToExisting": true });
        it.test.data(DELETE, json!({ "input": input })).await;
        it.test.settle().await;
        let counted = it.test.data(of_rule, json!({ "id": it.item })).await;
        assert_eq!(counted["item"]["transactions"]["totalCount"], 0);
        let passes = category_pass::Entity::find()
            .all(it.test.app.db.read())
            .await;
        assert_eq!(passes.expect("passes"), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_goes_on_where_it_was_and_begins_anew_with_the_next_rule() {
    for engine in ENGINES {
        let rows: Vec<_> = (0..10)
            .map(|n| {
                row(
                    Some(&format!("r{n}")),
                    &format!("2026-01-{:02}", n + 10),
                    -100,
                    &format!("Loja {n}"),
                )
            })
            .collect();
        let it = Banking::over(engine, rows).await;
        let create = |text: &str| json!({ "input": { "description": text, "matchType": "CONTAINS", "categoryId": "13000000", "applyToExisting": true } });
        it.test.data(CREATE, create("loja")).await;
        // A node that was killed had come so far.
        let db = it.test.app.db.write();
        let pass = category_pass::Entity::find()
            .one(db)
            .await
            .expect("read")
            .expect("a pass");
        let round = pass.round;
        let mut half_way = pass.into_active_model();
        half_way.item_id = Set(it.item);
        half_way.posted_on = Set(Some("2026-01-14".parse().expect("a day")));
        half_way.row_id = Set(Some(Uuid::max()));
        half_way.update(db).await.expect("stored");
        it.test.settle().await;
        let by_rule = |rows: &BTreeMap<String, (String, Value, Value)>| -> Vec<String> {
            let decided = rows.iter().filter(|(_, row)| row.2 == "RULE");
            decided.map(|(text, _)| text.clone()).collect()
        };
        let some = by_rule(&it.rows().await);
        assert_eq!(some, ["Loja 5", "Loja 6", "Loja 7", "Loja 8", "Loja 9"]);

        it.test.data(CREATE, create("loja 3")).await;
        let pass = category_pass::Entity::find()
            .one(db)
            .await
            .expect("read")
            .expect("a pass");
        let mut half_way = pass.into_active_model();
        half_way.item_id = Set(it.item);
        half_way.posted_on = Set(Some("2026-01-18".parse().expect("a day")));
        half_way.row_id = Set(Some(Uuid::max()));
        half_way.update(db).await.expect("stored");
        it.test.data(CREATE, create("loja 2")).await;
        let pass = category_pass::Entity::find()
            .one(db)
            .await
            .expect("read")
            .expect("a pass");
        assert_eq!((pass.item_id, pass.posted_on), (Uuid::nil(), None));
        assert_eq!(pass.round, round + 1);
        it.test.settle().await;
        assert_eq!(by_rule(&it.rows().await).len(), 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_has_so_many_rules_and_nobody_elses() {
    on_both_engines(|test| async move {
        let stranger = create_application(&test.app, "Stranger").await;
        let stranger = api_key(&test.app, stranger.id).await;
        let create = |n: u64| json!({ "input": { "description": format!("text {n}"), "categoryId": "13000000" } });
        for n in 0..MOST_RULES {
            test.data(CREATE, create(n)).await;
        }
        assert_eq!(
            test.code(CREATE, create(MOST_RULES)).await,
            "TOO_MANY_CATEGORY_RULES"
        );
        // One that is there already may change, another application has its own.
        test.data(CREATE, create(0)).await;
        let other = test
            .query_as(Some(stranger.clone()), CREATE, create(0))
            .await;
        let theirs = id_at(&other, "/data/createCategoryRule/categoryRule/id");
        let delete = json!({ "input": { "categoryRuleId": theirs } });
        assert_eq!(test.code(DELETE, delete).await, "NOT_FOUND");
        let node = "query($id: ID!) { node(id: $id) { __typename id } }";
        let seen = test.data(node, json!({ "id": theirs })).await;
        assert_eq!(seen, json!({ "node": null }));
        let seen = test.query_as(Some(stranger), node, json!({ "id": theirs })).await;
        let own = json!({ "node": { "__typename": "CategoryRule", "id": theirs } });
        assert_eq!(seen["data"], own);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_has_decided_is_exported_and_erased() {
    on_both_engines(|test| async move {
        let input = json!({ "connectorId": "0", "clientUserId": "ana", "parameters": [
            { "name": "user", "value": "user-ok" }, { "name": "password", "value": "password-ok" }] });
        let create = "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        let made = test.data(create, json!({ "input": input })).await;
        test.settle().await;
        let item = id_at(&made, "/createItem/item/id");
        let accounts = test.accounts(item).await;
        let row = accounts[0]["transactions"]["nodes"][0]["id"].clone();
        choose(&test, json!({ "transactionId": row, "categoryId": "13000000" })).await;
        for user in ["ana", "eve"] {
            let input = json!({ "description": "x", "categoryId": "13000000", "clientUserId": user });
            rule(&test, input).await;
        }
        let export = "query($after: String) { exportClientUser(clientUserId: \"ana\", first: 500, after: $after) { cursor records { __typename \
            ... on CategoryRule { description clientUserId } ... on Transaction { id categoryId categorySource } } } }";
        let (mut after, mut records) = (Value::Null, Vec::new());
        loop {
            let data = test.data(export, json!({ "after": after })).await;
            records.extend(data["exportClientUser"]["records"].as_array().cloned().expect("records"));
            after = data["exportClientUser"]["cursor"].clone();
            if after.is_null() {
                break;
            }
        }
        let rules: Vec<_> = records.iter().filter(|one| one["__typename"] == "CategoryRule").collect();
        assert_eq!(rules, [&json!({ "__typename": "CategoryRule", "description": "x", "clientUserId": "ana" })]);
        let chosen = json!({ "__typename": "Transaction", "id": row, "categoryId": "13000000", "categorySource": "USER" });
        assert!(records.contains(&chosen));
        test.data("mutation { deleteClientUser(input: { clientUserId: \"ana\" }) { remainingItems } }", json!({})).await;
        let left = test.data("{ categoryRules { nodes { clientUserId } } }", json!({})).await;
        assert_eq!(left["categoryRules"]["nodes"], json!([{ "clientUserId": "eve" }]));
        test.settle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn better_evidence_changes_what_is_collected_next_and_tells_of_nothing_else() {
    for engine in ENGINES {
        let it = Banking::over(
            engine,
            vec![
                row(Some("old"), "2026-01-10", -1_000, "Padaria Real"),
                row(Some("new"), "2026-03-15", -1_000, "Padaria Bela"),
                row(Some("own"), "2026-03-15", -1_000, "Padaria Minha"),
            ],
        )
        .await;
        let own = it.rows().await["Padaria Minha"].0.clone();
        it.choose(&own, json!("14000000")).await;
        // As a version before this one has stored it.
        let before = "UPDATE account_transaction SET category_id = NULL, category_source = NULL";
        let db = it.test.app.db.write();
        sea_orm::ConnectionTrait::execute_unprepared(db, before)
            .await
            .expect("stored");
        let told = it.told().await.len();
        it.run().await;
        assert_eq!(it.decided("Padaria Bela").await.0, "11010000");
        assert_eq!(it.decided("Padaria Real").await.0, Value::Null);
        assert_eq!(it.decided("Padaria Minha").await.0, "14000000");
        assert_eq!(
            it.told().await.len(),
            told + 1,
            "the user's own looks the same"
        );
        it.choose(&own, Value::Null).await;
        assert_eq!(it.decided("Padaria Minha").await.0, "11010000");
        it.run().await;
        assert_eq!(it.told().await.len(), told + 2);
        assert_eq!(plain(" A  b "), "a b");
    }
}

/// Accounts are there for the rules that are for some kinds of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_one_kind_of_account_and_direction_leaves_the_others_alone() {
    on_both_engines(|test| async move {
        for (account, kind, category) in [("CREDIT_CARD", "DEBIT", "13000000"), ("CHECKING_ACCOUNT", "CREDIT", "14000000")] {
            let input = json!({ "description": "a", "matchType": "CONTAINS", "accountType": account, "transactionType": kind, "categoryId": category });
            rule(&test, input).await;
        }
        let item = test.connected().await;
        let data = test
            .data(
                "query($id: ID!) { item(id: $id) { transactions(first: 500) { nodes { description type categoryId categorySource account { subtype } } } } }",
                json!({ "id": item }),
            )
            .await;
        let rows = data["item"]["transactions"]["nodes"].as_array().cloned().expect("rows");
        let mut decided = 0;
        for row in &rows {
            let expected = match (row["account"]["subtype"].as_str(), row["type"].as_str()) {
                (Some("CREDIT_CARD"), Some("DEBIT")) => Some("13000000"),
                (Some("CHECKING_ACCOUNT"), Some("CREDIT")) => Some("14000000"),
                _ => None,
            };
            let named = row["description"].as_str().is_some_and(|text| plain(text).contains('a'));
            let expected = expected.filter(|_| named);
            let by_rule = row["categorySource"] == "RULE";
            assert_eq!(by_rule, expected.is_some(), "{row}");
            if let Some(category) = expected {
                assert_eq!(row["categoryId"], category);
                decided += 1;
            }
        }
        assert!(decided > 10);
        let accounts = account::Entity::find().all(test.app.db.read()).await;
        assert_eq!(accounts.expect("accounts").len(), 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_asked_about_every_row_of_a_long_history() {
    for engine in ENGINES {
        let (registry, bank) = scripted();
        let test = TestApp::start_over(engine, &[], registry).await;
        let rows = (0..4_500).map(|n| {
            let name = if n % 3 == 0 { "Loja" } else { "Padaria" };
            // By the institution's id, or by content.
            let id = (n % 2 == 0).then(|| format!("r{n}"));
            row(id.as_deref(), "2025-12-24", -100, &format!("{name} {n}"))
        });
        bank.lock().expect("a bank").rows = rows.collect();
        let input =
            json!({ "description": "PADARIA", "matchType": "CONTAINS", "categoryId": "13000000" });
        rule(&test, input).await;
        let item = test.connect("7000", &[("user", "x")]).await;
        test.settle().await;
        let data = test
            .data(
                "query($id: ID!) { item(id: $id) { transactionSummary(groupBy: [CATEGORY]) { rows { categoryId count total } } } }",
                json!({ "id": item }),
            )
            .await;
        let summed = &data["item"]["transactionSummary"]["rows"];
        let of_rule = json!({ "categoryId": "13000000", "count": 3_000, "total": "-3000.00" });
        assert!(
            summed.as_array().expect("rows").contains(&of_rule),
            "{summed}"
        );
        let counted = summed.as_array().expect("rows").iter();
        let counted: i64 = counted.filter_map(|row| row["count"].as_i64()).sum();
        assert_eq!(counted, 4_500);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_for_a_client_user_reaches_that_users_items_and_one_for_all_reaches_all() {
    for engine in ENGINES {
        let (registry, bank) = scripted();
        let test = TestApp::start_over(engine, &[], registry).await;
        bank.lock().expect("a bank").rows = vec![row(Some("a"), "2026-01-10", -100, "Loja")];
        let mut items = Vec::new();
        for user in ["ana", "eve", "ana"] {
            let input = json!({ "connectorId": "7000", "clientUserId": user, "parameters": [{ "name": "user", "value": "x" }] });
            let create =
                "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
            let made = test.data(create, json!({ "input": input })).await;
            items.push(id_at(&made, "/createItem/item/id"));
            test.settle().await;
        }
        let decided = async || {
            let mut decided = Vec::new();
            for item in &items {
                let query = "query($id: ID!) { item(id: $id) { transactions { nodes { categoryId categorySource } } } }";
                let data = test.data(query, json!({ "id": item })).await;
                let row = &data["item"]["transactions"]["nodes"][0];
                let by_rule = (row["categorySource"] == "RULE").then(|| row["categoryId"].clone());
                decided.push(by_rule.unwrap_or_default());
            }
            decided
        };
        let input = json!({ "description": "loja", "clientUserId": "ana", "categoryId": "13000000", "applyToExisting": true });
        let of_ana = rule(&test, input).await;
        let (one, other) = (json!("13000000"), json!("14000000"));
        assert_eq!(decided().await, [one.clone(), Value::Null, one.clone()]);
        let input =
            json!({ "description": "loja", "categoryId": "14000000", "applyToExisting": true });
        rule(&test, input).await;
        assert_eq!(decided().await, [one.clone(), other.clone(), one]);
        // Without hers, the one for all counts for her too.
        let input = json!({ "categoryRuleId": of_ana, "applyToExisting": true });
        test.data(DELETE, json!({ "input": input })).await;
        test.settle().await;
        assert_eq!(decided().await, [other.clone(), other.clone(), other]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_a_payment_helps_to_tell_what_it_was_for() {
    on_both_engines(|test| async move {
        let parameters = [("user", "user-ok"), ("password", "password-ok")];
        let item = test.connect("2", &parameters).await;
        test.settle().await;
        let query = "query($id: ID!) { item(id: $id) { transactions(first: 500, filter: { type: DEBIT, search: \"pix enviado\" }) { \
            nodes { categoryId categorySource paymentData { reason } } } } }";
        let data = test.data(query, json!({ "id": item })).await;
        let rows = data["item"]["transactions"]["nodes"].as_array().expect("rows");
        let of = |reason: &str| rows.iter().filter(|row| row["paymentData"]["reason"] == reason).collect::<Vec<_>>();
        let rents = of("aluguel");
        let category = |row: &Value| row["categoryId"].as_str().unwrap_or("none").to_owned();
        // Unless the receiver says it better, such as a supermarket; a mere transfer it is not.
        let decided: Vec<_> = rents.into_iter().map(category).collect();
        assert!(decided.contains(&"17010000".to_owned()), "{decided:?}");
        assert!(decided.iter().all(|id| !id.starts_with("05")), "{decided:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merchants_are_looked_up_by_tax_number() {
    on_both_engines(|test| async move {
        let document = "query($cnpjs: [String!]!) { merchants(cnpjs: $cnpjs) { \
            foundMerchants { cnpj name businessName cnae category { id description } } notFoundMerchants invalidCnpjs } }";
        let cnpjs = ["00.779.721/0001-41", "11.222.333/0001-81", "12.ABC.345/01DE-35", "123"];
        let data = test.data(document, json!({ "cnpjs": cnpjs })).await;
        assert_eq!(
            data["merchants"],
            json!({
                "foundMerchants": [{
                    "cnpj": "00779721000141", "name": "Cinemark", "businessName": "CINEMARK BRASIL S.A.", "cnae": "5914600",
                    "category": { "id": "07040300", "description": "Cinema, theater and concerts" },
                }],
                "notFoundMerchants": ["11222333000181", "12ABC34501DE35"],
                "invalidCnpjs": ["123"],
            })
        );
        let many = vec!["11222333000181"; 201];
        assert_eq!(test.code(document, json!({ "cnpjs": many })).await, "INVALID_INPUT");
    })
    .await;
}
