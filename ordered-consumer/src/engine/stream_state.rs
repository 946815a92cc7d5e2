//! A stream as workers and callers see it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    fingerprint::{Fingerprint, FingerprintKey},
    gate_cache::GateCache,
    known_streams::KnownStream,
};
use crate::{Lease, Sharing, StreamName, Timestamp, gate::Guard};

/// One assignment of a stream.
pub(crate) struct StreamState {
    pub(crate) name: StreamName,
    fingerprint: Fingerprint,
    /// Names the assignment within the process.
    pub(crate) slot: u64,
    pub(crate) sharing: Sharing,
    /// What this process raised the stream to; zero for a shared one.
    pub(crate) generation: u64,
    /// Until when the broker is known not to have given an owned stream to somebody else.
    pub(crate) lease: Option<Lease>,
    pub(crate) cache: GateCache,
    /// What outlives the assignment.
    pub(crate) known: Arc<KnownStream>,
    /// Set once the assignment is gone: nothing of it starts any more.
    pub(crate) gone: AtomicBool,
    /// Set, and told, once nothing new of the assignment may start: whatever only waits is given back.
    leaving: AtomicBool,
    left: Notify,
    /// What the failure log's clock said, and when the answer had come.
    clock: Mutex<Option<(Timestamp, Instant)>>,
    /// How long a caller waits for the failure log and for what its handler needs; none: for as long as it takes.
    pub(crate) patience: Option<Duration>,
    /// For callers of `process`: so many events from here on are suspect. Workers are told event by event.
    pub(crate) suspects_left: AtomicU64,
}

impl StreamState {
    pub(crate) fn new(
        name: StreamName,
        slot: u64,
        sharing: Sharing,
        generation: u64,
        lease: Option<Lease>,
        (known, key): (Arc<KnownStream>, &FingerprintKey),
    ) -> Self {
        // Not of the slot: turns are kept across assignments of one stream, so that two never run an entity at once.
        let fingerprint = key.stream(name.as_str());
        Self {
            fingerprint,
            name,
            slot,
            sharing,
            generation,
            lease,
            cache: GateCache::default(),
            known,
            gone: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            left: Notify::new(),
            clock: Mutex::default(),
            patience: None,
            suspects_left: AtomicU64::new(0),
        }
    }

    pub(crate) fn is_owned(&self) -> bool {
        self.sharing == Sharing::Owned
    }

    /// Whether the failure log must be asked about an entity before its event runs: on an owned stream, the cache knows.
    pub(crate) fn may_be_gated(&self, entity: Fingerprint) -> bool {
        self.is_owned() && self.cache.contains(entity)
    }

    pub(crate) fn entity(&self, key: &FingerprintKey, entity: &[u8]) -> Fingerprint {
        self.fingerprint.entity(key, entity)
    }

    /// Whether nothing of the stream may start any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
            || self.lease.as_ref().is_some_and(|lease| lease.remaining().is_zero())
    }

    /// Nothing of it starts any more.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Release);
        self.left.notify_waiters();
    }

    /// Waits until the assignment is being let go of. Cancel safe.
    pub(crate) async fn left(&self) {
        let left = self.left.notified();
        if !self.leaving.load(Ordering::Acquire) {
            left.await;
        }
    }

    /// Whether the next event is suspect; counts it.
    pub(crate) fn take_suspect(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.suspects_left.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    pub(crate) fn knows_clock(&self) -> bool {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(crate) fn set_clock(&self, now: Timestamp) {
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Instant::now()));
    }

    /// What a write for an event of this stream must prove.
    pub(crate) fn guard(&self, lease: Option<&Lease>) -> Guard {
        if self.is_owned() {
            return Guard::Owned { generation: self.generation };
        }
        let clock = *self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        let deadline = lease.map(|lease| match clock {
            // The log read its clock before its answer came, so this is never later than the lease's true end.
            Some((now, came)) => now.plus(came.elapsed().saturating_add(lease.remaining())),
            None => Timestamp::from_micros(0),
        });
        Guard::Shared { deadline }
    }
}
