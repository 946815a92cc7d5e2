//! Where partitions end, and what becomes of one that has nothing at the offset that is next.

use std::time::{Duration, Instant};

use rdkafka::{
    consumer::Consumer,
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
};

use super::{
    PollThread,
    look_up::Question,
    partition::{Partition, Phase},
};
use crate::{offset_tracker::PartitionEnd, source_context::Place};

const AGAIN: Duration = Duration::from_secs(1);

impl PollThread {
    /// What the client has seen of partitions' ends: past control records, and past what compaction removed.
    ///
    /// What came before an end was put into the queue before the end was written down: once the queue is empty, all of it
    /// has been read.
    pub(super) fn ends(&mut self, ends: &[(Place, i64)]) {
        for (place, end) in ends {
            let partition = self.places.get(place).and_then(|epoch| self.partitions.get_mut(epoch));
            if let Some(partition) = partition.filter(|partition| partition.at_end) {
                partition.end = (*end >= partition.next).then_some(*end);
            }
        }
    }

    /// The queue is empty.
    pub(super) fn at_end(&mut self, epoch: u64) {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        let Some(end) = partition.end.take().filter(|_| partition.at_end) else { return };
        if partition.doubts(end) {
            partition.seek_again(end);
            return;
        }
        partition.is_fresh = false;
        partition.next = partition.next.max(end);
        if partition.tracker.ends(end) == PartitionEnd::BeforeWhatIsDone {
            let stream = &partition.tag.assignment.stream;
            tracing::warn!(%stream, end, "the partition ends before offsets that were done: its log was cut, or is another one");
        }
    }

    pub(super) fn partition_failed(&mut self, epoch: u64, error: &KafkaError) {
        let Some(partition) = self.partitions.get_mut(&epoch) else { return };
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
            partition.is_dead = true;
            partition.phase = Phase::OutOfRange { not_before: Instant::now() };
            return;
        }
        let stream = partition.tag.assignment.stream.clone();
        if self.may_warn("partition") {
            tracing::warn!(%stream, %error, "the broker's client reports an error of a partition, and goes on");
        }
    }

    pub(super) fn ask_for_ranges(&mut self, now: Instant) {
        let mut questions = Vec::new();
        for (epoch, partition) in &mut self.partitions {
            if matches!(partition.phase, Phase::OutOfRange { not_before } if not_before <= now) {
                partition.phase = Phase::AskingRange;
                let (beginning, place) = (partition.beginning, partition.place.clone());
                questions.push(Question { epoch: *epoch, beginning, place });
            }
        }
        questions.into_iter().for_each(|question| self.look_up_range(question));
    }

    /// A partition that the client has given up begins again with the next assignment. To leave and to join is the one way that
    /// works whichever way partitions are assigned; it is rare.
    pub(super) fn rejoin(&mut self) {
        let asked = self.partitions.values().any(|partition| partition.phase == Phase::Rejoining);
        if !asked || self.in_flight.is_some() || self.has_something_to_commit() || self.revocation.is_some() {
            return;
        }
        tracing::info!("the group is left and joined again, to begin with a partition anew");
        self.lose_everything();
        self.client.unsubscribe();
        self.subscribe();
    }

    /// What the broker has, of a partition that has nothing at the next offset.
    pub(super) fn range_is(&mut self, question: &Question, range: KafkaResult<(i64, i64)>) {
        let now = Instant::now();
        let goes_on = self.options.skips_removed;
        let Some(partition) = self.partitions.get_mut(&question.epoch) else { return };
        if partition.phase != Phase::AskingRange || partition.beginning != question.beginning {
            return;
        }
        let (low, high) = match range {
            Ok(range) => range,
            Err(error) => {
                tracing::debug!(%error, "a partition's range cannot be asked for");
                partition.phase = Phase::OutOfRange { not_before: now + AGAIN };
                return;
            }
        };
        let next = partition.next;
        let stream = partition.tag.assignment.stream.clone();
        if (low..=high).contains(&next) {
            // As while a partition changes its leader.
            partition.phase = Phase::Rejoining;
        } else if next < low && goes_on {
            let gone = low - next;
            tracing::error!(%stream, gone, from = next, to = low, "events were removed by the topic's retention before they were read; the stream goes on with the earliest that is left, as it was told to");
            partition.tracker.ends(low);
            partition.next = low;
            partition.phase = Phase::Rejoining;
            self.commit_now = true;
        } else {
            let why = why_out_of_range(partition, low, high, &self.options.group);
            self.unreadable(question.epoch, next, why);
        }
    }
}

/// What has happened, and what an operator can do.
fn why_out_of_range(partition: &Partition, low: i64, high: i64, group: &str) -> String {
    let (topic, number) = &partition.place;
    let next = partition.next;
    if next < low {
        let gone = low - next;
        return format!(
            "{gone} events were removed by the topic's retention before they were read: the next is {next}, and the earliest left is {low}. To go on without them, stop the group {group} and set its offset of {topic}:{number} to {low}, or let the source skip what was removed"
        );
    }
    format!(
        "the partition ends at {high}, and the group {group} is at {next}: the log was cut, or the topic was deleted and created again. Stop the group, set its offset of {topic}:{number} to where it is to go on, and start it; a stream that goes back then asks for *replay* (the same events once more) or *new stream* (other events)"
    )
}
