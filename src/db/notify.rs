//! Notifications of PostgreSQL.
//!
//! A `NOTIFY` takes a lock on the whole database when it commits, so it is a transaction of its own and never part of one
//! that writes.

use std::str::FromStr as _;

use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use sqlx::{
    ConnectOptions as _, Executor as _,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};

use super::{Db, SESSION};
use crate::error::{Error, Result};

/// Hears one channel, on a connection of its own.
pub struct Listener(PgListener);

impl Listener {
    /// Connects and listens. What is notified from now on is heard, until the connection is lost.
    pub async fn connect(url: &str, channel: &str) -> Result<Self> {
        let options = PgConnectOptions::from_str(url)
            .map_err(Error::internal)?
            .application_name("ponte bus")
            .options(SESSION)
            .disable_statement_logging();
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool)
            .await
            .map_err(Error::internal)?;
        // Whoever listens decides what a lost connection means, before there is another.
        listener.eager_reconnect(false);
        listener.listen(channel).await.map_err(Error::internal)?;
        Ok(Self(listener))
    }

    /// The payload of the next notification; fails once the connection is lost. Nothing is lost when it is dropped.
    pub async fn next(&mut self) -> Result<String> {
        match self.0.try_recv().await.map_err(Error::internal)? {
            Some(notification) => Ok(notification.payload().to_owned()),
            None => Err(Error::internal("the connection was lost")),
        }
    }

    /// Whether the server answers.
    pub async fn ping(&mut self) -> Result<()> {
        self.0.execute("SELECT 1").await.map_err(Error::internal)?;
        Ok(())
    }
}

impl Db {
    /// Notifies whoever listens to a channel, at once.
    pub async fn notify(&self, channel: &str, payload: &str) -> Result<()> {
        let statement = Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT pg_notify($1, $2)",
            [channel.into(), payload.into()],
        );
        self.write().execute_raw(statement).await?;
        Ok(())
    }
}
