//! What steps must know, loaded for a whole batch at once, under the locks of its streams and gates.

use std::collections::HashMap;

use sqlx::postgres::PgRow;

use super::{
    errors::Trouble,
    statement::{Session, Statement},
};
use crate::{
    Digest, Event, FailureLogError, Index, Request, StreamName, Timestamp,
    batch::{offered, position},
    gate::{Action, Gate, Guard, Input, LoggedAt, Operation, Rows, Settings, StreamRecord},
    sql::columns::{Columns, corrupt, maybe_gate, outcome, record},
};

/// What is loaded for one request.
#[derive(Default)]
pub(super) struct Loaded {
    /// None while the stream is not in the log at all.
    pub(super) stream_id: Option<i64>,
    pub(super) stream: Option<StreamRecord>,
    pub(super) gate: Option<Gate>,
    /// No logged event of the entity lies beyond it.
    pub(super) tail: Option<Index>,
    pub(super) rows: Rows,
}

/// Locks streams and gates and loads them; then, for those that ask, what is logged and what is passed. Returns the
/// log's time beside them.
pub(super) async fn load(
    session: &mut Session<'_>,
    consumer_id: i64,
    settings: &Settings,
    requests: &[Request],
) -> Result<(Vec<Loaded>, Timestamp), Trouble> {
    let (mut loaded, now) = load_gates(session, consumer_id, requests).await?;
    load_logged(session, requests, &mut loaded).await?;
    load_passed(session, settings, requests, &mut loaded).await?;
    load_outcomes(session, consumer_id, requests, &mut loaded).await?;
    load_conflicts(session, requests, &mut loaded).await?;
    Ok((loaded, now))
}

async fn load_gates(
    session: &mut Session<'_>,
    consumer_id: i64,
    requests: &[Request],
) -> Result<(Vec<Loaded>, Timestamp), Trouble> {
    let mut streams: Vec<(&StreamName, bool)> = Vec::new();
    let mut numbers: HashMap<&StreamName, usize> = HashMap::new();
    let mut asked = Vec::with_capacity(requests.len());
    for Request { key, guard, .. } in requests {
        let number = *numbers.entry(&key.stream).or_insert_with(|| {
            streams.push((&key.stream, false));
            streams.len() - 1
        });
        // An input that brings its own proof does not depend on the stream's generation, and a takeover need not wait
        // for it.
        streams[number].1 |= *guard != Guard::Unguarded;
        asked.push(number);
    }
    let numbered = asked.iter().map(|number| position(*number + 1)).collect::<Result<Vec<i64>, _>>()?;
    let statement = Statement::new(include_str!("sql/load.sql"))
        .int(consumer_id)
        .int(session.told_micros())
        .blobs(streams.iter().map(|(name, _)| name.as_str().as_bytes()))
        .flags(streams.iter().map(|(_, guarded)| *guarded))
        .ints(numbered.into_iter())
        .blobs(requests.iter().map(|request| &*request.key.entity));
    let mut found: Vec<Option<(i64, Option<StreamRecord>)>> = vec![None; streams.len()];
    let mut loaded: Vec<Loaded> = requests.iter().map(|_| Loaded::default()).collect();
    let mut now = None;
    for row in session.rows(statement).await? {
        // The last row was made when every lock was held.
        now = now.max(row.maybe_time("now")?);
        if row.maybe_int("nth")?.is_none() {
            continue;
        }
        let number = row.place("nth", streams.len() + 1)?.saturating_sub(1);
        if let Some(found @ None) = found.get_mut(number) {
            *found = Some((row.int("stream_id")?, record(&row)?));
        }
        if row.maybe_int("position")?.is_some() {
            let at = row.place("position", loaded.len())?;
            loaded[at].gate = maybe_gate(&row)?;
            loaded[at].tail = row.maybe_index("tail")?;
        }
    }
    for (loaded, number) in loaded.iter_mut().zip(asked) {
        if let Some(Some((stream_id, record))) = found.get(number) {
            (loaded.stream_id, loaded.stream) = (Some(*stream_id), record.clone());
        }
    }
    let now = now.ok_or_else(|| corrupt("the server does not tell the time"))?;
    Ok((loaded, now))
}

/// Loads what is logged at arriving events' indexes; where the gate says that nothing can be, without a statement.
async fn load_logged(
    session: &mut Session<'_>,
    requests: &[Request],
    loaded: &mut [Loaded],
) -> Result<(), Trouble> {
    let mut asked: Vec<(usize, usize, i64, &Event)> = Vec::new();
    for (at, (request, loaded)) in requests.iter().zip(loaded.iter_mut()).enumerate() {
        let events = offered(&request.input);
        loaded.rows.logged = vec![None; events.len()];
        let (Some(stream_id), Some(gate)) = (loaded.stream_id, &loaded.gate) else { continue };
        if gate.held_events == 0 {
            continue;
        }
        for (nth, event) in events.into_iter().enumerate() {
            if loaded.tail.is_none_or(|tail| event.index() <= tail) {
                asked.push((at, nth, stream_id, event));
            }
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let indexes: Vec<[u8; 16]> = asked.iter().map(|(.., event)| event.index().to_be_bytes()).collect();
    let digests: Vec<[u8; 16]> = asked.iter().map(|(.., event)| event.digest().to_bytes()).collect();
    let statement = Statement::new(include_str!("sql/load_logged.sql"))
        .ints(asked.iter().map(|(_, _, stream_id, _)| *stream_id))
        .blobs(asked.iter().map(|(.., event)| &**event.entity()))
        .blobs(indexes.iter().map(|index| &index[..]))
        .blobs(digests.iter().map(|digest| &digest[..]));
    for row in session.rows(statement).await? {
        let (at, nth, ..) = asked[row.place("position", asked.len())?];
        loaded[at].rows.logged[nth] = Some(logged_at(&row)?);
    }
    Ok(())
}

fn logged_at(row: &PgRow) -> Result<LoggedAt, FailureLogError> {
    let digest = row.sixteen("logged_digest")?.ok_or_else(|| corrupt("an event has no digest"))?;
    Ok(LoggedAt { digest: Digest::from_bytes(digest), conflict_known: row.flag("conflict_known")? })
}

/// Loads what lies at and beyond the bounds of those inputs that have one.
async fn load_passed(
    session: &mut Session<'_>,
    settings: &Settings,
    requests: &[Request],
    loaded: &mut [Loaded],
) -> Result<(), Trouble> {
    let mut asked = Vec::new();
    for (at, (request, loaded)) in requests.iter().zip(&*loaded).enumerate() {
        let (Some(stream_id), Some(gate)) = (loaded.stream_id, &loaded.gate) else { continue };
        let Some(bound) = request.input.bound(gate) else { continue };
        // A run's success needs a new window only past what is released; an operator always needs one.
        let is_operation = matches!(request.input, Input::Operate(_));
        let released = if is_operation { None } else { gate.released };
        let released = released.map(Index::to_be_bytes);
        asked.push((position(at)?, stream_id, &*request.key.entity, bound.to_be_bytes(), released));
    }
    if asked.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(include_str!("sql/load_passed.sql"))
        .ints(asked.iter().map(|(at, ..)| *at))
        .ints(asked.iter().map(|(_, stream_id, ..)| *stream_id))
        .blobs(asked.iter().map(|(_, _, entity, ..)| *entity))
        .blobs(asked.iter().map(|(.., bound, _)| &bound[..]))
        .maybe_blobs(asked.iter().map(|(.., released)| released.as_ref().map(|index| &index[..])))
        .int(i64::from(settings.release_window.max(1)));
    for row in session.rows(statement).await? {
        let rows = &mut loaded[row.place("position", requests.len())?].rows;
        rows.passed_events = row.count("passed_events")?;
        rows.passed_bytes = row.count("passed_bytes")?;
        rows.passed_last = row.maybe_index("passed_last")?;
        rows.next = row.maybe_index("next")?;
        rows.window_end = row.maybe_index("window_end")?;
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
    let mut asked = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        if let Input::Operate(Operation { request_id: Some(request_id), .. }) = &request.input {
            asked.push((position(at)?, &request.key, request_id));
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(include_str!("sql/load_outcomes.sql"))
        .int(consumer_id)
        .ints(asked.iter().map(|(at, ..)| *at))
        .blobs(asked.iter().map(|(_, key, _)| key.stream.as_str().as_bytes()))
        .blobs(asked.iter().map(|(_, key, _)| &*key.entity))
        .blobs(asked.iter().map(|(.., request_id)| request_id.as_bytes()));
    for row in session.rows(statement).await? {
        let at = row.place("position", requests.len())?;
        loaded[at].rows.earlier_outcome = Some(outcome(&row)?);
    }
    Ok(())
}

/// Counts how many of the events kept beside the log an operator names.
async fn load_conflicts(
    session: &mut Session<'_>,
    requests: &[Request],
    loaded: &mut [Loaded],
) -> Result<(), Trouble> {
    let mut asked = Vec::new();
    for (at, (Request { key, input, .. }, loaded)) in requests.iter().zip(&*loaded).enumerate() {
        if let Input::Operate(Operation { action: Action::VoidConflict { index, digest }, .. }) = input
            && let Some(stream_id) = loaded.stream_id
        {
            let digest = digest.map(Digest::to_bytes);
            asked.push((position(at)?, stream_id, &*key.entity, index.to_be_bytes(), digest));
        }
    }
    if asked.is_empty() {
        return Ok(());
    }
    let statement = Statement::new(include_str!("sql/load_conflicts.sql"))
        .ints(asked.iter().map(|(at, ..)| *at))
        .ints(asked.iter().map(|(_, stream_id, ..)| *stream_id))
        .blobs(asked.iter().map(|(_, _, entity, ..)| *entity))
        .blobs(asked.iter().map(|(.., index, _)| &index[..]))
        .maybe_blobs(asked.iter().map(|(.., digest)| digest.as_ref().map(|digest| &digest[..])));
    for row in session.rows(statement).await? {
        let rows = &mut loaded[row.place("position", requests.len())?].rows;
        rows.conflicts_named = u32::try_from(row.count("conflicts_named")?).unwrap_or(u32::MAX);
    }
    Ok(())
}
