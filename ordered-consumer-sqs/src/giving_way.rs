//! Groups whose messages are held give way to others.
//!
//! SQS hands out a group's next messages once those of its last receive are gone. All that a gated group's backlog does is to
//! move into the failure log, ten messages a receive, and every such receive is one that brings nobody anything to handle.
//! So while there is plenty to handle of other groups, what was held is deleted later, and its group waits that long: until all
//! that was held takes no more than a hundredth of the time, or it has given way for as long as it may.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// A group gives way for so long at least, in which it shows whether others have something to do; once they have had nothing
/// for so long, nobody gives way any more.
pub(crate) const LOOK: Duration = Duration::from_millis(250);
/// So many times as long as deleting what was held has taken last, nothing more that is held is deleted.
pub(crate) const REST: u32 = 99;
/// A group gives way for so long at most, unless that is changed.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// Flights that give way, in the order in which they began to.
#[derive(Debug)]
pub(crate) struct GivingWay {
    flights: VecDeque<(u64, Instant)>,
    /// Flights that have given way and are being deleted, and since when there are any.
    going: usize,
    since: Instant,
    /// Until when nothing more that is held is to be deleted.
    rest_until: Instant,
    /// When a message of a full receive was last handled: there may be more where it came from.
    others_at: Option<Instant>,
    longest: Duration,
}

impl GivingWay {
    pub(crate) fn new(longest: Duration) -> Self {
        let (flights, now) = (VecDeque::new(), Instant::now());
        Self { flights, going: 0, since: now, rest_until: now, others_at: None, longest }
    }

    pub(crate) fn begin(&mut self, flight: u64, now: Instant) {
        self.flights.push_back((flight, now));
    }

    /// A message of a full receive was handled.
    pub(crate) fn others_go_on(&mut self, now: Instant) {
        self.others_at = Some(now);
    }

    /// The flights that need not give way any more; with `all`, none does. Those that go at the same time share requests, and
    /// count as one.
    pub(crate) fn take_due(&mut self, now: Instant, all: bool) -> Vec<u64> {
        let mut over = Vec::new();
        while self.until().is_some_and(|until| all || until <= now) {
            over.extend(self.flights.pop_front().map(|(flight, _)| flight));
        }
        over
    }

    /// A flight that has given way is being deleted now.
    pub(crate) fn goes(&mut self, now: Instant) {
        if self.going == 0 {
            self.since = now;
        }
        self.going += 1;
    }

    /// One that was being deleted is gone, or is given up.
    pub(crate) fn has_gone(&mut self, now: Instant) {
        self.going = self.going.saturating_sub(1);
        if self.going == 0 {
            self.rest_until = now + (now - self.since).saturating_mul(REST).min(self.longest);
        }
    }

    /// Until when the first gives way, unless others are handled, or something goes, meanwhile.
    pub(crate) fn until(&self) -> Option<Instant> {
        let (_, began) = *self.flights.front()?;
        let others = self.others_at.map_or(began, |at| at.max(began));
        let longest = began + self.longest;
        // How long what goes takes is not known yet.
        let rest = if self.going > 0 { longest } else { self.rest_until.max(began + LOOK) };
        Some((others + LOOK).min(rest).min(longest))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TOOK: Duration = Duration::from_millis(50);

    fn over(giving_way: &mut GivingWay) -> Vec<u64> {
        giving_way.take_due(Instant::now(), false)
    }

    /// How long the first gives way while others are handled.
    async fn gives_way_for(giving_way: &mut GivingWay) -> Duration {
        let began = Instant::now();
        while over(giving_way).is_empty() {
            giving_way.others_go_on(Instant::now());
            advance(LOOK / 2).await;
        }
        began.elapsed()
    }

    /// One that was being deleted for so long is gone.
    async fn went(giving_way: &mut GivingWay, took: Duration) {
        giving_way.goes(Instant::now());
        advance(took).await;
        giving_way.has_gone(Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn with_nothing_to_do_for_others_a_group_gives_way_for_one_look() {
        let mut giving_way = GivingWay::new(LONGEST);
        went(&mut giving_way, TOOK).await;
        giving_way.others_go_on(Instant::now());
        advance(LOOK).await;
        giving_way.begin(1, Instant::now());
        giving_way.begin(2, Instant::now());
        advance(LOOK - Duration::from_millis(1)).await;
        assert!(over(&mut giving_way).is_empty());
        advance(Duration::from_millis(1)).await;
        assert_eq!(over(&mut giving_way), [1, 2]);
        assert_eq!(giving_way.until(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn while_others_are_handled_what_is_held_takes_a_hundredth_of_the_time() {
        let mut giving_way = GivingWay::new(LONGEST);
        giving_way.begin(1, Instant::now());
        assert_eq!(gives_way_for(&mut giving_way).await, LOOK, "how long it takes is not known yet");
        for took in [TOOK, 5 * TOOK, TOOK] {
            went(&mut giving_way, took).await;
            giving_way.begin(1, Instant::now());
            let rested = gives_way_for(&mut giving_way).await;
            assert!((took * REST..took * REST + LOOK / 2).contains(&rested), "{rested:?} after {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn groups_that_wait_go_together_and_count_once() {
        let mut giving_way = GivingWay::new(LONGEST);
        (1..=3).for_each(|flight| giving_way.begin(flight, Instant::now()));
        gives_way_for(&mut giving_way).await;
        assert_eq!(giving_way.until(), None, "all of them went");
        let began = Instant::now();
        (1..=3).for_each(|_| giving_way.goes(Instant::now()));
        giving_way.begin(4, Instant::now());
        for _ in 1..=3 {
            giving_way.others_go_on(Instant::now());
            assert!(over(&mut giving_way).is_empty(), "others are being deleted");
            advance(TOOK).await;
            giving_way.has_gone(Instant::now());
        }
        gives_way_for(&mut giving_way).await;
        assert!(began.elapsed() < TOOK * 3 * (REST + 1) + LOOK, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn where_deleting_is_slow_or_never_ends_a_group_gives_way_for_as_long_as_it_may() {
        for longest in [Duration::ZERO, LOOK / 2, LOOK * 3 / 2, LONGEST] {
            let mut giving_way = GivingWay::new(longest);
            went(&mut giving_way, LONGEST).await;
            giving_way.begin(1, Instant::now());
            assert_eq!(gives_way_for(&mut giving_way).await, longest);
            giving_way.goes(Instant::now());
            giving_way.begin(2, Instant::now());
            assert_eq!(gives_way_for(&mut giving_way).await, longest);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_to_go_nobody_gives_way() {
        let mut giving_way = GivingWay::new(LONGEST);
        (1..=2).for_each(|flight| giving_way.begin(flight, Instant::now()));
        assert_eq!(giving_way.take_due(Instant::now(), true), [1, 2]);
        assert!(giving_way.take_due(Instant::now(), true).is_empty());
    }
}
