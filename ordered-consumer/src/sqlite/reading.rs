//! What is only read: events on their way out, gates and the audit for people, totals.

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;

use super::{
    columns::{bytes, count, event, maybe_int},
    errors::Trouble,
    statement::Statement,
};
use crate::{
    AuditLine, Digest, Event, FailureLogError, GateKey, Index, StreamName, Timestamp, Totals,
    batch::position,
    sql::columns::{self, Columns},
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

pub(super) fn find_conflicts(
    stream_id: i64,
    entity: &Bytes,
    after: Option<(Index, Digest)>,
    limit: u32,
    bytes_max: u64,
) -> Statement {
    let after = after.map(|(index, digest)| (index.to_be_bytes(), digest.to_bytes()));
    // An empty index comes before every other.
    let (index, digest) = after.as_ref().map_or((&[][..], &[][..]), |(index, digest)| (index, digest));
    Statement::new(include_str!("sql/conflicts.sql"))
        .int(stream_id)
        .blob(entity)
        .blob(index)
        .blob(digest)
        .int(i64::from(limit))
        .int(i64::try_from(bytes_max).unwrap_or(i64::MAX))
}

pub(super) fn find_original(stream_id: i64, entity: &Bytes, index: Index) -> Statement {
    let find = Statement::new(include_str!("sql/original.sql"));
    find.int(stream_id).blob(entity).blob(&index.to_be_bytes())
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
        let at = row.place("position", asked)?;
        if let Some(gated) = gated.get_mut(at) {
            *gated = true;
        }
    }
    Ok(gated)
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
    Ok(rows.iter().map(columns::audit_line).collect::<Result<_, _>>()?)
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
