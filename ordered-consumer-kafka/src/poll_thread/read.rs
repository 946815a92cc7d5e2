//! Reading: from the queues of partitions that are confirmed, not paused, and for which there is room.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{Delivery, EventBatch, Index, ReturnedCopy, SourceMessage, error_text};
use rdkafka::{Message, error::KafkaError, message::BorrowedMessage};

use super::{
    PollThread,
    partition::{Partition, Phase},
};
use crate::{
    Record, decode_copy,
    offset_tracker::{Arrival, OffsetTracker},
    source_link::{Load, Said},
};

/// Events of one partition handed over at once. There is no waiting to fill a batch.
const BATCH_MAX: usize = 1_024;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Why a batch has ended.
enum End {
    /// It is full, and there may be more.
    Full,
    /// The queue is empty.
    Empty,
    /// The record at this offset is not an event.
    Unreadable(i64, String),
    /// What came first lies behind where it was to begin.
    Doubted(i64),
    /// A record came that lies before those that have come.
    Backwards,
    Failed(KafkaError),
}

impl PollThread {
    /// Says whether there may be more to read at once.
    pub(super) fn read(&mut self) -> bool {
        // Each look begins behind where the last one ran out of room: else the first partitions with a backlog would take
        // all of it, and the others would never be read.
        let epochs: Vec<u64> = self.partitions.keys().copied().collect();
        let (before, behind): (Vec<u64>, Vec<u64>) =
            epochs.iter().partition(|epoch| **epoch <= self.last_read);
        let mut more = false;
        for epoch in behind.into_iter().chain(before) {
            if !self.link.has_room(self.options.buffer) || self.closing.is_some() {
                return false;
            }
            self.last_read = epoch;
            let Some(partition) = self.partitions.get_mut(&epoch) else { continue };
            let reads = partition.phase == Phase::Reading && !partition.revoked && !partition.paused;
            if !reads || (partition.is_retry && self.copies_paused) {
                continue;
            }
            let end = if partition.is_retry { self.read_copies(epoch) } else { self.read_events(epoch) };
            more |= matches!(end, End::Full);
            match end {
                End::Full => {}
                End::Empty => self.at_end(epoch),
                End::Unreadable(offset, why) => self.unreadable(epoch, offset, why),
                End::Doubted(offset) => {
                    if let Some(partition) = self.partitions.get_mut(&epoch) {
                        partition.seek_again(offset);
                    }
                }
                End::Backwards => self.begin_anew(epoch),
                End::Failed(error) => self.partition_failed(epoch, &error),
            }
        }
        more
    }

    fn read_events(&mut self, epoch: u64) -> End {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return End::Empty };
        let mut events = EventBatch::default();
        let (records, copier) = (&self.records, &mut self.copier);
        let (tag, topic) = (Arc::clone(&partition.tag), partition.place.0.clone());
        let topic = topic.as_str();
        let end = partition.each_record(|record, tracker| {
            let read = Record::of_topic(topic, record);
            let event = read.and_then(|read| records.event_by(copier, &tag.assignment.stream, &read));
            let event = event.map_err(|error| End::Unreadable(record.offset(), error_text(&error)))?;
            if tracker.arrives(record.offset()) == Arrival::Deliver {
                events.push(event);
            }
            Ok(events.len() < BATCH_MAX && events.bytes() < BATCH_BYTES_MAX)
        });
        if !events.is_empty() {
            let load = Load { events: events.len(), bytes: events.bytes() };
            self.link.add(load);
            let deliveries = events.finish().into_iter().map(Delivery::from).collect();
            let beginning = partition.beginning;
            let message = SourceMessage::Events { assignment: tag.assignment.clone(), deliveries };
            self.say(Said::Events { tag, beginning, message, load });
        }
        end
    }

    fn read_copies(&mut self, epoch: u64) -> End {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return End::Empty };
        let (mut copies, mut load) = (Vec::new(), Load::default());
        let (receipts, next_receipt) = (&mut self.copies, &mut self.next_receipt);
        let tag = Arc::clone(&partition.tag);
        let end = partition.each_record(|record, tracker| {
            let offset = record.offset();
            if tracker.arrives(offset) == Arrival::Skip {
                return Ok(true);
            }
            match decode_copy(record) {
                Ok(copy) => {
                    let receipt = *next_receipt;
                    *next_receipt += 1;
                    receipts.insert(receipt, (epoch, offset));
                    load.events += 1;
                    load.bytes += copy.entity.len();
                    let (stream, entity, index, attempts) =
                        (copy.stream, copy.entity, copy.index, copy.attempts);
                    copies.push(ReturnedCopy { stream, entity, index, attempts, receipt });
                }
                Err(error) => {
                    let why = error_text(&error);
                    // The failure log has the event, and will publish it again.
                    let stream = &tag.assignment.stream;
                    tracing::warn!(%stream, offset, why, "a record of the retry topic is no copy of an event, and is passed over");
                    tracker.done(offset);
                }
            }
            Ok(load.events < BATCH_MAX)
        });
        if !copies.is_empty() {
            self.link.add(load);
            self.say(Said::Copies { message: SourceMessage::Copies(copies), load });
        }
        end
    }

    pub(super) fn unreadable(&mut self, epoch: u64, offset: i64, why: String) {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        partition.phase = Phase::Stopped;
        let (tag, beginning) = (Arc::clone(&partition.tag), partition.beginning);
        let index = u64::try_from(offset).map_or(Index::MIN, Index::from);
        let message = SourceMessage::Unreadable { assignment: tag.assignment.clone(), index, why };
        self.say(Said::Events { tag, beginning, message, load: Load::default() });
    }
}

impl Partition {
    /// Hands over what the queue has, record by record, for as long as `take` says that there is room for more.
    fn each_record(
        &mut self,
        mut take: impl FnMut(&BorrowedMessage<'_>, &mut OffsetTracker) -> Result<bool, End>,
    ) -> End {
        loop {
            let record = match self.queue.poll(Duration::ZERO) {
                None => return End::Empty,
                Some(Ok(record)) => record,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    self.at_end = true;
                    continue;
                }
                Some(Err(error)) => return End::Failed(error),
            };
            let offset = record.offset();
            if offset < self.next {
                return End::Backwards;
            }
            if self.doubts(offset) {
                return End::Doubted(offset);
            }
            self.is_fresh = false;
            match take(&record, &mut self.tracker) {
                Err(end) => return end,
                Ok(has_room) => {
                    (self.at_end, self.end) = (false, None);
                    self.next = offset.saturating_add(1);
                    if !has_room {
                        return End::Full;
                    }
                }
            }
        }
    }
}
