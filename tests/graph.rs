//! The graph: pages, filters, relations, what tokens may read, what is changed and followed.

use std::time::Duration;

use chrono::NaiveDate;
use entity::{
    account,
    kind::{TransactionStatus, TransactionType},
    transaction,
};
use futures_util::StreamExt as _;
use ponte::{
    auth::{Principal, token},
    clock::Timestamp,
    event, graphql,
};
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait as _, EntityTrait as _, IntoActiveModel as _,
    QueryFilter as _, QueryOrder as _,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{
    START, TestApp, api_key, code_of, create_application, eventually, id_at, on_both_engines,
};

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

/// Stores a movement of an account.
async fn store(
    test: &TestApp,
    account: &account::Model,
    posted_on: &str,
    description: &str,
    change: impl FnOnce(&mut transaction::Model),
) -> Uuid {
    let app = &test.app;
    // Ids of one millisecond have no order.
    test.advance(Duration::from_millis(1));
    let id = app.rng.id(app.clock.now());
    let mut row = transaction::Model {
        id,
        application_id: account.application_id,
        item_id: account.item_id,
        account_id: account.id,
        row_key: id.to_string(),
        digest: vec![0],
        provider_id: None,
        date: Timestamp(0),
        posted_on: day(posted_on),
        description: description.to_owned(),
        description_raw: None,
        search_text: ponte::product::text::fold(description),
        amount_units: -12,
        amount_nanos: -340_000_000,
        account_amount_units: None,
        account_amount_nanos: None,
        currency_code: "BRL".to_owned(),
        kind: TransactionType::Debit,
        status: TransactionStatus::Posted,
        balance_units: None,
        balance_nanos: None,
        provider_code: None,
        details: None,
        bill_key: None,
        bill_id: None,
        payment_data: None,
        category_id: None,
        category_source: None,
        rule_category_id: None,
        user_category_id: None,
        created_at: app.clock.now(),
        updated_at: app.clock.now(),
    };
    change(&mut row);
    transaction::Entity::insert(row.into_active_model().reset_all())
        .exec_without_returning(app.db.write())
        .await
        .expect("stored");
    id
}

/// A further, empty account of an Item.
async fn open_account(test: &TestApp, item: Uuid, ordinal: i32) -> account::Model {
    let mut row = account::Entity::find()
        .filter(account::Column::ItemId.eq(item))
        .order_by_asc(account::Column::Ordinal)
        .one(test.app.db.read())
        .await
        .expect("the database answers")
        .expect("an account");
    row.id = test.app.rng.id(test.app.clock.now());
    row.key = format!("extra {ordinal}");
    row.ordinal = ordinal;
    account::Entity::insert(row.clone().into_active_model().reset_all())
        .exec_without_returning(test.app.db.write())
        .await
        .expect("stored");
    row
}

/// A connect token, and whose it is.
pub async fn connect_token(test: &TestApp, input: Value) -> Principal {
    let data = test
        .data(
            "mutation($input: CreateConnectTokenInput!) { createConnectToken(input: $input) { connectToken expiresAt } }",
            json!({ "input": input }),
        )
        .await;
    assert_eq!(
        data["createConnectToken"]["expiresAt"],
        "2026-03-16T12:30:00.000Z"
    );
    let token = data["createConnectToken"]["connectToken"]
        .as_str()
        .expect("a token");
    token::verify(&test.app, token).await.expect("a good token")
}

const PAGE: &str = "query($id: ID!, $first: Int, $after: String, $last: Int, $before: String, $filter: TransactionFilter) { \
   account(id: $id) { transactions(first: $first, after: $after, last: $last, before: $before, filter: $filter) { \
     totalCount edges { cursor node { description } } nodes { description } \
     pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }";

/// A page of an account's transactions, its descriptions, and what it says of its place.
async fn page(test: &TestApp, id: Uuid, mut variables: Value) -> (Vec<String>, Value) {
    variables["id"] = json!(id);
    let data = test.data(PAGE, variables).await;
    let page = &data["account"]["transactions"];
    let edges = page["edges"].as_array().expect("edges");
    let nodes: Vec<&Value> = edges.iter().map(|edge| &edge["node"]).collect();
    assert_eq!(json!(nodes), page["nodes"]);
    let info = page["pageInfo"].clone();
    assert_eq!(
        info["startCursor"],
        edges
            .first()
            .map_or(Value::Null, |edge| edge["cursor"].clone())
    );
    assert_eq!(
        info["endCursor"],
        edges
            .last()
            .map_or(Value::Null, |edge| edge["cursor"].clone())
    );
    let texts = nodes
        .iter()
        .filter_map(|node| node["description"].as_str())
        .map(str::to_owned);
    (texts.collect(), info)
}

fn more(info: &Value) -> (bool, bool) {
    (info["hasPreviousPage"] == true, info["hasNextPage"] == true)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_walk_both_ways_and_stay_true_while_rows_arrive() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let account = open_account(&test, item, 9).await;
        let id = account.id;
        assert_eq!(
            page(&test, id, json!({ "first": 3 })).await,
            (
                vec![],
                json!({ "hasNextPage": false, "hasPreviousPage": false, "startCursor": null, "endCursor": null })
            )
        );
        for place in 1..=7 {
            let day = format!("2026-01-0{}", 8 - place);
            store(&test, &account, &day, &format!("row {place}"), |_| {}).await;
        }
        let (rows, one) = page(&test, id, json!({ "first": 3 })).await;
        assert_eq!(rows, ["row 1", "row 2", "row 3"]);
        assert_eq!(more(&one), (false, true));

        store(&test, &account, "2026-01-31", "newest", |_| {}).await;
        store(&test, &account, "2026-01-04", "same day", |_| {}).await;
        let (rows, two) = page(&test, id, json!({ "first": 3, "after": one["endCursor"] })).await;
        // The day's rows are ordered by id, of which the later one is larger and comes first.
        assert_eq!(rows, ["same day", "row 4", "row 5"]);
        assert_eq!(more(&two), (true, true));
        let (rows, three) = page(&test, id, json!({ "first": 3, "after": two["endCursor"] })).await;
        assert_eq!(rows, ["row 6", "row 7"]);
        assert_eq!(more(&three), (true, false));
        let (rows, end) = page(&test, id, json!({ "first": 3, "after": three["endCursor"] })).await;
        assert_eq!((rows.len(), more(&end)), (0, (true, false)));

        let (rows, back) = page(&test, id, json!({ "last": 3, "before": three["startCursor"] })).await;
        assert_eq!(rows, ["same day", "row 4", "row 5"]);
        assert_eq!(more(&back), (true, true));
        let (rows, back) = page(&test, id, json!({ "last": 4, "before": two["startCursor"] })).await;
        assert_eq!(rows, ["newest", "row 1", "row 2", "row 3"]);
        assert_eq!(more(&back), (false, true));
        let (rows, last) = page(&test, id, json!({ "last": 2 })).await;
        assert_eq!(rows, ["row 6", "row 7"]);
        assert_eq!(more(&last), (true, false));
        let between = json!({ "first": 500, "after": one["endCursor"], "before": three["startCursor"] });
        let (rows, info) = page(&test, id, between).await;
        assert_eq!(rows, ["same day", "row 4", "row 5"]);
        assert_eq!(more(&info), (true, true));
        let (rows, none) = page(&test, id, json!({ "first": 0 })).await;
        assert_eq!((rows.len(), more(&none)), (0, (false, true)));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_hold_together_and_searches_know_no_case_or_accents() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let account = open_account(&test, item, 9).await;
        store(&test, &account, "2026-01-01", "PÃO DE AÇÚCAR", |_| {}).await;
        store(&test, &account, "2026-01-02", "100% natural", |row| {
            row.kind = TransactionType::Credit;
        })
        .await;
        store(&test, &account, "2026-01-03", r"a_b\c", |row| {
            row.status = TransactionStatus::Pending;
        })
        .await;
        test.advance(Duration::from_mins(1));
        store(&test, &account, "2026-01-04", "1000 naturals", |_| {}).await;
        let later = test.app.clock.now().to_string();
        for (filter, expected) in [
            (json!({}), vec!["1000 naturals", r"a_b\c", "100% natural", "PÃO DE AÇÚCAR"]),
            (json!({ "search": "pao DE acucar" }), vec!["PÃO DE AÇÚCAR"]),
            (json!({ "search": "ÇÚC" }), vec!["PÃO DE AÇÚCAR"]),
            (json!({ "search": "0% N" }), vec!["100% natural"]),
            (json!({ "search": "_b" }), vec![r"a_b\c"]),
            (json!({ "search": r"\" }), vec![r"a_b\c"]),
            (json!({ "search": "'; --?" }), vec![]),
            (json!({ "from": "2026-01-02", "to": "2026-01-03" }), vec![r"a_b\c", "100% natural"]),
            (json!({ "status": "PENDING" }), vec![r"a_b\c"]),
            (json!({ "type": "CREDIT" }), vec!["100% natural"]),
            (json!({ "createdAtFrom": later }), vec!["1000 naturals"]),
            (json!({ "accountId": account.id, "to": "2026-01-01" }), vec!["PÃO DE AÇÚCAR"]),
            (json!({ "accountId": item }), vec![]),
        ] {
            let (rows, _) = page(&test, account.id, json!({ "filter": filter })).await;
            assert_eq!(rows, expected, "{filter}");
        }
        let data = test
            .data(
                "query($item: ID!, $account: ID!) { item(id: $item) { transactions(filter: { accountId: $account, search: \"NATURAL\" }) { \
                   totalCount nodes { description account { id } } } accounts(type: CREDIT) { totalCount nodes { type } } } }",
                json!({ "item": item, "account": account.id }),
            )
            .await;
        assert_eq!(
            data["item"],
            json!({
                "transactions": { "totalCount": 2, "nodes": [
                    { "description": "1000 naturals", "account": { "id": account.id } },
                    { "description": "100% natural", "account": { "id": account.id } },
                ] },
                "accounts": { "totalCount": 1, "nodes": [{ "type": "CREDIT" }] },
            })
        );

        let other = test.connect("0", &[("user", "user-locked"), ("password", "password-ok")]).await;
        test.settle().await;
        for (filter, expected) in [
            (json!({}), json!([other, item])),
            (json!({ "status": ["LOGIN_ERROR"] }), json!([other])),
            (json!({ "status": ["UPDATED", "UPDATING"], "connectorId": "0" }), json!([item])),
            (json!({ "status": [] }), json!([])),
            (json!({ "connectorId": "1" }), json!([])),
            (json!({ "connectorId": "none" }), json!([])),
            (json!({ "clientUserId": "nobody" }), json!([])),
        ] {
            let data = test
                .data("query($filter: ItemFilter) { items(filter: $filter) { totalCount nodes { id } } }", json!({ "filter": filter }))
                .await;
            let nodes = data["items"]["nodes"].as_array().expect("a list");
            let ids: Vec<&Value> = nodes.iter().map(|node| &node["id"]).collect();
            assert_eq!(json!(ids), expected, "{filter}");
            assert_eq!(data["items"]["totalCount"], nodes.len(), "{filter}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_named() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let data = test
            .data("query($id: ID!) { items { edges { cursor } } item(id: $id) { accounts { edges { cursor } } } }", json!({ "id": item }))
            .await;
        let of_items = data["items"]["edges"][0]["cursor"].as_str().expect("a cursor");
        let of_accounts = data["item"]["accounts"]["edges"][0]["cursor"].as_str().expect("a cursor");
        for (field, code, named) in [
            ("items(first: -1) { nodes { id } }".to_owned(), "INVALID_INPUT", "first"),
            ("items(first: 201) { nodes { id } }".to_owned(), "INVALID_INPUT", "first"),
            ("items(last: 201) { nodes { id } }".to_owned(), "INVALID_INPUT", "last"),
            ("items(first: 1, last: 1) { nodes { id } }".to_owned(), "INVALID_INPUT", "last"),
            ("items(after: \"\") { nodes { id } }".to_owned(), "BAD_CURSOR", ""),
            ("items(after: \"nonsense\") { nodes { id } }".to_owned(), "BAD_CURSOR", ""),
            (format!("items(after: \"{of_accounts}\") {{ nodes {{ id }} }}"), "BAD_CURSOR", ""),
            (format!("items(before: \"{of_items}A\") {{ nodes {{ id }} }}"), "BAD_CURSOR", ""),
            ("items(filter: { clientUserId: \"\" }) { nodes { id } }".to_owned(), "INVALID_INPUT", "clientUserId"),
            ("connectors(first: 201) { nodes { id } }".to_owned(), "INVALID_INPUT", "first"),
            ("events(first: 201) { nodes { id } }".to_owned(), "INVALID_INPUT", "first"),
            ("events(after: \"x\") { nodes { id } }".to_owned(), "BAD_CURSOR", ""),
            (format!("item(id: \"{item}\") {{ accounts(first: 201) {{ nodes {{ id }} }} }}"), "INVALID_INPUT", "first"),
            (format!("item(id: \"{item}\") {{ transactions(first: 501) {{ nodes {{ id }} }} }}"), "INVALID_INPUT", "first"),
            (format!("item(id: \"{item}\") {{ consents(first: 201) {{ nodes {{ id }} }} }}"), "INVALID_INPUT", "first"),
            (format!("item(id: \"{item}\") {{ transactions(filter: {{ search: \"{}\" }}) {{ nodes {{ id }} }} }}", "x".repeat(201)), "INVALID_INPUT", "search"),
            (format!("nodes(ids: [{}]) {{ id }}", "\"0\",".repeat(201)), "INVALID_INPUT", "ids"),
        ] {
            let response = test.query(&format!("{{ {field} }}"), json!({})).await;
            assert_eq!(code_of(&response), code, "{field}");
            if !named.is_empty() {
                assert_eq!(response["errors"][0]["extensions"]["field"], named, "{field}");
            }
        }
        let nul = json!({ "filter": { "search": "a\u{0}b" }, "id": item });
        let query = "query($id: ID!, $filter: TransactionFilter) { item(id: $id) { transactions(filter: $filter) { nodes { id } } } }";
        assert_eq!(test.code(query, nul).await, "INVALID_INPUT");
        for id in ["", "x", "\u{0}", "00000000-0000-0000-0000-000000000000", "{019cf684-6e00-74f0-8f67-2f4fcaf224d7}"] {
            let query = "query($id: ID!) { node(id: $id) { id } item(id: $id) { id } account(id: $id) { id } transaction(id: $id) { id } connector(id: $id) { id } }";
            let nothing = json!({ "node": null, "item": null, "account": null, "transaction": null, "connector": null });
            assert_eq!(test.data(query, json!({ "id": id })).await, nothing, "{id}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_fails_is_null_or_takes_what_is_around_it_along() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let token = connect_token(&test, json!({ "itemId": item })).await;
        let ask = |query: &'static str| test.query_as(Some(token.clone()), query, json!({ "id": item }));
        let response = ask("query($id: ID!) { item(id: $id) { id accounts(first: 1) { nodes { owner } } } }").await;
        assert_eq!(response["data"], json!({ "item": { "id": item, "accounts": { "nodes": [{ "owner": null }] } } }));
        assert_eq!(response["errors"][0]["path"], json!(["item", "accounts", "nodes", 0, "owner"]));
        let response = ask("query($id: ID!) { mine: item(id: $id) { id ...more } } fragment more on Item { accounts(first: 1) { nodes { id createdAt } } }").await;
        assert_eq!(response["data"], json!({ "mine": null }));
        let response = ask("query($id: ID!) { node(id: $id) { id ... on Item { who: identity { id } } } account(id: $id) { id } }").await;
        assert_eq!(response["data"], json!({ "node": { "id": item, "who": null }, "account": null }));
        let response = ask("query($id: ID!) { item(id: $id) { id } items { nodes { id } } }").await;
        assert_eq!(response["data"], Value::Null);
        assert_eq!(code_of(&response), "FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_token_reads_its_items_and_nothing_else() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let other = test.connected().await;
        let accounts = test.accounts(item).await;
        let account = accounts[0]["id"].as_str().expect("an id").to_owned();
        let row = accounts[0]["transactions"]["nodes"][0]["id"].as_str().expect("an id").to_owned();
        let token = connect_token(&test, json!({ "itemId": item, "clientUserId": "ana" })).await;
        let ids = json!({ "item": item, "other": other, "account": account, "row": row });
        let allowed = "query($item: ID!, $other: ID!, $account: ID!, $row: ID!) { viewer { kind itemId clientUserId application { name } expiresAt } \
            connectors { totalCount } connector(id: \"0\") { name credentials { name type } health { status } } \
            item(id: $item) { id connector { id } status executionStatus error { code } statusDetail { product } parameter { name } userAction { type } products \
              clientUserId webhookUrl createdAt updatedAt lastUpdatedAt consentExpiresAt canUpdate { allowed } \
              accounts { totalCount nodes { id type subtype number name balance currencyCode } } } \
            other: item(id: $other) { id } nodes(ids: [$item, $other, $account, $row]) { id } }";
        let response = test.query_as(Some(token.clone()), allowed, ids.clone()).await;
        assert_eq!(response.get("errors"), None, "{response}");
        let data = &response["data"];
        assert_eq!(
            data["viewer"],
            json!({ "kind": "CONNECT_TOKEN", "itemId": item, "clientUserId": "ana", "application": { "name": "Tests" }, "expiresAt": "2026-03-16T12:30:00.000Z" })
        );
        assert_eq!((&data["other"], &data["nodes"]), (&Value::Null, &json!([{ "id": item }, null, null, null])));
        assert_eq!(data["item"]["accounts"]["nodes"].as_array().map(Vec::len), Some(2));

        let foreign = format!("mutation {{ updateItem(input: {{ itemId: \"{other}\" }}) {{ item {{ id }} }} }}");
        let response = test.query_as(Some(token), &foreign, json!({})).await;
        assert_eq!(code_of(&response), "NOT_FOUND");
        let response = test.query_as(None, "{ viewer { kind } connectors { nodes { id } } }", json!({})).await;
        assert_eq!(code_of(&response), "UNAUTHENTICATED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_id_finds_its_node_and_no_one_elses() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let data = test
            .data(
                "query($id: ID!) { item(id: $id) { id accounts(first: 1) { nodes { id transactions(first: 1) { nodes { id } } } } identity { id } consents { nodes { id } } } \
                   events(first: 1) { nodes { id } } connectors(first: 1) { nodes { id } } }",
                json!({ "id": item }),
            )
            .await;
        let at = |pointer: &str| data.pointer(pointer).cloned().unwrap_or_else(|| panic!("{pointer} of {data}"));
        let kinds = ["Item", "Account", "Transaction", "Identity", "Consent", "Event", "Connector"];
        let ids = [
            at("/item/id"),
            at("/item/accounts/nodes/0/id"),
            at("/item/accounts/nodes/0/transactions/nodes/0/id"),
            at("/item/identity/id"),
            at("/item/consents/nodes/0/id"),
            at("/events/nodes/0/id"),
            at("/connectors/nodes/0/id"),
        ];
        let nodes = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }";
        let mut asked: Vec<Value> = ids.to_vec();
        asked.extend([json!("nothing"), json!("99"), ids[0].clone(), json!("00")]);
        let mut expected: Vec<Value> = ids.iter().zip(kinds).map(|(id, kind)| json!({ "__typename": kind, "id": id })).collect();
        expected.extend([Value::Null, Value::Null, expected[0].clone(), Value::Null]);
        let before = test.app.db.statements();
        let data = test.data(nodes, json!({ "ids": asked })).await;
        assert_eq!(data["nodes"], json!(expected));
        assert_eq!(test.app.db.statements() - before, 7, "one for the kinds, one for each kind");

        let stranger = create_application(&test.app, "Strangers").await;
        let stranger = api_key(&test.app, stranger.id).await;
        let response = test.query_as(Some(stranger.clone()), nodes, json!({ "ids": ids })).await;
        assert_eq!(response["data"]["nodes"], json!([null, null, null, null, null, null, expected[6]]));
        let query = "query($item: ID!, $account: ID!, $row: ID!) { item(id: $item) { id } account(id: $account) { id } transaction(id: $row) { id } \
            items { nodes { id } } events(filter: { itemId: $item }) { nodes { id } } }";
        let variables = json!({ "item": ids[0], "account": ids[1], "row": ids[2] });
        let response = test.query_as(Some(stranger), query, variables).await;
        assert_eq!(
            response["data"],
            json!({ "item": null, "account": null, "transaction": null, "items": { "nodes": [] }, "events": { "nodes": [] } })
        );

        test.data("mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }", json!({ "id": item })).await;
        let data = test.data(nodes, json!({ "ids": ids[..5] })).await;
        assert_eq!(data["nodes"], json!([null, null, null, null, null]));
        test.settle().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn however_wide_a_query_is_a_level_costs_one_statement() {
    on_both_engines(|test| async move {
        for _ in 0..20 {
            test.connect("0", &[("user", "user-ok"), ("password", "password-ok")]).await;
        }
        test.settle().await;
        let data = test.data("{ items { nodes { id } } }", json!({})).await;
        for node in data["items"]["nodes"].as_array().expect("a list") {
            let item: Uuid = node["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
            let account = open_account(&test, item, 9).await;
            for n in 0..30 {
                store(&test, &account, "2026-01-01", &format!("row {n}"), |_| {}).await;
            }
        }
        let wide = |items: usize, more: &str| {
            format!(
                "{{ items(first: {items}) {{ nodes {{ id connector {{ name }} canUpdate {{ allowed }} accounts(first: 3) {{ nodes {{ id balance \
                   transactions(first: 25) {{ nodes {{ id postedOn amount description }} pageInfo {{ hasNextPage }} }} {more} }} }} }} }} }}"
            )
        };
        for (more, expected) in [
            ("", 3),
            ("item { id }", 4),
            ("other: transactions(first: 1) { totalCount nodes { id account { id } } }", 6),
        ] {
            for items in [1, 20] {
                let before = test.app.db.statements();
                let data = test.data(&wide(items, more), json!({})).await;
                assert_eq!(test.app.db.statements() - before, expected, "{items} Items with {more}");
                let nodes = data["items"]["nodes"].as_array().expect("a list");
                assert_eq!(nodes.len(), items);
                for node in nodes {
                    let accounts = node["accounts"]["nodes"].as_array().expect("a list");
                    assert_eq!(accounts.len(), 3);
                    for account in accounts {
                        let page = &account["transactions"];
                        assert_eq!(page["nodes"].as_array().map(Vec::len), Some(25));
                        assert_eq!(page["pageInfo"]["hasNextPage"], true);
                    }
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_and_answered_through_the_graph() {
    on_both_engines(|test| async move {
        let item = test.connect("3", &[("user", "user-ok"), ("password", "password-ok")]).await;
        test.settle().await;
        let query = "query($id: ID!) { item(id: $id) { status executionStatus canUpdate { allowed } \
            parameter { name type mfa optional options { value } data expiresAt } } }";
        let data = test.data(query, json!({ "id": item })).await;
        assert_eq!(data["item"]["status"], "WAITING_USER_INPUT");
        let parameter = &data["item"]["parameter"];
        assert_eq!(parameter["expiresAt"], "2026-03-16T12:03:00.000Z");
        let name = parameter["name"].as_str().expect("a name").to_owned();

        let wrong = test.answer(item, "something else", "123456").await;
        assert_eq!(code_of(&wrong), "ITEM_MFA_PARAMETER_EXPECTED_MISMATCH");
        assert_eq!(wrong["errors"][0]["extensions"]["parameter"], name.as_str());
        let answered = test.answer(item, &name, "123456").await;
        assert_eq!(
            answered["data"]["sendItemMfa"]["item"],
            json!({ "status": "UPDATING", "executionStatus": "LOGIN_MFA_IN_PROGRESS" })
        );
        let again = test.answer(item, &name, "123456").await;
        assert_eq!(code_of(&again), "ITEM_MFA_ALREADY_PROVIDED");
        test.settle().await;
        let data = test.data(query, json!({ "id": item })).await;
        assert_eq!(data["item"]["executionStatus"], "SUCCESS");
        assert_eq!(data["item"]["parameter"], Value::Null);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_an_update_what_is_left_out_stays_and_null_clears() {
    on_both_engines(|test| async move {
        let created = test
            .data(
                "mutation { createItem(input: { connectorId: \"0\", clientUserId: \"ana\", webhookUrl: \"http://127.0.0.1:9/x\", products: [IDENTITY, ACCOUNTS], \
                   parameters: [{ name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { \
                   item { id clientUserId webhookUrl products status executionStatus } cursor } }",
                json!({}),
            )
            .await;
        let item = id_at(&created, "/createItem/item/id");
        assert_eq!(
            created["createItem"]["item"],
            json!({ "id": item, "clientUserId": "ana", "webhookUrl": "http://127.0.0.1:9/x", "products": ["ACCOUNTS", "IDENTITY"], "status": "UPDATING", "executionStatus": "CREATED" })
        );
        let update = "mutation($input: UpdateItemInput!) { updateItem(input: $input) { item { clientUserId webhookUrl products } } }";
        for (input, expected) in [
            (json!({}), json!({ "clientUserId": "ana", "webhookUrl": "http://127.0.0.1:9/x", "products": ["ACCOUNTS", "IDENTITY"] })),
            (json!({ "clientUserId": "bea", "products": ["ACCOUNTS"] }), json!({ "clientUserId": "bea", "webhookUrl": "http://127.0.0.1:9/x", "products": ["ACCOUNTS"] })),
            (json!({ "clientUserId": null, "parameters": null, "products": null }), json!({ "clientUserId": null, "webhookUrl": "http://127.0.0.1:9/x", "products": ["ACCOUNTS"] })),
            (json!({ "webhookUrl": null }), json!({ "clientUserId": null, "webhookUrl": null, "products": ["ACCOUNTS"] })),
        ] {
            while ponte::sync::run_once(&test.app).await.expect("the worker") > 0 {}
            let mut given = input.clone();
            given["itemId"] = json!(item);
            let data = test.data(update, json!({ "input": given })).await;
            assert_eq!(data["updateItem"]["item"], expected, "{input}");
        }
        let response = test.update(item, &[]).await;
        assert_eq!(code_of(&response), "ITEM_ALREADY_UPDATING");
        let data = test.data("query($id: ID!) { item(id: $id) { canUpdate { allowed code reason retryAt } } }", json!({ "id": item })).await;
        assert_eq!(
            data["item"]["canUpdate"],
            json!({ "allowed": false, "code": "ITEM_ALREADY_UPDATING", "reason": "item is already updating", "retryAt": null })
        );
        let data = test.data("mutation($id: ID!) { disableItemAutoSync(input: { itemId: $id }) { item { id } } }", json!({ "id": item })).await;
        assert_eq!(data["disableItemAutoSync"]["item"]["id"], json!(item));
    })
    .await;
}

fn follow(
    test: &TestApp,
    principal: &Principal,
    document: &str,
) -> futures_util::stream::BoxStream<'static, Value> {
    let request = async_graphql::Request::new(document).data(graphql::Asking::new(
        Some(principal.clone()),
        [127, 0, 0, 1].into(),
    ));
    let answers = test.graph.execute_stream(request).map(|mut response| {
        graphql::finish(&mut response, "test");
        serde_json::to_value(&response).expect("a response is JSON")
    });
    answers.boxed()
}

async fn next(stream: &mut futures_util::stream::BoxStream<'static, Value>) -> Value {
    tokio::time::timeout(Duration::from_secs(20), stream.next())
        .await
        .expect("an answer in time")
        .expect("a stream that goes on")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_tells_what_was_missed_and_then_what_happens() {
    on_both_engines(|test| async move {
        tokio::spawn(event::feed::run(test.app.clone()));
        let created = test
            .data(
                "mutation { createItem(input: { connectorId: \"0\", clientUserId: \"ana\", parameters: [{ name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { item { id } cursor } }",
                json!({}),
            )
            .await;
        let item = id_at(&created, "/createItem/item/id");
        let cursor = created["createItem"]["cursor"].as_str().expect("a cursor");
        test.settle().await;
        test.connected().await;

        let document = format!(
            "subscription {{ itemUpdated(itemId: \"{item}\", after: \"{cursor}\") {{ cursor event {{ id cursor type name itemSequence clientUserId triggeredBy payload }} item {{ id status accounts {{ totalCount }} }} }} }}"
        );
        let mut stream = follow(&test, &test.principal, &document);
        let expected = test.events(item).await.len();
        let mut cursors = Vec::new();
        for n in 0..expected {
            let answer = next(&mut stream).await;
            assert_eq!(answer.get("errors"), None, "{answer}");
            let told = &answer["data"]["itemUpdated"];
            assert_eq!(told["cursor"], told["event"]["cursor"]);
            assert_eq!(told["event"]["clientUserId"], "ana");
            assert_eq!(told["event"]["triggeredBy"], "CLIENT");
            assert_eq!(told["event"]["payload"]["eventId"], told["event"]["id"]);
            assert_eq!(told["event"]["payload"]["event"], told["event"]["name"]);
            // The Item is read as it is now.
            assert_eq!(told["item"], json!({ "id": item, "status": "UPDATED", "accounts": { "totalCount": 2 } }));
            if n == 0 {
                assert_eq!(told["event"]["type"], "ITEM_STATUS_CHANGED");
            }
            cursors.push(told["cursor"].as_str().expect("a cursor").to_owned());
        }
        let query = "query($after: String!, $id: ID!) { events(first: 200, after: $after, filter: { itemId: $id }) { nodes { cursor } pageInfo { hasNextPage hasPreviousPage } } }";
        let data = test.data(query, json!({ "after": cursors[2], "id": item })).await;
        let nodes = data["events"]["nodes"].as_array().expect("a list");
        let rest: Vec<&str> = nodes.iter().filter_map(|node| node["cursor"].as_str()).collect();
        assert_eq!(rest, cursors[3..]);
        assert_eq!(data["events"]["pageInfo"], json!({ "hasNextPage": false, "hasPreviousPage": true }));

        test.data("mutation($id: ID!) { deleteItem(input: { itemId: $id }) { deletedItemId } }", json!({ "id": item })).await;
        test.settle().await;
        let answer = next(&mut stream).await;
        let told = &answer["data"]["itemUpdated"];
        assert_eq!((&told["event"]["type"], &told["item"]), (&json!("ITEM_DELETED"), &Value::Null));

        let mut all = follow(
            &test,
            &test.principal,
            &format!("subscription {{ events(after: \"{cursor}\", filter: {{ types: [ITEM_CREATED, ITEM_DELETED] }}) {{ type itemId item {{ id }} }} }}"),
        );
        let kinds: Vec<Value> = vec![next(&mut all).await, next(&mut all).await, next(&mut all).await]
            .into_iter()
            .map(|answer| answer["data"]["events"]["type"].clone())
            .collect();
        assert_eq!(json!(kinds), json!(["ITEM_CREATED", "ITEM_CREATED", "ITEM_DELETED"]));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_follows_what_they_may_not_see() {
    on_both_engines(|test| async move {
        tokio::spawn(event::feed::run(test.app.clone()));
        let item = test.connected().await;
        let stranger = create_application(&test.app, "Strangers").await;
        let stranger = api_key(&test.app, stranger.id).await;
        let token = connect_token(&test, json!({})).await;
        let of_item = format!("subscription {{ itemUpdated(itemId: \"{item}\") {{ cursor }} }}");
        let cursor = event::cursor::encode(&test.app, test.principal.application, 1);
        let future = event::cursor::encode(&test.app, test.principal.application, 9_999);
        for (principal, document, code) in [
            (&stranger, of_item.clone(), "NOT_FOUND"),
            (&token, of_item, "NOT_FOUND"),
            (&token, "subscription { events { id } }".to_owned(), "FORBIDDEN"),
            (&stranger, format!("subscription {{ events(after: \"{cursor}\") {{ id }} }}"), "BAD_CURSOR"),
            (&test.principal, format!("subscription {{ itemUpdated(after: \"{future}\") {{ cursor }} }}"), "BAD_CURSOR"),
            (&test.principal, "subscription { itemUpdated(itemId: \"x\") { cursor } }".to_owned(), "NOT_FOUND"),
        ] {
            let mut stream = follow(&test, principal, &document);
            let answer = next(&mut stream).await;
            assert_eq!(code_of(&answer), code, "{document}");
            assert_eq!(answer["data"], Value::Null, "{document}");
        }

        // A connect token follows the Items made with it.
        let mut stream = follow(&test, &token, "subscription { itemUpdated { event { type } item { id } } }");
        let waiting = tokio::spawn(async move { next(&mut stream).await });
        eventually(|| test.app.feed.scopes() > 0).await;
        let created = test
            .query_as(
                Some(token.clone()),
                "mutation { createItem(input: { connectorId: \"0\", parameters: [{ name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { item { id } } }",
                json!({}),
            )
            .await;
        let own = id_at(&created["data"], "/createItem/item/id");
        test.updated(item, &[]).await;
        let answer = waiting.await.expect("told");
        assert_eq!(answer["data"]["itemUpdated"]["item"]["id"], json!(own));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_query_fits_into_little_stack() {
    on_both_engines(|test| async move {
        test.connected().await;
        let mut query = "id".to_owned();
        for _ in 0..4 {
            query = format!("item {{ accounts(first: 1) {{ nodes {{ {query} }} }} }}");
        }
        let query = format!("{{ items {{ nodes {{ accounts {{ nodes {{ {query} }} }} }} }} }}");
        let data = test.data(&query, json!({})).await;
        assert!(data["items"]["nodes"][0]["accounts"]["nodes"][1]["item"].is_object());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_holders_show_what_the_institution_tells() {
    on_both_engines(|test| async move {
        assert_eq!(START.to_string(), "2026-03-16T12:00:00.000Z");
        let item = test.connected().await;
        let data = test
            .data(
                "query($id: ID!) { item(id: $id) { accounts { nodes { type bankData { transferNumber closingBalance hasReservedBalance reservedBalances { name } } \
                   creditData { level brand balanceDueDate creditLimit isLimitFlexible status holderType additionalCards { number } \
                     disaggregatedCreditLimits { creditLineLimitType creditLineLimitTypeRaw consolidationType usedAmount limitAmount } } } } \
                   identity { fullName document documentType birthDate addresses { city countryCode type } phoneNumbers { type value } emails { type value } item { id } } } }",
                json!({ "id": item }),
            )
            .await;
        let accounts = &data["item"]["accounts"]["nodes"];
        let bank = &accounts[0];
        assert_eq!((&bank["type"], &bank["creditData"]), (&json!("BANK"), &Value::Null));
        assert!(bank["bankData"]["closingBalance"].as_str().is_some_and(|text| text.contains('.')), "{bank}");
        assert_eq!(bank["bankData"]["reservedBalances"], json!([{ "name": "Viagem" }]));
        let card = &accounts[1];
        assert_eq!((&card["type"], &card["bankData"]), (&json!("CREDIT"), &Value::Null));
        assert_eq!((&card["creditData"]["status"], &card["creditData"]["holderType"]), (&json!("ACTIVE"), &json!("MAIN")));
        assert_eq!(card["creditData"]["balanceDueDate"].as_str().map(str::len), Some(10));
        let limit = &card["creditData"]["disaggregatedCreditLimits"][0];
        assert_eq!(
            (&limit["creditLineLimitType"], &limit["creditLineLimitTypeRaw"], &limit["consolidationType"]),
            (&json!("TOTAL"), &json!("LIMITE_CREDITO_TOTAL"), &json!("CONSOLIDATED"))
        );
        let identity = &data["item"]["identity"];
        assert_eq!(identity["documentType"], "CPF");
        assert_eq!(identity["addresses"][0]["countryCode"], "BRA");
        assert_eq!(identity["phoneNumbers"][0]["type"], "PERSONAL");
        assert!(identity["emails"][0]["value"].as_str().is_some_and(|text| text.contains('@')));
        assert_eq!(identity["item"]["id"], json!(item));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_with_passwords_says_where_there_is_a_new_one() {
    on_both_engines(|test| async move {
        let document = "{ password: connector(id: \"0\") { resetPasswordUrl } site: connector(id: \"200\") { resetPasswordUrl } }";
        let data = test.data(document, json!({})).await;
        assert_eq!(
            data,
            json!({ "password": { "resetPasswordUrl": "https://bank.example/password" }, "site": { "resetPasswordUrl": null } })
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_movements_on_a_bill_come_in_the_order_asked_for() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let document = "query($id: ID!, $order: TransactionOrder) { item(id: $id) { accounts(type: CREDIT) { nodes { bills { nodes { \
            transactions(orderBy: $order) { nodes { amount postedOn } } } } } } } }";
        let mut compared = 0;
        let bills = async |order: &str| -> Vec<Vec<Value>> {
            let data = test.data(document, json!({ "id": item, "order": order })).await;
            let bills = data["item"]["accounts"]["nodes"][0]["bills"]["nodes"].as_array().cloned();
            let rows = |bill: Value| bill["transactions"]["nodes"].as_array().cloned().unwrap_or_default();
            bills.unwrap_or_default().into_iter().map(rows).collect()
        };
        let amount = |row: &Value| row["amount"].as_str().and_then(|text| text.parse::<f64>().ok()).expect("an amount");
        for (descending, ascending) in bills("AMOUNT_DESC").await.iter().zip(bills("AMOUNT_ASC").await) {
            assert!(descending.is_sorted_by(|a, b| amount(a) >= amount(b)), "{descending:?}");
            assert!(ascending.is_sorted_by(|a, b| amount(a) <= amount(b)), "{ascending:?}");
            assert_eq!(descending.len(), ascending.len());
            compared += descending.len();
        }
        assert!(compared > 5, "{compared} movements on bills");
    })
    .await;
}
