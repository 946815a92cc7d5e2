//! What steps must know, loaded for a whole batch at once.

use std::collections::HashMap;

use super::{
    columns::{count, flag, maybe_gate, maybe_index, maybe_int, outcome, record, sixteen},
    errors::Trouble,
    load_conflicts::load_conflicts,
    statement::{Session, Statement},
};
use crate::{
    Digest, Request,
    batch::{offered, position},
    gate::{Gate, Input, LoggedAt, Operation, Rows, Settings, StreamRecord},
    sql::columns::Columns,
};

/// What is loaded for one request.
#[derive(Default)]
pub(super) struct Loaded {
    /// None while the stream is not in the log at all.
    pub(super) stream_id: Option<i64>,
    pub(super) stream: Option<StreamRecord>,
    pub(super) gate: Option<Gate>,
    pub(super) rows: Rows,
}

/// Loads streams, gates and what is logged at arriving events' indexes; then, for those that ask, what is passed.
pub(super) async fn load(
    session: &mut Session<'_>,
    consumer_id: i64,
    settings: &Settings,
    requests: &[Request],
) -> Result<Vec<Loaded>, Trouble> {
    let mut loaded = load_gates(session, consumer_id, requests).await?;
    load_passed(session, settings, requests, &mut loaded).await?;
    load_outcomes(session, consumer_id, requests, &mut loaded).await?;
    load_conflicts(session, requests, &mut loaded).await?;
    Ok(loaded)
}

async fn load_gates(
    session: &mut Session<'_>,
    consumer_id: i64,
    requests: &[Request],
) -> Result<Vec<Loaded>, Trouble> {
    const WIDTH: usize = 6;
    // Every question: the request, the event's place in it, and the event, if one comes with the input.
    let mut asked = Vec::with_capacity(requests.len());
    for (at, request) in requests.iter().enumerate() {
        let events = offered(&request.input);
        if events.is_empty() {
            asked.push((at, 0, None));
        }
        asked.extend(events.into_iter().enumerate().map(|(place, event)| (at, place, Some(event))));
    }
    let mut loaded: Vec<Loaded> = requests.iter().map(|_| Loaded::default()).collect();
    let mut streams = HashMap::new();
    for chunk in asked.chunks(Statement::rows_max(WIDTH)) {
        let mut statement = Statement::list(include_str!("sql/load.sql"), WIDTH);
        for (place, (at, nth, event)) in chunk.iter().enumerate() {
            let Some(Request { key, .. }) = requests.get(*at) else { continue };
            let index = event.map(|event| event.index().to_be_bytes());
            let digest = event.map(|event| event.digest().to_bytes());
            statement = statement
                .int(position(place)?)
                .int(i64::from(*nth == 0))
                .text(key.stream.as_str())
                .blob(&key.entity)
                .maybe_blob(index.as_ref().map(<[u8; 16]>::as_slice))
                .maybe_blob(digest.as_ref().map(<[u8; 16]>::as_slice))
                .end_row();
        }
        for row in session.rows(statement.end_rows().int(consumer_id)).await? {
            let place = row.place("position", chunk.len())?;
            let Some((at, nth, event)) = chunk.get(place) else { continue };
            let Some(loaded) = loaded.get_mut(*at) else { continue };
            if *nth == 0 {
                load_first(&row, loaded, &mut streams)?;
            }
            if event.is_some() {
                let logged = &mut loaded.rows.logged;
                logged.resize(logged.len().max(nth + 1), None);
                logged[*nth] = logged_at(&row)?;
            }
        }
    }
    Ok(loaded)
}

/// Takes the stream and the gate from a request's first row; many requests of a batch share a stream.
fn load_first(
    row: &sqlx::sqlite::SqliteRow,
    loaded: &mut Loaded,
    streams: &mut HashMap<i64, Option<StreamRecord>>,
) -> Result<(), Trouble> {
    let Some(stream_id) = maybe_int(row, "stream_id")? else { return Ok(()) };
    loaded.stream_id = Some(stream_id);
    loaded.stream = match streams.get(&stream_id) {
        Some(record) => record.clone(),
        None => streams.entry(stream_id).or_insert(record(row)?).clone(),
    };
    loaded.gate = maybe_gate(row)?;
    Ok(())
}

fn logged_at(row: &sqlx::sqlite::SqliteRow) -> Result<Option<LoggedAt>, Trouble> {
    let Some(digest) = sixteen(row, "logged_digest")? else { return Ok(None) };
    let digest = Digest::from_bytes(digest);
    Ok(Some(LoggedAt { digest, conflict_known: flag(row, "conflict_known")? }))
}

/// Loads what lies at and beyond the bounds of those inputs that have one.
async fn load_passed(
    session: &mut Session<'_>,
    settings: &Settings,
    requests: &[Request],
    loaded: &mut [Loaded],
) -> Result<(), Trouble> {
    const WIDTH: usize = 5;
    let mut statement = Statement::list(include_str!("sql/load_passed.sql"), WIDTH);
    let mut asked = false;
    for (at, (request, loaded)) in requests.iter().zip(&*loaded).enumerate() {
        let (Some(stream_id), Some(gate)) = (loaded.stream_id, &loaded.gate) else { continue };
        let Some(bound) = request.input.bound(gate) else { continue };
        // A run's success needs a new window only past what is released; an operator always needs one.
        let released = match &request.input {
            Input::Operate(_) => None,
            Input::Resolve { .. }
            | Input::Arrive { .. }
            | Input::Fail { .. }
            | Input::Ignore { .. }
            | Input::Take
            | Input::Claim { .. }
            | Input::Renew { .. }
            | Input::FailAgain { .. }
            | Input::GiveBack { .. }
            | Input::Mirrored { .. } => gate.released.map(|released| released.to_be_bytes()),
        };
        asked = true;
        statement = statement
            .int(position(at)?)
            .int(stream_id)
            .blob(&request.key.entity)
            .blob(&bound.to_be_bytes())
            .maybe_blob(released.as_ref().map(<[u8; 16]>::as_slice))
            .end_row();
    }
    if !asked {
        return Ok(());
    }
    let statement = statement.end_rows().int(i64::from(settings.release_window.max(1)));
    for row in session.rows(statement).await? {
        let at = row.place("position", loaded.len())?;
        let Some(Loaded { rows, .. }) = loaded.get_mut(at) else { continue };
        rows.passed_events = count(&row, "passed_events")?;
        rows.passed_bytes = count(&row, "passed_bytes")?;
        rows.passed_last = maybe_index(&row, "passed_last")?;
        rows.next = maybe_index(&row, "next")?;
        rows.window_end = maybe_index(&row, "window_end")?;
    }
    Ok(())
}

/// Loads what came of operators' requests that were made before.
async fn load_outcomes(
    session: &mut Session<'_>,
    consumer_id: i64,
    requests: &[Request],
    loaded: &mut [Loaded],
) -> Result<(), Trouble> {
    const WIDTH: usize = 4;
    let mut statement = Statement::list(include_str!("sql/load_outcomes.sql"), WIDTH);
    let mut asked = false;
    for (at, request) in requests.iter().enumerate() {
        let Input::Operate(Operation { request_id: Some(request_id), .. }) = &request.input else { continue };
        asked = true;
        statement = statement
            .int(position(at)?)
            .text(request.key.stream.as_str())
            .blob(&request.key.entity)
            .text(request_id)
            .end_row();
    }
    if !asked {
        return Ok(());
    }
    for row in session.rows(statement.end_rows().int(consumer_id)).await? {
        let at = row.place("position", loaded.len())?;
        if let Some(loaded) = loaded.get_mut(at) {
            loaded.rows.earlier_outcome = Some(outcome(&row)?);
        }
    }
    Ok(())
}
