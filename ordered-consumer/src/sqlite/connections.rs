//! One connection that writes, a few that read, and how a transaction is run on them.
//!
//! Not a pool: a pool measures its patience with tokio's timers, which a test's paused clock fires at once, and gives
//! connections back that a cancelled call left inside a transaction. Here a connection is taken out of its place while
//! it is used and put back only after it ended well; one that is dropped is closed, and closing rolls back.

use std::{
    path::PathBuf,
    sync::{
        Mutex as StdMutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{
    ConnectOptions, Connection, Executor, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};
use tokio::sync::{Mutex, Semaphore};

use super::{
    errors::{Trouble, told},
    schema,
    statement::{Session, Statement},
};
use crate::{Clock, FailureLogError};

/// How many reads run at once.
const READERS_MAX: usize = 4;

/// How often a call is tried while other connections keep the lock; each try waits for the busy timeout.
const TRIES_MAX: u32 = 3;

/// How long opening waits before it is tried again.
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// How long SQLite waits for another connection's lock before a try counts as failed.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLite counts the busy timeout in milliseconds of 31 bits; nobody means more than an hour.
const BUSY_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// Pages of 4 KiB in the write-ahead log after which they are copied into the file: 64 MiB. A batch of holds for scattered
/// entities dirties a thousand pages, SQLite's own limit, so that every commit would also pay for a checkpoint.
const WAL_PAGES: &str = "16384";

/// A write: everything between `BEGIN IMMEDIATE` and `COMMIT`. It may be run more than once, each time from the start.
pub(super) trait Write: Send + Sync + 'static {
    type Output: Send + 'static;

    /// What is being done, for errors.
    const DOING: &'static str;

    fn run(&self, session: &mut Session<'_>) -> impl Future<Output = Result<Self::Output, Trouble>> + Send;
}

/// What a connection is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// To make the tables, and the file if it is not there.
    Create,
    /// To write to a file with tables: one that has vanished since must not be made anew, without its gates.
    Write,
    /// To read.
    Read,
}

pub(super) struct Connections {
    /// As the user wrote it.
    path: PathBuf,
    /// Where that was when the log was opened, wherever the process goes since.
    file: PathBuf,
    pub(super) busy_timeout: Duration,
    pub(super) clock: Clock,
    /// Statements run, beside those that begin and end transactions.
    pub(super) statements: AtomicU64,
    /// Waiting for it is the queue of this process's writes, in order of arrival.
    writer: Mutex<Option<SqliteConnection>>,
    readers: StdMutex<Vec<SqliteConnection>>,
    reading: Semaphore,
}

impl Connections {
    pub(super) fn new(path: PathBuf, clock: Clock) -> Self {
        Self {
            file: std::path::absolute(&path).unwrap_or_else(|_| path.clone()),
            path,
            busy_timeout: BUSY_TIMEOUT,
            clock,
            statements: AtomicU64::new(0),
            writer: Mutex::new(None),
            readers: StdMutex::default(),
            reading: Semaphore::new(READERS_MAX),
        }
    }

    /// With another busy timeout, which connections take when they are opened.
    pub(super) fn with_busy_timeout(self, busy_timeout: Duration) -> Self {
        Self { busy_timeout: busy_timeout.min(BUSY_TIMEOUT_MAX), ..self }
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// Opens the file, and brings its tables up to date.
    pub(super) async fn open(&self) -> Result<(), FailureLogError> {
        let begun = Instant::now();
        loop {
            match self.open_once().await {
                Err(trouble) if trouble.is_busy() && begun.elapsed() < self.busy_timeout * TRIES_MAX => {}
                ended => return ended.map_err(|trouble| trouble.told("opening the file")),
            }
            // Switching a new file to WAL fails at once, without waiting, while another process does the same.
            tokio::time::sleep(OPEN_AGAIN_AFTER).await;
        }
    }

    async fn open_once(&self) -> Result<(), Trouble> {
        let mut slot = self.writer.lock().await;
        let mut connection = self.connect(Purpose::Create).await?;
        let mut transaction = connection.begin_with("begin immediate").await?;
        schema::migrate(&mut transaction).await?;
        transaction.commit().await.map_err(Trouble::Commit)?;
        *slot = Some(connection);
        Ok(())
    }

    async fn connect(&self, purpose: Purpose) -> Result<SqliteConnection, Trouble> {
        // 64 MiB for the writer keep the upper pages of a million gates; memory is counted in KiB, below zero.
        let writes = purpose != Purpose::Read;
        let (cache, query_only) = if writes { ("-65536", "off") } else { ("-16384", "on") };
        let mut options = SqliteConnectOptions::new()
            .filename(&self.file)
            .create_if_missing(purpose == Purpose::Create)
            .busy_timeout(self.busy_timeout)
            .synchronous(SqliteSynchronous::Full)
            .statement_cache_capacity(256)
            .pragma("cache_size", cache)
            .pragma("query_only", query_only)
            .pragma("wal_autocheckpoint", WAL_PAGES)
            // What a burst made of the write-ahead log is given back at the next checkpoint.
            .pragma("journal_size_limit", "67108864")
            // The statements are long, and there is nothing in them.
            .disable_statement_logging();
        if writes {
            options = options.journal_mode(SqliteJournalMode::Wal);
        }
        Ok(options.connect().await?)
    }

    /// Runs a write, again from the start when others kept the lock. To be called in a task that no caller drops.
    pub(super) async fn write<W: Write>(&self, work: &W) -> Result<W::Output, FailureLogError> {
        let mut tries = 1;
        loop {
            match self.write_once(work).await {
                Err(trouble) if trouble.is_busy() && tries < TRIES_MAX => tries += 1,
                ended => return ended.map_err(|trouble| trouble.told(W::DOING)),
            }
        }
    }

    async fn write_once<W: Write>(&self, work: &W) -> Result<W::Output, Trouble> {
        let mut slot = self.writer.lock().await;
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => self.connect(Purpose::Write).await?,
        };
        let ended = self.transact(&mut connection, work).await;
        // After any other error nobody knows what state the connection is in: dropped here, it is closed.
        if let Ok(_) | Err(Trouble::Log(_)) = ended {
            *slot = Some(connection);
        }
        ended
    }

    async fn transact<W: Write>(
        &self,
        connection: &mut SqliteConnection,
        work: &W,
    ) -> Result<W::Output, Trouble> {
        let mut transaction = connection.begin_with("begin immediate").await?;
        let now = self.clock.now();
        let mut session = Session { connection: &mut transaction, statements: &self.statements, now };
        match work.run(&mut session).await {
            Ok(output) => transaction.commit().await.map_err(Trouble::Commit).map(|()| output),
            Err(trouble) => {
                // After some errors SQLite has rolled back already, and says so: the first error is the one to tell.
                let rolled_back = transaction.rollback().await;
                Err(match (trouble, rolled_back) {
                    (Trouble::Log(_), Err(error)) => Trouble::Sql(error),
                    (trouble, _) => trouble,
                })
            }
        }
    }

    /// Runs one statement on a connection of its own, which never waits for a write.
    pub(super) async fn read(
        &self,
        doing: &'static str,
        statement: Statement,
    ) -> Result<Vec<SqliteRow>, FailureLogError> {
        // The semaphore is never closed; without a permit there would merely be one more connection.
        let _permit = self.reading.acquire().await.ok();
        let mut tries = 1;
        loop {
            match self.read_once(statement.clone()).await {
                Err(trouble) if trouble.is_busy() && tries < TRIES_MAX => tries += 1,
                ended => return ended.map_err(|trouble| trouble.told(doing)),
            }
        }
    }

    async fn read_once(&self, statement: Statement) -> Result<Vec<SqliteRow>, Trouble> {
        let idle = self.idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect(Purpose::Read).await?,
        };
        self.statements.fetch_add(1, Ordering::Relaxed);
        let (text, arguments) = statement.finish()?;
        let rows = connection.fetch_all(sqlx::query_with(text, arguments)).await?;
        self.idle().push(connection);
        Ok(rows)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every connection, once what is running has ended. Later calls open new ones.
    pub(super) async fn close(&self) -> Result<(), FailureLogError> {
        let doing = "closing the file";
        let readers = std::mem::take(&mut *self.idle());
        for reader in readers {
            reader.close().await.map_err(|error| told(error, doing))?;
        }
        let writer = self.writer.lock().await.take();
        match writer {
            Some(writer) => writer.close().await.map_err(|error| told(error, doing)),
            None => Ok(()),
        }
    }
}
