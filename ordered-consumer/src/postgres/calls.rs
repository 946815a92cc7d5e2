//! How the log's calls are carried out: names into ids, reads for operators, writes in tasks of their own.

use sqlx::postgres::PgRow;

use super::{
    PostgresFailureLog,
    connections::{Purpose, Write},
    statement::Statement,
    streams,
};
use crate::{ConsumerName, FailureLogError, StreamName, Timestamp, gate::StreamRecord};

impl PostgresFailureLog {
    pub(super) async fn consumer(
        &self,
        purpose: Purpose,
        consumer: &ConsumerName,
    ) -> Result<i64, FailureLogError> {
        self.reserved.consumer(&self.connections, purpose, consumer).await
    }

    pub(super) async fn known_consumer(
        &self,
        purpose: Purpose,
        consumer: &ConsumerName,
    ) -> Result<Option<i64>, FailureLogError> {
        self.reserved.known_consumer(&self.connections, purpose, consumer).await
    }

    /// The stream's id, if the log has anything of it.
    pub(super) async fn known_stream(
        &self,
        purpose: Purpose,
        consumer: &ConsumerName,
        stream: &StreamName,
    ) -> Result<Option<(i64, Option<StreamRecord>)>, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(purpose, consumer).await? else { return Ok(None) };
        let find = streams::find_stream(consumer_id, stream);
        let rows = self.connections.read(purpose, "reading a stream", find).await?;
        streams::found_stream(rows.first())
    }

    pub(super) fn told_micros(&self) -> Option<i64> {
        self.connections.told_time().map(Timestamp::as_micros)
    }

    /// Reads for operators, if the consumer is known.
    pub(super) async fn look(
        &self,
        doing: &'static str,
        consumer: &ConsumerName,
        find: impl FnOnce(i64) -> Statement + Send,
    ) -> Result<Vec<PgRow>, FailureLogError> {
        match self.known_consumer(Purpose::Operators, consumer).await? {
            Some(consumer_id) => self.connections.read(Purpose::Operators, doing, find(consumer_id)).await,
            None => Ok(Vec::new()),
        }
    }

    /// Runs everything of a write, also what is reserved for it, in a task of its own.
    pub(super) async fn task<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl Future<Output = Result<T, FailureLogError>> + Send + 'static,
    ) -> Result<T, FailureLogError> {
        let ended = tokio::spawn(work).await;
        // It panicked, or its runtime was shut down: nobody knows how far it had come.
        ended.unwrap_or_else(|ended| Err(FailureLogError::OutcomeUnknown { doing, source: ended.into() }))
    }

    /// Runs a write that needs the consumer's id.
    pub(super) async fn write<W: Write>(
        &self,
        purpose: Purpose,
        consumer: &ConsumerName,
        made: impl FnOnce(i64) -> W + Send + 'static,
    ) -> Result<W::Output, FailureLogError> {
        let (log, consumer) = (self.clone(), consumer.clone());
        self.task(W::DOING, async move {
            let consumer_id = log.consumer(purpose, &consumer).await?;
            log.connections.write(&made(consumer_id)).await
        })
        .await
    }
}
