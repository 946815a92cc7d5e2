//! What the client tells about rebalances.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
};

use rdkafka::{
    ClientContext,
    consumer::{BaseConsumer, ConsumerContext, Rebalance},
};

/// Keeps note of partitions that were taken away, until the loop has let go of them.
#[derive(Debug, Default)]
pub(super) struct LoopContext(Mutex<BTreeSet<i32>>);

impl LoopContext {
    /// The partitions that were taken away since the last call.
    pub(super) fn taken_away(&self) -> BTreeSet<i32> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for LoopContext {}

impl ConsumerContext for LoopContext {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // An assignment counts as well: whatever was known of the partition is from before it.
        let (Rebalance::Revoke(partitions) | Rebalance::Assign(partitions)) = rebalance else { return };
        let mut taken_away = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken_away.extend(partitions.elements().iter().map(|element| element.partition()));
    }
}
