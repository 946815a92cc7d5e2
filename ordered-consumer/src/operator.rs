//! What operators can ask and do.

mod act;
mod error;
mod mirror;
mod pace;
mod retry_all;
mod sample;

pub use error::{BY_BYTES_MAX, OperatorError, WHY_BYTES_MAX};
pub use pace::Pace;
pub use retry_all::{RetryAllEnd, RetryAllPreview, RetryAllProgress, RetryAllReport};

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    AuditLine, ConsumerName, CountBy, Counts, Digest, Event, FailureLog, GateKey, GateQuery, GatedEntity,
    Index, Limits, StreamDecision, StreamName, Totals,
    engine::due::Due,
    explain,
    gate::{Gate, State},
};

/// Bytes of events that one look brings, beyond the first of them.
const LOOK_BYTES_MAX: u64 = 1 << 20;

/// All there is to know about one gated entity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// Its gate, with the head's first and last failure.
    pub entity: GatedEntity,
    /// Its head and the first of what waits behind it, as the log has them; at most 100 events.
    pub held: Vec<Event>,
    /// The head as it first came, if an operator has edited it since.
    pub original: Option<Event>,
    /// The first of what is kept beside the log as conflicts; at most 100 events.
    pub conflicts: Vec<Event>,
    /// What was done to it, latest first; at most 100 lines.
    pub audit: Vec<AuditLine>,
}

/// An operator of one consumer. Every action names what the operator saw, and is refused in plain words when that has
/// changed; every action, refused or not, leaves a line in the audit.
///
/// It works on the failure log alone: the consumer may run in this process, in others, or nowhere. What is done takes
/// effect in running consumers within [`Timeouts::poll`](crate::Timeouts::poll), and pauses of entities that are clear
/// within [`Timeouts::refresh`](crate::Timeouts::refresh).
///
/// Every call may be dropped: an action is then done as a whole or not at all.
#[derive(Clone, Debug)]
pub struct Operator {
    log: Arc<dyn FailureLog>,
    consumer: ConsumerName,
    by: Arc<str>,
    payload_bytes_max: usize,
    due: Option<Arc<Due>>,
}

impl Operator {
    /// An operator of the consumer with this name; `by` is who, for the audit: at most [`BY_BYTES_MAX`] bytes, or every
    /// action fails. The consumer may run elsewhere.
    pub fn new(log: Arc<dyn FailureLog>, consumer: ConsumerName, by: impl AsRef<str>) -> Self {
        let payload_bytes_max = Limits::default().payload_bytes_max;
        Self { log, consumer, by: by.as_ref().into(), payload_bytes_max, due: None }
    }

    /// The same operator, whose edits may be so long: what the consumer's
    /// [`Limits::payload_bytes_max`](crate::Limits::payload_bytes_max) says, where that is not the usual.
    #[must_use]
    pub fn with_payload_bytes_max(self, payload_bytes_max: usize) -> Self {
        Self { payload_bytes_max, ..self }
    }

    pub(crate) fn waking(mut self, due: Arc<Due>) -> Self {
        self.due = Some(due);
        self
    }

    /// Gated entities, in the order of stream and entity; page with [`GateQuery::after`].
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn list(&self, query: &GateQuery) -> Result<Vec<GatedEntity>, OperatorError> {
        Ok(self.log.list(&self.consumer, query).await?)
    }

    /// How many gates match, and how many events they hold, by what they have in common. It may read every gate that
    /// matches.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn counts(&self, query: &GateQuery, by: CountBy) -> Result<Counts, OperatorError> {
        Ok(self.log.counts(&self.consumer, query, by).await?)
    }

    /// The entity as it is now, to act on: one without a gate has version 0 and nothing held.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn look(&self, key: &GateKey) -> Result<GatedEntity, OperatorError> {
        for state in [None, Some(State::Cleared)] {
            if let Some(found) = self.gates_of(&key.entity, Some(&key.stream), state).await?.pop() {
                return Ok(found);
            }
        }
        let (_, now) = self.log.which_gated(&self.consumer, &key.stream, &[]).await?;
        Ok(GatedEntity { key: key.clone(), gate: Gate::default(), now })
    }

    /// One gated entity: its gate, what is held, what is kept beside it, and what was done to it. None: it is clear,
    /// and no conflict of it is left.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn inspect(&self, key: &GateKey) -> Result<Option<Inspection>, OperatorError> {
        let entity = self.look(key).await?;
        if entity.gate.is_cleared() && entity.gate.conflicts == 0 {
            return Ok(None);
        }
        let range = (Index::MIN, Index::MAX);
        let held = self.log.held_events(&self.consumer, key, range, 100, LOOK_BYTES_MAX).await?;
        let original = match entity.gate.head {
            Some(head) => self.log.original(&self.consumer, key, head).await?,
            None => None,
        };
        let conflicts = match entity.gate.conflicts {
            0 => Vec::new(),
            _ => self.conflicts(key, None, 100).await?,
        };
        let audit = self.log.audit(&self.consumer, Some(key), 100).await?;
        Ok(Some(Inspection { entity, held, original, conflicts, audit }))
    }

    /// Events that are kept beside the entity's held ones because another one was logged at their index: in the order
    /// of index and digest, after `after`; at most `limit`, and not more than a mebibyte beyond the first.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn conflicts(
        &self,
        key: &GateKey,
        after: Option<(Index, Digest)>,
        limit: u32,
    ) -> Result<Vec<Event>, OperatorError> {
        Ok(self.log.conflicts(&self.consumer, key, after, limit, LOOK_BYTES_MAX).await?)
    }

    /// An event as it first came, if an operator has edited it since. It can be read for as long as the event is held,
    /// and afterwards for as long as the audit is kept.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn original(&self, key: &GateKey, index: Index) -> Result<Option<Event>, OperatorError> {
        Ok(self.log.original(&self.consumer, key, index).await?)
    }

    /// How much the consumer has in the log.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn totals(&self) -> Result<Totals, OperatorError> {
        Ok(self.log.totals(&self.consumer).await?)
    }

    /// Says in a sentence for each stream what is the matter with an entity: what failed, when it is tried next, how
    /// many events wait. The entity itself is not repeated.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn explain(&self, entity: impl Into<Bytes>) -> Result<String, OperatorError> {
        let gates = self.gates_of(&entity.into(), None, None).await?;
        if gates.is_empty() {
            return Ok(format!(
                "Consumer {}: nothing is held for the entity; its events flow.",
                self.consumer
            ));
        }
        let sentences: Vec<String> =
            gates.iter().map(|gate| explain::explain(&self.consumer, gate)).collect();
        Ok(sentences.join("\n"))
    }

    async fn gates_of(
        &self,
        entity: &Bytes,
        stream: Option<&StreamName>,
        state: Option<State>,
    ) -> Result<Vec<GatedEntity>, OperatorError> {
        let (entity, stream) = (Some(entity.clone()), stream.cloned());
        let query = GateQuery { stream, entity, state, limit: 1_000, ..GateQuery::default() };
        Ok(self.log.list(&self.consumer, &query).await?)
    }

    /// Decides about a stream that has stopped because it is not what it was. Restart its consumer afterwards.
    ///
    /// # Errors
    /// [`OperatorError::TextTooLong`], [`OperatorError::TextWithNul`], [`OperatorError::FailureLog`].
    pub async fn decide_stream(
        &self,
        stream: &StreamName,
        decision: StreamDecision,
        why: impl AsRef<str>,
    ) -> Result<(), OperatorError> {
        let why = why.as_ref();
        error::check_texts(&self.by, why)?;
        Ok(self.log.decide_stream(&self.consumer, stream, decision, &self.by, why).await?)
    }

    /// The audit of one entity, or of the whole consumer: the latest lines, latest first.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn audit(&self, key: Option<&GateKey>, limit: u32) -> Result<Vec<AuditLine>, OperatorError> {
        Ok(self.log.audit(&self.consumer, key, limit).await?)
    }
}
