//! Turns of entities among concurrent calls to `process`: in the order of the calls.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::fingerprint::{BuildIdentity, Fingerprint};

type Held = HashMap<Fingerprint, Arc<AsyncMutex<()>>, BuildIdentity>;

/// Who has an entity's turn. An entity is kept only while somebody has its turn or waits for it.
#[derive(Default)]
pub(crate) struct Turns(Mutex<Held>);

impl Turns {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the entity's turn, behind everybody who has asked before. Cancel safe: tokio's mutex is fair, and a
    /// waiter that goes away leaves the queue.
    pub(crate) async fn take(&self, entity: Fingerprint) -> TakenTurn<'_> {
        let turn = Arc::clone(self.held().entry(entity).or_default());
        // From here on, so that whoever is dropped while waiting tidies up, too.
        let mut taken = TakenTurn { turns: self, entity, guard: None };
        // Unconstrained, because a task that has used up its budget would not even join the queue, and a later call
        // would come before it.
        taken.guard = Some(tokio::task::unconstrained(turn.lock_owned()).await);
        taken
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.held().len()
    }
}

/// The entity's turn; over when it is dropped.
pub(crate) struct TakenTurn<'a> {
    turns: &'a Turns,
    entity: Fingerprint,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Drop for TakenTurn<'_> {
    fn drop(&mut self) {
        let mut held = self.turns.held();
        drop(self.guard.take());
        // Nobody else can take a clone of it while the map is locked.
        if held.get(&self.entity).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            held.remove(&self.entity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fingerprint::FingerprintKey, *};

    #[tokio::test]
    async fn turns_come_in_the_order_of_the_calls_and_nothing_is_kept_afterwards() {
        let (turns, key) = (Turns::default(), FingerprintKey::new(1));
        let entity = key.stream("s").entity(&key, b"e");
        let first = turns.take(entity).await;
        let mut second = Box::pin(turns.take(entity));
        let mut third = Box::pin(turns.take(entity));
        assert!(futures::poll!(&mut second).is_pending() && futures::poll!(&mut third).is_pending());
        drop(second);
        drop(first);
        drop(third.await);
        assert_eq!(turns.len(), 0);
    }
}
