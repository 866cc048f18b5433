//! Registrations: secrets, changes, limits, and who may make them.

use std::collections::HashMap;

use entity::{
    attempt, data_key, delivery,
    kind::{DeliveryStatus, EventType},
};
use ponte::{
    auth::{Caller, ConnectToken, Principal, PrincipalKind},
    clock::Timestamp,
    db::page::Slice,
    error::Error,
    item::Change,
    webhook::{self, NewWebhook, WebhookUpdate},
};
use sea_orm::{EntityTrait as _, PaginatorTrait as _};
use serde_json::json;
use uuid::Uuid;

use super::harness::{World, on_both};
use crate::support::{
    api_key, create_application,
    receiver::{Answer, Receiver},
};

fn with_headers(url: &str, headers: &[(&str, &str)]) -> NewWebhook {
    NewWebhook {
        url: url.to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned().into()))
            .collect(),
        ..NewWebhook::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_secrets_sign_for_a_day_after_a_rotation() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let created = world.webhook(&receiver.url, None).await;
        let id = created.webhook.id;
        let mut worker = webhook::delivery::Worker::new(world.app.clone());
        let mut send = async || {
            world.emit(1, None).await;
            assert_eq!(worker.drain().await.unwrap(), 1);
            receiver.received().pop().unwrap()
        };
        assert!(send().await.signed_by(&created.secret));
        let second = webhook::rotate_secret(&world.app, &world.principal, id)
            .await
            .unwrap();
        assert_ne!(*created.secret, *second.secret);
        let request = send().await;
        request.verify(&created.secret);
        request.verify(&second.secret);
        assert_eq!(request.header("webhook-signature").split(' ').count(), 4);

        // The clock stands still: it is not time that tells a worker of the change.
        let third = webhook::rotate_secret(&world.app, &world.principal, id)
            .await
            .unwrap();
        let request = send().await;
        let signed = [&created, &second, &third].map(|one| request.signed_by(&one.secret));
        assert_eq!(signed, [false, true, true]);

        world.advance(24 * 3_600);
        let request = send().await;
        let signed = [&created, &second, &third].map(|one| request.signed_by(&one.secret));
        assert_eq!(signed, [false, false, true]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_sent_sealed_and_shown_nowhere_even_when_an_endpoint_repeats_them() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Echo).await;
        let new = with_headers(
            &receiver.url,
            &[
                ("Authorization", "Bearer \"planted-secret\""),
                ("X-Short", "no"),
            ],
        );
        let created = webhook::create(&world.app, &world.principal, new)
            .await
            .unwrap();
        world.emit(1, None).await;
        world.deliver().await;
        let requests = receiver.received();
        assert_eq!(
            requests[0].header("authorization"),
            "Bearer \"planted-secret\""
        );
        let attempts = world.attempts().await;
        let answer = attempts[0].response_body.clone().unwrap();
        assert!(answer.contains("authorization: <redacted>"), "{answer}");
        assert!(answer.len() <= 4_096);
        let shown = format!("{attempts:?} {:?}", world.deliveries().await);
        assert!(!shown.contains("planted-secret"), "{shown}");
        let row = format!("{:?}", created.webhook);
        assert!(!row.contains("planted") && !row.contains("whsec_"));
        for sealed in [
            Some(created.webhook.secret.clone()),
            created.webhook.headers.clone(),
        ] {
            let sealed = String::from_utf8_lossy(&sealed.unwrap()).into_owned();
            assert!(!sealed.contains("planted") && !sealed.contains("whsec_"));
        }

        let what = WebhookUpdate {
            headers: Change::Set(None),
            ..WebhookUpdate::default()
        };
        let cleared = webhook::update(&world.app, &world.principal, created.webhook.id, what)
            .await
            .unwrap();
        assert_eq!(cleared.headers, None);
        world.advance(60);
        world.deliver().await;
        assert!(!receiver.received()[1].headers.contains_key("authorization"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_it_names_and_clears_what_is_null() {
    on_both(&[], async |world| {
        let new = NewWebhook {
            url: "http://127.0.0.1:9/a".to_owned(),
            events: Some(vec![EventType::ItemError, EventType::ItemError]),
            description: Some("mine".to_owned()),
            ..NewWebhook::default()
        };
        let first = webhook::create(&world.app, &world.principal, new)
            .await
            .unwrap()
            .webhook;
        assert_eq!(ponte::event::relay::wanted(&first), [EventType::ItemError]);
        let update = async |what| {
            webhook::update(&world.app, &world.principal, first.id, what)
                .await
                .unwrap()
        };
        let same = update(WebhookUpdate::default()).await;
        assert!(same.updated_at > first.updated_at);
        let mut expected = first.clone();
        expected.updated_at = same.updated_at;
        assert_eq!(same, expected);
        let changed = update(WebhookUpdate {
            url: Change::Set(Some("HTTP://LocalHost:9".to_owned())),
            events: Change::Set(None),
            description: Change::Set(None),
            ..WebhookUpdate::default()
        })
        .await;
        expected.url = "http://localhost:9/".to_owned();
        expected.events = None;
        expected.description = None;
        expected.updated_at = changed.updated_at;
        assert_eq!(changed, expected);
        assert_eq!(ponte::event::relay::wanted(&changed).len(), 14);
        let found = webhook::find(&world.app, &world.principal, first.id).await;
        assert_eq!(found.unwrap(), Some(changed));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_address_counts_for_what_waits() {
    on_both(&[], async |world| {
        let (wrong, right) = (
            Receiver::answering(Answer::Status(404)).await,
            Receiver::start().await,
        );
        let id = world.webhook(&wrong.url, None).await.webhook.id;
        world.emit(1, None).await;
        world.deliver().await;
        let what = WebhookUpdate {
            url: Change::Set(Some(right.url.clone())),
            ..WebhookUpdate::default()
        };
        webhook::update(&world.app, &world.principal, id, what)
            .await
            .unwrap();
        world.advance(60);
        world.deliver().await;
        assert_eq!((wrong.received().len(), right.received().len()), (1, 1));
        let delivery = world.only_delivery().await;
        assert_eq!(
            (delivery.status, delivery.url),
            (DeliveryStatus::Succeeded, right.url)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_webhook_leaves_no_secret_delivery_or_attempt() {
    on_both(&[], async |world| {
        let receiver = Receiver::answering(Answer::Status(500)).await;
        let db = world.app.db.read();
        let keys = data_key::Entity::find().count(db).await.unwrap();
        let new = with_headers(&receiver.url, &[("X-Key", "value")]);
        let id = webhook::create(&world.app, &world.principal, new)
            .await
            .unwrap()
            .webhook
            .id;
        webhook::rotate_secret(&world.app, &world.principal, id)
            .await
            .unwrap();
        webhook::rotate_secret(&world.app, &world.principal, id)
            .await
            .unwrap();
        assert_eq!(data_key::Entity::find().count(db).await.unwrap(), keys + 5);
        let other = world.webhook(&receiver.url, None).await.webhook.id;
        world.emit(5, None).await;
        world.deliver().await;
        assert_eq!(world.attempts().await.len(), 10);
        webhook::delete(&world.app, &world.principal, id)
            .await
            .unwrap();
        assert_eq!(data_key::Entity::find().count(db).await.unwrap(), keys + 2);
        assert_eq!(attempt::Entity::find().count(db).await.unwrap(), 5);
        let left = delivery::Entity::find().all(db).await.unwrap();
        assert_eq!(left.len(), 5);
        assert!(left.iter().all(|one| one.webhook_id == Some(other)));
        let gone = webhook::find(&world.app, &world.principal, id).await;
        assert_eq!(gone.unwrap(), None);
        let again = webhook::delete(&world.app, &world.principal, id).await;
        assert_eq!(again.unwrap_err().code(), "NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_history_goes_soon_after_its_webhook() {
    on_both(&[], async |world| {
        let id = world.webhook("http://127.0.0.1:9/", None).await.webhook.id;
        world.emit(1_500, None).await;
        webhook::delete(&world.app, &world.principal, id)
            .await
            .unwrap();
        world.app.spawn(webhook::delivery::run(world.app.clone()));
        while delivery::Entity::find()
            .count(world.app.db.read())
            .await
            .unwrap()
            > 0
        {
            tokio::task::yield_now().await;
        }
        world.app.stop();
        world.app.stopped().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_sent_again_on_request_whatever_became_of_it() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        world.emit(1, None).await;
        receiver.script([Answer::Status(410)]);
        world.deliver().await;
        let failed = world.only_delivery().await;
        assert_eq!(failed.status, DeliveryStatus::Failed);
        let data = world
            .data(
                "query($id: ID!) { webhook(id: $id) { deliveries(status: FAILED) { nodes { id status nextAttemptAt } } } }",
                json!({ "id": id }),
            )
            .await;
        assert_eq!(
            data["webhook"]["deliveries"]["nodes"],
            json!([{ "id": failed.id, "status": "FAILED", "nextAttemptAt": null }])
        );
        let what = WebhookUpdate {
            enabled: Change::Set(Some(true)),
            ..WebhookUpdate::default()
        };
        webhook::update(&world.app, &world.principal, id, what)
            .await
            .unwrap();
        for attempts in 2..=3 {
            let due = webhook::retry_delivery(&world.app, &world.principal, failed.id)
                .await
                .unwrap();
            assert_eq!(due.status, DeliveryStatus::Pending);
            assert_eq!(due.next_attempt_at, Some(world.app.clock.now()));
            assert_eq!(world.deliver().await, 1);
            let delivery = world.only_delivery().await;
            assert_eq!(delivery.status, DeliveryStatus::Succeeded);
            assert_eq!(delivery.attempts, 1, "the schedule begins anew");
            assert_eq!(world.attempts().await.len(), attempts);
        }
        entity::event::Entity::delete_many()
            .exec(world.app.db.write())
            .await
            .unwrap();
        let refused = webhook::retry_delivery(&world.app, &world.principal, failed.id).await;
        assert_eq!(refused.unwrap_err().code(), "INVALID_INPUT");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_is_refused_by_field_and_never_repeated() {
    on_both(&["--webhooks-per-application", "2"], async |world| {
        let url = "http://127.0.0.1:9/";
        let base = || with_headers(url, &[]);
        let many: Vec<_> = (0..21).map(|n| format!("X-{n}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "v")).collect();
        let long = "v".repeat(5_000);
        for (field, new) in [
            ("url", with_headers("http://10.0.0.1/", &[])),
            ("url", with_headers("nonsense", &[])),
            (
                "events",
                NewWebhook {
                    events: Some(Vec::new()),
                    ..base()
                },
            ),
            (
                "description",
                NewWebhook {
                    description: Some("x".repeat(501)),
                    ..base()
                },
            ),
            ("headers", with_headers(url, &many)),
            ("headers", with_headers(url, &[("webhook-id", "planted")])),
            ("headers", with_headers(url, &[("X-A", "plan\nted")])),
            ("headers", with_headers(url, &[("X-A", &long)])),
            (
                "headers",
                with_headers(url, &[("X-A", "planted"), ("x-a", "planted")]),
            ),
        ] {
            match webhook::create(&world.app, &world.principal, new).await {
                Err(Error::InvalidInput {
                    field: named,
                    reason,
                }) => {
                    assert_eq!(named, field, "{reason}");
                    assert!(!reason.contains("planted"), "{reason}");
                }
                Err(error) => panic!("{field}: {error}"),
                Ok(_) => panic!("{field} is accepted"),
            }
        }
        let first = world.webhook(url, None).await.webhook.id;
        world.webhook(url, None).await;
        let third = webhook::create(&world.app, &world.principal, base()).await;
        assert_eq!(third.err().map(|error| error.code()), Some("INVALID_INPUT"));
        for what in [
            WebhookUpdate {
                url: Change::Set(None),
                ..WebhookUpdate::default()
            },
            WebhookUpdate {
                enabled: Change::Set(None),
                ..WebhookUpdate::default()
            },
        ] {
            let refused = webhook::update(&world.app, &world.principal, first, what).await;
            assert_eq!(refused.unwrap_err().code(), "INVALID_INPUT");
        }
    })
    .await;
}

const SLICE: Slice = Slice {
    after: None,
    before: None,
    limit: 10,
    backward: false,
};

fn of<T: Default>(id: Uuid, found: Result<HashMap<Uuid, T>, Error>) -> Result<T, Error> {
    Ok(found?.remove(&id).unwrap_or_default())
}

fn options<T>(found: HashMap<Uuid, T>) -> HashMap<Uuid, Option<T>> {
    found.into_iter().map(|(id, row)| (id, Some(row))).collect()
}

fn answer<T>(result: Result<T, Error>) -> String {
    result.map_or_else(|error| error.code().to_owned(), |_| "done".to_owned())
}

fn found<T>(result: Result<Option<T>, Error>) -> String {
    result.map_or_else(
        |error| error.code().to_owned(),
        |row| if row.is_some() { "found" } else { "null" }.to_owned(),
    )
}

fn listed<T>(result: Result<Vec<T>, Error>) -> String {
    result.map_or_else(
        |error| error.code().to_owned(),
        |rows| format!("{} rows", rows.len()),
    )
}

/// What every operation answers to a principal who asks about things of another.
async fn asked_by(world: &World, who: &Principal, webhook: Uuid, delivery: Uuid) -> Vec<String> {
    let app = &world.app;
    vec![
        found(webhook::find(app, who, webhook).await),
        found(webhook::find_delivery(app, who, delivery).await),
        listed(webhook::list(app, who, SLICE).await.map(|page| page.rows)),
        listed(
            of(
                webhook,
                webhook::deliveries(app, who, webhook::Parent::Webhook, &[webhook], None, SLICE)
                    .await,
            )
            .map(|page| page.rows),
        ),
        listed(of(delivery, webhook::attempts(app, who, &[delivery]).await)),
        found(of(
            webhook,
            webhook::by_id(app, who, &[webhook]).await.map(options),
        )),
        found(of(
            delivery,
            webhook::deliveries_by_id(app, who, &[delivery])
                .await
                .map(options),
        )),
        answer(webhook::retry_delivery(app, who, delivery).await),
        answer(webhook::update(app, who, webhook, WebhookUpdate::default()).await),
        answer(webhook::rotate_secret(app, who, webhook).await),
        answer(webhook::delete(app, who, webhook).await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_tokens_may_do_nothing_and_other_applications_find_nothing() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let id = world.webhook(&receiver.url, None).await.webhook.id;
        world.emit(1, None).await;
        world.deliver().await;
        let delivery = world.only_delivery().await.id;
        let token = Principal {
            application: world.owner.id,
            kind: PrincipalKind::ConnectToken(ConnectToken {
                id: Uuid::nil(),
                item: None,
                client_user_id: None,
                origins: Vec::new(),
            }),
            version: 1,
            expires_at: Timestamp(i64::MAX),
            token: Uuid::nil(),
            caller: Caller::default(),
        };
        assert_eq!(
            asked_by(&world, &token, id, delivery).await,
            ["FORBIDDEN"; 11]
        );
        let refused = webhook::create(&world.app, &token, with_headers(&receiver.url, &[])).await;
        assert_eq!(refused.err().map(|error| error.code()), Some("FORBIDDEN"));

        let foreign = [
            "null",
            "null",
            "0 rows",
            "0 rows",
            "0 rows",
            "null",
            "null",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
            "NOT_FOUND",
        ];
        let stranger = api_key(
            &world.app,
            create_application(&world.app, "Strangers").await.id,
        )
        .await;
        assert_eq!(asked_by(&world, &stranger, id, delivery).await, foreign);
        let nothing = Uuid::nil();
        assert_eq!(
            asked_by(&world, &world.principal, nothing, nothing).await[..2],
            foreign[..2]
        );
        assert_eq!(
            asked_by(&world, &world.principal, id, delivery).await,
            [
                "found", "found", "1 rows", "1 rows", "1 rows", "found", "found", "done", "done",
                "done", "done"
            ]
        );
    })
    .await;
}
