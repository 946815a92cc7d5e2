//! The failure log: what a store must do, and nothing of how.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    ConsumerName, CountBy, Counts, Digest, DueGates, Event, FailureLogError, GateQuery, Index, StreamName,
    Timestamp,
    gate::{
        Audit, Gate, Guard, Input, LayoutRecord, LayoutStep, Reply, Settings, Settle, StreamRecord,
        StreamRefusal, TakeOver,
    },
};

/// How many requests one [`FailureLog::apply`] takes at most.
pub const BATCH_REQUESTS_MAX: usize = 500;

/// Where a gate is: the consumer is given beside it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GateKey {
    /// The stream.
    pub stream: StreamName,
    /// The entity, 1 to 1,024 bytes.
    pub entity: Bytes,
}

impl fmt::Debug for GateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The entity is the user's data, and does not belong into logs.
        write!(f, "an entity of stream {}", self.stream)
    }
}

/// One input for one gate.
#[derive(Clone, Debug)]
pub struct Request {
    /// The gate.
    pub key: GateKey,
    /// What must still hold when it is written.
    pub guard: Guard,
    /// The input.
    pub input: Input,
}

/// The answer to one [`Request`].
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the protocol says.
    pub reply: Reply,
    /// The event that the step asked to read: the head of a granted claim, as the log has it.
    pub event: Option<Event>,
}

/// The answers to a batch.
#[derive(Clone, Debug)]
pub struct Answers {
    /// One for each request, in the same order.
    pub answers: Vec<Answer>,
    /// The log's time when it decided, with which deadlines are reckoned.
    pub now: Timestamp,
}

/// A gate as people see it.
#[derive(Clone, Debug)]
pub struct GatedEntity {
    /// Where it is.
    pub key: GateKey,
    /// The gate.
    pub gate: Gate,
    /// The log's time when it was read.
    pub now: Timestamp,
}

/// A line of the audit, as the log keeps it.
#[derive(Clone, Debug)]
pub struct AuditLine {
    /// When, by the log's clock.
    pub at: Timestamp,
    /// The gate it was done to.
    pub key: GateKey,
    /// What was done, by whom, why, and what came of it.
    pub audit: Audit,
}

/// How much a consumer has in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Gates that are not cleared.
    pub gated_entities: u64,
    /// Gates that are parked, or paused.
    pub parked_entities: u64,
    /// Events in the log.
    pub held_events: u64,
    /// Their bytes.
    pub held_bytes: u64,
    /// For how long the longest of the entities that hold events has not flowed freely, by the log's clock, and so never
    /// less than the age of the oldest event held; none when nothing is held.
    pub oldest_held: Option<Duration>,
}

/// What an operator says about a stream that stopped because it is not what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamDecision {
    /// Handle the events again from the broker's position: what was settled, and every tombstone, is forgotten. Gates
    /// that hold events stay.
    Replay,
    /// The name now means another stream: the old one's record and gates are set apart under `NAME~GENERATION`, where
    /// its held events go on being retried, and the name begins anew; so does the layout that it belongs to
    /// ([`LayoutStep::Forget`]).
    NewStream,
}

/// The durable store of gates, unresolved events, streams and operators' actions.
///
/// # Contract
///
/// For a store to be correct, every method must
/// * be **atomic**: all of a call's writes happen in one transaction, or none;
/// * be **durable** when it returns `Ok`, to the degree that [`describe`](Self::describe) promises;
/// * be **idempotent**: after an unknown outcome the same call is made again, and must lead to the same state;
/// * **not be undone by a dropped caller**: once polled, a call may complete although its future is dropped, but it
///   must never be half done, and never leave a transaction open;
/// * use **its own clock** for every `now`, never one that a caller brings;
/// * decide nothing: it locks the gate's row (and holds the stream's shared), calls [`gate::step`](crate::gate::step)
///   with what it loaded, and writes what the step says. Versions given to a step come from one counter for the whole
///   log, and none is ever given twice.
///
/// Every store passes `testing::failure_log`, the conformance suite, which names one test per rule.
#[async_trait]
pub trait FailureLog: fmt::Debug + Send + Sync + 'static {
    /// What the store is and how durable, in a few words, without credentials: `SQLite (failures.db), durable`.
    fn describe(&self) -> String;

    /// Applies a batch of 1 to [`BATCH_REQUESTS_MAX`] requests, no two of them for the same gate, in one transaction.
    ///
    /// # Errors
    /// [`FailureLogError`]: nothing was written, unless [`outcome is unknown`](FailureLogError::is_outcome_unknown).
    async fn apply(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        requests: &[Request],
    ) -> Result<Answers, FailureLogError>;

    /// Takes up to `limit` gates of the consumer that are due, the longest due first, by the input
    /// [`Take`](Input::Take).
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    async fn take_due(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        limit: u32,
    ) -> Result<DueGates, FailureLogError>;

    /// Events of one entity in the log, by ascending index, from `from` through `through`: at most `limit` of them,
    /// and not more than `bytes_max` beyond the first.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn held_events(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        range: (Index, Index),
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError>;

    /// The stream's record.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
    ) -> Result<Option<StreamRecord>, FailureLogError>;

    /// Takes a stream over, by [`gate::take_over`](crate::gate::take_over) under the stream's exclusive lock, and
    /// returns the record **as it was before** beside the record as it is now.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn take_over(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        asked: &TakeOver,
    ) -> Result<Result<(Option<StreamRecord>, StreamRecord), StreamRefusal>, FailureLogError>;

    /// An owner's report, by [`gate::settle`](crate::gate::settle).
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn settle(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        report: &Settle,
    ) -> Result<Result<StreamRecord, StreamRefusal>, FailureLogError>;

    /// Carries out an operator's decision about a stream, by [`gate::replay`](crate::gate::replay) and
    /// [`gate::forget_resolved`](crate::gate::forget_resolved) or by [`gate::set_apart`](crate::gate::set_apart), under
    /// the stream's exclusive lock, and writes it into the audit.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn decide_stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        decision: StreamDecision,
        by: &str,
        why: &str,
    ) -> Result<(), FailureLogError>;

    /// Applies [`gate::step_layout`](crate::gate::step_layout) to a layout's row, which it locks if anything changes, and
    /// returns it as it is now.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn layout(
        &self,
        consumer: &ConsumerName,
        layout: &StreamName,
        step: &LayoutStep,
    ) -> Result<LayoutRecord, FailureLogError>;

    /// Whether any gate of the stream has its head at or below this index. It may read every gate of the stream.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn has_unresolved(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        through: Index,
    ) -> Result<bool, FailureLogError>;

    /// Entities of the stream that have a gate of any state, tombstones too: at most `limit`, after `after` in the
    /// order of their bytes. With `paused_only`, those that an operator paused or parked.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn gated_entities(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        after: Option<&Bytes>,
        limit: u32,
        paused_only: bool,
    ) -> Result<Vec<Bytes>, FailureLogError>;

    /// Which of these entities of the stream have a gate of any state, and the log's time: the one look-up for what a
    /// shared stream delivered.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn which_gated(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        entities: &[Bytes],
    ) -> Result<(Vec<bool>, Timestamp), FailureLogError>;

    /// Drops up to `limit` tombstones of the stream that
    /// [`may_drop_tombstone`](crate::gate::may_drop_tombstone) lets go: those that the stream's settled index has
    /// passed, and, with `retention`, those older than it. Returns how many.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn drop_tombstones(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        retention: Option<Duration>,
        limit: u32,
    ) -> Result<u64, FailureLogError>;

    /// Gates for people to see, in the order of stream and entity.
    ///
    /// Streams, entities, prefixes and the states parked and paused are to be found by an index; for anything else a
    /// store may read one gate after another until the page is full.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn list(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
    ) -> Result<Vec<GatedEntity>, FailureLogError>;

    /// How many gates match the query, and how many events they hold, by what they have in common;
    /// [`GateQuery::after`] and [`GateQuery::limit`] do not matter. It may read every gate that matches.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn counts(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
        by: CountBy,
    ) -> Result<Counts, FailureLogError>;

    /// Events that are kept beside the entity's held ones because another one was logged at their index: in the order
    /// of their indexes and, at one index, of their digests, after `after`; at most `limit` of them, and not more than
    /// `bytes_max` beyond the first.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn conflicts(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        after: Option<(Index, Digest)>,
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError>;

    /// The entity's event at this index as it first came, if an operator has edited it since; none if not. It is there
    /// for as long as the event is in the log, and goes with the audit afterwards.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn original(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        index: Index,
    ) -> Result<Option<Event>, FailureLogError>;

    /// The audit of one entity, or of the consumer: the latest `limit` lines, latest first.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn audit(
        &self,
        consumer: &ConsumerName,
        key: Option<&GateKey>,
        limit: u32,
    ) -> Result<Vec<AuditLine>, FailureLogError>;

    /// Drops up to `limit` lines of the audit that are older than `retention`, the oldest first, and originals of
    /// edited events that were kept before that and whose event is not in the log any more. What came of a request is
    /// remembered for as long as its line. Returns how many lines.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn drop_audit(
        &self,
        consumer: &ConsumerName,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, FailureLogError>;

    /// How much the consumer has in the log.
    ///
    /// # Errors
    /// [`FailureLogError`].
    async fn totals(&self, consumer: &ConsumerName) -> Result<Totals, FailureLogError>;
}
