//! Actions on one entity: each names what the operator saw.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{Operator, OperatorError, error::check_texts};
use crate::{
    Answers, Digest, Event, FailureLogError, GatedEntity, Headers, Index, Request, check_event,
    engine::life,
    gate::{Action, Guard, Input, Operation, Reply, Settings},
};

/// How often a call is made again whose outcome is not known.
const TRIES: u32 = 5;

impl Operator {
    /// Tries the head again now, with its attempts counted anew; a parked entity goes on.
    ///
    /// # Errors
    /// [`OperatorError::Refused`] when the entity is not what `seen` says any more, nothing is held, or its head runs
    /// at this moment; [`OperatorError::TextTooLong`] and [`TextWithNul`](OperatorError::TextWithNul) for texts that
    /// cannot be kept; [`OperatorError::FailureLog`].
    pub async fn retry(&self, seen: &GatedEntity, why: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Retry, why.as_ref()).await
    }

    /// Gives the head up: it is resolved without having been handled, and what waits behind it goes on.
    ///
    /// # Errors
    /// As [`retry`](Self::retry).
    pub async fn skip(&self, seen: &GatedEntity, why: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Skip, why.as_ref()).await
    }

    /// Gives up every held event up to and including this index: they are resolved without having been handled, and
    /// what waits behind them goes on. Events that have not come yet are not given up, whatever the index.
    ///
    /// # Errors
    /// As [`retry`](Self::retry), and when no held event lies at or before the index.
    pub async fn discard_through(
        &self,
        seen: &GatedEntity,
        index: Index,
        why: impl AsRef<str>,
    ) -> Result<(), OperatorError> {
        self.operate(seen, Action::DiscardThrough(index), why.as_ref()).await
    }

    /// Replaces the head's payload and headers, and retries it. The event as it first came is kept: see
    /// [`original`](Self::original). When that comes again, it is a duplicate all the same.
    ///
    /// # Errors
    /// As [`retry`](Self::retry), and [`OperatorError::EditedEvent`] when the event would be too large.
    pub async fn edit(
        &self,
        seen: &GatedEntity,
        payload: Option<Bytes>,
        headers: Headers,
        why: impl AsRef<str>,
    ) -> Result<(), OperatorError> {
        let (stream, entity) = (seen.key.stream.clone(), seen.key.entity.clone());
        let edited = Event::builder(stream, seen.gate.head.unwrap_or_default(), entity).build();
        check_event(&edited.edited(payload.clone(), headers.clone()), self.payload_bytes_max)?;
        self.operate(seen, Action::Edit { payload, headers }, why.as_ref()).await
    }

    /// Stops retrying until somebody retries, resumes or skips. A run under way is not stopped, and does not un-park.
    ///
    /// # Errors
    /// As [`retry`](Self::retry), but a run is no hindrance.
    pub async fn park(&self, seen: &GatedEntity, why: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Park, why.as_ref()).await
    }

    /// Holds whatever comes from now on, also for an entity of which nothing is held: [`look`](Self::look) at it first.
    /// A running consumer of an owned stream hears of a clear entity's pause within
    /// [`Timeouts::refresh`](crate::Timeouts::refresh).
    ///
    /// # Errors
    /// As [`park`](Self::park), but nothing needs to be held.
    pub async fn pause(&self, seen: &GatedEntity, why: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Pause, why.as_ref()).await
    }

    /// Lets a parked or paused entity go on where it stopped, without counting its attempts anew.
    ///
    /// # Errors
    /// As [`park`](Self::park), and when the entity is neither parked nor paused.
    pub async fn resume(&self, seen: &GatedEntity, why: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Resume, why.as_ref()).await
    }

    /// Gives up what is kept beside the entity's held events as conflicts: the one with this digest, or all of them at
    /// this index. What is logged there stays, and the entity stays parked: retry or resume it when it is right.
    ///
    /// # Errors
    /// As [`park`](Self::park), and when there is no such conflict.
    pub async fn void_conflict(
        &self,
        seen: &GatedEntity,
        (index, digest): (Index, Option<Digest>),
        why: impl AsRef<str>,
    ) -> Result<(), OperatorError> {
        self.operate(seen, Action::VoidConflict { index, digest }, why.as_ref()).await
    }

    /// Writes something down about the entity, and changes nothing, not even its version.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub async fn note(&self, seen: &GatedEntity, text: impl AsRef<str>) -> Result<(), OperatorError> {
        self.operate(seen, Action::Note, text.as_ref()).await
    }

    pub(super) async fn operate(
        &self,
        seen: &GatedEntity,
        action: Action,
        why: &str,
    ) -> Result<(), OperatorError> {
        let request = self.request(seen, action, why)?;
        let answers = self.ask(&[request]).await?;
        self.wake();
        match answers.answers.into_iter().next().map(|answer| answer.reply) {
            Some(Reply::Operated { .. }) => Ok(()),
            Some(Reply::OperatorRefused(refusal)) => Err(refusal.into()),
            Some(other) => Err(life::unexpected(&other).into()),
            None => Err(FailureLogError::Corrupt { what: "an empty answer".to_owned() }.into()),
        }
    }

    /// The action as the log is asked for it, with a name of its own.
    pub(super) fn request(
        &self,
        seen: &GatedEntity,
        action: Action,
        why: &str,
    ) -> Result<Request, OperatorError> {
        check_texts(&self.by, why)?;
        let operation = Operation {
            action,
            index: seen.gate.head,
            version: seen.gate.version,
            by: Arc::clone(&self.by),
            why: why.into(),
            request_id: Some(request_id()?.into()),
        };
        Ok(Request { key: seen.key.clone(), guard: Guard::Unguarded, input: Input::Operate(operation) })
    }

    /// Asks the log, again while it is not known what came of it: requests have names, so that each is done once.
    pub(super) async fn ask(&self, requests: &[Request]) -> Result<Answers, FailureLogError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.log.apply(&self.consumer, &settings(), requests).await {
                Err(error) if error.is_transient() && tried < TRIES => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                known => return known,
            }
        }
    }

    /// A consumer of this process looks at once; others look every so often.
    pub(super) fn wake(&self) {
        if let Some(due) = &self.due {
            due.hint(Duration::ZERO);
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

/// An operator's action releases what it frees in windows of this size; the consumer's own setting takes over later. So
/// it does with what an operator parks: a relay of a consumer without a mirror takes it once, and forgets it.
fn settings() -> Settings {
    Settings {
        release_window: 500,
        redelivery_timeout: Duration::from_secs(30),
        claim_timeout: Duration::from_secs(30),
        attempts_max: u32::MAX,
        held_events_max: u64::MAX,
        held_bytes_max: u64::MAX,
        mirror_parked: true,
    }
}
