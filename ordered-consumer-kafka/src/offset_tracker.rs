//! What of one partition is done, what to commit, and what not to deliver again. Without I/O and without a clock.
//!
//! # What is committed
//!
//! Events become done in any order. The committed offset is the first that was delivered and is not done, so that it
//! never passes an event that is neither handled nor in the failure log. What is done beyond it goes into the commit's
//! metadata (see [`commit_metadata`](crate::commit_metadata)), and whoever reads the partition next skips it.
//!
//! A consumer that reads on hands records over by ascending offset. Whatever lies between two of them will therefore never
//! be handed over: control records of transactions, aborted ones, and what compaction has removed. Everything below the
//! next offset to come counts as done, but for what was delivered and is not. At the end of the partition the broker
//! names an offset that can lie past the last record, and that one can be committed, so that a lag of zero is shown as such.
//!
//! # Why skipping what is done does not harm order
//!
//! An entity has one turn, which lasts until an event's outcome is durable: handled, or in the failure log. So within an
//! entity events become done in the order of their offsets, and when one of them is done, all of the entity's earlier ones
//! in this partition are. A set of done offsets, cut off at any offset, keeps that property. So what comes again of an
//! entity after a restart is a run of its latest events, in order, without a gap: as if the entity had a committed offset of
//! its own. A set that had lost offsets at its *beginning* would not do: an early event would run again, after a later one
//! whose second run was skipped.

use std::collections::VecDeque;

use crate::completed_offsets::CompletedOffsets;

/// What to do with a record that the broker's client has handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is to be delivered.
    Deliver,
    /// It is done already, or was delivered under this assignment.
    Skip,
}

/// Whether the end of the partition agrees with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartitionEnd {
    /// It does.
    Plausible,
    /// Offsets past it were told to be done: the log was cut, or is another one. They are forgotten, so that what will be
    /// written there is not skipped.
    BeforeWhatIsDone,
}

/// The offsets of one assignment of a partition, from where it began. To be made anew when the assignment is confirmed
/// again.
#[derive(Clone, Debug)]
pub(crate) struct OffsetTracker {
    /// Everything below has been handed over, or will never be.
    next: i64,
    /// What was delivered, ascending, from the first one that is not done, and whether it is done.
    delivered: VecDeque<(i64, bool)>,
    /// What earlier owners completed at `next` and beyond.
    known: CompletedOffsets,
    /// Changes whenever what is to be committed does.
    revision: u64,
}

impl OffsetTracker {
    /// Begins at the committed offset, with what earlier owners completed beyond it.
    pub(crate) fn new(committed: i64, completed: &CompletedOffsets) -> Self {
        let known = completed.starting_at(committed);
        Self { next: committed, delivered: VecDeque::new(), known, revision: 0 }
    }

    /// Takes note of a record that was handed over, and says whether it is to be delivered.
    pub(crate) fn arrives(&mut self, offset: i64) -> Arrival {
        if offset < self.next {
            return Arrival::Skip;
        }
        let done = self.known.run_end(offset).is_some();
        // The record itself changes nothing: it is not done, or was known to be.
        self.revision += u64::from(offset > self.next);
        self.advance(offset.saturating_add(1));
        if done {
            return Arrival::Skip;
        }
        self.delivered.push_back((offset, false));
        Arrival::Deliver
    }

    /// The client has handed over everything before the partition's end.
    pub(crate) fn ends(&mut self, end: i64) -> PartitionEnd {
        self.revision += u64::from(end > self.next);
        self.advance(end);
        if self.known.end().is_some_and(|done| done > self.next) {
            // Nobody could have been done with what has not been written.
            self.known = CompletedOffsets::default();
            self.revision += 1;
            return PartitionEnd::BeforeWhatIsDone;
        }
        PartitionEnd::Plausible
    }

    /// A delivered event is done: handled, or in the failure log. Any other offset is ignored.
    pub(crate) fn done(&mut self, offset: i64) {
        if let Some(place) = self.place(offset)
            && let Some((_, done)) = self.delivered.get_mut(place)
            && !*done
        {
            *done = true;
            self.revision += 1;
            self.drop_done();
        }
    }

    /// The offset to commit: the first that is not done.
    pub(crate) fn to_commit(&self) -> i64 {
        match self.delivered.front() {
            Some((first, _)) => *first,
            None => self.known.run_end(self.next).unwrap_or(self.next),
        }
    }

    /// What is done beyond the offset to commit.
    pub(crate) fn completed(&self) -> CompletedOffsets {
        let mut completed = CompletedOffsets::default();
        let mut from = None;
        for (offset, _) in self.delivered.iter().filter(|(_, done)| !done) {
            if let Some(from) = from {
                completed.push(from, *offset);
            }
            from = Some(offset.saturating_add(1));
        }
        if let Some(from) = from {
            completed.push(from, self.next);
        }
        let to_commit = self.to_commit();
        for (start, end) in self.known.runs().iter().filter(|(_, end)| *end > to_commit) {
            completed.push(*start, *end);
        }
        completed
    }

    /// A number that changes whenever what is to be committed does: while it stays the same, there is nothing to commit.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    fn advance(&mut self, next: i64) {
        if next <= self.next {
            return;
        }
        self.next = next;
        if self.known.runs().first().is_some_and(|(start, _)| *start < next) {
            self.known = self.known.starting_at(next);
        }
    }

    fn drop_done(&mut self) {
        while self.delivered.front().is_some_and(|(_, done)| *done) {
            self.delivered.pop_front();
        }
    }

    /// Without compaction and transactions offsets have no gaps, and its place is the distance to the first.
    fn place(&self, offset: i64) -> Option<usize> {
        let (first, _) = self.delivered.front()?;
        let guess = usize::try_from(offset.checked_sub(*first)?).ok()?;
        if self.delivered.get(guess).is_some_and(|(found, _)| *found == offset) {
            return Some(guess);
        }
        self.delivered.binary_search_by_key(&offset, |(offset, _)| *offset).ok()
    }
}

#[cfg(test)]
#[path = "offset_tracker/tests.rs"]
mod tests;
