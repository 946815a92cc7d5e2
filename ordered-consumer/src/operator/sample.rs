//! What became of some of the entities that were retried.

use std::collections::VecDeque;

use super::{Operator, OperatorError, Pace};
use crate::{GateKey, GateQuery, GatedEntity, Index, gate::Gate};

/// Entities whose outcome is waited for at most; older ones make room.
const WAITED_MAX: usize = 200;
/// Entities of one batch whose outcome is waited for.
const OF_BATCH: usize = 10;
/// Entities looked at in one go.
const LOOKS: usize = 50;
/// Outcomes that count: the latest, so that a downstream that breaks again is noticed however much went well before.
const KNOWN_MAX: usize = 100;

/// Some of what was retried, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Sample {
    waited: VecDeque<(GateKey, Option<Index>)>,
    /// Whether each of the latest has succeeded.
    known: VecDeque<bool>,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
}

impl Sample {
    /// Takes some of a batch, spread over it.
    pub(super) fn take(&mut self, retried: &[GatedEntity]) {
        let every = retried.len().div_ceil(OF_BATCH).max(1);
        for entity in retried.iter().step_by(every) {
            if self.waited.len() >= WAITED_MAX {
                self.waited.pop_front();
            }
            self.waited.push_back((entity.key.clone(), entity.gate.head));
        }
    }

    /// Looks at those that are waited for longest; the others have their turn later.
    pub(super) async fn look(&mut self, operator: &Operator) -> Result<(), OperatorError> {
        for _ in 0..self.waited.len().min(LOOKS) {
            let Some((key, head)) = self.waited.pop_front() else { break };
            let (entity, stream) = (Some(key.entity.clone()), Some(key.stream.clone()));
            let query = GateQuery { entity, stream, limit: 1, ..GateQuery::default() };
            let found = operator.list(&query).await?.pop();
            match succeeded(found.as_ref().map(|found| &found.gate), head) {
                None => self.waited.push_back((key, head)),
                Some(succeeded) => self.learn(succeeded),
            }
        }
        Ok(())
    }

    fn learn(&mut self, succeeded: bool) {
        if self.known.len() >= KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(succeeded);
        *(if succeeded { &mut self.succeeded } else { &mut self.failed }) += 1;
    }

    /// Whether enough is known to go by.
    pub(super) fn is_enough(&self, pace: &Pace) -> bool {
        let wanted = usize::try_from(pace.known_min).unwrap_or(usize::MAX);
        self.known.len() >= wanted.clamp(1, KNOWN_MAX)
    }

    /// Whether more failed again than may.
    pub(super) fn is_bad(&self, pace: &Pace) -> bool {
        let failed = self.known.iter().filter(|succeeded| !**succeeded).count() as u64;
        let share_max = u64::from(pace.failed_percent_max).saturating_mul(self.known.len() as u64);
        self.is_enough(pace) && failed.saturating_mul(100) > share_max
    }
}

/// Whether the event that was head when it was retried has succeeded since; none while that is not known. A retry
/// forgets the head's first failure, so that there is one again only after it failed again.
fn succeeded(gate: Option<&Gate>, head: Option<Index>) -> Option<bool> {
    match gate {
        Some(gate) if gate.head == head => gate.first_failure.is_some().then_some(false),
        Some(_) | None => Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Failure;

    fn gate(head: u128, failed: bool) -> Gate {
        let first_failure = failed.then(|| Failure::new("E", "no"));
        Gate { head: Some(Index::new(head)), first_failure, ..Gate::default() }
    }

    #[test]
    fn an_event_has_succeeded_when_another_is_head_and_failed_when_it_says_so() {
        let head = Some(Index::new(1));
        assert_eq!(succeeded(None, head), Some(true));
        assert_eq!(succeeded(Some(&gate(2, true)), head), Some(true));
        assert_eq!(succeeded(Some(&gate(1, true)), head), Some(false));
        assert_eq!(succeeded(Some(&gate(1, false)), head), None);
    }

    #[test]
    fn a_share_counts_once_enough_is_known_and_only_the_latest_count() {
        let pace = Pace { failed_percent_max: 50, known_min: 4, ..Pace::default() };
        let mut sample = Sample::default();
        for _ in 0..3 {
            sample.learn(false);
            assert!(!sample.is_bad(&pace));
        }
        sample.learn(false);
        assert!(sample.is_bad(&pace));
        (0..4).for_each(|_| sample.learn(true));
        assert!(!sample.is_bad(&pace), "half of them is not more than half");
        (0..1_000).for_each(|_| sample.learn(true));
        (0..51).for_each(|_| sample.learn(false));
        assert!(sample.is_bad(&pace), "whatever went well before");
    }
}
