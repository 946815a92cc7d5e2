//! PostgreSQL behind the delaying proxy, as a store of the sweeps.

#![expect(clippy::panic, reason = "without a server there is no test")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ordered_consumer::{Clock, FailureLog, PostgresFailureLog};

use crate::{
    delaying_proxy::DelayingProxy,
    postgres::{TestSchema, url},
    store::{Store, slow},
};

/// A schema of its own, and a proxy in front of its server.
#[derive(Debug)]
pub struct InServer {
    schema: TestSchema,
    proxy: DelayingProxy,
    clock: Option<Clock>,
}

impl InServer {
    /// The schema is made with the first handle.
    ///
    /// # Panics
    /// Without a server.
    pub async fn start(clock: Option<Clock>) -> Self {
        let url = url();
        let proxy = DelayingProxy::start(host(&url)).await.unwrap_or_else(|error| panic!("{error}"));
        Self { schema: TestSchema::new(), proxy, clock }
    }

    async fn connect(&self, url: &str) -> PostgresFailureLog {
        let mut builder = self.schema.builder_at(url);
        if let Some(clock) = &self.clock {
            builder = builder.clock(clock.clone());
        }
        builder.connect().await.unwrap_or_else(|error| panic!("{error}"))
    }
}

/// The server's host and port, of an address with a user and a database.
fn host(url: &str) -> String {
    let (_, place) = url.split_once('@').unwrap_or_else(|| panic!("DATABASE_URL names no user"));
    let (host, _) = place.split_once('/').unwrap_or((place, ""));
    if host.contains(':') { host.to_owned() } else { format!("{host}:5432") }
}

#[async_trait]
impl Store for InServer {
    async fn waiting_handle(&self) -> Arc<dyn FailureLog> {
        let url = url();
        let (before, _) = url.split_once('@').unwrap_or((&url, ""));
        let (_, database) = url.rsplit_once('/').unwrap_or((&url, ""));
        // Made at full speed, and slow from then on.
        self.proxy.delay(64 * 1024, Duration::ZERO);
        let log = self.connect(&format!("{before}@{}/{database}", self.proxy.address())).await;
        self.proxy.delay(256, Duration::from_micros(50));
        slow(log, 1)
    }

    async fn fresh_handle(&self) -> Arc<dyn FailureLog> {
        Arc::new(self.connect(&url()).await)
    }
}
