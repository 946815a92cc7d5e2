//! What one receive took of one entity.

use std::collections::VecDeque;

use bytes::Bytes;
use tokio::time::Instant;

use super::MemberId;
use crate::Lease;

/// An entity's events of one receive: they share a deadline, and are deleted in order.
pub(super) struct Flight {
    pub(super) member: MemberId,
    pub(super) entity: Bytes,
    pub(super) lease: Lease,
    pub(super) visible_at: Instant,
    /// In index order; a deleted one is gone.
    pub(super) items: VecDeque<Item>,
}

pub(super) struct Item {
    pub(super) receipt: u64,
    pub(super) state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Pending,
    Done,
    Abandoned,
}

impl Flight {
    pub(super) fn mark(&mut self, receipt: u64, state: State) {
        let pending = |item: &&mut Item| item.receipt == receipt && item.state == State::Pending;
        if let Some(item) = self.items.iter_mut().find(pending) {
            item.state = state;
        }
    }

    /// The next to be deleted: the first, if it is done. What is done behind one that is not has to wait.
    pub(super) fn next_delete(&self) -> Option<u64> {
        self.items.front().filter(|item| item.state == State::Done).map(|item| item.receipt)
    }

    /// Whether nothing more will become done.
    pub(super) fn is_over(&self) -> bool {
        self.items.iter().all(|item| item.state != State::Pending)
    }
}
