//! The failure log that an address names.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use ordered_consumer::{FailureLog, SqliteFailureLog};

/// Opens it; every worker does, and so do the examples with Kafka.
pub(crate) async fn open(url: &str) -> Result<Arc<dyn FailureLog>> {
    if url.starts_with("sqlite:") {
        let log = SqliteFailureLog::connect(url).await.context("cannot open the failure log")?;
        return Ok(Arc::new(log));
    }
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        return postgres(url).await;
    }
    bail!("--store is neither postgres://… nor sqlite:PATH");
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Arc<dyn FailureLog>> {
    let log = ordered_consumer::PostgresFailureLog::connect(url).await;
    Ok(Arc::new(log.context("cannot open the failure log")?))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str) -> Result<Arc<dyn FailureLog>> {
    bail!("this build has no PostgreSQL in it: add `--features postgres`")
}
