//! Who may do what: every root field, asked by everybody, over HTTP.

use std::{collections::BTreeSet, time::Duration};

use async_graphql_parser::types::{TypeKind, TypeSystemDefinition};
use futures_util::StreamExt as _;
use ponte::{auth::token, error::Error, graphql, http};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{TestApp, create_application, id_at, on_both_engines, operator, seed};

/// What somebody gets.
#[derive(Clone, Copy, Debug)]
enum Gets {
    /// An answer without errors.
    Answer,
    /// An answer without errors whose field is null, or a list with nothing in it.
    Nothing,
    /// This error code.
    Code(&'static str),
}

use Gets::{Answer, Code, Nothing};

const FORBIDDEN: Gets = Code("FORBIDDEN");
const NOT_FOUND: Gets = Code("NOT_FOUND");

/// A root field: its document, and what an API key of another application, a connect token of the Item, and a connect
/// token of another Item get. `$item`, `$account`, `$row`, `$rule`, `$bill`, `$statement`, `$investment`, `$loan`, `$webhook`,
/// `$delivery` and `$event` are the owner's. What is below the fields is walked through in `tokens`.
///
/// Without a token, or with a forged or expired one, everything but `createApiKey` is UNAUTHENTICATED.
struct Row(&'static str, &'static str, Gets, Gets, Gets);

const TABLE: &[Row] = &[
    Row(
        "Query.viewer",
        "{ viewer { kind application { id name } itemId clientUserId cursor expiresAt } }",
        Answer,
        Answer,
        Answer,
    ),
    Row(
        "Query.connectors",
        "{ connectors { nodes { id name credentials { name } } } }",
        Answer,
        Answer,
        Answer,
    ),
    Row(
        "Query.connector",
        "{ connector(id: \"0\") { id } }",
        Answer,
        Answer,
        Answer,
    ),
    Row(
        "Query.node",
        "{ node(id: \"$item\") { id } }",
        Nothing,
        Answer,
        Nothing,
    ),
    Row(
        "Query.node",
        "{ node(id: \"$account\") { id } }",
        Nothing,
        Nothing,
        Nothing,
    ),
    Row(
        "Query.node",
        "{ node(id: \"$row\") { id } }",
        Nothing,
        Nothing,
        Nothing,
    ),
    Row(
        "Query.node",
        "{ node(id: \"$event\") { id } }",
        Nothing,
        Nothing,
        Nothing,
    ),
    Row(
        "Query.node",
        "{ node(id: \"$webhook\") { id } }",
        Nothing,
        Nothing,
        Nothing,
    ),
    Row(
        "Query.nodes",
        "{ nodes(ids: [\"$item\"]) { id } }",
        Nothing,
        Answer,
        Nothing,
    ),
    Row(
        "Query.items",
        "{ items { nodes { id } } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.item",
        "{ item(id: \"$item\") { id status connector { id } accounts { nodes { id type subtype number name balance currencyCode } } } }",
        Nothing,
        Answer,
        Nothing,
    ),
    Row(
        "Query.account",
        "{ account(id: \"$account\") { id } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.transaction",
        "{ transaction(id: \"$row\") { id } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.node",
        "{ node(id: \"$investment\") { id } }",
        Nothing,
        Nothing,
        Nothing,
    ),
    Row(
        "Query.transactionSummary",
        "{ transactionSummary(itemIds: [\"$item\"], groupBy: [CATEGORY]) { rows { count } } }",
        Answer,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.categories",
        "{ categories { nodes { id description } } }",
        Answer,
        Answer,
        Answer,
    ),
    Row(
        "Query.merchants",
        "{ merchants(cnpjs: [\"00.779.721/0001-41\"]) { foundMerchants { cnpj name businessName cnae category { id } } notFoundMerchants invalidCnpjs } }",
        Answer,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.category",
        "{ category(id: \"05080000\") { id parent { id } children { id } } }",
        Answer,
        Answer,
        Answer,
    ),
    Row(
        "Query.node",
        "{ node(id: \"05080000\") { id } }",
        Answer,
        Answer,
        Answer,
    ),
    Row(
        "Query.node",
        "{ node(id: \"$rule\") { id } }",
        Nothing,
        Nothing,
        Nothing,
    ),
    Row(
        "Query.investment",
        "{ investment(id: \"$investment\") { id transactions { nodes { id } } } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.loan",
        "{ loan(id: \"$loan\") { id } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.categoryRules",
        "{ categoryRules { nodes { id } } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.webhooks",
        "{ webhooks { nodes { id } } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.webhook",
        "{ webhook(id: \"$webhook\") { id } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.events",
        "{ events { nodes { id } } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.changes",
        "{ changes { nodes { cursor } } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.auditLog",
        "{ auditLog(filter: { targetId: \"$item\" }) { nodes { id } } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.exportClientUser",
        "{ exportClientUser(clientUserId: \"nobody\") { records { __typename } cursor } }",
        Answer,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.deleteClientUser",
        "mutation { deleteClientUser(input: { clientUserId: \"nobody\" }) { deletedItemIds remainingItems } }",
        Answer,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.createConnectToken",
        "mutation { createConnectToken(input: { itemId: \"$item\" }) { connectToken } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.validateParameters",
        "mutation { validateParameters(input: { connectorId: \"0\", parameters: [] }) { errors { code message parameter } } }",
        Answer,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.createItem",
        "mutation { createItem(input: { connectorId: \"0\", parameters: [{ name: \"user\", value: \"user-ok\" }, { name: \"password\", value: \"password-ok\" }] }) { item { id } } }",
        Answer,
        Answer,
        Answer,
    ),
    Row(
        "Mutation.updateItem",
        "mutation { updateItem(input: { itemId: \"$item\" }) { item { id } } }",
        NOT_FOUND,
        Answer,
        NOT_FOUND,
    ),
    Row(
        "Mutation.sendItemMfa",
        "mutation { sendItemMfa(input: { itemId: \"$item\", parameters: [{ name: \"token\", value: \"1\" }] }) { item { id } } }",
        NOT_FOUND,
        Code("ITEM_MFA_NOT_FOUND"),
        NOT_FOUND,
    ),
    Row(
        "Query.bill",
        "{ bill(id: \"$bill\") { id } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.statement",
        "{ statement(id: \"$statement\") { id } }",
        Nothing,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.node",
        "{ node(id: \"$statement\") { id } }",
        Nothing,
        Nothing,
        Nothing,
    ),
    Row(
        "Mutation.fetchAccountBalance",
        "mutation { fetchAccountBalance(input: { accountId: \"$account\" }) { balance { balance } } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Query.node",
        "{ node(id: \"$bill\") { id } }",
        Nothing,
        Nothing,
        Nothing,
    ),
    Row(
        "Mutation.createSandboxTransaction",
        "mutation { createSandboxTransaction(input: { accountId: \"$account\", postedOn: \"2026-03-15\", amount: \"-1\", description: \"x\" }) { __typename } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.updateSandboxTransaction",
        "mutation { updateSandboxTransaction(input: { transactionId: \"$row\", amount: \"-1\" }) { __typename } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.deleteSandboxTransaction",
        "mutation { deleteSandboxTransaction(input: { transactionId: \"$row\" }) { __typename } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.advanceSandboxClock",
        "mutation { advanceSandboxClock(input: { itemId: \"$item\", days: 1 }) { __typename } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.failNextSandboxRun",
        "mutation { failNextSandboxRun(input: { itemId: \"$item\", code: ERROR }) { __typename } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.warnNextSandboxRun",
        "mutation { warnNextSandboxRun(input: { itemId: \"$item\", product: ACCOUNTS, code: \"ACCT_003\" }) { __typename } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.setSandboxConnectorStatus",
        "mutation { setSandboxConnectorStatus(input: { connectorId: \"0\", status: ONLINE }) { __typename } }",
        Answer,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.disableItemAutoSync",
        "mutation { disableItemAutoSync(input: { itemId: \"$item\" }) { item { id } } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.updateTransaction",
        "mutation { updateTransaction(input: { transactionId: \"$row\", categoryId: \"05080000\" }) { transaction { id } } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.createCategoryRule",
        "mutation { createCategoryRule(input: { description: \"x\", categoryId: \"05080000\" }) { categoryRule { id } } }",
        Answer,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.deleteCategoryRule",
        "mutation { deleteCategoryRule(input: { categoryRuleId: \"$rule\" }) { deletedCategoryRuleId } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.createWebhook",
        "mutation { createWebhook(input: { url: \"http://127.0.0.1:9/hook\" }) { webhook { id } } }",
        Answer,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.updateWebhook",
        "mutation { updateWebhook(input: { webhookId: \"$webhook\", description: \"x\" }) { webhook { id } } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.rotateWebhookSecret",
        "mutation { rotateWebhookSecret(input: { webhookId: \"$webhook\" }) { webhook { id } } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.sendTestEvent",
        "mutation { sendTestEvent(input: { webhookId: \"$webhook\", type: ITEM_CREATED }) { delivery { id } } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.replayWebhook",
        "mutation { replayWebhook(input: { webhookId: \"$webhook\", since: \"2026-01-01T00:00:00.000Z\" }) { count } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.retryDelivery",
        "mutation { retryDelivery(input: { deliveryId: \"$delivery\" }) { delivery { id } } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.deleteWebhook",
        "mutation { deleteWebhook(input: { webhookId: \"$webhook\" }) { deletedWebhookId } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Mutation.deleteItem",
        "mutation { deleteItem(input: { itemId: \"$item\" }) { deletedItemId } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Subscription.itemUpdated",
        "subscription { itemUpdated(itemId: \"$item\") { cursor } }",
        NOT_FOUND,
        Answer,
        NOT_FOUND,
    ),
    Row(
        "Subscription.deliveryUpdated",
        "subscription { deliveryUpdated(webhookId: \"$webhook\") { id } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Subscription.deliveryUpdated",
        "subscription { deliveryUpdated(itemId: \"$item\") { id } }",
        NOT_FOUND,
        FORBIDDEN,
        FORBIDDEN,
    ),
    Row(
        "Subscription.events",
        "subscription { events { id } }",
        Answer,
        FORBIDDEN,
        FORBIDDEN,
    ),
];

/// The root fields that do not refuse a connect token as such.
pub fn open_to_connect_tokens() -> BTreeSet<&'static str> {
    let open = TABLE
        .iter()
        .filter(|row| !matches!(row.3, Code("FORBIDDEN")));
    open.map(|row| row.0).collect()
}

/// A node that listens, and a client.
struct Client {
    test: TestApp,
    base: String,
    http: reqwest::Client,
}

impl Client {
    async fn over(test: TestApp) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(http::serve(
            test.app.clone(),
            graphql::build(test.app.clone()),
            listener,
            None,
        ));
        Self {
            test,
            base,
            http: reqwest::Client::new(),
        }
    }

    async fn post(&self, token: Option<&str>, document: &str) -> Value {
        let mut request = self
            .http
            .post(format!("{}/graphql", self.base))
            .header("content-type", "application/json")
            .body(json!({ "query": document }).to_string());
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let text = request
            .send()
            .await
            .expect("an answer")
            .text()
            .await
            .expect("a body");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("not JSON: {text}"))
    }

    /// The first answer of a document, whatever its kind.
    async fn ask(&self, token: Option<&str>, document: &str) -> Value {
        if !document.starts_with("subscription") {
            return self.post(token, document).await;
        }
        let principal = match token {
            None => None,
            Some(token) => match token::verify(&self.test.app, token).await {
                Ok(principal) => Some(principal),
                Err(error) => {
                    return json!({ "errors": [{ "extensions": { "code": error.code() } }] });
                }
            },
        };
        let request = async_graphql::Request::new(document)
            .data(graphql::Asking::new(principal, [127, 0, 0, 1].into()));
        let mut stream = self.test.graph.execute_stream(request);
        match tokio::time::timeout(Duration::from_millis(300), stream.next()).await {
            Ok(Some(mut response)) => {
                graphql::finish(&mut response, "test");
                serde_json::to_value(response).expect("JSON")
            }
            // It follows and has nothing to say.
            _ => json!({ "data": { "field": {} } }),
        }
    }

    async fn api_key(&self, owner: &ponte::auth::application::Created) -> String {
        token::create_api_key(
            &self.test.app,
            [127, 0, 0, 1].into(),
            &owner.client_id.to_string(),
            &owner.client_secret,
        )
        .await
        .expect("an API key")
        .token
    }

    async fn connect_token(&self, item: Uuid) -> String {
        let request = token::ConnectTokenRequest {
            item: Some(item),
            ..Default::default()
        };
        token::create_connect_token(&self.test.app, &self.test.principal, request)
            .await
            .expect("a token")
            .token
    }
}

fn judge(who: &str, row: &Row, gets: Gets, answer: &Value) {
    let Row(field, document, ..) = row;
    let code = answer
        .pointer("/errors/0/extensions/code")
        .and_then(Value::as_str);
    match gets {
        Code(expected) => assert_eq!(
            code,
            Some(expected),
            "{who} at {field}: {document}: {answer}"
        ),
        Answer => {
            assert_eq!(code, None, "{who} at {field}: {document}: {answer}");
            let value = answer["data"]
                .as_object()
                .and_then(|data| data.values().next())
                .cloned()
                .unwrap_or_default();
            assert!(!value.is_null(), "{who} at {field}: {document}: {answer}");
        }
        Nothing => {
            assert_eq!(code, None, "{who} at {field}: {document}: {answer}");
            let value = answer["data"]
                .as_object()
                .and_then(|data| data.values().next())
                .cloned()
                .unwrap_or_default();
            let empty = value.is_null() || value["nodes"] == json!([]) || value == json!([null]);
            assert!(empty, "{who} at {field}: {document}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_root_field_gives_everybody_what_is_theirs() {
    on_both_engines(|test| async move {
        let item = test.connected().await;
        let another = test.connect("0", &[("user", "user-ok-two-checking-accounts"), ("password", "password-ok")]).await;
        let invested = test.connect("2", &[("user", "user-ok"), ("password", "password-ok")]).await;
        test.data("mutation { createWebhook(input: { url: \"http://127.0.0.1:9/hook\" }) { webhook { id } } }", json!({})).await;
        test.data("mutation { createCategoryRule(input: { description: \"padaria\", categoryId: \"11010000\" }) { categoryRule { id } } }", json!({})).await;
        test.settle().await;
        let shown = "query($id: ID!) { item(id: $id) { investments { nodes { id } } loans { nodes { id } } accounts { nodes { statements { nodes { id } } } } } }";
        let shown = test.data(shown, json!({ "id": invested })).await;
        let data = test
            .data(
                "query($id: ID!) { item(id: $id) { accounts { nodes { id transactions(first: 1) { nodes { id } } bills(first: 1) { nodes { id } } } } } \
                   categoryRules { nodes { id } } webhooks { nodes { id deliveries(first: 1) { nodes { id } } } } events(first: 1) { nodes { id } } }",
                json!({ "id": item }),
            )
            .await;
        let client = Client::over(test).await;
        let ids = [
            ("$item", item),
            ("$account", id_at(&data, "/item/accounts/nodes/0/id")),
            ("$row", id_at(&data, "/item/accounts/nodes/0/transactions/nodes/0/id")),
            ("$bill", id_at(&data, "/item/accounts/nodes/1/bills/nodes/0/id")),
            ("$investment", id_at(&shown, "/item/investments/nodes/0/id")),
            ("$statement", id_at(&shown, "/item/accounts/nodes/0/statements/nodes/0/id")),
            ("$loan", id_at(&shown, "/item/loans/nodes/0/id")),
            ("$rule", id_at(&data, "/categoryRules/nodes/0/id")),
            ("$webhook", id_at(&data, "/webhooks/nodes/0/id")),
            ("$delivery", id_at(&data, "/webhooks/nodes/0/deliveries/nodes/0/id")),
            ("$event", id_at(&data, "/events/nodes/0/id")),
        ];
        let fill = |document: &str, ids: &[(&str, Uuid)]| {
            ids.iter().fold(document.to_owned(), |text, (name, id)| text.replace(name, &id.to_string()))
        };
        let stranger = create_application(&client.test.app, "Stranger").await;
        let own = client.api_key(&client.test.owner).await;
        let tokens = [client.api_key(&stranger).await, client.connect_token(item).await, client.connect_token(another).await];
        let mut forged = own.clone();
        forged.replace_range(own.len() - 10..own.len() - 9, if own.as_bytes()[own.len() - 10] == b'A' { "B" } else { "A" });

        let unknown: Vec<(&str, Uuid)> = (1_u128..).zip(ids).map(|(n, (name, _))| (name, Uuid::from_u128(n))).collect();
        for row in TABLE {
            let Row(_, document, other, mine, not_mine) = row;
            let document_of_owner = fill(document, &ids);
            judge("nobody", row, Code("UNAUTHENTICATED"), &client.ask(None, &document_of_owner).await);
            judge("a forger", row, Code("UNAUTHENTICATED"), &client.ask(Some(&forged), &document_of_owner).await);
            judge("another application", row, *other, &client.ask(Some(&tokens[0]), &document_of_owner).await);
            judge("the Item's user", row, *mine, &client.ask(Some(&tokens[1]), &document_of_owner).await);
            judge("another Item's user", row, *not_mine, &client.ask(Some(&tokens[2]), &document_of_owner).await);
            // What belongs to somebody else answers exactly like what does not exist.
            if document.contains('$') && !document.starts_with("subscription") {
                for token in [&tokens[0], &tokens[2]] {
                    let anonymous = |mut answer: Value| {
                        if let Some(errors) = answer["errors"].as_array_mut() {
                            for error in errors {
                                error["extensions"]["requestId"] = json!(null);
                            }
                        }
                        answer
                    };
                    let foreign = anonymous(client.ask(Some(token), &document_of_owner).await);
                    let missing = anonymous(client.ask(Some(token), &fill(document, &unknown)).await);
                    assert_eq!(foreign, missing, "{document}");
                }
            }
        }
        // All of this has changed nothing of the owner's.
        let after = client.test.item(item).await;
        assert_eq!(after["id"], json!(item));

        client.test.advance(Duration::from_hours(2));
        for row in TABLE {
            let document = fill(row.1, &ids);
            judge("who comes late", row, Code("UNAUTHENTICATED"), &client.ask(Some(&own), &document).await);
        }
        client.test.app.stop();
    })
    .await;
}

#[test]
fn the_table_names_every_root_field() {
    let schema = async_graphql_parser::parse_schema(graphql::sdl()).expect("the schema");
    let mut fields = BTreeSet::new();
    for definition in schema.definitions {
        if let TypeSystemDefinition::Type(definition) = definition
            && let TypeKind::Object(object) = &definition.node.kind
            && ["Query", "Mutation", "Subscription"].contains(&definition.node.name.node.as_str())
        {
            fields.extend(
                object
                    .fields
                    .iter()
                    .map(|field| format!("{}.{}", definition.node.name.node, field.node.name.node)),
            );
        }
    }
    let mut rows: BTreeSet<String> = TABLE.iter().map(|row| row.0.to_owned()).collect();
    // The one that needs no token has a test of its own below.
    rows.insert("Mutation.createApiKey".to_owned());
    assert_eq!(fields, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_secret_is_needed_and_guessing_is_slowed_down() {
    on_both_engines(|test| async move {
        let client = Client::over(test).await;
        let owner = &client.test.owner;
        let document = |id: &str, secret: &str| {
            format!("mutation {{ createApiKey(input: {{ clientId: \"{id}\", clientSecret: \"{secret}\" }}) {{ apiKey expiresAt }} }}")
        };
        let (id, secret) = (owner.client_id.to_string(), owner.client_secret.clone());
        let answer = client.post(None, &document(&id, &secret)).await;
        assert_eq!(answer["data"]["createApiKey"]["expiresAt"], "2026-03-16T14:00:00.000Z");
        let key = answer["data"]["createApiKey"]["apiKey"].as_str().expect("a key").to_owned();

        let wrong = client.post(None, &document(&id, "wrong")).await;
        let unknown = client.post(None, &document(&Uuid::from_u128(1).to_string(), "wrong")).await;
        assert_eq!(wrong["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        assert_eq!(wrong["errors"][0]["message"], unknown["errors"][0]["message"]);

        // Thirty a minute, however they are packed.
        let aliases: Vec<String> = (0..30).map(|n| format!("a{n}: createApiKey(input: {{ clientId: \"{id}\", clientSecret: \"{n}\" }}) {{ apiKey }} ")).collect();
        let packed = client.post(None, &format!("mutation {{ {} }}", aliases.concat())).await;
        let text = packed.to_string();
        assert!(text.contains("RATE_LIMITED") || text.contains("UNAUTHENTICATED"), "{text}");
        let limited = client.post(None, &document(&id, &secret)).await;
        assert_eq!(limited["errors"][0]["extensions"]["code"], "RATE_LIMITED");
        assert!(limited["errors"][0]["extensions"]["retryAfter"].as_u64().is_some_and(|after| after <= 61));
        // Who has a token is not concerned.
        assert_eq!(client.post(Some(&key), "{ viewer { kind } }").await["data"]["viewer"]["kind"], "API_KEY");
        client.test.advance(Duration::from_mins(1));
        assert_eq!(client.post(None, &document(&id, &secret)).await.get("errors"), None);
        client.test.app.stop();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_altered_token_is_ever_accepted() {
    on_both_engines(|test| async move {
        let rng = ponte::clock::Rng::seeded(seed());
        let app = &test.app;
        let owner = &test.owner;
        let key = token::create_api_key(
            app,
            [127, 0, 0, 1].into(),
            &owner.client_id.to_string(),
            &owner.client_secret,
        )
        .await
        .expect("a key")
        .token;
        let request = token::ConnectTokenRequest::default();
        let connect = token::create_connect_token(app, &test.principal, request)
            .await
            .expect("a token")
            .token;
        let other = TestApp::start(app.db.engine()).await;
        let foreign = token::create_api_key(
            &other.app,
            [127, 0, 0, 1].into(),
            &other.owner.client_id.to_string(),
            &other.owner.client_secret,
        )
        .await
        .expect("a key")
        .token;

        let mut tried = 0;
        let mut refused = |outcome: Result<ponte::auth::Principal, Error>, token: &str| {
            assert!(
                matches!(outcome, Err(Error::Unauthenticated(_))),
                "{token}: {outcome:?}"
            );
            tried += 1;
        };
        for token in [
            "",
            ".",
            "..",
            "a.b.c",
            "eyJhbGciOiJub25lIn0.e30.",
            foreign.as_str(),
        ] {
            refused(token::verify(app, token).await, token);
        }
        // Parts of one under parts of the other.
        let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
        let (a, b, c) = (parts(&key), parts(&connect), parts(&foreign));
        for mixed in [
            [&a[0], &b[1], &a[2]],
            [&a[0], &b[1], &b[2]].map(|part| part),
            [&c[0], &a[1], &a[2]],
            [&a[0], &a[1], &c[2]],
        ] {
            let token = mixed.map(String::as_str).join(".");
            if token != connect && token != key {
                refused(token::verify(app, &token).await, &token);
            }
        }
        for _ in 0..2_000 * crate::support::scale() {
            let source = if rng.bytes::<1>()[0].is_multiple_of(2) {
                &key
            } else {
                &connect
            };
            let mut bytes = source.clone().into_bytes();
            let place = usize::from(u16::from_le_bytes(rng.bytes())) % bytes.len();
            match rng.bytes::<1>()[0] % 3 {
                0 => bytes[place] = rng.bytes::<1>()[0] % 95 + 32,
                1 => {
                    bytes.remove(place);
                }
                _ => bytes.truncate(place),
            }
            let token = String::from_utf8(bytes).expect("still text");
            if token != *source {
                refused(token::verify(app, &token).await, &token);
            }
        }
        println!("{tried} tokens tried, 0 accepted");
        assert!(token::verify(app, &key).await.is_ok());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn disabling_an_application_or_revoking_its_tokens_ends_them() {
    on_both_engines(|test| async move {
        let app = &test.app;
        let operator = operator(app);
        let key = |secret: String| async move {
            token::create_api_key(
                app,
                [127, 0, 0, 1].into(),
                &test.owner.client_id.to_string(),
                &secret,
            )
            .await
        };
        let first = key(test.owner.client_secret.clone())
            .await
            .expect("a key")
            .token;
        // A new secret alone leaves tokens alone.
        let secret = operator
            .rotate_secret(test.owner.id, false)
            .await
            .expect("a secret");
        assert!(key(test.owner.client_secret.clone()).await.is_err());
        let second = key(secret.clone()).await.expect("a key").token;
        app.applications.refresh(&app.db).await.expect("read");
        assert!(
            token::verify(app, &first).await.is_ok() && token::verify(app, &second).await.is_ok()
        );
        // Revoking ends them all.
        let secret = operator
            .rotate_secret(test.owner.id, true)
            .await
            .expect("a secret");
        app.applications.refresh(&app.db).await.expect("read");
        assert!(
            token::verify(app, &first).await.is_err() && token::verify(app, &second).await.is_err()
        );
        let third = key(secret.clone()).await.expect("a key").token;
        assert!(token::verify(app, &third).await.is_ok());
        operator.disable(test.owner.id).await.expect("disabled");
        app.applications.refresh(&app.db).await.expect("read");
        assert!(token::verify(app, &third).await.is_err());
        assert!(key(secret).await.is_err());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connect_token_carries_wins() {
    on_both_engines(|test| async move {
        let data = test.data(
            "mutation { createConnectToken(input: { clientUserId: \"ana\", webhookUrl: \"http://127.0.0.1:9/ana\", avoidDuplicates: true, allowedOrigins: [\"https://app.example.com\"] }) { connectToken expiresAt } }",
            json!({}),
        ).await;
        assert_eq!(data["createConnectToken"]["expiresAt"], "2026-03-16T12:30:00.000Z");
        let connect = data["createConnectToken"]["connectToken"].as_str().expect("a token").to_owned();
        let client = Client::over(test).await;
        let create = |extra: &str| format!(
            "mutation {{ createItem(input: {{ connectorId: \"0\", {extra} parameters: [{{ name: \"user\", value: \"user-ok\" }}, {{ name: \"password\", value: \"password-ok\" }}] }}) {{ item {{ id clientUserId webhookUrl }} }} }}"
        );
        for extra in ["clientUserId: \"eve\",", "webhookUrl: \"http://127.0.0.1:9/eve\",", "oauthRedirectUri: \"https://eve.example.com\","] {
            let refused = client.post(Some(&connect), &create(extra)).await;
            assert_eq!(refused["errors"][0]["extensions"]["code"], "INVALID_INPUT", "{extra}: {refused}");
        }
        let made = client.post(Some(&connect), &create("clientUserId: \"ana\",")).await;
        assert_eq!(made["data"]["createItem"]["item"]["clientUserId"], "ana");
        assert_eq!(made["data"]["createItem"]["item"]["webhookUrl"], "http://127.0.0.1:9/ana");
        // Its user has this account already; nobody else's duplicates are told.
        let refused = client.post(Some(&connect), &create("")).await;
        assert_eq!(refused["errors"][0]["extensions"]["code"], "ITEM_USER_ALREADY_EXISTS");
        // A browser elsewhere may not use it.
        let elsewhere = client.http.post(format!("{}/graphql", client.base))
            .header("content-type", "application/json").header("origin", "https://evil.example.com")
            .header("authorization", format!("Bearer {connect}")).body(json!({ "query": "{ viewer { kind } }" }).to_string())
            .send().await.expect("an answer").text().await.expect("a body");
        assert!(elsewhere.contains("FORBIDDEN"), "{elsewhere}");
        client.test.app.stop();
    })
    .await;
}
