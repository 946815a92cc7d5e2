//! How many connections, and how long anything may take.

use std::time::Duration;

/// How many connections a [`PostgresFailureLog`](super::PostgresFailureLog) opens at most, for each kind of work: what
/// one kind waits for never keeps another one waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresConnections {
    /// For events of main streams: failures, holds, look-ups, takeovers.
    pub main: u32,
    /// For the relay and the runs of retries.
    pub retries: u32,
    /// For operators: their actions, lists, the audit, totals.
    pub operators: u32,
}

impl Default for PostgresConnections {
    /// Four, four and two.
    fn default() -> Self {
        Self { main: 4, retries: 4, operators: 2 }
    }
}

impl PostgresConnections {
    /// So many of each; none is taken for one.
    #[must_use]
    pub const fn new(main: u32, retries: u32, operators: u32) -> Self {
        Self { main, retries, operators }
    }
}

/// How long a [`PostgresFailureLog`](super::PostgresFailureLog) waits. The server enforces the first three for every
/// transaction of ours, the client the fourth, which must therefore be the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PostgresTimeouts {
    /// One statement.
    pub statement: Duration,
    /// One lock that another transaction has.
    pub lock: Duration,
    /// A transaction of ours in which nothing happens, because the process was stopped or the network has gone. What it has
    /// locked is locked for everybody until then: let it be shorter than [`Timeouts::claim`](crate::Timeouts::claim), or the
    /// claims of others run out while they wait, and what they have retried meanwhile is retried again.
    pub idle_in_transaction: Duration,
    /// One call as a whole, with waiting for a connection and with further tries.
    pub call: Duration,
}

impl Default for PostgresTimeouts {
    /// 10, 5, 10 and 30 seconds.
    fn default() -> Self {
        Self {
            statement: Duration::from_secs(10),
            lock: Duration::from_secs(5),
            idle_in_transaction: Duration::from_secs(10),
            call: Duration::from_secs(30),
        }
    }
}

impl PostgresTimeouts {
    /// The same, with another limit for one statement.
    #[must_use]
    pub const fn statement(mut self, statement: Duration) -> Self {
        self.statement = statement;
        self
    }

    /// The same, with another limit for one lock.
    #[must_use]
    pub const fn lock(mut self, lock: Duration) -> Self {
        self.lock = lock;
        self
    }

    /// The same, with another limit for an idle transaction.
    #[must_use]
    pub const fn idle_in_transaction(mut self, idle: Duration) -> Self {
        self.idle_in_transaction = idle;
        self
    }

    /// The same, with another limit for one call.
    #[must_use]
    pub const fn call(mut self, call: Duration) -> Self {
        self.call = call;
        self
    }
}
