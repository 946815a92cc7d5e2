//! What the steps of a batch say must be written, gathered, and written in few statements.

use std::collections::HashMap;

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;

use super::{
    columns::{
        EVENT_COLUMNS, GATE_COLUMNS, amount, bind_event, bind_gate, event, int, keep_headers, keep_outcome,
        keep_summary,
    },
    errors::Trouble,
    statement::{Session, Statement},
    streams::add_stream,
};
use crate::{
    Digest, Event, GateKey, Index, Request, StreamName,
    batch::{edit, offered, position},
    gate::{Audit, Gate, Step},
    sql::{
        change::Change,
        columns::{Columns, corrupt},
    },
};

/// One request's effects, with its place in the batch.
pub(super) struct Effects<'a> {
    pub(super) request: &'a Request,
    pub(super) stream_id: Option<i64>,
    pub(super) change: Change,
    pub(super) step: Step,
}

impl Effects<'_> {
    /// Whether rows are written that need the stream's id.
    fn needs_stream(&self) -> bool {
        self.change != Change::None || !self.step.insert.is_empty() || !self.step.insert_conflicts.is_empty()
    }
}

/// Writes everything, and returns the events that the steps asked to read, by their places in the batch.
pub(super) async fn write(
    session: &mut Session<'_>,
    consumer_id: i64,
    batch: &mut [Effects<'_>],
) -> Result<HashMap<usize, Event>, Trouble> {
    add_streams(session, consumer_id, batch).await?;
    delete_passed(session, batch).await?;
    let inserts = include_str!("sql/insert_events.sql");
    insert_events(session, batch, inserts, |step| &step.insert).await?;
    let conflicts = include_str!("sql/insert_conflicts.sql");
    insert_events(session, batch, conflicts, |step| &step.insert_conflicts).await?;
    for effects in &*batch {
        edit_head(session, consumer_id, effects).await?;
        delete_conflicts(session, effects).await?;
    }
    write_changes(session, consumer_id, batch).await?;
    let audits =
        batch.iter().filter_map(|effects| Some((&effects.request.key, effects.step.audit.as_ref()?)));
    write_audit(session, consumer_id, audits).await?;
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

async fn delete_passed(session: &mut Session<'_>, batch: &[Effects<'_>]) -> Result<(), Trouble> {
    const WIDTH: usize = 3;
    let passed = batch.iter().filter_map(|effects| {
        Some((effects.stream_id?, &effects.request.key.entity, effects.step.delete_through?))
    });
    let passed: Vec<_> = passed.collect();
    for chunk in passed.chunks(Statement::rows_max(WIDTH)) {
        let mut statement = Statement::list(include_str!("sql/delete_events.sql"), WIDTH);
        for (stream_id, entity, through) in chunk {
            statement = statement.int(*stream_id).blob(entity).blob(&through.to_be_bytes()).end_row();
        }
        session.execute(statement.end_rows()).await?;
    }
    Ok(())
}

async fn insert_events(
    session: &mut Session<'_>,
    batch: &[Effects<'_>],
    template: &'static str,
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
        events.extend(places.iter().filter_map(|place| offered.get(*place)).map(|event| (stream_id, *event)));
    }
    for chunk in events.chunks(Statement::rows_max(EVENT_COLUMNS)) {
        let mut statement = Statement::list(template, EVENT_COLUMNS);
        for (stream_id, event) in chunk {
            statement = bind_event(statement, *stream_id, event)?.end_row();
        }
        session.execute(statement.end_rows()).await?;
    }
    Ok(())
}

/// Keeps the event as it came before its first edit.
async fn edit_head(
    session: &mut Session<'_>,
    consumer_id: i64,
    effects: &Effects<'_>,
) -> Result<(), Trouble> {
    let (Some(index), Some(stream_id)) = (effects.step.edit_head, effects.stream_id) else { return Ok(()) };
    let Some((payload, headers)) = edit(&effects.request.input) else { return Ok(()) };
    let kept_at = session.now.as_micros();
    let keep = Statement::new(include_str!("sql/keep_original.sql")).int(consumer_id).int(kept_at);
    let entity = &effects.request.key.entity;
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

/// Writes the gates that changed. A batch of nothing but holds, the most frequent one, writes two numbers of each.
async fn write_changes(
    session: &mut Session<'_>,
    consumer_id: i64,
    batch: &[Effects<'_>],
) -> Result<(), Trouble> {
    const WIDTH: usize = 4;
    let changed = || batch.iter().filter(|effects| effects.change != Change::None);
    let gates: Vec<_> = changed()
        .filter_map(|effects| {
            Some((effects.stream_id?, &effects.request.key.entity, effects.step.gate.as_ref()))
        })
        .collect();
    if changed().any(|effects| effects.change != Change::Held) {
        return write_gates(session, consumer_id, &gates).await;
    }
    for chunk in gates.chunks(Statement::rows_max(WIDTH)) {
        let mut statement = Statement::list(include_str!("sql/update_held.sql"), WIDTH);
        for (stream_id, entity, gate) in chunk {
            let Some(gate) = gate else { continue };
            let (events, bytes) = (amount(gate.held_events)?, amount(gate.held_bytes)?);
            statement = statement.int(*stream_id).blob(entity).int(events).int(bytes).end_row();
        }
        session.execute(statement.end_rows()).await?;
    }
    Ok(())
}

/// Writes gates as they must be; those that must not be are deleted.
pub(super) async fn write_gates(
    session: &mut Session<'_>,
    consumer_id: i64,
    gates: &[(i64, &Bytes, Option<&Gate>)],
) -> Result<(), Trouble> {
    const WIDTH: usize = GATE_COLUMNS + 3;
    let kept: Vec<_> =
        gates.iter().filter_map(|(stream_id, entity, gate)| Some((*stream_id, *entity, (*gate)?))).collect();
    for chunk in kept.chunks(Statement::rows_max(WIDTH)) {
        let mut statement = Statement::list(include_str!("sql/upsert_gates.sql"), WIDTH);
        for (stream_id, entity, gate) in chunk {
            statement = statement.int(consumer_id).int(*stream_id).blob(entity);
            statement = bind_gate(statement, gate)?.end_row();
        }
        session.execute(statement.end_rows()).await?;
    }
    for (stream_id, entity, gate) in gates {
        if gate.is_none() {
            let delete = Statement::new(include_str!("sql/delete_gate.sql"));
            session.execute(delete.int(*stream_id).blob(entity)).await?;
        }
    }
    Ok(())
}

/// Appends lines to the audit.
pub(super) async fn write_audit(
    session: &mut Session<'_>,
    consumer_id: i64,
    lines: impl Iterator<Item = (&GateKey, &Audit)> + Send,
) -> Result<(), Trouble> {
    const WIDTH: usize = 12;
    let now = session.now.as_micros();
    let lines: Vec<_> = lines.collect();
    for chunk in lines.chunks(Statement::rows_max(WIDTH)) {
        let mut statement = Statement::list(include_str!("sql/insert_audit.sql"), WIDTH);
        for (key, audit) in chunk {
            let index = audit.index.map(Index::to_be_bytes);
            statement = statement
                .int(consumer_id)
                .text(key.stream.as_str())
                .blob(&key.entity)
                .int(now)
                .text(audit.action)
                .maybe_blob(index.as_ref().map(<[u8; 16]>::as_slice))
                .text(&audit.by)
                .text(&audit.why)
                .maybe_text(audit.request_id.as_ref().map(ToString::to_string))
                .text(&keep_outcome(audit.outcome)?)
                .maybe_text(keep_summary(audit.before)?)
                .maybe_text(keep_summary(audit.after)?)
                .end_row();
        }
        session.execute(statement.end_rows()).await?;
    }
    Ok(())
}

async fn read_events(
    session: &mut Session<'_>,
    batch: &[Effects<'_>],
) -> Result<HashMap<usize, Event>, Trouble> {
    const WIDTH: usize = 4;
    let mut statement = Statement::list(include_str!("sql/read_events.sql"), WIDTH);
    let mut asked = false;
    for (at, effects) in batch.iter().enumerate() {
        let (Some(index), Some(stream_id)) = (effects.step.read, effects.stream_id) else { continue };
        asked = true;
        statement = statement
            .int(position(at)?)
            .int(stream_id)
            .blob(&effects.request.key.entity)
            .blob(&index.to_be_bytes())
            .end_row();
    }
    if !asked {
        return Ok(HashMap::new());
    }
    let rows: Vec<SqliteRow> = session.rows(statement.end_rows()).await?;
    let mut events = HashMap::with_capacity(rows.len());
    for row in &rows {
        let at = row.place("position", batch.len())?;
        let Some(Effects { request, .. }) = batch.get(at) else { continue };
        events.insert(at, event(row, &request.key.stream, &request.key.entity)?);
    }
    Ok(events)
}

/// Deletes tombstones by their ids.
pub(super) async fn delete_gates(session: &mut Session<'_>, gate_ids: &[i64]) -> Result<u64, Trouble> {
    let mut deleted = 0;
    for chunk in gate_ids.chunks(Statement::rows_max(1)) {
        let mut statement = Statement::list(include_str!("sql/delete_gates.sql"), 1);
        for gate_id in chunk {
            statement = statement.int(*gate_id).end_row();
        }
        deleted += session.execute(statement.end_rows()).await?;
    }
    Ok(deleted)
}

/// The id that an insert returned.
pub(super) fn returned(row: Option<SqliteRow>, column: &str) -> Result<i64, Trouble> {
    int(&row.ok_or(sqlx::Error::RowNotFound)?, column)
}
