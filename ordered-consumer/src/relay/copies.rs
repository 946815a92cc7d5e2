//! Copies that came back and wait for their run.

use std::collections::{HashMap, VecDeque};

use crate::{GateKey, ReturnedCopy};

/// Copies that wait: of one entity one at a time, in the order in which they came. The next one's turn comes with the end of
/// the one before it; begun beside it, it would be refused as out of turn, and published again only after a time-out.
#[derive(Default)]
pub(super) struct Copies {
    ready: VecDeque<ReturnedCopy>,
    /// Behind a copy that is ready or runs: an entry for each such entity.
    behind: HashMap<GateKey, VecDeque<ReturnedCopy>>,
}

pub(super) fn key_of(copy: &ReturnedCopy) -> GateKey {
    GateKey { stream: copy.stream.clone(), entity: copy.entity.clone() }
}

impl Copies {
    pub(super) fn add(&mut self, copies: Vec<ReturnedCopy>) {
        for copy in copies {
            let key = key_of(&copy);
            if let Some(behind) = self.behind.get_mut(&key) {
                behind.push_back(copy);
            } else {
                self.behind.insert(key, VecDeque::new());
                self.ready.push_back(copy);
            }
        }
    }

    /// The next one to run; [`ended`](Self::ended) must be said of it.
    pub(super) fn take(&mut self) -> Option<ReturnedCopy> {
        self.ready.pop_front()
    }

    /// The entity's copy is done with: the next one may run.
    pub(super) fn ended(&mut self, key: &GateKey) {
        match self.behind.get_mut(key).map(VecDeque::pop_front) {
            Some(Some(next)) => self.ready.push_back(next),
            Some(None) => {
                self.behind.remove(key);
            }
            None => {}
        }
    }

    pub(super) fn clear(&mut self) {
        self.ready.clear();
        self.behind.clear();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{Index, StreamName};

    fn copy(entity: &'static str, index: u64) -> ReturnedCopy {
        let (stream, entity) = (StreamName::new("orders").unwrap(), Bytes::from(entity));
        ReturnedCopy { stream, entity, index: Index::from(index), attempts: 0, receipt: index }
    }

    fn taken(copies: &mut Copies) -> Option<u64> {
        copies.take().map(|copy| copy.receipt)
    }

    #[test]
    fn copies_of_an_entity_run_one_after_another_and_do_not_keep_others_waiting() {
        let mut copies = Copies::default();
        copies.add(vec![copy("a", 1), copy("a", 2), copy("b", 3)]);
        assert_eq!((taken(&mut copies), taken(&mut copies), taken(&mut copies)), (Some(1), Some(3), None));
        copies.add(vec![copy("a", 4)]);
        assert_eq!(taken(&mut copies), None, "the first one still runs");
        copies.ended(&key_of(&copy("a", 1)));
        assert_eq!((taken(&mut copies), taken(&mut copies)), (Some(2), None));
        copies.ended(&key_of(&copy("a", 2)));
        assert_eq!(taken(&mut copies), Some(4));
        copies.ended(&key_of(&copy("a", 4)));
        copies.ended(&key_of(&copy("b", 3)));
        assert!(copies.behind.is_empty(), "nothing is kept of entities without copies");
        copies.add(vec![copy("a", 5)]);
        assert_eq!(taken(&mut copies), Some(5));
    }

    #[test]
    fn what_ends_after_a_stop_brings_nothing_back() {
        let mut copies = Copies::default();
        copies.add(vec![copy("a", 1), copy("a", 2)]);
        copies.take();
        copies.clear();
        copies.ended(&key_of(&copy("a", 1)));
        assert_eq!(taken(&mut copies), None);
    }
}
