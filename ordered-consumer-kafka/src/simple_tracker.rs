//! What of one partition is done: the simplest that is right, until the real tracker is merged.

use std::collections::BTreeMap;

#[derive(Debug)]
pub(crate) struct SimpleTracker {
    next: i64,
    delivered: BTreeMap<i64, bool>,
    revision: u64,
}

impl SimpleTracker {
    pub(crate) fn new(committed: i64) -> Self {
        Self { next: committed, delivered: BTreeMap::new(), revision: 0 }
    }

    /// Whether the record is to be delivered.
    pub(crate) fn arrives(&mut self, offset: i64) -> bool {
        self.next = offset.saturating_add(1);
        self.delivered.insert(offset, false);
        true
    }

    pub(crate) fn ends(&mut self, end: i64) {
        if end > self.next {
            self.next = end;
            self.revision += 1;
        }
    }

    pub(crate) fn done(&mut self, offset: i64) {
        if let Some(done) = self.delivered.get_mut(&offset) {
            *done = true;
            self.revision += 1;
        }
        while self.delivered.first_key_value().is_some_and(|(_, done)| *done) {
            self.delivered.pop_first();
        }
    }

    pub(crate) fn to_commit(&self) -> i64 {
        self.delivered.first_key_value().map_or(self.next, |(first, _)| *first)
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }
}
