//! Commits, and the leases that they prove.

use std::time::Instant;

use ordered_consumer::{Index, SourceMessage};
use rdkafka::error::RDKafkaErrorCode;

use crate::commit_metadata::{self, METADATA_BYTES_MAX};

use super::{
    PollThread,
    committer::ToCommit,
    confirm::{AGAIN, is_about_membership},
    partition::{Partition, Phase},
};

/// A commit that was sent and has no answer yet. There is one at most, so that offsets never go back.
pub(super) struct InFlight {
    sent: Instant,
    items: Vec<Item>,
}

struct Item {
    epoch: u64,
    beginning: u64,
    offset: i64,
    revision: u64,
    confirms: bool,
}

impl PollThread {
    pub(super) fn has_something_to_commit(&self) -> bool {
        self.partitions.values().any(Partition::is_to_commit)
    }

    pub(super) fn commit_what_is_due(&mut self, now: Instant) {
        let due = now >= self.commit_not_before && (self.commit_now || now >= self.commit_at);
        if self.in_flight.is_some() || !due {
            return;
        }
        self.commit_at = now + self.options.commit_interval.min(self.options.lease / 6);
        self.commit_now = false;
        let renewed_after = self.options.lease / 3;
        // After a refusal each is committed alone, so that one partition's trouble is not the others'.
        let alone = self.partitions.values().find(|partition| partition.alone).map(Partition::epoch);
        let (mut job, mut items) = (Vec::new(), Vec::new());
        for (epoch, partition) in &mut self.partitions {
            let confirms = matches!(partition.phase, Phase::Found { not_before } if not_before <= now);
            let renews = !partition.is_retry
                && partition.proven_at.is_none_or(|proven| now.duration_since(proven) >= renewed_after);
            let commits = partition.is_to_commit() || (partition.is_begun() && renews);
            let counts = alone.is_none_or(|alone| alone == *epoch);
            if !counts || (!commits && (!confirms || partition.revoked)) {
                continue;
            }
            partition.alone = false;
            let (offset, revision) = (partition.tracker.to_commit(), partition.tracker.revision());
            let metadata =
                commit_metadata::encode(offset, &partition.tracker.completed(), None, METADATA_BYTES_MAX);
            job.push(ToCommit { place: partition.place.clone(), offset, metadata });
            items.push(Item { epoch: *epoch, beginning: partition.beginning, offset, revision, confirms });
            if confirms {
                partition.phase = Phase::Committing;
            }
        }
        if alone.is_some() {
            self.commit_now = true;
        }
        if job.is_empty() {
            if let Some(partition) = alone.and_then(|alone| self.partitions.get_mut(&alone)) {
                partition.alone = false;
            }
            return;
        }
        tracing::trace!(?job, "committing");
        self.in_flight = Some(InFlight { sent: now, items });
        if !self.committer.as_ref().is_some_and(|committer| committer.commit(job)) {
            self.committed(Some(RDKafkaErrorCode::Fail));
        }
    }

    /// The broker's answer: accepted, or refused for one partition at least.
    pub(super) fn committed(&mut self, refused: Option<RDKafkaErrorCode>) {
        let Some(InFlight { sent, items }) = self.in_flight.take() else { return };
        let now = Instant::now();
        let many = items.len() > 1;
        let mut settled = Vec::new();
        for item in items {
            let Some(partition) = self.partitions.get_mut(&item.epoch) else { continue };
            if partition.beginning != item.beginning {
                continue;
            }
            if let Some(code) = refused {
                tracing::debug!(stream = %partition.tag.assignment.stream, %code, "a commit was refused");
                if item.confirms && partition.phase == Phase::Committing {
                    if many && !is_about_membership(code) {
                        partition.phase = Phase::Found { not_before: now };
                    } else {
                        Self::refused(partition, code, now);
                    }
                }
                partition.alone = many && !is_about_membership(code);
                continue;
            }
            partition.proven_at = Some(sent);
            partition.committed_revision = item.revision;
            // Also while it is being taken away: until it is given up, nobody else has it, and handlers may end.
            if !partition.lease_over {
                partition.lease.extend(self.options.lease.saturating_sub(sent.elapsed()));
            }
            if item.confirms && partition.phase == Phase::Committing {
                Self::accepted(partition, now);
            }
            let before = partition.committed.replace(item.offset);
            let moved = before.is_some_and(|before| before < item.offset);
            // A confirmation that is under way says where it begins itself.
            if moved
                && partition.is_begun()
                && !partition.is_retry
                && let Ok(next) = u64::try_from(item.offset)
                && let Some(through) = Index::from(next).before()
            {
                settled
                    .push(SourceMessage::Settled { assignment: partition.tag.assignment.clone(), through });
            }
        }
        settled.into_iter().for_each(|message| self.say_message(message));
        if let Some(code) = refused {
            // Neither sooner nor, where each is to be committed alone, much later.
            self.commit_not_before = now + AGAIN;
            self.commit_now |= many && !is_about_membership(code);
        }
    }
}
