//! What is dropped when it is old: tombstones, the audit, originals of edited events.

use std::time::Duration;

use super::{
    SqliteFailureLog,
    connections::Write,
    errors::Trouble,
    statement::{Session, Statement},
    streams::{DropTombstones, find_tombstones},
};
use crate::{ConsumerName, FailureLogError, StreamName};

struct DropAudit {
    consumer_id: i64,
    retention: Duration,
    limit: u32,
}

impl Write for DropAudit {
    type Output = u64;
    const DOING: &'static str = "dropping old lines of the audit";

    async fn run(&self, session: &mut Session<'_>) -> Result<u64, Trouble> {
        let kept_since = session.now.minus(self.retention).as_micros();
        let drop_from = |template| {
            let statement = Statement::new(template).int(self.consumer_id).int(kept_since);
            statement.int(i64::from(self.limit))
        };
        session.execute(drop_from(include_str!("sql/drop_originals.sql"))).await?;
        session.execute(drop_from(include_str!("sql/drop_audit.sql"))).await
    }
}

impl SqliteFailureLog {
    pub(super) async fn drop_old_audit(
        &self,
        consumer: &ConsumerName,
        retention: Duration,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(consumer).await? else { return Ok(0) };
        // Looking comes first, and takes no lock: mostly nothing is old.
        let kept_since = self.connections.clock.now().minus(retention).as_micros();
        let find = Statement::new(include_str!("sql/find_old_audit.sql")).int(consumer_id).int(kept_since);
        if limit == 0 || self.connections.read("looking for old lines of the audit", find).await?.is_empty() {
            return Ok(0);
        }
        let log = self.clone();
        self.task(DropAudit::DOING, async move {
            log.connections.write(&DropAudit { consumer_id, retention, limit }).await
        })
        .await
    }

    pub(super) async fn drop_old_tombstones(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
        retention: Option<Duration>,
        limit: u32,
    ) -> Result<u64, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(consumer).await? else { return Ok(0) };
        let Some((stream_id, record)) = self.known_stream(consumer, stream).await? else { return Ok(0) };
        // Looking comes first, and takes no lock: mostly nothing may be dropped.
        let kept_since = retention.map(|retention| self.connections.clock.now().minus(retention));
        let settled = record.and_then(|record| record.settled);
        let find = find_tombstones(stream_id, settled, kept_since, limit.min(1));
        if self.connections.read("looking for tombstones", find).await?.is_empty() {
            return Ok(0);
        }
        let (log, stream) = (self.clone(), stream.clone());
        self.task("dropping tombstones", async move {
            log.connections.write(&DropTombstones { consumer_id, stream, retention, limit }).await
        })
        .await
    }
}
