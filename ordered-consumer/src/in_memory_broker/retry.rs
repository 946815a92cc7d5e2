//! A retry stream: copies of released events on their way back.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{MemberId, group::later};
use crate::{Index, PublishError, ReleasedEvent, ReturnedCopy, StreamName};

/// A retry stream of one group or queue: at least once, in the order in which copies were published.
#[derive(Default)]
pub(super) struct RetryStream {
    waiting: VecDeque<Copied>,
    in_flight: BTreeMap<u64, InFlight>,
    receipts: u64,
    pub(super) published: u64,
}

/// What a copy carries.
#[derive(Clone)]
struct Copied {
    stream: StreamName,
    entity: Bytes,
    index: Index,
    attempts: u32,
}

struct InFlight {
    copy: Copied,
    member: MemberId,
    /// On a shared stream, when it is handed out again.
    until: Option<Instant>,
}

impl RetryStream {
    pub(super) fn publish(&mut self, released: &ReleasedEvent, max: usize) -> Result<(), PublishError> {
        if self.len() >= max {
            return Err(PublishError::Unavailable("the retry stream is full".into()));
        }
        let event = &released.event;
        self.published += 1;
        self.waiting.push_back(Copied {
            stream: event.stream().clone(),
            entity: event.entity().clone(),
            index: event.index(),
            attempts: released.attempts,
        });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    pub(super) fn receive(
        &mut self,
        member: MemberId,
        max: usize,
        visible_for: Option<Duration>,
        now: Instant,
    ) -> Vec<ReturnedCopy> {
        let max = max.min(self.waiting.len());
        let taken: Vec<Copied> = self.waiting.drain(..max).collect();
        let mut copies = Vec::with_capacity(max);
        for copy in taken {
            self.receipts += 1;
            let receipt = self.receipts;
            let Copied { stream, entity, index, attempts } = copy.clone();
            copies.push(ReturnedCopy { stream, entity, index, attempts, receipt });
            let until = visible_for.map(|visible_for| later(now, visible_for));
            self.in_flight.insert(receipt, InFlight { copy, member, until });
        }
        copies
    }

    pub(super) fn settle(&mut self, member: MemberId, receipts: &[u64]) {
        for receipt in receipts {
            if self.in_flight.get(receipt).is_some_and(|copy| copy.member == member) {
                self.in_flight.remove(receipt);
            }
        }
    }

    /// Has a member's copies that are not settled come again, in their order.
    pub(super) fn give_back(&mut self, member: MemberId) {
        self.return_where(|copy| copy.member == member);
    }

    /// Has copies come again whose visibility has run out.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        self.return_where(|copy| copy.until.is_some_and(|until| until <= now))
    }

    /// Keeps a member's copies from being handed out again until then.
    pub(super) fn extend(&mut self, member: MemberId, until: Instant) {
        for copy in self.in_flight.values_mut().filter(|copy| copy.member == member) {
            copy.until = copy.until.max(Some(until));
        }
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        self.in_flight.values().filter_map(|copy| copy.until).min()
    }

    fn return_where(&mut self, returns: impl Fn(&InFlight) -> bool) -> bool {
        let back: Vec<u64> =
            self.in_flight.iter().filter(|(_, copy)| returns(copy)).map(|(receipt, _)| *receipt).collect();
        for receipt in back.iter().rev() {
            if let Some(copy) = self.in_flight.remove(receipt) {
                self.waiting.push_front(copy.copy);
            }
        }
        !back.is_empty()
    }
}
