//! What one receive took of one message group.

use std::{collections::VecDeque, time::Duration};

use ordered_consumer::{Index, Lease};
use tokio::time::Instant;

/// For so long SQS lets a message be invisible at most, counted from its receive.
pub(crate) const INVISIBLE_MAX: Duration = Duration::from_secs(12 * 3_600);
/// What is left of it for clocks and the way there.
const SLACK: Duration = Duration::from_secs(60);

/// Where a message of a flight is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Handed over, and not done with.
    Pending,
    /// Done with: to be deleted, once it is the first.
    Done,
    /// The same, because the failure log holds it: its group gives way to others first.
    Held,
    /// Not done with: to be made visible again.
    Abandoned,
    /// No event, or behind one that is none: nobody is given it, and it comes again when its visibility runs out.
    Unreadable,
}

/// A received message.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) handle: String,
    /// Its place in its queue, to tell which one it was.
    pub(crate) index: Option<Index>,
    pub(crate) state: State,
}

/// One that is in a flight.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) receipt: u64,
    pub(crate) handle: String,
    pub(crate) index: Option<Index>,
    pub(crate) state: State,
}

/// Whether a flight gives way to others before a held message of it is deleted. It does so once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GivesWay {
    NotYet,
    Now,
    Over,
}

/// A group's messages of one receive: they share a deadline, and are deleted in order.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Which of the source's queues it came from.
    pub(crate) queue: usize,
    pub(crate) lease: Lease,
    /// When its receive was asked for, which is before SQS counted its visibility from.
    pub(crate) asked: Instant,
    pub(crate) extended: Instant,
    /// In the queue's order; what is deleted is gone.
    pub(crate) items: VecDeque<Item>,
    /// Its receive brought as much as one can.
    pub(crate) full: bool,
    pub(crate) gives_way: GivesWay,
    /// It is counted among those that are being deleted.
    pub(crate) counted: bool,
    /// The engine has it: only then it is extended.
    pub(crate) handed_over: bool,
    /// The first is being deleted.
    pub(crate) busy: bool,
    /// Nothing more of it is deleted, because a delete was refused or its receipts are lost.
    pub(crate) stopped: bool,
    /// Its receipts are not valid any more: there is nothing to give back.
    pub(crate) lost: bool,
}

/// What is to be done about a flight next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing, until the engine or SQS says something.
    Wait,
    /// The first is to be deleted.
    Delete,
    /// It is to be deleted once others have had their way.
    GiveWay,
    /// It is over: these are to be made visible again, in this order.
    Over(Vec<String>),
}

impl Flight {
    /// The first is deleted, once it is done with; when nothing more will become done, the rest is given back.
    pub(crate) fn next(&self) -> Next {
        let Some(first) = self.items.front() else { return Next::Over(Vec::new()) };
        if self.busy {
            return Next::Wait;
        }
        match (self.stopped, first.state, self.gives_way) {
            (false, State::Done, _) | (false, State::Held, GivesWay::Over) => return Next::Delete,
            (false, State::Held, GivesWay::NotYet) => return Next::GiveWay,
            (false, State::Held, GivesWay::Now) => return Next::Wait,
            _ => {}
        }
        if self.items.iter().any(|item| item.state == State::Pending) {
            return Next::Wait;
        }
        // Made visible again at once, an unreadable message would come at once, and again.
        if self.lost || first.state == State::Unreadable {
            return Next::Over(Vec::new());
        }
        Next::Over(self.items.iter().map(|item| item.handle.clone()).collect())
    }

    /// Whether nothing keeps it but deletes that are to be made.
    pub(crate) fn is_deleting(&self) -> bool {
        let done = |item: &Item| matches!(item.state, State::Done | State::Held);
        !self.stopped && self.gives_way != GivesWay::Now && self.items.iter().all(done)
    }

    /// Nothing more of it is deleted or begun.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.lease.end();
    }

    /// For how long it may be made invisible from now on, in whole seconds as SQS counts; none if SQS would not let it.
    pub(crate) fn may_last(&self, visibility: Duration) -> Option<Duration> {
        let left = INVISIBLE_MAX.saturating_sub(SLACK).saturating_sub(self.asked.elapsed());
        let lasts = Duration::from_secs(visibility.min(left).as_secs());
        (!lasts.is_zero()).then_some(lasts)
    }

    /// Whether it is extended at all.
    pub(crate) fn is_kept(&self) -> bool {
        let kept = |item: &Item| matches!(item.state, State::Pending | State::Done | State::Held);
        self.handed_over && !self.stopped && self.items.iter().any(kept)
    }
}
