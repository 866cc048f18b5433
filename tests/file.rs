//! Statement files: uploaded, imported, imported again.

use std::time::Duration;

use crate::support::{TestApp, code_of, on_both_engines};
use ponte::{auth::PrincipalKind, item::upload};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::{Value, json};
use uuid::Uuid;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!(
        "{}/tests/fixtures/ofx/{name}.ofx",
        env!("CARGO_MANIFEST_DIR")
    ))
    .expect(name)
}

async fn import(test: &TestApp, contents: &[u8]) -> Uuid {
    let upload = test.upload(contents).await;
    let id = test.connect("900", &[("file", &upload)]).await;
    test.settle().await;
    id
}

async fn import_again(test: &TestApp, id: Uuid, contents: &[u8]) {
    let upload = test.upload(contents).await;
    test.updated(id, &[("file", &upload)]).await;
}

fn merged(events: &[String]) -> Vec<&str> {
    events
        .iter()
        .map(String::as_str)
        .filter(|name| name.starts_with("transactions/"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_imported_exactly_and_again_without_a_trace() {
    on_both_engines(|test| async move {
        let id = import(&test, &fixture("checking")).await;
        assert_eq!(test.item(id).await["status"], "UPDATED");
        let accounts = test.accounts(id).await;
        assert_eq!(accounts.len(), 1);
        let account = &accounts[0];
        assert_eq!(
            json!([
                account["type"],
                account["subtype"],
                account["number"],
                account["balance"],
                account["currencyCode"]
            ]),
            json!(["BANK", "CHECKING_ACCOUNT", "1452687~7", "75.99", "USD"])
        );
        let rows: Vec<Value> = account["transactions"]["nodes"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| {
                json!([
                    row["postedOn"],
                    row["amount"],
                    row["type"],
                    row["status"],
                    row["providerId"],
                    row["providerCode"],
                    row["description"]
                ])
            })
            .collect();
        assert_eq!(
            json!(rows),
            json!([
                [
                    "2011-04-07",
                    "-25.00",
                    "DEBIT",
                    "POSTED",
                    "0000488",
                    "319",
                    "RETURNED CHECK FEE, CHECK # 319"
                ],
                [
                    "2011-04-05",
                    "-34.51",
                    "DEBIT",
                    "POSTED",
                    "0000487",
                    null,
                    "AUTOMATIC WITHDRAWAL, ELECTRIC BILL"
                ],
                [
                    "2011-03-31",
                    "0.01",
                    "CREDIT",
                    "POSTED",
                    "0000486",
                    null,
                    "DIVIDEND EARNED FOR PERIOD OF 03"
                ],
            ])
        );

        let told = test.events(id).await.len();
        import_again(&test, id, &fixture("checking")).await;
        assert_eq!(test.accounts(id).await, accounts);
        assert_eq!(
            test.events(id).await[told..],
            [
                "-> CREATED",
                "-> LOGIN_IN_PROGRESS",
                "-> ACCOUNTS_IN_PROGRESS",
                "item/login_succeeded",
                "-> CREDITCARDS_IN_PROGRESS",
                "-> TRANSACTIONS_IN_PROGRESS",
                "-> MERGING",
                "-> SUCCESS",
                "item/updated",
            ]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_adds_and_never_deletes() {
    on_both_engines(|test| async move {
        let whole = String::from_utf8(fixture("checking")).expect("text");
        let id = import(&test, whole.as_bytes()).await;
        let before = test.accounts(id).await;
        // A later file: the first row is gone from it, one has the id of another with other content.
        let first = whole.find("<STMTTRN>").expect("a row");
        let second = first + 1 + whole[first + 1..].find("<STMTTRN>").expect("a second row");
        let later = format!("{}{}", &whole[..first], &whole[second..]).replace("-34.51", "-34.52");
        import_again(&test, id, later.as_bytes()).await;
        let after = test.accounts(id).await;
        let amounts: Vec<_> = after[0]["transactions"]["nodes"]
            .as_array()
            .expect("rows")
            .iter()
            .map(|row| row["amount"].clone())
            .collect();
        assert_eq!(amounts.len(), 4, "{amounts:?}");
        assert!(amounts.contains(&json!("-34.51")) && amounts.contains(&json!("-34.52")));
        assert_eq!(
            merged(&test.events(id).await),
            ["transactions/created", "transactions/created"]
        );
        assert_eq!(before[0]["id"], after[0]["id"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_statement_imports_and_every_broken_one_says_where() {
    on_both_engines(|test| async move {
        for name in [
            "anzcc",
            "bank_medium",
            "checking",
            "empty_balance",
            "fidelity-savings",
            "investment_medium",
            "multiple_accounts",
            "ofx-v102-empty-tags",
            "suncorp",
        ] {
            let id = import(&test, &fixture(name)).await;
            let item = test.item(id).await;
            assert_eq!(item["status"], "UPDATED", "{name}: {item}");
            assert!(!test.accounts(id).await.is_empty(), "{name}");
        }
        for name in [
            "signon_fail",
            "error_message",
            "decimal_error",
            "date_missing",
        ] {
            let id = import(&test, &fixture(name)).await;
            let item = test.item(id).await;
            assert_eq!(
                (&item["status"], &item["executionStatus"]),
                (&json!("LOGIN_ERROR"), &json!("INVALID_CREDENTIALS")),
                "{name}"
            );
            let message = item["error"]["message"].as_str().unwrap_or("");
            assert!(message.contains("line "), "{name}: {message}");
            assert_eq!(test.accounts(id).await, Vec::<Value>::new(), "{name}");
            // A bad file locks nobody out.
            import_again(&test, id, &fixture(name)).await;
            import_again(&test, id, &fixture("checking")).await;
            assert_eq!(test.item(id).await["status"], "UPDATED", "{name}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_of_account_that_nobody_knows_keeps_its_name() {
    on_both_engines(|test| async move {
        let file = String::from_utf8(fixture("checking")).expect("ASCII");
        let of_kind = |kind: &str| {
            let (kind, before) = (format!("<ACCTTYPE>{kind}"), "<ACCTTYPE>CHECKING");
            assert!(file.contains(before));
            file.replace(before, &kind).into_bytes()
        };
        let id = import(&test, &of_kind("MONEYMRKT")).await;
        let account = test.accounts(id).await.remove(0);
        assert_eq!(
            (&account["subtype"], &account["subtypeRaw"]),
            (&json!("UNKNOWN"), &json!("MONEYMRKT"))
        );
        // Written differently it is the same account, with that word.
        import_again(&test, id, &of_kind("MoneyMrkt")).await;
        let accounts = test.accounts(id).await;
        assert_eq!(accounts.len(), 1, "{accounts:?}");
        assert_eq!(
            (&accounts[0]["id"], &accounts[0]["subtypeRaw"]),
            (&account["id"], &json!("MoneyMrkt"))
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_needs_a_file_of_its_own() {
    on_both_engines(|test| async move {
        let upload = test.upload(&fixture("checking")).await;
        let id = test.connect("900", &[("file", &upload)]).await;
        test.settle().await;
        assert_eq!(
            test.item(id).await["canUpdate"]["code"],
            "PARAMETERS_NOT_PROVIDED"
        );
        assert_eq!(
            code_of(&test.update(id, &[]).await),
            "PARAMETERS_NOT_PROVIDED"
        );
        // It was good for one run.
        assert_eq!(
            code_of(&test.update(id, &[("file", &upload)]).await),
            "INVALID_INPUT"
        );
        assert_eq!(
            code_of(&test.update(id, &[("file", "not an id")]).await),
            "CONNECTOR_VALIDATION_ERROR"
        );
        let unknown = Uuid::from_u128(7).to_string();
        assert_eq!(
            code_of(&test.update(id, &[("file", &unknown)]).await),
            "INVALID_INPUT"
        );
        // Nor is it good for ever.
        let upload = test.upload(&fixture("checking")).await;
        test.advance(Duration::from_hours(1));
        assert_eq!(
            code_of(&test.update(id, &[("file", &upload)]).await),
            "INVALID_INPUT"
        );
        test.settle().await;
        let left = entity::upload_chunk::Entity::find()
            .count(test.app.db.read())
            .await
            .expect("a count");
        assert_eq!(left, 0, "chunks are left");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_belongs_to_who_made_it() {
    on_both_engines(|test| async move {
        let other = crate::support::create_application(&test.app, "Other").await;
        let stranger = crate::support::api_key(&test.app, other.id).await;
        let upload = test.upload(&fixture("checking")).await;
        let document = "mutation($input: CreateItemInput!) { createItem(input: $input) { item { id } } }";
        let variables = json!({ "input": { "connectorId": "900", "parameters": [{ "name": "file", "value": upload }] } });
        let refused = test.query_as(Some(stranger), document, variables.clone()).await;
        assert_eq!(code_of(&refused), "INVALID_INPUT");
        let mut user = test.principal.clone();
        user.kind = PrincipalKind::ConnectToken(ponte::auth::ConnectToken {
            id: Uuid::from_u128(5), item: None, client_user_id: None, origins: Vec::new(),
        });
        let refused = test.query_as(Some(user), document, variables.clone()).await;
        assert!(["INVALID_INPUT", "UNAUTHENTICATED"].contains(&code_of(&refused).as_str()), "{refused}");
        assert_eq!(test.query(document, variables).await.get("errors"), None);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_are_bounded() {
    on_both_engines(|test| async move {
        let begin = || upload::begin(&test.app, &test.principal);
        let mut large = begin().await.expect("an upload");
        let piece = vec![b'x'; 1024 * 1024];
        for _ in 0..20 {
            large.write(&piece).await.expect("20 MiB are taken");
        }
        assert_eq!(
            large.write(b"x").await.expect_err("one more is not").code(),
            "INVALID_INPUT"
        );
        assert_eq!(
            begin()
                .await
                .expect("an upload")
                .finish()
                .await
                .expect_err("empty")
                .code(),
            "INVALID_INPUT"
        );
        for _ in 2..20 {
            begin().await.expect("an upload");
        }
        assert_eq!(
            begin().await.err().map(|error| error.code()),
            Some("RATE_LIMITED")
        );
        test.advance(Duration::from_hours(1));
        begin().await.expect("the others have expired");
    })
    .await;
}
