//! What the source and its poll thread say to each other.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::Thread,
    time::Instant,
};

use ordered_consumer::{AssignedStream, Assignment, Confirmation, Index, SourceError, SourceMessage};
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::oneshot;

use crate::poll_thread::Looked;

/// The answer to a confirmation.
pub(crate) type Confirmed = Result<Option<Confirmation>, SourceError>;

/// Where the answer goes when it is asked how far partitions reach.
pub(crate) type LastOffsets = oneshot::Sender<Result<Vec<Option<Index>>, SourceError>>;

/// One assignment, known to both sides.
#[derive(Debug)]
pub(crate) struct Tag {
    pub(crate) assignment: Assignment,
    /// It was revoked or lost: nothing more of it is handed over, not even what waits already.
    pub(crate) gone: AtomicBool,
    /// How often it was asked to be confirmed. What was delivered before the last time counts for nothing.
    pub(crate) beginning: AtomicU64,
}

impl Tag {
    pub(crate) fn is_current(&self, beginning: u64) -> bool {
        !self.gone.load(Ordering::Acquire) && self.beginning.load(Ordering::Acquire) == beginning
    }
}

/// From the engine's side to the poll thread.
#[derive(Debug)]
pub(crate) enum Command {
    Confirm {
        epoch: u64,
        beginning: u64,
        reply: oneshot::Sender<Confirmed>,
    },
    Pause {
        epoch: u64,
        paused: bool,
    },
    PauseCopies(bool),
    Settle {
        epoch: u64,
        offsets: Vec<i64>,
    },
    SettleCopies(Vec<u64>),
    LastOffsets {
        epoch: u64,
        partitions: u32,
        reply: LastOffsets,
    },
    Release {
        epoch: u64,
    },
    Close(oneshot::Sender<()>),
    /// From a look-up's thread.
    Looked(Looked),
    /// From the thread that commits: accepted, or why not.
    Committed(Option<RDKafkaErrorCode>),
}

/// From the poll thread to the engine's side.
#[derive(Debug)]
pub(crate) enum Said {
    /// To be handed over as it is.
    Message(SourceMessage),
    Assigned(Vec<(std::sync::Arc<Tag>, AssignedStream)>),
    /// To be handed over while the assignment is this one still, in this beginning.
    Events {
        tag: std::sync::Arc<Tag>,
        beginning: u64,
        message: SourceMessage,
        load: Load,
    },
    Copies {
        message: SourceMessage,
        load: Load,
    },
    Failed(SourceError),
}

/// Room that something takes between the two.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// Seen from both sides.
#[derive(Debug, Default)]
pub(crate) struct Link {
    buffered_events: AtomicUsize,
    buffered_bytes: AtomicUsize,
    thread: Mutex<Option<Thread>>,
    /// Whether the engine waits for something at this moment, and when it last did.
    asking: AtomicBool,
    asked_at: Mutex<Option<Instant>>,
}

impl Link {
    pub(crate) fn runs_on(&self, thread: Thread) {
        *self.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
    }

    pub(crate) fn wake(&self) {
        if let Some(thread) = &*self.thread.lock().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }

    pub(crate) fn add(&self, load: Load) {
        self.buffered_events.fetch_add(load.events, Ordering::AcqRel);
        self.buffered_bytes.fetch_add(load.bytes, Ordering::AcqRel);
    }

    /// Takes the load off, and says whether what is left has just fallen below half of the limit.
    pub(crate) fn take(&self, load: Load, limit: Load) -> bool {
        let events = self.buffered_events.fetch_sub(load.events, Ordering::AcqRel);
        let bytes = self.buffered_bytes.fetch_sub(load.bytes, Ordering::AcqRel);
        let fell = |before: usize, taken: usize, limit: usize| {
            before > limit / 2 && before.saturating_sub(taken) <= limit / 2
        };
        fell(events, load.events, limit.events) || fell(bytes, load.bytes, limit.bytes)
    }

    pub(crate) fn has_room(&self, limit: Load) -> bool {
        self.buffered_events.load(Ordering::Acquire) < limit.events
            && self.buffered_bytes.load(Ordering::Acquire) < limit.bytes
    }

    pub(crate) fn asks(&self, asks: bool) {
        *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.asking.store(asks, Ordering::Release);
    }

    /// How long the engine has not asked.
    pub(crate) fn silent_for(&self) -> std::time::Duration {
        if self.asking.load(Ordering::Acquire) {
            return std::time::Duration::ZERO;
        }
        let asked_at = *self.asked_at.lock().unwrap_or_else(PoisonError::into_inner);
        asked_at.map_or(std::time::Duration::ZERO, |at| at.elapsed())
    }
}
