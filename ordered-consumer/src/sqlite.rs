//! The failure log in one SQLite file.

mod address;
mod apply;
mod calls;
mod chores;
mod columns;
mod connections;
mod errors;
mod layouts;
mod lists;
mod load;
mod load_conflicts;
mod reading;
mod reserve;
mod schema;
mod statement;
mod streams;
mod write;

use std::{
    fmt,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use self::{
    apply::{Apply, TakeDue},
    connections::Connections,
    reserve::Reserved,
    streams::{Decide, SettleStream, TakeStreamOver},
};
use crate::{
    Answers, AuditLine, Clock, ConsumerName, CountBy, Counts, Digest, DueGates, Event, FailureLog,
    FailureLogError, GateKey, GateQuery, GatedEntity, Index, Request, StreamDecision, StreamName, Timestamp,
    Totals, batch,
    gate::{LayoutRecord, LayoutStep, Settings, Settle, StreamRecord, StreamRefusal, TakeOver},
};

/// The embedded, durable failure log: one SQLite file, which several processes of one machine may share.
///
/// What it has returned `Ok` for survives a crash of the process and of the machine (`synchronous=FULL`, write-ahead
/// log). The file must be on a local disk. Clones share the connections: one that writes, and up to four that read and
/// never wait for a write.
///
/// Every call needs a tokio runtime, and every write runs in a task of its own there: a caller that is dropped does not
/// break it off. When other processes keep the file locked, a call waits up to three times the busy timeout (5 seconds
/// unless [`with_busy_timeout`](Self::with_busy_timeout) says otherwise) and then fails with
/// [`FailureLogError::Unavailable`].
///
/// Limits: counts and bytes up to 2^63 - 1; an event's time is kept to the nanosecond between the years 1677 and 2262;
/// a payload up to SQLite's own limit of a thousand million bytes.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ordered_consumer::{FailureLog, SqliteFailureLog};
///
/// # let directory = std::env::temp_dir().join(format!("ordered-consumer-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let file = directory.join("failures.db");
/// let failures = SqliteFailureLog::open(&file).await?;
/// assert!(failures.describe().starts_with("SQLite"));
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteFailureLog {
    connections: Arc<Connections>,
    reserved: Arc<Reserved>,
}

impl SqliteFailureLog {
    /// Opens the file, creates it if it is not there, and brings its tables up to date. Its directory must exist.
    ///
    /// # Errors
    /// [`FailureLogError::BadUrl`] when no database can be there, [`SchemaVersion`](FailureLogError::SchemaVersion)
    /// when a newer program has used it, [`Corrupt`](FailureLogError::Corrupt) when it is no database, and
    /// [`Unavailable`](FailureLogError::Unavailable) when it cannot be opened or is locked.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, FailureLogError> {
        let path = address::from_path(path.as_ref())?;
        let connections = Connections::new(path, Clock::system());
        connections.open().await?;
        Ok(Self { connections: Arc::new(connections), reserved: Arc::default() })
    }

    /// Opens the file that an address names: `sqlite:PATH`, with `PATH` taken as it stands.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`FailureLogError::BadUrl`] says what is wrong with the address.
    pub async fn connect(url: &str) -> Result<Self, FailureLogError> {
        Self::open(address::from_url(url)?).await
    }

    /// The same file with another clock, for tests. Clones made before keep theirs.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        let old = &self.connections;
        let connections = Connections::new(old.path().to_owned(), clock);
        let connections = connections.with_busy_timeout(old.busy_timeout);
        self.reopened(connections)
    }

    /// The same file with another time to wait for other processes' locks, an hour at most. Clones made before keep
    /// theirs.
    #[must_use]
    pub fn with_busy_timeout(self, busy_timeout: Duration) -> Self {
        let old = &self.connections;
        let connections = Connections::new(old.path().to_owned(), old.clock.clone());
        self.reopened(connections.with_busy_timeout(busy_timeout))
    }

    /// Connections are opened when they are needed.
    fn reopened(self, connections: Connections) -> Self {
        Self { connections: Arc::new(connections), reserved: self.reserved }
    }

    /// How many SQL statements the log has run, beside those that begin and end transactions: for tests and benchmarks.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.connections.statements.load(Ordering::Relaxed)
    }

    /// Waits until what is being written has been, and closes the file. A later call opens it again.
    ///
    /// # Errors
    /// [`FailureLogError`]; nothing that was acknowledged is lost by it.
    pub async fn close(&self) -> Result<(), FailureLogError> {
        self.connections.close().await
    }
}

impl fmt::Debug for SqliteFailureLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteFailureLog").field("path", &self.connections.path()).finish_non_exhaustive()
    }
}

#[async_trait]
impl FailureLog for SqliteFailureLog {
    fn describe(&self) -> String {
        format!("SQLite ({}), durable", self.connections.path().display())
    }

    async fn apply(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        requests: &[Request],
    ) -> Result<Answers, FailureLogError> {
        batch::check(requests)?;
        let (log, consumer) = (self.clone(), consumer.clone());
        let (settings, requests) = (settings.clone(), requests.to_vec());
        self.task("applying a batch", async move {
            let consumer_id = log.consumer(&consumer).await?;
            let first_version = log.reserved.versions(&log.connections, requests.len()).await?;
            log.connections.write(&Apply { consumer_id, settings, requests, first_version }).await
        })
        .await
    }

    async fn take_due(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        limit: u32,
    ) -> Result<DueGates, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(consumer).await? else { return Ok(DueGates::default()) };
        // Looking comes first, and takes no lock: mostly nothing is due.
        let find = apply::next_due(consumer_id);
        let next_due_at = self.read("looking for what is due", find, apply::next_due_at).await?;
        let now = self.connections.clock.now();
        if limit == 0 || next_due_at.is_none_or(|due_at| due_at > now) {
            let next_due_in = next_due_at.map(|due_at| due_at.since(now));
            return Ok(DueGates { next_due_in, ..DueGates::default() });
        }
        let (log, settings) = (self.clone(), settings.clone());
        self.task("taking what is due", async move {
            let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
            let first_version = log.reserved.versions(&log.connections, wanted).await?;
            log.connections.write(&TakeDue { consumer_id, settings, limit, first_version }).await
        })
        .await
    }

    async fn held_events(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        range: (Index, Index),
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        let Some((stream_id, _)) = self.known_stream(consumer, &key.stream).await? else {
            return Ok(Vec::new());
        };
        let find = reading::find_held(stream_id, &key.entity, range, limit, bytes_max);
        self.read("reading held events", find, |rows| reading::held(rows, key)).await
    }

    async fn stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
    ) -> Result<Option<StreamRecord>, FailureLogError> {
        Ok(self.known_stream(consumer, stream).await?.and_then(|(_, record)| record))
    }

    async fn take_over(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        asked: &TakeOver,
    ) -> Result<Result<(Option<StreamRecord>, StreamRecord), StreamRefusal>, FailureLogError> {
        let (log, consumer) = (self.clone(), consumer.clone());
        let (stream, asked) = (stream.clone(), asked.clone());
        self.task("taking a stream over", async move {
            let consumer_id = log.consumer(&consumer).await?;
            log.connections.write(&TakeStreamOver { consumer_id, stream, asked }).await
        })
        .await
    }

    async fn settle(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        report: &Settle,
    ) -> Result<Result<StreamRecord, StreamRefusal>, FailureLogError> {
        let (log, consumer) = (self.clone(), consumer.clone());
        let (stream, report) = (stream.clone(), report.clone());
        self.task("settling a stream", async move {
            let consumer_id = log.consumer(&consumer).await?;
            log.connections.write(&SettleStream { consumer_id, stream, report }).await
        })
        .await
    }

    async fn decide_stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        decision: StreamDecision,
        by: &str,
        why: &str,
    ) -> Result<(), FailureLogError> {
        let (log, consumer, stream) = (self.clone(), consumer.clone(), stream.clone());
        let (by, why) = (by.to_owned(), why.to_owned());
        self.task("deciding about a stream", async move {
            let consumer_id = log.consumer(&consumer).await?;
            log.connections.write(&Decide { consumer_id, stream, decision, by, why }).await
        })
        .await
    }

    async fn layout(
        &self,
        consumer: &ConsumerName,
        layout: &StreamName,
        step: &LayoutStep,
    ) -> Result<LayoutRecord, FailureLogError> {
        self.step_layout(consumer, layout, step).await
    }

    async fn has_unresolved(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        through: Index,
    ) -> Result<bool, FailureLogError> {
        self.has_head_through(consumer, stream, through).await
    }

    async fn gated_entities(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        after: Option<&Bytes>,
        limit: u32,
        paused_only: bool,
    ) -> Result<Vec<Bytes>, FailureLogError> {
        let Some((stream_id, _)) = self.known_stream(consumer, stream).await? else { return Ok(Vec::new()) };
        let find = reading::find_entities(stream_id, after, limit, paused_only);
        self.read("reading gated entities", find, reading::entities).await
    }

    async fn which_gated(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        entities: &[Bytes],
    ) -> Result<(Vec<bool>, Timestamp), FailureLogError> {
        self.look_up(consumer, stream, entities).await
    }

    async fn drop_tombstones(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        retention: Option<Duration>,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        self.drop_old_tombstones(consumer, stream, retention, limit).await
    }

    async fn list(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
    ) -> Result<Vec<GatedEntity>, FailureLogError> {
        self.list_gates(consumer, query).await
    }

    async fn counts(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
        by: CountBy,
    ) -> Result<Counts, FailureLogError> {
        self.count_gates(consumer, query, by).await
    }

    async fn conflicts(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        after: Option<(Index, Digest)>,
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        self.list_conflicts(consumer, key, after, (limit, bytes_max)).await
    }

    async fn original(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        index: Index,
    ) -> Result<Option<Event>, FailureLogError> {
        let Some((stream_id, _)) = self.known_stream(consumer, &key.stream).await? else { return Ok(None) };
        let find = reading::find_original(stream_id, &key.entity, index);
        self.read("reading an original", find, |rows| Ok(reading::held(rows, key)?.pop())).await
    }

    async fn audit(
        &self,
        consumer: &ConsumerName,
        key: Option<&GateKey>,
        limit: u32,
    ) -> Result<Vec<AuditLine>, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(consumer).await? else { return Ok(Vec::new()) };
        let find = reading::find_audit(consumer_id, key, limit);
        self.read("reading the audit", find, reading::audit).await
    }

    async fn drop_audit(
        &self,
        consumer: &ConsumerName,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        self.drop_old_audit(consumer, retention, limit).await
    }

    async fn totals(&self, consumer: &ConsumerName) -> Result<Totals, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(consumer).await? else { return Ok(Totals::default()) };
        let find = reading::find_totals(consumer_id);
        self.read("adding up", find, |rows| reading::totals(rows, self.connections.clock.now())).await
    }
}
