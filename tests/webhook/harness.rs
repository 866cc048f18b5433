//! A node whose deliveries are watched.

use std::{ops::Deref, time::Duration};

use entity::{attempt, delivery, event, kind::EventType};
use ponte::{
    clock::Clock,
    db::Engine,
    event::relay,
    item::{self, NewItem},
    sync,
    webhook::{self, NewWebhook, WebhookUpdate},
};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use serde_json::json;
use uuid::Uuid;

use crate::support::{START, TestApp};

/// A node whose deliveries are watched.
pub struct World(TestApp);

impl Deref for World {
    type Target = TestApp;

    fn deref(&self) -> &TestApp {
        &self.0
    }
}

/// Runs a test on SQLite and on PostgreSQL, with these flags. Published libraries compare a signature's time with the
/// machine's clock, so the node's begins there.
pub async fn on_both(flags: &[&str], test: impl AsyncFn(World)) {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        println!("on {engine:?}");
        let world = World(TestApp::start_with(engine, flags).await);
        world.app.clock.advance(Clock::system().now().since(START));
        Box::pin(test(world)).await;
    }
}

impl World {
    pub async fn webhook(&self, url: &str, events: Option<Vec<EventType>>) -> webhook::Created {
        let new = NewWebhook {
            url: url.to_owned(),
            events,
            ..NewWebhook::default()
        };
        webhook::create(&self.app, &self.principal, new)
            .await
            .unwrap()
    }

    pub async fn connect_told(&self, webhook_url: Option<&str>) -> entity::item::Model {
        let new = NewItem {
            connector_id: "0".to_owned(),
            parameters: [("user", "user-ok"), ("password", "password-ok")]
                .map(|(name, value)| (name.to_owned(), value.to_owned().into()))
                .into(),
            webhook_url: webhook_url.map(str::to_owned),
            ..NewItem::default()
        };
        let item = Box::pin(item::create(&self.app, &self.principal, new))
            .await
            .unwrap()
            .item;
        while sync::run_once(&self.app).await.unwrap() > 0 {}
        item
    }

    /// Publishes, and sends what is due.
    pub async fn deliver(&self) -> usize {
        relay::run_once(&self.app).await.unwrap();
        webhook::delivery::run_once(&self.app).await.unwrap()
    }

    /// Appends and publishes events that nothing lies behind.
    pub async fn emit(&self, count: usize, own_endpoint: Option<&str>) {
        let now = self.app.clock.now();
        let rows = (0..count).map(|_| {
            event::Model {
                connector_id: Some(0),
                webhook_url: own_endpoint.map(str::to_owned),
                payload: json!({ "data": { "status": "ONLINE" } }),
                ..event::Model::new(
                    self.app.rng.id(now),
                    self.owner.id,
                    EventType::ConnectorStatusUpdated,
                    now,
                )
            }
            .to_append()
        });
        event::Entity::insert_many(rows)
            .exec_without_returning(self.app.db.write())
            .await
            .unwrap();
        relay::run_once(&self.app).await.unwrap();
    }

    /// Appends and publishes an event of each of these Items.
    pub async fn emit_of(&self, items: &[Uuid]) {
        let now = self.app.clock.now();
        let rows = items.iter().zip(1..).map(|(item, sequence)| {
            event::Model {
                item_id: Some(*item),
                connector_id: Some(0),
                item_sequence: Some(sequence),
                payload: json!({ "more": "than thin" }),
                ..event::Model::new(
                    self.app.rng.id(now),
                    self.owner.id,
                    EventType::ItemUpdated,
                    now,
                )
            }
            .to_append()
        });
        event::Entity::insert_many(rows)
            .exec_without_returning(self.app.db.write())
            .await
            .unwrap();
        relay::run_once(&self.app).await.unwrap();
    }

    pub async fn registered(&self, new: NewWebhook) -> webhook::Created {
        webhook::create(&self.app, &self.principal, new)
            .await
            .unwrap()
    }

    pub async fn updated_webhook(&self, id: Uuid, what: WebhookUpdate) -> entity::webhook::Model {
        webhook::update(&self.app, &self.principal, id, what)
            .await
            .unwrap()
    }

    pub async fn found_webhook(&self, id: Uuid) -> entity::webhook::Model {
        webhook::find(&self.app, &self.principal, id)
            .await
            .unwrap()
            .unwrap()
    }

    pub fn advance(&self, seconds: u64) {
        self.0.advance(Duration::from_secs(seconds));
    }

    /// Drops the beginning of the log, as retention does.
    pub async fn forget_until(&self, position: i64) {
        event::Entity::delete_many()
            .filter(event::Column::Position.lte(position))
            .exec(self.app.db.write())
            .await
            .unwrap();
    }

    pub async fn log(&self) -> Vec<event::Model> {
        event::Entity::find()
            .order_by_asc(event::Column::Position)
            .all(self.app.db.read())
            .await
            .unwrap()
    }

    pub async fn deliveries(&self) -> Vec<delivery::Model> {
        delivery::Entity::find()
            .order_by_asc(delivery::Column::Id)
            .all(self.app.db.read())
            .await
            .unwrap()
    }

    pub async fn only_delivery(&self) -> delivery::Model {
        let mut all = self.deliveries().await;
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    pub async fn attempts(&self) -> Vec<attempt::Model> {
        attempt::Entity::find()
            .order_by_asc(attempt::Column::Id)
            .all(self.app.db.read())
            .await
            .unwrap()
    }
}
