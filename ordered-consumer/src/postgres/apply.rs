//! Batches of requests, and what the relay takes: load, step, write.

use super::{
    connections::{Purpose, Write},
    errors::Trouble,
    load::load,
    statement::{Session, Statement},
    write::{Effects, GateRow, write, write_gates},
};
use crate::{
    Answer, Answers, DueGates, GateKey, Request,
    gate::{self, Guard, Input, Moment, Rows, Settings},
    sql::{
        change::Change,
        columns::{Columns, corrupt, gate},
    },
};

/// What the batch is for: a main stream's events must not wait for retries, nor either of them for operators.
pub(super) fn purpose(requests: &[Request]) -> Purpose {
    let is_main = |request: &Request| {
        matches!(request.input, Input::Arrive { .. } | Input::Fail { .. } | Input::Ignore { .. })
    };
    let is_operation = |request: &Request| matches!(request.input, Input::Operate(_));
    if requests.iter().any(is_main) {
        Purpose::Main
    } else if requests.iter().any(is_operation) {
        Purpose::Operators
    } else {
        Purpose::Retries
    }
}

pub(super) struct Apply {
    pub(super) consumer_id: i64,
    pub(super) settings: Settings,
    pub(super) requests: Vec<Request>,
    /// The first of as many versions as there are requests.
    pub(super) first_version: u64,
}

impl Write for Apply {
    type Output = Answers;
    const DOING: &'static str = "applying a batch";

    fn purpose(&self) -> Purpose {
        purpose(&self.requests)
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<Answers, Trouble> {
        let (loaded, now) = load(session, self.consumer_id, &self.settings, &self.requests).await?;
        let mut batch = Vec::with_capacity(self.requests.len());
        for ((request, loaded), version) in self.requests.iter().zip(loaded).zip(self.first_version..) {
            let Request { guard, input, .. } = request;
            let moment = Moment { now, version, settings: &self.settings };
            let before = loaded.gate.clone();
            let step = gate::step(loaded.gate, &loaded.rows, loaded.stream.as_ref(), guard, input, &moment);
            let change = Change::between(before.as_ref(), step.gate.as_ref());
            let (stream_id, tail, was_there) = (loaded.stream_id, loaded.tail, before.is_some());
            batch.push(Effects { request, stream_id, was_there, tail, change, step });
        }
        let mut events = write(session, self.consumer_id, &mut batch, now).await?;
        let answers = batch.into_iter().enumerate();
        let answers =
            answers.map(|(at, effects)| Answer { reply: effects.step.reply, event: events.remove(&at) });
        Ok(Answers { answers: answers.collect(), now })
    }
}

pub(super) struct TakeDue {
    pub(super) consumer_id: i64,
    pub(super) settings: Settings,
    pub(super) limit: u32,
    pub(super) first_version: u64,
}

impl Write for TakeDue {
    type Output = DueGates;
    const DOING: &'static str = "taking what is due";

    fn purpose(&self) -> Purpose {
        Purpose::Retries
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<DueGates, Trouble> {
        let due = Statement::new(include_str!("sql/load_due.sql"))
            .int(self.consumer_id)
            .int(session.told_micros())
            .int(i64::from(self.limit));
        let mut due_gates = DueGates::default();
        let mut changed = Vec::new();
        for (row, version) in session.rows(due).await?.iter().zip(self.first_version..) {
            let now = row.maybe_time("now")?.ok_or_else(|| corrupt("the server does not tell the time"))?;
            let moment = Moment { now, version, settings: &self.settings };
            let Some(stream_id) = row.maybe_int("stream_id")? else { continue };
            let (stream, entity) = (row.stream_name("stream")?, row.bytes("entity")?);
            let before = gate(row)?;
            let (rows, guard) = (Rows::default(), Guard::Unguarded);
            let step = gate::step(Some(before.clone()), &rows, None, &guard, &Input::Take, &moment);
            due_gates.note(GateKey { stream, entity: entity.clone() }, &before, &step.reply, now);
            if step.gate.as_ref() != Some(&before) {
                let after = step.gate.ok_or_else(|| corrupt("taking a gate would delete it"))?;
                changed.push((stream_id, entity, after, row.maybe_index("tail")?));
            }
        }
        let rows = changed.iter().map(|(stream_id, entity, gate, tail)| GateRow {
            stream_id: *stream_id,
            entity,
            gate,
            tail: *tail,
        });
        write_gates(session, &rows.collect::<Vec<_>>()).await?;
        let next = session.row(next_due(self.consumer_id, session.told_micros())).await?;
        let next = next.ok_or(sqlx::Error::RowNotFound)?;
        due_gates.next_due_in = next_due_in(&next)?;
        Ok(due_gates)
    }
}

/// Asks when the next gate falls due.
pub(super) fn next_due(consumer_id: i64, told_micros: Option<i64>) -> Statement {
    Statement::new(include_str!("sql/next_due.sql")).int(consumer_id).int(told_micros)
}

/// How long it is until then; zero when something is due.
pub(super) fn next_due_in(row: &impl Columns) -> Result<Option<std::time::Duration>, crate::FailureLogError> {
    let now = row.maybe_time("now")?.ok_or_else(|| corrupt("the server does not tell the time"))?;
    Ok(row.maybe_time("due_at")?.map(|due_at| due_at.since(now)))
}
