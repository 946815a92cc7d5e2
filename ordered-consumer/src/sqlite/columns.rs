//! How values are kept in SQLite's columns, and read again; what they mean is said in `sql`.

use bytes::Bytes;
use sqlx::{Row, sqlite::SqliteRow};

use super::{errors::Trouble, statement::Statement};
pub(super) use crate::sql::kept::{amount, keep_headers, keep_outcome, keep_summary};
use crate::{
    Event, FailureLogError, Index, StreamName,
    gate::{Gate, LayoutRecord, OperatorRefusal, StreamRecord},
    sql::{
        columns::{self, Columns, corrupt},
        kept::{KeptEvent, KeptGate},
    },
};

/// A number that is only ever compared with itself keeps all its 64 bits, whatever SQLite takes for a sign.
pub(super) const fn bits(number: u64) -> i64 {
    number.cast_signed()
}

impl Columns for SqliteRow {
    fn maybe_int(&self, column: &str) -> Result<Option<i64>, FailureLogError> {
        self.try_get(column).map_err(|error| corrupt(error.to_string()))
    }

    fn flag(&self, column: &str) -> Result<bool, FailureLogError> {
        Ok(Columns::maybe_int(self, column)?.unwrap_or(0) != 0)
    }

    fn maybe_bytes(&self, column: &str) -> Result<Option<&[u8]>, FailureLogError> {
        self.try_get(column).map_err(|error| corrupt(error.to_string()))
    }

    fn maybe_text(&self, column: &str) -> Result<Option<&str>, FailureLogError> {
        self.try_get(column).map_err(|error| corrupt(error.to_string()))
    }
}

pub(super) fn int(row: &SqliteRow, column: &str) -> Result<i64, Trouble> {
    Ok(row.int(column)?)
}

pub(super) fn maybe_int(row: &SqliteRow, column: &str) -> Result<Option<i64>, Trouble> {
    Ok(row.maybe_int(column)?)
}

pub(super) fn flag(row: &SqliteRow, column: &str) -> Result<bool, Trouble> {
    Ok(row.flag(column)?)
}

pub(super) fn count(row: &SqliteRow, column: &str) -> Result<u64, Trouble> {
    Ok(row.count(column)?)
}

pub(super) fn bytes(row: &SqliteRow, column: &str) -> Result<Bytes, Trouble> {
    Ok(row.bytes(column)?)
}

pub(super) fn maybe_bytes(row: &SqliteRow, column: &str) -> Result<Option<Bytes>, Trouble> {
    Ok(row.maybe_bytes(column)?.map(Bytes::copy_from_slice))
}

pub(super) fn sixteen(row: &SqliteRow, column: &str) -> Result<Option<[u8; 16]>, Trouble> {
    Ok(row.sixteen(column)?)
}

pub(super) fn maybe_index(row: &SqliteRow, column: &str) -> Result<Option<Index>, Trouble> {
    Ok(row.maybe_index(column)?)
}

pub(super) fn stream_name(row: &SqliteRow, column: &str) -> Result<StreamName, Trouble> {
    Ok(row.stream_name(column)?)
}

/// How many values [`bind_gate`] adds.
pub(super) const GATE_COLUMNS: usize = 16;

/// Adds a gate's columns in the order of the table.
pub(super) fn bind_gate(statement: Statement, gate: &Gate) -> Result<Statement, FailureLogError> {
    let kept = KeptGate::new(gate)?;
    Ok(statement
        .maybe_blob(kept.resolved.as_ref().map(<[u8; 16]>::as_slice))
        .maybe_blob(kept.head.as_ref().map(<[u8; 16]>::as_slice))
        .maybe_blob(kept.released.as_ref().map(<[u8; 16]>::as_slice))
        .int(kept.attempts)
        .int(kept.due_at)
        .maybe_blob(kept.claim.as_ref().map(<[u8; 16]>::as_slice))
        .maybe_text(kept.parked.map(str::to_owned))
        .int(i64::from(kept.run_was_lost))
        .int(kept.takes)
        .int(kept.held_events)
        .int(kept.held_bytes)
        .int(kept.conflicts)
        .int(kept.version)
        .int(kept.since)
        .maybe_text(kept.first_failure)
        .maybe_text(kept.last_failure))
}

/// The gate in a row; none where the row was joined and there is no gate.
pub(super) fn maybe_gate(row: &SqliteRow) -> Result<Option<Gate>, Trouble> {
    Ok(columns::maybe_gate(row)?)
}

/// The gate in a row that has one.
pub(super) fn gate(row: &SqliteRow) -> Result<Gate, Trouble> {
    Ok(columns::gate(row)?)
}

/// How many values [`bind_event`] adds.
pub(super) const EVENT_COLUMNS: usize = 10;

/// Adds an event's columns in the order of the table.
pub(super) fn bind_event(
    statement: Statement,
    stream_id: i64,
    event: &Event,
) -> Result<Statement, FailureLogError> {
    let kept = KeptEvent::new(event)?;
    Ok(statement
        .int(stream_id)
        .blob(kept.entity)
        .blob(&kept.idx)
        .blob(&kept.digest)
        .int(kept.bytes)
        .int(kept.time)
        .maybe_blob(kept.id)
        .maybe_blob(kept.event_type)
        .blob(&kept.headers)
        .maybe_blob(kept.payload))
}

/// An event of this stream and entity from its row.
pub(super) fn event(row: &SqliteRow, stream: &StreamName, entity: &Bytes) -> Result<Event, Trouble> {
    Ok(columns::event(row, stream, entity)?)
}

/// A stream's record from its row; none while nobody has taken it over.
pub(super) fn record(row: &SqliteRow) -> Result<Option<StreamRecord>, Trouble> {
    Ok(columns::record(row)?)
}

/// A layout's record from its row, if there is one.
pub(super) fn maybe_layout(row: Option<&SqliteRow>) -> Result<Option<LayoutRecord>, Trouble> {
    Ok(columns::maybe_layout(row)?)
}

pub(super) fn outcome(row: &SqliteRow) -> Result<Result<u64, OperatorRefusal>, Trouble> {
    Ok(columns::outcome(row)?)
}
