//! Streams: who owns them, how far they are settled, and what an operator decides about them.

use bytes::Bytes;
use sqlx::sqlite::SqliteRow;

use super::{
    columns::{bits, flag, gate, int, record},
    connections::Write,
    errors::Trouble,
    layouts,
    statement::{Session, Statement},
    write::{delete_gates, returned, write_audit},
};
use crate::{
    FailureLogError, GateKey, Index, Layout, StreamDecision, StreamName, Timestamp,
    gate::{
        self, APART_TAKEN, Audit, LayoutStep, SetApart, Settle, StreamRecord, StreamRefusal, TakeOver,
        may_drop_tombstone,
    },
};

/// Asks for a stream's row.
pub(super) fn find_stream(consumer_id: i64, stream: &StreamName) -> Statement {
    Statement::new(include_str!("sql/load_stream.sql")).int(consumer_id).text(stream.as_str())
}

/// A stream's row: its id and, once it was taken over, its record.
pub(super) fn found_stream(row: Option<&SqliteRow>) -> Result<Option<(i64, Option<StreamRecord>)>, Trouble> {
    let Some(row) = row else { return Ok(None) };
    Ok(Some((int(row, "stream_id")?, record(row)?)))
}

async fn load_stream(
    session: &mut Session<'_>,
    consumer_id: i64,
    stream: &StreamName,
) -> Result<Option<(i64, Option<StreamRecord>)>, Trouble> {
    found_stream(session.row(find_stream(consumer_id, stream)).await?.as_ref())
}

/// Adds a stream's row; without a record, for its gates alone.
pub(super) async fn add_stream(
    session: &mut Session<'_>,
    consumer_id: i64,
    stream: &StreamName,
    record: Option<&StreamRecord>,
) -> Result<i64, Trouble> {
    let recorded = i64::from(record.is_some());
    let insert = Statement::new(include_str!("sql/insert_stream.sql"));
    let insert = insert.int(consumer_id).text(stream.as_str()).int(recorded);
    let none = StreamRecord::default();
    returned(session.row(bind_record(insert, record.unwrap_or(&none))).await?, "stream_id")
}

fn bind_record(statement: Statement, record: &StreamRecord) -> Statement {
    let settled = record.settled.map(Index::to_be_bytes);
    statement
        .maybe_blob(record.identity.as_ref().map(AsRef::as_ref))
        .int(bits(record.generation))
        .maybe_blob(settled.as_ref().map(<[u8; 16]>::as_slice))
        .int(i64::from(record.clean))
        .int(bits(record.uncommitted_max))
}

async fn update_stream(session: &mut Session<'_>, id: i64, record: &StreamRecord) -> Result<(), Trouble> {
    let update = bind_record(Statement::new(include_str!("sql/update_stream.sql")), record).int(id);
    session.execute(update).await?;
    Ok(())
}

pub(super) struct TakeStreamOver {
    pub(super) consumer_id: i64,
    pub(super) stream: StreamName,
    pub(super) asked: TakeOver,
}

impl Write for TakeStreamOver {
    type Output = Result<(Option<StreamRecord>, StreamRecord), StreamRefusal>;
    const DOING: &'static str = "taking a stream over";

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Output, Trouble> {
        let found = load_stream(session, self.consumer_id, &self.stream).await?;
        let (id, before) = found.map_or((None, None), |(id, record)| (Some(id), record));
        let now = match gate::take_over(before.as_ref(), &self.asked) {
            Ok(now) => now,
            Err(refusal) => return Ok(Err(refusal)),
        };
        match id {
            Some(id) => update_stream(session, id, &now).await?,
            None => {
                add_stream(session, self.consumer_id, &self.stream, Some(&now)).await?;
            }
        }
        Ok(Ok((before, now)))
    }
}

pub(super) struct SettleStream {
    pub(super) consumer_id: i64,
    pub(super) stream: StreamName,
    pub(super) report: Settle,
}

impl Write for SettleStream {
    type Output = Result<StreamRecord, StreamRefusal>;
    const DOING: &'static str = "settling a stream";

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Output, Trouble> {
        let found = load_stream(session, self.consumer_id, &self.stream).await?;
        let before = found.as_ref().and_then(|(_, record)| record.as_ref());
        let settled = gate::settle(before, &self.report);
        if let (Ok(now), Some((id, before))) = (&settled, &found)
            && before.as_ref() != Some(now)
        {
            update_stream(session, *id, now).await?;
        }
        Ok(settled)
    }
}

pub(super) struct Decide {
    pub(super) consumer_id: i64,
    pub(super) stream: StreamName,
    pub(super) decision: StreamDecision,
    pub(super) by: String,
    pub(super) why: String,
}

impl Write for Decide {
    type Output = ();
    const DOING: &'static str = "carrying out a decision about a stream";

    async fn run(&self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let found = load_stream(session, self.consumer_id, &self.stream).await?;
        let generation = match (self.decision, found) {
            (_, None) => 0,
            (StreamDecision::Replay, Some((id, record))) => replay(session, id, record).await?,
            (StreamDecision::NewStream, Some((id, record))) => self.set_apart(session, id, record).await?,
        };
        let audit = Audit::of_stream(self.decision, (&self.by, &self.why), generation);
        let key = GateKey { stream: self.stream.clone(), entity: Bytes::new() };
        write_audit(session, self.consumer_id, [(&key, &audit)].into_iter()).await
    }
}

/// The two statements do to all gates at once what [`gate::forget_resolved`] does to one: there may be a million.
async fn replay(session: &mut Session<'_>, id: i64, record: Option<StreamRecord>) -> Result<u64, Trouble> {
    session.execute(Statement::new(include_str!("sql/forget_tombstones.sql")).int(id)).await?;
    session.execute(Statement::new(include_str!("sql/forget_resolved.sql")).int(id)).await?;
    let Some(old) = record else { return Ok(0) };
    let now = gate::replay(old);
    update_stream(session, id, &now).await?;
    Ok(now.generation)
}

impl Decide {
    /// Gives the stream's row another name, with all that belongs to it.
    async fn set_apart(
        &self,
        session: &mut Session<'_>,
        id: i64,
        old: Option<StreamRecord>,
    ) -> Result<u64, Trouble> {
        let gates = session.row(Statement::new(include_str!("sql/has_gates.sql")).int(id)).await?;
        let has_gates = gates.as_ref().map(|row| flag(row, "found")).transpose()?.unwrap_or(false);
        let Some(SetApart { name: apart, fresh }) = gate::set_apart(&self.stream, old.as_ref(), has_gates)?
        else {
            return Ok(old.map_or(0, |record| record.generation));
        };
        if load_stream(session, self.consumer_id, &apart).await?.is_some() {
            return Err(FailureLogError::Misused { what: APART_TAKEN }.into());
        }
        let rename = Statement::new(include_str!("sql/rename_stream.sql")).text(apart.as_str()).int(id);
        session.execute(rename).await?;
        add_stream(session, self.consumer_id, &self.stream, Some(&fresh)).await?;
        if let Some(layout) = Layout::name_of(&self.stream) {
            layouts::write_step(session, self.consumer_id, &layout, &LayoutStep::Forget).await?;
        }
        Ok(fresh.generation)
    }
}

pub(super) struct DropTombstones {
    pub(super) consumer_id: i64,
    pub(super) stream: StreamName,
    pub(super) retention: Option<std::time::Duration>,
    pub(super) limit: u32,
}

impl Write for DropTombstones {
    type Output = u64;
    const DOING: &'static str = "dropping tombstones";

    async fn run(&self, session: &mut Session<'_>) -> Result<u64, Trouble> {
        let Some((id, record)) = load_stream(session, self.consumer_id, &self.stream).await? else {
            return Ok(0);
        };
        let settled = record.and_then(|record| record.settled);
        let kept_since = self.retention.map(|retention| session.now.minus(retention));
        let candidates = find_tombstones(id, settled, kept_since, self.limit);
        let mut droppable = Vec::new();
        for row in session.rows(candidates).await? {
            if may_drop_tombstone(&gate(&row)?, settled, kept_since) {
                droppable.push(int(&row, "gate_id")?);
            }
        }
        delete_gates(session, &droppable).await
    }
}

/// Asks for tombstones that look as if they may be dropped.
pub(super) fn find_tombstones(
    stream_id: i64,
    settled: Option<Index>,
    kept_since: Option<Timestamp>,
    limit: u32,
) -> Statement {
    let settled = settled.map(Index::to_be_bytes);
    Statement::new(include_str!("sql/load_tombstones.sql"))
        .int(stream_id)
        .maybe_blob(settled.as_ref().map(<[u8; 16]>::as_slice))
        .int(kept_since.map(Timestamp::as_micros))
        .int(i64::from(limit))
}
