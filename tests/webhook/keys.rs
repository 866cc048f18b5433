//! The asymmetric keys: who can verify what with them, and where they come from.

use std::time::Duration;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use entity::{application, webhook as table};
use ponte::webhook;
use sea_orm::{EntityTrait as _, sea_query::Expr};
use serde_json::json;

use super::harness::{World, on_both};
use crate::support::{
    operator,
    receiver::{Received, Receiver},
};

/// Which of these public keys a request verifies with.
fn verified(request: &Received, keys: &[&str]) -> Vec<bool> {
    let content = [
        request.header("webhook-id").as_bytes(),
        request.header("webhook-timestamp").as_bytes(),
        &request.body,
    ]
    .join(&b'.');
    keys.iter()
        .map(|key| {
            let key = STANDARD.decode(key.strip_prefix("whpk_").unwrap()).unwrap();
            assert_eq!(key.len(), 32);
            let key = UnparsedPublicKey::new(&ED25519, key);
            request
                .header("webhook-signature")
                .split(' ')
                .filter_map(|one| one.strip_prefix("v1a,"))
                .any(|one| key.verify(&content, &STANDARD.decode(one).unwrap()).is_ok())
        })
        .collect()
}

fn versions(request: &Received) -> Vec<&str> {
    let signatures = request.header("webhook-signature").split(' ');
    signatures
        .map(|one| one.split_once(',').unwrap().0)
        .collect()
}

async fn public_key(world: &World, id: uuid::Uuid) -> String {
    let document = "query($id: ID!) { webhook(id: $id) { publicKey } }";
    let data = world.data(document, json!({ "id": id })).await;
    data["webhook"]["publicKey"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_verify_with_the_public_key_and_with_both_during_a_rotation() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        let created = world.webhook(&receiver.url, None).await;
        let id = created.webhook.id;
        let old = public_key(&world, id).await;
        world.emit(1, None).await;
        world.deliver().await;
        let request = receiver.received().pop().unwrap();
        assert_eq!(versions(&request), ["v1", "v1a"]);
        assert_eq!(verified(&request, &[&old]), [true]);

        webhook::rotate_secret(&world.app, &world.principal, id)
            .await
            .unwrap();
        let new = public_key(&world, id).await;
        world.emit(1, None).await;
        world.deliver().await;
        let request = receiver.received().pop().unwrap();
        assert_eq!(versions(&request), ["v1", "v1", "v1a", "v1a"]);
        assert_eq!(verified(&request, &[&old, &new]), [true, true]);

        world.app.clock.advance(Duration::from_hours(24));
        world.emit(1, None).await;
        world.deliver().await;
        let request = receiver.received().pop().unwrap();
        assert_eq!(versions(&request), ["v1", "v1a"]);
        assert_eq!(verified(&request, &[&old, &new]), [false, true]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_items_own_endpoint_verifies_with_the_applications_public_key() {
    on_both(&[], async |world| {
        let receiver = Receiver::start().await;
        world.emit(1, Some(&receiver.url)).await;
        world.deliver().await;
        world.app.applications.refresh(&world.app.db).await.unwrap();
        let data = world
            .data("{ viewer { application { webhookPublicKey } } }", json!({}))
            .await;
        let key = data["viewer"]["application"]["webhookPublicKey"].as_str();
        assert_eq!(key, Some(world.owner.webhook_public_key.as_str()));
        let request = receiver.received().pop().unwrap();
        let old = key.unwrap();
        assert_eq!(verified(&request, &[old]), [true]);

        // Twice: an overlap that has not ended makes way.
        let mut rotated = Vec::new();
        for _ in 0..2 {
            let operator = operator(&world.app);
            let new = operator.rotate_webhook_secret(world.owner.id).await;
            rotated.push(new.unwrap().webhook_public_key);
        }
        let keys = [old, &rotated[0], &rotated[1]];
        for (later, stands) in [(1, [false, true, true]), (24, [false, false, true])] {
            world.app.clock.advance(Duration::from_hours(later));
            world.emit(1, Some(&receiver.url)).await;
            world.deliver().await;
            let request = receiver.received().pop().unwrap();
            assert_eq!(verified(&request, &keys), stands);
        }
    })
    .await;
}

/// As a version without asymmetric keys left them.
async fn without_keys(world: &World) {
    let nothing = || Expr::value(None::<Vec<u8>>);
    let none = || Expr::value(None::<String>);
    table::Entity::update_many()
        .col_expr(table::Column::SigningKey, nothing())
        .col_expr(table::Column::PublicKey, none())
        .exec(world.app.db.write())
        .await
        .unwrap();
    application::Entity::update_many()
        .col_expr(application::Column::WebhookSigningKey, nothing())
        .col_expr(application::Column::WebhookPublicKey, none())
        .exec(world.app.db.write())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_older_version_get_a_key_with_their_first_request_or_when_a_worker_starts() {
    on_both(&[], async |world| {
        let (registered, own) = (Receiver::start().await, Receiver::start().await);
        let id = world.webhook(&registered.url, None).await.webhook.id;
        without_keys(&world).await;
        world.emit(1, Some(&own.url)).await;
        assert_eq!(world.deliver().await, 2);
        let key = public_key(&world, id).await;
        let request = registered.received().pop().unwrap();
        assert_eq!(verified(&request, &[&key]), [true]);
        assert_eq!(versions(&own.received().pop().unwrap()), ["v1", "v1a"]);

        without_keys(&world).await;
        world.app.spawn(webhook::delivery::run(world.app.clone()));
        loop {
            let webhook = world.found_webhook(id).await;
            let owner = application::Entity::find_by_id(world.owner.id)
                .one(world.app.db.read())
                .await
                .unwrap()
                .unwrap();
            if webhook.public_key.is_some() && owner.webhook_public_key.is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        world.app.stop();
        world.app.stopped().await;
    })
    .await;
}
