//! A source whose first message was waited for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use ordered_consumer::{
    Assignment, Confirming, EventSource, Settlement, Sharing, SourceError, SourceMessage,
};
use ordered_consumer_kafka::KafkaSource;

/// A group that was left takes this broker seconds to open again, which is longer than the suite is quiet: the first
/// member is handed over once it has its streams.
pub(crate) struct Opened {
    source: KafkaSource,
    first: Option<SourceMessage>,
    members: Arc<AtomicUsize>,
}

impl Opened {
    pub(crate) async fn open(mut source: KafkaSource, members: Arc<AtomicUsize>) -> Self {
        let others = members.fetch_add(1, Ordering::SeqCst);
        let first = if others == 0 { Some(source.next().await.expect("streams")) } else { None };
        Self { source, first, members }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.members.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl EventSource for Opened {
    fn describe(&self) -> String {
        self.source.describe()
    }

    fn sharing(&self) -> Sharing {
        self.source.sharing()
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        match self.first.take() {
            Some(first) => Ok(first),
            None => self.source.next().await,
        }
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        self.source.confirm(assignment)
    }

    fn pause(&mut self, assignment: &Assignment) {
        self.source.pause(assignment);
    }

    fn resume(&mut self, assignment: &Assignment) {
        self.source.resume(assignment);
    }

    fn settle(&mut self, settlement: Settlement) {
        self.source.settle(settlement);
    }

    fn pause_copies(&mut self) {
        self.source.pause_copies();
    }

    fn resume_copies(&mut self) {
        self.source.resume_copies();
    }

    fn settle_copies(&mut self, receipts: &[u64]) {
        self.source.settle_copies(receipts);
    }

    fn release(&mut self, assignment: &Assignment) {
        self.source.release(assignment);
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.source.close().await
    }
}
