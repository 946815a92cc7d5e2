//! Gates for people: listed page by page, and counted.

use std::cmp::Ordering;

use bytes::Bytes;
use sqlx::postgres::PgRow;

use super::statement::Statement;
use crate::{
    Count, CountBy, CountedGroup, Counts, FailureLogError, GateKey, GateQuery, GatedEntity, StreamName,
    Timestamp,
    gate::State,
    sql::columns::{Columns, gate},
};

/// Makes a statement of its parts.
macro_rules! sql {
    ($($part:literal),+) => { concat!($(include_str!(concat!("sql/", $part, ".sql"))),+) };
}

/// Whether only parked and paused gates match: an index has them alone.
fn finds_parked(query: &GateQuery) -> bool {
    matches!(query.state, Some(State::Parked | State::Paused)) || query.cause.is_some()
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

/// Whose gates, how many, and at what time.
#[derive(Clone, Copy)]
pub(super) struct Page {
    pub(super) consumer_id: i64,
    pub(super) limit: usize,
    pub(super) told_micros: Option<i64>,
}

/// Asks for a page of gates that match.
pub(super) fn find_gates(page: Page, query: &GateQuery, part: &Part<'_>) -> Statement {
    let text = if finds_parked(query) {
        sql!("list_columns", "list_parked", "list_matching", "list_page")
    } else {
        sql!("list_columns", "list_matching", "list_page")
    };
    matching(text, page, query, part)
}

/// Asks how many gates match.
pub(super) fn count_gates(page: Page, query: &GateQuery, by: CountBy) -> Statement {
    let text = if finds_parked(query) {
        sql!("count_columns", "list_parked", "list_matching", "count_groups")
    } else {
        sql!("count_columns", "list_matching", "count_groups")
    };
    let part = query.stream.as_ref().map_or(Part::StreamsAfter(None), |stream| Part::Stream(stream, None));
    matching(text, page, query, &part).blob(by.as_str().as_bytes())
}

fn matching(text: &'static str, page: Page, query: &GateQuery, part: &Part<'_>) -> Statement {
    let (mut from, until) = query.entities();
    let (after_stream, stream) = match part {
        Part::Stream(stream, after) => {
            // The first key behind one is the same with a zero behind it.
            let behind = after.map(|after| Bytes::from([&after[..], &[0]].concat()));
            from = behind.map_or(from.clone(), |behind| behind.max(from));
            (None, Some(*stream))
        }
        Part::StreamsAfter(after) => (*after, None),
    };
    let age = query.older_than.map(|age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
    Statement::new(text)
        .int(page.consumer_id)
        .maybe_blob(query.state.map(|state| state.as_str().as_bytes()))
        .int(i64::try_from(page.limit).unwrap_or(i64::MAX))
        .maybe_blob(after_stream.map(|stream| stream.as_str().as_bytes()))
        .maybe_blob(stream.map(|stream| stream.as_str().as_bytes()))
        .blob(&from)
        .blob(&until)
        .maybe_blob(query.cause.map(|cause| cause.as_str().as_bytes()))
        .int(age)
        .int(page.told_micros)
        .maybe_blob(query.error_class.as_ref().map(|class| class.as_bytes()))
        .maybe_blob(query.event_type.as_ref().map(AsRef::as_ref))
}

pub(super) fn found(rows: &[PgRow]) -> Result<Vec<GatedEntity>, FailureLogError> {
    let one = |row: &PgRow| {
        let key = GateKey { stream: row.stream_name("stream")?, entity: row.bytes("entity")? };
        Ok(GatedEntity { key, gate: gate(row)?, now: Timestamp::from_micros(row.int("now")?) })
    };
    rows.iter().map(one).collect()
}

pub(super) fn counted(rows: &[PgRow]) -> Result<Counts, FailureLogError> {
    let number = |row: &PgRow, entities, held_events| -> Result<Count, FailureLogError> {
        Ok(Count { entities: row.count(entities)?, held_events: row.count(held_events)? })
    };
    let group = |row: &PgRow| {
        let name = row.maybe_bytes("name")?.map(Bytes::copy_from_slice);
        Ok(CountedGroup { name, count: number(row, "entities", "held_events")? })
    };
    let total = rows.first().map(|row| number(row, "entities_total", "held_events_total")).transpose()?;
    Ok(Counts {
        groups: rows.iter().map(group).collect::<Result<_, FailureLogError>>()?,
        total: total.unwrap_or_default(),
    })
}
