//! Which entities of an owned stream may have a gate.

use std::{
    collections::HashSet,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::fingerprint::{BuildIdentity, Fingerprint};

const PARTS: usize = 16;

/// The fingerprints of every gate of a stream, tombstones too: 16 bytes each and the table's slack. What is not in it
/// is clear, without a query; what is in it must be asked about. It is dropped with the stream.
#[derive(Default)]
pub(crate) struct GateCache {
    parts: [Mutex<HashSet<Fingerprint, BuildIdentity>>; PARTS],
    len: AtomicUsize,
}

impl GateCache {
    fn part(&self, entity: Fingerprint) -> MutexGuard<'_, HashSet<Fingerprint, BuildIdentity>> {
        // A panic inside the set's own methods cannot leave it half changed in a way that matters here.
        self.parts[entity.part(PARTS)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn contains(&self, entity: Fingerprint) -> bool {
        self.len.load(Ordering::Acquire) > 0 && self.part(entity).contains(&entity)
    }

    /// Marks an entity: before its failure is written, and when a load or a refresh found its gate.
    pub(crate) fn insert(&self, entity: Fingerprint) {
        let mut part = self.part(entity);
        if part.insert(entity) {
            self.len.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Forgets an entity that was found clear or cleared on its own turn. A refresh never removes.
    pub(crate) fn remove(&self, entity: Fingerprint) {
        let mut part = self.part(entity);
        if part.remove(&entity) {
            self.len.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fingerprint::FingerprintKey, *};

    #[test]
    fn a_million_gated_entities_take_less_than_a_hundred_bytes_each() {
        let (cache, key) = (GateCache::default(), FingerprintKey::new(7));
        let stream = key.stream("a");
        for entity in 0_u64..1_000_000 {
            cache.insert(stream.entity(&key, &entity.to_be_bytes()));
        }
        // A slot is a fingerprint and a control byte, and the table keeps spare slots.
        let slots: usize = cache.parts.iter().map(|part| part.lock().unwrap().capacity() * 8 / 7).sum();
        let bytes = slots * (size_of::<Fingerprint>() + 1);
        assert!(cache.len() == 1_000_000 && bytes < 100_000_000, "{bytes}");
    }

    #[test]
    fn the_same_entity_in_two_streams_has_two_fingerprints() {
        let key = FingerprintKey::new(7);
        let (one, other) = (key.stream("1").entity(&key, b"a"), key.stream("2").entity(&key, b"a"));
        let cache = GateCache::default();
        cache.insert(one);
        cache.insert(one);
        assert!(cache.contains(one) && !cache.contains(other));
        cache.remove(one);
        assert_eq!((cache.len(), cache.contains(one)), (0, false));
    }
}
