//! A queue's consumer, as the broker sees it, and what it is told next.

use tokio::time::Instant;

use super::{MemberId, group::later, queue::Queue};
use crate::{AssignedStream, Assignment, SourceMessage};

/// Somebody who receives from a queue.
pub(super) struct QueueConsumer {
    pub(super) epoch: u64,
    pub(super) assignment_was_told: bool,
    pub(super) paused: bool,
    pub(super) takes_copies: bool,
    pub(super) copies_paused: bool,
    pub(super) ends: bool,
    pub(super) end_was_told: bool,
    pub(super) copies_first: bool,
    pub(super) ready_at: Option<Instant>,
    /// When it extends what it has received, if the queue's options say that it does.
    pub(super) beats_at: Instant,
}

impl Queue {
    pub(super) fn join(&mut self, id: MemberId, now: Instant) {
        let beats_at = self.options.heartbeat.map_or(now, |every| later(now, every));
        let consumer = QueueConsumer {
            epoch: id.0,
            assignment_was_told: false,
            paused: false,
            takes_copies: false,
            copies_paused: false,
            ends: false,
            end_was_told: false,
            copies_first: false,
            ready_at: None,
            beats_at,
        };
        self.consumers.insert(id, consumer);
    }

    /// The next thing that a consumer is told, if there is one.
    pub(super) fn next_for(&mut self, id: MemberId, now: Instant) -> Option<SourceMessage> {
        let consumer = self.consumers.get_mut(&id)?;
        let assignment = Assignment { stream: self.stream.clone(), epoch: consumer.epoch };
        if !consumer.assignment_was_told {
            consumer.assignment_was_told = true;
            return Some(SourceMessage::Assigned(vec![AssignedStream { assignment, lease: None }]));
        }
        consumer.copies_first = !consumer.copies_first;
        let message = if consumer.copies_first {
            self.next_copies(id, now).or_else(|| self.next_events(id, assignment, now))
        } else {
            self.next_events(id, assignment, now).or_else(|| self.next_copies(id, now))
        };
        message.or_else(|| self.next_end(id))
    }

    fn next_copies(&mut self, id: MemberId, now: Instant) -> Option<SourceMessage> {
        self.consumers.get(&id).filter(|consumer| consumer.takes_copies && !consumer.copies_paused)?;
        let visible_for = Some(self.options.visibility_timeout);
        let copies = self.retry.receive(id, self.options.receive_max, visible_for, now);
        (!copies.is_empty()).then_some(SourceMessage::Copies(copies))
    }

    fn next_events(&mut self, id: MemberId, assignment: Assignment, now: Instant) -> Option<SourceMessage> {
        self.consumers.get(&id).filter(|consumer| !consumer.paused)?;
        let deliveries = self.receive(id, now);
        (!deliveries.is_empty()).then_some(SourceMessage::Events { assignment, deliveries })
    }

    fn next_end(&mut self, id: MemberId) -> Option<SourceMessage> {
        let (closed, left) = (self.closed, self.kept());
        let copies_left = !self.retry.is_empty();
        let consumer = self.consumers.get_mut(&id)?;
        let ends = (closed || consumer.ends) && left == 0 && !(consumer.takes_copies && copies_left);
        if !ends || consumer.end_was_told {
            return None;
        }
        consumer.end_was_told = true;
        Some(SourceMessage::Ended)
    }
}
