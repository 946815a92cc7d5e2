//! A failure log under test, with the clock that it goes by.

use std::{any::Any, fmt, sync::Arc, time::Duration};

use bytes::Bytes;

use super::entity::Entity;
use crate::{
    Answers, Clock, ConsumerName, DueGates, FailureLog, FailureLogError, GateKey, Request, StreamName,
    Timestamp, Totals,
    gate::{Settings, StreamRecord, StreamRefusal, TakeOver},
};

/// A fresh failure log under test, with a handle on the clock that it goes by.
#[derive(Clone)]
pub struct Bench {
    pub(super) log: Arc<dyn FailureLog>,
    pub(super) consumer: ConsumerName,
    pub(super) stream: StreamName,
    pub(super) settings: Settings,
    clock: Clock,
    kept: Vec<Arc<dyn Any + Send + Sync>>,
}

impl Bench {
    /// A log with nothing in it, which goes by this clock: one made by [`Clock::manual`], because rules move it.
    #[must_use]
    pub fn new(log: impl FailureLog, clock: Clock) -> Self {
        Self {
            log: Arc::new(log),
            consumer: consumer("billing"),
            stream: stream("orders/0"),
            settings: Settings {
                release_window: 3,
                redelivery_timeout: Duration::from_secs(30),
                claim_timeout: Duration::from_secs(60),
                attempts_max: 5,
                held_events_max: 1_000,
                held_bytes_max: 1_000_000,
                mirror_parked: false,
            },
            clock,
            kept: Vec::new(),
        }
    }

    /// Keeps something for as long as the bench, such as the directory that the log lives in.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self.kept.push(Arc::new(kept));
        self
    }

    pub(super) fn with_settings(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let mut other = self.clone();
        change(&mut other.settings);
        other
    }

    /// The same log as another consumer sees it.
    pub(super) fn as_consumer(&self, name: &str) -> Self {
        Self { consumer: consumer(name), ..self.clone() }
    }

    /// The same log, with entities of another stream.
    pub(super) fn on_stream(&self, name: &str) -> Self {
        Self { stream: stream(name), ..self.clone() }
    }

    pub(super) fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub(super) fn advance_secs(&self, secs: u64) {
        self.advance(Duration::from_secs(secs));
    }

    /// The log's time, asked of the log itself.
    pub(super) async fn now(&self) -> Timestamp {
        sound(self.log.which_gated(&self.consumer, &self.stream, &[]).await).1
    }

    /// An entity of the bench's stream.
    pub(super) fn entity(&self, entity: impl Into<Bytes>) -> Entity<'_> {
        Entity::new(self, GateKey { stream: self.stream.clone(), entity: entity.into() })
    }

    pub(super) async fn try_apply(&self, requests: &[Request]) -> Result<Answers, FailureLogError> {
        self.log.apply(&self.consumer, &self.settings, requests).await
    }

    pub(super) async fn apply(&self, requests: &[Request]) -> Answers {
        let answers = sound(self.try_apply(requests).await);
        assert_eq!(answers.answers.len(), requests.len(), "each request has one answer");
        answers
    }

    pub(super) async fn take_due(&self, limit: u32) -> DueGates {
        sound(self.log.take_due(&self.consumer, &self.settings, limit).await)
    }

    /// The entities whose gates the relay takes now.
    pub(super) async fn take_entities(&self, limit: u32) -> Vec<Bytes> {
        self.take_due(limit).await.taken.into_iter().map(|taken| taken.key.entity).collect()
    }

    /// What is there, without its age: a clock moves on between two looks.
    pub(super) async fn totals(&self) -> Totals {
        Totals { oldest_held: None, ..sound(self.log.totals(&self.consumer).await) }
    }

    pub(super) async fn oldest_held(&self) -> Option<Duration> {
        sound(self.log.totals(&self.consumer).await).oldest_held
    }

    pub(super) async fn record(&self) -> Option<StreamRecord> {
        sound(self.log.stream(&self.consumer, &self.stream).await)
    }

    pub(super) async fn try_take_over(
        &self,
        asked: &TakeOver,
    ) -> Result<(Option<StreamRecord>, StreamRecord), StreamRefusal> {
        sound(self.log.take_over(&self.consumer, &self.stream, asked).await)
    }

    /// Takes the bench's stream over from whatever generation it has, and returns the new one.
    pub(super) async fn take_over(&self) -> u64 {
        let seen_generation = self.record().await.map_or(0, |record| record.generation);
        match self.try_take_over(&asked(seen_generation)).await {
            Ok((_, record)) => record.generation,
            Err(refusal) => panic!("a takeover from the generation just read is refused: {refusal}"),
        }
    }

    pub(super) async fn entities(&self, after: Option<&Bytes>, limit: u32, paused_only: bool) -> Vec<Bytes> {
        sound(self.log.gated_entities(&self.consumer, &self.stream, after, limit, paused_only).await)
    }

    pub(super) async fn drop_tombstones(&self, retention: Option<Duration>, limit: u32) -> u64 {
        sound(self.log.drop_tombstones(&self.consumer, &self.stream, retention, limit).await)
    }
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").field("log", &self.log).field("clock", &self.clock).finish_non_exhaustive()
    }
}

/// A takeover from this generation of a stream whose broker tells nothing about it.
pub(super) fn asked(seen_generation: u64) -> TakeOver {
    TakeOver { seen_generation, identity: None, position: None, uncommitted_max: 10 }
}

pub(super) fn consumer(name: &str) -> ConsumerName {
    ConsumerName::new(name).unwrap_or_else(|error| panic!("{error}"))
}

pub(super) fn stream(name: &str) -> StreamName {
    StreamName::new(name).unwrap_or_else(|error| panic!("{error}"))
}

/// What the log returned; no rule makes it fail but those that say so.
pub(super) fn sound<T>(outcome: Result<T, FailureLogError>) -> T {
    outcome.unwrap_or_else(|error| panic!("the failure log failed: {error:?}"))
}
