//! Whose turn it is to receive, and when what is done with waits for more.
//!
//! A group's messages of one receive are deleted one after the other, by requests that up to ten groups share. So groups are
//! received together and deleted together: once as many are being deleted as may be, nothing more is received until half of them
//! are gone, and while receives bring plenty, a request waits a little until it is full. Receives under way count with what is
//! being deleted, because that is what they soon bring.

use std::{
    mem::replace,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::shared::{MAIN, is_within};

#[derive(Debug, Default)]
struct Counts {
    /// Receives that SQS has not answered yet, or whose answer is not known here, of each queue.
    receiving: [usize; 2],
    /// Groups' receives of the main queue that are being deleted.
    deleting: usize,
    /// There were as many of both as may be, and more than half are being deleted still.
    full: bool,
    /// When a receive from the main queue last brought as much as one can.
    plenty_at: Option<Instant>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Turns {
    max: usize,
    counts: Mutex<Counts>,
    /// There may be room for one receive more. One receiver is woken, who wakes the next while there is room.
    room: Notify,
}

impl Turns {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, counts: Mutex::default(), room: Notify::new() }
    }

    /// Waits until there is room for a receive from this queue, which is under way until what it gives is dropped. Cancel safe: a
    /// dropped call has taken no turn.
    pub(crate) async fn take(&self, queue: usize) -> Receiving<'_> {
        loop {
            if let Some(receiving) = self.try_take(queue) {
                return receiving;
            }
            self.room.notified().await;
        }
    }

    fn try_take(&self, queue: usize) -> Option<Receiving<'_>> {
        let mut counts = self.counts();
        if queue == MAIN && counts.full {
            return None;
        }
        *counts.receiving.get_mut(queue)? += 1;
        self.changed(counts);
        Some(Receiving { turns: self, queue })
    }

    /// So many groups' receives of the main queue are being deleted. To be told in the order in which it comes to be.
    pub(crate) fn are_deleting(&self, count: usize) {
        let mut counts = self.counts();
        if replace(&mut counts.deleting, count) != count {
            self.changed(counts);
        }
    }

    /// A receive from the main queue has brought as much as one can.
    pub(crate) fn brought_plenty(&self) {
        self.counts().plenty_at = Some(Instant::now());
    }

    /// Whether more is likely to be deleted soon: there is room for it, and there was plenty within this time. A receive that
    /// has been under way for longer waits for messages, of which nobody knows when they come.
    pub(crate) fn bring_more(&self, within: Duration) -> bool {
        let counts = self.counts();
        !counts.full && is_within(counts.plenty_at, within)
    }

    /// Whether SQS may still hand something over that is not known here.
    pub(crate) fn is_receiving(&self) -> bool {
        self.counts().receiving.iter().any(|count| *count > 0)
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self, mut counts: MutexGuard<'_, Counts>) {
        let [receiving, _] = counts.receiving;
        let still = counts.full && counts.deleting > self.max / 2;
        counts.full = still || counts.deleting + receiving >= self.max;
        if !counts.full {
            drop(counts);
            self.room.notify_one();
        }
    }
}

/// A receive that is under way. See [`Turns::take`].
#[derive(Debug)]
pub(crate) struct Receiving<'t> {
    turns: &'t Turns,
    queue: usize,
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        let mut counts = self.turns.counts();
        if let Some(count) = counts.receiving.get_mut(self.queue) {
            *count = count.saturating_sub(1);
        }
        self.turns.changed(counts);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::{FutureExt, future::join_all};
    use tokio::time::{advance, timeout};

    use super::*;

    const RETRY: usize = 1;

    #[tokio::test]
    async fn receives_under_way_count_with_what_is_being_deleted() {
        let turns = Turns::new(3);
        turns.are_deleting(1);
        let first = turns.take(MAIN).await;
        let _second = turns.take(MAIN).await;
        let mut third = pin!(turns.take(MAIN));
        assert!(third.as_mut().now_or_never().is_none(), "one is being deleted, and two are under way");
        drop(first);
        let _third = third.as_mut().now_or_never().unwrap();
        assert!(turns.take(MAIN).now_or_never().is_none());
        turns.are_deleting(0);
        assert!(turns.take(MAIN).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn once_full_it_has_room_again_when_half_is_gone() {
        let soon = Duration::from_millis(5);
        let turns = Turns::new(4);
        turns.brought_plenty();
        turns.are_deleting(3);
        assert!(turns.bring_more(soon), "there is room for one");
        turns.are_deleting(4);
        assert!(!turns.bring_more(soon));
        turns.are_deleting(3);
        assert!(turns.take(MAIN).now_or_never().is_none(), "more than half of four");
        turns.are_deleting(2);
        assert!(turns.bring_more(soon));
        assert!(turns.take(MAIN).now_or_never().is_some());
        advance(soon).await;
        assert!(!turns.bring_more(soon), "that was a while ago");
    }

    #[tokio::test]
    async fn copies_are_received_however_much_is_being_deleted() {
        let turns = Turns::new(1);
        turns.are_deleting(5);
        assert!(turns.take(MAIN).now_or_never().is_none());
        let copies = turns.take(RETRY).now_or_never().unwrap();
        assert!(turns.is_receiving());
        drop(copies);
        assert!(!turns.is_receiving());
    }

    #[tokio::test]
    async fn everyone_who_waits_is_woken_while_there_is_room() {
        let turns = Turns::new(4);
        turns.are_deleting(4);
        let everyone = join_all((0..4).map(|_| turns.take(MAIN)));
        let freed = async { turns.are_deleting(0) };
        let (taken, ()) =
            timeout(Duration::from_secs(10), async { tokio::join!(everyone, freed) }).await.unwrap();
        assert_eq!(taken.len(), 4);
    }

    #[tokio::test]
    async fn one_who_goes_away_when_woken_leaves_the_turn_to_the_next() {
        let turns = Turns::new(1);
        turns.are_deleting(1);
        let mut gone = Box::pin(turns.take(MAIN));
        let mut next = pin!(turns.take(MAIN));
        assert!(gone.as_mut().now_or_never().is_none());
        assert!(next.as_mut().now_or_never().is_none());
        turns.are_deleting(0);
        drop(gone);
        assert!(next.as_mut().now_or_never().is_some());
    }
}
