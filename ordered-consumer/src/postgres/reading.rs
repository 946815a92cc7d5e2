//! What is only read: events on their way out, gates and the audit for people, totals.

use bytes::Bytes;
use sqlx::postgres::PgRow;

use super::statement::Statement;
use crate::{
    AuditLine, Digest, Event, FailureLogError, GateKey, Index, StreamName, Timestamp, Totals,
    sql::columns::{Columns, audit_line, corrupt, event},
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

pub(super) fn find_totals(consumer_id: i64, told_micros: Option<i64>) -> Statement {
    Statement::new(include_str!("sql/totals.sql")).int(consumer_id).int(told_micros)
}

pub(super) fn totals(rows: &[PgRow]) -> Result<Totals, FailureLogError> {
    let Some(row) = rows.first() else { return Ok(Totals::default()) };
    Ok(Totals {
        gated_entities: row.count("gated_entities")?,
        parked_entities: row.count("parked_entities")?,
        held_events: row.count("held_events")?,
        held_bytes: row.count("held_bytes")?,
        oldest_held: row
            .maybe_time("held_since")?
            .zip(row.maybe_time("now")?)
            .map(|(since, now)| now.since(since)),
    })
}
