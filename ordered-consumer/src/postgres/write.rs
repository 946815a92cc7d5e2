//! What the steps of a batch say must be written, gathered, and written in few statements.

use std::collections::HashMap;

use bytes::Bytes;

use super::{
    errors::Trouble,
    statement::{Session, Statement},
    streams::add_stream,
};
use crate::{
    Digest, Event, FailureLogError, GateKey, Index, Request, StreamName, Timestamp,
    batch::{edit, offered, position},
    gate::{Audit, Gate, Step},
    sql::{
        change::Change,
        columns::{Columns, corrupt, event},
        kept::{KeptEvent, KeptGate, amount, keep_headers, keep_outcome, keep_summary},
    },
};

/// One request's effects, with its place in the batch.
pub(super) struct Effects<'a> {
    pub(super) request: &'a Request,
    pub(super) stream_id: Option<i64>,
    /// Whether the gate's row was there, and is locked.
    pub(super) was_there: bool,
    pub(super) tail: Option<Index>,
    pub(super) change: Change,
    pub(super) step: Step,
}

impl Effects<'_> {
    /// Whether rows are written that need the stream's id.
    fn needs_stream(&self) -> bool {
        self.change != Change::None || !self.step.insert.is_empty() || !self.step.insert_conflicts.is_empty()
    }

    /// The gate's tail once the step's events are in the log.
    pub(super) fn new_tail(&self) -> Option<Index> {
        let offered = offered(&self.request.input);
        let inserted = self.step.insert.iter().filter_map(|place| offered.get(*place));
        inserted.map(|event| event.index()).max().max(self.tail)
    }
}

/// A gate to be written.
pub(super) struct GateRow<'a> {
    pub(super) stream_id: i64,
    pub(super) entity: &'a [u8],
    pub(super) gate: &'a Gate,
    pub(super) tail: Option<Index>,
}

/// Writes everything, and returns the events that the steps asked to read, by their places in the batch.
///
/// New gates come first, in the order of their keys: their rows are the locks that a gate without a row lacks, and
/// whoever finds one taken starts again without having locked anything out of order.
pub(super) async fn write(
    session: &mut Session<'_>,
    consumer_id: i64,
    batch: &mut [Effects<'_>],
    now: Timestamp,
) -> Result<HashMap<usize, Event>, Trouble> {
    add_streams(session, consumer_id, batch).await?;
    write_new_gates(session, consumer_id, batch).await?;
    delete_passed(session, batch).await?;
    insert_events(session, batch, include_str!("sql/insert_events.sql"), |step| &step.insert).await?;
    let conflicts = include_str!("sql/insert_conflicts.sql");
    insert_events(session, batch, conflicts, |step| &step.insert_conflicts).await?;
    for effects in &*batch {
        edit_head(session, consumer_id, effects, now).await?;
        delete_conflicts(session, effects).await?;
    }
    write_changes(session, batch).await?;
    let audits =
        batch.iter().filter_map(|effects| Some((&effects.request.key, effects.step.audit.as_ref()?)));
    write_audit(session, consumer_id, now, audits).await?;
    read_events(session, batch).await
}

/// A stream is added by the first write that needs it.
async fn add_streams(
    session: &mut Session<'_>,
    consumer_id: i64,
    batch: &mut [Effects<'_>],
) -> Result<(), Trouble> {
    let mut added: HashMap<StreamName, i64> = HashMap::new();
    for effects in batch {
        if effects.stream_id.is_some() || !effects.needs_stream() {
            continue;
        }
        let stream = &effects.request.key.stream;
        let id = match added.get(stream) {
            Some(id) => *id,
            None => add_stream(session, consumer_id, stream, None).await?,
        };
        added.insert(stream.clone(), id);
        effects.stream_id = Some(id);
    }
    Ok(())
}

fn gate_row<'a>(effects: &'a Effects<'_>) -> Option<GateRow<'a>> {
    let gate = effects.step.gate.as_ref()?;
    let entity = &effects.request.key.entity;
    Some(GateRow { stream_id: effects.stream_id?, entity, gate, tail: effects.new_tail() })
}

async fn write_new_gates(
    session: &mut Session<'_>,
    consumer_id: i64,
    batch: &[Effects<'_>],
) -> Result<(), Trouble> {
    let new = batch.iter().filter(|effects| effects.change != Change::None && !effects.was_there);
    let new: Vec<GateRow<'_>> = new.filter_map(gate_row).collect();
    if new.is_empty() {
        return Ok(());
    }
    let insert = gate_columns(Statement::new(include_str!("sql/insert_gates.sql")), &new)?.int(consumer_id);
    if session.execute(insert).await? == new.len() as u64 {
        return Ok(());
    }
    Err(Trouble::Again("somebody else has just opened one of the gates"))
}

/// Writes the gates that were there and changed. A batch of nothing but holds, the most frequent one, writes three
/// values of each.
async fn write_changes(session: &mut Session<'_>, batch: &[Effects<'_>]) -> Result<(), Trouble> {
    let changed = |change| move |effects: &&Effects<'_>| effects.was_there && effects.change == change;
    let held: Vec<_> = batch.iter().filter(changed(Change::Held)).filter_map(gate_row).collect();
    if !held.is_empty() {
        let tails: Vec<_> = held.iter().map(|row| row.tail.map(Index::to_be_bytes)).collect();
        let amounts =
            held.iter().map(|row| Ok((amount(row.gate.held_events)?, amount(row.gate.held_bytes)?)));
        let amounts = amounts.collect::<Result<Vec<_>, FailureLogError>>()?;
        let update = Statement::new(include_str!("sql/update_held.sql"))
            .ints(held.iter().map(|row| row.stream_id))
            .blobs(held.iter().map(|row| row.entity))
            .ints(amounts.iter().map(|(events, _)| *events))
            .ints(amounts.iter().map(|(_, bytes)| *bytes))
            .maybe_blobs(tails.iter().map(|tail| tail.as_ref().map(|tail| &tail[..])));
        session.execute(update).await?;
    }
    let rows: Vec<_> = batch.iter().filter(changed(Change::Gate)).filter_map(gate_row).collect();
    write_gates(session, &rows).await?;
    let gone = batch.iter().filter(changed(Change::Gate)).filter(|effects| effects.step.gate.is_none());
    let gone: Vec<_> =
        gone.filter_map(|effects| Some((effects.stream_id?, &effects.request.key.entity))).collect();
    delete_gates(session, &gone).await?;
    Ok(())
}

/// Writes gates whose rows are there and locked.
pub(super) async fn write_gates(session: &mut Session<'_>, rows: &[GateRow<'_>]) -> Result<(), Trouble> {
    if !rows.is_empty() {
        let update = gate_columns(Statement::new(include_str!("sql/update_gates.sql")), rows)?;
        session.execute(update).await?;
    }
    Ok(())
}

/// Adds the columns of gates, in the order in which the statements name them.
fn gate_columns(statement: Statement, rows: &[GateRow<'_>]) -> Result<Statement, FailureLogError> {
    let kept = rows.iter().map(|row| KeptGate::new(row.gate)).collect::<Result<Vec<_>, _>>()?;
    let tails: Vec<_> = rows.iter().map(|row| row.tail.map(Index::to_be_bytes)).collect();
    fn bytes(index: &Option<[u8; 16]>) -> Option<&[u8]> {
        index.as_ref().map(|index| &index[..])
    }
    fn text(text: &Option<String>) -> Option<&[u8]> {
        text.as_ref().map(|text| text.as_bytes())
    }
    Ok(statement
        .ints(rows.iter().map(|row| row.stream_id))
        .blobs(rows.iter().map(|row| row.entity))
        .maybe_blobs(kept.iter().map(|gate| bytes(&gate.resolved)))
        .maybe_blobs(kept.iter().map(|gate| bytes(&gate.head)))
        .maybe_blobs(kept.iter().map(|gate| bytes(&gate.released)))
        .maybe_blobs(tails.iter().map(bytes))
        .ints(kept.iter().map(|gate| gate.attempts))
        .ints(kept.iter().map(|gate| gate.due_at))
        .maybe_blobs(kept.iter().map(|gate| bytes(&gate.claim)))
        .maybe_blobs(kept.iter().map(|gate| gate.parked.map(str::as_bytes)))
        .flags(kept.iter().map(|gate| gate.run_was_lost))
        .ints(kept.iter().map(|gate| gate.takes))
        .ints(kept.iter().map(|gate| gate.held_events))
        .ints(kept.iter().map(|gate| gate.held_bytes))
        .ints(kept.iter().map(|gate| gate.conflicts))
        .ints(kept.iter().map(|gate| gate.version))
        .ints(kept.iter().map(|gate| gate.since))
        .maybe_blobs(kept.iter().map(|gate| text(&gate.first_failure)))
        .maybe_blobs(kept.iter().map(|gate| text(&gate.last_failure)))
        .ints(rows.iter().map(|row| row.gate.first_failure.as_ref().map(|first| first.at.as_micros())))
        .maybe_blobs(rows.iter().map(|row| row.gate.last_failure.as_ref().map(|last| last.class.as_bytes()))))
}

/// Deletes gates by their keys, and returns how many there were.
pub(super) async fn delete_gates(session: &mut Session<'_>, keys: &[(i64, &Bytes)]) -> Result<u64, Trouble> {
    if keys.is_empty() {
        return Ok(0);
    }
    let delete = Statement::new(include_str!("sql/delete_gates.sql"))
        .ints(keys.iter().map(|(stream_id, _)| *stream_id))
        .blobs(keys.iter().map(|(_, entity)| &***entity));
    session.execute(delete).await
}

async fn delete_passed(session: &mut Session<'_>, batch: &[Effects<'_>]) -> Result<(), Trouble> {
    let passed = batch.iter().filter_map(|effects| {
        let through = effects.step.delete_through?.to_be_bytes();
        Some((effects.stream_id?, &*effects.request.key.entity, through))
    });
    let passed: Vec<_> = passed.collect();
    if !passed.is_empty() {
        let delete = Statement::new(include_str!("sql/delete_events.sql"))
            .ints(passed.iter().map(|(stream_id, ..)| *stream_id))
            .blobs(passed.iter().map(|(_, entity, _)| *entity))
            .blobs(passed.iter().map(|(.., through)| &through[..]));
        session.execute(delete).await?;
    }
    Ok(())
}

async fn insert_events(
    session: &mut Session<'_>,
    batch: &[Effects<'_>],
    text: &'static str,
    which: impl Fn(&Step) -> &Vec<usize> + Send,
) -> Result<(), Trouble> {
    let mut events = Vec::new();
    for effects in batch {
        let places = which(&effects.step);
        if places.is_empty() {
            continue;
        }
        let stream_id = effects.stream_id.ok_or_else(|| corrupt("an event has no stream"))?;
        let offered = offered(&effects.request.input);
        for event in places.iter().filter_map(|place| offered.get(*place)) {
            events.push((stream_id, KeptEvent::new(event)?));
        }
    }
    if events.is_empty() {
        return Ok(());
    }
    let insert = Statement::new(text)
        .ints(events.iter().map(|(stream_id, _)| *stream_id))
        .blobs(events.iter().map(|(_, event)| event.entity))
        .blobs(events.iter().map(|(_, event)| &event.idx[..]))
        .blobs(events.iter().map(|(_, event)| &event.digest[..]))
        .ints(events.iter().map(|(_, event)| event.bytes))
        .ints(events.iter().map(|(_, event)| event.time))
        .maybe_blobs(events.iter().map(|(_, event)| event.id))
        .maybe_blobs(events.iter().map(|(_, event)| event.event_type))
        .blobs(events.iter().map(|(_, event)| &event.headers[..]))
        .maybe_blobs(events.iter().map(|(_, event)| event.payload));
    session.execute(insert).await?;
    Ok(())
}

/// Keeps the event as it came before its first edit.
async fn edit_head(
    session: &mut Session<'_>,
    consumer_id: i64,
    effects: &Effects<'_>,
    now: Timestamp,
) -> Result<(), Trouble> {
    let (Some(index), Some(stream_id)) = (effects.step.edit_head, effects.stream_id) else { return Ok(()) };
    let Some((payload, headers)) = edit(&effects.request.input) else { return Ok(()) };
    let entity = &effects.request.key.entity;
    let keep = Statement::new(include_str!("sql/keep_original.sql")).int(consumer_id).int(now.as_micros());
    session.execute(keep.int(stream_id).blob(entity).blob(&index.to_be_bytes())).await?;
    let statement = Statement::new(include_str!("sql/edit_event.sql"))
        .maybe_blob(payload.map(AsRef::as_ref))
        .blob(&keep_headers(headers)?)
        .int(stream_id)
        .blob(&effects.request.key.entity)
        .blob(&index.to_be_bytes());
    session.execute(statement).await?;
    Ok(())
}

async fn delete_conflicts(session: &mut Session<'_>, effects: &Effects<'_>) -> Result<(), Trouble> {
    let (Some((index, digest)), Some(stream_id)) = (effects.step.delete_conflicts, effects.stream_id) else {
        return Ok(());
    };
    let digest = digest.map(Digest::to_bytes);
    let statement = Statement::new(include_str!("sql/delete_conflicts.sql"))
        .int(stream_id)
        .blob(&effects.request.key.entity)
        .blob(&index.to_be_bytes())
        .maybe_blob(digest.as_ref().map(<[u8; 16]>::as_slice));
    session.execute(statement).await?;
    Ok(())
}

/// Appends lines to the audit.
pub(super) async fn write_audit(
    session: &mut Session<'_>,
    consumer_id: i64,
    now: Timestamp,
    lines: impl Iterator<Item = (&GateKey, &Audit)> + Send,
) -> Result<(), Trouble> {
    let mut kept = Vec::new();
    for (key, audit) in lines {
        let summaries = (keep_summary(audit.before)?, keep_summary(audit.after)?);
        let index = audit.index.map(Index::to_be_bytes);
        kept.push((key, audit, index, keep_outcome(audit.outcome)?, summaries));
    }
    if kept.is_empty() {
        return Ok(());
    }
    let insert = Statement::new(include_str!("sql/insert_audit.sql"))
        .int(consumer_id)
        .int(now.as_micros())
        .blobs(kept.iter().map(|(key, ..)| key.stream.as_str().as_bytes()))
        .blobs(kept.iter().map(|(key, ..)| &*key.entity))
        .blobs(kept.iter().map(|(_, audit, ..)| audit.action.as_bytes()))
        .maybe_blobs(kept.iter().map(|(_, _, index, ..)| index.as_ref().map(|index| &index[..])))
        .blobs(kept.iter().map(|(_, audit, ..)| audit.by.as_bytes()))
        .blobs(kept.iter().map(|(_, audit, ..)| audit.why.as_bytes()))
        .maybe_blobs(kept.iter().map(|(_, audit, ..)| audit.request_id.as_ref().map(|id| id.as_bytes())))
        .blobs(kept.iter().map(|(_, _, _, outcome, _)| outcome.as_bytes()))
        .maybe_blobs(kept.iter().map(|(.., (before, _))| before.as_ref().map(|text| text.as_bytes())))
        .maybe_blobs(kept.iter().map(|(.., (_, after))| after.as_ref().map(|text| text.as_bytes())));
    session.execute(insert).await?;
    Ok(())
}

async fn read_events(
    session: &mut Session<'_>,
    batch: &[Effects<'_>],
) -> Result<HashMap<usize, Event>, Trouble> {
    let mut asked = Vec::new();
    for (at, effects) in batch.iter().enumerate() {
        if let (Some(index), Some(stream_id)) = (effects.step.read, effects.stream_id) {
            asked.push((position(at)?, stream_id, &*effects.request.key.entity, index.to_be_bytes()));
        }
    }
    let mut events = HashMap::with_capacity(asked.len());
    if asked.is_empty() {
        return Ok(events);
    }
    let statement = Statement::new(include_str!("sql/read_events.sql"))
        .ints(asked.iter().map(|(at, ..)| *at))
        .ints(asked.iter().map(|(_, stream_id, ..)| *stream_id))
        .blobs(asked.iter().map(|(_, _, entity, _)| *entity))
        .blobs(asked.iter().map(|(.., index)| &index[..]));
    for row in session.rows(statement).await? {
        let at = row.place("position", batch.len())?;
        let key = &batch[at].request.key;
        events.insert(at, event(&row, &key.stream, &key.entity)?);
    }
    Ok(events)
}
