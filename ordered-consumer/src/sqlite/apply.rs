//! Batches of requests, and what the relay takes: load, step, write.

use super::{
    columns::{bytes, gate, int, maybe_int, stream_name},
    connections::Write,
    errors::Trouble,
    load::load,
    statement::{Session, Statement},
    write::{Effects, write, write_gates},
};
use crate::{
    Answer, Answers, DueGates, GateKey, Request, Timestamp,
    gate::{self, Guard, Input, Moment, Rows, Settings},
    sql::change::Change,
};

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

    async fn run(&self, session: &mut Session<'_>) -> Result<Answers, Trouble> {
        let now = session.now;
        let loaded = load(session, self.consumer_id, &self.settings, &self.requests).await?;
        let mut batch = Vec::with_capacity(self.requests.len());
        for ((request, loaded), version) in self.requests.iter().zip(loaded).zip(self.first_version..) {
            let Request { guard, input, .. } = request;
            let moment = Moment { now, version, settings: &self.settings };
            let before = loaded.gate.clone();
            let step = gate::step(loaded.gate, &loaded.rows, loaded.stream.as_ref(), guard, input, &moment);
            let change = Change::between(before.as_ref(), step.gate.as_ref());
            batch.push(Effects { request, stream_id: loaded.stream_id, change, step });
        }
        let mut events = write(session, self.consumer_id, &mut batch).await?;
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

    async fn run(&self, session: &mut Session<'_>) -> Result<DueGates, Trouble> {
        let now = session.now;
        let due = Statement::new(include_str!("sql/load_due.sql"))
            .int(self.consumer_id)
            .int(now.as_micros())
            .int(i64::from(self.limit));
        let mut due_gates = DueGates::default();
        let mut gates = Vec::new();
        for (row, version) in session.rows(due).await?.iter().zip(self.first_version..) {
            let moment = Moment { now, version, settings: &self.settings };
            let (stream, entity) = (stream_name(row, "stream")?, bytes(row, "entity")?);
            let before = gate(row)?;
            let (rows, guard) = (Rows::default(), Guard::Unguarded);
            let step = gate::step(Some(before.clone()), &rows, None, &guard, &Input::Take, &moment);
            due_gates.note(GateKey { stream, entity: entity.clone() }, &before, &step.reply, now);
            if step.gate.as_ref() != Some(&before) {
                gates.push((int(row, "stream_id")?, entity, step.gate));
            }
        }
        let gates: Vec<_> = gates.iter().map(|(id, entity, gate)| (*id, entity, gate.as_ref())).collect();
        write_gates(session, self.consumer_id, &gates).await?;
        let next_due_at = next_due_at(&session.rows(next_due(self.consumer_id)).await?)?;
        due_gates.next_due_in = next_due_at.map(|due_at| due_at.since(now));
        Ok(due_gates)
    }
}

/// Asks when the next gate falls due.
pub(super) fn next_due(consumer_id: i64) -> Statement {
    Statement::new(include_str!("sql/next_due.sql")).int(consumer_id)
}

pub(super) fn next_due_at(rows: &[sqlx::sqlite::SqliteRow]) -> Result<Option<Timestamp>, Trouble> {
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(maybe_int(row, "due_at")?.map(Timestamp::from_micros))
}
