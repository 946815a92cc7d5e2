//! Which entities failed last, each once.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use crate::engine::fingerprint::Fingerprint;

struct Failed {
    entity: Fingerprint,
    at: Instant,
    /// How many runs had succeeded by then.
    successes: u64,
}

/// The last different entities that failed: no more than are needed to tell.
pub(super) struct Window {
    needed: usize,
    failed: VecDeque<Failed>,
}

impl Window {
    pub(super) fn new(needed: usize) -> Self {
        Self { needed, failed: VecDeque::new() }
    }

    /// Takes down that an entity has failed. Returns whether enough have, within the time, with the share of all runs.
    pub(super) fn add(
        &mut self,
        entity: Fingerprint,
        successes: u64,
        (window, share): (Duration, f64),
    ) -> bool {
        let now = Instant::now();
        while self.failed.front().is_some_and(|failed| now - failed.at > window) {
            self.failed.pop_front();
        }
        if self.failed.iter().any(|failed| failed.entity == entity) {
            return false;
        }
        self.failed.push_back(Failed { entity, at: now, successes });
        if self.failed.len() > self.needed {
            self.failed.pop_front();
        }
        let Some(first) = self.failed.front().filter(|_| self.failed.len() >= self.needed) else {
            return false;
        };
        let succeeded = successes.saturating_sub(first.successes) as f64;
        let failed = self.needed as f64;
        failed >= share * (failed + succeeded)
    }

    /// Whether nothing has failed lately.
    pub(super) fn is_calm(&self, window: Duration) -> bool {
        self.failed.back().is_none_or(|failed| failed.at.elapsed() > window)
    }

    pub(super) fn clear(&mut self) {
        self.failed.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::fingerprint::FingerprintKey;

    fn entity(number: u64) -> Fingerprint {
        let key = FingerprintKey::new(1);
        key.stream("s").entity(&key, &number.to_be_bytes())
    }

    const HALF: (Duration, f64) = (Duration::from_secs(60), 0.5);

    #[tokio::test(start_paused = true)]
    async fn one_entity_counts_once_however_often_it_fails() {
        let mut window = Window::new(3);
        assert!((0..1_000).all(|_| !window.add(entity(1), 0, HALF)));
        assert!(!window.add(entity(2), 0, HALF));
        assert!(window.add(entity(3), 0, HALF));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_lie_far_apart_are_no_outage() {
        let mut window = Window::new(3);
        for number in 0..100 {
            assert!(!window.add(entity(number), 0, HALF));
            tokio::time::advance(Duration::from_secs(31)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_among_many_successes_are_no_outage_however_many_there_are() {
        let mut window = Window::new(20);
        // One run in three fails: of different entities each, and without an end.
        assert!((0..10_000).all(|number| !window.add(entity(number), number * 2, HALF)));
        // Then all do. What was handled before does not hide it for long.
        let opened = (10_000..10_100).position(|number| window.add(entity(number), 20_000, HALF));
        assert!(opened.is_some_and(|after| after < 20), "{opened:?}");
    }
}
