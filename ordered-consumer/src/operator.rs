//! What operators can ask and do.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use crate::{
    AuditLine, ConsumerName, Event, FailureLog, FailureLogError, GateKey, GateQuery, GatedEntity, Index,
    Request, StreamDecision, StreamName, Totals,
    engine::{due::Due, life},
    explain,
    gate::{Action, Guard, Input, Operation, OperatorRefusal, Reply, Settings},
};

/// How often a call is made again whose outcome is not known.
const TRIES: u32 = 5;

/// Why an operator's call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// The action was refused, and nothing was changed.
    #[error("refused: {0}")]
    Refused(#[from] OperatorRefusal),
    /// The failure log could not be asked.
    #[error("the failure log could not be asked")]
    FailureLog(#[from] FailureLogError),
}

/// All there is to know about one gated entity.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// Its gate.
    pub entity: GatedEntity,
    /// Its head and the first of what waits behind it, as the log has them; at most 100 events.
    pub held: Vec<Event>,
    /// What was done to it, latest first; at most 100 lines.
    pub audit: Vec<AuditLine>,
}

/// An operator of one consumer. Every action names what the operator saw, and is refused in plain words when that has
/// changed; every action, refused or not, leaves a line in the audit.
#[derive(Clone, Debug)]
pub struct Operator {
    log: Arc<dyn FailureLog>,
    consumer: ConsumerName,
    by: Arc<str>,
    due: Option<Arc<Due>>,
}

impl Operator {
    /// An operator of the consumer with this name; `by` is who, for the audit. The consumer may run elsewhere.
    pub fn new(log: Arc<dyn FailureLog>, consumer: ConsumerName, by: impl AsRef<str>) -> Self {
        Self { log, consumer, by: by.as_ref().into(), due: None }
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

    /// One gated entity: its gate, what is held, and what was done to it. None: it is clear.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn inspect(&self, key: &GateKey) -> Result<Option<Inspection>, OperatorError> {
        let Some(entity) = self.gates_of(&key.entity, Some(&key.stream)).await?.into_iter().next() else {
            return Ok(None);
        };
        let range = (Index::MIN, Index::MAX);
        let held = self.log.held_events(&self.consumer, key, range, 100, 1 << 20).await?;
        let audit = self.log.audit(&self.consumer, Some(key), 100).await?;
        Ok(Some(Inspection { entity, held, audit }))
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
        let gates = self.gates_of(&entity.into(), None).await?;
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
    ) -> Result<Vec<GatedEntity>, OperatorError> {
        let (entity, stream) = (Some(entity.clone()), stream.cloned());
        let query = GateQuery { stream, entity, limit: 1_000, ..GateQuery::default() };
        Ok(self.log.list(&self.consumer, &query).await?)
    }

    /// Tries the head again now, with its attempts counted anew; a parked entity goes on.
    ///
    /// # Errors
    /// [`OperatorError::Refused`] when the entity is not what `seen` says any more, or its head runs at this moment.
    pub async fn retry(&self, seen: &GatedEntity, why: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Retry, why.as_ref()).await?;
        if let Some(due) = &self.due {
            due.hint(Duration::ZERO);
        }
        Ok(())
    }

    /// Gives the head up: it is resolved without having been handled, and what waits behind it goes on.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    pub async fn skip(&self, seen: &GatedEntity, why: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Skip, why.as_ref()).await?;
        if let Some(due) = &self.due {
            due.hint(Duration::ZERO);
        }
        Ok(())
    }

    /// Stops retrying until somebody retries or skips. A run under way is not stopped, and does not un-park.
    ///
    /// # Errors
    /// [`OperatorError::Refused`] when the entity is not what `seen` says any more.
    pub async fn park(&self, seen: &GatedEntity, why: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Park, why.as_ref()).await
    }

    /// Decides about a stream that has stopped because it is not what it was. Restart its consumer afterwards.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn decide_stream(
        &self,
        stream: &StreamName,
        decision: StreamDecision,
        why: impl AsRef<str>,
    ) -> Result<(), OperatorError> {
        Ok(self.log.decide_stream(&self.consumer, stream, decision, &self.by, why.as_ref()).await?)
    }

    /// The audit of one entity, or of the whole consumer: the latest lines, latest first.
    ///
    /// # Errors
    /// [`OperatorError::FailureLog`].
    pub async fn audit(&self, key: Option<&GateKey>, limit: u32) -> Result<Vec<AuditLine>, OperatorError> {
        Ok(self.log.audit(&self.consumer, key, limit).await?)
    }

    async fn operate(&self, seen: &GatedEntity, action: Action, why: &str) -> Result<(), OperatorError> {
        let operation = Operation {
            action,
            index: seen.gate.head,
            version: seen.gate.version,
            by: Arc::clone(&self.by),
            why: why.into(),
            request_id: Some(request_id()?.into()),
        };
        let request =
            Request { key: seen.key.clone(), guard: Guard::Unguarded, input: Input::Operate(operation) };
        let mut tried = 0;
        let answers = loop {
            tried += 1;
            let applied = self.log.apply(&self.consumer, &settings(), std::slice::from_ref(&request)).await;
            match applied {
                // The request has an id, so asking again finds out what came of it.
                Err(error) if error.is_transient() && tried < TRIES => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                known => break known?,
            }
        };
        match answers.answers.into_iter().next().map(|answer| answer.reply) {
            Some(Reply::Operated { .. }) => Ok(()),
            Some(Reply::OperatorRefused(refusal)) => Err(refusal.into()),
            Some(other) => Err(life::unexpected(&other).into()),
            None => Err(FailureLogError::Corrupt { what: "an empty answer".to_owned() }.into()),
        }
    }
}

/// A name that no other request has.
fn request_id() -> Result<String, FailureLogError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| FailureLogError::Unavailable {
        doing: "drawing a random number for a request's id",
        source: error.into(),
    })?;
    Ok(format!("{:032x}", u128::from_be_bytes(random)))
}

/// An operator's action releases what it frees in windows of this size; the consumer's own setting takes over later.
fn settings() -> Settings {
    Settings {
        release_window: 500,
        redelivery_timeout: Duration::from_secs(30),
        claim_timeout: Duration::from_secs(30),
        attempts_max: u32::MAX,
        held_events_max: u64::MAX,
        held_bytes_max: u64::MAX,
    }
}
