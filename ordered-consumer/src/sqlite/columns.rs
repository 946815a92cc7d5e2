//! How values are kept in columns, and read again.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sqlx::{Row, sqlite::SqliteRow};

use super::{
    errors::{Trouble, corrupt},
    statement::Statement,
};
use crate::{
    Event, FailureLogError, Headers, Index, StreamName, Timestamp,
    gate::{ClaimToken, Failure, Gate, GateSummary, OperatorRefusal, ParkCause, StreamRecord},
};

/// A number that is only ever compared with itself keeps all its 64 bits, whatever SQLite takes for a sign.
pub(super) const fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// A number that SQLite orders or sums: what does not fit is refused, for SQLite would make a fraction of it.
pub(super) fn amount(number: u64) -> Result<i64, FailureLogError> {
    i64::try_from(number).map_err(|_| FailureLogError::Misused {
        what: "a number above 9,223,372,036,854,775,807 cannot be kept",
    })
}

pub(super) fn int(row: &SqliteRow, column: &str) -> Result<i64, Trouble> {
    Ok(row.try_get(column)?)
}

pub(super) fn maybe_int(row: &SqliteRow, column: &str) -> Result<Option<i64>, Trouble> {
    Ok(row.try_get(column)?)
}

pub(super) fn flag(row: &SqliteRow, column: &str) -> Result<bool, Trouble> {
    Ok(int(row, column)? != 0)
}

/// A count or a sum, which is never below zero.
pub(super) fn count(row: &SqliteRow, column: &str) -> Result<u64, Trouble> {
    u64::try_from(int(row, column)?).map_err(|_| corrupt(format!("`{column}` is below zero")).into())
}

fn small(row: &SqliteRow, column: &str) -> Result<u32, Trouble> {
    u32::try_from(int(row, column)?).map_err(|_| corrupt(format!("`{column}` is out of range")).into())
}

pub(super) fn text(row: &SqliteRow, column: &str) -> Result<String, Trouble> {
    Ok(row.try_get(column)?)
}

pub(super) fn bytes(row: &SqliteRow, column: &str) -> Result<Bytes, Trouble> {
    Ok(row.try_get::<Vec<u8>, _>(column)?.into())
}

pub(super) fn maybe_bytes(row: &SqliteRow, column: &str) -> Result<Option<Bytes>, Trouble> {
    Ok(row.try_get::<Option<Vec<u8>>, _>(column)?.map(Bytes::from))
}

/// Sixteen bytes: an index, a digest or a token.
pub(super) fn sixteen(row: &SqliteRow, column: &str) -> Result<Option<[u8; 16]>, Trouble> {
    let Some(bytes) = row.try_get::<Option<&[u8]>, _>(column)? else { return Ok(None) };
    let sixteen = bytes.try_into().map_err(|_| corrupt(format!("`{column}` has {} bytes", bytes.len())))?;
    Ok(Some(sixteen))
}

pub(super) fn maybe_index(row: &SqliteRow, column: &str) -> Result<Option<Index>, Trouble> {
    Ok(sixteen(row, column)?.map(Index::from_be_bytes))
}

pub(super) fn stream_name(row: &SqliteRow, column: &str) -> Result<StreamName, Trouble> {
    let name: &str = row.try_get(column)?;
    StreamName::new(name).map_err(|error| corrupt(format!("a stream's name: {error}")).into())
}

/// A failure as it is kept.
#[derive(Serialize, Deserialize)]
struct KeptFailure<'a> {
    at: i64,
    attempt: u32,
    #[serde(borrow)]
    class: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    text: std::borrow::Cow<'a, str>,
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

fn failure(row: &SqliteRow, column: &str) -> Result<Option<Failure>, Trouble> {
    let Some(kept) = row.try_get::<Option<&str>, _>(column)? else { return Ok(None) };
    let kept: KeptFailure<'_> =
        serde_json::from_str(kept).map_err(|error| corrupt(format!("`{column}`: {error}")))?;
    let at = Timestamp::from_micros(kept.at);
    let (class, text) = (Arc::from(&*kept.class), Arc::from(&*kept.text));
    Ok(Some(Failure { at, attempt: kept.attempt, class, text }))
}

fn unkept(what: &'static str, error: impl Into<crate::BoxError>) -> FailureLogError {
    FailureLogError::Refused { doing: what, source: error.into() }
}

/// How many values [`bind_gate`] adds.
pub(super) const GATE_COLUMNS: usize = 16;

/// Adds a gate's columns in the order of the table.
pub(super) fn bind_gate(statement: Statement, gate: &Gate) -> Result<Statement, FailureLogError> {
    let index = |index: Option<Index>| index.map(Index::to_be_bytes);
    let claim = gate.claim.map(|claim| claim.get().to_be_bytes());
    Ok(statement
        .maybe_blob(index(gate.resolved).as_ref().map(<[u8; 16]>::as_slice))
        .maybe_blob(index(gate.head).as_ref().map(<[u8; 16]>::as_slice))
        .maybe_blob(index(gate.released).as_ref().map(<[u8; 16]>::as_slice))
        .int(i64::from(gate.attempts))
        .int(gate.due_at.map(Timestamp::as_micros))
        .maybe_blob(claim.as_ref().map(<[u8; 16]>::as_slice))
        .maybe_text(gate.parked.map(|cause| cause.as_str().to_owned()))
        .int(i64::from(gate.run_was_lost))
        .int(i64::from(gate.takes))
        .int(amount(gate.held_events)?)
        .int(amount(gate.held_bytes)?)
        .int(i64::from(gate.conflicts))
        .int(bits(gate.version))
        .int(gate.since.as_micros())
        .maybe_text(keep_failure(gate.first_failure.as_ref())?)
        .maybe_text(keep_failure(gate.last_failure.as_ref())?))
}

/// The gate in a row; none where the row was joined and there is no gate.
pub(super) fn maybe_gate(row: &SqliteRow) -> Result<Option<Gate>, Trouble> {
    let Some(version) = maybe_int(row, "version")? else { return Ok(None) };
    let parked = match row.try_get::<Option<&str>, _>("parked")? {
        None => None,
        Some(word) => {
            let cause = ParkCause::from_word(word);
            Some(
                cause
                    .ok_or_else(|| corrupt("a gate is parked for a cause that this program does not know"))?,
            )
        }
    };
    Ok(Some(Gate {
        resolved: maybe_index(row, "resolved")?,
        head: maybe_index(row, "head")?,
        released: maybe_index(row, "released")?,
        attempts: small(row, "attempts")?,
        due_at: maybe_int(row, "due_at")?.map(Timestamp::from_micros),
        claim: sixteen(row, "claim")?.map(|token| ClaimToken::new(u128::from_be_bytes(token))),
        parked,
        run_was_lost: flag(row, "run_was_lost")?,
        takes: small(row, "takes")?,
        held_events: count(row, "held_events")?,
        held_bytes: count(row, "held_bytes")?,
        conflicts: small(row, "conflicts")?,
        version: version.cast_unsigned(),
        since: Timestamp::from_micros(int(row, "since")?),
        first_failure: failure(row, "first_failure")?,
        last_failure: failure(row, "last_failure")?,
    }))
}

/// The gate in a row that has one.
pub(super) fn gate(row: &SqliteRow) -> Result<Gate, Trouble> {
    maybe_gate(row)?.ok_or_else(|| corrupt("a gate has no version").into())
}

/// How many values [`bind_event`] adds.
pub(super) const EVENT_COLUMNS: usize = 10;

/// Adds an event's columns in the order of the table.
pub(super) fn bind_event(
    statement: Statement,
    stream_id: i64,
    event: &Event,
) -> Result<Statement, FailureLogError> {
    Ok(statement
        .int(stream_id)
        .blob(event.entity())
        .blob(&event.index().to_be_bytes())
        .blob(&event.digest().to_bytes())
        .int(amount(event.size() as u64)?)
        .int(event.time().map(nanos))
        .maybe_blob(event.id().map(AsRef::as_ref))
        .maybe_blob(event.event_type().map(AsRef::as_ref))
        .blob(&keep_headers(event.headers())?)
        .maybe_blob(event.payload().map(AsRef::as_ref)))
}

/// An event of this stream and entity from its row.
pub(super) fn event(row: &SqliteRow, stream: &StreamName, entity: &Bytes) -> Result<Event, Trouble> {
    let index = maybe_index(row, "idx")?.ok_or_else(|| corrupt("an event has no index"))?;
    let headers: &[u8] = row.try_get("headers")?;
    let headers = postcard::from_bytes::<Headers>(headers)
        .map_err(|error| corrupt(format!("the headers of event {index} of stream {stream}: {error}")))?;
    let mut event = Event::builder(stream.clone(), index, entity.clone()).headers(headers);
    if let Some(id) = maybe_bytes(row, "id")? {
        event = event.id(id);
    }
    if let Some(event_type) = maybe_bytes(row, "event_type")? {
        event = event.event_type(event_type);
    }
    if let Some(payload) = maybe_bytes(row, "payload")? {
        event = event.payload(payload);
    }
    if let Some(nanos) = maybe_int(row, "time")? {
        event = event.time(time(nanos));
    }
    Ok(event.build())
}

pub(super) fn keep_headers(headers: &Headers) -> Result<Vec<u8>, FailureLogError> {
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

fn time(nanos: i64) -> SystemTime {
    let span = Duration::from_nanos(nanos.unsigned_abs());
    let told = if nanos < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    told.unwrap_or(UNIX_EPOCH)
}

/// A stream's record from its row; none while nobody has taken it over.
pub(super) fn record(row: &SqliteRow) -> Result<Option<StreamRecord>, Trouble> {
    if maybe_int(row, "recorded")?.unwrap_or(0) == 0 {
        return Ok(None);
    }
    Ok(Some(StreamRecord {
        identity: maybe_bytes(row, "identity")?,
        generation: int(row, "generation")?.cast_unsigned(),
        settled: maybe_index(row, "settled")?,
        clean: flag(row, "clean")?,
        uncommitted_max: int(row, "uncommitted_max")?.cast_unsigned(),
    }))
}

/// An operator's outcome as it is kept.
pub(super) fn keep_outcome(outcome: Result<u64, OperatorRefusal>) -> Result<String, FailureLogError> {
    serde_json::to_string(&outcome).map_err(|error| unkept("an outcome", error))
}

pub(super) fn outcome(row: &SqliteRow) -> Result<Result<u64, OperatorRefusal>, Trouble> {
    let kept: &str = row.try_get("outcome")?;
    serde_json::from_str(kept).map_err(|error| corrupt(format!("an outcome in the audit: {error}")).into())
}

/// What an operator found or left behind, as it is kept.
pub(super) fn keep_summary(summary: Option<GateSummary>) -> Result<Option<String>, FailureLogError> {
    let kept = summary.as_ref().map(serde_json::to_string).transpose();
    kept.map_err(|error| unkept("a gate's summary", error))
}

pub(super) fn summary(row: &SqliteRow, column: &str) -> Result<Option<GateSummary>, Trouble> {
    let Some(kept) = row.try_get::<Option<&str>, _>(column)? else { return Ok(None) };
    let summary = serde_json::from_str(kept);
    summary.map_err(|error| corrupt(format!("`{column}` in the audit: {error}")).into())
}
