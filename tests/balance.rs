//! Live balances: what an institution answers outside of runs, what it costs, and why there is none.

use std::sync::{Arc, Mutex};

use entity::kind::{ExecutionStatus, Product, RegulatedCall};
use ponte::{
    connector::{BalanceRecord, Failure, Registry, regulated::limit_of},
    db::Engine,
    money::Amount,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    login::{agreed, authorizing, open},
    support::{
        TestApp, api_key, code_of, create_application, on_both_engines,
        scripted::{Bank, scripted_as},
    },
};

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];
const FETCH: &str = "mutation($id: ID!) { fetchAccountBalance(input: { accountId: $id }) { \
    balance { balance blockedBalance automaticallyInvestedBalance currencyCode updatedAt } account { id balance } } }";

impl TestApp {
    pub async fn live(&self, account: Uuid) -> Value {
        self.query(FETCH, json!({ "id": account })).await
    }

    /// The first account of a family of an Item.
    pub async fn account_of(&self, item: Uuid, kind: &str) -> Uuid {
        let accounts = self.accounts(item).await;
        let found = accounts.iter().find(|account| account["type"] == kind);
        let id = found.and_then(|account| account["id"].as_str());
        id.and_then(|id| id.parse().ok()).expect("an account")
    }

    pub async fn spent(&self, item: Uuid) -> i64 {
        let document = "query($id: ID!) { item(id: $id) { quotas { call used } } }";
        let data = self.data(document, json!({ "id": item })).await;
        let quotas = data["item"]["quotas"].as_array().expect("a list");
        let balance = quotas
            .iter()
            .find(|quota| quota["call"] == "ACCOUNT_BALANCE");
        balance
            .and_then(|quota| quota["used"].as_i64())
            .unwrap_or(0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shared_account_tells_its_balance_between_runs() {
    on_both_engines(|test| async move {
        let cpf = json!([{ "name": "cpf", "value": "761.092.776-73" }]);
        let (item, url) = authorizing(&test, "600", cpf).await;
        open(&test, &agreed(&test, &url, &["checking", "card"]).await).await;
        test.settle().await;
        let checking = test.account_of(item, "BANK").await;
        let before = (test.spent(item).await, test.events(item).await);

        let data = &test.live(checking).await["data"]["fetchAccountBalance"];
        assert_eq!(data["balance"]["balance"], data["account"]["balance"]);
        assert_eq!(data["balance"]["currencyCode"], "BRL");
        assert_eq!(data["balance"]["automaticallyInvestedBalance"], "0.00");
        assert_eq!(data["balance"]["updatedAt"], "2026-03-16T12:00:00.000Z");
        let written = "mutation($id: ID!) { createSandboxTransaction(input: { accountId: $id, postedOn: \"2026-03-15\", amount: \"-25.00\", description: \"Lunch\" }) { item { id } } }";
        test.data(written, json!({ "id": checking })).await;
        let after = &test.live(checking).await["data"]["fetchAccountBalance"];
        // The bank knows what was bought; what is stored waits for a run.
        assert_eq!(after["account"], data["account"]);
        let amount = |data: &Value| data["balance"]["balance"].as_str().and_then(|it| it.parse::<Amount>().ok());
        let spent = amount(data).zip(amount(after)).and_then(|(a, b)| a.checked_sub(b).ok());
        assert_eq!(spent, Some(Amount::from_cents(2_500)));
        assert_eq!((test.spent(item).await, test.events(item).await), (before.0 + 2, before.1));

        let card = test.account_of(item, "CREDIT").await;
        assert_eq!(code_of(&test.live(card).await), "BALANCE_INVALID_REQUEST");
        let another = test.connected().await;
        let plain = test.account_of(another, "BANK").await;
        assert_eq!(code_of(&test.live(plain).await), "BALANCE_INVALID_REQUEST");
        assert_eq!(code_of(&test.live(Uuid::from_u128(1)).await), "NOT_FOUND");
        let stranger = create_application(&test.app, "Stranger").await;
        let stranger = api_key(&test.app, stranger.id).await;
        let asked = test.query_as(Some(stranger), FETCH, json!({ "id": checking })).await;
        assert_eq!(code_of(&asked), "NOT_FOUND");
    })
    .await;
}

/// An Item at a bank whose interface is regulated, and its account.
async fn regulated(engine: Engine) -> (TestApp, Arc<Mutex<Bank>>, Uuid, Uuid) {
    let (connector, bank) = scripted_as(|form| {
        form.is_open_finance = true;
        form.has_live_balance = true;
        form.products = vec![Product::Accounts];
    });
    let test = TestApp::start_over(engine, &[], Registry::new([connector])).await;
    let item = test.connect("7000", &[("user", "ana")]).await;
    test.settle().await;
    let account = test.account_of(item, "BANK").await;
    bank.lock().expect("a bank").live = Some(Ok(BalanceRecord {
        available: Amount::from_cents(4_200),
        blocked: None,
        automatically_invested: None,
        currency_code: "BRL".to_owned(),
        updated_at: test.app.clock.now(),
    }));
    (test, bank, item, account)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_institution_refuses_has_a_code_of_its_own() {
    for engine in ENGINES {
        let (test, bank, item, account) = regulated(engine).await;
        let answer = test.live(account).await;
        let balance = &answer["data"]["fetchAccountBalance"]["balance"];
        assert_eq!(balance["balance"], "42.00");
        assert_eq!(balance["blockedBalance"], Value::Null);
        {
            let bank = bank.lock().expect("a bank");
            let granted = bank.granted.last().cloned().flatten();
            assert_eq!(granted, Some(vec![RegulatedCall::AccountBalance]));
        }
        for (code, expected) in [
            (
                ExecutionStatus::SiteNotAvailable,
                "BALANCE_CONNECTOR_UNAVAILABLE",
            ),
            (
                ExecutionStatus::ConnectionError,
                "BALANCE_CONNECTOR_UNAVAILABLE",
            ),
            (
                ExecutionStatus::UserAuthorizationRevoked,
                "BALANCE_CONSENT_ERROR",
            ),
            (ExecutionStatus::UnexpectedError, "BALANCE_FETCH_ERROR"),
        ] {
            let mut failure = Failure::new(code, "no");
            failure.provider_message = Some("volte amanhã".to_owned());
            bank.lock().expect("a bank").live = Some(Err(failure));
            let answer = test.live(account).await;
            assert_eq!(code_of(&answer), expected);
            assert_eq!(
                answer["errors"][0]["extensions"]["providerMessage"],
                "volte amanhã"
            );
        }
        bank.lock().expect("a bank").live = None;
        assert_eq!(code_of(&test.live(account).await), "BALANCE_NOT_FOUND");
        // Each was counted, whatever came of it: the run's own, and six.
        assert_eq!(test.spent(item).await, 7);

        bank.lock().expect("a bank").refuses = Some(ExecutionStatus::UserAuthorizationRevoked);
        test.updated(item, &[]).await;
        assert_eq!(code_of(&test.live(account).await), "BALANCE_CONSENT_ERROR");
        assert_eq!(test.spent(item).await, 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_months_balances_are_never_exceeded() {
    for engine in ENGINES {
        let (test, _, item, account) = regulated(engine).await;
        let most = limit_of(RegulatedCall::AccountBalance)
            .expect("a limit")
            .month;
        let asked: Vec<_> = (0..most + 20).map(|_| test.live(account)).collect();
        let answers = futures_util::future::join_all(asked).await;
        let refused = answers
            .iter()
            .filter(|answer| answer.get("errors").is_some());
        let refused: Vec<_> = refused.collect();
        // One was the run's.
        assert_eq!(refused.len(), 21);
        for answer in refused {
            assert_eq!(code_of(answer), "BALANCE_OPEN_FINANCE_RATE_LIMIT");
            assert_eq!(
                answer["errors"][0]["extensions"]["retryAt"],
                "2026-04-01T03:00:00.000Z"
            );
        }
        assert_eq!(test.spent(item).await, i64::from(most));
    }
}
