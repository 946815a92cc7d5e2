//! One assignment, as the conductor keeps it.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    known_streams::KnownStream, layout_wait::LayoutWait, progress::Progress, stream_state::StreamState,
};
use crate::{AssignedStream, Delivery, Index, StreamName};

/// Where an assignment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Its generation is read, confirmed and raised, and its gates are loaded.
    TakingOver,
    /// It came with streams that were added to its topic, and the old ones have not passed yet.
    Waiting,
    /// Its events are handled.
    Ready,
    /// It waits for an operator: an event cannot be taken, or the stream is not what it was.
    Stopped,
    /// It is being let go of.
    Leaving,
}

/// Why it is let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// The broker takes it away, or the consumer shuts down.
    Revoked { lost: bool },
    /// A write was refused as stale although the broker has not taken it away: take it over again.
    Fenced,
}

/// A delivery that is not dispatched yet.
pub(crate) struct Waiting {
    pub(crate) delivery: Delivery,
    pub(crate) gated: bool,
    pub(crate) bytes: usize,
}

/// See the module.
pub(crate) struct Intake {
    pub(crate) stream: AssignedStream,
    pub(crate) known: Arc<KnownStream>,
    pub(crate) phase: Phase,
    pub(crate) state: Option<Arc<StreamState>>,
    pub(crate) progress: Progress,
    /// Delivered events that are not done with, and their bytes.
    pub(crate) buffered: usize,
    pub(crate) buffered_bytes: usize,
    pub(crate) waiting: VecDeque<Waiting>,
    /// Received from a shared stream, and not looked up yet; with whether a look-up is under way.
    pub(crate) received: Vec<Waiting>,
    pub(crate) looking_up: bool,
    /// The first event that cannot be taken, with why: the stream stops there once what came before is under way.
    pub(crate) bad: Option<(Index, String)>,
    pub(crate) paused: bool,
    /// Workers in which an entity waits for a limit.
    pub(crate) limited: usize,
    /// So many events from here on are suspect.
    pub(crate) suspects_left: u64,
    pub(crate) leaving: Option<Leaving>,
    pub(crate) drop_at: Option<Instant>,
    /// Workers that have not said yet that nothing of it runs.
    pub(crate) draining: usize,
    pub(crate) clean: bool,
    /// What the broker has confirmed, and what of it the failure log knows.
    pub(crate) settled: Option<Index>,
    pub(crate) saved: Option<Index>,
    pub(crate) saved_at: Instant,
    /// The last of the paused entities that the last look has found, if there may be more.
    pub(crate) paused_seen: Option<Bytes>,
    /// The layout that the broker said the stream belongs to.
    pub(crate) layout: Option<StreamName>,
    /// What it waits for, if it has had to wait.
    pub(crate) wait: Option<Box<LayoutWait>>,
}

impl Intake {
    pub(crate) fn new(stream: AssignedStream, known: Arc<KnownStream>) -> Self {
        Self {
            stream,
            known,
            phase: Phase::TakingOver,
            state: None,
            progress: Progress::default(),
            buffered: 0,
            buffered_bytes: 0,
            waiting: VecDeque::new(),
            received: Vec::new(),
            looking_up: false,
            bad: None,
            paused: false,
            limited: 0,
            suspects_left: 0,
            leaving: None,
            drop_at: None,
            draining: 0,
            clean: true,
            settled: None,
            saved: None,
            saved_at: Instant::now(),
            paused_seen: None,
            layout: None,
            wait: None,
        }
    }

    /// Tells metrics how much is buffered.
    pub(crate) fn tell_buffered(&self) {
        self.known.buffered_events.set(self.buffered);
        self.known.buffered_bytes.set(self.buffered_bytes);
    }

    /// Whether everything that was delivered has gone to the workers.
    pub(crate) fn nothing_waits(&self) -> bool {
        self.waiting.is_empty() && self.received.is_empty() && !self.looking_up
    }

    /// Whether nothing that was delivered is still to be done.
    pub(crate) fn is_idle(&self) -> bool {
        self.buffered == 0
    }
}
