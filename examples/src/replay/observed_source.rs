//! A source that notes when the broker handed each row over; in everything else, the source that it wraps.

use std::sync::Arc;

use async_trait::async_trait;
use ordered_consumer::{
    Assignment, Confirming, EventSource, LastIndexes, Settlement, Sharing, SourceError, SourceMessage,
};

use super::{Record, handler::row_of};

/// Notes when the broker handed each row over.
pub(super) struct ObservedSource<S> {
    pub(super) source: S,
    pub(super) record: Arc<Record>,
}

#[async_trait]
impl<S: EventSource> EventSource for ObservedSource<S> {
    fn describe(&self) -> String {
        self.source.describe()
    }

    fn sharing(&self) -> Sharing {
        self.source.sharing()
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        let message = self.source.next().await?;
        if let SourceMessage::Events { deliveries, .. } = &message {
            for row in deliveries.iter().filter_map(|delivery| row_of(&delivery.event).ok()) {
                self.record.arrived(row);
            }
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

    fn pause_copies(&mut self) {
        self.source.pause_copies();
    }

    fn resume_copies(&mut self) {
        self.source.resume_copies();
    }

    fn settle(&mut self, settlement: Settlement) {
        self.source.settle(settlement);
    }

    fn abandon(&mut self, assignment: &Assignment, receipts: &[u64]) {
        self.source.abandon(assignment, receipts);
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
