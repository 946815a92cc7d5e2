//! A failure log with one fault, around one without.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use ordered_consumer::{
    Answers, AuditLine, Clock, ConsumerName, Count, CountBy, Counts, Digest, DueGates, Event, FailureLog,
    FailureLogError, GateKey, GateQuery, GatedEntity, Index, MemoryFailureLog, ParkCause, Request,
    StreamDecision, StreamName, TakenGate, Timestamp, Totals,
    gate::{
        Action, Input, LayoutRecord, LayoutStep, Reply, Settings, Settle, State, StreamRecord, StreamRefusal,
        TakeOver,
    },
};

use crate::fault::Fault;

/// What the faults that need one remember.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) taken: Vec<TakenGate>,
    pub(crate) requests: HashMap<Arc<str>, Reply>,
    pub(crate) discarded: HashMap<GateKey, Index>,
    pub(crate) layouts: HashMap<(ConsumerName, StreamName), LayoutRecord>,
}

#[derive(Debug)]
pub(crate) struct Mutant {
    pub(crate) inner: MemoryFailureLog,
    pub(crate) fault: Fault,
    pub(crate) memory: Mutex<Memory>,
}

impl Mutant {
    pub(crate) fn new(fault: Fault, clock: Clock) -> Self {
        let clock = if fault == Fault::GoesByTheCallersClock { Clock::system() } else { clock };
        Self { inner: MemoryFailureLog::new().with_clock(clock), fault, memory: Mutex::default() }
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn consumer(&self, consumer: &ConsumerName) -> ConsumerName {
        let everyone = || ConsumerName::new("everyone").unwrap();
        if self.has(Fault::MixesConsumersUp) { everyone() } else { consumer.clone() }
    }
}

#[async_trait]
impl FailureLog for Mutant {
    fn describe(&self) -> String {
        format!("broken: {:?}", self.fault)
    }

    async fn apply(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        requests: &[Request],
    ) -> Result<Answers, FailureLogError> {
        let (consumer, settings) = (self.consumer(consumer), self.settings(settings));
        if let [request] = requests {
            return self.one(&consumer, &settings, request).await;
        }
        let mut requests = requests.to_vec();
        if self.has(Fault::AnswersInItsOwnOrder) {
            requests.sort_by(|one, other| one.key.cmp(&other.key));
        }
        if !self.has(Fault::WritesHalfABatch) {
            let mut answers = self.inner.apply(&consumer, &settings, &requests).await?;
            let fenced =
                answers.answers.iter().find(|answer| matches!(answer.reply, Reply::Fenced(_))).cloned();
            if let (Some(fenced), true) = (fenced, self.has(Fault::RefusesAWholeBatch)) {
                answers.answers.fill(fenced);
            }
            return Ok(answers);
        }
        let (mut answers, mut now) = (Vec::new(), Timestamp::default());
        for request in &requests {
            let one = self.inner.apply(&consumer, &settings, std::slice::from_ref(request)).await?;
            answers.extend(one.answers);
            now = one.now;
            tokio::task::yield_now().await;
        }
        Ok(Answers { answers, now })
    }

    async fn take_due(
        &self,
        consumer: &ConsumerName,
        settings: &Settings,
        limit: u32,
    ) -> Result<DueGates, FailureLogError> {
        let (consumer, settings) = (self.consumer(consumer), self.settings(settings));
        if self.has(Fault::NeverFindsLostClaims) {
            let running = GateQuery { state: Some(State::Running), limit: 1_000, ..GateQuery::default() };
            for found in self.inner.list(&consumer, &running).await? {
                let token = found.gate.claim.unwrap();
                self.alone(&consumer, &found.key, Input::Renew { token }).await;
            }
        }
        let mut due = self.inner.take_due(&consumer, &settings, limit).await?;
        self.mirror(&consumer, &mut due).await;
        if self.has(Fault::TakesTheLatestDueFirst) {
            due.taken.reverse();
        }
        if self.has(Fault::SleepsPastWhatIsLeft) && due.next_due_in == Some(Duration::ZERO) {
            due.next_due_in = Some(Duration::from_secs(60));
        }
        if self.has(Fault::TakesWithoutPushingTheDueTime) {
            let mut memory = self.memory.lock().unwrap();
            memory.taken.append(&mut due.taken);
            due.taken.clone_from(&memory.taken);
        }
        Ok(due)
    }

    async fn held_events(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        range: (Index, Index),
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        let without_end = self.has(Fault::ReadsWithoutEnd);
        let (limit, bytes_max) = if without_end { (u32::MAX, u64::MAX) } else { (limit, bytes_max) };
        let events = self.inner.held_events(&self.consumer(consumer), key, range, limit, bytes_max).await?;
        let mut events: Vec<Event> = events.iter().map(|event| self.event(event)).collect();
        if self.has(Fault::SortsIndexesAsText) {
            events.sort_by_key(|event| event.index().to_string());
        }
        Ok(events)
    }

    async fn stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
    ) -> Result<Option<StreamRecord>, FailureLogError> {
        self.inner.stream(&self.consumer(consumer), stream).await
    }

    async fn take_over(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        asked: &TakeOver,
    ) -> Result<Result<(Option<StreamRecord>, StreamRecord), StreamRefusal>, FailureLogError> {
        let consumer = self.consumer(consumer);
        let mut asked = asked.clone();
        if self.has(Fault::RaisesFromAnything) {
            let record = self.inner.stream(&consumer, stream).await?;
            asked.seen_generation = record.map_or(0, |record| record.generation);
        }
        if self.has(Fault::EndsClaimsOnATakeover) {
            let running = GateQuery { state: Some(State::Running), limit: 1_000, ..GateQuery::default() };
            for found in self.inner.list(&consumer, &running).await? {
                let (token, after) = (found.gate.claim.unwrap(), Duration::ZERO);
                self.alone(&consumer, &found.key, Input::GiveBack { token, after }).await;
            }
        }
        if self.has(Fault::ForgetsPositions) {
            asked.position = None;
        }
        if self.has(Fault::ForgetsIdentities) {
            asked.identity = None;
        }
        self.inner.take_over(&consumer, stream, &asked).await
    }

    async fn settle(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        report: &Settle,
    ) -> Result<Result<StreamRecord, StreamRefusal>, FailureLogError> {
        let mut outcome = self.inner.settle(&self.consumer(consumer), stream, report).await?;
        if let (Ok(record), true) = (&mut outcome, self.has(Fault::SettlesBackwards)) {
            record.settled = report.settled;
        }
        Ok(outcome)
    }

    async fn decide_stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        decision: StreamDecision,
        by: &str,
        why: &str,
    ) -> Result<(), FailureLogError> {
        if self.has(Fault::DoesNotDecide) {
            return Ok(());
        }
        self.inner.decide_stream(&self.consumer(consumer), stream, decision, by, why).await
    }

    async fn layout(
        &self,
        consumer: &ConsumerName,
        layout: &StreamName,
        step: &LayoutStep,
    ) -> Result<LayoutRecord, FailureLogError> {
        self.bent_layout(&self.consumer(consumer), layout, step).await
    }

    async fn has_unresolved(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        through: Index,
    ) -> Result<bool, FailureLogError> {
        self.bent_unresolved(&self.consumer(consumer), stream, through).await
    }

    async fn gated_entities(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        after: Option<&Bytes>,
        limit: u32,
        paused_only: bool,
    ) -> Result<Vec<Bytes>, FailureLogError> {
        let consumer = self.consumer(consumer);
        let mut found = self.inner.gated_entities(&consumer, stream, after, limit, paused_only).await?;
        if self.has(Fault::ListsOtherStreams) {
            for other in ["orders/1", "orders/0~1"] {
                let other = StreamName::new(other).unwrap();
                found.extend(self.inner.gated_entities(&consumer, &other, after, limit, paused_only).await?);
            }
            found.sort();
            found.dedup();
            found.truncate(limit.try_into().unwrap());
        }
        if self.has(Fault::HidesTombstonesFromTheCache) {
            let mut active = Vec::new();
            for entity in found {
                let key = GateKey { stream: stream.clone(), entity };
                if self.gate(&consumer, &key).await.is_some_and(|gate| !gate.is_cleared()) {
                    active.push(key.entity);
                }
            }
            return Ok(active);
        }
        Ok(found)
    }

    async fn which_gated(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        entities: &[Bytes],
    ) -> Result<(Vec<bool>, Timestamp), FailureLogError> {
        self.inner.which_gated(&self.consumer(consumer), stream, entities).await
    }

    async fn drop_tombstones(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        retention: Option<Duration>,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        let early = self.has(Fault::DropsTombstonesTooEarly);
        let retention = if early { retention.map(|retention| retention / 2) } else { retention };
        let limit = if self.has(Fault::DropsAllTombstonesAtOnce) { u32::MAX } else { limit };
        self.inner.drop_tombstones(&self.consumer(consumer), stream, retention, limit).await
    }

    async fn list(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
    ) -> Result<Vec<GatedEntity>, FailureLogError> {
        let mut found = self.inner.list(&self.consumer(consumer), &self.query(query)).await?;
        self.like(query, &mut found);
        for entity in &mut found {
            entity.gate.version = self.version(&entity.gate);
            if self.has(Fault::ForgetsWhyItParked) {
                entity.gate.parked = entity.gate.parked.map(|_| ParkCause::Operator);
            }
            if let (Some(failure), true) =
                (&mut entity.gate.first_failure, self.has(Fault::KeepsErrorTextsInAscii))
            {
                failure.text = failure.text.chars().filter(char::is_ascii).collect::<String>().into();
            }
        }
        if self.has(Fault::ListsBackwards) {
            found.reverse();
        }
        Ok(found)
    }

    async fn counts(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
        by: CountBy,
    ) -> Result<Counts, FailureLogError> {
        let mut counts = self.inner.counts(&self.consumer(consumer), query, by).await?;
        if self.has(Fault::CountsOnlyTheLargestGroups) {
            let shown = counts.groups.iter();
            counts.total = Count {
                entities: shown.clone().map(|group| group.count.entities).sum(),
                held_events: shown.map(|group| group.count.held_events).sum(),
            };
        }
        if self.has(Fault::CountsByName) {
            counts.groups.sort_by(|one, other| one.name.cmp(&other.name));
        }
        Ok(counts)
    }

    async fn conflicts(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        after: Option<(Index, Digest)>,
        limit: u32,
        bytes_max: u64,
    ) -> Result<Vec<Event>, FailureLogError> {
        let without_end = self.has(Fault::ReadsWithoutEnd);
        let (limit, bytes_max) = if without_end { (u32::MAX, u64::MAX) } else { (limit, bytes_max) };
        let consumer = self.consumer(consumer);
        let found = self.inner.conflicts(&consumer, key, after, limit, bytes_max).await?;
        Ok(found.iter().map(|event| self.event(event)).collect())
    }

    async fn original(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        index: Index,
    ) -> Result<Option<Event>, FailureLogError> {
        if self.has(Fault::KeepsTheLastEdit) {
            let logged = self.logged(&self.consumer(consumer), key).await;
            let known = self.inner.original(consumer, key, index).await?;
            return Ok(known.and(logged.into_iter().find(|event| event.index() == index)));
        }
        if self.has(Fault::LosesOriginals) {
            return Ok(None);
        }
        self.inner.original(&self.consumer(consumer), key, index).await
    }

    async fn audit(
        &self,
        consumer: &ConsumerName,
        key: Option<&GateKey>,
        limit: u32,
    ) -> Result<Vec<AuditLine>, FailureLogError> {
        if self.has(Fault::WritesNoAudit) {
            return Ok(Vec::new());
        }
        let mut lines = self.inner.audit(&self.consumer(consumer), key, limit).await?;
        if self.has(Fault::ForgetsBeforeAndAfter) {
            lines.iter_mut().for_each(|line| (line.audit.before, line.audit.after) = (None, None));
        }
        if self.has(Fault::WritesDownNoRefusal) {
            lines.retain(|line| line.audit.outcome.is_ok());
        }
        Ok(lines)
    }

    async fn drop_audit(
        &self,
        consumer: &ConsumerName,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        let limit = if self.has(Fault::DropsTheWholeAudit) { u32::MAX } else { limit };
        let retention = if self.has(Fault::DropsTheAuditTooEarly) { retention / 2 } else { retention };
        if self.has(Fault::NeverDropsTheAudit) {
            return Ok(0);
        }
        self.inner.drop_audit(&self.consumer(consumer), retention, limit).await
    }

    async fn totals(&self, consumer: &ConsumerName) -> Result<Totals, FailureLogError> {
        if self.has(Fault::ActsWhenRead) {
            let waiting = GateQuery { state: Some(State::Waiting), limit: 1_000, ..GateQuery::default() };
            for found in self.inner.list(consumer, &waiting).await? {
                self.act(consumer, &found.key, Action::Retry).await;
            }
        }
        self.inner.totals(&self.consumer(consumer)).await
    }
}
