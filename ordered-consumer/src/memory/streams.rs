//! Streams: who owns them, how far they are settled, and what an operator decides about them.

use super::table::{Row, Table};
use crate::{
    AuditLine, Event, FailureLogError, GateKey, Index, Layout, StreamDecision, StreamName, Timestamp,
    gate::{
        self, APART_TAKEN, Audit, LayoutRecord, LayoutStep, SetApart, Settle, StreamRecord, StreamRefusal,
        TakeOver,
    },
};
use bytes::Bytes;

impl Table {
    pub(super) fn step_layout(&mut self, layout: &StreamName, step: &LayoutStep) -> LayoutRecord {
        let record = gate::step_layout(self.layouts.get(layout), step);
        if record != LayoutRecord::default() {
            self.layouts.insert(layout.clone(), record.clone());
        }
        record
    }

    pub(super) fn has_unresolved(&self, stream: &StreamName, through: Index) -> bool {
        let first = GateKey { stream: stream.clone(), entity: Bytes::new() };
        let keys = self.uncleared.range(first..).take_while(|key| key.stream == *stream);
        let mut heads = keys.filter_map(|key| self.gate(key)?.head);
        heads.any(|head| head <= through)
    }
}

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
    match decision {
        StreamDecision::Replay => replay(table, stream),
        StreamDecision::NewStream => set_apart(table, stream)?,
    }
    let generation = table.record(stream).map_or(0, |record| record.generation);
    let audit = Audit::of_stream(decision, (by, why), generation);
    let key = GateKey { stream: stream.clone(), entity: Bytes::new() };
    table.write_audit(AuditLine { at: now, key, audit });
    Ok(())
}

fn replay(table: &mut Table, stream: &StreamName) {
    for key in table.keys_of(stream) {
        if let Some(gate) = table.gate(&key).cloned() {
            table.put_gate(&key, gate::forget_resolved(gate));
        }
    }
    if let Some(old) = table.take_record(stream) {
        table.put_record(stream, gate::replay(old));
    }
}

fn set_apart(table: &mut Table, stream: &StreamName) -> Result<(), FailureLogError> {
    let old = table.record(stream).cloned();
    let keys = table.keys_of(stream);
    let set_apart = gate::set_apart(stream, old.as_ref(), !keys.is_empty())?;
    let Some(SetApart { name: apart, fresh }) = set_apart else { return Ok(()) };
    if table.record(&apart).is_some() || !table.keys_of(&apart).is_empty() {
        return Err(FailureLogError::Misused { what: APART_TAKEN });
    }
    for key in keys {
        let Some(mut entity) = table.take_entity(&key) else { continue };
        for row in entity.rows.values_mut() {
            *row = Row { event: moved(&row.event, &apart), ..row.clone() };
        }
        entity.conflicts = entity.conflicts.iter().map(|event| moved(event, &apart)).collect();
        table.put_entity(GateKey { stream: apart.clone(), entity: key.entity }, entity);
    }
    if let Some(layout) = Layout::name_of(stream) {
        table.step_layout(&layout, &LayoutStep::Forget);
    }
    table.move_originals(stream, &apart);
    table.put_record(&apart, old.unwrap_or_default());
    table.put_record(stream, fresh);
    Ok(())
}

/// The event under the stream's new name, so that whoever publishes or runs it finds its gate.
fn moved(event: &Event, stream: &StreamName) -> Event {
    event.with_stream(stream.clone())
}
