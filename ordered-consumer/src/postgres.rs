//! The failure log in PostgreSQL.

mod address;
mod apply;
mod builder;
mod calls;
mod chores;
mod connect;
mod connections;
mod errors;
mod layouts;
mod limits;
mod lists;
mod load;
mod reading;
mod reserve;
mod schema;
mod statement;
mod streams;
mod write;

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use self::{
    apply::{Apply, TakeDue},
    chores::DropAudit,
    connections::{Connections, Purpose, Write},
    lists::Page,
    reserve::Reserved,
    streams::{Decide, DropTombstones, SettleStream, TakeStreamOver},
};
pub use self::{
    builder::PostgresFailureLogBuilder,
    limits::{PostgresConnections, PostgresTimeouts},
};
use crate::{
    Answers, AuditLine, COUNT_GROUPS_MAX, ConsumerName, CountBy, Counts, Digest, DueGates, Event, FailureLog,
    FailureLogError, GateKey, GateQuery, GatedEntity, Index, Request, StreamDecision, StreamName, Timestamp,
    Totals, batch,
    gate::{LayoutRecord, LayoutStep, Settings, Settle, StreamRecord, StreamRefusal, TakeOver},
};

/// How many gates [`FailureLog::list`] returns at most.
const LIST_MAX: u32 = 1_000;

/// The failure log in PostgreSQL, which many processes on many machines share. Checked with PostgreSQL 15; 13 and later
/// have everything that it uses.
///
/// What it has returned `Ok` for has been committed with `synchronous_commit` at least `on`, also where the server's
/// own setting is weaker. Its tables are in a schema of their own. Clones share the connections: up to four for events
/// of main streams, four for retries and two for operators, unless [`PostgresConnections`] says otherwise, so that none
/// of these waits for another. They are opened when they are needed, and replaced when they have died.
///
/// Every call needs a tokio runtime with its clock, and every write runs in a task of its own there: a caller that is
/// dropped does not break it off. Decisions that lose against other transactions (deadlocks, serialization failures)
/// are made anew, up to six times. A commit whose outcome was lost is reported as
/// [`OutcomeUnknown`](FailureLogError::OutcomeUnknown); consumers ask again until it is known. All time is the
/// server's.
///
/// The role needs no right to change tables: let the owner run [`migrate`](Self::migrate) and what
/// [`grants`](PostgresFailureLogBuilder::grants) returns. It works at every `default_transaction_isolation`, and behind
/// PgBouncer in transaction mode, which it finds out about by itself: it then does without prepared statements and
/// settings of the session. A read-only replica is refused.
///
/// The address is taken as it is. Unless it says `sslmode=verify-full` (which needs the feature `tls`), nothing checks
/// who answers, and without that feature nothing is encrypted.
///
/// Limits: counts and bytes up to 2^63 - 1; an event's time is kept to the nanosecond between the years 1677 and 2262;
/// a payload up to PostgreSQL's own limit of one gigabyte for a value.
///
/// ```no_run
/// # async fn example() -> Result<(), ordered_consumer::FailureLogError> {
/// use ordered_consumer::{PostgresConnections, PostgresFailureLog};
///
/// // In one step of a deployment, as the owner:
/// PostgresFailureLog::migrate("postgres://owner:password@db/shop?sslmode=verify-full").await?;
///
/// // In every process that consumes:
/// let failures = PostgresFailureLog::builder("postgres://consumer:password@db/shop?sslmode=verify-full")
///     .connections(PostgresConnections::new(4, 4, 2))
///     .migrate(false)
///     .connect()
///     .await?;
/// # let _ = failures;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PostgresFailureLog {
    connections: Arc<Connections>,
    reserved: Arc<Reserved>,
}

impl PostgresFailureLog {
    /// Connects to the database that an address such as `postgres://user:password@host/database` names, with
    /// everything else as [`PostgresFailureLogBuilder`] has it, and makes the tables where they are not there.
    ///
    /// # Errors
    /// As [`PostgresFailureLogBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, FailureLogError> {
        Self::builder(url).connect().await
    }

    /// What can be told before connecting.
    #[must_use]
    pub fn builder(url: &str) -> PostgresFailureLogBuilder {
        PostgresFailureLogBuilder::new(url)
    }

    /// Makes the schema and its tables, or brings them up to date: for a deployment's own step.
    ///
    /// # Errors
    /// As [`PostgresFailureLogBuilder::connect`].
    pub async fn migrate(url: &str) -> Result<(), FailureLogError> {
        Self::builder(url).run_migrations().await
    }

    /// How many SQL statements the log has run, beside those that begin and end transactions: for tests and benchmarks.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.connections.statements.load(Ordering::Relaxed)
    }

    /// Closes the connections that are not in use. A later call opens new ones.
    pub async fn close(&self) {
        self.connections.close().await;
    }
}

impl fmt::Debug for PostgresFailureLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresFailureLog").field("place", &self.connections.place()).finish_non_exhaustive()
    }
}

#[async_trait]
impl FailureLog for PostgresFailureLog {
    fn describe(&self) -> String {
        let durable = if self.connections.is_durable() { "durable" } else { "not durable: fsync is off" };
        format!("PostgreSQL ({}), {durable}", self.connections.place())
    }

    async fn apply(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        requests: &[Request],
    ) -> Result<Answers, FailureLogError> {
        batch::check(requests)?;
        let purpose = apply::purpose(requests);
        let (log, consumer) = (self.clone(), consumer.clone());
        let (settings, requests) = (settings.clone(), requests.to_vec());
        self.task(Apply::DOING, async move {
            let consumer_id = log.consumer(purpose, &consumer).await?;
            let first_version = log.reserved.versions(&log.connections, purpose, requests.len()).await?;
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
        let purpose = Purpose::Retries;
        let Some(consumer_id) = self.known_consumer(purpose, consumer).await? else {
            return Ok(DueGates::default());
        };
        // Looking comes first, and takes no lock: mostly nothing is due.
        let find = apply::next_due(consumer_id, self.told_micros());
        let rows = self.connections.read(purpose, "looking for what is due", find).await?;
        let next_due_in = rows.first().map(apply::next_due_in).transpose()?.flatten();
        if limit == 0 || next_due_in.is_none_or(|due_in| !due_in.is_zero()) {
            return Ok(DueGates { next_due_in, ..DueGates::default() });
        }
        let (log, settings) = (self.clone(), settings.clone());
        self.task(TakeDue::DOING, async move {
            let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
            let first_version = log.reserved.versions(&log.connections, purpose, wanted).await?;
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
        let purpose = Purpose::Retries;
        let Some((stream_id, _)) = self.known_stream(purpose, consumer, &key.stream).await? else {
            return Ok(Vec::new());
        };
        let find = reading::find_held(stream_id, &key.entity, range, limit, bytes_max);
        reading::held(&self.connections.read(purpose, "reading held events", find).await?, key)
    }

    async fn stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
    ) -> Result<Option<StreamRecord>, FailureLogError> {
        Ok(self.known_stream(Purpose::Main, consumer, stream).await?.and_then(|(_, record)| record))
    }

    async fn take_over(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        asked: &TakeOver,
    ) -> Result<Result<(Option<StreamRecord>, StreamRecord), StreamRefusal>, FailureLogError> {
        let (stream, asked) = (stream.clone(), asked.clone());
        let made = |consumer_id| TakeStreamOver { consumer_id, stream, asked };
        self.write(Purpose::Main, consumer, made).await
    }

    async fn settle(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        report: &Settle,
    ) -> Result<Result<StreamRecord, StreamRefusal>, FailureLogError> {
        let (stream, report) = (stream.clone(), report.clone());
        let made = |consumer_id| SettleStream { consumer_id, stream, report };
        self.write(Purpose::Main, consumer, made).await
    }

    async fn decide_stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        decision: StreamDecision,
        by: &str,
        why: &str,
    ) -> Result<(), FailureLogError> {
        let (stream, by, why) = (stream.clone(), by.to_owned(), why.to_owned());
        let made = move |consumer_id| Decide { consumer_id, stream, decision, by, why };
        self.write(Purpose::Operators, consumer, made).await
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
        let purpose = Purpose::Main;
        let Some((stream_id, _)) = self.known_stream(purpose, consumer, stream).await? else {
            return Ok(Vec::new());
        };
        let find = reading::find_entities(stream_id, after, limit, paused_only);
        reading::entities(&self.connections.read(purpose, "reading gated entities", find).await?)
    }

    async fn which_gated(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        entities: &[Bytes],
    ) -> Result<(Vec<bool>, Timestamp), FailureLogError> {
        let consumer_id = self.known_consumer(Purpose::Main, consumer).await?;
        let find = reading::find_gated(consumer_id, self.told_micros(), stream, entities);
        let rows = self.connections.read(Purpose::Main, "looking entities up", find).await?;
        reading::gated(&rows, entities.len())
    }

    async fn drop_tombstones(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        retention: Option<Duration>,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        let stream = stream.clone();
        let made = move |consumer_id| DropTombstones { consumer_id, stream, retention, limit };
        self.write(Purpose::Main, consumer, made).await
    }

    async fn list(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
    ) -> Result<Vec<GatedEntity>, FailureLogError> {
        let most = usize::try_from(query.limit.clamp(1, LIST_MAX)).unwrap_or(usize::MAX);
        let mut gates = Vec::new();
        for part in lists::parts(query) {
            let limit = most - gates.len();
            if limit == 0 {
                break;
            }
            let told_micros = self.told_micros();
            let find =
                |consumer_id| lists::find_gates(Page { consumer_id, limit, told_micros }, query, &part);
            gates.extend(lists::found(&self.look("listing gates", consumer, find).await?)?);
        }
        Ok(gates)
    }

    async fn counts(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
        by: CountBy,
    ) -> Result<Counts, FailureLogError> {
        let (limit, told_micros) = (COUNT_GROUPS_MAX, self.told_micros());
        let find = |consumer_id| lists::count_gates(Page { consumer_id, limit, told_micros }, query, by);
        lists::counted(&self.look("counting gates", consumer, find).await?)
    }

    async fn conflicts(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        after: Option<(Index, Digest)>,
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        let purpose = Purpose::Operators;
        let Some((stream_id, _)) = self.known_stream(purpose, consumer, &key.stream).await? else {
            return Ok(Vec::new());
        };
        let find = reading::find_conflicts(stream_id, &key.entity, after, limit, bytes_max);
        reading::held(&self.connections.read(purpose, "reading conflicts", find).await?, key)
    }

    async fn original(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        index: Index,
    ) -> Result<Option<Event>, FailureLogError> {
        let purpose = Purpose::Operators;
        let Some((stream_id, _)) = self.known_stream(purpose, consumer, &key.stream).await? else {
            return Ok(None);
        };
        let find = reading::find_original(stream_id, &key.entity, index);
        Ok(reading::held(&self.connections.read(purpose, "reading an original", find).await?, key)?.pop())
    }

    async fn audit(
        &self,
        consumer: &ConsumerName,
        key: Option<&GateKey>,
        limit: u32,
    ) -> Result<Vec<AuditLine>, FailureLogError> {
        let find = |consumer_id| reading::find_audit(consumer_id, key, limit);
        reading::audit(&self.look("reading the audit", consumer, find).await?)
    }

    async fn drop_audit(
        &self,
        consumer: &ConsumerName,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        let made = move |consumer_id| DropAudit { consumer_id, retention, limit };
        self.write(Purpose::Operators, consumer, made).await
    }

    async fn totals(&self, consumer: &ConsumerName) -> Result<Totals, FailureLogError> {
        let told = self.told_micros();
        let find = |consumer_id| reading::find_totals(consumer_id, told);
        reading::totals(&self.look("adding up", consumer, find).await?)
    }
}
