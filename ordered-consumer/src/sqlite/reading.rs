//! What is only read: events on their way out, gates and the audit for people, totals.

use std::cmp::Ordering;

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;

use super::{
    columns::{bytes, count, event, gate, int, maybe_index, maybe_int, outcome, stream_name, text},
    errors::{Trouble, corrupt},
    load::{position, position_of},
    statement::Statement,
};
use crate::{
    AuditLine, Event, FailureLogError, GateKey, GateQuery, GatedEntity, Index, StreamName, Timestamp, Totals,
    gate::{Audit, State},
};

pub(super) fn find_held(
    stream_id: i64,
    entity: &Bytes,
    (from, through): (Index, Index),
    limit: u32,
    bytes_max: u64,
) -> Statement {
    Statement::new(include_str!("sql/held_events.sql"))
        .int(stream_id)
        .blob(entity)
        .blob(&from.to_be_bytes())
        .blob(&through.to_be_bytes())
        .int(i64::from(limit))
        .int(i64::try_from(bytes_max).unwrap_or(i64::MAX))
}

pub(super) fn held(rows: &[SqliteRow], key: &GateKey) -> Result<Vec<Event>, Trouble> {
    rows.iter().map(|row| event(row, &key.stream, &key.entity)).collect()
}

pub(super) fn find_entities(
    stream_id: i64,
    after: Option<&Bytes>,
    limit: u32,
    paused_only: bool,
) -> Statement {
    let template = if paused_only {
        include_str!("sql/paused_entities.sql")
    } else {
        include_str!("sql/gated_entities.sql")
    };
    // No entity is empty, so every one of them comes after the empty one.
    let after = after.map_or(&[][..], |after| after);
    Statement::new(template).int(stream_id).blob(after).int(i64::from(limit))
}

pub(super) fn entities(rows: &[SqliteRow]) -> Result<Vec<Bytes>, Trouble> {
    rows.iter().map(|row| bytes(row, "entity")).collect()
}

/// How many values one entity of [`find_gated`] takes.
pub(super) const GATED_WIDTH: usize = 2;

pub(super) fn find_gated(
    consumer_id: i64,
    stream: &StreamName,
    entities: &[Bytes],
) -> Result<Statement, FailureLogError> {
    let mut statement = Statement::list(include_str!("sql/which_gated.sql"), GATED_WIDTH);
    for (at, entity) in entities.iter().enumerate() {
        statement = statement.int(position(at)?).blob(entity).end_row();
    }
    Ok(statement.end_rows().int(consumer_id).text(stream.as_str()))
}

pub(super) fn gated(rows: &[SqliteRow], asked: usize) -> Result<Vec<bool>, Trouble> {
    let mut gated = vec![false; asked];
    for row in rows {
        let at = position_of(row, asked)?;
        if let Some(gated) = gated.get_mut(at) {
            *gated = true;
        }
    }
    Ok(gated)
}

/// Which streams a page of gates is taken from.
pub(super) enum Part<'a> {
    /// This one, after this entity.
    Stream(&'a StreamName, Option<&'a Bytes>),
    /// All after this one, in the order of their names.
    StreamsAfter(Option<&'a StreamName>),
}

/// From where a page of gates must be taken: a part of one stream, then whole streams.
pub(super) fn parts(query: &GateQuery) -> Vec<Part<'_>> {
    match (&query.stream, &query.after) {
        (Some(stream), Some(after)) => match after.stream.cmp(stream) {
            Ordering::Less => vec![Part::Stream(stream, None)],
            Ordering::Equal => vec![Part::Stream(stream, Some(&after.entity))],
            Ordering::Greater => Vec::new(),
        },
        (Some(stream), None) => vec![Part::Stream(stream, None)],
        (None, Some(after)) => {
            vec![Part::Stream(&after.stream, Some(&after.entity)), Part::StreamsAfter(Some(&after.stream))]
        }
        (None, None) => vec![Part::StreamsAfter(None)],
    }
}

/// Asks for a page of gates of the query's state.
pub(super) fn find_gates(consumer_id: i64, state: Option<State>, from: &Part<'_>, limit: usize) -> Statement {
    // Few gates are parked, and an index has them alone.
    let parked = matches!(state, Some(State::Parked | State::Paused));
    let template = match (from, parked) {
        (Part::Stream(..), false) => include_str!("sql/list_stream.sql"),
        (Part::Stream(..), true) => include_str!("sql/list_stream_parked.sql"),
        (Part::StreamsAfter(_), false) => include_str!("sql/list_streams.sql"),
        (Part::StreamsAfter(_), true) => include_str!("sql/list_streams_parked.sql"),
    };
    let statement = page(template, consumer_id, state, limit);
    match from {
        Part::Stream(stream, after) => {
            statement.text(stream.as_str()).blob(after.map_or(&[][..], |after| after))
        }
        // No name is empty, so every one of them comes after the empty one.
        Part::StreamsAfter(after) => statement.text(after.map_or("", StreamName::as_str)),
    }
}

/// Asks for one entity's gates, in every stream that the query lets in.
pub(super) fn find_entity(consumer_id: i64, query: &GateQuery, entity: &Bytes, limit: usize) -> Statement {
    let after = query.after.as_ref();
    page(include_str!("sql/list_entity.sql"), consumer_id, query.state, limit)
        .blob(entity)
        .text(after.map_or("", |after| after.stream.as_str()))
        .blob(after.map_or(&[][..], |after| &after.entity))
        .maybe_text(query.stream.as_ref().map(ToString::to_string))
}

fn page(template: &'static str, consumer_id: i64, state: Option<State>, limit: usize) -> Statement {
    Statement::new(template)
        .int(consumer_id)
        .maybe_text(state.map(|state| state.as_str().to_owned()))
        .int(i64::try_from(limit).unwrap_or(i64::MAX))
}

pub(super) fn gates(rows: &[SqliteRow], now: Timestamp) -> Result<Vec<GatedEntity>, Trouble> {
    let one = |row| {
        let key = GateKey { stream: stream_name(row, "stream")?, entity: bytes(row, "entity")? };
        Ok(GatedEntity { key, gate: gate(row)?, now })
    };
    rows.iter().map(one).collect()
}

pub(super) fn find_audit(consumer_id: i64, key: Option<&GateKey>, limit: u32) -> Statement {
    let statement = match key {
        None => Statement::new(include_str!("sql/audit_latest.sql")).int(consumer_id),
        Some(key) => Statement::new(include_str!("sql/audit_entity.sql"))
            .int(consumer_id)
            .text(key.stream.as_str())
            .blob(&key.entity),
    };
    statement.int(i64::from(limit))
}

pub(super) fn audit(rows: &[SqliteRow]) -> Result<Vec<AuditLine>, Trouble> {
    rows.iter().map(audit_line).collect()
}

fn audit_line(row: &SqliteRow) -> Result<AuditLine, Trouble> {
    /// The words that the protocol and this log write.
    const ACTIONS: [&str; 10] =
        ["retry", "park", "skip", "discard", "edit", "pause", "resume", "ignore", "replay", "new stream"];
    let word = text(row, "action")?;
    let action = ACTIONS.into_iter().find(|action| *action == word);
    let request_id: Option<String> = sqlx::Row::try_get(row, "request_id")?;
    let audit = Audit {
        action: action.ok_or_else(|| corrupt("the audit has an action that this program does not know"))?,
        index: maybe_index(row, "idx")?,
        by: text(row, "actor")?.into(),
        why: text(row, "why")?.into(),
        request_id: request_id.map(Into::into),
        outcome: outcome(row)?,
    };
    let key = GateKey { stream: stream_name(row, "stream")?, entity: bytes(row, "entity")? };
    Ok(AuditLine { at: Timestamp::from_micros(int(row, "at")?), key, audit })
}

pub(super) fn find_totals(consumer_id: i64) -> Statement {
    Statement::new(include_str!("sql/totals.sql")).int(consumer_id)
}

pub(super) fn totals(rows: &[SqliteRow], now: Timestamp) -> Result<Totals, Trouble> {
    let Some(row) = rows.first() else { return Ok(Totals::default()) };
    let since = maybe_int(row, "held_since")?;
    Ok(Totals {
        gated_entities: count(row, "gated_entities")?,
        parked_entities: count(row, "parked_entities")?,
        held_events: count(row, "held_events")?,
        held_bytes: count(row, "held_bytes")?,
        oldest_held: since.map(|since| now.since(Timestamp::from_micros(since))),
    })
}
