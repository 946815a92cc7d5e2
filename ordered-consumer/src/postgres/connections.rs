//! The connections, apart for each kind of work, and how a transaction is run on one.
//!
//! Not a pool of the driver's: that gives connections back which a cancelled call left inside a transaction. Here a
//! connection is taken out of its place while it is used, and put back only after its transaction ended well; one that
//! is dropped is closed, and the server rolls back.

use std::{
    pin::pin,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::{
    AssertSqlSafe, Connection, Executor,
    postgres::{PgConnectOptions, PgRow},
};
use tokio::sync::Semaphore;

use super::{
    connect::{Live, begin_read, begin_write, connect},
    errors::Trouble,
    limits::{PostgresConnections, PostgresTimeouts},
    statement::{Session, Statement},
};
use crate::{Clock, FailureLogError, Timestamp};

/// How often a decision is made that loses against other transactions.
const TRIES_MAX: u32 = 6;

/// What is waited before the second try, at most; doubled for every further one.
const BACKOFF: Duration = Duration::from_millis(8);

/// How many connections may be found dead, one after the other, before the server counts as unreachable.
const DEAD_MAX: u32 = 3;

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Main,
    Retries,
    Operators,
}

/// A write: everything between `begin` and `commit`. It may be run more than once, each time from the start.
pub(super) trait Write: Send + Sync + 'static {
    type Output: Send + 'static;

    /// What is being done, for errors.
    const DOING: &'static str;

    fn purpose(&self) -> Purpose;

    fn run(&self, session: &mut Session<'_>) -> impl Future<Output = Result<Self::Output, Trouble>> + Send;
}

/// Connections for one purpose.
struct Pool {
    permits: Semaphore,
    idle: Mutex<Vec<Live>>,
}

impl Pool {
    fn new(connections: u32) -> Self {
        let permits = usize::try_from(connections.max(1)).unwrap_or(usize::MAX);
        Self { permits: Semaphore::new(permits.min(Semaphore::MAX_PERMITS)), idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Live>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Connections {
    options: PgConnectOptions,
    pub(super) schema: String,
    pub(super) timeouts: PostgresTimeouts,
    /// What tells the time in tests; otherwise it is the server's.
    pub(super) clock: Option<Clock>,
    main: Pool,
    retries: Pool,
    operators: Pool,
    /// Whether a pooler was found between here and the server.
    pooled: AtomicBool,
    /// Whether every server so far writes what it commits to the disk.
    durable: AtomicBool,
    /// Statements run, beside those that begin and end transactions.
    pub(super) statements: AtomicU64,
}

impl Connections {
    pub(super) fn new(
        options: PgConnectOptions,
        schema: String,
        timeouts: PostgresTimeouts,
        connections: PostgresConnections,
        clock: Option<Clock>,
    ) -> Self {
        Self {
            options,
            schema,
            timeouts,
            clock,
            main: Pool::new(connections.main),
            retries: Pool::new(connections.retries),
            operators: Pool::new(connections.operators),
            pooled: AtomicBool::new(false),
            durable: AtomicBool::new(true),
            statements: AtomicU64::new(0),
        }
    }

    const fn pool(&self, purpose: Purpose) -> &Pool {
        match purpose {
            Purpose::Main => &self.main,
            Purpose::Retries => &self.retries,
            Purpose::Operators => &self.operators,
        }
    }

    /// The database and schema, as people know them.
    pub(super) fn place(&self) -> String {
        format!("{}, schema {}", super::address::place(&self.options), self.schema)
    }

    pub(super) fn is_durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    pub(super) fn told_time(&self) -> Option<Timestamp> {
        self.clock.as_ref().map(Clock::now)
    }

    /// Makes a connection, outside every pool.
    pub(super) async fn connect(&self) -> Result<Live, Trouble> {
        let pooled = self.pooled.load(Ordering::Relaxed);
        let live = connect(&self.options, &self.schema, &self.timeouts, pooled).await?;
        self.pooled.store(!live.direct, Ordering::Relaxed);
        if !live.durable {
            self.durable.store(false, Ordering::Relaxed);
        }
        Ok(live)
    }

    /// Runs a write, again from the start when it lost against others. To be called in a task that no caller drops.
    pub(super) async fn write<W: Write>(&self, work: &W) -> Result<W::Output, FailureLogError> {
        let pool = self.pool(work.purpose());
        let committing = AtomicBool::new(false);
        let ended = patience(self.timeouts.call, async {
            // The semaphore is never closed; without a permit there would merely be one more connection.
            let _permit = pool.permits.acquire().await.ok();
            retrying(Trouble::is_lost, || self.write_once(pool, work, &committing)).await
        });
        match ended.await {
            Some(ended) => ended.map_err(|trouble| trouble.told(W::DOING)),
            None if committing.load(Ordering::Relaxed) => Err(FailureLogError::OutcomeUnknown {
                doing: W::DOING,
                source: "the server did not answer in time".into(),
            }),
            None => Err(late(W::DOING)),
        }
    }

    /// Runs one statement that only reads.
    pub(super) async fn read(
        &self,
        purpose: Purpose,
        doing: &'static str,
        statement: Statement,
    ) -> Result<Vec<PgRow>, FailureLogError> {
        let pool = self.pool(purpose);
        let ended = patience(self.timeouts.call, async {
            let _permit = pool.permits.acquire().await.ok();
            // Reading once more does no harm.
            let again = |trouble: &Trouble| trouble.is_lost() || trouble.is_connection_lost();
            retrying(again, || self.read_once(pool, statement.clone())).await
        });
        ended.await.unwrap_or_else(|| Err(Trouble::Log(late(doing)))).map_err(|trouble| trouble.told(doing))
    }

    /// A connection on which `begin` has been carried out. One that was idle may have died meanwhile, with a server
    /// that was restarted: then nothing was lost, and another one is taken.
    async fn begun(&self, pool: &Pool, begin: impl Fn(bool) -> Option<String>) -> Result<Live, Trouble> {
        let mut dead = 0;
        loop {
            let idle = pool.idle().pop();
            let was_idle = idle.is_some();
            let mut live = match idle {
                Some(live) => live,
                None => self.connect().await?,
            };
            let Some(text) = begin(live.direct) else { return Ok(live) };
            // Safe: it is made of words of ours, checked names and numbers.
            match live.connection.execute(AssertSqlSafe(text)).await.map_err(Trouble::Sql) {
                Ok(_) => return Ok(live),
                Err(trouble) if trouble.is_connection_lost() && was_idle && dead < DEAD_MAX => {
                    dead += 1;
                    // Those that wait with it have died with it.
                    pool.idle().clear();
                }
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn write_once<W: Write>(
        &self,
        pool: &Pool,
        work: &W,
        committing: &AtomicBool,
    ) -> Result<W::Output, Trouble> {
        let begin = |direct| Some(begin_write(&self.schema, &self.timeouts, direct));
        let mut live = self.begun(pool, begin).await?;
        let mut session = self.session(&mut live);
        let ended = match work.run(&mut session).await {
            Ok(output) => {
                committing.store(true, Ordering::Relaxed);
                let committed = live.connection.execute("commit").await;
                committing.store(false, Ordering::Relaxed);
                committed.map_err(Trouble::Commit).map(|_| output)
            }
            Err(trouble) => Err(trouble),
        };
        match &ended {
            Ok(_) => pool.idle().push(live),
            // After anything but a plain refusal nobody knows what state the connection is in: dropped, it is closed.
            Err(trouble) if trouble.is_connection_lost() || matches!(trouble, Trouble::Commit(_)) => {}
            Err(_) => {
                if live.connection.execute("rollback").await.is_ok() {
                    pool.idle().push(live);
                }
            }
        }
        ended
    }

    fn session<'c>(&'c self, live: &'c mut Live) -> Session<'c> {
        Session {
            keep: live.direct,
            connection: &mut live.connection,
            statements: &self.statements,
            told_time: self.told_time(),
        }
    }

    async fn read_once(&self, pool: &Pool, statement: Statement) -> Result<Vec<PgRow>, Trouble> {
        // One statement is a transaction by itself, where the session is ours.
        let begin = |direct: bool| (!direct).then(|| begin_read(&self.schema, &self.timeouts));
        let mut live = self.begun(pool, begin).await?;
        self.statements.fetch_add(1, Ordering::Relaxed);
        let ended = statement.rows(&mut live.connection, live.direct).await;
        match &ended {
            Err(trouble) if trouble.is_connection_lost() => pool.idle().clear(),
            Ok(_) | Err(_) => {
                if live.direct || live.connection.execute("rollback").await.is_ok() {
                    pool.idle().push(live);
                }
            }
        }
        ended
    }

    /// Closes every connection that is not in use. Later calls open new ones.
    pub(super) async fn close(&self) {
        for pool in [&self.main, &self.retries, &self.operators] {
            let idle = std::mem::take(&mut *pool.idle());
            for live in idle {
                // The server notices a connection that is gone, too.
                drop(live.connection.close().await);
            }
        }
    }
}

async fn retrying<T, F: Future<Output = Result<T, Trouble>> + Send>(
    again: impl Fn(&Trouble) -> bool + Send,
    once: impl Fn() -> F + Send,
) -> Result<T, Trouble> {
    let mut tries = 1;
    loop {
        match once().await {
            Err(trouble) if again(&trouble) && tries < TRIES_MAX => {
                tokio::time::sleep(backoff(tries)).await;
                tries += 1;
            }
            ended => return ended,
        }
    }
}

/// A random part of a time that doubles with every try, so that two that lose against each other part.
fn backoff(tries: u32) -> Duration {
    let mut random = [u8::MAX];
    // Without randomness the whole time is waited.
    getrandom::fill(&mut random).unwrap_or_default();
    let longest = BACKOFF.saturating_mul(2_u32.saturating_pow(tries.saturating_sub(1)));
    longest.saturating_mul(u32::from(random[0]) + 1) / 256
}

fn late(doing: &'static str) -> FailureLogError {
    FailureLogError::Unavailable { doing, source: "the server did not answer in time".into() }
}

/// What comes of the work, or nothing when it took longer than the limit. The limit is measured by the system's clock:
/// tokio's, which a test has paused, runs on while nothing but the network is waited for.
pub(super) async fn patience<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let begun = Instant::now();
    let mut work = pin!(work);
    loop {
        let left = limit.saturating_sub(begun.elapsed());
        if left.is_zero() {
            return None;
        }
        if let Ok(ended) = tokio::time::timeout(left, work.as_mut()).await {
            return Some(ended);
        }
    }
}
