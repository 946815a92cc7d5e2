//! The failure log of a replay in PostgreSQL.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use ordered_consumer::{FailureLog, PostgresFailureLog};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

/// A schema of this replay's own: what another one has left is neither resumed nor touched.
pub(super) struct PostgresStore {
    url: String,
    schema: String,
}

impl PostgresStore {
    pub(super) fn new(url: &str) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        Self { url: url.to_owned(), schema: format!("replay_{}_{started}", std::process::id()) }
    }

    pub(super) async fn open(&self) -> Result<Arc<dyn FailureLog>> {
        let log = PostgresFailureLog::builder(&self.url).schema(&self.schema).connect().await;
        Ok(Arc::new(log.context("cannot open the failure log")?))
    }

    pub(super) async fn drop_schema(&self) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url).await?;
        // Safe: the name is made of digits and words of ours.
        let drop_schema = format!("drop schema if exists {} cascade", self.schema);
        connection.execute(AssertSqlSafe(drop_schema)).await?;
        Ok(connection.close().await?)
    }
}
