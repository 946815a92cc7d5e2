//! How values are read from columns.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::kept::KeptFailure;
use crate::{
    AuditLine, Event, FailureLogError, GateKey, Headers, Index, StreamName, Timestamp,
    gate::{
        Audit, ClaimToken, Failure, Gate, GateSummary, LayoutRecord, OperatorRefusal, ParkCause, StreamRecord,
    },
};

/// A row of a database whose values are read by their columns' names.
pub(crate) trait Columns {
    /// A whole number, or null.
    fn maybe_int(&self, column: &str) -> Result<Option<i64>, FailureLogError>;
    /// A truth value.
    fn flag(&self, column: &str) -> Result<bool, FailureLogError>;
    /// Bytes, or null.
    fn maybe_bytes(&self, column: &str) -> Result<Option<&[u8]>, FailureLogError>;
    /// Text, or null.
    fn maybe_text(&self, column: &str) -> Result<Option<&str>, FailureLogError>;

    /// A whole number.
    fn int(&self, column: &str) -> Result<i64, FailureLogError> {
        self.maybe_int(column)?.ok_or_else(|| missing(column))
    }

    /// A count or a sum, which is never below zero.
    fn count(&self, column: &str) -> Result<u64, FailureLogError> {
        u64::try_from(self.int(column)?).map_err(|_| corrupt(format!("`{column}` is below zero")))
    }

    /// A small count.
    fn small(&self, column: &str) -> Result<u32, FailureLogError> {
        u32::try_from(self.int(column)?).map_err(|_| corrupt(format!("`{column}` is out of range")))
    }

    /// Text.
    fn text(&self, column: &str) -> Result<&str, FailureLogError> {
        self.maybe_text(column)?.ok_or_else(|| missing(column))
    }

    /// Bytes.
    fn bytes(&self, column: &str) -> Result<Bytes, FailureLogError> {
        self.maybe_bytes(column)?.map(Bytes::copy_from_slice).ok_or_else(|| missing(column))
    }

    /// Sixteen bytes, or null: an index, a digest or a token.
    fn sixteen(&self, column: &str) -> Result<Option<[u8; 16]>, FailureLogError> {
        let Some(bytes) = self.maybe_bytes(column)? else { return Ok(None) };
        let sixteen = bytes.try_into();
        sixteen.map(Some).map_err(|_| corrupt(format!("`{column}` has {} bytes", bytes.len())))
    }

    /// An index, or null.
    fn maybe_index(&self, column: &str) -> Result<Option<Index>, FailureLogError> {
        Ok(self.sixteen(column)?.map(Index::from_be_bytes))
    }

    /// A time, or null.
    fn maybe_time(&self, column: &str) -> Result<Option<Timestamp>, FailureLogError> {
        Ok(self.maybe_int(column)?.map(Timestamp::from_micros))
    }

    /// A stream's name.
    fn stream_name(&self, column: &str) -> Result<StreamName, FailureLogError> {
        StreamName::new(self.text(column)?).map_err(|error| corrupt(format!("a stream's name: {error}")))
    }

    /// The place in a batch that the row is about.
    fn place(&self, column: &str, length: usize) -> Result<usize, FailureLogError> {
        let place = usize::try_from(self.int(column)?).ok().filter(|place| *place < length);
        place.ok_or_else(|| corrupt("a row answers a question that was not asked"))
    }
}

/// The log has something that this program cannot have written.
pub(crate) fn corrupt(what: impl Into<String>) -> FailureLogError {
    FailureLogError::Corrupt { what: what.into() }
}

fn missing(column: &str) -> FailureLogError {
    corrupt(format!("`{column}` is null"))
}

fn failure(row: &impl Columns, column: &str) -> Result<Option<Failure>, FailureLogError> {
    let Some(kept) = row.maybe_text(column)? else { return Ok(None) };
    let kept: KeptFailure<'_> =
        serde_json::from_str(kept).map_err(|error| corrupt(format!("`{column}`: {error}")))?;
    let at = Timestamp::from_micros(kept.at);
    let (class, text) = (Arc::from(&*kept.class), Arc::from(&*kept.text));
    Ok(Some(Failure { at, attempt: kept.attempt, class, text }))
}

/// The gate in a row; none where the row was joined and there is no gate.
pub(crate) fn maybe_gate(row: &impl Columns) -> Result<Option<Gate>, FailureLogError> {
    let Some(version) = row.maybe_int("version")? else { return Ok(None) };
    let parked = match row.maybe_text("parked")? {
        None => None,
        Some(word) => Some(
            ParkCause::from_word(word)
                .ok_or_else(|| corrupt("a gate is parked for a cause that this program does not know"))?,
        ),
    };
    Ok(Some(Gate {
        resolved: row.maybe_index("resolved")?,
        head: row.maybe_index("head")?,
        released: row.maybe_index("released")?,
        attempts: row.small("attempts")?,
        due_at: row.maybe_time("due_at")?,
        claim: row.sixteen("claim")?.map(|token| ClaimToken::new(u128::from_be_bytes(token))),
        parked,
        run_was_lost: row.flag("run_was_lost")?,
        takes: row.small("takes")?,
        held_events: row.count("held_events")?,
        held_bytes: row.count("held_bytes")?,
        conflicts: row.small("conflicts")?,
        version: version.cast_unsigned(),
        since: Timestamp::from_micros(row.int("since")?),
        first_failure: failure(row, "first_failure")?,
        last_failure: failure(row, "last_failure")?,
    }))
}

/// The gate in a row that has one.
pub(crate) fn gate(row: &impl Columns) -> Result<Gate, FailureLogError> {
    maybe_gate(row)?.ok_or_else(|| corrupt("a gate has no version"))
}

/// An event of this stream and entity from its row.
pub(crate) fn event(
    row: &impl Columns,
    stream: &StreamName,
    entity: &Bytes,
) -> Result<Event, FailureLogError> {
    let index = row.maybe_index("idx")?.ok_or_else(|| corrupt("an event has no index"))?;
    let headers = row.maybe_bytes("headers")?.unwrap_or_default();
    let headers = postcard::from_bytes::<Headers>(headers)
        .map_err(|error| corrupt(format!("the headers of event {index} of stream {stream}: {error}")))?;
    let mut event = Event::builder(stream.clone(), index, entity.clone()).headers(headers);
    if let Some(payload) = row.maybe_bytes("payload")? {
        event = event.payload(Bytes::copy_from_slice(payload));
    }
    if let Some(id) = row.maybe_bytes("id")? {
        event = event.id(Bytes::copy_from_slice(id));
    }
    if let Some(event_type) = row.maybe_bytes("event_type")? {
        event = event.event_type(Bytes::copy_from_slice(event_type));
    }
    if let Some(nanos) = row.maybe_int("time")? {
        event = event.time(time(nanos));
    }
    Ok(event.build())
}

fn time(nanos: i64) -> SystemTime {
    let span = Duration::from_nanos(nanos.unsigned_abs());
    let told = if nanos < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    told.unwrap_or(UNIX_EPOCH)
}

/// A stream's record from its row; none while nobody has taken it over.
pub(crate) fn record(row: &impl Columns) -> Result<Option<StreamRecord>, FailureLogError> {
    if !row.flag("recorded")? {
        return Ok(None);
    }
    Ok(Some(StreamRecord {
        identity: row.maybe_bytes("identity")?.map(Bytes::copy_from_slice),
        generation: row.int("generation")?.cast_unsigned(),
        settled: row.maybe_index("settled")?,
        clean: row.flag("clean")?,
        uncommitted_max: row.int("uncommitted_max")?.cast_unsigned(),
    }))
}

/// A layout's record from its row, if there is one.
pub(crate) fn maybe_layout(row: Option<&impl Columns>) -> Result<Option<LayoutRecord>, FailureLogError> {
    let Some(row) = row else { return Ok(None) };
    let waiting = row.bytes("waiting")?;
    let (counts, rest) = waiting.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(corrupt("`waiting` is not made of numbers of four bytes"));
    }
    Ok(Some(LayoutRecord {
        identity: row.maybe_bytes("identity")?.map(Bytes::copy_from_slice),
        generation: row.int("generation")?.cast_unsigned(),
        admitted: row.small("admitted")?,
        waiting: counts.iter().map(|count| u32::from_be_bytes(*count)).collect(),
    }))
}

/// How a layout's record keeps the changes whose streams wait.
pub(crate) fn waiting_bytes(record: &LayoutRecord) -> Vec<u8> {
    record.waiting.iter().flat_map(|count| count.to_be_bytes()).collect()
}

/// What came of an operator's request.
pub(crate) fn outcome(row: &impl Columns) -> Result<Result<u64, OperatorRefusal>, FailureLogError> {
    let kept = row.text("outcome")?;
    serde_json::from_str(kept).map_err(|error| corrupt(format!("an outcome in the audit: {error}")))
}

fn summary(row: &impl Columns, column: &str) -> Result<Option<GateSummary>, FailureLogError> {
    let Some(kept) = row.maybe_text(column)? else { return Ok(None) };
    let summary = serde_json::from_str(kept);
    summary.map_err(|error| corrupt(format!("`{column}` in the audit: {error}")))
}

/// A line of the audit.
pub(crate) fn audit_line(row: &impl Columns) -> Result<AuditLine, FailureLogError> {
    /// The words that the protocol and the logs write.
    const ACTIONS: [&str; 14] = [
        "retry",
        "park",
        "skip",
        "discard",
        "edit",
        "pause",
        "resume",
        "void",
        "mirror",
        "not mirrored",
        "note",
        "ignore",
        "replay",
        "new stream",
    ];
    let word = row.text("action")?;
    let action = ACTIONS.into_iter().find(|action| *action == word);
    let audit = Audit {
        action: action.ok_or_else(|| corrupt("the audit has an action that this program does not know"))?,
        index: row.maybe_index("idx")?,
        by: row.text("actor")?.into(),
        why: row.text("why")?.into(),
        request_id: row.maybe_text("request_id")?.map(Into::into),
        outcome: outcome(row)?,
        before: summary(row, "before")?,
        after: summary(row, "after")?,
    };
    let key = GateKey { stream: row.stream_name("stream")?, entity: row.bytes("entity")? };
    Ok(AuditLine { at: Timestamp::from_micros(row.int("at")?), key, audit })
}
