//! A source that counts what it hands over.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use ordered_consumer::{
    Assignment, Confirming, EventSource, LastIndexes, Settlement, Sharing, SourceError, SourceMessage,
};

/// A source that counts what it hands over.
#[derive(Debug)]
pub struct CountingSource<S> {
    /// The source that it is around.
    pub source: S,
    /// Events that were handed over.
    pub taken: Arc<AtomicUsize>,
    /// Copies that were.
    pub copies: Arc<AtomicUsize>,
}

#[async_trait]
impl<S: EventSource> EventSource for CountingSource<S> {
    fn describe(&self) -> String {
        self.source.describe()
    }

    fn sharing(&self) -> Sharing {
        self.source.sharing()
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        let message = self.source.next().await?;
        if let SourceMessage::Events { deliveries, .. } = &message {
            self.taken.fetch_add(deliveries.len(), Ordering::SeqCst);
        }
        if let SourceMessage::Copies(copies) = &message {
            self.copies.fetch_add(copies.len(), Ordering::SeqCst);
        }
        Ok(message)
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        self.source.confirm(assignment)
    }

    fn last_indexes(&mut self, assignment: &Assignment, streams: u32) -> LastIndexes {
        self.source.last_indexes(assignment, streams)
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

    fn abandon(&mut self, assignment: &Assignment, receipts: &[u64]) {
        self.source.abandon(assignment, receipts);
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
