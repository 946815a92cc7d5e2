//! Reading: from the queues of partitions that are confirmed, not paused, and for which there is room.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{Delivery, Index, ReturnedCopy, SourceMessage};
use rdkafka::{Message, error::KafkaError};

use super::{PollThread, partition::Phase};
use crate::{
    decode_copy,
    error_chain::error_text,
    offset_tracker::Arrival,
    source_link::{Load, Said},
};

/// Events of one partition handed over at once. There is no waiting to fill a batch.
const BATCH_MAX: usize = 256;
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
        let (mut deliveries, mut load) = (Vec::new(), Load::default());
        let end = loop {
            if deliveries.len() >= BATCH_MAX || load.bytes >= BATCH_BYTES_MAX {
                break End::Full;
            }
            let record = match partition.queue.poll(Duration::ZERO) {
                None => break End::Empty,
                Some(Ok(record)) => record,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    partition.at_end = true;
                    continue;
                }
                Some(Err(error)) => break End::Failed(error),
            };
            let offset = record.offset();
            if offset < partition.next {
                break End::Backwards;
            }
            if partition.doubts(offset) {
                break End::Doubted(offset);
            }
            partition.is_fresh = false;
            let event =
                match self.records.event_by(&mut self.copier, &partition.tag.assignment.stream, &record) {
                    Ok(event) => event,
                    Err(error) => break End::Unreadable(offset, error_text(&error)),
                };
            (partition.at_end, partition.end) = (false, None);
            partition.next = offset.saturating_add(1);
            if partition.tracker.arrives(offset) == Arrival::Deliver {
                load.events += 1;
                load.bytes += event.size();
                deliveries.push(Delivery::from(event));
            }
        };
        if !deliveries.is_empty() {
            self.link.add(load);
            let (tag, beginning) = (Arc::clone(&partition.tag), partition.beginning);
            let message = SourceMessage::Events { assignment: tag.assignment.clone(), deliveries };
            self.say(Said::Events { tag, beginning, message, load });
        }
        end
    }

    fn read_copies(&mut self, epoch: u64) -> End {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return End::Empty };
        let (mut copies, mut load) = (Vec::new(), Load::default());
        let end = loop {
            if copies.len() >= BATCH_MAX {
                break End::Full;
            }
            let record = match partition.queue.poll(Duration::ZERO) {
                None => break End::Empty,
                Some(Ok(record)) => record,
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    partition.at_end = true;
                    continue;
                }
                Some(Err(error)) => break End::Failed(error),
            };
            let offset = record.offset();
            if offset < partition.next {
                break End::Backwards;
            }
            if partition.doubts(offset) {
                break End::Doubted(offset);
            }
            partition.is_fresh = false;
            (partition.at_end, partition.end) = (false, None);
            partition.next = offset.saturating_add(1);
            if partition.tracker.arrives(offset) == Arrival::Skip {
                continue;
            }
            match decode_copy(&record) {
                Ok(copy) => {
                    let receipt = self.next_receipt;
                    self.next_receipt += 1;
                    self.copies.insert(receipt, (epoch, offset));
                    load.events += 1;
                    load.bytes += copy.entity.len();
                    let (stream, entity, index, attempts) =
                        (copy.stream, copy.entity, copy.index, copy.attempts);
                    copies.push(ReturnedCopy { stream, entity, index, attempts, receipt });
                }
                Err(error) => {
                    let why = error_text(&error);
                    // The failure log has the event, and will publish it again.
                    let stream = &partition.tag.assignment.stream;
                    tracing::warn!(%stream, offset, why, "a record of the retry topic is no copy of an event, and is passed over");
                    partition.tracker.done(offset);
                }
            }
        };
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
