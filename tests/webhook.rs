//! Webhooks from the outside: what arrives, when it comes again, who may steer it.

mod backlog;
mod catalogue;
mod choices;
mod circuits;
mod graph;
mod harness;
mod keys;
mod libraries;
mod order;
mod registrations;
mod remains;
mod replay;
mod tail;
mod trial;
mod turns;
mod verify;

use std::{collections::HashSet, time::Duration};

use entity::kind::{DeliveryStatus, EventType};
use ponte::{db, event, item, item::Change, webhook};
use sea_orm::EntityTrait as _;

use self::harness::{World, on_both};
use crate::support::receiver::{Answer, Receiver};

/// Sends what is due now, once, and answers how the only delivery stands.
async fn again(world: &World) -> (DeliveryStatus, i32, Option<Duration>) {
    world.deliver().await;
    let delivery = world.only_delivery().await;
    let now = world.app.clock.now();
    (
        delivery.status,
        delivery.attempts,
        delivery.next_attempt_at.map(|at| at.since(now)),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_a_run_arrives_signed_and_as_the_log_has_it() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let created = world.webhook(&receiver.url, None).await;
        world.connect_told(None).await;
        world.deliver().await;
        let mut requests = receiver.received();
        for one in &requests {
            one.verify(&created.secret);
            assert_eq!(one.header("content-type"), "application/json");
            assert_eq!(
                one.header("user-agent"),
                concat!("Ponte/", env!("CARGO_PKG_VERSION"))
            );
        }
        let expected: Vec<_> = world
            .log()
            .await
            .into_iter()
            .filter(|event| event.kind != EventType::ItemStatusChanged)
            .map(|event| {
                let body = serde_json::to_vec(&event::body(&event)).unwrap();
                (event.id.to_string(), body)
            })
            .collect();
        requests.sort_by_key(|one| {
            let id = one.header("webhook-id");
            expected.iter().position(|(expected, _)| expected == id)
        });
        let got: Vec<_> = requests
            .iter()
            .map(|one| (one.header("webhook-id").to_owned(), one.body.to_vec()))
            .collect();
        assert_eq!(got, expected);
        let names: HashSet<_> = receiver.names().into_iter().collect();
        let names: HashSet<_> = names.iter().map(String::as_str).collect();
        assert_eq!(
            names,
            HashSet::from([
                "item/created",
                "item/login_succeeded",
                "transactions/created"
            ])
        );
        assert!(
        world
            .deliveries()
            .await
            .iter()
            .all(|one| one.status == DeliveryStatus::Succeeded && one.next_attempt_at.is_none())
    );
        assert_eq!(world.deliver().await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_status_arrive_only_when_asked_for_by_name() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        world
            .webhook(
                &receiver.url,
                Some(vec![EventType::ItemStatusChanged, EventType::ItemCreated]),
            )
            .await;
        world.connect_told(None).await;
        world.deliver().await;
        let mut names = receiver.names();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names, ["item/created", "item/status_changed"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_items_own_endpoint_gets_its_events_signed_by_the_application_even_the_last() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let item = world.connect_told(Some(&receiver.url)).await;
        world.connect_told(None).await;
        item::delete(&world.app, &world.principal, item.id)
            .await
            .unwrap();
        while item::purge::run_once(&world.app).await.unwrap() > 0 {}
        world.deliver().await;
        let names: HashSet<_> = receiver.names().into_iter().collect();
        assert!(names.contains("item/created") && names.contains("item/deleted"));
        assert!(!names.contains("item/status_changed"));
        for one in receiver.received() {
            one.verify(&world.owner.webhook_secret);
            assert_eq!(one.json()["itemId"], item.id.to_string());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_delivery_comes_again_on_schedule_with_the_same_id_and_body_until_the_end() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Status(500)).await;
        let created = world.webhook(&receiver.url, None).await;
        world.emit(1, None).await;
        let (hour, minute) = (3_600, 60);
        let waits = [
            5,
            5 * minute,
            30 * minute,
            2 * hour,
            5 * hour,
            10 * hour,
            14 * hour,
            20 * hour,
            24 * hour,
        ];
        for (made, wait) in (1..).zip(waits) {
            let (status, attempts, next) = again(&world).await;
            assert_eq!((status, attempts), (DeliveryStatus::Pending, made));
            let next = next.unwrap();
            let wait = Duration::from_secs(wait);
            assert!(
                next >= wait.mul_f64(0.89) && next <= wait.mul_f64(1.11),
                "{next:?} instead of {wait:?}"
            );
            let almost = next.saturating_sub(Duration::from_millis(1));
            world.app.clock.advance(almost);
            assert_eq!(world.deliver().await, 0, "nothing is sent early");
            world.app.clock.advance(Duration::from_millis(1));
        }
        assert_eq!(again(&world).await, (DeliveryStatus::Failed, 10, None));
        world.advance(1_000 * hour);
        assert_eq!(world.deliver().await, 0);

        let requests = receiver.received();
        assert_eq!(requests.len(), 10);
        let timestamps: HashSet<_> = requests
            .iter()
            .map(|one| one.header("webhook-timestamp").to_owned())
            .collect();
        assert_eq!(timestamps.len(), 10, "each attempt is signed anew");
        for one in &requests {
            assert_eq!(one.header("webhook-id"), requests[0].header("webhook-id"));
            assert_eq!(one.body, requests[0].body);
            assert!(one.signed_by(&created.secret));
        }
        let attempts = world.attempts().await;
        assert_eq!(attempts.len(), 10);
        assert!(attempts.iter().all(|one| one.status_code == Some(500)));
        assert_eq!(
            attempts[9].error.as_deref(),
            Some("10 attempts failed, the last with: the endpoint answered 500")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_asks_for_patience_gets_it() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::With(503, "retry-after", "7200")).await;
        world.webhook(&receiver.url, None).await;
        world.emit(1, None).await;
        let (status, _, next) = again(&world).await;
        assert_eq!(status, DeliveryStatus::Pending);
        assert!(next.unwrap() >= Duration::from_hours(2));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    on_both(&[], async |world| {
        let elsewhere = Receiver::start().await;
        let location: &'static str = elsewhere.url.clone().leak();
        let receiver = Receiver::answering(Answer::With(302, "location", location)).await;
        world.webhook(&receiver.url, None).await;
        world.emit(1, None).await;
        assert_eq!(again(&world).await.0, DeliveryStatus::Pending);
        assert_eq!(elsewhere.received().len(), 0);
        assert!(
            world.attempts().await[0]
                .error
                .as_deref()
                .unwrap()
                .contains("redirects are not followed")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_disables_a_webhook_whose_deliveries_wait_until_it_is_enabled_again() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        receiver.script([Answer::Status(410)]);
        world.emit(1, None).await;
        let (status, attempts, next) = again(&world).await;
        assert_eq!((status, attempts, next), (DeliveryStatus::Failed, 1, None));
        let find = async || {
            webhook::find(&world.app, &world.principal, id)
                .await
                .unwrap()
                .unwrap()
        };
        let disabled = find().await;
        assert!(!disabled.enabled);
        assert_eq!(disabled.disabled_at, Some(world.app.clock.now()));
        assert_eq!(
            disabled.disabled_reason.as_deref(),
            Some("the endpoint answered 410 Gone")
        );

        let enable = async |enabled| {
            let what = webhook::WebhookUpdate {
                enabled: Change::Set(Some(enabled)),
                ..webhook::WebhookUpdate::default()
            };
            webhook::update(&world.app, &world.principal, id, what)
                .await
                .unwrap()
        };
        enable(true).await;
        world.emit(2, None).await;
        let disabled = enable(false).await;
        assert_eq!(
            disabled.disabled_reason.as_deref(),
            Some("disabled by its owner")
        );
        assert_eq!(world.deliver().await, 0);
        let queues = db::queues::measure(&world.app.db, world.app.clock.now())
            .await
            .unwrap();
        assert!(queues.deliveries.abs() < 0.5, "{queues:?}");
        world.emit(1, None).await;
        assert_eq!(world.deliveries().await.len(), 3, "none is made meanwhile");
        let enabled = enable(true).await;
        assert_eq!((enabled.disabled_at, enabled.disabled_reason), (None, None));
        assert_eq!(world.deliver().await, 2);
        assert_eq!(receiver.received().len(), 3);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gone_at_an_items_own_endpoint_gives_up_that_delivery_alone() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        receiver.script([Answer::Status(410)]);
        world.emit(2, Some(&receiver.url)).await;
        assert_eq!(world.deliver().await, 2);
        let mut ends: Vec<_> = world
            .deliveries()
            .await
            .into_iter()
            .map(|one| one.status)
            .collect();
        ends.sort_unstable();
        assert_eq!(ends, [DeliveryStatus::Succeeded, DeliveryStatus::Failed]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_no_longer_kept_ends_its_delivery() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        world.webhook(&receiver.url, None).await;
        world.emit(1, None).await;
        entity::event::Entity::delete_many()
            .exec(world.app.db.write())
            .await
            .unwrap();
        assert_eq!(again(&world).await, (DeliveryStatus::Failed, 1, None));
        assert_eq!(receiver.received().len(), 0);
        assert_eq!(
            world.attempts().await[0].error.as_deref(),
            Some("the event is no longer kept")
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_endpoints_do_not_delay_one_that_answers() {
    on_both(&["--delivery-concurrency", "16"], async |world| {
        let healthy = Receiver::start().await;
        let mut hanging = Vec::new();
        for _ in 0..6 {
            let receiver = Receiver::answering(Answer::Hang).await;
            world.webhook(&receiver.url, None).await;
            hanging.push(receiver);
        }
        // A backlog that is older than anything for the healthy one.
        world.emit(300, None).await;
        world.advance(1);
        world.webhook(&healthy.url, None).await;
        world.emit(100, None).await;
        world.app.spawn(webhook::delivery::run(world.app.clone()));
        tokio::time::timeout(Duration::from_secs(10), healthy.arrived(100))
            .await
            .expect("the healthy endpoint gets all of its 100 while six others hang");
        for receiver in &hanging {
            assert_eq!(receiver.received().len(), 1, "a single one is on trial");
        }
        let queues = db::queues::measure(&world.app.db, world.app.clock.now())
            .await
            .unwrap();
        assert!((queues.deliveries - 6.0 * 399.0).abs() < 0.5, "{queues:?}");
        assert!((queues.delivery_lag - 1.0).abs() < 0.1, "{queues:?}");

        world.app.stop();
        tokio::time::timeout(Duration::from_secs(9), world.app.stopped())
            .await
            .expect("a node with hanging requests stops in time");
        let now = world.app.clock.now();
        let pending: Vec<_> = world
            .deliveries()
            .await
            .into_iter()
            .filter(|one| one.status == DeliveryStatus::Pending)
            .collect();
        assert_eq!(pending.len(), 6 * 400);
        assert!(
            pending
                .iter()
                .all(|one| one.lease_until.is_none() && one.next_attempt_at <= Some(now)),
            "what was under way has been handed over"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_sending_and_recording_sends_again_under_the_same_id() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        world.webhook(&receiver.url, None).await;
        world.emit(1, None).await;
        receiver.script([Answer::Hang]);
        tokio::select! {
            _ = webhook::delivery::run_once(&world.app) => panic!("the endpoint hangs"),
            () = receiver.arrived(1) => {}
        }
        assert_eq!(world.deliver().await, 0, "the lease holds");
        world.advance(60);
        assert_eq!(again(&world).await, (DeliveryStatus::Succeeded, 1, None));
        let requests = receiver.received();
        assert_eq!(requests.len(), 2);
        assert_eq!(
            requests[0].header("webhook-id"),
            requests[1].header("webhook-id")
        );
        assert_eq!(requests[0].body, requests[1].body);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_has_lost_a_delivery_records_nothing_for_it() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        world.webhook(&receiver.url, None).await;
        world.emit(1, None).await;
        receiver.script([Answer::Gate(410)]);
        let app = world.app.clone();
        let slow = tokio::spawn(async move { webhook::delivery::run_once(&app).await.unwrap() });
        receiver.arrived(1).await;
        world.advance(60);
        assert_eq!(again(&world).await, (DeliveryStatus::Succeeded, 1, None));
        receiver.open_gate();
        slow.await.unwrap();
        let delivery = world.only_delivery().await;
        assert_eq!(
            (delivery.status, delivery.attempts),
            (DeliveryStatus::Succeeded, 1)
        );
        let attempts = world.attempts().await;
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].status_code, Some(204));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_side_by_side_send_every_delivery_once() {
    on_both(&[], async |world| {
        let mut receivers = Vec::new();
        for _ in 0..5 {
            let receiver = Receiver::start().await;
            world.webhook(&receiver.url, None).await;
            receivers.push(receiver);
        }
        world.emit(100, None).await;
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let app = world.app.clone();
                tokio::spawn(async move { webhook::delivery::run_once(&app).await.unwrap() })
            })
            .collect();
        let mut sent = 0;
        for worker in workers {
            sent += worker.await.unwrap();
        }
        assert_eq!(sent, 500);
        for receiver in receivers {
            let ids: HashSet<_> = receiver
                .received()
                .iter()
                .map(|one| one.header("webhook-id").to_owned())
                .collect();
            assert_eq!((receiver.received().len(), ids.len()), (100, 100));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_are_walked_to_the_end_in_any_number_of_steps() {
    on_both(&[], async |world| {
        for port in 1..=20 {
            let url = format!("http://127.0.0.1:{port}/hook?user={port}");
            world.emit(3, Some(&url)).await;
        }
        let now = world.app.clock.now();
        for steps in [1, 7, 20, 21, 1_000] {
            let (mut after, mut found) = (String::new(), Vec::new());
            loop {
                let stretch = db::delivery::lanes(&world.app.db, now, &after, steps)
                    .await
                    .unwrap();
                found.extend(stretch.due);
                match stretch.next {
                    Some(next) => after = next,
                    None => break,
                }
            }
            let distinct: HashSet<_> = found.iter().map(|lane| &lane.target).collect();
            assert_eq!((found.len(), distinct.len()), (20, 20), "{steps} steps");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_no_longer_allowed_is_refused_and_says_so() {
    on_both(&[], async |world| {
        world
            .emit(1, Some("http://10.0.0.1/hook?token=hidden-in-the-query"))
            .await;
        assert_eq!(again(&world).await.0, DeliveryStatus::Pending);
        let error = world.attempts().await[0].error.clone().unwrap();
        assert!(error.contains("PONTE_WEBHOOK_ALLOW_NETWORKS"), "{error}");
        assert!(!error.contains("hidden"), "{error}");
    })
    .await;
}
