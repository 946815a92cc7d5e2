//! Loads what a step must know, asks the protocol, and writes what it says.

use super::table::{Entity, Row, Table, count};
use crate::{
    Answer, AuditLine, Digest, DueGates, Event, GateKey, Index, Request, Timestamp,
    batch::{edit, offered},
    gate::{self, Action, Guard, Input, LoggedAt, Moment, Rows, Settings, Step},
};

/// One request, under the log's lock.
pub(super) fn one(
    table: &mut Table,
    version: &mut u64,
    settings: &Settings,
    now: Timestamp,
    request: &Request,
) -> Answer {
    let Request { key, guard, input } = request;
    *version += 1;
    let moment = Moment { now, version: *version, settings };
    let entity = table.entity(key);
    let gate = entity.map(|entity| entity.gate.clone());
    let rows = load(table, key, entity, input, settings);
    let step = gate::step(gate, &rows, table.record(&key.stream), guard, input, &moment);
    write(table, key, input, step, now)
}

pub(super) fn take_due(
    table: &mut Table,
    version: &mut u64,
    settings: &Settings,
    now: Timestamp,
    limit: u32,
) -> DueGates {
    let mut due = DueGates::default();
    for key in table.due(now, count(limit)) {
        let request = Request { key: key.clone(), guard: Guard::Unguarded, input: Input::Take };
        let Some(before) = table.gate(&key).cloned() else { continue };
        let reply = one(table, version, settings, now, &request).reply;
        due.note(key, &before, &reply, now);
    }
    due.next_due_in = table.next_due_at().map(|due_at| due_at.since(now));
    due
}

fn load(table: &Table, key: &GateKey, entity: Option<&Entity>, input: &Input, settings: &Settings) -> Rows {
    let mut rows = Rows::default();
    match input {
        Input::Arrive { events } => {
            rows.logged = events.iter().map(|arrival| logged(entity, &arrival.event)).collect();
        }
        Input::Fail { event, .. } => rows.logged = vec![logged(entity, event)],
        Input::Resolve { .. } => pass(&mut rows, entity, input, settings),
        Input::Operate(operation) => {
            pass(&mut rows, entity, input, settings);
            let request_id = operation.request_id.as_ref();
            rows.earlier_outcome = request_id.and_then(|id| table.earlier_outcome(key, id));
            if let (Some(entity), Action::VoidConflict { index, digest }) = (entity, &operation.action) {
                let named = entity.conflicts.iter().filter(|event| is_named(event, *index, *digest)).count();
                rows.conflicts_named = u32::try_from(named).unwrap_or(u32::MAX);
            }
        }
        Input::Ignore { .. }
        | Input::Take
        | Input::Claim { .. }
        | Input::Renew { .. }
        | Input::FailAgain { .. }
        | Input::GiveBack { .. }
        | Input::Mirrored { .. } => {}
    }
    rows
}

fn logged(entity: Option<&Entity>, event: &Event) -> Option<LoggedAt> {
    let entity = entity?;
    let row = entity.rows.get(&event.index())?;
    let known = |kept: &Event| kept.index() == event.index() && kept.digest() == event.digest();
    Some(LoggedAt { digest: row.digest, conflict_known: entity.conflicts.iter().any(known) })
}

/// What the rows say at the input's bound.
fn pass(rows: &mut Rows, entity: Option<&Entity>, input: &Input, settings: &Settings) {
    let Some(entity) = entity else { return };
    let Some(bound) = input.bound(&entity.gate) else { return };
    for (index, row) in entity.rows.range(..=bound) {
        rows.passed_events += 1;
        rows.passed_bytes += row.bytes;
        rows.passed_last = Some(*index);
    }
    let above = (std::ops::Bound::Excluded(bound), std::ops::Bound::Unbounded);
    let mut window =
        entity.rows.range(above).map(|(index, _)| *index).take(count(settings.release_window.max(1)));
    rows.next = window.next();
    rows.window_end = window.last().or(rows.next);
}

fn write(table: &mut Table, key: &GateKey, input: &Input, step: Step, now: Timestamp) -> Answer {
    let (mut event, mut original) = (None, None);
    if let Some(entity) = table.put_gate(key, step.gate) {
        if let Some(through) = step.delete_through {
            while entity.rows.first_key_value().is_some_and(|(index, _)| *index <= through) {
                entity.rows.pop_first();
            }
        }
        let offered = offered(input);
        for event in step.insert.iter().filter_map(|place| offered.get(*place)) {
            entity.rows.insert(event.index(), Row::new(event));
        }
        let conflicts = step.insert_conflicts.iter().filter_map(|place| offered.get(*place));
        entity.conflicts.extend(conflicts.map(|event| Row::new(event).event));
        if let (Some(index), Some((payload, headers))) = (step.edit_head, edit(input))
            && let Some(row) = entity.rows.get_mut(&index)
        {
            if !row.edited {
                original = Some(row.event.clone());
                row.edited = true;
            }
            row.event = row.event.edited(payload.cloned(), headers.clone());
        }
        if let Some((index, digest)) = step.delete_conflicts {
            entity.conflicts.retain(|event| !is_named(event, index, digest));
        }
        event = step.read.and_then(|index| entity.rows.get(&index)).map(|row| row.event.clone());
    }
    if let Some(original) = original {
        table.keep_original(key, original, now);
    }
    if let Some(audit) = step.audit {
        table.write_audit(AuditLine { at: now, key: key.clone(), audit });
    }
    Answer { reply: step.reply, event }
}

/// Whether an operator names this event that is kept beside the log.
fn is_named(event: &Event, index: Index, digest: Option<Digest>) -> bool {
    event.index() == index && digest.is_none_or(|digest| digest == event.digest())
}
