//! A partition that is assigned.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use ordered_consumer::{Assignment, Lease, StreamName};
use rdkafka::consumer::base_consumer::PartitionQueue;
use tokio::sync::oneshot;

use crate::{
    completed_offsets::CompletedOffsets,
    offset_tracker::OffsetTracker,
    source_context::{Place, SourceContext},
    source_link::{Confirmed, Tag},
};

/// How far a partition's beginning is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nobody has asked for it yet.
    Unconfirmed,
    /// To be looked up, not before this time.
    Asked { not_before: Instant },
    /// The broker is being asked for its committed offset.
    LookingUp,
    /// The offset is to be committed, not before this time, which confirms the assignment.
    Found { not_before: Instant },
    /// It is part of the commit that is under way.
    Committing,
    /// The assignment is confirmed, and the client is to be told where to read, since this time.
    Seeking { since: Instant },
    /// Events are read.
    Reading,
    /// The broker has nothing at the next offset, and is asked what it has, not before this time.
    OutOfRange { not_before: Instant },
    /// It is being asked.
    AskingRange,
    /// The group is to be joined anew, once what is settled is committed.
    Rejoining,
    /// What is at the next offset cannot be handed over.
    Stopped,
}

/// See the module.
pub(crate) struct Partition {
    pub(crate) tag: Arc<Tag>,
    pub(crate) place: Place,
    pub(crate) is_retry: bool,
    pub(crate) queue: PartitionQueue<SourceContext>,
    pub(crate) lease: Lease,
    pub(crate) phase: Phase,
    pub(crate) beginning: u64,
    pub(crate) reply: Option<oneshot::Sender<Confirmed>>,
    pub(crate) asked_at: Instant,
    pub(crate) paused: bool,
    /// The engine has let go of it.
    pub(crate) released: bool,
    /// No proof extends the lease any more.
    pub(crate) lease_over: bool,
    /// It is being taken away: nothing is read, and what is settled is still committed.
    pub(crate) revoked: bool,
    pub(crate) tracker: OffsetTracker,
    /// How many partitions the topic had when this one was confirmed.
    pub(crate) partitions: u32,
    /// The next offset to come, or one before it.
    pub(crate) next: i64,
    /// The tracker's revision that the broker has.
    pub(crate) committed_revision: u64,
    pub(crate) committed: Option<i64>,
    /// It was part of a commit that was refused, and is committed alone the next time.
    pub(crate) alone: bool,
    /// When the last commit that was accepted was sent.
    pub(crate) proven_at: Option<Instant>,
    /// The client has given the partition up after an offset that is not there: it takes no seek any more.
    pub(crate) is_dead: bool,
    /// The client has begun to fetch: something came out of the queue. A seek before that can be overtaken by the place that
    /// the partition was assigned with, and events would be left out.
    pub(crate) fetches: bool,
    /// Nothing has come since it was told where to begin.
    pub(crate) is_fresh: bool,
    /// The first offset that came since then lay behind where it was to begin.
    pub(crate) gap_to: Option<i64>,
    /// The queue has said that the partition ends here, and nothing came since.
    pub(crate) at_end: bool,
    /// Where the client has seen the end, once the queue has been empty since.
    pub(crate) end: Option<i64>,
}

impl Partition {
    pub(crate) fn new(
        epoch: u64,
        place: Place,
        stream: StreamName,
        is_retry: bool,
        queue: PartitionQueue<SourceContext>,
    ) -> Self {
        let lease = Lease::new(std::time::Duration::ZERO);
        Self {
            tag: Arc::new(Tag {
                assignment: Assignment { stream, epoch },
                gone: AtomicBool::new(false),
                beginning: AtomicU64::new(0),
            }),
            place,
            is_retry,
            queue,
            lease,
            // Copies need no takeover: whoever has one asks for a claim.
            phase: if is_retry { Phase::Asked { not_before: Instant::now() } } else { Phase::Unconfirmed },
            beginning: 0,
            reply: None,
            asked_at: Instant::now(),
            paused: false,
            released: false,
            lease_over: false,
            revoked: false,
            tracker: OffsetTracker::new(0, &CompletedOffsets::default()),
            partitions: 0,
            next: 0,
            committed_revision: 0,
            committed: None,
            alone: false,
            proven_at: None,
            is_dead: false,
            fetches: false,
            is_fresh: true,
            gap_to: None,
            at_end: false,
            end: None,
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.tag.assignment.epoch
    }

    pub(crate) fn is_begun(&self) -> bool {
        matches!(
            self.phase,
            Phase::Reading
                | Phase::Stopped
                | Phase::Rejoining
                | Phase::OutOfRange { .. }
                | Phase::AskingRange
        )
    }

    pub(crate) fn go(&mut self) {
        self.tag.gone.store(true, Ordering::Release);
        self.revoked = true;
        self.answer(Ok(None));
    }

    pub(crate) fn end_lease(&mut self) {
        self.lease_over = true;
        self.lease.end();
    }

    /// Whether what comes first lies behind where it was to begin. There may be a gap, where a topic is compacted or has
    /// transactions; that is believed when it shows a second time, after another seek: a client that did not begin where it
    /// was told to would leave events out.
    pub(crate) fn doubts(&self, offset: i64) -> bool {
        self.is_fresh && offset > self.next && self.gap_to != Some(offset)
    }

    /// See [`doubts`](Self::doubts).
    pub(crate) fn seek_again(&mut self, doubted: i64) {
        self.gap_to = Some(doubted);
        (self.at_end, self.end) = (false, None);
        self.phase = Phase::Seeking { since: Instant::now() };
    }

    pub(crate) fn answer(&mut self, confirmed: Confirmed) {
        if let Some(reply) = self.reply.take() {
            // Whoever asked may have stopped waiting.
            drop(reply.send(confirmed));
        }
    }
}
