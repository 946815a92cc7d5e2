//! Groups whose messages are held give way to others.
//!
//! SQS hands out a group's next messages once those of its last receive are gone. All that a gated group's backlog does is to
//! move into the failure log, ten messages a receive, and every such receive is one that brings nobody anything to handle.
//! So while there is plenty to handle of other groups, what was held is deleted later, and its group waits that long.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

/// A group gives way for so long at least, in which it shows whether others have something to do; once they have had nothing
/// for so long, nobody gives way any more.
pub(crate) const LOOK: Duration = Duration::from_millis(250);
/// A group gives way for so long at most, unless that is changed.
pub(crate) const LONGEST: Duration = Duration::from_secs(30);

/// Flights that give way, in the order in which they began to.
#[derive(Debug)]
pub(crate) struct GivingWay {
    flights: VecDeque<(u64, Instant)>,
    /// When a message of a full receive was last handled: there may be more where it came from.
    others_at: Option<Instant>,
    longest: Duration,
}

impl GivingWay {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { flights: VecDeque::new(), others_at: None, longest }
    }

    pub(crate) fn begin(&mut self, flight: u64, now: Instant) {
        self.flights.push_back((flight, now));
    }

    /// A message of a full receive was handled.
    pub(crate) fn others_go_on(&mut self, now: Instant) {
        self.others_at = Some(now);
    }

    /// The next flight that need not give way any more; with `all`, none does.
    pub(crate) fn next_over(&mut self, now: Instant, all: bool) -> Option<u64> {
        let until = self.until().filter(|until| all || *until <= now);
        until.and_then(|_| self.flights.pop_front()).map(|(flight, _)| flight)
    }

    /// Until when the first gives way, unless others are handled meanwhile.
    pub(crate) fn until(&self) -> Option<Instant> {
        let (_, began) = self.flights.front()?;
        let others = self.others_at.map_or(*began, |at| at.max(*began));
        Some((others + LOOK).min(*began + self.longest))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn over(giving_way: &mut GivingWay) -> Vec<u64> {
        std::iter::from_fn(|| giving_way.next_over(Instant::now(), false)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn with_nothing_to_do_for_others_a_group_gives_way_for_one_look() {
        let mut giving_way = GivingWay::new(LONGEST);
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
    async fn while_others_are_handled_it_gives_way_for_as_long_as_it_may() {
        for longest in [Duration::ZERO, LOOK * 3 / 2, LONGEST] {
            let mut giving_way = GivingWay::new(longest);
            giving_way.begin(1, Instant::now());
            let began = Instant::now();
            while over(&mut giving_way).is_empty() {
                giving_way.others_go_on(Instant::now());
                advance(LOOK / 2).await;
            }
            assert_eq!(began.elapsed(), longest);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_to_go_nobody_gives_way() {
        let mut giving_way = GivingWay::new(LONGEST);
        giving_way.begin(1, Instant::now());
        assert_eq!(giving_way.next_over(Instant::now(), true), Some(1));
        assert_eq!(giving_way.next_over(Instant::now(), true), None);
    }
}
