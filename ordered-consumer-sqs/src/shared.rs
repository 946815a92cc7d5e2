//! What a source's tasks share.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_sdk_sqs::Client;
use ordered_consumer::{Assignment, StreamName};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{SqsMapping, flight::State, flights::Flights, queue::Queue, turns::Turns};

/// The queue that events come from.
pub(crate) const MAIN: usize = 0;

/// So many groups' receives may be being deleted, unless that is changed.
pub(crate) const DELETING_MAX: usize = 100;

/// See the module.
pub(crate) struct Shared {
    pub(crate) client: Client,
    /// The main queue, and the retry queue if there is one.
    pub(crate) queues: Vec<Queue>,
    pub(crate) visibility: Vec<Duration>,
    pub(crate) margin: Duration,
    pub(crate) wait: Duration,
    pub(crate) delete_linger: Duration,
    pub(crate) stream: StreamName,
    pub(crate) mapping: SqsMapping,
    pub(crate) assignment: Assignment,
    flights: Mutex<Flights>,
    pub(crate) turns: Turns,
    /// Something can be deleted or given back, or the source closes.
    pub(crate) told: Notify,
    /// When the source was asked last: one that is not asked receives and extends nothing.
    pub(crate) asked: watch::Sender<Option<Instant>>,
    /// Nothing more is received from the queue with this number.
    pub(crate) paused: watch::Sender<[bool; 2]>,
    pub(crate) closing: AtomicBool,
    /// When it was last said that SQS is not available.
    complained: Mutex<Option<Instant>>,
}

/// So often the source notes at most that it was asked.
const ASKED_AFRESH: Duration = Duration::from_millis(20);
/// So long after it was asked a source goes on receiving: whoever asks, asks again soon.
pub(crate) const RECEIVES_FOR: Duration = Duration::from_millis(500);
/// So often it is said at most that SQS is not available.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

impl Shared {
    pub(crate) fn new(
        client: Client,
        queues: Vec<Queue>,
        (stream, mapping): (StreamName, SqsMapping),
        visibility: Vec<Duration>,
        give_way_max: Duration,
    ) -> Self {
        let flights = Flights::new(give_way_max);
        Self {
            client,
            queues,
            visibility,
            margin: Duration::from_secs(2),
            wait: Duration::from_secs(5),
            delete_linger: Duration::from_millis(5),
            assignment: Assignment { stream: stream.clone(), epoch: 1 },
            stream,
            mapping,
            flights: Mutex::new(flights),
            turns: Turns::new(DELETING_MAX),
            told: Notify::new(),
            asked: watch::Sender::new(None),
            paused: watch::Sender::new([false; 2]),
            closing: AtomicBool::new(false),
            complained: Mutex::new(None),
        }
    }

    /// Changes the flights, and has what follows told to SQS.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Flights) -> T) -> T {
        let mut flights = self.flights();
        let changed = change(&mut flights);
        self.tell_deleting(&flights);
        let has_to_tell = flights.has_to_tell();
        drop(flights);
        // Of a group's ten messages that are done with, the first is deleted next: the others wake nobody.
        if has_to_tell {
            self.told.notify_one();
        }
        changed
    }

    /// Tells receivers how many groups' receives are being deleted: with the flights locked still, lest an older number be told
    /// after a newer one.
    pub(crate) fn tell_deleting(&self, flights: &Flights) {
        self.turns.are_deleting(flights.deleting());
    }

    pub(crate) fn flights(&self) -> MutexGuard<'_, Flights> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mark_all(&self, receipts: impl IntoIterator<Item = u64>, state: State) {
        self.was_asked();
        self.change(|flights| receipts.into_iter().for_each(|receipt| flights.mark(receipt, state)));
    }

    pub(crate) fn was_asked(&self) {
        self.asked.send_if_modified(|asked| {
            let now = Instant::now();
            // Said often, and looked at seldom.
            let told = asked.is_none_or(|asked| now.duration_since(asked) >= ASKED_AFRESH);
            if told {
                *asked = Some(now);
            }
            told
        });
    }

    /// Whether the source was asked within this time.
    pub(crate) fn was_asked_within(&self, time: Duration) -> bool {
        is_within(*self.asked.borrow(), time)
    }

    pub(crate) fn url(&self, queue: usize) -> &str {
        self.queues.get(queue).map_or("", |queue| &queue.url)
    }

    pub(crate) fn name_of(&self, queue: usize) -> &str {
        self.queues.get(queue).map_or("", |queue| &queue.name)
    }

    pub(crate) fn visibility_of(&self, queue: usize) -> Duration {
        self.visibility.get(queue).copied().unwrap_or_default()
    }

    /// Between two heartbeats.
    pub(crate) fn beat(&self) -> Duration {
        self.visibility.iter().min().copied().unwrap_or(Duration::from_secs(30)) / 3
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Whether it is time to say that SQS is not available; several tasks notice at once.
    pub(crate) fn may_complain(&self) -> bool {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        let due = complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY);
        if due {
            *complained = Some(Instant::now());
        }
        due
    }
}

/// Whether it was not longer ago.
pub(crate) fn is_within(at: Option<Instant>, time: Duration) -> bool {
    at.is_some_and(|at| at.elapsed() < time)
}
