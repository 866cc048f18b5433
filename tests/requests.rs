//! How often institutions are asked: no more than their operator allows, over all nodes and whoever asks.

use std::time::Duration;

use entity::kind::ExecutionStatus;
use ponte::{
    clock::Timestamp,
    connector::Registry,
    db::{Engine, gate},
    item,
};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::support::{
    START, TestApp, code_of,
    scripted::{scripted, scripted_as},
    seed,
};

const ENGINES: [Engine; 2] = [Engine::Sqlite, Engine::Postgres];
const SECOND: Duration = Duration::from_secs(1);
const USER: [(&str, &str); 1] = [("user", "ana")];

#[tokio::test(flavor = "multi_thread")]
async fn every_request_of_a_run_waits_for_its_turn() {
    for engine in ENGINES {
        let (registry, bank) = scripted();
        bank.lock().expect("a bank").requests = 3;
        let limits = ["--connector-limits", "7000=0/30", "--lease-seconds", "3600"];
        let test = TestApp::start_over(engine, &limits, registry).await;
        for _ in 0..6 {
            test.connect("7000", &USER).await;
        }
        test.run_by_the_clock().await;
        let mut asked = bank.lock().expect("a bank").asked.clone();
        asked.sort_unstable();
        // A login each, and three requests for each of two products.
        assert_eq!(asked.len(), 6 * (1 + 2 * 3));
        for (place, at) in (0..).zip(&asked) {
            let earliest = START.plus(2 * SECOND * place);
            assert!(
                *at >= earliest,
                "request {place} at {at}, before {earliest}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_ask_at_once_get_different_places() {
    for engine in ENGINES {
        let test = TestApp::start(engine).await;
        let mut rng = StdRng::seed_from_u64(seed());
        let mut now = START;
        let mut places: Vec<Timestamp> = Vec::new();
        for _ in 0..20 {
            let calls = (0..rng.random_range(1..6)).map(|_| async {
                let (db, latest) = (&test.app.db, now.plus(10 * SECOND));
                gate::take(db, 7, SECOND, now, latest).await
            });
            let taken = futures_util::future::join_all(calls).await;
            let taken: Vec<_> = taken
                .into_iter()
                .map(|it| it.expect("a database"))
                .collect();
            places.extend(taken.iter().flatten());
            for taken in taken {
                match taken {
                    Some(_) => {}
                    // There is none in time.
                    None => assert!(
                        places
                            .iter()
                            .max()
                            .is_some_and(|last| last.plus(SECOND) > now.plus(10 * SECOND))
                    ),
                }
            }
            now = now.plus(Duration::from_millis(rng.random_range(0..5_000)));
        }
        places.sort_unstable();
        let apart = |pair: &[Timestamp]| pair[1].since(pair[0]) >= SECOND;
        assert!(places.windows(2).all(apart), "{places:?}");
        assert!(places.len() > 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_would_wait_too_long_is_given_up_and_says_until_when() {
    for engine in ENGINES {
        let limits = ["--connector-limits", "7000=0/1"];
        let (registry, bank) = scripted();
        let test = TestApp::start_over(engine, &limits, registry).await;
        let requests = item::turnstile::requests(&test.app, 7000, 240 * SECOND, true);
        requests.next().await.expect("what has been counted before");
        requests.next().await.expect("the first place is free");
        let (db, latest) = (&test.app.db, Timestamp(i64::MAX));
        let five = 300 * SECOND;
        gate::take(db, 7000, five, START, latest)
            .await
            .expect("a place");
        let refused = requests.next().await.expect_err("no place for six minutes");
        assert_eq!(refused.code, ExecutionStatus::Error);
        assert_eq!(refused.retry_at(), Some(START.plus(240 * SECOND)));

        // Nor does a run begin long before.
        let id = test.connect("7000", &USER).await;
        test.settle().await;
        assert_eq!(test.item(id).await["executionStatus"], "CREATED");
        assert_eq!(bank.lock().expect("a bank").logins, 0);
        test.advance(360 * SECOND);
        test.run_by_the_clock().await;
        assert_eq!(test.item(id).await["executionStatus"], "SUCCESS");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_balance_takes_its_turn_and_costs_nothing_when_it_has_none() {
    for engine in ENGINES {
        let (connector, bank) = scripted_as(|form| {
            form.has_live_balance = true;
            form.is_open_finance = true;
        });
        let limits = ["--connector-limits", "7000=0/1"];
        let test = TestApp::start_over(engine, &limits, Registry::new([connector])).await;
        let item = test.connect("7000", &USER).await;
        test.settle().await;
        let account = test.account_of(item, "BANK").await;
        let spent = test.spent(item).await;
        // The run's login has used up this minute.
        let refused = test.live(account).await;
        assert_eq!(code_of(&refused), "BALANCE_CONNECTOR_UNAVAILABLE");
        assert_eq!(
            refused["errors"][0]["extensions"]["retryAt"],
            json!(START.plus(20 * SECOND).to_string())
        );
        assert_eq!(test.spent(item).await, spent);
        assert_eq!(
            bank.lock().expect("a bank").granted.len(),
            2,
            "the run's products"
        );
        test.advance(60 * SECOND);
        assert_eq!(code_of(&test.live(account).await), "BALANCE_NOT_FOUND");
        assert_eq!(test.spent(item).await, spent + 1);
    }
}
