//! What a member is told next.

use tokio::time::Instant;

use super::{
    MemberId,
    group::{Group, Topics, partition},
};
use crate::{Delivery, Event, SourceMessage};

impl Group {
    /// The next thing that a member is told, if there is one.
    pub(super) fn next_for(&mut self, id: MemberId, topics: &Topics, now: Instant) -> Option<SourceMessage> {
        if let Some(notice) = self.members.get_mut(&id)?.notices.pop_front() {
            return Some(notice);
        }
        if let Some(settled) = self.next_settled(id) {
            return Some(settled);
        }
        let member = self.members.get_mut(&id)?;
        member.copies_first = !member.copies_first;
        let message = if member.copies_first {
            self.next_copies(id, now).or_else(|| self.next_events(id, topics))
        } else {
            self.next_events(id, topics).or_else(|| self.next_copies(id, now))
        };
        message.or_else(|| self.next_end(id, topics))
    }

    fn next_settled(&mut self, id: MemberId) -> Option<SourceMessage> {
        let member = self.members.get_mut(&id)?;
        member.held.iter_mut().find_map(|held| {
            let through = held.settled.take()?;
            Some(SourceMessage::Settled { assignment: held.assignment.clone(), through })
        })
    }

    fn next_copies(&mut self, id: MemberId, now: Instant) -> Option<SourceMessage> {
        let member = self.members.get(&id)?;
        let takes = member.takes_copies && !member.copies_paused;
        let copies =
            if takes { self.retry.receive(id, self.options.batch_max, None, now) } else { Vec::new() };
        (!copies.is_empty()).then_some(SourceMessage::Copies(copies))
    }

    /// A batch of the stream whose turn it is, or of the next one that has any.
    fn next_events(&mut self, id: MemberId, topics: &Topics) -> Option<SourceMessage> {
        let streams = self.members.get(&id)?.held.len();
        for _ in 0..streams {
            let member = self.members.get_mut(&id)?;
            let at = member.turn % streams;
            member.turn = (at + 1) % streams;
            let message = self.events_of(id, at, topics);
            if message.is_some() {
                return message;
            }
        }
        None
    }

    fn events_of(&mut self, id: MemberId, at: usize, topics: &Topics) -> Option<SourceMessage> {
        let held = self.members.get_mut(&id)?.held.get_mut(at)?;
        if held.paused || !held.confirmed {
            return None;
        }
        let mut position = self.positions.get_mut(&held.place);
        let owner = position.as_ref().and_then(|position| position.owner.as_ref());
        // What is to be released gets nothing more; a member that lost it and does not know still does.
        if held.lost.is_none() && owner.is_some_and(|owner| owner.revoking.is_some()) {
            return None;
        }
        let batch = self.options.batch_max;
        let delivered = position.as_ref().and_then(|position| position.delivered);
        let delivery = |event: Event| {
            let receipt = u64::try_from(event.index().get() % u128::from(u64::MAX)).unwrap_or(0);
            let mut context = event.context();
            context.redelivered = delivered.is_some_and(|delivered| event.index().get() <= delivered);
            Delivery { event: event.with_context(context), receipt, lease: None }
        };
        let deliveries: Vec<Delivery> = match &mut held.lost {
            Some(lost) => {
                let buffered = lost.buffered.len().min(batch);
                lost.buffered.drain(..buffered).map(delivery).collect()
            }
            None => {
                partition(topics, &held.place)?.after(held.after).take(batch).cloned().map(delivery).collect()
            }
        };
        let last = deliveries.last()?.event.index().get();
        held.after = Some(last);
        held.delivered = held.delivered.max(Some(last));
        if held.lost.is_none()
            && let Some(position) = position.as_mut()
        {
            position.delivered = position.delivered.max(Some(last));
        }
        Some(SourceMessage::Events { assignment: held.assignment.clone(), deliveries })
    }

    /// The end, once, when everything of the member's topics is settled by the group, and every copy is.
    fn next_end(&mut self, id: MemberId, topics: &Topics) -> Option<SourceMessage> {
        let member = self.members.get(&id)?;
        if member.end_was_told || (member.takes_copies && !self.retry.is_empty()) {
            return None;
        }
        let mut ends = member.topics.iter().map(|name| topics.get(&**name));
        if !ends.all(|topic| topic.is_some_and(|topic| topic.closed || member.ends)) {
            return None;
        }
        let mut positions = self.positions.iter().filter(|(place, _)| member.topics.contains(&place.topic));
        let settled = positions.all(|(place, at)| {
            partition(topics, place).is_none_or(|partition| partition.count_after(at.committed) == 0)
        });
        if !settled {
            return None;
        }
        self.members.get_mut(&id)?.end_was_told = true;
        Some(SourceMessage::Ended)
    }
}
