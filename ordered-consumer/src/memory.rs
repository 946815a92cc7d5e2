//! The failure log in memory: for tests, and for whoever can do without durability.

mod apply;
mod audit;
mod lists;
mod streams;
mod table;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use self::table::Table;
use crate::{
    Answers, AuditLine, Clock, ConsumerName, CountBy, Counts, Digest, DueGates, Event, FailureLog,
    FailureLogError, GateKey, GateQuery, GatedEntity, Index, Request, StreamDecision, StreamName, Timestamp,
    Totals, batch,
    gate::{LayoutRecord, LayoutStep, Settings, Settle, StreamRecord, StreamRefusal, TakeOver},
};

/// How many gates [`FailureLog::list`] returns at most.
const LIST_MAX: u32 = 1_000;

/// A failure log in memory, lost with the process. Clones share what is in it.
///
/// It keeps every rule of the contract but durability, so it is the log to test with: its time is tokio's, which tests
/// can pause, or any other [`Clock`].
///
/// ```
/// use ordered_consumer::{FailureLog, MemoryFailureLog};
///
/// let log = MemoryFailureLog::new();
/// assert_eq!(log.describe(), "memory, lost with the process");
/// ```
#[derive(Clone)]
pub struct MemoryFailureLog {
    shared: Arc<Mutex<Shared>>,
    clock: Clock,
}

#[derive(Default)]
struct Shared {
    /// The last version given to a step, of any consumer.
    version: u64,
    tables: BTreeMap<ConsumerName, Table>,
}

impl Shared {
    fn table(&mut self, consumer: &ConsumerName) -> (&mut Table, &mut u64) {
        (self.tables.entry(consumer.clone()).or_default(), &mut self.version)
    }
}

impl MemoryFailureLog {
    /// An empty log, with tokio's time.
    #[must_use]
    pub fn new() -> Self {
        Self { shared: Arc::default(), clock: Clock::tokio() }
    }

    /// The same log with another clock. Clones made before keep theirs.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Nothing awaits while the lock is held. A panic under it cannot leave a write half done that is worse than
    /// losing the whole log, so a poisoned lock is used on.
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryFailureLog {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryFailureLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFailureLog").field("clock", &self.clock).finish_non_exhaustive()
    }
}

#[async_trait]
impl FailureLog for MemoryFailureLog {
    fn describe(&self) -> String {
        "memory, lost with the process".to_owned()
    }

    async fn apply(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        requests: &[Request],
    ) -> Result<Answers, FailureLogError> {
        batch::check(requests)?;
        let mut shared = self.lock();
        let now = self.clock.now();
        let (table, version) = shared.table(consumer);
        let answers =
            requests.iter().map(|request| apply::one(table, version, settings, now, request)).collect();
        Ok(Answers { answers, now })
    }

    async fn take_due(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        limit: u32,
    ) -> Result<DueGates, FailureLogError> {
        let mut shared = self.lock();
        let now = self.clock.now();
        let (table, version) = shared.table(consumer);
        Ok(apply::take_due(table, version, settings, now, limit))
    }

    async fn held_events(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        range: (Index, Index),
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        let mut shared = self.lock();
        Ok(shared.table(consumer).0.held_events(key, range, limit, bytes_max))
    }

    async fn stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
    ) -> Result<Option<StreamRecord>, FailureLogError> {
        Ok(self.lock().table(consumer).0.record(stream).cloned())
    }

    async fn take_over(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        asked: &TakeOver,
    ) -> Result<Result<(Option<StreamRecord>, StreamRecord), StreamRefusal>, FailureLogError> {
        Ok(streams::take_over(self.lock().table(consumer).0, stream, asked))
    }

    async fn settle(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        report: &Settle,
    ) -> Result<Result<StreamRecord, StreamRefusal>, FailureLogError> {
        Ok(streams::settle(self.lock().table(consumer).0, stream, report))
    }

    async fn decide_stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        decision: StreamDecision,
        by: &str,
        why: &str,
    ) -> Result<(), FailureLogError> {
        let mut shared = self.lock();
        let now = self.clock.now();
        streams::decide(shared.table(consumer).0, stream, decision, (by, why), now)
    }

    async fn layout(
        &self,
        consumer: &ConsumerName,
        layout: &StreamName,
        step: &LayoutStep,
    ) -> Result<LayoutRecord, FailureLogError> {
        Ok(self.lock().table(consumer).0.step_layout(layout, step))
    }

    async fn has_unresolved(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        through: Index,
    ) -> Result<bool, FailureLogError> {
        Ok(self.lock().table(consumer).0.has_unresolved(stream, through))
    }

    async fn gated_entities(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        after: Option<&Bytes>,
        limit: u32,
        paused_only: bool,
    ) -> Result<Vec<Bytes>, FailureLogError> {
        Ok(self.lock().table(consumer).0.entities(stream, after, limit, paused_only))
    }

    async fn which_gated(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        entities: &[Bytes],
    ) -> Result<(Vec<bool>, Timestamp), FailureLogError> {
        let mut shared = self.lock();
        let table = shared.table(consumer).0;
        let key = |entity: &Bytes| GateKey { stream: stream.clone(), entity: entity.clone() };
        let gated = entities.iter().map(|entity| table.gate(&key(entity)).is_some()).collect();
        Ok((gated, self.clock.now()))
    }

    async fn drop_tombstones(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        retention: Option<Duration>,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        let mut shared = self.lock();
        let kept_since = retention.map(|retention| self.clock.now().minus(retention));
        Ok(shared.table(consumer).0.drop_tombstones(stream, kept_since, limit))
    }

    async fn list(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
    ) -> Result<Vec<GatedEntity>, FailureLogError> {
        let limit = query.limit.clamp(1, LIST_MAX);
        let mut shared = self.lock();
        let now = self.clock.now();
        Ok(shared.table(consumer).0.list(query, limit, now))
    }

    async fn counts(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
        by: CountBy,
    ) -> Result<Counts, FailureLogError> {
        let mut shared = self.lock();
        let now = self.clock.now();
        Ok(shared.table(consumer).0.counts(query, by, now))
    }

    async fn conflicts(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        after: Option<(Index, Digest)>,
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        Ok(self.lock().table(consumer).0.conflicts(key, after, limit, bytes_max))
    }

    async fn original(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        index: Index,
    ) -> Result<Option<Event>, FailureLogError> {
        Ok(self.lock().table(consumer).0.original(key, index))
    }

    async fn audit(
        &self,
        consumer: &ConsumerName,
        key: Option<&GateKey>,
        limit: u32,
    ) -> Result<Vec<AuditLine>, FailureLogError> {
        Ok(self.lock().table(consumer).0.audit(key, limit))
    }

    async fn drop_audit(
        &self,
        consumer: &ConsumerName,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        let mut shared = self.lock();
        let kept_since = self.clock.now().minus(retention);
        Ok(shared.table(consumer).0.drop_audit(kept_since, limit))
    }

    async fn totals(&self, consumer: &ConsumerName) -> Result<Totals, FailureLogError> {
        let mut shared = self.lock();
        let now = self.clock.now();
        Ok(shared.table(consumer).0.totals(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Arrival, Failure, Guard, Input, Logged, Next, Reply, Verdict};

    fn settings() -> Settings {
        Settings {
            release_window: 4,
            redelivery_timeout: Duration::from_secs(30),
            claim_timeout: Duration::from_secs(60),
            attempts_max: 5,
            held_events_max: 100,
            held_bytes_max: 10_000,
            mirror_parked: false,
        }
    }

    #[tokio::test]
    async fn clones_share_what_is_in_the_log_and_consumers_do_not() {
        let log = MemoryFailureLog::new();
        let (billing, shipping) =
            (ConsumerName::new("billing").unwrap(), ConsumerName::new("shipping").unwrap());
        let stream = StreamName::new("orders/0").unwrap();
        let key = GateKey { stream: stream.clone(), entity: Bytes::from_static(b"e") };
        let event = |index| Event::builder(stream.clone(), Index::new(index), "e").payload("p").build();
        let failure = Failure::new("E", "no");
        let next = Next::Retry(Duration::from_secs(1));
        let fail = Input::Fail { event: event(1), attempts: 1, failure, next };
        let request = |input| [Request { key: key.clone(), guard: Guard::Unguarded, input }];
        let answers = log.apply(&billing, &settings(), &request(fail)).await.unwrap();
        assert!(matches!(answers.answers[0].reply, Reply::Logged(Logged::Retrying { .. })));
        let arrive = || Input::Arrive { events: vec![Arrival { event: event(2), suspect: false }] };
        let held = log.clone().apply(&billing, &settings(), &request(arrive())).await.unwrap();
        assert_eq!(held.answers[0].reply, Reply::Arrived(vec![Verdict::Held]));
        let free = log.apply(&shipping, &settings(), &request(arrive())).await.unwrap();
        assert_eq!(free.answers[0].reply, Reply::Arrived(vec![Verdict::Run]));
        assert_eq!(log.totals(&billing).await.unwrap().held_events, 2);
        assert_eq!(log.totals(&shipping).await.unwrap(), Totals::default());
    }
}
