//! What is only read: events on their way out, gates and the audit for people, totals.

use std::cmp::Ordering;

use bytes::Bytes;
use sqlx::postgres::PgRow;

use super::statement::Statement;
use crate::{
    AuditLine, Event, FailureLogError, GateKey, GateQuery, GatedEntity, Index, StreamName, Timestamp, Totals,
    gate::State,
    sql::columns::{Columns, audit_line, corrupt, event, gate},
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

pub(super) fn held(rows: &[PgRow], key: &GateKey) -> Result<Vec<Event>, FailureLogError> {
    rows.iter().map(|row| event(row, &key.stream, &key.entity)).collect()
}

pub(super) fn find_entities(
    stream_id: i64,
    after: Option<&Bytes>,
    limit: u32,
    paused_only: bool,
) -> Statement {
    let text = if paused_only {
        include_str!("sql/paused_entities.sql")
    } else {
        include_str!("sql/gated_entities.sql")
    };
    // No entity is empty, so every one of them comes after the empty one.
    let after = after.map_or(&[][..], |after| after);
    Statement::new(text).int(stream_id).blob(after).int(i64::from(limit))
}

pub(super) fn entities(rows: &[PgRow]) -> Result<Vec<Bytes>, FailureLogError> {
    rows.iter().map(|row| row.bytes("entity")).collect()
}

pub(super) fn find_gated(
    consumer_id: Option<i64>,
    told_micros: Option<i64>,
    stream: &StreamName,
    entities: &[Bytes],
) -> Statement {
    Statement::new(include_str!("sql/which_gated.sql"))
        .int(consumer_id)
        .int(told_micros)
        .blob(stream.as_str().as_bytes())
        .blobs(entities.iter().map(|entity| &**entity))
}

pub(super) fn gated(rows: &[PgRow], asked: usize) -> Result<(Vec<bool>, Timestamp), FailureLogError> {
    let (mut gated, mut now) = (vec![false; asked], None);
    for row in rows {
        now = row.maybe_time("now")?;
        if row.maybe_int("position")?.is_some() {
            gated[row.place("position", asked)?] = true;
        }
    }
    Ok((gated, now.ok_or_else(|| corrupt("the server does not tell the time"))?))
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

/// A page of gates in a state: whose, how many, and at what time.
#[derive(Clone, Copy)]
pub(super) struct Page {
    pub(super) consumer_id: i64,
    pub(super) state: Option<State>,
    pub(super) limit: usize,
    pub(super) told_micros: Option<i64>,
}

impl Page {
    fn of(self, text: &'static str) -> Statement {
        Statement::new(text)
            .int(self.consumer_id)
            .maybe_blob(self.state.map(|state| state.as_str().as_bytes()))
            .int(i64::try_from(self.limit).unwrap_or(i64::MAX))
            .int(self.told_micros)
    }
}

/// Asks for a page of gates.
pub(super) fn find_gates(page: Page, from: &Part<'_>) -> Statement {
    // Few gates are parked, and an index has them alone.
    let parked = matches!(page.state, Some(State::Parked | State::Paused));
    let text = match (from, parked) {
        (Part::Stream(..), false) => include_str!("sql/list_stream.sql"),
        (Part::Stream(..), true) => include_str!("sql/list_stream_parked.sql"),
        (Part::StreamsAfter(_), false) => include_str!("sql/list_streams.sql"),
        (Part::StreamsAfter(_), true) => include_str!("sql/list_streams_parked.sql"),
    };
    match from {
        Part::Stream(stream, after) => {
            page.of(text).blob(stream.as_str().as_bytes()).blob(after.map_or(&[][..], |after| after))
        }
        // No name is empty, so every one of them comes after the empty one.
        Part::StreamsAfter(after) => page.of(text).blob(after.map_or("", StreamName::as_str).as_bytes()),
    }
}

/// Asks for one entity's gates, in every stream that the query lets in.
pub(super) fn find_entity(page: Page, query: &GateQuery, entity: &Bytes) -> Statement {
    let after = query.after.as_ref();
    page.of(include_str!("sql/list_entity.sql"))
        .blob(entity)
        .blob(after.map_or("", |after| after.stream.as_str()).as_bytes())
        .blob(after.map_or(&[][..], |after| &after.entity))
        .maybe_blob(query.stream.as_ref().map(|stream| stream.as_str().as_bytes()))
}

pub(super) fn gates(rows: &[PgRow]) -> Result<Vec<GatedEntity>, FailureLogError> {
    let one = |row: &PgRow| {
        let key = GateKey { stream: row.stream_name("stream")?, entity: row.bytes("entity")? };
        Ok(GatedEntity { key, gate: gate(row)?, now: Timestamp::from_micros(row.int("now")?) })
    };
    rows.iter().map(one).collect()
}

pub(super) fn find_audit(consumer_id: i64, key: Option<&GateKey>, limit: u32) -> Statement {
    let statement = match key {
        None => Statement::new(include_str!("sql/audit_latest.sql")).int(consumer_id),
        Some(key) => Statement::new(include_str!("sql/audit_entity.sql"))
            .int(consumer_id)
            .blob(key.stream.as_str().as_bytes())
            .blob(&key.entity),
    };
    statement.int(i64::from(limit))
}

pub(super) fn audit(rows: &[PgRow]) -> Result<Vec<AuditLine>, FailureLogError> {
    rows.iter().map(audit_line).collect()
}

pub(super) fn find_totals(consumer_id: i64) -> Statement {
    Statement::new(include_str!("sql/totals.sql")).int(consumer_id)
}

pub(super) fn totals(rows: &[PgRow]) -> Result<Totals, FailureLogError> {
    let Some(row) = rows.first() else { return Ok(Totals::default()) };
    Ok(Totals {
        gated_entities: row.count("gated_entities")?,
        parked_entities: row.count("parked_entities")?,
        held_events: row.count("held_events")?,
        held_bytes: row.count("held_bytes")?,
    })
}
