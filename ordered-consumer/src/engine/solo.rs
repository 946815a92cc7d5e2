//! A run whose predecessor was lost runs alone in its process: if it takes the process with it, nobody else suffers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Mutex as AsyncMutex, MutexGuard, Notify};

/// Keeps count of who runs handlers, in places that do not share a cache line's traffic per event.
pub(crate) struct Solo {
    wanted: AtomicBool,
    places: Vec<Place>,
    emptied: Notify,
    over: Notify,
    turn: AsyncMutex<()>,
}

#[repr(align(128))]
#[derive(Default)]
struct Place(AtomicUsize);

impl Solo {
    pub(crate) fn new(places: usize) -> Self {
        Self {
            wanted: AtomicBool::new(false),
            places: (0..places).map(|_| Place::default()).collect(),
            emptied: Notify::new(),
            over: Notify::new(),
            turn: AsyncMutex::new(()),
        }
    }

    /// The place of the retries, and of calls to `process`; workers have those before.
    pub(crate) fn retries_place(&self) -> usize {
        self.places.len().saturating_sub(2)
    }

    pub(crate) fn process_place(&self) -> usize {
        self.places.len().saturating_sub(1)
    }

    /// Whether somebody runs alone, or waits to.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Says that this place is about to run handlers; false: somebody must run alone, so it must not.
    pub(crate) fn enter(&self, place: usize) -> bool {
        // In this order, and sequentially consistent: either this place is seen running, or the wish is seen.
        self.places[place].0.fetch_add(1, Ordering::SeqCst);
        if self.wanted.load(Ordering::SeqCst) {
            self.leave(place);
            return false;
        }
        true
    }

    /// Says that a run, or a burst of them, that entered is over.
    pub(crate) fn leave(&self, place: usize) {
        let before = self.places[place].0.fetch_sub(1, Ordering::SeqCst);
        if before == 1 && self.wanted.load(Ordering::SeqCst) {
            self.emptied.notify_one();
        }
    }

    /// Enters, waiting while somebody runs alone. Cancel safe.
    pub(crate) async fn enter_when_free(&self, place: usize) -> Entered<'_> {
        loop {
            let over = self.over.notified();
            if self.enter(place) {
                return Entered { solo: self, place };
            }
            over.await;
        }
    }

    /// Waits until nothing else runs, and keeps others from starting until the guard is dropped. Cancel safe.
    pub(crate) async fn alone(&self) -> Alone<'_> {
        let turn = self.turn.lock().await;
        let alone = Alone { solo: self, _turn: turn };
        self.wanted.store(true, Ordering::SeqCst);
        while self.places.iter().any(|place| place.0.load(Ordering::SeqCst) > 0) {
            self.emptied.notified().await;
        }
        alone
    }
}

/// A run that others must wait for before one may run alone.
pub(crate) struct Entered<'a> {
    solo: &'a Solo,
    place: usize,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.solo.leave(self.place);
    }
}

/// Nothing else starts while this lives.
pub(crate) struct Alone<'a> {
    solo: &'a Solo,
    _turn: MutexGuard<'a, ()>,
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.solo.wanted.store(false, Ordering::SeqCst);
        self.solo.over.notify_waiters();
    }
}
