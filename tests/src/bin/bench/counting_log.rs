//! A failure log that counts what it is asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use ordered_consumer::{
    Answers, AuditLine, ConsumerName, CountBy, Counts, Digest, DueGates, Event, FailureLog, FailureLogError,
    GateKey, GateQuery, GatedEntity, Index, MemoryFailureLog, Request, StreamDecision, StreamName, Timestamp,
    Totals,
    gate::{Settings, Settle, StreamRecord, StreamRefusal, TakeOver},
};

/// Writes and look-ups of gates; streams' own records and the relay's periodic look are not counted, because they do
/// not come with events.
#[derive(Debug, Default)]
pub(crate) struct Calls(AtomicU32);

impl Calls {
    fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn counted(&self) -> f64 {
        f64::from(self.0.load(Ordering::Relaxed))
    }
}

/// The failure log in memory, counting.
#[derive(Clone, Debug)]
pub(crate) struct CountingLog {
    inner: MemoryFailureLog,
    calls: Arc<Calls>,
}

impl CountingLog {
    pub(crate) fn new(inner: MemoryFailureLog, calls: Arc<Calls>) -> Self {
        Self { inner, calls }
    }
}

#[async_trait]
impl FailureLog for CountingLog {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn apply(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        requests: &[Request],
    ) -> Result<Answers, FailureLogError> {
        self.calls.add();
        self.inner.apply(consumer, settings, requests).await
    }

    async fn take_due(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        limit: u32,
    ) -> Result<DueGates, FailureLogError> {
        self.inner.take_due(consumer, settings, limit).await
    }

    async fn held_events(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        range: (Index, Index),
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        self.calls.add();
        self.inner.held_events(consumer, key, range, limit, bytes_max).await
    }

    async fn stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
    ) -> Result<Option<StreamRecord>, FailureLogError> {
        self.inner.stream(consumer, stream).await
    }

    async fn take_over(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        asked: &TakeOver,
    ) -> Result<Result<(Option<StreamRecord>, StreamRecord), StreamRefusal>, FailureLogError> {
        self.inner.take_over(consumer, stream, asked).await
    }

    async fn settle(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        report: &Settle,
    ) -> Result<Result<StreamRecord, StreamRefusal>, FailureLogError> {
        self.inner.settle(consumer, stream, report).await
    }

    async fn decide_stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        decision: StreamDecision,
        by: &str,
        why: &str,
    ) -> Result<(), FailureLogError> {
        self.inner.decide_stream(consumer, stream, decision, by, why).await
    }

    async fn gated_entities(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        after: Option<&Bytes>,
        limit: u32,
        paused_only: bool,
    ) -> Result<Vec<Bytes>, FailureLogError> {
        self.inner.gated_entities(consumer, stream, after, limit, paused_only).await
    }

    async fn which_gated(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        entities: &[Bytes],
    ) -> Result<(Vec<bool>, Timestamp), FailureLogError> {
        self.calls.add();
        self.inner.which_gated(consumer, stream, entities).await
    }

    async fn drop_tombstones(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        retention: Option<Duration>,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        self.inner.drop_tombstones(consumer, stream, retention, limit).await
    }

    async fn list(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
    ) -> Result<Vec<GatedEntity>, FailureLogError> {
        self.inner.list(consumer, query).await
    }

    async fn counts(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
        by: CountBy,
    ) -> Result<Counts, FailureLogError> {
        self.inner.counts(consumer, query, by).await
    }

    async fn conflicts(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        after: Option<(Index, Digest)>,
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        self.inner.conflicts(consumer, key, after, limit, bytes_max).await
    }

    async fn original(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        index: Index,
    ) -> Result<Option<Event>, FailureLogError> {
        self.inner.original(consumer, key, index).await
    }

    async fn audit(
        &self,
        consumer: &ConsumerName,
        key: Option<&GateKey>,
        limit: u32,
    ) -> Result<Vec<AuditLine>, FailureLogError> {
        self.inner.audit(consumer, key, limit).await
    }

    async fn drop_audit(
        &self,
        consumer: &ConsumerName,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        self.inner.drop_audit(consumer, retention, limit).await
    }

    async fn totals(&self, consumer: &ConsumerName) -> Result<Totals, FailureLogError> {
        self.inner.totals(consumer).await
    }
}
