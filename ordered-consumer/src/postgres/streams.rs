//! Streams: who owns them, how far they are settled, and what an operator decides about them.

use bytes::Bytes;

use super::{
    connections::{Purpose, Write},
    errors::Trouble,
    layouts,
    statement::{Session, Statement},
    write::{delete_gates, write_audit},
};
use crate::{
    FailureLogError, GateKey, Index, Layout, StreamDecision, StreamName, Timestamp,
    gate::{
        self, APART_TAKEN, Audit, LayoutStep, SetApart, Settle, StreamRecord, StreamRefusal, TakeOver,
        may_drop_tombstone,
    },
    sql::columns::{Columns, gate, record},
};

/// The log's time.
pub(super) async fn read_time(session: &mut Session<'_>) -> Result<Timestamp, Trouble> {
    let time = Statement::new(include_str!("sql/read_time.sql")).int(session.told_micros());
    let row = session.row(time).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(Timestamp::from_micros(row.int("now")?))
}

/// Asks for a stream's row.
pub(super) fn find_stream(consumer_id: i64, stream: &StreamName) -> Statement {
    Statement::new(include_str!("sql/load_stream.sql")).int(consumer_id).blob(stream.as_str().as_bytes())
}

/// A stream's row: its id and, once it was taken over, its record.
pub(super) fn found_stream(
    row: Option<&impl Columns>,
) -> Result<Option<(i64, Option<StreamRecord>)>, FailureLogError> {
    let Some(row) = row else { return Ok(None) };
    Ok(Some((row.int("stream_id")?, record(row)?)))
}

/// Loads a stream's row under its exclusive lock: whoever holds it shared has ended.
async fn lock_stream(
    session: &mut Session<'_>,
    consumer_id: i64,
    stream: &StreamName,
) -> Result<Option<(i64, Option<StreamRecord>)>, Trouble> {
    let lock = Statement::new(include_str!("sql/lock_stream.sql"));
    let row = session.row(lock.int(consumer_id).blob(stream.as_str().as_bytes())).await?;
    Ok(found_stream(row.as_ref())?)
}

/// Adds a stream's row; without a record, for its gates alone.
pub(super) async fn add_stream(
    session: &mut Session<'_>,
    consumer_id: i64,
    stream: &StreamName,
    record: Option<&StreamRecord>,
) -> Result<i64, Trouble> {
    let insert = Statement::new(include_str!("sql/insert_stream.sql"));
    let insert = insert.int(consumer_id).blob(stream.as_str().as_bytes()).flag(record.is_some());
    let none = StreamRecord::default();
    let row = session.row(bind_record(insert, record.unwrap_or(&none))).await?;
    let row = row.ok_or(Trouble::Again("somebody else has just added the stream"))?;
    Ok(row.int("stream_id")?)
}

fn bind_record(statement: Statement, record: &StreamRecord) -> Statement {
    let settled = record.settled.map(Index::to_be_bytes);
    // Generations are only compared with each other for equality, so that all 64 bits are kept.
    statement
        .maybe_blob(record.identity.as_ref().map(AsRef::as_ref))
        .int(record.generation.cast_signed())
        .maybe_blob(settled.as_ref().map(<[u8; 16]>::as_slice))
        .flag(record.clean)
        .int(record.uncommitted_max.cast_signed())
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

    fn purpose(&self) -> Purpose {
        Purpose::Main
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Output, Trouble> {
        let found = lock_stream(session, self.consumer_id, &self.stream).await?;
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

    fn purpose(&self) -> Purpose {
        Purpose::Main
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<Self::Output, Trouble> {
        let found = lock_stream(session, self.consumer_id, &self.stream).await?;
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

    fn purpose(&self) -> Purpose {
        Purpose::Operators
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<(), Trouble> {
        let found = lock_stream(session, self.consumer_id, &self.stream).await?;
        let generation = match (self.decision, found) {
            (_, None) => 0,
            (StreamDecision::Replay, Some((id, record))) => replay(session, id, record).await?,
            (StreamDecision::NewStream, Some((id, record))) => self.set_apart(session, id, record).await?,
        };
        let audit = Audit::of_stream(self.decision, (&self.by, &self.why), generation);
        let now = read_time(session).await?;
        let key = GateKey { stream: self.stream.clone(), entity: Bytes::new() };
        write_audit(session, self.consumer_id, now, [(&key, &audit)].into_iter()).await
    }
}

/// The two statements do to all gates at once what [`gate::forget_resolved`] does to one: there may be a million.
async fn replay(session: &mut Session<'_>, id: i64, record: Option<StreamRecord>) -> Result<u64, Trouble> {
    session.rows(Statement::new(include_str!("sql/lock_gates.sql")).int(id)).await?;
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
        let has_gates = gates.as_ref().map(|row| row.flag("found")).transpose()?.unwrap_or(false);
        let Some(SetApart { name: apart, fresh }) = gate::set_apart(&self.stream, old.as_ref(), has_gates)?
        else {
            return Ok(old.map_or(0, |record| record.generation));
        };
        if lock_stream(session, self.consumer_id, &apart).await?.is_some() {
            return Err(FailureLogError::Misused { what: APART_TAKEN }.into());
        }
        let rename = Statement::new(include_str!("sql/rename_stream.sql"));
        session.execute(rename.blob(apart.as_str().as_bytes()).int(id)).await?;
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

    fn purpose(&self) -> Purpose {
        Purpose::Main
    }

    async fn run(&self, session: &mut Session<'_>) -> Result<u64, Trouble> {
        let row = session.row(find_stream(self.consumer_id, &self.stream)).await?;
        let Some((id, record)) = found_stream(row.as_ref())? else { return Ok(0) };
        let settled = record.and_then(|record| record.settled);
        let now = read_time(session).await?;
        let kept_since = self.retention.map(|retention| now.minus(retention));
        let mut candidates = Vec::new();
        for row in session.rows(find_tombstones(id, settled, kept_since, self.limit)).await? {
            candidates.push(row.bytes("entity")?);
        }
        if candidates.is_empty() {
            return Ok(0);
        }
        let lock = Statement::new(include_str!("sql/lock_tombstones.sql"));
        let lock = lock.int(id).blobs(candidates.iter().map(|entity| &**entity));
        let mut droppable = Vec::new();
        for row in session.rows(lock).await? {
            if may_drop_tombstone(&gate(&row)?, settled, kept_since) {
                droppable.push(row.bytes("entity")?);
            }
        }
        let keys: Vec<_> = droppable.iter().map(|entity| (id, entity)).collect();
        delete_gates(session, &keys).await
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
    Statement::new(include_str!("sql/find_tombstones.sql"))
        .int(stream_id)
        .maybe_blob(settled.as_ref().map(<[u8; 16]>::as_slice))
        .int(kept_since.map(Timestamp::as_micros))
        .int(i64::from(limit))
}
