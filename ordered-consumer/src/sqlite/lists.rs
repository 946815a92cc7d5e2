//! Gates for people: listed page by page, and counted.

use std::cmp::Ordering;

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;

use super::{
    SqliteFailureLog,
    columns::{bytes, count, gate, maybe_bytes, stream_name},
    errors::Trouble,
    reading,
    statement::Statement,
};
use crate::{
    COUNT_GROUPS_MAX, ConsumerName, Count, CountBy, CountedGroup, Counts, Digest, Event, FailureLogError,
    GateKey, GateQuery, GatedEntity, Index, StreamName, Timestamp, gate::State,
};

/// How many gates [`FailureLog::list`](crate::FailureLog::list) returns at most.
const LIST_MAX: u32 = 1_000;

/// Makes a statement of its parts.
macro_rules! sql {
    ($($part:literal),+) => { concat!($(include_str!(concat!("sql/", $part, ".sql"))),+) };
}

impl SqliteFailureLog {
    pub(super) async fn look_up(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        entities: &[Bytes],
    ) -> Result<(Vec<bool>, Timestamp), FailureLogError> {
        // Before the look-up, so that what is reckoned from it is rather too early than too late.
        let now = self.connections.clock.now();
        let mut gated = Vec::with_capacity(entities.len());
        if let Some(consumer_id) = self.known_consumer(consumer).await? {
            for chunk in entities.chunks(Statement::rows_max(reading::GATED_WIDTH)) {
                let find = reading::find_gated(consumer_id, stream, chunk)?;
                let doing = "looking entities up";
                gated.extend(self.read(doing, find, |rows| reading::gated(rows, chunk.len())).await?);
            }
        }
        gated.resize(entities.len(), false);
        Ok((gated, now))
    }

    pub(super) async fn list_gates(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
    ) -> Result<Vec<GatedEntity>, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(consumer).await? else { return Ok(Vec::new()) };
        let limit = usize::try_from(query.limit.clamp(1, LIST_MAX)).unwrap_or(usize::MAX);
        let now = self.connections.clock.now();
        let mut gates = Vec::new();
        for part in parts(query) {
            let left = limit - gates.len();
            if left == 0 {
                break;
            }
            let template = if finds_parked(query) {
                sql!("list_columns", "list_from_parked", "list_matching", "list_page")
            } else {
                sql!("list_columns", "list_from", "list_matching", "list_page")
            };
            let find = find(template, consumer_id, query, &part, left, now);
            gates.extend(self.read("listing gates", find, |rows| found(rows, now)).await?);
        }
        Ok(gates)
    }

    pub(super) async fn count_gates(
        &self,
        consumer: &ConsumerName,
        query: &GateQuery,
        by: CountBy,
    ) -> Result<Counts, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(consumer).await? else { return Ok(Counts::default()) };
        let template = if finds_parked(query) {
            sql!("count_columns", "list_from_parked", "list_matching", "count_groups")
        } else {
            sql!("count_columns", "list_from", "list_matching", "count_groups")
        };
        let part =
            query.stream.as_ref().map_or(Part::StreamsAfter(None), |stream| Part::Stream(stream, None));
        let now = self.connections.clock.now();
        let count = find(template, consumer_id, query, &part, COUNT_GROUPS_MAX, now).text(by.as_str());
        self.read("counting gates", count, counted).await
    }

    pub(super) async fn list_conflicts(
        &self,
        consumer: &ConsumerName,
        key: &GateKey,
        after: Option<(Index, Digest)>,
        (limit, bytes_max): (u32, u64),
    ) -> Result<Vec<Event>, FailureLogError> {
        let Some((stream_id, _)) = self.known_stream(consumer, &key.stream).await? else {
            return Ok(Vec::new());
        };
        let find = reading::find_conflicts(stream_id, &key.entity, after, limit, bytes_max);
        self.read("reading conflicts", find, |rows| reading::held(rows, key)).await
    }
}

/// Whether only parked and paused gates match: an index has them alone.
fn finds_parked(query: &GateQuery) -> bool {
    matches!(query.state, Some(State::Parked | State::Paused)) || query.cause.is_some()
}

/// Which streams a page of gates is taken from.
enum Part<'a> {
    /// This one, after this entity.
    Stream(&'a StreamName, Option<&'a Bytes>),
    /// All after this one, in the order of their names.
    StreamsAfter(Option<&'a StreamName>),
}

/// From where a page of gates must be taken: a part of one stream, then whole streams.
fn parts(query: &GateQuery) -> Vec<Part<'_>> {
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

/// Asks for what matches the query in this part of the log.
fn find(
    template: &'static str,
    consumer_id: i64,
    query: &GateQuery,
    part: &Part<'_>,
    limit: usize,
    now: Timestamp,
) -> Statement {
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
    let older_than = query.older_than.map(|age| now.minus(age).as_micros());
    Statement::new(template)
        .int(consumer_id)
        .maybe_text(query.state.map(|state| state.as_str().to_owned()))
        .int(i64::try_from(limit).unwrap_or(i64::MAX))
        .maybe_text(after_stream.map(ToString::to_string))
        .maybe_text(stream.map(ToString::to_string))
        .blob(&from)
        .blob(&until)
        .maybe_text(query.cause.map(|cause| cause.as_str().to_owned()))
        .int(older_than)
        .maybe_text(query.error_class.as_ref().map(ToString::to_string))
        .maybe_blob(query.event_type.as_ref().map(AsRef::as_ref))
}

fn found(rows: &[SqliteRow], now: Timestamp) -> Result<Vec<GatedEntity>, Trouble> {
    let one = |row| {
        let key = GateKey { stream: stream_name(row, "stream")?, entity: bytes(row, "entity")? };
        Ok(GatedEntity { key, gate: gate(row)?, now })
    };
    rows.iter().map(one).collect()
}

fn counted(rows: &[SqliteRow]) -> Result<Counts, Trouble> {
    let number = |row, entities, held_events| -> Result<Count, Trouble> {
        Ok(Count { entities: count(row, entities)?, held_events: count(row, held_events)? })
    };
    let group = |row| {
        let count = number(row, "entities", "held_events")?;
        Ok(CountedGroup { name: maybe_bytes(row, "name")?, count })
    };
    let total = rows.first().map(|row| number(row, "entities_total", "held_events_total")).transpose()?;
    Ok(Counts {
        groups: rows.iter().map(group).collect::<Result<_, Trouble>>()?,
        total: total.unwrap_or_default(),
    })
}
