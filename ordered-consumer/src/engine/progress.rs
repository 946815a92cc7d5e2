//! How far a stream is settled: a contiguous watermark over events that become done in any order.

use std::collections::VecDeque;

use crate::Index;

/// The events of one assignment, from the first that is not done to the last that was dispatched.
#[derive(Default)]
pub(crate) struct Progress {
    /// The sequence number of the first event kept.
    base: u64,
    events: VecDeque<(Index, bool)>,
    watermark: Option<Index>,
}

impl Progress {
    /// Takes note of an event that is dispatched, and returns its sequence number.
    pub(crate) fn dispatched(&mut self, index: Index) -> u64 {
        self.events.push_back((index, false));
        self.base + self.events.len() as u64 - 1
    }

    /// Takes note that an event is done, and says whether the watermark moved.
    pub(crate) fn done(&mut self, sequence: u64) -> bool {
        let place = sequence.checked_sub(self.base).and_then(|place| usize::try_from(place).ok());
        if let Some((_, done)) = place.and_then(|place| self.events.get_mut(place)) {
            *done = true;
        }
        let mut moved = false;
        while let Some((index, true)) = self.events.front().copied() {
            self.events.pop_front();
            self.base += 1;
            self.watermark = Some(index);
            moved = true;
        }
        moved
    }

    /// Everything dispatched up to and including this index is done.
    pub(crate) fn watermark(&self) -> Option<Index> {
        self.watermark
    }

    /// How many events there are from the first that is not done to the last that was dispatched.
    pub(crate) fn uncommitted(&self) -> usize {
        self.events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_never_passes_an_event_that_is_not_done() {
        let mut progress = Progress::default();
        let sequences: Vec<u64> = [3, 5, 9].map(|i| progress.dispatched(Index::new(i))).to_vec();
        assert!(!progress.done(sequences[2]) && !progress.done(sequences[1]));
        assert_eq!((progress.watermark(), progress.uncommitted()), (None, 3));
        assert!(progress.done(sequences[0]));
        assert_eq!((progress.watermark(), progress.uncommitted()), (Some(Index::new(9)), 0));
        assert!(!progress.done(sequences[0]), "done twice is done once");
    }
}
