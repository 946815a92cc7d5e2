//! Streams: who owns them, how far they are settled, and what an operator decides about them.

use super::table::{Row, Table};
use crate::{
    AuditLine, Event, FailureLogError, GateKey, StreamDecision, StreamName, Timestamp,
    gate::{self, Audit, Gate, Settle, StreamRecord, StreamRefusal, TakeOver},
};
use bytes::Bytes;

pub(super) fn take_over(
    table: &mut Table,
    stream: &StreamName,
    asked: &TakeOver,
) -> Result<(Option<StreamRecord>, StreamRecord), StreamRefusal> {
    let before = table.record(stream).cloned();
    let now = gate::take_over(before.as_ref(), asked)?;
    table.put_record(stream, now.clone());
    Ok((before, now))
}

pub(super) fn settle(
    table: &mut Table,
    stream: &StreamName,
    report: &Settle,
) -> Result<StreamRecord, StreamRefusal> {
    let record = gate::settle(table.record(stream), report)?;
    table.put_record(stream, record.clone());
    Ok(record)
}

pub(super) fn decide(
    table: &mut Table,
    stream: &StreamName,
    decision: StreamDecision,
    (by, why): (&str, &str),
    now: Timestamp,
) -> Result<(), FailureLogError> {
    let action = match decision {
        StreamDecision::Replay => {
            replay(table, stream);
            "replay"
        }
        StreamDecision::NewStream => {
            set_apart(table, stream)?;
            "new stream"
        }
    };
    let generation = table.record(stream).map_or(0, |record| record.generation);
    let audit = Audit {
        action,
        index: None,
        by: by.into(),
        why: why.into(),
        request_id: None,
        outcome: Ok(generation),
        before: None,
        after: None,
    };
    let key = GateKey { stream: stream.clone(), entity: Bytes::new() };
    table.write_audit(AuditLine { at: now, key, audit });
    Ok(())
}

/// Forgets what was settled and resolved. The generation is raised, so that an owner from before, whose cache has the
/// tombstones still, is refused and takes over anew.
fn replay(table: &mut Table, stream: &StreamName) {
    for key in table.keys_of(stream) {
        let Some(gate) = table.gate(&key).cloned() else { continue };
        if gate.head.is_some() {
            continue;
        }
        // A pause goes on, and conflicts are kept; what was resolved is forgotten all the same.
        let keep = gate.parked.is_some() || gate.conflicts > 0;
        table.put_gate(&key, keep.then_some(Gate { resolved: None, ..gate }));
    }
    if let Some(old) = table.take_record(stream) {
        let generation = old.generation.saturating_add(1);
        table.put_record(stream, StreamRecord { identity: None, settled: None, generation, ..old });
    }
}

/// Moves everything of the stream to another name. The name's own generation goes on, because an owner from before
/// may still be there, and must never be taken for an owner of the new stream.
fn set_apart(table: &mut Table, stream: &StreamName) -> Result<(), FailureLogError> {
    let old = table.record(stream).cloned();
    let generation = old.as_ref().map_or(0, |record| record.generation);
    let keys = table.keys_of(stream);
    let fresh = StreamRecord { clean: true, generation, ..StreamRecord::default() };
    if keys.is_empty() && old.as_ref().is_none_or(|record| *record == fresh) {
        // Nothing to set apart: the same decision made again, because its first answer was lost.
        return Ok(());
    }
    let apart = StreamName::new(format!("{stream}~{generation}"))
        .map_err(|_| FailureLogError::Misused { what: "the stream's name is too long to set it apart" })?;
    if table.record(&apart).is_some() || !table.keys_of(&apart).is_empty() {
        return Err(FailureLogError::Misused {
            what: "the name under which to set the stream apart is taken",
        });
    }
    for key in keys {
        let Some(mut entity) = table.take_entity(&key) else { continue };
        for row in entity.rows.values_mut() {
            *row = Row { event: moved(&row.event, &apart), ..row.clone() };
        }
        entity.conflicts = entity.conflicts.iter().map(|event| moved(event, &apart)).collect();
        table.put_entity(GateKey { stream: apart.clone(), entity: key.entity }, entity);
    }
    table.move_originals(stream, &apart);
    table.put_record(&apart, old.unwrap_or_default());
    table.put_record(stream, StreamRecord { generation: generation.saturating_add(1), ..fresh });
    Ok(())
}

/// The event under the stream's new name, so that whoever publishes or runs it finds its gate.
fn moved(event: &Event, stream: &StreamName) -> Event {
    event.with_stream(stream.clone())
}
