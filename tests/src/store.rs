//! Stores on which a test opens as many handles as it likes.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use ordered_consumer::{
    Clock, FailureLog, MemoryFailureLog, SqliteFailureLog,
    testing::{Cuts, FaultyFailureLog},
};
use tempfile::TempDir;

/// One store, which is gone with this. Made anew for every round of a sweep.
#[async_trait]
pub trait Store: Send + Sync {
    /// A handle whose calls wait often enough to be dropped at many places, before their write and after it.
    async fn waiting_handle(&self) -> Arc<dyn FailureLog>;

    /// A handle whose calls take so long that whoever waits for a task that makes them, and is polled eagerly, can be
    /// dropped at many moments of each call.
    async fn slow_handle(&self) -> Arc<dyn FailureLog> {
        self.waiting_handle().await
    }

    /// A handle that has just been opened, and shares with others nothing but what is stored.
    async fn fresh_handle(&self) -> Arc<dyn FailureLog>;
}

/// Which store a test is about, and by which clock it goes.
#[derive(Clone, Debug)]
pub struct Stores {
    kind: Kind,
    /// The store's own, unless a test brings one.
    clock: Option<Clock>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Memory,
    Sqlite,
    #[cfg(feature = "services")]
    Postgres,
}

impl Stores {
    /// The failure log in memory, whose time is tokio's.
    #[must_use]
    pub fn memory() -> Self {
        Self { kind: Kind::Memory, clock: None }
    }

    /// SQLite, in a file of its own for each store.
    #[must_use]
    pub fn sqlite() -> Self {
        Self { kind: Kind::Sqlite, clock: None }
    }

    /// PostgreSQL, in a schema of its own for each store, behind a proxy that makes it slow.
    #[cfg(feature = "services")]
    #[must_use]
    pub fn postgres() -> Self {
        Self { kind: Kind::Postgres, clock: None }
    }

    /// The same, with another clock.
    #[must_use]
    pub fn with_clock(&self, clock: &Clock) -> Self {
        Self { clock: Some(clock.clone()), ..self.clone() }
    }

    /// Whether its writes are made by another thread or process, so that it waits by itself.
    #[must_use]
    pub fn waits_by_itself(&self) -> bool {
        match self.kind {
            Kind::Memory => false,
            Kind::Sqlite => true,
            #[cfg(feature = "services")]
            Kind::Postgres => true,
        }
    }

    /// Where to cut what is polled eagerly: a store that waits by itself is pending thousands of times.
    #[must_use]
    pub fn eager_cuts(&self) -> Cuts {
        match self.kind {
            Kind::Memory => Cuts::Every,
            Kind::Sqlite => Cuts::Widening,
            // Each round makes a schema, and migrates it.
            #[cfg(feature = "services")]
            Kind::Postgres => Cuts::Sparse,
        }
    }

    /// Where to cut what waits by itself a hundred times, as a whole run does.
    #[must_use]
    pub fn wide_cuts(&self) -> Cuts {
        match self.kind {
            Kind::Memory | Kind::Sqlite => Cuts::Widening,
            #[cfg(feature = "services")]
            Kind::Postgres => Cuts::Sparse,
        }
    }

    /// A new and empty store.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "without a directory there is no test"
    )]
    pub async fn make(&self) -> Box<dyn Store> {
        match self.kind {
            Kind::Memory => {
                let clock = self.clock.clone().unwrap_or_else(Clock::tokio);
                Box::new(InMemory(MemoryFailureLog::new().with_clock(clock)))
            }
            Kind::Sqlite => {
                // A sweep opens hundreds of files, and asks nothing that only a disk can answer.
                let in_memory = std::path::Path::new("/dev/shm");
                let directory =
                    if in_memory.is_dir() { tempfile::tempdir_in(in_memory) } else { tempfile::tempdir() };
                let directory = directory.expect("a directory for the file");
                let clock = self.clock.clone().unwrap_or_else(Clock::system);
                Box::new(InFile { directory, clock })
            }
            #[cfg(feature = "services")]
            Kind::Postgres => Box::new(crate::postgres_store::InServer::start(self.clock.clone()).await),
        }
    }
}

/// A runtime polls its main task once in some sixty polls of others: so it is polled several times during each call.
const PENDING_BETWEEN_POLLS: u32 = 250;

/// A log behind a wrapper that has each call wait, twice before it is made and twice after.
fn waiting(log: impl FailureLog) -> Arc<dyn FailureLog> {
    slow(log, 2)
}

pub(crate) fn slow(log: impl FailureLog, pending: u32) -> Arc<dyn FailureLog> {
    let log = FaultyFailureLog::new(log);
    log.slow(pending, pending);
    Arc::new(log)
}

struct InMemory(MemoryFailureLog);

#[async_trait]
impl Store for InMemory {
    async fn waiting_handle(&self) -> Arc<dyn FailureLog> {
        waiting(self.0.clone())
    }

    async fn slow_handle(&self) -> Arc<dyn FailureLog> {
        slow(self.0.clone(), PENDING_BETWEEN_POLLS)
    }

    async fn fresh_handle(&self) -> Arc<dyn FailureLog> {
        Arc::new(self.0.clone())
    }
}

struct InFile {
    directory: TempDir,
    clock: Clock,
}

impl InFile {
    fn path(&self) -> PathBuf {
        self.directory.path().join("failures.db")
    }

    #[expect(clippy::expect_used, reason = "without the file there is no test")]
    async fn open(&self) -> SqliteFailureLog {
        SqliteFailureLog::open(self.path()).await.expect("the file opens").with_clock(self.clock.clone())
    }
}

#[async_trait]
impl Store for InFile {
    async fn waiting_handle(&self) -> Arc<dyn FailureLog> {
        waiting(self.open().await)
    }

    async fn slow_handle(&self) -> Arc<dyn FailureLog> {
        // As in memory: on a busy machine the file's thread may have ended its work by the next poll.
        slow(self.open().await, PENDING_BETWEEN_POLLS)
    }

    async fn fresh_handle(&self) -> Arc<dyn FailureLog> {
        Arc::new(self.open().await)
    }
}

/// Makes a test over each store of each `async fn name(stores: Stores)`.
#[macro_export]
macro_rules! on_every_store {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name($crate::store::Stores::memory()).await;
            })+
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::Stores::sqlite()).await;
            })+
        }

        #[cfg(feature = "services")]
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::Stores::postgres()).await;
            })+
        }
    };
}
