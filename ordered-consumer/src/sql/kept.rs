//! How values are kept in columns.

use std::{
    borrow::Cow,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};

use crate::{
    Event, FailureLogError, Headers, Index, Timestamp,
    gate::{Failure, Gate, GateSummary, OperatorRefusal},
};

/// A number that databases order or sum, whose whole numbers end at 2^63 - 1: what does not fit is refused.
pub(crate) fn amount(number: u64) -> Result<i64, FailureLogError> {
    i64::try_from(number).map_err(|_| FailureLogError::Misused {
        what: "a number above 9,223,372,036,854,775,807 cannot be kept",
    })
}

/// A failure as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptFailure<'a> {
    pub(super) at: i64,
    pub(super) attempt: u32,
    #[serde(borrow)]
    pub(super) class: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) text: Cow<'a, str>,
}

fn keep_failure(failure: Option<&Failure>) -> Result<Option<String>, FailureLogError> {
    let Some(Failure { at, attempt, class, text }) = failure else { return Ok(None) };
    let kept = KeptFailure {
        at: at.as_micros(),
        attempt: *attempt,
        class: class.as_ref().into(),
        text: text.as_ref().into(),
    };
    serde_json::to_string(&kept).map(Some).map_err(|error| unkept("a failure", error))
}

fn unkept(what: &'static str, error: impl Into<crate::BoxError>) -> FailureLogError {
    FailureLogError::Refused { doing: what, source: error.into() }
}

/// A gate's columns.
pub(crate) struct KeptGate {
    pub(crate) resolved: Option<[u8; 16]>,
    pub(crate) head: Option<[u8; 16]>,
    pub(crate) released: Option<[u8; 16]>,
    pub(crate) attempts: i64,
    pub(crate) due_at: Option<i64>,
    pub(crate) claim: Option<[u8; 16]>,
    pub(crate) parked: Option<&'static str>,
    pub(crate) run_was_lost: bool,
    pub(crate) takes: i64,
    pub(crate) held_events: i64,
    pub(crate) held_bytes: i64,
    pub(crate) conflicts: i64,
    pub(crate) version: i64,
    pub(crate) since: i64,
    pub(crate) first_failure: Option<String>,
    pub(crate) last_failure: Option<String>,
}

impl KeptGate {
    pub(crate) fn new(gate: &Gate) -> Result<Self, FailureLogError> {
        let index = |index: Option<Index>| index.map(Index::to_be_bytes);
        Ok(Self {
            resolved: index(gate.resolved),
            head: index(gate.head),
            released: index(gate.released),
            attempts: i64::from(gate.attempts),
            due_at: gate.due_at.map(Timestamp::as_micros),
            claim: gate.claim.map(|claim| claim.get().to_be_bytes()),
            parked: gate.parked.map(crate::ParkCause::as_str),
            run_was_lost: gate.run_was_lost,
            takes: i64::from(gate.takes),
            held_events: amount(gate.held_events)?,
            held_bytes: amount(gate.held_bytes)?,
            conflicts: i64::from(gate.conflicts),
            // Only ever compared with itself, so that all its 64 bits are kept, whatever is taken for a sign.
            version: gate.version.cast_signed(),
            since: gate.since.as_micros(),
            first_failure: keep_failure(gate.first_failure.as_ref())?,
            last_failure: keep_failure(gate.last_failure.as_ref())?,
        })
    }
}

/// An event's columns.
pub(crate) struct KeptEvent<'a> {
    pub(crate) entity: &'a [u8],
    pub(crate) idx: [u8; 16],
    pub(crate) digest: [u8; 16],
    pub(crate) bytes: i64,
    pub(crate) time: Option<i64>,
    pub(crate) id: Option<&'a [u8]>,
    pub(crate) event_type: Option<&'a [u8]>,
    pub(crate) headers: Vec<u8>,
    pub(crate) payload: Option<&'a [u8]>,
}

impl<'a> KeptEvent<'a> {
    pub(crate) fn new(event: &'a Event) -> Result<Self, FailureLogError> {
        Ok(Self {
            entity: event.entity(),
            idx: event.index().to_be_bytes(),
            digest: event.digest().to_bytes(),
            bytes: amount(event.size() as u64)?,
            time: event.time().map(nanos),
            id: event.id().map(AsRef::as_ref),
            event_type: event.event_type().map(AsRef::as_ref),
            headers: keep_headers(event.headers())?,
            payload: event.payload().map(AsRef::as_ref),
        })
    }
}

pub(crate) fn keep_headers(headers: &Headers) -> Result<Vec<u8>, FailureLogError> {
    postcard::to_stdvec(headers).map_err(|error| unkept("headers", error))
}

/// Nanoseconds since 1970; times before 1677 and after 2262 become the first and the last that can be told.
fn nanos(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |before| before.saturating_neg())
        }
    }
}

/// An operator's outcome as it is kept.
pub(crate) fn keep_outcome(outcome: Result<u64, OperatorRefusal>) -> Result<String, FailureLogError> {
    serde_json::to_string(&outcome).map_err(|error| unkept("an outcome", error))
}

/// What an operator found or left behind, as it is kept.
pub(crate) fn keep_summary(summary: Option<GateSummary>) -> Result<Option<String>, FailureLogError> {
    let kept = summary.as_ref().map(serde_json::to_string).transpose();
    kept.map_err(|error| unkept("a gate's summary", error))
}
