//! How the log's calls are carried out: names into ids, reads, writes in tasks of their own.

use super::{SqliteFailureLog, errors::Trouble, statement::Statement, streams};
use crate::{ConsumerName, FailureLogError, StreamName, gate::StreamRecord};

impl SqliteFailureLog {
    pub(super) async fn consumer(&self, consumer: &ConsumerName) -> Result<i64, FailureLogError> {
        self.reserved.consumer(&self.connections, consumer).await
    }

    pub(super) async fn known_consumer(
        &self,
        consumer: &ConsumerName,
    ) -> Result<Option<i64>, FailureLogError> {
        self.reserved.known_consumer(&self.connections, consumer).await
    }

    /// The stream's id, if the log has anything of it.
    pub(super) async fn known_stream(
        &self,
        consumer: &ConsumerName,
        stream: &StreamName,
    ) -> Result<Option<(i64, Option<StreamRecord>)>, FailureLogError> {
        let Some(consumer_id) = self.known_consumer(consumer).await? else { return Ok(None) };
        let find = streams::find_stream(consumer_id, stream);
        self.read("reading a stream", find, |rows| streams::found_stream(rows.first())).await
    }

    /// Runs a statement on a reading connection, and makes something of its rows.
    pub(super) async fn read<T>(
        &self,
        doing: &'static str,
        statement: Statement,
        made: impl FnOnce(&[sqlx::sqlite::SqliteRow]) -> Result<T, Trouble> + Send,
    ) -> Result<T, FailureLogError> {
        let rows = self.connections.read(doing, statement).await?;
        made(&rows).map_err(|trouble| trouble.told(doing))
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
}
