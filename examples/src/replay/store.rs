//! The failure log of a replay, and what outlives a crash of its consumer.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use ordered_consumer::{
    ConsumerName, FailureLog, GateKey, GateQuery, GatedEntity, Index, MemoryFailureLog, SqliteFailureLog,
};
use tempfile::TempDir;

use super::{StoreChoice, handler::row_of};

/// How many gates or events are read at a time.
const PAGE: u32 = 500;

/// Where the failure log is, for every life of the consumer to open.
pub(super) enum Store {
    /// Shared by all lives: a crash of the consumer is none of the log.
    Memory(Arc<dyn FailureLog>),
    /// Opened by each life, as a process does.
    Sqlite { path: PathBuf, temporary: Option<TempDir> },
    /// Opened by each life, in a schema of this replay's own.
    #[cfg(feature = "postgres")]
    Postgres(super::postgres_store::PostgresStore),
}

impl Store {
    pub(super) fn choose(choice: Option<&StoreChoice>) -> Result<Self> {
        match choice {
            Some(StoreChoice::Memory) => Ok(Self::Memory(Arc::new(MemoryFailureLog::new()))),
            Some(StoreChoice::Sqlite(path)) => Ok(Self::Sqlite { path: path.clone(), temporary: None }),
            #[cfg(feature = "postgres")]
            Some(StoreChoice::Postgres(url)) => {
                Ok(Self::Postgres(super::postgres_store::PostgresStore::new(url)))
            }
            None => {
                let dir = tempfile::Builder::new().prefix("replay").tempdir();
                let dir = dir.context("cannot make a temporary directory")?;
                Ok(Self::Sqlite { path: dir.path().join("failures.db"), temporary: Some(dir) })
            }
        }
    }

    /// The file from which an interrupted replay resumes, if it can.
    pub(super) fn resumable(&self) -> Option<&Path> {
        match self {
            Self::Sqlite { path, temporary: None } => Some(path),
            Self::Sqlite { temporary: Some(_), .. } | Self::Memory(_) => None,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => None,
        }
    }

    pub(super) async fn open(&self) -> Result<Arc<dyn FailureLog>> {
        match self {
            Self::Memory(log) => Ok(Arc::clone(log)),
            Self::Sqlite { path, .. } => {
                let log = SqliteFailureLog::open(path).await;
                Ok(Arc::new(log.with_context(|| format!("cannot open {}", path.display()))?))
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.open().await,
        }
    }
}

impl Store {
    /// Whether a server can be used is found out before anything else is done.
    #[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "only a server is asked"))]
    pub(super) async fn check(&self) -> Result<()> {
        match self {
            Self::Memory(_) | Self::Sqlite { .. } => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.open().await.map(drop),
        }
    }

    /// Removes what nobody can resume from, once everything has been read.
    #[cfg_attr(not(feature = "postgres"), expect(clippy::unused_async, reason = "only a server is asked"))]
    pub(super) async fn clean_up(&self) -> Result<()> {
        match self {
            Self::Memory(_) | Self::Sqlite { .. } => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Postgres(store) => store.drop_schema().await,
        }
    }
}

/// Every gate of the consumer that is not cleared.
pub(super) async fn gates(log: &dyn FailureLog, consumer: &ConsumerName) -> Result<Vec<GatedEntity>> {
    let mut gates: Vec<GatedEntity> = Vec::new();
    loop {
        let after = gates.last().map(|gate| gate.key.clone());
        let page = log.list(consumer, &GateQuery { after, limit: PAGE, ..GateQuery::default() }).await?;
        if page.is_empty() {
            return Ok(gates);
        }
        gates.extend(page);
    }
}

/// The rows that are left in the failure log.
pub(super) async fn held_rows(
    log: &dyn FailureLog,
    consumer: &ConsumerName,
    gates: &[GatedEntity],
) -> Result<BTreeSet<usize>> {
    let mut rows = BTreeSet::new();
    for gate in gates {
        let mut from = Some(Index::MIN);
        while let Some(first) = from {
            from = hold_page(log, consumer, &gate.key, first, &mut rows).await?;
        }
    }
    Ok(rows)
}

/// Reads one page of an entity's events, and says where the next one begins.
async fn hold_page(
    log: &dyn FailureLog,
    consumer: &ConsumerName,
    key: &GateKey,
    first: Index,
    rows: &mut BTreeSet<usize>,
) -> Result<Option<Index>> {
    let events = log.held_events(consumer, key, (first, Index::MAX), PAGE, u64::from(u32::MAX)).await?;
    for event in &events {
        rows.insert(row_of(event)?);
    }
    let last = events.last().map(|event| event.index().get());
    Ok(last.and_then(|last| last.checked_add(1)).map(Index::new))
}
