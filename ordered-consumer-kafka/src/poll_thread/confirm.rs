//! Confirmations: the committed offset, a commit of it in this group generation, and reading from there.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ordered_consumer::{Confirmation, Index, Layout, SourceError, SourceMessage, StreamName};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::sync::oneshot;

use super::{
    PollThread,
    look_up::{Looked, NoStart, Question, Start},
    partition::{Partition, Phase},
    rebalance::LAST_COMMIT_MAX,
};
use crate::{
    commit_metadata::{self, Ignored},
    completed_offsets::CompletedOffsets,
    offset_tracker::OffsetTracker,
    source_link::Confirmed,
};

/// A step that was refused for the time being is tried again after this.
pub(super) const AGAIN: Duration = Duration::from_millis(200);
/// The client tells within this whether it reads from elsewhere now; it asks no broker for it.
const SEEK_WAIT: Duration = Duration::from_millis(500);
const SEEK_MAX: Duration = Duration::from_secs(30);

impl PollThread {
    pub(super) fn confirm(&mut self, epoch: u64, beginning: u64, reply: oneshot::Sender<Confirmed>) {
        let Some(partition) = self.partitions.get_mut(&epoch).filter(|partition| !partition.revoked) else {
            drop(reply.send(Ok(None)));
            return;
        };
        partition.answer(Ok(None));
        if partition.is_dead {
            // That it is lost will be heard, and that it is assigned again.
            drop(reply.send(Ok(None)));
            partition.phase = Phase::Rejoining;
            return;
        }
        partition.reply = Some(reply);
        partition.asked_at = Instant::now();
        partition.beginning = beginning;
        partition.phase = Phase::Asked { not_before: Instant::now() };
        self.commit_now |= partition.is_to_commit();
    }

    pub(super) fn go_on_with_confirmations(&mut self, now: Instant) {
        let patience = self.options.request_timeout * 2;
        for partition in self.partitions.values_mut() {
            if partition.reply.is_some() && now.saturating_duration_since(partition.asked_at) > patience {
                let why = "the broker has not confirmed an assignment in time";
                partition.not_confirmed(Err(SourceError::Unavailable(why.into())), now);
            }
        }
        let waits_for_commit = self.commit_now || self.in_flight.is_some();
        if !self.looking && !waits_for_commit {
            let mut questions = Vec::new();
            for (epoch, partition) in &mut self.partitions {
                let asked = matches!(partition.phase, Phase::Asked { not_before } if not_before <= now);
                // What was settled before it was asked for again is committed first, lest it come again.
                let waited = now.saturating_duration_since(partition.asked_at) > LAST_COMMIT_MAX;
                if asked && !partition.revoked && (waited || !partition.is_to_commit()) {
                    partition.phase = Phase::LookingUp;
                    let (beginning, place) = (partition.beginning, partition.place.clone());
                    questions.push(Question { epoch: *epoch, beginning, place });
                }
            }
            if !questions.is_empty() {
                self.looking = true;
                self.look_up_starts(questions);
            }
        }
        self.seek(now);
    }

    pub(super) fn looked(&mut self, looked: Looked) {
        match looked {
            Looked::Starts(starts) => self.found(starts),
            Looked::Range(question, range) => self.range_is(&question, range),
            Looked::Topics(topics) => self.topics_are(&topics),
        }
    }

    fn found(&mut self, looked: Vec<(Question, Result<Start, NoStart>)>) {
        self.looking = false;
        tracing::trace!(?looked, "the broker has said where partitions begin");
        let now = Instant::now();
        for (question, start) in looked {
            let partition = self.partitions.get_mut(&question.epoch);
            let Some(partition) = partition.filter(|partition| {
                partition.phase == Phase::LookingUp && partition.beginning == question.beginning
            }) else {
                continue;
            };
            match start {
                Ok(start) => {
                    partition.begin_at(&start);
                    partition.phase = Phase::Found { not_before: now };
                    self.commit_now = true;
                }
                Err(NoStart::Nowhere) => {
                    let why = format!(
                        "the group has no committed offset for {}, and `auto.offset.reset` says that it is an error: commit one, or set it to earliest or latest",
                        partition.tag.assignment.stream
                    );
                    partition.not_confirmed(Err(SourceError::Fatal { why: why.clone(), source: None }), now);
                    self.say(crate::source_link::Said::Failed(SourceError::Fatal { why, source: None }));
                }
                Err(NoStart::Failed(error)) => {
                    partition.not_confirmed(Err(SourceError::Unavailable(Box::new(error.clone()))), now);
                    if let Some(code) = error.rdkafka_error_code() {
                        self.client_failed(code, "the committed offset cannot be read");
                    }
                }
            }
        }
    }

    /// The broker has accepted the commit that confirms.
    pub(super) fn accepted(partition: &mut Partition, now: Instant) {
        partition.phase = Phase::Seeking { since: now };
    }

    /// The broker has refused the commit that confirms. A member that must rejoin keeps its partitions, or hears that
    /// they are revoked: then the question is answered.
    pub(super) fn refused(partition: &mut Partition, code: RDKafkaErrorCode, now: Instant) {
        if is_about_membership(code) {
            partition.phase = Phase::Asked { not_before: now + AGAIN };
        } else {
            let error = KafkaError::ConsumerCommit(code);
            partition.not_confirmed(Err(SourceError::Unavailable(Box::new(error))), now);
        }
    }

    fn seek(&mut self, now: Instant) {
        let mut places = TopicPartitionList::new();
        let mut epochs = Vec::new();
        for (epoch, partition) in &mut self.partitions {
            let seeks = matches!(partition.phase, Phase::Seeking { .. }) && !partition.revoked;
            if seeks && !partition.fetches {
                // Whatever it is, it comes again.
                partition.fetches = partition.queue.poll(Duration::ZERO).is_some();
            }
            if seeks && partition.fetches {
                let (topic, number) = &partition.place;
                if places.add_partition_offset(topic, *number, Offset::Offset(partition.next)).is_ok() {
                    epochs.push(*epoch);
                }
            }
        }
        if epochs.is_empty() {
            return;
        }
        let sought = Arc::clone(&self.client).seek_partitions(places, SEEK_WAIT);
        let mut settled = Vec::new();
        for epoch in epochs {
            let Some(partition) = self.partitions.get_mut(&epoch) else { continue };
            let Phase::Seeking { since } = partition.phase else { continue };
            let failed = match &sought {
                Ok(sought) => sought
                    .find_partition(&partition.place.0, partition.place.1)
                    .and_then(|partition| partition.error().err()),
                Err(error) => Some(error.clone()),
            };
            match failed {
                None => {
                    partition.phase = Phase::Reading;
                    let position = u64::try_from(partition.next).ok().map(Index::from);
                    let layout = partition.layout();
                    partition.answer(Ok(Some(Confirmation { identity: None, position, layout })));
                    // Whatever lies below the committed offset is done.
                    let through = position.and_then(Index::before).filter(|_| !partition.is_retry);
                    let assignment = partition.tag.assignment.clone();
                    settled.extend(through.map(|through| SourceMessage::Settled { assignment, through }));
                }
                // The client has not begun with the partition yet.
                Some(error) if now.duration_since(since) < SEEK_MAX => {
                    tracing::debug!(%error, stream = %partition.tag.assignment.stream, "reading cannot begin yet");
                }
                Some(error) => {
                    partition.not_confirmed(Err(SourceError::Unavailable(Box::new(error))), now);
                }
            }
        }
        settled.into_iter().for_each(|message| self.say_message(message));
    }
}

impl Partition {
    fn begin_at(&mut self, start: &Start) {
        let completed = commit_metadata::decode(&start.metadata, start.offset, None).unwrap_or_else(|ignored| {
            // Once per takeover, and then it is written over.
            if ignored != Ignored::Absent {
                let stream = &self.tag.assignment.stream;
                tracing::warn!(%stream, %ignored, "the committed offset's metadata tells nothing of what is done beyond it; that comes again");
            }
            CompletedOffsets::default()
        });
        self.tracker = OffsetTracker::new(start.offset, &completed);
        self.next = start.offset;
        self.committed_revision = self.tracker.revision();
        self.committed = None;
        (self.at_end, self.end) = (false, None);
        (self.is_fresh, self.gap_to) = (true, None);
        self.partitions = start.partitions;
    }

    fn layout(&self) -> Option<Layout> {
        let (topic, number) = &self.place;
        let number = u32::try_from(*number).ok()?;
        Some(Layout { name: StreamName::new(topic).ok()?, number, streams: self.partitions })
    }

    fn not_confirmed(&mut self, answer: Confirmed, now: Instant) {
        self.answer(answer);
        // Nobody asks again for a partition of copies.
        self.phase =
            if self.is_retry { Phase::Asked { not_before: now + AGAIN * 5 } } else { Phase::Unconfirmed };
    }

    /// Whether more is settled than is committed, and where to begin is not being asked for meanwhile.
    pub(super) fn is_to_commit(&self) -> bool {
        self.phase != Phase::LookingUp && self.committed_revision != self.tracker.revision()
    }
}

/// Whether a refusal says that the group has changed, or is changing.
pub(super) fn is_about_membership(code: RDKafkaErrorCode) -> bool {
    // The client's enumeration has far too many to name each.
    [
        RDKafkaErrorCode::IllegalGeneration,
        RDKafkaErrorCode::UnknownMemberId,
        RDKafkaErrorCode::RebalanceInProgress,
        RDKafkaErrorCode::FencedInstanceId,
        RDKafkaErrorCode::StaleMemberEpoch,
        RDKafkaErrorCode::FencedMemberEpoch,
        RDKafkaErrorCode::AssignmentLost,
    ]
    .contains(&code)
}
